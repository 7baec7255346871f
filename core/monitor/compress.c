/*
 * Log option "compress": rotated files are packed, one at a time, the oldest
 * first, while the container goes on. gzip(1) does it, niced, as a child of
 * nobody: it is no process of the container's. When it says that it was done
 * well, the new file takes the place of the old one, which may have got another
 * number meanwhile, or have gone. Only then is the old one removed: whoever is
 * killed at whatever moment leaves all lines, and at most one file that is
 * packed again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/log_file.h"
#include "core/monitor/monitor.h"

#define PART LOG_NAME ".gz.part"
#define DONE '+'

static int directory_of(const struct monitor *monitor)
{
	return monitor->record.directory_fd;
}

static void replace(const struct monitor *monitor)
{
	char plain[LOG_FILE_NAME_MAX];
	char packed[LOG_FILE_NAME_MAX];
	int dir_fd = directory_of(monitor);

	for (int i = 1; i < monitor->launch.log.max_file; i++) {
		struct log_id id = log_file_plain_id(dir_fd, i);

		if (!log_id_equal(&id, &monitor->packed_id))
			continue;
		log_file_name(plain, i, false);
		log_file_name(packed, i, true);
		if (renameat(dir_fd, PART, dir_fd, packed) == 0)
			unlinkat(dir_fd, plain, 0);
		return;
	}
	/* Rotation has removed it. */
	unlinkat(dir_fd, PART, 0);
}

static void on_packed(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct monitor *monitor = data;
	struct error err = {0};
	char word = 0;
	ssize_t length = read(fd, &word, sizeof(word));

	compress_release(monitor);
	if (length == 1 && word == DONE) {
		replace(monitor);
		compress_next(monitor);
		return;
	}
	unlinkat(directory_of(monitor), PART, 0);
	err_set(&err, ERROR_GENERIC,
		"a rotated log stays as it is: gzip failed (is it installed, "
		"and is there room?)");
	monitor_note(monitor, &err);
}

/* The oldest plain one; 0: there is none. */
static int find_plain(const struct monitor *monitor, struct log_id *ret_id)
{
	for (int i = monitor->launch.log.max_file - 1; i > 0; i--) {
		*ret_id = log_file_plain_id(directory_of(monitor), i);
		if (ret_id->inode != 0)
			return i;
	}
	return 0;
}

static int open_part(const struct monitor *monitor, const struct log_id *id,
		     struct error *err)
{
	char head[LOG_PACK_HEAD_MAX];
	cleanup_fd int fd = -1;
	int r;

	/* Somebody of a killed monitor may still write to an old one. */
	unlinkat(directory_of(monitor), PART, 0);
	fd = openat(directory_of(monitor), PART,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_errno(err, "cannot make %s", PART);
	r = write_all(fd, head, log_pack_head(head, id));
	return r < 0 ? err_number(err, r, "cannot write %s", PART)
		     : steal_fd(&fd);
}

static int start(struct monitor *monitor, int index, struct error *err)
{
	char *argv[] = {"sh", "-c",
			"nice -n 10 gzip -c && { sync /dev/fd/1 || sync; } && "
			"printf + >&3",
			NULL};
	struct spawn spawn = {
		.path = "sh", .argv = argv, .fd_count = 3, .new_session = true};
	cleanup_fd int from_fd = -1;
	cleanup_fd int to_fd = open_part(monitor, &monitor->packed_id, err);
	cleanup_fd int told_fd = -1;
	struct log_id id;
	int pipe_fds[2];
	int r;

	if (to_fd < 0)
		return to_fd;
	from_fd = log_file_open(directory_of(monitor), index, &id, err);
	if (from_fd <= 0)
		return from_fd;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	monitor->packed_fd = pipe_fds[0];
	told_fd = pipe_fds[1];
	spawn.fds = (struct spawn_fd[]){{from_fd, 0}, {to_fd, 1}, {told_fd, 3}};
	r = proc_spawn_orphan(&spawn, err);
	return r < 0 ? r
		     : loop_add_fd(monitor->loop, monitor->packed_fd, EPOLLIN,
				   on_packed, monitor, &monitor->packed_source,
				   err);
}

void compress_next(struct monitor *monitor)
{
	struct error err = {0};
	int index;

	if (!monitor->launch.log.compress || monitor->packed_fd >= 0)
		return;
	index = find_plain(monitor, &monitor->packed_id);
	if (index == 0 || start(monitor, index, &err) >= 0)
		return;
	compress_release(monitor);
	err_wrap(&err, "a rotated log stays as it is");
	monitor_note(monitor, &err);
}

void compress_release(struct monitor *monitor)
{
	loop_remove(monitor->packed_source);
	monitor->packed_source = NULL;
	close_fd(&monitor->packed_fd);
}
