/*
 * moss-systemd: gets a process to a cgroup of the user's service manager, which
 * alone may take it out of a login's scope. Run by a monitor whose container
 * has limits; core/runtime/cgroup.h tells the whole.
 *
 *     moss-systemd SOCKET UNIT SLICE MOUNT PID
 *
 * SOCKET is the manager's own (systemd/private), which needs no message bus.
 * UNIT is started when it is not there, in SLICE ("": the manager's choice),
 * and PID moved to its subgroup for monitors. On success the path of its cgroup
 * below MOUNT is all that is written; otherwise a line on standard error.
 *
 *     moss-systemd --end-idle SOCKET MOUNT
 *
 * stops all such units in which there is nobody but who holds them.
 *
 *     moss-systemd --hold MOUNT
 *
 * is what the unit runs, since systemd keeps no cgroup without a process. It
 * leaves the unit's own cgroup, whose controllers its children are to have, for
 * that of the monitors, and becomes moss-pause, which does nothing in the least
 * space.
 *
 * A program of its own, as libsystemd takes longer to load than a container to
 * start. It waits for the manager for TIMEOUT_US at most.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "core/runtime/cgroup.h"

#define HOLD	   "--hold"
#define END_IDLE   "--end-idle"
#define PAUSE	   "moss-pause"
#define TIMEOUT_US (20u * 1000 * 1000)
#define PATH_SIZE  8192
#define ROUNDS	   3

#define SERVICE	   "org.freedesktop.systemd1"
#define OBJECT	   "/org/freedesktop/systemd1"
#define MANAGER	   SERVICE ".Manager"
#define NO_UNIT	   SERVICE ".NoSuchUnit"
#define UNIT_THERE SERVICE ".UnitExists"

struct request {
	const char *socket;
	const char *unit;
	const char *slice;
	const char *mount;
	uint32_t pid;
	sd_bus *bus;
	char job[PATH_SIZE]; /* that we wait for */
	const char *result;  /* of it, NULL: not yet */
};

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	return -1;
}

static int fail_bus(const char *what, const sd_bus_error *error, int r)
{
	return fail(what,
		    error && error->message ? error->message : strerror(-r));
}

static int open_bus(struct request *request)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(request->socket) >= sizeof(address.sun_path))
		return fail(request->socket, strerror(ENAMETOOLONG));
	strcpy(address.sun_path, request->socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return fail("cannot reach your service manager",
			    strerror(errno));
	r = sd_bus_new(&request->bus);
	if (r >= 0)
		r = sd_bus_set_fd(request->bus, fd, fd);
	if (r >= 0)
		r = sd_bus_start(request->bus);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(request->bus, TIMEOUT_US);
	return r < 0 ? fail("cannot talk to your service manager", strerror(-r))
		     : 0;
}

/* 1 and the path, 0 when there is no such unit or it has none. */
static int find_cgroup(struct request *request, char ret_path[PATH_SIZE])
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *object = NULL;
	char *path = NULL;
	int r = sd_bus_call_method(request->bus, SERVICE, OBJECT, MANAGER,
				   "GetUnit", &error, &reply, "s",
				   request->unit);

	if (r < 0 && sd_bus_error_has_name(&error, NO_UNIT)) {
		sd_bus_error_free(&error);
		return 0;
	}
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &object);
	if (r >= 0)
		r = sd_bus_get_property_string(request->bus, SERVICE, object,
					       SERVICE ".Service",
					       "ControlGroup", &error, &path);
	if (r >= 0)
		r = snprintf(ret_path, PATH_SIZE, "%s", path) > 0;
	else
		r = fail_bus(request->unit, &error, r);
	free(path);
	sd_bus_message_unref(reply);
	sd_bus_error_free(&error);
	return r;
}

static int on_job_removed(sd_bus_message *message, void *data,
			  sd_bus_error *error)
{
	struct request *request = data;
	const char *path, *unit, *result;
	uint32_t id;

	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >=
		    0 &&
	    strcmp(path, request->job) == 0)
		request->result =
			strcmp(result, "done") == 0 ? "done" : "failed";
	return 0;
}

static int add_text(sd_bus_message *message, const char *name,
		    const char *value)
{
	return sd_bus_message_append(message, "(sv)", name, "s", value);
}

static int add_flag(sd_bus_message *message, const char *name)
{
	return sd_bus_message_append(message, "(sv)", name, "b", 1);
}

static int add_properties(const struct request *request,
			  sd_bus_message *message)
{
	char program[PATH_SIZE];
	ssize_t length =
		readlink("/proc/self/exe", program, sizeof(program) - 1);
	int r;

	if (length < 0)
		return -errno;
	program[length] = '\0';
	r = sd_bus_message_open_container(message, 'a', "(sv)");
	if (r >= 0)
		r = add_text(message, "Description",
			     "Containers of moss that have limits");
	if (r >= 0 && *request->slice)
		r = add_text(message, "Slice", request->slice);
	if (r >= 0)
		r = add_text(message, "Type", "notify");
	if (r >= 0)
		r = add_flag(message, "Delegate");
	/* Of all containers together, and their own is theirs to set. */
	if (r >= 0)
		r = sd_bus_message_append(message, "(sv)", "TasksMax", "t",
					  UINT64_MAX);
	if (r >= 0)
		r = add_text(message, "CollectMode", "inactive-or-failed");
	if (r >= 0)
		r = sd_bus_message_append(message, "(sv)", "ExecStart",
					  "a(sasb)", 1, program, 3, program,
					  HOLD, request->mount, 0);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int await_job(struct request *request)
{
	struct timespec now;
	time_t deadline;

	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline = now.tv_sec + TIMEOUT_US / 1000000;
	while (!request->result) {
		int r = sd_bus_process(request->bus, NULL);

		if (r == 0)
			r = sd_bus_wait(request->bus, TIMEOUT_US);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (r >= 0 && now.tv_sec > deadline)
			r = -ETIMEDOUT;
		if (r < 0)
			return fail(request->unit, strerror(-r));
	}
	if (strcmp(request->result, "done") == 0)
		return 0;
	return fail(request->unit, "it could not be started");
}

static int start_unit(struct request *request)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL;
	sd_bus_message *reply = NULL;
	const char *job = NULL;
	int r;

	r = sd_bus_match_signal(request->bus, NULL, NULL, OBJECT, MANAGER,
				"JobRemoved", on_job_removed, request);
	if (r >= 0)
		r = sd_bus_message_new_method_call(request->bus, &message,
						   SERVICE, OBJECT, MANAGER,
						   "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", request->unit, "fail");
	if (r >= 0)
		r = add_properties(request, message);
	if (r >= 0)
		r = sd_bus_message_append(message, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(request->bus, message, TIMEOUT_US, &error,
				&reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &job);
	/* Somebody else was faster. */
	if (r < 0 && sd_bus_error_has_name(&error, UNIT_THERE)) {
		r = 0;
	} else if (r < 0) {
		r = fail_bus(request->unit, &error, r);
	} else {
		snprintf(request->job, sizeof(request->job), "%s", job);
		r = await_job(request);
	}
	sd_bus_error_free(&error);
	sd_bus_message_unref(message);
	sd_bus_message_unref(reply);
	return r;
}

static int attach(struct request *request)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(request->bus, SERVICE, OBJECT, MANAGER,
				   "AttachProcessesToUnit", &error, NULL,
				   "ssau", request->unit, "/" CGROUP_MONITORS,
				   1, request->pid);

	if (r < 0)
		r = fail_bus("cannot move the monitor", &error, r);
	sd_bus_error_free(&error);
	return r;
}

static int run(struct request *request)
{
	char cgroup[PATH_SIZE] = "";
	int r = open_bus(request);

	for (int i = 0; r >= 0 && i < ROUNDS; i++) {
		r = find_cgroup(request, cgroup);
		if (r == 0) {
			r = start_unit(request);
			continue;
		}
		if (r > 0)
			r = attach(request);
		if (r >= 0)
			puts(cgroup);
		return r;
	}
	return r < 0 ? r : fail(request->unit, "it has no cgroup");
}

/* One process in it, or none, and no container. */
static bool is_idle(const char *mount, const char *cgroup)
{
	char directory[2 * PATH_SIZE], procs[sizeof(directory) + 32];
	char line[64];
	const struct dirent *entry;
	bool idle = true;
	FILE *file;
	DIR *dir;

	snprintf(directory, sizeof(directory), "%s%s", mount, cgroup);
	dir = opendir(directory);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
		    strcmp(entry->d_name, CGROUP_MONITORS) != 0)
			idle = false;
	}
	if (dir)
		closedir(dir);
	snprintf(procs, sizeof(procs), "%s/" CGROUP_MONITORS "/cgroup.procs",
		 directory);
	file = fopen(procs, "re");
	for (int count = 0; file && fgets(line, sizeof(line), file);)
		idle = idle && ++count == 1;
	if (file)
		fclose(file);
	return dir && file && idle;
}

static int stop_unit(struct request *request)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(request->bus, SERVICE, OBJECT, MANAGER,
				   "StopUnit", &error, NULL, "ss",
				   request->unit, "replace");

	if (r < 0)
		r = fail_bus(request->unit, &error, r);
	sd_bus_error_free(&error);
	return r;
}

static int list_units(struct request *request, sd_bus_message **ret_reply)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(request->bus, SERVICE, OBJECT, MANAGER,
				   "ListUnitsByPatterns", &error, ret_reply,
				   "asas", 0, 2, CGROUP_UNIT,
				   "moss-containers-*.service");

	if (r < 0)
		r = fail_bus("cannot list units", &error, r);
	sd_bus_error_free(&error);
	return r;
}

static int end_idle(struct request *request)
{
	char cgroup[PATH_SIZE];
	sd_bus_message *reply = NULL;
	const char *other[8];
	uint32_t job;
	int r = open_bus(request);

	if (r >= 0)
		r = list_units(request, &reply);
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(ssssssouso)", &request->unit,
					&other[0], &other[1], &other[2],
					&other[3], &other[4], &other[5], &job,
					&other[6], &other[7])) > 0) {
		r = find_cgroup(request, cgroup);
		if (r > 0 && is_idle(request->mount, cgroup))
			r = stop_unit(request);
	}
	sd_bus_message_unref(reply);
	return r;
}

/* Our own cgroup: the "0::" line. */
static int read_own_cgroup(char ret_path[PATH_SIZE])
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_SIZE];
	int r = -1;

	while (r < 0 && file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0) {
			strcpy(ret_path, line + 3);
			r = 0;
		}
	}
	if (file)
		fclose(file);
	return r < 0 ? fail("/proc/self/cgroup", "there is no cgroup v2") : 0;
}

static int enter_monitors(const char *mount)
{
	char own[PATH_SIZE], directory[2 * PATH_SIZE];
	char procs[sizeof(directory) + 16];
	ssize_t written;
	int fd;

	if (read_own_cgroup(own) < 0)
		return -1;
	snprintf(directory, sizeof(directory), "%s%s/" CGROUP_MONITORS, mount,
		 own);
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return fail(directory, strerror(errno));
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", directory);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	written = fd < 0 ? -1 : write(fd, "0", 1);
	if (written != 1)
		return fail(procs, strerror(errno));
	close(fd);
	return 0;
}

static int hold(const char *mount)
{
	char program[PATH_SIZE + sizeof(PAUSE)];
	ssize_t length = readlink("/proc/self/exe", program, PATH_SIZE - 1);
	char *slash;

	if (enter_monitors(mount) < 0)
		return EXIT_FAILURE;
	program[length > 0 ? length : 0] = '\0';
	slash = strrchr(program, '/');
	if (!slash)
		return EXIT_FAILURE;
	strcpy(slash + 1, PAUSE);
	sd_notify(1, "READY=1");
	execl(program, PAUSE, NULL);
	fail(program, strerror(errno));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct request request;
	int r;

	if (argc == 3 && strcmp(argv[1], HOLD) == 0)
		return hold(argv[2]);
	if (argc == 4 && strcmp(argv[1], END_IDLE) == 0) {
		request = (struct request){.socket = argv[2], .mount = argv[3]};
		r = end_idle(&request);
		sd_bus_flush_close_unref(request.bus);
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (argc != 6) {
		fprintf(stderr, "moss-systemd is started by moss\n");
		return EXIT_FAILURE;
	}
	request = (struct request){
		.socket = argv[1],
		.unit = argv[2],
		.slice = argv[3],
		.mount = argv[4],
		.pid = (uint32_t)strtoul(argv[5], NULL, 10),
	};
	r = run(&request);
	sd_bus_flush_close_unref(request.bus);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
