/*
 * Import, load and save, done by the helper program moss-image (libarchive,
 * libcurl, libcrypto), so that `moss` itself stays light. The helper runs in
 * the same pinned user namespace, with a descriptor for results (one JSON text)
 * and one for a struct error, and dies with the caller. Killed at any moment it
 * leaves a work directory that the next store_open() removes.
 *
 * Progress goes to the descriptor given (-1: none), in lines:
 *
 *   layer HEX BYTES TOTAL   so much of a packed layer is read; HEX is "-" while
 *                           its digest is not known, TOTAL 0 when its size is
 *                           not
 *   note TEXT               for the user
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
