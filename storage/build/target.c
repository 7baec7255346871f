#include "storage/build/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_xattrs.h"

#define LINKS_MAX      40 /* the kernel's */
#define DIRECTORY_MODE 0755
#define WHITEOUT       ".wh."

/* What is known of a path: all that was written, and what was looked at below,
   as far as it is a directory or a link. */
struct node {
	enum target_kind kind;
	bool written;	 /* to the layer */
	uint64_t number; /* of its entry, of what is no directory */
	bool fresh;	 /* a directory: nothing below shows in it */
	bool hides;	 /* is in the place of a directory of the root below */
	char *link;
	struct stat st; /* of a directory below that is not written */
	struct node *next;
	char path[];
};

struct target {
	struct target_options options;
	void *nodes; /* tsearch(3), by path */
	struct node *first;
	uint64_t entries;
	uint64_t names; /* bytes of their paths */
};

static int compare_nodes(const void *a, const void *b)
{
	const struct node *left = a;
	const struct node *right = b;

	return strcmp(left->path, right->path);
}

static void node_free(struct node *node)
{
	free(node->link);
	free(node);
}

struct target *target_new(const struct target_options *options)
{
	struct target *target = xcalloc(1, sizeof(*target));

	target->options = *options;
	return target;
}

void target_free(struct target *target)
{
	if (!target)
		return;
	while (target->first) {
		struct node *node = target->first;

		target->first = node->next;
		tdelete(node, &target->nodes, compare_nodes);
		node_free(node);
	}
	free(target);
}

void cleanup_target_function(struct target **target)
{
	target_free(*target);
}

uint64_t target_entries(const struct target *target)
{
	return target->entries;
}

/* ---- what is there ---- */

static struct node *node_new(const char *path, enum target_kind kind)
{
	size_t length = strlen(path);
	struct node *node = xcalloc(1, sizeof(*node) + length + 1);

	memcpy(node->path, path, length);
	node->kind = kind;
	return node;
}

static struct node *known(const struct target *target, const char *path)
{
	/* The key is a node, whose path is behind it. */
	cleanup_free struct node *key = node_new(path, TARGET_NOTHING);
	struct node *const *found = tfind(key, &target->nodes, compare_nodes);

	return found ? *found : NULL;
}

static struct node *add(struct target *target, struct node *node)
{
	struct node **slot = tsearch(node, &target->nodes, compare_nodes);

	if (!slot)
		str_oom();
	node->next = target->first;
	target->first = node;
	return *slot;
}

static int fail(int number, const char *path, struct error *err)
{
	return err_number(err, number, "cannot look at \"/%.512s\"", path);
}

/* Of the root below; *ret_node: NULL when there is nothing. */
static int look_below(struct target *target, const char *path,
		      struct node **ret_node, struct error *err)
{
	char link[PATH_MAX];
	cleanup_fd int fd = -1;
	struct node *node;
	struct stat st;
	ssize_t length;

	*ret_node = NULL;
	if (target->options.root_fd < 0)
		return 0;
	fd = path_open_in_root(target->options.root_fd, *path ? path : "/",
			       O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fail(fd, path, err);
	if (fstat(fd, &st) < 0)
		return fail(errno, path, err);
	node = node_new(path, S_ISDIR(st.st_mode)   ? TARGET_DIRECTORY
			      : S_ISLNK(st.st_mode) ? TARGET_LINK
						    : TARGET_OTHER);
	node->st = st;
	if (node->kind == TARGET_LINK) {
		length = readlinkat(fd, "", link, sizeof(link) - 1);
		if (length < 0) {
			node_free(node);
			return fail(errno, path, err);
		}
		node->link = xstrndup(link, (size_t)length);
	}
	*ret_node = add(target, node);
	return 0;
}

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return xstrndup(path, slash ? (size_t)(slash - path) : 0);
}

/* Does the directory that holds path, or one above it, hide all below? */
static bool is_hidden(const struct target *target, const char *path)
{
	cleanup_free char *parent = xstrdup(path);

	while (*parent) {
		char *slash = strrchr(parent, '/');
		const struct node *node;

		*(slash ? slash : parent) = '\0';
		node = known(target, parent);
		if (node)
			return node->fresh || node->kind != TARGET_DIRECTORY;
	}
	return false;
}

static int find(struct target *target, const char *path, struct node **ret_node,
		struct error *err)
{
	*ret_node = known(target, path);
	if (*ret_node || is_hidden(target, path))
		return 0;
	return look_below(target, path, ret_node, err);
}

int target_look(struct target *target, const char *resolved, struct error *err)
{
	struct node *node = NULL;
	int r;

	if (!*resolved)
		return TARGET_DIRECTORY;
	r = find(target, resolved, &node, err);
	if (r < 0)
		return r;
	return node ? (int)node->kind : TARGET_NOTHING;
}

uint64_t target_file_number(const struct target *target, const char *resolved)
{
	const struct node *node = known(target, resolved);

	return node && node->kind != TARGET_DIRECTORY ? node->number : 0;
}

/* ---- links ---- */

static void push(char **path, const char *name, size_t length)
{
	char *longer = xasprintf("%s%s%.*s", *path, **path ? "/" : "",
				 (int)length, name);

	free(*path);
	*path = longer;
}

int target_resolve(struct target *target, const char *base, const char *path,
		   bool follow, char **ret_resolved, struct error *err)
{
	cleanup_free char *rest = xstrdup(path);
	cleanup_free char *at = xstrdup(*path == '/' ? "" : base);
	unsigned int links = 0;

	for (char *next = rest + strspn(rest, "/"); *next;) {
		size_t length = strcspn(next, "/");
		char *after = next + length + strspn(next + length, "/");
		cleanup_free char *parent = xstrdup(at);
		struct node *node = NULL;
		char *longer;
		int r;

		if (length == 2 && strncmp(next, "..", 2) == 0) {
			char *up = parent_of(at);

			free(at);
			at = up;
		} else if (length != 1 || *next != '.') {
			push(&at, next, length);
			if (strlen(at) >= TAR_PATH_MAX)
				return err_set(err, ERROR_INVALID,
					       "\"%.128s…\": the path is too "
					       "long",
					       path);
			r = find(target, at, &node, err);
			if (r < 0)
				return r;
		}
		if (!node || node->kind != TARGET_LINK ||
		    (!*after && !follow)) {
			next = after;
			continue;
		}
		if (++links > LINKS_MAX)
			return fail(ELOOP, at, err);
		free(at);
		at = *node->link == '/' ? xstrdup("") : steal_ptr(&parent);
		longer = xasprintf("%s/%s", node->link, after);
		free(rest);
		rest = longer;
		next = rest + strspn(rest, "/");
	}
	*ret_resolved = steal_ptr(&at);
	return 0;
}

/* ---- writing ---- */

static void clamp(const struct target *target, struct timespec *time)
{
	const int64_t epoch = target->options.epoch;

	if (epoch >= 0 && time->tv_sec >= epoch)
		*time = (struct timespec){.tv_sec = epoch};
}

static int check_name(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');

	if (!str_starts(slash ? slash + 1 : path, WHITEOUT))
		return 0;
	err_set(err, ERROR_INVALID,
		"\"/%.512s\": in a layer a name that begins with \".wh.\" says "
		"that a file is gone",
		path);
	return err_hint(err, "rename it, or leave it out by .dockerignore or "
			     "--exclude");
}

static int count(struct target *target, const char *path, struct error *err)
{
	target->entries++;
	target->names += strlen(path);
	if (target->entries <= TAR_ENTRIES_MAX &&
	    target->names <= LAYER_NAMES_MAX)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "\"/%.512s\": more files than a layer may have", path);
}

static int write_entry(struct target *target, struct tar_entry *entry, int fd,
		       struct error *err)
{
	struct tar_writer *writer = target->options.writer;
	int r = check_name(entry->path, err);

	if (r == 0)
		r = count(target, entry->path, err);
	if (r < 0)
		return r;
	clamp(target, &entry->mtime);
	return fd >= 0 ? tar_write_file(writer, entry, fd, err)
		       : tar_write_entry(writer, entry, err);
}

/* A directory of the root below, as it is. */
static int write_below(struct target *target, struct node *node,
		       struct error *err)
{
	cleanup_fd int fd =
		path_open_in_root(target->options.root_fd, node->path,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct tar_entry entry = {
		.type = TAR_DIRECTORY,
		.path = node->path,
		.link = node->path + strlen(node->path),
		.mode = node->st.st_mode & 07777,
		.uid = node->st.st_uid,
		.gid = node->st.st_gid,
		.mtime = node->st.st_mtim,
	};
	int r;

	if (fd < 0)
		return fail(fd, node->path, err);
	r = tar_xattrs_read(fd, &entry.xattrs, &entry.xattr_count, NULL);
	if (r < 0)
		return fail(r, node->path, err);
	node->written = true;
	r = write_entry(target, &entry, -1, err);
	tar_xattrs_free(entry.xattrs, entry.xattr_count);
	return r;
}

/* All directories above path are there; now the layer says so. */
static int write_parents(struct target *target, const char *path,
			 struct error *err)
{
	cleanup_free char *parent = parent_of(path);
	struct node *node = NULL;
	int r;

	if (!*parent)
		return 0;
	r = find(target, parent, &node, err);
	if (r < 0 || (node && node->written))
		return r;
	if (!node || node->kind != TARGET_DIRECTORY)
		return err_set(err, ERROR_CONFLICT,
			       "\"/%.512s\" is not a directory", parent);
	r = write_parents(target, parent, err);
	return r < 0 ? r : write_below(target, node, err);
}

static int make_directory(struct target *target, const char *path, mode_t mode,
			  const struct timespec *mtime, struct error *err)
{
	struct node *node = node_new(path, TARGET_DIRECTORY);
	struct tar_entry entry = {
		.type = TAR_DIRECTORY,
		.path = node->path,
		.link = node->path + strlen(node->path),
		.mode = mode,
		.uid = target->options.uid,
		.gid = target->options.gid,
		.mtime = *mtime,
	};

	node->written = true;
	node->fresh = true;
	add(target, node);
	return write_entry(target, &entry, -1, err);
}

int target_mkdirs(struct target *target, const char *resolved, mode_t mode,
		  const struct timespec *mtime, struct error *err)
{
	cleanup_free char *parent = parent_of(resolved);
	int r = target_look(target, resolved, err);

	if (r < 0 || r == TARGET_DIRECTORY)
		return r < 0 ? r : 0;
	if (r != TARGET_NOTHING)
		return err_set(err, ERROR_CONFLICT,
			       "cannot make directory \"/%.512s\": there is a "
			       "file of that name",
			       resolved);
	r = target_mkdirs(target, parent, mode, mtime, err);
	if (r >= 0)
		r = write_parents(target, resolved, err);
	if (r >= 0)
		r = make_directory(target, resolved, mode, mtime, err);
	return r < 0 ? r : 1;
}

static int check_conflict(const struct tar_entry *entry,
			  const struct node *node,
			  enum target_conflict conflict, struct error *err)
{
	const bool is_directory = entry->type == TAR_DIRECTORY;

	if (!node || (node->kind == TARGET_DIRECTORY) == is_directory)
		return 0;
	if (is_directory && node->hides)
		return err_set(
			err, ERROR_UNSUPPORTED,
			"\"/%.512s\" is a directory, then a file, then a "
			"directory again: no layer can say that",
			entry->path);
	if (conflict == TARGET_REPLACE)
		return 0;
	return is_directory ? err_set(err, ERROR_CONFLICT,
				      "cannot copy to non-directory: /%.512s",
				      entry->path)
			    : err_set(err, ERROR_CONFLICT,
				      "cannot replace to directory /%.512s "
				      "with file",
				      entry->path);
}

/* A directory gives way, with what was known of it. */
static void forget_below(struct target *target, const char *path)
{
	const size_t length = strlen(path);

	for (struct node **at = &target->first; *at;) {
		struct node *node = *at;

		if (!str_starts(node->path, path) ||
		    node->path[length] != '/') {
			at = &node->next;
			continue;
		}
		*at = node->next;
		tdelete(node, &target->nodes, compare_nodes);
		node_free(node);
	}
}

static void note(struct target *target, const struct tar_entry *entry,
		 struct node *node)
{
	const bool was_directory = node && node->kind == TARGET_DIRECTORY;

	if (!node)
		node = add(target, node_new(entry->path, TARGET_NOTHING));
	if (entry->type == TAR_DIRECTORY) {
		/* What it replaces had nothing below it. */
		if (!was_directory)
			node->fresh = true;
	} else if (was_directory) {
		node->hides = !node->fresh;
		forget_below(target, entry->path);
	}
	free(node->link);
	node->link = NULL;
	node->kind = entry->type == TAR_DIRECTORY ? TARGET_DIRECTORY
		     : entry->type == TAR_SYMLINK ? TARGET_LINK
						  : TARGET_OTHER;
	if (node->kind == TARGET_LINK)
		node->link = xstrdup(entry->link);
	node->written = true;
	node->number = target->entries + 1;
}

int target_put(struct target *target, struct tar_entry *entry, int fd,
	       enum target_conflict conflict, struct error *err)
{
	struct node *node = NULL;
	int r;

	if (!*entry->path)
		return err_set(err, ERROR_CONFLICT,
			       "cannot replace the root directory");
	r = find(target, entry->path, &node, err);
	if (r == 0)
		r = check_conflict(entry, node, conflict, err);
	if (r == 0)
		r = write_parents(target, entry->path, err);
	if (r < 0)
		return r;
	note(target, entry, node);
	return write_entry(target, entry, fd, err);
}
