/*
 * The event loop of the long-lived processes: epoll with descriptors, timers,
 * signals and children, single-threaded, level-triggered. A callback may add or
 * remove any source, its own included.
 */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include "base/error.h"

struct loop;
struct loop_source;

typedef void (*loop_fd_callback)(struct loop_source *source, int fd,
				 uint32_t events, void *data);
typedef void (*loop_timer_callback)(struct loop_source *source, void *data);
typedef void (*loop_signal_callback)(struct loop_source *source,
				     const struct signalfd_siginfo *info,
				     void *data);

int loop_new(struct loop **ret_loop, struct error *err);
void loop_free(struct loop *loop); /* frees its sources; fds stay open */

/* The caller keeps the fd and must remove the source before closing it. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events,
		loop_fd_callback callback, void *data,
		struct loop_source **ret_source, struct error *err);
int loop_set_events(struct loop_source *source, uint32_t events);

/* One shot after delay_ms; loop_timer_set() arms again, negative disarms. */
int loop_add_timer(struct loop *loop, int64_t delay_ms,
		   loop_timer_callback callback, void *data,
		   struct loop_source **ret_source, struct error *err);
int loop_timer_set(struct loop_source *source, int64_t delay_ms);

/* Blocks the signal in the process and delivers it as an event. */
int loop_add_signal(struct loop *loop, int signal,
		    loop_signal_callback callback, void *data,
		    struct loop_source **ret_source, struct error *err);

void loop_remove(struct loop_source *source); /* NULL is fine */

/* Runs until loop_stop(); returns the value given there or negative errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int value);
