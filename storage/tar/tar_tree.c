#include "storage/tar/tar_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_xattrs.h"

struct link {
	dev_t dev;
	ino_t ino;
	char path[]; /* in the archive */
};

struct tree {
	const struct tree_request *request;
	struct tree_report report;
	struct str path;   /* in the archive */
	size_t top_length; /* of the prefix and its slash in it */
	unsigned int depth;
	uint64_t names_held; /* bytes */
	void *links;	     /* tsearch(3) tree of struct link */
	size_t link_count;
};

/* The entries of one directory, sorted. */
struct names {
	struct str text; /* one after the other, each with its NUL */
	const char **list;
	size_t count;
};

static int write_name(struct tree *tree, int dir_fd, const char *name,
		      struct error *err);

static void names_release(struct names *names)
{
	str_release(&names->text);
	free(names->list);
}

static int fail(const struct tree *tree, int number, struct error *err)
{
	const char *path = str_text(&tree->path);

	return err_number(err, number, "cannot read \"%.512s\"",
			  *path ? path : ".");
}

static int refuse(const struct tree *tree, const char *why, struct error *err)
{
	return err_set(err, ERROR_INVALID, "\"%.512s\": %s",
		       str_text(&tree->path), why);
}

/*
 * Did the entry go away or become something else since it was looked at? Over
 * FUSE a file that is open may be gone as well.
 */
static bool has_changed(int number)
{
	return number == ENOENT || number == ENOTDIR || number == ELOOP ||
	       number == ENXIO || number == ESTALE || number == EINVAL;
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(struct names *names)
{
	const char *at = str_text(&names->text);

	names->list = xcalloc(names->count + 1, sizeof(*names->list));
	for (size_t i = 0; i < names->count; i++) {
		names->list[i] = at;
		at += strlen(at) + 1;
	}
	qsort(names->list, names->count, sizeof(*names->list), compare_names);
}

static int read_names(struct tree *tree, int dir_fd, struct names *names,
		      struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return has_changed(errno) ? 0 : fail(tree, errno, err);
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return fail(tree, ENOMEM, err);
	}
	while (errno = 0, (entry = readdir(dir))) {
		size_t length = strlen(entry->d_name) + 1;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		tree->names_held += length + sizeof(*names->list);
		if (tree->names_held > TREE_NAMES_MAX)
			return refuse(tree, "more names than can be sorted",
				      err);
		str_append_bytes(&names->text, entry->d_name, length);
		names->count++;
	}
	if (errno != 0 && !has_changed(errno))
		return fail(tree, errno, err);
	sort_names(names);
	return 0;
}

static void path_push(struct tree *tree, const char *name)
{
	if (tree->path.length > 0 &&
	    tree->path.data[tree->path.length - 1] != '/')
		str_append_char(&tree->path, '/');
	str_append(&tree->path, name);
}

static void path_cut(struct tree *tree, size_t length)
{
	tree->path.length = length;
	if (tree->path.data)
		tree->path.data[length] = '\0';
}

/* ---- links ---- */

static int compare_links(const void *a, const void *b)
{
	const struct link *left = a;
	const struct link *right = b;

	if (left->dev != right->dev)
		return left->dev < right->dev ? -1 : 1;
	return (left->ino > right->ino) - (left->ino < right->ino);
}

static const struct link *find_link(const struct tree *tree,
				    const struct stat *st)
{
	const struct link key = {.dev = st->st_dev, .ino = st->st_ino};
	const struct link *const *found;

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return NULL;
	found = tfind(&key, &tree->links, compare_links);
	return found ? *found : NULL;
}

static void add_link(struct tree *tree, const struct stat *st, const char *path)
{
	size_t length = strlen(path);
	struct link *link;

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode) ||
	    tree->link_count >= TREE_LINKS_MAX)
		return;
	link = xcalloc(1, sizeof(*link) + length + 1);
	link->dev = st->st_dev;
	link->ino = st->st_ino;
	memcpy(link->path, path, length);
	if (!tsearch(link, &tree->links, compare_links))
		str_oom();
	tree->link_count++;
}

/* ---- entries ---- */

static int read_xattrs(struct tree *tree, int fd, struct tar_entry *entry,
		       struct error *err)
{
	uint64_t skipped = 0;
	int r = tar_xattrs_read(fd, &entry->xattrs, &entry->xattr_count,
				&skipped);

	tree->report.xattrs_skipped += skipped;
	return r < 0 && !has_changed(-r) ? fail(tree, r, err) : 0;
}

static int put(struct tree *tree, struct tree_item *item, struct error *err)
{
	struct tar_writer *writer = tree->request->writer;
	const struct link *link = find_link(tree, &item->st);
	struct tar_entry *entry = &item->entry;
	int r = 0;

	tree->report.entries++;
	if (!writer)
		return 0;
	if (link) {
		entry->type = TAR_HARDLINK;
		entry->link = (char *)(uintptr_t)link->path;
		entry->size = 0;
		return tar_write_entry(writer, entry, err);
	}
	if (item->fd >= 0)
		r = read_xattrs(tree, item->fd, entry, err);
	if (r == 0 && entry->type == TAR_FILE && item->fd >= 0) {
		tree->report.bytes += entry->size;
		r = tar_write_file(writer, entry, item->fd, err);
	} else if (r == 0) {
		r = tar_write_entry(writer, entry, err);
	}
	tar_xattrs_free(entry->xattrs, entry->xattr_count);
	entry->xattrs = NULL;
	entry->xattr_count = 0;
	if (r == 0)
		add_link(tree, &item->st, entry->path);
	return r;
}

/* TREE_TAKE when it was written. */
static int take(struct tree *tree, struct tree_item *item, struct error *err)
{
	const struct tree_hooks *hooks = &tree->request->hooks;
	int r = TREE_TAKE;

	item->path = tree->path.length > tree->top_length
			     ? tree->path.data + tree->top_length
			     : "";
	tar_entry_from_stat(&item->entry, &item->st);
	item->entry.path = tree->path.data;
	if (hooks->on_item)
		r = hooks->on_item(hooks->data, item, err);
	if (r != TREE_TAKE)
		return r;
	r = put(tree, item, err);
	return r < 0 ? r : TREE_TAKE;
}

static int write_names(struct tree *tree, int dir_fd, struct error *err)
{
	CLEANUP(names_release) struct names names = {0};
	const uint64_t held = tree->names_held;
	const size_t length = tree->path.length;
	int r = read_names(tree, dir_fd, &names, err);

	if (r == 0 && ++tree->depth > TAR_DEPTH_MAX)
		return refuse(tree, "too many directories deep", err);
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		path_push(tree, names.list[i]);
		r = write_name(tree, dir_fd, names.list[i], err);
		path_cut(tree, length);
	}
	tree->depth--;
	tree->names_held = held;
	return r;
}

static int open_directory(const struct tree *tree, int dir_fd, const char *name)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   (tree->request->enter_mounts ? 0 : RESOLVE_NO_XDEV),
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

static int write_directory(struct tree *tree, struct tree_item *item,
			   struct error *err)
{
	const struct tree_hooks *hooks = &tree->request->hooks;
	cleanup_fd int fd = open_directory(tree, item->parent_fd, item->name);
	int r;

	if (fd < 0 && fd != -EXDEV)
		return has_changed(-fd) ? 0 : fail(tree, fd, err);
	/* A mount point keeps the attributes it was seen with. */
	if (fd >= 0 && fstat(fd, &item->st) < 0)
		return has_changed(errno) ? 0 : fail(tree, errno, err);
	item->fd = fd >= 0 ? fd : -1;
	r = take(tree, item, err);
	if (r != TREE_TAKE || fd < 0)
		return r < 0 ? r : 0;
	if (hooks->on_directory) {
		r = hooks->on_directory(hooks->data, item, err);
		if (r < 0)
			return r;
	}
	return write_names(tree, fd, err);
}

static int write_file(struct tree *tree, struct tree_item *item,
		      struct error *err)
{
	cleanup_fd int fd = -1;
	int r;

	/* Not to be stopped by a FIFO that took its place. */
	fd = openat(item->parent_fd, item->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &item->st) < 0)
		return has_changed(errno) ? 0 : fail(tree, errno, err);
	if (!S_ISREG(item->st.st_mode))
		return 0;
	item->fd = fd;
	r = take(tree, item, err);
	return r < 0 ? r : 0;
}

static int write_symlink(struct tree *tree, struct tree_item *item,
			 struct error *err)
{
	char text[PATH_MAX + 1];
	ssize_t length =
		readlinkat(item->parent_fd, item->name, text, sizeof(text));
	int r;

	if (length < 0)
		return has_changed(errno) ? 0 : fail(tree, errno, err);
	if (length >= (ssize_t)sizeof(text))
		return fail(tree, ENAMETOOLONG, err);
	text[length] = '\0';
	item->entry.link = text;
	r = take(tree, item, err);
	return r < 0 ? r : 0;
}

static int write_name(struct tree *tree, int dir_fd, const char *name,
		      struct error *err)
{
	struct tree_item item = {.parent_fd = dir_fd, .name = name, .fd = -1};
	int r;

	if (tree->path.length >= TAR_PATH_MAX - 1)
		return refuse(tree, "the name is too long for an archive", err);
	if (fstatat(dir_fd, name, &item.st, AT_SYMLINK_NOFOLLOW) < 0)
		return has_changed(errno) ? 0 : fail(tree, errno, err);
	switch (item.st.st_mode & S_IFMT) {
	case S_IFDIR:
		return write_directory(tree, &item, err);
	case S_IFREG:
		return write_file(tree, &item, err);
	case S_IFLNK:
		return write_symlink(tree, &item, err);
	case S_IFSOCK:
		tree->report.sockets++;
		return 0;
	default:
		r = take(tree, &item, err);
		return r < 0 ? r : 0;
	}
}

/* ---- the whole ---- */

static void tree_release(struct tree *tree)
{
	tdestroy(tree->links, free);
	str_release(&tree->path);
}

/* One descriptor a level, below whatever soft limit the caller was given. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur >= TAR_DEPTH_MAX + 64)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void tree_init(struct tree *tree, const struct tree_request *request)
{
	*tree = (struct tree){
		.request = request,
	};
	str_append(&tree->path, request->prefix ? request->prefix : "");
	tree->top_length = tree->path.length;
	if (tree->top_length > 0 && !str_ends(request->prefix, "/"))
		tree->top_length++;
	raise_limit();
}

int tree_write(int top_fd, const struct tree_request *request,
	       struct tree_report *ret_report, struct error *err)
{
	CLEANUP(tree_release) struct tree tree = {0};
	int r;

	tree_init(&tree, request);
	r = write_names(&tree, top_fd, err);
	if (r == 0 && ret_report)
		*ret_report = tree.report;
	return r;
}

int tree_write_one(int dir_fd, const char *name,
		   const struct tree_request *request,
		   struct tree_report *ret_report, struct error *err)
{
	CLEANUP(tree_release) struct tree tree = {0};
	struct stat st;
	int r;

	tree_init(&tree, request);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(&tree, errno, err);
	r = write_name(&tree, dir_fd, name, err);
	if (r == 0 && ret_report)
		*ret_report = tree.report;
	return r;
}
