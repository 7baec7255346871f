/* The file systems every container has: core/engine/ocispec.h. */
#include "core/engine/ocispec.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"

#define TTY_GROUP 5 /* of devpts nodes, where it is mapped */

static const struct {
	const char *destination;
	const char *type;
	const char *source;
	const char *options;
	const char *mode_member; /* of HostConfig: "host" binds the host's */
} defaults[] = {
	{"/proc", "proc", "proc", "nosuid,noexec,nodev", "PidMode"},
	{"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k",
	 NULL},
	{"/dev/pts", "devpts", "devpts",
	 "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620", NULL},
	{"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro", "NetworkMode"},
	{"/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev",
	 "CgroupnsMode"},
	{"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev", "IpcMode"},
	{"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777",
	 "IpcMode"},
};

static bool has_mount(const struct mount_list *user, const char *destination)
{
	if (mount_list_find(user, destination))
		return true;
	return str_starts(destination, "/dev/") &&
	       mount_list_find(user, "/dev");
}

static cJSON *oci_mount(const char *destination, const char *type,
			const char *source, char *const *options)
{
	cJSON *json = json_object();

	json_set_string(json, "destination", destination);
	json_set_string(json, "type", type);
	json_set_string(json, "source", source);
	json_set_strv(json, "options", options);
	return json;
}

/* /dev/shm of the container whose IPC namespace is joined. */
static cJSON *joined_shm(pid_t pid)
{
	cleanup_free char *source = NULL;
	cleanup_strv char **options = strv_split("rbind", ',');

	source = xasprintf("/proc/%d/root/dev/shm", (int)pid);
	return oci_mount("/dev/shm", "bind", source, options);
}

static cJSON *default_mount(size_t row, const struct spec_request *request,
			    const struct id_map *gids)
{
	const cJSON *host = member_get(request->container, "HostConfig");
	const char *member = defaults[row].mode_member;
	const char *mode = member ? member_string(host, member) : "";
	const char *destination = defaults[row].destination;
	cleanup_strv char **options = strv_split(defaults[row].options, ',');
	bool shm = str_equal(destination, "/dev/shm");
	uint32_t outside;

	if (str_equal(mode, "host")) {
		cleanup_strv char **bind = strv_split("rbind", ',');

		/* Not every host has all of them. */
		if (access(destination, F_OK) < 0)
			return NULL;
		if (strv_contains(options, "ro"))
			strv_push(&bind, "ro");
		return oci_mount(destination, "bind", destination, bind);
	}
	if (shm && request->join[JOIN_IPC] > 0)
		return joined_shm(request->join[JOIN_IPC]);
	if (shm && str_equal(mode, "none"))
		return NULL;
	if (shm)
		strv_push_take(&options, xasprintf("size=%lld",
						   (long long)member_i64(
							   host, "ShmSize")));
	if (str_equal(destination, "/dev/pts") &&
	    idmap_to_outside(gids, TTY_GROUP, &outside) == 0)
		strv_push_take(&options, xasprintf("gid=%d", TTY_GROUP));
	return oci_mount(destination, defaults[row].type, defaults[row].source,
			 options);
}

/* --privileged: /sys and the cgroups are as writable as the kernel lets them
   be. */
static void drop_read_only(cJSON *mount)
{
	cleanup_strv char **options = member_strv(mount, "options");
	cJSON *kept = json_array();

	for (size_t i = 0; options && options[i]; i++) {
		if (!str_equal(options[i], "ro"))
			json_push_string(kept, options[i]);
	}
	json_set(mount, "options", kept);
}

cJSON *ocispec_default_mounts(const struct spec_request *request,
			      const struct mount_list *user,
			      const struct id_map *gids)
{
	const cJSON *host = member_get(request->container, "HostConfig");
	cJSON *array = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		cJSON *mount;

		if (has_mount(user, defaults[i].destination))
			continue;
		mount = default_mount(i, request, gids);
		if (!mount)
			continue;
		if (member_bool(host, "Privileged"))
			drop_read_only(mount);
		json_push(array, mount);
	}
	return array;
}
