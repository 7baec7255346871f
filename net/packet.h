/*
 * Ethernet frames between the tap and libslirp: taken apart, and made. Whoever
 * has a raw socket in the container writes any frame it likes, so every length
 * is checked, and what could be read in two ways is BAD: IPv4 options,
 * fragments, VLAN tags, a UDP length that is not the packet's. An IPv6
 * extension header is a protocol like any other, which no rule names.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/prefix.h"

#define PACKET_ETHERNET	 14
#define PACKET_FRAME_MAX (PACKET_ETHERNET + 65535)
/* Of a made TCP segment: Ethernet, IPv6, TCP without options. */
#define PACKET_HEADERS_MAX (PACKET_ETHERNET + 40 + 20)
/* What a made TCP segment may carry. */
#define PACKET_TCP_DATA_MAX 16384

enum packet_kind {
	PACKET_BAD,  /* neither passed on nor worth a word */
	PACKET_LINK, /* ARP, neighbour discovery */
	PACKET_TCP,
	PACKET_UDP,
	PACKET_ECHO, /* ICMP, ICMPv6: a ping */
	PACKET_OTHER,
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

/* From whom to whom; ports are 0 without TCP and UDP. */
struct packet_path {
	uint8_t ethernet[12]; /* destination, source */
	struct net_address_value source, destination;
	uint16_t source_port, destination_port;
};

struct packet {
	enum packet_kind kind;
	struct packet_path path;
	const uint8_t *bytes; /* the IP packet, borrowed */
	size_t length;
	const uint8_t *data; /* of TCP and UDP */
	size_t data_length;
	uint32_t seq, ack; /* TCP */
	uint16_t window;
	uint8_t flags;
};

void packet_parse(const uint8_t *frame, size_t length,
		  struct packet *ret_packet);
struct packet_path packet_path_back(const struct packet_path *path);

struct packet_tcp {
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;
	const void *data;
	size_t data_length; /* at most PACKET_TCP_DATA_MAX */
};

/* Whole frames with their checksums; the length. ret_frame has room for
   PACKET_HEADERS_MAX bytes and the data. */
size_t packet_make_tcp(const struct packet_path *path,
		       const struct packet_tcp *tcp, uint8_t *ret_frame);
/* What refuses packet, of TCP; 0 for a reset, which nothing answers. */
size_t packet_make_reset(const struct packet *packet,
			 uint8_t ret_frame[PACKET_HEADERS_MAX]);
size_t packet_make_udp(const struct packet_path *path, const void *data,
		       size_t length, uint8_t ret_frame[PACKET_FRAME_MAX]);
/* "Administratively prohibited", to whoever sent packet. */
size_t packet_make_prohibited(const struct packet *packet,
			      uint8_t ret_frame[PACKET_FRAME_MAX]);
