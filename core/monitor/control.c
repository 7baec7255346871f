#include "core/monitor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "core/monitor/start.h"

#define PROGRAM_NAME "moss-monitor"
/* A monitor answers at once; a stopped one should not stop its callers. */
#define ANSWER_TIMEOUT_S 60
#define LOOK_TIMEOUT_S	 2 /* for what its callers can do without */

extern char **environ;

/*
 * What the monitor may see of the caller's environment: it outlives the caller,
 * and its environment is there for others of the user to read.
 */
static const char *const kept_variables[] = {
	"PATH",		"HOME",		"TMPDIR",	 "XDG_RUNTIME_DIR",
	"MOSS_LIBEXEC", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
};

/* The two ends of what connects caller and monitor; -1 when not wanted. */
struct pair {
	int ours, theirs;
};

static void pair_release(struct pair *pair)
{
	close_fd(&pair->ours);
	close_fd(&pair->theirs);
}

#define cleanup_pair CLEANUP(pair_release)

static int pair_open(struct pair *pair, int type, struct error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
		return err_errno(err, "cannot make a socket pair");
	pair->ours = fds[0];
	pair->theirs = fds[1];
	return 0;
}

static void attach_text(const struct attach_options *attach,
			char ret_text[START_ATTACH_MAX])
{
	size_t length = 0;

	if (attach->stdin_)
		ret_text[length++] = START_ATTACH_STDIN;
	if (attach->stdout_)
		ret_text[length++] = START_ATTACH_STDOUT;
	if (attach->stderr_)
		ret_text[length++] = START_ATTACH_STDERR;
	if (attach->logs)
		ret_text[length++] = START_ATTACH_LOGS;
	if (attach->dies_with_client)
		ret_text[length++] = START_ATTACH_OWNER;
	ret_text[length] = '\0';
}

static char **kept_environment(void)
{
	char **env = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kept_variables); i++) {
		const char *value = getenv(kept_variables[i]);

		if (value)
			env_set(&env, kept_variables[i], value);
	}
	return env ? env : xcalloc(1, sizeof(*env));
}

static int spawn_monitor(struct store *store, const struct record *record,
			 const struct attach_options *attach, int start_fd,
			 int stream_fd, int wait_fd, struct error *err)
{
	cleanup_free char *path = proc_helper_path(PROGRAM_NAME, err);
	cleanup_strv char **env = kept_environment();
	char attach_flags[START_ATTACH_MAX] = "";
	char id[ID_TEXT_MAX];
	char name[] = PROGRAM_NAME;
	char *argv[] = {name,
			store->path,
			store->containers,
			id,
			attach ? attach_flags : NULL,
			NULL};
	struct spawn_fd fds[] = {
		{start_fd, START_FD},
		{stream_fd, START_STREAM_FD},
		{wait_fd, START_WAIT_FD},
	};
	struct spawn spawn = {
		.path = path,
		.argv = argv,
		.env = env,
		.fds = fds,
		.fd_count = attach ? 3 : 1,
		.new_session = true,
	};
	pid_t pid;

	if (!path)
		return err_return(err);
	memcpy(id, record->id, sizeof(id));
	if (attach)
		attach_text(attach, attach_flags);
	pid = proc_spawn_orphan(&spawn, err);
	return pid < 0 ? pid : 0;
}

static int await_start(int fd, const struct record *record, struct error *err)
{
	struct error start_err = {0};
	char first;
	ssize_t length;
	int r;

	do
		length = recv(fd, &first, sizeof(first), MSG_PEEK | MSG_TRUNC);
	while (length < 0 && errno == EINTR);
	if (length == sizeof(first) && first == START_RUNS)
		return 0;
	r = error_read(fd, &start_err);
	if (r > 0)
		return err_copy(err, &start_err);
	return err_set(err, ERROR_GENERIC,
		       "the monitor of container %.12s died before the "
		       "container ran",
		       record->id);
}

int monitor_start(struct store *store, const struct record *record,
		  const struct attach_options *attach, int *ret_stream_fd,
		  int *ret_wait_fd, struct error *err)
{
	cleanup_pair struct pair start = {-1, -1};
	cleanup_pair struct pair stream = {-1, -1};
	cleanup_pair struct pair wait = {-1, -1};
	struct error own_err = {0};
	int r;

	r = pair_open(&start, SOCK_SEQPACKET, err);
	if (r >= 0 && attach)
		r = pair_open(&stream, SOCK_STREAM, err);
	if (r >= 0 && attach)
		r = pair_open(&wait, SOCK_SEQPACKET, err);
	if (r < 0)
		return r;
	r = spawn_monitor(store, record, attach, start.theirs, stream.theirs,
			  wait.theirs, &own_err);
	if (r < 0)
		return err_copy(err, &own_err);
	close_fd(&start.theirs);
	close_fd(&stream.theirs);
	close_fd(&wait.theirs);

	r = await_start(start.ours, record, err);
	if (r < 0)
		return r;
	if (attach) {
		*ret_stream_fd = steal_fd(&stream.ours);
		*ret_wait_fd = steal_fd(&wait.ours);
	}
	return 0;
}

static int connect_monitor(const struct record *record, struct error *err)
{
	int fd = socket_connect_at(record->directory_fd, "control",
				   SOCK_SEQPACKET, err);

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s is not running", record->id);
	if (fd < 0)
		return err_wrap(err, "container %.12s", record->id);
	return fd;
}

static void set_timeout(int fd, int seconds)
{
	struct timeval timeout = {.tv_sec = seconds};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

/* An answer that is no error: 0, -ECONNRESET when the monitor went away. */
static int receive(int fd, cJSON **ret_json, int *fds, size_t *ret_fd_count,
		   struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *failure;
	struct error remote = {0};
	size_t none = 0;
	int r;

	r = msg_receive(fd, &json, fds, ret_fd_count ? ret_fd_count : &none,
			err);
	if (r == -EAGAIN)
		return err_set(err, ERROR_TIMEOUT,
			       "the container's monitor does not answer");
	if (r == 0)
		return err_number(err, ECONNRESET,
				  "the container's monitor has gone");
	if (r < 0)
		return r;
	failure = cJSON_GetObjectItemCaseSensitive(json, "error");
	if (failure) {
		error_from_json(failure, &remote);
		while (ret_fd_count && *ret_fd_count > 0)
			close(fds[--*ret_fd_count]);
		return err_copy(err, &remote);
	}
	*ret_json = steal_ptr(&json);
	return 0;
}

/* Sends what it takes; the connection on which the answer will come. */
static int request(const struct record *record, cJSON *json, const int *fds,
		   size_t fd_count, struct error *err)
{
	cleanup_json cJSON *message = json;
	cleanup_fd int fd = connect_monitor(record, err);
	int r;

	if (fd < 0)
		return fd;
	r = msg_send(fd, message, fds, fd_count, err);
	/* It was there, and has closed its door before it took us in. */
	if (r == -EPIPE || r == -ECONNRESET)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s is not running", record->id);
	return r < 0 ? r : steal_fd(&fd);
}

/* A request whose answer says no more than that it was done. */
static int command(const struct record *record, cJSON *json, int timeout_s,
		   struct error *err)
{
	cleanup_json cJSON *answer = NULL;
	cleanup_fd int fd = request(record, json, NULL, 0, err);

	if (fd < 0)
		return fd;
	if (timeout_s > 0)
		set_timeout(fd, timeout_s);
	return receive(fd, &answer, NULL, NULL, err);
}

static cJSON *operation(const char *name)
{
	cJSON *json = json_object();

	json_set_string(json, "op", name);
	return json;
}

int monitor_attach(const struct record *record,
		   const struct attach_options *options, int *ret_stream_fd,
		   struct error *err)
{
	cleanup_pair struct pair stream = {-1, -1};
	cleanup_json cJSON *answer = NULL;
	cleanup_fd int fd = -1;
	cJSON *json;
	int r = pair_open(&stream, SOCK_STREAM, err);

	if (r < 0)
		return r;
	json = operation("attach");
	json_set_bool(json, "stdin", options->stdin_);
	json_set_bool(json, "stdout", options->stdout_);
	json_set_bool(json, "stderr", options->stderr_);
	json_set_bool(json, "logs", options->logs);
	fd = request(record, json, &stream.theirs, 1, err);
	if (fd < 0)
		return fd;
	set_timeout(fd, ANSWER_TIMEOUT_S);
	r = receive(fd, &answer, NULL, NULL, err);
	if (r < 0)
		return r;
	*ret_stream_fd = steal_fd(&stream.ours);
	return 0;
}

int monitor_wait_open(const struct record *record, struct error *err)
{
	return request(record, operation("wait"), NULL, 0, err);
}

int monitor_wait(int wait_fd, int *ret_exit_code, struct error *err)
{
	cleanup_json cJSON *answer = NULL;
	int64_t code = 0;
	int r = receive(wait_fd, &answer, NULL, NULL, err);

	if (r < 0)
		return r;
	r = json_get_i64(answer, "answer", "exit_code", &code, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERROR_CORRUPT,
			       "the container's monitor sent no exit code");
	*ret_exit_code = (int)code;
	return 0;
}

int monitor_kill(const struct record *record, int signal, struct error *err)
{
	cJSON *json = operation("kill");

	json_set_i64(json, "signal", signal);
	return command(record, json, ANSWER_TIMEOUT_S, err);
}

int monitor_stop(const struct record *record, int signal, int timeout_s,
		 bool keep, struct error *err)
{
	cJSON *json = operation("stop");

	json_set_i64(json, "signal", signal);
	json_set_i64(json, "timeout", timeout_s);
	if (keep)
		json_set_bool(json, "keep", true);
	return command(record, json, 0, err);
}

int monitor_resize(const struct record *record, unsigned int rows,
		   unsigned int columns, struct error *err)
{
	cJSON *json = operation("resize");

	json_set_i64(json, "rows", rows);
	json_set_i64(json, "columns", columns);
	return command(record, json, ANSWER_TIMEOUT_S, err);
}

int monitor_freeze(const struct record *record, int *ret_freeze_fd,
		   struct error *err)
{
	cleanup_json cJSON *answer = NULL;
	cleanup_fd int fd = request(record, operation("freeze"), NULL, 0, err);
	int r;

	if (fd < 0)
		return fd;
	set_timeout(fd, ANSWER_TIMEOUT_S);
	r = receive(fd, &answer, NULL, NULL, err);
	if (r < 0)
		return r;
	*ret_freeze_fd = steal_fd(&fd);
	return 0;
}

int monitor_pause(const struct record *record, struct error *err)
{
	return command(record, operation("pause"), ANSWER_TIMEOUT_S, err);
}

int monitor_unpause(const struct record *record, struct error *err)
{
	return command(record, operation("unpause"), ANSWER_TIMEOUT_S, err);
}

int monitor_sync_networks(const struct record *record, struct error *err)
{
	return command(record, operation("networks"), ANSWER_TIMEOUT_S, err);
}

int monitor_sync_ports(const struct record *record,
		       const struct port_list *drop, struct error *err)
{
	cJSON *json = operation("ports");

	if (drop)
		json_set(json, "Ports", record_ports_json(drop));
	return command(record, json, ANSWER_TIMEOUT_S, err);
}

void exec_handle_release(struct exec_handle *handle)
{
	close_fd(&handle->console_fd);
	close_fd(&handle->wait_fd);
}

static int parse_exec(const cJSON *answer, struct exec_handle *handle,
		      struct error *err)
{
	const char *id = NULL;
	int64_t pid = 0;
	int r = json_get_i64(answer, "answer", "pid", &pid, err);

	if (r >= 0)
		r = json_get_string(answer, "answer", "id", &id, err);
	if (r < 0)
		return r;
	if (!id || !record_id_is_valid(id))
		return err_set(err, ERROR_CORRUPT,
			       "the container's monitor sent no ID");
	memcpy(handle->id, id, sizeof(handle->id));
	handle->pid = (pid_t)pid;
	return 0;
}

int monitor_exec(const struct record *record, const cJSON *process,
		 bool privileged, const int fds[3],
		 struct exec_handle *ret_handle, struct error *err)
{
	CLEANUP(exec_handle_release)
	struct exec_handle handle = EXEC_HANDLE_INIT;
	cleanup_json cJSON *answer = NULL;
	cJSON *json = operation("exec");
	bool terminal = cJSON_IsTrue(
		cJSON_GetObjectItemCaseSensitive(process, "terminal"));
	size_t count = 1;
	int r;

	json_set(json, "process", cJSON_Duplicate(process, true));
	json_set_bool(json, "privileged", privileged);
	handle.wait_fd = request(record, json, fds, terminal ? 0 : 3, err);
	if (handle.wait_fd < 0)
		return handle.wait_fd;
	r = receive(handle.wait_fd, &answer, &handle.console_fd, &count, err);
	if (r < 0) {
		handle.console_fd = -1;
		return r;
	}
	if (terminal && handle.console_fd < 0)
		return err_set(err, ERROR_CORRUPT,
			       "the container's monitor sent no terminal");
	r = parse_exec(answer, &handle, err);
	if (r < 0)
		return r;
	*ret_handle = handle;
	handle = (struct exec_handle)EXEC_HANDLE_INIT;
	return 0;
}

int monitor_execs(const struct record *record, char ***ret_ids,
		  struct error *err)
{
	cleanup_json cJSON *answer = NULL;
	cleanup_fd int fd = request(record, operation("execs"), NULL, 0, err);
	int r;

	if (fd < 0)
		return fd;
	set_timeout(fd, LOOK_TIMEOUT_S);
	r = receive(fd, &answer, NULL, NULL, err);
	return r < 0 ? r : json_get_strv(answer, "answer", "ids", ret_ids, err);
}
