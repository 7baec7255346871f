/*
 * A container on named networks: the monitor's part.
 *
 * The engine decides (core/engine/endpoints.h): container.json's
 * Moss.Networks has, ready to use, which networks, with what addresses. The
 * monitor joins them before the container's first program starts, follows when
 * the list changes (networks_sync(), for connect, disconnect and rename), and
 * leaves them when the container ends.
 *
 * Below the store's networks/NAME/ (core/engine/network_store.h has the rest):
 *
 *   operation.lock   held by who makes the bridge, starts the gateway, joins or
 *                    leaves, and by who removes the network
 *   gateway.json     {"Pid", "Start", "Device", "Inode"}: the gateway process
 *                    (net/gateway.h) and the namespace that it holds
 *   endpoints/ID     a container that is there; locked by its monitor, which is
 *                    what counts: without that it is the trace of a killed one
 *                    {"Monitor", "Start", "Netns": descriptor, "Device",
 *                     "Inode", "Names": […], "Address", "Address6", "Mac",
 *                     "Forward": may it ask for names of the world?,
 *                     "Routed": has it an egress policy?,
 *                     "Dns": […]: whom they are asked for}
 *
 * The namespace is found through whoever holds it, the gateway or a monitor, by
 * their /proc/PID/fd. The first container to come finds nobody and makes it;
 * with the last one, and the gateway after its grace, it goes. A gateway that
 * dies is noticed by every monitor (pidfd), and the first to have the lock
 * starts another on the same bridge.
 */
#pragma once

#include "base/error.h"
#include "core/monitor/record.h"

struct monitor;
struct membership;

/* Joins all networks of the record. Half of it is undone by networks_leave().
 */
int networks_join(struct monitor *monitor, struct error *err);
/* The record was changed: joins and leaves accordingly. */
int networks_sync(struct monitor *monitor, struct error *err);
void networks_leave(struct monitor *monitor);

/*
 * The network over which the world is reached, and published ports reach the
 * container; NULL: none.
 */
const struct record_network *
networks_primary(const struct record_launch *launch);
