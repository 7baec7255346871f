#include "storage/job/job.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define PROGRESS_NS 100000000LL
#define TEXT_MAX    300 /* bytes; six times that when each is escaped */

const char *job_string(const struct job *job, const char *key)
{
	const char *text = NULL;

	return json_get_string(job->request, "", key, &text, NULL) > 0 ? text
								       : NULL;
}

int job_platform(const struct job *job, struct platform *ret_platform,
		 bool *ret_given, struct error *err)
{
	const char *text = job_string(job, "platform");

	*ret_given = text != NULL;
	if (text)
		return platform_parse(text, ret_platform, err);
	platform_host(ret_platform);
	return 0;
}

int job_check_cancelled(struct job *job, struct error *err)
{
	if (!atomic_load_explicit(&job->cancelled, memory_order_relaxed))
		return 0;
	return err_number(err, ECANCELED, "stopped");
}

/*
 * One write(2) a line, below PIPE_BUF: lines of threads never mix. Nobody
 * reading is no failure.
 */
static void tell(struct job *job, const cJSON *message)
{
	cleanup_free char *text = json_print(message);
	cleanup_free char *line = xasprintf("%s\n", text);

	if (strlen(line) < PIPE_BUF)
		(void)write_all(job->progress_fd, line, strlen(line));
}

/* Cut so that the line stays short even when every byte is to be escaped. */
static void set_text(cJSON *message, const char *key, const char *text)
{
	cleanup_free char *cut = xstrndup(text, TEXT_MAX);

	json_set_string(message, key, cut);
}

static void __attribute__((format(printf, 4, 0)))
tell_text(struct job *job, const char *key, const char *id, const char *format,
	  va_list arguments)
{
	cleanup_json cJSON *message = NULL;
	char text[TEXT_MAX + 1];

	if (job->progress_fd < 0)
		return;
	vsnprintf(text, sizeof(text), format, arguments);
	message = json_object();
	set_text(message, key, text);
	if (id)
		set_text(message, "id", id);
	tell(job, message);
}

void job_note(struct job *job, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_text(job, "warning", NULL, format, arguments);
	va_end(arguments);
}

void job_status(struct job *job, const char *id, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_text(job, "status", id, format, arguments);
	va_end(arguments);
}

/* Is the meter's next line due? */
static bool meter_due(struct job_meter *meter)
{
	struct timespec now;
	int64_t passed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (now.tv_sec - meter->told.tv_sec) * 1000000000LL +
		 (now.tv_nsec - meter->told.tv_nsec);
	if (passed < PROGRESS_NS)
		return false;
	meter->told = now;
	return true;
}

void job_progress(struct job *job, struct job_meter *meter, const char *id,
		  const char *status, uint64_t current, uint64_t total)
{
	cleanup_json cJSON *message = NULL;
	cJSON *detail;

	if (job->progress_fd < 0 || (!meter_due(meter) && current != total))
		return;
	message = json_object();
	detail = json_object();
	set_text(message, "status", status);
	json_set_i64(detail, "current", (int64_t)current);
	if (total > 0)
		json_set_i64(detail, "total", (int64_t)total);
	json_set(message, "progressDetail", detail);
	if (id)
		set_text(message, "id", id);
	tell(job, message);
}

void job_note_stage(struct job *job, const struct stage *stage)
{
	unsigned long long squashed = atomic_load(&stage->squashed);
	unsigned long long skipped = atomic_load(&stage->xattrs_skipped);

	if (squashed > 0)
		job_note(job,
			 "%llu files belong to users or groups that have no "
			 "sub-ID here; they were given to root",
			 squashed);
	if (skipped > 0)
		job_note(job, "%llu extended attributes were left out",
			 skipped);
}
