/* What requests about registries have in common, see storage/transfer.h. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/registry/registry.h"
#include "storage/store/reference.h"

/*
 * The request's "reference", and the registry at its "endpoints". A tag beside
 * a digest means nothing and is dropped. The registry ends with the job.
 */
int job_open_registry(struct job *job, bool push,
		      struct reference *ret_reference,
		      struct registry **ret_registry, struct error *err);
/* The registry alone, for what is not about a repository. offline: see struct
   registry_options. */
int job_open_host(struct job *job, bool offline, struct registry **ret_registry,
		  struct error *err);
/* "maxConcurrent", within reason. */
unsigned int job_concurrent(const struct job *job, unsigned int usual);
bool job_flag(const struct job *job, const char *key);
