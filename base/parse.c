/* Parsers of numbers, sizes, durations and times: base/str.h. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define NS_PER_SECOND 1000000000

static bool is_digit(char character)
{
	return character >= '0' && character <= '9';
}

/* Reads at least one digit at *text and moves it on. */
static int read_digits(const char **text, uint64_t *ret_value)
{
	const char *at = *text;
	uint64_t value = 0;
	int r = 0;

	if (!is_digit(*at))
		return -EINVAL;
	for (; is_digit(*at); at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'),
					   &value))
			r = -ERANGE;
	}
	*text = at;
	*ret_value = value;
	return r;
}

/* Moves *text past a point and digits (maybe none); returns where they start.
 */
static const char *skip_fraction(const char **text)
{
	const char *digits;

	if (**text != '.')
		return "";
	digits = ++*text;
	*text += strspn(*text, "0123456789");
	return digits;
}

int parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value;
	int r;

	if (!text)
		return -EINVAL;
	r = read_digits(&text, &value);
	if (r == -EINVAL || *text)
		return -EINVAL;
	if (r < 0)
		return r;
	*ret_value = value;
	return 0;
}

int parse_i64(const char *text, int64_t *ret_value)
{
	bool negative;
	uint64_t value;
	int r;

	if (!text)
		return -EINVAL;
	negative = *text == '-';
	if (*text == '-' || *text == '+')
		text++;
	r = parse_u64(text, &value);
	if (r < 0)
		return r;
	if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret_value = (int64_t)(negative ? -value : value);
	return 0;
}

int parse_bool(const char *text, bool *ret_value)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{"1", true},	  {"t", true},	    {"T", true},
		{"TRUE", true},	  {"true", true},   {"True", true},
		{"0", false},	  {"f", false},	    {"F", false},
		{"FALSE", false}, {"false", false}, {"False", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_equal(words[i].text, text)) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* The power of 1024 of a unit as docker takes it ("", b, k, kb, kib, …). */
static int size_shift(const char *unit, unsigned int *ret_shift)
{
	static const char letters[] = "kmgtp";
	const char *found;

	if (!*unit || strcasecmp(unit, "b") == 0) {
		*ret_shift = 0;
		return 0;
	}
	found = strchr(letters, tolower((unsigned char)*unit));
	if (!found)
		return -EINVAL;
	if (unit[1] && strcasecmp(unit + 1, "b") != 0 &&
	    strcasecmp(unit + 1, "ib") != 0)
		return -EINVAL;
	*ret_shift = 10 * (unsigned int)(found - letters + 1);
	return 0;
}

/*
 * The decimal fraction of a power of two, rounded down. Where the result is
 * whole the fraction has few binary digits, so the double is exact.
 */
static uint64_t binary_fraction(const char *digits, unsigned int shift)
{
	double value = 0;
	double scale = 1;

	for (; is_digit(*digits) && scale < 1e15; digits++) {
		value = value * 10 + (*digits - '0');
		scale *= 10;
	}
	return (uint64_t)(value / scale * (double)(1ull << shift));
}

int parse_bytes(const char *text, int64_t *ret_bytes)
{
	uint64_t whole = 0;
	const char *fraction;
	unsigned int shift;
	int r = 0;

	if (!text ||
	    (!is_digit(text[0]) && !(text[0] == '.' && is_digit(text[1]))))
		return -EINVAL;
	if (is_digit(*text))
		r = read_digits(&text, &whole);
	fraction = skip_fraction(&text);
	if (*text == ' ')
		text++;
	if (size_shift(text, &shift) < 0)
		return -EINVAL;
	if (r < 0 || whole > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	whole = (whole << shift) + binary_fraction(fraction, shift);
	if (whole > INT64_MAX)
		return -ERANGE;
	*ret_bytes = (int64_t)whole;
	return 0;
}

static const struct {
	const char *name;
	uint64_t ns;
} duration_units[] = {
	/* Longer names before those they begin with; µ has two code points. */
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000},
	{"\xce\xbcs", 1000},
	{"ms", 1000000},
	{"s", NS_PER_SECOND},
	{"m", 60ull * NS_PER_SECOND},
	{"h", 3600ull * NS_PER_SECOND},
};

/*
 * The decimal fraction of a unit, rounded down, in whole numbers: doubles would
 * make 34199999999 ns of "0.57m". Further digits than fit are of no weight.
 */
static uint64_t duration_fraction(const char *digits, uint64_t unit)
{
	uint64_t value = 0;
	uint64_t rest = 0;
	uint64_t scale = 1;

	for (; is_digit(*digits) && unit % 10 == 0; digits++) {
		unit /= 10;
		value += (uint64_t)(*digits - '0') * unit;
	}
	/* unit is at most 36 by now, of an hour. */
	for (; is_digit(*digits) && scale < 100000000000000000; digits++) {
		rest = rest * 10 + (uint64_t)(*digits - '0');
		scale *= 10;
	}
	return value + rest * unit / scale;
}

/* One "1.5h" at *text, added to *total. */
static int read_duration_part(const char **text, uint64_t *total)
{
	uint64_t whole = 0;
	const char *at = *text;
	const char *fraction;
	int r = 0;

	if (!is_digit(at[0]) && !(at[0] == '.' && is_digit(at[1])))
		return -EINVAL;
	if (is_digit(*at))
		r = read_digits(&at, &whole);
	fraction = skip_fraction(&at);
	for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
		uint64_t ns = duration_units[i].ns;

		if (!str_starts(at, duration_units[i].name))
			continue;
		*text = at + strlen(duration_units[i].name);
		if (r < 0 || __builtin_mul_overflow(whole, ns, &whole) ||
		    __builtin_add_overflow(
			    whole, duration_fraction(fraction, ns), &whole) ||
		    __builtin_add_overflow(*total, whole, total))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}

int parse_duration(const char *text, int64_t *ret_ns)
{
	uint64_t total = 0;
	bool negative;

	if (!text)
		return -EINVAL;
	negative = *text == '-';
	if (*text == '-' || *text == '+')
		text++;
	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	do {
		int r = read_duration_part(&text, &total);

		if (r < 0)
			return r;
	} while (*text);
	if (total > INT64_MAX)
		return -ERANGE;
	*ret_ns = negative ? -(int64_t)total : (int64_t)total;
	return 0;
}

/* Exactly count digits within [low, high]. */
static bool read_field(const char **text, int count, int low, int high,
		       int *ret_value)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (!is_digit((*text)[i]))
			return false;
		value = value * 10 + ((*text)[i] - '0');
	}
	*text += count;
	*ret_value = value;
	return value >= low && value <= high;
}

static bool read_char(const char **text, char character)
{
	return *(*text)++ == character;
}

/* "Z" or "+hh:mm": seconds east of UTC. */
static bool read_zone(const char **text, int *ret_offset)
{
	char sign = **text;
	int hours;
	int minutes;

	if (sign == 'Z') {
		(*text)++;
		*ret_offset = 0;
		return true;
	}
	if (sign != '+' && sign != '-')
		return false;
	(*text)++;
	if (!read_field(text, 2, 0, 23, &hours) || !read_char(text, ':') ||
	    !read_field(text, 2, 0, 59, &minutes))
		return false;
	*ret_offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
	return true;
}

int parse_time(const char *text, struct timespec *ret_time)
{
	struct tm tm = {0};
	int day;
	int offset;
	int month;
	long nanoseconds = 0;
	time_t seconds;

	if (!text)
		return -EINVAL;
	if (!read_field(&text, 4, 0, 9999, &tm.tm_year) ||
	    !read_char(&text, '-') || !read_field(&text, 2, 1, 12, &month) ||
	    !read_char(&text, '-') || !read_field(&text, 2, 1, 31, &day) ||
	    !read_char(&text, 'T') ||
	    !read_field(&text, 2, 0, 23, &tm.tm_hour) ||
	    !read_char(&text, ':') ||
	    !read_field(&text, 2, 0, 59, &tm.tm_min) ||
	    !read_char(&text, ':') || !read_field(&text, 2, 0, 59, &tm.tm_sec))
		return -EINVAL;
	if (*text == '.') {
		long unit = NS_PER_SECOND;

		text++;
		if (!is_digit(*text))
			return -EINVAL;
		for (; is_digit(*text); text++) {
			unit /= 10;
			nanoseconds += unit * (*text - '0');
		}
	}
	if (!read_zone(&text, &offset) || *text)
		return -EINVAL;

	tm.tm_year -= 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	seconds = timegm(&tm);
	/* timegm() turns 30 February into 2 March. */
	if (tm.tm_mon != month - 1)
		return -EINVAL;
	ret_time->tv_sec = seconds - offset;
	ret_time->tv_nsec = nanoseconds;
	return 0;
}
