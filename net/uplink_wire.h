/*
 * The conversation of uplink_configure() with moss-net, over a SOCK_SEQPACKET
 * pair that moss-net has as descriptor UPLINK_SOCKET.
 *
 *   > struct uplink_wire_start, with the network namespace and the tap, if
 * there is one > struct uplink_wire_ports, as often as needed, with the sockets
 * in order < UPLINK_READY when it serves, or a struct error
 *
 * Both ends come from one build; magic catches a stray helper program.
 */
#pragma once

#include <stdint.h>

#define UPLINK_SOCKET	 3
#define UPLINK_MAGIC	 0x6d6e6501u
#define UPLINK_READY	 "ready"
#define UPLINK_NAME_MAX	 128
#define UPLINK_PORTS_MAX 64  /* in one packet, of two sockets each */
#define UPLINK_FDS_MAX	 128 /* below SCM_MAX_FD */

struct uplink_wire_start {
	uint32_t magic;
	uint32_t address; /* network byte order */
	uint32_t port_count;
	uint32_t host_loopback;
	uint32_t has_tap;
	uint8_t address6[16]; /* zero: has none */
	char name[UPLINK_NAME_MAX];
};

struct uplink_wire_port {
	uint16_t container_port;
	uint8_t protocol;
	uint8_t fd_count;
};

struct uplink_wire_ports {
	uint32_t count;
	struct uplink_wire_port ports[UPLINK_PORTS_MAX];
};
