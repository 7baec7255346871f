/*
 * One image on its way out of an index, for image_remove() and image_prune(),
 * which hold the store's lock exclusively.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/store/digest.h"
#include "storage/store/image.h"
#include "storage/store/store.h"

struct removal {
	struct store *store;
	cJSON *index;
	char id[DIGEST_TEXT_MAX];
	char **manifests;  /* all with that ID */
	char **references; /* of all of them */
	char **diff_ids;   /* empty for a damaged image */

	char *container; /* that uses it, or NULL */
	bool running;

	char **report; /* "Untagged: …", "Deleted: …" */
};

/* Frees all but the index. */
void removal_release(struct removal *removal);

/*
 * What all that removes begins with: the lock, exclusively, the index, and
 * work, where trees go that take their time: it is to be released after the
 * lock.
 */
int removal_begin(struct store *store, struct store_work *work,
		  int *ret_lock_fd, cJSON **ret_index, struct error *err);

/* Fills all but store and index, which are given. */
int removal_gather(struct removal *removal, const cJSON *entry,
		   image_in_use in_use, void *data, struct error *err);
/* Takes one name off. */
void removal_untag(struct removal *removal, const char *reference);
/* Takes the image out of the index, or hides it if a container needs it. */
void removal_delete(struct removal *removal);
/* Adds lines for those of its layers that are gone, top first. */
void removal_report_layers(struct removal *removal, char *const *layers);

/* Drops the hidden images that no container needs any more. */
int removal_drop_hidden(struct store *store, cJSON *index, image_in_use in_use,
			void *data, bool *ret_changed, struct error *err);
