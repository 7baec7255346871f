/*
 * Whom the first bytes of a connection are for: the server name of a TLS
 * ClientHello (RFC 8446, RFC 6066) or the Host of an HTTP/1 request (RFC 9112).
 * All of it is a container's: nothing is allocated, every length is checked,
 * and what a server might read otherwise than we do (two Hosts, a folded line,
 * a target that contradicts its Host, a PROXY protocol header before it all) is
 * refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/egress_policy.h"

#define EGRESS_HEAD_MAX 16384 /* bytes until it must be complete */

enum egress_head {
	EGRESS_HEAD_MORE,    /* it is not complete */
	EGRESS_HEAD_OTHER,   /* neither TLS nor HTTP */
	EGRESS_HEAD_TLS,     /* with a name */
	EGRESS_HEAD_HTTP,    /* likewise */
	EGRESS_HEAD_NO_NAME, /* TLS without SNI, HTTP without Host, HTTP/2
				without TLS */
	EGRESS_HEAD_BAD,
};

/*
 * data: from the first byte on; ended: nothing follows. ret_name is set with
 * TLS and HTTP: lower case, without port and dot at the end.
 */
enum egress_head egress_head_parse(const uint8_t *data, size_t length,
				   bool ended, char ret_name[EGRESS_NAME_MAX]);
