#include "storage/tar/layer_devices.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/store/limits.h"

/* By path, and of one path the topmost layer's first. */
static int compare(const void *a, const void *b)
{
	const struct layer_device *left = a;
	const struct layer_device *right = b;
	int order = strcmp(left->path, right->path);

	if (order != 0)
		return order;
	return (left->layer < right->layer) - (left->layer > right->layer);
}

static int add(struct layer_devices *devices, const cJSON *json, size_t layer,
	       struct error *err)
{
	const char *path = NULL;
	const char *type = NULL;
	int64_t major = 0;
	int64_t minor = 0;
	int r = json_get_string(json, "devices", "path", &path, err);

	if (r >= 0)
		r = json_get_string(json, "devices", "type", &type, err);
	if (r >= 0)
		r = json_get_i64(json, "devices", "major", &major, err);
	if (r >= 0)
		r = json_get_i64(json, "devices", "minor", &minor, err);
	if (r < 0 || !path || !type)
		return r < 0 ? r : 0;
	devices->list = xrealloc(devices->list, devices->count + 1,
				 sizeof(*devices->list));
	devices->list[devices->count++] = (struct layer_device){
		.path = xstrdup(path),
		.layer = layer,
		.type = *type == 'b' ? TAR_BLOCK : TAR_CHAR,
		.major = (uint32_t)major,
		.minor = (uint32_t)minor,
	};
	return 0;
}

int layer_devices_read(const struct store *store, char *const *diff_ids,
		       int upper_fd, struct layer_devices *ret_devices,
		       struct error *err)
{
	CLEANUP(layer_devices_release)
	struct layer_devices devices = {
		.store = store,
		.diff_ids = diff_ids,
		.upper_fd = upper_fd,
	};

	for (size_t i = 0; i < strv_length(diff_ids); i++) {
		cleanup_json cJSON *array = NULL;
		const cJSON *item;
		int r = layer_read_devices(store, diff_ids[i], &array, err);

		if (r < 0)
			return r;
		cJSON_ArrayForEach(item, array)
		{
			r = add(&devices, item, i, err);
			if (r < 0)
				return err_wrap(err, "layer %s", diff_ids[i]);
		}
	}
	if (devices.count > 1)
		qsort(devices.list, devices.count, sizeof(*devices.list),
		      compare);
	*ret_devices = devices;
	devices = (struct layer_devices){0};
	return 0;
}

void layer_devices_release(struct layer_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		free(devices->list[i].path);
	free(devices->list);
	*devices = (struct layer_devices){0};
}

static bool is_there(int dir_fd, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	cleanup_fd int fd =
		(int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd >= 0;
}

/* Is what is seen there from something above the device's layer? */
static bool is_covered(const struct layer_devices *devices,
		       const struct layer_device *device)
{
	if (devices->upper_fd >= 0 && is_there(devices->upper_fd, device->path))
		return true;
	for (size_t i = device->layer + 1; devices->diff_ids[i]; i++) {
		cleanup_free char *path = xasprintf(
			"%s/" LAYER_DIFF "/%s",
			digest_hex(devices->diff_ids[i]), device->path);

		if (is_there(devices->store->layers_fd, path))
			return true;
	}
	return false;
}

const struct layer_device *
layer_devices_find(const struct layer_devices *devices, const char *path)
{
	size_t low = 0;
	size_t high = devices->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(devices->list[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == devices->count ||
	    !str_equal(devices->list[low].path, path) ||
	    is_covered(devices, &devices->list[low]))
		return NULL;
	return &devices->list[low];
}
