#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "core/monitor/log.h"
#include "core/monitor/log_file.h"
#include "core/monitor/log_line.h"

#define LINE_MAX_READ (1u << 20) /* longer ones are no log lines: skipped */
#define BUFFER_MIN    (128u << 10)
#define FIND_TRIES    16

struct log_reader {
	int directory_fd;
	int inotify_fd; /* -1: not following */
	int fd;		/* -1: no file yet */
	struct log_id id;
	off_t position; /* of what is read next into the buffer */
	struct log_reader_options options;
	/* Where a reader that does not follow ends. */
	struct log_id end_id;
	off_t end;
	bool skipping; /* within a line that is too long */
	char *buffer;
	size_t capacity, start, filled;
	struct log_clock clock;
	char *text; /* the decoded line */
	size_t text_capacity;
};

/* The number of the open file by now; -1 when rotation removed it. */
static int index_of_open(const struct log_reader *reader, int *ret_oldest)
{
	int found = -1;
	int oldest = -1;
	bool missing = false;

	for (int i = 0; i < INT_MAX; i++) {
		struct log_id id = log_file_id(reader->directory_fd, i);

		/* A rotation's gap, for a moment or since a kill. */
		if (id.inode == 0 && missing)
			break;
		missing = id.inode == 0;
		if (id.inode != 0)
			oldest = i;
		if (found < 0 && log_id_equal(&id, &reader->id))
			found = i;
	}
	*ret_oldest = oldest;
	return found;
}

static void use_file(struct log_reader *reader, int fd, const struct log_id *id)
{
	close_fd(&reader->fd);
	reader->fd = fd;
	reader->id = *id;
	reader->position = 0;
	reader->start = 0;
	reader->filled = 0;
	reader->skipping = false;
}

/* That of the number, or, when the gap is there, the one beyond. */
static int open_or_next(const struct log_reader *reader, int index, int step,
			struct log_id *ret_id, struct error *err)
{
	int fd = log_file_open(reader->directory_fd, index, ret_id, err);

	if (fd == 0 && index + step >= 0)
		fd = log_file_open(reader->directory_fd, index + step, ret_id,
				   err);
	return fd;
}

/* Opens the newest: 1, 0 when there is none yet. */
static int open_newest(struct log_reader *reader, struct error *err)
{
	struct log_id id;
	int fd = open_or_next(reader, 0, 1, &id, err);

	if (fd <= 0)
		return fd;
	use_file(reader, fd, &id);
	return 1;
}

/*
 * Goes to the next file: step 1 an older, -1 a newer one. 0 when there is none.
 * Names move while we look: the neighbour counts only if ours is still where it
 * was after the neighbour has been opened.
 */
static int open_neighbour(struct log_reader *reader, int step,
			  struct error *err)
{
	for (int i = 0; i < FIND_TRIES; i++) {
		int oldest;
		int index = index_of_open(reader, &oldest);
		/* Ours was removed: whatever is there is newer. */
		int target = index < 0 && step < 0 ? oldest : index + step;
		struct log_id id, still;
		int fd;

		if (target < 0 || target > oldest || (index < 0 && step > 0))
			return 0;
		fd = open_or_next(reader, target, step, &id, err);
		if (fd < 0)
			return fd;
		if (fd == 0)
			continue;
		still = log_file_id(reader->directory_fd, index);
		if (!log_id_equal(&id, &reader->id) &&
		    (index < 0 || log_id_equal(&still, &reader->id))) {
			use_file(reader, fd, &id);
			return 1;
		}
		close(fd);
	}
	return 0;
}

/*
 * Where the last `left` lines of the open file begin; *ret_left is what is
 * missing to that many.
 */
static int seek_back(struct log_reader *reader, int64_t left, int64_t *ret_left,
		     struct error *err)
{
	cleanup_free char *block = xrealloc(NULL, BUFFER_MIN, 1);
	off_t end = lseek(reader->fd, 0, SEEK_END);
	bool at_end = true;

	if (end < 0)
		return err_errno(err, "cannot read the log");
	while (end > 0) {
		size_t length =
			end < (off_t)BUFFER_MIN ? (size_t)end : BUFFER_MIN;
		const char *newline;
		ssize_t got;

		end -= (off_t)length;
		got = pread(reader->fd, block, length, end);
		if (got < 0)
			return err_errno(err, "cannot read the log");
		for (newline = block + got;
		     (newline = memrchr(block, '\n',
					(size_t)(newline - block)));) {
			/* A line begins after the end of the one before. */
			if (!at_end && --left == 0) {
				reader->position = end + (newline - block) + 1;
				*ret_left = 0;
				return 0;
			}
			at_end = false;
		}
	}
	reader->position = 0;
	*ret_left = at_end ? left : left - 1;
	return 0;
}

static int seek_tail(struct log_reader *reader, struct error *err)
{
	int64_t left = reader->options.tail;
	int r;

	if (left == 0) {
		reader->position = lseek(reader->fd, 0, SEEK_END);
		return reader->position < 0
			       ? err_errno(err, "cannot read the log")
			       : 0;
	}
	for (;;) {
		if (left > 0) {
			r = seek_back(reader, left, &left, err);
			if (r < 0)
				return r;
			if (left == 0)
				return 0;
		}
		r = open_neighbour(reader, 1, err);
		if (r <= 0)
			return r;
	}
}

static int watch(struct log_reader *reader, struct error *err)
{
	char path[PATH_FD_MAX];

	reader->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (reader->inotify_fd < 0) {
		err_errno(err, "cannot watch the log");
		if (errno == EMFILE)
			err_hint(err, "the limit is the sysctl "
				      "fs.inotify.max_user_instances");
		return err_return(err);
	}
	path_of_fd(path, reader->directory_fd);
	if (inotify_add_watch(reader->inotify_fd, path,
			      IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_errno(err, "cannot watch the log");
	return 0;
}

int log_reader_open(int directory_fd, const struct log_reader_options *options,
		    struct log_reader **ret_reader, struct error *err)
{
	struct log_reader *reader = xcalloc(1, sizeof(*reader));
	struct stat st;
	int r = 0;

	reader->fd = -1;
	reader->inotify_fd = -1;
	reader->options = *options;
	reader->directory_fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 0);
	if (reader->directory_fd < 0)
		r = err_errno(err, "cannot open the log");
	/* Before the first look, so that nothing falls in between. */
	if (r == 0 && options->follow)
		r = watch(reader, err);
	if (r == 0)
		r = open_newest(reader, err);
	if (r > 0) {
		if (fstat(reader->fd, &st) == 0)
			reader->end = st.st_size;
		reader->end_id = reader->id;
		r = seek_tail(reader, err);
	}
	if (r < 0) {
		log_reader_close(reader);
		return r;
	}
	*ret_reader = reader;
	return 0;
}

/* The next whole line of the buffer, without its "\n". */
static bool next_line(struct log_reader *reader, const char **ret_line,
		      size_t *ret_length)
{
	for (;;) {
		char *start = reader->buffer + reader->start;
		size_t left = reader->filled - reader->start;
		char *end = left > 0 ? memchr(start, '\n', left) : NULL;

		if (!end)
			return false;
		reader->start += (size_t)(end - start) + 1;
		if (reader->skipping) {
			reader->skipping = false;
			continue;
		}
		*ret_line = start;
		*ret_length = (size_t)(end - start);
		return true;
	}
}

/* Makes room behind what is left in the buffer. */
static void make_room(struct log_reader *reader)
{
	size_t left = reader->filled - reader->start;

	if (left > 0 && reader->start > 0)
		memmove(reader->buffer, reader->buffer + reader->start, left);
	reader->start = 0;
	reader->filled = left;
	if (reader->skipping || left >= LINE_MAX_READ) {
		reader->skipping = true;
		reader->filled = 0;
	}
	if (reader->filled == reader->capacity) {
		reader->capacity =
			reader->capacity ? 2 * reader->capacity : BUFFER_MIN;
		reader->buffer = xrealloc(reader->buffer, reader->capacity, 1);
	}
}

/* Reads on in the open file: 1, 0 at its end. */
static int fill(struct log_reader *reader, struct error *err)
{
	ssize_t got;
	size_t room;
	struct stat st;

	if (reader->fd < 0)
		return 0;
	make_room(reader);
	room = reader->capacity - reader->filled;
	if (!reader->options.follow &&
	    log_id_equal(&reader->id, &reader->end_id) &&
	    (off_t)room > reader->end - reader->position) {
		if (reader->position >= reader->end)
			return 0;
		room = (size_t)(reader->end - reader->position);
	}
	got = pread(reader->fd, reader->buffer + reader->filled, room,
		    reader->position);
	if (got < 0)
		return err_errno(err, "cannot read the log");
	if (got > 0) {
		reader->filled += (size_t)got;
		reader->position += got;
		return 1;
	}
	/* Someone truncated it (not the writer): what is there now is new. */
	if (fstat(reader->fd, &st) == 0 && st.st_size < reader->position) {
		reader->position = 0;
		reader->filled = 0;
		return st.st_size > 0 ? fill(reader, err) : 0;
	}
	return 0;
}

/* Empties inotify: 1 when anything had happened. */
static int drain_events(struct log_reader *reader)
{
	char events[4096]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	int seen = 0;

	if (reader->inotify_fd < 0)
		return 0;
	while (read(reader->inotify_fd, events, sizeof(events)) > 0)
		seen = 1;
	return seen;
}

/* Past the end of the open file: 1 when there is more to read. */
static int advance(struct log_reader *reader, struct error *err)
{
	struct log_id newest;
	int r;

	if (!reader->options.follow && reader->fd >= 0 &&
	    log_id_equal(&reader->id, &reader->end_id))
		return 0;
	if (reader->fd < 0 && !reader->options.follow)
		return 0;
	if (reader->fd < 0) {
		r = open_newest(reader, err);
		return r != 0 ? r : drain_events(reader);
	}
	newest = log_file_id(reader->directory_fd, 0);
	if (log_id_equal(&newest, &reader->id))
		return drain_events(reader);
	/* Rotated: its last lines may have come after our last look. */
	r = fill(reader, err);
	if (r != 0)
		return r;
	r = open_neighbour(reader, -1, err);
	return r != 0 ? r : drain_events(reader);
}

static bool time_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
				      : a->tv_nsec < b->tv_nsec;
}

static bool time_is_set(const struct timespec *time)
{
	return time->tv_sec != 0 || time->tv_nsec != 0;
}

static bool is_wanted(const struct log_reader_options *options,
		      const struct timespec *time)
{
	return (!time_is_set(&options->since) ||
		!time_before(time, &options->since)) &&
	       (!time_is_set(&options->until) ||
		!time_before(&options->until, time));
}

/* Does the line hold an entry that was asked for? */
static bool take_line(struct log_reader *reader, const char *line,
		      size_t length, struct log_entry *ret_entry)
{
	const struct log_reader_options *options = &reader->options;
	bool is_asked =
		time_is_set(&options->since) || time_is_set(&options->until);
	struct timespec time;

	/* What is passed over need not be decoded. Clocks are set forth and
	 * back, so that nothing tells what comes but a look at each line. */
	if (is_asked &&
	    log_line_time(line, length, &reader->clock, &time) == 0 &&
	    !is_wanted(options, &time))
		return false;
	if (length > reader->text_capacity) {
		reader->text_capacity =
			length < BUFFER_MIN ? BUFFER_MIN : length;
		free(reader->text);
		reader->text = xrealloc(NULL, reader->text_capacity, 1);
	}
	return log_line_decode(line, length, reader->text, &reader->clock,
			       ret_entry) == 0 &&
	       is_wanted(options, &ret_entry->time);
}

int log_reader_next(struct log_reader *reader, struct log_entry *ret_entry,
		    struct error *err)
{
	for (;;) {
		const char *line;
		size_t length;
		int r;

		if (next_line(reader, &line, &length)) {
			if (take_line(reader, line, length, ret_entry))
				return 1;
			continue;
		}
		r = fill(reader, err);
		if (r == 0)
			r = advance(reader, err);
		if (r <= 0)
			return r;
	}
}

int log_reader_fd(const struct log_reader *reader)
{
	return reader->inotify_fd;
}

void log_reader_close(struct log_reader *reader)
{
	if (!reader)
		return;
	close_fd(&reader->fd);
	close_fd(&reader->inotify_fd);
	close_fd(&reader->directory_fd);
	free(reader->buffer);
	free(reader->text);
	free(reader);
}
