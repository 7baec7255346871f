/*
 * moss completion bash|zsh|fish: a script made of a text in cmd/completion/ and
 * the command tables, which take the place of its @MARKS@. Names of containers,
 * images, volumes and networks come from `moss __complete` when the key is
 * pressed.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"

/* The texts, embedded by the build. */
extern const char completion_bash[];
extern const char completion_zsh[];
extern const char completion_fish[];

/* How a single quote is written within single quotes. */
#define SH_QUOTE   "'\\''"
#define FISH_QUOTE "\\'"

#define CAPABILITIES                                                        \
	"ALL AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID " \
	"IPC_LOCK KILL MKNOD NET_ADMIN NET_BIND_SERVICE NET_RAW SETFCAP "   \
	"SETGID SETPCAP SETUID SYS_ADMIN SYS_CHROOT SYS_NICE SYS_PTRACE "   \
	"SYS_RESOURCE SYS_TIME"
#define SIGNALS \
	"HUP INT QUIT ABRT KILL USR1 USR2 ALRM TERM CONT STOP TSTP WINCH"

/* What the value of an option may be, where it is neither a file nor free text.
   "@image" stands for `moss __complete image`. */
static const struct {
	const char *option;
	const char *words;
} values[] = {
	{"allow", "network.host"},
	{"attach", "stdin stdout stderr"},
	{"build-network", "default none host"},
	{"cap-add", CAPABILITIES},
	{"cap-drop", CAPABILITIES},
	{"driver", "local"},
	{"egress", "allow deny record"},
	{"format", "json"},
	{"ipc", "private host shareable none container:"},
	{"log-driver", "json-file none"},
	{"log-opt", "max-size= max-file= compress="},
	{"network", "@network-mode"},
	{"pid", "host container:"},
	{"progress", "auto plain tty quiet rawjson"},
	{"publish-mode", "auto splice slirp native"},
	{"pull", "always missing never"},
	{"restart", "no on-failure always unless-stopped"},
	{"save-format", "archive oci-dir"},
	{"security-opt", "seccomp=unconfined no-new-privileges"},
	{"signal", SIGNALS},
	{"stop-signal", SIGNALS},
	{"storage-driver", "overlay fuse-overlayfs"},
	{"type", "container image volume network"},
	{"userns", "host nomap keep-id auto"},
	{"uts", "host"},
	{"volumes-from", "@container"},
};

static const char *const file_options[] = {
	"cidfile",	 "device",  "egress-policy", "env-file",
	"file",		 "iidfile", "input",	     "label-file",
	"metadata-file", "output",  "volume",
};

/* The option's name in the tables above. */
static const char *value_key(const struct command *command,
			     const struct option *option)
{
	if (str_equal(command->name, "save") &&
	    str_equal(option->name, "format"))
		return "save-format";
	if (str_equal(command->name, "build") &&
	    str_equal(option->name, "network"))
		return "build-network";
	return option->name;
}

static void print_quoted(const char *text, const char *escape)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs(escape, stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

/* "NAME:TEXT" in quotes, as zsh's _describe takes it. */
static void print_described(const char *indent, const char *name,
			    const char *text)
{
	cleanup_free char *pair = xasprintf("%s:%s", name, text);

	fputs(indent, stdout);
	print_quoted(pair, SH_QUOTE);
	putchar('\n');
}

static bool is_typed(const struct command *command)
{
	return command->group && !str_starts(command->name, "__");
}

/* All the ways to type a command; 0 for one of moss's own. */
static size_t print_paths(const struct command *command, const char *between,
			  const char *escape)
{
	size_t count = 0;

	if (is_typed(command)) {
		print_quoted(command->name, escape);
		count++;
	}
	for (size_t i = 0; command_paths[i].group; i++) {
		cleanup_free char *path = NULL;

		if (!str_equal(command_paths[i].command, command->name))
			continue;
		path = xasprintf("%s %s", command_paths[i].group,
				 command_paths[i].name);
		fputs(count > 0 ? between : "", stdout);
		print_quoted(path, escape);
		count++;
	}
	return count;
}

static bool group_is_new(size_t index)
{
	return index == 0 || !str_equal(command_paths[index].group,
					command_paths[index - 1].group);
}

/* "never": what follows the first operand is another program's. */
static const char *repeated_word(const struct command *command)
{
	if (command->stop_at_operand)
		return "never";
	return command->operands_max < 0 ? "yes" : "no";
}

static const char *kind_word(const struct command *command)
{
	return command->completes ? command->completes : "none";
}

typedef void (*option_function)(const struct command *command,
				const struct option *option);

static void for_each_option(const struct command *command,
			    option_function function)
{
	for (size_t t = 0; command->options && command->options[t]; t++)
		for (const struct option *o = command->options[t]; o->name; o++)
			if (!o->hidden)
				function(command, o);
}

/* ---- bash and zsh ---- */

static void sh_valued(const struct command *command,
		      const struct option *option)
{
	const char *key = value_key(command, option);

	if (option->type == OPTION_FLAG)
		return;
	if (option->short_name)
		printf("-%c:%s ", option->short_name, key);
	printf("--%s:%s ", option->name, key);
}

static void sh_files(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_options); i++)
		printf("%s%s", i ? "|" : "", file_options[i]);
}

static void print_values(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		printf("\t%s) %s='%s' ;;\n", values[i].option, variable,
		       values[i].words);
}

static void bash_values(void)
{
	print_values("words");
}

static void zsh_values(void)
{
	print_values("offer");
}

static void bash_option(const struct command *command,
			const struct option *option)
{
	(void)command;
	if (option->short_name)
		printf("-%c ", option->short_name);
	printf("--%s ", option->name);
}

static void bash_commands(void)
{
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];

		if (str_starts(command->name, "__"))
			continue;
		putchar('\t');
		print_paths(command, "|", SH_QUOTE);
		printf(")\n\t\toptions='");
		for_each_option(command, bash_option);
		printf("--help'\n\t\tvalued='");
		for_each_option(command, sh_valued);
		printf("'\n\t\tkind=%s repeated=%s ;;\n", kind_word(command),
		       repeated_word(command));
	}
}

static void bash_top(void)
{
	for (size_t i = 0; command_table[i]; i++)
		if (is_typed(command_table[i]))
			printf("%s ", command_table[i]->name);
	for (size_t i = 0; command_paths[i].group; i++)
		if (group_is_new(i))
			printf("%s ", command_paths[i].group);
}

static void bash_subcommands(void)
{
	for (size_t i = 0; command_paths[i].group; i++) {
		if (group_is_new(i))
			printf("%s\t%s) words='", i ? "' ;;\n" : "",
			       command_paths[i].group);
		if (!command_paths[i].alias)
			printf("%s ", command_paths[i].name);
	}
	printf("' ;;\n");
}

static void zsh_option(const struct command *command,
		       const struct option *option)
{
	cleanup_free char *name = xasprintf("--%s", option->name);
	char letter[] = {'-', option->short_name, '\0'};

	(void)command;
	if (option->short_name)
		print_described("\t\t\t", letter, option->help);
	print_described("\t\t\t", name, option->help);
}

static void zsh_commands(void)
{
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];

		if (str_starts(command->name, "__"))
			continue;
		putchar('\t');
		print_paths(command, "|", SH_QUOTE);
		printf(")\n\t\toptions=(\n");
		for_each_option(command, zsh_option);
		printf("\t\t\t'--help:Print usage'\n\t\t)\n\t\tvalued=(");
		for_each_option(command, sh_valued);
		printf(")\n\t\tkind=%s repeated=%s ;;\n", kind_word(command),
		       repeated_word(command));
	}
}

static void zsh_top(void)
{
	for (size_t i = 0; command_table[i]; i++)
		if (is_typed(command_table[i]))
			print_described("\t\t", command_table[i]->name,
					command_table[i]->summary);
	for (size_t i = 0; command_paths[i].group; i++)
		if (group_is_new(i))
			print_described(
				"\t\t", command_paths[i].group,
				help_group_summary(command_paths[i].group));
}

static void zsh_subcommands(void)
{
	for (size_t i = 0; command_paths[i].group; i++) {
		const struct command_path *path = &command_paths[i];

		if (group_is_new(i))
			printf("%s\t%s) choices=(\n", i ? "\t\t) ;;\n" : "",
			       path->group);
		if (!path->alias)
			print_described(
				"\t\t\t", path->name,
				command_by_name(path->command)->summary);
	}
	printf("\t\t) ;;\n");
}

/* ---- fish ---- */

static void fish_condition(const struct command *command)
{
	printf("complete -c moss -n \"__moss_at ");
	print_paths(command, " ", FISH_QUOTE);
	putchar('"');
}

static void fish_option(const struct command *command,
			const struct option *option)
{
	const char *key = value_key(command, option);
	bool file = false;

	fish_condition(command);
	if (option->short_name)
		printf(" -s %c", option->short_name);
	printf(" -l %s -d ", option->name);
	print_quoted(option->help, FISH_QUOTE);
	for (size_t i = 0; i < ARRAY_SIZE(file_options); i++)
		file = file || str_equal(file_options[i], key);
	if (option->type != OPTION_FLAG)
		printf(file ? " -rF" : " -x");
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		if (!str_equal(values[i].option, key))
			continue;
		if (values[i].words[0] == '@')
			printf(" -a '(moss __complete %s 2>/dev/null)'",
			       values[i].words + 1);
		else
			printf(" -a '%s'", values[i].words);
	}
	putchar('\n');
}

static void fish_valued(const struct command *command,
			const struct option *option)
{
	(void)command;
	if (option->type == OPTION_FLAG)
		return;
	if (option->short_name)
		printf(" -%c", option->short_name);
	printf(" --%s", option->name);
}

/* Where operands are completed: the first only, unless there are more of the
   kind. */
static void fish_operands(const struct command *command)
{
	printf("complete -c moss -n \"__moss_at ");
	print_paths(command, " ", FISH_QUOTE);
	if (!str_equal(repeated_word(command), "yes")) {
		printf("; and __moss_first");
		for_each_option(command, fish_valued);
	}
	putchar('"');
}

static void fish_commands(void)
{
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];
		const char *kind = kind_word(command);

		if (str_starts(command->name, "__"))
			continue;
		for_each_option(command, fish_option);
		fish_condition(command);
		printf(" -l help -d 'Print usage'\n");
		if (str_equal(kind, "none"))
			continue;
		fish_operands(command);
		if (str_equal(kind, "file")) {
			printf(" -F\n");
		} else if (str_equal(kind, "shell")) {
			printf(" -a 'bash zsh fish'\n");
		} else if (str_equal(kind, "command")) {
			printf(" -a '");
			bash_top();
			printf("'\n");
		} else {
			printf(" -a '(moss __complete %s 2>/dev/null)'\n",
			       kind);
		}
	}
}

static void fish_line(const char *condition, const char *name, const char *text)
{
	printf("complete -c moss -n %s -a %s -d ", condition, name);
	print_quoted(text, FISH_QUOTE);
	putchar('\n');
}

static void fish_top(void)
{
	for (size_t i = 0; command_table[i]; i++)
		if (is_typed(command_table[i]))
			fish_line("__moss_at_top", command_table[i]->name,
				  command_table[i]->summary);
	for (size_t i = 0; command_paths[i].group; i++)
		if (group_is_new(i))
			fish_line("__moss_at_top", command_paths[i].group,
				  help_group_summary(command_paths[i].group));
}

static void fish_subcommands(void)
{
	for (size_t i = 0; command_paths[i].group; i++) {
		const struct command_path *path = &command_paths[i];
		cleanup_free char *condition =
			xasprintf("'__moss_at_group %s'", path->group);

		if (!path->alias)
			fish_line(condition, path->name,
				  command_by_name(path->command)->summary);
	}
}

/* ---- the scripts ---- */

struct mark {
	const char *name;
	void (*print)(void);
};

/* clang-format off */
static const struct {
	const char *shell;
	const char *text;
	struct mark marks[6];
} scripts[] = {
	{"bash", completion_bash, {{"@TOP@", bash_top}, {"@SUBCOMMANDS@\n", bash_subcommands}, {"@COMMANDS@\n", bash_commands}, {"@FILES@", sh_files}, {"@VALUES@\n", bash_values}}},
	{"zsh", completion_zsh, {{"@TOP@\n", zsh_top}, {"@SUBCOMMANDS@\n", zsh_subcommands}, {"@COMMANDS@\n", zsh_commands}, {"@FILES@", sh_files}, {"@VALUES@\n", zsh_values}}},
	{"fish", completion_fish, {{"@TOP@\n", fish_top}, {"@SUBCOMMANDS@\n", fish_subcommands}, {"@COMMANDS@\n", fish_commands}}},
};
/* clang-format on */

static void print_script(const char *text, const struct mark *marks)
{
	while (*text) {
		const struct mark *mark = marks;

		while (mark->name && !str_starts(text, mark->name))
			mark++;
		if (mark->name) {
			mark->print();
			text += strlen(mark->name);
		} else {
			putchar(*text++);
		}
	}
}

static int completion_main(struct context *context,
			   const struct options *options)
{
	const char *shell = options->operands[0];
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		if (str_equal(scripts[i].shell, shell)) {
			print_script(scripts[i].text, scripts[i].marks);
			return 0;
		}
	}
	err_set(&err, ERROR_INVALID,
		"unknown shell: %s: must be one of bash, zsh, fish", shell);
	return command_fail(context, &err);
}

const struct command command_completion = {
	.name = "completion",
	.usage = "bash|zsh|fish",
	.summary = "Generate the autocompletion script for a shell",
	.operands_min = 1,
	.operands_max = 1,
	.no_engine = true,
	.run = completion_main,
	.group = "Commands",
	.completes = "shell",
};
