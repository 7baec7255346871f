#include "core/engine/egress.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"

static int check_network(enum launch_network network, struct error *err)
{
	switch (network) {
	case LAUNCH_NETWORK_SLIRP:
		return 0;
	case LAUNCH_NETWORK_NONE:
		return err_set(err, ERROR_INVALID,
			       "conflicting options: an egress policy and "
			       "network none, which has no way out");
	case LAUNCH_NETWORK_HOST:
		err_set(err, ERROR_INVALID,
			"conflicting options: an egress policy and network "
			"host, whose traffic does not pass through moss");
		break;
	case LAUNCH_NETWORK_CONTAINER:
		err_set(err, ERROR_INVALID,
			"conflicting options: an egress policy and the network "
			"of another container");
		return err_hint(err, "give the policy to the container whose "
				     "network it is");
	case LAUNCH_NETWORK_NAMED:
		err_set(err, ERROR_UNSUPPORTED,
			"conflicting options: an egress policy and a named "
			"network, whose gateway is shared by all containers on "
			"it");
		break;
	}
	return err_hint(err, "use the default network (--network slirp)");
}

int egress_policy_take(cJSON *host, enum launch_network network,
		       struct egress_policy **ret_policy, struct error *err)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	cJSON *moss = cJSON_GetObjectItemCaseSensitive(host, "Moss");
	const cJSON *json = member_get(moss, "Egress");
	int r;

	*ret_policy = NULL;
	if (!json || cJSON_IsNull(json))
		return 0;
	r = egress_policy_parse(json, "HostConfig.Moss.Egress", &policy, err);
	if (r < 0)
		return r;
	if (policy.mode == EGRESS_ALLOW && policy.rule_count == 0) {
		cJSON_DeleteItemFromObjectCaseSensitive(moss, "Egress");
		return 0;
	}
	r = check_network(network, err);
	if (r < 0)
		return r;
	json_set(moss, "Egress", egress_policy_json(&policy));
	*ret_policy = xcalloc(1, sizeof(policy));
	**ret_policy = policy;
	policy = (struct egress_policy){0};
	return 0;
}

int egress_check_connect(const cJSON *container, struct error *err)
{
	const cJSON *moss = member_get(container, "Moss");

	if (!cJSON_IsObject(member_get(moss, "Egress")))
		return 0;
	return err_set(err, ERROR_CONFLICT,
		       "a container with an egress policy cannot be connected "
		       "to a network: its way out would be another one");
}
