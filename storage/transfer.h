/*
 * Import, load, save and all talk with registries, done by the helper program
 * moss-image (libarchive, libcurl, libcrypto), so that `moss` itself stays
 * light. The helper runs in the same pinned user namespace, with a descriptor
 * for results (one JSON text) and one for a struct error, and dies with the
 * caller. Killed at any moment it leaves a work directory that the next
 * store_open() removes.
 *
 * Messages on the way go to the descriptor given (-1: none). They are the
 * message stream of the Docker Engine API: JSON objects, one a line of less
 * than 4096 bytes, each written whole, so that any number of threads may write:
 *
 *   {"id":"a2abf6c4d29d","status":"Downloading",
 *    "progressDetail":{"current":512,"total":4096}}
 *                     so many bytes of a layer; id absent: of the only thing
 *                     there is; total absent: it is not known
 *   {"id":"a2abf6c4d29d","status":"Pull complete"}
 *                     what is true of the layer, or tag, from now on
 *   {"status":"Digest: sha256:…"}
 *                     a line about the whole
 *   {"warning":"…"}   for the user, whatever else is shown; moss's own
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "storage/registry/registries.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"

struct import_request {
	const char *source;    /* file, "http(s)://…" or "-" (input_fd) */
	int input_fd;	       /* for "-" */
	const char *reference; /* NULL: untagged */
	char *const *changes;  /* Dockerfile instructions */
	const char *message;
	const char *platform; /* NULL: this machine's */
	int progress_fd;
};
/* *ret_id: "sha256:HEX", caller frees. */
int image_import(struct store *store, const struct import_request *request,
		 char **ret_id, struct error *err);

struct load_request {
	const char *source; /* file or directory; NULL: input_fd */
	int input_fd;
	const char *platform;
	int progress_fd;
};
/* *ret_loaded: familiar references or "sha256:…" IDs, in order of the archive.
 */
int image_load(struct store *store, const struct load_request *request,
	       char ***ret_loaded, struct error *err);

struct save_request {
	char *const *names;
	const char *output; /* file, or directory for an OCI layout when
			       oci_directory; NULL: output_fd */
	int output_fd;
	bool oci_directory;
};
/* A tar that is docker-archive (manifest.json) and OCI layout at once. */
int image_save(struct store *store, const struct save_request *request,
	       struct error *err);

/* Request and result are told in storage/check/check.h. */
struct check_request {
	bool repair;
	bool quick;
	bool force;
	const cJSON *containers;
	int progress_fd;
};
int store_check(struct store *store, const struct check_request *request,
		cJSON **ret_result, struct error *err);

/* Of what follows, endpoints say where (storage/registry/registries.h), with
   the credentials of each. They go to the helper in memory, never in arguments.
 */

struct pull_request {
	const struct registry_endpoints *endpoints;
	const char *reference; /* full; with all_tags only its name counts */
	const char *platform;  /* NULL: this machine's */
	bool all_tags;
	unsigned int concurrent; /* layers at a time */
	int progress_fd;
};
/*
 * {"id": image ID, "digest": of what the reference named, "reference": familiar
 * name, "upToDate": true when nothing was new}; with all_tags {"pulled": [such
 * objects]}.
 */
int image_pull(struct store *store, const struct pull_request *request,
	       cJSON **ret_result, struct error *err);

struct push_request {
	const struct registry_endpoints *endpoints;
	const char *reference; /* full; with all_tags only its name counts */
	const char *platform;  /* NULL: all that there is */
	bool all_tags;
	/* What is pushed by that name, whatever the store has by it; NULL:
	   that. Its blobs are in the store and stay meanwhile. */
	const struct descriptor *manifest;
	unsigned int concurrent;
	int progress_fd;
};
/* {"pushed": [{"tag": …, "digest": …, "size": …}]} */
int image_push(struct store *store, const struct push_request *request,
	       cJSON **ret_result, struct error *err);

/*
 * Are the endpoint's credentials accepted? ERROR_PERMISSION when not.
 * *ret_identity_token: what the token server gave to be kept instead of the
 * password, or NULL.
 */
int registry_check_login(struct store *store,
			 const struct registry_endpoints *endpoints,
			 char **ret_identity_token, struct error *err);

/* Array of SearchResult ("name", "description", "star_count", "is_official"),
   at most limit of them, best first. */
int registry_search(struct store *store,
		    const struct registry_endpoints *endpoints,
		    const char *term, size_t limit, cJSON **ret_array,
		    struct error *err);

struct registry_manifest_request {
	const struct registry_endpoints *endpoints;
	const char *reference; /* full */
	bool verbose; /* also those an index lists, and their platforms */
};
/*
 * {"reference": full name, "descriptor": {…}, "raw": text of the manifest or
 * index}; verbose: "platform" as well, and of an index "entries": [such
 * objects].
 */
int registry_manifest(struct store *store,
		      const struct registry_manifest_request *request,
		      cJSON **ret_json, struct error *err);
