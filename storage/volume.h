/*
 * Named and anonymous volumes: volumes/NAME/_data with volume.json beside it
 * (created, labels, driver "local", anonymous). A volume directory without
 * volume.json is a leftover.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/store.h"

struct volume {
	char *name;
	char *created;
	cJSON *labels;
	bool anonymous;
	char *path; /* absolute, of _data */
};

void volume_release(struct volume *volume);
/* docker's name rule; 0 or ERROR_INVALID. */
int volume_name_check(const char *name, struct error *err);
/* Makes it when missing (*ret_created). name NULL: anonymous, random name. */
int volume_ensure(struct store *store, const char *name, const cJSON *labels,
		  struct volume *ret_volume, bool *ret_created,
		  struct error *err);
int volume_find(struct store *store, const char *name,
		struct volume *ret_volume, struct error *err);
int volume_list(struct store *store, char ***ret_names, struct error *err);
int volume_remove(struct store *store, const char *name, struct error *err);
/*
 * First use of an empty volume over a directory of the image: copies what the
 * image has there (source_fd, O_PATH or readable directory), with owners,
 * modes, times, xattrs and hard links. Nothing is copied into a volume that has
 * content.
 */
int volume_copy_up(const struct volume *volume, int source_fd,
		   struct error *err);
