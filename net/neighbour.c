#include "net/neighbour.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <string.h>

#define ETHERNET sizeof(struct ether_header)

const uint8_t neighbour_mac[6] = {0x02, 0x6d, 0x6f, 0x73, 0x73, 0x01};

static void put_header(uint8_t *frame, const uint8_t *asker, uint16_t type)
{
	struct ether_header header = {.ether_type = htons(type)};

	memcpy(header.ether_dhost, asker, ETH_ALEN);
	memcpy(header.ether_shost, neighbour_mac, ETH_ALEN);
	memcpy(frame, &header, sizeof(header));
}

static size_t answer_arp(const uint8_t *frame, size_t length,
			 uint8_t *ret_frame)
{
	struct ether_arp question;
	struct ether_arp answer;

	if (length < ETHERNET + sizeof(question))
		return 0;
	memcpy(&question, frame + ETHERNET, sizeof(question));
	if (question.ea_hdr.ar_op != htons(ARPOP_REQUEST))
		return 0;
	answer = question;
	answer.ea_hdr.ar_op = htons(ARPOP_REPLY);
	memcpy(answer.arp_sha, neighbour_mac, ETH_ALEN);
	memcpy(answer.arp_spa, question.arp_tpa, sizeof(answer.arp_spa));
	memcpy(answer.arp_tha, question.arp_sha, ETH_ALEN);
	memcpy(answer.arp_tpa, question.arp_spa, sizeof(answer.arp_tpa));
	put_header(ret_frame, question.arp_sha, ETHERTYPE_ARP);
	memcpy(ret_frame + ETHERNET, &answer, sizeof(answer));
	return ETHERNET + sizeof(answer);
}

static uint32_t add_up(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

/* RFC 8200, section 8.1; all lengths here are even. */
static uint16_t checksum(const struct ip6_hdr *header, const void *payload,
			 size_t length)
{
	uint32_t sum = (uint32_t)length + IPPROTO_ICMPV6;

	sum = add_up(sum, &header->ip6_src, sizeof(header->ip6_src));
	sum = add_up(sum, &header->ip6_dst, sizeof(header->ip6_dst));
	sum = add_up(sum, payload, length);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

struct advertisement {
	struct nd_neighbor_advert advert;
	struct nd_opt_hdr option;
	uint8_t mac[ETH_ALEN];
};

/* RFC 4861, section 4.4. */
static size_t answer_neighbour(const uint8_t *frame, size_t length,
			       uint8_t *ret_frame)
{
	struct ip6_hdr question;
	struct nd_neighbor_solicit solicit;
	struct ip6_hdr header = {0};
	struct advertisement answer = {0};

	if (length < ETHERNET + sizeof(question) + sizeof(solicit))
		return 0;
	memcpy(&question, frame + ETHERNET, sizeof(question));
	memcpy(&solicit, frame + ETHERNET + sizeof(question), sizeof(solicit));
	if (question.ip6_nxt != IPPROTO_ICMPV6 ||
	    solicit.nd_ns_type != ND_NEIGHBOR_SOLICIT)
		return 0;
	answer.advert.nd_na_type = ND_NEIGHBOR_ADVERT;
	answer.advert.nd_na_flags_reserved =
		ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
	answer.advert.nd_na_target = solicit.nd_ns_target;
	answer.option.nd_opt_type = ND_OPT_TARGET_LINKADDR;
	answer.option.nd_opt_len = 1;
	memcpy(answer.mac, neighbour_mac, ETH_ALEN);
	header.ip6_flow = htonl(6u << 28);
	header.ip6_plen = htons(sizeof(answer));
	header.ip6_nxt = IPPROTO_ICMPV6;
	header.ip6_hlim = 255;
	header.ip6_src = solicit.nd_ns_target;
	header.ip6_dst = question.ip6_src;
	answer.advert.nd_na_cksum = checksum(&header, &answer, sizeof(answer));
	put_header(ret_frame, frame + ETH_ALEN, ETHERTYPE_IPV6);
	memcpy(ret_frame + ETHERNET, &header, sizeof(header));
	memcpy(ret_frame + ETHERNET + sizeof(header), &answer, sizeof(answer));
	return ETHERNET + sizeof(header) + sizeof(answer);
}

size_t neighbour_answer(const uint8_t *frame, size_t length,
			uint8_t ret_frame[NEIGHBOUR_FRAME_MAX])
{
	struct ether_header header;

	if (length < sizeof(header))
		return 0;
	memcpy(&header, frame, sizeof(header));
	switch (ntohs(header.ether_type)) {
	case ETHERTYPE_ARP:
		return answer_arp(frame, length, ret_frame);
	case ETHERTYPE_IPV6:
		return answer_neighbour(frame, length, ret_frame);
	default:
		return 0;
	}
}
