/* The directories that entries lie in, of storage/tar/unpack.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/tar/unpack_internal.h"

#define XATTR_DEFAULT_ACL "system.posix_acl_default"

void unpack_start_parents(struct unpack *unpack)
{
	/* A default ACL, handed down to all that is made below, changes the
	   modes that files are made with. */
	unpack->plain_possible =
		geteuid() == 0 && getegid() == 0 &&
		fgetxattr(unpack->root_fd, XATTR_DEFAULT_ACL, NULL, 0) <= 0;
	for (size_t i = 0; i < UNPACK_PARENTS; i++)
		unpack->parents[i].fd = -1;
}

void unpack_forget_parents(struct unpack *unpack)
{
	unpack->stale = false;
	for (size_t i = 0; i < UNPACK_PARENTS; i++) {
		free(steal_ptr(&unpack->parents[i].path));
		close_fd(&unpack->parents[i].fd);
	}
}

/*
 * Does what is made there belong to 0:0? Not where it gets the directory's
 * group, by its set-group-ID bit or by the file system's rule (grpid).
 */
static bool is_plain(const struct unpack *unpack, int fd)
{
	struct stat st;

	return unpack->plain_possible && fstat(fd, &st) == 0 &&
	       st.st_gid == 0 && !(st.st_mode & S_ISGID);
}

/*
 * A parent that is a whiteout so far: the archive hides the lower one and puts
 * something into a new one without an entry for it.
 */
static int replace_whiteout(struct unpack *unpack, const char *parent,
			    struct error *err)
{
	cleanup_free char *path = xstrdup(parent);

	for (char *end = path; *end;) {
		cleanup_free char *name = NULL;
		cleanup_fd int fd = -1;
		struct stat st;
		char *slash;
		char kept;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		kept = *end;
		*end = '\0';
		slash = strrchr(path, '/');
		name = xstrdup(slash ? slash + 1 : path);
		if (slash)
			*slash = '\0';
		fd = path_open_in_root(unpack->root_fd, slash ? path : "/",
				       O_PATH | O_DIRECTORY, 0);
		if (slash)
			*slash = '/';
		if (fd < 0)
			return 0;
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    unpack_is_whiteout(fd, name, &st)) {
			if (unlinkat(fd, name, 0) < 0 ||
			    mkdirat(fd, name, 0755) < 0)
				return err_errno(err,
						 "cannot make directory "
						 "\"%.128s\"",
						 path);
			return unpack_opaque_at(unpack, fd, name, path, err);
		}
		*end = kept;
	}
	return 0;
}

static int open_parent(struct unpack *unpack, const char *parent,
		       struct error *err)
{
	int fd = path_open_in_root(unpack->root_fd, parent,
				   O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOTDIR) {
		int r = replace_whiteout(unpack, parent, err);

		if (r < 0)
			return r;
	}
	return fd >= 0 ? fd
		       : path_mkdirs_in_root(unpack->root_fd, parent, 0755,
					     err);
}

int unpack_check_depth(int fd, const char *path, struct error *err)
{
	char link[PATH_FD_MAX];
	char real[PATH_MAX];
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, real, sizeof(real));
	if (length < 0 ? errno != ENAMETOOLONG : (size_t)length < sizeof(real))
		return 0;
	return err_set(err, ERROR_INVALID,
		       "\"%.128s\" leads too many directories deep", path);
}

static struct unpack_parent *find_parent(struct unpack *unpack,
					 const char *path, size_t length)
{
	for (size_t i = 0; i < UNPACK_PARENTS; i++) {
		struct unpack_parent *parent = &unpack->parents[i];

		if (parent->path && parent->length == length &&
		    memcmp(parent->path, path, length) == 0)
			return parent;
	}
	return NULL;
}

static int add_parent(struct unpack *unpack, const char *path, size_t length,
		      struct unpack_parent **ret_parent, struct error *err)
{
	struct unpack_parent *parent = &unpack->parents[unpack->next_parent];
	cleanup_free char *copy = xstrndup(path, length);
	int fd = open_parent(unpack, copy, err);
	int r;

	if (fd < 0)
		return fd;
	r = unpack_check_depth(fd, copy, err);
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	free(parent->path);
	close_fd(&parent->fd);
	*parent = (struct unpack_parent){
		.path = steal_ptr(&copy),
		.length = length,
		.fd = fd,
		.plain = is_plain(unpack, fd),
	};
	unpack->next_parent = (unpack->next_parent + 1) % UNPACK_PARENTS;
	*ret_parent = parent;
	return 0;
}

int unpack_parent(struct unpack *unpack, const char *path, int *ret_fd,
		  const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;
	struct unpack_parent *parent;

	if (unpack->stale)
		unpack_forget_parents(unpack);
	*ret_name = slash ? slash + 1 : path;
	if (!slash) {
		*ret_fd = unpack->root_fd;
		unpack->plain = is_plain(unpack, unpack->root_fd);
		return 0;
	}
	parent = find_parent(unpack, path, length);
	if (!parent) {
		int r = add_parent(unpack, path, length, &parent, err);

		if (r < 0)
			return r;
	}
	*ret_fd = parent->fd;
	unpack->plain = parent->plain;
	return 0;
}
