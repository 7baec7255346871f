/* Content and attributes of one file, for storage/root/copy.c. */
#include "storage/root/copy_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

/* Extended attributes that are copied; the rest means nothing elsewhere. */
static const struct {
	const char *prefix;
	bool copied;
} xattr_rules[] = {
	{"user.overlay.", false},
	{"user.fuseoverlayfs.", false},
	{"user.", true},
	{"security.capability", true},
	{"system.posix_acl_access", true},
	{"system.posix_acl_default", true},
};

static bool is_zero(const char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/*
 * [from, to) by reading and writing; ends early where the source does. Zeros
 * need no writing into a new file: a FUSE file system may know of no holes.
 */
static int copy_by_hand(struct copy *copy, int in, int out, off_t from,
			off_t to)
{
	while (from < to) {
		size_t want = to - from < (off_t)COPY_BUFFER_SIZE
				      ? (size_t)(to - from)
				      : COPY_BUFFER_SIZE;
		ssize_t part = pread(in, copy->buffer, want, from);
		size_t done = 0;

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return part < 0 ? -errno : 0;
		while (done < (size_t)part &&
		       !is_zero(copy->buffer, (size_t)part)) {
			ssize_t written =
				pwrite(out, copy->buffer + done,
				       (size_t)part - done, from + (off_t)done);

			if (written < 0 && errno == EINTR)
				continue;
			if (written < 0)
				return -errno;
			done += (size_t)written;
		}
		from += part;
		copy->report.bytes += (size_t)part;
	}
	return 0;
}

/* As above by the kernel, which may share blocks. */
static int copy_range(struct copy *copy, int in, int out, off_t from, off_t to)
{
	off_t source = from;
	off_t target = from;

	while (source < to) {
		ssize_t part = copy_file_range(in, &source, out, &target,
					       (size_t)(to - source), 0);

		if (part < 0 && errno == EINTR)
			continue;
		/* Whatever it dislikes, disk full comes back by hand. */
		if (part <= 0)
			return copy_by_hand(copy, in, out, source, to);
		copy->report.bytes += (size_t)part;
	}
	return 0;
}

int copy_data(struct copy *copy, int in, int out, off_t size)
{
	off_t position = 0;

	while (position < size) {
		off_t from = lseek(in, position, SEEK_DATA);
		off_t to;
		int r;

		if (from < 0 && errno == ENXIO)
			break;
		/* No holes here. */
		if (from < 0)
			from = position;
		if (from >= size)
			break;
		to = lseek(in, from, SEEK_HOLE);
		if (to < 0 || to > size)
			to = size;
		/* A file that shrinks: no progress, nothing more to come. */
		if (to <= from)
			break;
		r = copy_range(copy, in, out, from, to);
		if (r < 0)
			return r;
		position = to;
	}
	return ftruncate(out, size) < 0 ? -errno : 0;
}

static bool is_copied(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(xattr_rules); i++) {
		if (str_starts(name, xattr_rules[i].prefix))
			return xattr_rules[i].copied;
	}
	return false;
}

static bool drops_setid(const struct copy *copy)
{
	return (copy->request->flags & COPY_DROP_SETID) != 0;
}

int copy_xattrs(struct copy *copy, int in, int out)
{
	char *value = copy->buffer + XATTR_LIST_MAX;
	const char *name = copy->buffer;
	ssize_t length = flistxattr(in, copy->buffer, XATTR_LIST_MAX);

	_Static_assert(COPY_BUFFER_SIZE >= XATTR_LIST_MAX + XATTR_SIZE_MAX,
		       "names and one value fit");
	if (length < 0)
		return errno == EOPNOTSUPP || errno == ENODATA ? 0 : -errno;
	for (; name < copy->buffer + length; name += strlen(name) + 1) {
		ssize_t size;

		if (!is_copied(name) ||
		    (drops_setid(copy) &&
		     str_equal(name, "security.capability")))
			continue;
		size = fgetxattr(in, name, value, XATTR_SIZE_MAX);
		if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
			continue;
		if (size < 0)
			return -errno;
		if (fsetxattr(out, name, value, (size_t)size, 0) < 0 &&
		    errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

static mode_t mode_of(const struct copy *copy, const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	/* On a directory they are no privilege. */
	if (drops_setid(copy) && !S_ISDIR(st->st_mode))
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	return mode;
}

static uid_t owner_uid(const struct copy *copy, const struct stat *st)
{
	return copy->request->owner ? copy->request->owner->uid : st->st_uid;
}

static gid_t owner_gid(const struct copy *copy, const struct stat *st)
{
	return copy->request->owner ? copy->request->owner->gid : st->st_gid;
}

int copy_attributes(struct copy *copy, int in, int out, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	int r;

	/* Owner first: a change clears set-uid bits and capabilities. */
	if (fchown(out, owner_uid(copy, st), owner_gid(copy, st)) < 0)
		return -errno;
	r = in >= 0 ? copy_xattrs(copy, in, out) : 0;
	if (r < 0)
		return r;
	if (fchmod(out, mode_of(copy, st)) < 0 || futimens(out, times) < 0)
		return -errno;
	return 0;
}

int copy_path_attributes(struct copy *copy, int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char path[PATH_FD_MAX];

	path_of_fd(path, fd);
	if (fchownat(fd, "", owner_uid(copy, st), owner_gid(copy, st),
		     AT_EMPTY_PATH) < 0)
		return -errno;
	if (!S_ISLNK(st->st_mode) && chmod(path, mode_of(copy, st)) < 0)
		return -errno;
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}
