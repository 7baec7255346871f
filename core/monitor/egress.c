/* The container's egress policy, and what comes of it: core/monitor/monitor.h.
 */
#include "core/monitor/monitor.h"

#include "base/str.h"
#include "net/egress_policy.h"
#include "net/netns.h"

/* Whom the container asks for names; what is no address is nobody. */
static void add_resolver(struct egress_policy *policy, const char *text)
{
	if (policy->resolver_count < EGRESS_RESOLVERS_MAX &&
	    address_parse(text, &policy->resolvers[policy->resolver_count]))
		policy->resolver_count++;
}

int egress_pack(const struct record_launch *launch, int *ret_fd,
		struct error *err)
{
	struct egress_policy policy = *launch->egress; /* rules borrowed */

	policy.resolver_count = 0;
	add_resolver(&policy, NET_DNS);
	add_resolver(&policy, NET_DNS6);
	for (size_t i = 0; launch->dns && launch->dns[i]; i++)
		add_resolver(&policy, launch->dns[i]);
	return egress_policy_pack(&policy, ret_fd, err);
}
