/*
 * Which of the container's Ethernet frames may reach the uplink.
 *
 * The uplink turns a packet's destination into a connect(2) or sendto(2) on
 * the host. A container with a raw socket writes any destination it likes, so
 * those that would mean the host's own loopback are refused here, whatever the
 * library makes of them: 127.0.0.0/8, 0.0.0.0/8, ::1, ::, IPv4 addresses in
 * IPv6 clothes. The sanctioned way is the gateway's address, which the library
 * allows or refuses by configuration. Multicast, link-local and everything that
 * is not ARP, IPv4 or IPv6 has no use on this wire.
 *
 * Fragments and IPv4 options are refused, too: at an MTU of 64 KiB an honest
 * container sends neither, and crafted ones crash the reassembly of libslirp
 * 4.7.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool frame_is_allowed(const uint8_t *frame, size_t length);
