#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define RACE_TRIES_MAX	  64
#define LINKS_MAX	  40 /* as the kernel */
#define RESOLVED_PATH_MAX (64u << 10)

static int open_how(int dir_fd, const char *path, int flags, mode_t mode,
		    uint64_t resolve)
{
	bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = creates ? mode : 0,
		.resolve = resolve,
	};

	/* EAGAIN: a rename elsewhere made the kernel unsure about "..". */
	for (int i = 0; i < RACE_TRIES_MAX; i++) {
		long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int path_open_beneath(int dir_fd, const char *path, int flags)
{
	return open_how(dir_fd, path, flags, 0,
			RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int path_open_exact(int dir_fd, const char *path, int flags)
{
	return open_how(dir_fd, path, flags, 0,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
	return open_how(root_fd, path, flags, mode,
			RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/*
 * A look-up that creates what is missing, one component at a time: openat2
 * cannot, and a dangling link must be followed to where its target belongs.
 * fd is the directory reached, which has the link-free name `resolved` below
 * the root; `rest` is still to be walked.
 */
struct walk {
	int root_fd;
	int fd;
	bool want_file; /* for the last component */
	mode_t mode;
	struct str resolved;
	struct str rest;
	unsigned int links;
};

static void walk_release(struct walk *walk)
{
	close_fd(&walk->fd);
	str_release(&walk->resolved);
	str_release(&walk->rest);
}

/* Goes back to `resolved`; a link that someone just put there is refused. */
static int walk_reopen(struct walk *walk)
{
	const char *path =
		walk->resolved.length > 0 ? str_text(&walk->resolved) : "/";
	int fd = open_how(walk->root_fd, path, O_PATH | O_DIRECTORY, 0,
			  RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

	if (fd < 0)
		return fd;
	close_fd(&walk->fd);
	walk->fd = fd;
	return 0;
}

static int walk_up(struct walk *walk)
{
	char *slash;

	if (walk->resolved.length == 0)
		return 0;
	slash = strrchr(walk->resolved.data, '/');
	*slash = '\0';
	walk->resolved.length = (size_t)(slash - walk->resolved.data);
	return walk_reopen(walk);
}

static int walk_link(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];
	cleanup_str struct str rest = {0};
	ssize_t length;

	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	length = readlinkat(link_fd, "", target, sizeof(target));
	if (length < 0)
		return -errno;
	if (length == 0)
		return -ENOENT;
	if ((size_t)length == sizeof(target) ||
	    (size_t)length + walk->rest.length > RESOLVED_PATH_MAX)
		return -ENAMETOOLONG;
	str_append_bytes(&rest, target, (size_t)length);
	str_append_char(&rest, '/');
	str_append(&rest, str_text(&walk->rest));
	str_clear(&walk->rest);
	str_append(&walk->rest, str_text(&rest));
	if (target[0] != '/')
		return 0;
	str_clear(&walk->resolved);
	return walk_reopen(walk);
}

static int create_file(struct walk *walk, const char *name)
{
	cleanup_fd int fd = -1;

	fd = openat(walk->fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    walk->mode);
	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchmod(fd, walk->mode) < 0 ? -errno : 0;
}

static int create_directory(struct walk *walk, const char *name)
{
	cleanup_fd int fd = -1;
	/* Parents of a file get a mode that lets one reach it. */
	mode_t mode = walk->want_file ? 0755 : walk->mode;

	if (mkdirat(walk->fd, name, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	fd = openat(walk->fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Not less because of the umask. */
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

/* The component as an O_PATH fd, not followed; made when it is missing. */
static int open_component(struct walk *walk, const char *name, bool as_file)
{
	for (int i = 0; i < RACE_TRIES_MAX; i++) {
		int fd =
			openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		int r;

		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			return -errno;
		r = as_file ? create_file(walk, name)
			    : create_directory(walk, name);
		if (r < 0)
			return r;
	}
	return -EAGAIN;
}

/* Takes the next component off rest; NULL at the end. Caller frees. */
static char *next_component(struct walk *walk, bool *ret_last)
{
	const char *text = str_text(&walk->rest);
	const char *start = text + strspn(text, "/");
	size_t length = strcspn(start, "/");
	const char *after = start + length + strspn(start + length, "/");
	char *name;

	if (length == 0)
		return NULL;
	name = xstrndup(start, length);
	*ret_last = !*after;
	walk->rest.length -= (size_t)(after - text);
	memmove(walk->rest.data, after, walk->rest.length + 1);
	return name;
}

/* One component: 0 to go on, 1 when *ret_fd is the file that was wanted. */
static int walk_step(struct walk *walk, const char *name, bool last,
		     int *ret_fd)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (str_equal(name, "."))
		return 0;
	if (str_equal(name, ".."))
		return walk_up(walk);
	fd = open_component(walk, name, last && walk->want_file);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return walk_link(walk, fd);
	if (S_ISDIR(st.st_mode)) {
		str_append_char(&walk->resolved, '/');
		str_append(&walk->resolved, name);
		close_fd(&walk->fd);
		walk->fd = steal_fd(&fd);
		return 0;
	}
	if (!last || !walk->want_file)
		return -ENOTDIR;
	*ret_fd = steal_fd(&fd);
	return 1;
}

static int walk_in_root(int root_fd, const char *path, mode_t mode,
			bool want_file)
{
	CLEANUP(walk_release)
	struct walk walk = {
		.root_fd = root_fd,
		.fd = -1,
		.want_file = want_file,
		.mode = mode,
	};
	int found_fd = -1;
	int r;

	str_append(&walk.rest, path);
	r = walk_reopen(&walk);
	while (r == 0) {
		bool last = false;
		cleanup_free char *name = next_component(&walk, &last);

		if (!name)
			return want_file ? -EISDIR : steal_fd(&walk.fd);
		r = walk_step(&walk, name, last, &found_fd);
	}
	return r < 0 ? r : found_fd;
}

int path_mkdirs_in_root(int root_fd, const char *path, mode_t mode,
			struct error *err)
{
	int fd = path_open_in_root(root_fd, *path ? path : "/",
				   O_PATH | O_DIRECTORY, 0);

	if (fd == -ENOENT)
		fd = walk_in_root(root_fd, path, mode, false);
	if (fd < 0)
		return err_number(err, fd, "cannot make directory %s", path);
	return fd;
}

int path_touch_in_root(int root_fd, const char *path, mode_t mode,
		       struct error *err)
{
	int fd = walk_in_root(root_fd, path, mode, true);

	if (fd < 0)
		return err_number(err, fd, "cannot make file %s", path);
	return fd;
}

int path_mkdirs(const char *path, mode_t mode, struct error *err)
{
	return path_mkdirs_at(AT_FDCWD, path, mode, err);
}

int path_mkdirs_at(int dir_fd, const char *path, mode_t mode, struct error *err)
{
	cleanup_free char *prefix = xstrdup(path);
	char *at = prefix;
	int number = 0;
	struct stat st;

	/* Most often it is there. */
	while (*at && fstatat(dir_fd, path, &st, 0) < 0) {
		char *end;
		char kept;

		at += strspn(at, "/");
		end = at + strcspn(at, "/");
		kept = *end;
		*end = '\0';
		/*
		 * Above our own part of the tree anything may be refused
		 * (EROFS, EACCES) although it is there: only the end counts,
		 * and what stood in its way first.
		 */
		if (*at && mkdirat(dir_fd, prefix, mode) == 0)
			number = 0;
		else if (*at && errno != EEXIST && number == 0)
			number = errno;
		*end = kept;
		at = end;
	}
	if (fstatat(dir_fd, path, &st, 0) < 0)
		return err_number(err, number ? number : errno,
				  "cannot make directory %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_number(err, ENOTDIR, "cannot make directory %s",
				  path);
	return 0;
}

char *path_clean(const char *path)
{
	struct str clean = {0};
	bool rooted = *path == '/';
	size_t floor; /* below this nothing can be taken back */

	if (rooted)
		str_append_char(&clean, '/');
	floor = clean.length;
	while (*path) {
		size_t length = strcspn(path, "/");
		bool up = length == 2 && memcmp(path, "..", 2) == 0;

		if (length == 0 || (length == 1 && *path == '.')) {
			path += length ? length : 1;
			continue;
		}
		if (up && clean.length > floor) {
			while (clean.length > floor &&
			       clean.data[clean.length - 1] != '/')
				clean.length--;
			if (clean.length > floor)
				clean.length--;
			clean.data[clean.length] = '\0';
		} else if (!up || !rooted) {
			if (clean.length > (rooted ? 1u : 0u))
				str_append_char(&clean, '/');
			str_append_bytes(&clean, path, length);
			if (up)
				floor = clean.length;
		}
		path += length;
	}
	if (clean.length == 0)
		str_append_char(&clean, '.');
	return str_steal(&clean);
}

char *path_join(const char *a, const char *b)
{
	cleanup_free char *both = NULL;

	if (str_empty(a) && str_empty(b))
		return xstrdup("");
	if (str_empty(a))
		return path_clean(b);
	both = xasprintf("%s/%s", a, b ? b : "");
	return path_clean(both);
}

void path_of_fd(char ret_path[PATH_FD_MAX], int fd)
{
	snprintf(ret_path, PATH_FD_MAX, "/proc/self/fd/%d", fd);
}
