/*
 * A TCP connection refused by the uplink itself: what a host answers on whose
 * port nobody listens, so that the client fails at once and with the usual
 * words, where the library would say that a network is unreachable.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define REFUSE_FRAME_MAX 74 /* Ethernet, IPv6, TCP without options */

/*
 * The answer to frame, an allowed Ethernet frame (net/frame.h); its length, 0
 * when the frame asks for no TCP connection.
 */
size_t refuse_tcp(const uint8_t *frame, size_t length,
		  uint8_t ret_frame[REFUSE_FRAME_MAX]);
