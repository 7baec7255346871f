/*
 * The network helpers of a container (net/uplink.h), and its published ports.
 *
 *   HELPER_UPLINK   its way out, and the ports it is started with; on named
 *                   networks, where the way out is the network's, the ports
 *                   alone, and none without ports; host ports
 *                   (net/host_port.h) are always its
 *   HELPER_PORTS    without a tap: the ports of a container whose uplink has
 *                   none at its start, from the first that is added on
 *
 * launch.ports has what is wanted, forwards what is bound, state.ports where:
 * one entry for each mapping, in the same order. The monitor keeps the sockets,
 * so that a helper that dies or is stopped is started again with all of them
 * and nobody else gets the ports meanwhile.
 *
 * While the container runs, ports come and go as container.json changes
 * (ports_sync()): bound here, then told to the helper. Who asked is answered
 * when the helper has answered, or has been started again because it did not
 * for HELPER_TIMEOUT_MS; nothing waits for it meanwhile.
 *
 * A helper talks to the world, so what it says is checked (uplink_receive());
 * one that says what no moss-net says, or more than it may, is killed and
 * started again. A helper that dies too often is let go, with what it served.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "net/uplink.h"

struct monitor;

#define HELPER_TIMEOUT_MS 5000

enum helper_kind { HELPER_UPLINK, HELPER_PORTS, HELPER_COUNT };

struct helper {
	struct monitor *monitor;
	struct uplink uplink;
	struct loop_source *source; /* what it says */
	bool takes_ports;	    /* it was started with some */
	unsigned int restarts;
	int64_t restarted_ms; /* clock_ms(), of the last */
	int64_t second;	      /* in which it has sent so many reports */
	unsigned int reports;
	uint32_t answered; /* the last request of which it has told */
};

/* ---- helpers.c ---- */

void helpers_init(struct monitor *monitor);
/* Does the container have a network of its own, to publish ports of? */
bool helpers_can_publish(const struct monitor *monitor);
/*
 * The two halves of the start of what a container needs, around its own: its
 * process, early, and what it serves, once there is a network namespace.
 */
int helpers_spawn(struct monitor *monitor, struct error *err);
int helpers_configure(struct monitor *monitor, struct error *err);
/* The helper that serves the ports, NULL when none does. */
struct helper *helpers_find_ports(struct monitor *monitor);
/* Starts one for all ports. */
int helpers_start_ports(struct monitor *monitor, struct error *err);
/* The one that serves the ports anew: they lead elsewhere. */
int helpers_restart_ports(struct monitor *monitor, struct error *err);
/* It does not answer: its end is noticed, and it is started again. */
void helper_kill(const struct helper *helper);
/* What they have said up to now is heard. */
void helpers_drain(struct monitor *monitor);
void helpers_stop(struct monitor *monitor);
/* True when pid was one of them; it is started again. */
bool helpers_ended(struct monitor *monitor, pid_t pid);
bool helpers_include(const struct monitor *monitor, pid_t pid);
/* Somebody has stopped it, which would leave the container without network. */
void helpers_continue(const struct monitor *monitor, pid_t pid);

/* ---- port_owner.c ---- */

/* Adds to the error of a port that is in use which container uses it. */
void ports_explain(struct monitor *monitor, const struct port_mapping *wanted,
		   struct error *err);

/* ---- resolvers.c ---- */

/* From the start of the helpers to their end: both are fine at any time. */
void resolvers_start(struct monitor *monitor);
void resolvers_stop(struct monitor *monitor);

/* ---- ports.c ---- */

/*
 * Does libslirp listen on the host? Then they are bound here to find out where,
 * and whether they can be, and left to it, who can take no socket over. They
 * stay as they are while the container runs.
 */
bool ports_are_slirps(const struct monitor *monitor);
/* Those of the record, for a run. */
int ports_bind(struct monitor *monitor, struct error *err);
void ports_close(struct monitor *monitor);
/*
 * The record was changed: what is wanted now is bound, and what is not is
 * closed; of equal ones those that are bound as `drop` tells go first. Fails
 * without a change. *ret_request: 0, or what ports_settled() will be called
 * for.
 */
int ports_sync(struct monitor *monitor, const struct port_list *drop,
	       uint32_t *ret_request, struct error *err);
/* A helper's answer to a request. */
void ports_answered(struct monitor *monitor, uint32_t request, int result);
/* The helper was started again with all ports, or, with err, was not. */
void ports_restarted(struct monitor *monitor, const struct error *err);
