#include "core/monitor/health.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define INTERVAL_MS	  30000
#define TIMEOUT_MS	  30000
#define START_INTERVAL_MS 5000
#define RETRIES		  3
#define NS_PER_MS	  1000000
#define REPLACEMENT	  "\xef\xbf\xbd" /* U+FFFD */

/* Whole milliseconds, at least one; 0 is the default, as in docker. */
static int get_duration(const cJSON *check, const char *name,
			int64_t default_ms, int64_t *ret_ms, struct error *err)
{
	int64_t ns = 0;
	int r = json_get_i64(check, "Healthcheck", name, &ns, err);

	if (r < 0)
		return r;
	if (ns < 0)
		return err_set(err, ERROR_INVALID,
			       "Healthcheck.%s: cannot be negative", name);
	*ret_ms = ns == 0 ? default_ms : (ns + NS_PER_MS - 1) / NS_PER_MS;
	return 0;
}

static int get_command(const cJSON *config, const cJSON *check,
		       struct health_check *result, struct error *err)
{
	cleanup_strv char **test = NULL;
	cleanup_strv char **command = NULL;
	int r = json_get_strv(check, "Healthcheck", "Test", &test, err);

	if (r < 0)
		return r;
	if (strv_length(test) < 2)
		return 0;
	if (str_equal(test[0], "CMD-SHELL")) {
		r = json_get_strv(config, "Config", "Shell", &command, err);
		if (r < 0)
			return r;
		if (strv_length(command) == 0) {
			strv_push(&command, "/bin/sh");
			strv_push(&command, "-c");
		}
	} else if (!str_equal(test[0], "CMD")) {
		return 0;
	}
	for (char **word = test + 1; *word; word++)
		strv_push(&command, *word);
	result->command = steal_ptr(&command);
	return 0;
}

int health_check_parse(const cJSON *config, struct health_check *ret_check,
		       struct error *err)
{
	const cJSON *json = NULL;
	struct health_check check = {0};
	int64_t retries = 0;
	int r = json_get_object(config, "Config", "Healthcheck", &json, err);

	if (r > 0)
		r = get_duration(json, "Interval", INTERVAL_MS,
				 &check.interval_ms, err);
	if (r >= 0 && json)
		r = get_duration(json, "Timeout", TIMEOUT_MS, &check.timeout_ms,
				 err);
	if (r >= 0 && json)
		r = get_duration(json, "StartPeriod", 0, &check.start_period_ms,
				 err);
	if (r >= 0 && json)
		r = get_duration(json, "StartInterval", START_INTERVAL_MS,
				 &check.start_interval_ms, err);
	if (r >= 0 && json)
		r = json_get_i64(json, "Healthcheck", "Retries", &retries, err);
	if (r >= 0 && json)
		r = get_command(config, json, &check, err);
	if (r < 0)
		return r;
	check.retries =
		retries > 0 && retries <= INT_MAX ? (int)retries : RETRIES;
	*ret_check = check;
	return 0;
}

void health_check_release(struct health_check *check)
{
	strv_free(check->command);
	*check = (struct health_check){0};
}

/* ---- what is counted ---- */

void health_begin(struct health *health, int directory_fd)
{
	cleanup_json cJSON *json = NULL;

	health_release(health);
	health->status = HEALTH_STARTING;
	if (json_read_at(directory_fd, HEALTH_FILE, &json, NULL) >= 0)
		health->log =
			cJSON_DetachItemFromObjectCaseSensitive(json, "Log");
	if (health->log && !cJSON_IsArray(health->log)) {
		cJSON_Delete(health->log);
		health->log = NULL;
	}
}

void health_release(struct health *health)
{
	cJSON_Delete(health->log);
	*health = (struct health){0};
}

/* Text that JSON can hold: what is no UTF-8, and NUL, is U+FFFD. */
static char *clean_text(const char *bytes, size_t length)
{
	struct str text = {0};
	size_t i = 0;

	while (i < length) {
		bool ascii = (unsigned char)bytes[i] - 1u < 0x7f;
		size_t sequence =
			ascii ? 1 : utf8_length(bytes + i, length - i);

		if (sequence > 0)
			str_append_bytes(&text, bytes + i, sequence);
		else
			str_append(&text, REPLACEMENT);
		i += sequence > 0 ? sequence : 1;
	}
	return str_steal(&text);
}

static void log_result(struct health *health,
		       const struct health_result *result)
{
	cleanup_free char *output = clean_text(result->output, result->length);
	cJSON *json = json_object();
	char text[TIME_TEXT_MAX];

	format_time(text, &result->start);
	json_set_string(json, "Start", text);
	format_time(text, &result->end);
	json_set_string(json, "End", text);
	json_set_i64(json, "ExitCode", result->exit_code);
	json_set_string(json, "Output", output ? output : "");
	if (!health->log)
		health->log = json_array();
	while (cJSON_GetArraySize(health->log) >= HEALTH_LOG_MAX)
		cJSON_DeleteItemFromArray(health->log, 0);
	json_push(health->log, json);
}

bool health_take(struct health *health, const struct health_check *check,
		 const struct health_result *result)
{
	const char *before = health->status;

	log_result(health, result);
	if (result->exit_code == 0) {
		health->streak = 0;
		health->status = HEALTH_HEALTHY;
	} else if (!str_equal(health->status, HEALTH_STARTING) ||
		   result->age_ms >= check->start_period_ms) {
		health->streak++;
		if (health->streak >= check->retries)
			health->status = HEALTH_UNHEALTHY;
	}
	return !str_equal(before, health->status);
}

int64_t health_delay_ms(const struct health *health,
			const struct health_check *check, int64_t age_ms)
{
	if (age_ms < check->start_period_ms &&
	    str_equal(health->status, HEALTH_STARTING))
		return check->start_interval_ms;
	return check->interval_ms;
}

int health_write(const struct health *health, int directory_fd,
		 struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cJSON *log =
		health->log ? cJSON_Duplicate(health->log, true) : json_array();

	if (!log)
		str_oom();
	json_set_i64(json, "FailingStreak", health->streak);
	json_set(json, "Log", log);
	return json_write_at(directory_fd, HEALTH_FILE, json, FILE_VOLATILE,
			     err);
}

cJSON *health_json(const char *status, int directory_fd)
{
	cleanup_json cJSON *stored = NULL;
	cJSON *json = json_object();
	cJSON *log = NULL;
	int64_t streak = 0;

	if (json_read_at(directory_fd, HEALTH_FILE, &stored, NULL) >= 0) {
		(void)json_get_i64(stored, HEALTH_FILE, "FailingStreak",
				   &streak, NULL);
		log = cJSON_DetachItemFromObjectCaseSensitive(stored, "Log");
	}
	json_set_string(json, "Status", status);
	json_set_i64(json, "FailingStreak", streak);
	json_set(json, "Log", log ? log : json_array());
	return json;
}

/* As Go writes a duration of whole milliseconds: 500ms, 1.5s, 2m0s. */
static char *duration_text(int64_t ms)
{
	cleanup_free char *seconds = NULL;
	int64_t minutes = ms / 60000;

	if (ms < 1000)
		return xasprintf("%" PRId64 "ms", ms);
	seconds = xasprintf("%" PRId64 ".%03" PRId64, ms % 60000 / 1000,
			    ms % 1000);
	for (size_t end = strlen(seconds) - 1; seconds[end] == '0'; end--)
		seconds[end] = '\0';
	if (seconds[strlen(seconds) - 1] == '.')
		seconds[strlen(seconds) - 1] = '\0';
	if (minutes >= 60)
		return xasprintf("%" PRId64 "h%" PRId64 "m%ss", minutes / 60,
				 minutes % 60, seconds);
	if (minutes > 0)
		return xasprintf("%" PRId64 "m%ss", minutes, seconds);
	return xasprintf("%ss", seconds);
}

char *health_timeout_text(int64_t timeout_ms, const char *output)
{
	cleanup_free char *duration = duration_text(timeout_ms);

	return xasprintf("Health check exceeded timeout (%s)%s%s", duration,
			 *output ? ": " : "", output);
}
