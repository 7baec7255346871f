/* The agent of cmd/credential_helper.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/credential_helper.h"

static cJSON *request_json(const struct credential_request *request)
{
	cJSON *json = json_object();

	json_set_i64(json, "verb", request->verb);
	json_set_string(json, "helper", request->helper);
	json_set_string(json, "server", request->server);
	json_set_string(json, "username", request->username);
	json_set_string(json, "secret", request->secret);
	return json;
}

/* From moss itself: what is missing or wrong cannot be. */
static int request_from_json(const cJSON *json,
			     struct credential_request *ret_request,
			     struct error *err)
{
	struct credential_request request = {.helper = "", .server = ""};
	int64_t verb = 0;
	int r;

	r = json_get_i64(json, "", "verb", &verb, err);
	r = r < 0 ? r
		  : json_get_string(json, "", "helper", &request.helper, err);
	r = r < 0 ? r
		  : json_get_string(json, "", "server", &request.server, err);
	r = r < 0 ? r
		  : json_get_string(json, "", "username", &request.username,
				    err);
	r = r < 0 ? r
		  : json_get_string(json, "", "secret", &request.secret, err);
	if (r < 0)
		return r;
	request.verb = (enum credential_verb)verb;
	*ret_request = request;
	return 0;
}

/* {"error": …} or {"found": …, "auth": …} */
static cJSON *answer(const cJSON *json)
{
	CLEANUP(registry_auth_release) struct registry_auth auth = {0};
	struct credential_request request;
	cJSON *reply = json_object();
	struct error err = {0};
	int r;

	r = request_from_json(json, &request, &err);
	r = r < 0 ? r
		  : credential_helper_run(&request, CREDENTIAL_HELPER_MS, &auth,
					  &err);
	if (r < 0) {
		json_set(reply, "error", error_to_json(&err));
	} else {
		json_set_bool(reply, "found", r > 0);
		json_set(reply, "auth", registry_auth_to_json(&auth));
	}
	return reply;
}

_Noreturn static void serve(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	proc_name_set("moss: credentials");
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	/* Passwords pass through here. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The reader of moss's output waits for the end of moss alone. */
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	for (;;) {
		cleanup_json cJSON *request = NULL;
		cleanup_json cJSON *reply = NULL;
		struct error err = {0};
		size_t count = 0;

		if (msg_receive(fd, &request, NULL, &count, NULL) <= 0)
			_exit(0);
		reply = answer(request);
		if (msg_send(fd, reply, NULL, 0, &err) < 0) {
			cleanup_json cJSON *failure = json_object();

			json_set(failure, "error", error_to_json(&err));
			(void)msg_send(fd, failure, NULL, 0, NULL);
		}
	}
}

int credential_agent_start(struct credential_agent *ret_agent,
			   struct error *err)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(err, "cannot make a socket");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		serve(ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_errno(err, "cannot fork");
	}
	*ret_agent = (struct credential_agent){.fd = ends[0], .pid = pid};
	return 0;
}

int credential_agent_ask(const struct credential_agent *agent,
			 const struct credential_request *request,
			 struct registry_auth *ret_auth, struct error *err)
{
	cleanup_json cJSON *json = request_json(request);
	cleanup_json cJSON *reply = NULL;
	const cJSON *error;
	size_t count = 0;
	int r;

	r = msg_send(agent->fd, json, NULL, 0, err);
	r = r < 0 ? r : msg_receive(agent->fd, &reply, NULL, &count, err);
	if (r < 0)
		return err_wrap(err, "cannot ask docker-credential-%s",
				request->helper);
	if (r == 0)
		return err_set(err, ERROR_GENERIC,
			       "cannot ask docker-credential-%s: its agent was "
			       "killed",
			       request->helper);
	error = cJSON_GetObjectItemCaseSensitive(reply, "error");
	if (error) {
		struct error said = {0};

		error_from_json(error, &said);
		return err_copy(err, &said);
	}
	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "found")))
		return 0;
	if (request->verb != CREDENTIAL_GET)
		return 1;
	r = registry_auth_from_json(
		cJSON_GetObjectItemCaseSensitive(reply, "auth"), ret_auth, err);
	return r < 0 ? r : 1;
}

void credential_agent_stop(struct credential_agent *agent)
{
	if (agent->fd < 0)
		return;
	close_fd(&agent->fd);
	(void)proc_wait(agent->pid);
}
