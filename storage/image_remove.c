/*
 * image_remove() and image_collect() of storage/image.h, after the rules of
 * `docker rmi`:
 *
 *   a name    is taken off. When it was the last, the image goes too, unless a
 *             container uses it: then nothing is done without force, and with
 *             force the image stays nameless if the container runs.
 *   an ID     with one name at most: as the name; with more: only by force,
 *             all names go. A running container cannot be forced.
 *
 * An ID may stand for several manifests with the same config; they go together.
 */
#include "storage/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/collect.h"
#include "storage/digest.h"
#include "storage/image_entry.h"
#include "storage/index.h"
#include "storage/layer.h"
#include "storage/reference.h"

struct removal {
	struct store *store;
	cJSON *index;
	char id[DIGEST_TEXT_MAX];
	char **manifests;  /* all with that ID */
	char **references; /* of all of them */
	char **diff_ids;   /* empty for a damaged image */

	char *container; /* that uses it, or NULL */
	bool running;

	char **report;
};

static void removal_release(struct removal *removal)
{
	cJSON_Delete(removal->index);
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

static int gather(struct removal *removal, const cJSON *entry,
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

static int refuse(const struct removal *removal, const char *how,
		  const char *why, struct error *err)
{
	char id[DIGEST_SHORT_MAX];
	char container[DIGEST_SHORT_MAX];

	digest_short(id, removal->id);
	digest_short(container, removal->container ? removal->container : "");
	return err_set(err, ERROR_CONFLICT,
		       "conflict: unable to delete %s (%s) - %s%s%s", id, how,
		       why, removal->container ? " " : "", container);
}

static int refuse_running(const struct removal *removal, struct error *err)
{
	refuse(removal, "cannot be forced",
	       "image is being used by running container", err);
	return err_hint(err, "stop the container first");
}

static int refuse_stopped(const struct removal *removal, struct error *err)
{
	refuse(removal, "must be forced",
	       "image is being used by stopped container", err);
	return err_hint(err, "remove the container, or use --force");
}

static void untag(struct removal *removal, const char *reference)
{
	cleanup_free char *familiar = reference_shorten(reference);

	index_unset(removal->index, reference);
	strv_push_take(&removal->report, xasprintf("Untagged: %s", familiar));
}

/* The image itself; *ret_gone when its content may be collected. */
static void delete_image(struct removal *removal)
{
	for (size_t i = 0; removal->references && removal->references[i]; i++) {
		if (index_find_reference(removal->index,
					 removal->references[i]))
			untag(removal, removal->references[i]);
	}
	for (size_t i = 0; removal->manifests && removal->manifests[i]; i++) {
		if (removal->container)
			index_hide(removal->index, removal->manifests[i]);
		else
			index_drop(removal->index, removal->manifests[i]);
	}
	strv_push_take(&removal->report, xasprintf("Deleted: %s", removal->id));
}

static int remove_by_name(struct removal *removal, const char *name,
			  const char *full, bool force, struct error *err)
{
	bool last = strv_length(removal->references) <= 1;

	if (!force && last && removal->container) {
		char id[DIGEST_SHORT_MAX];
		char container[DIGEST_SHORT_MAX];

		digest_short(id, removal->id);
		digest_short(container, removal->container);
		err_set(err, ERROR_CONFLICT,
			"conflict: unable to remove repository reference "
			"\"%s\" (must force) - container %s is using its "
			"referenced image %s",
			name, container, id);
		return err_hint(err, "remove the container, or use --force");
	}
	untag(removal, full);
	if (!last || (removal->container && removal->running))
		return 0;
	delete_image(removal);
	return 0;
}

static int remove_by_id(struct removal *removal, bool force, struct error *err)
{
	if (removal->container && removal->running)
		return refuse_running(removal, err);
	if (!force && strv_length(removal->references) > 1) {
		free(steal_ptr(&removal->container));
		refuse(removal, "must be forced",
		       "image is referenced in multiple repositories", err);
		return err_hint(err, "remove it by its names, or use --force");
	}
	if (!force && removal->container)
		return refuse_stopped(removal, err);
	delete_image(removal);
	return 0;
}

/* docker's: does the user mean the ID, though there may be such a name? */
static bool is_id_prefix(const char *id, const char *name)
{
	return str_starts(id, name) || str_starts(digest_hex(id), name);
}

static int remove_found(struct removal *removal, const char *name, bool force,
			struct error *err)
{
	struct reference reference;
	cleanup_free char *full = NULL;

	if (is_id_prefix(removal->id, name) ||
	    reference_parse(name, &reference, NULL) < 0 || *reference.digest)
		return remove_by_id(removal, force, err);
	full = reference_full(&reference);
	if (!strv_contains(removal->references, full))
		return remove_by_id(removal, force, err);
	return remove_by_name(removal, name, full, force, err);
}

/* Drops the hidden images that no container needs any more. */
static int drop_hidden(struct store *store, cJSON *index, image_in_use in_use,
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

/* "Deleted:" lines for the layers that went with the image, top first. */
static void report_layers(struct removal *removal, char *const *layers)
{
	for (size_t i = strv_length(removal->diff_ids); i > 0; i--) {
		if (strv_contains(layers, removal->diff_ids[i - 1]))
			strv_push_take(&removal->report,
				       xasprintf("Deleted: %s",
						 removal->diff_ids[i - 1]));
	}
}

static int remove_locked(struct removal *removal, const char *name, bool force,
			 image_in_use in_use, void *data,
			 const struct store_work *work, struct error *err)
{
	cleanup_strv char **layers = NULL;
	const cJSON *entry = NULL;
	bool changed = false;
	int r;

	r = index_read(removal->store, &removal->index, err);
	if (r < 0)
		return r;
	r = image_find_entry(removal->store, removal->index, name, &entry, err);
	if (r < 0)
		return r;
	r = gather(removal, entry, in_use, data, err);
	if (r < 0)
		return r;
	r = remove_found(removal, name, force, err);
	if (r < 0)
		return r;
	r = drop_hidden(removal->store, removal->index, in_use, data, &changed,
			err);
	if (r < 0)
		return r;
	r = index_write(removal->store, removal->index, err);
	if (r < 0)
		return r;
	r = collect(removal->store, removal->index, work, &layers, err);
	report_layers(removal, layers);
	return r;
}

int image_remove(struct store *store, const char *name, bool force,
		 image_in_use in_use, void *data, char ***ret_report,
		 struct error *err)
{
	CLEANUP(removal_release) struct removal removal = {.store = store};
	/* Released after the lock: trees take their time. */
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	int r;

	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = remove_locked(&removal, name, force, in_use, data, &work, err);
	if (r < 0)
		return r;
	*ret_report = steal_ptr(&removal.report);
	return 0;
}

int image_collect(struct store *store, image_in_use in_use, void *data,
		  struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	bool changed = false;
	int r;

	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	r = drop_hidden(store, index, in_use, data, &changed, err);
	if (r < 0)
		return r;
	if (changed) {
		r = index_write(store, index, err);
		if (r < 0)
			return r;
	}
	return collect(store, index, &work, NULL, err);
}
