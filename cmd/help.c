#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"

#define WIDTH_DEFAULT 80

static int terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		return size.ws_col;
	return WIDTH_DEFAULT;
}

const char *option_value_name(const struct option *option)
{
	if (option->value_name)
		return option->value_name;
	switch (option->type) {
	case OPTION_FLAG:
		return NULL;
	case OPTION_STRING:
		return "string";
	case OPTION_LIST:
		return "list";
	case OPTION_INT:
		return "int";
	case OPTION_BYTES:
		return "bytes";
	case OPTION_DURATION:
		return "duration";
	}
	return NULL;
}

static char *option_left(const struct option *option)
{
	struct str left = {0};
	const char *value = option_value_name(option);

	if (option->short_name)
		str_appendf(&left, "  -%c, --%s", option->short_name,
			    option->name);
	else
		str_appendf(&left, "      --%s", option->name);
	if (value)
		str_appendf(&left, " %s", value);
	return str_steal(&left);
}

/* Words of text from column indent on, wrapped at width. */
static void print_wrapped(const char *text, size_t indent, size_t width)
{
	size_t column = indent;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > indent && column + 1 + word > width) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)word, text);
		column += word;
		text += word;
		while (*text == ' ')
			text++;
	}
	putchar('\n');
}

static int compare_options(const struct option *a, const struct option *b)
{
	return strcmp(a->name, b->name);
}

/* All visible rows of a command's tables, by name, as docker sorts them. */
static size_t options_sorted(const struct command *command,
			     const struct option ***ret_sorted)
{
	const struct option **sorted = NULL;
	size_t count = 0;

	for (size_t t = 0; command->options && command->options[t]; t++) {
		for (const struct option *o = command->options[t]; o->name;
		     o++) {
			size_t at = count;

			if (o->hidden)
				continue;
			sorted = xrealloc(sorted, count + 1, sizeof(*sorted));
			while (at > 0 &&
			       compare_options(sorted[at - 1], o) > 0) {
				sorted[at] = sorted[at - 1];
				at--;
			}
			sorted[at] = o;
			count++;
		}
	}
	*ret_sorted = sorted;
	return count;
}

static void print_options(const struct command *command)
{
	cleanup_free const struct option **sorted = NULL;
	size_t count = options_sorted(command, &sorted);
	size_t widest = 0;

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *left = option_left(sorted[i]);

		if (strlen(left) > widest)
			widest = strlen(left);
	}
	printf("\nOptions:\n");
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *left = option_left(sorted[i]);
		cleanup_free char *right = NULL;

		if (sorted[i]->default_text && sorted[i]->type == OPTION_STRING)
			right = xasprintf("%s (default \"%s\")",
					  sorted[i]->help,
					  sorted[i]->default_text);
		else if (sorted[i]->default_text)
			right = xasprintf("%s (default %s)", sorted[i]->help,
					  sorted[i]->default_text);
		printf("%-*s", (int)widest + 3, left);
		print_wrapped(right ? right : sorted[i]->help, widest + 3,
			      (size_t)terminal_width());
	}
}

void help_command(const struct command *command, const char *path)
{
	printf("Usage:  moss %s%s%s\n\n%s\n", path,
	       command->usage[0] ? " " : "", command->usage, command->summary);
	if (command->aliases)
		printf("\nAliases:\n  %s\n", command->aliases);
	print_options(command);
}

static void print_commands(const char *group)
{
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];

		if (!command->hidden && str_equal(command->group, group))
			printf("  %-11s %s\n", command->name, command->summary);
	}
}

static const struct {
	const char *group;
	const char *summary;
} groups_of_objects[] = {
	{"builder", "Manage builds"},
	{"buildx", "Manage builds, as docker's plugin of that name"},
	{"container", "Manage containers"},
	{"image", "Manage images"},
	{"manifest", "Look at manifests in registries"},
	{"system", "Manage moss"},
	{"network", "Manage networks"},
	{"volume", "Manage volumes"},
};

const char *help_group_summary(const char *group)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups_of_objects); i++)
		if (str_equal(groups_of_objects[i].group, group))
			return groups_of_objects[i].summary;
	return "";
}

void help_overview(void)
{
	static const char *const groups[] = {"Common Commands", "Commands"};

	printf("Usage:  moss [OPTIONS] COMMAND\n\n"
	       "Containers without roots: no daemon, no root, one command\n");
	printf("\n%s:\n", groups[0]);
	print_commands(groups[0]);
	printf("\nManagement Commands:\n");
	for (size_t i = 0; command_paths[i].group; i++) {
		if (i > 0 && str_equal(command_paths[i].group,
				       command_paths[i - 1].group))
			continue;
		printf("  %-11s %s\n", command_paths[i].group,
		       help_group_summary(command_paths[i].group));
	}
	printf("\n%s:\n", groups[1]);
	print_commands(groups[1]);
	printf("\nGlobal Options:\n"
	       "      --help      Print usage\n"
	       "      --config    Directory of docker's config.json, as "
	       "DOCKER_CONFIG\n"
	       "  -v, --version   Print version information and quit\n"
	       "\nRun 'moss COMMAND --help' for more information on a "
	       "command.\n");
}

void help_group(const char *group)
{
	printf("Usage:  moss %s COMMAND\n\n%s\n\nCommands:\n", group,
	       help_group_summary(group));
	for (size_t i = 0; command_paths[i].group; i++)
		if (str_equal(command_paths[i].group, group) &&
		    !command_paths[i].alias)
			printf("  %-11s %s\n", command_paths[i].name,
			       command_by_name(command_paths[i].command)
				       ->summary);
	printf("\nRun 'moss %s COMMAND --help' for more information on a "
	       "command.\n",
	       group);
}

/* moss help [COMMAND [SUBCOMMAND]] */
static int help_main(struct context *context, const struct options *options)
{
	char **operands = options->operands;
	int count = (int)strv_length(operands);
	const struct command *command;
	const char *path = NULL;
	char *topic;

	(void)context;
	if (count == 0) {
		help_overview();
		return 0;
	}
	if (count == 1 && command_is_group(operands[0])) {
		help_group(operands[0]);
		return 0;
	}
	topic = strv_join(operands, " ");
	command = command_find(&count, &operands, &path);
	if (!command || count > 0) {
		struct error err = {0};

		err_set(&err, ERROR_INVALID, "unknown help topic: %s", topic);
		err_hint(&err, "`moss help` lists the commands.");
		free(topic);
		return command_fail(context, &err);
	}
	free(topic);
	help_command(command, path);
	return 0;
}

const struct command command_help = {
	.name = "help",
	.usage = "[COMMAND [SUBCOMMAND]]",
	.summary = "Help about a command",
	.operands_max = 2,
	.stop_at_operand = true,
	.no_engine = true,
	.run = help_main,
	.group = "Commands",
	.completes = "command",
};
