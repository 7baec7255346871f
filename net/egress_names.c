#include "net/egress_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"

#define EDNS_SIZE    11
#define FLAG_TRUNC   0x02 /* in the third byte */
#define FLAG_DESIRE  0x01
#define QUESTION_MAX (DNS_HEADER_SIZE + DNS_NAME_MAX + 4)

struct pin {
	struct net_address_value address; /* family 0: free */
	int64_t until_ms;
	char name[DNS_NAME_MAX];
};

/* A question that was passed on. */
struct wait {
	int64_t until_ms; /* 0: free */
	struct packet_path path;
	uint16_t own_id;
	struct dns_query query;
	uint8_t question[QUESTION_MAX]; /* header and question as they came */
};

struct egress_names {
	const struct egress_policy *policy;
	struct pin *pins;
	size_t pin_count;
	struct wait waits[NAMES_WAIT_MAX];
};

struct egress_names *egress_names_new(const struct egress_policy *policy)
{
	struct egress_names *names = xcalloc(1, sizeof(*names));

	names->policy = policy;
	return names;
}

void egress_names_free(struct egress_names *names)
{
	if (!names)
		return;
	free(names->pins);
	free(names);
}

/* IANA's special-purpose registries, and what carries IPv4 within IPv6. */
static const struct {
	uint8_t bytes[16];
	unsigned int length;
} private4[] =
	{
		{{0}, 8},	   {{10}, 8},	     {{100, 64}, 10},
		{{127}, 8},	   {{169, 254}, 16}, {{172, 16}, 12},
		{{192, 0, 0}, 24}, {{192, 168}, 16}, {{192, 88, 99}, 24},
		{{198, 18}, 15},   {{224}, 3},
},
  private6[] = {
	  {{0}, 8},
	  {{0x01}, 8},
	  {{0x00, 0x64, 0xff, 0x9b}, 32},
	  {{0x20, 0x01, 0x00}, 23},
	  {{0x20, 0x02}, 16},
	  {{0xfc}, 7},
	  {{0xfe}, 7},
};

/* RFC 6052: what NAT64 translates. */
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

bool egress_address_is_public(const struct net_address_value *address)
{
	const bool v6 = address->family == AF_INET6;
	size_t count = v6 ? ARRAY_SIZE(private6) : ARRAY_SIZE(private4);

	if (v6 && memcmp(address->bytes, nat64, sizeof(nat64)) == 0) {
		struct net_address_value inner = {.family = AF_INET};

		memcpy(inner.bytes, address->bytes + sizeof(nat64), 4);
		return egress_address_is_public(&inner);
	}
	for (size_t i = 0; i < count; i++) {
		struct net_prefix prefix = {
			.address.family = address->family,
			.length = v6 ? private6[i].length : private4[i].length,
		};

		memcpy(prefix.address.bytes,
		       v6 ? private6[i].bytes : private4[i].bytes,
		       address_size(address->family));
		if (prefix_contains(&prefix, address))
			return false;
	}
	return true;
}

/* May a name of the rule's have this address? NULL: whichever it has. */
static bool covers(const struct egress_rule *rule,
		   const struct net_address_value *address)
{
	if (!address)
		return true;
	return rule->prefix.address.family == 0
		       ? egress_address_is_public(address)
		       : prefix_contains(&rule->prefix, address);
}

static bool is_denied(const struct egress_policy *policy, const char *name,
		      enum egress_protocol protocol, uint16_t port)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct egress_rule *rule = &policy->rules[i];

		if (!rule->deny || !egress_rule_has_name(rule, name))
			continue;
		/* Of all ports, for the name as such. */
		if (port == 0 ? rule->port_first == 0
			      : egress_rule_has_port(rule, protocol, port))
			return true;
	}
	return false;
}

bool egress_names_allowed(const struct egress_policy *policy, const char *name,
			  const struct net_address_value *address,
			  enum egress_protocol protocol, uint16_t port)
{
	if (is_denied(policy, name, protocol, port))
		return false;
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct egress_rule *rule = &policy->rules[i];

		if (!rule->deny && egress_rule_has_name(rule, name) &&
		    covers(rule, address) &&
		    (port == 0 || egress_rule_has_port(rule, protocol, port)))
			return true;
	}
	return false;
}

/* The place of what is there already, a free one, the one that ends first. */
static struct pin *find_place(struct egress_names *names, const char *name,
			      const struct net_address_value *address)
{
	struct pin *place = NULL;

	for (size_t i = 0; i < names->pin_count; i++) {
		struct pin *pin = &names->pins[i];

		if (address_equal(&pin->address, address) &&
		    str_equal(pin->name, name))
			return pin;
		if (!place || pin->until_ms < place->until_ms)
			place = pin;
	}
	if (names->pin_count == PINS_MAX)
		return place;
	if (names->pin_count % 64 == 0)
		names->pins = xrealloc(names->pins, names->pin_count + 64,
				       sizeof(*names->pins));
	place = &names->pins[names->pin_count++];
	*place = (struct pin){0};
	return place;
}

static void pin_address(struct egress_names *names, const char *name,
			const struct net_address_value *address, uint32_t ttl,
			int64_t now)
{
	struct pin *pin = find_place(names, name, address);
	int64_t time = (int64_t)ttl * 1000;
	int64_t until;

	if (time < PIN_MIN_MS)
		time = PIN_MIN_MS;
	if (time > PIN_MAX_MS)
		time = PIN_MAX_MS;
	until = now + time;
	/* An answer that says less takes nothing back. */
	if (address_equal(&pin->address, address) &&
	    str_equal(pin->name, name) && pin->until_ms > until)
		until = pin->until_ms;
	pin->address = *address;
	pin->until_ms = until;
	memcpy(pin->name, name, strlen(name) + 1);
}

const char *egress_names_next(const struct egress_names *names,
			      const struct net_address_value *address,
			      int64_t now, size_t *index)
{
	while (*index < names->pin_count) {
		const struct pin *pin = &names->pins[(*index)++];

		if (pin->until_ms > now &&
		    address_equal(&pin->address, address))
			return pin->name;
	}
	return NULL;
}

/* The name of an address that may be reached anyway. */
static bool is_reverse_allowed(const struct egress_names *names,
			       const char *name, int64_t now)
{
	struct net_address_value address;
	size_t index = 0;

	if (!dns_parse_reverse(name, &address))
		return false;
	for (size_t i = 0; i < names->policy->rule_count; i++) {
		const struct egress_rule *rule = &names->policy->rules[i];

		if (!rule->deny && rule->kind == EGRESS_ADDRESS &&
		    prefix_contains(&rule->prefix, &address))
			return true;
	}
	return egress_names_next(names, &address, now, &index) != NULL;
}

static bool is_addresses_type(uint16_t type)
{
	return type == DNS_TYPE_A || type == DNS_TYPE_AAAA;
}

/* Whose answers are passed on as they are. */
static bool is_plain_type(uint16_t type)
{
	static const uint16_t types[] = {
		DNS_TYPE_NS, DNS_TYPE_CNAME, DNS_TYPE_SOA,   DNS_TYPE_PTR,
		DNS_TYPE_MX, DNS_TYPE_SRV,   DNS_TYPE_NAPTR,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (type == types[i])
			return true;
	}
	return false;
}

static struct wait *free_wait(struct egress_names *names)
{
	struct wait *place = &names->waits[0];

	/* The oldest one has to go when there is no other. */
	for (size_t i = 1; i < NAMES_WAIT_MAX; i++) {
		if (names->waits[i].until_ms < place->until_ms)
			place = &names->waits[i];
	}
	return place;
}

/* Our question in place of the container's. */
static bool forward(struct egress_names *names, const struct packet *packet,
		    const struct dns_query *query, int64_t now,
		    struct names_message *message)
{
	static const uint8_t edns[EDNS_SIZE] = {
		0,
		0,
		DNS_TYPE_OPT,
		DNS_UDP_SIZE_MAX >> 8,
	};
	struct wait *wait = free_wait(names);
	size_t size = DNS_HEADER_SIZE + query->question_size;

	if (size > sizeof(wait->question) ||
	    getrandom(&wait->own_id, sizeof(wait->own_id), 0) !=
		    sizeof(wait->own_id))
		return false;
	wait->until_ms = now + NAMES_WAIT_MS;
	wait->path = packet->path;
	wait->query = *query;
	memcpy(wait->question, packet->data, size);
	memset(message->bytes, 0, DNS_HEADER_SIZE);
	message->bytes[0] = (uint8_t)(wait->own_id >> 8);
	message->bytes[1] = (uint8_t)wait->own_id;
	message->bytes[2] = FLAG_DESIRE;
	message->bytes[5] = 1;	/* a question */
	message->bytes[11] = 1; /* an additional record */
	memcpy(message->bytes + DNS_HEADER_SIZE, packet->data + DNS_HEADER_SIZE,
	       query->question_size);
	memcpy(message->bytes + size, edns, sizeof(edns));
	message->length = size + sizeof(edns);
	return true;
}

static void answer(const struct dns_query *query, const uint8_t *question,
		   const struct dns_answer *content,
		   struct names_message *message)
{
	message->length = dns_build(query, question, content, message->bytes,
				    query->answer_size);
}

enum names_verdict egress_names_ask(struct egress_names *names,
				    const struct packet *packet, int64_t now,
				    struct names_message *ret_message)
{
	struct dns_answer content = {0};
	struct dns_query query;
	bool allowed;
	int r = dns_parse(packet->data, packet->data_length, &query);

	if (r < 0)
		return NAMES_DROP;
	content.code = (enum dns_code)r;
	ret_message->private_address = (struct net_address_value){0};
	memcpy(ret_message->name, query.name, sizeof(ret_message->name));
	if (r > 0) {
		answer(&query, packet->data, &content, ret_message);
		return NAMES_ANSWER;
	}
	/* A name of one label is a container's, or nobody's. */
	if (names->policy->has_networks && !strchr(query.name, '.')) {
		content.code = DNS_REFUSED;
		answer(&query, packet->data, &content, ret_message);
		return NAMES_ANSWER;
	}
	allowed = egress_names_allowed(names->policy, query.name, NULL,
				       EGRESS_TCP, 0) ||
		  (query.type == DNS_TYPE_PTR &&
		   is_reverse_allowed(names, query.name, now));
	if (!allowed) {
		content.code = names->policy->has_networks ? DNS_REFUSED
							   : DNS_NO_SUCH_NAME;
		answer(&query, packet->data, &content, ret_message);
		return NAMES_REFUSE;
	}
	if (!is_addresses_type(query.type) && !is_plain_type(query.type)) {
		answer(&query, packet->data, &content, ret_message);
		return NAMES_ANSWER;
	}
	return forward(names, packet, &query, now, ret_message) ? NAMES_FORWARD
								: NAMES_DROP;
}

static struct wait *find_wait(struct egress_names *names,
			      const struct packet *packet, int64_t now)
{
	uint16_t id;

	if (packet->data_length < DNS_HEADER_SIZE)
		return NULL;
	id = (uint16_t)(packet->data[0] << 8 | packet->data[1]);
	for (size_t i = 0; i < NAMES_WAIT_MAX; i++) {
		struct wait *wait = &names->waits[i];
		const struct packet_path *path = &wait->path;

		if (wait->until_ms > now && wait->own_id == id &&
		    path->source_port == packet->path.destination_port &&
		    path->destination_port == packet->path.source_port &&
		    address_equal(&path->destination, &packet->path.source) &&
		    address_equal(&path->source, &packet->path.destination))
			return wait;
	}
	return NULL;
}

/* Those that the name may have, in front. */
static size_t take_addresses(struct egress_names *names,
			     struct dns_addresses *found, int64_t now,
			     struct names_message *message)
{
	size_t count = 0;

	for (size_t i = 0; i < found->count; i++) {
		struct net_address_value address = found->addresses[i];

		if (!egress_names_allowed(names->policy, found->name, &address,
					  EGRESS_TCP, 0)) {
			message->private_address = address;
			continue;
		}
		pin_address(names, found->name, &address, found->ttl, now);
		found->addresses[count++] = address;
	}
	return count;
}

/* As it came, but for the ID; what is too large is marked as truncated. */
static void pass_on(const struct wait *wait, const struct packet *packet,
		    struct names_message *message)
{
	const struct dns_answer empty = {.code = DNS_NO_ERROR};

	if (packet->data_length <= wait->query.answer_size) {
		memcpy(message->bytes, packet->data, packet->data_length);
		memcpy(message->bytes, wait->question, 2);
		message->length = packet->data_length;
		return;
	}
	answer(&wait->query, wait->question, &empty, message);
	message->bytes[2] |= FLAG_TRUNC;
}

bool egress_names_answer(struct egress_names *names,
			 const struct packet *packet, int64_t now,
			 struct names_message *ret_message)
{
	struct wait *wait = find_wait(names, packet, now);
	struct dns_addresses found;
	struct dns_answer content;

	if (!wait ||
	    dns_addresses_parse(packet->data, packet->data_length, &found) < 0)
		return false;
	if (found.type != wait->query.type ||
	    !str_equal(found.name, wait->query.name))
		return false;
	ret_message->private_address = (struct net_address_value){0};
	memcpy(ret_message->name, found.name, sizeof(ret_message->name));
	wait->until_ms = 0;
	if (!is_addresses_type(found.type)) {
		pass_on(wait, packet, ret_message);
		return true;
	}
	content = (struct dns_answer){
		.code = found.code,
		.addresses = found.addresses,
		.address_count =
			take_addresses(names, &found, now, ret_message),
		.ttl = found.ttl,
	};
	answer(&wait->query, wait->question, &content, ret_message);
	/* Fewer addresses are better than a question over TCP. */
	ret_message->bytes[2] &= (uint8_t)~FLAG_TRUNC;
	return true;
}

void egress_names_watch(struct egress_names *names, const struct packet *packet,
			int64_t now)
{
	struct dns_addresses found;

	if (dns_addresses_parse(packet->data, packet->data_length, &found) < 0)
		return;
	for (size_t i = 0; i < found.count; i++)
		pin_address(names, found.name, &found.addresses[i], found.ttl,
			    now);
}
