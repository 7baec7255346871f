/*
 * Cache mounts of a step: core/build/run_mounts.h.
 *
 * Which directory it is follows from its id, from what it begins with and from
 * whom it belongs to; a private one that is taken has a second, a third … What
 * a step wants several times it has once. Locks are taken in the order of the
 * directories' IDs, so that two steps cannot wait for each other.
 */
#include "core/build/run_mounts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/proc.h"
#include "core/build/key.h"
#include "core/engine/engine.h"
#include "storage/root/view.h"
#include "storage/root/volume.h"
#include "storage/store/cache_mount.h"
#include "storage/transfer_build.h"

#define PRIVATE_MAX 64 /* of one cache at a time */

struct wanted {
	size_t index; /* of the mount */
	char id[ID_TEXT_MAX];
};

struct filling {
	const struct run_mounts_request *request;
	const struct run_mount *mount;
	int data_fd;
};

int run_mounts_cache_id(const struct run_mounts_request *request,
			const struct run_mount *mount, unsigned int number,
			char ret_id[ID_TEXT_MAX], struct error *err)
{
	const struct run_mount_source *source = NULL;
	cleanup_strv char **layers = NULL;
	cleanup_key struct key key = {0};
	char owner[64];
	int r = key_begin(&key, "cache mount", err);

	if (r == 0 && mount->from)
		r = run_mount_source_of(request, mount, &source, err);
	if (r < 0)
		return r;
	key_add(&key, "id", mount->id);
	if (mount->has_mode || mount->has_owner) {
		snprintf(owner, sizeof(owner), "%o %u:%u", mount->mode,
			 mount->uid, mount->gid);
		key_add(&key, "owner", owner);
	}
	if (source) {
		layers = source->chain ? layer_chain_diff_ids(source->chain)
				       : NULL;
		key_add_strv(&key, "layers", layers);
		key_add(&key, "directory", source->directory);
		key_add(&key, "source", mount->source);
	}
	if (number > 0) {
		snprintf(owner, sizeof(owner), "%u", number);
		key_add(&key, "number", owner);
	}
	key_finish(&key, ret_id);
	return 0;
}

/* ---- what a new one begins with ---- */

static int copy_from(const struct filling *filling, int root_fd,
		     struct error *err)
{
	const char *path = filling->mount->source;
	cleanup_fd int fd =
		path_open_in_root(root_fd, path, O_RDONLY | O_DIRECTORY, 0);
	char data[PATH_FD_MAX];
	struct volume volume = {.path = data};

	if (fd < 0)
		return err_number(err, fd, "cannot open %s of %s", path,
				  filling->mount->from);
	path_of_fd(data, filling->data_fd);
	return volume_copy_up(&volume, fd, err);
}

/* In a process of its own: the look at the layers is a mount. */
static int copy_from_layers(void *data, struct error *err)
{
	const struct filling *filling = data;
	const struct run_mounts_request *request = filling->request;
	const struct run_mount_source *source = NULL;
	cleanup_strv char **layers = NULL;
	CLEANUP(view_close) struct view view = VIEW_EMPTY;
	struct view_request look = {
		.store = &request->engine->store,
		.directory_fd = -1,
	};
	int r = run_mount_source_of(request, filling->mount, &source, err);

	if (r < 0)
		return r;
	layers = layer_chain_diff_ids(source->chain);
	look.diff_ids = layers;
	r = view_open(&look, &view, err);
	return r < 0 ? r : copy_from(filling, view.root_fd, err);
}

static int copy_first(struct filling *filling, struct error *err)
{
	const struct run_mount_source *source = NULL;
	cleanup_fd int fd = -1;
	int r = run_mount_source_of(filling->request, filling->mount, &source,
				    err);

	if (r < 0)
		return r;
	if (source->chain)
		return proc_call(copy_from_layers, filling, err);
	fd = open(source->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", source->directory);
	return copy_from(filling, fd, err);
}

static int fill(int data_fd, void *data, struct error *err)
{
	struct filling *filling = data;
	const struct run_mount *mount = filling->mount;
	bool single = !filling->request->engine->identity.mapped;
	int r;

	filling->data_fd = data_fd;
	r = mount->from ? copy_first(filling, err) : 0;
	if (r < 0)
		return r;
	if (mount->has_owner && fchown(data_fd, mount->uid, mount->gid) < 0 &&
	    !(single && errno == EINVAL))
		return err_errno(err, "cannot give it to %u:%u", mount->uid,
				 mount->gid);
	if (mount->has_mode && fchmod(data_fd, mount->mode) < 0)
		return err_errno(err, "cannot set its mode");
	return 0;
}

/* ---- taking ---- */

static int take_one(const struct run_mounts_request *request,
		    const struct run_mount *mount, unsigned int number,
		    char **ret_path, struct error *err)
{
	struct filling filling = {.request = request, .mount = mount};
	char id[ID_TEXT_MAX];
	const struct cache_mount_request take = {
		.id = id,
		.description = mount->id,
		.mode = mount->sharing == RUN_SHARING_SHARED ? LOCK_SHARED
							     : LOCK_EXCLUSIVE,
		.wait = mount->sharing != RUN_SHARING_PRIVATE,
		.fill = fill,
		.data = &filling,
	};
	int r = run_mounts_cache_id(request, mount, number, id, err);

	return r < 0 ? r
		     : cache_mount_take(&request->engine->store, &take,
					ret_path, err);
}

static int take(const struct run_mounts_request *request,
		const struct run_mount *mount, char **ret_path,
		struct error *err)
{
	for (unsigned int i = 0; i < PRIVATE_MAX; i++) {
		int fd = take_one(request, mount, i, ret_path, err);

		if (fd != -EAGAIN)
			return fd;
	}
	return err_set(err, ERROR_CONFLICT,
		       "more than %d builds have cache mount %s", PRIVATE_MAX,
		       mount->id);
}

/* The same directory: the stricter of them first, as the others get its. */
static int compare(const void *a, const void *b, void *data)
{
	const struct run_mounts_request *request = data;
	const struct wanted *left = a, *right = b;
	int order = strcmp(left->id, right->id);

	if (order == 0)
		order = (int)request->mounts->list[right->index].sharing -
			(int)request->mounts->list[left->index].sharing;
	return order;
}

static int want(const struct run_mounts_request *request,
		struct wanted *ret_wanted, size_t *ret_count, struct error *err)
{
	const struct run_mounts *mounts = request->mounts;
	size_t count = 0;

	for (size_t i = 0; i < mounts->count; i++) {
		int r;

		if (mounts->list[i].type != RUN_MOUNT_CACHE)
			continue;
		ret_wanted[count].index = i;
		r = run_mounts_cache_id(request, &mounts->list[i], 0,
					ret_wanted[count].id, err);
		if (r < 0)
			return r;
		count++;
	}
	*ret_count = count;
	return 0;
}

int run_mounts_take_caches(const struct run_mounts_request *request,
			   struct run_mounts_held *held, char **paths,
			   struct error *err)
{
	const struct run_mounts *mounts = request->mounts;
	cleanup_free struct wanted *wanted =
		xcalloc(mounts->count + 1, sizeof(*wanted));
	size_t count = 0;
	int r = want(request, wanted, &count, err);

	if (r < 0)
		return r;
	qsort_r(wanted, count, sizeof(*wanted), compare,
		(void *)(uintptr_t)request);
	held->locks = xcalloc(count + 1, sizeof(*held->locks));
	for (size_t i = 0; i < count; i++) {
		size_t index = wanted[i].index;

		if (i > 0 && str_equal(wanted[i - 1].id, wanted[i].id)) {
			paths[index] = xstrdup(paths[wanted[i - 1].index]);
			continue;
		}
		r = take(request, &mounts->list[index], &paths[index], err);
		if (r < 0)
			return r;
		held->locks[held->lock_count++] = r;
	}
	return 0;
}
