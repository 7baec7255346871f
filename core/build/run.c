#include "core/build/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/build/report.h"
#include "core/build/run_mounts.h"
#include "core/build/run_output.h"
#include "core/engine/engine.h"
#include "core/engine/members.h"
#include "core/engine/step.h"
#include "storage/transfer_build.h"

#define FILE_MODE 0755 /* whoever the step runs as reads and starts it */

struct run {
	const struct run_request *request;
	struct engine engine; /* the caller's, with the work's containers */
	char **diff_ids;
	char **environment;
	struct mount_list mounts;
	struct run_mounts_held *held;
	char **files;	      /* of its own, in the work */
	char id[ID_TEXT_MAX]; /* "": there is no container */
};

/* The container first: it uses the rest. */
static void run_release(struct run *run)
{
	if (*run->id)
		engine_step_remove(&run->engine, run->id);
	run_mounts_release_held(run->held);
	for (size_t i = 0; run->files && run->files[i]; i++)
		unlinkat(run->request->work->fd, run->files[i], 0);
	strv_free(run->files);
	mount_list_release(&run->mounts);
	strv_free(run->environment);
	strv_free(run->diff_ids);
}

/* ---- what it is made of ---- */

static bool has_variable(char *const *environment, const char *start)
{
	for (size_t i = 0; environment && environment[i]; i++) {
		if (str_starts(environment[i], start))
			return true;
	}
	return false;
}

/* A file that only the step sees; content goes with it. */
static int add_file(struct run *run, const char *kind, const char *content,
		    const char *destination, struct error *err)
{
	const struct store_work *work = run->request->work;
	cleanup_free char *name =
		xasprintf("%s-%u", kind, run->request->vertex);
	struct mount_point point = {
		.kind = MOUNT_BIND,
		.source = xasprintf("%s/tmp/%s/%s", run->engine.store.path,
				    work->name, name),
		.destination = path_join("/", destination),
		.propagation = xstrdup("rprivate"),
		.mode = xstrdup(""),
		.read_only = true,
	};
	int r;

	strv_push(&run->files, name);
	r = file_write_atomic_at(work->fd, name, content, strlen(content),
				 FILE_MODE, FILE_VOLATILE, err);
	if (r >= 0)
		r = mount_list_add(&run->mounts, &point, err);
	mount_point_release(&point);
	return r;
}

/*
 * Where there is one ID only, apt, which downloads as a user of its own and
 * makes sure that it is that user, would download nothing.
 */
static int help_apt(struct run *run, struct error *err)
{
	static const char destination[] = "/dev/pipes/apt.conf";
	cleanup_strv char **own = member_strv(run->request->config, "Env");

	if (run->engine.identity.mapped || has_variable(own, "APT_CONFIG=") ||
	    has_variable(run->environment, "APT_CONFIG="))
		return 0;
	strv_push_take(&run->environment,
		       xasprintf("APT_CONFIG=%s", destination));
	return add_file(run, "apt", "APT::Sandbox::User \"root\";\n",
			destination, err);
}

static int prepare(struct run *run, struct error *err)
{
	const struct run_request *request = run->request;
	int r = 0;

	run->diff_ids = layer_chain_diff_ids(request->chain);
	run->environment = strv_copy(request->environment);
	if (request->mounts)
		r = run_mounts_apply(request->mounts, &run->mounts,
				     &run->environment, &run->held, err);
	if (r >= 0 && request->script)
		r = add_file(
			run, "script", request->script,
			request->command[strv_length(request->command) - 1],
			err);
	return r < 0 ? r : help_apt(run, err);
}

static cJSON *host_config(const struct run_request *request)
{
	cJSON *host = request->host_config
			      ? cJSON_Duplicate(request->host_config, true)
			      : json_object();
	cJSON *log = json_object();

	if (!host)
		str_oom();
	json_set_string(log, "Type", "none");
	json_set(host, "LogConfig", log);
	json_set_string(host, "NetworkMode", request->network);
	return host;
}

/* ContainerCreate. */
static cJSON *body_json(const struct run *run)
{
	const char *hostname = run->request->hostname;
	cJSON *body = json_object();

	json_set_strv(body, "Entrypoint", run->request->command);
	json_set_strv(body, "Env", run->environment);
	json_set_string(body, "Hostname", hostname ? hostname : RUN_HOSTNAME);
	json_set(body, "HostConfig", host_config(run->request));
	return body;
}

/* ---- its life ---- */

/* What its monitor would have done is to be done still. */
static int lost(struct run *run, struct error *err)
{
	CLEANUP(step_end_release) struct step_end end = {0};

	(void)engine_step_end(&run->engine, run->id, &end, NULL);
	err_clear(err);
	return err_set(err, ERROR_GENERIC,
		       "the monitor of the step was killed");
}

/* *ret_status: the command's exit code. */
static int run_container(struct run *run, int *ret_status, struct error *err)
{
	static const struct attach_options attach = {
		.stdout_ = true,
		.stderr_ = true,
		.dies_with_client = true,
	};
	const struct run_request *request = run->request;
	cleanup_json cJSON *body = body_json(run);
	const struct step_request step = {
		.body = body,
		.config = request->config,
		.diff_ids = run->diff_ids,
		.mounts = &run->mounts,
		.environment_file = run_mounts_environment(run->held),
	};
	cleanup_fd int stream_fd = -1;
	cleanup_fd int wait_fd = -1;
	int r;

	r = engine_step_create(&run->engine, &step, run->id, err);
	if (r >= 0)
		r = engine_container_start(&run->engine, run->id, &attach,
					   &stream_fd, &wait_fd, err);
	if (r >= 0)
		r = run_output(stream_fd, request->report, request->vertex,
			       err);
	if (r < 0)
		return r;
	r = monitor_wait(wait_fd, ret_status, err);
	return r == -ECONNRESET ? lost(run, err) : r;
}

/* The limit is most often whole in MiB, as it was given. */
static int tell_of_memory(int64_t limit, struct error *err)
{
	const bool whole = limit % (1 << 20) == 0;

	if (limit <= 0)
		return err_hint(err, "a process of it was killed as it used "
				     "more memory than there was for it");
	return err_hint(err,
			"a process of it was killed as it used more memory "
			"than the step may have, %lld%s: see --memory",
			(long long)(whole ? limit >> 20 : limit),
			whole ? " MiB" : " bytes");
}

static int fail(const struct run *run, const struct step_end *end, int status,
		struct error *err)
{
	cleanup_free char *command = strv_join(run->request->command, " ");

	err_set(err, ERROR_GENERIC,
		"process \"%s\" did not complete successfully: exit code: %d",
		command, status);
	if (end->oom_killed)
		return tell_of_memory(
			member_i64(run->request->host_config, "Memory"), err);
	return err_return(err);
}

static int make_layer(struct run *run, const struct step_end *end,
		      struct layer_ref *ret_layer, struct error *err)
{
	const struct run_request *request = run->request;
	const struct layer_diff_request diff = {
		.directory = end->directory,
		.driver = end->driver,
		.chain = request->chain,
		.lease = request->work->name,
		.epoch = request->epoch,
		/* Of the messages there are it has warnings only, which have
		   the same form here. */
		.progress_fd = request->report->fd,
	};

	return image_layer_diff(&run->engine.store, &diff, ret_layer, err);
}

/* *ret_exit_code: what the caller is told when it fails. */
static int run_all(struct run *run, struct layer_ref *ret_layer,
		   int *ret_exit_code, struct error *err)
{
	CLEANUP(step_end_release) struct step_end end = {0};
	int status = 0;
	int r = prepare(run, err);

	if (r >= 0)
		r = run_container(run, &status, err);
	if (r < 0) {
		int code = error_meaning(err->kind)->exit_code;

		/* It could not be started, as a shell would tell. */
		if (code == 126 || code == 127)
			*ret_exit_code = code;
		return r;
	}
	r = engine_step_end(&run->engine, run->id, &end, err);
	if (r < 0)
		return r;
	if (status != 0) {
		*ret_exit_code = status;
		return fail(run, &end, status, err);
	}
	return make_layer(run, &end, ret_layer, err);
}

int run_step(const struct run_request *request, struct layer_ref *ret_layer,
	     int *ret_exit_code, struct error *err)
{
	CLEANUP(run_release)
	struct run run = {.request = request, .engine = *request->engine};
	int code = RUN_NO_EXIT;
	int r;

	store_use_containers_of(&run.engine.store, request->work->name);
	r = run_all(&run, ret_layer, &code, err);
	if (r < 0)
		*ret_exit_code = code;
	return r;
}
