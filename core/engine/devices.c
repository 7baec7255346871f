/* Host devices in a container: core/engine/resources.h. */
#include "core/engine/resources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/engine/members.h"

#define DEVICES_MAX 1024
#define DEPTH_MAX   8

static const struct member device_members[] = {
	{"PathOnHost", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"PathInContainer", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL,
	 NULL},
	{"CgroupPermissions", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL,
	 NULL},
};

/* The container makes its own of these, or must not see the host's. */
static const char *const own_nodes[] = {
	"pts",	"shm",	 "fd",	   "mqueue", ".lxc",   ".lxd-mounts", ".udev",
	"tty",	"null",	 "zero",   "full",   "random", "urandom",     "console",
	"ptmx", "stdin", "stdout", "stderr", "core",
};

static int missing(const char *path, struct error *err)
{
	return err_errno(err,
			 "error gathering device information while adding "
			 "custom device \"%s\"",
			 path);
}

/* Links are followed: /dev/disk/by-… are links to the nodes. */
static int device_stat(const char *path, char **ret_real, struct stat *ret_stat,
		       struct error *err)
{
	cleanup_free char *real = realpath(path, NULL);

	if (!real || stat(real, ret_stat) < 0)
		return missing(path, err);
	*ret_real = steal_ptr(&real);
	return 0;
}

static bool is_device(const struct stat *status)
{
	return S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode);
}

static int device_check(const cJSON *device, struct error *err)
{
	const char *path = member_string(device, "PathOnHost");
	const char *inside = member_string(device, "PathInContainer");
	const char *access = member_string(device, "CgroupPermissions");
	cleanup_free char *real = NULL;
	struct stat status;
	int r;

	if (*path != '/' || (*inside && *inside != '/'))
		return err_set(
			err, ERROR_INVALID,
			"invalid device: \"%s\": expected absolute paths",
			*path != '/' ? path : inside);
	if (strspn(access, "rwm") != strlen(access))
		return err_set(err, ERROR_INVALID, "invalid device mode: %s",
			       access);
	r = device_stat(path, &real, &status, err);
	if (r < 0)
		return r;
	if (!is_device(&status) && !S_ISDIR(status.st_mode))
		return err_set(
			err, ERROR_INVALID,
			"error gathering device information while adding "
			"custom device \"%s\": not a device node",
			path);
	if (*access == '\0' || (strchr(access, 'r') && strchr(access, 'w')))
		return 0;
	err_set(err, ERROR_UNSUPPORTED,
		"device %s: access cannot be limited to \"%s\": that takes the "
		"cgroup device filter, which needs root",
		path, access);
	return err_hint(err, "leave the mode out: the node's own permissions "
			     "count");
}

int devices_check(const cJSON *host, struct error *err)
{
	const cJSON *device;

	cJSON_ArrayForEach(device, member_get(host, "Devices"))
	{
		int r;

		if (!cJSON_IsObject(device))
			return err_set(err, ERROR_INVALID,
				       "HostConfig.Devices: expected objects");
		r = members_check(device, "HostConfig.Devices", device_members,
				  ARRAY_SIZE(device_members), true, err);
		if (r < 0)
			return r;
		r = device_check(device, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first of a path counts: --device before all of /dev. */
static void add_node(cJSON *array, const char *inside, const char *source,
		     const struct stat *status)
{
	const cJSON *other;
	cJSON *object;

	cJSON_ArrayForEach(other, array)
	{
		if (str_equal(member_string(other, "path"), inside))
			return;
	}
	object = json_object();
	json_set_string(object, "path", inside);
	json_set_string(object, "type", S_ISBLK(status->st_mode) ? "b" : "c");
	json_set_i64(object, "major", major(status->st_rdev));
	json_set_i64(object, "minor", minor(status->st_rdev));
	json_set_i64(object, "fileMode", status->st_mode & 0777);
	json_set_i64(object, "uid", 0);
	json_set_i64(object, "gid", 0);
	json_set_string(object, "source", source);
	json_push(array, object);
}

static bool is_own_node(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_nodes); i++) {
		if (str_equal(own_nodes[i], name))
			return true;
	}
	return false;
}

struct walk {
	cJSON *array;
	bool reachable_only;
	int depth;
};

static int add_directory(struct walk *walk, const char *inside,
			 const char *source, struct error *err);

static int add_entry(struct walk *walk, const char *inside, const char *source,
		     struct error *err)
{
	struct stat status;

	if (lstat(source, &status) < 0 || S_ISLNK(status.st_mode))
		return 0;
	if (S_ISDIR(status.st_mode))
		return add_directory(walk, inside, source, err);
	if (!is_device(&status))
		return 0;
	if (walk->reachable_only &&
	    faccessat(AT_FDCWD, source, R_OK | W_OK, AT_EACCESS) < 0)
		return 0;
	if (cJSON_GetArraySize(walk->array) >= DEVICES_MAX)
		return err_set(err, ERROR_INVALID,
			       "more than %d devices below %s", DEVICES_MAX,
			       source);
	add_node(walk->array, inside, source, &status);
	return 0;
}

static int add_directory(struct walk *walk, const char *inside,
			 const char *source, struct error *err)
{
	cleanup_dir DIR *directory = opendir(source);
	struct dirent *entry;
	int r = 0;

	if (!directory || walk->depth >= DEPTH_MAX)
		return 0;
	walk->depth++;
	while (r == 0 && (entry = readdir(directory))) {
		cleanup_free char *to = NULL;
		cleanup_free char *from = NULL;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, "..") ||
		    (walk->depth == 1 && is_own_node(entry->d_name)))
			continue;
		to = path_join(inside, entry->d_name);
		from = path_join(source, entry->d_name);
		r = add_entry(walk, to, from, err);
	}
	walk->depth--;
	return r;
}

int devices_json(const cJSON *host, cJSON **ret_devices, struct error *err)
{
	cleanup_json cJSON *array = json_array();
	struct walk walk = {.array = array};
	const cJSON *device;
	int r;

	cJSON_ArrayForEach(device, member_get(host, "Devices"))
	{
		const char *path = member_string(device, "PathOnHost");
		const char *inside = member_string(device, "PathInContainer");
		cleanup_free char *real = NULL;
		struct stat status;

		r = device_stat(path, &real, &status, err);
		if (r < 0)
			return r;
		r = add_entry(&walk, *inside ? inside : path, real, err);
		if (r < 0)
			return r;
	}
	if (member_bool(host, "Privileged")) {
		walk.reachable_only = true;
		r = add_directory(&walk, "/dev", "/dev", err);
		if (r < 0)
			return r;
	}
	*ret_devices = steal_ptr(&array);
	return 0;
}
