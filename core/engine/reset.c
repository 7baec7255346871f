#include "core/engine/reset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/record.h"
#include "core/runtime/cgroup.h"
#include "policy/userns.h"

#define MARK	     ".moss-reset"
#define MOVE_TRIES   1000
#define END_TRIES    500
#define END_PAUSE_NS 20000000
#define USERNS_PART  "userns" /* policy/userns.h's in the runtime directory */

/*
 * What lies at the top of a store. A module that keeps something new there adds
 * its row.
 */
static const struct part {
	const char *name;
	bool always; /* store_open() makes it, closed to others */
} parts[] = {
	{"image", true},  {"layers", true},	 {"volumes", true},
	{"tmp", true},	  {"containers", false}, {"names", false},
	{"cache", false}, {"lock", false},	 {"events", false},
	{"build", false}, {MARK, false},	 {"networks", false},
	{"host", false},
};

/* A name of moss's own in the store's directory? */
static bool is_part(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (str_equal(name, parts[i].name))
			return true;
	}
	/* An atomic write that was interrupted. */
	return str_starts(name, ".tmp-");
}

/* ---- is it a store? ---- */

/* A directory of the caller's at name, no link. */
static bool has_directory(int dir_fd, const char *name, mode_t forbidden)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & forbidden);
}

/* Names in a directory, without . and ..; negative errno. */
static int list_names(int dir_fd, const char *path, char ***ret_names)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(dir_fd, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return -ENOMEM;
	}
	while (errno = 0, (entry = readdir(dir))) {
		if (!str_equal(entry->d_name, ".") &&
		    !str_equal(entry->d_name, ".."))
			strv_push(ret_names, entry->d_name);
	}
	return -errno;
}

/* An OCI layout, whole or damaged, or one that was about to be made. */
static bool has_layout(int root_fd)
{
	static const char *const signs[] = {"oci-layout", "index.json",
					    "blobs"};
	cleanup_strv char **names = NULL;

	if (list_names(root_fd, "image", &names) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		if (strv_contains(names, signs[i]))
			return true;
	}
	return strv_length(names) == 0;
}

static bool looks_like_store(int root_fd, char *const *names)
{
	if (strv_length(names) == 0 || has_directory(root_fd, MARK, 077))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i].always &&
		    !has_directory(root_fd, parts[i].name, 077))
			return false;
	}
	return has_layout(root_fd);
}

struct reset {
	char *data_path;
	char *run_path;
	int run_fd;
	int root_fd; /* of the store; -1: there is none */
	struct reset_plan plan;
	pid_t child; /* who measures and removes; 0: none */
	int child_fd;
	bool entered; /* the child is in the namespace */
};

/* Opens the store after making sure that it is one of the caller's. */
static int open_root(struct reset *reset, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_fd int fd =
		open(reset->data_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0 || list_names(fd, ".", &names) < 0)
		return err_errno(err, "cannot open %s", reset->data_path);
	if (st.st_uid != geteuid() || !looks_like_store(fd, names)) {
		err_set(err, ERROR_CONFLICT,
			"%s is not a store of moss%s, nothing was removed",
			reset->data_path,
			st.st_uid == geteuid() ? "" : " of yours");
		return err_hint(err, "Set MOSS_ROOT to the directory of the "
				     "store.");
	}
	for (size_t i = 0; names && names[i]; i++) {
		if (!is_part(names[i]))
			strv_push(&reset->plan.kept, names[i]);
	}
	reset->root_fd = steal_fd(&fd);
	reset->plan.has_store = true;
	return 0;
}

/* ---- the child inside the namespace ---- */

enum order { ORDER_MEASURE = 'm', ORDER_REMOVE = 'r' };

/* What it says: once when it is in the namespace, then after each order. */
struct report {
	int result;
	uint64_t bytes;
	struct error err;
};

static int measure(int root_fd, uint64_t *ret_bytes, struct error *err)
{
	cleanup_strv char **names = NULL;
	int r = list_names(root_fd, ".", &names);

	if (r < 0)
		return err_number(err, r, "cannot read the store");
	for (size_t i = 0; names && names[i]; i++) {
		uint64_t bytes = 0;

		/* What cannot be read is counted as nothing. */
		if (is_part(names[i]) &&
		    tree_size_at(root_fd, names[i], &bytes, NULL) == 0)
			*ret_bytes += bytes;
	}
	return 0;
}

/* Into the mark's directory, beside what a killed reset left there. */
static int move_part(int root_fd, const char *name, int mark_fd,
		     struct error *err)
{
	for (int i = 0; i < MOVE_TRIES; i++) {
		cleanup_free char *to = xasprintf("%s.%d", name, i);
		struct stat st;

		if (fstatat(mark_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (renameat(root_fd, name, mark_fd, to) < 0 && errno != ENOENT)
			return err_errno(err, "cannot move %s", name);
		return 0;
	}
	return err_set(err, ERROR_GENERIC, "no room for %s in " MARK, name);
}

static int remove_store(int root_fd, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_fd int mark_fd = -1;
	int r = list_names(root_fd, ".", &names);

	if (r < 0)
		return err_number(err, r, "cannot read the store");
	if (mkdirat(root_fd, MARK, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make " MARK);
	mark_fd = openat(root_fd, MARK,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (mark_fd < 0)
		return err_errno(err, "cannot open " MARK);
	for (size_t i = 0; names && names[i]; i++) {
		if (!is_part(names[i]) || str_equal(names[i], MARK))
			continue;
		r = move_part(root_fd, names[i], mark_fd, err);
		if (r < 0)
			return r;
	}
	return tree_remove_at(root_fd, MARK, err);
}

static int obey(const struct reset *reset, char order, struct report *report)
{
	if (order == ORDER_MEASURE)
		return measure(reset->root_fd, &report->bytes, &report->err);
	return remove_store(reset->root_fd, &report->err);
}

static bool say(int fd, const struct report *report)
{
	return send(fd, report, sizeof(*report), MSG_NOSIGNAL) ==
	       (ssize_t)sizeof(*report);
}

static _Noreturn void child_main(const struct reset *reset, int fd)
{
	struct report report = {0};
	struct identity identity;
	char *note = NULL;
	char order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	report.result =
		userns_enter(reset->run_fd, &identity, &note, &report.err);
	/* Another identity forgets it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (say(fd, &report) &&
	       recv(fd, &order, sizeof(order), 0) == sizeof(order)) {
		report = (struct report){0};
		report.result = obey(reset, order, &report);
	}
	_exit(0);
}

static int hear(struct reset *reset, struct report *ret_report,
		struct error *err)
{
	ssize_t length;

	do
		length = recv(reset->child_fd, ret_report, sizeof(*ret_report),
			      0);
	while (length < 0 && errno == EINTR);
	if (length != (ssize_t)sizeof(*ret_report))
		return err_set(err, ERROR_GENERIC,
			       "the process that removes files was killed");
	return 0;
}

static int start_child(struct reset *reset, struct error *err)
{
	struct report report;
	int ends[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_errno(err, "cannot make a socket");
	reset->child = fork();
	if (reset->child < 0) {
		reset->child = 0;
		err_errno(err, "cannot fork");
		close_fd(&ends[0]);
		close_fd(&ends[1]);
		return err_return(err);
	}
	if (reset->child == 0) {
		close_fd(&ends[0]);
		child_main(reset, ends[1]);
	}
	close_fd(&ends[1]);
	reset->child_fd = ends[0];
	r = hear(reset, &report, err);
	if (r < 0)
		return r;
	reset->entered = report.result == 0;
	if (report.result < 0)
		reset->plan.note = xstrdup(report.err.message);
	return 0;
}

static void end_child(struct reset *reset)
{
	close_fd(&reset->child_fd);
	if (reset->child > 0)
		proc_wait(reset->child);
	reset->child = 0;
}

static int give_order(struct reset *reset, char order, uint64_t *ret_bytes,
		      struct error *err)
{
	struct report report;
	int r;

	if (send(reset->child_fd, &order, sizeof(order), MSG_NOSIGNAL) < 0)
		return err_errno(err, "cannot talk to the process that removes "
				      "files");
	r = hear(reset, &report, err);
	if (r < 0)
		return r;
	*ret_bytes = report.bytes;
	return report.result < 0 ? err_copy(err, &report.err) : 0;
}

/* ---- containers ---- */

typedef int (*record_visit)(const struct record *record, void *data);

/* The records of the store, its parts opened by name only. */
static void each_record(const struct reset *reset, record_visit visit,
			void *data)
{
	struct store store = {.root_fd = reset->root_fd,
			      .containers = STORE_CONTAINERS,
			      .image_fd = -1,
			      .layers_fd = -1,
			      .volumes_fd = -1,
			      .tmp_fd = -1,
			      .path = reset->data_path};
	cleanup_strv char **ids = NULL;

	if (reset->root_fd < 0 || record_list(&store, &ids, NULL) < 0)
		return;
	for (size_t i = 0; ids && ids[i]; i++) {
		CLEANUP(record_close)
		struct record record = {.directory_fd = -1, .operation_fd = -1};

		if (record_open(&store, ids[i], &record, NULL) == 0)
			visit(&record, data);
	}
}

static int count_record(const struct record *record, void *data)
{
	struct reset_plan *plan = data;

	plan->containers++;
	plan->running += record_is_monitored(record) > 0;
	return 0;
}

static void kill_process(pid_t pid, uint64_t start)
{
	cleanup_fd int fd = pid > 0 ? proc_open(pid, start) : -1;

	if (fd >= 0)
		(void)proc_pidfd_signal(fd, SIGKILL);
}

/* One whose monitor lives, in the namespace of another runtime directory. */
static int kill_record(const struct record *record, void *data)
{
	struct container_state state = {0};
	size_t *living = data;

	if (record_is_monitored(record) <= 0)
		return 0;
	++*living;
	if (record_state_read(record, &state, NULL) < 0)
		return 0;
	kill_process(state.monitor_pid, state.monitor_start);
	kill_process(state.pid, state.pid_start);
	kill_process(state.net_pid, state.net_start);
	kill_process(state.port_pid, state.port_start);
	kill_process(state.fuse_pid, state.fuse_start);
	container_state_release(&state);
	return 0;
}

static int end_containers(const struct reset *reset, struct error *err)
{
	const struct timespec pause = {.tv_nsec = END_PAUSE_NS};
	size_t living = 0;
	int r = userns_kill(reset->run_fd, reset->entered ? reset->child : 0,
			    false, err);

	if (r < 0)
		return r;
	for (int i = 0; i < END_TRIES; i++) {
		living = 0;
		each_record(reset, kill_record, &living);
		if (living == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return err_set(err, ERROR_TIMEOUT, "%zu containers cannot be ended",
		       living);
}

/* ---- all of it ---- */

static void fill_plan(struct reset *reset)
{
	cleanup_strv char **names = NULL;

	each_record(reset, count_record, &reset->plan);
	if (reset->root_fd < 0 ||
	    list_names(reset->root_fd, "volumes", &names) < 0)
		return;
	for (size_t i = 0; names && names[i]; i++) {
		cleanup_free char *path = xasprintf("volumes/%s", names[i]);

		reset->plan.volumes += has_directory(reset->root_fd, path, 0);
	}
}

int reset_open(const struct reset_options *options, struct reset **ret_reset,
	       struct error *err)
{
	struct reset *reset = xcalloc(1, sizeof(*reset));
	int r;

	*reset = (struct reset){
		.data_path = xstrdup(options->data_path),
		.run_path = xstrdup(options->run_path),
		.run_fd = options->run_fd,
		.root_fd = -1,
		.child_fd = -1,
	};
	r = open_root(reset, err);
	if (r == 0)
		r = start_child(reset, err);
	if (r == 0 && reset->plan.has_store)
		r = give_order(reset, ORDER_MEASURE, &reset->plan.bytes, err);
	if (r < 0) {
		reset_close(reset);
		return r;
	}
	fill_plan(reset);
	*ret_reset = reset;
	return 0;
}

void reset_close(struct reset *reset)
{
	if (!reset)
		return;
	end_child(reset);
	close_fd(&reset->root_fd);
	strv_free(reset->plan.kept);
	free(reset->plan.note);
	free(reset->data_path);
	free(reset->run_path);
	free(reset);
}

const struct reset_plan *reset_plan_of(const struct reset *reset)
{
	return &reset->plan;
}

/* Files that the child had no right to. */
static int explain(const struct reset *reset, struct error *err)
{
	err_wrap(err, "%s", reset->data_path);
	if (!reset->entered)
		return err_hint(err,
				"moss's user namespace cannot be entered (%s), "
				"without which files of containers' users stay",
				reset->plan.note);
	return err_hint(err,
			"As the host's root: rm -rf %s/" MARK
			", then run moss system reset again.",
			reset->data_path);
}

/* An empty directory of that name which is still the one that was opened. */
static void remove_empty(const char *path, int fd)
{
	struct stat named;
	struct stat opened;

	if (lstat(path, &named) == 0 && fstat(fd, &opened) == 0 &&
	    named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
		(void)rmdir(path);
}

int reset_run(struct reset *reset, struct error *err)
{
	cleanup_fd int lock_fd = userns_lock(reset->run_fd, err);
	uint64_t bytes;
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = end_containers(reset, err);
	if (r < 0)
		return r;
	if (reset->plan.has_store) {
		r = give_order(reset, ORDER_REMOVE, &bytes, err);
		if (r < 0)
			return explain(reset, err);
	}
	end_child(reset);
	r = userns_kill(reset->run_fd, 0, true, err);
	if (r < 0)
		return r;
	r = tree_remove_at(reset->run_fd, USERNS_PART, err);
	if (r < 0)
		return err_wrap(err, "%s", reset->run_path);
	remove_empty(reset->run_path, reset->run_fd);
	cgroup_end_idle_units();
	if (reset->root_fd >= 0)
		remove_empty(reset->data_path, reset->root_fd);
	return 0;
}
