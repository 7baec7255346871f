#include "core/engine/egress.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/engine.h"
#include "core/engine/members.h"
#include "core/monitor/egress_log.h"
#include "net/egress_names.h"
#include "net/netns.h"

static int check_network(enum launch_network network, struct error *err)
{
	switch (network) {
	case LAUNCH_NETWORK_SLIRP:
	case LAUNCH_NETWORK_NAMED:
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
	}
	return err_hint(err, "use the default network or a named one");
}

int egress_policy_take(cJSON *host, struct network *network,
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
	r = check_network(network->kind, err);
	if (r < 0)
		return r;
	/* Its way out is never a network's (net/bridge_routed.h). */
	if (network->kind == LAUNCH_NETWORK_NAMED)
		r = network_add_uplink(network, err);
	if (r < 0)
		return r;
	json_set(moss, "Egress", egress_policy_json(&policy));
	*ret_policy = xcalloc(1, sizeof(policy));
	**ret_policy = policy;
	policy = (struct egress_policy){0};
	return 0;
}

int egress_check_connect(const cJSON *container, bool running,
			 struct error *err)
{
	const cJSON *moss = member_get(container, "Moss");

	if (!running || !cJSON_IsObject(member_get(moss, "Egress")) ||
	    cJSON_GetArraySize(member_get(moss, "Networks")) > 0)
		return 0;
	err_set(err, ERROR_CONFLICT,
		"a running container with an egress policy cannot be connected "
		"to its first network");
	return err_hint(err, "stop it first, or create it with --network");
}

static int open_with_policy(struct engine *engine, const char *id,
			    struct container *container, struct error *err)
{
	int r = container_open(engine, id, container, err);
	const cJSON *moss;

	if (r < 0)
		return r;
	moss = member_get(container->json, "Moss");
	if (cJSON_IsObject(member_get(moss, "Egress")))
		return 0;
	err_set(err, ERROR_INVALID, "container %s has no egress policy",
		member_string(container->json, "Name") + 1);
	return err_hint(err, "give it one with --egress, --egress-allow or "
			     "--egress-policy");
}

static void append_all(cJSON *to, cJSON *from)
{
	while (from->child)
		json_push(to, cJSON_DetachItemFromArray(from, 0));
}

int engine_container_egress_log(struct engine *engine, const char *id,
				cJSON **ret_array, struct error *err)
{
	static const char *const files[] = {EGRESS_LOG_OLD, EGRESS_LOG};
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_json cJSON *array = json_array();
	int r = open_with_policy(engine, id, &container, err);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(files); i++) {
		cleanup_json cJSON *part = NULL;

		r = egress_log_read(container.record.directory_fd, files[i],
				    &part, err);
		if (r >= 0)
			append_all(array, part);
	}
	if (r < 0)
		return r;
	*ret_array = steal_ptr(&array);
	return 0;
}

/* The rule that allows what entry tells of; NULL: there is none. */
static char *rule_of(const cJSON *entry)
{
	const char *protocol = member_string(entry, "protocol");
	const char *name = member_string(entry, "name");
	const char *text = member_string(entry, "address");
	int64_t port = member_i64(entry, "port");
	struct net_address_value address;
	cleanup_free char *host = NULL;
	cleanup_free char *ports = NULL;
	bool v6;

	if (!address_parse(text, &address) || str_equal(protocol, "dns"))
		return NULL;
	v6 = address.family == AF_INET6;
	if (str_equal(text, NET_GATEWAY) || str_equal(text, NET_GATEWAY6))
		host = xstrdup("host.docker.internal");
	else if (*name && egress_address_is_public(&address))
		host = xstrdup(name);
	else
		host = xasprintf("%s%s%s%s%s", name, *name ? "@" : "",
				 v6 ? "[" : "", text, v6 ? "]" : "");
	ports = port > 0 ? xasprintf(":%d", (int)port) : xstrdup("");
	if (str_equal(protocol, "other"))
		protocol = "any";
	return xasprintf("%s%s/%s", host, ports, protocol);
}

static void add_rule(struct egress_policy *policy, const cJSON *entry)
{
	cleanup_free char *text = rule_of(entry);
	size_t last = policy->rule_count;

	/* One too many, or a name that no rule can have. */
	if (!text || egress_policy_add(policy, text, false, NULL) < 0)
		return;
	for (size_t i = 0; i < last; i++) {
		if (memcmp(&policy->rules[i], &policy->rules[last],
			   sizeof(policy->rules[i])) == 0)
			policy->rule_count = last;
	}
}

/* What another policy lets through is noted nowhere. */
static int check_records(const struct container *container, struct error *err)
{
	const cJSON *moss = member_get(container->json, "Moss");
	const cJSON *policy = member_get(moss, "Egress");

	if (str_equal(member_string(policy, "default"), "record"))
		return 0;
	err_set(err, ERROR_INVALID, "container %s does not record what it uses",
		member_string(container->json, "Name") + 1);
	return err_hint(err, "run it with --egress record");
}

int engine_container_egress_used(struct engine *engine, const char *id,
				 cJSON **ret_policy, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(egress_policy_release)
	struct egress_policy policy = {.mode = EGRESS_DENY};
	cleanup_json cJSON *array = NULL;
	const cJSON *entry;
	int r = open_with_policy(engine, id, &container, err);

	r = r < 0 ? r : check_records(&container, err);
	r = r < 0 ? r
		  : egress_log_read(container.record.directory_fd, EGRESS_USED,
				    &array, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(entry, array)
	{
		add_rule(&policy, entry);
	}
	*ret_policy = egress_policy_json(&policy);
	return 0;
}

int engine_container_egress_follow(struct engine *engine, const char *id)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_fd int fd = -1;

	if (open_with_policy(engine, id, &container, NULL) < 0)
		return -1;
	fd = openat(container.record.directory_fd, EGRESS_LOG,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		return -1;
	return steal_fd(&fd);
}
