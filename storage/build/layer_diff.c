/*
 * moss-layer layer-diff: what a step of a build has changed becomes a layer, in
 * the store and leased by the build's work.
 *
 * Request: {"directory", "driver", "diffIds", "lease", "epoch"}, see
 * image_layer_diff(). Result: {"layer": …}, or {} when nothing was changed.
 *
 * The container has ended, and nobody else knows it: what is read stands still.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/job.h"
#include "storage/root/diff_layer.h"
#include "storage/transfer_build.h"

static int open_upper(const struct job *job, char ***points, struct error *err)
{
	cleanup_fd int directory_fd =
		open(job_string(job, "directory"),
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = openat(directory_fd, "upper",
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "cannot open what the step has changed");
	r = diff_read_mount_points(directory_fd, points, err);
	if (r < 0)
		close_fd(&fd);
	return r < 0 ? r : fd;
}

static int check_request(const struct job *job, struct error *err)
{
	static const char *const needed[] = {"directory", "driver", "lease"};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!job_string(job, needed[i]))
			return err_set(err, ERROR_INVALID,
				       "layer-diff: the request has no %s",
				       needed[i]);
	}
	return 0;
}

static int read_request(const struct job *job, struct diff_request *request,
			char ***diff_ids, struct error *err)
{
	int64_t epoch = -1;
	int r = check_request(job, err);

	if (r >= 0)
		r = snapshot_driver_from_name(job_string(job, "driver"),
					      &request->driver, err);
	if (r >= 0)
		r = json_get_strv(job->request, "request", "diffIds", diff_ids,
				  err);
	if (r >= 0)
		r = json_get_i64(job->request, "request", "epoch", &epoch, err);
	if (r < 0)
		return r;
	request->diff_ids = *diff_ids;
	request->has_epoch = epoch >= 0;
	request->epoch = epoch;
	return 0;
}

/*
 * What the layer was made of need not go to the disk beside it, nor be given
 * back by the disk when it is removed later.
 */
static void drop_container(const struct job *job)
{
	(void)tree_remove_at(AT_FDCWD, job_string(job, "directory"), NULL);
}

/* 1 and the layer, 0: none. */
static int make_layer(struct job *job, struct stage *stage,
		      struct layer_ref *ref, struct error *err)
{
	struct diff_request request = {.store = &job->store};
	cleanup_strv char **diff_ids = NULL;
	cleanup_strv char **points = NULL;
	cleanup_fd int upper_fd = -1;
	struct diff_report report;
	struct layer layer;
	int r = read_request(job, &request, &diff_ids, err);

	if (r < 0)
		return r;
	upper_fd = open_upper(job, &points, err);
	if (upper_fd < 0)
		return upper_fd;
	request.mount_points = points;
	r = diff_layer_stage(stage, upper_fd, &request, &ref->blob, &layer,
			     &report, err);
	if (r < 0)
		return r;
	diff_layer_note(job, &report);
	drop_container(job);
	if (r == 0)
		return 0;
	memcpy(ref->diff_id, layer.diff_id, sizeof(ref->diff_id));
	r = stage_place_for(stage, job_string(job, "lease"), ref->blob.digest,
			    ref->diff_id, err);
	return r < 0 ? r : 1;
}

int layer_diff_run(struct job *job, struct error *err)
{
	CLEANUP(stage_release)
	struct stage stage = {
		.work = {.fd = -1, .lock_fd = -1},
		.blobs_fd = -1,
		.layers_fd = -1,
	};
	struct layer_ref ref = {0};
	int r = stage_open(&job->store, &stage, err);

	if (r == 0)
		r = make_layer(job, &stage, &ref, err);
	if (r < 0)
		return r;
	job_note_stage(job, &stage);
	if (r > 0)
		json_set(job->result, "layer", layer_ref_json(&ref));
	return 0;
}
