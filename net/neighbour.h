/*
 * libslirp asks for the link-layer address of whom it has a packet for, by ARP
 * and IPv6 neighbour discovery. On a wire without a link layer (a named
 * network's) the answer is always the same: hand it to the kernel, which knows
 * the way.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NEIGHBOUR_FRAME_MAX 86

/* Who is said to be everybody; locally administered. */
extern const uint8_t neighbour_mac[6];

/*
 * The answer to frame, an Ethernet frame of libslirp's; its length, 0 when the
 * frame asks for nobody.
 */
size_t neighbour_answer(const uint8_t *frame, size_t length,
			uint8_t ret_frame[NEIGHBOUR_FRAME_MAX]);
