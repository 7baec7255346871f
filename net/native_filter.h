/*
 * The filter of a socket that is handed into a container (net/native.h).
 *
 * It sees the TCP header of each segment that arrives, on this socket and on
 * all that are accepted from it, however they are passed on, and it is locked:
 * the kernel lets nobody replace or remove it, capabilities or not. It drops
 *
 *   what is for another port: an accepted socket that is disconnected and bound
 *      again to another of the host's ports hears nothing;
 *   SYN+ACK: a connect() from here, to the host's loopback or anywhere, can
 *      never be established;
 *   RST+ACK with sequence number 0, the answer to a SYN at a closed port: open
 *      and closed ports look the same. The reset of a connection has its
 *      sequence number (0 once in four billion: then it times out instead).
 */
#pragma once

#include <stdint.h>

/* Sets and locks it; -EPERM where the kernel keeps it for administrators. */
int native_filter_lock(int fd, uint16_t port);
