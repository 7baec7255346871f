#include "core/engine/build_cache_list.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/build_cache.h"
#include "core/engine/settings.h"

#define SECTION	   "build"
#define CACHE_SIZE "cache-size"
#define BYTES_MIN  (1ll << 20)
#define BYTES_MAX  (1ll << 52) /* what JSON carries exactly */

/* docker's defaults. */
#define KEPT_BYTES    10000000000ull
#define KEPT_PERCENT  10u
#define LIMIT_BYTES   100000000000ull
#define LIMIT_PERCENT 80u
#define FREE_PERCENT  20u

#define MEASURED_FILE	 BUILD_DIR "/measured"
#define MEASURED_SECONDS 3600
#define TRIMMED_FILE	 BUILD_DIR "/trimmed"

const struct conf_key build_conf_keys[] = {
	{SECTION, CACHE_SIZE, CONF_BYTES, 0, BYTES_MIN, BYTES_MAX},
	{0},
};

void cached_id(char ret_id[CACHED_ID_MAX], const char *key)
{
	snprintf(ret_id, CACHED_ID_MAX, "%.25s", key);
}

void cached_list_release(struct cached_list *list)
{
	build_cache_release(&list->results);
	cache_mount_list_free(list->mounts, list->mount_count);
	free(list->items);
	*list = (struct cached_list){0};
}

static struct cached of_record(const struct build_cache_record *record)
{
	return (struct cached){
		.key = record->key,
		.type = "regular",
		.description = record->description,
		.created = record->created,
		.last_used = record->last_used,
		.uses = record->uses,
		.size = record->repeated ? 0 : record->size,
		.in_use = record->in_use,
		.shared = record->in_image,
	};
}

static struct cached of_mount(const struct cache_mount *mount)
{
	return (struct cached){
		.is_mount = true,
		.key = mount->id,
		.type = "exec.cachemount",
		.description = mount->description,
		.created = mount->created,
		.last_used = mount->last_used,
		.uses = mount->uses,
		.size = mount->size,
		.in_use = mount->in_use,
	};
}

static int compare_use(const void *a, const void *b)
{
	const struct cached *left = a;
	const struct cached *right = b;

	return build_cache_order(&left->last_used, left->created,
				 &right->last_used, right->created);
}

int cached_list_read(struct engine *engine, bool with_mounts,
		     struct cached_list *ret_list, struct error *err)
{
	CLEANUP(cached_list_release) struct cached_list list = {0};
	int r = build_cache_usage(&engine->store, &list.results, err);

	if (r == 0 && with_mounts)
		r = cache_mount_list(&engine->store, &list.mounts,
				     &list.mount_count, err);
	if (r < 0)
		return r;
	list.items = xcalloc(list.results.count + list.mount_count + 1,
			     sizeof(*list.items));
	for (size_t i = 0; i < list.results.count; i++)
		list.items[list.count++] = of_record(&list.results.records[i]);
	for (size_t i = 0; i < list.mount_count; i++)
		list.items[list.count++] = of_mount(&list.mounts[i]);
	qsort(list.items, list.count, sizeof(*list.items), compare_use);
	*ret_list = list;
	list = (struct cached_list){0};
	return 0;
}

uint64_t cached_list_size(const struct cached_list *list)
{
	uint64_t size = 0;

	for (size_t i = 0; i < list->count; i++)
		size += list->items[i].shared ? 0 : list->items[i].size;
	return size;
}

/* ---- the limit ---- */

static uint64_t percent_of(uint64_t bytes, unsigned int percent, uint64_t most)
{
	uint64_t part = bytes / 100 * percent;

	return part < most ? part : most;
}

uint64_t cached_default_limit(const struct cached_disk *disk, uint64_t size)
{
	const uint64_t wanted =
		percent_of(disk->total, FREE_PERCENT, UINT64_MAX);
	const uint64_t kept = percent_of(disk->total, KEPT_PERCENT, KEPT_BYTES);
	uint64_t limit = percent_of(disk->total, LIMIT_PERCENT, LIMIT_BYTES);

	if (disk->available < wanted) {
		uint64_t missing = wanted - disk->available;
		uint64_t left = size > missing ? size - missing : 0;

		limit = left < limit ? left : limit;
	}
	return limit > kept ? limit : kept;
}

int cached_limit(struct engine *engine, uint64_t size, uint64_t *ret_limit,
		 struct error *err)
{
	CLEANUP(conf_release) struct conf conf = {0};
	const struct conf_entry *entry;
	struct cached_disk disk;
	struct statvfs stat;
	int r = settings_read(engine, &conf, err);

	if (r < 0)
		return r;
	entry = conf_get(&conf, SECTION, NULL, CACHE_SIZE);
	if (entry) {
		*ret_limit = (uint64_t)entry->number;
		return 0;
	}
	if (fstatvfs(engine->store.root_fd, &stat) < 0)
		return err_errno(err, "cannot tell how large the disk of %s is",
				 engine->store.path);
	disk.total = (uint64_t)stat.f_blocks * stat.f_frsize;
	disk.available = (uint64_t)stat.f_bavail * stat.f_frsize;
	*ret_limit = cached_default_limit(&disk, size);
	return 0;
}

static int open_stamp(const struct engine *engine, const char *path)
{
	return openat(engine->store.root_fd, path,
		      O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* A time in the future is as good as none. */
bool cached_mounts_are_due(const struct engine *engine)
{
	const int root_fd = engine->store.root_fd;
	const time_t now = time(NULL);
	cleanup_fd int fd = -1;
	struct stat st;

	if (fstatat(root_fd, MEASURED_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_mtime <= now && now - st.st_mtime < MEASURED_SECONDS)
		return false;
	fd = open_stamp(engine, MEASURED_FILE);
	if (fd >= 0)
		(void)futimens(fd, NULL);
	return true;
}

bool cached_changed(const struct engine *engine, struct timespec *ret_time)
{
	const int root_fd = engine->store.root_fd;
	struct stat cache;
	struct stat stamp;

	if (fstatat(root_fd, BUILD_CACHE_DIR, &cache, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret_time = cache.st_mtim;
	return fstatat(root_fd, TRIMMED_FILE, &stamp, AT_SYMLINK_NOFOLLOW) <
		       0 ||
	       stamp.st_mtim.tv_sec != cache.st_mtim.tv_sec ||
	       stamp.st_mtim.tv_nsec != cache.st_mtim.tv_nsec;
}

void cached_note_trimmed(const struct engine *engine,
			 const struct timespec *time)
{
	cleanup_fd int fd = open_stamp(engine, TRIMMED_FILE);
	const struct timespec times[] = {*time, *time};

	if (fd >= 0)
		(void)futimens(fd, times);
}
