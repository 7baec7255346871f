/*
 * storage/tar/tar.h and storage/store/layer_path.h: a layer as it comes from
 * anywhere, up to the point where files would be made. Names that pass stay
 * inside of the root, and data inside of its file.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/layer_path.h"
#include "storage/store/limits.h"
#include "storage/tar/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
	size_t piece;
};

/* Pieces of an odd size, so that headers are cut in two. */
static ssize_t next_piece(void *data, const void **ret_bytes, struct error *err)
{
	struct input *input = data;
	size_t part = input->left < input->piece ? input->left : input->piece;

	*ret_bytes = input->data;
	input->data += part;
	input->left -= part;
	return (ssize_t)part;
}

static void check_path(const char *path)
{
	assert(strlen(path) < TAR_PATH_MAX);
	assert(*path != '/');
	while (*path) {
		size_t length = strcspn(path, "/");

		assert(length > 0 && length <= TAR_COMPONENT_MAX);
		assert(!(length == 1 && path[0] == '.'));
		assert(!(length == 2 && path[0] == '.' && path[1] == '.'));
		path += length;
		path += *path == '/';
	}
}

static void check_entry(const struct tar_entry *entry)
{
	cleanup_free char *path = NULL;
	cleanup_free char *link = NULL;
	int kind = layer_path(entry->path, &path, NULL);

	assert(entry->xattr_count <= TAR_XATTRS_MAX);
	assert(entry->size <= TAR_FILE_MAX);
	assert((entry->mode & ~07777u) == 0);
	assert((kind < 0 || kind == LAYER_PATH_SKIP) == (path == NULL));
	if (path)
		check_path(path);
	if (kind == LAYER_PATH_WHITEOUT)
		assert(*path);
	if (layer_link_path(entry->link, &link, NULL) == 0)
		check_path(link);
}

static void read_all(struct tar_reader *reader)
{
	const struct tar_entry *entry;
	struct error err = {0};
	int r;

	while ((r = tar_next(reader, &entry, &err)) > 0) {
		const void *bytes;
		size_t length;
		uint64_t offset;
		uint64_t end = 0;
		const uint64_t size = entry->size;

		check_entry(entry);
		/* Some are skipped without a look. */
		if (entry->mode & 1)
			continue;
		while ((r = tar_data(reader, &bytes, &length, &offset, &err)) >
		       0) {
			assert(length > 0 && offset >= end);
			end = offset + length;
			assert(end <= size);
		}
		if (r < 0)
			break;
	}
	assert(r == 0 || err.message[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {509, 65536};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct input input = {data, size, pieces[i]};
		cleanup_tar_reader struct tar_reader *reader =
			tar_reader_new(next_piece, &input);

		read_all(reader);
	}
	return 0;
}
