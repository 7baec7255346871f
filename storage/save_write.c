/* Where moss-image save writes to: a tar stream, a file, a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/blob.h"
#include "storage/hash.h"
#include "storage/oci.h"
#include "storage/save.h"
#include "storage/tar.h"

#define BUFFER_SIZE  (256u << 10)
#define TAR_END_SIZE (2 * TAR_BLOCK_SIZE)
#define MODE_FILE    0644
#define MODE_DIR     0755

static int write_error(int number, const char *name, struct error *err)
{
	int r = err_number(err, number, "cannot write %s", name);

	if (err && err->kind == ERROR_NO_SPACE)
		err_hint(err, "free some space, or save somewhere else");
	return r;
}

/* Copies a blob, size known; its digest must come out right. */
static int copy_blob(const char *digest, int blob_fd, uint64_t size, int fd,
		     const char *name, struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	cleanup_free char *buffer = xcalloc(1, BUFFER_SIZE);
	char found[DIGEST_TEXT_MAX];
	uint64_t done = 0;
	int r = hash_init(&hash, err);

	if (r < 0)
		return r;
	while (done < size) {
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
		r = write_all(fd, buffer, (size_t)length);
		if (r < 0)
			return write_error(r, name, err);
		done += (uint64_t)length;
	}
	hash_digest(&hash, found);
	if (done < size || !str_equal(found, digest))
		return err_set(err, ERROR_CORRUPT,
			       "blob %s in the store is damaged", digest);
	return 0;
}

/* ---- tar ---- */

static int write_header(int fd, const char *path, enum tar_type type,
			uint64_t size, const char *name, struct error *err)
{
	char block[TAR_BLOCK_SIZE];
	int r;

	tar_header(block, path, type,
		   type == TAR_DIRECTORY ? MODE_DIR : MODE_FILE, size, 0);
	r = write_all(fd, block, sizeof(block));
	return r < 0 ? write_error(r, name, err) : 0;
}

static int write_padding(int fd, uint64_t size, const char *name,
			 struct error *err)
{
	static const char zeros[TAR_BLOCK_SIZE];
	size_t length = (size_t)((TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE) %
				 TAR_BLOCK_SIZE);
	int r = write_all(fd, zeros, length);

	return r < 0 ? write_error(r, name, err) : 0;
}

static int write_text(int fd, const char *path, const char *text,
		      const char *name, struct error *err)
{
	size_t length = strlen(text);
	int r = write_header(fd, path, TAR_FILE, length, name, err);

	if (r < 0)
		return r;
	r = write_all(fd, text, length);
	if (r < 0)
		return write_error(r, name, err);
	return write_padding(fd, length, name, err);
}

static int write_blob(struct save *save, const char *digest, int fd,
		      const char *name, struct error *err)
{
	char path[BLOB_PATH_MAX];
	uint64_t size = 0;
	cleanup_fd int blob_fd =
		blob_open(&save->job->store, digest, &size, err);
	int r;

	if (blob_fd < 0)
		return blob_fd;
	blob_path(path, digest);
	r = write_header(fd, path, TAR_FILE, size, name, err);
	if (r == 0)
		r = copy_blob(digest, blob_fd, size, fd, name, err);
	return r < 0 ? r : write_padding(fd, size, name, err);
}

static int write_json(int fd, const char *path, cJSON *json, const char *name,
		      struct error *err)
{
	cleanup_json cJSON *owned = json;
	cleanup_free char *text = json_print(owned);

	return write_text(fd, path, text, name, err);
}

int save_to_fd(struct save *save, int fd, const char *name, struct error *err)
{
	static const char end[TAR_END_SIZE];
	int r;

	if (isatty(fd)) {
		err_set(err, ERROR_INVALID,
			"cowardly refusing to save to a terminal");
		return err_hint(err, "use the -o flag or redirect");
	}
	r = write_header(fd, "blobs/", TAR_DIRECTORY, 0, name, err);
	if (r == 0)
		r = write_header(fd, OCI_BLOBS "/", TAR_DIRECTORY, 0, name,
				 err);
	for (size_t i = 0; r == 0 && save->blobs[i]; i++)
		r = write_blob(save, save->blobs[i], fd, name, err);
	if (r == 0)
		r = write_json(fd, OCI_INDEX_FILE, save_index_json(save), name,
			       err);
	if (r == 0)
		r = write_json(fd, "manifest.json", save_docker_json(save),
			       name, err);
	if (r == 0)
		r = write_text(fd, OCI_LAYOUT_FILE, OCI_LAYOUT_TEXT, name, err);
	if (r < 0)
		return r;
	r = write_all(fd, end, sizeof(end));
	return r < 0 ? write_error(r, name, err) : 0;
}

/* ---- a file ---- */

struct parent {
	int fd;
	char *name;	 /* of the file in it */
	char *temporary; /* beside it */
};

static void parent_release(struct parent *parent)
{
	close_fd(&parent->fd);
	free(parent->name);
	free(parent->temporary);
}

static int open_parent(const char *path, struct parent *ret_parent,
		       struct error *err)
{
	cleanup_free char *clean = path_clean(path);
	char *slash = strrchr(clean, '/');
	unsigned char random[8];
	char hex[2 * sizeof(random) + 1];
	int fd;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(err, "cannot get random bytes");
	hex_encode(hex, random, sizeof(random));
	if (slash)
		*slash = '\0';
	fd = open(!slash	   ? "."
		  : slash == clean ? "/"
				   : clean,
		  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open the directory of %s", path);
	*ret_parent = (struct parent){
		.fd = fd,
		.name = xstrdup(slash ? slash + 1 : clean),
		.temporary = xasprintf(".tmp-%s", hex),
	};
	return 0;
}

/* Nameless where the file system can, so that a killed save leaves nothing. */
static int open_temporary(const struct parent *parent, bool *ret_named)
{
	int fd =
		openat(parent->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	*ret_named = false;
	if (fd >= 0)
		return fd;
	*ret_named = true;
	fd = openat(parent->fd, parent->temporary,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int name_file(const struct parent *parent, int fd, bool named)
{
	char path[PATH_FD_MAX];

	path_of_fd(path, fd);
	if (fsync(fd) < 0)
		return -errno;
	/* A link cannot take a name that is in use, a rename can. */
	if (!named && linkat(AT_FDCWD, path, parent->fd, parent->temporary,
			     AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (renameat(parent->fd, parent->temporary, parent->fd, parent->name) <
	    0) {
		int r = -errno;

		unlinkat(parent->fd, parent->temporary, 0);
		return r;
	}
	return fsync(parent->fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int save_to_special(struct save *save, const char *path,
			   struct error *err)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	return save_to_fd(save, fd, path, err);
}

int save_to_file(struct save *save, const char *path, struct error *err)
{
	CLEANUP(parent_release) struct parent parent = {.fd = -1};
	cleanup_fd int fd = -1;
	bool named = false;
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		err_set(err, ERROR_INVALID, "%s is a directory", path);
		return err_hint(err, "name a file in it");
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return save_to_special(save, path, err);
	r = open_parent(path, &parent, err);
	if (r < 0)
		return r;
	fd = open_temporary(&parent, &named);
	if (fd < 0) {
		r = fd;
		fd = -1;
		return write_error(r, path, err);
	}
	r = save_to_fd(save, fd, path, err);
	if (r < 0) {
		if (named)
			unlinkat(parent.fd, parent.temporary, 0);
		return r;
	}
	r = name_file(&parent, fd, named);
	return r < 0 ? write_error(r, path, err) : 0;
}

/* ---- a directory ---- */

static int write_blob_file(struct save *save, const char *digest, int dir_fd,
			   const char *name, struct error *err)
{
	char path[BLOB_PATH_MAX];
	uint64_t size = 0;
	cleanup_fd int blob_fd =
		blob_open(&save->job->store, digest, &size, err);
	cleanup_fd int fd = -1;

	if (blob_fd < 0)
		return blob_fd;
	blob_path(path, digest);
	fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    MODE_FILE);
	if (fd < 0)
		return write_error(errno, name, err);
	return copy_blob(digest, blob_fd, size, fd, name, err);
}

static int fill_directory(struct save *save, int dir_fd, const char *name,
			  struct error *err)
{
	cleanup_json cJSON *index = save_index_json(save);
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
	return syncfs(dir_fd) < 0 ? write_error(errno, name, err) : 0;
}

int save_to_directory(struct save *save, const char *path, struct error *err)
{
	CLEANUP(parent_release) struct parent parent = {.fd = -1};
	cleanup_fd int dir_fd = -1;
	int r = open_parent(path, &parent, err);

	if (r < 0)
		return r;
	if (mkdirat(parent.fd, parent.temporary, 0700) < 0)
		return write_error(errno, path, err);
	dir_fd = openat(parent.fd, parent.temporary,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = dir_fd < 0 ? write_error(errno, path, err)
		       : fill_directory(save, dir_fd, path, err);
	if (r == 0 && fchmod(dir_fd, MODE_DIR) < 0)
		r = write_error(errno, path, err);
	/* Takes the place of an empty directory, too. */
	if (r == 0 &&
	    renameat(parent.fd, parent.temporary, parent.fd, parent.name) < 0) {
		if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
			r = err_set(err, ERROR_EXISTS,
				    "%s exists and is not an empty directory",
				    path);
			err_hint(err, "choose another name or remove it");
		} else {
			r = write_error(errno, path, err);
		}
	}
	if (r < 0)
		tree_remove_at(parent.fd, parent.temporary, NULL);
	return r;
}
