/*
 * moss doctor: a line for each check, and below it what to do where something
 * is not as it should be. Needs no engine: it tells why there is none.
 */
#include "cmd/command.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/paths.h"
#include "cmd/text.h"
#include "core/engine/doctor.h"

/* clang-format off */
static const struct option doctor_options[] = {
	{0, "json", OPTION_FLAG, NULL, NULL, "Print the findings as JSON", false},
	{0},
};
/* clang-format on */

#define NAME_WIDTH  18
#define STATE_WIDTH 9

/* For each state; empty strings without a terminal. */
static const char *const colors[] = {
	[DOCTOR_OK] = "\033[32m",
	[DOCTOR_DEGRADED] = "\033[33m",
	[DOCTOR_BROKEN] = "\033[31m",
};

/* What the command knows of itself; the strings that struct doctor borrows. */
struct self {
	char *data_path;
	char *user;
	char *program;
};

static void self_release(struct self *self)
{
	free(self->data_path);
	free(self->user);
	free(self->program);
}

static char *own_program(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

	return length > 0 && (size_t)length < sizeof(path)
		       ? xstrndup(path, (size_t)length)
		       : xstrdup("/usr/bin/moss");
}

/* MOSS_ROOT may be wrong: then that is the error. */
static int self_read(struct self *self, struct doctor *ret_doctor,
		     struct error *err)
{
	const struct passwd *entry = getpwuid(getuid());
	int r = path_data(&self->data_path, err);

	if (r < 0)
		return r;
	self->user = entry ? xstrdup(entry->pw_name)
			   : xasprintf("%u", (unsigned int)getuid());
	self->program = own_program();
	doctor_init(ret_doctor);
	ret_doctor->data_path = self->data_path;
	ret_doctor->user = self->user;
	ret_doctor->program = self->program;
	ret_doctor->search = getenv("PATH");
	ret_doctor->run_path = getenv("MOSS_RUN");
	ret_doctor->xdg_run = getenv("XDG_RUNTIME_DIR");
	return 0;
}

static void print_finding(const struct doctor_check *check,
			  const struct doctor_finding *finding)
{
	const bool color = output_color();
	cleanup_free char *text = text_printable(finding->text, true);
	cleanup_free char *fix = NULL;
	cleanup_strv char **lines = NULL;

	printf("%s%-*s%s %-*s %s\n", color ? colors[finding->state] : "",
	       STATE_WIDTH, doctor_state_name(finding->state),
	       color ? "\033[0m" : "", NAME_WIDTH, check->name, text);
	if (!finding->fix)
		return;
	fix = text_printable(finding->fix, false);
	lines = strv_split(fix, '\n');
	for (size_t i = 0; lines[i]; i++)
		printf("%*s%s %s\n", STATE_WIDTH + 1 + NAME_WIDTH + 1, "",
		       i == 0 ? "fix:" : "    ", lines[i]);
}

static void print_summary(const unsigned int counts[])
{
	printf("\n%u checks: %u ok, %u degraded, %u broken\n",
	       counts[DOCTOR_OK] + counts[DOCTOR_DEGRADED] +
		       counts[DOCTOR_BROKEN],
	       counts[DOCTOR_OK], counts[DOCTOR_DEGRADED],
	       counts[DOCTOR_BROKEN]);
}

static void print_json(cJSON *checks, enum doctor_state worst)
{
	cleanup_json cJSON *json = json_object();
	cleanup_free char *text = NULL;

	json_set_string(json, "State", doctor_state_name(worst));
	json_set(json, "Checks", checks);
	text = json_print_pretty(json);
	puts(text);
}

static int doctor_main(struct context *context, const struct options *options)
{
	const bool as_json = option_flag(options, "json");
	CLEANUP(self_release) struct self self = {0};
	unsigned int counts[DOCTOR_BROKEN + 1] = {0};
	enum doctor_state worst = DOCTOR_OK;
	cleanup_json cJSON *checks = json_array();
	struct doctor doctor;
	struct error err = {0};

	if (self_read(&self, &doctor, &err) < 0)
		return command_fail(context, &err);
	for (size_t i = 0; doctor_checks[i].name; i++) {
		const struct doctor_check *check = &doctor_checks[i];
		CLEANUP(doctor_finding_release)
		struct doctor_finding finding = {0};

		if (!doctor_run(&doctor, check, &finding))
			continue;
		counts[finding.state]++;
		if (finding.state > worst)
			worst = finding.state;
		if (as_json) {
			json_push(checks, doctor_finding_json(check, &finding));
			continue;
		}
		print_finding(check, &finding);
		/* The next check may take its time. */
		fflush(stdout);
	}
	if (as_json)
		print_json(steal_ptr(&checks), worst);
	else
		print_summary(counts);
	return worst == DOCTOR_BROKEN;
}

static const struct option *const tables[] = {doctor_options, NULL};

const struct command command_doctor = {
	.name = "doctor",
	.usage = "[OPTIONS]",
	.summary = "Check the machine and tell what to do about it",
	.aliases = "moss doctor, moss system doctor",
	.options = tables,
	.no_engine = true,
	.run = doctor_main,
	.group = "Commands",
};
