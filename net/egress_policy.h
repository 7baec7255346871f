/*
 * Egress policy: what a container may reach. Parsed and shown here; enforced by
 * moss-net (net/egress.h), which is given it as a sealed memfd.
 *
 * A rule is one text, on the command line and in a policy file alike:
 *
 *   HOST[:PORTS][/PROTOCOL]
 *
 *   HOST      example.org       that name, and the addresses it resolves to
 *             *.example.org     any name below it, not the name itself
 *             git.corp@10.0.0.0/8  the same where its addresses lie in there;
 *                               without @ they must be public ones, so that no
 *                               name leads into the host's own networks
 *             192.0.2.7, 10.0.0.0/8, 2001:db8::1, [2001:db8::]/32
 *             *                 any address
 *   PORTS     443, 8000-8010; without: all of them
 *   PROTOCOL  tcp, udp, icmp, any. Without: tcp; any for an address without
 *             ports, and in what is denied
 *
 * host.docker.internal and host.containers.internal mean the gateway's address.
 *
 * As JSON, in a file and in the container's record, no other members allowed:
 *
 *   {"default": "deny",              "allow", or "record": see below
 *    "allow": ["example.org:443"],
 *    "deny": ["10.1.0.0/16"]}
 *
 * What a rule of "deny" matches is refused, else what one of "allow" matches is
 * let through, else the default decides. Names can be denied by a policy that
 * denies by default only: who knows the addresses of a name need not ask for
 * it. "record" lets everything through and notes what is used; it has no rules.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/prefix.h"

#define EGRESS_NAME_MAX	     254 /* with the NUL; no dot at the end */
#define EGRESS_RULES_MAX     512
#define EGRESS_RULE_TEXT_MAX (EGRESS_NAME_MAX + PREFIX_TEXT_MAX + 32)
#define EGRESS_RESOLVERS_MAX 8

enum egress_mode {
	EGRESS_ALLOW = 1, /* what no rule denies */
	EGRESS_DENY,	  /* what no rule allows */
	EGRESS_RECORD,
};

/* A set. */
enum egress_protocol {
	EGRESS_TCP = 1,
	EGRESS_UDP = 2,
	EGRESS_ICMP = 4,
	EGRESS_OTHER = 8,
	EGRESS_ANY = 15,
};

enum egress_kind {
	EGRESS_ADDRESS = 1, /* prefix */
	EGRESS_EVERYWHERE,  /* "*" */
	EGRESS_NAME,  /* name, its addresses in prefix (family 0: public) */
	EGRESS_BELOW, /* likewise, any name below it */
};

/* Flat: goes to moss-net as it is. */
struct egress_rule {
	uint8_t kind;
	uint8_t deny;
	uint8_t protocols;
	uint16_t port_first, port_last; /* 0 to 65535: all */
	struct net_prefix prefix;
	char name[EGRESS_NAME_MAX]; /* lower case */
};

struct egress_policy {
	enum egress_mode mode;
	struct egress_rule *rules;
	size_t rule_count;
	/* Name servers whose questions and answers are looked at: the uplink's
	   own and the container's --dns. Not part of the JSON. */
	struct net_address_value resolvers[EGRESS_RESOLVERS_MAX];
	size_t resolver_count;
	/* There are named networks as well, whose name servers are asked beside
	   these. Nor is this. */
	bool has_networks;
};

void egress_policy_release(struct egress_policy *policy);

/* One rule; on failure *policy is as before. */
int egress_policy_add(struct egress_policy *policy, const char *text, bool deny,
		      struct error *err);
/* Several, separated by commas. */
int egress_policy_add_list(struct egress_policy *policy, const char *text,
			   bool deny, struct error *err);
/* Do mode and rules go together? After the last rule. */
int egress_policy_check(const struct egress_policy *policy, struct error *err);
/* "allow", "deny", "record". */
int egress_mode_parse(const char *text, enum egress_mode *ret_mode,
		      struct error *err);

/* path: what json is called in messages. Checked as a whole. */
int egress_policy_parse(const cJSON *json, const char *path,
			struct egress_policy *ret_policy, struct error *err);
cJSON *egress_policy_json(const struct egress_policy *policy);

/* In the form that egress_policy_add() takes. */
void egress_rule_text(const struct egress_rule *rule,
		      char ret_text[EGRESS_RULE_TEXT_MAX]);

/* name: lower case, no dot at the end. */
bool egress_rule_has_name(const struct egress_rule *rule, const char *name);
/* host.docker.internal and the like. */
bool egress_name_is_host(const char *name);
bool egress_rule_has_port(const struct egress_rule *rule,
			  enum egress_protocol protocol, uint16_t port);

/* Into a sealed memfd, and back; what is read is checked as if it came from a
   stranger. */
int egress_policy_pack(const struct egress_policy *policy, int *ret_fd,
		       struct error *err);
int egress_policy_unpack(int fd, struct egress_policy *ret_policy,
			 struct error *err);
