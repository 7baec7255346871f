/*
 * Commands that do one thing to each of several containers: stop, restart,
 * kill, pause, unpause, rm, wait, and rename. Each operand is tried; the exit
 * code is 1 if any failed.
 */
#include "cmd/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/refused_options.h"

#define PARALLEL_MAX 64 /* containers stopped at once by one command */

/* clang-format off */
static const struct option stop_options[] = {
	{'s', "signal", OPTION_STRING, NULL, NULL, "Signal to send to the container", false},
	{'t', "timeout", OPTION_INT, NULL, NULL, "Seconds to wait before killing the container", false},
	{0, "time", OPTION_INT, NULL, NULL, "Seconds to wait before killing the container", true},
	{0},
};
static const struct option kill_options[] = {
	{'s', "signal", OPTION_STRING, NULL, "KILL", "Signal to send to the container", false},
	{0},
};
static const struct option rm_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Force the removal of a running container (uses SIGKILL)", false},
	{'v', "volumes", OPTION_FLAG, NULL, NULL, "Remove anonymous volumes associated with the container", false},
	{0},
};
/* clang-format on */

/* What is done to one container. */
typedef int (*container_action)(struct context *context, const char *id,
				const void *how, struct error *err);

/* What a command does to each of its operands. */
struct visit {
	container_action action;
	const void *how;
	bool may_be_missing; /* that is said, but is no failure */
	bool tells_itself;   /* the action prints; else the name is printed */
};

enum outcome { OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_MISSING };

static enum outcome act(struct context *context, const char *name,
			const struct visit *visit)
{
	struct error err = {0};
	char id[ID_TEXT_MAX];

	if (engine_container_resolve(&context->engine, name, id, &err) >= 0 &&
	    visit->action(context, id, visit->how, &err) >= 0)
		return OUTCOME_DONE;
	report_error(&err);
	return visit->may_be_missing && err.kind == ERROR_NOT_FOUND
		       ? OUTCOME_MISSING
		       : OUTCOME_FAILED;
}

/* The exit code that it adds to the command's. */
static int tell(enum outcome outcome, const char *name,
		const struct visit *visit)
{
	if (outcome == OUTCOME_DONE && !visit->tells_itself)
		printf("%s\n", name);
	return outcome != OUTCOME_DONE && outcome != OUTCOME_MISSING;
}

static int for_each(struct context *context, const struct options *options,
		    const struct visit *visit)
{
	int code = 0;

	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];

		code |= tell(act(context, name, visit), name, visit);
	}
	return code;
}

/*
 * One child a container: an action that waits must not keep the next waiting.
 * The names are told in the order that they were given.
 */
static int for_each_at_once(struct context *context,
			    const struct options *options,
			    const struct visit *visit)
{
	size_t count = strv_length(options->operands);
	cleanup_free pid_t *pids = NULL;
	size_t started = 0;
	int code = 0;

	if (count == 1)
		return for_each(context, options, visit);
	pids = xcalloc(count, sizeof(*pids));
	fflush(NULL);
	for (size_t i = 0; i < count; i++) {
		const char *name = options->operands[i];

		for (; started < count && started < i + PARALLEL_MAX;
		     started++) {
			pids[started] = fork();
			if (pids[started] == 0)
				_exit((int)act(context,
					       options->operands[started],
					       visit));
		}
		code |= tell(pids[i] < 0 ? act(context, name, visit)
					 : (enum outcome)proc_wait(pids[i]),
			     name, visit);
		fflush(stdout);
	}
	return code;
}

static int signal_option(const struct options *options, int *ret_signal,
			 struct error *err)
{
	const char *name = option_string(options, "signal");
	int number;

	if (!name) {
		*ret_signal = 0;
		return 0;
	}
	number = signal_from_name(name);
	if (number <= 0)
		return err_set(err, ERROR_INVALID, "invalid signal: %s", name);
	*ret_signal = number;
	return 0;
}

struct stop {
	int (*run)(struct engine *engine, const char *id, int signal,
		   int timeout_s, struct error *err);
	int signal;
	int timeout_s;
};

static int stop_one(struct context *context, const char *id, const void *how,
		    struct error *err)
{
	const struct stop *stop = how;

	return stop->run(&context->engine, id, stop->signal, stop->timeout_s,
			 err);
}

static int stop_all(struct context *context, const struct options *options,
		    struct stop stop)
{
	struct visit visit = {.action = stop_one, .how = &stop};
	struct error err = {0};

	stop.timeout_s = STOP_TIMEOUT_OWN;
	if (signal_option(options, &stop.signal, &err) < 0)
		return command_fail(context, &err);
	if (option_given(options, "time"))
		stop.timeout_s = (int)option_number(options, "time");
	if (option_given(options, "timeout"))
		stop.timeout_s = (int)option_number(options, "timeout");
	if (stop.timeout_s < 0 &&
	    (option_given(options, "timeout") || option_given(options, "time")))
		stop.timeout_s = INT32_MAX;
	return for_each_at_once(context, options, &visit);
}

static int stop_main(struct context *context, const struct options *options)
{
	return stop_all(context, options,
			(struct stop){.run = engine_container_stop});
}

static int restart_main(struct context *context, const struct options *options)
{
	return stop_all(context, options,
			(struct stop){.run = engine_container_restart});
}

/* A function of the engine's that needs to know no more. */
struct plain {
	int (*run)(struct engine *engine, const char *id, struct error *err);
};

static int plain_one(struct context *context, const char *id, const void *how,
		     struct error *err)
{
	const struct plain *plain = how;

	return plain->run(&context->engine, id, err);
}

static int pause_main(struct context *context, const struct options *options)
{
	static const struct plain plain = {engine_container_pause};
	struct visit visit = {.action = plain_one, .how = &plain};

	return for_each(context, options, &visit);
}

static int unpause_main(struct context *context, const struct options *options)
{
	static const struct plain plain = {engine_container_unpause};
	struct visit visit = {.action = plain_one, .how = &plain};

	return for_each(context, options, &visit);
}

static int kill_one(struct context *context, const char *id, const void *how,
		    struct error *err)
{
	return engine_container_kill(&context->engine, id, *(const int *)how,
				     err);
}

static int kill_main(struct context *context, const struct options *options)
{
	struct error err = {0};
	int number = SIGKILL;
	struct visit visit = {.action = kill_one, .how = &number};

	if (signal_option(options, &number, &err) < 0)
		return command_fail(context, &err);
	return for_each(context, options, &visit);
}

struct removal {
	bool force;
	bool volumes;
};

static int rm_one(struct context *context, const char *id, const void *how,
		  struct error *err)
{
	const struct removal *removal = how;

	return engine_container_remove(&context->engine, id, removal->force,
				       removal->volumes, err);
}

static int rm_main(struct context *context, const struct options *options)
{
	struct removal removal = {
		.force = option_flag(options, "force"),
		.volumes = option_flag(options, "volumes"),
	};
	struct visit visit = {
		.action = rm_one,
		.how = &removal,
		.may_be_missing = removal.force,
	};
	struct error err = {0};

	if (refused_options_check(options, &err) < 0)
		return command_fail(context, &err);
	return for_each_at_once(context, options, &visit);
}

static int wait_one(struct context *context, const char *id, const void *how,
		    struct error *err)
{
	int code;
	int r = engine_container_wait(&context->engine, id, &code, err);

	(void)how;
	if (r >= 0)
		printf("%d\n", code);
	return r;
}

static int wait_main(struct context *context, const struct options *options)
{
	struct visit visit = {.action = wait_one, .tells_itself = true};

	return for_each(context, options, &visit);
}

static int rename_main(struct context *context, const struct options *options)
{
	struct error err = {0};
	char id[ID_TEXT_MAX];

	if (engine_container_resolve(&context->engine, options->operands[0], id,
				     &err) < 0 ||
	    engine_container_rename(&context->engine, id, options->operands[1],
				    &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const stop_tables[] = {stop_options, NULL};
static const struct option *const kill_tables[] = {kill_options, NULL};
static const struct option *const rm_tables[] = {rm_options, refused_rm_options,
						 NULL};

const struct command command_stop = {
	.name = "stop",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop one or more running containers",
	.aliases = "moss container stop, moss stop",
	.options = stop_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = stop_main,
	.group = "Commands",
	.completes = "container-running",
};

const struct command command_restart = {
	.name = "restart",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Restart one or more containers",
	.aliases = "moss container restart, moss restart",
	.options = stop_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = restart_main,
	.group = "Commands",
	.completes = "container",
};

const struct command command_pause = {
	.name = "pause",
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Pause all processes within one or more containers",
	.aliases = "moss container pause, moss pause",
	.operands_min = 1,
	.operands_max = -1,
	.run = pause_main,
	.group = "Commands",
	.completes = "container-active",
};

const struct command command_unpause = {
	.name = "unpause",
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Unpause all processes within one or more containers",
	.aliases = "moss container unpause, moss unpause",
	.operands_min = 1,
	.operands_max = -1,
	.run = unpause_main,
	.group = "Commands",
	.completes = "container-paused",
};

const struct command command_kill = {
	.name = "kill",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Kill one or more running containers",
	.aliases = "moss container kill, moss kill",
	.options = kill_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = kill_main,
	.group = "Commands",
	.completes = "container-running",
};

const struct command command_rm = {
	.name = "rm",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove one or more containers",
	.aliases = "moss container rm, moss container remove, moss rm",
	.options = rm_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = rm_main,
	.group = "Commands",
	.completes = "container",
};

const struct command command_wait = {
	.name = "wait",
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Block until one or more containers stop, then print their "
		   "exit codes",
	.aliases = "moss container wait, moss wait",
	.operands_min = 1,
	.operands_max = -1,
	.run = wait_main,
	.group = "Commands",
	.completes = "container-running",
};

const struct command command_rename = {
	.name = "rename",
	.usage = "CONTAINER NEW_NAME",
	.summary = "Rename a container",
	.aliases = "moss container rename, moss rename",
	.operands_min = 2,
	.operands_max = 2,
	.run = rename_main,
	.group = "Commands",
	.completes = "container",
};
