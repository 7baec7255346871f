#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define EVENTS_MAX   32
#define NS_PER_MS    1000000
#define TIMER_OFF    INT64_MAX
#define DELAY_MAX_MS (365ll * 24 * 3600 * 1000)

enum source_type { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL };

struct loop_source {
	struct loop *loop;
	struct loop_source *next;
	struct loop_source **link; /* what points here */
	enum source_type type;
	int fd; /* a signal's is our own */
	uint32_t events;
	/* epoll refuses plain files and /dev/null: they are always ready. */
	bool always_ready;
	bool removed;	  /* freed once no event can name it any more */
	int64_t deadline; /* CLOCK_MONOTONIC, ns */
	void *data;
	union {
		loop_fd_callback fd;
		loop_timer_callback timer;
		loop_signal_callback signal;
	} callback;
};

struct loop {
	int epoll_fd;
	struct loop_source *sources;
	struct loop_source *removed;
	bool stopped;
	int value;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

static void list_add(struct loop_source **list, struct loop_source *source)
{
	source->next = *list;
	source->link = list;
	if (source->next)
		source->next->link = &source->next;
	*list = source;
}

static void list_remove(struct loop_source *source)
{
	*source->link = source->next;
	if (source->next)
		source->next->link = source->link;
}

static void free_removed(struct loop *loop)
{
	while (loop->removed) {
		struct loop_source *source = loop->removed;

		list_remove(source);
		free(source);
	}
}

int loop_new(struct loop **ret_loop, struct error *err)
{
	struct loop *loop;
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "cannot make an event loop");
	loop = xcalloc(1, sizeof(*loop));
	loop->epoll_fd = fd;
	*ret_loop = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->sources)
		loop_remove(loop->sources);
	free_removed(loop);
	close_fd(&loop->epoll_fd);
	free(loop);
}

static struct loop_source *source_new(struct loop *loop, enum source_type type,
				      void *data)
{
	struct loop_source *source = xcalloc(1, sizeof(*source));

	source->loop = loop;
	source->type = type;
	source->fd = -1;
	source->deadline = TIMER_OFF;
	source->data = data;
	list_add(&loop->sources, source);
	return source;
}

static void source_free(struct loop_source *source)
{
	list_remove(source);
	free(source);
}

static int watch(struct loop_source *source, int operation)
{
	struct epoll_event event = {
		.events = source->events,
		.data.ptr = source,
	};

	if (epoll_ctl(source->loop->epoll_fd, operation, source->fd, &event) <
	    0)
		return -errno;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events,
		loop_fd_callback callback, void *data,
		struct loop_source **ret_source, struct error *err)
{
	struct loop_source *source = source_new(loop, SOURCE_FD, data);
	int r;

	source->fd = fd;
	source->events = events;
	source->callback.fd = callback;
	r = watch(source, EPOLL_CTL_ADD);
	if (r == -EPERM) {
		source->always_ready = true;
	} else if (r < 0) {
		source_free(source);
		return err_number(err, r, "cannot watch descriptor %d", fd);
	}
	if (ret_source)
		*ret_source = source;
	return 0;
}

int loop_set_events(struct loop_source *source, uint32_t events)
{
	uint32_t before;
	int r;

	if (source->type != SOURCE_FD || source->removed)
		return -EINVAL;
	if (source->events == events)
		return 0;
	before = source->events;
	source->events = events;
	r = source->always_ready ? 0 : watch(source, EPOLL_CTL_MOD);
	/* The next call is not to believe that it is done. */
	if (r < 0)
		source->events = before;
	return r;
}

int loop_add_timer(struct loop *loop, int64_t delay_ms,
		   loop_timer_callback callback, void *data,
		   struct loop_source **ret_source, struct error *err)
{
	struct loop_source *source = source_new(loop, SOURCE_TIMER, data);

	source->callback.timer = callback;
	loop_timer_set(source, delay_ms);
	if (ret_source)
		*ret_source = source;
	return 0;
}

int loop_timer_set(struct loop_source *source, int64_t delay_ms)
{
	if (source->type != SOURCE_TIMER || source->removed)
		return -EINVAL;
	if (delay_ms > DELAY_MAX_MS)
		delay_ms = DELAY_MAX_MS;
	source->deadline =
		delay_ms < 0 ? TIMER_OFF : now_ns() + delay_ms * NS_PER_MS;
	return 0;
}

int loop_add_signal(struct loop *loop, int signal,
		    loop_signal_callback callback, void *data,
		    struct loop_source **ret_source, struct error *err)
{
	struct loop_source *source;
	sigset_t mask;
	int fd;
	int r;

	sigemptyset(&mask);
	if (sigaddset(&mask, signal) < 0)
		return err_errno(err, "cannot watch signal %d", signal);
	/* Stays blocked for good: unblocking would let a late one strike. */
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return err_errno(err, "cannot block %s", strsignal(signal));
	fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_errno(err, "cannot watch %s", strsignal(signal));

	source = source_new(loop, SOURCE_SIGNAL, data);
	source->fd = fd;
	source->events = EPOLLIN;
	source->callback.signal = callback;
	r = watch(source, EPOLL_CTL_ADD);
	if (r < 0) {
		source_free(source);
		close_fd(&fd);
		return err_number(err, r, "cannot watch %s", strsignal(signal));
	}
	if (ret_source)
		*ret_source = source;
	return 0;
}

void loop_remove(struct loop_source *source)
{
	if (!source || source->removed)
		return;
	if (source->fd >= 0 && !source->always_ready)
		watch(source, EPOLL_CTL_DEL);
	if (source->type == SOURCE_SIGNAL)
		close_fd(&source->fd);
	source->removed = true;
	list_remove(source);
	list_add(&source->loop->removed, source);
}

static void dispatch(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	if (source->removed)
		return;
	switch (source->type) {
	case SOURCE_FD:
		source->callback.fd(source, source->fd, events, source->data);
		break;
	case SOURCE_TIMER:
		source->deadline = TIMER_OFF;
		source->callback.timer(source, source->data);
		break;
	case SOURCE_SIGNAL:
		if (read(source->fd, &info, sizeof(info)) == sizeof(info))
			source->callback.signal(source, &info, source->data);
		break;
	}
}

/* Milliseconds until something is due, rounded up; -1 for never. */
static int next_timeout(const struct loop *loop)
{
	int64_t first = TIMER_OFF;
	int64_t wait;

	for (const struct loop_source *source = loop->sources; source;
	     source = source->next) {
		if (source->always_ready && source->events)
			return 0;
		if (source->deadline < first)
			first = source->deadline;
	}
	if (first == TIMER_OFF)
		return -1;
	wait = first - now_ns();
	if (wait <= 0)
		return 0;
	wait = (wait + NS_PER_MS - 1) / NS_PER_MS;
	return wait > INT_MAX ? INT_MAX : (int)wait;
}

/* Earliest first; those set by a callback meanwhile wait for the next turn. */
static void dispatch_timers(struct loop *loop)
{
	int64_t now = now_ns();

	while (!loop->stopped) {
		struct loop_source *due = NULL;

		for (struct loop_source *source = loop->sources; source;
		     source = source->next) {
			if (source->deadline < (due ? due->deadline : now))
				due = source;
		}
		if (!due)
			return;
		dispatch(due, 0);
	}
}

/* The list changes under the callbacks, so the ready ones are noted first. */
static void dispatch_always_ready(struct loop *loop)
{
	cleanup_free struct loop_source **ready = NULL;
	size_t count = 0;

	for (struct loop_source *source = loop->sources; source;
	     source = source->next) {
		if (!source->always_ready || !source->events)
			continue;
		ready = xrealloc(ready, count + 1,
				 sizeof(struct loop_source *));
		ready[count++] = source;
	}
	for (size_t i = 0; i < count && !loop->stopped; i++)
		dispatch(ready[i], ready[i]->events & (EPOLLIN | EPOLLOUT));
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];

	while (!loop->stopped) {
		int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX,
				       next_timeout(loop));

		if (count < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < count && !loop->stopped; i++)
			dispatch(events[i].data.ptr, events[i].events);
		dispatch_always_ready(loop);
		dispatch_timers(loop);
		free_removed(loop);
	}
	loop->stopped = false;
	free_removed(loop);
	return loop->value;
}

void loop_stop(struct loop *loop, int value)
{
	loop->stopped = true;
	loop->value = value;
}
