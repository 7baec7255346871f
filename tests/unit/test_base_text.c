/* Numbers, sizes, durations and times of base/str.h. */
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define UNTOUCHED 4711

struct number_row {
	const char *text;
	int result;
	int64_t value;
};

static void check_numbers(const struct number_row *rows, size_t count,
			  int (*parse)(const char *, int64_t *))
{
	for (size_t i = 0; i < count; i++) {
		int64_t value = UNTOUCHED;
		int r = parse(rows[i].text, &value);
		int64_t expected = r == 0 ? rows[i].value : UNTOUCHED;

		if (r != rows[i].result || value != expected)
			fail_msg("'%s': %d, %lld", rows[i].text, r,
				 (long long)value);
	}
}

static void test_u64(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"99999999999999999999999x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{NULL, -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = UNTOUCHED;

		assert_int_equal(parse_u64(rows[i].text, &value),
				 rows[i].result);
		assert_int_equal(value, rows[i].result == 0 ? rows[i].value
							    : UNTOUCHED);
	}
}

static void test_i64(void **state)
{
	static const struct number_row rows[] = {
		{"0", 0, 0},
		{"-5", 0, -5},
		{"+5", 0, 5},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0},
		{"-9223372036854775808", 0, INT64_MIN},
		{"-9223372036854775809", -ERANGE, 0},
		{"--1", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};

	check_numbers(rows, ARRAY_SIZE(rows), parse_i64);
}

static void test_bool(void **state)
{
	static const struct {
		const char *text;
		int result;
		bool value;
	} rows[] = {
		{"1", 0, true},	      {"t", 0, true},
		{"TRUE", 0, true},    {"True", 0, true},
		{"true", 0, true},    {"0", 0, false},
		{"F", 0, false},      {"false", 0, false},
		{"yes", -EINVAL, 0},  {"tRUE", -EINVAL, 0},
		{"", -EINVAL, false}, {NULL, -EINVAL, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool value = !rows[i].value;

		assert_int_equal(parse_bool(rows[i].text, &value),
				 rows[i].result);
		assert_int_equal(value, rows[i].result == 0 ? rows[i].value
							    : !rows[i].value);
	}
}

static void test_bytes(void **state)
{
	static const struct number_row rows[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"512b", 0, 512},
		{"32B", 0, 32},
		{"64k", 0, 65536},
		{"64 k", 0, 65536},
		{"10MB", 0, 10 << 20},
		{"1GiB", 0, 1 << 30},
		{"1gib", 0, 1 << 30},
		{"1.5g", 0, 1610612736},
		{"0.1k", 0, 102},
		{".5m", 0, 524288},
		{"5.", 0, 5},
		{"3T", 0, 3ll << 40},
		{"0.0009765625k", 0, 1},
		{"0.99999999999999999999k", 0, 1023},
		{"1p", 0, 1ll << 50},
		{"9007199254740993", 0, 9007199254740993},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0},
		{"8192p", -ERANGE, 0},
		{"99999999999999999999999p", -ERANGE, 0},
		{"-1", -EINVAL, 0},
		{"-1k", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"k", -EINVAL, 0},
		{".", -EINVAL, 0},
		{"1e", -EINVAL, 0},
		{"1kk", -EINVAL, 0},
		{"1ki", -EINVAL, 0},
		{"1kib2", -EINVAL, 0},
		{"1bb", -EINVAL, 0},
		{"1  k", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"nan", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};

	check_numbers(rows, ARRAY_SIZE(rows), parse_bytes);
}

static void test_duration(void **state)
{
	static const struct number_row rows[] = {
		{"0", 0, 0},
		{"10s", 0, 10000000000},
		{"250ms", 0, 250000000},
		{"1h30m", 0, 5400000000000},
		{"1m0.5s", 0, 60500000000},
		{"1.1s", 0, 1100000000},
		{"0.3s", 0, 300000000},
		{".5s", 0, 500000000},
		{"1.s", 0, 1000000000},
		{"0.29us", 0, 290},
		{"0.57m", 0, 34200000000},
		{"0.009h", 0, 32400000000},
		{"0.000000000001h", 0, 3},
		{"0.9999999999999999999999999999999999999999h", 0,
		 3599999999999},
		{"0.0000000019s", 0, 1},
		{"0.256783s", 0, 256783000},
		{"7us", 0, 7000},
		{"7\xc2\xb5s", 0, 7000},
		{"7\xce\xbcs", 0, 7000},
		{"3ns", 0, 3},
		{"-2m", 0, -120000000000},
		{"+2m", 0, 120000000000},
		{"1m1m", 0, 120000000000},
		{"2562047h47m16.854775807s", 0, INT64_MAX},
		{"2562048h", -ERANGE, 0},
		{"99999999999999999999h", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"10", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{".s", -EINVAL, 0},
		{"1d", -EINVAL, 0},
		{"1s ", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"--1s", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};

	check_numbers(rows, ARRAY_SIZE(rows), parse_duration);
}

static void test_format_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
		const char *short_text;
	} rows[] = {
		{0, "0B", "0B"},
		{999, "999B", "999B"},
		{1000, "1kB", "1kB"},
		{1024, "1.024kB", "1.02kB"},
		{999499, "999.5kB", "999kB"},
		/* Not "1e+03kB". */
		{999600, "999.6kB", "1MB"},
		{999980, "1MB", "1MB"},
		{1234567, "1.235MB", "1.23MB"},
		{123456789, "123.5MB", "123MB"},
		{5000000000, "5GB", "5GB"},
		{UINT64_MAX, "18.45EB", "18.4EB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = format_bytes(rows[i].bytes);
		cleanup_free char *digits = format_bytes_short(rows[i].bytes);

		assert_string_equal(text, rows[i].text);
		assert_string_equal(digits, rows[i].short_text);
	}
}

static void test_format_duration(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{0, "0s"},
		{1, "1ns"},
		{1500, "1.5\xc2\xb5s"},
		{250000000, "250ms"},
		{1000001, "1.000001ms"},
		{30000000000, "30s"},
		{1500000000, "1.5s"},
		{60000000000, "1m0s"},
		{5400000000001, "1h30m0.000000001s"},
		{-90000000000, "-1m30s"},
		{INT64_MAX, "2562047h47m16.854775807s"},
		{INT64_MIN, "-2562047h47m16.854775808s"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = format_duration(rows[i].ns);
		int64_t ns = 1;

		assert_string_equal(text, rows[i].text);
		if (rows[i].ns != INT64_MIN)
			assert_int_equal(parse_duration(text, &ns), 0);
		if (rows[i].ns != INT64_MIN)
			assert_int_equal(ns, rows[i].ns);
	}
}

static void test_format_ago(void **state)
{
	enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{-5, "Less than a second"},
		{0, "Less than a second"},
		{1, "1 second"},
		{2, "2 seconds"},
		{59, "59 seconds"},
		{MINUTE, "About a minute"},
		{119, "About a minute"},
		{2 * MINUTE, "2 minutes"},
		{59 * MINUTE, "59 minutes"},
		{HOUR, "About an hour"},
		{89 * MINUTE, "About an hour"},
		{90 * MINUTE, "2 hours"},
		{47 * HOUR, "47 hours"},
		{2 * DAY, "2 days"},
		{13 * DAY, "13 days"},
		{14 * DAY, "2 weeks"},
		{59 * DAY, "8 weeks"},
		{60 * DAY, "2 months"},
		{729 * DAY, "24 months"},
		{730 * DAY, "2 years"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = format_ago(rows[i].seconds);

		assert_string_equal(text, rows[i].text);
	}
}

static void test_time(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
		long nanoseconds;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2026-01-02T03:04:05.000000006Z", 1767323045, 6},
		{"2026-01-02T03:04:05.5Z", 1767323045, 500000000},
		{"2026-01-02T03:04:05.1234567899Z", 1767323045, 123456789},
		{"2026-01-02T04:34:05+01:30", 1767323045, 0},
		{"2026-01-01T22:04:05-05:00", 1767323045, 0},
		{"2024-02-29T00:00:00Z", 1709164800, 0},
		{"0001-01-01T00:00:00Z", -62135596800, 0},
		{"1969-12-31T23:59:59Z", -1, 0},
	};
	static const char *const wrong[] = {
		NULL,
		"",
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02 03:04:05Z",
		"2026-13-02T03:04:05Z",
		"2026-00-02T03:04:05Z",
		"2026-02-30T03:04:05Z",
		"2023-02-29T00:00:00Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:60Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05Zx",
		"2026-01-02T03:04:05+1:00",
		"2026-01-02T03:04:05+01",
		"26-01-02T03:04:05Z",
		"+026-01-02T03:04:05Z",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct timespec time = {0};

		assert_int_equal(parse_time(rows[i].text, &time), 0);
		assert_int_equal(time.tv_sec, rows[i].seconds);
		assert_int_equal(time.tv_nsec, rows[i].nanoseconds);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct timespec time = {.tv_sec = UNTOUCHED};

		if (parse_time(wrong[i], &time) != -EINVAL ||
		    time.tv_sec != UNTOUCHED)
			fail_msg("'%s' passed", wrong[i]);
	}
}

static void test_format_time(void **state)
{
	static const struct {
		struct timespec time;
		const char *text;
	} rows[] = {
		{{0, 0}, "1970-01-01T00:00:00.000000000Z"},
		{{1767323045, 6}, "2026-01-02T03:04:05.000000006Z"},
		{{-62135596800, 0}, "0001-01-01T00:00:00.000000000Z"},
		{{INT64_MAX, 0}, "0001-01-01T00:00:00.000000000Z"},
	};
	char text[TIME_TEXT_MAX];
	struct timespec parsed;
	struct timespec now;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		format_time(text, &rows[i].time);
		assert_string_equal(text, rows[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct time_formatter formatter = {0};
		struct timespec other = rows[i].time;

		other.tv_nsec = 123456789;
		(void)format_time_again(&formatter, &other);
		assert_string_equal(
			format_time_again(&formatter, &rows[i].time),
			rows[i].text);
		assert_string_equal(
			format_time_again(&formatter, &rows[0].time),
			rows[0].text);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	format_now(text);
	assert_int_equal(parse_time(text, &parsed), 0);
	assert_in_range(parsed.tv_sec, now.tv_sec, now.tv_sec + 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_i64),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_format_bytes),
		cmocka_unit_test(test_format_ago),
		cmocka_unit_test(test_format_duration),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_format_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
