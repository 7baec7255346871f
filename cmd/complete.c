/*
 * Two hidden commands: `moss __complete KIND` prints the names that a shell may
 * offer, a line each; `moss __options` dumps the tables for the check of the
 * manual pages.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/member.h"
#include "core/engine/settings.h"

/*
 * A shell splits what it gets and may expand it: what no name of ours can have
 * in it, a store that somebody else has written in must not bring there.
 */
static void offer(const char *name, size_t length)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_./:@-";

	if (length > 0 && strspn(name, fine) >= length && name[0] != '-')
		printf("%.*s\n", (int)length, name);
}

/* States that a command can do something with, by the kind of its operands. */
static const struct {
	const char *kind;
	const char *states[5]; /* none: any */
} container_kinds[] = {
	{"object", {NULL}},
	{"container", {NULL}},
	{"container-running", {"running", "paused", "restarting"}},
	{"container-active", {"running"}},
	{"container-paused", {"paused"}},
	{"container-stopped", {"created", "exited", "dead"}},
};

static bool has_state(const char *const *states, const char *state)
{
	if (!states[0])
		return true;
	while (*states && !str_equal(*states, state))
		states++;
	return *states != NULL;
}

static int containers(struct context *context, const char *const *states,
		      struct error *err)
{
	cleanup_json cJSON *list = NULL;
	const cJSON *container, *name;
	int r;

	r = engine_container_list(&context->engine, CONTAINER_LIST_ALL, &list,
				  err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(container, list)
	{
		if (!has_state(states, text_of(container, "State")))
			continue;
		cJSON_ArrayForEach(name, member_of(container, "Names"))
		{
			const char *text = cJSON_GetStringValue(name);

			if (text)
				offer(text + (text[0] == '/'),
				      strlen(text) - (text[0] == '/'));
		}
	}
	return 0;
}

static int images(struct context *context, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	const cJSON *image, *tag;
	int r;

	r = engine_image_list(&context->engine, false, &list, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(image, list)
	{
		cJSON_ArrayForEach(tag, member_of(image, "RepoTags"))
		{
			const char *text = cJSON_GetStringValue(tag);

			if (!text)
				continue;
			if (str_ends(text, ":latest"))
				offer(text, strlen(text) - strlen(":latest"));
			offer(text, strlen(text));
		}
	}
	return 0;
}

static int volumes(struct context *context, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *volume;
	int r;

	r = engine_volume_list(&context->engine, &json, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(volume, member_of(json, "Volumes"))
	{
		const char *name = text_of(volume, "Name");

		offer(name, strlen(name));
	}
	return 0;
}

static int networks(struct context *context, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	const cJSON *network;
	int r = engine_network_list(&context->engine, &list, err);

	if (r < 0)
		return r;
	cJSON_ArrayForEach(network, list)
	{
		const char *name = text_of(network, "Name");

		offer(name, strlen(name));
	}
	return 0;
}

/* Nobody sees an error here: there is nothing to offer then. */
static int complete_main(struct context *context, const struct options *options)
{
	const char *kind = options->operands[0];
	bool any = str_equal(kind, "object");
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(container_kinds); i++)
		if (str_equal(kind, container_kinds[i].kind))
			r |= containers(context, container_kinds[i].states,
					NULL);
	if (any || str_equal(kind, "image"))
		r |= images(context, NULL);
	if (any || str_equal(kind, "volume"))
		r |= volumes(context, NULL);
	if (any || str_equal(kind, "network"))
		r |= networks(context, NULL);
	/* What run --network takes. */
	if (str_equal(kind, "network-mode")) {
		printf("slirp\ncontainer:\n");
		r |= networks(context, NULL);
	}
	return r < 0 ? 1 : 0;
}

static void print_setting(const struct conf_key *key, void *data)
{
	(void)data;
	printf("setting\t%s\t%s\n", key->section, key->key);
}

/* "command NAME", "option NAME -d --detach VALUE", "hidden …" for one that is
   in no help, and "setting SECTION KEY", apart by tabs. */
static int options_main(struct context *context, const struct options *options)
{
	(void)context;
	(void)options;
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];

		if (str_starts(command->name, "__"))
			continue;
		printf("command\t%s\n", command->name);
		for (size_t t = 0; command->options && command->options[t];
		     t++) {
			for (const struct option *o = command->options[t];
			     o->name; o++) {
				const char *value = option_value_name(o);
				char letter[] = {'-', o->short_name, '\0'};

				printf("%s\t%s\t%s\t--%s\t%s\n",
				       o->hidden ? "hidden" : "option",
				       command->name,
				       o->short_name ? letter : "", o->name,
				       value ? value : "");
			}
		}
	}
	settings_for_each(print_setting, NULL);
	return 0;
}

const struct command command_complete = {
	.name = "__complete",
	.usage = "KIND",
	.summary = "Print names for a shell's completion",
	.operands_min = 1,
	.operands_max = 1,
	.hidden = true,
	.run = complete_main,
	.group = "Internal",
};

const struct command command_options = {
	.name = "__options",
	.usage = "",
	.summary = "Print every option of every command",
	.no_engine = true,
	.hidden = true,
	.run = options_main,
	.group = "Internal",
};
