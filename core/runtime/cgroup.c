#include "core/runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define TEXT_MAX	(4u << 20)
#define DEPTH_MAX	128 /* of what a container makes in its own */
#define KILL_ROUNDS	64
#define REMOVE_FIRST_NS 500000
#define REMOVE_STEPS	12 /* about two seconds */
#define FREEZE_STEP_MS	20

typedef int (*visit_callback)(int fd, void *data, struct error *err);

int cgroup_open(const char *path, struct cgroup *ret_cgroup, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERROR_NOT_FOUND, "no such cgroup: %s",
			       path);
	if (fd < 0)
		return err_errno(err, "cannot open the cgroup %s", path);
	*ret_cgroup = (struct cgroup){.path = xstrdup(path), .fd = fd};
	return 0;
}

void cgroup_close(struct cgroup *cgroup)
{
	close_fd(&cgroup->fd);
	free(cgroup->path);
	cgroup->path = NULL;
}

int cgroup_make(const char *path, struct cgroup *ret_cgroup, struct error *err)
{
	if (mkdir(path, 0755) == 0)
		return cgroup_open(path, ret_cgroup, err);
	if (errno == EEXIST) {
		int r = cgroup_remove(path, err);

		if (r < 0)
			return r;
		if (mkdir(path, 0755) == 0)
			return cgroup_open(path, ret_cgroup, err);
	}
	return err_errno(err, "cannot make the cgroup %s", path);
}

/* What is below first, then fd itself. */
static int walk(int fd, int depth, visit_callback visit, void *data,
		struct error *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	int r = 0;

	/* It may go away at any moment. */
	if (!dir) {
		close_fd(&copy);
		return 0;
	}
	while (r == 0 && depth > 0 && (entry = readdir(dir))) {
		cleanup_fd int child = -1;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(fd, entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (child >= 0)
			r = walk(child, depth - 1, visit, data, err);
	}
	return r < 0 ? r : visit(fd, data, err);
}

struct pids {
	pid_t *list;
	size_t count;
};

static int collect(int fd, void *data, struct error *err)
{
	struct pids *pids = data;
	cleanup_free char *text = NULL;
	const char *at;
	char *end;

	/* A threaded one, or one that has just gone, tells of none. */
	if (file_read_at(fd, "cgroup.procs", TEXT_MAX, &text, NULL, NULL) < 0)
		return 0;
	for (at = text; *at; at = *end ? end + 1 : end) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		/* 0: of a PID namespace that we do not see. */
		if (pid <= 0)
			continue;
		pids->list = xrealloc(pids->list, pids->count + 1,
				      sizeof(*pids->list));
		pids->list[pids->count++] = (pid_t)pid;
	}
	return 0;
}

int cgroup_processes(const struct cgroup *cgroup, pid_t **ret_pids,
		     size_t *ret_count, struct error *err)
{
	struct pids pids = {0};
	int r = walk(cgroup->fd, DEPTH_MAX, collect, &pids, err);

	if (r < 0) {
		free(pids.list);
		return r;
	}
	*ret_pids = pids.list;
	*ret_count = pids.count;
	return 0;
}

/* For kernels before 5.14: until nobody is left who could fork. */
static int kill_each(const struct cgroup *cgroup, struct error *err)
{
	for (int i = 0; i < KILL_ROUNDS; i++) {
		cleanup_free pid_t *pids = NULL;
		size_t count = 0;
		int r = cgroup_processes(cgroup, &pids, &count, err);

		if (r < 0 || count == 0)
			return r;
		for (size_t j = 0; j < count; j++)
			kill(pids[j], SIGKILL);
	}
	return 0;
}

int cgroup_kill(const struct cgroup *cgroup, struct error *err)
{
	int r = file_write_once_at(cgroup->fd, "cgroup.kill", "1", NULL);

	if (r == -ENOENT)
		return kill_each(cgroup, err);
	if (r == -ENODEV)
		return 0;
	return r < 0 ? err_number(err, r, "cannot kill the cgroup %s",
				  cgroup->path)
		     : 0;
}

/* "NAME NUMBER" of a file of such lines. */
static bool has_line(int fd, const char *file, const char *line)
{
	cleanup_free char *text = NULL;
	cleanup_strv char **lines = NULL;

	if (file_read_at(fd, file, TEXT_MAX, &text, NULL, NULL) < 0)
		return false;
	lines = strv_split(text, '\n');
	return strv_contains(lines, line);
}

int cgroup_freeze(const struct cgroup *cgroup, bool freeze, int timeout_ms,
		  struct error *err)
{
	const char *wanted = freeze ? "frozen 1" : "frozen 0";
	int64_t deadline = clock_ms() + timeout_ms;
	cleanup_fd int events = -1;
	int r = file_write_once_at(cgroup->fd, "cgroup.freeze",
				   freeze ? "1" : "0", err);

	if (r < 0)
		return err_wrap(err, "cgroup %s", cgroup->path);
	events = openat(cgroup->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	while (!has_line(cgroup->fd, "cgroup.events", wanted)) {
		struct pollfd event = {.fd = events, .events = POLLPRI};

		if (clock_ms() > deadline) {
			if (freeze)
				(void)file_write_once_at(
					cgroup->fd, "cgroup.freeze", "0", NULL);
			return err_set(err, ERROR_TIMEOUT,
				       "its processes do not %s within %d "
				       "seconds",
				       freeze ? "stop" : "go on",
				       timeout_ms / 1000);
		}
		poll(&event, 1, FREEZE_STEP_MS);
	}
	return 0;
}

static int remove_children(int fd, void *data, struct error *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!dir) {
		close_fd(&copy);
		return 0;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			(void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	return 0;
}

int cgroup_remove(const char *path, struct error *err)
{
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	struct timespec pause = {.tv_nsec = REMOVE_FIRST_NS};
	int r;

	/* Mostly nobody is there any more. */
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	r = cgroup_open(path, &cgroup, err);
	if (r < 0)
		return r;
	r = cgroup_kill(&cgroup, err);
	if (r < 0)
		return r;
	/* The killed leave when they get to run. */
	for (int i = 0; i < REMOVE_STEPS; i++) {
		(void)walk(cgroup.fd, DEPTH_MAX, remove_children, NULL, NULL);
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			break;
		nanosleep(&pause, NULL);
		pause.tv_nsec = pause.tv_nsec * 2 < 999999999
					? pause.tv_nsec * 2
					: 999999999;
	}
	return err_errno(err, "cannot remove the cgroup %s", path);
}
