#include "storage/tar/tree_model.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/layer_path.h"
#include "storage/store/limits.h"

#define LINKS_MAX 40 /* as the kernel */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct model_link *)a)->name,
		      ((const struct model_link *)b)->name);
}

static void no_free(void *link)
{
	(void)link;
}

static struct model_node *new_node(enum model_type type)
{
	struct model_node *node = xcalloc(1, sizeof(*node));

	node->type = type;
	node->mode = 0755;
	node->implied = true;
	return node;
}

static void node_release(struct model_node *node);

/*
 * Frees all below a directory. Recursion would be as deep as the tree: the
 * directories found are put into one list and emptied in turn.
 */
static void free_children(struct model_node *top)
{
	struct model_link *left = top->first;

	tdestroy(steal_ptr(&top->index), no_free);
	top->first = NULL;
	while (left) {
		struct model_link *link = left;
		struct model_node *node = link->node;

		left = link->next;
		if (node->type == MODEL_DIRECTORY && node->first) {
			struct model_link *last = node->first;

			while (last->next)
				last = last->next;
			last->next = left;
			left = node->first;
			node->first = NULL;
			tdestroy(steal_ptr(&node->index), no_free);
		}
		node_release(node);
		free(link);
	}
}

/* One name less; the last takes the node along. */
static void node_release(struct model_node *node)
{
	if (node->links > 0 && --node->links > 0) {
		node->moved = true;
		return;
	}
	if (node->type == MODEL_DIRECTORY)
		free_children(node);
	for (size_t i = 0; i < node->xattr_count; i++) {
		free(node->xattrs[i].name);
		free(node->xattrs[i].value);
	}
	free(node->xattrs);
	free(node->target);
	free(node);
}

struct tree_model *tree_model_new(void)
{
	struct tree_model *model = xcalloc(1, sizeof(*model));
	struct model_node *root = new_node(MODEL_DIRECTORY);

	model->root = (struct model_link){.name = "", .node = root};
	root->self = &model->root;
	root->links = 1;
	model->devices = json_array();
	return model;
}

void tree_model_free(struct tree_model *model)
{
	if (!model)
		return;
	node_release(model->root.node);
	cJSON_Delete(model->devices);
	free(model);
}

void cleanup_tree_model_function(struct tree_model **model)
{
	tree_model_free(*model);
}

struct model_link *tree_model_find(const struct model_node *directory,
				   const char *name)
{
	const struct model_link key = {.name = name};
	struct model_link *const *found =
		tfind(&key, &directory->index, compare_names);

	return found ? *found : NULL;
}

/* Gives node one more name; nothing of that name may be there. */
static struct model_link *put(struct model_node *directory, const char *name,
			      struct model_node *node)
{
	size_t length = strlen(name) + 1;
	struct model_link *link = xcalloc(1, sizeof(*link) + length);
	char *copy = (char *)(link + 1);

	memcpy(copy, name, length);
	link->name = copy;
	link->node = node;
	link->directory = directory;
	link->next = directory->first;
	if (link->next)
		link->next->previous = link;
	directory->first = link;
	if (!tsearch(link, &directory->index, compare_names))
		str_oom();
	node->links++;
	if (node->type == MODEL_DIRECTORY)
		node->self = link;
	return link;
}

static void drop(struct model_link *link)
{
	struct model_node *directory = link->directory;

	tdelete(link, &directory->index, compare_names);
	if (link->previous)
		link->previous->next = link->next;
	else
		directory->first = link->next;
	if (link->next)
		link->next->previous = link->previous;
	node_release(link->node);
	free(link);
}

char *tree_model_path(const struct model_link *link)
{
	size_t length = 0;
	char *at;

	for (const struct model_link *l = link; l->directory;
	     l = l->directory->self)
		length += strlen(l->name) + 1;
	if (length == 0)
		return xstrdup("");
	at = xcalloc(length, 1);
	for (const struct model_link *l = link; l->directory;
	     l = l->directory->self) {
		size_t name = strlen(l->name);

		length -= name + 1;
		memcpy(at + length, l->name, name);
		if (length > 0)
			at[length - 1] = '/';
	}
	return at;
}

/* ---- looking up, as openat2(RESOLVE_IN_ROOT) does ---- */

struct walk {
	struct model_node *root;
	struct model_node *at;
	char *rest;
	bool make; /* what is missing, as path_mkdirs_in_root() */
	unsigned int links;
};

static int walk_link(struct walk *walk, const char *target, const char *rest)
{
	char *joined;

	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	joined = xasprintf("%s/%s", target, rest);
	free(walk->rest);
	walk->rest = joined;
	if (*target == '/')
		walk->at = walk->root;
	return 0;
}

static int walk_step(struct walk *walk, const char *name, const char *rest)
{
	struct model_link *link;

	if (str_equal(name, ".."))
		walk->at = walk->at->self->directory ? walk->at->self->directory
						     : walk->at;
	if (str_equal(name, ".") || str_equal(name, ".."))
		return 0;
	link = tree_model_find(walk->at, name);
	if (!link && !walk->make)
		return -ENOENT;
	if (!link)
		link = put(walk->at, name, new_node(MODEL_DIRECTORY));
	if (link->node->type == MODEL_SYMLINK)
		return walk_link(walk, link->node->target, rest);
	if (link->node->type != MODEL_DIRECTORY)
		return -ENOTDIR;
	walk->at = link->node;
	return 0;
}

/* The directory that path leads to; links are followed, the last one too. */
static int look_up(struct tree_model *model, const char *path, bool make,
		   struct model_node **ret_directory)
{
	struct walk walk = {
		.root = model->root.node,
		.at = model->root.node,
		.rest = xstrdup(path),
		.make = make,
	};
	const char *at = walk.rest;
	int r = 0;

	while (r == 0) {
		cleanup_free char *name = NULL;
		unsigned int before = walk.links;
		size_t length;

		at += strspn(at, "/");
		length = strcspn(at, "/");
		if (length == 0)
			break;
		name = xstrndup(at, length);
		at += length;
		r = walk_step(&walk, name, at);
		if (walk.links != before)
			at = walk.rest;
	}
	free(walk.rest);
	if (r == 0)
		*ret_directory = walk.at;
	return r;
}

/* A parent that is a whiteout so far: see replace_whiteout() of unpack.c. */
static void replace_whiteout(struct tree_model *model, const char *parent)
{
	cleanup_free char *path = xstrdup(parent);

	for (char *end = path; *end;) {
		struct model_node *directory = NULL;
		struct model_link *link;
		const char *name;
		char *slash;
		char kept;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		kept = *end;
		*end = '\0';
		slash = strrchr(path, '/');
		name = slash ? slash + 1 : path;
		if (slash)
			*slash = '\0';
		if (look_up(model, slash ? path : "", false, &directory) < 0)
			return;
		link = tree_model_find(directory, name);
		if (link && link->node->type == MODEL_WHITEOUT) {
			cleanup_free char *copy = xstrdup(name);
			struct model_node *node = new_node(MODEL_DIRECTORY);

			drop(link);
			node->opaque = true;
			put(directory, copy, node);
			return;
		}
		if (slash)
			*slash = '/';
		*end = kept;
	}
}

static int refuse(const struct tar_entry *entry, int number, struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "entry \"%.128s\" cannot be unpacked: %s", entry->path,
		       strerror(-number));
}

/* The directory of path and the last name in it, as unpack_parent(). */
static int find_parent(struct tree_model *model, const struct tar_entry *entry,
		       const char *path, struct model_node **ret_directory,
		       const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent =
		xstrndup(path, slash ? (size_t)(slash - path) : 0);
	int r = look_up(model, parent, false, ret_directory);

	*ret_name = slash ? slash + 1 : path;
	if (r == -ENOTDIR)
		replace_whiteout(model, parent);
	if (r < 0)
		r = look_up(model, parent, true, ret_directory);
	return r < 0 ? refuse(entry, r, err) : 0;
}

/* ---- entries ---- */

static void add_xattr(struct model_node *node, const struct tar_xattr *xattr)
{
	struct tar_xattr *kept = NULL;

	/* Of a directory that came twice both have set theirs. */
	for (size_t i = 0; i < node->xattr_count && !kept; i++) {
		if (str_equal(node->xattrs[i].name, xattr->name))
			kept = &node->xattrs[i];
	}
	if (!kept) {
		node->xattrs = xrealloc(node->xattrs, node->xattr_count + 1,
					sizeof(*node->xattrs));
		kept = &node->xattrs[node->xattr_count++];
		*kept = (struct tar_xattr){.name = xstrdup(xattr->name)};
	}
	free(kept->value);
	kept->value = xcalloc(xattr->length + 1, 1);
	if (xattr->length > 0)
		memcpy(kept->value, xattr->value, xattr->length);
	kept->length = xattr->length;
}

static void set_attributes(struct model_node *node,
			   const struct tar_entry *entry)
{
	node->implied = false;
	node->mode = entry->mode;
	node->uid = entry->uid;
	node->gid = entry->gid;
	node->mtime = entry->mtime;
	for (size_t i = 0; i < entry->xattr_count; i++)
		add_xattr(node, &entry->xattrs[i]);
}

static struct model_node *make_node(const struct tar_entry *entry)
{
	static const enum model_type types[] = {
		[TAR_FILE] = MODEL_FILE,
		[TAR_DIRECTORY] = MODEL_DIRECTORY,
		[TAR_SYMLINK] = MODEL_SYMLINK,
		[TAR_CHAR] = MODEL_DEVICE,
		[TAR_BLOCK] = MODEL_DEVICE,
		[TAR_FIFO] = MODEL_FIFO,
	};
	struct model_node *node = new_node(types[entry->type]);

	if (entry->type == TAR_SYMLINK)
		node->target = xstrdup(entry->link);
	if (entry->type == TAR_FILE)
		node->size = entry->size;
	node->device = makedev(entry->device_major, entry->device_minor);
	return node;
}

static void note_device(struct tree_model *model, const struct tar_entry *entry,
			const char *path)
{
	cJSON *device = json_object();

	json_set_string(device, "path", path);
	json_set_string(device, "type", entry->type == TAR_CHAR ? "c" : "b");
	json_set_i64(device, "major", entry->device_major);
	json_set_i64(device, "minor", entry->device_minor);
	json_push(model->devices, device);
}

static int add_root(struct tree_model *model, const struct tar_entry *entry,
		    struct error *err)
{
	if (entry->type != TAR_DIRECTORY)
		return refuse(entry, -ENOTDIR, err);
	set_attributes(model->root.node, entry);
	return 0;
}

static int add_hardlink(struct tree_model *model, const struct tar_entry *entry,
			const char *path, struct model_node *directory,
			const char *name, struct error *err)
{
	cleanup_free char *target = NULL;
	struct model_node *from = NULL;
	struct model_link *link = NULL;
	struct model_link *old = tree_model_find(directory, name);
	const char *target_name;
	char *slash;
	int r = layer_link_path(entry->link, &target, err);

	if (r < 0)
		return r;
	if (str_equal(target, path) && old)
		return 0;
	slash = strrchr(target, '/');
	target_name = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	if (look_up(model, slash ? target : "", false, &from) == 0)
		link = tree_model_find(from, target_name);
	/* What it replaces may be, or hold, what it links to. */
	if (!link || link->node->type == MODEL_DIRECTORY || link == old)
		return refuse(entry, -ENOENT, err);
	if (old && old->node->type == MODEL_DIRECTORY) {
		for (const struct model_node *up = from; up;
		     up = up->self->directory) {
			if (up == old->node)
				return refuse(entry, -ENOENT, err);
		}
	}
	/* It must outlive the name that it replaces. */
	link->node->links++;
	if (old)
		drop(old);
	put(directory, name, link->node);
	link->node->links--;
	return 0;
}

static void add_directory(const struct tar_entry *entry,
			  struct model_node *directory, const char *name)
{
	struct model_link *old = tree_model_find(directory, name);
	struct model_node *node = old ? old->node : NULL;

	if (!node || node->type != MODEL_DIRECTORY) {
		bool opaque = node && node->type == MODEL_WHITEOUT;

		if (old)
			drop(old);
		node = make_node(entry);
		node->opaque = opaque;
		put(directory, name, node);
	}
	set_attributes(node, entry);
}

static int add_file(struct tree_model *model, const struct tar_entry *entry,
		    const char *path, struct model_link **ret_link,
		    struct error *err)
{
	struct model_node *directory = NULL;
	struct model_node *node;
	struct model_link *old;
	struct model_link *link;
	const char *name;
	int r = find_parent(model, entry, path, &directory, &name, err);

	if (r < 0)
		return r;
	if (entry->type == TAR_HARDLINK)
		return add_hardlink(model, entry, path, directory, name, err);
	if (entry->type == TAR_DIRECTORY) {
		add_directory(entry, directory, name);
		return 0;
	}
	if (entry->type == TAR_SYMLINK && !*entry->link)
		return refuse(entry, -ENOENT, err);
	old = tree_model_find(directory, name);
	if (old)
		drop(old);
	node = make_node(entry);
	set_attributes(node, entry);
	link = put(directory, name, node);
	if (node->type == MODEL_DEVICE)
		note_device(model, entry, path);
	if (entry->type == TAR_FILE)
		*ret_link = link;
	return 0;
}

static int add_whiteout(struct tree_model *model, const struct tar_entry *entry,
			const char *path, struct error *err)
{
	struct model_node *directory = NULL;
	struct model_link *link;
	const char *name;
	int r = find_parent(model, entry, path, &directory, &name, err);

	if (r < 0)
		return r;
	link = tree_model_find(directory, name);
	if (!link)
		put(directory, name, new_node(MODEL_WHITEOUT));
	else if (link->node->type == MODEL_DIRECTORY)
		link->node->opaque = true;
	return 0;
}

int tree_model_add(struct tree_model *model, const struct tar_entry *entry,
		   struct model_link **ret_link, struct error *err)
{
	cleanup_free char *path = NULL;
	struct model_node *directory = NULL;
	int kind = layer_path(entry->path, &path, err);
	int r;

	*ret_link = NULL;
	if (kind < 0)
		return kind;
	switch ((enum layer_path_kind)kind) {
	case LAYER_PATH_SKIP:
		return 0;
	case LAYER_PATH_WHITEOUT:
		return add_whiteout(model, entry, path, err);
	case LAYER_PATH_OPAQUE:
		r = look_up(model, path, true, &directory);
		if (r < 0)
			return refuse(entry, r, err);
		directory->opaque = true;
		return 0;
	case LAYER_PATH_FILE:
		break;
	}
	return *path ? add_file(model, entry, path, ret_link, err)
		     : add_root(model, entry, err);
}
