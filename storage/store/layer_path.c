#include "storage/store/layer_path.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/limits.h"

#define WHITEOUT	".wh."
#define WHITEOUT_META	".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

static int refuse(const char *raw, const char *why, struct error *err)
{
	return err_set(err, ERROR_INVALID, "entry \"%.128s\": %s", raw, why);
}

static int check_lengths(const char *raw, const char *path, struct error *err)
{
	unsigned int depth = 0;
	const char *at = path;

	if (strlen(path) >= TAR_PATH_MAX)
		return refuse(raw, "the name is too long", err);
	while (*at) {
		size_t length = strcspn(at, "/");

		if (length > TAR_COMPONENT_MAX)
			return refuse(raw, "the name is too long", err);
		if (++depth > TAR_DEPTH_MAX)
			return refuse(raw, "too many directories deep", err);
		at += length + (at[length] == '/');
	}
	return 0;
}

int layer_link_path(const char *raw, char **ret_path, struct error *err)
{
	cleanup_free char *path = NULL;
	const char *start = raw + strspn(raw, "/");
	int r;

	if (!*raw)
		return refuse(raw, "the name is empty", err);
	path = path_clean(start);
	if (str_equal(path, "..") || str_starts(path, "../"))
		return refuse(raw, "leads out of the layer", err);
	if (str_equal(path, "."))
		*path = '\0';
	r = check_lengths(raw, path, err);
	if (r < 0)
		return r;
	*ret_path = steal_ptr(&path);
	return 0;
}

/* Does a directory on the way to name start so? */
static bool is_below(const char *path, const char *name, const char *prefix)
{
	const char *at = path;

	while (at && at < name) {
		if (str_starts(at, prefix))
			return true;
		at = strchr(at, '/');
		at = at ? at + 1 : NULL;
	}
	return false;
}

int layer_path(const char *raw, char **ret_path, struct error *err)
{
	cleanup_free char *path = NULL;
	char *name;
	int r = layer_link_path(raw, &path, err);

	if (r < 0)
		return r;
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	/* A directory of aufs's marks and what is in it. */
	if (is_below(path, name, WHITEOUT_META))
		return LAYER_PATH_SKIP;
	/* fuse-overlayfs would take such a directory for a whiteout. */
	if (is_below(path, name, WHITEOUT))
		return refuse(raw, "below a whiteout", err);
	if (!str_starts(name, WHITEOUT)) {
		*ret_path = steal_ptr(&path);
		return LAYER_PATH_FILE;
	}
	if (str_equal(name, WHITEOUT_OPAQUE)) {
		if (name > path)
			name--;
		*name = '\0';
		*ret_path = steal_ptr(&path);
		return LAYER_PATH_OPAQUE;
	}
	if (str_starts(name, WHITEOUT_META))
		return LAYER_PATH_SKIP;
	memmove(name, name + strlen(WHITEOUT),
		strlen(name + strlen(WHITEOUT)) + 1);
	if (!*name || str_equal(name, ".") || str_equal(name, ".."))
		return refuse(raw, "a whiteout of nothing", err);
	*ret_path = steal_ptr(&path);
	return LAYER_PATH_WHITEOUT;
}
