#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

#define READ_STEP_MIN  4096
#define LOCK_TRIES_MAX 64

int file_read_at(int dir_fd, const char *path, size_t max, char **ret_data,
		 size_t *ret_length, struct error *err)
{
	cleanup_fd int fd = -1;

	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	return file_read_fd(fd, path, max, ret_data, ret_length, err);
}

int file_read_fd(int fd, const char *name, size_t max, char **ret_data,
		 size_t *ret_length, struct error *err)
{
	cleanup_free char *data = NULL;
	size_t capacity = READ_STEP_MIN;
	size_t expected = SIZE_MAX;
	size_t length = 0;
	struct stat st;

	/* The size is a hint only: /proc says 0 and files grow. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		if ((uint64_t)st.st_size > max)
			return err_set(err, ERROR_INVALID,
				       "%s is larger than %zu bytes", name,
				       max);
		expected = (size_t)st.st_size;
		capacity = expected + 1;
	}
	for (;;) {
		ssize_t part;
		size_t room;

		/* One more than there may be, to see that there is more. */
		if (capacity > max)
			capacity = max + 1;
		data = xrealloc(data, capacity + 1, 1);
		room = capacity - length;
		part = read(fd, data + length, room);
		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return err_errno(err, "cannot read %s", name);
		if (part == 0)
			break;
		length += (size_t)part;
		if (length > max)
			return err_set(err, ERROR_INVALID,
				       "%s is larger than %zu bytes", name,
				       max);
		/* All there was to be, and no more came with it. */
		if (length >= expected && (size_t)part < room)
			break;
		if (length == capacity)
			capacity *= 2;
	}
	data[length] = '\0';
	*ret_data = steal_ptr(&data);
	if (ret_length)
		*ret_length = length;
	return 0;
}

int write_all(int fd, const void *data, size_t length)
{
	const char *at = data;

	while (length > 0) {
		ssize_t part = write(fd, at, length);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return -errno;
		at += part;
		length -= (size_t)part;
	}
	return 0;
}

static int write_temporary(int fd, const char *path, const void *data,
			   size_t length, mode_t mode, unsigned int flags,
			   struct error *err)
{
	int r;

	/* The mode is exact, whatever the umask. */
	if (fchmod(fd, mode) < 0)
		return err_errno(err, "cannot set the mode of %s", path);
	r = write_all(fd, data, length);
	if (r < 0)
		return err_number(err, r, "cannot write %s", path);
	if (!(flags & FILE_VOLATILE) && fsync(fd) < 0)
		return err_errno(err, "cannot sync %s", path);
	return 0;
}

int file_write_atomic_at(int dir_fd, const char *path, const void *data,
			 size_t length, mode_t mode, unsigned int flags,
			 struct error *err)
{
	cleanup_fd int parent_fd = -1;
	cleanup_fd int fd = -1;
	cleanup_free char *parent = NULL;
	char temporary[] = ".tmp-0123456789abcdef";
	const char *name = strrchr(path, '/');
	unsigned char random[8];
	int r;

	parent =
		name ? xstrndup(path, (size_t)(name - path + 1)) : xstrdup(".");
	name = name ? name + 1 : path;
	if (!*name)
		return err_number(err, EISDIR, "cannot write %s", path);
	parent_fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent_fd < 0)
		return err_errno(err, "cannot open the directory of %s", path);

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(err, "cannot get random bytes");
	hex_encode(temporary + strlen(".tmp-"), random, sizeof(random));
	fd = openat(parent_fd, temporary,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "cannot create a file beside %s", path);
	r = write_temporary(fd, path, data, length, mode, flags, err);
	if (r == 0 && renameat(parent_fd, temporary, parent_fd, name) < 0)
		r = err_errno(err, "cannot replace %s", path);
	if (r < 0) {
		unlinkat(parent_fd, temporary, 0);
		return r;
	}
	/* Some file systems cannot sync a directory; the file is whole. */
	if (!(flags & FILE_VOLATILE) && fsync(parent_fd) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the directory of %s", path);
	return 0;
}

int file_write_once_at(int dir_fd, const char *path, const char *text,
		       struct error *err)
{
	cleanup_fd int fd = -1;
	size_t length = strlen(text);
	ssize_t written;

	fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	do
		written = write(fd, text, length);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return err_errno(err, "cannot write %s", path);
	if ((size_t)written != length)
		return err_set(err, ERROR_GENERIC, "short write to %s", path);
	return 0;
}

/* 1 when fd is still what path names, 0 when it was removed or replaced. */
static int is_current(int dir_fd, const char *path, int fd)
{
	struct stat named;
	struct stat opened;

	if (fstat(fd, &opened) < 0)
		return -errno;
	if (fstatat(dir_fd, path, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* "lock" alone does not say whose: with the directory, where it is known. */
static int lock_open_failed(int dir_fd, const char *path, struct error *err)
{
	char link[PATH_FD_MAX];
	char directory[PATH_MAX];
	ssize_t length = -1;
	int number = errno;

	if (dir_fd >= 0) {
		path_of_fd(link, dir_fd);
		length = readlink(link, directory, sizeof(directory));
	}
	if (length <= 0 || (size_t)length >= sizeof(directory))
		return err_number(err, number, "cannot open lock %s", path);
	return err_number(err, number, "cannot open lock %.*s/%s", (int)length,
			  directory, path);
}

/* Where nothing may be written, a lock that is there can be shared. */
static int open_lock(int dir_fd, const char *path, enum lock_mode mode)
{
	const int flags = O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(dir_fd, path, O_RDWR | O_CREAT | flags, 0600);

	if (fd < 0 && errno == EROFS && mode == LOCK_SHARED) {
		fd = openat(dir_fd, path, O_RDONLY | flags);
		if (fd < 0)
			errno = EROFS;
	}
	return fd;
}

int lock_open_at(int dir_fd, const char *path, enum lock_mode mode, bool wait,
		 struct error *err)
{
	struct flock lock = {
		.l_type = mode == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
	};

	/* Between open and lock the holder may have removed the file. */
	for (int i = 0; i < LOCK_TRIES_MAX; i++) {
		cleanup_fd int fd = -1;
		int r;

		fd = open_lock(dir_fd, path, mode);
		if (fd < 0)
			return lock_open_failed(dir_fd, path, err);
		do
			r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
		while (r < 0 && errno == EINTR);
		if (r < 0 && (errno == EAGAIN || errno == EACCES))
			return -EAGAIN;
		if (r < 0)
			return err_errno(err, "cannot lock %s", path);
		r = is_current(dir_fd, path, fd);
		if (r < 0)
			return err_number(err, r, "cannot check lock %s", path);
		if (r > 0)
			return steal_fd(&fd);
	}
	return err_set(err, ERROR_CONFLICT, "lock %s is replaced all the time",
		       path);
}

int lock_is_held_at(int dir_fd, const char *path)
{
	cleanup_fd int fd = -1;
	/* Asking for a shared lock: only an exclusive one is in its way. */
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	fd = openat(dir_fd, path,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : 1;
}
