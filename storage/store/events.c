#include "storage/store/events.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/events_files.h"

#define OPEN_TRIES 8

cJSON *event_attributes(const char *name, ...)
{
	cJSON *attributes = json_object();
	va_list pairs;

	va_start(pairs, name);
	while (name) {
		const char *value = va_arg(pairs, const char *);

		if (value)
			json_set_string(attributes, name, value);
		name = va_arg(pairs, const char *);
	}
	va_end(pairs);
	return attributes;
}

static const char *attribute(const cJSON *attributes, const char *name)
{
	return cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(attributes, name));
}

/* Exactly: a double has no room for nanoseconds since the epoch. */
static void set_time(cJSON *event)
{
	struct timespec now;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	json_set_i64(event, "time", now.tv_sec);
	snprintf(text, sizeof(text), "%lld%09ld", (long long)now.tv_sec,
		 now.tv_nsec);
	json_set(event, "timeNano", cJSON_CreateRaw(text));
}

/* Takes attributes. */
static cJSON *event_json(const char *type, const char *action, const char *id,
			 cJSON *attributes)
{
	bool is_container = str_equal(type, EVENT_CONTAINER);
	cJSON *event = json_object();
	cJSON *actor = json_object();

	if (is_container || str_equal(type, EVENT_IMAGE)) {
		json_set_string(event, "status", action);
		json_set_string(event, "id", id);
	}
	if (is_container && attribute(attributes, "image"))
		json_set_string(event, "from", attribute(attributes, "image"));
	json_set_string(event, "Type", type);
	json_set_string(event, "Action", action);
	json_set_string(actor, "ID", id);
	json_set(actor, "Attributes", attributes ? attributes : json_object());
	json_set(event, "Actor", actor);
	json_set_string(event, "scope", "local");
	set_time(event);
	return event;
}

/* "\n{…}\n" of at most PIPE_BUF bytes, or NULL: it is too long by itself. */
static char *event_line(const cJSON *event, cJSON *attributes)
{
	for (;;) {
		cleanup_free char *text = json_print(event);
		int count = cJSON_GetArraySize(attributes);

		if (strlen(text) + 2 <= PIPE_BUF)
			return xasprintf("\n%s\n", text);
		if (count == 0)
			return NULL;
		cJSON_DeleteItemFromArray(attributes, count - 1);
	}
}

static int open_file(const struct store *store)
{
	const int flags =
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	const char *path = EVENTS_DIRECTORY "/" EVENTS_JOURNAL;
	int fd = openat(store->root_fd, path, flags, 0600);

	if (fd < 0 && errno == ENOENT &&
	    (mkdirat(store->root_fd, EVENTS_DIRECTORY, 0700) == 0 ||
	     errno == EEXIST))
		fd = openat(store->root_fd, path, flags, 0600);
	return fd;
}

static bool is_present(const struct store *store, int fd)
{
	const char *path = EVENTS_DIRECTORY "/" EVENTS_JOURNAL;
	struct stat opened, named;

	return fstat(fd, &opened) == 0 &&
	       fstatat(store->root_fd, path, &named, AT_SYMLINK_NOFOLLOW) ==
		       0 &&
	       opened.st_ino == named.st_ino;
}

/* To be written to: the present one, for as long as it is open. */
static int open_journal(const struct store *store)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		cleanup_fd int fd = open_file(store);

		if (fd < 0)
			return fd;
		/* Where there are no locks it is written without. */
		if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
			continue;
		if (is_present(store, fd))
			return steal_fd(&fd);
	}
	return open_file(store);
}

/* The file is full. Who finds it in use leaves that to the next one. */
static void turn(const struct store *store)
{
	cleanup_fd int dir_fd = openat(store->root_fd, EVENTS_DIRECTORY,
				       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int lock_fd = -1;
	cleanup_fd int fd = -1;
	struct stat status;

	if (dir_fd < 0)
		return;
	lock_fd = lock_open_at(dir_fd, "lock", LOCK_EXCLUSIVE, false, NULL);
	fd = openat(dir_fd, EVENTS_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (lock_fd < 0 || fd < 0 || fstat(fd, &status) < 0 ||
	    status.st_size < EVENTS_FILE_MAX)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK &&
	    status.st_size < 2 * (off_t)EVENTS_FILE_MAX)
		return;
	(void)renameat(dir_fd, EVENTS_JOURNAL, dir_fd, EVENTS_BEFORE);
}

void event_write(const struct store *store, const char *type,
		 const char *action, const char *id, cJSON *attributes)
{
	cleanup_json cJSON *event = event_json(type, action, id, attributes);
	cJSON *shown = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(event, "Actor"), "Attributes");
	cleanup_free char *line = event_line(event, shown);
	cleanup_fd int fd = -1;
	struct stat status;
	ssize_t written;
	bool is_full;

	if (!line)
		return;
	fd = open_journal(store);
	if (fd < 0)
		return;
	do
		written = write(fd, line, strlen(line));
	while (written < 0 && errno == EINTR);
	is_full = fstat(fd, &status) == 0 && status.st_size >= EVENTS_FILE_MAX;
	close_fd(&fd);
	if (is_full)
		turn(store);
}
