#include "storage/check/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/collect.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"
#include "storage/tar/parallel.h"

#define THREADS_MAX 16
#define TEXT_MAX    512

void check_finding(struct check *check, const char *key, const char *subject,
		   const char *advice, const char *format, ...)
{
	char problem[TEXT_MAX];
	va_list arguments;
	cJSON *finding;

	va_start(arguments, format);
	vsnprintf(problem, sizeof(problem), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&check->lock);
	if ((unsigned int)cJSON_GetArraySize(check->findings) <
	    CHECK_FINDINGS_MAX) {
		finding = json_object();
		json_set_string(finding, "key", key);
		json_set_string(finding, "subject", subject);
		json_set_string(finding, "problem", problem);
		json_set_string(finding, "advice", advice);
		json_set_bool(finding, "mended", false);
		json_push(check->findings, finding);
	}
	pthread_mutex_unlock(&check->lock);
}

void check_settle(struct check *check, const char *key, bool mended,
		  const char *format, ...)
{
	char advice[TEXT_MAX];
	va_list arguments;
	cJSON *finding;

	va_start(arguments, format);
	vsnprintf(advice, sizeof(advice), format, arguments);
	va_end(arguments);
	cJSON_ArrayForEach(finding, check->findings)
	{
		const char *own = NULL;

		if (json_get_string(finding, "", "key", &own, NULL) < 1 ||
		    !str_equal(own, key))
			continue;
		json_set_string(finding, "advice", advice);
		json_set_bool(finding, "mended", mended);
	}
}

static void check_release(struct check *check)
{
	for (size_t i = 0; i < check->image_count; i++)
		free(check->images[i].name);
	for (size_t i = 0; i < check->layer_count; i++) {
		free(check->layers[i].what);
		free(check->layers[i].users);
		strv_free(check->layers[i].records);
	}
	free(check->images);
	free(check->layers);
	strv_free(check->broken_records);
	cJSON_Delete(check->index);
	cJSON_Delete(check->findings);
	pthread_mutex_destroy(&check->lock);
	stage_release(&check->stage);
}

static int check_layout(struct check *check, struct error *err)
{
	const int fd = check->job->store.image_fd;
	cleanup_json cJSON *layout = NULL;
	const char *version = NULL;
	struct error error = {0};
	int r;

	if (json_read_at(fd, OCI_LAYOUT_FILE, &layout, &error) == 0 &&
	    json_get_string(layout, OCI_LAYOUT_FILE, "imageLayoutVersion",
			    &version, &error) >= 0 &&
	    str_starts(version ? version : "", "1."))
		return 0;
	check_finding(check, OCI_LAYOUT_FILE, "image/" OCI_LAYOUT_FILE,
		      "--repair writes it anew", "%s",
		      *error.message ? error.message : "unknown version");
	if (!check->repair)
		return 0;
	r = file_write_atomic_at(fd, OCI_LAYOUT_FILE, OCI_LAYOUT_TEXT,
				 strlen(OCI_LAYOUT_TEXT), 0644, 0, err);
	if (r == 0)
		check_settle(check, OCI_LAYOUT_FILE, true, "written anew");
	return r;
}

static int run_layer(void *data, size_t index, struct error *err)
{
	struct check *check = data;

	check_layer(check, &check->layers[index]);
	return 0;
}

static int check_layers(struct check *check, struct error *err)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const struct parallel parallel = {
		.run = run_layer,
		.data = check,
		.count = check->layer_count,
		.threads = processors < 1 ? 1
			   : processors > THREADS_MAX
				   ? THREADS_MAX
				   : (unsigned int)processors,
		.cancelled = &check->job->cancelled,
	};
	int r = check->layer_count > 0 ? parallel_run(&parallel, err) : 0;

	for (size_t i = 0; i < check->layer_count; i++) {
		const struct check_layer *layer = &check->layers[i];

		for (size_t j = 0; layer->blob_bad && j < layer->user_count;
		     j++)
			check->images[layer->users[j]].lost = true;
	}
	return r;
}

static void check_container(struct check *check, const cJSON *container)
{
	cleanup_strv char **layers = NULL;
	cleanup_free char *subject = NULL;
	cleanup_free char *advice = NULL;
	const char *name = "";

	(void)json_get_string(container, "", "name", &name, NULL);
	(void)json_get_strv(container, "", "layers", &layers, NULL);
	subject = xasprintf("container %.128s", name);
	advice = xasprintf("it cannot start any more: moss rm %.128s", name);
	for (size_t i = 0; layers && layers[i]; i++) {
		if (!digest_is_valid(layers[i]) ||
		    layer_exists(&check->job->store, layers[i]))
			continue;
		check_finding(check, layers[i], subject, advice,
			      "layer %s of its image is missing", layers[i]);
	}
}

static int check_leftovers(struct check *check, struct error *err)
{
	CLEANUP(leftovers_release) struct leftovers leftovers = {0};
	const struct store *store = &check->job->store;
	cleanup_fd int lock_fd = -1;
	cJSON *json = json_object();
	uint64_t bytes = 0;
	int r;

	json_set(check->job->result, "leftovers", json);
	r = store_work_unlease(&check->stage.work, err);
	if (r < 0)
		return r;
	/* To count is to read: others may go on. */
	lock_fd = store_lock(store,
			     check->repair ? LOCK_EXCLUSIVE : LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	cJSON_Delete(steal_ptr(&check->index));
	r = index_read(store, &check->index, err);
	if (r == 0)
		r = collect_leftovers(store, check->index, &leftovers, err);
	if (r < 0)
		return r;
	for (size_t i = 0; leftovers.paths && leftovers.paths[i]; i++) {
		uint64_t size = 0;

		if (tree_size_at(store->root_fd, leftovers.paths[i], &size,
				 NULL) == 0)
			bytes += size;
	}
	json_set_i64(json, "count", (int64_t)strv_length(leftovers.paths));
	json_set_i64(json, "bytes", (int64_t)bytes);
	json_set_bool(json, "removed", check->repair);
	return check->repair ? collect(store, check->index, &check->stage.work,
				       NULL, err)
			     : 0;
}

static void tell_result(struct check *check)
{
	cJSON *result = check->job->result;
	cJSON *finding;

	cJSON_ArrayForEach(finding, check->findings)
	{
		cJSON_DeleteItemFromObjectCaseSensitive(finding, "key");
	}
	json_set(result, "findings", steal_ptr(&check->findings));
	json_set_i64(result, "images", (int64_t)check->image_count);
	json_set_i64(result, "layers", (int64_t)check->layer_count);
	json_set_i64(result, "blobs", (int64_t)check->blobs);
	json_set_i64(result, "bytes", (int64_t)check->bytes);
}

static bool flag(const struct job *job, const char *key)
{
	bool value = false;

	(void)json_get_bool(job->request, "", key, &value, NULL);
	return value;
}

/* 1 when the index is there in the end. */
static int open_index(struct check *check, struct error *err)
{
	struct error error = {0};
	cleanup_fd int lock_fd = -1;
	int r;

	lock_fd = store_lock(&check->job->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(&check->job->store, &check->index, &error);
	close_fd(&lock_fd);
	if (r == 0)
		return 1;
	check_finding(check, OCI_INDEX_FILE, "image/" OCI_INDEX_FILE,
		      "--repair writes it anew, with the images found, "
		      "nameless",
		      "%s", error.message);
	if (!check->repair)
		return 0;
	r = check_repair_index(check, err);
	return r < 0 ? r : 1;
}

int check_run(struct job *job, struct error *err)
{
	CLEANUP(check_release)
	struct check check = {
		.job = job,
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
		.repair = flag(job, "repair"),
		.quick = flag(job, "quick"),
		.force = flag(job, "force"),
		.findings = json_array(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	const cJSON *container;
	int r = json_get_array(job->request, "request", "containers",
			       &check.containers, err);

	if (r >= 0)
		r = stage_open(&job->store, &check.stage, err);
	if (r == 0)
		r = check_layout(&check, err);
	if (r == 0)
		r = open_index(&check, err);
	if (r <= 0) {
		tell_result(&check);
		return r;
	}
	r = check_plan(&check, err);
	if (r == 0)
		r = check_layers(&check, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(container, check.containers)
	{
		check_container(&check, container);
	}
	r = check.repair ? check_repair(&check, err) : 0;
	if (r == 0)
		r = check_leftovers(&check, err);
	if (r < 0)
		return r;
	tell_result(&check);
	return 0;
}
