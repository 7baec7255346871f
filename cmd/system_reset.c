/*
 * moss system reset: everything that moss made for its user goes, after a
 * question. Needs no engine, which a damaged store would keep from opening.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/boot_unit.h"
#include "cmd/commands.h"
#include "cmd/paths.h"
#include "cmd/prompt.h"
#include "cmd/text.h"
#include "core/engine/reset.h"
#include "policy/userns.h"

/* clang-format off */
static const struct option reset_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not prompt for confirmation", false},
	{0},
};
/* clang-format on */

struct places {
	char *data;
	char *run;
	bool has_unit; /* that `moss system unit` wrote */
};

static void places_release(struct places *places)
{
	free(places->data);
	free(places->run);
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* What will go and how much it is. Caller frees. */
static char *question_text(const struct reset_plan *plan,
			   const struct places *places)
{
	struct str text = {0};
	cleanup_free char *size = format_bytes(plan->bytes);
	cleanup_free char *data = text_printable(places->data, true);
	cleanup_free char *run = text_printable(places->run, true);

	str_append(&text, "WARNING! This will remove everything that moss "
			  "made for you:\n");
	if (plan->has_store) {
		str_appendf(&text, "  - %zu container%s", plan->containers,
			    plural(plan->containers));
		if (plan->running > 0)
			str_appendf(&text,
				    ", %zu of them running, to be "
				    "killed",
				    plan->running);
		str_appendf(&text,
			    "\n  - %zu volume%s with all that is in %s\n"
			    "  - all images and the cache\n"
			    "  - with them the store %s, %s\n",
			    plan->volumes, plural(plan->volumes),
			    plan->volumes == 1 ? "it" : "them", data, size);
	}
	str_appendf(&text,
		    "  - the runtime directory %s, and whatever runs in its "
		    "user namespace\n",
		    run);
	if (places->has_unit)
		str_append(&text, "  - the unit " BOOT_UNIT_NAME
				  " of your service manager\n");
	return str_steal(&text);
}

static void tell_kept(const struct reset_plan *plan,
		      const struct places *places)
{
	for (size_t i = 0; plan->kept && plan->kept[i]; i++)
		report_warning("%s/%s is not moss's and stays", places->data,
			       plan->kept[i]);
}

static int reset(struct context *context, const struct options *options,
		 const struct places *places)
{
	struct error err = {0};
	cleanup_fd int run_fd = path_run_open(getuid(), &err);
	struct reset_options wanted = {
		.data_path = places->data,
		.run_path = places->run,
		.run_fd = run_fd,
	};
	cleanup_free char *question = NULL;
	cleanup_free char *size = NULL;
	const struct reset_plan *plan;
	struct reset *handle = NULL;
	int r;

	if (run_fd < 0 || reset_open(&wanted, &handle, &err) < 0)
		return command_fail(context, &err);
	plan = reset_plan_of(handle);
	question = question_text(plan, places);
	if (!option_flag(options, "force") && !prompt_confirm(question)) {
		reset_close(handle);
		return 0;
	}
	r = reset_run(handle, &err);
	if (r >= 0 && places->has_unit) {
		r = boot_unit_remove(&err);
		if (r >= 0)
			puts("Removed the unit " BOOT_UNIT_NAME);
	}
	if (r >= 0) {
		tell_kept(plan, places);
		size = format_bytes(plan->bytes);
		printf("Total reclaimed space: %s\n", size);
	}
	reset_close(handle);
	return r < 0 ? command_fail(context, &err) : 0;
}

static int reset_main(struct context *context, const struct options *options)
{
	CLEANUP(places_release) struct places places = {0};
	struct error err = {0};

	if (userns_check_caller(&err) < 0 ||
	    path_data(&places.data, &err) < 0 ||
	    path_run(getuid(), &places.run, &err) < 0)
		return command_fail(context, &err);
	places.has_unit = boot_unit_exists();
	if (access(places.data, F_OK) < 0 && access(places.run, F_OK) < 0 &&
	    !places.has_unit) {
		puts("There is nothing of moss to be removed.");
		return 0;
	}
	return reset(context, options, &places);
}

static const struct option *const tables[] = {reset_options, NULL};

const struct command command_system_reset = {
	.name = "system-reset",
	.usage = "[OPTIONS]",
	.summary = "Remove everything that moss made for you",
	.aliases = "moss system reset",
	.options = tables,
	.no_engine = true,
	.run = reset_main,
};
