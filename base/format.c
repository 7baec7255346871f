/* Human forms, times and IDs as text: base/str.h. */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"

/* Their first seconds, since 1970. */
#define YEAR_1	   (-62135596800)
#define YEAR_10000 253402300800

/* limit: what would be rounded up to a thousand is one of the next unit. */
static char *format_digits(uint64_t bytes, int digits, double limit)
{
	static const char *const units[] = {"B",  "kB", "MB", "GB",
					    "TB", "PB", "EB"};
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= limit && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1000;
		unit++;
	}
	return xasprintf("%.*g%s", digits, size, units[unit]);
}

char *format_bytes(uint64_t bytes)
{
	return format_digits(bytes, 4, 999.95);
}

char *format_bytes_short(uint64_t bytes)
{
	return format_digits(bytes, 3, 999.5);
}

char *format_ago(int64_t seconds)
{
	/* Whole minutes, hours rounded to the nearest. */
	int64_t minutes = seconds / 60;
	int64_t hours = seconds / 3600 + (seconds % 3600 >= 1800 ? 1 : 0);
	const struct {
		bool applies;
		int64_t count;
		const char *unit; /* of a count, otherwise the whole text */
	} rows[] = {
		{seconds < 1, 0, "Less than a second"},
		{seconds == 1, 0, "1 second"},
		{seconds < 60, seconds, "seconds"},
		{minutes == 1, 0, "About a minute"},
		{minutes < 60, minutes, "minutes"},
		{hours == 1, 0, "About an hour"},
		{hours < 48, hours, "hours"},
		{hours < 24 * 7 * 2, hours / 24, "days"},
		{hours < 24 * 30 * 2, hours / 24 / 7, "weeks"},
		{hours < 24 * 365 * 2, hours / 24 / 30, "months"},
		{true, seconds / 3600 / 24 / 365, "years"},
	};
	size_t i = 0;

	while (!rows[i].applies)
		i++;
	if (rows[i].count == 0)
		return xstrdup(rows[i].unit);
	return xasprintf("%lld %s", (long long)rows[i].count, rows[i].unit);
}

/* Digits behind the point, without zeros at their end. */
static void put_fraction(struct str *str, uint64_t value, unsigned int digits)
{
	cleanup_free char *text =
		xasprintf(".%0*llu", (int)digits, (unsigned long long)value);
	size_t length = strlen(text);

	while (text[length - 1] == '0')
		length--;
	if (length > 1)
		str_append_bytes(str, text, length);
}

char *format_duration(int64_t ns)
{
	static const struct {
		uint64_t ns;
		unsigned int digits;
		const char *unit;
	} small[] = {
		{1, 0, "ns"},
		{1000, 3, "\xc2\xb5s"},
		{1000000, 6, "ms"},
		{1000000000, 9, "s"},
	};
	uint64_t left = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	uint64_t minutes = left / 60000000000;
	struct str str = {0};
	size_t i = 0;

	if (ns < 0)
		str_append_char(&str, '-');
	if (minutes >= 60)
		str_appendf(&str, "%lluh", (unsigned long long)minutes / 60);
	if (minutes > 0)
		str_appendf(&str, "%llum", (unsigned long long)minutes % 60);
	while (i < 3 && (ns == 0 || left >= small[i + 1].ns))
		i++;
	left %= 60000000000;
	str_appendf(&str, "%llu", (unsigned long long)(left / small[i].ns));
	if (left % small[i].ns > 0)
		put_fraction(&str, left % small[i].ns, small[i].digits);
	str_append(&str, small[i].unit);
	return str_steal(&str);
}

/*
 * UTC in the proleptic Gregorian calendar, eras of 400 years beginning in
 * March. gmtime_r(3) does the same but reads the time zone's file first.
 */
static struct tm to_utc(int64_t seconds)
{
	int64_t days = seconds / 86400 - (seconds % 86400 < 0);
	int64_t rest = seconds - days * 86400;
	int64_t from_era = days + 719468; /* days since 0000-03-01 */
	int64_t era = from_era / 146097 - (from_era % 146097 < 0);
	int64_t day = from_era - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */

	year += era * 400 + (month >= 10);
	return (struct tm){
		.tm_year = (int)(year - 1900),
		.tm_mon = (int)(month < 10 ? month + 2 : month - 10),
		.tm_mday = (int)(of_year - (153 * month + 2) / 5 + 1),
		.tm_hour = (int)(rest / 3600),
		.tm_min = (int)(rest / 60 % 60),
		.tm_sec = (int)(rest % 60),
	};
}

void format_time(char ret_text[TIME_TEXT_MAX], const struct timespec *time)
{
	char text[128] = "";
	struct tm tm = {.tm_year = -1899, .tm_mday = 1};

	/* Out of the calendar: Go's zero time, which docker shows as none. */
	if (time->tv_sec >= YEAR_1 && time->tv_sec < YEAR_10000)
		tm = to_utc(time->tv_sec);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ",
		 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		 tm.tm_min, tm.tm_sec, time->tv_nsec);
	memcpy(ret_text, text, TIME_TEXT_MAX - 1);
	ret_text[TIME_TEXT_MAX - 1] = '\0';
}

const char *format_time_again(struct time_formatter *formatter,
			      const struct timespec *time)
{
	char *digits = formatter->text + sizeof("2026-01-02T03:04:05.") - 1;
	long rest = time->tv_nsec;

	if (!formatter->text[0] || formatter->second != time->tv_sec) {
		format_time(formatter->text, time);
		formatter->second = time->tv_sec;
		return formatter->text;
	}
	for (int i = 8; i >= 0; i--) {
		digits[i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	return formatter->text;
}

void format_now(char ret_text[TIME_TEXT_MAX])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	format_time(ret_text, &now);
}

void hex_encode(char *ret_text, const void *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < length; i++) {
		ret_text[2 * i] = digits[byte[i] >> 4];
		ret_text[2 * i + 1] = digits[byte[i] & 15];
	}
	ret_text[2 * length] = '\0';
}

void random_id(char ret_id[ID_TEXT_MAX])
{
	unsigned char bytes[(ID_TEXT_MAX - 1) / 2];

	do {
		/* Up to 256 bytes come whole once the pool is ready. */
		while (getrandom(bytes, sizeof(bytes), 0) !=
		       (ssize_t)sizeof(bytes)) {
			if (errno != EINTR)
				abort();
		}
		hex_encode(ret_id, bytes, sizeof(bytes));
		/* A short ID of digits alone could pass for a number. */
	} while (strspn(ret_id, "0123456789") >= 12);
}
