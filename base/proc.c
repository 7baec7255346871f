#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define STAT_FIELD_EXIT 52
#define STAT_MAX	4096

int proc_status_read(const char *directory, struct proc_status *ret_status)
{
	cleanup_free char *path = xasprintf("%s/stat", directory);
	cleanup_free char *text = NULL;
	struct proc_status status = {0};
	unsigned long long start;
	const char *field;
	int parent, session;
	int r;

	r = file_read_at(AT_FDCWD, path, STAT_MAX, &text, NULL, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The name in parentheses may hold anything, parentheses too. */
	field = strrchr(text, ')');
	if (!field ||
	    sscanf(field + 1,
		   " %c %d %*d %d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d "
		   "%*d %*d %*d %*d %llu",
		   &status.state, &parent, &session, &status.flags,
		   &start) != 5)
		return -EBADMSG;
	for (int i = 2; field && i < STAT_FIELD_EXIT; i++)
		field = strchr(field + 1, ' ');
	status.exit_status = field ? atoi(field) : 0;
	status.parent = parent;
	status.session = session;
	status.start = start;
	*ret_status = status;
	return 0;
}

static int read_status(pid_t pid, struct proc_status *ret_status)
{
	char path[sizeof("/proc/") + 3 * sizeof(pid)];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return proc_status_read(path, ret_status);
}

int proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
	struct proc_status status;
	int r = read_status(pid, &status);

	if (r < 0)
		return r;
	*ret_ticks = status.start;
	return 0;
}

bool proc_is_alive(pid_t pid, uint64_t start_time)
{
	struct proc_status status;

	if (pid <= 0 || read_status(pid, &status) < 0)
		return false;
	return status.start == start_time && status.state != 'Z' &&
	       status.state != 'X';
}

int proc_pidfd_open(pid_t pid, unsigned int flags)
{
	long fd = syscall(SYS_pidfd_open, pid, flags);

	return fd < 0 ? -errno : (int)fd;
}

int proc_pidfd_signal(int pid_fd, int signal)
{
	if (syscall(SYS_pidfd_send_signal, pid_fd, signal, NULL, 0) < 0)
		return -errno;
	return 0;
}

int proc_open(pid_t pid, uint64_t start_time)
{
	cleanup_fd int fd = -1;
	int r;

	if (pid <= 0)
		return -ESRCH;
	r = proc_pidfd_open(pid, 0);
	if (r < 0)
		return r;
	fd = r;
	/* The PID is held by nobody else from here on, so the look counts. */
	if (!proc_is_alive(pid, start_time))
		return -ESRCH;
	return steal_fd(&fd);
}

static struct {
	char *start;
	size_t size;
} title;

void proc_name_init(int argc, char **argv)
{
	char *end;

	if (argc < 1 || !argv[0])
		return;
	/* The kernel lays the strings out one behind the other. */
	end = argv[0];
	for (int i = 0; i < argc && argv[i] == end; i++)
		end += strlen(argv[i]) + 1;
	title.start = argv[0];
	title.size = (size_t)(end - argv[0]);
	/* The caller goes on with copies. */
	for (int i = 0; i < argc; i++)
		argv[i] = xstrdup(argv[i]);
}

void proc_name_set(const char *format, ...)
{
	cleanup_free char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		str_oom();
	va_end(arguments);

	prctl(PR_SET_NAME, text, 0, 0, 0);
	if (title.size > 0) {
		size_t length = strnlen(text, title.size - 1);

		memcpy(title.start, text, length);
		memset(title.start + length, 0, title.size - length);
	}
}

int proc_status_code(int wait_status)
{
	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	if (WIFSIGNALED(wait_status))
		return 128 + WTERMSIG(wait_status);
	return 128 + WSTOPSIG(wait_status);
}

int proc_wait(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : proc_status_code(status);
}

/* directory/name when that can be executed. Caller frees. */
static char *helper_in(const char *directory, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);

	return access(path, X_OK) == 0 ? steal_ptr(&path) : NULL;
}

char *proc_helper_path(const char *name, struct error *err)
{
	const char *forced = getenv("MOSS_LIBEXEC");
	char own[PATH_MAX];
	char *path;
	char *slash;
	ssize_t length;

	if (str_empty(name) || strchr(name, '/')) {
		err_set(err, ERROR_INVALID, "invalid helper program name '%s'",
			name ? name : "");
		return NULL;
	}
	if (!str_empty(forced)) {
		path = helper_in(forced, name);
		if (!path) {
			err_set(err, ERROR_NOT_FOUND,
				"helper program %s not found in %s", name,
				forced);
			err_hint(err, "correct or unset MOSS_LIBEXEC");
		}
		return path;
	}

	length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	if (length > 0) {
		own[length] = '\0';
		slash = strrchr(own, '/');
		if (slash)
			*slash = '\0';
		path = helper_in(own, name);
		if (path)
			return path;
	}
	path = helper_in(MOSS_LIBEXECDIR, name);
	if (!path) {
		err_set(err, ERROR_NOT_FOUND,
			"helper program %s not found beside moss nor in %s",
			name, MOSS_LIBEXECDIR);
		err_hint(err, "install moss again, or set MOSS_LIBEXEC to the "
			      "directory that has it");
	}
	return path;
}
