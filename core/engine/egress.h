/*
 * HostConfig.Moss.Egress, a policy as net/egress_policy.h has it: what a
 * container may reach beyond its named networks, over an uplink of its own. It
 * is on those by wires that lead nowhere else (net/bridge_routed.h). Whoever
 * shares a network namespace shares the policy of its owner, and has none.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/network.h"
#include "net/egress_policy.h"

/*
 * Checks it against the network and writes it back in its plain form; one that
 * allows everything is taken out. network may get a way out. *ret_policy, the
 * caller's, is NULL when there is none.
 */
int egress_policy_take(cJSON *host, struct network *network,
		       struct egress_policy **ret_policy, struct error *err);
/* Its own name server is told at its start that there are others. */
int egress_check_connect(const cJSON *container, bool running,
			 struct error *err);
