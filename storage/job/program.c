#include "storage/job/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/job/confine.h"
#include "storage/job/job.h"

static const struct job_command *find(const struct job_command *commands,
				      size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (str_equal(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static void confine(void)
{
	/* The value with which the kernel pipes no core to a program either. */
	const struct rlimit none = {1, 1};

	umask(0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
}

static int read_limits(struct job *job, struct error *err)
{
	const cJSON *json = NULL;
	int r = json_get_object(job->request, "request", "limits", &json, err);

	return r <= 0 ? r : limits_from_json(json, &job->store.limits, err);
}

static int run(const struct job_command *command, struct job *job,
	       struct error *err)
{
	const char *path;
	int r;

	path = job_string(job, "store");
	if (!path)
		return err_set(err, ERROR_INVALID, "the request has no store");
	r = store_open(path, &job->store, err);
	if (r == 0)
		r = read_limits(job, err);
	if (r < 0)
		return r;
	if (command->reads_archives)
		confine_writes(job->store.root_fd);
	r = command->run(job, err);
	store_close(&job->store);
	return r;
}

static int answer(const cJSON *result, struct error *err)
{
	cleanup_free char *text = json_print(result);
	int r = write_all(JOB_RESULT, text, strlen(text));

	return r < 0 ? err_number(err, r, "cannot write the result") : 0;
}

int job_program(const struct job_command *commands, size_t count, int argc,
		char **argv)
{
	const struct job_command *command =
		argc == 2 ? find(commands, count, argv[1]) : NULL;
	cleanup_json cJSON *request = NULL;
	cleanup_json cJSON *result = json_object();
	cleanup_free char *text = NULL;
	struct job job = {
		.store = {.root_fd = -1,
			  .image_fd = -1,
			  .layers_fd = -1,
			  .volumes_fd = -1,
			  .tmp_fd = -1},
		.progress_fd = -1,
		.result = result,
	};
	struct error error = {0};
	size_t length;
	int r;

	proc_name_init(argc, argv);
	if (!command || fcntl(JOB_ERROR, F_GETFD) < 0) {
		fprintf(stderr,
			"%s: started by moss, not by hand; see "
			"moss help pull, push, import, load and build\n",
			argc > 0 ? argv[0] : "moss-image");
		return 1;
	}
	confine();
	proc_name_set("moss: %s", command->name);
	if (fcntl(JOB_PROGRESS, F_GETFD) >= 0)
		job.progress_fd = JOB_PROGRESS;
	r = file_read_fd(JOB_REQUEST, "request", JSON_FILE_MAX, &text, &length,
			 &error);
	if (r == 0)
		r = json_parse(text, length, "request", &request, &error);
	job.request = request;
	if (r == 0)
		r = run(command, &job, &error);
	if (r == 0)
		r = answer(result, &error);
	if (r == 0)
		return 0;
	error_write(JOB_ERROR, &error);
	return 1;
}
