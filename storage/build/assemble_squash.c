/* assembly_squash() of storage/build/assembly.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/assembly.h"
#include "storage/root/diff_layer.h"
#include "storage/root/squash.h"

#define TREE "squash" /* in the work */

static int make_tree(const struct stage *stage, struct error *err)
{
	int fd;

	if (mkdirat(stage->work.fd, TREE, 0755) < 0)
		return err_errno(err, "cannot make a directory in the store");
	fd = openat(stage->work.fd, TREE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "cannot open a directory in the store")
		      : fd;
}

/* 1 and the layer of all of merged, 0 when they undo each other. */
static int merge(struct assembly *assembly, char *const *below,
		 char *const *merged, struct layer_ref *ret_layer,
		 uint64_t *ret_size, struct error *err)
{
	struct stage *stage = &assembly->stage;
	const struct squash_request request = {
		.store = stage->store,
		.below = below,
		.merged = merged,
	};
	const struct diff_request diff = {
		.driver = SNAPSHOT_OVERLAY,
		.store = stage->store,
		.diff_ids = below,
	};
	struct diff_report report = {0};
	struct layer layer;
	cleanup_fd int fd = make_tree(stage, err);
	int r = fd < 0 ? fd : squash_layers(&request, fd, err);

	if (r < 0)
		return r;
	r = diff_layer_stage(stage, fd, &diff, &ret_layer->blob, &layer,
			     &report, err);
	if (r <= 0)
		return r;
	diff_layer_note(assembly->job, &report);
	strcpy(ret_layer->diff_id, layer.diff_id);
	*ret_size = layer.size;
	return 1;
}

/* ---- the history ---- */

static bool is_empty_step(const cJSON *step)
{
	return cJSON_IsTrue(json_member(step, "empty_layer"));
}

static void empty_steps(cJSON *history, size_t base)
{
	size_t layer = 0;
	cJSON *step;

	cJSON_ArrayForEach(step, history)
	{
		if (!is_empty_step(step) && layer++ >= base)
			json_set_bool(step, "empty_layer", true);
	}
}

static void add_step(cJSON *history, const cJSON *config, size_t merged)
{
	const cJSON *created = json_member(config, "created");
	cleanup_free char *comment =
		xasprintf("moss.build: %zu layers squashed", merged);
	cJSON *step = json_object();

	json_set_string(step, "comment", comment);
	if (created)
		json_set(step, "created", cJSON_Duplicate(created, true));
	json_push(history, step);
}

/* ---- the chain ---- */

static int replace_layers(struct assembly *assembly, size_t base,
			  const struct layer_ref *layer, struct error *err)
{
	struct layer_chain *chain = &assembly->chain;

	chain->count = base;
	return layer ? layer_chain_push(chain, layer, err) : 0;
}

static int read_base(const struct assembly *assembly, int64_t *ret_base,
		     struct error *err)
{
	int r = json_get_i64(assembly->job->request, "", "squashAbove",
			     ret_base, err);

	if (r > 0 &&
	    (*ret_base < 0 || (uint64_t)*ret_base > assembly->chain.count))
		return err_set(err, ERROR_INVALID,
			       "assemble: the base has more layers than the "
			       "image");
	return r;
}

static uint64_t size_of(struct assembly *assembly, size_t from)
{
	uint64_t size = 0;

	for (size_t i = from; i < assembly->chain.count; i++) {
		struct layer layer = {0};

		(void)stage_read_layer(&assembly->stage, assembly->diff_ids[i],
				       &layer, NULL);
		size += layer.size;
	}
	return size;
}

int assembly_squash(struct assembly *assembly, cJSON *config, struct error *err)
{
	cJSON *history = cJSON_GetObjectItemCaseSensitive(config, "history");
	cJSON *rootfs = cJSON_GetObjectItemCaseSensitive(config, "rootfs");
	cleanup_strv char **below = NULL;
	struct layer_ref layer;
	uint64_t size = 0;
	int64_t base = 0;
	size_t merged;
	int r = read_base(assembly, &base, err);

	if (r <= 0 || assembly->chain.count - (size_t)base < 2)
		return r < 0 ? r : 0;
	merged = assembly->chain.count - (size_t)base;
	for (int64_t i = 0; i < base; i++)
		strv_push(&below, assembly->diff_ids[i]);
	r = merge(assembly, below, assembly->diff_ids + base, &layer, &size,
		  err);
	if (r < 0)
		return err_wrap(err, "cannot squash");
	assembly->image.size -= size_of(assembly, (size_t)base);
	assembly->image.size += size;
	empty_steps(history, (size_t)base);
	if (r > 0)
		add_step(history, config, merged);
	r = replace_layers(assembly, (size_t)base, r > 0 ? &layer : NULL, err);
	if (r < 0)
		return r;
	assembly_use_chain(assembly);
	json_set_strv(rootfs, "diff_ids", assembly->diff_ids);
	return 0;
}
