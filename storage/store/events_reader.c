#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/events.h"
#include "storage/store/events_files.h"

#define BUFFER_SIZE (64u << 10)
#define OPEN_TRIES  16
#define TIME_MEMBER ",\"timeNano\":"

struct event_reader {
	int dir_fd;
	int notify_fd;
	int before_fd; /* read first; -1: read */
	int fd;	       /* -1: there is none yet */
	/* Of the file that is being read; start..end was not given out yet. */
	char *buffer; /* BUFFER_SIZE */
	size_t start, end;
};

static int open_file(const struct event_reader *reader, const char *name)
{
	return openat(reader->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Is fd what is called journal now? */
static bool is_present(const struct event_reader *reader, int fd)
{
	struct stat open_status, status;

	if (fstatat(reader->dir_fd, EVENTS_JOURNAL, &status, 0) < 0)
		return fd < 0;
	return fd >= 0 && fstat(fd, &open_status) == 0 &&
	       status.st_ino == open_status.st_ino;
}

/* Again when the files were turned in between. */
static void open_files(struct event_reader *reader)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		close_fd(&reader->fd);
		close_fd(&reader->before_fd);
		reader->fd = open_file(reader, EVENTS_JOURNAL);
		reader->before_fd = open_file(reader, EVENTS_BEFORE);
		if (is_present(reader, reader->fd))
			return;
	}
}

static int watch(const struct store *store, struct event_reader *reader,
		 struct error *err)
{
	cleanup_free char *path =
		xasprintf("%s/" EVENTS_DIRECTORY, store->path);

	reader->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (reader->notify_fd < 0)
		return err_errno(err, "cannot follow events");
	if (inotify_add_watch(reader->notify_fd, path,
			      IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_errno(err, "cannot watch %s", path);
	return 0;
}

int event_reader_open(const struct store *store, enum event_position position,
		      struct event_reader **ret_reader, struct error *err)
{
	struct event_reader *reader = xcalloc(1, sizeof(*reader));
	int r;

	reader->notify_fd = reader->before_fd = reader->fd = -1;
	reader->buffer = xrealloc(NULL, BUFFER_SIZE, 1);
	reader->dir_fd = openat(store->root_fd, EVENTS_DIRECTORY,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reader->dir_fd < 0 && errno == ENOENT &&
	    (mkdirat(store->root_fd, EVENTS_DIRECTORY, 0700) == 0 ||
	     errno == EEXIST))
		reader->dir_fd = openat(store->root_fd, EVENTS_DIRECTORY,
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = reader->dir_fd < 0
		    ? err_errno(err, "cannot open %s/" EVENTS_DIRECTORY,
				store->path)
		    : watch(store, reader, err);
	if (r < 0) {
		event_reader_close(reader);
		return r;
	}
	open_files(reader);
	if (position == EVENTS_NEW) {
		if (reader->before_fd >= 0)
			lseek(reader->before_fd, 0, SEEK_END);
		if (reader->fd >= 0)
			lseek(reader->fd, 0, SEEK_END);
	}
	*ret_reader = reader;
	return 0;
}

void event_reader_close(struct event_reader *reader)
{
	if (!reader)
		return;
	close_fd(&reader->notify_fd);
	close_fd(&reader->before_fd);
	close_fd(&reader->fd);
	close_fd(&reader->dir_fd);
	free(reader->buffer);
	free(reader);
}

/* The time of what has the form of an event. */
static bool line_time(const char *line, int64_t *ret_time_ns)
{
	const char *member = NULL;
	char *end;

	for (const char *at = line; (at = strstr(at, TIME_MEMBER)); at++)
		member = at;
	if (*line != '{' || !member)
		return false;
	member += strlen(TIME_MEMBER);
	errno = 0;
	*ret_time_ns = strtoll(member, &end, 10);
	return end != member && errno == 0 && str_equal(end, "}");
}

/* A whole line of what was read: 1, 0. */
static int take_line(struct event_reader *reader, const char **ret_line,
		     int64_t *ret_time_ns)
{
	while (reader->start < reader->end) {
		char *line = reader->buffer + reader->start;
		char *newline = memchr(line, '\n', reader->end - reader->start);

		if (!newline)
			return 0;
		*newline = '\0';
		reader->start = (size_t)(newline - reader->buffer) + 1;
		if (line_time(line, ret_time_ns)) {
			*ret_line = line;
			return 1;
		}
	}
	return 0;
}

/* More from fd: bytes, 0 at its end. */
static ssize_t fill(struct event_reader *reader, int fd, struct error *err)
{
	size_t kept = reader->end - reader->start;
	ssize_t length;

	/* A line of this length is nobody's. */
	if (kept == BUFFER_SIZE)
		kept = 0;
	memmove(reader->buffer, reader->buffer + reader->start, kept);
	reader->start = 0;
	reader->end = kept;
	do
		length = read(fd, reader->buffer + kept, BUFFER_SIZE - kept);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return err_errno(err, "cannot read events");
	reader->end += (size_t)length;
	return length;
}

static bool is_same(int a, int b)
{
	struct stat first, second;

	return a >= 0 && b >= 0 && fstat(a, &first) == 0 &&
	       fstat(b, &second) == 0 && first.st_ino == second.st_ino;
}

/*
 * Goes over to what comes after a file that was read to its end: 1, or 0 when
 * there is nothing yet. A file that was turned away is read once more, for what
 * was written until then. It is held until its successors are open, so that no
 * other file is taken for it.
 */
static int next_file(struct event_reader *reader)
{
	cleanup_fd int finished = -1;

	if (reader->before_fd < 0 && reader->fd >= 0) {
		if (is_present(reader, reader->fd))
			return 0;
		reader->before_fd = steal_fd(&reader->fd);
		return 1;
	}
	if (reader->fd < 0 && is_present(reader, -1))
		return 0;
	finished = steal_fd(&reader->before_fd);
	reader->start = reader->end = 0;
	if (reader->fd < 0) {
		open_files(reader);
		if (is_same(finished, reader->before_fd))
			close_fd(&reader->before_fd);
	}
	return reader->fd >= 0 || reader->before_fd >= 0;
}

static void clear_notices(struct event_reader *reader)
{
	char notices[4096];

	while (read(reader->notify_fd, notices, sizeof(notices)) > 0)
		;
}

int event_reader_next(struct event_reader *reader, const char **ret_line,
		      int64_t *ret_time_ns, struct error *err)
{
	bool is_clear = false;

	while (!take_line(reader, ret_line, ret_time_ns)) {
		int fd =
			reader->before_fd >= 0 ? reader->before_fd : reader->fd;
		ssize_t r = fd >= 0 ? fill(reader, fd, err) : 0;

		if (r < 0)
			return (int)r;
		if (r > 0 || next_file(reader))
			continue;
		/* What comes after this look will be told. */
		if (is_clear)
			return 0;
		clear_notices(reader);
		is_clear = true;
	}
	return 1;
}

int event_reader_fd(const struct event_reader *reader)
{
	return reader->notify_fd;
}
