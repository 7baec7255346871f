/*
 * moss-build: the helper program behind build_run() (build.h), started by moss
 * in the pinned user namespace with the descriptors of storage/transfer_run.h,
 * one for questions and the runtime directory among them.
 *
 * It reads what anybody may have written, a Dockerfile and the names in a
 * context. What is worse, files of images and archives, is read by moss-image.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/build/builder.h"
#include "core/build/handover.h"
#include "storage/transfer_run.h"

static void confine(void)
{
	/* The value with which the kernel pipes no core to a program either. */
	const struct rlimit none = {1, 1};

	umask(0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
}

static int run(const cJSON *request, cJSON **ret_result, struct error *err)
{
	bool listens = fcntl(TRANSFER_PROGRESS, F_GETFD) >= 0;
	struct engine engine;
	struct builder builder = {
		.engine = &engine,
		.work = {.fd = -1, .lock_fd = -1},
		.request = request,
		.report = {.fd = listens ? TRANSFER_PROGRESS : -1},
		.question_fd = TRANSFER_QUESTIONS,
		.input_fd = STDIN_FILENO,
		.output_fd = STDOUT_FILENO,
		.context = CONTEXT_EMPTY,
	};
	int r = handover_open(request, TRANSFER_RUN, &engine, err);

	if (r < 0)
		return r;
	r = builder_run(&builder, ret_result, err);
	builder_release(&builder);
	/* What is over the limit goes after a later build as well. */
	(void)engine_build_cache_trim(&engine, NULL);
	engine_close(&engine);
	return r;
}

static int answer(const cJSON *result, struct error *err)
{
	cleanup_free char *text = json_print(result);
	int r = write_all(TRANSFER_RESULT, text, strlen(text));

	return r < 0 ? err_number(err, r, "cannot write the result") : 0;
}

int main(int argc, char **argv)
{
	cleanup_json cJSON *request = NULL;
	cleanup_json cJSON *result = NULL;
	cleanup_free char *text = NULL;
	struct error error = {0};
	size_t length;
	int r;

	proc_name_init(argc, argv);
	if (argc != 2 || fcntl(TRANSFER_ERROR, F_GETFD) < 0) {
		fprintf(stderr, "moss-build: started by moss, not by hand; see "
				"moss help build\n");
		return 1;
	}
	for (int fd = TRANSFER_REQUEST; fd <= TRANSFER_RUN; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	confine();
	proc_name_set("moss: build");
	r = file_read_fd(TRANSFER_REQUEST, "request", JSON_FILE_MAX, &text,
			 &length, &error);
	if (r == 0)
		r = json_parse(text, length, "request", &request, &error);
	if (r == 0)
		r = run(request, &result, &error);
	if (r == 0)
		r = answer(result, &error);
	if (r == 0)
		return 0;
	error_write(TRANSFER_ERROR, &error);
	return 1;
}
