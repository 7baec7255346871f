#include "core/runtime/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mounts.h"

#define MOUNTS	    "mounts"
#define POINTS	    "mounts/points"
#define PLACE_MAX   64
#define LAYERS_TYPE "layers"

static bool is_layers(const struct spec_mount *mount)
{
	return str_equal(mount->type, LAYERS_TYPE);
}

static bool is_needed(const struct runtime_spec *spec)
{
	for (size_t i = 0; i < spec->mount_count; i++) {
		if (is_layers(&spec->mounts[i]) ||
		    strv_contains(spec->mounts[i].options, "temporary"))
			return true;
	}
	return false;
}

static bool is_read_only(const struct mount_options *options)
{
	return (options->set | options->set_recursive) & MOUNT_ATTR_RDONLY;
}

/* Of the Nth mount; directory_fd is its place. */
static struct snapshot snapshot_of(const struct runtime_request *request,
				   const struct mount_options *options,
				   int directory_fd, struct snapshot_view *view)
{
	*view = (struct snapshot_view){.place_fd = directory_fd};
	return (struct snapshot){
		.driver = SNAPSHOT_OVERLAY,
		.store = request->snapshot->store,
		.diff_ids = options->diff_ids,
		.directories = options->directories,
		.directory_fd = directory_fd,
		.is_volatile = true,
		.view = is_read_only(options) ? view : NULL,
	};
}

static int open_place(int directory_fd, size_t index, struct error *err)
{
	char path[PLACE_MAX];
	int fd;

	snprintf(path, sizeof(path), MOUNTS "/%zu", index);
	fd = openat(directory_fd, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "cannot open the container's %s", path)
		      : fd;
}

static int prepare(const struct runtime_request *request, size_t index,
		   struct error *err)
{
	const struct spec_mount *mount = &request->spec->mounts[index];
	CLEANUP(mount_options_release) struct mount_options options = {0};
	int own_fd = request->snapshot->directory_fd;
	cleanup_fd int fd = -1;
	struct snapshot_view view;
	struct snapshot snapshot;
	char path[PLACE_MAX];
	int r = mount_options_parse(mount, &options, err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), MOUNTS "/%zu", index);
	if (mkdirat(own_fd, path, 0700) < 0)
		return err_errno(err, "cannot make the container's %s", path);
	fd = open_place(own_fd, index, err);
	if (fd < 0)
		return fd;
	snapshot = snapshot_of(request, &options, fd, &view);
	r = snapshot_prepare(&snapshot, err);
	return r < 0 ? err_wrap(err, "cannot mount on %s", mount->destination)
		     : 0;
}

int layers_prepare(const struct runtime_request *request, struct error *err)
{
	const struct runtime_spec *spec = request->spec;
	int r;

	if (!is_needed(spec))
		return 0;
	if (!request->snapshot)
		return err_set(err, ERROR_UNSUPPORTED,
			       "mounts: layers need a container of layers");
	r = tree_remove_at(request->snapshot->directory_fd, MOUNTS, err);
	if (r < 0)
		return r;
	if (mkdirat(request->snapshot->directory_fd, MOUNTS, 0700) < 0)
		return err_errno(err, "cannot make the container's " MOUNTS);
	for (size_t i = 0; r == 0 && i < spec->mount_count; i++) {
		if (is_layers(&spec->mounts[i]))
			r = prepare(request, i, err);
	}
	return r;
}

int layers_mount(const struct setup *setup, size_t index,
		 const struct mount_options *options, struct error *err)
{
	cleanup_fd int place_fd = -1;
	struct snapshot_view view;
	struct snapshot snapshot;
	char name[PLACE_MAX];
	int fuse_fd = -1;
	int r;

	snprintf(name, sizeof(name), "/" MOUNTS "/%zu", index);
	place_fd = setup_open_own(setup, name, O_PATH | O_DIRECTORY, err);
	if (place_fd < 0)
		return place_fd;
	snapshot = snapshot_of(setup->request, options, place_fd, &view);
	r = snapshot_mount(&snapshot, &fuse_fd, err);
	if (r == -ENOENT) /* a layer is not there, which is told */
		return r;
	if (r < 0)
		return err_hint(err, "mounts of images need the kernel's "
				     "overlay (\"moss doctor\" tells more)");
	snprintf(name, sizeof(name), "/" MOUNTS "/%zu/merged", index);
	return setup_open_own(setup, name, O_PATH | O_DIRECTORY, err);
}

int layers_clone(int root_fd, const struct mount_options *options)
{
	cleanup_fd int fd = -1;

	if (!options->root_path)
		return mount_clone(root_fd, "", options->recursive);
	fd = path_open_in_root(root_fd, options->root_path, O_PATH, 0);
	return fd < 0 ? steal_fd(&fd) : mount_clone(fd, "", options->recursive);
}

int layers_open_points(struct setup *setup, struct error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW;
	const struct runtime_spec *spec = setup->spec;
	bool wanted = false;
	int fd;

	for (size_t i = 0; i < spec->mount_count; i++)
		wanted = wanted ||
			 strv_contains(spec->mounts[i].options, "temporary");
	if (!wanted)
		return 0;
	fd = setup_open_own(setup, "/" POINTS, flags, err);
	if (fd < 0)
		return fd;
	setup->points_fd = fd;
	return 0;
}

/* As the kernel has its path, from our present root. */
static int path_of(int fd, char ret_path[PATH_MAX])
{
	char link[PATH_FD_MAX];
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, ret_path, PATH_MAX - 1);
	if (length < 0)
		return -errno;
	ret_path[length] = '\0';
	return 0;
}

int layers_tell_point(const struct setup *setup, int target_fd,
		      struct error *err)
{
	char root[PATH_MAX], path[PATH_MAX];
	const char *rest;
	int r = path_of(setup->root_fd, root);

	if (r == 0)
		r = path_of(target_fd, path);
	if (r < 0)
		return err_number(err, r, "cannot tell where a mount point is");
	/* One on a mount of ours goes with that. */
	if (!str_starts(path, root) || path[strlen(root)] != '/')
		return 0;
	rest = path + strlen(root);
	r = write_all(setup->points_fd, rest, strlen(rest) + 1);
	if (r < 0)
		return err_number(err, r, "cannot note a mount point");
	return 0;
}
