#include "storage/store/build_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/build_cache_record.h"

#define LOCK_FILE BUILD_DIR "/lock"

static int check_key(const char *key, struct error *err)
{
	if (build_key_is_valid(key))
		return 0;
	return err_set(err, ERROR_INVALID, "invalid key of a build step: %.80s",
		       key);
}

/* The directory below which everything of builds lies, and more of it. */
static int make_directories(const struct store *store, struct error *err)
{
	static const char *const paths[] = {BUILD_DIR, BUILD_CACHE_DIR};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (mkdirat(store->root_fd, paths[i], 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "cannot make %s/%s", store->path,
					 paths[i]);
	}
	return 0;
}

bool build_cache_record_is_whole(const struct store *store,
				 const struct build_cache_record *record)
{
	const struct layer_ref *layer = &record->layer;
	cleanup_fd int fd = -1;
	uint64_t size = 0;

	if (record->empty)
		return true;
	if (!layer_exists(store, layer->diff_id))
		return false;
	fd = blob_open(store, layer->blob.digest, &size, NULL);
	return fd >= 0 && size == layer->blob.size;
}

/*
 * One byte more, which sets the time, too. Whoever comes at the same moment
 * adds his own.
 */
static void count_use(const struct store *store,
		      const struct build_cache_record *record)
{
	char path[BUILD_RECORD_PATH_MAX];
	cleanup_fd int fd = -1;

	build_record_path(path, record->key);
	fd = openat(store->root_fd, path,
		    O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (record->uses >= BUILD_RECORD_USES_MAX || write(fd, "\n", 1) != 1)
		(void)futimens(fd, NULL);
}

int build_cache_find(const struct store *store, const struct store_work *work,
		     const char *key, struct layer_ref *ret_layer,
		     struct error *err)
{
	CLEANUP(build_record_release) struct build_cache_record record = {0};
	cleanup_fd int lock_fd = -1;
	int r = check_key(key, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	/* One that cannot be read is replaced when the step has run. */
	if (build_record_read(store, key, &record, NULL) < 0 ||
	    !build_cache_record_is_whole(store, &record))
		return BUILD_CACHE_MISS;
	if (!record.empty) {
		const struct layer_ref *layer = &record.layer;

		r = store_work_lease(work, digest_hex(layer->diff_id), err);
		if (r == 0)
			r = store_work_lease(
				work, digest_hex(layer->blob.digest), err);
		if (r < 0)
			return r;
		*ret_layer = *layer;
	}
	count_use(store, &record);
	return record.empty ? BUILD_CACHE_EMPTY : BUILD_CACHE_LAYER;
}

int build_cache_put(const struct store *store, const char *key,
		    const struct build_cache_entry *entry, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_fd int lock_fd = -1;
	uint64_t size = 0;
	int r = check_key(key, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	if (entry->layer) {
		struct layer layer;

		r = layer_read(store, entry->layer->diff_id, &layer, err);
		if (r < 0)
			return err_wrap(err, "a step's layer %s",
					entry->layer->diff_id);
		size = layer.size + entry->layer->blob.size;
	}
	r = make_directories(store, err);
	if (r < 0)
		return r;
	json = build_record_json(entry, size);
	return build_record_write(store, key, json, err);
}

/*
 * A byte of one file for each key: there is nothing to be removed afterwards,
 * and nobody who locks a file that was just removed. Two keys with the same
 * byte, one pair in 2^62, would wait for each other for nothing.
 */
static off_t lock_offset(const char *key)
{
	char digits[17] = "";

	memcpy(digits, key, 16);
	return (off_t)(strtoull(digits, NULL, 16) >> 2);
}

int build_cache_lock(const struct store *store, const char *key, bool wait,
		     struct error *err)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_len = 1,
	};
	cleanup_fd int fd = -1;
	int r = check_key(key, err);

	if (r == 0)
		r = make_directories(store, err);
	if (r < 0)
		return r;
	fd = openat(store->root_fd, LOCK_FILE,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "cannot open %s/" LOCK_FILE, store->path);
	lock.l_start = lock_offset(key);
	do
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	while (r < 0 && errno == EINTR);
	if (r < 0 && !wait && (errno == EAGAIN || errno == EACCES))
		return -EAGAIN;
	if (r < 0)
		return err_errno(err, "cannot lock %s/" LOCK_FILE, store->path);
	return steal_fd(&fd);
}
