/*
 * Images on their way into the store. Everything is made in a work directory
 * (storage/store/store.h), where a crash does no harm:
 *
 *   work/blobs/HEX          blobs, their digests known
 *   work/layers/HEX         unpacked layers, complete with layer.json
 *   work/new-N              blob or layer whose digest is not known yet
 *
 * and put into place by stage_commit() at once: all of it is on disk before
 * anything is renamed, and all is renamed before the index names it. So after
 * a power cut what the store has under its own names is whole. It is synced by
 * storage/tar/sync_tree.h, which waits for what was staged and, up to some
 * count of files, not for what others write to the disk.
 *
 * A layer that took a download, or a build's, may go before the rest, by
 * stage_place(): on disk, leased, renamed. Nothing names it then but the lease;
 * when the work is killed the layer stays for the next attempt, until somebody
 * collects garbage.
 *
 * What is in the store already is not made again but leased, so that nobody
 * removes it in the meantime.
 *
 * Layers and blobs may be staged and placed from several threads at once; to
 * open, commit and release a stage is one thread's business.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/layer.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"
#include "storage/tar/hash.h"
#include "storage/tar/stream.h"

#define STAGE_BLOBS  "blobs"
#define STAGE_LAYERS "layers"

struct stage {
	struct store *store;
	struct store_work work;
	int blobs_fd;
	int layers_fd;
	atomic_uint next; /* N of new-N */
	/* Over all layers, for a note to the user. */
	atomic_ullong squashed;
	atomic_ullong xattrs_skipped;
};

int stage_open(struct store *store, struct stage *ret_stage, struct error *err);
void stage_release(struct stage *stage);

/* Staged, or in the store and leased from now on. 1, 0, error. */
int stage_has_blob(struct stage *stage, const char *digest, struct error *err);
int stage_has_layer(struct stage *stage, const char *diff_id,
		    struct error *err);

#define STAGE_NAME_MAX 24
/* An empty file work/new-N, open for reading and writing. */
int stage_new_file(struct stage *stage, char ret_name[STAGE_NAME_MAX],
		   struct error *err);
/* Makes work/NAME the blob; a file whose content has that digest. */
int stage_keep_blob(struct stage *stage, const char *name, const char *digest,
		    struct error *err);
/* A blob from memory. */
int stage_write_blob(struct stage *stage, const void *bytes, size_t length,
		     struct descriptor *ret_descriptor, struct error *err);
int stage_write_json(struct stage *stage, const cJSON *json,
		     const char *media_type, struct descriptor *ret_descriptor,
		     struct error *err);

/* Opens a blob that is staged or leased. */
int stage_open_blob(struct stage *stage, const char *digest, struct error *err);

/*
 * Reads a tar stream, unpacked, to its end and makes a layer of it, which
 * stage_keep_layer() then makes one of the stage. expected, when not NULL: the
 * diff ID it must have; `what` names the layer in messages, may be NULL.
 */
struct stage_layer_request {
	struct stream *stream;
	const char *expected;
	const char *what;
};
struct stage_layer {
	struct layer layer; /* without a blob; to be set before it is kept */
	cJSON *devices;
	char name[STAGE_NAME_MAX];
};
void stage_layer_release(struct stage_layer *layer);
int stage_unpack(struct stage *stage, const struct stage_layer_request *request,
		 struct stage_layer *ret_layer, struct error *err);
int stage_keep_layer(struct stage *stage, const struct stage_layer *layer,
		     struct error *err);
/* As stage_unpack(), but only checks the diff ID: the layer is there. */
int stage_verify(struct stage *stage, const struct stage_layer_request *request,
		 struct error *err);
/* layer.json of a staged or leased layer. */
int stage_read_layer(struct stage *stage, const char *diff_id,
		     struct layer *ret_layer, struct error *err);

/*
 * Puts a staged layer and its packed form into the store, ahead of the commit;
 * either may be there already.
 */
int stage_place(struct stage *stage, const char *blob, const char *diff_id,
		struct error *err);

/* The same for a build, leased in its work: it stays when the stage goes. */
int stage_place_for(struct stage *stage, const char *work, const char *blob,
		    const char *diff_id, struct error *err);
/* All staged blobs, leased in the work of that name, which nothing else may
   keep: an image without a name, to be pushed. */
int stage_place_blobs_for(struct stage *stage, const char *work,
			  struct error *err);

struct stage_image {
	struct descriptor manifest;
	char id[DIGEST_TEXT_MAX];
	char **references; /* full; NULL: nameless */
	uint64_t size;	   /* unpacked */
	/* Of a pulled one: what the name led to, and the blob that lists the
	   referrers; both staged, or the manifest; "": none. */
	char origin[DIGEST_TEXT_MAX];
	char referrers[DIGEST_TEXT_MAX];
	/* The manifest was made up here: one that the store has for the same
	   ID serves as well. */
	bool made_up;
};
void stage_image_release(struct stage_image *image);

/*
 * Leases the layers of an image, packed and unpacked, so that nobody removes
 * them from here on. ERROR_CORRUPT when one is gone; what: "the container's
 * image". *size grows by their bytes unpacked.
 */
int stage_lease_layers(struct stage *stage, const struct manifest *manifest,
		       char *const *diff_ids, const char *what, uint64_t *size,
		       struct error *err);
/*
 * Writes the config and the manifest, whose descriptor of the config is filled
 * in, as blobs of the stage; they become the image's. annotations: "KEY=VALUE"
 * of the manifest, or NULL.
 */
int stage_write_image(struct stage *stage, const cJSON *config,
		      struct manifest *manifest, char *const *annotations,
		      struct stage_image *image, struct error *err);

/* Puts everything into place and the images into the index. */
int stage_commit(struct stage *stage, struct stage_image *images, size_t count,
		 struct error *err);
