/*
 * moss build, seen from outside: one call that runs the helper program
 * moss-build, which plans and does all of it (builder.h) and ends with it.
 *
 *   moss ── request, progress, questions ──► moss-build   Dockerfile, plan
 *                                              │ a process for each stage
 *                                              ├─ RUN: a container (run.h)
 *                                              └─ layers, image: moss-image
 *
 * The request is one JSON object, to which build_run() adds what moss-build
 * opens the engine with (handover.h). Paths are absolute; what is absent is not
 * wanted.
 *
 *   context        {"type":"directory","path"} | {"type":"none"} |
 *                  {"type":"tar"}: from input_fd |
 *                  {"type":"url","url"} | {"type":"git","url"}
 *   dockerfile     {"path"}: on the host | {"context"}: a path in the context |
 *                  {"text"}; absent: "Dockerfile" in the context
 *   buildContexts  {NAME: a directory | "docker-image://REFERENCE" |
 *                  "oci-layout://DIRECTORY[:TAG][@DIGEST]" | a URL}
 *   buildArgs      ["NAME=VALUE"]
 *   call           "check": nothing is built, the Dockerfile is judged; the
 *                  result is that of lint.h
 *   target, platform, network ("default", "none", "host"): texts
 *   allow          ["network.host"]: RUN may have the host's network
 *   labels         ["KEY=VALUE"]; annotations: likewise, of the manifest
 *   noCache, pull, squash   booleans
 *   noCacheFilter  names of stages
 *   addHosts       ["NAME:ADDRESS"]; hostConfig: members of a HostConfig
 *   secrets        [{"id","source"} | {"id","value": base64}]
 *   ssh            [{"id","socket"}]
 *   references     full names for the image
 *   outputs        [{"type","dest"}]: see output.h; none: into the store
 *   cacheFrom, cacheTo   see cache_transfer.h
 *   epoch          seconds since 1970: SOURCE_DATE_EPOCH
 *
 * The result: {"id": "sha256:…", "digest": of the manifest}, without id when
 * nothing went into the store, without digest when no image was made.
 * Messages on the way are those of report.h.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/engine.h"

struct build_options {
	const cJSON *request;
	int input_fd;	 /* -1: none */
	int output_fd;	 /* of an output with dest "-"; -1: none */
	int progress_fd; /* -1: nobody listens */
	/*
	 * Asked before a base image is pulled: credentials under the names that
	 * engine_registry_names() gives, an object of AuthConfigs, the caller's
	 * to free; NULL: none. May be NULL.
	 */
	cJSON *(*find_credentials)(char *const *names, void *data);
	void *data;
};

/*
 * Runs it to its end. SIGINT and SIGTERM, which must have their default action,
 * end it within a second, as "canceled"; steps that were done stay in the
 * cache. kill -9 does so, too.
 */
int build_run(struct engine *engine, const struct build_options *options,
	      cJSON **ret_result, struct error *err);
