#include "net/frame.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_HEADER	 20
#define IPV4_FRAGMENT	 6 /* flags, and offset in 13 bits */
#define IPV4_DESTINATION 16
#define IPV6_HEADER	 40
#define IPV6_DESTINATION 24
#define IPV6_NEXT_HEADER 6

static bool is_allowed4(const uint8_t *packet, size_t length)
{
	uint8_t first;

	/* version 4, a header without options, no part of a larger one */
	if (length < IPV4_HEADER || packet[0] != 0x45 ||
	    (packet[IPV4_FRAGMENT] & 0x3f) != 0 ||
	    packet[IPV4_FRAGMENT + 1] != 0)
		return false;
	first = packet[IPV4_DESTINATION];
	/* "this" network, loopback; multicast, reserved, broadcast */
	return first != 0 && first != 127 && first < 224;
}

static bool is_allowed6(const uint8_t *packet, size_t length)
{
	static const uint8_t zeros[12];
	struct in6_addr destination;

	if (length < IPV6_HEADER || packet[0] >> 4 != 6)
		return false;
	memcpy(&destination, packet + IPV6_DESTINATION, sizeof(destination));
	/* Neighbour discovery multicasts its questions. */
	if (packet[IPV6_NEXT_HEADER] == IPPROTO_ICMPV6)
		return true;
	if (IN6_IS_ADDR_MULTICAST(&destination) ||
	    IN6_IS_ADDR_LINKLOCAL(&destination) ||
	    IN6_IS_ADDR_V4MAPPED(&destination))
		return false;
	/* ::, ::1 and the old ::1.2.3.4 */
	return memcmp(&destination, zeros, sizeof(zeros)) != 0;
}

bool frame_is_allowed(const uint8_t *frame, size_t length)
{
	const uint8_t *packet = frame + sizeof(struct ether_header);
	struct ether_header header;

	if (length < sizeof(header))
		return false;
	memcpy(&header, frame, sizeof(header));
	length -= sizeof(header);
	switch (ntohs(header.ether_type)) {
	case ETHERTYPE_ARP:
		return true;
	case ETHERTYPE_IP:
		return is_allowed4(packet, length);
	case ETHERTYPE_IPV6:
		return is_allowed6(packet, length);
	default:
		return false;
	}
}
