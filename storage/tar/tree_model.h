/*
 * The tree that a layer's archive makes, in memory, without its files' bytes:
 * what storage/tar/unpack.h would have made of it, to be compared with what is
 * on disk (storage/check/check_tree.h).
 *
 * It follows the unpacker step by step: names are cleaned alike, links on the
 * way to a name lead where they would inside of the layer, a later entry takes
 * the place of an earlier one, whiteouts and opaque marks do what they do
 * there. An archive that the unpacker would refuse is refused here.
 *
 * A node is what an inode is, a link one of its names. Memory: some 200 bytes
 * for each entry; how many there may be is the tar reader's limit.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/tar/tar.h"

enum model_type {
	MODEL_FILE,
	MODEL_DIRECTORY,
	MODEL_SYMLINK,
	MODEL_DEVICE, /* an empty file stands in, or it is there */
	MODEL_FIFO,
	MODEL_WHITEOUT,
};

struct model_link {
	const char *name; /* "" for the root */
	struct model_node *node;
	struct model_node *directory; /* that holds it; NULL for the root */
	struct model_link *next;      /* in the directory, in no order */
	struct model_link *previous;
	bool seen; /* the checker's */
};

struct model_node {
	enum model_type type;
	unsigned int links;
	bool implied; /* a parent that had no entry: 0755, owned by 0:0 */
	bool opaque;
	bool moved; /* a later entry took one of its names */
	mode_t mode;
	uint32_t uid, gid; /* as in the archive */
	uint64_t size;
	struct timespec mtime;
	dev_t device;
	char *target; /* of a symbolic link */
	struct tar_xattr *xattrs;
	size_t xattr_count;

	/* Of a directory, which has one name only. */
	struct model_link *self;
	struct model_link *first;
	void *index; /* tsearch(3), by name */

	/* The checker's. */
	bool differs; /* the content on disk */
	bool on_disk; /* its inode is known */
	ino_t inode;
};

struct tree_model {
	struct model_link root;
	/* Every device node that an entry asked for, as in layer.json. */
	cJSON *devices;
};

struct tree_model *tree_model_new(void);
void tree_model_free(struct tree_model *model);
void cleanup_tree_model_function(struct tree_model **model);
#define cleanup_tree_model CLEANUP(cleanup_tree_model_function)

/*
 * Adds an entry. *ret_link: of the file whose bytes follow, or NULL; it may
 * lose its place to a later entry. ERROR_INVALID where the unpacker fails.
 */
int tree_model_add(struct tree_model *model, const struct tar_entry *entry,
		   struct model_link **ret_link, struct error *err);
struct model_link *tree_model_find(const struct model_node *directory,
				   const char *name);
/* Where a link is: "etc/passwd", without links on the way; caller frees. */
char *tree_model_path(const struct model_link *link);
