/* From a step's mounts to its container's: core/build/run_mounts.h. */
#include "core/build/run_mounts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/agent.h"
#include "core/build/cover.h"
#include "core/engine/engine.h"
#include "storage/transfer_build.h"

#define AGENT_VARIABLE	"SSH_AUTH_SOCK"
#define VARIABLES_FILE	"environment"
#define TMPFS_OPTIONS	"nosuid,nodev,mode=1777"
#define ROOM_NAME_SPACE 32

struct apply {
	const struct run_mounts_request *request;
	struct run_mounts_held *held;
	struct mount_list *mounts;
	char ***environment;
	char **cache_paths; /* one a mount, NULL: it is no cache */
};

int run_mount_source_of(const struct run_mounts_request *request,
			const struct run_mount *mount,
			const struct run_mount_source **ret_source,
			struct error *err)
{
	for (size_t i = 0; i < request->source_count; i++) {
		if (!str_equal(request->sources[i].name, mount->from))
			continue;
		*ret_source = &request->sources[i];
		return 0;
	}
	if (!mount->from)
		return err_set(err, ERROR_NOT_FOUND,
			       "there is no build context to mount on %s",
			       mount->target);
	return err_set(err, ERROR_NOT_FOUND, "no stage or image %s",
		       mount->from);
}

const char *run_mount_subpath(const struct run_mount *mount)
{
	return mount->source + 1;
}

/* What goes with a member of an array of objects by its "id". */
static const cJSON *find_id(const cJSON *array, const char *id)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		if (str_equal(cJSON_GetStringValue(json_member(item, "id")),
			      id))
			return item;
	}
	return NULL;
}

/* ---- the container's mounts ---- */

static struct mount_point point_of(const struct run_mount *mount,
				   enum mount_kind kind)
{
	return (struct mount_point){
		.kind = kind,
		.destination = xstrdup(mount->target),
		.propagation = xstrdup(kind == MOUNT_BIND ? "rprivate" : ""),
		.mode = xstrdup(""),
		.read_only = mount->read_only,
		.temporary = true,
	};
}

static int add(const struct apply *apply, struct mount_point *point,
	       struct error *err)
{
	int r = mount_list_add(apply->mounts, point, err);

	mount_point_release(point);
	return r;
}

static int bind_directory(const struct apply *apply,
			  const struct run_mount *mount,
			  const struct run_mount_source *source,
			  struct error *err)
{
	cleanup_free char *cover = NULL;
	struct mount_point point;
	int r = cover_make(apply->request->work, source->directory,
			   source->ignore, &cover, err);

	if (r < 0)
		return r;
	point = point_of(mount,
			 mount->read_only && !cover ? MOUNT_BIND : MOUNT_IMAGE);
	point.source = xstrdup(source->directory);
	if (point.kind == MOUNT_IMAGE) {
		strv_push(&point.directories, source->directory);
		if (cover)
			strv_push(&point.directories, cover);
	}
	if (*run_mount_subpath(mount))
		point.subpath = xstrdup(run_mount_subpath(mount));
	point.in_root = true;
	return add(apply, &point, err);
}

static int apply_bind(struct apply *apply, size_t index, struct error *err)
{
	const struct run_mount *mount = &apply->request->mounts->list[index];
	const struct run_mount_source *source = NULL;
	struct mount_point point;
	int r = run_mount_source_of(apply->request, mount, &source, err);

	if (r < 0)
		return r;
	if (!source->chain)
		return bind_directory(apply, mount, source, err);
	point = point_of(mount, MOUNT_IMAGE);
	point.name = xstrdup(mount->from);
	point.source = xstrdup(mount->from);
	point.layers = layer_chain_diff_ids(source->chain);
	if (*run_mount_subpath(mount))
		point.subpath = xstrdup(run_mount_subpath(mount));
	return add(apply, &point, err);
}

static int apply_cache(struct apply *apply, size_t index, struct error *err)
{
	const struct run_mount *mount = &apply->request->mounts->list[index];
	struct mount_point point = point_of(mount, MOUNT_BIND);

	point.source = xstrdup(apply->cache_paths[index]);
	return add(apply, &point, err);
}

static int apply_tmpfs(struct apply *apply, size_t index, struct error *err)
{
	const struct run_mount *mount = &apply->request->mounts->list[index];
	struct mount_point point = point_of(mount, MOUNT_TMPFS);
	cleanup_str struct str options = {0};

	str_append(&options, TMPFS_OPTIONS);
	if (mount->size > 0)
		str_appendf(&options, ",size=%lld", (long long)mount->size);
	if (mount->read_only)
		str_append(&options, ",ro");
	point.options = str_steal(&options);
	return add(apply, &point, err);
}

/* ---- in the room ---- */

static int need_room(struct apply *apply, struct error *err)
{
	return apply->held->room.path ? 0
				      : room_open(apply->request->work,
						  &apply->held->room, err);
}

static struct room_owner owner_of(const struct apply *apply,
				  const struct run_mount *mount)
{
	return (struct room_owner){
		.mode = mount->mode & 0777,
		.uid = mount->uid,
		.gid = mount->gid,
		.single_id = !apply->request->engine->identity.mapped,
	};
}

static void next_name(struct apply *apply, char ret_name[ROOM_NAME_SPACE])
{
	snprintf(ret_name, ROOM_NAME_SPACE, "%zu", apply->held->name_count++);
}

static int bind_of_room(struct apply *apply, const struct run_mount *mount,
			const char *name, struct error *err)
{
	struct mount_point point = point_of(mount, MOUNT_BIND);

	point.source = xasprintf("%s/%s", apply->held->room.path, name);
	/* A socket's own mode tells who may connect. */
	point.read_only = true;
	return add(apply, &point, err);
}

/* The user's file: read as the user, bounded, never waited for. */
static int read_secret_file(const char *path, char **ret_bytes,
			    size_t *ret_length, struct error *err)
{
	cleanup_fd int fd =
		open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID, "%s is no file", path);
	return file_read_fd(fd, path, RUN_SECRET_MAX, ret_bytes, ret_length,
			    err);
}

static int read_secret(const cJSON *secret, char **ret_bytes,
		       size_t *ret_length, struct error *err)
{
	const char *path = cJSON_GetStringValue(json_member(secret, "source"));
	const char *text = cJSON_GetStringValue(json_member(secret, "value"));

	if (path)
		return read_secret_file(path, ret_bytes, ret_length, err);
	if (!text || base64_decode(text, ret_bytes, ret_length) < 0)
		return err_set(err, ERROR_INVALID, "it has no value");
	if (*ret_length > RUN_SECRET_MAX)
		return err_set(err, ERROR_INVALID, "it is larger than %u bytes",
			       RUN_SECRET_MAX);
	return 0;
}

static void wipe(char *bytes, size_t length)
{
	if (bytes)
		explicit_bzero(bytes, length);
	free(bytes);
}

static int set_variable(struct apply *apply, const struct run_mount *mount,
			const char *bytes, size_t length, struct error *err)
{
	struct str *variables = &apply->held->variables;

	if (length > 0 && memchr(bytes, '\0', length))
		return err_set(err, ERROR_INVALID,
			       "a NUL cannot be in a variable");
	str_appendf(variables, "%s=", mount->environment);
	str_append_bytes(variables, bytes, length);
	str_append_char(variables, '\0');
	return 0;
}

static int give_secret(struct apply *apply, const struct run_mount *mount,
		       const char *bytes, size_t length, struct error *err)
{
	const struct room_owner owner = owner_of(apply, mount);
	char name[ROOM_NAME_SPACE];
	int r = 0;

	if (mount->environment)
		r = set_variable(apply, mount, bytes, length, err);
	if (r == 0 && mount->target) {
		next_name(apply, name);
		r = need_room(apply, err);
		if (r == 0)
			r = room_write(&apply->held->room, name, bytes, length,
				       &owner, err);
		if (r == 0)
			r = bind_of_room(apply, mount, name, err);
	}
	return r;
}

static int apply_secret(struct apply *apply, size_t index, struct error *err)
{
	const struct run_mount *mount = &apply->request->mounts->list[index];
	const cJSON *secret = find_id(apply->request->secrets, mount->id);
	char *bytes = NULL;
	size_t length = 0;
	int r;

	if (!secret && mount->required) {
		err_set(err, ERROR_NOT_FOUND, "secret %s: not found",
			mount->id);
		return err_hint(err, "give it by --secret id=%.200s,src=FILE",
				mount->id);
	}
	/* Without one the variable is there, and empty. */
	if (!secret)
		return mount->environment
			       ? set_variable(apply, mount, "", 0, err)
			       : 0;
	r = read_secret(secret, &bytes, &length, err);
	if (r == 0)
		r = give_secret(apply, mount, bytes, length, err);
	wipe(bytes, length);
	return r < 0 ? err_wrap(err, "secret %s", mount->id) : 0;
}

static int check_socket(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, "cannot reach the agent at %s", path);
	if (S_ISSOCK(st.st_mode))
		return 0;
	err_set(err, ERROR_INVALID, "%s is no agent's socket", path);
	return err_hint(err, "keys are given by an agent: ssh-add FILE");
}

static int give_agent(struct apply *apply, const struct run_mount *mount,
		      const char *path, struct error *err)
{
	const struct room_owner owner = owner_of(apply, mount);
	struct run_mounts_held *held = apply->held;
	char name[ROOM_NAME_SPACE];
	int r = check_socket(path, err);

	next_name(apply, name);
	if (r == 0)
		r = need_room(apply, err);
	if (r == 0)
		r = room_listen(&held->room, name, &owner, err);
	if (r >= 0)
		r = agent_start(r, path, err);
	if (r < 0)
		return r;
	held->agents = xrealloc(held->agents, held->agent_count + 1,
				sizeof(*held->agents));
	held->agents[held->agent_count++] = r;
	r = bind_of_room(apply, mount, name, err);
	if (r == 0 && !env_get(*apply->environment, AGENT_VARIABLE))
		env_set(apply->environment, AGENT_VARIABLE, mount->target);
	return r;
}

static int apply_ssh(struct apply *apply, size_t index, struct error *err)
{
	const struct run_mount *mount = &apply->request->mounts->list[index];
	const cJSON *agent = find_id(apply->request->ssh, mount->id);
	const char *path = cJSON_GetStringValue(json_member(agent, "socket"));
	int r;

	if (!path && mount->required) {
		err_set(err, ERROR_NOT_FOUND,
			"no SSH key \"%s\" forwarded from the client",
			mount->id);
		return err_hint(err, "give an agent by --ssh %.200s",
				mount->id);
	}
	r = path ? give_agent(apply, mount, path, err) : 0;
	return r < 0 ? err_wrap(err, "ssh %s", mount->id) : 0;
}

/* ---- all of them ---- */

static int write_variables(struct apply *apply, struct error *err)
{
	const struct room_owner owner = {.mode = 0400};
	struct run_mounts_held *held = apply->held;
	int r;

	if (held->variables.length == 0)
		return 0;
	r = need_room(apply, err);
	if (r == 0)
		r = room_write(&held->room, VARIABLES_FILE,
			       held->variables.data, held->variables.length,
			       &owner, err);
	explicit_bzero(held->variables.data, held->variables.length);
	if (r == 0)
		held->environment =
			xasprintf("%s/" VARIABLES_FILE, held->room.path);
	return r;
}

static int apply_all(struct apply *apply, struct error *err)
{
	static int (*const by_type[])(struct apply *, size_t,
				      struct error *) = {
		[RUN_MOUNT_BIND] = apply_bind,
		[RUN_MOUNT_CACHE] = apply_cache,
		[RUN_MOUNT_TMPFS] = apply_tmpfs,
		[RUN_MOUNT_SECRET] = apply_secret,
		[RUN_MOUNT_SSH] = apply_ssh,
	};
	const struct run_mounts *mounts = apply->request->mounts;
	int r = 0;

	for (size_t i = 0; r == 0 && i < mounts->count; i++)
		r = by_type[mounts->list[i].type](apply, i, err);
	if (r == 0)
		r = write_variables(apply, err);
	return r;
}

int run_mounts_apply(const struct run_mounts_request *request,
		     struct mount_list *mounts, char ***environment,
		     struct run_mounts_held **ret_held, struct error *err)
{
	struct run_mounts_held *held = xcalloc(1, sizeof(*held));
	char **paths = xcalloc(request->mounts->count + 1, sizeof(*paths));
	struct apply apply = {
		.request = request,
		.held = held,
		.mounts = mounts,
		.environment = environment,
		.cache_paths = paths,
	};
	int r;

	held->room = (struct room)ROOM_NONE;
	/* First, as it may have to wait: nothing secret lies about then. */
	r = run_mounts_take_caches(request, held, paths, err);
	if (r == 0)
		r = apply_all(&apply, err);
	for (size_t i = 0; i < request->mounts->count; i++)
		free(paths[i]);
	free(paths);
	if (r < 0) {
		run_mounts_release_held(held);
		return r;
	}
	*ret_held = held;
	return 0;
}

const char *run_mounts_environment(const struct run_mounts_held *held)
{
	return held ? held->environment : NULL;
}

void run_mounts_release_held(struct run_mounts_held *held)
{
	if (!held)
		return;
	for (size_t i = 0; i < held->agent_count; i++)
		agent_stop(held->agents[i]);
	for (size_t i = 0; i < held->lock_count; i++)
		close_fd(&held->locks[i]);
	room_close(&held->room);
	free(held->agents);
	free(held->locks);
	free(held->environment);
	str_release(&held->variables);
	free(held);
}
