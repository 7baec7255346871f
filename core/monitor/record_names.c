#include <dirent.h>
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
#include "core/monitor/record_private.h"

/* Names begin with a letter or a digit, so that this is none. */
#define NAMES_LOCK  ".lock"
#define CLAIM_TRIES 16

static int open_names(struct store *store, struct error *err)
{
	int fd = openat(store->root_fd, "names",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(store->root_fd, "names", 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "cannot make names/");
		fd = openat(store->root_fd, "names",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? err_errno(err, "cannot open names/") : fd;
}

static int check_name(const char *name, struct error *err)
{
	if (str_empty(name) || name[0] == '.' || strchr(name, '/') ||
	    strlen(name) > NAME_MAX)
		return err_set(err, ERROR_INVALID,
			       "Invalid container name (%s)", name ? name : "");
	return 0;
}

/* 1 and the text of the link, "" when it is no ID; 0 when there is none. */
static int read_name(int names_fd, const char *name, char ret_id[ID_TEXT_MAX])
{
	char id[ID_TEXT_MAX + 1];
	ssize_t length = readlinkat(names_fd, name, id, sizeof(id) - 1);

	if (length < 0 && errno == ENOENT)
		return 0;
	id[length < 0 ? 0 : length] = '\0';
	if (!record_id_is_valid(id))
		id[0] = '\0';
	memcpy(ret_id, id, ID_TEXT_MAX);
	return 1;
}

static bool record_exists(struct store *store, const char *id)
{
	char path[RECORD_PATH_MAX];

	record_path(store, id, path);
	return *id &&
	       faccessat(store->root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int record_name_find(struct store *store, const char *name,
		     char ret_id[ID_TEXT_MAX], struct error *err)
{
	char id[ID_TEXT_MAX] = "";
	cleanup_fd int names_fd = -1;

	if (check_name(name, NULL) < 0)
		return 0;
	names_fd = open_names(store, err);
	if (names_fd < 0)
		return names_fd;
	if (read_name(names_fd, name, id) == 0 || !record_exists(store, id))
		return 0;
	memcpy(ret_id, id, sizeof(id));
	return 1;
}

/*
 * Removes the link if it names id, or, with id NULL, if it leads nowhere. Under
 * a lock, as between look and unlink(2) the name may get a new owner. With a
 * directory to bury it in (-1: none) the link only moves there. 1 when it was
 * removed.
 */
static int remove_name(struct store *store, int names_fd, const char *name,
		       const char *id, int grave_fd, struct error *err)
{
	char owner[ID_TEXT_MAX];
	cleanup_fd int lock_fd = -1;

	lock_fd = lock_open_at(names_fd, NAMES_LOCK, LOCK_EXCLUSIVE, true, err);
	if (lock_fd < 0)
		return lock_fd;
	if (read_name(names_fd, name, owner) == 0)
		return 0;
	if (id ? !str_equal(owner, id) : record_exists(store, owner))
		return 0;
	if (grave_fd >= 0 &&
	    renameat(names_fd, name, grave_fd, RECORD_BURIED_NAME) == 0)
		return 1;
	if (unlinkat(names_fd, name, 0) < 0 && errno != ENOENT)
		return err_errno(err, "cannot free the name %s", name);
	return 1;
}

static int release(struct store *store, const char *name, const char *id,
		   int grave_fd, struct error *err)
{
	cleanup_fd int names_fd = -1;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	names_fd = open_names(store, err);
	if (names_fd < 0)
		return names_fd;
	r = remove_name(store, names_fd, name, id, grave_fd, err);
	return r < 0 ? r : 0;
}

int record_name_release(struct store *store, const char *name, const char *id,
			struct error *err)
{
	return release(store, name, id, -1, err);
}

int record_name_bury(struct store *store, const char *name,
		     const struct record *record)
{
	return release(store, name, record->id, record->directory_fd, NULL);
}

/* True when it can be told that the record has another name. */
static bool has_other_name(const struct record *record, const char *name)
{
	cleanup_json cJSON *container = NULL;
	const char *own = NULL;

	if (record_read(record, &container, NULL) < 0 ||
	    json_get_string(container, "container", "Name", &own, NULL) <= 0)
		return false;
	return !str_equal(*own == '/' ? own + 1 : own, name);
}

/* A rename that was killed leaves a second name: 1 when this is it and is free
   now. */
static int free_second(struct store *store, int names_fd, const char *name,
		       const char *owner)
{
	struct record record;
	int r = 0;

	if (record_open(store, owner, &record, NULL) < 0)
		return 0;
	/* Whoever renames it holds the lock. */
	if (record_lock(&record, false, NULL) == 0 &&
	    has_other_name(&record, name))
		r = remove_name(store, names_fd, name, owner, -1, NULL);
	record_close(&record);
	return r > 0;
}

/* 1 when the name's owner was dead and gave it up, 0 when it keeps it. */
static int evict(struct store *store, int names_fd, const char *name,
		 const char *owner, struct error *err)
{
	struct record record;
	int r;

	if (!record_exists(store, owner))
		return remove_name(store, names_fd, name, NULL, -1, err);
	if (record_sweep_half_made(store, owner) > 0)
		return 1;
	r = record_open(store, owner, &record, err);
	if (r == -ENOENT)
		return 1;
	if (r < 0)
		return r;
	r = record_repair(store, &record, NULL, err);
	record_close(&record);
	if (r == 0)
		return free_second(store, names_fd, name, owner);
	return r == RECORD_REMOVED ? 1 : r;
}

int record_name_claim(struct store *store, const char *name, const char *id,
		      bool is_volatile, struct error *err)
{
	char owner[ID_TEXT_MAX] = "";
	cleanup_fd int names_fd = -1;
	int r = check_name(name, err);

	if (r < 0)
		return r;
	names_fd = open_names(store, err);
	if (names_fd < 0)
		return names_fd;
	for (int i = 0; i < CLAIM_TRIES; i++) {
		if (symlinkat(id, names_fd, name) == 0) {
			if (!is_volatile)
				fsync(names_fd);
			return 0;
		}
		if (errno != EEXIST)
			return err_errno(err, "cannot take the name %s", name);
		if (read_name(names_fd, name, owner) == 0)
			continue;
		if (str_equal(owner, id))
			return 0;
		r = evict(store, names_fd, name, owner, err);
		if (r < 0)
			return r;
		if (r == 0)
			break;
	}
	err_set(err, ERROR_EXISTS,
		"Conflict. The container name \"/%s\" is already in use by "
		"container \"%s\". You have to remove (or rename) that "
		"container to be able to reuse that name.",
		name, owner);
	return err_return(err);
}

static DIR *list_names(int names_fd)
{
	int fd = openat(names_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (!directory && fd >= 0)
		close(fd);
	return directory;
}

size_t record_count_names(struct store *store)
{
	cleanup_dir DIR *directory = NULL;
	cleanup_fd int names_fd = open_names(store, NULL);
	struct dirent *entry;
	size_t count = 0;

	if (names_fd >= 0)
		directory = list_names(names_fd);
	while (directory && (entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	return count;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* links: "ID NAME" each. Of several names that lead to one ID, one is its. */
static int sweep_seconds(struct store *store, int names_fd, char **links)
{
	size_t links_count = strv_length(links);
	int count = 0;

	if (links_count > 1)
		qsort(links, links_count, sizeof(*links), compare);
	for (size_t i = 0; i < links_count; i++) {
		char id[ID_TEXT_MAX];

		memcpy(id, links[i], ID_TEXT_MAX - 1);
		id[ID_TEXT_MAX - 1] = '\0';
		if ((i > 0 && str_starts(links[i - 1], id)) ||
		    (i + 1 < links_count && str_starts(links[i + 1], id)))
			count += free_second(store, names_fd,
					     links[i] + ID_TEXT_MAX, id);
	}
	return count;
}

int record_sweep_names(struct store *store)
{
	cleanup_dir DIR *directory = NULL;
	cleanup_strv char **links = NULL;
	cleanup_fd int names_fd = open_names(store, NULL);
	struct dirent *entry;
	int count = 0;

	if (names_fd >= 0)
		directory = list_names(names_fd);
	while (directory && (entry = readdir(directory))) {
		const char *name = entry->d_name;
		char id[ID_TEXT_MAX];

		if (name[0] == '.' || read_name(names_fd, name, id) == 0)
			continue;
		if (record_exists(store, id))
			strv_push_take(&links, xasprintf("%s %s", id, name));
		else if (remove_name(store, names_fd, name, NULL, -1, NULL) > 0)
			count++;
	}
	return count + sweep_seconds(store, names_fd, links);
}
