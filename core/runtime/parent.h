/* The parent's side of a conversation, for create.c and exec.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/runtime/init/protocol.h"
#include "core/runtime/runtime.h"

#define RUNTIME_PROCESS_EMPTY                                                  \
	{                                                                      \
		.pid_fd = -1, .console_fd = -1, .tap_fd = -1, .userns_fd = -1, \
		.netns_fd = -1, .notify_fd = -1, .sync_fd = -1,                \
	}

/* The joiner's packet: process becomes the one it cloned; it is reaped. */
int parent_adopt(struct runtime_process *process, struct error *err);
/* One that has no place: closes its descriptors; an error. */
int parent_refuse(const struct sync_message *message, const int *fds,
		  size_t count, struct error *err);
/*
 * SYNC_READY: takes the descriptors, gives the pipes of stdio (NULL: with a
 * terminal) to the program's user. 1, or an error.
 */
int parent_take_ready(struct runtime_process *process,
		      const struct sync_message *message, int *fds,
		      size_t count, const int stdio[3], struct error *err);
/*
 * Waits until the child has something to say. Once it is in a running container
 * that one's programs may stop or slow it, and the monitor has others to serve:
 * a stopped child is an error at once, a silent one after some seconds.
 */
int parent_await(const struct runtime_process *process, struct error *err);
/* runtime_start(), with or without parent_await(). */
int parent_start(struct runtime_process *process, bool impatient,
		 struct error *err);
/* Its two halves. The first may come as soon as there is a child, which takes
   the order when it has said that it is ready. */
struct parent_order {
	int sent; /* 0, or negative errno with err */
	struct error err;
};
struct parent_order parent_send_start(const struct runtime_process *process);
int parent_await_start(struct runtime_process *process, bool impatient,
		       const struct parent_order *order, struct error *err);
/* End of file where there should be none. */
int parent_child_died(struct runtime_process *process, struct error *err);
/* Kills and reaps what there is, releases the rest. */
void parent_abort(struct runtime_process *process);
