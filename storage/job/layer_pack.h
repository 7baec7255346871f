/*
 * A layer that is made here, entry by entry, rather than received. The archive
 * is written in a thread of its own and goes through the stage like any other
 * layer that comes in, so that what is kept is what anybody would get who pulls
 * it:
 *
 *   producer (thread) → pipe → gzip, digest (thread) → diff ID → unpacked
 *
 * The producer's own failure is the one that is told: the other side then has
 * half an archive only.
 */
#pragma once

#include "base/error.h"
#include "storage/job/stage.h"
#include "storage/store/layer.h"
#include "storage/store/manifest.h"
#include "storage/tar/tar_writer.h"

/*
 * Writes entries, not the archive's end, in a thread. 1: they make a layer; 0:
 * there is nothing that would be one; negative errno.
 */
typedef int (*layer_producer)(void *data, struct tar_writer *writer,
			      struct error *err);
/* As the producer says; with 0 the stage is as before. */
int layer_pack(struct stage *stage, layer_producer produce, void *data,
	       struct descriptor *ret_blob, struct layer *ret_layer,
	       struct error *err);
