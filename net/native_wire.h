/*
 * The conversation of net/native.c with moss-native, over a SOCK_SEQPACKET pair
 * that moss-native has as descriptor NATIVE_SOCKET.
 *
 *   > struct native_wire_start, with the network namespace and, if it is not
 *     the starter's own, the user namespace
 *   > struct native_wire_port, port_count times, with its sockets
 *   < HELPER_READY, or a struct error
 *   > NATIVE_LISTEN, any time and number, with the end of notifications
 *
 * Both ends come from one build; magic catches a stray helper program.
 */
#pragma once

#include <stdint.h>

#include "net/native.h"

#define NATIVE_SOCKET	3
#define NATIVE_MAGIC	0x6d6e6174u
#define NATIVE_LISTEN	"listen"
#define NATIVE_NAME_MAX 128
#define NATIVE_FDS_MAX	2

struct native_wire_start {
	uint32_t magic;
	uint32_t port_count;
	uint32_t address_count;
	uint32_t has_userns;
	uint32_t boundary;
	/* IPv4 as v4-mapped. */
	uint8_t addresses[NATIVE_ADDRESSES_MAX][16];
	char name[NATIVE_NAME_MAX];
};

struct native_wire_port {
	uint32_t container_port;
	uint32_t fd_count;
};
