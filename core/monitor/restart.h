/*
 * Restart policies, as docker counts: after which ends a container is started
 * again by its monitor, and how long after (relaunch.c does it).
 *
 * The wait is 100 ms and doubles with each restart up to a minute; a run of ten
 * seconds or more makes it 100 ms again. An on-failure limit counts the
 * restarts since the last start by hand. What was stopped or killed by hand is
 * not started again, whatever the policy.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum restart_when {
	RESTART_NO,
	RESTART_ON_FAILURE,
	RESTART_ALWAYS,
	RESTART_UNLESS_STOPPED,
};

struct restart_policy {
	enum restart_when when;
	int64_t max_retries; /* of on-failure; 0: no limit */
};

/* HostConfig's RestartPolicy; none is "no". */
int restart_policy_parse(const cJSON *host_config,
			 struct restart_policy *ret_policy, struct error *err);

/* Is a run that ended by itself followed by another? count: restarts so far. */
bool restart_is_due(const struct restart_policy *policy, int exit_code,
		    uint64_t count);
/* The wait after a run of ran_ms; before_ms: the last one, 0 at first. */
int64_t restart_delay_ms(int64_t before_ms, int64_t ran_ms);
