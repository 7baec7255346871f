/*
 * moss __unpin: ends the process that keeps the user namespace, so that a test
 * or a removed account leaves nothing running. Hidden.
 */
#include "cmd/command.h"

#include <time.h>

#include "base/cleanup.h"
#include "cmd/commands.h"
#include "cmd/paths.h"
#include "policy/userns.h"

#define TRIES	 100
#define PAUSE_NS 20000000

static int unpin_main(struct context *context, const struct options *options)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct identity identity;
	struct error err = {0};
	cleanup_fd int run_fd = -1;
	int r;

	(void)options;
	if (userns_identity(&identity, NULL, &err) < 0)
		return command_fail(context, &err);
	run_fd = path_run_open(identity.uid, &err);
	if (run_fd < 0)
		return command_fail(context, &err);
	/* The monitor of a container just removed may still be on its way out.
	 */
	for (int i = 0; i < TRIES; i++) {
		r = userns_unpin(run_fd, &err);
		if (r >= 0)
			return 0;
		if (err.kind != ERROR_CONFLICT)
			break;
		nanosleep(&pause, NULL);
	}
	return command_fail(context, &err);
}

const struct command command_unpin = {
	.name = "__unpin",
	.usage = "",
	.summary = "End the process that keeps the user namespace",
	.no_engine = true,
	.hidden = true,
	.run = unpin_main,
	.group = "Internal",
};
