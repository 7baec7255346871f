/*
 * DNS messages (RFC 1035, EDNS of RFC 6891) as far as a name server for
 * containers needs them: one question in, addresses or names out. All of it
 * comes from a container or from a resolver of the host's: every length is
 * checked, nothing is allocated, and a question's name has no compression.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/prefix.h"

#define DNS_HEADER_SIZE	 12
#define DNS_NAME_MAX	 255  /* on the wire, RFC 1035, section 3.1 */
#define DNS_UDP_SIZE	 512  /* an answer without EDNS */
#define DNS_UDP_SIZE_MAX 4096 /* the most that we send or take */
#define DNS_MESSAGE_MAX	 65535

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
	DNS_TYPE_NAPTR = 35,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_SVCB = 64,
	DNS_TYPE_HTTPS = 65,
	DNS_TYPE_ANY = 255,
};

enum dns_code {
	DNS_NO_ERROR = 0,
	DNS_FORMAT_ERROR = 1,
	DNS_SERVER_FAILURE = 2,
	DNS_NO_SUCH_NAME = 3,
	DNS_NOT_IMPLEMENTED = 4,
	DNS_REFUSED = 5,
};

struct dns_query {
	uint16_t id;
	uint16_t flags;
	uint16_t type, class_;
	/* Lower case, dots between the labels, none at the end; a label's other
	   bytes as they are, dots and NUL as '?'. */
	char name[DNS_NAME_MAX];
	size_t question_size; /* bytes on the wire, after the header */
	bool edns;
	size_t answer_size; /* what the asker can take by UDP */
};

/*
 * 0 and the query; or a dns_code to answer with, if *ret_query has an id and
 * flags; -1: nothing to answer at all (too short, or an answer itself).
 */
int dns_parse(const uint8_t *message, size_t length,
	      struct dns_query *ret_query);

/* What an answer holds. */
struct dns_answer {
	enum dns_code code;
	const struct net_address_value *addresses; /* A and AAAA by family */
	size_t address_count;
	const char *pointer; /* of a PTR; NULL: none */
	uint32_t ttl;	     /* seconds */
};
/*
 * Into room bytes at ret_message; the length, at least the header. What does
 * not fit is left out and the message marked as truncated. message: what query
 * was parsed from, whose question is repeated.
 */
size_t dns_build(const struct dns_query *query, const uint8_t *message,
		 const struct dns_answer *answer, uint8_t *ret_message,
		 size_t room);

/* "5.0.18.172.in-addr.arpa", "….ip6.arpa": whose name is asked for. */
bool dns_parse_reverse(const char *name, struct net_address_value *ret_address);
