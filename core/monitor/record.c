#include "core/monitor/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "core/monitor/record_private.h"

#define CONTAINER_NAME "container.json"
#define OPERATION_LOCK "operation.lock"
#define ID_LENGTH      (ID_TEXT_MAX - 1)
#define DESTROY_TRIES  4
#define CREATE_TRIES   16

bool record_id_is_valid(const char *id)
{
	return strspn(id, "0123456789abcdef") == ID_LENGTH && !id[ID_LENGTH];
}

void record_path(const struct store *store, const char *id,
		 char ret_path[RECORD_PATH_MAX])
{
	snprintf(ret_path, RECORD_PATH_MAX, "%s/%s", store->containers, id);
}

static int no_such_container(const char *id, struct error *err)
{
	return err_set(err, ERROR_NOT_FOUND, "No such container: %s", id);
}

static int open_directory(struct store *store, const char *id, bool is_volatile,
			  struct record *ret_record, struct error *err)
{
	struct record record = {
		.is_volatile =
			is_volatile || store_containers_are_private(store),
		.operation_fd = -1,
	};
	char path[RECORD_PATH_MAX];

	record_path(store, id, path);
	record.directory_fd =
		openat(store->root_fd, path,
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (record.directory_fd < 0 && errno == ENOENT)
		return no_such_container(id, err);
	if (record.directory_fd < 0)
		return err_errno(err, "cannot open container %s", id);
	memcpy(record.id, id, sizeof(record.id));
	*ret_record = record;
	return 0;
}

static int make_directory(struct store *store, const char *id,
			  struct error *err)
{
	char path[RECORD_PATH_MAX];
	int r;

	record_path(store, id, path);
	r = mkdirat(store->root_fd, path, 0700);
	if (r < 0 && errno == ENOENT) {
		if (mkdirat(store->root_fd, store->containers, 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "cannot make %s/",
					 store->containers);
		r = mkdirat(store->root_fd, path, 0700);
	}
	return r < 0 ? err_errno(err, "cannot make %s", path) : 0;
}

int record_create(struct store *store, const char *id, bool is_volatile,
		  struct record *ret_record, struct error *err)
{
	struct record record;
	struct error problem = {0};
	int r = 0;

	if (!record_id_is_valid(id))
		return err_set(err, ERROR_INVALID, "invalid container ID '%s'",
			       id);
	/* Until it is locked, a sweep takes it for a leftover. */
	for (int i = 0; i < CREATE_TRIES; i++) {
		r = make_directory(store, id, err);
		if (r < 0)
			return r;
		r = open_directory(store, id, is_volatile, &record, &problem);
		if (r < 0) {
			if (r == -ENOENT)
				continue;
			break;
		}
		r = record_lock(&record, true, &problem);
		if (r == 0 && record_is_current(store, &record)) {
			*ret_record = record;
			return 0;
		}
		record_close(&record);
		if (r < 0 && r != -ENOENT)
			break;
	}
	if (r == 0)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s is removed all the time", id);
	return err_copy(err, &problem);
}

int record_open(struct store *store, const char *id, struct record *ret_record,
		struct error *err)
{
	if (!record_id_is_valid(id))
		return no_such_container(id, err);
	return open_directory(store, id, false, ret_record, err);
}

void record_close(struct record *record)
{
	record_unlock(record);
	close_fd(&record->directory_fd);
}

int record_lock(struct record *record, bool wait, struct error *err)
{
	int fd;

	if (record->operation_fd >= 0)
		return 0;
	fd = lock_open_at(record->directory_fd, OPERATION_LOCK, LOCK_EXCLUSIVE,
			  wait, err);
	/* Its directory was removed while we waited. */
	if (fd == -ENOENT)
		return no_such_container(record->id, err);
	if (fd < 0)
		return fd;
	record->operation_fd = fd;
	return 0;
}

void record_unlock(struct record *record)
{
	close_fd(&record->operation_fd);
}

static bool is_made(int containers_fd, const char *id)
{
	char path[RECORD_PATH_MAX];

	snprintf(path, sizeof(path), "%.64s/" CONTAINER_NAME, id);
	return faccessat(containers_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* IDs in containers/ that begin so, half-made ones left out if checked. */
static int list(struct store *store, const char *prefix, bool checked,
		char ***ret_ids, struct error *err)
{
	cleanup_strv char **ids = NULL;
	cleanup_dir DIR *directory = NULL;
	cleanup_fd int fd = -1;
	struct dirent *entry;

	fd = openat(store->root_fd, store->containers,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_errno(err, "cannot open %s/", store->containers);
	if (fd >= 0) {
		directory = fdopendir(fd);
		if (!directory)
			return err_errno(err, "cannot read %s/",
					 store->containers);
		steal_fd(&fd);
	}
	while (directory && (entry = readdir(directory))) {
		if (!record_id_is_valid(entry->d_name) ||
		    !str_starts(entry->d_name, prefix))
			continue;
		if (!checked || is_made(dirfd(directory), entry->d_name))
			strv_push(&ids, entry->d_name);
	}
	*ret_ids = steal_ptr(&ids);
	return 0;
}

int record_list(struct store *store, char ***ret_ids, struct error *err)
{
	return list(store, "", true, ret_ids, err);
}

int record_list_prefix(struct store *store, const char *prefix, char ***ret_ids,
		       struct error *err)
{
	return list(store, prefix, true, ret_ids, err);
}

static int read_result(const struct record *record, int r, struct error *err)
{
	if (r == -ENOENT)
		return no_such_container(record->id, err);
	return r < 0 ? err_wrap(err, "container %.12s", record->id) : r;
}

int record_read(const struct record *record, cJSON **ret_container,
		struct error *err)
{
	return read_result(record,
			   json_read_at(record->directory_fd, CONTAINER_NAME,
					ret_container, err),
			   err);
}

int record_read_members(const struct record *record, const char *const *members,
			cJSON **ret_container, struct error *err)
{
	return read_result(record,
			   json_read_members_at(record->directory_fd,
						CONTAINER_NAME, members,
						ret_container, err),
			   err);
}

int record_write(const struct record *record, const cJSON *container,
		 struct error *err)
{
	int r = json_write_at(record->directory_fd, CONTAINER_NAME, container,
			      record->is_volatile ? FILE_VOLATILE : 0, err);

	return r < 0 ? err_wrap(err, "container %.12s", record->id) : r;
}

int record_is_monitored(const struct record *record)
{
	int r = lock_is_held_at(record->directory_fd, RECORD_MONITOR_LOCK);

	return r == -ENOENT ? 0 : r;
}

bool record_is_current(struct store *store, const struct record *record)
{
	char path[RECORD_PATH_MAX];
	struct stat named;
	struct stat opened;

	record_path(store, record->id, path);
	return fstatat(store->root_fd, path, &named, AT_SYMLINK_NOFOLLOW) ==
		       0 &&
	       fstat(record->directory_fd, &opened) == 0 &&
	       named.st_ino == opened.st_ino;
}

int record_remove(struct store *store, const struct record *record,
		  const char *name, struct error *err)
{
	int r;

	if (record_is_monitored(record) > 0)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s is running", record->id);
	r = record_detach(store, record, name, err);
	return r < 0 ? r : record_destroy(store, record, err);
}

static void removed_path(char ret_path[RECORD_PATH_MAX], const char *id)
{
	snprintf(ret_path, RECORD_PATH_MAX, RECORD_REMOVED_PREFIX "%s", id);
}

int record_detach(struct store *store, const struct record *record,
		  const char *name, struct error *err)
{
	char path[RECORD_PATH_MAX];
	char removed[RECORD_PATH_MAX];

	record_path(store, record->id, path);
	removed_path(removed, record->id);
	if (renameat(store->root_fd, path, store->tmp_fd, removed) < 0) {
		if (errno == ENOENT)
			return no_such_container(record->id, err);
		return err_errno(err, "cannot remove container %.12s",
				 record->id);
	}
	/* From here on it is gone; what fails below is left to the sweep. */
	if (name)
		record_name_bury(store, name, record);
	return 0;
}

int record_destroy(struct store *store, const struct record *record,
		   struct error *err)
{
	char removed[RECORD_PATH_MAX];
	int r = 0;

	removed_path(removed, record->id);
	/* Who had it open may still make a lock in it meanwhile. */
	for (int i = 0; i < DESTROY_TRIES; i++) {
		r = tree_remove_at(store->tmp_fd, removed, err);
		if (r != -ENOTEMPTY)
			break;
	}
	return r;
}

static int sweep_removed(struct store *store)
{
	cleanup_dir DIR *directory = NULL;
	struct dirent *entry;
	int count = 0;
	int fd = openat(store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return 0;
	}
	while ((entry = readdir(directory))) {
		if (str_starts(entry->d_name, RECORD_REMOVED_PREFIX) &&
		    tree_remove_at(store->tmp_fd, entry->d_name, NULL) == 0)
			count++;
	}
	return count;
}

int record_sweep_half_made(struct store *store, const char *id)
{
	struct record record;
	int r;

	if (record_open(store, id, &record, NULL) < 0)
		return 0;
	/* Its creator holds the lock until container.json is there. */
	r = record_lock(&record, false, NULL);
	if (r == 0 &&
	    faccessat(record.directory_fd, CONTAINER_NAME, F_OK,
		      AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT)
		r = record_remove(store, &record, NULL, NULL) == 0;
	else
		r = 0;
	record_close(&record);
	return r;
}

static int sweep_records(struct store *store)
{
	cleanup_dir DIR *directory = NULL;
	struct dirent *entry;
	int count = 0;
	int fd = openat(store->root_fd, store->containers,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return 0;
	}
	while ((entry = readdir(directory))) {
		if (record_id_is_valid(entry->d_name) &&
		    !is_made(fd, entry->d_name))
			count += record_sweep_half_made(store, entry->d_name);
	}
	return count;
}

int record_sweep(struct store *store)
{
	/* Names last: those of half-made ones lead nowhere only then. */
	int count = sweep_records(store) + sweep_removed(store);

	return count + record_sweep_names(store);
}

int record_list_unchecked(struct store *store, char ***ret_ids,
			  struct error *err)
{
	sweep_removed(store);
	return list(store, "", false, ret_ids, err);
}

void record_list_checked(struct store *store, size_t count)
{
	/* Each container has a name, so that a name too many shows. */
	if (record_count_names(store) > count)
		record_sweep_names(store);
}
