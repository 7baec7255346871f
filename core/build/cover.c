#include "core/build/cover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/build/ignore.h"
#include "storage/store/store.h"

#define COVER_TEMPLATE "cover-XXXXXX"
#define DEPTH_MAX      256

struct cover {
	struct ignore *ignore;
	int fd; /* its top */
	size_t whiteouts;
};

/* A directory of the context on the way down. */
struct place {
	const struct place *above; /* NULL: the top */
	const char *path;	   /* "" or "a/b" */
	int fd;
	bool hidden; /* left out, but something below may be taken back */
	int depth;
};

static int cover_directory(struct cover *cover, const struct place *place,
			   bool *ret_visible, struct error *err);

/* In the cover, with the attributes that its like has: it stands for both. */
static int open_in_cover(const struct cover *cover, const struct place *place,
			 struct error *err)
{
	cleanup_fd int fd = -1;
	struct timespec times[2];
	struct stat st;

	if (!place->above)
		return fcntl(cover->fd, F_DUPFD_CLOEXEC, 0);
	fd = path_mkdirs_in_root(cover->fd, place->path, 0755, err);
	if (fd < 0)
		return steal_fd(&fd);
	close_fd(&fd);
	fd = openat(cover->fd, place->path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(place->fd, &st) < 0)
		return err_errno(err, "cannot hide files of %s", place->path);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	/* Somebody else's stays ours: it is shown to the step only. */
	(void)!fchown(fd, st.st_uid, st.st_gid);
	if (fchmod(fd, st.st_mode & 07777) < 0 || futimens(fd, times) < 0)
		return err_errno(err, "cannot hide files of %s", place->path);
	return steal_fd(&fd);
}

static int hide(struct cover *cover, const struct place *place,
		const char *name, struct error *err)
{
	cleanup_fd int fd = open_in_cover(cover, place, err);
	int r;

	if (fd < 0)
		return fd;
	cover->whiteouts++;
	/* It is there when it was a directory with nothing to show. */
	r = tree_remove_at(fd, name, err);
	if (r < 0)
		return r;
	if (mknodat(fd, name, S_IFCHR, makedev(0, 0)) < 0)
		return err_errno(err, "cannot hide %s of the context", name);
	return 0;
}

/* 1: it can be seen. */
static int cover_entry(struct cover *cover, const struct place *above,
		       const char *name, struct error *err)
{
	cleanup_free char *path =
		xasprintf("%s%s%s", above->path, *above->path ? "/" : "", name);
	bool hidden = ignore_matches(cover->ignore, path);
	struct place place = {
		.above = above,
		.path = path,
		.hidden = hidden,
		.depth = above->depth + 1,
	};
	cleanup_fd int fd = -1;
	bool visible = false;
	int r;

	if (hidden && ignore_prunes(cover->ignore, path))
		return hide(cover, above, name, err);
	fd = openat(above->fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK |
			    O_CLOEXEC);
	if (fd < 0) /* a file, or one that has gone or is closed to us */
		return hidden ? hide(cover, above, name, err) : 1;
	place.fd = fd;
	r = cover_directory(cover, &place, &visible, err);
	if (r < 0 || visible || !hidden)
		return r < 0 ? r : 1;
	return hide(cover, above, name, err);
}

static int cover_directory(struct cover *cover, const struct place *place,
			   bool *ret_visible, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "cannot read %s of the context",
				 place->path);
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot read the context");
	}
	if (place->depth > DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "the context is more than %d directories deep",
			       DEPTH_MAX);
	while ((entry = readdir(dir))) {
		int r;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		r = cover_entry(cover, place, entry->d_name, err);
		if (r < 0)
			return r;
		*ret_visible = *ret_visible || r > 0;
	}
	return 0;
}

int cover_make(const struct store_work *work, const char *directory,
	       struct ignore *ignore, char **ret_path, struct error *err)
{
	cleanup_free char *path = xasprintf("%s/tmp/%s/" COVER_TEMPLATE,
					    work->store->path, work->name);
	struct cover cover = {.ignore = ignore};
	struct place top = {.path = ""};
	cleanup_fd int cover_fd = -1;
	cleanup_fd int fd = -1;
	bool visible = false;
	int r;

	if (!ignore)
		return 0;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", directory);
	if (!mkdtemp(path) || chmod(path, 0755) < 0)
		return err_errno(err, "cannot make %s", path);
	cover_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cover_fd < 0)
		return err_errno(err, "cannot open %s", path);
	top.fd = fd;
	cover.fd = cover_fd;
	r = cover_directory(&cover, &top, &visible, err);
	if (r < 0)
		return r;
	if (cover.whiteouts > 0)
		*ret_path = steal_ptr(&path);
	else
		rmdir(path);
	return 0;
}
