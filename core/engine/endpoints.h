/*
 * A container's endpoints: its places on named networks, the member
 * Moss.Networks of container.json, an array of
 *
 *   what was asked for   "Name", "Id", "EndpointId", "IPAMConfig", "Aliases",
 *                        "GivenMac", "GwPriority"
 *   what it got          "Address", "Prefix", "Gateway", "Address6", …, "Mac"
 *   of the network       "Mtu", "Internal", "Isolated", "HostLoopback"
 *   "DefaultRoute"       bool: everywhere else is reached over this one
 *
 * The first half is written when the container is created or connected, the
 * rest when it starts (endpoints_prepare()), or, running, is connected. An
 * address stays the container's until it is removed or disconnected; the start
 * asks for the same again.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/engine.h"
#include "core/monitor/record.h"

/*
 * The networks that a ContainerCreate body names, mode's first, as an array;
 * names that the built-in networks have are passed over. kind: what mode is.
 */
int endpoints_parse(struct engine *engine, const cJSON *body, const char *mode,
		    enum launch_network kind, cJSON **ret_array,
		    struct error *err);
/* One of them, from an EndpointSettings object (may be NULL). */
int endpoint_make(struct engine *engine, const char *network,
		  const cJSON *settings, cJSON **ret_endpoint,
		  struct error *err);
/* The one on the network called so; NULL: none. */
cJSON *endpoint_find(const cJSON *container, const char *network);

/*
 * Claims addresses and fills in all that the monitor needs. Changes container,
 * which is then to be written. Repeatable.
 */
int endpoints_prepare(struct engine *engine, const char *id, cJSON *container,
		      struct error *err);
/* Gives the addresses of all (network NULL) or one back. */
void endpoints_release(struct engine *engine, const char *id,
		       const cJSON *container, const char *network);

/* docker's EndpointSettings; running: with what it has now. */
cJSON *endpoint_json(const cJSON *container, const cJSON *endpoint,
		     bool running);
