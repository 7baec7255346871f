#include "net/resolv_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define NAME	    "resolv.conf"
#define PATH	    RESOLV_COPY_DIRECTORY "/" NAME

int resolv_copy_update(int store_fd, struct error *err)
{
	cleanup_free char *host = NULL;
	cleanup_free char *copy = NULL;
	size_t length = 0;
	size_t old = 0;
	int r;

	if (mkdirat(store_fd, RESOLV_COPY_DIRECTORY, 0755) < 0 &&
	    errno != EEXIST)
		return err_errno(err, "cannot make %s", RESOLV_COPY_DIRECTORY);
	r = file_read_at(AT_FDCWD, RESOLV_CONF, RESOLV_COPY_MAX, &host, &length,
			 err);
	if (r == -ENOENT) {
		if (unlinkat(store_fd, PATH, 0) < 0 && errno != ENOENT)
			return err_errno(err, "cannot remove %s", PATH);
		return 0;
	}
	if (r < 0)
		return r;
	r = file_read_at(store_fd, PATH, RESOLV_COPY_MAX, &copy, &old, NULL);
	if (r >= 0 && length == old && memcmp(host, copy, length) == 0)
		return 0;
	return file_write_atomic_at(store_fd, PATH, host, length, 0644, 0, err);
}

int resolv_watch_open(void)
{
	const uint32_t changes = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO |
				 IN_MOVED_FROM | IN_DELETE;
	cleanup_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, "/etc", changes | IN_ONLYDIR) < 0)
		return -errno;
	return steal_fd(&fd);
}

bool resolv_watch_read(int watch_fd)
{
	union {
		struct inotify_event event;
		char bytes[8 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	} buffer;
	bool changed = false;
	ssize_t length;

	while ((length = read(watch_fd, &buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < length;) {
			const struct inotify_event *event =
				(const void *)(buffer.bytes + at);

			/* Some were lost when the queue was full. */
			changed |= (event->mask & IN_Q_OVERFLOW) ||
				   (event->len > 0 &&
				    str_equal(event->name, NAME));
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return changed;
}
