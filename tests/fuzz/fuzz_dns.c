/*
 * net/dns_message.h: whatever a container sends as a question is refused or
 * answered with a message that fits and repeats it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "net/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct dns_query *query, const uint8_t *data,
			 int code, size_t room)
{
	static const struct net_address_value addresses[] = {
		{AF_INET, {172, 18, 0, 2}},
		{AF_INET6, {0xfd, [15] = 2}},
	};
	const struct dns_answer answer = {
		.code = (enum dns_code)code,
		.addresses = code ? NULL : addresses,
		.address_count = code ? 0 : 2,
		.pointer = query->type == DNS_TYPE_PTR ? query->name : NULL,
	};
	uint8_t message[DNS_UDP_SIZE_MAX];
	size_t length = dns_build(query, data, &answer, message, room);

	assert(length >= DNS_HEADER_SIZE && length <= room);
	assert(message[0] == data[0] && message[1] == data[1]);
	assert(message[2] & 0x80);
	assert((message[3] & 15) == code);
	if (length >= DNS_HEADER_SIZE + query->question_size)
		assert(memcmp(message + DNS_HEADER_SIZE, data + DNS_HEADER_SIZE,
			      query->question_size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_address_value address;
	struct dns_query query;
	int r = dns_parse(data, size, &query);

	if (r < 0)
		return 0;
	assert(strlen(query.name) < DNS_NAME_MAX);
	assert(query.answer_size >= DNS_UDP_SIZE &&
	       query.answer_size <= DNS_UDP_SIZE_MAX);
	assert(DNS_HEADER_SIZE + query.question_size <= size);
	(void)dns_parse_reverse(query.name, &address);
	check_answer(&query, data, r, query.answer_size);
	check_answer(&query, data, r, DNS_HEADER_SIZE);
	check_answer(&query, data, r, DNS_HEADER_SIZE + 20);
	return 0;
}
