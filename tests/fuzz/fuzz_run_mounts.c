/*
 * core/build/run_mounts.h: a working directory in the first line, the value of
 * a RUN --mount in each further one. What is taken is within its bounds.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "core/build/run_mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	cleanup_free char *clean = path_clean(path);

	assert(*path == '/' && str_equal(path, clean));
	assert(strlen(path) < RUN_MOUNT_PATH_MAX);
}

static void check(const struct run_mount *mount)
{
	check_path(mount->source);
	if (mount->target) {
		check_path(mount->target);
		assert(!str_equal(mount->target, "/") &&
		       !str_starts(mount->target, "/proc/"));
	} else {
		assert(mount->type == RUN_MOUNT_SECRET && mount->environment);
	}
	if (mount->type == RUN_MOUNT_CACHE || mount->type == RUN_MOUNT_SECRET ||
	    mount->type == RUN_MOUNT_SSH)
		assert(!str_empty(mount->id));
	assert(!mount->environment || !strchr(mount->environment, '='));
	assert(mount->mode <= 07777 && mount->size >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = xstrndup((const char *)data, size);
	cleanup_strv char **lines = strv_split(text, '\n');
	cleanup_free char *directory = path_join("/", lines[0]);
	struct run_mounts mounts = {0};
	struct error err = {0};

	if (run_mounts_parse(lines + 1, NULL, directory, &mounts, &err) < 0) {
		assert(*err.message);
		return 0;
	}
	assert(mounts.count == strv_length(lines + 1));
	for (size_t i = 0; i < mounts.count; i++)
		check(&mounts.list[i]);
	run_mounts_release(&mounts);
	return 0;
}
