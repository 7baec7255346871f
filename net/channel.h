/*
 * moss-net's end of its conversation with the monitor: net/uplink_wire.h. Never
 * waits once moss-net serves: a monitor that is stopped costs reports, not
 * connections.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "net/forward.h"
#include "net/uplink.h"
#include "net/uplink_wire.h"

/*
 * Length of the next packet, 0 when the other end is closed, -EAGAIN without
 * one if !wait, -EMSGSIZE for one that is too long, whose descriptors are
 * closed. fds has room for UPLINK_FDS_MAX.
 */
ssize_t channel_receive(bool wait, void *data, size_t size, int *fds,
			size_t *ret_fd_count);
/*
 * The listeners that a packet of length bytes adds, with fd_count descriptors,
 * at most UPLINK_FDS_MAX: their number, or -EINVAL for what is none of ours.
 */
ssize_t channel_parse_ports(const struct uplink_wire_ports *packet,
			    size_t length, const int *fds, size_t fd_count,
			    struct forward_listener *ret_listeners);
/* 0, or -EAGAIN when it has to be tried again. */
int channel_answer(uint32_t request, int result);
/* Of one thread. What is longer than UPLINK_REPORT_SIZE is cut. */
void channel_report(enum uplink_report_kind kind, const void *bytes,
		    size_t length);
