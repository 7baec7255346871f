#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "policy/userns_private.h"

#define PIN_FILE      "pin.json"
#define PIN_VERSION   1
#define PIN_MAX	      (64u << 10)
#define NEST_MAX      33 /* levels of user namespaces the kernel allows */
#define PROC_PATH_MAX 64
#define PAUSE_PROGRAM "moss-pause"
#define PAUSE_TITLE   "moss: pause " /* and RUN */
#define TITLE_MAX     4096
#define PAUSE_FD      3 /* the child's end of the conversation */
#define PAUSE_NS_FD   4
#define PAUSE_FREE_FD 5 /* the first above those */

char *userns_run_path(int run_fd)
{
	char link[PROC_PATH_MAX];
	char path[TITLE_MAX - sizeof(PAUSE_TITLE)];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", run_fd);
	length = readlink(link, path, sizeof(path));
	return xstrndup(path, length < 0 ? 0 : (size_t)length);
}

int userns_id_of_fd(int fd, struct userns_id *ret_id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	ret_id->device = st.st_dev;
	ret_id->inode = st.st_ino;
	return 0;
}

bool userns_id_equal(const struct userns_id *a, const struct userns_id *b)
{
	return a->device == b->device && a->inode == b->inode;
}

void userns_pin_release(struct userns_pin *pin)
{
	free(pin->user);
	free(pin->sources);
	free(pin->note);
	memset(pin, 0, sizeof(*pin));
}

static int parse_pin(const cJSON *json, struct userns_pin *pin)
{
	const char *user = NULL;
	const char *sources = NULL;
	const char *note = NULL;
	int64_t version = 0;
	int64_t pid = 0;
	int64_t start = 0;
	int64_t device = 0;
	int64_t inode = 0;
	int64_t uid = -1;

	if (json_get_i64(json, "", "version", &version, NULL) <= 0 ||
	    json_get_i64(json, "", "pid", &pid, NULL) <= 0 ||
	    json_get_i64(json, "", "start_time", &start, NULL) <= 0 ||
	    json_get_i64(json, "", "device", &device, NULL) <= 0 ||
	    json_get_i64(json, "", "inode", &inode, NULL) <= 0 ||
	    json_get_i64(json, "", "uid", &uid, NULL) <= 0 ||
	    json_get_bool(json, "", "mapped", &pin->mapped, NULL) <= 0 ||
	    json_get_string(json, "", "user", &user, NULL) <= 0 ||
	    json_get_string(json, "", "sources", &sources, NULL) <= 0 ||
	    json_get_string(json, "", "note", &note, NULL) < 0)
		return -EBADMSG;
	if (version != PIN_VERSION || pid <= 0 || pid > INT32_MAX ||
	    start < 0 || uid < 0 || uid >= UINT32_MAX)
		return -EBADMSG;
	pin->pid = (pid_t)pid;
	pin->start_time = (uint64_t)start;
	pin->id.device = (uint64_t)device;
	pin->id.inode = (uint64_t)inode;
	pin->uid = (uid_t)uid;
	pin->user = xstrdup(user);
	pin->sources = xstrdup(sources);
	pin->note = xstrdup(note);
	return 0;
}

int userns_pin_read(int dir_fd, struct userns_pin *ret_pin)
{
	cleanup_pin struct userns_pin pin = {0};
	cleanup_free char *text = NULL;
	cleanup_json cJSON *json = NULL;
	cleanup_fd int fd = -1;
	size_t length;

	fd = openat(dir_fd, PIN_FILE,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 ||
	    file_read_fd(fd, PIN_FILE, PIN_MAX, &text, &length, NULL) < 0 ||
	    json_parse(text, length, PIN_FILE, &json, NULL) < 0 ||
	    parse_pin(json, &pin) < 0)
		return 0;
	*ret_pin = pin;
	pin = (struct userns_pin){0};
	return 1;
}

int userns_pin_write(int dir_fd, const struct userns_pin *pin,
		     struct error *err)
{
	cleanup_json cJSON *json = json_object();

	json_set_i64(json, "version", PIN_VERSION);
	json_set_i64(json, "pid", pin->pid);
	json_set_i64(json, "start_time", (int64_t)pin->start_time);
	json_set_i64(json, "device", (int64_t)pin->id.device);
	json_set_i64(json, "inode", (int64_t)pin->id.inode);
	json_set_i64(json, "uid", pin->uid);
	json_set_bool(json, "mapped", pin->mapped);
	json_set_string(json, "user", pin->user);
	json_set_string(json, "sources", pin->sources);
	json_set_string(json, "note", pin->note);
	return json_write_at(dir_fd, PIN_FILE, json, FILE_VOLATILE, err);
}

static int open_ns(pid_t pid)
{
	char path[PROC_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The namespace the pin tells of, made by this user? */
static bool is_pinned(int fd, const struct userns_pin *pin)
{
	struct userns_id id;
	uid_t owner;

	return userns_id_of_fd(fd, &id) == 0 &&
	       userns_id_equal(&id, &pin->id) &&
	       ioctl(fd, NS_GET_OWNER_UID, &owner) == 0 && owner == geteuid();
}

int userns_pin_open(const struct userns_pin *pin)
{
	cleanup_fd int fd = open_ns(pin->pid);

	/* The process is looked at last: if it is the right one now, it was
	   when its namespace was opened. */
	if (fd < 0 || !is_pinned(fd, pin) ||
	    !proc_is_alive(pin->pid, pin->start_time))
		return -ESRCH;
	return steal_fd(&fd);
}

/* The pinned namespace when fd's is that or lies below it; closes fd. */
static int climb_to_pinned(int fd, const struct userns_pin *pin)
{
	cleanup_fd int here = fd;

	for (int i = 0; i < NEST_MAX; i++) {
		int parent;

		if (is_pinned(here, pin))
			return steal_fd(&here);
		parent = ioctl(here, NS_GET_PARENT);
		if (parent < 0)
			return -ENOENT;
		close(here);
		here = parent;
	}
	return -ENOENT;
}

int userns_pin_search(const struct userns_pin *pin, int *ret_fd, bool *ret_used)
{
	cleanup_dir DIR *proc = opendir("/proc");
	cleanup_fd int own_fd = open_ns(getpid());
	cleanup_fd int found = -1;
	struct userns_id own;
	const struct dirent *entry;
	bool used = false;

	if (!proc)
		return -errno;
	if (own_fd < 0 || userns_id_of_fd(own_fd, &own) < 0)
		return -ENOENT;
	while ((entry = readdir(proc)) && !used) {
		cleanup_fd int fd = -1;
		struct userns_id id;
		uint64_t pid;

		if (parse_u64(entry->d_name, &pid) < 0 || pid > INT32_MAX)
			continue;
		fd = open_ns((pid_t)pid);
		if (fd < 0 || userns_id_of_fd(fd, &id) < 0 ||
		    userns_id_equal(&id, &own))
			continue;
		fd = climb_to_pinned(steal_fd(&fd), pin);
		if (fd < 0)
			continue;
		used = (pid_t)pid != pin->pid;
		close_fd(&found);
		found = steal_fd(&fd);
	}
	*ret_used = used;
	*ret_fd = steal_fd(&found);
	return 0;
}

int userns_pin_kill(const struct userns_pin *pin, pid_t keep, pid_t keep_too)
{
	cleanup_dir DIR *proc = opendir("/proc");
	const struct dirent *entry;
	int count = 0;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		cleanup_fd int process_fd = -1;
		cleanup_fd int fd = -1;
		uint64_t start;
		uint64_t pid;

		if (parse_u64(entry->d_name, &pid) < 0 || pid == 0 ||
		    pid > INT32_MAX || (pid_t)pid == keep ||
		    (pid_t)pid == keep_too)
			continue;
		/* Before it is looked at: who has the number later is safe. */
		process_fd = proc_pidfd_open((pid_t)pid, 0);
		if (process_fd < 0)
			continue;
		fd = open_ns((pid_t)pid);
		if (fd >= 0)
			fd = climb_to_pinned(steal_fd(&fd), pin);
		if (fd < 0)
			continue;
		/* A zombie is its parent's business. */
		if (proc_start_time((pid_t)pid, &start) < 0 ||
		    !proc_is_alive((pid_t)pid, start))
			continue;
		count++;
		(void)proc_pidfd_signal(process_fd, SIGKILL);
	}
	return count;
}

/* Does the process carry that name? */
static bool has_title(pid_t pid, const char *title)
{
	char path[PROC_PATH_MAX];
	char text[TITLE_MAX];
	cleanup_fd int fd = -1;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return str_equal(text, title);
}

/* A namespace made by this user directly below own? */
static bool is_child_of(int fd, const struct userns_id *own)
{
	cleanup_fd int parent = ioctl(fd, NS_GET_PARENT);
	struct userns_id id;
	uid_t owner;

	return parent >= 0 && userns_id_of_fd(parent, &id) == 0 &&
	       userns_id_equal(&id, own) &&
	       ioctl(fd, NS_GET_OWNER_UID, &owner) == 0 && owner == geteuid();
}

int userns_pin_adopt(const char *run_path, struct userns_pin *ret_pin)
{
	cleanup_free char *title = xasprintf(PAUSE_TITLE "%s", run_path);
	cleanup_fd int own_fd = open_ns(getpid());
	cleanup_dir DIR *proc = opendir("/proc");
	const struct dirent *entry;
	struct userns_id own;

	if (!proc || own_fd < 0 || userns_id_of_fd(own_fd, &own) < 0)
		return 0;
	while ((entry = readdir(proc))) {
		struct userns_pin pin = {.uid = geteuid()};
		cleanup_fd int fd = -1;
		uint64_t pid;

		if (parse_u64(entry->d_name, &pid) < 0 || pid > INT32_MAX)
			continue;
		pin.pid = (pid_t)pid;
		fd = open_ns(pin.pid);
		if (fd < 0 || userns_id_of_fd(fd, &pin.id) < 0 ||
		    userns_id_equal(&pin.id, &own) || !is_child_of(fd, &own) ||
		    !has_title(pin.pid, title) ||
		    proc_start_time(pin.pid, &pin.start_time) < 0)
			continue;
		*ret_pin = pin;
		return 1;
	}
	return 0;
}

/* What the child says: once when it is in the namespace, again on failure. */
enum pause_step {
	PAUSE_IN_NAMESPACE,
	PAUSE_ARRANGE,
	PAUSE_UNSHARE,
	PAUSE_JOIN,
	PAUSE_BECOME_ROOT,
	PAUSE_EXECUTE,
};

struct pause_report {
	enum pause_step step;
	int number;
	pid_t pid;
};

static const char *const pause_texts[] = {
	[PAUSE_IN_NAMESPACE] = "cannot start " PAUSE_PROGRAM,
	[PAUSE_ARRANGE] = "cannot open files for " PAUSE_PROGRAM,
	[PAUSE_UNSHARE] = "cannot create a user namespace",
	[PAUSE_JOIN] = "cannot join the pinned user namespace",
	[PAUSE_BECOME_ROOT] = "cannot become root of the user namespace",
	[PAUSE_EXECUTE] = "cannot execute " PAUSE_PROGRAM,
};

static void pause_say(int socket_fd, enum pause_step step, int number)
{
	struct pause_report report = {step, number, getpid()};

	(void)send(socket_fd, &report, sizeof(report), MSG_NOSIGNAL);
}

static _Noreturn void pause_fail(int socket_fd, enum pause_step step)
{
	pause_say(socket_fd, step, errno);
	_exit(1);
}

/* Only the conversation stays open, and the namespace to join. */
static void pause_arrange_fds(int socket_fd, int ns_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Above everything that is about to be overwritten. */
	int socket = null_fd < 0
			     ? -1
			     : fcntl(socket_fd, F_DUPFD_CLOEXEC, PAUSE_FREE_FD);

	if (socket >= 0 && ns_fd >= 0) {
		ns_fd = fcntl(ns_fd, F_DUPFD_CLOEXEC, PAUSE_FREE_FD);
		socket = ns_fd < 0 ? -1 : socket;
	}
	if (socket < 0)
		pause_fail(socket_fd, PAUSE_ARRANGE);
	/* Over our own, which are always to be had. */
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(null_fd, fd) < 0)
			pause_fail(socket, PAUSE_ARRANGE);
	}
	/* Survives the exec: its end shows that the program is ready. */
	if (dup2(socket, PAUSE_FD) < 0)
		pause_fail(socket, PAUSE_ARRANGE);
	if (ns_fd >= 0 && dup3(ns_fd, PAUSE_NS_FD, O_CLOEXEC) < 0)
		pause_fail(socket, PAUSE_ARRANGE);
	/* Not all is O_CLOEXEC: the caller may have inherited some. */
	syscall(SYS_close_range, ns_fd >= 0 ? PAUSE_NS_FD + 1 : PAUSE_FD + 1,
		~0U, 0);
}

/* The life of the pause process up to its exec. */
static _Noreturn void pause_main(int socket_fd, int ns_fd, const char *program,
				 char *title)
{
	char *argv[] = {title, NULL};
	char *env[] = {NULL};
	char go;

	pause_arrange_fds(socket_fd, ns_fd);
	if (ns_fd >= 0 && setns(PAUSE_NS_FD, CLONE_NEWUSER) < 0)
		pause_fail(PAUSE_FD, PAUSE_JOIN);
	if (ns_fd < 0 && unshare(CLONE_NEWUSER) < 0)
		pause_fail(PAUSE_FD, PAUSE_UNSHARE);
	pause_say(PAUSE_FD, PAUSE_IN_NAMESPACE, 0);

	/* The parent writes the maps; end of file if it gave up or died. */
	if (recv(PAUSE_FD, &go, sizeof(go), 0) != sizeof(go))
		_exit(1);
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		pause_fail(PAUSE_FD, PAUSE_BECOME_ROOT);
	/* Denied with one ID; they do no harm then. */
	(void)setgroups(0, NULL);
	execve(program, argv, env);
	pause_fail(PAUSE_FD, PAUSE_EXECUTE);
}

/*
 * Forks twice, so that nobody here has to wait for the pause process and no
 * session or terminal is left to it.
 */
static int pause_fork(int socket_fd, int ns_fd, const char *program,
		      char *title, struct error *err)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return err_errno(err, "cannot fork");
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			pause_main(socket_fd, ns_fd, program, title);
		_exit(pid < 0);
	}
	status = proc_wait(pid);
	if (status != 0)
		return err_set(err, ERROR_GENERIC,
			       "cannot fork for " PAUSE_PROGRAM);
	return 0;
}

/* 1 and a report, 0 at the end of the conversation. */
static int pause_hear(int socket_fd, struct pause_report *ret_report,
		      struct error *err)
{
	ssize_t length;

	do
		length = recv(socket_fd, ret_report, sizeof(*ret_report), 0);
	while (length < 0 && errno == EINTR);
	if (length < 0 && errno != ECONNRESET)
		return err_errno(err, "cannot hear from " PAUSE_PROGRAM);
	if (length <= 0)
		return 0;
	if (length != sizeof(*ret_report) ||
	    (unsigned int)ret_report->step >= ARRAY_SIZE(pause_texts))
		return err_set(err, ERROR_GENERIC,
			       "cannot understand " PAUSE_PROGRAM);
	return 1;
}

static int write_proc(pid_t pid, const char *name, const char *text,
		      struct error *err)
{
	char path[PROC_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return file_write_once_at(AT_FDCWD, path, text, err);
}

/* newuidmap PID INSIDE OUTSIDE COUNT… */
static int run_helper(const char *name, pid_t pid, const struct id_map *map,
		      struct error *err)
{
	cleanup_free char *program = userns_find_tool(name);
	cleanup_free char *output = NULL;
	cleanup_strv char **argv = NULL;
	struct spawn spawn = {.path = program};

	if (!program)
		return err_set(err, ERROR_NOT_FOUND, "%s is not installed",
			       name);
	strv_push(&argv, name);
	strv_push_take(&argv, xasprintf("%d", (int)pid));
	for (size_t i = 0; i < map->count; i++) {
		const struct id_extent *extent = &map->extents[i];

		strv_push_take(&argv, xasprintf("%u", extent->inside));
		strv_push_take(&argv, xasprintf("%u", extent->outside));
		strv_push_take(&argv, xasprintf("%u", extent->count));
	}
	spawn.argv = argv;
	return proc_capture(&spawn, PIN_MAX, &output, err);
}

static int write_maps(const struct userns_plan *plan, pid_t pid,
		      struct error *err)
{
	cleanup_free char *uids = idmap_text(&plan->uids);
	cleanup_free char *gids = idmap_text(&plan->gids);
	int r;

	if (plan->writer == MAP_HELPERS) {
		r = run_helper("newuidmap", pid, &plan->uids, err);
		if (r < 0)
			return r;
		return run_helper("newgidmap", pid, &plan->gids, err);
	}
	/* Else a group could be left that a file's mode holds against it. */
	if (plan->writer == MAP_SINGLE) {
		r = write_proc(pid, "setgroups", "deny", err);
		if (r < 0)
			return r;
	}
	r = write_proc(pid, "uid_map", uids, err);
	if (r < 0)
		return r;
	return write_proc(pid, "gid_map", gids, err);
}

/* From the first word to the end of it; *pin is filled on the way. */
static int pause_converse(const struct userns_plan *plan, bool created,
			  int socket_fd, struct userns_pin *pin, bool *ret_maps,
			  struct error *err)
{
	struct pause_report report;
	cleanup_fd int ns_fd = -1;
	int r;

	r = pause_hear(socket_fd, &report, err);
	if (r < 0)
		return r;
	if (r == 0 || report.step != PAUSE_IN_NAMESPACE) {
		int number = r == 0 ? ESRCH : report.number;

		err_number(
			err, number, "%s",
			pause_texts[r == 0 ? PAUSE_IN_NAMESPACE : report.step]);
		if (r > 0 && report.step == PAUSE_ARRANGE)
			return err_hint(err, "raise the limit of open files "
					     "(ulimit -n)");
		return created ? userns_blame(number, err) : err_return(err);
	}
	if (created) {
		r = write_maps(plan, report.pid, err);
		*ret_maps = r < 0;
		if (r < 0)
			return r;
	}
	pin->pid = report.pid;
	if (send(socket_fd, "", 1, MSG_NOSIGNAL) < 0)
		return err_errno(err, "%s", pause_texts[PAUSE_IN_NAMESPACE]);
	r = pause_hear(socket_fd, &report, err);
	if (r < 0)
		return r;
	if (r > 0)
		return err_number(err, report.number, "%s",
				  pause_texts[report.step]);

	ns_fd = open_ns(pin->pid);
	if (ns_fd < 0)
		return err_number(err, ns_fd,
				  "cannot open the user namespace of process "
				  "%d",
				  (int)pin->pid);
	r = userns_id_of_fd(ns_fd, &pin->id);
	if (r == 0)
		r = proc_start_time(pin->pid, &pin->start_time);
	if (r < 0)
		return err_number(err, r, "cannot look at process %d",
				  (int)pin->pid);
	return 0;
}

int userns_pin_start(const struct userns_plan *plan, int ns_fd,
		     const char *run_path, struct userns_pin *pin,
		     bool *ret_maps, struct error *err)
{
	cleanup_free char *program = proc_helper_path(PAUSE_PROGRAM, err);
	cleanup_free char *title = xasprintf(PAUSE_TITLE "%s", run_path);
	cleanup_fd int ours = -1;
	cleanup_fd int theirs = -1;
	int ends[2];
	int r;

	*ret_maps = false;
	if (!program)
		return err_return(err);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(err, "cannot make a socket pair");
	ours = ends[0];
	theirs = ends[1];
	r = pause_fork(theirs, ns_fd, program, title, err);
	if (r < 0)
		return r;
	/* From here the end of file shows that the child is done. */
	close_fd(&theirs);
	return pause_converse(plan, ns_fd < 0, ours, pin, ret_maps, err);
}

int userns_probe(int ns_fd, struct error *err)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return err_errno(err, "cannot fork");
	if (pid == 0) {
		if (setns(ns_fd, CLONE_NEWUSER) < 0 ||
		    unshare(CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNS) < 0)
			_exit(errno > 0 && errno < 128 ? errno : EPERM);
		_exit(0);
	}
	status = proc_wait(pid);
	if (status == 0)
		return 0;
	if (status < 0 || status >= 128)
		status = EPERM;
	err_number(err, status,
		   "cannot create a container's namespaces inside the user "
		   "namespace");
	return userns_blame(status, err);
}
