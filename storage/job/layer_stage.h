/*
 * The layers of an image, staged several at once. Each streams once:
 *
 *   open() → digest and size of the packed layer, written to the stage
 *          → decompressor → diff ID → unpacked
 *
 * in two threads a layer (storage/tar/stream_ahead.c). Only what is missing is
 * done: a layer whose packed form is here is unpacked from there; one that is
 * unpacked already is only checked; where both are here and belong together,
 * nothing is. The same layer twice is done once.
 *
 * A finished layer goes into the store at once (stage_place()), so that an
 * attempt that is killed or loses its server leaves what is whole to the next.
 * Where status is given (load, all images of an archive or none) it stays in
 * the stage.
 *
 * What is unpacked goes to the disk meanwhile (storage/tar/flusher.h).
 *
 * The first failure ends all threads; see storage/tar/parallel.h for how a
 * stream that waits for a server learns of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"
#include "storage/store/manifest.h"
#include "storage/tar/stream.h"

struct layer_source {
	const char *what; /* for messages: "image X: layer 2 (sha256:…)" */
	char id[DIGEST_SHORT_MAX]; /* for statuses; "": the whole job's */
	/* The packed layer's; digest "": it is what it turns out to be, and
	   what OCI has no media type for (bzip2, xz) is packed anew. */
	struct descriptor expected;
	const char *diff_id; /* or NULL: not known */
	/* Called in the thread of the layer. May correct total. */
	int (*open)(struct layer_source *source, struct stream **ret_stream,
		    struct error *err);
	void *data;
	uint64_t total;	    /* packed bytes, for statuses; 0: expected's */
	const char *status; /* of the progress; NULL: docker pull's */
	/* A file of the stage that has the packed layer already, its digest
	   taken as it was written; *expected is what it is. */
	const char *staged;
	bool repack; /* expected does not bind: pack bzip2 and xz anew */

	/* Set when it is staged: what the image refers to. */
	struct descriptor blob;
	struct layer layer;
};

/*
 * Does all of them, in up to `parallel` threads. *ret_unpacked_size: bytes of
 * all layers' files. The message of an error begins with the source's what.
 */
int layers_stage(struct job *job, struct stage *stage,
		 struct layer_source *sources, size_t count,
		 unsigned int parallel, uint64_t *ret_unpacked_size,
		 struct error *err);
