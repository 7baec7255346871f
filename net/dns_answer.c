#include "net/dns_answer.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "net/bytes.h"

#define CLASS_IN      1
#define FLAG_RESPONSE 0x80
#define LABEL_MAX     63
#define POINTER	      0xc0
#define RECORD_HEADER 10 /* type, class, TTL, length of the data */

struct answer {
	const uint8_t *bytes;
	size_t length;
};

struct record {
	char owner[DNS_NAME_MAX];
	uint16_t type, class_;
	uint32_t ttl;
	size_t data, data_length; /* offset */
};

/* The offset behind the name at offset, 0 when it is none. */
static size_t read_name(const struct answer *answer, size_t offset,
			char ret_name[DNS_NAME_MAX])
{
	size_t behind = 0;
	size_t lowest = offset;
	size_t used = 0;

	for (;;) {
		uint8_t label;

		if (offset >= answer->length)
			return 0;
		label = answer->bytes[offset++];
		if (label == 0)
			break;
		if ((label & POINTER) == POINTER) {
			size_t target;

			if (offset >= answer->length)
				return 0;
			target = (size_t)(label & ~POINTER) << 8 |
				 answer->bytes[offset++];
			if (!behind)
				behind = offset;
			/* Backwards each time: it comes to an end. */
			if (target >= lowest)
				return 0;
			lowest = offset = target;
			continue;
		}
		if (label > LABEL_MAX || label > answer->length - offset ||
		    used + label + 2 > DNS_NAME_MAX)
			return 0;
		if (used > 0)
			ret_name[used++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t byte = answer->bytes[offset + i];

			ret_name[used++] = byte == '.' || byte == '\0'
						   ? '?'
						   : (char)tolower(byte);
		}
		offset += label;
	}
	ret_name[used] = '\0';
	return behind ? behind : offset;
}

/* The offset behind it, 0 when it is none. */
static size_t read_record(const struct answer *answer, size_t offset,
			  struct record *record)
{
	const uint8_t *header;

	offset = read_name(answer, offset, record->owner);
	if (offset == 0 || answer->length - offset < RECORD_HEADER)
		return 0;
	header = answer->bytes + offset;
	record->type = get16(header);
	record->class_ = get16(header + 2);
	record->ttl = get32(header + 4);
	record->data_length = get16(header + 8);
	record->data = offset + RECORD_HEADER;
	if (record->data_length > answer->length - record->data)
		return 0;
	return record->data + record->data_length;
}

static void add_address(const struct answer *answer,
			const struct record *record,
			struct dns_addresses *addresses)
{
	struct net_address_value address = {
		.family = record->type == DNS_TYPE_AAAA ? AF_INET6 : AF_INET,
	};

	if (record->data_length != address_size(address.family) ||
	    addresses->count == DNS_ADDRESSES_MAX)
		return;
	memcpy(address.bytes, answer->bytes + record->data,
	       record->data_length);
	addresses->addresses[addresses->count++] = address;
	if (record->ttl < addresses->ttl)
		addresses->ttl = record->ttl;
}

/* All of one owner; true, and the name to go on with, when that is an alias. */
static bool visit(const struct answer *answer, size_t offset, size_t count,
		  char name[DNS_NAME_MAX], struct dns_addresses *addresses)
{
	struct record record;

	for (size_t i = 0; i < count; i++) {
		offset = read_record(answer, offset, &record);
		if (offset == 0)
			return false;
		if (record.class_ != CLASS_IN || !str_equal(record.owner, name))
			continue;
		if (record.type == addresses->type) {
			add_address(answer, &record, addresses);
		} else if (record.type == DNS_TYPE_CNAME) {
			if (record.ttl < addresses->ttl)
				addresses->ttl = record.ttl;
			return read_name(answer, record.data, name) ==
			       record.data + record.data_length;
		}
	}
	return false;
}

int dns_addresses_parse(const uint8_t *message, size_t length,
			struct dns_addresses *ret_addresses)
{
	const struct answer answer = {message, length};
	struct dns_addresses addresses = {.ttl = UINT32_MAX};
	char name[DNS_NAME_MAX];
	size_t offset, count;

	if (length < DNS_HEADER_SIZE || !(message[2] & FLAG_RESPONSE) ||
	    get16(message + 4) != 1)
		return -1;
	addresses.code = (enum dns_code)(message[3] & 15);
	offset = read_name(&answer, DNS_HEADER_SIZE, addresses.name);
	if (offset == 0 || length - offset < 4 ||
	    get16(message + offset + 2) != CLASS_IN)
		return -1;
	addresses.type = get16(message + offset);
	offset += 4;
	count = get16(message + 6);
	if (count > DNS_RECORDS_MAX)
		count = DNS_RECORDS_MAX;
	memcpy(name, addresses.name, sizeof(name));
	if (addresses.type == DNS_TYPE_A || addresses.type == DNS_TYPE_AAAA) {
		for (size_t i = 0; i < DNS_CHAIN_MAX; i++) {
			if (!visit(&answer, offset, count, name, &addresses))
				break;
		}
	}
	if (addresses.count == 0)
		addresses.ttl = 0;
	*ret_addresses = addresses;
	return 0;
}
