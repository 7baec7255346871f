#include "storage/store/cache_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"

#define TAKE_TRIES  100 /* somebody removes it each time */
#define PATH_SPACE  256
#define USES_MAX    (1u << 20)
#define ID_LENGTH   (ID_TEXT_MAX - 1)
#define FILE_LOCK   "lock"
#define FILE_INIT   "init"
#define FILE_USES   "uses"
#define FILE_RECORD "mount.json"
#define DATA	    "data"
#define DATA_NEW    "data.new"

static bool id_is_valid(const char *id)
{
	return strspn(id, "0123456789abcdef") == ID_LENGTH && !id[ID_LENGTH];
}

static int open_mounts(const struct store *store, struct error *err)
{
	int r = path_mkdirs_at(store->root_fd, CACHE_MOUNTS, 0700, err);
	int fd;

	if (r < 0)
		return r;
	fd = openat(store->root_fd, CACHE_MOUNTS,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "cannot open " CACHE_MOUNTS) : fd;
}

/* Its directory, made when missing, with the lock. */
static int lock_directory(int mounts_fd,
			  const struct cache_mount_request *request,
			  int *ret_lock_fd, struct error *err)
{
	for (int i = 0; i < TAKE_TRIES; i++) {
		struct error problem = {0};
		cleanup_fd int lock_fd = -1;
		char path[PATH_SPACE];
		int fd;

		if (mkdirat(mounts_fd, request->id, 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "cannot make a cache mount");
		snprintf(path, sizeof(path), "%s/" FILE_LOCK, request->id);
		lock_fd = lock_open_at(mounts_fd, path, request->mode,
				       request->wait, &problem);
		if (lock_fd == -ENOENT)
			continue;
		if (lock_fd < 0)
			return lock_fd == -EAGAIN ? steal_fd(&lock_fd)
						  : err_copy(err, &problem);
		/* With the lock it stays where it is. */
		fd = openat(mounts_fd, request->id,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, "cannot open a cache mount");
		*ret_lock_fd = steal_fd(&lock_fd);
		return fd;
	}
	return err_set(err, ERROR_CONFLICT,
		       "cache mount %s is removed all the time",
		       request->description);
}

static int write_record(int dir_fd, const struct cache_mount_request *request,
			struct error *err)
{
	cleanup_json cJSON *json = json_object();
	char now[TIME_TEXT_MAX];

	format_now(now);
	json_set_string(json, "description", request->description);
	json_set_string(json, "created", now);
	return json_write_at(dir_fd, FILE_RECORD, json, FILE_VOLATILE, err);
}

static int make_data(int dir_fd, const struct cache_mount_request *request,
		     struct error *err)
{
	cleanup_fd int fd = -1;
	int r = tree_remove_at(dir_fd, DATA_NEW, err);

	if (r < 0)
		return r;
	if (mkdirat(dir_fd, DATA_NEW, 0755) < 0 ||
	    fchmodat(dir_fd, DATA_NEW, 0755, 0) < 0)
		return err_errno(err, "cannot make a cache mount");
	fd = openat(dir_fd, DATA_NEW,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open a cache mount");
	r = request->fill ? request->fill(fd, request->data, err) : 0;
	if (r < 0)
		return r;
	r = write_record(dir_fd, request, err);
	if (r < 0)
		return r;
	if (renameat(dir_fd, DATA_NEW, dir_fd, DATA) < 0)
		return err_errno(err, "cannot make a cache mount");
	return 0;
}

static int ensure_data(int dir_fd, const struct cache_mount_request *request,
		       struct error *err)
{
	cleanup_fd int init_fd = -1;

	if (faccessat(dir_fd, DATA, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	init_fd = lock_open_at(dir_fd, FILE_INIT, LOCK_EXCLUSIVE, true, err);
	if (init_fd < 0)
		return init_fd;
	if (faccessat(dir_fd, DATA, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return make_data(dir_fd, request, err);
}

/* One byte more, which also tells when. */
static void count_use(int dir_fd)
{
	cleanup_fd int fd = openat(
		dir_fd, FILE_USES,
		O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (st.st_size >= USES_MAX || write(fd, "\n", 1) != 1)
		(void)futimens(fd, NULL);
}

int cache_mount_take(const struct store *store,
		     const struct cache_mount_request *request, char **ret_path,
		     struct error *err)
{
	cleanup_fd int mounts_fd = open_mounts(store, err);
	cleanup_fd int lock_fd = -1;
	cleanup_fd int dir_fd = -1;
	int r;

	if (mounts_fd < 0)
		return mounts_fd;
	if (!id_is_valid(request->id))
		return err_set(err, ERROR_INVALID,
			       "invalid ID of a cache mount: %.80s",
			       request->id);
	dir_fd = lock_directory(mounts_fd, request, &lock_fd, err);
	if (dir_fd < 0)
		return dir_fd;
	r = ensure_data(dir_fd, request, err);
	if (r < 0)
		return err_wrap(err, "cache mount %s", request->description);
	count_use(dir_fd);
	*ret_path = xasprintf("%s/" CACHE_MOUNTS "/%s/" DATA, store->path,
			      request->id);
	return steal_fd(&lock_fd);
}

/* ---- all of them ---- */

static bool is_in_use(int dir_fd)
{
	cleanup_fd int fd =
		lock_open_at(dir_fd, FILE_LOCK, LOCK_EXCLUSIVE, false, NULL);

	return fd == -EAGAIN;
}

static void read_mount(int mounts_fd, const char *id, struct cache_mount *mount)
{
	cleanup_fd int fd = openat(
		mounts_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_json cJSON *json = NULL;
	const char *description = "";
	const char *created = "";
	struct stat st;

	*mount = (struct cache_mount){0};
	memcpy(mount->id, id, sizeof(mount->id));
	if (fd >= 0 && json_read_at(fd, FILE_RECORD, &json, NULL) == 0) {
		(void)json_get_string(json, "", "description", &description,
				      NULL);
		(void)json_get_string(json, "", "created", &created, NULL);
	}
	mount->description = xstrdup(description);
	snprintf(mount->created, sizeof(mount->created), "%s", created);
	if (fd < 0)
		return;
	if (fstatat(fd, FILE_USES, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		mount->uses = (uint64_t)st.st_size;
		mount->last_used = st.st_mtim;
	}
	(void)tree_size_at(fd, ".", &mount->size, NULL);
	mount->in_use = is_in_use(fd);
}

static int by_id(const void *a, const void *b)
{
	const struct cache_mount *left = a, *right = b;

	return strcmp(left->id, right->id);
}

int cache_mount_list(const struct store *store, struct cache_mount **ret_list,
		     size_t *ret_count, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	struct cache_mount *list = NULL;
	const struct dirent *entry;
	size_t count = 0;
	int fd = openat(store->root_fd, CACHE_MOUNTS,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return err_errno(err, "cannot open " CACHE_MOUNTS);
	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (entry = readdir(dir))) {
		if (!id_is_valid(entry->d_name))
			continue;
		list = xrealloc(list, count + 1, sizeof(*list));
		read_mount(dirfd(dir), entry->d_name, &list[count++]);
	}
	if (count > 1)
		qsort(list, count, sizeof(*list), by_id);
	*ret_list = list;
	*ret_count = count;
	return 0;
}

void cache_mount_list_free(struct cache_mount *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].description);
	free(list);
}

int cache_mount_remove(const struct store *store, const char *id,
		       uint64_t *ret_bytes, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	char path[PATH_SPACE];
	uint64_t bytes = 0;
	int r;

	if (!id_is_valid(id))
		return err_set(err, ERROR_INVALID,
			       "invalid ID of a cache mount: %.80s", id);
	snprintf(path, sizeof(path), CACHE_MOUNTS "/%s", id);
	if (faccessat(store->root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERROR_NOT_FOUND, "no such cache mount: %s",
			       id);
	snprintf(path, sizeof(path), CACHE_MOUNTS "/%s/" FILE_LOCK, id);
	lock_fd =
		lock_open_at(store->root_fd, path, LOCK_EXCLUSIVE, false, err);
	if (lock_fd == -EAGAIN)
		return err_set(err, ERROR_CONFLICT,
			       "cache mount %s is in use by a build", id);
	if (lock_fd < 0)
		return lock_fd;
	snprintf(path, sizeof(path), CACHE_MOUNTS "/%s", id);
	(void)tree_size_at(store->root_fd, path, &bytes, NULL);
	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	if (renameat(store->root_fd, path, work.fd, id) < 0)
		return err_errno(err, "cannot remove cache mount %s", id);
	*ret_bytes = bytes;
	return 0;
}
