/*
 * core/engine: a ContainerCreate body and an image's config from anywhere, as
 * {"body":…,"image":…}. Whatever is refused says why; whatever is accepted
 * becomes an OCI configuration that the runtime accepts.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/network.h"
#include "core/engine/ocispec.h"
#include "core/engine/resources.h"
#include "core/engine/security.h"
#include "core/runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct identity identity = {
	.mapped = true,
	.uids = {.extents = {{0, 1000, 1}, {1, 100000, 65536}}, .count = 2},
	.gids = {.extents = {{0, 1000, 1}, {1, 100000, 65536}}, .count = 2},
};
static const struct id_map map = {.extents = {{0, 0, 65537}}, .count = 1};

struct creation {
	cJSON *config;
	cJSON *host;
	struct network network;
	struct mount_list mounts;
	char **warnings;
};

static void release(struct creation *creation)
{
	cJSON_Delete(creation->config);
	cJSON_Delete(creation->host);
	network_release(&creation->network);
	mount_list_release(&creation->mounts);
	strv_free(creation->warnings);
}

static int accept(struct creation *creation, const cJSON *body,
		  const cJSON *image, struct error *err)
{
	const struct resource_namespaces own = {true, true, true};
	const cJSON *given = member_get(body, "HostConfig");
	struct security security;
	int r;

	r = config_check_body(body, err);
	if (r >= 0)
		r = host_config_check(given, false, err);
	if (r >= 0)
		r = host_config_check_conflicts(body, given,
						&creation->warnings, err);
	if (r >= 0)
		r = config_merge(body, image, &creation->config, err);
	if (r < 0)
		return r;
	creation->host = host_config_normalise(given);
	r = security_parse(creation->host, &security, &creation->warnings, err);
	if (r >= 0)
		r = network_parse(body, creation->host,
				  member_get(creation->config, "ExposedPorts"),
				  &creation->network, &creation->warnings, err);
	if (r >= 0)
		r = sysctls_check(creation->host, &own, err);
	if (r >= 0)
		r = ulimits_check(creation->host, err);
	if (r >= 0)
		r = devices_check(creation->host, err);
	if (r >= 0)
		r = mounts_collect(creation->host,
				   member_get(creation->config, "Volumes"),
				   &creation->mounts, err);
	return r;
}

static cJSON *container_of(struct creation *creation)
{
	cJSON *container = json_object();
	cJSON *engine = json_object();
	const char *path;
	cJSON *args;

	for (size_t i = 0; i < creation->mounts.count; i++) {
		struct mount_point *point = &creation->mounts.entries[i];

		if (point->kind == MOUNT_VOLUME)
			point->source = xstrdup("/store/volume");
		if (point->kind == MOUNT_IMAGE) {
			point->source = xstrdup("sha256:1");
			strv_push(&point->layers, "sha256:2");
		}
	}
	config_command(creation->config, &path, &args);
	json_set_string(container, "Path", path);
	json_set(container, "Args", args);
	json_set(container, "Config", steal_ptr(&creation->config));
	json_set(container, "HostConfig", steal_ptr(&creation->host));
	json_set(engine, "Mounts", mounts_json(&creation->mounts));
	json_set(engine, "Uids", ocispec_map_json(&map));
	json_set(engine, "Gids", ocispec_map_json(&map));
	json_set(container, "Engine", engine);
	return container;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(release) struct creation creation = {0};
	cleanup_json cJSON *input = NULL;
	cleanup_json cJSON *container = NULL;
	cleanup_json cJSON *json = NULL;
	struct spec_request request = {
		.directory = "/store/containers/ID",
		.identity = &identity,
		.first = true,
	};
	struct runtime_spec spec = {0};
	struct error err = {0};

	if (json_parse((const char *)data, size, "fuzz", &input, &err) < 0 ||
	    accept(&creation, member_get(input, "body"),
		   member_get(input, "image"), &err) < 0) {
		assert(err.kind != ERROR_NONE && *err.message);
		return 0;
	}
	container = container_of(&creation);
	request.container = container;
	/* A device may vanish; nothing else is left to go wrong. */
	if (ocispec_build(&request, &json, &err) < 0)
		return 0;
	if (spec_parse(json, &spec, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
	spec_release(&spec);
	return 0;
}
