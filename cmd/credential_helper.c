#include "cmd/credential_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"

#define ANSWER_MAX  (64u << 10) /* bytes */
#define MESSAGE_MAX 200		/* of what a failed one says */
#define TOKEN_USER  "<token>"	/* the secret is an identity token then */

static const char *const verbs[] = {
	[CREDENTIAL_GET] = "get",
	[CREDENTIAL_STORE] = "store",
	[CREDENTIAL_ERASE] = "erase",
};

/* How helpers say that they have nothing. */
static const char *const not_found[] = {
	"credentials not found",
	"no credentials",
};

struct deadline {
	struct timespec begin;
	unsigned int ms;
};

static int ms_left(const struct deadline *deadline)
{
	struct timespec now;
	int64_t passed;

	clock_gettime(CLOCK_MONOTONIC, &now);
	passed = (now.tv_sec - deadline->begin.tv_sec) * 1000LL +
		 (now.tv_nsec - deadline->begin.tv_nsec) / 1000000;
	return passed < deadline->ms ? (int)(deadline->ms - passed) : 0;
}

static bool name_is_valid(const char *name)
{
	return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
						    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						    "0123456789.-_")] == '\0';
}

/* What the helper reads: a memory file, which needs nobody to feed it. */
static int input_fd(const struct credential_request *request, struct error *err)
{
	cleanup_fd int fd = memfd_create("moss-credential", MFD_CLOEXEC);
	cleanup_free char *text = NULL;
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a memory file");
	if (request->verb == CREDENTIAL_STORE) {
		cleanup_json cJSON *json = json_object();

		json_set_string(json, "ServerURL", request->server);
		json_set_string(json, "Username", request->username);
		json_set_string(json, "Secret", request->secret);
		text = json_print(json);
	} else {
		text = xstrdup(request->server);
	}
	r = write_all(fd, text, strlen(text));
	explicit_bzero(text, strlen(text));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_number(err, r, "cannot write a memory file")
		     : steal_fd(&fd);
}

/* Everything it says, until it closes its end. */
static int read_output(int fd, const struct deadline *deadline,
		       struct str *output, struct error *err)
{
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		char part[4096];
		ssize_t length;
		int r = poll(&poll_fd, 1, ms_left(deadline));

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return err_set(err, ERROR_TIMEOUT,
				       "it did not answer within %u s",
				       deadline->ms / 1000);
		length = r < 0 ? -1 : read(fd, part, sizeof(part));
		if (length < 0)
			return err_errno(err, "cannot read its answer");
		if (length == 0)
			return 0;
		if (output->length + (size_t)length > ANSWER_MAX)
			return err_set(err, ERROR_INVALID,
				       "its answer is larger than %u bytes",
				       ANSWER_MAX);
		str_append_bytes(output, part, (size_t)length);
	}
}

/* Its status; one that lingers on or that is not wanted any more is killed. */
static int finish(pid_t pid, bool kill_it, const struct deadline *deadline)
{
	cleanup_fd int fd = proc_pidfd_open(pid, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (!kill_it && fd >= 0)
		kill_it = poll(&poll_fd, 1, ms_left(deadline)) <= 0;
	if (kill_it)
		kill(pid, SIGKILL);
	return proc_wait(pid);
}

/* The first line of what a failed one said. */
static int refused(const struct credential_request *request, int status,
		   const struct str *output, struct error *err)
{
	cleanup_free char *said = xstrdup(str_text(output));

	for (size_t i = 0; i < ARRAY_SIZE(not_found); i++)
		if (strncasecmp(said, not_found[i], strlen(not_found[i])) == 0)
			return 0;
	said[strcspn(said, "\r\n")] = '\0';
	if (strlen(said) > MESSAGE_MAX)
		said[MESSAGE_MAX] = '\0';
	return err_set(err, ERROR_GENERIC, "%s of %s failed: %s",
		       verbs[request->verb], request->server,
		       said[0]	      ? said
		       : status > 128 ? "it was killed"
				      : "it said nothing about the reason");
}

static int parse_answer(const char *text, size_t length,
			struct registry_auth *ret_auth, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const char *username = NULL;
	const char *secret = NULL;
	int r;

	/* Not json_parse()'s message: a piece of a secret could be in it. */
	if (json_parse(text, length, "answer", &json, NULL) < 0)
		return err_set(err, ERROR_INVALID, "its answer is not JSON");
	r = json_get_string(json, "answer", "Username", &username, err);
	r = r < 0 ? r : json_get_string(json, "answer", "Secret", &secret, err);
	if (r < 0)
		return r;
	if (str_empty(username) || !secret)
		return 0;
	if (str_equal(username, TOKEN_USER)) {
		ret_auth->identity_token = xstrdup(secret);
	} else {
		ret_auth->username = xstrdup(username);
		ret_auth->password = xstrdup(secret);
	}
	return 1;
}

static pid_t spawn(const struct credential_request *request,
		   const char *program, int *ret_output_fd, struct error *err)
{
	cleanup_free char *name = xstrdup(program);
	cleanup_free char *verb = xstrdup(verbs[request->verb]);
	char *const argv[] = {name, verb, NULL};
	cleanup_fd int input = input_fd(request, err);
	int ends[2];
	pid_t pid;

	if (input < 0)
		return input;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	const struct spawn_fd fds[] = {
		{input, STDIN_FILENO},
		{ends[1], STDOUT_FILENO},
		{STDERR_FILENO, STDERR_FILENO},
	};
	const struct spawn spawn = {
		.path = program,
		.argv = argv,
		.fds = fds,
		.fd_count = ARRAY_SIZE(fds),
		.die_with_parent = true,
	};

	pid = proc_spawn(&spawn, err);
	close(ends[1]);
	if (pid < 0)
		close(ends[0]);
	else
		*ret_output_fd = ends[0];
	return pid;
}

int credential_helper_run(const struct credential_request *request,
			  unsigned int timeout_ms,
			  struct registry_auth *ret_auth, struct error *err)
{
	cleanup_free char *program =
		xasprintf("docker-credential-%s", request->helper);
	struct deadline deadline = {.ms = timeout_ms};
	cleanup_str struct str output = {0};
	cleanup_fd int output_fd = -1;
	pid_t pid;
	int status;
	int r;

	if (!name_is_valid(request->helper))
		return err_set(err, ERROR_INVALID,
			       "\"%s\" is not the name of a credential helper",
			       request->helper);
	clock_gettime(CLOCK_MONOTONIC, &deadline.begin);
	pid = spawn(request, program, &output_fd, err);
	if (pid < 0)
		return (int)pid;
	r = read_output(output_fd, &deadline, &output, err);
	status = finish(pid, r < 0, &deadline);
	if (r == 0 && status != 0)
		r = refused(request, status, &output, err);
	else if (r == 0 && request->verb == CREDENTIAL_GET)
		r = parse_answer(str_text(&output), output.length, ret_auth,
				 err);
	else if (r == 0)
		r = 1;
	if (output.data)
		explicit_bzero(output.data, output.length);
	return r < 0 ? err_wrap(err, "%s", program) : r;
}
