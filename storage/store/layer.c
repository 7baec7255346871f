#include "storage/store/layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define MARKER_PATH_MAX (DIGEST_HEX + sizeof("/" LAYER_MARKER))

static void marker_path(char ret_path[MARKER_PATH_MAX], const char *diff_id)
{
	snprintf(ret_path, MARKER_PATH_MAX, "%.64s/" LAYER_MARKER,
		 digest_hex(diff_id));
}

bool layer_exists(const struct store *store, const char *diff_id)
{
	char path[MARKER_PATH_MAX];

	marker_path(path, diff_id);
	return faccessat(store->layers_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) ==
	       0;
}

int layer_read(const struct store *store, const char *diff_id,
	       struct layer *ret_layer, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	char path[MARKER_PATH_MAX];
	struct layer layer = {0};
	const char *blob = NULL;
	/* A layer that does not tell how many are privileged may have some. */
	int64_t numbers[] = {0, 0, 0, INT64_MAX};
	static const char *const keys[] = {"size", "entries", "squashed",
					   "privileged"};
	struct stat st;
	int r;

	marker_path(path, diff_id);
	r = json_read_at(store->layers_fd, path, &json, err);
	if (r < 0)
		return r;
	if (fstatat(store->layers_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		layer.made = st.st_mtim;
	r = json_get_string(json, path, "blob", &blob, err);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(keys); i++)
		r = json_get_i64(json, path, keys[i], &numbers[i], err);
	if (r < 0)
		return r;
	strcpy(layer.diff_id, diff_id);
	if (digest_is_valid(blob))
		strcpy(layer.blob, blob);
	layer.size = (uint64_t)numbers[0];
	layer.entries = (uint64_t)numbers[1];
	layer.squashed = (uint64_t)numbers[2];
	layer.privileged = (uint64_t)numbers[3];
	*ret_layer = layer;
	return 0;
}

int layer_write(int dir_fd, const struct layer *layer, const cJSON *devices,
		struct error *err)
{
	cleanup_json cJSON *json = json_object();

	json_set_string(json, "diffId", layer->diff_id);
	json_set_string(json, "blob", layer->blob);
	json_set_i64(json, "size", (int64_t)layer->size);
	json_set_i64(json, "entries", (int64_t)layer->entries);
	json_set_i64(json, "squashed", (int64_t)layer->squashed);
	json_set_i64(json, "privileged", (int64_t)layer->privileged);
	json_set(json, "devices",
		 devices ? cJSON_Duplicate(devices, true) : json_array());
	/* Whoever makes a layer syncs all of it at once. */
	return json_write_at(dir_fd, LAYER_MARKER, json, FILE_VOLATILE, err);
}

bool layer_xattr_is_private(const char *name)
{
	static const char *const prefixes[] = {
		"user.overlay.",
		"user.fuseoverlayfs.",
		"user.moss.",
		"user.containers.",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (str_starts(name, prefixes[i]))
			return true;
	}
	return false;
}

bool layer_keeps_xattr(const char *name)
{
	if (str_equal(name, "security.capability"))
		return true;
	return str_starts(name, "user.") && !layer_xattr_is_private(name);
}

int layer_read_devices(const struct store *store, const char *diff_id,
		       cJSON **ret_devices, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	char path[MARKER_PATH_MAX];
	const cJSON *devices = NULL;
	int r;

	marker_path(path, diff_id);
	r = json_read_at(store->layers_fd, path, &json, err);
	if (r == 0)
		r = json_get_array(json, path, "devices", &devices, err);
	if (r < 0)
		return r;
	*ret_devices = devices && devices->child
			       ? cJSON_Duplicate(devices, true)
			       : NULL;
	return 0;
}
