#include "core/monitor/log_line.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

void log_time_trim(char ret_text[LOG_TIME_MAX], const char *text)
{
	size_t length = strlen(text);

	if (length > 0 && text[length - 1] == 'Z')
		length--;
	if (memchr(text, '.', length)) {
		while (text[length - 1] == '0')
			length--;
		if (text[length - 1] == '.')
			length--;
	}
	memcpy(ret_text, text, length);
	memcpy(ret_text + length, "Z", 2);
}

void log_time_text(char ret_text[LOG_TIME_MAX], const struct timespec *time)
{
	char text[TIME_TEXT_MAX];

	format_time(text, time);
	log_time_trim(ret_text, text);
}

/* Bytes that go into a JSON string as they are. */
static const bool plain[256] = {
	[0x20] = true,		[0x21] = true,
	[0x23 ... 0x25] = true,				/* not " & */
	[0x27 ... 0x3b] = true,				/* not < */
	[0x3d] = true,		[0x3f ... 0x5b] = true, /* not > \ */
	[0x5d ... 0x7f] = true,
};

/* Sixteen bytes looked at in one go. */
typedef signed char bytes __attribute__((vector_size(16)));

static bytes load(const void *text)
{
	bytes value;

	memcpy(&value, text, sizeof(value));
	return value;
}

static bool is_any(bytes matches)
{
	uint64_t halves[2];

	memcpy(halves, &matches, sizeof(halves));
	return (halves[0] | halves[1]) != 0;
}

/* How many bytes at least, from the start, are plain ASCII. */
static size_t span_plain(const unsigned char *text, size_t length)
{
	size_t i = 0;

	for (; length - i >= sizeof(bytes); i += sizeof(bytes)) {
		bytes part = load(text + i);

		/* Bytes over 0x7f are negative here. */
		if (is_any((part < ' ') | (part == '"') | (part == '&') |
			   (part == '<') | (part == '>') | (part == '\\')))
			break;
	}
	while (i < length && plain[text[i]])
		i++;
	return i;
}

/* How many bytes, from the start, are neither quote nor backslash. */
static size_t span_unescaped(const char *text, size_t length)
{
	size_t i = 0;

	for (; length - i >= sizeof(bytes); i += sizeof(bytes)) {
		bytes part = load(text + i);

		if (is_any((part == '"') | (part == '\\')))
			break;
	}
	while (i < length && text[i] != '"' && text[i] != '\\')
		i++;
	return i;
}

static char *put(char *out, const char *text, size_t length)
{
	memcpy(out, text, length);
	return out + length;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static char *put_escaped(char *out, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	switch (byte) {
	case '"':
		return PUT(out, "\\\"");
	case '\\':
		return PUT(out, "\\\\");
	case '\n':
		return PUT(out, "\\n");
	case '\r':
		return PUT(out, "\\r");
	default:
		out = PUT(out, "\\u00");
		*out++ = digits[byte >> 4];
		*out++ = digits[byte & 15];
		return out;
	}
}

static char *put_text(char *out, const unsigned char *text, size_t length)
{
	size_t start = 0;
	size_t i = 0;

	while (i < length) {
		size_t sequence;

		i += span_plain(text + i, length - i);
		if (i == length)
			break;
		sequence =
			text[i] < 0x80 ? 0 : utf8_length(text + i, length - i);
		if (sequence > 0 &&
		    !(sequence == 3 && text[i] == 0xe2 && text[i + 1] == 0x80 &&
		      (text[i + 2] == 0xa8 || text[i + 2] == 0xa9))) {
			i += sequence;
			continue;
		}
		out = put(out, (const char *)text + start, i - start);
		if (sequence > 0) {
			out = PUT(out, "\\u202");
			*out++ = text[i + 2] == 0xa8 ? '8' : '9';
			i += sequence;
		} else if (text[i] < 0x80) {
			out = put_escaped(out, text[i++]);
		} else {
			out = PUT(out, "\\ufffd");
			i++;
		}
		start = i;
	}
	return put(out, (const char *)text + start, length - start);
}

size_t log_line_encode(char *out, const char *text, size_t length, bool newline,
		       int stream, const char *attributes,
		       const char *time_text)
{
	char *end = PUT(out, "{\"log\":\"");

	end = put_text(end, (const unsigned char *)text, length);
	if (newline)
		end = PUT(end, "\\n");
	end = stream == 2 ? PUT(end, "\",\"stream\":\"stderr\"")
			  : PUT(end, "\",\"stream\":\"stdout\"");
	if (attributes) {
		end = PUT(end, ",\"attrs\":");
		end = put(end, attributes, strlen(attributes));
	}
	end = PUT(end, ",\"time\":\"");
	end = put(end, time_text, strlen(time_text));
	end = PUT(end, "\"}\n");
	return (size_t)(end - out);
}

static int hex4(const char *text, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++) {
		char c = text[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value |= (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value |= (uint32_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

static size_t utf8_put(char *out, uint32_t rune)
{
	if (rune < 0x80) {
		out[0] = (char)rune;
		return 1;
	}
	if (rune < 0x800) {
		out[0] = (char)(0xc0 | rune >> 6);
		out[1] = (char)(0x80 | (rune & 0x3f));
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (char)(0xe0 | rune >> 12);
		out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
		out[2] = (char)(0x80 | (rune & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | rune >> 18);
	out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
	out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
	out[3] = (char)(0x80 | (rune & 0x3f));
	return 4;
}

/*
 * \uXXXX at text ("u" onwards), a surrogate pair as one; lone surrogates become
 * U+FFFD. Returns the characters used after the backslash, 0 when malformed.
 */
static size_t unescape_u(const char *text, size_t left, uint32_t *ret_rune)
{
	uint32_t rune, second;

	if (left < 5 || hex4(text + 1, &rune) < 0)
		return 0;
	if (rune < 0xd800 || rune > 0xdfff) {
		*ret_rune = rune;
		return 5;
	}
	if (rune < 0xdc00 && left >= 11 && text[5] == '\\' && text[6] == 'u' &&
	    hex4(text + 7, &second) == 0 && second >= 0xdc00 &&
	    second <= 0xdfff) {
		*ret_rune =
			0x10000 + ((rune - 0xd800) << 10) + (second - 0xdc00);
		return 11;
	}
	*ret_rune = 0xfffd;
	return 5;
}

/*
 * The rest of a JSON string, from after its opening quote, decoded to out
 * (nothing grows). Returns the characters used with the closing quote, 0 when
 * malformed.
 */
static size_t unescape(const char *text, size_t length, char *out,
		       size_t *ret_length)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	size_t used = 0;
	size_t i = 0;

	while (i < length) {
		const char *match;
		uint32_t rune;
		size_t n;

		if (text[i] == '"') {
			*ret_length = used;
			return i + 1;
		}
		if (text[i] != '\\') {
			n = span_unescaped(text + i, length - i);
			memcpy(out + used, text + i, n);
			used += n;
			i += n;
			continue;
		}
		if (++i == length)
			return 0;
		match = text[i] ? strchr(from, text[i]) : NULL;
		if (match) {
			out[used++] = to[match - from];
			i++;
			continue;
		}
		n = text[i] == 'u' ? unescape_u(text + i, length - i, &rune)
				   : 0;
		if (n == 0)
			return 0;
		used += utf8_put(out + used, rune);
		i += n;
	}
	return 0;
}

static bool skip(const char **text, size_t *left, const char *expected)
{
	size_t length = strlen(expected);

	if (*left < length || memcmp(*text, expected, length) != 0)
		return false;
	*text += length;
	*left -= length;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "", ".1" … ".123456789" and the "Z" after it. */
static bool read_fraction(const char *text, size_t length, long *ret_ns)
{
	long unit = 1000000000;
	long value = 0;
	size_t i = 0;

	if (length > 1 && text[0] == '.') {
		for (i = 1; i < length && i <= 9 && is_digit(text[i]); i++) {
			unit /= 10;
			value += unit * (text[i] - '0');
		}
		if (i == 1)
			return false;
	}
	*ret_ns = value;
	return length == i + 1 && text[i] == 'Z';
}

static int decode_time(const char *text, size_t length, struct log_clock *clock,
		       struct timespec *ret_time)
{
	char copy[LOG_TIME_MAX];
	int r;

	if (clock && length > LOG_SECOND_LENGTH &&
	    memcmp(text, clock->text, LOG_SECOND_LENGTH) == 0 &&
	    read_fraction(text + LOG_SECOND_LENGTH, length - LOG_SECOND_LENGTH,
			  &ret_time->tv_nsec)) {
		ret_time->tv_sec = clock->second;
		return 0;
	}
	if (length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	r = parse_time(copy, ret_time);
	/* Of the zone that the fraction is read in. */
	if (r == 0 && clock && length > LOG_SECOND_LENGTH &&
	    text[length - 1] == 'Z') {
		memcpy(clock->text, text, LOG_SECOND_LENGTH);
		clock->second = ret_time->tv_sec;
	}
	return r;
}

/* Passes over the attributes, which end where the time begins. */
static bool skip_attributes(const char **text, size_t *left,
			    struct log_entry *ret_entry)
{
	static const char behind[] = ",\"time\":\"";
	const size_t length = sizeof(behind) - 1;
	const char *start = *text;
	const char *quote;

	if (*left < 2)
		return false;
	quote = memrchr(start, '"', *left - 2);
	if (!quote || (size_t)(quote - start) + 1 <= length ||
	    memcmp(quote + 1 - length, behind, length) != 0)
		return false;
	ret_entry->attributes = start;
	ret_entry->attributes_length = (size_t)(quote - start) + 1 - length;
	*left -= (size_t)(quote - start) + 1;
	*text = quote + 1;
	return true;
}

/* The form that log_line_encode() writes. */
static int decode_own(const char *line, size_t length, char *buffer,
		      struct log_clock *clock, struct log_entry *ret_entry)
{
	const char *text = line;
	size_t left = length;
	size_t used, text_length;

	if (!skip(&text, &left, "{\"log\":\""))
		return -EINVAL;
	used = unescape(text, left, buffer, &text_length);
	if (used == 0)
		return -EINVAL;
	text += used;
	left -= used;
	if (skip(&text, &left, ",\"stream\":\"stdout\""))
		ret_entry->stream = 1;
	else if (skip(&text, &left, ",\"stream\":\"stderr\""))
		ret_entry->stream = 2;
	else
		return -EINVAL;
	ret_entry->attributes = NULL;
	if (!skip(&text, &left, ",\"time\":\"") &&
	    (!skip(&text, &left, ",\"attrs\":") ||
	     !skip_attributes(&text, &left, ret_entry)))
		return -EINVAL;
	if (left < 2 || text[left - 2] != '"' || text[left - 1] != '}' ||
	    decode_time(text, left - 2, clock, &ret_entry->time) < 0)
		return -EINVAL;
	ret_entry->text = buffer;
	ret_entry->length = text_length;
	return 0;
}

/* Any other order or further members, as other writers of this form may. */
static int decode_any(const char *line, size_t length, char *buffer,
		      struct log_entry *ret_entry)
{
	cleanup_json cJSON *json = NULL;
	const char *text = NULL;
	const char *stream = NULL;
	const char *time = NULL;

	if (json_parse(line, length, "log", &json, NULL) < 0 ||
	    json_get_string(json, "log", "log", &text, NULL) <= 0 ||
	    json_get_string(json, "log", "stream", &stream, NULL) <= 0 ||
	    json_get_string(json, "log", "time", &time, NULL) <= 0)
		return -EINVAL;
	if (!str_equal(stream, "stdout") && !str_equal(stream, "stderr"))
		return -EINVAL;
	if (decode_time(time, strlen(time), NULL, &ret_entry->time) < 0)
		return -EINVAL;
	ret_entry->stream = str_equal(stream, "stderr") ? 2 : 1;
	ret_entry->length = strlen(text);
	if (ret_entry->length > length)
		return -EINVAL;
	memcpy(buffer, text, ret_entry->length);
	ret_entry->text = buffer;
	ret_entry->attributes = NULL;
	return 0;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t end_length = strlen(end);

	return length >= end_length &&
	       memcmp(text + length - end_length, end, end_length) == 0;
}

int log_line_time(const char *line, size_t length, struct log_clock *clock,
		  struct timespec *ret_time)
{
	const char *quote;
	size_t start;

	/* No string holds an end like this: its quotes would be escaped. */
	if (length < 2 || line[length - 2] != '"' || line[length - 1] != '}')
		return -EINVAL;
	quote = memrchr(line, '"', length - 2);
	if (!quote)
		return -EINVAL;
	start = (size_t)(quote - line) + 1;
	if (!ends_with(line, start, "\",\"stream\":\"stdout\",\"time\":\"") &&
	    !ends_with(line, start, "\",\"stream\":\"stderr\",\"time\":\"") &&
	    !ends_with(line, start, "},\"time\":\""))
		return -EINVAL;
	return decode_time(line + start, length - 2 - start, clock, ret_time);
}

int log_line_decode(const char *line, size_t length, char *buffer,
		    struct log_clock *clock, struct log_entry *ret_entry)
{
	struct log_entry entry = {0};

	if (length == 0 || line[0] != '{')
		return -EINVAL;
	if (decode_own(line, length, buffer, clock, &entry) < 0 &&
	    decode_any(line, length, buffer, &entry) < 0)
		return -EINVAL;
	*ret_entry = entry;
	return 0;
}
