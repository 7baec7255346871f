#include "storage/root/copy_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static int copy_one(struct copy *copy, int source_fd, const char *source_name,
		    int target_fd, const char *target_name, struct error *err);

static bool replaces(const struct copy *copy)
{
	return (copy->request->flags & COPY_REPLACE) != 0;
}

/* err_number() about the present entry, with what can be done about it. */
static int fail(const struct copy *copy, int number, struct error *err)
{
	const char *path = str_text(&copy->path);
	int r = err_number(err, number, "cannot copy %s", *path ? path : ".");

	if (r == -EINVAL || r == -EOVERFLOW)
		err_hint(err, "its owner may have no ID in this user "
			      "namespace; give the user more in /etc/subuid "
			      "and /etc/subgid");
	return r;
}

/* Did the entry go away or become something else since it was looked at? */
static bool has_changed(int number)
{
	return number == ENOENT || number == ENOTDIR || number == ELOOP ||
	       number == ENXIO || number == ESTALE;
}

/* A directory that is no link; with NO_XDEV no mount either. */
static int open_directory(int dir_fd, const char *name, uint64_t resolve)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | resolve,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

/*
 * Makes way for a new entry that is no directory. 1 when what is there stays.
 * Whoever makes something there right after this keeps it: the caller takes
 * EEXIST for a 1 as well.
 */
static int make_way(const struct copy *copy, int dir_fd, const char *name,
		    struct error *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(copy, errno, err);
	if (!replaces(copy))
		return 1;
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERROR_CONFLICT,
			       "cannot overwrite directory %s with a file",
			       str_text(&copy->path));
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return fail(copy, errno, err);
	return 0;
}

static int fill_file(struct copy *copy, int in, int out, const struct stat *st)
{
	int r = copy_data(copy, in, out, st->st_size);

	return r < 0 ? r : copy_attributes(copy, in, out, st);
}

/* 1 when it was made, 0 when it was left out. */
static int copy_file(struct copy *copy, int source_fd, const char *source_name,
		     int target_fd, const char *target_name, struct error *err)
{
	cleanup_fd int in = -1;
	cleanup_fd int out = -1;
	struct stat st;
	int r;

	/* Not to be stopped by a FIFO that took its place. */
	in = openat(source_fd, source_name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return has_changed(errno) ? 0 : fail(copy, errno, err);
	if (!S_ISREG(st.st_mode))
		return 0;
	out = openat(target_fd, target_name,
		     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		     0600);
	if (out < 0)
		return errno == EEXIST ? 0 : fail(copy, errno, err);
	r = fill_file(copy, in, out, &st);
	if (r == 0)
		return 1;
	unlinkat(target_fd, target_name, 0);
	return fail(copy, r, err);
}

static int copy_symlink(struct copy *copy, int source_fd,
			const char *source_name, int target_fd,
			const char *target_name, struct error *err)
{
	char text[PATH_MAX + 1];
	ssize_t length = readlinkat(source_fd, source_name, text, sizeof(text));

	/* EINVAL: it is no link any more. */
	if (length < 0)
		return has_changed(errno) || errno == EINVAL
			       ? 0
			       : fail(copy, errno, err);
	if (length >= (ssize_t)sizeof(text))
		return fail(copy, ENAMETOOLONG, err);
	text[length] = '\0';
	if (symlinkat(text, target_fd, target_name) < 0)
		return errno == EEXIST ? 0 : fail(copy, errno, err);
	return 1;
}

static int copy_fifo(struct copy *copy, int target_fd, const char *target_name,
		     struct error *err)
{
	if (mkfifoat(target_fd, target_name, 0600) < 0)
		return errno == EEXIST ? 0 : fail(copy, errno, err);
	return 1;
}

/* Attributes of a link or FIFO that we have just made. */
static int finish_node(struct copy *copy, const struct stat *st, int target_fd,
		       const char *target_name, struct error *err)
{
	cleanup_fd int fd =
		openat(target_fd, target_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat made;
	int r;

	if (fd < 0 || fstat(fd, &made) < 0)
		return has_changed(errno) ? 0 : fail(copy, errno, err);
	if ((made.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return 0;
	r = copy_path_attributes(copy, fd, st);
	return r < 0 ? fail(copy, r, err) : 1;
}

/* Anything but a directory. */
static int copy_node(struct copy *copy, const struct stat *st, int source_fd,
		     const char *source_name, int target_fd,
		     const char *target_name, struct error *err)
{
	int r = make_way(copy, target_fd, target_name, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (copy_link_find(copy, st, target_fd, target_name)) {
		copy->report.entries++;
		return 0;
	}
	if (S_ISREG(st->st_mode))
		r = copy_file(copy, source_fd, source_name, target_fd,
			      target_name, err);
	else if (S_ISLNK(st->st_mode))
		r = copy_symlink(copy, source_fd, source_name, target_fd,
				 target_name, err);
	else
		r = copy_fifo(copy, target_fd, target_name, err);
	if (r > 0 && !S_ISREG(st->st_mode))
		r = finish_node(copy, st, target_fd, target_name, err);
	if (r <= 0)
		return r;
	copy->report.entries++;
	copy_link_add(copy, st, target_fd, target_name);
	return 0;
}

static void path_push(struct copy *copy, const char *name)
{
	if (copy->path.length > 0)
		str_append_char(&copy->path, '/');
	str_append(&copy->path, name);
}

static void path_cut(struct copy *copy, size_t length)
{
	copy->path.length = length;
	if (copy->path.data)
		copy->path.data[length] = '\0';
}

/* All entries of a directory; source_fd stays the caller's. */
static int copy_entries(struct copy *copy, int source_fd, int target_fd,
			struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(source_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(copy, errno, err);
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return fail(copy, ENOMEM, err);
	}
	while (errno = 0, (entry = readdir(dir))) {
		size_t length = copy->path.length;
		int r;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		path_push(copy, entry->d_name);
		r = copy_one(copy, source_fd, entry->d_name, target_fd,
			     entry->d_name, err);
		if (r < 0)
			return r;
		path_cut(copy, length);
	}
	return errno != 0 ? fail(copy, errno, err) : 0;
}

static int copy_contents(struct copy *copy, int source_fd, int target_fd,
			 struct error *err)
{
	struct stat st;
	int r;

	if (fstat(source_fd, &st) < 0)
		return fail(copy, errno, err);
	if (st.st_dev == copy->target_st.st_dev &&
	    st.st_ino == copy->target_st.st_ino)
		return err_set(err, ERROR_CONFLICT,
			       "cannot copy a directory into itself");
	if (copy->depth >= COPY_DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "cannot copy more than %d levels of directories",
			       COPY_DEPTH_MAX);
	copy->depth++;
	r = copy_entries(copy, source_fd, target_fd, err);
	copy->depth--;
	return r;
}

/* Makes or opens the target's directory. -EEXIST without *err: it is left. */
static int open_target(struct copy *copy, int dir_fd, const char *name,
		       bool *ret_made, struct error *err)
{
	int fd;

	*ret_made = mkdirat(dir_fd, name, 0700) == 0;
	if (!*ret_made && errno != EEXIST)
		return fail(copy, errno, err);
	fd = open_directory(dir_fd, name, 0);
	if (fd == -ENOTDIR || fd == -ELOOP) {
		if (!replaces(copy))
			return -EEXIST;
		return err_set(err, ERROR_CONFLICT,
			       "cannot overwrite file %s with a directory",
			       str_text(&copy->path));
	}
	return fd < 0 ? fail(copy, fd, err) : fd;
}

static int copy_directory(struct copy *copy, struct stat *st, int source_fd,
			  const char *source_name, int target_fd,
			  const char *target_name, struct error *err)
{
	cleanup_fd int in = -1;
	cleanup_fd int out = -1;
	bool made;
	int r;

	in = open_directory(source_fd, source_name, RESOLVE_NO_XDEV);
	if (in < 0 && in != -EXDEV)
		return has_changed(-in) ? 0 : fail(copy, in, err);
	/* A mount point keeps the attributes it was seen with. */
	if (in >= 0 && fstat(in, st) < 0)
		return fail(copy, errno, err);
	out = open_target(copy, target_fd, target_name, &made, err);
	if (out == -EEXIST)
		return 0;
	if (out < 0)
		return out;
	if (made)
		copy->report.entries++;
	if (in == -EXDEV) {
		copy->report.skipped++;
	} else {
		r = copy_contents(copy, in, out, err);
		if (r < 0)
			return r;
	}
	if (!made && !replaces(copy))
		return 0;
	r = copy_attributes(copy, in, out, st);
	return r < 0 ? fail(copy, r, err) : 0;
}

static int copy_one(struct copy *copy, int source_fd, const char *source_name,
		    int target_fd, const char *target_name, struct error *err)
{
	struct stat st;

	if (fstatat(source_fd, source_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return has_changed(errno) ? 0 : fail(copy, errno, err);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_directory(copy, &st, source_fd, source_name,
				      target_fd, target_name, err);
	case S_IFREG:
	case S_IFLNK:
	case S_IFIFO:
		return copy_node(copy, &st, source_fd, source_name, target_fd,
				 target_name, err);
	default:
		copy->report.skipped++;
		return 0;
	}
}

static void copy_release(struct copy *copy)
{
	copy_links_release(copy);
	str_release(&copy->path);
	free(copy->buffer);
	copy->buffer = NULL;
}

static int copy_init(struct copy *copy, int target_fd,
		     const struct copy_request *request, struct error *err)
{
	*copy = (struct copy){.request = request, .target_fd = target_fd};
	if (fstat(target_fd, &copy->target_st) < 0)
		return err_errno(err, "cannot look at the copy's target");
	copy->buffer = xrealloc(NULL, COPY_BUFFER_SIZE, 1);
	return 0;
}

int copy_tree(int source_fd, int target_fd, const struct copy_request *request,
	      struct copy_report *ret_report, struct error *err)
{
	CLEANUP(copy_release) struct copy copy = {0};
	cleanup_fd int in = -1;
	cleanup_fd int out = -1;
	struct stat st;
	int r = copy_init(&copy, target_fd, request, err);

	if (r < 0)
		return r;
	/* They may be O_PATH, which can do little. */
	in = openat(source_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return err_errno(err, "cannot open the copy's source");
	out = openat(target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out < 0)
		return err_errno(err, "cannot open the copy's target");
	r = copy_contents(&copy, in, out, err);
	if (r < 0)
		return r;
	if (!(request->flags & COPY_KEEP_TARGET))
		r = copy_attributes(&copy, in, out, &st);
	if (r < 0)
		return fail(&copy, r, err);
	if (ret_report)
		*ret_report = copy.report;
	return 0;
}

int copy_entry(int source_fd, const char *source_name, int target_fd,
	       const char *target_name, const struct copy_request *request,
	       struct copy_report *ret_report, struct error *err)
{
	CLEANUP(copy_release) struct copy copy = {0};
	struct stat st;
	int r = copy_init(&copy, target_fd, request, err);

	if (r < 0)
		return r;
	path_push(&copy, target_name);
	if (fstatat(source_fd, source_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "cannot copy %s", source_name);
	r = copy_one(&copy, source_fd, source_name, target_fd, target_name,
		     err);
	if (r < 0)
		return r;
	if (ret_report)
		*ret_report = copy.report;
	return 0;
}
