/*
 * image_remove() and image_collect() of storage/store/image.h, after the rules
 * of `docker rmi`:
 *
 *   a name    is taken off. When it was the last, the image goes too, unless a
 *             container uses it: then nothing is done without force, and with
 *             force the image stays nameless if the container runs. A name with
 *             a digest stands for all that its repository has for the image.
 *   an ID     with one name at most: as the name; with more: only by force,
 *             all names go. A running container cannot be forced.
 *
 * An ID may stand for several manifests with the same config; they go together.
 */
#include "storage/store/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/collect.h"
#include "storage/store/digest.h"
#include "storage/store/image_entry.h"
#include "storage/store/image_event.h"
#include "storage/store/image_removal.h"
#include "storage/store/index.h"
#include "storage/store/reference.h"

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

static int refuse_name(const struct removal *removal, const char *name,
		       struct error *err)
{
	char id[DIGEST_SHORT_MAX];
	char container[DIGEST_SHORT_MAX];

	digest_short(id, removal->id);
	digest_short(container, removal->container);
	err_set(err, ERROR_CONFLICT,
		"conflict: unable to remove repository reference \"%s\" (must "
		"force) - container %s is using its referenced image %s",
		name, container, id);
	return err_hint(err, "remove the container, or use --force");
}

static bool same_repository(const struct reference *a,
			    const struct reference *b)
{
	return str_equal(a->registry, b->registry) &&
	       str_equal(a->repository, b->repository);
}

/*
 * The names that go when one is given. With a digest: all that the repository
 * has for the image. With a tag: that one, and if it is the repository's last,
 * those without a tag.
 */
static char **names_to_untag(const struct removal *removal,
			     const struct reference *given, const char *full)
{
	char **tags = NULL;
	char **digests = NULL;
	bool alone = true;

	for (size_t i = 0; removal->references && removal->references[i]; i++) {
		const char *name = removal->references[i];
		struct reference other;

		if (reference_parse(name, &other, NULL) < 0 ||
		    !same_repository(&other, given))
			continue;
		if (*other.digest)
			strv_push(&digests, name);
		else if (*given->digest || str_equal(name, full))
			strv_push(&tags, name);
		else
			alone = false;
	}
	for (size_t i = 0; alone && digests && digests[i]; i++)
		strv_push(&tags, digests[i]);
	strv_free(digests);
	return tags;
}

static int remove_by_name(struct removal *removal, const char *name,
			  const struct reference *reference, const char *full,
			  bool force, struct error *err)
{
	cleanup_strv char **names = names_to_untag(removal, reference, full);
	bool last = strv_length(names) == strv_length(removal->references);

	if (!force && last && removal->container)
		return refuse_name(removal, name, err);
	for (size_t i = 0; names && names[i]; i++)
		removal_untag(removal, names[i]);
	if (last && !(removal->container && removal->running))
		removal_delete(removal);
	return 0;
}

/* At most one tag, and all in one repository. */
static bool has_one_name(const struct removal *removal)
{
	struct reference first = {0};
	size_t tags = 0;

	for (size_t i = 0; removal->references && removal->references[i]; i++) {
		struct reference other;

		if (reference_parse(removal->references[i], &other, NULL) < 0)
			return false;
		tags += *other.digest ? 0 : 1;
		if (i == 0)
			first = other;
		else if (!same_repository(&first, &other))
			return false;
	}
	return tags <= 1;
}

static int remove_by_id(struct removal *removal, bool force, struct error *err)
{
	if (removal->container && removal->running)
		return refuse_running(removal, err);
	if (!force && !has_one_name(removal)) {
		free(steal_ptr(&removal->container));
		refuse(removal, "must be forced",
		       "image is referenced in multiple repositories", err);
		return err_hint(err, "remove it by its names, or use --force");
	}
	if (!force && removal->container)
		return refuse_stopped(removal, err);
	removal_delete(removal);
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
	    reference_parse(name, &reference, NULL) < 0)
		return remove_by_id(removal, force, err);
	full = reference_full(&reference);
	if (!*reference.digest && !strv_contains(removal->references, full))
		return remove_by_id(removal, force, err);
	return remove_by_name(removal, name, &reference, full, force, err);
}

static int remove_locked(struct removal *removal, const char *name, bool force,
			 image_in_use in_use, void *data,
			 const struct store_work *work, struct error *err)
{
	CLEANUP(collected_release) struct collected collected = {0};
	const cJSON *entry = NULL;
	bool changed = false;
	int r;

	r = image_find_entry(removal->store, removal->index, name, &entry, err);
	if (r < 0)
		return r;
	r = removal_gather(removal, entry, in_use, data, err);
	if (r < 0)
		return r;
	r = remove_found(removal, name, force, err);
	if (r < 0)
		return r;
	r = removal_drop_hidden(removal->store, removal->index, in_use, data,
				&changed, err);
	if (r < 0)
		return r;
	r = index_write(removal->store, removal->index, err);
	if (r < 0)
		return r;
	image_events_removed(removal->store, removal->id, removal->report);
	r = collect(removal->store, removal->index, work, &collected, err);
	removal_report_layers(removal, collected.layers);
	return r;
}

int image_remove(struct store *store, const char *name, bool force,
		 image_in_use in_use, void *data, char ***ret_report,
		 struct error *err)
{
	CLEANUP(removal_release) struct removal removal = {.store = store};
	cleanup_json cJSON *index = NULL;
	/* Released after the lock: trees take their time. */
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	int r;

	r = removal_begin(store, &work, &lock_fd, &index, err);
	if (r < 0)
		return r;
	removal.index = index;
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

	r = removal_begin(store, &work, &lock_fd, &index, err);
	if (r < 0)
		return r;
	r = removal_drop_hidden(store, index, in_use, data, &changed, err);
	if (r < 0)
		return r;
	if (changed) {
		r = index_write(store, index, err);
		if (r < 0)
			return r;
	}
	return collect(store, index, &work, NULL, err);
}
