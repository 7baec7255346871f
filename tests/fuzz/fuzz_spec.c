/*
 * core/runtime/spec.h: whatever is accepted keeps the struct's promises, and
 * its mount options can be parsed again, as the runtime does.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/runtime/mountopt.h"
#include "core/runtime/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct runtime_spec *spec)
{
	assert(spec->process.args && spec->process.args[0]);
	assert(spec->process.cwd[0] == '/');
	assert(!(spec->process.effective & ~spec->process.permitted));
	assert(spec->mount_count <= SPEC_MOUNTS_MAX);
	assert(spec->uid_map.count <= ID_MAP_MAX);
	for (size_t i = 0; i < spec->mount_count; i++) {
		struct mount_options options;

		assert(spec->mounts[i].destination[0] == '/');
		assert(spec->mounts[i].destination[1] != '\0');
		assert(mount_options_parse(&spec->mounts[i], &options, NULL) ==
		       0);
		assert(!options.bind || spec->mounts[i].source[0] == '/');
		assert(options.bind || !str_empty(spec->mounts[i].type));
		mount_options_release(&options);
	}
	for (size_t i = 0; i < spec->device_count; i++)
		assert(spec->devices[i].path[0] == '/');
	for (size_t i = 0; i < spec->namespace_count; i++)
		assert(spec->namespaces[i].flag != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_json cJSON *json = NULL;
	struct runtime_spec spec = {0};
	struct spec_process process = {0};
	struct error err = {0};

	if (json_parse((const char *)data, size, "input", &json, &err) < 0)
		return 0;
	if (spec_parse(json, &spec, &err) == 0)
		check(&spec);
	else
		assert(err.message[0] != '\0');
	spec_release(&spec);

	err = (struct error){0};
	if (spec_process_parse(json, &process, &err) < 0)
		assert(err.message[0] != '\0');
	spec_process_release(&process);
	return 0;
}
