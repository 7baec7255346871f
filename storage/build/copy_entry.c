/* Sources as entries of the layer, see storage/build/copy.h. */
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/build/copy.h"
#include "storage/build/mode.h"
#include "storage/tar/hash.h"
#include "storage/tar/tar_tree.h"

#define DIRECTORY_MODE 0755
#define READ_SIZE      (128u << 10)

/* A file with several names that was written. */
struct link {
	dev_t dev;
	ino_t ino;
	uint64_t number; /* of its entry */
	char path[];
};

/* One input on its way. */
struct copier {
	struct copy *copy;
	const struct copy_input *input;
	struct target *target;
	struct tar_writer *writer;
	char *base;  /* where the source goes, resolved */
	void *links; /* tsearch(3) */
	size_t link_count;
};

static void copier_release(struct copier *copier)
{
	free(copier->base);
	tdestroy(copier->links, free);
}

static char *below(const char *directory, const char *name)
{
	return *directory && *name ? xasprintf("%s/%s", directory, name)
				   : xstrdup(*name ? name : directory);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- files with several names ---- */

static int compare_links(const void *a, const void *b)
{
	const struct link *left = a;
	const struct link *right = b;

	if (left->dev != right->dev)
		return left->dev < right->dev ? -1 : 1;
	return (left->ino > right->ino) - (left->ino < right->ino);
}

static bool has_links(const struct copier *copier,
		      const struct content_entry *entry)
{
	return (copier->input->kind == COPY_FROM_ROOT ||
		copier->input->kind == COPY_FROM_CONTEXT) &&
	       S_ISREG(entry->st.st_mode) && entry->fd >= 0 &&
	       entry->st.st_nlink > 1;
}

/* Where it was written already, if that is still there. */
static const char *find_link(const struct copier *copier,
			     const struct content_entry *entry)
{
	const struct link key = {
		.dev = entry->st.st_dev,
		.ino = entry->st.st_ino,
	};
	const struct link *const *found;

	if (!has_links(copier, entry))
		return NULL;
	found = tfind(&key, &copier->links, compare_links);
	return found && target_file_number(copier->target, (*found)->path) ==
				       (*found)->number
		       ? (*found)->path
		       : NULL;
}

static void add_link(struct copier *copier, const struct content_entry *entry,
		     const char *path)
{
	const size_t length = strlen(path);
	struct link *link;

	if (!has_links(copier, entry) || copier->link_count >= TREE_LINKS_MAX)
		return;
	link = xcalloc(1, sizeof(*link) + length + 1);
	link->dev = entry->st.st_dev;
	link->ino = entry->st.st_ino;
	link->number = target_file_number(copier->target, path);
	memcpy(link->path, path, length);
	if (*(struct link **)tsearch(link, &copier->links, compare_links) ==
	    link)
		copier->link_count++;
	else
		free(link);
}

/* What is not written again is read nonetheless: the digest wants it. */
static int read_again(const struct content_entry *entry, struct error *err)
{
	cleanup_free char *buffer = xcalloc(READ_SIZE, 1);
	uint64_t at = 0;
	ssize_t length;

	while ((length = pread(entry->fd, buffer, READ_SIZE, (off_t)at)) > 0) {
		content_seen(entry->sum, at, buffer, (size_t)length);
		at += (uint64_t)length;
	}
	return length < 0 ? err_errno(err, "cannot read \"%s\"", entry->path)
			  : 0;
}

/* ---- entries ---- */

/* An empty file of a root that stands in for a device node. */
static const struct layer_device *find_device(const struct copier *copier,
					      const struct content_entry *entry)
{
	const struct copy_input *input = copier->input;
	char link[PATH_FD_MAX];
	char top[PATH_MAX];
	char path[PATH_MAX];
	ssize_t top_length, length;

	if (input->devices.count == 0 || !S_ISREG(entry->st.st_mode) ||
	    entry->st.st_size > 0 || entry->fd < 0)
		return NULL;
	path_of_fd(link, input->root_fd);
	top_length = readlink(link, top, sizeof(top) - 1);
	path_of_fd(link, entry->fd);
	length = readlink(link, path, sizeof(path) - 1);
	/* A root that was mounted before another one is a place of its own. */
	if (top_length == 1)
		top_length = 0;
	if (top_length < 0 || length <= top_length)
		return NULL;
	path[length] = '\0';
	return layer_devices_find(&input->devices, path + top_length + 1);
}

static void fill_entry(const struct copier *copier,
		       const struct content_entry *source,
		       struct tar_entry *entry)
{
	const struct layer_device *device = find_device(copier, source);
	const struct copy *copy = copier->copy;
	const mode_t type = source->st.st_mode;

	tar_entry_from_stat(entry, &source->st);
	entry->xattrs = source->xattrs;
	entry->xattr_count = source->xattr_count;
	if (copy->mode && !S_ISLNK(type))
		entry->mode =
			mode_apply(copy->mode, entry->mode, S_ISDIR(type));
	if (copy->has_owner) {
		entry->uid = copy->owner.uid;
		entry->gid = copy->owner.gid;
	}
	if (source->fd < 0)
		entry->size = 0;
	/* Unpacked layers hold an empty file where a device is. */
	if (device) {
		entry->type = device->type;
		entry->device_major = device->major;
		entry->device_minor = device->minor;
	}
}

/* path: resolved. */
static int put(struct copier *copier, const struct content_entry *source,
	       char *path, struct error *err)
{
	static char empty[] = "";
	const char *link = find_link(copier, source);
	struct tar_entry entry = {.path = path, .link = empty};
	int fd;
	int r;

	fill_entry(copier, source, &entry);
	if (source->link)
		entry.link = (char *)(uintptr_t)source->link;
	if (link) {
		entry.type = TAR_HARDLINK;
		entry.link = (char *)(uintptr_t)link;
		entry.size = 0;
		r = target_put(copier->target, &entry, -1, TARGET_REFUSE, err);
		return r < 0 ? r : read_again(source, err);
	}
	fd = entry.type == TAR_FILE ? source->fd : -1;
	if (fd >= 0)
		tar_writer_tap(copier->writer, content_seen, source->sum);
	r = target_put(copier->target, &entry, fd, TARGET_REFUSE, err);
	tar_writer_tap(copier->writer, NULL, NULL);
	if (r == 0)
		add_link(copier, source, path);
	return r;
}

/* ---- where a source goes ---- */

/* Does the destination say that it is a directory? */
static bool says_directory(const char *destination)
{
	return str_ends(destination, "/") || str_ends(destination, "/.");
}

static int make_directory(struct copier *copier, const char *resolved,
			  mode_t mode, const struct timespec *mtime,
			  struct error *err)
{
	int r = target_mkdirs(copier->target, resolved, mode, mtime, err);

	return r < 0 ? r : 0;
}

/* What is made on the way there. */
static mode_t parents_mode(const struct copier *copier)
{
	return mode_of_parents(copier->copy->mode, DIRECTORY_MODE);
}

/* The destination, or its parent, is made before anything is known of it. */
static int prepare(struct copier *copier, const struct timespec *mtime,
		   struct error *err)
{
	const char *destination = copier->copy->destination;
	cleanup_free char *directory = xstrdup(destination);
	cleanup_free char *resolved = NULL;
	int r;

	if (!says_directory(destination))
		*strrchr(directory, '/') = '\0';
	r = target_resolve(copier->target, "", directory, true, &resolved, err);
	if (r == 0)
		r = make_directory(copier, resolved, parents_mode(copier),
				   mtime, err);
	free(copier->base);
	copier->base = NULL;
	if (r == 0)
		r = target_resolve(copier->target, "", destination, true,
				   &copier->base, err);
	return r;
}

/* A directory's contents go there. What --chmod says is said of it, too. */
static int begin_directory(struct copier *copier,
			   const struct content_entry *entry, struct error *err)
{
	const char *mode = copier->copy->mode;
	int r = target_look(copier->target, copier->base, err);

	if (r < 0)
		return r;
	if (r != TARGET_NOTHING && r != TARGET_DIRECTORY)
		return err_set(err, ERROR_CONFLICT,
			       "cannot copy to non-directory: /%s",
			       copier->base);
	return make_directory(copier, copier->base,
			      mode ? mode_apply(mode, DIRECTORY_MODE, true)
				   : DIRECTORY_MODE,
			      &entry->st.st_mtim, err);
}

static int try_archive(struct copier *copier, const struct content_entry *entry,
		       struct error *err)
{
	const struct copy_archive archive = {
		.copy = copier->copy,
		.target = copier->target,
		.writer = copier->writer,
		.entry = entry,
	};

	if (!copier->input->unpack || !S_ISREG(entry->st.st_mode) ||
	    entry->fd < 0)
		return 0;
	if (!copier->copy->abilities)
		return err_set(err, ERROR_INVALID,
			       "layer-copy unpacks no archives");
	return copier->copy->abilities->unpack(&archive, err);
}

static int begin_file(struct copier *copier, const struct content_entry *entry,
		      struct error *err)
{
	const char *name = copier->input->name ? copier->input->name
					       : base_name(entry->name);
	cleanup_free char *path = NULL;
	cleanup_free char *parent = NULL;
	int r = target_look(copier->target, copier->base, err);

	if (r < 0)
		return r;
	if (r != TARGET_DIRECTORY && copier->copy->several)
		return err_set(err, ERROR_INVALID,
			       "with more than one source file, the "
			       "destination must be a directory and end with "
			       "a /");
	path = r == TARGET_DIRECTORY ? below(copier->base, name)
				     : xstrdup(copier->base);
	/* A link that leads to nothing yet may name any place. */
	parent = xstrndup(path, (size_t)(base_name(path) - path));
	if (str_ends(parent, "/"))
		parent[strlen(parent) - 1] = '\0';
	r = make_directory(copier, parent, parents_mode(copier),
			   &entry->st.st_mtim, err);
	return r < 0 ? r : put(copier, entry, path, err);
}

static int begin_source(struct copier *copier,
			const struct content_entry *entry, struct error *err)
{
	int r = try_archive(copier, entry, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = prepare(copier, &entry->st.st_mtim, err);
	if (r < 0)
		return r;
	return S_ISDIR(entry->st.st_mode) ? begin_directory(copier, entry, err)
					  : begin_file(copier, entry, err);
}

static int visit(void *data, const struct content_entry *entry,
		 struct error *err)
{
	struct copier *copier = data;
	cleanup_free char *path = NULL;

	if (!*entry->path)
		return begin_source(copier, entry, err);
	path = below(copier->base, entry->path);
	return put(copier, entry, path, err);
}

/* ---- all of it ---- */

int copy_join_content(char *const *contents, char ret_hex[CONTENT_HEX_MAX],
		      struct error *err)
{
	cleanup_free char *all = NULL;
	char digest[DIGEST_TEXT_MAX];
	int r;

	if (strv_length(contents) == 1) {
		strcpy(ret_hex, contents[0]);
		return 0;
	}
	all = strv_join(contents, "");
	r = hash_bytes(all ? all : "", all ? strlen(all) : 0, digest, err);
	if (r == 0)
		strcpy(ret_hex, digest_hex(digest));
	return r;
}

static int copy_input(struct copy *copy, const struct copy_input *input,
		      struct target *target, struct tar_writer *writer,
		      char ret_hex[CONTENT_HEX_MAX], struct error *err)
{
	CLEANUP(copier_release)
	struct copier copier = {
		.copy = copy,
		.input = input,
		.target = target,
		.writer = writer,
	};
	struct content_request request;

	copy_content_request(copy, input, &request);
	return content_walk(&request, visit, &copier, ret_hex, err);
}

/* WORKDIR. */
static int make_destination(struct copy *copy, struct target *target,
			    struct error *err)
{
	cleanup_free char *resolved = NULL;
	struct timespec now;
	int r = target_resolve(target, "", copy->destination, true, &resolved,
			       err);

	clock_gettime(CLOCK_REALTIME, &now);
	if (r == 0)
		r = target_mkdirs(target, resolved, DIRECTORY_MODE, &now, err);
	return r < 0 ? r : 0;
}

int copy_produce(void *data, struct tar_writer *writer, struct error *err)
{
	struct copy *copy = data;
	const struct target_options options = {
		.root_fd = copy->link ? -1 : copy->view.root_fd,
		.writer = writer,
		.uid = copy->owner.uid,
		.gid = copy->owner.gid,
		.epoch = copy->epoch,
	};
	cleanup_target struct target *target = target_new(&options);
	cleanup_strv char **contents = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < copy->input_count; i++) {
		const struct copy_input *input = &copy->inputs[i];
		char hex[CONTENT_HEX_MAX];

		if (input->kind == COPY_DIRECTORY) {
			r = make_destination(copy, target, err);
			continue;
		}
		r = copy_input(copy, input, target, writer, hex, err);
		if (r == 0 && input->kind != COPY_FROM_TEXT)
			strv_push(&contents, hex);
	}
	if (r == 0)
		r = copy_join_content(contents, copy->content, err);
	return r < 0 ? r : target_entries(target) > 0;
}
