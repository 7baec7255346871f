/*
 * RUN: one start of a container over the layers that the stage has so far, and
 * what it has changed as one more layer, read straight from its upper/.
 *
 * The container lies in the work of the build (core/engine/step.h): nobody else
 * sees it, and it goes with that. It runs as one of the image's would, with
 * these differences:
 *
 *   command      the step's argv, without the image's entrypoint
 *   environment  the image's, then the build's arguments, then what mounts add
 *   volumes      none: what a RUN writes where the image has a volume is kept
 *                (where there is one ID only, APT_CONFIG, too: see run.c)
 *   hostname     "buildsandbox", or what BUILDKIT_SANDBOX_HOSTNAME says
 *   input        /dev/null; no health check, no log, no restart, no port
 *
 * Output is told as it comes, stderr and stdout each in order. The container
 * dies with the process that called run_step(), within a second and with all
 * that it has started, which is also how a build is cancelled.
 *
 * A command that fails is an error of kind ERROR_GENERIC in docker's words
 *
 *   process "/bin/sh -c make" did not complete successfully: exit code: 2
 *
 * with the code beside it; one that cannot be started has 126 or 127, as from
 * a shell. A failed step has no layer.
 *
 * The layer is in the store, whole, leased by the build's work, before
 * run_step() returns (image_layer_diff() of storage/transfer_build.h); what the
 * container's directory held is gone then.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/error.h"

struct engine;
struct layer_chain;
struct layer_ref;
struct report;
struct run_mounts_request;
struct store_work;

#define RUN_HOSTNAME "buildsandbox"
#define RUN_NO_EXIT  (-1)

struct run_request {
	struct engine *engine;
	const struct store_work *work;	 /* the build's: room and leases */
	const struct layer_chain *chain; /* of the stage so far, may be empty */
	const cJSON *config;		 /* an image's "config" */
	char *const
		*environment; /* build arguments, "NAME=VALUE"; NULL: none */
	char *const *command; /* argv, with the shell where there is one */
	/* A here-document with a "#!" line: what is in the file that the last
	   word of command names ("/dev/pipes/EOF"), which only the step sees.
	   NULL: none. */
	const char *script;
	/* RUN --mount: run_mounts_apply()'s. NULL: none. */
	const struct run_mounts_request *mounts;
	const char *network;  /* "default", "none" or "host" */
	const char *hostname; /* NULL: RUN_HOSTNAME */
	/* Of the command line, HostConfig's members: Memory, NanoCpus,
	   ExtraHosts, ShmSize, Ulimits… NULL: none. */
	const cJSON *host_config;
	int64_t epoch; /* no file of the layer is younger; -1: no limit */
	const struct report *report;
	unsigned int vertex;
};

/*
 * 1 and the layer, 0: nothing was changed, or an error. *ret_exit_code: the
 * command's when it failed, RUN_NO_EXIT when something else did; not touched on
 * success.
 */
int run_step(const struct run_request *request, struct layer_ref *ret_layer,
	     int *ret_exit_code, struct error *err);
