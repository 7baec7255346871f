/*
 * A build inside of moss-build: what its processes share. One process, the
 * coordinator, reads the Dockerfile (definition.h), sees to the base images
 * (bases.h) and forks a worker for each stage that is needed (worker.h); all of
 * struct builder is made before that and only read afterwards.
 *
 * A worker goes through its stage's instructions one after the other, in a
 * process of its own because what it calls blocks, and because killing it is
 * how it is stopped: what it started dies with it. Where it takes something
 * from another stage it waits for that one's result, so stages run side by side
 * as far as they do not need each other:
 *
 *   worker → coordinator  {"need": STAGE}          wants that stage's result
 *                         {}                       its own result is written
 *                         {"error": …}             it failed
 *   coordinator → worker  {}                       what it needs is there
 *
 * on a SOCK_SEQPACKET socket. Results are files in the work (result.h). The
 * first failure ends all: the coordinator kills its workers, and workers die
 * with their coordinator.
 *
 * What only the user's side knows it is asked for (build.h), on another one:
 *
 *   moss-build → moss     {"names": […]}           credentials, under these
 *   moss → moss-build     {"auths": {…}}           absent: there are none
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/build/cache_transfer.h"
#include "core/build/context.h"
#include "core/build/report.h"
#include "core/build/stages.h"
#include "core/engine/engine.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/store/platform.h"
#include "storage/store/store.h"

/* A base image, or one that files are taken from. */
struct builder_image {
	char *name;		  /* as the Dockerfile has it, expanded */
	char *platform;		  /* that it was asked for; NULL: the build's */
	cJSON *config;		  /* whole */
	struct layer_chain chain; /* leased in the work */
};

struct builder_stage {
	bool found; /* all that it begins with and takes from is there */
	const struct builder_image *image; /* FROM an image; borrowed */
	char **triggers;		   /* its base's ONBUILD instructions */
	unsigned int vertex;		   /* of FROM; 0: it has none */
	unsigned int first_step; /* the vertex before that of its first step */
	unsigned int steps;	 /* RUN, COPY, ADD, WORKDIR, FROM an image */
};

struct builder {
	struct engine *engine;
	struct store_work work;
	const cJSON *request;
	struct report report;
	int question_fd; /* -1: nobody answers */
	int input_fd;	 /* -1: none */
	int output_fd;	 /* -1: none */

	struct context context;
	char *file; /* the Dockerfile, as the user knows it */
	char *text;
	struct dockerfile dockerfile;
	struct stages stages;
	struct builder_stage *plans; /* one for each of stages.list */
	struct builder_image **images;
	cJSON *contexts; /* of --build-context; NULL: none (named_contexts.h) */
	size_t image_count;
	unsigned int last_vertex, finish_vertex;
	struct cache_sources cache_sources;

	/* From the request. */
	char **build_args; /* "NAME=VALUE" */
	char **platform_args;
	struct platform platform;
	bool pull, no_cache;
	char **no_cache_filter;
	const char *network;
	char **allow;  /* what a Dockerfile may not have by itself */
	int64_t epoch; /* -1: none */
};

void builder_release(struct builder *builder);
/* All of it; *ret_result as build_run()'s. */
int builder_run(struct builder *builder, cJSON **ret_result, struct error *err);

/* Of SOURCE_DATE_EPOCH; NULL or "" says nothing. */
int builder_set_epoch(struct builder *builder, const char *text,
		      struct error *err);
/* For caches elsewhere. last_vertex: NULL for a worker, which makes none. */
struct cache_context builder_cache_context(const struct builder *builder,
					   unsigned int *last_vertex);
/* A member of the request; NULL when it is absent. */
const char *builder_text(const struct builder *builder, const char *key);

/* "build", or "stage-1". Caller frees. */
char *builder_stage_name(const struct builder *builder, size_t stage);
/* A variable that --build-arg may set without an ARG: "HTTP_PROXY", … */
bool builder_is_proxy(const char *name);
/* Does it make a step of its own, with a vertex? */
bool builder_is_step(enum dockerfile_keyword keyword);
