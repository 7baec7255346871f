/*
 * Commands of moss-image and moss-layer (storage/transfer.h) that make the
 * layers and the image of a build. The builder (core/build) decides what is
 * done, and in which order; each layer is made by a process of its own,
 * confined, which is gone with its result.
 *
 * What a step of a build leaves behind is a chain of layers, lowest first: the
 * root file system so far. A layer is known by its diff ID, which says where it
 * lies unpacked (storage/store/layer.h), and by the descriptor of its packed
 * form, which goes into a manifest. FROM an image begins with that image's
 * chain, FROM scratch with an empty one.
 *
 * A new layer is in the store, whole and on disk, when a command returns, and
 * is leased in the work of the build (storage/store/store.h), whose name the
 * request tells as `lease`: it stays as long as that work lives, whatever
 * becomes of the helper. Killed at any moment, the helper leaves a work
 * directory that the next store_open() removes.
 *
 * epoch: seconds since 1970, no file of a new layer is younger; -1: no limit.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/registry/registries.h"
#include "storage/root/snapshot.h"
#include "storage/store/layer.h"
#include "storage/store/store.h"

/* ---- chains of layers (storage/transfer_chain.c) ---- */

struct layer_chain {
	struct layer_ref *layers; /* lowest first */
	size_t count;
};

void layer_chain_release(struct layer_chain *chain);
/* ERROR_INVALID beyond MANIFEST_LAYERS_MAX layers. */
int layer_chain_push(struct layer_chain *chain, const struct layer_ref *layer,
		     struct error *err);
void layer_chain_copy(const struct layer_chain *chain,
		      struct layer_chain *ret_chain);
/* NULL for an empty one; caller frees. */
char **layer_chain_diff_ids(const struct layer_chain *chain);
/* [{"diffId", "mediaType", "digest", "size"}] */
cJSON *layer_chain_json(const struct layer_chain *chain);
/* Everything is checked; where: for messages. NULL or null is an empty one. */
int layer_chain_from_json(const cJSON *json, const char *where,
			  struct layer_chain *ret_chain, struct error *err);
cJSON *layer_ref_json(const struct layer_ref *layer);
int layer_ref_from_json(const cJSON *json, const char *where,
			struct layer_ref *ret_layer, struct error *err);

/*
 * The layers of an image that is in the store, by its ID, leased in work (NULL:
 * the caller sees to it that they stay). ERROR_CORRUPT when one is not there.
 */
int image_chain(struct store *store, const struct store_work *work,
		const char *image_id, struct layer_chain *ret_chain,
		struct error *err);

/* ---- COPY, ADD and WORKDIR (storage/build/copy.h) ---- */

enum copy_source_kind {
	COPY_FROM_CONTEXT, /* a directory of the host */
	COPY_FROM_ROOT,	   /* the root that a chain makes: --from */
	COPY_FROM_TEXT,	   /* a here-document */
	COPY_FROM_URL,
	COPY_DIRECTORY, /* nothing: the destination is made, for WORKDIR */
};

struct copy_source {
	enum copy_source_kind kind;
	/* CONTEXT and ROOT: what is copied, relative to the top, as in the
	   Dockerfile: "src", "*.c", ".". Nothing goes out of the top. */
	char *const *patterns;
	const char *directory;		 /* CONTEXT: absolute */
	const char *ignore;		 /* CONTEXT: a .dockerignore's text */
	const struct layer_chain *chain; /* ROOT */
	const char *name;		 /* TEXT: of the file, without a "/" */
	const char *content;		 /* TEXT */
	const char *url;		 /* URL: http or https */
	const char *checksum;		 /* URL: "sha256:…", or NULL */
	/* Archives (tar, packed by gzip, bzip2, xz, zstd or not) are unpacked
	   into the destination: ADD of local files, ADD --unpack. */
	bool unpack;
};

struct layer_copy_request {
	const struct layer_chain *chain; /* of the stage so far */
	/* Absolute. A "/" at its end (or "/.") says that it is a directory; so
	   do several sources that are files, which is the parser's to check. */
	const char *destination;
	const struct copy_source *sources;
	size_t source_count;
	/* --chown, "user[:group]" by name or number, names looked up in the
	   chain's /etc/passwd and /etc/group; NULL: 0:0, but what comes from a
	   root keeps its owner. */
	const char *owner;
	const char *mode;      /* --chmod, "0644" or "u+x,go-w"; or NULL */
	bool link;	       /* as if there were nothing in the root */
	bool parents;	       /* the sources' parents are copied with them */
	char *const *excludes; /* --exclude, as in a .dockerignore */
	const char *lease;     /* name of the build's work */
	int64_t epoch;
	int progress_fd; /* of downloads; -1: none */
};
/*
 * 1 and the layer; 0 when there was nothing to be done: no file matched, or the
 * directory was there. ret_content, 64 hex digits: the digest of what was
 * copied, of the bytes that were really read (storage/build/content.h).
 */
int image_layer_copy(struct store *store,
		     const struct layer_copy_request *request,
		     struct layer_ref *ret_layer, char ret_content[65],
		     struct error *err);
/* That digest alone, as part of a cache key, with nothing made. */
int image_copy_digest(struct store *store,
		      const struct layer_copy_request *request,
		      char ret_content[65], struct error *err);

/* ---- RUN (storage/build/layer_diff.c) ---- */

struct layer_diff_request {
	const char *directory; /* of a container that has ended; absolute */
	enum snapshot_driver driver;	 /* that wrote its upper/ */
	const struct layer_chain *chain; /* that it ran over */
	const char *lease;		 /* name of the build's work */
	int64_t epoch;
	int progress_fd; /* of notes; -1: none */
};
/* 1 and the layer; 0 when nothing was changed. The directory is gone then. */
int image_layer_diff(struct store *store,
		     const struct layer_diff_request *request,
		     struct layer_ref *ret_layer, struct error *err);

/* ---- the image (storage/build/assemble.c) ---- */

/* An archive of the image, beside the store or in its place. */
struct assemble_output {
	bool docker;	  /* with what `docker load` reads; else OCI's alone */
	const char *path; /* absolute; NULL: the request's output_fd */
	bool directory;	  /* path gets an OCI layout, else it is a tar; one that
			     is there is added to */
};

struct assemble_request {
	const struct layer_chain *chain;
	/* A whole OCI config without "created" and "rootfs": what
	   core/build/image.h drafts. Its history tells of the chain's layers.
	 */
	const cJSON *image;
	char *const *annotations; /* of the manifest: "KEY=VALUE"; or NULL */
	char *const *references;  /* full; NULL: nameless */
	bool store;		  /* the image comes into the store */
	/* The layers above the lowest base_layers become one, as far as there
	   are several; the history keeps its entries. */
	bool squash;
	size_t base_layers;
	const struct assemble_output *outputs;
	size_t output_count;
	int output_fd; /* -1: none */
	int64_t epoch; /* of all that is new; -1: when the layers were made */
	int progress_fd;
};
struct assembled_image {
	char id[DIGEST_TEXT_MAX];
	struct descriptor manifest;
};
/*
 * Without a name and only as long as the work of the name `lease` lives, its
 * manifest and config are put into the store, for image_push(); request's
 * references, store and outputs do not count.
 */
int image_assemble_leased(struct store *store,
			  const struct assemble_request *request,
			  const char *lease, struct assembled_image *ret_image,
			  struct error *err);
/*
 * The same request gives the same image (storage/store/image_make.h); one that
 * is there already is fine.
 */
int image_assemble(struct store *store, const struct assemble_request *request,
		   struct assembled_image *ret_image, struct error *err);
/* Its events, by whoever finds that it is there (storage/build/assembled.h). */
void image_assemble_tell(struct store *store,
			 const struct assemble_request *request,
			 const char *id);

/* ---- contexts that come as a stream (storage/build/context_fetch.c) ---- */

struct context_fetch_request {
	const char *url; /* http or https; NULL: input_fd */
	int input_fd;
	const char *lease; /* name of the build's work */
	int progress_fd;   /* -1: none */
};
/*
 * An archive: *ret_path is the directory it was unpacked into, in the build's
 * work. Anything else is a Dockerfile: *ret_dockerfile is its text, and
 * *ret_path stays. Caller frees either.
 */
int image_fetch_context(struct store *store,
			const struct context_fetch_request *request,
			char **ret_path, char **ret_dockerfile,
			struct error *err);

/* ---- build caches elsewhere (storage/build/cache_import.c) ---- */

/* Member of an image's config: {"version":1,"records":[{"key", "layer": number
   of one of the image's, absent: the step changed nothing, "description"}]} */
#define BUILD_CACHE_MEMBER  "moss.build.cache"
#define BUILD_CACHE_VERSION 1

struct cache_place {
	const char *directory; /* with an OCI image layout; absolute; or NULL */
	const struct registry_endpoints *endpoints;
	const char *reference; /* full */
};
/*
 * {"records": as above, "layers": as layer_chain_json() has them}; all of it
 * checked. ERROR_NOT_FOUND where there is none.
 */
int image_cache_read(struct store *store, const struct cache_place *place,
		     cJSON **ret_cache, struct error *err);
/* One of its layers, or of an image in a layout, into the store, leased for the
   work of that name. */
int image_cache_fetch(struct store *store, const struct cache_place *place,
		      const struct layer_ref *layer, const char *lease,
		      int progress_fd, struct error *err);

/* ---- images in OCI image layouts (storage/build/cache_import.c) ---- */

struct layout_image {
	const char *directory; /* absolute */
	/* Which of its index: NULL for both, what is "latest", or the only one
	   there is. */
	const char *tag;
	const char *digest;
	const char *platform; /* NULL: the host's */
};
/* {"config": whole, "layers": as layer_chain_json() has them}; all of it
   checked. Layers are fetched one by one, image_cache_fetch(). */
int image_layout_read(struct store *store, const struct layout_image *image,
		      cJSON **ret_image, struct error *err);
