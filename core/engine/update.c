/* Changes to a container that is there: core/engine/engine.h. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"

/* docker's UpdateConfig; host_config_check() refuses limits that are some. */
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
	return host_config_check(body, err);
}

static int set_policy(struct container *container, const cJSON *policy,
		      struct error *err)
{
	cJSON *host =
		cJSON_GetObjectItemCaseSensitive(container->json, "HostConfig");
	const char *name = member_string(policy, "Name");
	cJSON *copy = json_object();

	name = *name ? name : "no";
	if (member_bool(host, "AutoRemove") && !str_equal(name, "no"))
		return err_set(err, ERROR_CONFLICT,
			       "Restart policy cannot be updated because "
			       "AutoRemove is enabled for the container");
	json_set_string(copy, "Name", name);
	json_set_i64(copy, "MaximumRetryCount",
		     member_i64(policy, "MaximumRetryCount"));
	json_set(host, "RestartPolicy", copy);
	return record_write(&container->record, container->json, err);
}

int engine_container_update(struct engine *engine, const char *id,
			    const cJSON *body, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	const cJSON *policy = member_get(body, "RestartPolicy");
	int r = check(body, err);

	if (r >= 0)
		r = container_open_locked(engine, id, &container, err);
	if (r >= 0 && !member_is_empty(policy))
		r = set_policy(&container, policy, err);
	if (r >= 0)
		container_tell(engine, &container, "update", NULL);
	return r < 0 ? err_wrap(err, "Cannot update container %s", id) : 0;
}
