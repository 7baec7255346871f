/* Whiteouts and opaque directories of storage/tar/unpack.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/tar/unpack_internal.h"

#define XATTR_WHITEOUT "user.overlay.whiteout"
#define HAS_WHITEOUTS  "x" /* xattr whiteouts are to be looked for */

static int no_xattrs(const char *path, struct error *err)
{
	err_errno(err, "cannot mark directory \"%.128s\" opaque", path);
	if (err && (err->number == EOPNOTSUPP || err->number == EPERM))
		return err_hint(err, "the file system of the store needs "
				     "extended attributes (user.*); move it "
				     "with MOSS_ROOT");
	return err_return(err);
}

static int open_for_xattr(int parent_fd, const char *name)
{
	return openat(parent_fd, name,
		      O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

static bool has_mark(int fd, const char *name, const char *value)
{
	char buffer[4];
	ssize_t length = fgetxattr(fd, name, buffer, sizeof(buffer));

	return length == 1 && buffer[0] == *value;
}

static bool is_xattr_whiteout(int parent_fd, const char *name)
{
	cleanup_fd int fd = open_for_xattr(parent_fd, name);

	return fd >= 0 && has_mark(fd, XATTR_WHITEOUT, UNPACK_OPAQUE);
}

bool unpack_is_whiteout(int parent_fd, const char *name, const struct stat *st)
{
	if (S_ISCHR(st->st_mode))
		return st->st_rdev == makedev(0, 0);
	return S_ISREG(st->st_mode) && st->st_size == 0 &&
	       is_xattr_whiteout(parent_fd, name);
}

/* In an opaque directory there is nothing to hide, and none is looked for. */
static void remove_xattr_whiteouts(int fd)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0)
		return;
	dir = fdopendir(copy);
	if (!dir) {
		close_fd(&copy);
		return;
	}
	while ((entry = readdir(dir))) {
		if (is_xattr_whiteout(fd, entry->d_name))
			unlinkat(fd, entry->d_name, 0);
	}
}

int unpack_opaque_at(struct unpack *unpack, int parent_fd, const char *name,
		     const char *path, struct error *err)
{
	cleanup_fd int fd = -1;

	fd = openat(parent_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open directory \"%.128s\"", path);
	if (fsetxattr(fd, UNPACK_XATTR_OPAQUE, UNPACK_OPAQUE, 1, 0) < 0)
		return no_xattrs(path, err);
	if (unpack->marks == MARKS_XATTR)
		remove_xattr_whiteouts(fd);
	return 0;
}

int unpack_opaque(struct unpack *unpack, const char *path, struct error *err)
{
	cleanup_fd int fd = -1;
	int r;

	fd = path_mkdirs_in_root(unpack->root_fd, *path ? path : "/", 0755,
				 err);
	if (fd < 0)
		return fd;
	r = unpack_check_depth(fd, path, err);
	if (r < 0)
		return r;
	return unpack_opaque_at(unpack, fd, ".", path, err);
}

static bool kernel_has_xattr_whiteouts(void)
{
	unsigned int major = 0;
	unsigned int minor = 0;
	struct utsname name;

	return uname(&name) == 0 &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 7));
}

static int make_xattr_whiteout(int parent_fd, const char *name,
			       const char *path, struct error *err)
{
	cleanup_fd int dir_fd = -1;
	cleanup_fd int fd = -1;

	dir_fd = openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_errno(err, "cannot open the directory of \"%.128s\"",
				 path);
	if (has_mark(dir_fd, UNPACK_XATTR_OPAQUE, UNPACK_OPAQUE))
		return 0;
	fd = openat(parent_fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fsetxattr(fd, XATTR_WHITEOUT, UNPACK_OPAQUE, 1, 0) < 0 ||
	    fsetxattr(dir_fd, UNPACK_XATTR_OPAQUE, HAS_WHITEOUTS, 1, 0) < 0)
		return err_errno(err, "cannot make a whiteout of \"%.128s\"",
				 path);
	return 0;
}

static int make_whiteout(struct unpack *unpack, int parent_fd, const char *name,
			 const char *path, struct error *err)
{
	if (unpack->marks != MARKS_XATTR) {
		if (mknodat(parent_fd, name, S_IFCHR, makedev(0, 0)) == 0) {
			unpack->marks = MARKS_DEVICE;
			return 0;
		}
		if ((errno != EPERM && errno != EOPNOTSUPP) ||
		    unpack->marks == MARKS_DEVICE ||
		    !kernel_has_xattr_whiteouts()) {
			err_errno(err, "cannot make a whiteout of \"%.128s\"",
				  path);
			if (errno != EPERM)
				return err_return(err);
			return err_hint(err, "this needs kernel 5.8, and 6.7 "
					     "where the store's file system "
					     "has no device nodes");
		}
		unpack->marks = MARKS_XATTR;
	}
	return make_xattr_whiteout(parent_fd, name, path, err);
}

int unpack_whiteout(struct unpack *unpack, const char *path, struct error *err)
{
	const char *name;
	int parent_fd;
	struct stat st;
	int r = unpack_parent(unpack, path, &parent_fd, &name, err);

	if (r < 0)
		return r;
	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return err_errno(err, "cannot read \"%.128s\"", path);
		return make_whiteout(unpack, parent_fd, name, path, err);
	}
	/*
	 * A whiteout speaks of the lower layers only, wherever it stands in
	 * the archive: what this layer has of that name stays, and a directory
	 * must not show what lies below it.
	 */
	if (S_ISDIR(st.st_mode))
		return unpack_opaque_at(unpack, parent_fd, name, path, err);
	return 0;
}
