#include "net/egress_head.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "net/bytes.h"

#define RECORD_HEADER	 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX	 16384
#define CLIENT_HELLO	 1
#define SERVER_NAME	 0
#define VERSION_SIZE	 8 /* "HTTP/1.1" */

/* A ClientHello without the records around it. */
struct hello {
	uint8_t bytes[EGRESS_HEAD_MAX];
	size_t length, offset;
	bool broken; /* something reached past the end */
};

/* A name in any case into lower case; false when it is none. */
static bool take_name(const uint8_t *text, size_t length,
		      char ret_name[EGRESS_NAME_MAX])
{
	if (length > 0 && text[length - 1] == '.')
		length--;
	if (length == 0 || length >= EGRESS_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\0' || !isascii(text[i]) ||
		    (!isalnum(text[i]) && !strchr("-_.:[]", text[i])))
			return false;
		ret_name[i] = (char)tolower(text[i]);
	}
	ret_name[length] = '\0';
	return true;
}

/* What of the handshake is there; MORE, OTHER once it is complete, BAD. */
static enum egress_head collect_hello(const uint8_t *data, size_t length,
				      struct hello *hello)
{
	while (length >= RECORD_HEADER) {
		size_t record = get16(data + 3);
		size_t want;

		if (data[0] != RECORD_HANDSHAKE || data[1] != 3 ||
		    record == 0 || record > RECORD_MAX)
			return EGRESS_HEAD_BAD;
		data += RECORD_HEADER;
		length -= RECORD_HEADER;
		if (record > length)
			record = length;
		if (record > sizeof(hello->bytes) - hello->length)
			record = sizeof(hello->bytes) - hello->length;
		memcpy(hello->bytes + hello->length, data, record);
		hello->length += record;
		data += record;
		length -= record;
		if (hello->length < 4)
			continue;
		want = 4 + (size_t)hello->bytes[1] * 65536 +
		       get16(hello->bytes + 2);
		if (hello->bytes[0] != CLIENT_HELLO ||
		    want > sizeof(hello->bytes))
			return EGRESS_HEAD_BAD;
		if (hello->length < want)
			continue;
		hello->length = want;
		return EGRESS_HEAD_OTHER;
	}
	return EGRESS_HEAD_MORE;
}

/* size bytes further; NULL, and broken, when there are not so many. */
static const uint8_t *take(struct hello *hello, size_t size)
{
	const uint8_t *at = hello->bytes + hello->offset;

	if (hello->broken || size > hello->length - hello->offset) {
		hello->broken = true;
		return NULL;
	}
	hello->offset += size;
	return at;
}

/* A vector behind its length of one or two bytes. */
static const uint8_t *take_vector(struct hello *hello, size_t length_size,
				  size_t *ret_length)
{
	const uint8_t *length = take(hello, length_size);

	*ret_length = 0;
	if (!length)
		return NULL;
	*ret_length = length_size == 1 ? length[0] : get16(length);
	return take(hello, *ret_length);
}

/* One name of type host_name. */
static bool parse_server_name(const uint8_t *list, size_t length,
			      char ret_name[EGRESS_NAME_MAX])
{
	size_t size;

	if (length < 5 || get16(list) != length - 2 || list[2] != 0)
		return false;
	size = get16(list + 3);
	return size == length - 5 && take_name(list + 5, size, ret_name);
}

static enum egress_head parse_hello(struct hello *hello,
				    char ret_name[EGRESS_NAME_MAX])
{
	bool found = false;
	size_t length;

	hello->offset = 4;
	take(hello, 2 + 32);		/* version, random */
	take_vector(hello, 1, &length); /* session */
	take_vector(hello, 2, &length); /* cipher suites */
	take_vector(hello, 1, &length); /* compression */
	if (!hello->broken && hello->offset == hello->length)
		return EGRESS_HEAD_NO_NAME;
	take(hello, 2);
	while (!hello->broken && hello->offset < hello->length) {
		const uint8_t *type = take(hello, 2);
		const uint8_t *value = take_vector(hello, 2, &length);

		if (!value || get16(type) != SERVER_NAME)
			continue;
		if (found || !parse_server_name(value, length, ret_name))
			return EGRESS_HEAD_BAD;
		found = true;
	}
	if (hello->broken)
		return EGRESS_HEAD_BAD;
	return found ? EGRESS_HEAD_TLS : EGRESS_HEAD_NO_NAME;
}

static enum egress_head parse_tls(const uint8_t *data, size_t length,
				  char ret_name[EGRESS_NAME_MAX])
{
	struct hello hello;
	enum egress_head head;

	hello.length = hello.offset = 0;
	hello.broken = false;
	head = collect_hello(data, length, &hello);
	return head == EGRESS_HEAD_OTHER ? parse_hello(&hello, ret_name) : head;
}

/* RFC 9110, section 5.6.2. */
static bool is_token(uint8_t c)
{
	return c > ' ' && c < 127 && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* "host:443", "[::1]:80" with what a URL may have before and after it. */
static bool take_authority(const uint8_t *text, size_t length,
			   char ret_name[EGRESS_NAME_MAX])
{
	size_t end = 0;
	size_t digits;

	if (length > 0 && text[0] == '[') {
		while (end < length && text[end] != ']')
			end++;
		end++;
	} else {
		while (end < length && text[end] != ':')
			end++;
	}
	if (end > length)
		return false;
	digits = end < length ? end + 1 : end;
	if (end < length && text[end] != ':')
		return false;
	for (; digits < length; digits++) {
		if (!isdigit(text[digits]))
			return false;
	}
	return take_name(text, end, ret_name);
}

/* The authority of "http://host/path"; 1, 0 when target is no such URL, -1. No
   byte of target is NUL. */
static int take_target(const uint8_t *target, size_t length,
		       char ret_name[EGRESS_NAME_MAX])
{
	size_t start = 0;
	size_t end;

	while (start < length &&
	       (isalnum(target[start]) || strchr("+-.", target[start])))
		start++;
	if (start == 0 || length - start < 3 ||
	    memcmp(target + start, "://", 3) != 0)
		return 0;
	start += 3;
	end = start;
	while (end < length && !strchr("/?#", target[end]))
		end++;
	return take_authority(target + start, end - start, ret_name) ? 1 : -1;
}

struct request {
	bool has_host;
	char host[EGRESS_NAME_MAX];
	int has_target; /* as of take_target() */
	char target[EGRESS_NAME_MAX];
};

enum line { LINE_REQUEST, LINE_OTHER, LINE_HTTP2, LINE_BAD };

/* What a lenient server could still take for a request. */
static bool resembles_request(const uint8_t *line, size_t length, size_t method)
{
	if (length > method + 1 && line[method + 1] == '/')
		return true;
	for (size_t i = method; i + 5 <= length; i++) {
		if (strncasecmp((const char *)line + i, "HTTP/", 5) == 0)
			return true;
	}
	return false;
}

static enum line parse_target(const uint8_t *target, size_t length,
			      bool is_connect, struct request *request)
{
	for (size_t i = 0; i < length; i++) {
		if (target[i] <= ' ' || target[i] == 127)
			return LINE_BAD;
	}
	if (is_connect)
		request->has_target =
			take_authority(target, length, request->target) ? 1
									: -1;
	else
		request->has_target =
			take_target(target, length, request->target);
	return request->has_target < 0 ? LINE_BAD : LINE_REQUEST;
}

/* line: without its end. METHOD SP TARGET SP VERSION, and nothing looser. */
static enum line parse_request_line(const uint8_t *line, size_t length,
				    struct request *request)
{
	size_t method = 0;
	size_t end = length;

	while (method < length && is_token(line[method]))
		method++;
	if (!resembles_request(line, length, method))
		return LINE_OTHER;
	while (end > 0 && line[end - 1] != ' ')
		end--;
	if (length - end != VERSION_SIZE ||
	    memcmp(line + end, "HTTP/", 5) != 0 || line[end + 6] != '.' ||
	    !isdigit(line[end + 7]) || end < method + 2)
		return LINE_BAD;
	if (line[end + 5] != '1')
		return LINE_HTTP2;
	return parse_target(line + method + 1, end - method - 2,
			    method == 7 && memcmp(line, "CONNECT", 7) == 0,
			    request);
}

/* False when it is not to be understood in one way only. */
static bool parse_field(const uint8_t *line, size_t length,
			struct request *request)
{
	size_t name = 0;
	size_t start;

	while (name < length && is_token(line[name]))
		name++;
	if (name == 0 || name == length || line[name] != ':')
		return false;
	if (name != 4 || strncasecmp((const char *)line, "Host", 4) != 0)
		return true;
	if (request->has_host)
		return false;
	start = name + 1;
	while (start < length && is_space(line[start]))
		start++;
	while (length > start && is_space(line[length - 1]))
		length--;
	request->has_host = true;
	return take_authority(line + start, length - start, request->host);
}

static enum egress_head judge_request(const struct request *request,
				      char ret_name[EGRESS_NAME_MAX])
{
	if (!request->has_host && !request->has_target)
		return EGRESS_HEAD_NO_NAME;
	if (request->has_host && request->has_target &&
	    !str_equal(request->host, request->target))
		return EGRESS_HEAD_BAD;
	memcpy(ret_name, request->has_host ? request->host : request->target,
	       EGRESS_NAME_MAX);
	return EGRESS_HEAD_HTTP;
}

/* Length of the line at data without its end; *ret_next is behind that. */
static bool next_line(const uint8_t *data, size_t length, size_t *ret_line,
		      size_t *ret_next)
{
	const uint8_t *end = memchr(data, '\n', length);

	if (!end)
		return false;
	*ret_line = (size_t)(end - data);
	*ret_next = *ret_line + 1;
	if (*ret_line > 0 && data[*ret_line - 1] == '\r')
		(*ret_line)--;
	return true;
}

static bool has_control(const uint8_t *line, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((line[i] < ' ' && line[i] != '\t') || line[i] == 127)
			return true;
	}
	return false;
}

static enum egress_head parse_fields(const uint8_t *data, size_t length,
				     struct request *request,
				     char ret_name[EGRESS_NAME_MAX])
{
	size_t line, next;

	while (next_line(data, length, &line, &next)) {
		if (line == 0)
			return judge_request(request, ret_name);
		if (has_control(data, line) ||
		    !parse_field(data, line, request))
			return EGRESS_HEAD_BAD;
		data += next;
		length -= next;
	}
	return EGRESS_HEAD_MORE;
}

/*
 * "003egit-upload-pack /project\0host=…": git's own protocol, which has no
 * lines. What has one before the NUL could be of a server that takes any word
 * for a method.
 */
static bool is_git(const uint8_t *data, size_t length)
{
	const uint8_t *end = memchr(data, '\0', length);

	if (!end || length < 8 || memcmp(data + 4, "git-", 4) != 0 ||
	    memchr(data, '\n', (size_t)(end - data)))
		return false;
	for (size_t i = 0; i < 4; i++) {
		if (!isxdigit(data[i]))
			return false;
	}
	return true;
}

/* Could data be the beginning of a request? */
static bool looks_like_request(const uint8_t *data, size_t length)
{
	size_t method = 0;

	if (is_git(data, length))
		return false;
	while (method < length && is_token(data[method]))
		method++;
	/* However long: there are servers for which any word is one. */
	return method == length || (method > 0 && is_space(data[method]));
}

/*
 * A header of the PROXY protocol, version 1 or 2. Who it is for comes behind
 * it, which a server that takes such a header from anybody would read.
 */
static bool is_proxied(const uint8_t *data, size_t length)
{
	static const char text[] = "PROXY ";
	static const uint8_t binary[] = "\r\n\r\n\0";

	return (length >= sizeof(text) - 1 &&
		memcmp(data, text, sizeof(text) - 1) == 0) ||
	       (length >= sizeof(binary) - 1 &&
		memcmp(data, binary, sizeof(binary) - 1) == 0);
}

static enum egress_head parse_http(const uint8_t *data, size_t length,
				   bool ended, char ret_name[EGRESS_NAME_MAX])
{
	struct request request = {0};
	size_t line, next;

	if (is_proxied(data, length))
		return EGRESS_HEAD_BAD;
	/* Servers pass over empty lines before a request. */
	while (length > 0 && (*data == '\r' || *data == '\n')) {
		data++;
		length--;
	}
	/* Some take a request for one that begins with a blank. */
	if (length > 0 && (is_space(*data) || *data == '\v' || *data == '\f'))
		return EGRESS_HEAD_BAD;
	if (length > 0 && !looks_like_request(data, length))
		return EGRESS_HEAD_OTHER;
	if (!next_line(data, length, &line, &next)) {
		/* Without a blank it is not even the line of a request. */
		if (ended && !memchr(data, ' ', length) &&
		    !memchr(data, '\t', length))
			return EGRESS_HEAD_OTHER;
		return EGRESS_HEAD_MORE;
	}
	switch (parse_request_line(data, line, &request)) {
	case LINE_OTHER:
		return EGRESS_HEAD_OTHER;
	case LINE_HTTP2:
		return EGRESS_HEAD_NO_NAME;
	case LINE_BAD:
		return EGRESS_HEAD_BAD;
	case LINE_REQUEST:
		break;
	}
	return parse_fields(data + next, length - next, &request, ret_name);
}

enum egress_head egress_head_parse(const uint8_t *data, size_t length,
				   bool ended, char ret_name[EGRESS_NAME_MAX])
{
	if (length == 0)
		return EGRESS_HEAD_MORE;
	if (data[0] == RECORD_HANDSHAKE) {
		if (length > 1 && data[1] != 3)
			return EGRESS_HEAD_OTHER;
		return parse_tls(data, length, ret_name);
	}
	return parse_http(data, length, ended, ret_name);
}
