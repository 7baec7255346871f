/*
 * One stage of a build, in a process of its own (builder.h): its root so far,
 * the image that becomes of it, and the instruction that it is at. Each step
 * asks the cache first; what it makes is leased in the build's work and noted
 * in the cache.
 *
 * The key of a step is made of what came out before it, the diff IDs of the
 * chain, not of how that was made: a step that ran anew and made the same layer
 * costs nothing after it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/build/builder.h"
#include "core/build/key.h"
#include "core/build/result.h"
#include "storage/dockerfile/expand.h"
#include "storage/store/layer.h"

struct worker {
	const struct builder *builder;
	size_t stage;
	int socket_fd; /* to the coordinator */
	bool no_cache;
	struct stage_result result; /* so far */
	/* The step that it is at. */
	const struct dockerfile_instruction *instruction;
	unsigned int vertex; /* 0: the instruction makes none */
	unsigned int last_vertex;
	bool started;  /* the step has what it takes from other stages */
	int exit_code; /* of a command that failed; -1: none did */
	/* What make() made is not what its key says: it is not remembered. */
	bool unlike_key;
};

/* Forked: does all of it and ends the process. */
_Noreturn void worker_main(const struct builder *builder, size_t stage,
			   int socket_fd);

/* ---- for the steps ---- */

/* Variables: the image's environment, then ARGs. data: the worker. */
const char *worker_lookup(const char *name, void *data);
struct expand worker_expand(struct worker *worker);
/* flag --NAME, expanded; NULL: it is not there. Caller frees. */
int worker_flag(struct worker *worker, const char *name, char **ret_value,
		struct error *err);
/* All values of a flag, expanded (strv). */
int worker_flags(struct worker *worker, const char *name, char ***ret_values,
		 struct error *err);

/*
 * What a name behind from= stands for: a stage, whose end is waited for, an
 * image, or a directory of --build-context.
 */
struct worker_source {
	struct layer_chain chain;
	struct context context; /* without a path: it is the chain */
};
#define WORKER_SOURCE_EMPTY              \
	{                                \
		.context = CONTEXT_EMPTY \
	}
void worker_source_release(struct worker_source *source);
int worker_find_source(struct worker *worker, const char *name,
		       struct worker_source *ret_source, struct error *err);

/* A key with what all keys have: the chain (NULL: it does not count). */
int worker_key(const struct worker *worker, const char *step,
	       const struct layer_chain *chain, struct key *ret_key,
	       struct error *err);

/* Tells that the step begins: all that it waits for is there. */
void worker_start(struct worker *worker);

/* Makes a layer: 1, or 0 when nothing was changed. */
typedef int (*worker_make)(struct worker *worker, void *data,
			   struct layer_ref *ret_layer, struct error *err);
/*
 * A result that the cache has under another key of the step, one that costs
 * less to make than its own: 1 when it has, and the step is done. Or, when the
 * step was done by its own key, notes that the other one is known now; layers:
 * how many the chain had before it.
 */
int worker_find(struct worker *worker, const char *hex, struct error *err);
int worker_note(const struct worker *worker, const char *hex, size_t layers,
		struct error *err);

/*
 * The step's result, from the cache or by make(), which no other build of the
 * same key does at the same time; its layer is put on the chain.
 */
int worker_step(struct worker *worker, struct key *key, worker_make make,
		void *data, struct error *err);

/* step_copy.c, step_run.c */
int step_copy(struct worker *worker, struct error *err); /* COPY, ADD */
int step_workdir(struct worker *worker, struct error *err);
int step_run(struct worker *worker, struct error *err);
