#include "storage/check/check_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/check/check_tree_internal.h"

#define PIECE_SIZE (256u << 10)
#define WHAT_MAX   160

void checker_report(struct checker *checker, const struct model_link *link,
		    const char *name, const char *format, ...)
{
	cleanup_free char *directory = tree_model_path(link);
	cleanup_free char *path = NULL;
	char what[WHAT_MAX];
	va_list arguments;

	path = !name	    ? xstrdup(directory)
	       : *directory ? xasprintf("%s/%s", directory, name)
			    : xstrdup(name);
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	checker->check->report(checker->check->data, path, what);
}

/* ---- the bytes of files, as they come ---- */

/* The directory that holds the link, on disk; most files follow each other. */
static int open_directory(struct checker *checker,
			  const struct model_node *directory)
{
	cleanup_free char *path = NULL;

	if (checker->directory == directory)
		return checker->directory_fd;
	close_fd(&checker->directory_fd);
	checker->directory = NULL;
	path = tree_model_path(directory->self);
	checker->directory_fd =
		path_open_in_root(checker->check->root_fd, *path ? path : "/",
				  O_PATH | O_DIRECTORY, 0);
	if (checker->directory_fd < 0) {
		checker->directory_fd = -1;
		return -1;
	}
	checker->directory = directory;
	return checker->directory_fd;
}

static bool same_bytes(struct checker *checker, int fd, const char *bytes,
		       size_t length, uint64_t offset)
{
	while (length > 0) {
		size_t part = length < PIECE_SIZE ? length : PIECE_SIZE;
		ssize_t got = pread(fd, checker->buffer, part, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 ||
		    memcmp(checker->buffer, bytes, (size_t)got) != 0)
			return false;
		bytes += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return true;
}

/* Zeros from `from` to `to`; holes of the file are not read. */
static bool same_hole(struct checker *checker, int fd, uint64_t from,
		      uint64_t to)
{
	static const char zeros[PIECE_SIZE];

	while (from < to) {
		off_t data = lseek(fd, (off_t)from, SEEK_DATA);
		uint64_t part;

		if (data < 0 && errno == ENXIO)
			return true;
		if (data >= 0)
			from = (uint64_t)data;
		if (from >= to)
			return true;
		part = to - from < PIECE_SIZE ? to - from : PIECE_SIZE;
		if (!same_bytes(checker, fd, zeros, (size_t)part, from))
			return false;
		from += part;
	}
	return true;
}

/* Reads all data of the entry, also when it is not to be compared (fd -1). */
static int compare_data(struct checker *checker, struct model_node *node,
			int fd, struct error *err)
{
	const void *bytes = NULL;
	size_t length = 0;
	uint64_t offset = 0;
	uint64_t at = 0;
	bool same = fd >= 0;
	int r;

	while ((r = tar_data(checker->check->reader, &bytes, &length, &offset,
			     err)) > 0) {
		same = same && same_hole(checker, fd, at, offset) &&
		       same_bytes(checker, fd, bytes, length, offset);
		at = offset + length;
	}
	if (r < 0)
		return r;
	node->differs = !same || !same_hole(checker, fd, at, node->size);
	return 0;
}

static int compare_file(struct checker *checker, struct model_link *link,
			struct error *err)
{
	int directory_fd = open_directory(checker, link->directory);
	cleanup_fd int fd = -1;
	struct stat st;

	if (directory_fd >= 0)
		fd = openat(directory_fd, link->name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* What is something else is found out at the end. */
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
			(uint64_t)st.st_size != link->node->size))
		close_fd(&fd);
	return compare_data(checker, link->node, fd, err);
}

static int read_archive(struct checker *checker, struct error *err)
{
	const struct tar_entry *entry;
	int r;

	while ((r = tar_next(checker->check->reader, &entry, err)) > 0) {
		struct model_link *link = NULL;

		r = tree_model_add(checker->model, entry, &link, err);
		if (r == 0 && link)
			r = compare_file(checker, link, err);
		if (r < 0)
			return r;
		/* A later entry may have moved it. */
		if (entry->type != TAR_FILE)
			checker->directory = NULL;
	}
	return r;
}

/* ---- the tree, at the end ---- */

/* Was the file looked at by another of its names? */
static bool is_known(struct checker *checker, struct model_link *link,
		     const struct stat *st)
{
	struct model_node *node = link->node;

	if (node->on_disk && node->inode == st->st_ino)
		return true;
	if (node->on_disk)
		checker_report(checker, link, NULL,
			       "is no hard link of its other names");
	node->on_disk = true;
	node->inode = st->st_ino;
	return false;
}

static void compare_link(struct checker *checker, struct model_link *link,
			 int directory_fd)
{
	struct model_node *node = link->node;
	struct stat st;

	link->seen = true;
	if (fstatat(directory_fd, link->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		checker_report(checker, link, NULL, "cannot be read: %s",
			       strerror(errno));
		return;
	}
	if (!checker_has_type(link, directory_fd, &st)) {
		checker_report(checker, link, NULL, "is of another type");
		return;
	}
	if (is_known(checker, link, &st) || node->type == MODEL_WHITEOUT)
		return;
	if (node->type == MODEL_FILE && (uint64_t)st.st_size != node->size)
		checker_report(checker, link, NULL,
			       "has %llu bytes instead of %llu",
			       (unsigned long long)st.st_size,
			       (unsigned long long)node->size);
	else if (node->type == MODEL_FILE && node->differs && !node->moved)
		checker_report(checker, link, NULL, "has other content");
	checker_attributes(checker, link, directory_fd, &st);
	if (node->type == MODEL_DIRECTORY)
		checker_push(checker, node);
}

/* Whiteouts in an opaque directory hide nothing; one form leaves them out. */
static bool may_be_missing(const struct model_link *link)
{
	return link->node->type == MODEL_WHITEOUT && link->directory->opaque;
}

static void compare_directory(struct checker *checker,
			      struct model_node *directory)
{
	cleanup_free char *path = tree_model_path(directory->self);
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = path_open_in_root(checker->check->root_fd, *path ? path : "/",
				   O_RDONLY | O_DIRECTORY, 0);

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		checker_report(checker, directory->self, NULL,
			       "cannot be read: %s",
			       strerror(fd < 0 ? -fd : errno));
		if (fd >= 0)
			close_fd(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		struct model_link *link;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		link = tree_model_find(directory, entry->d_name);
		if (link)
			compare_link(checker, link, fd);
		else
			checker_report(checker, directory->self, entry->d_name,
				       "is not in the layer");
	}
	for (const struct model_link *link = directory->first; link;
	     link = link->next) {
		if (!link->seen && !may_be_missing(link))
			checker_report(checker, link, NULL, "is missing");
	}
}

void checker_push(struct checker *checker, struct model_node *directory)
{
	if (checker->pending_count == checker->pending_room) {
		checker->pending_room =
			checker->pending_room ? checker->pending_room * 2 : 64;
		checker->pending =
			xrealloc(checker->pending, checker->pending_room,
				 sizeof(struct model_node *));
	}
	checker->pending[checker->pending_count++] = directory;
}

static void compare_tree(struct checker *checker)
{
	struct model_link *root = &checker->model->root;
	struct stat st;

	if (fstat(checker->check->root_fd, &st) == 0)
		checker_attributes(checker, root, checker->check->root_fd, &st);
	if (!cJSON_Compare(checker->model->devices, checker->check->devices,
			   true))
		checker_report(checker, root, NULL,
			       "has other device nodes in layer.json");
	checker_push(checker, root->node);
	while (checker->pending_count > 0)
		compare_directory(checker,
				  checker->pending[--checker->pending_count]);
}

static void checker_release(struct checker *checker)
{
	close_fd(&checker->directory_fd);
	tree_model_free(checker->model);
	free(checker->pending);
	free(checker->buffer);
}

int check_tree(const struct check_tree *check, struct error *err)
{
	CLEANUP(checker_release)
	struct checker checker = {
		.check = check,
		.model = tree_model_new(),
		.directory_fd = -1,
		.buffer = xrealloc(NULL, PIECE_SIZE, 1),
	};
	int r;

	checker_read_maps(&checker);
	r = read_archive(&checker, err);
	if (r == 0)
		compare_tree(&checker);
	return r;
}
