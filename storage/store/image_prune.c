/* image_prune() of storage/store/image.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/collect.h"
#include "storage/store/image_entry.h"
#include "storage/store/image_event.h"
#include "storage/store/image_removal.h"
#include "storage/store/index.h"
#include "storage/store/reference.h"

struct pruning {
	struct store *store;
	const struct image_prune *prune;
	image_in_use in_use;
	void *data; /* of in_use */
	cJSON *index;
	char **diff_ids; /* of all images that went */
	char **report;
};

static void pruning_release(struct pruning *pruning)
{
	cJSON_Delete(pruning->index);
	strv_free(pruning->diff_ids);
	strv_free(pruning->report);
}

/* A name with a digest alone does not keep an image, as in docker. */
static bool has_tag(const struct image *image)
{
	for (size_t i = 0; image->references && image->references[i]; i++) {
		struct reference reference;

		if (reference_parse(image->references[i], &reference, NULL) ==
			    0 &&
		    *reference.tag && !*reference.digest)
			return true;
	}
	return false;
}

static bool is_wanted(const struct pruning *pruning, const struct image *image)
{
	const struct image_prune *prune = pruning->prune;

	if (!prune->all && has_tag(image))
		return false;
	return !prune->wanted || prune->wanted(image, prune->data);
}

static void take_lines(char ***lines, char *const *more)
{
	for (size_t i = 0; more && more[i]; i++)
		if (!strv_contains(*lines, more[i]))
			strv_push(lines, more[i]);
}

static int prune_one(struct pruning *pruning, const struct image *image,
		     struct error *err)
{
	CLEANUP(removal_release)
	struct removal removal = {
		.store = pruning->store,
		.index = pruning->index,
	};
	const cJSON *entry =
		index_find_manifest(pruning->index, image->manifest);
	int r;

	if (!entry)
		return 0;
	r = removal_gather(&removal, entry, pruning->in_use, pruning->data,
			   err);
	if (r < 0 || removal.container)
		return r;
	removal_delete(&removal);
	take_lines(&pruning->report, removal.report);
	take_lines(&pruning->diff_ids, removal.diff_ids);
	return 0;
}

static int prune_all(struct pruning *pruning, struct error *err)
{
	struct image *images = NULL;
	size_t count = 0;
	bool changed = false;
	int r = 0;

	image_list_of_index(pruning->store, pruning->index, &images, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (is_wanted(pruning, &images[i]))
			r = prune_one(pruning, &images[i], err);
	image_list_free(images, count);
	if (r < 0)
		return r;
	return removal_drop_hidden(pruning->store, pruning->index,
				   pruning->in_use, pruning->data, &changed,
				   err);
}

/* The layers of an image are shared with others of the list: told at last. */
static void report_layers(struct pruning *pruning, char *const *layers)
{
	struct removal removal = {.diff_ids = pruning->diff_ids};

	removal_report_layers(&removal, layers);
	take_lines(&pruning->report, removal.report);
	strv_free(removal.report);
}

int image_prune(struct store *store, const struct image_prune *prune,
		image_in_use in_use, void *data,
		struct image_pruned *ret_pruned, struct error *err)
{
	CLEANUP(pruning_release)
	struct pruning pruning = {
		.store = store,
		.prune = prune,
		.in_use = in_use,
		.data = data,
	};
	CLEANUP(collected_release) struct collected collected = {0};
	/* Released after the lock: trees take their time. */
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	int r;

	r = removal_begin(store, &work, &lock_fd, &pruning.index, err);
	if (r == 0)
		r = prune_all(&pruning, err);
	if (r == 0)
		r = index_write(store, pruning.index, err);
	if (r == 0)
		image_events_removed(store, NULL, pruning.report);
	if (r == 0)
		r = collect(store, pruning.index, &work, &collected, err);
	if (r < 0)
		return r;
	report_layers(&pruning, collected.layers);
	*ret_pruned = (struct image_pruned){
		.report = steal_ptr(&pruning.report),
		.bytes = collected.bytes,
		.content_kept = collected.blind,
	};
	return 0;
}
