#include "cmd/text.h"

#include <ctype.h>
#include <locale.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "base/cleanup.h"
#include "base/str.h"

size_t text_character(const char *text, unsigned int *ret_code)
{
	static const unsigned int smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)text[0];
	unsigned int code;
	size_t length;

	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	if (first >= 0xf8 || first < 0xc0)
		return 0;
	length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	code = first & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return length;
}

bool text_append_character(struct str *text, unsigned int code)
{
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return false;
	if (code < 0x80) {
		str_append_char(text, (char)code);
		return true;
	}
	if (code < 0x800) {
		str_append_char(text, (char)(0xc0 | code >> 6));
	} else if (code < 0x10000) {
		str_append_char(text, (char)(0xe0 | code >> 12));
		str_append_char(text, (char)(0x80 | (code >> 6 & 0x3f)));
	} else {
		str_append_char(text, (char)(0xf0 | code >> 18));
		str_append_char(text, (char)(0x80 | (code >> 12 & 0x3f)));
		str_append_char(text, (char)(0x80 | (code >> 6 & 0x3f)));
	}
	str_append_char(text, (char)(0x80 | (code & 0x3f)));
	return true;
}

static bool is_control(unsigned int code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Of almost every text the whole: printable ASCII at its beginning. */
static size_t plain_length(const char *text)
{
	size_t length = 0;

	while (text[length] >= 0x20 && text[length] < 0x7f)
		length++;
	return length;
}

char *text_printable(const char *text, bool one_line)
{
	struct str plain = {0};

	while (*text) {
		unsigned int code = 0;
		size_t length = plain_length(text);
		bool layout;

		if (length > 0) {
			str_append_bytes(&plain, text, length);
			text += length;
			continue;
		}
		length = text_character(text, &code);
		layout = !one_line && (code == '\n' || code == '\t');
		if (length > 0 && (layout || !is_control(code))) {
			str_append_bytes(&plain, text, length);
			text += length;
			continue;
		}
		for (size_t i = 0; i < (length ? length : 1); i++)
			str_appendf(&plain, "\\x%02x", (unsigned char)*text++);
	}
	return str_steal(&plain);
}

/* The C library knows nothing but ASCII before it has read a table, which costs
   too much to be done at every start. */
static void know_characters(void)
{
	static bool ready;

	if (!ready)
		setlocale(LC_CTYPE, "C.UTF-8");
	ready = true;
}

/* 1 for what the C library does not know. */
static size_t character_width(unsigned int code)
{
	int width;

	if (code < 0x80)
		return 1;
	know_characters();
	width = wcwidth((wchar_t)code);
	return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text) {
		unsigned int code = '?';
		size_t length = text_character(text, &code);

		width += character_width(code);
		text += length ? length : 1;
	}
	return width;
}

/* As Go's strings.Title: what a word may not go on behind. */
static bool separates(unsigned int code)
{
	if (code < 0x80)
		return !isalnum((int)code) && code != '_';
	return iswspace((wint_t)code);
}

char *text_change_case(const char *text, enum text_case to)
{
	struct str changed = {0};
	bool start = true;

	while (*text) {
		unsigned int code = 0;
		size_t length = text_character(text, &code);

		if (length > 1)
			know_characters();
		if (to == TEXT_LOWER)
			code = towlower((wint_t)code);
		else if (to == TEXT_UPPER || start)
			code = towupper((wint_t)code);
		start = length > 0 && separates(code);
		if (length == 0 || !text_append_character(&changed, code))
			str_append_char(&changed, *text);
		text += length ? length : 1;
	}
	return str_steal(&changed);
}

char *text_cut(const char *text, size_t columns)
{
	cleanup_free char *kept = NULL;
	size_t width = 0;
	const char *at;

	if (text_width(text) <= columns)
		return xstrdup(text);
	for (at = text; *at;) {
		unsigned int code = '?';
		size_t length = text_character(at, &code);

		width += character_width(code);
		if (width + 1 > columns)
			break;
		at += length ? length : 1;
	}
	kept = xstrndup(text, (size_t)(at - text));
	return xasprintf("%s…", kept);
}

char *text_quote(const char *text)
{
	static const char plain[] = "\a\b\f\n\r\t\v\\\"";
	static const char names[] = "abfnrtv\\\"";
	struct str quoted = {0};

	str_append_char(&quoted, '"');
	while (*text) {
		unsigned int code = 0;
		size_t length = text_character(text, &code);
		const char *found = length == 1 ? strchr(plain, *text) : NULL;

		if (found)
			str_appendf(&quoted, "\\%c", names[found - plain]);
		else if (length == 0 || (length == 1 && is_control(code)))
			str_appendf(&quoted, "\\x%02x", (unsigned char)*text);
		else if (is_control(code))
			str_appendf(&quoted, "\\u%04x", code);
		else
			str_append_bytes(&quoted, text, length);
		text += length ? length : 1;
	}
	str_append_char(&quoted, '"');
	return str_steal(&quoted);
}

static void new_line(struct str *out, const char *indent, unsigned int depth)
{
	str_append_char(out, '\n');
	for (unsigned int i = 0; i < depth; i++)
		str_append(out, indent);
}

/* A string literal, up to its closing quote; text is at the opening one. */
static const char *copy_string(struct str *out, const char *text)
{
	const char *end = text + 1;

	while (*end && *end != '"')
		end += *end == '\\' && end[1] ? 2 : 1;
	str_append_bytes(out, text, (size_t)(end - text) + (*end == '"'));
	return *end ? end : end - 1;
}

char *text_indent_json(const char *text, const char *indent)
{
	struct str out = {0};
	unsigned int depth = 0;

	for (; *text; text++) {
		if (strchr(" \t\r\n", *text))
			continue;
		if (*text == '"') {
			text = copy_string(&out, text);
			continue;
		}
		if (*text == '}' || *text == ']') {
			if (depth > 0)
				depth--;
			new_line(&out, indent, depth);
		}
		str_append_char(&out, *text);
		if (*text == ',') {
			new_line(&out, indent, depth);
		} else if (*text == ':') {
			str_append_char(&out, ' ');
		} else if (*text == '{' || *text == '[') {
			const char *next =
				text + 1 + strspn(text + 1, " \t\r\n");

			if (*next == '}' || *next == ']') {
				str_append_char(&out, *next);
				text = next;
			} else {
				new_line(&out, indent, ++depth);
			}
		}
	}
	return str_steal(&out);
}
