#include "net/window.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/bytes.h"

#define ETHERNET      14
#define ETHERNET_TYPE 12
#define IPV4_HEADER   20
#define IPV4_PROTOCOL 9
#define IPV6_HEADER   40
#define IPV6_NEXT     6
#define TCP_HEADER    20
#define TCP_WINDOW    14
#define TCP_CHECKSUM  16
#define WINDOW_ALL    0xffff

/* Where the TCP header is, or 0. */
static size_t find_tcp(const uint8_t *frame, size_t length)
{
	const uint8_t *packet = frame + ETHERNET;
	size_t at = 0;

	if (length < ETHERNET + IPV4_HEADER)
		return 0;
	if (get16(frame + ETHERNET_TYPE) == ETHERTYPE_IP && packet[0] == 0x45 &&
	    packet[IPV4_PROTOCOL] == IPPROTO_TCP)
		at = ETHERNET + IPV4_HEADER;
	else if (get16(frame + ETHERNET_TYPE) == ETHERTYPE_IPV6 &&
		 packet[IPV6_NEXT] == IPPROTO_TCP)
		at = ETHERNET + IPV6_HEADER;
	return at > 0 && length >= at + TCP_HEADER ? at : 0;
}

size_t window_shrink(const uint8_t *frame, size_t length,
		     uint8_t ret_headers[WINDOW_HEADERS_MAX])
{
	const size_t at = find_tcp(frame, length);
	uint32_t sum;

	if (at == 0 || get16(frame + at + TCP_WINDOW) != WINDOW_ALL)
		return 0;
	/* RFC 1624: what the sum of the segment loses, its complement gains. */
	sum = get16(frame + at + TCP_CHECKSUM) + 1u;
	sum = (sum & 0xffff) + (sum >> 16);
	memcpy(ret_headers, frame, at + TCP_HEADER);
	ret_headers[at + TCP_WINDOW + 1] = (WINDOW_ALL - 1) & 0xff;
	ret_headers[at + TCP_CHECKSUM] = (uint8_t)(sum >> 8);
	ret_headers[at + TCP_CHECKSUM + 1] = (uint8_t)sum;
	return at + TCP_HEADER;
}
