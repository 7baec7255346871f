/*
 * Where an HTTP/1 request ends and the next one begins (RFC 9112, sections 6
 * and 7), so that each one of a connection is looked at. What two servers could
 * read in two ways is refused: a length and chunks at once, either of them
 * twice, another coding, lines without CR.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum egress_body_state {
	BODY_FIRST,   /* nothing has come yet */
	BODY_BETWEEN, /* another head comes next */
	BODY_BYTES,   /* `left` of them */
	BODY_SIZE,    /* a chunk's, in `left`, of `digits` so far */
	BODY_EXTENSION,
	BODY_SIZE_LF,
	BODY_CHUNK, /* `left` bytes */
	BODY_CHUNK_CR,
	BODY_CHUNK_LF,
	BODY_TRAILER, /* the beginning of a line */
	BODY_TRAILER_LINE,
	BODY_TRAILER_LF,
	BODY_END_LF,
};

struct egress_body {
	uint8_t state; /* enum egress_body_state */
	uint8_t digits;
	bool may_change; /* the protocol, behind this request */
	uint64_t left;
};

/*
 * What follows a head that egress_head_parse() has found to be of HTTP; the
 * head's length, or -1 when that is ambiguous.
 */
ssize_t egress_body_begin(const uint8_t *head, size_t length,
			  struct egress_body *ret_body);
/*
 * How many bytes of data are of the body, or empty lines behind it, so that
 * what follows is a head; -1 when they are malformed.
 */
ssize_t egress_body_take(struct egress_body *body, const uint8_t *data,
			 size_t length);
