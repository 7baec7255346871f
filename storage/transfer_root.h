/*
 * Commands of moss-image (storage/transfer.h) on the roots of containers and
 * images: commit, diff, export, copying.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/root/snapshot.h"
#include "storage/store/store.h"

struct commit_request {
	const char *directory; /* the container's, absolute */
	enum snapshot_driver driver;
	const char *image;     /* ID of the image it was made from */
	pid_t init;	       /* of a running one on a FUSE root, else 0 */
	uint64_t init_start;   /* proc_start_time() of it */
	const cJSON *config;   /* "config" of an image, before changes */
	char *const *changes;  /* Dockerfile instructions */
	const char *reference; /* NULL: nameless */
	const char *author;    /* these may be NULL */
	const char *message;
	const char *created_by;
	int progress_fd;
};
/* *ret_id: "sha256:HEX", caller frees. */
int image_commit(struct store *store, const struct commit_request *request,
		 char **ret_id, struct error *err);

/* A root to be read. */
struct root_request {
	const char *what;      /* for messages: "container web" */
	char *const *diff_ids; /* lowest layer first */
	/* Of a container, else NULL, AUTO, 0, NULL: */
	const char *directory; /* absolute */
	enum snapshot_driver driver;
	pid_t init;	     /* of a running one on a FUSE root, else 0 */
	uint64_t init_start; /* proc_start_time() of it */
	/* For a copy: [{"source","subpath","destination","readOnly","fill"},
	   …]. What is to be filled gets what the image has there while it is
	   empty, when the root is written to. */
	const cJSON *mounts;
};

/*
 * The root of a container that was never started and cannot be meanwhile, as a
 * start makes it: with its mount points, and volumes filled from the image.
 */
int root_prepare(struct store *store, const struct root_request *root,
		 struct error *err);

struct export_request {
	struct root_request root;
	const char *output; /* file; NULL: output_fd */
	int output_fd;
	int progress_fd;
};
/* The merged root as a tar archive. */
int root_export(struct store *store, const struct export_request *request,
		struct error *err);

/*
 * What a container has changed, as records to output_fd: 'A', 'C' or 'D', the
 * path, a NUL.
 */
int root_changes(struct store *store, const struct root_request *root,
		 int output_fd, struct error *err);

struct copy_out_request {
	struct root_request root;
	const char *path;	 /* in it */
	const char *destination; /* on the host; NULL: a tar to output_fd */
	int output_fd;
	bool archive;	  /* owners as they are; else all is the user's */
	bool follow_link; /* the source's last name */
	int progress_fd;
};
/* *ret_bytes: of files' data, or of the archive. */
int root_copy_out(struct store *store, const struct copy_out_request *request,
		  uint64_t *ret_bytes, struct error *err);

struct copy_in_request {
	struct root_request root;
	/* A running container's first process: it is written to as it sees
	   itself. 0: it does not run, and cannot be started meanwhile. */
	pid_t pid;
	uint64_t pid_start;
	bool read_only;	    /* its root; volumes say so themselves */
	const char *path;   /* in it */
	const char *source; /* on the host; NULL: a tar from input_fd */
	int input_fd;
	bool archive;	  /* owners as they are; else all is its root's */
	bool follow_link; /* the source's last name */
	int progress_fd;
};
/* *ret_bytes: of files' data. */
int root_copy_in(struct store *store, const struct copy_in_request *request,
		 uint64_t *ret_bytes, struct error *err);
