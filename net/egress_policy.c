#include "net/egress_policy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "net/netns.h"

#define PORT_MAX  65535
#define LABEL_MAX 63

static const char *const mode_names[] = {
	[EGRESS_ALLOW] = "allow",
	[EGRESS_DENY] = "deny",
	[EGRESS_RECORD] = "record",
};

static const struct {
	const char *name;
	uint8_t protocols;
} protocols[] = {
	{"tcp", EGRESS_TCP},
	{"udp", EGRESS_UDP},
	{"icmp", EGRESS_ICMP},
	{"any", EGRESS_ANY},
};

/* Names that /etc/hosts gives to the gateway: no resolver knows them. */
static const char *const host_names[] = {
	"host.docker.internal",
	"host.containers.internal",
};

void egress_policy_release(struct egress_policy *policy)
{
	free(policy->rules);
	*policy = (struct egress_policy){0};
}

int egress_mode_parse(const char *text, enum egress_mode *ret_mode,
		      struct error *err)
{
	for (size_t i = EGRESS_ALLOW; i < ARRAY_SIZE(mode_names); i++) {
		if (str_equal(text, mode_names[i])) {
			*ret_mode = (enum egress_mode)i;
			return 0;
		}
	}
	err_set(err, ERROR_INVALID, "invalid egress policy: \"%s\"", text);
	return err_hint(err, "use one of: allow, deny, record");
}

static int invalid(const char *text, const char *why, struct error *err)
{
	err_set(err, ERROR_INVALID, "invalid egress rule \"%s\": %s", text,
		why);
	return err_hint(err, "a rule is HOST[:PORTS][/PROTOCOL], as "
			     "example.org:443, *.debian.org, 10.0.0.0/8 or "
			     "[2001:db8::]/32:53/udp");
}

/* "/udp" at the end, cut off; addresses have "/8" there. */
static void take_protocol(char *text, struct egress_rule *rule)
{
	char *slash = strrchr(text, '/');

	for (size_t i = 0; slash && i < ARRAY_SIZE(protocols); i++) {
		if (!str_equal(slash + 1, protocols[i].name))
			continue;
		rule->protocols = protocols[i].protocols;
		*slash = '\0';
		return;
	}
}

static bool parse_port(const char *text, size_t length, uint16_t *ret_port)
{
	char digits[8];
	uint64_t number;

	if (length == 0 || length >= sizeof(digits))
		return false;
	memcpy(digits, text, length);
	digits[length] = '\0';
	if (parse_u64(digits, &number) < 0 || number == 0 || number > PORT_MAX)
		return false;
	*ret_port = (uint16_t)number;
	return true;
}

static bool parse_ports(const char *text, struct egress_rule *rule)
{
	size_t first = strcspn(text, "-");
	const char *last = text[first] ? text + first + 1 : text;

	return parse_port(text, first, &rule->port_first) &&
	       parse_port(last, strlen(last), &rule->port_last) &&
	       rule->port_first <= rule->port_last;
}

/* "10.0.0.0/8", "192.0.2.7". */
static bool parse_prefix(const char *text, struct net_prefix *ret_prefix)
{
	struct net_address_value address;
	struct net_prefix prefix;

	if (address_parse(text, &address)) {
		prefix.address = address;
		prefix.length = 8 * (unsigned int)address_size(address.family);
	} else if (!prefix_parse(text, &prefix)) {
		return false;
	}
	*ret_prefix = prefix_mask(&prefix);
	return true;
}

/* Letters, digits, hyphens and underscores between dots, in lower case. */
static bool parse_name(const char *text, struct egress_rule *rule)
{
	size_t length = strlen(text);
	bool is_number = true; /* the last label */
	size_t label = 0;

	if (length > 0 && text[length - 1] == '.')
		length--;
	if (length == 0 || length >= sizeof(rule->name))
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			is_number = true;
			continue;
		}
		if (!isascii(c) || (!isalnum(c) && c != '-' && c != '_') ||
		    ++label > LABEL_MAX)
			return false;
		is_number = is_number && isdigit(c);
		rule->name[i] = (char)tolower(c);
	}
	for (size_t i = 0; i < length; i++)
		if (text[i] == '.')
			rule->name[i] = '.';
	rule->name[length] = '\0';
	/* A mistyped address is no name. */
	return label > 0 && !is_number;
}

bool egress_name_is_host(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(host_names); i++) {
		if (str_equal(name, host_names[i]))
			return true;
	}
	return false;
}

static int parse_name_host(const char *whole, char *host,
			   struct egress_rule *rule, struct error *err)
{
	char *at = strchr(host, '@');

	if (at) {
		*at = '\0';
		if (!parse_prefix(at + 1, &rule->prefix))
			return invalid(whole, "no address after \"@\"", err);
	}
	rule->kind = EGRESS_NAME;
	if (str_starts(host, "*.")) {
		rule->kind = EGRESS_BELOW;
		host += 2;
	}
	for (const char *c = host; *c; c++) {
		if (!isascii(*c))
			return invalid(whole,
				       "write an international name in its "
				       "ASCII form (xn--…)",
				       err);
	}
	if (!parse_name(host, rule))
		return invalid(whole,
			       strchr(host, '/')
				       ? "behind \"/\" there is neither tcp, "
					 "udp, icmp or any nor the length of "
					 "an address's prefix"
				       : "neither a name nor an address",
			       err);
	if (!egress_name_is_host(rule->name))
		return 0;
	if (rule->kind != EGRESS_NAME || at)
		return invalid(whole, "the host has one name and address", err);
	return 0;
}

/* "[ADDRESS]", "[ADDRESS]/BITS" with what follows left at *ret_rest. */
static bool split_brackets(char *text, char **ret_rest)
{
	char *close = strchr(text, ']');
	size_t length;

	if (!close)
		return false;
	length = (size_t)(close - text) - 1;
	memmove(text, text + 1, length);
	text[length] = '\0';
	*ret_rest = close + 1;
	if (close[1] == '/') {
		size_t digits = strspn(close + 2, "0123456789");

		text[length] = '/';
		memmove(text + length + 1, close + 2, digits);
		text[length + 1 + digits] = '\0';
		*ret_rest = close + 2 + digits;
	}
	return strchr(text, ':') != NULL;
}

static int parse_host(const char *whole, char *host, bool brackets,
		      struct egress_rule *rule, struct error *err)
{
	if (!brackets && str_equal(host, "*")) {
		rule->kind = EGRESS_EVERYWHERE;
		return 0;
	}
	if (parse_prefix(host, &rule->prefix)) {
		rule->kind = EGRESS_ADDRESS;
		return 0;
	}
	if (brackets || (strchr(host, ':') && !strchr(host, '@')))
		return invalid(whole, "not an IPv6 address", err);
	return parse_name_host(whole, host, rule, err);
}

/* Cuts ":PORTS" off; NULL when there are none. Bare IPv6 has no ports. */
static char *take_ports(char *text)
{
	char *colon = strchr(text, ':');

	if (!colon || strchr(colon + 1, ':'))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static int parse_rule(const char *text, bool deny, struct egress_rule *ret_rule,
		      struct error *err)
{
	struct egress_rule rule = {.port_last = PORT_MAX, .deny = deny};
	cleanup_free char *host = xstrdup(text);
	char *at = strchr(host, '@');
	char *tail = at ? at + 1 : host;
	bool brackets = *tail == '[';
	char *ports = NULL;
	char *rest = NULL;
	int r;

	if (*text == '\0' || strlen(text) >= EGRESS_RULE_TEXT_MAX)
		return invalid(text, "expected a name or an address", err);
	take_protocol(host, &rule);
	if (brackets) {
		if (!split_brackets(tail, &rest) || (*rest && *rest != ':'))
			return invalid(text, "not an IPv6 address", err);
		ports = *rest ? rest + 1 : NULL;
	} else {
		ports = take_ports(tail);
	}
	if (ports && !parse_ports(ports, &rule))
		return invalid(text, "ports are numbers from 1 to 65535", err);
	r = parse_host(text, host, brackets && !at, &rule, err);
	if (r < 0)
		return r;
	if (ports && rule.protocols == EGRESS_ICMP)
		return invalid(text, "ICMP has no ports", err);
	if (rule.protocols == 0) {
		bool address = rule.kind <= EGRESS_EVERYWHERE;

		rule.protocols =
			deny || (address && !ports) ? EGRESS_ANY : EGRESS_TCP;
	}
	*ret_rule = rule;
	return 0;
}

static int push_rule(struct egress_policy *policy,
		     const struct egress_rule *rule, struct error *err)
{
	if (policy->rule_count == EGRESS_RULES_MAX)
		return err_set(err, ERROR_INVALID,
			       "too many egress rules: the limit is %d",
			       EGRESS_RULES_MAX);
	policy->rules = xrealloc(policy->rules, policy->rule_count + 1,
				 sizeof(*policy->rules));
	policy->rules[policy->rule_count++] = *rule;
	return 0;
}

int egress_policy_add(struct egress_policy *policy, const char *text, bool deny,
		      struct error *err)
{
	struct egress_rule rule;
	int r = parse_rule(text, deny, &rule, err);

	return r < 0 ? r : push_rule(policy, &rule, err);
}

int egress_policy_add_list(struct egress_policy *policy, const char *text,
			   bool deny, struct error *err)
{
	cleanup_strv char **list = strv_split(text, ',');

	for (size_t i = 0; list[i]; i++) {
		int r = egress_policy_add(policy, list[i], deny, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int egress_policy_check(const struct egress_policy *policy, struct error *err)
{
	char text[EGRESS_RULE_TEXT_MAX];

	if (policy->mode == EGRESS_RECORD && policy->rule_count > 0)
		return err_set(err, ERROR_INVALID,
			       "an egress policy that records lets everything "
			       "through and takes no rules");
	if (policy->mode != EGRESS_ALLOW)
		return 0;
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct egress_rule *rule = &policy->rules[i];

		egress_rule_text(rule, text);
		if (!rule->deny)
			return err_set(err, ERROR_INVALID,
				       "egress rule \"%s\" allows what is "
				       "allowed by default",
				       text);
		if (rule->kind >= EGRESS_NAME &&
		    !egress_name_is_host(rule->name)) {
			err_set(err, ERROR_INVALID,
				"egress rule \"%s\" cannot keep a program from "
				"addresses that it knows already",
				text);
			return err_hint(err, "deny by default and allow what "
					     "is needed: --egress-allow LIST");
		}
	}
	return 0;
}

static int parse_rules(const cJSON *json, const char *path, const char *member,
		       struct egress_policy *policy, struct error *err)
{
	cleanup_strv char **list = NULL;
	int r = json_get_strv(json, path, member, &list, err);

	for (size_t i = 0; r >= 0 && list && list[i]; i++) {
		r = egress_policy_add(policy, list[i],
				      str_equal(member, "deny"), err);
		if (r < 0)
			return err_wrap(err, "%s.%s[%zu]", path, member, i);
	}
	return r;
}

static int parse_members(const cJSON *json, const char *path,
			 struct egress_policy *policy, struct error *err)
{
	static const char *const known[] = {"default", "allow", "deny"};
	const char *mode = "deny";
	const cJSON *item;
	int r;

	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       path);
	r = json_check_unique(json, path, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, json)
	{
		size_t i = 0;

		while (i < ARRAY_SIZE(known) &&
		       !str_equal(known[i], item->string))
			i++;
		if (i < ARRAY_SIZE(known))
			continue;
		err_set(err, ERROR_INVALID, "%s: unknown member \"%s\"", path,
			item->string);
		return err_hint(err, "known are: default, allow, deny");
	}
	r = json_get_string(json, path, "default", &mode, err);
	if (r >= 0 && egress_mode_parse(mode, &policy->mode, err) < 0)
		return err_wrap(err, "%s.default", path);
	r = r < 0 ? r : parse_rules(json, path, "allow", policy, err);
	r = r < 0 ? r : parse_rules(json, path, "deny", policy, err);
	return r < 0 ? r : egress_policy_check(policy, err);
}

int egress_policy_parse(const cJSON *json, const char *path,
			struct egress_policy *ret_policy, struct error *err)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	int r = parse_members(json, path, &policy, err);

	if (r < 0)
		return r;
	*ret_policy = policy;
	policy = (struct egress_policy){0};
	return 0;
}

cJSON *egress_policy_json(const struct egress_policy *policy)
{
	cJSON *json = json_object();
	cJSON *allow = json_array();
	cJSON *deny = json_array();

	json_set_string(json, "default", mode_names[policy->mode]);
	for (size_t i = 0; i < policy->rule_count; i++) {
		char text[EGRESS_RULE_TEXT_MAX];

		egress_rule_text(&policy->rules[i], text);
		json_push_string(policy->rules[i].deny ? deny : allow, text);
	}
	json_set(json, "allow", allow);
	json_set(json, "deny", deny);
	return json;
}

/* Without what says nothing. */
static void show_prefix(const struct net_prefix *prefix,
			char ret_text[PREFIX_TEXT_MAX + 2])
{
	const bool v6 = prefix->address.family == AF_INET6;
	char address[ADDRESS_TEXT_MAX];
	char length[16] = "";

	address_text(&prefix->address, address);
	if (prefix->length < 8 * address_size(prefix->address.family))
		snprintf(length, sizeof(length), "/%u", prefix->length % 1000);
	snprintf(ret_text, PREFIX_TEXT_MAX + 2, "%s%s%s%s", v6 ? "[" : "",
		 address, v6 ? "]" : "", length);
}

static const char *protocol_text(uint8_t set)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (protocols[i].protocols == set)
			return protocols[i].name;
	}
	return "any";
}

void egress_rule_text(const struct egress_rule *rule,
		      char ret_text[EGRESS_RULE_TEXT_MAX])
{
	const bool all = rule->port_first == 0;
	const bool address = rule->kind <= EGRESS_EVERYWHERE;
	const uint8_t usual =
		rule->deny || (address && all) ? EGRESS_ANY : EGRESS_TCP;
	char prefix[PREFIX_TEXT_MAX + 2] = "";
	char ports[16] = "";
	bool at = !address && rule->prefix.address.family != 0;

	if (rule->kind == EGRESS_ADDRESS || at)
		show_prefix(&rule->prefix, prefix);
	if (!all && rule->port_first == rule->port_last)
		snprintf(ports, sizeof(ports), ":%u", rule->port_first);
	else if (!all)
		snprintf(ports, sizeof(ports), ":%u-%u", rule->port_first,
			 rule->port_last);
	snprintf(ret_text, EGRESS_RULE_TEXT_MAX, "%s%.*s%s%s%s%s%s",
		 rule->kind == EGRESS_EVERYWHERE ? "*"
		 : rule->kind == EGRESS_BELOW	 ? "*."
						 : "",
		 EGRESS_NAME_MAX - 1, address ? "" : rule->name, at ? "@" : "",
		 prefix, ports, rule->protocols == usual ? "" : "/",
		 rule->protocols == usual ? ""
					  : protocol_text(rule->protocols));
}

bool egress_rule_has_name(const struct egress_rule *rule, const char *name)
{
	size_t length, below;

	if (rule->kind == EGRESS_NAME)
		return str_equal(rule->name, name);
	if (rule->kind != EGRESS_BELOW)
		return false;
	length = strlen(name);
	below = strlen(rule->name);
	return length > below + 1 && name[length - below - 1] == '.' &&
	       str_equal(name + length - below, rule->name);
}

bool egress_rule_has_port(const struct egress_rule *rule,
			  enum egress_protocol protocol, uint16_t port)
{
	if (!(rule->protocols & protocol))
		return false;
	if (protocol == EGRESS_TCP || protocol == EGRESS_UDP)
		return port >= rule->port_first && port <= rule->port_last;
	return rule->port_first == 0 && rule->port_last == PORT_MAX;
}
