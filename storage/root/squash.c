#include "storage/root/squash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/tar/tar_xattrs.h"

#define XATTR_OPAQUE   "user.overlay.opaque"
#define XATTR_WHITEOUT "user.overlay.whiteout"
#define OPAQUE	       'y' /* nothing of the layers below shows */
#define HAS_WHITEOUTS  'x' /* xattr whiteouts are looked for */

struct squash {
	const struct squash_request *request;
	size_t depth;
};

/* One directory of a layer, merged into that of the target. */
struct level {
	int from_fd;
	int to_fd;
	const char *path; /* from the top, "" there */
};

static int merge(struct squash *squash, const struct level *level,
		 struct error *err);

/* ---- marks ---- */

static char mark_of(int fd, const char *name)
{
	char value[4];

	return fgetxattr(fd, name, value, sizeof(value)) == 1 ? value[0] : 0;
}

static int set_mark(int fd, char value, const char *path, struct error *err)
{
	if (fsetxattr(fd, XATTR_OPAQUE, &value, 1, 0) < 0)
		return err_errno(err, "cannot mark directory %s", path);
	return 0;
}

static bool is_whiteout(const struct level *level, const char *name,
			const struct stat *st)
{
	cleanup_fd int fd = -1;

	if (S_ISCHR(st->st_mode))
		return st->st_rdev == makedev(0, 0);
	if (!S_ISREG(st->st_mode) || st->st_size != 0 ||
	    mark_of(level->from_fd, XATTR_OPAQUE) != HAS_WHITEOUTS)
		return false;
	fd = openat(level->from_fd, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && mark_of(fd, XATTR_WHITEOUT) == OPAQUE;
}

/* In a layer that stays; what a higher one of those hides counts as well, its
   whiteout does no harm. */
static bool is_below(const struct squash *squash, const char *path)
{
	const struct squash_request *request = squash->request;

	for (size_t i = 0; request->below && request->below[i]; i++) {
		cleanup_free char *name =
			xasprintf("%s/" LAYER_DIFF "/%s",
				  digest_hex(request->below[i]), path);
		cleanup_fd int fd = path_open_exact(request->store->layers_fd,
						    name, O_PATH | O_NOFOLLOW);

		if (fd >= 0)
			return true;
	}
	return false;
}

/* ---- entries ---- */

/* Makes room for name. 1: there was something. */
static int clear_name(const struct level *level, const char *name,
		      struct error *err)
{
	struct stat st;
	int r;

	if (fstatat(level->to_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : err_errno(err, "cannot merge %s/%s",
						   level->path, name);
	r = tree_remove_at(level->to_fd, name, err);
	return r < 0 ? r : 1;
}

static int link_entry(const struct level *level, const char *name,
		      struct error *err)
{
	if (linkat(level->from_fd, name, level->to_fd, name, 0) < 0)
		return err_errno(err, "cannot merge %s/%s", level->path, name);
	return 0;
}

static int merge_whiteout(const struct squash *squash,
			  const struct level *level, const char *name,
			  const char *path, const struct stat *st,
			  struct error *err)
{
	int r = clear_name(level, name, err);

	/* An opaque directory hides it anyway. */
	if (r < 0 || mark_of(level->to_fd, XATTR_OPAQUE) == OPAQUE ||
	    !is_below(squash, path))
		return r < 0 ? r : 0;
	r = link_entry(level, name, err);
	if (r == 0 && S_ISREG(st->st_mode))
		r = set_mark(level->to_fd, HAS_WHITEOUTS, level->path, err);
	return r;
}

/* ---- directories ---- */

static int replace_xattrs(int from_fd, int to_fd)
{
	struct tar_xattr *xattrs = NULL;
	size_t count = 0;
	int r = tar_xattrs_read(to_fd, &xattrs, &count, NULL);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = fremovexattr(to_fd, xattrs[i].name) < 0 ? -errno : 0;
	tar_xattrs_free(xattrs, count);
	xattrs = NULL;
	if (r == 0)
		r = tar_xattrs_read(from_fd, &xattrs, &count, NULL);
	for (size_t i = 0; r == 0 && xattrs && i < count; i++)
		r = fsetxattr(to_fd, xattrs[i].name, xattrs[i].value,
			      xattrs[i].length, 0) < 0
			    ? -errno
			    : 0;
	tar_xattrs_free(xattrs, xattrs ? count : 0);
	return r;
}

/* As the upper layer has it; the time last, entries change it. */
static int copy_attributes(const struct level *level, struct error *err)
{
	struct timespec times[2];
	struct stat st;
	int r;

	if (fstat(level->from_fd, &st) < 0)
		return err_errno(err, "cannot merge directory %s", level->path);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	r = fchown(level->to_fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
	if (r == 0)
		r = replace_xattrs(level->from_fd, level->to_fd);
	if (r == 0 && (fchmod(level->to_fd, st.st_mode & 07777) < 0 ||
		       futimens(level->to_fd, times) < 0))
		r = -errno;
	return r < 0 ? err_number(err, r, "cannot merge directory %s",
				  level->path)
		     : 0;
}

static int open_directory(int dir_fd, const char *name)
{
	return openat(dir_fd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Makes it, unless a directory is there that goes on to be filled. */
static int prepare_directory(const struct level *level, const char *name,
			     bool opaque, struct error *err)
{
	cleanup_fd int fd = opaque ? -1 : open_directory(level->to_fd, name);
	int r;

	if (fd >= 0)
		return steal_fd(&fd);
	r = clear_name(level, name, err);
	if (r < 0)
		return r;
	if (mkdirat(level->to_fd, name, 0700) < 0 ||
	    (fd = open_directory(level->to_fd, name)) < 0)
		return err_errno(err, "cannot merge directory %s/%s",
				 level->path, name);
	if (r > 0 || opaque) {
		r = set_mark(fd, OPAQUE, name, err);
		if (r < 0)
			return r;
	}
	return steal_fd(&fd);
}

static int merge_directory(struct squash *squash, const struct level *level,
			   const char *name, const char *path,
			   struct error *err)
{
	cleanup_fd int from_fd = open_directory(level->from_fd, name);
	cleanup_fd int to_fd = -1;
	struct level next = {.from_fd = from_fd, .path = path};
	int r;

	if (from_fd < 0)
		return err_errno(err, "cannot merge directory %s", path);
	if (squash->depth == SQUASH_DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "directories are nested more "
			       "than %d deep",
			       SQUASH_DEPTH_MAX);
	to_fd = prepare_directory(
		level, name, mark_of(from_fd, XATTR_OPAQUE) == OPAQUE, err);
	if (to_fd < 0)
		return to_fd;
	next.to_fd = to_fd;
	squash->depth++;
	r = merge(squash, &next, err);
	squash->depth--;
	return r < 0 ? r : copy_attributes(&next, err);
}

static int merge_entry(struct squash *squash, const struct level *level,
		       const char *name, struct error *err)
{
	cleanup_free char *path =
		xasprintf("%s%s%s", level->path, *level->path ? "/" : "", name);
	struct stat st;
	int r;

	if (fstatat(level->from_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "cannot merge %s", path);
	if (is_whiteout(level, name, &st))
		return merge_whiteout(squash, level, name, path, &st, err);
	if (S_ISDIR(st.st_mode))
		return merge_directory(squash, level, name, path, err);
	r = clear_name(level, name, err);
	return r < 0 ? r : link_entry(level, name, err);
}

static int merge(struct squash *squash, const struct level *level,
		 struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd =
		openat(level->from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd >= 0)
		dir = fdopendir(fd);
	if (!dir) {
		err_errno(err, "cannot read directory %s", level->path);
		close_fd(&fd);
		return err_return(err);
	}
	while (r == 0 && (entry = readdir(dir))) {
		if (!str_equal(entry->d_name, ".") &&
		    !str_equal(entry->d_name, ".."))
			r = merge_entry(squash, level, entry->d_name, err);
	}
	return r;
}

int squash_layers(const struct squash_request *request, int target_fd,
		  struct error *err)
{
	struct squash squash = {.request = request};
	int r = 0;

	for (size_t i = 0; r == 0 && request->merged[i]; i++) {
		cleanup_free char *name = xasprintf(
			"%s/" LAYER_DIFF, digest_hex(request->merged[i]));
		cleanup_fd int fd =
			open_directory(request->store->layers_fd, name);
		const struct level top = {fd, target_fd, ""};

		if (fd < 0)
			return err_errno(err, "cannot open layer %s",
					 request->merged[i]);
		/* Of which a layer has no way to tell when it is made anew. */
		if (mark_of(fd, XATTR_OPAQUE) == OPAQUE)
			return err_set(err, ERROR_UNSUPPORTED,
				       "layer %s replaces the whole root",
				       request->merged[i]);
		r = merge(&squash, &top, err);
	}
	return r;
}
