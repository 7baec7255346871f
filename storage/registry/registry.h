/*
 * One repository of a registry, as a client of the OCI distribution spec 1.1
 * (and docker's registry API v2, which it is from), at a list of endpoints:
 * mirrors in their order, and the registry itself at the end.
 *
 * Reading asks one endpoint after the other, from the one that had the
 * manifest on; writing asks the registry only. A scheme that is not known is
 * found out by asking for /v2/ by https and then by http.
 *
 * Nothing is believed: a document's digest is computed here, and must be the
 * one asked for and the one that the server claims (Docker-Content-Digest);
 * blobs are of the size that their descriptor says, and whoever reads one
 * checks its digest. Documents are at most FETCH_TEXT_MAX bytes.
 *
 * Failures that may pass (storage/registry/http.h) are tried again,
 * RETRY_ATTEMPTS times with growing pauses or when the server says
 * (Retry-After). A blob goes on where it broke off (Range), an upload where the
 * server says it has come to.
 *
 * -ENOENT and -EACCES are the registry's own words (404, 401 or 403): the
 * message is the reason and nothing else, so that the caller can put it into a
 * sentence. All other messages are whole. One struct serves any number of
 * threads.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/registry/registries.h"
#include "storage/store/manifest.h"
#include "storage/tar/stream.h"

struct registry;

struct registry_options {
	const struct registry_endpoints *endpoints; /* copied */
	const char *repository; /* "library/nginx"; "": none, for a ping */
	bool push;		/* ask for the right to write as well */
	bool offline; /* ask token servers for an identity token to keep */
	const atomic_bool *cancelled; /* ends everything; may be NULL */
};

int registry_new(const struct registry_options *options,
		 struct registry **ret_registry, struct error *err);
void registry_free(struct registry *registry);
void cleanup_registry_function(struct registry **registry);
#define cleanup_registry CLEANUP(cleanup_registry_function)
/* Of the registry itself; borrowed. */
const char *registry_host(const struct registry *registry);

/* Is the registry there, and are we let in? */
int registry_ping(struct registry *registry, struct error *err);
/* What a token server gave to be kept instead of the password; NULL: nothing.
   Borrowed. */
const char *registry_identity_token(struct registry *registry);
/*
 * Text of a path of its own ("/v1/search?q=x", "/v2/_catalog"), at the registry
 * itself. scope as http_auth_send()'s. Caller frees.
 */
int registry_get_text(struct registry *registry, const char *path,
		      const char *scope, char **ret_text, size_t *ret_length,
		      struct error *err);

struct registry_document {
	struct descriptor descriptor; /* its media type, digest and size */
	char *text;
};
void registry_document_release(struct registry_document *document);

/* A manifest or index by its tag or digest. */
int registry_get_manifest(struct registry *registry, const char *reference,
			  struct registry_document *ret_document,
			  struct error *err);
/*
 * Only what it is. 1; 0 when the server does not say (its answer lacks the
 * digest) or cannot be asked this way: ask for all of it then.
 */
int registry_head_manifest(struct registry *registry, const char *reference,
			   struct descriptor *ret_descriptor,
			   struct error *err);
int registry_put_manifest(struct registry *registry, const char *reference,
			  const struct registry_document *document,
			  struct error *err);

/*
 * A blob's bytes, exactly as many as the descriptor says, or an error. The
 * registry outlives the stream.
 */
int registry_open_blob(struct registry *registry,
		       const struct descriptor *descriptor,
		       struct stream **ret_stream, struct error *err);
/* A small one, its digest checked; more than FETCH_TEXT_MAX bytes are refused
   before anything is asked for. Caller frees. */
int registry_read_blob(struct registry *registry,
		       const struct descriptor *descriptor, char **ret_text,
		       struct error *err);
/* 1, 0, error; at the registry itself. */
int registry_has_blob(struct registry *registry, const char *digest,
		      struct error *err);

struct registry_upload {
	const char *digest;
	uint64_t size;
	int fd;		  /* read from its beginning, by pread(2) */
	const char *from; /* another repository of the registry that may have
			     it, or NULL */
	/* As struct http_body's. */
	void (*tap)(void *data, uint64_t offset, const void *bytes,
		    size_t length);
	void *data;
};
/* *ret_mounted: nothing had to be sent, `from` has it. */
int registry_upload_blob(struct registry *registry,
			 const struct registry_upload *upload,
			 bool *ret_mounted, struct error *err);

#define REGISTRY_TAGS_MAX 10000u
/* All tags, page by page; more than the limit is an error. Caller frees. */
int registry_list_tags(struct registry *registry, char ***ret_tags,
		       struct error *err);
/*
 * What refers to a manifest: an OCI index. 1; 0 when there is none, or the
 * registry knows nothing of it (neither the API nor the tag that stands in for
 * it, "sha256-HEX").
 */
int registry_get_referrers(struct registry *registry, const char *digest,
			   struct registry_document *ret_document,
			   struct error *err);
