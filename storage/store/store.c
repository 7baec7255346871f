#include "storage/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/digest.h"

#define WORK_PREFIX "work-"
#define LOCK_SUFFIX ".lock"
#define LEASE_DIR   "lease"
#define WORK_RANDOM 8 /* bytes */

static const char oci_layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
static const char empty_index[] =
	"{\"schemaVersion\":2,"
	"\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
	"\"manifests\":[]}";

/* Opens the directory, making it when it is not there. */
static int open_directory(int dir_fd, const char *name, mode_t mode)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Of nobody else's concern: in the layers there are set-user-ID programs that
 * would run as the user of moss. Older stores, and the directory that the user
 * made for the store, may be open to all. The containers' users need no way in
 * here: a root file system is entered by its mount.
 */
static int close_to_others(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(st.st_mode & 077))
		return 0;
	return fchmod(fd, st.st_mode & 0700) < 0 ? -errno : 0;
}

static bool exists(int dir_fd, const char *path)
{
	return faccessat(dir_fd, path, F_OK, 0) == 0;
}

static bool has_blobs(const struct store *store)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store->image_fd, "blobs/sha256",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name != '.')
			return true;
	}
	return false;
}

/*
 * index.json comes last: with it there, the layout is whole. One that was lost
 * is not made here: with an empty one, all images would be garbage.
 */
static int make_layout(const struct store *store, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r;

	if (exists(store->image_fd, "index.json"))
		return 0;
	lock_fd = store_lock(store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	if (exists(store->image_fd, "index.json") || has_blobs(store))
		return 0;
	r = path_mkdirs_at(store->image_fd, "blobs/sha256", 0755, err);
	if (r < 0)
		return r;
	r = file_write_atomic_at(store->image_fd, "oci-layout", oci_layout,
				 strlen(oci_layout), 0644, 0, err);
	if (r < 0)
		return r;
	return file_write_atomic_at(store->image_fd, "index.json", empty_index,
				    strlen(empty_index), 0644, 0, err);
}

static char *work_of_entry(const char *name)
{
	size_t length = strlen(name);

	if (!str_starts(name, WORK_PREFIX))
		return NULL;
	if (str_ends(name, LOCK_SUFFIX))
		length -= strlen(LOCK_SUFFIX);
	return xstrndup(name, length);
}

/*
 * Removes a work directory whose owner is gone. Failures are nobody's business
 * here: whoever has the rights (the pinned namespace) comes by later.
 */
static void remove_leftover(const struct store *store, const char *name)
{
	cleanup_free char *lock = xasprintf("%s" LOCK_SUFFIX, name);
	cleanup_fd int lock_fd = -1;

	lock_fd =
		lock_open_at(store->tmp_fd, lock, LOCK_EXCLUSIVE, false, NULL);
	if (lock_fd < 0)
		return;
	if (tree_remove_at(store->tmp_fd, name, NULL) == 0)
		unlinkat(store->tmp_fd, lock, 0);
}

static int open_tmp(const struct store *store, DIR **ret_dir)
{
	int fd = openat(store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_dir = fdopendir(fd);
	if (*ret_dir)
		return 0;
	close_fd(&fd);
	return -ENOMEM;
}

void store_clean(const struct store *store)
{
	cleanup_dir DIR *dir = NULL;
	cleanup_strv char **names = NULL;
	const struct dirent *entry;

	if (open_tmp(store, &dir) < 0)
		return;
	while ((entry = readdir(dir))) {
		char *name = work_of_entry(entry->d_name);

		if (name)
			strv_push_take(&names, name);
	}
	for (size_t i = 0; names && names[i]; i++)
		remove_leftover(store, names[i]);
}

int store_open(const char *path, struct store *ret_store, struct error *err)
{
	CLEANUP(store_close)
	struct store store = {.root_fd = -1,
			      .image_fd = -1,
			      .layers_fd = -1,
			      .volumes_fd = -1,
			      .tmp_fd = -1};
	const struct {
		const char *name;
		int *fd;
	} parts[] = {
		{"image", &store.image_fd},
		{"layers", &store.layers_fd},
		{"volumes", &store.volumes_fd},
		{"tmp", &store.tmp_fd},
	};
	int r;

	store.root_fd = open_directory(AT_FDCWD, path, 0700);
	if (store.root_fd == -ENOENT) {
		r = path_mkdirs(path, 0700, err);
		if (r < 0)
			return r;
		store.root_fd = open_directory(AT_FDCWD, path, 0700);
	}
	if (store.root_fd < 0) {
		r = store.root_fd;
		store.root_fd = -1;
		return err_number(err, r, "cannot open the store %s", path);
	}
	store.path = xstrdup(path);
	strcpy(store.containers, STORE_CONTAINERS);
	limits_init(&store.limits);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = open_directory(store.root_fd, parts[i].name, 0700);
		if (r < 0)
			return err_number(err, r, "cannot open %s/%s", path,
					  parts[i].name);
		*parts[i].fd = r;
		r = close_to_others(r);
		if (r < 0)
			return err_number(err, r,
					  "cannot close %s/%s to other users",
					  path, parts[i].name);
	}
	r = make_layout(&store, err);
	if (r < 0)
		return r;
	store_clean(&store);
	*ret_store = store;
	store = (struct store){.root_fd = -1,
			       .image_fd = -1,
			       .layers_fd = -1,
			       .volumes_fd = -1,
			       .tmp_fd = -1};
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	close_fd(&store->root_fd);
	close_fd(&store->image_fd);
	close_fd(&store->layers_fd);
	close_fd(&store->volumes_fd);
	close_fd(&store->tmp_fd);
	free(store->path);
	store->path = NULL;
}

void store_use_containers_of(struct store *store, const char *work)
{
	snprintf(store->containers, sizeof(store->containers),
		 "tmp/%.*s/" STORE_CONTAINERS, STORE_WORK_NAME_MAX - 1, work);
}

bool store_containers_are_private(const struct store *store)
{
	return !str_equal(store->containers, STORE_CONTAINERS);
}

int store_lock(const struct store *store, enum lock_mode mode,
	       struct error *err)
{
	return lock_open_at(store->root_fd, "lock", mode, true, err);
}

int store_work_new(const struct store *store, struct store_work *ret_work,
		   struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.store = store, .fd = -1, .lock_fd = -1};
	char lock[STORE_WORK_NAME_MAX + sizeof(LOCK_SUFFIX)];
	unsigned char random[WORK_RANDOM];
	char hex[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(err, "cannot get random bytes");
	hex_encode(hex, random, sizeof(random));
	snprintf(work.name, sizeof(work.name), WORK_PREFIX "%s", hex);
	snprintf(lock, sizeof(lock), "%s" LOCK_SUFFIX, work.name);
	work.lock_fd =
		lock_open_at(store->tmp_fd, lock, LOCK_EXCLUSIVE, true, err);
	if (work.lock_fd < 0)
		return work.lock_fd;
	if (mkdirat(store->tmp_fd, work.name, 0700) < 0)
		return err_errno(err, "cannot make %s/tmp/%s", store->path,
				 work.name);
	work.fd = openat(store->tmp_fd, work.name,
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (work.fd < 0)
		return err_errno(err, "cannot open %s/tmp/%s", store->path,
				 work.name);
	*ret_work = work;
	work = (struct store_work){.fd = -1, .lock_fd = -1};
	return 0;
}

void store_work_release(struct store_work *work)
{
	char lock[STORE_WORK_NAME_MAX + sizeof(LOCK_SUFFIX)];

	if (!work)
		return;
	close_fd(&work->fd);
	if (work->lock_fd >= 0 &&
	    tree_remove_at(work->store->tmp_fd, work->name, NULL) == 0) {
		snprintf(lock, sizeof(lock), "%s" LOCK_SUFFIX, work->name);
		unlinkat(work->store->tmp_fd, lock, 0);
	}
	close_fd(&work->lock_fd);
}

/* dir_fd: of the work, called name. */
static int lease(int dir_fd, const char *name, const char *hex,
		 struct error *err)
{
	char path[sizeof(LEASE_DIR) + DIGEST_TEXT_MAX];
	cleanup_fd int fd = -1;

	if (mkdirat(dir_fd, LEASE_DIR, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make tmp/%s/" LEASE_DIR, name);
	snprintf(path, sizeof(path), LEASE_DIR "/%.64s", hex);
	fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "cannot make tmp/%s/%s", name, path);
	return 0;
}

int store_work_lease(const struct store_work *work, const char *hex,
		     struct error *err)
{
	return lease(work->fd, work->name, hex, err);
}

/* What store_work_new() makes up, and nothing that leads elsewhere. */
static bool is_work_name(const char *name)
{
	size_t length = strlen(WORK_PREFIX);

	return str_starts(name, WORK_PREFIX) &&
	       strlen(name + length) == 2 * WORK_RANDOM &&
	       strspn(name + length, "0123456789abcdef") == 2 * WORK_RANDOM;
}

int store_work_open(const struct store *store, const char *name,
		    struct error *err)
{
	int fd;

	if (!is_work_name(name))
		return err_set(err, ERROR_INVALID,
			       "\"%s\" is no name of work in the store", name);
	fd = openat(store->tmp_fd, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_errno(err, "cannot open %s/tmp/%s", store->path,
				  name)
		      : fd;
}

int store_work_lease_for(const struct store *store, const char *name,
			 const char *hex, struct error *err)
{
	cleanup_fd int fd = store_work_open(store, name, err);

	if (fd < 0)
		return fd;
	if (!digest_is_hex(hex, strlen(hex)))
		return err_set(err, ERROR_INVALID, "\"%s\" is no digest", hex);
	return lease(fd, name, hex, err);
}

int store_work_unlease(const struct store_work *work, struct error *err)
{
	return tree_remove_at(work->fd, LEASE_DIR, err);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_leases(const struct store *store, const char *name, char ***hex)
{
	cleanup_free char *path = xasprintf("%s/" LEASE_DIR, name);
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store->tmp_fd, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		if (digest_is_hex(entry->d_name, strlen(entry->d_name)))
			strv_push(hex, entry->d_name);
	}
	return 0;
}

int store_leases(const struct store *store, char ***ret_hex, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	cleanup_strv char **hex = NULL;
	const struct dirent *entry;
	int r = open_tmp(store, &dir);

	while (r == 0 && (entry = readdir(dir))) {
		if (str_starts(entry->d_name, WORK_PREFIX) &&
		    !str_ends(entry->d_name, LOCK_SUFFIX))
			r = read_leases(store, entry->d_name, &hex);
	}
	if (r < 0)
		return err_number(err, r, "cannot read %s/tmp", store->path);
	if (hex)
		qsort(hex, strv_length(hex), sizeof(*hex), compare_text);
	*ret_hex = steal_ptr(&hex);
	return 0;
}
