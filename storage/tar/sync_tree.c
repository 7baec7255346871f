#include "storage/tar/sync_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/tar/parallel.h"

#define MOST_DEPTH	64
#define THREADS		16
#define XFS_SUPER_MAGIC 0x58465342 /* not in linux/magic.h */

struct trees {
	int dir_fd;
	const char *what;
	size_t count;
	char *paths[SYNC_TREE_MOST]; /* of files and directories */
};

static bool orders_its_journal(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 &&
	       (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC);
}

/* A container may put a pipe there just now. */
static int open_path(const struct trees *trees, const char *path)
{
	return path_open_exact(trees->dir_fd, path, O_RDONLY | O_NONBLOCK);
}

static int collect(struct trees *trees, const char *path, unsigned int depth);

static int collect_directory(struct trees *trees, int fd, const char *path,
			     unsigned int depth)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;

	dir = depth < MOST_DEPTH ? fdopendir(fd) : NULL;
	if (!dir) {
		close_fd(&fd);
		return depth < MOST_DEPTH ? -ENOMEM : -ELOOP;
	}
	while (errno = 0, (entry = readdir(dir))) {
		cleanup_free char *below = NULL;
		int r;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, "..") ||
		    (entry->d_type != DT_REG && entry->d_type != DT_DIR &&
		     entry->d_type != DT_UNKNOWN))
			continue;
		below = xasprintf("%s/%s", path, entry->d_name);
		r = collect(trees, below, depth + 1);
		if (r < 0)
			return r;
	}
	return -errno;
}

/* Adds it and what is below; a file's bytes are on their way from here on. */
static int collect(struct trees *trees, const char *path, unsigned int depth)
{
	struct stat st;
	int fd;

	if (fstatat(trees->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	if (trees->count >= SYNC_TREE_MOST)
		return -E2BIG;
	fd = open_path(trees, path);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	trees->paths[trees->count++] = xstrdup(path);
	if (S_ISDIR(st.st_mode))
		return collect_directory(trees, fd, path, depth);
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	close_fd(&fd);
	return 0;
}

static int sync_one(void *data, size_t index, struct error *err)
{
	const struct trees *trees = data;
	const char *path = trees->paths[index];
	cleanup_fd int fd = open_path(trees, path);

	/* Gone, or another thing by now. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	if (fd < 0)
		return err_number(err, fd, "cannot sync %s: %s", trees->what,
				  path);
	if (fsync(fd) < 0)
		return err_errno(err, "cannot sync %s: %s", trees->what, path);
	return 0;
}

static int collect_all(struct trees *trees, const char *const *paths)
{
	for (size_t i = 0; paths[i]; i++) {
		int r = collect(trees, paths[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

static void trees_release(struct trees *trees)
{
	for (size_t i = 0; i < trees->count; i++)
		free(trees->paths[i]);
}

int sync_trees(int dir_fd, const char *const *paths, const char *what,
	       struct error *err)
{
	CLEANUP(trees_release)
	struct trees trees = {.dir_fd = dir_fd, .what = what};
	atomic_bool cancelled = false;
	struct parallel work = {
		.run = sync_one,
		.data = &trees,
		.threads = THREADS,
		.cancelled = &cancelled,
	};

	if (orders_its_journal(dir_fd) && collect_all(&trees, paths) == 0) {
		work.count = trees.count;
		return parallel_run(&work, err);
	}
	return syncfs(dir_fd) < 0 ? err_errno(err, "cannot sync %s", what) : 0;
}
