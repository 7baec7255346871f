#include "core/build/pull_progress.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"

/* Bytes of a layer are counted; other statuses are true from now on. */
static void tell(const struct report *report, unsigned int vertex,
		 const char *line, size_t length)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *detail = NULL;
	const char *id = NULL, *status = NULL, *warning = NULL;
	int64_t current = -1, total = 0;

	if (json_parse(line, length, "progress", &json, NULL) < 0)
		return;
	if (json_get_string(json, "", "warning", &warning, NULL) > 0)
		report_warning(report, 0, warning);
	if (json_get_string(json, "", "status", &status, NULL) <= 0)
		return;
	(void)json_get_string(json, "", "id", &id, NULL);
	if (json_get_object(json, "", "progressDetail", &detail, NULL) > 0) {
		(void)json_get_i64(detail, "", "current", &current, NULL);
		(void)json_get_i64(detail, "", "total", &total, NULL);
	}
	if (id)
		report_status(report, vertex, id, status, current, total);
}

static void tell_all(const struct report *report, unsigned int vertex, int fd)
{
	cleanup_file FILE *file = fdopen(fd, "r");
	cleanup_free char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while (file && (length = getline(&line, &room, file)) > 0)
		tell(report, vertex, line, (size_t)length);
}

void pull_progress_open(const struct report *report, unsigned int vertex,
			struct pull_progress *ret_pull)
{
	int fds[2];

	*ret_pull = (struct pull_progress){.fd = -1};
	if (report->fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return;
	ret_pull->pid = fork();
	if (ret_pull->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_fd(&fds[1]);
		tell_all(report, vertex, fds[0]);
		_exit(0);
	}
	close_fd(&fds[0]);
	if (ret_pull->pid < 0)
		close_fd(&fds[1]);
	else
		ret_pull->fd = fds[1];
}

void pull_progress_close(struct pull_progress *pull)
{
	if (pull->fd < 0)
		return;
	close_fd(&pull->fd);
	(void)proc_wait(pull->pid);
}
