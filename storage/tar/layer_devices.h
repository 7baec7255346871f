/*
 * The device nodes of an image, for which empty files stand in where they could
 * not be made (storage/store/layer.h). Whoever writes a merged root out again
 * gives them back: an empty file is the node that the topmost layer which has
 * the path tells of. A file that a container put in the place of one is a file,
 * and so is a node whose mode or owner it changed: its copy looks the same.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "storage/store/store.h"
#include "storage/tar/tar.h"

struct layer_device {
	char *path; /* relative */
	size_t layer;
	enum tar_type type; /* TAR_CHAR or TAR_BLOCK */
	uint32_t major;
	uint32_t minor;
};

struct layer_devices {
	const struct store *store;
	char *const *diff_ids;
	int upper_fd; /* -1: an image's */
	struct layer_device *list;
	size_t count;
};

/* diff_ids and upper_fd stay the caller's. */
int layer_devices_read(const struct store *store, char *const *diff_ids,
		       int upper_fd, struct layer_devices *ret_devices,
		       struct error *err);
void layer_devices_release(struct layer_devices *devices);
/* Of an empty regular file at path of the merged root; NULL: it is a file. */
const struct layer_device *
layer_devices_find(const struct layer_devices *devices, const char *path);
