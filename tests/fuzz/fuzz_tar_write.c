/*
 * storage/tar/tar_writer.h against storage/tar/tar.h: whatever entries the
 * reader makes of an archive, the writer's archive of them reads the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/tar/tar_writer.h"

#define FILE_MAX (1u << 20)
#define TIME_MAX (1ll << 62)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const void *data;
	size_t length;
};

static ssize_t all_at_once(void *data, const void **ret_bytes,
			   struct error *err)
{
	struct input *input = data;
	size_t length = input->length;

	*ret_bytes = input->data;
	input->length = 0;
	return (ssize_t)length;
}

static int take(void *data, const void *bytes, size_t length, struct error *err)
{
	str_append_bytes(data, bytes, length);
	return 0;
}

/* What callers make sure of before they write. */
static bool can_be_written(const struct tar_entry *entry)
{
	size_t room = TAR_XATTR_ROOM;

	for (size_t i = 0; i < entry->xattr_count; i++) {
		if (!tar_xattr_fits(entry->xattrs[i].name,
				    entry->xattrs[i].length, &room))
			return false;
	}
	return entry->size <= FILE_MAX && entry->mtime.tv_sec < TIME_MAX &&
	       entry->mtime.tv_sec > -TIME_MAX;
}

/* The whole file, holes as zeros; caller frees. NULL: it is damaged. */
static char *read_file(struct tar_reader *reader, const struct tar_entry *entry)
{
	cleanup_free char *content = xcalloc(entry->size + 1, 1);
	const void *bytes;
	uint64_t offset;
	size_t length;
	int r;

	while ((r = tar_data(reader, &bytes, &length, &offset, NULL)) > 0)
		memcpy(content + offset, bytes, length);
	return r == 0 ? steal_ptr(&content) : NULL;
}

static void describe(struct str *text, const struct tar_entry *entry,
		     const char *content)
{
	size_t length = strlen(entry->path);

	/* A directory gets its slash. */
	if (entry->type == TAR_DIRECTORY && length > 0 &&
	    entry->path[length - 1] == '/')
		length--;
	str_appendf(text, "%d %.*s\n%s\n%o %u %u %llu %lld %ld %u %u",
		    (int)entry->type, (int)length, entry->path, entry->link,
		    entry->mode, entry->uid, entry->gid,
		    (unsigned long long)entry->size,
		    (long long)entry->mtime.tv_sec, entry->mtime.tv_nsec,
		    entry->device_major, entry->device_minor);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		str_appendf(text, " %s=", entry->xattrs[i].name);
		str_append_bytes(text, entry->xattrs[i].value,
				 entry->xattrs[i].length);
	}
	str_append_bytes(text, content, entry->size);
	str_append_char(text, '\n');
}

/* All entries of an archive as text, and written to writer unless it is NULL.
   False when it is damaged. */
static bool copy_all(const void *data, size_t size, struct tar_writer *writer,
		     struct str *text)
{
	struct input input = {data, size};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(all_at_once, &input);
	const struct tar_entry *entry;
	int r;

	while ((r = tar_next(reader, &entry, NULL)) > 0) {
		cleanup_free char *content = NULL;

		if (!can_be_written(entry))
			continue;
		content = read_file(reader, entry);
		if (!content)
			return false;
		/* One byte short of the limit, the slash is too much. */
		if (writer && tar_write_entry(writer, entry, NULL) < 0)
			continue;
		if (writer && entry->size > 0)
			assert(tar_write_data(writer, content, entry->size,
					      NULL) == 0);
		describe(text, entry, content);
	}
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_str struct str archive = {0};
	cleanup_str struct str before = {0};
	cleanup_str struct str after = {0};
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(take, &archive);

	(void)copy_all(data, size, writer, &before);
	assert(tar_write_end(writer, NULL) == 0);
	assert(copy_all(archive.data, archive.length, NULL, &after));
	assert(before.length == after.length);
	assert(before.length == 0 ||
	       memcmp(before.data, after.data, before.length) == 0);
	return 0;
}
