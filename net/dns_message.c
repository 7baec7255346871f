#include "net/dns_message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "net/bytes.h"

#define LABEL_MAX     63
#define FLAG_RESPONSE 0x8000
#define FLAG_TRUNC    0x0200
#define FLAG_DESIRED  0x0100 /* recursion desired */
#define FLAG_OFFERED  0x0080 /* recursion available */
#define MASK_OPCODE   0x7800
#define CLASS_IN      1
#define CLASS_ANY     255
#define POINTER	      0xc00c /* to the question's name */

/* The bytes it took, 0 when it is no plain name. */
static size_t parse_name(const uint8_t *data, size_t length,
			 char ret_name[DNS_NAME_MAX])
{
	size_t offset = 0;
	size_t used = 0;

	for (;;) {
		size_t label;

		if (offset >= length)
			return 0;
		label = data[offset++];
		if (label == 0)
			break;
		if (label > LABEL_MAX || label > length - offset ||
		    offset + label >= DNS_NAME_MAX)
			return 0;
		if (used > 0)
			ret_name[used++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t byte = data[offset + i];

			ret_name[used++] = byte == '.' || byte == '\0'
						   ? '?'
						   : (char)tolower(byte);
		}
		offset += label;
	}
	ret_name[used] = '\0';
	return offset;
}

/* An OPT record right after the question, where askers put it. */
static void parse_edns(const uint8_t *data, size_t length,
		       struct dns_query *query)
{
	size_t size;

	if (length < 11 || data[0] != 0 || get16(data + 1) != DNS_TYPE_OPT)
		return;
	query->edns = true;
	size = get16(data + 3);
	if (size > DNS_UDP_SIZE_MAX)
		size = DNS_UDP_SIZE_MAX;
	if (size > query->answer_size)
		query->answer_size = size;
}

int dns_parse(const uint8_t *message, size_t length,
	      struct dns_query *ret_query)
{
	struct dns_query query = {.answer_size = DNS_UDP_SIZE};
	size_t size;

	if (length < DNS_HEADER_SIZE)
		return -1;
	query.id = get16(message);
	query.flags = get16(message + 2);
	if (query.flags & FLAG_RESPONSE)
		return -1;
	*ret_query = query;
	if (query.flags & MASK_OPCODE)
		return DNS_NOT_IMPLEMENTED;
	/* One question, no answers. */
	if (get16(message + 4) != 1 || get16(message + 6) != 0)
		return DNS_FORMAT_ERROR;
	size = parse_name(message + DNS_HEADER_SIZE, length - DNS_HEADER_SIZE,
			  query.name);
	if (size == 0 || length - DNS_HEADER_SIZE - size < 4)
		return DNS_FORMAT_ERROR;
	query.type = get16(message + DNS_HEADER_SIZE + size);
	query.class_ = get16(message + DNS_HEADER_SIZE + size + 2);
	query.question_size = size + 4;
	if (query.class_ != CLASS_IN && query.class_ != CLASS_ANY)
		return DNS_NOT_IMPLEMENTED;
	if (get16(message + 8) == 0 && get16(message + 10) > 0)
		parse_edns(message + DNS_HEADER_SIZE + query.question_size,
			   length - DNS_HEADER_SIZE - query.question_size,
			   &query);
	*ret_query = query;
	return 0;
}

struct output {
	uint8_t *data;
	size_t length, room;
	bool full;
};

static void put(struct output *output, const void *bytes, size_t length)
{
	if (output->full || length > output->room - output->length) {
		output->full = true;
		return;
	}
	memcpy(output->data + output->length, bytes, length);
	output->length += length;
}

static void put16(struct output *output, uint16_t value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(output, bytes, sizeof(bytes));
}

static void put32(struct output *output, uint32_t value)
{
	put16(output, (uint16_t)(value >> 16));
	put16(output, (uint16_t)value);
}

/* A whole record or nothing of it. */
static bool put_record(struct output *output, uint16_t type, uint32_t ttl,
		       const void *data, size_t length)
{
	size_t start = output->length;

	put16(output, POINTER);
	put16(output, type);
	put16(output, CLASS_IN);
	put32(output, ttl);
	put16(output, (uint16_t)length);
	put(output, data, length);
	if (!output->full)
		return true;
	output->length = start;
	return false;
}

/* On the wire; 0 when it is no name. */
static size_t name_bytes(const char *name, uint8_t ret_bytes[DNS_NAME_MAX])
{
	size_t length = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > LABEL_MAX ||
		    length + label + 2 > DNS_NAME_MAX)
			return 0;
		ret_bytes[length++] = (uint8_t)label;
		memcpy(ret_bytes + length, name, label);
		length += label;
		name += label;
		if (*name == '.')
			name++;
	}
	ret_bytes[length++] = 0;
	return length;
}

static uint16_t put_records(struct output *output,
			    const struct dns_query *query,
			    const struct dns_answer *answer)
{
	uint8_t name[DNS_NAME_MAX];
	uint16_t count = 0;
	size_t length;

	for (size_t i = 0; i < answer->address_count; i++) {
		const struct net_address_value *address = &answer->addresses[i];
		uint16_t type = address->family == AF_INET6 ? DNS_TYPE_AAAA
							    : DNS_TYPE_A;

		if (type != query->type && query->type != DNS_TYPE_ANY)
			continue;
		if (!put_record(output, type, answer->ttl, address->bytes,
				address_size(address->family)))
			return count;
		count++;
	}
	if (answer->pointer) {
		length = name_bytes(answer->pointer, name);
		if (length > 0 &&
		    put_record(output, DNS_TYPE_PTR, answer->ttl, name, length))
			count++;
	}
	return count;
}

/* RFC 6891, section 6.1. */
static void put_edns(struct output *output)
{
	static const uint8_t record[] = {
		0,
		0,
		DNS_TYPE_OPT,
		DNS_UDP_SIZE_MAX >> 8,
		DNS_UDP_SIZE_MAX & 0xff,
		0,
		0,
		0,
		0,
		0,
		0,
	};

	put(output, record, sizeof(record));
}

size_t dns_build(const struct dns_query *query, const uint8_t *message,
		 const struct dns_answer *answer, uint8_t *ret_message,
		 size_t room)
{
	struct output output = {.data = ret_message, .room = room};
	uint16_t flags =
		(uint16_t)(FLAG_RESPONSE | FLAG_OFFERED |
			   (query->flags & (MASK_OPCODE | FLAG_DESIRED)) |
			   (unsigned int)answer->code);
	uint8_t *header = ret_message;
	uint16_t count;
	bool edns;

	if (room < DNS_HEADER_SIZE)
		return 0;
	memset(ret_message, 0, DNS_HEADER_SIZE);
	output.length = DNS_HEADER_SIZE;
	put(&output, message + DNS_HEADER_SIZE, query->question_size);
	/* Room for the record at the end is kept. */
	edns = query->edns && !output.full && output.room - output.length >= 11;
	if (edns)
		output.room -= 11;
	count = put_records(&output, query, answer);
	if (output.full)
		flags |= FLAG_TRUNC;
	if (edns) {
		output.full = false;
		output.room += 11;
		put_edns(&output);
	}
	header[0] = (uint8_t)(query->id >> 8);
	header[1] = (uint8_t)query->id;
	header[2] = (uint8_t)(flags >> 8);
	header[3] = (uint8_t)flags;
	header[5] = query->question_size > 0;
	header[6] = (uint8_t)(count >> 8);
	header[7] = (uint8_t)count;
	header[11] = edns;
	return output.length;
}

static bool parse_reverse4(const char *name, struct net_address_value *address)
{
	unsigned int bytes[4];
	char again[sizeof("255.255.255.255.in-addr.arpa")];

	if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa", &bytes[3], &bytes[2],
		   &bytes[1], &bytes[0]) != 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		if (bytes[i] > 255)
			return false;
		address->bytes[i] = (uint8_t)bytes[i];
	}
	snprintf(again, sizeof(again), "%u.%u.%u.%u.in-addr.arpa", bytes[3],
		 bytes[2], bytes[1], bytes[0]);
	address->family = AF_INET;
	return str_equal(again, name);
}

static bool parse_reverse6(const char *name, struct net_address_value *address)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(name) != 32 * 2 + strlen("ip6.arpa") ||
	    !str_equal(name + 32 * 2, "ip6.arpa"))
		return false;
	for (size_t i = 0; i < 32; i++) {
		const char *digit = strchr(digits, name[2 * i]);
		size_t index = 15 - i / 2;

		if (!digit || name[2 * i + 1] != '.')
			return false;
		address->bytes[index] |=
			(uint8_t)((digit - digits) << (i % 2 ? 4 : 0));
	}
	address->family = AF_INET6;
	return true;
}

bool dns_parse_reverse(const char *name, struct net_address_value *ret_address)
{
	struct net_address_value address = {0};

	if (!parse_reverse4(name, &address)) {
		address = (struct net_address_value){0};
		if (!parse_reverse6(name, &address))
			return false;
	}
	*ret_address = address;
	return true;
}
