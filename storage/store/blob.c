#include "storage/store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/digest.h"
#include "storage/store/oci.h"

void blob_path(char ret_path[BLOB_PATH_MAX], const char *digest)
{
	snprintf(ret_path, BLOB_PATH_MAX, OCI_BLOBS "/%.64s",
		 digest_hex(digest));
}

bool blob_exists(const struct store *store, const char *digest)
{
	char path[BLOB_PATH_MAX];

	blob_path(path, digest);
	return faccessat(store->image_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int blob_open(const struct store *store, const char *digest, uint64_t *ret_size,
	      struct error *err)
{
	cleanup_fd int fd = -1;
	char path[BLOB_PATH_MAX];
	struct stat st;

	blob_path(path, digest);
	fd = openat(store->image_fd, path,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERROR_CORRUPT, "blob %s is missing",
			       digest);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "cannot open blob %s", digest);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERROR_CORRUPT, "blob %s is not a file",
			       digest);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

int blob_read_json(const struct store *store, const char *digest,
		   cJSON **ret_json, struct error *err)
{
	cleanup_fd int fd = blob_open(store, digest, NULL, err);
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	if (fd < 0)
		return fd;
	r = file_read_fd(fd, digest, JSON_FILE_MAX, &text, &length, err);
	if (r < 0)
		return r;
	return json_parse(text, length, digest, ret_json, err);
}
