#include "cmd/time_option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define NS_PER_SECOND 1000000000
#define WAIT_MAX_MS   3600000
#define FAR_S	      (100ll * 365 * 24 * 3600)

static void before_now(int64_t ns, struct timespec *ret_time)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec -= ns / NS_PER_SECOND;
	now.tv_nsec -= ns % NS_PER_SECOND;
	if (now.tv_nsec < 0) {
		now.tv_sec--;
		now.tv_nsec += NS_PER_SECOND;
	} else if (now.tv_nsec >= NS_PER_SECOND) {
		now.tv_sec++;
		now.tv_nsec -= NS_PER_SECOND;
	}
	*ret_time = now;
}

/* "SECONDS[.FRACTION]" */
static int parse_epoch(const char *text, struct timespec *ret_time)
{
	size_t length = strcspn(text, ".");
	cleanup_free char *seconds = xstrndup(text, length);
	const char *fraction = text[length] ? text + length + 1 : "0";
	long unit = NS_PER_SECOND;
	long ns = 0;
	uint64_t value;

	if (parse_u64(seconds, &value) < 0 || value > INT64_MAX ||
	    *fraction == '\0')
		return -EINVAL;
	for (; *fraction >= '0' && *fraction <= '9'; fraction++) {
		unit /= 10;
		ns += unit * (*fraction - '0');
	}
	if (*fraction)
		return -EINVAL;
	*ret_time = (struct timespec){.tv_sec = (time_t)value, .tv_nsec = ns};
	return 0;
}

/* A date or time without a zone: the local one. */
static int parse_local(const char *text, struct timespec *ret_time)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S",
					    "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H",
					    "%Y-%m-%d"};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(text, forms[i], &tm);
		int day = tm.tm_mday;
		long unit = NS_PER_SECOND;
		long ns = 0;
		time_t seconds;

		if (end && i == 0 && end[0] == '.' && end[1])
			for (end++; *end >= '0' && *end <= '9'; end++) {
				unit /= 10;
				ns += unit * (*end - '0');
			}
		if (!end || *end)
			continue;
		seconds = mktime(&tm);
		/* mktime() turns 30 February into 2 March. */
		if (tm.tm_mday != day)
			return -EINVAL;
		*ret_time = (struct timespec){.tv_sec = seconds, .tv_nsec = ns};
		return 0;
	}
	return -EINVAL;
}

int time_option_parse(const char *option, const char *text,
		      struct timespec *ret_time, struct error *err)
{
	struct timespec time;
	int64_t ns;

	if (parse_duration(text, &ns) == 0)
		before_now(ns, &time);
	else if (parse_epoch(text, &time) < 0 && parse_time(text, &time) < 0 &&
		 parse_local(text, &time) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%s\" for \"--%s\": expected "
			       "a duration (42m), a time "
			       "(2006-01-02T15:04:05Z) or seconds since 1970",
			       text, option);
	*ret_time = time;
	return 0;
}

int64_t time_deadline_ms(const struct timespec *then)
{
	struct timespec now;
	int64_t left;

	if (then->tv_sec == 0 && then->tv_nsec == 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	left = (int64_t)then->tv_sec - now.tv_sec;
	left = left < FAR_S ? left : FAR_S;
	left = left * 1000 + (then->tv_nsec - now.tv_nsec) / 1000000 + 1;
	return clock_ms() + (left < 0 ? 0 : left);
}

int time_left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - clock_ms();

	if (deadline_ms < 0)
		return -1;
	return left < 0 ? 0 : left > WAIT_MAX_MS ? WAIT_MAX_MS : (int)left;
}
