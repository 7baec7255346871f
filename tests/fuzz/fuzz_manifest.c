/*
 * storage/store/manifest.h: manifests, indexes and configs. What is accepted
 * has valid digests and keeps the limits.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/index.h"
#include "storage/store/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_manifest(const cJSON *json)
{
	struct manifest manifest;
	struct error err = {0};

	if (manifest_parse(json, "manifest", &manifest, &err) < 0) {
		assert(err.message[0] != '\0');
		return;
	}
	assert(digest_is_valid(manifest.config.digest));
	assert(manifest.layer_count <= MANIFEST_LAYERS_MAX);
	for (size_t i = 0; i < manifest.layer_count; i++)
		assert(digest_is_valid(manifest.layers[i].digest));
	manifest_release(&manifest);
}

static void check_index(cJSON *json)
{
	struct descriptor descriptor;
	struct platform host;

	platform_host(&host);
	if (index_select(json, "index", &host, &descriptor, NULL) < 0)
		return;
	assert(digest_is_valid(descriptor.digest));
	/* Changes to it must keep it an index. */
	index_set(json, "docker.io/library/x:1", &descriptor, 5);
	assert(index_find_reference(json, "docker.io/library/x:1"));
	index_hide(json, descriptor.digest);
	assert(!index_find_manifest(json, descriptor.digest));
	index_drop(json, descriptor.digest);
	index_unset(json, "docker.io/library/x:1");
	assert(!index_find_reference(json, "docker.io/library/x:1"));
}

static void check_config(const cJSON *json)
{
	cleanup_strv char **diff_ids = NULL;
	struct platform platform;

	(void)config_platform(json, "config", &platform, NULL);
	if (config_diff_ids(json, "config", &diff_ids, NULL) < 0)
		return;
	for (size_t i = 0; diff_ids && diff_ids[i]; i++)
		assert(digest_is_valid(diff_ids[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json cJSON *json = NULL;

	if (json_parse((const char *)data, size, "input", &json, NULL) < 0)
		return 0;
	check_manifest(json);
	check_config(json);
	check_index(json);
	return 0;
}
