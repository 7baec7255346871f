#include "storage/build/stat_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

#define DIRECTORY_MODE 0700
#define FILE_MODE      0600
#define NS_PER_S       1000000000ll
#define NS_PER_MS      1000000ll
#define S_PER_DAY      86400

static const char magic[8] = "mossst1\n";

struct header {
	char magic[8];
	uint64_t count;
	unsigned char check[16];
};

struct slot {
	uint64_t key;
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	int64_t mtime;
	int64_t ctime;
	int64_t day;
	unsigned char sum[HASH_SIZE];
};

struct slots {
	struct slot *list;
	size_t count;
	size_t room;
};

struct stat_cache {
	int store_fd;
	char name[DIGEST_HEX + 1];
	int64_t opened; /* CLOCK_REALTIME, ns: that of files' times */
	int64_t day;
	struct slots known; /* sorted by key */
	struct slots added;
};

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec;
}

/* FNV-1a. Two paths of one key only take turns: the rest tells them apart. */
static uint64_t key_of(const char *path)
{
	uint64_t key = 0xcbf29ce484222325ull;

	for (; *path; path++)
		key = (key ^ (unsigned char)*path) * 0x100000001b3ull;
	return key;
}

static struct slot slot_of(const char *path, const struct stat *st)
{
	struct slot slot;

	/* All of it is written and digested. */
	memset(&slot, 0, sizeof(slot));
	slot.key = key_of(path);
	slot.dev = st->st_dev;
	slot.ino = st->st_ino;
	slot.size = (uint64_t)st->st_size;
	slot.mtime = ns_of(&st->st_mtim);
	slot.ctime = ns_of(&st->st_ctim);
	return slot;
}

static bool is_same_file(const struct slot *a, const struct slot *b)
{
	return a->key == b->key && a->dev == b->dev && a->ino == b->ino &&
	       a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime;
}

static void slots_add(struct slots *slots, const struct slot *slot)
{
	if (slots->count == slots->room) {
		slots->room = slots->room ? 2 * slots->room : 256;
		slots->list = xrealloc(slots->list, slots->room,
				       sizeof(*slots->list));
	}
	slots->list[slots->count++] = *slot;
}

static struct slot *slots_find(const struct slots *slots, uint64_t key)
{
	size_t from = 0;
	size_t to = slots->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (slots->list[middle].key < key)
			from = middle + 1;
		else
			to = middle;
	}
	return from < slots->count && slots->list[from].key == key
		       ? &slots->list[from]
		       : NULL;
}

/* ---- the file ---- */

static int check_of(const struct slots *slots, unsigned char ret_check[16])
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	unsigned char bytes[HASH_SIZE];
	int r = hash_init(&hash, NULL);

	if (r < 0)
		return r;
	hash_update(&hash, slots->list, slots->count * sizeof(*slots->list));
	hash_finish(&hash, bytes);
	memcpy(ret_check, bytes, 16);
	return 0;
}

static bool is_sorted(const struct slots *slots)
{
	for (size_t i = 1; i < slots->count; i++) {
		if (slots->list[i - 1].key >= slots->list[i].key)
			return false;
	}
	return true;
}

/* What is in the file, if it is one of ours. */
static void slots_parse(const char *data, size_t length,
			struct slots *ret_slots)
{
	struct header header;
	struct slots slots = {0};
	unsigned char check[16];

	if (length < sizeof(header))
		return;
	memcpy(&header, data, sizeof(header));
	length -= sizeof(header);
	if (memcmp(header.magic, magic, sizeof(magic)) != 0 ||
	    header.count > STAT_CACHE_SLOTS_MAX ||
	    length != header.count * sizeof(*slots.list))
		return;
	slots.count = slots.room = (size_t)header.count;
	slots.list = xrealloc(NULL, slots.count, sizeof(*slots.list));
	memcpy(slots.list, data + sizeof(header), length);
	if (check_of(&slots, check) == 0 &&
	    memcmp(check, header.check, sizeof(check)) == 0 &&
	    is_sorted(&slots))
		*ret_slots = slots;
	else
		free(slots.list);
}

static void slots_read(int dir_fd, const char *name, struct slots *ret_slots)
{
	const size_t max = sizeof(struct header) +
			   STAT_CACHE_SLOTS_MAX * sizeof(struct slot);
	cleanup_free char *data = NULL;
	size_t length = 0;
	struct stat st;
	cleanup_fd int fd = openat(
		dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	*ret_slots = (struct slots){0};
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    file_read_fd(fd, name, max, &data, &length, NULL) == 0)
		slots_parse(data, length, ret_slots);
}

static int slots_write(const struct slots *slots, int dir_fd, const char *name,
		       struct error *err)
{
	cleanup_str struct str text = {0};
	struct header header = {.count = slots->count};
	int r;

	memcpy(header.magic, magic, sizeof(magic));
	r = check_of(slots, header.check);
	if (r < 0)
		return err_number(err, r, "cannot digest the stat cache");
	str_append_bytes(&text, (const char *)&header, sizeof(header));
	str_append_bytes(&text, slots->list,
			 slots->count * sizeof(*slots->list));
	return file_write_atomic_at(dir_fd, name, text.data, text.length,
				    FILE_MODE, FILE_VOLATILE, err);
}

/* ---- what is known ---- */

static int name_of(int root_fd, const char *path, char ret_name[DIGEST_HEX + 1])
{
	cleanup_free char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	struct stat st;
	int r;

	if (fstat(root_fd, &st) < 0)
		return -errno;
	text = xasprintf("%llu:%llu:%s", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino, path);
	r = hash_bytes(text, strlen(text), digest, NULL);
	if (r == 0)
		strcpy(ret_name, digest_hex(digest));
	return r;
}

struct stat_cache *stat_cache_open(int store_fd, int root_fd, const char *path)
{
	struct stat_cache *cache = xcalloc(1, sizeof(*cache));
	cleanup_fd int dir_fd = -1;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	cache->store_fd = store_fd;
	cache->opened = ns_of(&now);
	cache->day = now.tv_sec / S_PER_DAY;
	if (name_of(root_fd, path, cache->name) < 0)
		return cache;
	dir_fd = openat(store_fd, STAT_CACHE_DIRECTORY,
			O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0)
		slots_read(dir_fd, cache->name, &cache->known);
	return cache;
}

void stat_cache_free(struct stat_cache *cache)
{
	if (!cache)
		return;
	free(cache->known.list);
	free(cache->added.list);
	free(cache);
}

void cleanup_stat_cache_function(struct stat_cache **cache)
{
	stat_cache_free(*cache);
}

bool stat_cache_find(struct stat_cache *cache, const char *path,
		     const struct stat *st, unsigned char ret_sum[HASH_SIZE])
{
	struct slot wanted = slot_of(path, st);
	const struct slot *found = slots_find(&cache->known, wanted.key);

	if (!found || !is_same_file(found, &wanted))
		return false;
	memcpy(ret_sum, found->sum, HASH_SIZE);
	/* Once a day it is noted that it is of use. */
	if (found->day != cache->day) {
		memcpy(wanted.sum, found->sum, HASH_SIZE);
		wanted.day = cache->day;
		slots_add(&cache->added, &wanted);
	}
	return true;
}

void stat_cache_put(struct stat_cache *cache, const char *path,
		    const struct stat *st, const unsigned char sum[HASH_SIZE])
{
	struct slot slot = slot_of(path, st);

	if (slot.ctime > cache->opened - STAT_CACHE_SETTLED_MS * NS_PER_MS ||
	    cache->added.count >= STAT_CACHE_SLOTS_MAX)
		return;
	memcpy(slot.sum, sum, HASH_SIZE);
	slot.day = cache->day;
	slots_add(&cache->added, &slot);
}

/* ---- saving ---- */

static int by_key(const void *a, const void *b)
{
	const struct slot *left = a;
	const struct slot *right = b;

	return (left->key > right->key) - (left->key < right->key);
}

static int by_use(const void *a, const void *b)
{
	const struct slot *left = a;
	const struct slot *right = b;

	return (left->day < right->day) - (left->day > right->day);
}

/* Old and new ones, both sorted, as one; a new one takes an old one's place. */
static void merge(const struct slots *old, const struct slots *new,
		  int64_t oldest, struct slots *ret_all)
{
	size_t i = 0;

	for (size_t j = 0; j <= new->count; j++) {
		const struct slot *next = j < new->count ? &new->list[j] : NULL;

		for (;
		     i < old->count && (!next || old->list[i].key < next->key);
		     i++) {
			if (old->list[i].day >= oldest)
				slots_add(ret_all, &old->list[i]);
		}
		if (!next)
			break;
		i += i < old->count && old->list[i].key == next->key;
		/* Of two paths with one key the first. */
		if (j == 0 || new->list[j - 1].key != next->key)
			slots_add(ret_all, next);
	}
}

static void limit(struct slots *slots)
{
	if (slots->count <= STAT_CACHE_SLOTS_MAX)
		return;
	qsort(slots->list, slots->count, sizeof(*slots->list), by_use);
	slots->count = STAT_CACHE_SLOTS_MAX;
	qsort(slots->list, slots->count, sizeof(*slots->list), by_key);
}

/* Of too many contexts' files the oldest goes. */
static void remove_oldest(int dir_fd)
{
	cleanup_dir DIR *dir = NULL;
	char oldest[DIGEST_HEX + 1] = "";
	int64_t time = INT64_MAX;
	unsigned int count = 0;
	const struct dirent *entry;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		struct stat st;

		if (strlen(entry->d_name) != DIGEST_HEX ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0)
			continue;
		count++;
		if (ns_of(&st.st_mtim) < time) {
			time = ns_of(&st.st_mtim);
			strcpy(oldest, entry->d_name);
		}
	}
	if (count > STAT_CACHE_FILES_MAX)
		unlinkat(dir_fd, oldest, 0);
}

static int save(struct stat_cache *cache, int dir_fd, struct error *err)
{
	struct slots old;
	struct slots all = {0};
	int r;

	slots_read(dir_fd, cache->name, &old);
	qsort(cache->added.list, cache->added.count, sizeof(*cache->added.list),
	      by_key);
	merge(&old, &cache->added, cache->day - STAT_CACHE_DAYS, &all);
	limit(&all);
	r = slots_write(&all, dir_fd, cache->name, err);
	free(old.list);
	if (r < 0) {
		free(all.list);
		return r;
	}
	free(cache->known.list);
	cache->known = all;
	cache->added.count = 0;
	remove_oldest(dir_fd);
	return 0;
}

int stat_cache_save(struct stat_cache *cache, struct error *err)
{
	cleanup_fd int dir_fd = -1;
	cleanup_fd int lock_fd = -1;
	int r;

	if (cache->added.count == 0 || !*cache->name)
		return 0;
	r = path_mkdirs_at(cache->store_fd, STAT_CACHE_DIRECTORY,
			   DIRECTORY_MODE, err);
	if (r < 0)
		return r;
	dir_fd = openat(cache->store_fd, STAT_CACHE_DIRECTORY,
			O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_errno(err, "cannot open %s", STAT_CACHE_DIRECTORY);
	lock_fd = lock_open_at(dir_fd, "lock", LOCK_EXCLUSIVE, true, err);
	if (lock_fd < 0)
		return lock_fd;
	return save(cache, dir_fd, err);
}
