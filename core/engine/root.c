/* Files out of containers and images: core/engine/engine.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/mounts.h"
#include "storage/transfer_root.h"

#define CHANGES_MAX  (256u << 20) /* bytes of paths */
#define SPOOL_BUFFER (256u << 10)

/* What the pieces of a root_request lie in. */
struct root {
	struct root_request request;
	char *what;
	char **diff_ids;
	char *directory;
	cJSON *mounts;
};

static void root_release(struct root *root)
{
	free(root->what);
	strv_free(root->diff_ids);
	free(root->directory);
	cJSON_Delete(root->mounts);
}

static void add_file(cJSON *mounts, const char *directory, const char *name)
{
	cleanup_free char *source = xasprintf("%s/%s", directory, name);
	cleanup_free char *destination = xasprintf("/etc/%s", name);
	cJSON *mount = json_object();

	json_set_string(mount, "source", source);
	json_set_string(mount, "destination", destination);
	json_push(mounts, mount);
}

static void add_mount(cJSON *mounts, const struct mount_point *point, bool fill)
{
	cJSON *mount = json_object();

	json_set_string(mount, "source", point->source);
	json_set_text(mount, "subpath", point->subpath);
	json_set_string(mount, "destination", point->destination);
	json_set_bool(mount, "readOnly", point->read_only);
	json_set_bool(mount, "fill", fill);
	json_push(mounts, mount);
}

/* Volumes are filled from the image; whose owners are other IDs with others. */
static bool is_filled_by_copy(const struct container *container,
			      const struct mount_point *point)
{
	const char *userns = member_string(
		member_get(container->json, "HostConfig"), "UsernsMode");

	return point->kind == MOUNT_VOLUME && point->copy &&
	       container->state.status == CONTAINER_CREATED &&
	       (*userns == '\0' || str_equal(userns, "host"));
}

static int depth_of(const struct mount_point *point)
{
	int depth = 0;

	for (const char *at = point->destination; *at; at++)
		depth += *at == '/';
	return depth;
}

/* What is mounted below something else comes after it. */
static int compare_depth(const void *a, const void *b)
{
	return depth_of(a) - depth_of(b);
}

/* As the program in the container sees it, tmpfs and images aside. */
static int collect_mounts(const struct container *container, struct root *root,
			  struct error *err)
{
	static const char *const files[] = {"hosts", "hostname", "resolv.conf"};
	CLEANUP(mount_list_release) struct mount_list list = {0};
	const cJSON *engine = member_get(container->json, "Engine");
	int r = mounts_parse_json(member_get(engine, "Mounts"), &list, err);

	if (r < 0)
		return r;
	if (list.count > 1)
		qsort(list.entries, list.count, sizeof(*list.entries),
		      compare_depth);
	root->mounts = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		add_file(root->mounts, root->directory, files[i]);
	}
	for (size_t i = 0; i < list.count; i++) {
		enum mount_kind kind = list.entries[i].kind;

		if (kind == MOUNT_BIND || kind == MOUNT_VOLUME)
			add_mount(
				root->mounts, &list.entries[i],
				is_filled_by_copy(container, &list.entries[i]));
	}
	root->request.mounts = root->mounts;
	return 0;
}

static int container_root(struct engine *engine,
			  const struct container *container, struct root *root,
			  struct error *err)
{
	struct root_request *request = &root->request;
	const cJSON *moss = member_get(container->json, "Moss");

	root->what = xasprintf("container %s", container->name);
	root->diff_ids = member_strv(moss, "DiffIds");
	root->directory = container_path(engine, container->record.id);
	request->what = root->what;
	request->diff_ids = root->diff_ids;
	request->directory = root->directory;
	if (container_is_running(container) &&
	    str_equal(member_string(container->json, "Driver"),
		      snapshot_driver_name(SNAPSHOT_FUSE_OVERLAYFS))) {
		request->init = container->state.pid;
		request->init_start = container->state.pid_start;
	}
	return snapshot_driver_from_name(
		member_string(container->json, "Driver"), &request->driver,
		err);
}

static int image_root(struct engine *engine, const char *name,
		      struct root *root, struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	cleanup_fd int lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = image_find(&engine->store, name, &image, err);
	if (r < 0)
		return r;
	root->what = xasprintf("image %s", name);
	root->diff_ids = steal_ptr(&image.diff_ids);
	root->request.what = root->what;
	root->request.diff_ids = root->diff_ids;
	return 0;
}

int engine_container_export(struct engine *engine, const char *id,
			    const struct export_options *options,
			    struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(root_release) struct root root = {0};
	struct export_request request = {
		.output = options->output,
		.output_fd = options->output_fd,
		.progress_fd = options->progress_fd,
	};
	int r = container_open(engine, id, &container, err);

	if (r >= 0)
		r = container_root(engine, &container, &root, err);
	if (r < 0)
		return r;
	request.root = root.request;
	r = root_export(&engine->store, &request, err);
	if (r >= 0)
		container_tell(engine, &container, "export", NULL);
	return r;
}

/* Records as root_changes() writes them. */
static int parse_changes(const char *text, size_t length, cJSON *array,
			 struct error *err)
{
	static const char kinds[] = "CAD"; /* docker's numbers */
	size_t at = 0;

	while (at < length) {
		size_t size = strnlen(text + at, length - at);
		const char *kind = strchr(kinds, text[at]);
		cJSON *change;

		if (size < 2 || size == length - at || !kind)
			return err_set(err, ERROR_GENERIC,
				       "moss-image returned a damaged change");
		change = json_object();
		json_set_string(change, "Path", text + at + 1);
		json_set_i64(change, "Kind", kind - kinds);
		json_push(array, change);
		at += size + 1;
	}
	return 0;
}

int engine_container_changes(struct engine *engine, const char *id,
			     cJSON **ret_array, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(root_release) struct root root = {0};
	cleanup_json cJSON *array = json_array();
	cleanup_free char *text = NULL;
	cleanup_fd int fd = memfd_create("changes", MFD_CLOEXEC);
	size_t length = 0;
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a file in memory");
	r = container_open(engine, id, &container, err);
	if (r >= 0)
		r = container_root(engine, &container, &root, err);
	if (r >= 0)
		r = root_changes(&engine->store, &root.request, fd, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "cannot read the changes");
	r = file_read_fd(fd, "changes", CHANGES_MAX, &text, &length, err);
	if (r >= 0)
		r = parse_changes(text, length, array, err);
	if (r < 0)
		return r;
	*ret_array = steal_ptr(&array);
	return 0;
}

/* A container of that name, which stays open, or an image. */
static int find_root(struct engine *engine, const char *name,
		     struct container *container, struct root *root,
		     struct error *err)
{
	struct error problem = {0};
	int r = container_open(engine, name, container, &problem);

	if (r >= 0) {
		r = container_root(engine, container, root, err);
		return r < 0 ? r : collect_mounts(container, root, err);
	}
	if (problem.kind != ERROR_NOT_FOUND)
		return err_copy(err, &problem);
	r = image_root(engine, name, root, &problem);
	if (r < 0 && problem.kind == ERROR_NOT_FOUND)
		return err_set(err, ERROR_NOT_FOUND,
			       "No such container or image: %s", name);
	return r < 0 ? err_copy(err, &problem) : 0;
}

/*
 * What a start would make in the root of a container that was never started, so
 * that its volumes are seen where they will be. Somebody who has it locked now
 * starts or removes it.
 */
static int prepare(struct engine *engine, const struct container *created,
		   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(root_release) struct root root = {0};
	struct error problem = {0};
	int r;

	r = container_open_locked(engine, created->record.id, &container,
				  &problem);
	if (r < 0)
		return problem.kind == ERROR_CONFLICT ? 0
						      : err_copy(err, &problem);
	if (container.state.status != CONTAINER_CREATED)
		return 0;
	r = container_root(engine, &container, &root, err);
	if (r >= 0)
		r = collect_mounts(&container, &root, err);
	return r < 0 ? r : root_prepare(&engine->store, &root.request, err);
}

int engine_copy_out(struct engine *engine, const char *name,
		    const struct copy_out_options *options, uint64_t *ret_bytes,
		    struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(root_release) struct root root = {0};
	struct copy_out_request request = {
		.path = options->path,
		.destination = options->destination,
		.output_fd = options->output_fd,
		.archive = options->archive,
		.follow_link = options->follow_link,
		.progress_fd = options->progress_fd,
	};
	int r = find_root(engine, name, &container, &root, err);

	if (r >= 0 && container.json &&
	    container.state.status == CONTAINER_CREATED)
		r = prepare(engine, &container, err);
	if (r < 0)
		return r;
	request.root = root.request;
	r = root_copy_out(&engine->store, &request, ret_bytes, err);
	if (r >= 0 && container.json)
		container_tell(engine, &container, "archive-path", NULL);
	return r;
}

/* Into a running container, or one that ends just before anything is read. */
static int copy_in(struct engine *engine, struct container *container,
		   struct copy_in_request *request, uint64_t *ret_bytes,
		   struct error *err)
{
	struct error problem = {0};
	int r;

	if (!container_is_running(container))
		return root_copy_in(&engine->store, request, ret_bytes, err);
	request->pid = container->state.pid;
	request->pid_start = container->state.pid_start;
	r = root_copy_in(&engine->store, request, ret_bytes, &problem);
	if (r >= 0 || problem.kind != ERROR_CONFLICT ||
	    container_refresh(engine, container, NULL) < 0 ||
	    container_is_running(container))
		return r < 0 ? err_copy(err, &problem) : 0;
	request->pid = 0;
	return root_copy_in(&engine->store, request, ret_bytes, err);
}

static int copy_all(int from, int to, struct error *err)
{
	cleanup_free char *buffer = xrealloc(NULL, SPOOL_BUFFER, 1);

	for (;;) {
		ssize_t length = read(from, buffer, SPOOL_BUFFER);
		int r;

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return err_errno(err, "cannot read standard input");
		if (length == 0)
			break;
		r = write_all(to, buffer, (size_t)length);
		if (r < 0)
			return err_number(err, r,
					  "cannot keep the archive until it "
					  "is whole");
	}
	return lseek(to, 0, SEEK_SET) < 0
		       ? err_errno(err, "cannot read the archive")
		       : 0;
}

/*
 * An archive that somebody still writes is waited for before the container is
 * touched: who stalls then holds nothing. *ret_fd is -1 for a file.
 */
static int spool(struct engine *engine, const char *id,
		 const struct copy_in_options *options, struct store_work *work,
		 int *ret_fd, struct error *err)
{
	char full[ID_TEXT_MAX];
	struct stat status;
	cleanup_fd int fd = -1;
	int r;

	if (options->source ||
	    (fstat(options->input_fd, &status) == 0 && S_ISREG(status.st_mode)))
		return 0;
	r = engine_container_resolve(engine, id, full, err);
	if (r >= 0)
		r = store_work_new(&engine->store, work, err);
	if (r < 0)
		return r;
	fd = openat(work->fd, "archive", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return err_errno(err, "cannot make a temporary file");
	r = copy_all(options->input_fd, fd, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int copy_in_whole(struct engine *engine, const char *id,
			 const struct copy_in_options *options, int input_fd,
			 uint64_t *ret_bytes, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(root_release) struct root root = {0};
	struct copy_in_request request = {
		.path = options->path,
		.source = options->source,
		.input_fd = input_fd,
		.archive = options->archive,
		.follow_link = options->follow_link,
		.progress_fd = options->progress_fd,
	};
	int r;

	/* Held to the end: nobody may start or remove it meanwhile. */
	r = container_open_locked(engine, id, &container, err);
	/* Its monitor may mount the root at any time. */
	if (r >= 0)
		r = container_check_not_restarting(&container, err);
	if (r >= 0)
		r = container_root(engine, &container, &root, err);
	if (r >= 0)
		r = collect_mounts(&container, &root, err);
	if (r < 0)
		return r;
	request.root = root.request;
	request.read_only = member_bool(
		member_get(container.json, "HostConfig"), "ReadonlyRootfs");
	r = copy_in(engine, &container, &request, ret_bytes, err);
	if (r >= 0)
		container_tell(engine, &container, "extract-to-dir", NULL);
	return r;
}

int engine_copy_in(struct engine *engine, const char *id,
		   const struct copy_in_options *options, uint64_t *ret_bytes,
		   struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int spool_fd = -1;
	int r = spool(engine, id, options, &work, &spool_fd, err);

	if (r < 0)
		return r;
	return copy_in_whole(engine, id, options,
			     spool_fd < 0 ? options->input_fd : spool_fd,
			     ret_bytes, err);
}
