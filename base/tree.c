/*
 * Walks over whole directory trees: tree_remove_at(), tree_chown_at() and
 * tree_size_at() of base/file.h.
 *
 * A container may have made directories as deep as it liked, so a walk neither
 * recurses nor keeps a descriptor for each level: a directory is read at once,
 * its subdirectories are remembered by name, and the way back up is "..",
 * believed only when it is the directory we came from.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

struct names {
	char **items;
	size_t count;
	size_t room;
};

/* A directory on the way from the top to where the walk is. */
struct level {
	char *name;
	dev_t dev;
	ino_t ino;
	struct names children; /* directories still to be visited */
};

struct tree_walk {
	const char *path; /* the top as the caller named it, for messages */
	int fd;		  /* of the last level's directory */
	struct level *levels;
	size_t depth;
	size_t room;
	/* On an entry that is no directory. 0 or -errno. */
	int (*on_file)(struct tree_walk *walk, int dir_fd, const char *name);
	/* On each directory, when it is entered; may be NULL. */
	int (*on_enter)(struct tree_walk *walk, const struct stat *st);
	/* When everything in it was visited; may be NULL. */
	int (*on_leave)(struct tree_walk *walk, int parent_fd,
			const char *name);
	bool changes; /* removal: directories may be made accessible */

	uid_t uid;
	gid_t gid;
	uint64_t bytes;
	struct inode_set {
		struct inode {
			dev_t dev;
			ino_t ino;
		} * slots;
		size_t count;
		size_t room;
	} seen;
};

static void names_push(struct names *names, const char *name)
{
	if (names->count == names->room) {
		names->room = names->room ? names->room * 2 : 8;
		names->items = xrealloc(names->items, names->room,
					sizeof(*names->items));
	}
	names->items[names->count++] = xstrdup(name);
}

static void level_release(struct level *level)
{
	while (level->children.count > 0)
		free(level->children.items[--level->children.count]);
	free(level->children.items);
	free(level->name);
}

static void walk_release(struct tree_walk *walk)
{
	close_fd(&walk->fd);
	while (walk->depth > 0)
		level_release(&walk->levels[--walk->depth]);
	free(walk->levels);
	free(walk->seen.slots);
}

/* Opens a directory that is no link and no mount point. */
static int open_child(int dir_fd, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_DIRECTORY |
						  O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

/* As open_child(), for reading, after giving ourselves the right to. */
static int open_closed_child(int dir_fd, const char *name)
{
	cleanup_fd int fd = open_child(dir_fd, name, O_PATH);
	char path[32];
	int opened;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0700) < 0)
		return -EACCES;
	opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

/* Sorts the directory's entries: files are dealt with, directories noted. */
static int read_level(struct tree_walk *walk, struct level *level)
{
	cleanup_dir DIR *dir = NULL;
	/* A description of its own: ours keeps its offset. */
	int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return -ENOMEM;
	}
	while (errno = 0, (entry = readdir(dir))) {
		struct stat st;
		bool directory = entry->d_type == DT_DIR;
		int r;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		if (entry->d_type == DT_UNKNOWN)
			directory = fstatat(walk->fd, entry->d_name, &st,
					    AT_SYMLINK_NOFOLLOW) == 0 &&
				    S_ISDIR(st.st_mode);
		if (directory) {
			names_push(&level->children, entry->d_name);
			continue;
		}
		r = walk->on_file(walk, walk->fd, entry->d_name);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return -errno;
}

/* Goes into name of the directory the walk is in. 1 when it is not there. */
static int enter(struct tree_walk *walk, int dir_fd, const char *name)
{
	cleanup_fd int fd = open_child(dir_fd, name, O_RDONLY);
	struct level *level;
	struct stat st;

	if (fd == -EACCES && walk->changes)
		fd = open_closed_child(dir_fd, name);
	if (fd < 0) {
		int r = fd;

		fd = -1;
		return r == -ENOENT || r == -EXDEV ? 1 : r;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	/* A failure shows in the unlink that needed it. */
	if (walk->changes && (st.st_mode & 0700) != 0700)
		(void)!fchmod(fd, (st.st_mode & 07777) | 0700);

	if (walk->depth == walk->room) {
		walk->room = walk->room ? walk->room * 2 : 16;
		walk->levels = xrealloc(walk->levels, walk->room,
					sizeof(*walk->levels));
	}
	level = &walk->levels[walk->depth++];
	*level = (struct level){
		.name = xstrdup(name),
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	close_fd(&walk->fd);
	walk->fd = steal_fd(&fd);
	if (walk->on_enter) {
		int r = walk->on_enter(walk, &st);

		if (r < 0)
			return r;
	}
	return read_level(walk, level);
}

/* Back to the parent of the last level. */
static int leave(struct tree_walk *walk)
{
	const struct level *parent = &walk->levels[walk->depth - 2];
	struct level *level = &walk->levels[walk->depth - 1];
	cleanup_fd int fd = -1;
	struct stat st;
	int r = 0;

	fd = openat(walk->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != parent->dev || st.st_ino != parent->ino)
		return -ESTALE;
	if (walk->on_leave)
		r = walk->on_leave(walk, fd, level->name);
	if (r < 0 && r != -ENOENT)
		return r;
	close_fd(&walk->fd);
	walk->fd = steal_fd(&fd);
	level_release(level);
	walk->depth--;
	return 0;
}

/* Everything below and including directory name of dir_fd, but the last
 * on_leave. */
static int run_walk(struct tree_walk *walk, int dir_fd, const char *name)
{
	int r = enter(walk, dir_fd, name);

	if (r > 0)
		return 0;
	while (r >= 0) {
		struct level *level = &walk->levels[walk->depth - 1];
		cleanup_free char *child = NULL;

		if (level->children.count == 0 && walk->depth == 1)
			break;
		if (level->children.count == 0) {
			r = leave(walk);
			continue;
		}
		child = level->children.items[--level->children.count];
		r = enter(walk, walk->fd, child);
		if (r == 1 && walk->on_leave)
			r = walk->on_leave(walk, walk->fd, child);
		if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? r : 0;
}

static int walk_error(const struct tree_walk *walk, int number,
		      const char *what, struct error *err)
{
	struct str where = {0};
	int r;

	str_append(&where, walk->path);
	for (size_t i = 1; i < walk->depth && where.length < PATH_MAX; i++) {
		str_append_char(&where, '/');
		str_append(&where, walk->levels[i].name);
	}
	r = err_number(err, number, "cannot %s %s", what, str_text(&where));
	str_release(&where);
	return r;
}

/* The directory that holds path, and path's last name (caller frees). */
static int open_parent(int dir_fd, const char *path, char **ret_name)
{
	cleanup_free char *copy = xstrdup(path);
	size_t length = strlen(copy);
	char *slash;
	int fd;

	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	slash = strrchr(copy, '/');
	*ret_name = xstrdup(slash ? slash + 1 : copy);
	if (str_empty(*ret_name) || str_equal(*ret_name, ".") ||
	    str_equal(*ret_name, ".."))
		return -EINVAL;
	if (slash)
		slash[1] = '\0';
	fd = openat(dir_fd, slash ? copy : ".",
		    O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int remove_file(struct tree_walk *walk, int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

static int remove_directory(struct tree_walk *walk, int parent_fd,
			    const char *name)
{
	return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int tree_remove_at(int dir_fd, const char *path, struct error *err)
{
	CLEANUP(walk_release)
	struct tree_walk walk = {
		.path = path,
		.fd = -1,
		.on_file = remove_file,
		.on_leave = remove_directory,
		.changes = true,
	};
	cleanup_free char *name = NULL;
	cleanup_fd int parent_fd = open_parent(dir_fd, path, &name);
	struct stat st;
	int r;

	if (parent_fd == -ENOENT)
		return 0;
	if (parent_fd < 0)
		return err_number(err, parent_fd, "cannot remove %s", path);
	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			       ? 0
			       : err_errno(err, "cannot remove %s", path);
	if (!S_ISDIR(st.st_mode)) {
		r = remove_file(&walk, parent_fd, name);
	} else {
		r = run_walk(&walk, parent_fd, name);
		if (r == 0)
			r = remove_directory(&walk, parent_fd, name);
	}
	if (r < 0 && r != -ENOENT)
		return walk_error(&walk, r, "remove", err);
	return 0;
}

static int give_file(struct tree_walk *walk, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* Most are right already, and a change would touch their times. */
	if (st.st_uid == walk->uid && st.st_gid == walk->gid)
		return 0;
	return fchownat(dir_fd, name, walk->uid, walk->gid,
			AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

static int give_directory(struct tree_walk *walk, const struct stat *st)
{
	if (st->st_uid == walk->uid && st->st_gid == walk->gid)
		return 0;
	return fchown(walk->fd, walk->uid, walk->gid) < 0 ? -errno : 0;
}

int tree_chown_at(int dir_fd, const char *path, uid_t uid, gid_t gid,
		  struct error *err)
{
	CLEANUP(walk_release)
	struct tree_walk walk = {
		.path = path,
		.fd = -1,
		.on_file = give_file,
		.on_enter = give_directory,
		.uid = uid,
		.gid = gid,
	};
	struct stat st;
	int r;

	if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "cannot change the owner of %s", path);
	r = S_ISDIR(st.st_mode) ? run_walk(&walk, dir_fd, path)
				: give_file(&walk, dir_fd, path);
	return r < 0 ? walk_error(&walk, r, "change the owner of", err) : 0;
}

/* True when the inode was not in the set yet. */
static bool inode_add(struct inode_set *set, const struct stat *st)
{
	size_t i;

	if (set->count * 2 >= set->room) {
		struct inode_set grown = {
			.room = set->room ? set->room * 2 : 64,
		};

		grown.slots = xcalloc(grown.room, sizeof(*grown.slots));
		for (i = 0; i < set->room; i++) {
			struct stat old = {
				.st_dev = set->slots[i].dev,
				.st_ino = set->slots[i].ino,
			};

			if (old.st_ino != 0)
				inode_add(&grown, &old);
		}
		free(set->slots);
		*set = grown;
	}
	i = (size_t)(st->st_ino * 0x9e3779b97f4a7c15ull) % set->room;
	for (; set->slots[i].ino != 0; i = (i + 1) % set->room) {
		if (set->slots[i].ino == st->st_ino &&
		    set->slots[i].dev == st->st_dev)
			return false;
	}
	set->slots[i] = (struct inode){st->st_dev, st->st_ino};
	set->count++;
	return true;
}

static int count_directory(struct tree_walk *walk, const struct stat *st)
{
	walk->bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

static int count_file(struct tree_walk *walk, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_nlink > 1 && !inode_add(&walk->seen, &st))
		return 0;
	walk->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

int tree_size_at(int dir_fd, const char *path, uint64_t *ret_bytes,
		 struct error *err)
{
	CLEANUP(walk_release)
	struct tree_walk walk = {
		.path = path,
		.fd = -1,
		.on_file = count_file,
		.on_enter = count_directory,
	};
	struct stat st;
	int r;

	if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "cannot read the size of %s", path);
	if (S_ISDIR(st.st_mode)) {
		cleanup_fd int fd =
			openat(dir_fd, path,
			       O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0)
			return err_errno(err, "cannot read the size of %s",
					 path);
		r = run_walk(&walk, fd, ".");
	} else {
		r = count_file(&walk, dir_fd, path);
	}
	if (r < 0)
		return walk_error(&walk, r, "read the size of", err);
	*ret_bytes = walk.bytes;
	return 0;
}
