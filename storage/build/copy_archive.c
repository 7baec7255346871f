/*
 * ADD of an archive: its entries as those of the layer, below the destination.
 * The archive is hostile. Names are cleaned and resolved within the root, so
 * that links of the root, of the archive itself or of sources before lead where
 * they would in a container; the worst that an archive can do is what a RUN
 * could do as well.
 *
 * As docker's unpacker: what is in the way is replaced, parents that have no
 * entry are made, "./" leaves the destination as it is. A hard link must lead
 * to a file of the same layer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/build/copy.h"
#include "storage/store/layer.h"
#include "storage/store/layer_path.h"
#include "storage/tar/stream.h"

#define DIRECTORY_MODE 0755
/* A file that large goes by the disk, where its holes remain holes. */
#define SPOOL_MIN (16u << 20)
#define ZEROS	  (64u << 10)

struct unpacking {
	const struct copy_archive *archive;
	struct tar_reader *reader;
	uint64_t offset; /* of the packed bytes */
	char *base;	 /* the destination, resolved */
};

static void unpacking_release(struct unpacking *unpacking)
{
	tar_reader_free(unpacking->reader);
	free(unpacking->base);
}

/* ---- the archive as a stream ---- */

/* From its beginning; entry->fd keeps its place for whoever uses pread(2). */
static int open_packed(const struct copy_archive *archive,
		       struct stream **ret_stream, struct error *err)
{
	cleanup_free char *path =
		xasprintf("/proc/self/fd/%d", archive->entry->fd);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_errno(err, "cannot read \"%s\"",
				 archive->entry->name);
	*ret_stream = stream_from_fd(fd, archive->entry->name);
	return 0;
}

/* Takes packed, also on failure. */
static int open_unpacked(const struct copy_archive *archive,
			 struct stream *packed, struct stream **ret_stream,
			 enum compression *ret_compression, struct error *err)
{
	struct stream *stream = NULL;
	int r = stream_detect(packed, &stream, ret_compression, err);

	if (r == 0)
		r = stream_unpacked(stream, *ret_compression,
				    &archive->copy->job->store.limits,
				    ret_stream, err);
	return r;
}

static int open_whole(const struct copy_archive *archive,
		      struct stream **ret_stream,
		      enum compression *ret_compression, struct error *err)
{
	struct stream *packed = NULL;
	int r = open_packed(archive, &packed, err);

	return r < 0 ? r
		     : open_unpacked(archive, packed, ret_stream,
				     ret_compression, err);
}

/*
 * What is packed, but damaged from the beginning, may well have been meant for
 * an archive. Anything else is a file.
 */
static int check_damage(const struct copy_archive *archive, struct error *err)
{
	cleanup_stream struct stream *stream = NULL;
	enum compression compression = COMPRESSION_NONE;
	const void *bytes;
	int r = open_whole(archive, &stream, &compression, err);

	if (r == 0)
		r = stream_next(stream, &bytes, err) < 0 ? -EIO : 0;
	if (r == 0 || compression == COMPRESSION_NONE)
		return 0;
	err_wrap(err, "cannot unpack %s", archive->entry->name);
	return err_hint(err, "COPY takes the file as it is");
}

/* Does it begin with an entry, packed in whichever way? 1, 0, error. */
static int is_archive(const struct copy_archive *archive, struct error *err)
{
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar_reader struct tar_reader *reader = NULL;
	enum compression compression;
	const struct tar_entry *entry;
	char first = 0;
	int r;

	/* No archive begins with a zero, but large empty files do. */
	if (pread(archive->entry->fd, &first, 1, 0) != 1 || !first)
		return 0;
	r = open_whole(archive, &stream, &compression, NULL);
	if (r == 0) {
		reader = tar_reader_new(stream_tar_source, stream);
		r = tar_next(reader, &entry, NULL);
	}
	return r < 0 ? check_damage(archive, err) : r;
}

static int tap_packed(void *data, const void *bytes, size_t length,
		      struct error *err)
{
	struct unpacking *unpacking = data;

	content_seen(unpacking->archive->entry->sum, unpacking->offset, bytes,
		     length);
	unpacking->offset += length;
	return 0;
}

/* ---- data ---- */

static int write_zeros(struct tar_writer *writer, uint64_t count,
		       struct error *err)
{
	static const char zeros[ZEROS];
	int r = 0;

	while (r == 0 && count > 0) {
		size_t length = count < ZEROS ? (size_t)count : ZEROS;

		r = tar_write_data(writer, zeros, length, err);
		count -= length;
	}
	return r;
}

static int write_data(struct unpacking *unpacking, uint64_t size,
		      struct error *err)
{
	struct tar_writer *writer = unpacking->archive->writer;
	const void *bytes;
	size_t length;
	uint64_t offset;
	uint64_t at = 0;
	int r;

	while ((r = tar_data(unpacking->reader, &bytes, &length, &offset,
			     err)) > 0) {
		r = write_zeros(writer, offset - at, err);
		if (r == 0)
			r = tar_write_data(writer, bytes, length, err);
		if (r < 0)
			return r;
		at = offset + length;
	}
	return r < 0 ? r : write_zeros(writer, size - at, err);
}

/* Its name is taken away at once: the file goes with its descriptor. */
static int spool(struct unpacking *unpacking, uint64_t size, struct error *err)
{
	struct stage *stage = &unpacking->archive->copy->stage;
	char name[STAGE_NAME_MAX];
	cleanup_fd int fd = stage_new_file(stage, name, err);
	const void *bytes;
	size_t length;
	uint64_t offset;
	int r;

	if (fd < 0)
		return fd;
	if (unlinkat(stage->work.fd, name, 0) < 0)
		return err_errno(err, "cannot remove a file of the store");
	while ((r = tar_data(unpacking->reader, &bytes, &length, &offset,
			     err)) > 0) {
		if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
			return err_errno(err, "cannot write to the store");
		r = write_all(fd, bytes, length);
		if (r < 0)
			return err_number(err, r, "cannot write to the store");
	}
	if (r == 0 &&
	    (ftruncate(fd, (off_t)size) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		return err_errno(err, "cannot write to the store");
	return r < 0 ? r : steal_fd(&fd);
}

/* ---- entries ---- */

/* A name of the archive as a resolved path; its parents are made. */
static int place(struct unpacking *unpacking, const struct tar_entry *entry,
		 const char *name, char **ret_path, struct error *err)
{
	struct target *target = unpacking->archive->target;
	cleanup_free char *parent = xstrdup(name);
	cleanup_free char *directory = NULL;
	char *slash = strrchr(parent, '/');
	int r;

	*(slash ? slash : parent) = '\0';
	r = target_resolve(target, unpacking->base, parent, true, &directory,
			   err);
	if (r == 0)
		r = target_mkdirs(target, directory, DIRECTORY_MODE,
				  &entry->mtime, err);
	if (r < 0)
		return r;
	*ret_path = xasprintf("%s%s%s", directory, *directory ? "/" : "",
			      slash ? slash + 1 : name);
	return 0;
}

static int find_linked(struct unpacking *unpacking,
		       const struct tar_entry *entry, char **ret_path,
		       struct error *err)
{
	struct target *target = unpacking->archive->target;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	int r = layer_link_path(entry->link, &name, err);

	if (r == 0)
		r = target_resolve(target, unpacking->base, name, false, &path,
				   err);
	if (r < 0)
		return r;
	if (target_file_number(target, path) == 0)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": a hard link to \"%.128s\", "
			       "which is no file in the archive before it",
			       entry->path, entry->link);
	*ret_path = steal_ptr(&path);
	return 0;
}

static void set_owner(const struct copy *copy, struct tar_entry *entry)
{
	if (copy->has_owner) {
		entry->uid = copy->owner.uid;
		entry->gid = copy->owner.gid;
	}
	if (entry->uid == TAR_ID_UNKNOWN)
		entry->uid = 0;
	if (entry->gid == TAR_ID_UNKNOWN)
		entry->gid = 0;
}

/* Those that a layer keeps, borrowed from the entry; caller frees the list. */
static struct tar_xattr *kept_xattrs(const struct tar_entry *entry,
				     size_t *ret_count)
{
	struct tar_xattr *kept = xcalloc(entry->xattr_count + 1, sizeof(*kept));
	size_t count = 0;

	for (size_t i = 0; i < entry->xattr_count; i++) {
		if (layer_keeps_xattr(entry->xattrs[i].name))
			kept[count++] = entry->xattrs[i];
	}
	*ret_count = count;
	return kept;
}

static int put(struct unpacking *unpacking, struct tar_entry *entry,
	       struct error *err)
{
	const struct copy_archive *archive = unpacking->archive;
	cleanup_free struct tar_xattr *xattrs = NULL;
	const bool has_data = entry->type == TAR_FILE;
	cleanup_fd int fd = -1;
	int r;

	xattrs = kept_xattrs(entry, &entry->xattr_count);
	entry->xattrs = xattrs;
	set_owner(archive->copy, entry);
	if (has_data && entry->size >= SPOOL_MIN) {
		fd = spool(unpacking, entry->size, err);
		if (fd < 0)
			return fd;
	}
	r = target_put(archive->target, entry, fd, TARGET_REPLACE, err);
	if (r == 0 && has_data && fd < 0)
		r = write_data(unpacking, entry->size, err);
	return r;
}

static int unpack_entry(struct unpacking *unpacking,
			const struct tar_entry *source, struct error *err)
{
	struct tar_entry entry = *source;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	cleanup_free char *linked = NULL;
	int r = layer_link_path(source->path, &name, err);

	/* The destination itself stays as it is. */
	if (r < 0 || !*name)
		return r;
	r = place(unpacking, source, name, &path, err);
	if (r == 0 && source->type == TAR_HARDLINK)
		r = find_linked(unpacking, source, &linked, err);
	if (r < 0)
		return r;
	/* A link to itself changes nothing. */
	if (linked && str_equal(linked, path))
		return 0;
	entry.path = path;
	if (linked)
		entry.link = linked;
	return put(unpacking, &entry, err);
}

static int unpack_all(struct unpacking *unpacking, struct error *err)
{
	const struct tar_entry *entry;
	int r;

	while ((r = tar_next(unpacking->reader, &entry, err)) > 0) {
		r = unpack_entry(unpacking, entry, err);
		if (r < 0)
			break;
	}
	return r;
}

static int make_destination(struct unpacking *unpacking, struct error *err)
{
	const struct copy_archive *archive = unpacking->archive;
	int r = target_resolve(archive->target, "", archive->copy->destination,
			       true, &unpacking->base, err);

	if (r == 0)
		r = target_mkdirs(archive->target, unpacking->base,
				  DIRECTORY_MODE, &archive->entry->st.st_mtim,
				  err);
	return r < 0 ? r : 0;
}

int copy_archive_unpack(const struct copy_archive *archive, struct error *err)
{
	CLEANUP(unpacking_release)
	struct unpacking unpacking = {.archive = archive};
	cleanup_stream struct stream *packed = NULL;
	struct stream *stream = NULL;
	enum compression compression;
	int r = is_archive(archive, err);

	if (r <= 0)
		return r;
	r = make_destination(&unpacking, err);
	if (r == 0)
		r = open_packed(archive, &packed, err);
	if (r < 0)
		return r;
	packed = stream_tapped(packed, tap_packed, &unpacking);
	r = open_unpacked(archive, stream_borrowed(packed), &stream,
			  &compression, err);
	if (r == 0) {
		unpacking.reader = tar_reader_new(stream_tar_source, stream);
		tar_reader_limit(
			unpacking.reader,
			archive->copy->job->store.limits.layer_entries);
		r = unpack_all(&unpacking, err);
		if (r == 0)
			r = stream_drain(stream, err);
		stream_free(stream);
	}
	/* What is behind the archive counts in the digest as well. */
	if (r == 0)
		r = stream_drain(packed, err);
	return r < 0 ? err_wrap(err, "cannot unpack %s", archive->entry->name)
		     : 1;
}
