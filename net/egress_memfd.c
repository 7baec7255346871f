/* A policy on its way to moss-net: net/egress_policy.h. */
#include "net/egress_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define FLAT_MAGIC 0x6d656701u
#define SEALS	   (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* What the rules stand behind. */
struct flat_header {
	uint32_t magic;
	uint32_t mode;
	uint32_t rule_count;
	uint32_t resolver_count;
	uint32_t has_networks;
	struct net_address_value resolvers[EGRESS_RESOLVERS_MAX];
};

static int write_flat(int fd, const struct flat_header *header,
		      const struct egress_policy *policy, struct error *err)
{
	int r = write_all(fd, header, sizeof(*header));

	if (r >= 0)
		r = write_all(fd, policy->rules,
			      policy->rule_count * sizeof(*policy->rules));
	if (r < 0)
		return err_number(err, r, "cannot write the egress policy");
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return err_errno(err, "cannot seal the egress policy");
	return 0;
}

int egress_policy_pack(const struct egress_policy *policy, int *ret_fd,
		       struct error *err)
{
	struct flat_header header = {
		.magic = FLAT_MAGIC,
		.mode = policy->mode,
		.rule_count = (uint32_t)policy->rule_count,
		.resolver_count = (uint32_t)policy->resolver_count,
		.has_networks = policy->has_networks,
	};
	cleanup_fd int fd = -1;
	int r;

	memcpy(header.resolvers, policy->resolvers, sizeof(header.resolvers));
	fd = memfd_create("egress", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, "cannot make memory for the egress "
				      "policy");
	r = write_flat(fd, &header, policy, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool address_is_sound(const struct net_address_value *address)
{
	return address->family == AF_INET || address->family == AF_INET6;
}

static bool rule_is_sound(const struct egress_rule *rule)
{
	const struct net_prefix *prefix = &rule->prefix;
	const bool named =
		rule->kind == EGRESS_NAME || rule->kind == EGRESS_BELOW;

	if (rule->kind < EGRESS_ADDRESS || rule->kind > EGRESS_BELOW ||
	    rule->protocols == 0 || rule->protocols > EGRESS_ANY ||
	    rule->port_first > rule->port_last ||
	    !memchr(rule->name, '\0', sizeof(rule->name)) ||
	    named != (rule->name[0] != '\0'))
		return false;
	if (prefix->address.family == 0)
		return rule->kind != EGRESS_ADDRESS;
	return address_is_sound(&prefix->address) &&
	       prefix->length <= 8 * address_size(prefix->address.family);
}

static bool is_sound(const struct flat_header *header, size_t size)
{
	if (header->magic != FLAT_MAGIC || header->mode < EGRESS_ALLOW ||
	    header->mode > EGRESS_RECORD ||
	    header->rule_count > EGRESS_RULES_MAX ||
	    header->resolver_count > EGRESS_RESOLVERS_MAX ||
	    size != sizeof(*header) +
			    header->rule_count * sizeof(struct egress_rule))
		return false;
	for (size_t i = 0; i < header->resolver_count; i++) {
		if (!address_is_sound(&header->resolvers[i]))
			return false;
	}
	return true;
}

static int read_flat(int fd, struct flat_header *header,
		     struct egress_policy *policy, struct error *err)
{
	struct stat st;
	size_t size;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot look at the egress policy");
	if (pread(fd, header, sizeof(*header), 0) != sizeof(*header) ||
	    !is_sound(header, (size_t)st.st_size))
		return err_set(err, ERROR_INVALID,
			       "the egress policy is damaged");
	policy->mode = (enum egress_mode)header->mode;
	policy->resolver_count = header->resolver_count;
	policy->has_networks = header->has_networks != 0;
	memcpy(policy->resolvers, header->resolvers, sizeof(policy->resolvers));
	size = header->rule_count * sizeof(*policy->rules);
	policy->rules = xcalloc(header->rule_count + 1, sizeof(*policy->rules));
	if (pread(fd, policy->rules, size, sizeof(*header)) != (ssize_t)size)
		return err_set(err, ERROR_INVALID,
			       "the egress policy is damaged");
	policy->rule_count = header->rule_count;
	for (size_t i = 0; i < policy->rule_count; i++) {
		if (!rule_is_sound(&policy->rules[i]))
			return err_set(err, ERROR_INVALID,
				       "rule %zu of the egress policy is "
				       "damaged",
				       i);
	}
	return 0;
}

int egress_policy_unpack(int fd, struct egress_policy *ret_policy,
			 struct error *err)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	struct flat_header header;
	int r = read_flat(fd, &header, &policy, err);

	if (r < 0)
		return r;
	*ret_policy = policy;
	policy = (struct egress_policy){0};
	return 0;
}
