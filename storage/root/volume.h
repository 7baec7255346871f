/*
 * Named and anonymous volumes: volumes/NAME/_data with volume.json beside it:
 *
 *   {"driver": "local", "created": RFC 3339, "labels": {…}, "anonymous": bool,
 *    "options": {…}}
 *
 * Options are those of docker's local driver, as far as they need no root:
 * "type" (none or bind), "o" (bind or rbind, with ro or rw) and "device", an
 * absolute path: the volume is that directory of the host then, which _data
 * only stands for and which is never removed.
 *
 * A volume is made below tmp/ and renamed into place when whole, and renamed
 * away before it is removed, both under the lock volumes/.lock: volumes/NAME is
 * all there or not at all, whoever else makes or removes it at the same time,
 * and a crash leaves only what the next store_open() clears. A directory
 * without volume.json is nobody's; it is not listed and gives way to a new
 * volume. Named volumes are on disk when volume_ensure() returns, anonymous
 * ones need not outlive a power cut that early.
 *
 * A volume's first content comes from the image (docker's copy-up). While that
 * is being copied a file ".moss-filling" is in the volume and flock(2) is held
 * on its root; a copy that was interrupted leaves the file, counts as none and
 * is done again, over what is there. Content is on disk before the file goes.
 * Two containers that start at once wait for each other.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/store/store.h"

#define VOLUME_NAME_MAX 255

struct volume {
	char *name;
	char *created;
	cJSON *labels;	/* object of strings, never NULL once filled */
	cJSON *options; /* object of strings, NULL: none */
	bool anonymous;
	bool read_only; /* by its options */
	char *path;	/* absolute, of _data or its device */
};

void volume_release(struct volume *volume);
/* docker's name rule; 0 or ERROR_INVALID. */
int volume_name_check(const char *name, struct error *err);
/*
 * Makes it when missing (*ret_created). name NULL: anonymous, random name.
 * labels and options (objects of strings) may be NULL; labels of a volume that
 * is there stay, other options than it has are ERROR_CONFLICT.
 */
int volume_ensure(struct store *store, const char *name, const cJSON *labels,
		  const cJSON *options, struct volume *ret_volume,
		  bool *ret_created, struct error *err);
/* ERROR_NOT_FOUND "get NAME: no such volume". */
int volume_find(struct store *store, const char *name,
		struct volume *ret_volume, struct error *err);
/* Sorted; NULL when there are none. */
int volume_list(struct store *store, char ***ret_names, struct error *err);
/* Whether anyone uses it is the caller's business. */
int volume_remove(struct store *store, const char *name, struct error *err);
/*
 * First use of an empty volume over a directory of the image: copies what the
 * image has there (source_fd, O_PATH or readable directory), see
 * storage/root/copy.h; the volume's root gets that directory's owner and mode.
 * Nothing is copied into a volume that has content. Only path is used of
 * volume, with the caller's rights and IDs; "/proc/self/fd/N" will do.
 */
int volume_copy_up(const struct volume *volume, int source_fd,
		   struct error *err);
