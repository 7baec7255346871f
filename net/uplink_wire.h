/*
 * The conversation of the monitor (net/uplink.h) with moss-net (net/channel.h),
 * over a SOCK_SEQPACKET pair that moss-net has as descriptor UPLINK_SOCKET.
 *
 * The start:
 *
 *   > struct uplink_wire_start, with the network namespace, the tap, if there
 *     is one, and the egress policy, if there is one (net/egress_policy.h)
 *   > struct uplink_wire_ports, as often as needed, with the sockets in order
 *   < HELPER_READY when it serves, or a struct error
 *
 * From then on, each message beginning with its type:
 *
 *   > UPLINK_ADD_PORTS, struct uplink_wire_ports with the sockets in order;
 *     only to a moss-net that was started with ports
 *   > UPLINK_REMOVE_PORTS, the same without sockets, of which the IDs count
 *   < UPLINK_ANSWER, struct uplink_wire_answer: one for each of those, in order
 *   < UPLINK_REPORT, struct uplink_wire_report: something that the user may
 *     want to know of. At most UPLINK_REPORTS_MAX a second are sent, and as
 *     many read; what is above that is counted and dropped.
 *
 * A port's ID is the monitor's; the sockets of one mapping share it. Both ends
 * come from one build; magic catches a stray helper program.
 */
#pragma once

#include <stdint.h>

#define UPLINK_SOCKET	   3
#define UPLINK_MAGIC	   0x6d6e6502u
#define UPLINK_NAME_MAX	   128
#define UPLINK_IP_MAX	   46
#define UPLINK_PORTS_MAX   64	/* in one packet, of two sockets each */
#define UPLINK_FDS_MAX	   128	/* below SCM_MAX_FD */
#define UPLINK_REPORT_SIZE 2048 /* bytes of one */
#define UPLINK_REPORTS_MAX 200	/* a second */
#define UPLINK_HOST_PORTS  128	/* HOST_PORTS_MAX */

enum uplink_wire_type {
	UPLINK_ADD_PORTS = 1,
	UPLINK_REMOVE_PORTS,
	UPLINK_ANSWER,
	UPLINK_REPORT,
};

struct uplink_wire_host_port {
	uint16_t host;
	uint16_t container;
};

struct uplink_wire_start {
	uint32_t magic;
	uint32_t address; /* network byte order */
	uint32_t port_count;
	uint32_t host_loopback;
	uint32_t has_tap;
	uint32_t has_egress;
	uint32_t has_hosts;   /* ports have addresses in place of sockets */
	uint8_t address6[16]; /* zero: has none */
	char name[UPLINK_NAME_MAX];
	uint32_t host_port_count;
	struct uplink_wire_host_port host_ports[UPLINK_HOST_PORTS];
};

struct uplink_wire_port {
	uint32_t id;
	uint16_t container_port;
	uint8_t protocol;
	uint8_t fd_count;
	uint16_t host_port;	     /* with has_hosts */
	char host_ip[UPLINK_IP_MAX]; /* likewise */
};

struct uplink_wire_ports {
	uint32_t type;
	uint32_t request; /* what the answer names; 0 at the start */
	uint32_t count;
	struct uplink_wire_port ports[UPLINK_PORTS_MAX];
};

struct uplink_wire_answer {
	uint32_t type;
	uint32_t request;
	int32_t result; /* 0 or a negative errno */
};

/* Sent up to the end of the text. */
struct uplink_wire_report {
	uint32_t type;
	uint32_t kind; /* enum uplink_report_kind */
	uint32_t lost; /* that were dropped before this one */
	uint32_t length;
	char bytes[UPLINK_REPORT_SIZE];
};
