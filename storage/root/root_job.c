#include "storage/root/root_job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/root/diff_layer.h"
#include "storage/root/volume.h"

void root_job_release(struct root_job *root)
{
	view_close(&root->view);
	layer_devices_release(&root->devices);
	close_fd(&root->directory_fd);
	close_fd(&root->upper_fd);
	strv_free(root->diff_ids);
	strv_free(root->bound);
	free(root->base);
	store_work_release(&root->work);
}

/* An image may be removed by somebody else while it is read. */
static int lease_layers(struct root_job *root, struct error *err)
{
	const struct store *store = &root->job->store;
	cleanup_fd int lock_fd = -1;
	int r = store_work_new(store, &root->work, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	for (size_t i = 0; root->diff_ids && root->diff_ids[i]; i++) {
		r = digest_check(root->diff_ids[i], "layer", err);
		if (r == 0)
			r = store_work_lease(&root->work,
					     digest_hex(root->diff_ids[i]),
					     err);
		if (r < 0)
			return r;
		if (!layer_exists(store, root->diff_ids[i]))
			return err_set(err, ERROR_CORRUPT,
				       "layer %s of %s is not in the store",
				       root->diff_ids[i], root->what);
	}
	return 0;
}

static int open_container(struct root_job *root, struct error *err)
{
	const char *directory = job_string(root->job, "directory");
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (!directory)
		return 0;
	root->directory_fd = open(directory, flags);
	if (root->directory_fd < 0)
		return err_errno(err, "cannot open %s", root->what);
	root->upper_fd = openat(root->directory_fd, "upper", flags);
	/* A container that was never started has none. */
	if (root->upper_fd < 0 && errno != ENOENT)
		return err_errno(err, "cannot open the changes of %s",
				 root->what);
	return 0;
}

static int read_request(struct root_job *root, enum snapshot_driver *ret_driver,
			struct error *err)
{
	struct job *job = root->job;
	int64_t init = 0, start = 0;
	int r;

	root->what = job_string(job, "what");
	if (!root->what)
		return err_set(err, ERROR_INVALID, "the request has no root");
	r = json_get_strv(job->request, "", "diffIds", &root->diff_ids, err);
	if (r >= 0)
		r = snapshot_driver_from_name(job_string(job, "driver"),
					      ret_driver, err);
	if (r >= 0)
		r = json_get_i64(job->request, "", "init", &init, err);
	if (r >= 0)
		r = json_get_i64(job->request, "", "initStart", &start, err);
	if (r >= 0 && init > 0)
		r = diff_flush_root((pid_t)init, (uint64_t)start, err);
	return r < 0 ? r : 0;
}

/* As a start would; a source that is gone is no mount. */
static int make_mount_point(const struct root_job *root, const char *source,
			    const char *destination, struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (stat(source, &st) < 0)
		return 0;
	fd = S_ISDIR(st.st_mode) ? path_mkdirs_in_root(root->view.root_fd,
						       destination, 0755, err)
				 : path_touch_in_root(root->view.root_fd,
						      destination, 0644, err);
	return fd < 0 ? fd : 0;
}

/* As a first start would. */
static int fill(const struct root_job *root, char *source,
		const char *destination, struct error *err)
{
	cleanup_fd int fd =
		path_open_in_root(root->view.root_fd, destination,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	const struct volume volume = {.path = source};

	return fd < 0 ? 0 : volume_copy_up(&volume, fd, err);
}

struct bind {
	const char *source, *destination, *subpath;
	bool read_only, fill;
};

static int read_bind(const cJSON *json, struct bind *ret_bind,
		     struct error *err)
{
	const struct {
		const char *name;
		const char **text;
		bool *flag;
	} members[] = {
		{"source", &ret_bind->source, NULL},
		{"destination", &ret_bind->destination, NULL},
		{"subpath", &ret_bind->subpath, NULL},
		{"readOnly", NULL, &ret_bind->read_only},
		{"fill", NULL, &ret_bind->fill},
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		int r = members[i].text
				? json_get_string(json, "mounts",
						  members[i].name,
						  members[i].text, err)
				: json_get_bool(json, "mounts", members[i].name,
						members[i].flag, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * One of the request's mounts. Of a source's subpath a descriptor is held, so
 * that nobody puts something else in its place; one that leads out of the
 * source is no mount.
 */
static int bind_one(struct root_job *root, const cJSON *json, struct error *err)
{
	struct bind bind = {0};
	cleanup_free char *source = NULL;
	cleanup_fd int base_fd = -1;
	cleanup_fd int fd = -1;
	int r = read_bind(json, &bind, err);

	if (r < 0 || !bind.source || !bind.destination)
		return r;
	source = xstrdup(bind.source);
	if (bind.subpath) {
		char held[PATH_FD_MAX];

		base_fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd = base_fd < 0
			     ? -1
			     : path_open_beneath(base_fd, bind.subpath, O_PATH);
		if (fd < 0)
			return 0;
		path_of_fd(held, fd);
		free(source);
		source = xstrdup(held);
	}
	if (root->writable) {
		r = make_mount_point(root, source, bind.destination, err);
		if (r >= 0 && bind.fill)
			r = fill(root, source, bind.destination, err);
		if (r < 0)
			return r;
	}
	r = view_bind(&root->view, source, bind.destination,
		      root->writable && bind.read_only, err);
	if (r > 0)
		strv_push(&root->bound, bind.source);
	return r;
}

static int bind_mounts(struct root_job *root, struct error *err)
{
	const cJSON *mounts = NULL;
	const cJSON *mount;
	int r = json_get_array(root->job->request, "", "mounts", &mounts, err);

	cJSON_ArrayForEach(mount, mounts)
	{
		if (r >= 0)
			r = bind_one(root, mount, err);
	}
	return r < 0 ? r : 0;
}

static int apply_read_only(const struct root_job *root, struct error *err)
{
	bool read_only = false;
	int r = json_get_bool(root->job->request, "", "readOnly", &read_only,
			      err);

	if (r < 0 || !read_only)
		return r < 0 ? r : 0;
	return view_set_read_only(&root->view, err);
}

static int open_job(struct job *job, bool writable, bool with_mounts,
		    struct root_job *ret_root, struct error *err)
{
	CLEANUP(root_job_release)
	struct root_job root = ROOT_JOB_EMPTY;
	struct view_request request = {.store = &job->store};
	int r;

	root.job = job;
	root.writable = writable;
	if (writable)
		request.writable = job_string(job, "directory");
	r = read_request(&root, &request.driver, err);
	if (r == 0)
		r = lease_layers(&root, err);
	if (r == 0)
		r = open_container(&root, err);
	if (r == 0)
		r = layer_devices_read(&job->store, root.diff_ids,
				       root.upper_fd, &root.devices, err);
	request.diff_ids = root.diff_ids;
	request.directory_fd = root.directory_fd;
	if (r == 0)
		r = view_open(&request, &root.view, err);
	if (r == 0 && with_mounts)
		r = bind_mounts(&root, err);
	if (r == 0 && writable)
		r = apply_read_only(&root, err);
	if (r < 0)
		return err_wrap(err, "cannot %s the root of %s",
				writable ? "write to" : "read", root.what);
	*ret_root = root;
	root = (struct root_job)ROOT_JOB_EMPTY;
	return 0;
}

int root_job_open(struct job *job, bool with_mounts, struct root_job *ret_root,
		  struct error *err)
{
	return open_job(job, false, with_mounts, ret_root, err);
}

int root_job_open_writable(struct job *job, struct root_job *ret_root,
			   struct error *err)
{
	return open_job(job, true, true, ret_root, err);
}

int prepare_run(struct job *job, struct error *err)
{
	CLEANUP(root_job_release)
	struct root_job root = ROOT_JOB_EMPTY;
	int r = root_job_open_writable(job, &root, err);

	/* A server of the root may not have all yet. */
	if (r == 0 && root.view.server > 0 && syncfs(root.view.root_fd) < 0)
		return err_errno(err, "cannot write out the root of %s",
				 root.what);
	return r;
}

/* Text of a link in /proc; "" when it cannot be told. */
static void path_of(int fd, char ret_path[PATH_MAX])
{
	char link[PATH_FD_MAX];
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, ret_path, PATH_MAX - 1);
	ret_path[length > 0 ? length : 0] = '\0';
}

void root_job_set_base(struct root_job *root, int dir_fd, const char *name)
{
	char top[PATH_MAX];
	char path[PATH_MAX];
	size_t length;

	path_of(root->view.root_fd, top);
	path_of(dir_fd, path);
	length = strlen(top);
	free(root->base);
	root->base = xasprintf(
		"/%s/%s", str_starts(path, top) ? path + length : "", name);
}

int root_job_check(const struct root_job *root, struct error *err)
{
	const char *directory = job_string(root->job, "directory");

	if (directory && access(directory, F_OK) < 0)
		return err_set(err, ERROR_CONFLICT,
			       "%s was removed while it was read", root->what);
	/* Of a --rm container they go first. */
	for (size_t i = 0; root->bound && root->bound[i]; i++) {
		if (access(root->bound[i], F_OK) < 0 && errno == ENOENT)
			return err_set(err, ERROR_CONFLICT,
				       "%s, which %s mounts, was removed while "
				       "it was read",
				       root->bound[i], root->what);
	}
	return 0;
}

void root_job_tell(const struct root_job *root)
{
	const struct tree_report *report = &root->report;

	if (report->sockets > 0)
		job_note(root->job, "%llu sockets were left out",
			 (unsigned long long)report->sockets);
	if (report->xattrs_skipped > 0)
		job_note(root->job, "%llu extended attributes were left out",
			 (unsigned long long)report->xattrs_skipped);
}

int root_job_on_item(void *data, struct tree_item *item, struct error *err)
{
	const struct root_job *root = data;
	const struct layer_device *device;
	cleanup_free char *path = NULL;

	if (!S_ISREG(item->st.st_mode) || item->st.st_size != 0 ||
	    root->devices.count == 0)
		return TREE_TAKE;
	path = path_join(root->base ? root->base : "/", item->path);
	device = layer_devices_find(&root->devices, path + 1);
	if (device) {
		item->entry.type = device->type;
		item->entry.device_major = device->major;
		item->entry.device_minor = device->minor;
	}
	return TREE_TAKE;
}
