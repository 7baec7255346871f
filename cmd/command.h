/*
 * The command line as tables.
 *
 * Every subcommand is one row of command_table[] (table.c) and one file; its
 * options are rows of its own table. Parsing, help, completions and the check
 * of the man pages all come from these rows. Management forms ("container run",
 * "image ls") are rows that point at the same command.
 *
 * A command gets its parsed options and the operands, and returns the exit
 * code. Errors are printed by main() in one place: a command returns
 * command_fail(context, &err) or lets main print context->error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/engine/engine.h"

enum option_type {
	OPTION_FLAG,	 /* --x, --x=false */
	OPTION_STRING,	 /* --x value, --x=value, -xvalue; the last one wins */
	OPTION_LIST,	 /* may be repeated */
	OPTION_INT,	 /* checked by the parser */
	OPTION_BYTES,	 /* "512m", checked by the parser */
	OPTION_DURATION, /* "1m30s", checked by the parser */
};

struct option {
	char short_name; /* 0: none */
	const char *name;
	enum option_type type;
	const char
		*value_name; /* in help: "string", "list"…; NULL: the type's */
	const char *default_text; /* shown in help, and the value; NULL: none */
	const char *help;
	bool hidden;
};

/* What was given for one option. */
struct option_value {
	const struct option *option;
	char **values; /* strv; one for scalars */
	bool given;
};

struct options {
	const struct option *const *tables; /* NULL-terminated */
	struct option_value *values;
	size_t count;
	char **operands; /* strv */
};

/* What a command does with the user's credentials (cmd/credentials.h). */
enum credentials_use {
	CREDENTIALS_UNUSED,
	CREDENTIALS_READ,
	CREDENTIALS_WRITTEN,
};

struct context;
struct credentials;

struct command {
	const char *name;
	const char *usage; /* after "moss NAME ", e.g. "[OPTIONS] IMAGE" */
	const char *summary;
	const char *aliases; /* "moss container ls, moss ps" or NULL */
	const struct option *const *options; /* NULL-terminated list of tables;
						may be NULL */
	int operands_min;
	int operands_max;     /* -1: any */
	bool stop_at_operand; /* options end at the first operand (run, exec) */
	bool no_engine;	      /* needs neither namespace nor store */
	bool hidden;
	enum credentials_use credentials;
	int (*run)(struct context *context, const struct options *options);
	const char *group;     /* heading in `moss help`; NULL: reached through
				  command_paths[] only */
	const char *completes; /* what operands are: "container", "image",
				  "container-running", "file", "command" … */
};

/* "container ls" → the command of row "ps". */
struct command_path {
	const char *group;
	const char *name;
	const char *command;
	bool alias; /* a second word for the same: not in help */
};

extern const struct command *const command_table[]; /* NULL-terminated */
extern const struct command_path command_paths[];   /* ends with group NULL */

struct context {
	const struct command *command;
	const char *command_path; /* "run" or "container run" as typed */
	struct error error;
	struct engine engine; /* open unless the command has no_engine */
	bool engine_open;
	char *note; /* single-ID note, printed once by commands that care */
	int run_fd;
	struct credentials *credentials; /* NULL: the row does not use them */
};

/* By the first words: moves argc and argv past them. NULL: there is none. */
const struct command *command_find(int *argc, char ***argv,
				   const char **ret_path);
const struct command *command_by_name(const char *name);
bool command_is_group(const char *name);

/* options.c: 0, or fills *err: -EINVAL for a wrong option, -E2BIG for a wrong
   number of operands. "--help" sets *ret_help. path: the command as typed. */
int options_parse(const struct command *command, const char *path, int argc,
		  char **argv, struct options *ret_options, bool *ret_help,
		  struct error *err);
void options_release(struct options *options);
/* Look-ups by long name; a name that is in no table is a bug and aborts. */
bool option_given(const struct options *options, const char *name);
bool option_flag(const struct options *options, const char *name);
const char *option_string(const struct options *options, const char *name);
/* "--platform" of what makes or pulls; without it DOCKER_DEFAULT_PLATFORM. */
const char *option_platform(const struct options *options);
int64_t option_number(const struct options *options, const char *name);
char *const *option_list(const struct options *options, const char *name);
/* "key=value" texts as an object, the last of a key; a key alone has "". */
cJSON *option_map(char *const *list);

/* help.c */
/* What stands for an option's value in help, NULL for a flag. */
const char *option_value_name(const struct option *option);
void help_overview(void);
void help_command(const struct command *command, const char *path);
void help_group(const char *group);
const char *help_group_summary(const char *group);

/* output.c: what the user sees. */
int command_fail(struct context *context, const struct error *err);
void report_error(const struct error *err);
void report_warning(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/* Dies as a program does that writes to a reader which has seen enough
   (`| head`): of SIGPIPE, without a word. */
_Noreturn void output_broken_pipe(void);
bool output_color(void); /* stdout is a terminal, NO_COLOR is not set */

/* Table with three or more blanks between columns, a column ten wide or more,
   as docker's. Cells are made printable. */
struct table {
	size_t column_min; /* 0: ten */
	char ***rows;	   /* each a strv */
	size_t count;
};
void table_add(struct table *table, char **row); /* takes row */
void table_print(const struct table *table);
void table_release(struct table *table);
