/* Changes to a container that is there: core/engine/engine.h. */
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/hostconfig.h"
#include "core/engine/limits.h"
#include "core/engine/members.h"

/* docker's UpdateConfig. */
static const char *const updatable[] = {
	"BlkioWeight",	     "CpuPeriod",	   "CpuQuota",
	"CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares",
	"CpusetCpus",	     "CpusetMems",	   "Memory",
	"MemoryReservation", "MemorySwap",	   "NanoCpus",
	"PidsLimit",	     "RestartPolicy",
};

static int check(const cJSON *body, struct error *err)
{
	const cJSON *member;

	cJSON_ArrayForEach(member, body)
	{
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(updatable); i++)
			known = known ||
				str_equal(member->string, updatable[i]);
		if (!known)
			return err_set(err, ERROR_INVALID,
				       "%s cannot be updated", member->string);
	}
	return host_config_check(body, true, err);
}

static int set_policy(cJSON *host, const cJSON *policy, struct error *err)
{
	const char *name = member_string(policy, "Name");
	cJSON *copy;

	name = *name ? name : "no";
	if (member_bool(host, "AutoRemove") && !str_equal(name, "no"))
		return err_set(err, ERROR_CONFLICT,
			       "Restart policy cannot be updated because "
			       "AutoRemove is enabled for the container");
	copy = json_object();
	json_set_string(copy, "Name", name);
	json_set_i64(copy, "MaximumRetryCount",
		     member_i64(policy, "MaximumRetryCount"));
	json_set(host, "RestartPolicy", copy);
	return 0;
}

/* For the next run by its restart policy, which config.json is kept for. */
static int rewrite_config(const struct container *container, const cJSON *host,
			  struct error *err)
{
	cleanup_json cJSON *config = NULL;
	cJSON *resources = NULL;
	cJSON *part;
	int r = json_read_at(container->record.directory_fd, "config.json",
			     &config, err);

	if (r >= 0)
		r = limits_oci_json(host, &resources, err);
	if (r < 0)
		return r;
	part = cJSON_GetObjectItemCaseSensitive(config, "linux");
	if (!cJSON_IsObject(part)) {
		cJSON_Delete(resources);
		return err_set(err, ERROR_CORRUPT,
			       "config.json: linux: expected an object");
	}
	json_set(part, "resources", resources);
	return json_write_at(container->record.directory_fd, "config.json",
			     config, FILE_VOLATILE, err);
}

/* Of a running one the number of processes may be limited by its user
   namespace, for as long as that lasts. */
static int take_pids(const struct container *container,
		     const struct cgroup *cgroup, int64_t before,
		     struct cgroup_limits *limits, struct error *err)
{
	bool was_limited = before > 0;
	bool is_limited = limits->pids > 0;

	if (cgroup->fd >= 0 && faccessat(cgroup->fd, "pids.max", F_OK, 0) == 0)
		return 0;
	if (was_limited == is_limited &&
	    (!is_limited || before == limits->pids)) {
		limits->pids = 0;
		return 0;
	}
	/* What it says of one without any cgroup is said of this, too. */
	if (!was_limited && cgroup->fd < 0)
		return 0;
	err_set(err, ERROR_CONFLICT,
		"its number of processes is not limited by a cgroup, so the "
		"limit cannot be changed while it runs");
	return err_hint(err, "moss stop %s, update it, and start it again",
			container->name);
}

/* One that runs is in the cgroup that it was born into, or in none. */
static int limit_running(const struct container *container, const cJSON *host,
			 int64_t pids_before, struct error *err)
{
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	CLEANUP(cgroup_limits_release) struct cgroup_limits limits = {0};
	bool has_cgroup = !str_empty(container->state.cgroup);
	int r = limits_parse(host, &limits, err);

	if (r >= 0 && has_cgroup)
		r = cgroup_open(container->state.cgroup, &cgroup, err);
	if (r >= 0)
		r = take_pids(container, &cgroup, pids_before, &limits, err);
	if (r < 0)
		return r;
	if (!has_cgroup && cgroup_limits_controllers(&limits)) {
		err_set(err, ERROR_CONFLICT,
			"it was started without limits, so it has no cgroup "
			"of its own that could be limited now");
		return err_hint(err,
				"moss stop %s, update it, and start it "
				"again",
				container->name);
	}
	if (has_cgroup)
		r = cgroup_limits_write(cgroup.fd, &limits, err);
	return r < 0 ? r : rewrite_config(container, host, err);
}

static int set_limits(const struct container *container, cJSON *host,
		      const cJSON *body, struct error *err)
{
	int64_t pids_before = member_i64(host, "PidsLimit");
	int r = limits_check_cgroup(body, host, err);

	if (r >= 0)
		r = limits_merge(host, body, err);
	if (r <= 0 || !container_is_running(container))
		return r;
	if (container->state.status == CONTAINER_RESTARTING)
		return rewrite_config(container, host, err);
	return limit_running(container, host, pids_before, err);
}

int engine_container_update(struct engine *engine, const char *id,
			    const cJSON *body, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	const cJSON *policy = member_get(body, "RestartPolicy");
	cJSON *host;
	int r = check(body, err);

	if (r >= 0)
		r = container_open_locked(engine, id, &container, err);
	if (r >= 0) {
		host = cJSON_GetObjectItemCaseSensitive(container.json,
							"HostConfig");
		if (!member_is_empty(policy))
			r = set_policy(host, policy, err);
		if (r >= 0)
			r = set_limits(&container, host, body, err);
	}
	if (r >= 0)
		r = record_write(&container.record, container.json, err);
	if (r >= 0)
		container_tell(engine, &container, "update", NULL);
	return r < 0 ? err_wrap(err, "Cannot update container %s", id) : 0;
}
