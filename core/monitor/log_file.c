#include "core/monitor/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"

/* RFC 1952: magic, deflate, a comment follows, no time, no system. */
static const char head[] = {0x1f, (char)0x8b, 8, 0x10, 0,
			    0,	  0,	      0, 0,    (char)255};
/* One empty block, its checksum and its size. */
static const char tail[] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 0};

#define COMMENT "moss log %" PRIu64 " %" PRId64

bool log_id_equal(const struct log_id *a, const struct log_id *b)
{
	return a->inode == b->inode && a->born_ns == b->born_ns;
}

void log_file_name(char ret_name[LOG_FILE_NAME_MAX], int index, bool packed)
{
	if (index == 0)
		snprintf(ret_name, LOG_FILE_NAME_MAX, "%s", LOG_NAME);
	else
		snprintf(ret_name, LOG_FILE_NAME_MAX, "%s.%d%s", LOG_NAME,
			 index, packed ? ".gz" : "");
}

static struct log_id id_of(int dir_fd, const char *name, int flags)
{
	struct log_id id = {0};
	struct statx st;

	if (statx(dir_fd, name, flags, STATX_INO | STATX_BTIME, &st) < 0)
		return id;
	id.inode = st.stx_ino;
	if (st.stx_mask & STATX_BTIME)
		id.born_ns = (int64_t)st.stx_btime.tv_sec * 1000000000 +
			     st.stx_btime.tv_nsec;
	return id;
}

struct log_id log_file_plain_id(int directory_fd, int index)
{
	char name[LOG_FILE_NAME_MAX];

	log_file_name(name, index, false);
	return id_of(directory_fd, name, AT_SYMLINK_NOFOLLOW);
}

/* One that was packed by somebody else is known by itself. */
static struct log_id packed_id(int fd)
{
	char text[LOG_PACK_HEAD_MAX] = "";
	struct log_id id;

	if (pread(fd, text, sizeof(text) - 1, 0) > (ssize_t)sizeof(head) &&
	    memcmp(text, head, sizeof(head)) == 0 &&
	    sscanf(text + sizeof(head), COMMENT, &id.inode, &id.born_ns) == 2)
		return id;
	return id_of(fd, "", AT_EMPTY_PATH);
}

static int open_file(int directory_fd, int index, bool packed,
		     struct error *err)
{
	char name[LOG_FILE_NAME_MAX];
	cleanup_fd int fd = -1;
	struct stat st;

	log_file_name(name, index, packed);
	fd = openat(directory_fd, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "cannot open %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERROR_CORRUPT, "%s is not a plain file",
			       name);
	return steal_fd(&fd);
}

struct log_id log_file_id(int directory_fd, int index)
{
	struct log_id id = log_file_plain_id(directory_fd, index);
	cleanup_fd int fd = -1;

	if (id.inode != 0 || index == 0)
		return id;
	fd = open_file(directory_fd, index, true, NULL);
	if (fd > 0)
		return packed_id(fd);
	fd = -1;
	return id;
}

/* gzip(1)'s, and no more memory than that for a log of any size. */
static int unpack(int directory_fd, int packed_fd, struct error *err)
{
	cleanup_fd int fd =
		openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *argv[] = {"gzip", "-dc", NULL};
	struct spawn spawn = {
		.path = "gzip",
		.argv = argv,
		.fd_count = 2,
		.die_with_parent = true,
	};
	pid_t pid;

	if (fd < 0)
		fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot make a temporary file");
	spawn.fds = (struct spawn_fd[]){{packed_fd, 0}, {fd, 1}};
	pid = proc_spawn(&spawn, err);
	if (pid < 0)
		return err_wrap(err, "cannot unpack a rotated log");
	if (proc_wait(pid) != 0)
		return err_set(
			err, ERROR_CORRUPT,
			"a rotated log cannot be unpacked (gzip -t tells "
			"more), or there is no room to do so");
	return steal_fd(&fd);
}

int log_file_open(int directory_fd, int index, struct log_id *ret_id,
		  struct error *err)
{
	cleanup_fd int packed_fd = -1;
	int fd = open_file(directory_fd, index, false, err);

	if (fd > 0)
		*ret_id = id_of(fd, "", AT_EMPTY_PATH);
	if (fd != 0 || index == 0)
		return fd;
	packed_fd = open_file(directory_fd, index, true, err);
	if (packed_fd <= 0) {
		fd = packed_fd;
		packed_fd = -1;
		return fd;
	}
	fd = unpack(directory_fd, packed_fd, err);
	if (fd >= 0)
		*ret_id = packed_id(packed_fd);
	return fd;
}

size_t log_pack_head(char out[LOG_PACK_HEAD_MAX], const struct log_id *id)
{
	size_t length = sizeof(head);

	memcpy(out, head, sizeof(head));
	/* With its NUL. */
	length += (size_t)snprintf(out + length,
				   LOG_PACK_HEAD_MAX - length - sizeof(tail),
				   COMMENT, id->inode, id->born_ns) +
		  1;
	memcpy(out + length, tail, sizeof(tail));
	return length + sizeof(tail);
}
