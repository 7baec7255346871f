/*
 * Frames as a container with a raw socket writes them, before the uplink's
 * library sees any (net/frame.h, net/refuse.h), and as the library writes them
 * (net/neighbour.h): none leads to the host's loopback, answers fit and go back
 * to where the question came from.
 */
#include <assert.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"
#include "net/neighbour.h"
#include "net/refuse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_allowed(const uint8_t *frame, size_t size)
{
	const uint8_t *packet = frame + sizeof(struct ether_header);
	struct ether_header header;
	struct in6_addr destination;

	assert(size >= sizeof(header));
	memcpy(&header, frame, sizeof(header));
	switch (ntohs(header.ether_type)) {
	case ETHERTYPE_IP:
		assert(size >= sizeof(header) + 20);
		assert(packet[0] == 0x45);
		assert(packet[16] != 127 && packet[16] != 0 &&
		       packet[16] < 224);
		break;
	case ETHERTYPE_IPV6:
		assert(size >= sizeof(header) + 40);
		memcpy(&destination, packet + 24, sizeof(destination));
		if (packet[6] != IPPROTO_ICMPV6)
			assert(!IN6_IS_ADDR_LOOPBACK(&destination) &&
			       !IN6_IS_ADDR_UNSPECIFIED(&destination) &&
			       !IN6_IS_ADDR_V4MAPPED(&destination) &&
			       !IN6_IS_ADDR_MULTICAST(&destination));
		break;
	default:
		assert(ntohs(header.ether_type) == ETHERTYPE_ARP);
	}
}

static void check_refusal(const uint8_t *frame, size_t size)
{
	uint8_t *answer = malloc(PACKET_HEADERS_MAX);
	size_t length = refuse_tcp(frame, size, answer);

	assert(length <= PACKET_HEADERS_MAX);
	if (length > 0) {
		assert(memcmp(answer, frame + ETH_ALEN, ETH_ALEN) == 0);
		assert(memcmp(answer + ETH_ALEN, frame, ETH_ALEN) == 0);
		/* It is not answered again. */
		assert(refuse_tcp(answer, length, answer) == 0);
	}
	free(answer);
}

static void check_neighbour(const uint8_t *frame, size_t size)
{
	uint8_t *answer = malloc(NEIGHBOUR_FRAME_MAX);

	assert(neighbour_answer(frame, size, answer) <= NEIGHBOUR_FRAME_MAX);
	free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of exactly this size, so that a step too far is seen. */
	uint8_t *frame = malloc(size ? size : 1);

	memcpy(frame, data, size);
	if (frame_is_allowed(frame, size))
		check_allowed(frame, size);
	check_refusal(frame, size);
	check_neighbour(frame, size);
	free(frame);
	return 0;
}
