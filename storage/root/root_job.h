/*
 * What the commands of moss-image that read a root have in common: the root
 * itself, from the request (storage/transfer_root.h), and device nodes in what
 * is written out of it.
 */
#pragma once

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/root/view.h"
#include "storage/store/layer.h"
#include "storage/tar/layer_devices.h"
#include "storage/tar/tar_tree.h"

struct root_job {
	struct job *job;
	const char *what;	/* "container web" */
	struct store_work work; /* holds the leases on its layers */
	char **diff_ids;
	int directory_fd; /* of the container; -1: an image's root */
	int upper_fd;
	bool writable;
	struct view view;
	char **bound; /* sources of the mounts that were there */
	struct layer_devices devices;
	char *base; /* of the paths of a walk, in the root; NULL: the root */
	struct tree_report report;
};

#define ROOT_JOB_EMPTY                                                 \
	{                                                              \
		.work = {.fd = -1, .lock_fd = -1}, .directory_fd = -1, \
		.upper_fd = -1, .view = VIEW_EMPTY                     \
	}

/* Mounts the root; with_mounts: and the container's volumes over it. */
int root_job_open(struct job *job, bool with_mounts, struct root_job *ret_root,
		  struct error *err);
/*
 * The root of a container that does not run, with its volumes, to be written
 * to; nobody starts it meanwhile. Mount points are made where they are missing.
 */
int root_job_open_writable(struct job *job, struct root_job *ret_root,
			   struct error *err);
void root_job_release(struct root_job *root);
/*
 * The walk is over `name` in dir_fd, somewhere in the root ("." for dir_fd
 * itself).
 */
void root_job_set_base(struct root_job *root, int dir_fd, const char *name);
/* After reading: were the container and its volumes there to the end? */
int root_job_check(const struct root_job *root, struct error *err);
/* What was left out, as warnings. */
void root_job_tell(const struct root_job *root);

/* A tree hook that gives device nodes back; data: a struct root_job. */
int root_job_on_item(void *root, struct tree_item *item, struct error *err);
