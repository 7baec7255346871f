/*
 * Import, load and save, done by the helper program moss-image (libarchive,
 * libcurl, libcrypto), so that `moss` itself stays light. The helper runs in
 * the same pinned user namespace, with a descriptor for results (one JSON text)
 * and one for a struct error, and dies with the caller. Killed at any moment it
 * leaves a work directory that the next store_open() removes.
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

#include <stdbool.h>

#include "base/error.h"
#include "storage/store.h"

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
