/*
 * A directory that a build copies from: the context, or a named one.
 *
 * Its .dockerignore is read once, when it is opened: DOCKERFILE.dockerignore
 * beside the Dockerfile if that is there, even empty, or else .dockerignore at
 * the context's root. Named contexts have the latter only.
 *
 * Who wrote the directory is not trusted, nor is whoever writes it now: paths
 * in it are looked up as if it were "/", links within it may be followed and
 * lead nowhere else. What is read here are regular files, up to DOCKERFILE_MAX
 * or IGNORE_MAX bytes; a FIFO or a device is an error, never waited for.
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage/build/ignore.h"
#include "storage/build/stat_cache.h"
#include "storage/store/store.h"

struct context {
	char *path; /* absolute; NULL: no context */
	int fd;
	char *ignore_text;     /* of its .dockerignore; NULL: none */
	struct ignore *ignore; /* the same; NULL: none */
	struct stat_cache *cache;
};
#define CONTEXT_EMPTY    \
	{                \
		.fd = -1 \
	}
#define cleanup_context CLEANUP(context_release)

struct context_request {
	const struct store *store; /* must outlive the context */
	const char *path;	   /* absolute; NULL: no context */
	/* Where the Dockerfile lies, in the context or on the host; NULL for
	   both: in neither. */
	const char *dockerfile;
	const char *dockerfile_path;
};

int context_open(const struct context_request *request,
		 struct context *ret_context, struct error *err);
/*
 * Writes down what the stat cache has learnt; a failure of that costs time
 * only. Each process that was forked with the context may do so.
 */
void context_release(struct context *context);

/*
 * A Dockerfile; "dockerfile" will do where "Dockerfile" is not there. The text
 * ends in a NUL behind its length; caller frees.
 */
int context_read_dockerfile(const struct context *context, const char *path,
			    char **ret_text, size_t *ret_length,
			    struct error *err);
/* One on the host, through any link. */
int context_read_file(const char *path, char **ret_text, size_t *ret_length,
		      struct error *err);
