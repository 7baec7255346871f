#include "storage/store/image_removal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/reference.h"

int removal_begin(struct store *store, struct store_work *work,
		  int *ret_lock_fd, cJSON **ret_index, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r = store_work_new(store, work, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, ret_index, err);
	if (r < 0)
		return r;
	*ret_lock_fd = steal_fd(&lock_fd);
	return 0;
}

void removal_release(struct removal *removal)
{
	strv_free(removal->manifests);
	strv_free(removal->references);
	strv_free(removal->diff_ids);
	free(removal->container);
	strv_free(removal->report);
}

static void add_entry(struct removal *removal, const cJSON *entry)
{
	char *reference = index_entry_reference(entry);

	if (!strv_contains(removal->manifests, index_entry_digest(entry)))
		strv_push(&removal->manifests, index_entry_digest(entry));
	if (reference && !strv_contains(removal->references, reference))
		strv_push_take(&removal->references, reference);
	else
		free(reference);
}

/* The ID of an entry; a damaged image has its manifest's digest for one. */
static void entry_id(const struct store *store, const cJSON *entry,
		     char ret_id[DIGEST_TEXT_MAX])
{
	CLEANUP(manifest_release) struct manifest manifest = {0};

	if (image_entry_manifest(store, entry, &manifest, NULL) < 0)
		strcpy(manifest.config.digest, index_entry_digest(entry));
	strcpy(ret_id, manifest.config.digest);
}

int removal_gather(struct removal *removal, const cJSON *entry,
		   image_in_use in_use, void *data, struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	const cJSON *other;
	int r;

	if (!index_entry_digest(entry))
		return err_set(err, ERROR_CORRUPT,
			       "index.json: an entry has no valid digest");
	entry_id(removal->store, entry, removal->id);
	cJSON_ArrayForEach(other, index_entries(removal->index))
	{
		char id[DIGEST_TEXT_MAX];

		if (!index_entry_digest(other) || index_entry_is_removed(other))
			continue;
		entry_id(removal->store, other, id);
		if (str_equal(id, removal->id))
			add_entry(removal, other);
	}
	if (image_from_entry(removal->store, removal->index, entry, &image,
			     NULL) == 0)
		removal->diff_ids = steal_ptr(&image.diff_ids);
	if (!in_use)
		return 0;
	r = in_use(removal->id, &removal->container, &removal->running, data);
	if (r < 0)
		return err_number(err, r,
				  "cannot tell whether image %s is used",
				  removal->id);
	if (r > 0 && !removal->container)
		removal->container = xstrdup("?");
	if (r == 0) {
		free(steal_ptr(&removal->container));
		removal->running = false;
	}
	return 0;
}

/* The digests that the repository had it under go with its last name. */
static void untag_digest(struct removal *removal, const char *reference,
			 const char *origin)
{
	cleanup_free char *name = NULL;
	struct reference untagged;

	if (!origin || reference_parse(reference, &untagged, NULL) < 0 ||
	    *untagged.digest)
		return;
	for (size_t i = 0; removal->references[i]; i++) {
		struct reference other;

		if (index_find_reference(removal->index,
					 removal->references[i]) &&
		    reference_parse(removal->references[i], &other, NULL) ==
			    0 &&
		    str_equal(other.registry, untagged.registry) &&
		    str_equal(other.repository, untagged.repository))
			return;
	}
	name = reference_familiar_name(&untagged);
	strv_push_take(&removal->report,
		       xasprintf("Untagged: %s@%s", name, origin));
}

void removal_untag(struct removal *removal, const char *reference)
{
	cleanup_free char *familiar = reference_shorten(reference);
	const cJSON *entry = index_find_reference(removal->index, reference);
	cleanup_free char *origin = xstrdup(index_entry_origin(entry));

	index_unset(removal->index, reference);
	strv_push_take(&removal->report, xasprintf("Untagged: %s", familiar));
	untag_digest(removal, reference, origin);
}

void removal_delete(struct removal *removal)
{
	for (size_t i = 0; removal->references && removal->references[i]; i++) {
		if (index_find_reference(removal->index,
					 removal->references[i]))
			removal_untag(removal, removal->references[i]);
	}
	for (size_t i = 0; removal->manifests && removal->manifests[i]; i++) {
		if (removal->container)
			index_hide(removal->index, removal->manifests[i]);
		else
			index_drop(removal->index, removal->manifests[i]);
	}
	strv_push_take(&removal->report, xasprintf("Deleted: %s", removal->id));
}

void removal_report_layers(struct removal *removal, char *const *layers)
{
	for (size_t i = strv_length(removal->diff_ids); i > 0; i--) {
		if (strv_contains(layers, removal->diff_ids[i - 1]))
			strv_push_take(&removal->report,
				       xasprintf("Deleted: %s",
						 removal->diff_ids[i - 1]));
	}
}

int removal_drop_hidden(struct store *store, cJSON *index, image_in_use in_use,
			void *data, bool *ret_changed, struct error *err)
{
	cJSON *entries = index_entries(index);
	cJSON *next;

	for (cJSON *entry = entries->child; entry; entry = next) {
		cleanup_free char *container = NULL;
		char id[DIGEST_TEXT_MAX];
		bool running = false;
		int r;

		next = entry->next;
		if (!index_entry_is_removed(entry) ||
		    !index_entry_digest(entry))
			continue;
		entry_id(store, entry, id);
		r = in_use ? in_use(id, &container, &running, data) : 0;
		if (r < 0)
			return err_number(
				err, r, "cannot tell whether image %s is used",
				id);
		if (r > 0)
			continue;
		cJSON_Delete(cJSON_DetachItemViaPointer(entries, entry));
		*ret_changed = true;
	}
	return 0;
}
