#include "storage/archive/load_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/layer_path.h"
#include "storage/store/limits.h"
#include "storage/store/oci.h"
#include "storage/tar/tar.h"

void load_files_release(struct load_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->files[i].name);
		free(files->files[i].link);
	}
	free(files->files);
	files->files = NULL;
	files->count = 0;
	close_fd(&files->dir_fd);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct load_file *)a)->name,
		      ((const struct load_file *)b)->name);
}

static int compare_files(const void *a, const void *b)
{
	const struct load_file *x = a;
	const struct load_file *y = b;
	int r = compare_names(a, b);

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

/* After the archive is read: sorted, of one name the last. */
static void sort_files(struct load_files *files)
{
	size_t kept = 0;

	if (files->count == 0)
		return;
	qsort(files->files, files->count, sizeof(*files->files), compare_files);
	for (size_t i = 1; i < files->count; i++) {
		struct load_file *last = &files->files[kept];
		struct load_file *file = &files->files[i];

		if (!str_equal(last->name, file->name)) {
			files->files[++kept] = *file;
			continue;
		}
		free(last->name);
		free(last->link);
		*last = *file;
	}
	files->count = kept + 1;
}

static struct load_file *find(const struct load_files *files, const char *name)
{
	const struct load_file key = {.name = xstrdup(name)};
	struct load_file *file = NULL;

	if (files->count > 0)
		file = bsearch(&key, files->files, files->count,
			       sizeof(*files->files), compare_names);
	free(key.name);
	return file;
}

static struct load_file *resolve(const struct load_files *files,
				 const char *name)
{
	cleanup_free char *clean = path_clean(name + strspn(name, "/"));
	struct load_file *file = find(files, clean);

	for (int i = 0; file && file->link; i++)
		file = i < LOAD_LINKS_MAX ? find(files, file->link) : NULL;
	return file;
}

/* The digest that a blob's name claims, or NULL. */
static const char *claimed_hex(const char *name)
{
	static const char prefix[] = OCI_BLOBS "/";
	const char *hex = name + strlen(prefix);

	return str_starts(name, prefix) && strlen(hex) == DIGEST_HEX &&
			       digest_is_hex(hex, DIGEST_HEX)
		       ? hex
		       : NULL;
}

static int write_file(struct load_files *files, struct tar_reader *reader,
		      struct load_file *file, struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	cleanup_fd int fd = -1;
	uint64_t at = 0;
	int r = hash_init(&hash, err);

	if (r < 0)
		return r;
	fd = stage_new_file(files->stage, file->staged, err);
	if (fd < 0)
		return fd;
	for (;;) {
		const void *bytes = NULL;
		size_t length = 0;
		uint64_t offset = 0;

		r = tar_data(reader, &bytes, &length, &offset, err);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (offset != at)
			return err_set(err, ERROR_UNSUPPORTED,
				       "entry \"%.128s\" is a sparse file",
				       file->name);
		hash_update(&hash, bytes, length);
		r = write_all(fd, bytes, length);
		if (r < 0)
			return err_number(err, r, "cannot write \"%.128s\"",
					  file->name);
		at += length;
	}
	if (at != file->size)
		return err_set(err, ERROR_UNSUPPORTED,
			       "entry \"%.128s\" is a sparse file", file->name);
	hash_digest(&hash, file->digest);
	return 0;
}

static int take_file(struct load_files *files, struct tar_reader *reader,
		     const struct tar_entry *entry, struct load_file *file,
		     struct error *err)
{
	const uint64_t max = files->stage->store->limits.archive_size;
	const char *hex = claimed_hex(file->name);
	char digest[DIGEST_TEXT_MAX];
	uint64_t size;
	int r;

	file->size = entry->size;
	if (files->bytes > max || entry->size > max - files->bytes) {
		err_set(err, ERROR_INVALID,
			"entry \"%.128s\": the files of the archive are larger "
			"than %llu bytes together",
			file->name, (unsigned long long)max);
		return limits_hint(LIMIT_ARCHIVE_SIZE, err);
	}
	files->bytes += entry->size;
	if (!hex)
		return write_file(files, reader, file, err);
	digest_from_hex(digest, hex);
	r = stage_has_blob(files->stage, digest, err);
	if (r > 0) {
		cleanup_fd int fd =
			blob_open(files->stage->store, digest, &size, NULL);

		r = fd >= 0 && size == entry->size;
	}
	if (r == 0)
		r = write_file(files, reader, file, err);
	else if (r > 0)
		strcpy(file->digest, digest);
	return r < 0 ? r : 0;
}

static int take_link(const struct tar_entry *entry, struct load_file *file,
		     struct error *err)
{
	cleanup_free char *target = NULL;
	const char *slash = strrchr(file->name, '/');

	/* A hard link's name counts from the root, a symbolic one's does not.
	 */
	if (entry->type == TAR_SYMLINK && *entry->link != '/' && slash)
		target = xasprintf("%.*s/%s", (int)(slash - file->name),
				   file->name, entry->link);
	else
		target = xstrdup(entry->link);
	return layer_link_path(target, &file->link, err);
}

static int take_entry(struct load_files *files, struct tar_reader *reader,
		      const struct tar_entry *entry, struct error *err)
{
	struct load_file *file;
	char *name = NULL;
	int r;

	if (entry->type == TAR_DIRECTORY)
		return 0;
	if (entry->type != TAR_FILE && entry->type != TAR_SYMLINK &&
	    entry->type != TAR_HARDLINK)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\" is neither file nor link",
			       entry->path);
	r = layer_link_path(entry->path, &name, err);
	if (r < 0)
		return r;
	if (files->count >= LOAD_ENTRIES_MAX) {
		free(name);
		return err_set(err, ERROR_INVALID,
			       "the archive has more than %u files",
			       LOAD_ENTRIES_MAX);
	}
	if (files->count == files->room) {
		files->room = files->room ? files->room * 2 : 64;
		files->files = xrealloc(files->files, files->room,
					sizeof(*files->files));
	}
	file = &files->files[files->count++];
	*file = (struct load_file){.name = name, .order = files->count};
	return entry->type == TAR_FILE
		       ? take_file(files, reader, entry, file, err)
		       : take_link(entry, file, err);
}

static int read_tar(struct load_files *files, int fd, struct error *err)
{
	cleanup_stream struct stream *stream = NULL;
	cleanup_tar_reader struct tar_reader *reader = NULL;
	const struct tar_entry *entry;
	enum compression compression;
	int r;

	r = stream_detect(stream_from_fd(fd, files->source), &stream,
			  &compression, err);
	if (r < 0)
		return r;
	r = stream_unpacked(steal_ptr(&stream), compression,
			    &files->stage->store->limits, &stream, err);
	if (r < 0)
		return r;
	reader = tar_reader_new(stream_tar_source, stream);
	while ((r = tar_next(reader, &entry, err)) > 0) {
		r = take_entry(files, reader, entry, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		sort_files(files);
	return r;
}

int load_files_read(struct load_files *files, int fd, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		close_fd(&fd);
		return err_errno(err, "cannot read %s", files->source);
	}
	if (S_ISDIR(st.st_mode)) {
		files->dir_fd = fd;
		return 0;
	}
	return read_tar(files, fd, err);
}

bool load_files_have(struct load_files *files, const char *name)
{
	int fd;

	if (files->dir_fd < 0)
		return resolve(files, name) != NULL;
	fd = path_open_in_root(files->dir_fd, name, O_PATH, 0);
	if (fd >= 0)
		close_fd(&fd);
	else
		return false;
	return true;
}

static int missing(const char *name, struct error *err)
{
	return err_set(err, ERROR_CORRUPT, "\"%.128s\" is missing", name);
}

static int open_in_directory(struct load_files *files, const char *name,
			     struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;

	fd = path_open_in_root(files->dir_fd, name,
			       O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -ENOENT) {
		fd = -1;
		return missing(name, err);
	}
	if (fd < 0) {
		int r = fd;

		fd = -1;
		return err_number(err, r, "cannot open \"%.128s\"", name);
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID, "\"%.128s\" is not a file",
			       name);
	return steal_fd(&fd);
}

int load_files_find(struct load_files *files, const char *name,
		    struct load_file **ret_file, struct error *err)
{
	struct load_file *file = NULL;

	if (files->dir_fd < 0) {
		file = resolve(files, name);
		if (!file)
			return missing(name, err);
	}
	*ret_file = file;
	return 0;
}

int load_files_open(struct load_files *files, const char *name,
		    struct error *err)
{
	struct load_file *file = NULL;
	int fd;
	int r;

	if (files->dir_fd >= 0)
		return open_in_directory(files, name, err);
	r = load_files_find(files, name, &file, err);
	if (r < 0)
		return r;
	/* Without a name of its own it is a blob by now. */
	if (!*file->staged)
		return stage_open_blob(files->stage, file->digest, err);
	fd = openat(files->stage->work.fd, file->staged, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : err_errno(err, "cannot open \"%.128s\"", name);
}

int load_files_text(struct load_files *files, const char *name, char **ret_text,
		    size_t *ret_length, struct error *err)
{
	cleanup_fd int fd = load_files_open(files, name, err);

	if (fd < 0)
		return fd;
	return file_read_fd(fd, name, JSON_FILE_MAX, ret_text, ret_length, err);
}

int load_files_json(struct load_files *files, const char *name,
		    cJSON **ret_json, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r = load_files_text(files, name, &text, &length, err);

	if (r < 0)
		return r;
	return json_parse(text, length, name, ret_json, err);
}
