#include "storage/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define PROGRESS_NS 100000000LL

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

/* Nobody reading is no failure. */
static void tell(struct job *job, const char *line)
{
	if (job->progress_fd >= 0 &&
	    write_all(job->progress_fd, line, strlen(line)) < 0)
		job->progress_fd = -1;
}

void job_note(struct job *job, const char *format, ...)
{
	cleanup_free char *line = NULL;
	char text[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	line = xasprintf("note %s\n", text);
	tell(job, line);
}

void job_progress(struct job *job, const char *hex, uint64_t bytes,
		  uint64_t total)
{
	cleanup_free char *line = NULL;
	struct timespec now;
	int64_t passed;

	if (job->progress_fd < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (now.tv_sec - job->told.tv_sec) * 1000000000LL +
		 (now.tv_nsec - job->told.tv_nsec);
	if (passed < PROGRESS_NS && bytes != total)
		return;
	job->told = now;
	line = xasprintf("layer %s %llu %llu\n", hex, (unsigned long long)bytes,
			 (unsigned long long)total);
	tell(job, line);
}

void job_note_stage(struct job *job, const struct stage *stage)
{
	if (stage->squashed > 0)
		job_note(job,
			 "%llu files belong to users or groups that have no "
			 "sub-ID here; they were given to root",
			 (unsigned long long)stage->squashed);
	if (stage->xattrs_skipped > 0)
		job_note(job, "%llu extended attributes were left out",
			 (unsigned long long)stage->xattrs_skipped);
}
