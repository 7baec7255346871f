/*
 * HostConfig.Moss.Egress, a policy as net/egress_policy.h has it: what a
 * container with the slirp network may reach. Named networks have one gateway
 * for all of their containers, and whoever shares a network namespace shares
 * the policy of its owner: there it is refused.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/network.h"
#include "net/egress_policy.h"

/*
 * Checks it against the network and writes it back in its plain form; one that
 * allows everything is taken out. *ret_policy, the caller's, is NULL when there
 * is none.
 */
int egress_policy_take(cJSON *host, const struct network *network,
		       struct egress_policy **ret_policy, struct error *err);
/* A container with a policy gets no other way out. */
int egress_check_connect(const cJSON *container, struct error *err);
