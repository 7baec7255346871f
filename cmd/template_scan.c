#include "cmd/template_scan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/text.h"

#define SHOWN 60 /* characters of a wrong word in a message */

void *parse_fail(struct parser *p, const char *format, ...)
{
	char message[256];
	va_list arguments;
	int line = 1;

	for (const char *c = p->start; c < p->at; c++)
		line += *c == '\n';
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	err_set(p->err, ERROR_INVALID,
		"template parsing error: template: :%d: %s", line, message);
	return NULL;
}

/* "41" of "\x41": digits of a base. -1: not that many. */
static long escape_number(const char **at, const char *end, int base, int count)
{
	long number = 0;

	for (int i = 0; i < count; i++) {
		const char *digits = "0123456789abcdef";
		const char *digit =
			*at < end && **at
				? strchr(digits, tolower((unsigned char)**at))
				: NULL;

		if (!digit || digit - digits >= base)
			return -1;
		number = number * base + (digit - digits);
		(*at)++;
	}
	return number;
}

/* What stands behind a backslash. False: no such escape, or a zero byte, which
   a text cannot hold. */
static bool unescape(const char **at, const char *end, char quote,
		     struct str *text)
{
	static const char names[] = "abfnrtv\\";
	static const char bytes[] = "\a\b\f\n\r\t\v\\";
	const char *found;
	long code;
	char c;

	if (*at >= end)
		return false;
	c = *(*at)++;
	found = strchr(names, c);
	if (found || c == quote) {
		str_append_char(text, found ? bytes[found - names] : c);
		return true;
	}
	if (c >= '0' && c <= '7') {
		(*at)--;
		code = escape_number(at, end, 8, 3);
	} else if (c == 'x') {
		code = escape_number(at, end, 16, 2);
	} else if (c == 'u' || c == 'U') {
		code = escape_number(at, end, 16, c == 'u' ? 4 : 8);
		return code > 0 &&
		       text_append_character(text, (unsigned int)code);
	} else {
		return false;
	}
	if (code <= 0 || code > 0xff)
		return false;
	str_append_char(text, (char)code);
	return true;
}

/* The text between two quotes of that kind. */
static bool scan_quoted(struct parser *p, char quote, struct str *text)
{
	static const char *const kinds[] = {
		"quoted string", "raw quoted string", "character constant"};

	p->at++;
	while (p->at < p->end && *p->at != quote &&
	       (quote == '`' || *p->at != '\n')) {
		if (*p->at != '\\' || quote == '`') {
			str_append_char(text, *p->at++);
			continue;
		}
		p->at++;
		if (!unescape(&p->at, p->end, quote, text)) {
			parse_fail(p, "invalid syntax");
			return false;
		}
	}
	if (p->at >= p->end || *p->at != quote) {
		parse_fail(p, "unterminated %s",
			   kinds[quote == '`'	 ? 1
				 : quote == '\'' ? 2
						 : 0]);
		return false;
	}
	p->at++;
	return true;
}

struct node *scan_string(struct parser *p)
{
	cleanup_str struct str text = {0};
	struct node *node;

	if (!scan_quoted(p, *p->at, &text))
		return NULL;
	node = node_new(NODE_STRING);
	node->text = str_steal(&text);
	return node;
}

struct node *scan_character(struct parser *p)
{
	cleanup_str struct str text = {0};
	const char *start = p->at;
	struct node *node;
	unsigned int code = 0;
	size_t length;

	if (!scan_quoted(p, '\'', &text))
		return NULL;
	length = text_character(str_text(&text), &code);
	if (text.length == 0 || length != text.length)
		return parse_fail(p, "malformed character constant: %.*s",
				  (int)(p->at - start), start);
	node = node_new(NODE_NUMBER);
	node->number = code;
	return node;
}

bool scan_is_number(const struct parser *p)
{
	unsigned char c = (unsigned char)*p->at;

	return isdigit(c) || c == '-' || c == '+' ||
	       (c == '.' && p->at + 1 < p->end &&
		isdigit((unsigned char)p->at[1]));
}

/* A whole number with its sign; Go's prefixes: 0x, 0b, 0o, 0. */
static bool whole_number(const char *text, double *ret_number, bool *ret_large)
{
	int base = 10;
	bool negative = *text == '-';
	unsigned long long number;
	char *end;

	text += *text == '-' || *text == '+';
	if (text[0] == '0' && text[1]) {
		char kind = (char)tolower((unsigned char)text[1]);

		base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
		text += kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1;
	}
	if (!isxdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &end, base);
	*ret_large = errno == ERANGE || number > INT64_MAX;
	*ret_number = negative ? -(double)number : (double)number;
	return *end == '\0';
}

static bool read_number(const char *text, double *ret_number, bool *ret_large)
{
	char *end;

	*ret_large = false;
	if (whole_number(text, ret_number, ret_large))
		return true;
	/* strtod() would take "inf" and hexadecimal fractions. */
	if (strspn(text, "0123456789.eE+-") != strlen(text))
		return false;
	*ret_number = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*ret_number);
}

struct node *scan_number(struct parser *p)
{
	cleanup_str struct str text = {0};
	const char *start = p->at;
	struct node *node;
	double number = 0;
	bool large = false;
	int length;

	for (; p->at < p->end; p->at++) {
		char c = *p->at;
		bool sign = c == '-' || c == '+';

		if (sign && p->at != start &&
		    tolower((unsigned char)p->at[-1]) != 'e')
			break;
		if (c == '_')
			continue;
		if (!sign && c != '.' && !isalnum((unsigned char)c))
			break;
		str_append_char(&text, c);
	}
	length = (int)(p->at - start < SHOWN ? p->at - start : SHOWN);
	if (!read_number(str_text(&text), &number, &large))
		return parse_fail(p, "bad number syntax: \"%.*s\"", length,
				  start);
	if (large)
		return parse_fail(p, "integer overflow: \"%.*s\"", length,
				  start);
	node = node_new(NODE_NUMBER);
	node->number = number;
	return node;
}

/* A comment may hold anything but its own end. */
static const char *comment_end(struct parser *p)
{
	const char *at = p->at + strspn(p->at, " \t\r\n");
	const char *end = strstr(at + 2, "*/");

	if (!end)
		return parse_fail(p, "unclosed comment");
	end = strstr(end, "}}");
	return end ? end : parse_fail(p, "unclosed action");
}

/* Behind the string that starts at `at`; NULL: it does not end. */
static const char *skip_string(const char *at)
{
	char quote = *at++;

	while (*at && *at != quote && (quote == '`' || *at != '\n')) {
		if (*at == '\\' && quote != '`' && at[1])
			at++;
		at++;
	}
	return *at == quote ? at + 1 : NULL;
}

const char *scan_action_end(struct parser *p)
{
	const char *at = p->at + strspn(p->at, " \t\r\n");

	if (strncmp(at, "/*", 2) == 0)
		return comment_end(p);
	while (*at && strncmp(at, "}}", 2) != 0) {
		const char *next = at + 1;

		if (strchr("\"`'", *at))
			next = skip_string(at);
		if (!next)
			return parse_fail(p, "unterminated %s",
					  *at == '`'	? "raw quoted string"
					  : *at == '\'' ? "character constant"
							: "quoted string");
		at = next;
	}
	return *at ? at : parse_fail(p, "unclosed action");
}
