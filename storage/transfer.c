#include "storage/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/store/image_event.h"
#include "storage/store/reference.h"
#include "storage/transfer_run.h"

#define HELPER	   "moss-image"
#define RESULT_MAX JSON_FILE_MAX

struct pipe_pair {
	int read_fd;
	int write_fd;
};

static void pipe_release(struct pipe_pair *pair)
{
	close_fd(&pair->read_fd);
	close_fd(&pair->write_fd);
}

static int pipe_open(struct pipe_pair *ret_pair, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	*ret_pair = (struct pipe_pair){fds[0], fds[1]};
	return 0;
}

static int request_fd(const cJSON *request, struct error *err)
{
	cleanup_free char *text = json_print(request);
	cleanup_fd int fd = memfd_create("moss-request", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a memory file");
	r = write_all(fd, text, strlen(text));
	/* It may hold a password. */
	explicit_bzero(text, strlen(text));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return err_number(err, r, "cannot write the request");
	return steal_fd(&fd);
}

static const char *helper_of(const struct transfer *transfer)
{
	return transfer->helper ? transfer->helper : HELPER;
}

static void add_fd(struct spawn *spawn, struct spawn_fd *fds, int from, int to)
{
	fds[spawn->fd_count++] = (struct spawn_fd){from, to};
}

static pid_t start(const struct transfer *transfer, int request,
		   const struct pipe_pair *result,
		   const struct pipe_pair *error, struct error *err)
{
	cleanup_free char *path = proc_helper_path(helper_of(transfer), err);
	cleanup_free char *name = xstrdup(helper_of(transfer));
	cleanup_free char *command = xstrdup(transfer->command);
	char *const argv[] = {name, command, NULL};
	/* Ours for what goes wrong before an error can be sent. */
	struct spawn_fd fds[9] = {
		{STDERR_FILENO, STDERR_FILENO},
		{request, TRANSFER_REQUEST},
		{result->write_fd, TRANSFER_RESULT},
		{error->write_fd, TRANSFER_ERROR},
	};
	struct spawn spawn = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.fd_count = 4,
		.die_with_parent = true,
	};

	if (!path)
		return err_return(err);
	if (transfer->input_fd >= 0)
		add_fd(&spawn, fds, transfer->input_fd, STDIN_FILENO);
	if (transfer->output_fd >= 0)
		add_fd(&spawn, fds, transfer->output_fd, STDOUT_FILENO);
	if (transfer->progress_fd >= 0)
		add_fd(&spawn, fds, transfer->progress_fd, TRANSFER_PROGRESS);
	if (transfer->question_fd > 0)
		add_fd(&spawn, fds, transfer->question_fd, TRANSFER_QUESTIONS);
	if (transfer->run_fd > 0)
		add_fd(&spawn, fds, transfer->run_fd, TRANSFER_RUN);
	return proc_spawn(&spawn, err);
}

/* What the helper said: its error, or the result, or nothing at all. */
static int read_answer(const struct transfer *transfer, int result_fd,
		       int error_fd, cJSON **ret_result, struct error *err)
{
	cleanup_free char *text = NULL;
	struct error error = {0};
	size_t length = 0;
	int r;

	r = file_read_fd(result_fd, "result", RESULT_MAX, &text, &length, err);
	if (r < 0)
		return r;
	r = error_read(error_fd, &error);
	if (r < 0)
		return err_number(err, r, "cannot read the answer of %s",
				  helper_of(transfer));
	if (r > 0)
		return err_copy(err, &error);
	if (length == 0)
		return err_set(err, ERROR_GENERIC,
			       "%s broke off: %s was killed or failed",
			       transfer->command, helper_of(transfer));
	return json_parse(text, length, "result", ret_result, err);
}

int transfer_start(const struct store *store, const struct transfer *transfer,
		   struct transfer_process *ret_process, struct error *err)
{
	CLEANUP(pipe_release) struct pipe_pair result = {-1, -1};
	CLEANUP(pipe_release) struct pipe_pair error = {-1, -1};
	cleanup_fd int request = -1;
	pid_t pid;
	int r;

	json_set_string(transfer->request, "store", store->path);
	json_set(transfer->request, "limits", limits_json(&store->limits));
	request = request_fd(transfer->request, err);
	if (request < 0)
		return request;
	r = pipe_open(&result, err);
	if (r == 0)
		r = pipe_open(&error, err);
	if (r < 0)
		return r;
	pid = start(transfer, request, &result, &error, err);
	if (pid < 0)
		return (int)pid;
	*ret_process = (struct transfer_process){
		.store = store,
		.transfer = transfer,
		.pid = pid,
		.result_fd = steal_fd(&result.read_fd),
		.error_fd = steal_fd(&error.read_fd),
	};
	return 0;
}

int transfer_finish(struct transfer_process *process, cJSON **ret_result,
		    struct error *err)
{
	const struct transfer *transfer = process->transfer;
	cleanup_json cJSON *answer = NULL;
	int r = read_answer(transfer, process->result_fd, process->error_fd,
			    &answer, err);
	int status = proc_wait(process->pid);

	close_fd(&process->result_fd);
	close_fd(&process->error_fd);
	if (r < 0) {
		/* If it was killed its work lies around. */
		store_clean(process->store);
		return r;
	}
	if (status != 0)
		return err_set(err, ERROR_GENERIC,
			       "%s broke off: %s ended with status %d",
			       transfer->command, helper_of(transfer), status);
	*ret_result = steal_ptr(&answer);
	return 0;
}

int transfer_run(const struct store *store, const struct transfer *transfer,
		 cJSON **ret_result, struct error *err)
{
	struct transfer_process process;
	int r = transfer_start(store, transfer, &process, err);

	return r < 0 ? r : transfer_finish(&process, ret_result, err);
}

int transfer_run_image(const struct store *store,
		       const struct transfer *transfer, char **ret_id,
		       struct error *err)
{
	cleanup_json cJSON *result = NULL;
	const char *id = NULL;
	int r = transfer_run(store, transfer, &result, err);

	if (r < 0)
		return r;
	r = json_get_string(result, "result", "id", &id, err);
	if (r <= 0)
		return r < 0 ? r
			     : err_set(err, ERROR_GENERIC,
				       "%s returned no image ID",
				       helper_of(transfer));
	*ret_id = xstrdup(id);
	return 0;
}

static void tell_tag(struct store *store, const char *id, const char *name)
{
	cleanup_free char *familiar = NULL;
	struct reference reference;

	if (reference_parse(name, &reference, NULL) < 0)
		return;
	familiar = reference_familiar(&reference);
	image_event(store, "tag", id, NULL, familiar);
}

int image_import(struct store *store, const struct import_request *request,
		 char **ret_id, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	struct transfer transfer = {
		.command = "import",
		.request = json,
		.input_fd = str_equal(request->source, "-") ? request->input_fd
							    : -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	int r;

	json_set_string(json, "source", request->source);
	json_set_text(json, "reference", request->reference);
	json_set_strv(json, "changes", request->changes);
	json_set_text(json, "message", request->message);
	json_set_text(json, "platform", request->platform);
	r = transfer_run_image(store, &transfer, ret_id, err);
	if (r < 0)
		return r;
	if (request->reference)
		tell_tag(store, *ret_id, request->reference);
	image_event(store, "import", *ret_id, NULL, NULL);
	return 0;
}

int image_load(struct store *store, const struct load_request *request,
	       char ***ret_loaded, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.command = "load",
		.request = json,
		.input_fd = request->source ? -1 : request->input_fd,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	int r;

	json_set_text(json, "source", request->source);
	json_set_text(json, "platform", request->platform);
	r = transfer_run(store, &transfer, &result, err);
	if (r < 0)
		return r;
	r = json_get_strv(result, "result", "loaded", ret_loaded, err);
	if (r < 0)
		return r;
	for (char *const *name = *ret_loaded; name && *name; name++)
		image_event(store, "load", *name, NULL, NULL);
	return 0;
}

int image_save(struct store *store, const struct save_request *request,
	       struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.command = "save",
		.request = json,
		.input_fd = -1,
		.output_fd = request->output ? -1 : request->output_fd,
		.progress_fd = -1,
	};
	int r;

	json_set_strv(json, "names", request->names);
	json_set_text(json, "output", request->output);
	json_set_bool(json, "ociDirectory", request->oci_directory);
	r = transfer_run(store, &transfer, &result, err);
	if (r < 0)
		return r;
	for (char *const *name = request->names; *name; name++)
		image_event(store, "save", *name, NULL, NULL);
	return 0;
}

int store_check(struct store *store, const struct check_request *request,
		cJSON **ret_result, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	struct transfer transfer = {
		.command = "check",
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	cJSON *containers = cJSON_Duplicate(request->containers, true);

	if (!containers)
		str_oom();
	json_set_bool(json, "repair", request->repair);
	json_set_bool(json, "quick", request->quick);
	json_set_bool(json, "force", request->force);
	json_set(json, "containers", containers);
	return transfer_run(store, &transfer, ret_result, err);
}
