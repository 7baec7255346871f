/*
 * A TCP connection refused by the uplink itself: what a host answers on whose
 * port nobody listens, so that the client fails at once and with the usual
 * words, where the library would say that a network is unreachable.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/packet.h"

/*
 * The answer to an Ethernet frame of the container's; its length, 0 when the
 * frame asks for no TCP connection.
 */
size_t refuse_tcp(const uint8_t *frame, size_t length,
		  uint8_t ret_frame[PACKET_HEADERS_MAX]);
