#include "core/monitor/restart.h"

#include "base/json.h"
#include "base/str.h"

#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 60000
#define LONG_RUN_MS  10000

static const char *const names[] = {
	[RESTART_NO] = "no",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_ALWAYS] = "always",
	[RESTART_UNLESS_STOPPED] = "unless-stopped",
};

int restart_policy_parse(const cJSON *host_config,
			 struct restart_policy *ret_policy, struct error *err)
{
	struct restart_policy policy = {0};
	const cJSON *json = NULL;
	const char *name = "";
	size_t index = 0;
	int r = json_get_object(host_config, "HostConfig", "RestartPolicy",
				&json, err);

	if (r > 0)
		r = json_get_string(json, "RestartPolicy", "Name", &name, err);
	if (r >= 0 && json)
		r = json_get_i64(json, "RestartPolicy", "MaximumRetryCount",
				 &policy.max_retries, err);
	if (r < 0)
		return r;
	if (*name == '\0')
		name = names[RESTART_NO];
	while (index < ARRAY_SIZE(names) && !str_equal(names[index], name))
		index++;
	if (index == ARRAY_SIZE(names))
		return err_set(err, ERROR_INVALID,
			       "RestartPolicy.Name: unknown value '%s'", name);
	policy.when = (enum restart_when)index;
	*ret_policy = policy;
	return 0;
}

bool restart_is_due(const struct restart_policy *policy, int exit_code,
		    uint64_t count)
{
	switch (policy->when) {
	case RESTART_NO:
		return false;
	case RESTART_ON_FAILURE:
		return exit_code != 0 &&
		       (policy->max_retries <= 0 ||
			count < (uint64_t)policy->max_retries);
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	}
	return false;
}

int64_t restart_delay_ms(int64_t before_ms, int64_t ran_ms)
{
	if (before_ms == 0 || ran_ms >= LONG_RUN_MS)
		return DELAY_MIN_MS;
	return 2 * before_ms < DELAY_MAX_MS ? 2 * before_ms : DELAY_MAX_MS;
}
