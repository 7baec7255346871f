/* Where moss-image save writes to: a tar stream, a file, a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/archive/save.h"
#include "storage/job/output.h"
#include "storage/store/blob.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"
#include "storage/tar/sync_tree.h"
#include "storage/tar/tar_writer.h"

#define BUFFER_SIZE (256u << 10)
#define MODE_FILE   0644
#define MODE_DIR    0755
#define TEMPORARY   ".tmp-blob"

static int open_blob(const struct save *save, const char *digest,
		     uint64_t *ret_size, struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (!save->stage)
		return blob_open(&save->job->store, digest, ret_size, err);
	fd = stage_open_blob(save->stage, digest, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot read blob %s", digest);
	*ret_size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

/* Copies a blob, size known; its digest must come out right. */
static int copy_blob(const char *digest, int blob_fd, uint64_t size,
		     tar_sink sink, void *data, struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	cleanup_free char *buffer = xcalloc(1, BUFFER_SIZE);
	char found[DIGEST_TEXT_MAX];
	uint64_t done = 0;
	int r = hash_init(&hash, err);

	while (r == 0 && done < size) {
		size_t part = size - done < BUFFER_SIZE ? (size_t)(size - done)
							: BUFFER_SIZE;
		ssize_t length = read(blob_fd, buffer, part);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return err_errno(err, "cannot read blob %s", digest);
		if (length == 0)
			break;
		hash_update(&hash, buffer, (size_t)length);
		r = sink(data, buffer, (size_t)length, err);
		done += (uint64_t)length;
	}
	if (r < 0)
		return r;
	hash_digest(&hash, found);
	if (done < size || !str_equal(found, digest))
		return err_set(err, ERROR_CORRUPT,
			       "blob %s in the store is damaged", digest);
	return 0;
}

/* ---- tar ---- */

static int write_entry(struct tar_writer *tar, const char *path,
		       enum tar_type type, uint64_t size, struct error *err)
{
	cleanup_free char *name = xstrdup(path);
	const struct tar_entry entry = {
		.type = type,
		.path = name,
		.mode = type == TAR_DIRECTORY ? MODE_DIR : MODE_FILE,
		.size = size,
	};

	return tar_write_entry(tar, &entry, err);
}

static int write_text(struct tar_writer *tar, const char *path,
		      const char *text, struct error *err)
{
	size_t length = strlen(text);
	int r = write_entry(tar, path, TAR_FILE, length, err);

	return r < 0 ? r : tar_write_data(tar, text, length, err);
}

static int put_data(void *tar, const void *bytes, size_t length,
		    struct error *err)
{
	return tar_write_data(tar, bytes, length, err);
}

static int write_blob(struct save *save, const char *digest,
		      struct tar_writer *tar, struct error *err)
{
	char path[BLOB_PATH_MAX];
	uint64_t size = 0;
	cleanup_fd int blob_fd = open_blob(save, digest, &size, err);
	int r;

	if (blob_fd < 0)
		return blob_fd;
	blob_path(path, digest);
	r = write_entry(tar, path, TAR_FILE, size, err);
	return r < 0 ? r : copy_blob(digest, blob_fd, size, put_data, tar, err);
}

static int write_json(struct tar_writer *tar, const char *path, cJSON *json,
		      struct error *err)
{
	cleanup_json cJSON *owned = json;
	cleanup_free char *text = json_print(owned);

	return write_text(tar, path, text, err);
}

int save_to_fd(struct save *save, int fd, const char *name, struct error *err)
{
	struct output output = {fd, name};
	cleanup_tar_writer struct tar_writer *tar =
		tar_writer_new(output_put, &output);
	int r;

	if (isatty(fd)) {
		err_set(err, ERROR_INVALID,
			"cowardly refusing to save to a terminal");
		return err_hint(err, "use the -o flag or redirect");
	}
	r = write_entry(tar, "blobs", TAR_DIRECTORY, 0, err);
	if (r == 0)
		r = write_entry(tar, OCI_BLOBS, TAR_DIRECTORY, 0, err);
	for (size_t i = 0; r == 0 && save->blobs[i]; i++)
		r = write_blob(save, save->blobs[i], tar, err);
	if (r == 0)
		r = write_json(tar, OCI_INDEX_FILE, save_index_json(save), err);
	if (r == 0 && !save->oci_only)
		r = write_json(tar, "manifest.json", save_docker_json(save),
			       err);
	if (r == 0)
		r = write_text(tar, OCI_LAYOUT_FILE, OCI_LAYOUT_TEXT, err);
	return r < 0 ? r : tar_write_end(tar, err);
}

/* ---- a file ---- */

static int write_file(void *data, struct output *output, struct error *err)
{
	return save_to_fd(data, output->fd, output->name, err);
}

int save_to_file(struct save *save, const char *path, struct error *err)
{
	return output_to_file(path, write_file, save, err);
}

/* ---- a directory ---- */

/* There already: its name says what it is, its size that it is whole. */
static bool has_blob(int dir_fd, const char *path, uint64_t size)
{
	struct stat st;

	return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

static int write_blob_file(struct save *save, const char *digest, int dir_fd,
			   const char *name, struct error *err)
{
	char path[BLOB_PATH_MAX];
	uint64_t size = 0;
	cleanup_fd int blob_fd = open_blob(save, digest, &size, err);
	struct output output = {-1, name};
	cleanup_fd int fd = -1;
	int r;

	if (blob_fd < 0)
		return blob_fd;
	blob_path(path, digest);
	if (has_blob(dir_fd, path, size))
		return 0;
	/* Half a blob has another name. */
	fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		    MODE_FILE);
	if (fd < 0)
		return output_error(errno, name, err);
	output.fd = fd;
	r = copy_blob(digest, blob_fd, size, output_put, &output, err);
	if (r == 0 && renameat(dir_fd, TEMPORARY, dir_fd, path) < 0)
		r = output_error(errno, name, err);
	if (r < 0)
		unlinkat(dir_fd, TEMPORARY, 0);
	return r;
}

static int fill_directory(struct save *save, int dir_fd, const char *name,
			  cJSON *index, struct error *err)
{
	static const char *const all[] = {".", NULL};
	int r = path_mkdirs_at(dir_fd, OCI_BLOBS, MODE_DIR, err);

	for (size_t i = 0; r == 0 && save->blobs[i]; i++)
		r = write_blob_file(save, save->blobs[i], dir_fd, name, err);
	if (r == 0)
		r = file_write_atomic_at(
			dir_fd, OCI_LAYOUT_FILE, OCI_LAYOUT_TEXT,
			strlen(OCI_LAYOUT_TEXT), MODE_FILE, FILE_VOLATILE, err);
	if (r == 0)
		r = json_write_at(dir_fd, OCI_INDEX_FILE, index, FILE_VOLATILE,
				  err);
	if (r < 0)
		return r;
	r = sync_trees(dir_fd, all, name, NULL);
	return r < 0 ? output_error(r, name, err) : 0;
}

/* The whole one, a tag, or NULL. */
static const char *name_of(const cJSON *entry)
{
	const cJSON *annotations = json_member(entry, "annotations");
	const char *name = cJSON_GetStringValue(
		json_member(annotations, ANNOTATION_IMAGE));

	return name ? name : index_entry_name(entry);
}

static bool has_name(const cJSON *entries, const char *name)
{
	const cJSON *entry;

	cJSON_ArrayForEach(entry, entries)
	{
		if (str_equal(name_of(entry), name))
			return true;
	}
	return false;
}

/* The images that are there stay, unless a new one has their name. */
static void keep_entries(const cJSON *old, cJSON *index)
{
	cJSON *entries = index_entries(index);
	cJSON *kept = json_array();
	cJSON *entry;

	cJSON_ArrayForEach(entry, json_member(old, "manifests"))
	{
		if (!has_name(entries, name_of(entry)))
			json_push(kept, cJSON_Duplicate(entry, true));
	}
	while ((entry = cJSON_DetachItemFromArray(kept, 0)))
		json_push(entries, entry);
	cJSON_Delete(kept);
}

int save_to_layout(struct save *save, const char *path, struct error *err)
{
	cleanup_fd int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_json cJSON *index = NULL;
	cleanup_json cJSON *old = NULL;
	int r;

	if (dir_fd < 0 || faccessat(dir_fd, OCI_LAYOUT_FILE, F_OK, 0) < 0)
		return save_to_directory(save, path, err);
	/* Two builds may write to the same. */
	if (flock(dir_fd, LOCK_EX) < 0)
		return output_error(errno, path, err);
	r = json_read_at(dir_fd, OCI_INDEX_FILE, &old, err);
	if (r < 0)
		return err_wrap(err, "cannot write %s", path);
	index = save_index_json(save);
	keep_entries(old, index);
	return fill_directory(save, dir_fd, path, index, err);
}

int save_to_directory(struct save *save, const char *path, struct error *err)
{
	cleanup_json cJSON *index = save_index_json(save);
	CLEANUP(output_parent_release) struct output_parent parent = {.fd = -1};
	cleanup_fd int dir_fd = -1;
	int r = output_parent_open(path, &parent, err);

	if (r < 0)
		return r;
	if (mkdirat(parent.fd, parent.temporary, 0700) < 0)
		return output_error(errno, path, err);
	dir_fd = openat(parent.fd, parent.temporary,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = dir_fd < 0 ? output_error(errno, path, err)
		       : fill_directory(save, dir_fd, path, index, err);
	if (r == 0 && fchmod(dir_fd, MODE_DIR) < 0)
		r = output_error(errno, path, err);
	/* Takes the place of an empty directory, too. */
	if (r == 0 &&
	    renameat(parent.fd, parent.temporary, parent.fd, parent.name) < 0) {
		if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
			r = err_set(err, ERROR_EXISTS,
				    "%s exists and is not an empty directory",
				    path);
			err_hint(err, "choose another name or remove it");
		} else {
			r = output_error(errno, path, err);
		}
	}
	if (r < 0)
		tree_remove_at(parent.fd, parent.temporary, NULL);
	return r;
}
