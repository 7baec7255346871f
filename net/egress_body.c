#include "net/egress_body.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Of a length, so that nothing overflows. */
#define DECIMALS_MAX 18
#define HEX_MAX	     15

/* What a head says of its body. */
struct framing {
	bool has_length, is_chunked;
	bool is_old; /* HTTP/1.0, which has no chunks */
	uint64_t length;
};

static bool take_length(const uint8_t *value, size_t length,
			struct framing *framing)
{
	if (framing->has_length || length == 0 || length > DECIMALS_MAX)
		return false;
	framing->has_length = true;
	for (size_t i = 0; i < length; i++) {
		if (!isdigit(value[i]))
			return false;
		framing->length = framing->length * 10 + (value[i] - '0');
	}
	return true;
}

static bool take_coding(const uint8_t *value, size_t length,
			struct framing *framing)
{
	static const char chunked[] = "chunked";

	if (framing->is_chunked || framing->is_old ||
	    length != sizeof(chunked) - 1 ||
	    strncasecmp((const char *)value, chunked, length) != 0)
		return false;
	framing->is_chunked = true;
	return true;
}

static bool is_named(const uint8_t *line, size_t name, const char *wanted)
{
	return name == strlen(wanted) &&
	       strncasecmp((const char *)line, wanted, name) == 0;
}

static bool take_field(const uint8_t *line, size_t length,
		       struct framing *framing, bool *may_change)
{
	const uint8_t *colon = memchr(line, ':', length);
	size_t name = colon ? (size_t)(colon - line) : length;
	size_t start = name + 1;

	while (start < length && (line[start] == ' ' || line[start] == '\t'))
		start++;
	while (length > start &&
	       (line[length - 1] == ' ' || line[length - 1] == '\t'))
		length--;
	if (start > length)
		start = length;
	if (is_named(line, name, "Content-Length"))
		return take_length(line + start, length - start, framing);
	if (is_named(line, name, "Transfer-Encoding"))
		return take_coding(line + start, length - start, framing);
	if (is_named(line, name, "Upgrade"))
		*may_change = true;
	return true;
}

static void take_request_line(const uint8_t *line, size_t length,
			      struct framing *framing, bool *may_change)
{
	*may_change = length > 8 && memcmp(line, "CONNECT ", 8) == 0;
	framing->is_old = length > 0 && line[length - 1] == '0';
}

ssize_t egress_body_begin(const uint8_t *head, size_t length,
			  struct egress_body *ret_body)
{
	struct egress_body body = {.state = BODY_BETWEEN};
	struct framing framing = {0};
	size_t offset = 0;
	bool first = true;

	while (offset < length &&
	       (head[offset] == '\r' || head[offset] == '\n'))
		offset++;
	for (;;) {
		const uint8_t *line = head + offset;
		const uint8_t *end = memchr(line, '\n', length - offset);
		size_t size;

		if (!end)
			return -1;
		size = (size_t)(end - line);
		offset += size + 1;
		if (size > 0 && line[size - 1] == '\r')
			size--;
		if (size == 0)
			break;
		if (first)
			take_request_line(line, size, &framing,
					  &body.may_change);
		else if (!take_field(line, size, &framing, &body.may_change))
			return -1;
		first = false;
	}
	if (framing.has_length && framing.is_chunked)
		return -1;
	if (framing.is_chunked) {
		body.state = BODY_SIZE;
	} else if (framing.length > 0) {
		body.state = BODY_BYTES;
		body.left = framing.length;
	}
	*ret_body = body;
	return (ssize_t)offset;
}

static int hex_digit(uint8_t c)
{
	if (isdigit(c))
		return c - '0';
	return isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

static bool take_size(struct egress_body *body, uint8_t c)
{
	int digit = hex_digit(c);

	if (digit >= 0 && body->digits < HEX_MAX) {
		body->left = body->left * 16 + (uint64_t)digit;
		body->digits++;
		return true;
	}
	if (body->digits == 0)
		return false;
	if (c == '\r')
		body->state = BODY_SIZE_LF;
	else if (c == ';' || c == ' ' || c == '\t')
		body->state = BODY_EXTENSION;
	else
		return false;
	return true;
}

/* A byte that has to be c; then it goes on with state. */
static bool expect(struct egress_body *body, uint8_t is, uint8_t wanted,
		   enum egress_body_state state)
{
	body->state = (uint8_t)state;
	return is == wanted;
}

/* A line whose content is of no interest. */
static bool pass_line(struct egress_body *body, uint8_t c,
		      enum egress_body_state at_end)
{
	if (c == '\r')
		body->state = (uint8_t)at_end;
	return c != '\n' && c != '\0';
}

static void begin_chunk(struct egress_body *body)
{
	body->digits = 0;
	body->left = 0;
	body->state = BODY_SIZE;
}

static bool take_byte(struct egress_body *body, uint8_t c)
{
	switch ((enum egress_body_state)body->state) {
	case BODY_SIZE:
		return take_size(body, c);
	case BODY_EXTENSION:
		return pass_line(body, c, BODY_SIZE_LF);
	case BODY_SIZE_LF:
		return expect(body, c, '\n',
			      body->left > 0 ? BODY_CHUNK : BODY_TRAILER);
	case BODY_CHUNK_CR:
		return expect(body, c, '\r', BODY_CHUNK_LF);
	case BODY_CHUNK_LF:
		begin_chunk(body);
		return c == '\n';
	case BODY_TRAILER:
		body->state = BODY_TRAILER_LINE;
		return c == '\r' ? expect(body, c, '\r', BODY_END_LF)
				 : pass_line(body, c, BODY_TRAILER_LF);
	case BODY_TRAILER_LINE:
		return pass_line(body, c, BODY_TRAILER_LF);
	case BODY_TRAILER_LF:
		return expect(body, c, '\n', BODY_TRAILER);
	case BODY_END_LF:
		return expect(body, c, '\n', BODY_BETWEEN);
	case BODY_FIRST:
	case BODY_BETWEEN:
	case BODY_BYTES:
	case BODY_CHUNK:
		break;
	}
	return false;
}

/* Up to `left` bytes at once. */
static size_t skip(struct egress_body *body, size_t length)
{
	size_t count = body->left < length ? (size_t)body->left : length;

	body->left -= count;
	if (body->left == 0)
		body->state = body->state == BODY_CHUNK ? BODY_CHUNK_CR
							: BODY_BETWEEN;
	return count;
}

ssize_t egress_body_take(struct egress_body *body, const uint8_t *data,
			 size_t length)
{
	size_t offset = 0;

	while (offset < length) {
		if (body->state == BODY_BYTES || body->state == BODY_CHUNK) {
			offset += skip(body, length - offset);
		} else if (body->state == BODY_FIRST) {
			break;
		} else if (body->state != BODY_BETWEEN) {
			if (!take_byte(body, data[offset]))
				return -1;
			offset++;
		} else if (data[offset] == '\r' || data[offset] == '\n') {
			offset++;
		} else {
			break;
		}
	}
	return (ssize_t)offset;
}
