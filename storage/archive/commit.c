/*
 * moss-image commit: a container's changes and configuration become an image,
 * the layers of the container's image below them. That image may have lost its
 * names, or been removed by force, meanwhile: its layers are kept as long as
 * the container is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/dockerfile/change.h"
#include "storage/job/confine.h"
#include "storage/job/job.h"
#include "storage/root/diff_layer.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"

struct commit {
	struct job *job;
	struct stage stage;
	struct stage_image image;
	struct manifest manifest; /* the parent's, then ours */
	cJSON *parent;		  /* config of the container's image */
	cJSON *config;		  /* "config" of the new one */
	char **diff_ids;
	struct diff_report report;
	bool has_layer;
};

static void commit_release(struct commit *commit)
{
	cJSON_Delete(commit->parent);
	cJSON_Delete(commit->config);
	manifest_release(&commit->manifest);
	strv_free(commit->diff_ids);
	stage_image_release(&commit->image);
	stage_release(&commit->stage);
}

/* ---- the configuration ---- */

static void put_back(cJSON *config, const char *key, cJSON *value)
{
	if (value && !cJSON_GetObjectItemCaseSensitive(config, key))
		json_set(config, key, value);
	else
		cJSON_Delete(value);
}

/*
 * A command belongs to its entrypoint: one that --change sets takes the
 * container's command away, a command that it sets leaves the entrypoint.
 */
static int apply_changes(struct commit *commit, char *const *changes,
			 struct error *err)
{
	cJSON *config = commit->config;
	cJSON *command = cJSON_DetachItemFromObjectCaseSensitive(config, "Cmd");
	cJSON *entrypoint =
		cJSON_DetachItemFromObjectCaseSensitive(config, "Entrypoint");
	int r = 0;

	for (size_t i = 0; r >= 0 && changes && changes[i]; i++)
		r = change_apply(config, changes[i], err);
	if (cJSON_GetObjectItemCaseSensitive(config, "Entrypoint"))
		cJSON_Delete(command);
	else
		put_back(config, "Cmd", command);
	put_back(config, "Entrypoint", entrypoint);
	return r < 0 ? r : 0;
}

/* All that can be wrong before anything is read. */
static int prepare(struct commit *commit, struct error *err)
{
	const cJSON *request = commit->job->request;
	const char *reference = job_string(commit->job, "reference");
	cleanup_strv char **changes = NULL;
	const cJSON *config = NULL;
	struct reference parsed;
	int r;

	if (reference) {
		r = image_check_new_reference(reference, &parsed, err);
		if (r < 0)
			return r;
		strv_push_take(&commit->image.references,
			       reference_full(&parsed));
	}
	r = json_get_object(request, "", "config", &config, err);
	if (r > 0)
		r = json_get_strv(request, "", "changes", &changes, err);
	if (r < 0)
		return r;
	commit->config = config ? cJSON_Duplicate(config, true) : json_object();
	if (!commit->config)
		str_oom();
	return apply_changes(commit, changes, err);
}

/* ---- the image below ---- */

/* Of all entries, the hidden ones too. */
static int find_image(struct commit *commit, const char *id, struct error *err)
{
	const struct store *store = &commit->job->store;
	CLEANUP(image_release) struct image image = {0};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	const cJSON *entry;
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		struct manifest manifest = {0};

		if (image_entry_manifest(store, entry, &manifest, NULL) < 0)
			continue;
		if (!str_equal(manifest.config.digest, id)) {
			manifest_release(&manifest);
			continue;
		}
		commit->manifest = manifest;
		r = image_from_entry(store, index, entry, &image, err);
		if (r < 0)
			return r;
		commit->parent = steal_ptr(&image.config);
		commit->diff_ids = steal_ptr(&image.diff_ids);
		return 0;
	}
	return err_set(err, ERROR_NOT_FOUND,
		       "the container's image %s is not in the store any more",
		       id);
}

/* ---- the new layer ---- */

static int open_upper(const struct commit *commit, struct error *err)
{
	const char *directory = job_string(commit->job, "directory");
	cleanup_free char *path = xasprintf("%s/upper", directory);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	/* It was never started. */
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	return fd < 0 ? err_errno(err, "cannot open the container's changes")
		      : fd;
}

static void add_layer(struct commit *commit, const struct descriptor *blob,
		      const struct layer *layer)
{
	struct manifest *manifest = &commit->manifest;

	manifest->layers = xrealloc(manifest->layers, manifest->layer_count + 1,
				    sizeof(*manifest->layers));
	manifest->layers[manifest->layer_count++] = *blob;
	strv_push(&commit->diff_ids, layer->diff_id);
	commit->image.size += layer->size;
	commit->has_layer = true;
}

static int make_layer(struct commit *commit, struct error *err)
{
	struct job *job = commit->job;
	struct diff_request request = {
		.store = &job->store,
		.diff_ids = commit->diff_ids,
	};
	struct descriptor blob;
	struct layer layer;
	cleanup_fd int upper_fd = open_upper(commit, err);
	int r;

	if (upper_fd == -ENOENT)
		return 0;
	if (upper_fd < 0)
		return upper_fd;
	r = snapshot_driver_from_name(job_string(job, "driver"),
				      &request.driver, err);
	if (r < 0)
		return r;
	if (commit->manifest.layer_count >= MANIFEST_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "the image would have more than %d layers",
			       MANIFEST_LAYERS_MAX);
	r = diff_layer_stage(&commit->stage, upper_fd, &request, &blob, &layer,
			     &commit->report, err);
	if (r > 0)
		add_layer(commit, &blob, &layer);
	return r < 0 ? r : 0;
}

/* ---- the new image ---- */

static cJSON *history_entry(const struct commit *commit, const char *now)
{
	static const char *const keys[][2] = {
		{"createdBy", "created_by"},
		{"author", "author"},
		{"message", "comment"},
	};
	cJSON *step = json_object();

	json_set_string(step, "created", now);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = job_string(commit->job, keys[i][0]);

		if (!str_empty(text))
			json_set_string(step, keys[i][1], text);
	}
	if (!commit->has_layer)
		json_set_bool(step, "empty_layer", true);
	return step;
}

/* What docker's older formats had beside the specification's members. */
static void drop_leftovers(cJSON *config)
{
	static const char *const keys[] = {
		"container", "container_config", "docker_version", "id",
		"parent",    "parent_id",	 "author",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(config, keys[i]);
}

static cJSON *make_config(struct commit *commit)
{
	const char *author = job_string(commit->job, "author");
	cJSON *config = steal_ptr(&commit->parent);
	cJSON *rootfs = json_object();
	char now[TIME_TEXT_MAX];
	cJSON *history;

	format_now(now);
	drop_leftovers(config);
	json_set_string(config, "created", now);
	if (!str_empty(author))
		json_set_string(config, "author", author);
	json_set(config, "config", steal_ptr(&commit->config));
	json_set_string(rootfs, "type", "layers");
	json_set_strv(rootfs, "diff_ids", commit->diff_ids);
	json_set(config, "rootfs", rootfs);
	history = cJSON_GetObjectItemCaseSensitive(config, "history");
	if (!cJSON_IsArray(history)) {
		history = json_array();
		json_set(config, "history", history);
	}
	json_push(history, history_entry(commit, now));
	return config;
}

static int make_image(struct commit *commit, struct error *err)
{
	struct stage *stage = &commit->stage;
	cleanup_json cJSON *config = make_config(commit);
	int r;

	manifest_use_oci_types(&commit->manifest);
	r = stage_write_image(stage, config, &commit->manifest, NULL,
			      &commit->image, err);
	if (r < 0)
		return r;
	return stage_commit(stage, &commit->image, 1, err);
}

/* Reaches into the container for the last time. */
static int leave_container(struct job *job, struct error *err)
{
	int64_t init = 0, start = 0;
	int r = json_get_i64(job->request, "", "init", &init, err);

	if (r >= 0)
		r = json_get_i64(job->request, "", "initStart", &start, err);
	if (r >= 0 && init > 0)
		r = diff_flush_root((pid_t)init, (uint64_t)start, err);
	if (r < 0)
		return r;
	confine_writes(job->store.root_fd);
	return 0;
}

int commit_run(struct job *job, struct error *err)
{
	CLEANUP(commit_release)
	struct commit commit = {
		.job = job,
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
	};
	const char *image = job_string(job, "image");
	int r;

	if (!image || !job_string(job, "directory") ||
	    !job_string(job, "driver"))
		return err_set(err, ERROR_INVALID,
			       "commit: the request names no container");
	r = prepare(&commit, err);
	if (r == 0)
		r = leave_container(job, err);
	if (r == 0)
		r = stage_open(&job->store, &commit.stage, err);
	if (r == 0)
		r = find_image(&commit, image, err);
	if (r == 0)
		r = stage_lease_layers(&commit.stage, &commit.manifest,
				       commit.diff_ids, "the container's image",
				       &commit.image.size, err);
	if (r == 0)
		r = make_layer(&commit, err);
	if (r == 0)
		r = make_image(&commit, err);
	if (r < 0)
		return r;
	diff_layer_note(job, &commit.report);
	job_note_stage(job, &commit.stage);
	json_set_string(job->result, "id", commit.image.id);
	return 0;
}
