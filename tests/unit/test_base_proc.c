/* base/proc.h */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

/* Runs a shell script and returns its stdout. */
static char *shell(const struct spawn *base, const char *script)
{
	char sh[] = "sh";
	char option[] = "-c";
	cleanup_free char *text = xstrdup(script);
	char *argv[] = {sh, option, text, NULL};
	struct spawn spawn = base ? *base : (struct spawn){0};
	char *out = NULL;
	struct error err = {0};

	spawn.path = "/bin/sh";
	spawn.argv = argv;
	if (proc_capture(&spawn, 65536, &out, &err) < 0)
		fail_msg("%s: %s", script, err.message);
	return out;
}

static pid_t start_sleep(void)
{
	char sleep_name[] = "sleep";
	char seconds[] = "60";
	char *argv[] = {sleep_name, seconds, NULL};
	struct spawn spawn = {.path = "sleep", .argv = argv};
	pid_t pid = proc_spawn(&spawn, NULL);

	assert_true(pid > 0);
	return pid;
}

static void test_status_code(void **state)
{
	static const struct {
		const char *script;
		int code;
	} rows[] = {
		{"exit 0", 0},
		{"exit 3", 3},
		{"exit 255", 255},
		{"kill -KILL $$", 137},
		{"trap - TERM; kill $$", 143},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char sh[] = "sh";
		char option[] = "-c";
		cleanup_free char *text = xstrdup(rows[i].script);
		char *argv[] = {sh, option, text, NULL};
		struct spawn spawn = {.path = "sh", .argv = argv};
		pid_t pid = proc_spawn(&spawn, NULL);

		assert_true(pid > 0);
		assert_int_equal(proc_wait(pid), rows[i].code);
		assert_int_equal(proc_wait(pid), -ECHILD);
	}
}

static void test_identity(void **state)
{
	uint64_t start = 0;
	uint64_t own = 0;
	pid_t pid = start_sleep();
	int pid_fd;
	int status;

	assert_int_equal(proc_start_time(getpid(), &own), 0);
	assert_true(own > 0);
	assert_true(proc_is_alive(getpid(), own));
	assert_false(proc_is_alive(getpid(), own + 1));

	assert_int_equal(proc_start_time(pid, &start), 0);
	assert_true(start >= own);
	assert_int_equal(proc_open(pid, start + 1), -ESRCH);
	pid_fd = proc_open(pid, start);
	assert_true(pid_fd >= 0);
	assert_true(fcntl(pid_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(proc_pidfd_signal(pid_fd, 0), 0);
	assert_int_equal(proc_pidfd_signal(pid_fd, SIGKILL), 0);
	{
		struct pollfd ready = {.fd = pid_fd, .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
	}
	/* A zombie is gone, though its PID is not. */
	assert_int_equal(kill(pid, 0), 0);
	assert_false(proc_is_alive(pid, start));
	assert_int_equal(proc_open(pid, start), -ESRCH);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(proc_status_code(status), 128 + SIGKILL);
	assert_int_equal(proc_pidfd_signal(pid_fd, 0), -ESRCH);
	assert_int_equal(proc_start_time(pid, &start), -ESRCH);
	assert_int_equal(proc_open(0, 1), -ESRCH);
	assert_int_equal(proc_open(-1, 1), -ESRCH);
	assert_false(proc_is_alive(-1, 1));
	close(pid_fd);
}

/* A name that looks like fields of /proc/PID/stat. */
static void test_start_time_with_hostile_name(void **state)
{
	uint64_t before;
	uint64_t after;

	assert_int_equal(proc_start_time(getpid(), &before), 0);
	prctl(PR_SET_NAME, "a) Z 1 (b", 0, 0, 0);
	assert_int_equal(proc_start_time(getpid(), &after), 0);
	assert_int_equal(before, after);
	assert_true(proc_is_alive(getpid(), after));
}

static void test_descriptors(void **state)
{
	/* Opened without O_CLOEXEC on purpose. */
	int leaked = fcntl(STDIN_FILENO, F_DUPFD, 50);
	int below = fcntl(STDIN_FILENO, F_DUPFD, 3);
	cleanup_free char *out = NULL;
	const struct spawn_fd fds[] = {{leaked, 7}};
	const struct spawn spawn = {.fds = fds, .fd_count = ARRAY_SIZE(fds)};

	assert_true(leaked >= 50);
	assert_true(below < 7);
	/* echo and the glob open nothing that stays; the glob's own
	 * descriptor is the lowest free one, 3. */
	out = shell(&spawn, "for f in 0 1 2 3 4 5 6 7 8 9 50 51; do "
			    "[ -e /proc/$$/fd/$f ] && echo $f; done; :");
	assert_string_equal(out, "0\n1\n2\n7\n");
	free(out);
	out = shell(NULL, "readlink /proc/$$/fd/0");
	assert_string_equal(out, "/dev/null\n");
	close(leaked);
	close(below);
}

static void test_descriptors_overlap(void **state)
{
	static const char *const texts[] = {"a", "b", "c"};
	int fds[3];
	cleanup_free char *out = NULL;
	cleanup_free struct spawn_fd *map = NULL;
	struct spawn spawn = {0};

	for (int i = 0; i < 3; i++) {
		char name[] = "/tmp/moss-test-XXXXXX";

		fds[i] = mkostemp(name, O_CLOEXEC);
		assert_true(fds[i] > 2);
		unlink(name);
		assert_int_equal(write_all(fds[i], texts[i], 1), 0);
		lseek(fds[i], 0, SEEK_SET);
	}
	/* A ring, and one of them twice, and to itself. */
	map = xcalloc(5, sizeof(*map));
	map[0] = (struct spawn_fd){fds[0], fds[1]};
	map[1] = (struct spawn_fd){fds[1], fds[2]};
	map[2] = (struct spawn_fd){fds[2], fds[0]};
	map[3] = (struct spawn_fd){fds[0], 0};
	map[4] = (struct spawn_fd){fds[0], 20};
	spawn.fds = map;
	spawn.fd_count = 5;
	{
		cleanup_free char *script =
			xasprintf("for f in %d %d %d 20 0; do "
				  "head -c 1 /proc/self/fd/$f; done",
				  fds[0], fds[1], fds[2]);

		out = shell(&spawn, script);
	}
	assert_string_equal(out, "cabaa");
	free(out);

	map[0] = (struct spawn_fd){fds[0], fds[0]};
	spawn.fd_count = 1;
	{
		cleanup_free char *script =
			xasprintf("cat /proc/self/fd/%d", fds[0]);

		out = shell(&spawn, script);
	}
	assert_string_equal(out, "a");
	/* Ours stay as they were. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
}

static void test_bad_descriptors(void **state)
{
	static const struct {
		struct spawn_fd fds[2];
		size_t count;
		int number;
	} rows[] = {
		{{{-1, 3}}, 1, -EBADF},	     {{{0, -1}}, 1, -EBADF},
		{{{0, 1 << 30}}, 1, -EBADF}, {{{0, 3}, {0, 3}}, 2, -EINVAL},
		{{{1000, 3}}, 1, -EBADF},
	};
	char true_name[] = "true";
	char *argv[] = {true_name, NULL};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spawn spawn = {
			.path = "true",
			.argv = argv,
			.fds = rows[i].fds,
			.fd_count = rows[i].count,
		};
		struct error err = {0};

		assert_int_equal(proc_spawn(&spawn, &err), rows[i].number);
		assert_non_null(strstr(err.message, "cannot pass descriptors"));
	}
}

static void test_exec_failures(void **state)
{
	static const struct {
		const char *path;
		int number;
		const char *message;
	} rows[] = {
		{"/no/such/program", -ENOENT,
		 "cannot execute /no/such/program: No such file or directory"},
		{"/etc/passwd", -EACCES,
		 "cannot execute /etc/passwd: Permission denied"},
		{"/tmp", -EACCES, "cannot execute /tmp: Permission denied"},
		{"moss-no-such-program", -ENOENT,
		 "cannot execute moss-no-such-program: not found in PATH"},
	};
	char name[] = "x";
	char *argv[] = {name, NULL};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spawn spawn = {.path = rows[i].path, .argv = argv};
		struct error err = {0};

		assert_int_equal(proc_spawn(&spawn, &err), rows[i].number);
		assert_string_equal(err.message, rows[i].message);
	}
	/* No zombie of a failed start. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void on_signal(int signal)
{
}

static void test_signals_are_reset(void **state)
{
	cleanup_free char *out = NULL;
	sigset_t mask;
	sigset_t old;
	sigset_t now;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, &old);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, on_signal);
	out = shell(NULL, "sed -n '/^Sig[BIC]/p' /proc/self/status");
	assert_string_equal(out, "SigBlk:\t0000000000000000\n"
				 "SigIgn:\t0000000000000000\n"
				 "SigCgt:\t0000000000000000\n");
	/* Ours are not. */
	sigprocmask(SIG_SETMASK, &old, &now);
	assert_true(sigismember(&now, SIGTERM));
	assert_false(sigismember(&now, SIGUSR2));
	assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_IGN);
	assert_ptr_equal(signal(SIGUSR1, SIG_DFL), on_signal);
}

static void test_environment_and_session(void **state)
{
	cleanup_free char *out = NULL;
	char variable[] = "MOSS_A=1 2";
	char *env[] = {variable, NULL};
	struct spawn spawn = {.env = env, .new_session = true};

	out = shell(&spawn, "echo \"$MOSS_A/$HOME\"; "
			    "set -- $(cat /proc/$$/stat); "
			    "[ \"$6\" = $$ ] && echo leader");
	assert_string_equal(out, "1 2/\nleader\n");
	free(out);

	setenv("MOSS_B", "kept", 1);
	spawn = (struct spawn){0};
	out = shell(&spawn, "echo \"$MOSS_B\"; set -- $(cat /proc/$$/stat); "
			    "[ \"$6\" = $$ ] && echo leader; :");
	assert_string_equal(out, "kept\n");
}

static void test_dies_with_parent(void **state)
{
	int ends[2];
	char byte;
	pid_t pid;
	struct pollfd ready;

	/* The grandchild holds the pipe's end as long as it lives. */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		char name[] = "sleep";
		char seconds[] = "60";
		char *argv[] = {name, seconds, NULL};
		const struct spawn_fd fds[] = {{ends[1], 3}};
		struct spawn spawn = {
			.path = "sleep",
			.argv = argv,
			.fds = fds,
			.fd_count = 1,
			.die_with_parent = true,
		};

		_exit(proc_spawn(&spawn, NULL) > 0 ? 0 : 1);
	}
	close(ends[1]);
	assert_int_equal(proc_wait(pid), 0);
	ready = (struct pollfd){.fd = ends[0], .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 10000), 1);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

/* In a process of its own: a namespace is for good. */
static void test_joins_user_namespace(void **state)
{
	struct stat ours;
	struct stat theirs;
	int ready[2];
	int done[2];
	char byte;
	char path[64];
	int userns;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(done[1]);
		byte = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
		if (write(ready[1], &byte, 1) == 1)
			(void)!read(done[0], &byte, 1);
		_exit(0);
	}
	close(done[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	if (byte == 'n') {
		close(done[1]);
		proc_wait(pid);
		print_message("no unprivileged user namespaces\n");
		skip();
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	userns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(userns >= 0);
	assert_int_equal(fstat(userns, &theirs), 0);
	{
		struct spawn spawn = {.userns_fd = userns};
		cleanup_free char *out =
			shell(&spawn, "stat -L -c %i /proc/$$/ns/user");
		cleanup_free char *expected =
			xasprintf("%lu\n", (unsigned long)theirs.st_ino);

		assert_string_equal(out, expected);
	}
	/* The parent is where and what it was. */
	assert_int_equal(stat("/proc/self/ns/user", &ours), 0);
	assert_int_not_equal(ours.st_ino, theirs.st_ino);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
	{
		char name[] = "true";
		char *argv[] = {name, NULL};
		struct spawn spawn = {
			.path = "true", .argv = argv, .userns_fd = ready[0]};
		struct error err = {0};

		assert_int_equal(proc_spawn(&spawn, &err), -EINVAL);
		assert_non_null(strstr(err.message, "user namespace"));
	}
	close(userns);
	close(done[1]);
	close(ready[0]);
	close(ready[1]);
	proc_wait(pid);
}

static void test_capture(void **state)
{
	static const struct {
		const char *script;
		size_t max;
		int result;
		const char *text; /* stdout or the message */
	} rows[] = {
		{"printf ab", 10, 0, "ab"},
		{":", 10, 0, ""},
		{"echo noise >&2; echo x", 10, 0, "x\n"},
		{"printf 0123456789", 10, 0, "0123456789"},
		{"printf 0123456789x", 10, -EINVAL,
		 "/bin/sh wrote more than 10 bytes"},
		{"yes", 100000, -EINVAL,
		 "/bin/sh wrote more than 100000 bytes"},
		{"echo first >&2; echo second >&2; exit 1", 10, -EIO,
		 "sh: first"},
		{"exit 4", 10, -EIO, "sh ended with status 4"},
		{"kill -KILL $$", 10, -EIO, "sh was ended by SIGKILL"},
		/* More than a pipe holds, on both. */
		{"head -c 200000 /dev/zero >&2; echo end", 10, 0, "end\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char sh[] = "sh";
		char option[] = "-c";
		cleanup_free char *script = xstrdup(rows[i].script);
		char *argv[] = {sh, option, script, NULL};
		struct spawn spawn = {.path = "/bin/sh", .argv = argv};
		cleanup_free char *out = NULL;
		struct error err = {0};
		int r = proc_capture(&spawn, rows[i].max, &out, &err);

		if (r != rows[i].result)
			fail_msg("%s: %d %s", rows[i].script, r, err.message);
		assert_string_equal(r == 0 ? out : err.message, rows[i].text);
	}
}

/* Does not wait for those the program leaves behind. */
static void test_capture_with_orphan(void **state)
{
	cleanup_free char *out = shell(NULL, "sleep 5 & echo $!");
	pid_t orphan = (pid_t)strtol(out, NULL, 10);
	uint64_t start;

	assert_true(orphan > 1);
	assert_int_equal(proc_start_time(orphan, &start), 0);
	/* Still asleep. */
	assert_true(proc_is_alive(orphan, start));
	kill(orphan, SIGKILL);
}

/* One that says too much is stopped, not waited for. */
static void test_capture_kills(void **state)
{
	char file[] = "/tmp/moss-test-XXXXXX";
	cleanup_fd int fd = mkostemp(file, O_CLOEXEC);
	cleanup_free char *script = xasprintf(
		"echo 0123456789x; sleep 0.5; rm %s; sleep 0.1", file);
	char sh[] = "sh";
	char option[] = "-c";
	char *argv[] = {sh, option, script, NULL};
	struct spawn spawn = {.path = "sh", .argv = argv};
	char *out = NULL;

	assert_true(fd >= 0);
	assert_int_equal(proc_capture(&spawn, 10, &out, NULL), -EINVAL);
	assert_null(out);
	assert_int_equal(unlink(file), 0);
}

static void test_helper_path(void **state)
{
	char directory[] = "/tmp/moss-test-XXXXXX";
	cleanup_free char *file = NULL;
	cleanup_free char *found = NULL;
	char own[4096] = "";
	struct error err = {0};

	assert_non_null(mkdtemp(directory));
	file = xasprintf("%s/moss-x", directory);
	assert_int_equal(
		file_write_atomic_at(AT_FDCWD, file, "x", 1, 0644, 0, NULL), 0);

	setenv("MOSS_LIBEXEC", directory, 1);
	/* Not executable. */
	assert_null(proc_helper_path("moss-x", &err));
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_non_null(strstr(err.message, directory));
	assert_non_null(strstr(err.hint, "MOSS_LIBEXEC"));
	assert_int_equal(chmod(file, 0755), 0);
	found = proc_helper_path("moss-x", &err);
	assert_string_equal(found, file);
	unsetenv("MOSS_LIBEXEC");
	assert_null(proc_helper_path("moss-x", &err));
	assert_string_not_equal(err.hint, "");

	/* Beside this program. */
	assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
	free(found);
	found = proc_helper_path(strrchr(own, '/') + 1, &err);
	assert_string_equal(found, own);

	assert_null(proc_helper_path("../bin/sh", &err));
	assert_int_equal(err.kind, ERROR_INVALID);
	assert_null(proc_helper_path("", &err));
	assert_int_equal(tree_remove_at(AT_FDCWD, directory, NULL), 0);
}

static void test_signal_names(void **state)
{
	static const struct {
		const char *name;
		int signal;
	} rows[] = {
		{"TERM", SIGTERM},
		{"SIGTERM", SIGTERM},
		{"term", SIGTERM},
		{"sigkill", SIGKILL},
		{"15", 15},
		{"1", 1},
		{"64", 64},
		{"RTMIN", 34},
		{"RTMIN+0", 34},
		{"RTMIN+3", 37},
		{"SIGRTMIN+20", 54},
		{"RTMAX", 64},
		{"sigrtmax-1", 63},
		{"RTMAX-30", 34},
		{"IOT", SIGABRT},
		{"SIGCLD", SIGCHLD},
		{"POLL", SIGIO},
		{"0", -EINVAL},
		{"65", -EINVAL},
		{"-9", -EINVAL},
		{"RTMIN+31", -EINVAL},
		{"RTMIN-1", -EINVAL},
		{"RTMAX+1", -EINVAL},
		{"RTMIN+", -EINVAL},
		{"RTMIN+x", -EINVAL},
		{"SIG", -EINVAL},
		{"", -EINVAL},
		{"SIGSIGTERM", -EINVAL},
		{"nonsense", -EINVAL},
		{NULL, -EINVAL},
		{"9 ", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (signal_from_name(rows[i].name) != rows[i].signal)
			fail_msg("%s: %d", rows[i].name,
				 signal_from_name(rows[i].name));
	}
	for (int i = 1; i <= 64; i++) {
		if (i == 32 || i == 33)
			continue;
		assert_int_equal(signal_from_name(signal_name(i)), i);
	}
	assert_string_equal(signal_name(15), "SIGTERM");
	assert_string_equal(signal_name(0), "SIG?");
	assert_string_equal(signal_name(32), "SIG?");
	assert_string_equal(signal_name(65), "SIG?");
	assert_string_equal(signal_name(-1), "SIG?");
}

/* Started again under a long argv, this program renames itself. */
static int name_main(int argc, char **argv)
{
	proc_name_init(argc, argv);
	proc_name_set("moss: %s web", "monitor");
	/* The arguments outlive the new name. */
	if (strcmp(argv[1], "--name") != 0)
		return 1;
	{
		cleanup_free char *line = NULL;
		cleanup_free char *comm = NULL;
		size_t length;

		file_read_at(AT_FDCWD, "/proc/self/cmdline", 4096, &line,
			     &length, NULL);
		file_read_at(AT_FDCWD, "/proc/self/comm", 4096, &comm, NULL,
			     NULL);
		printf("%s|%s", line, comm);
	}
	/* Longer than there is room: cut, not beyond the area. */
	proc_name_set("%04096d", 7);
	{
		cleanup_free char *line = NULL;
		size_t length;

		file_read_at(AT_FDCWD, "/proc/self/cmdline", 8192, &line,
			     &length, NULL);
		printf("%zu", strlen(line) + 1 == length ? strlen(line) : 0);
	}
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return 0;
}

static void test_name(void **state)
{
	char name[] = "moss-test-program";
	char option[] = "--name";
	char more[] = "more-room";
	char *argv[] = {name, option, more, NULL};
	struct spawn spawn = {.path = "/proc/self/exe", .argv = argv};
	cleanup_free char *out = NULL;
	cleanup_free char *expected = NULL;
	struct error err = {0};

	if (proc_capture(&spawn, 4096, &out, &err) < 0)
		fail_msg("%s", err.message);
	expected = xasprintf("moss: monitor web|moss: monitor w\n%zu",
			     strlen(name) + strlen(option) + strlen(more) + 2);
	assert_string_equal(out, expected);
}

static bool contains(const pid_t *pids, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == pid)
			return true;
	}
	return false;
}

/* A child that says its own child's PID, and both wait to be killed. */
static pid_t start_family(pid_t *ret_grandchild)
{
	int ends[2];
	pid_t child;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		pid_t pid = fork();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pid != 0 && write(ends[1], &pid, sizeof(pid)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(child > 0);
	assert_int_equal(read(ends[0], ret_grandchild, sizeof(pid_t)),
			 sizeof(pid_t));
	close(ends[0]);
	close(ends[1]);
	return child;
}

static void test_tree(void **state)
{
	struct error err = {0};
	cleanup_free pid_t *all = NULL;
	cleanup_free pid_t *some = NULL;
	cleanup_free pid_t *direct = NULL;
	size_t count = 0;
	pid_t grandchildren[2];
	pid_t children[2];

	for (int i = 0; i < 2; i++)
		children[i] = start_family(&grandchildren[i]);
	assert_int_equal(proc_children(getpid(), &direct), 2);
	assert_true((direct[0] == children[0] && direct[1] == children[1]) ||
		    (direct[1] == children[0] && direct[0] == children[1]));
	assert_int_equal(proc_tree(getpid(), NULL, 0, &all, &count, &err), 0);
	assert_int_equal(count, 4);
	for (int i = 0; i < 2; i++) {
		assert_true(contains(all, count, children[i]));
		assert_true(contains(all, count, grandchildren[i]));
	}
	for (size_t i = 1; i < count; i++)
		assert_true(all[i - 1] < all[i]);

	/* One child and all below it left out. */
	assert_int_equal(
		proc_tree(getpid(), &children[0], 1, &some, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_true(contains(some, count, children[1]));
	assert_true(contains(some, count, grandchildren[1]));

	for (int i = 0; i < 2; i++) {
		kill(grandchildren[i], SIGKILL);
		kill(children[i], SIGKILL);
		assert_int_equal(proc_wait(children[i]), 128 + SIGKILL);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_code),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_start_time_with_hostile_name),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_descriptors_overlap),
		cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_exec_failures),
		cmocka_unit_test(test_signals_are_reset),
		cmocka_unit_test(test_environment_and_session),
		cmocka_unit_test(test_dies_with_parent),
		cmocka_unit_test(test_joins_user_namespace),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_capture_with_orphan),
		cmocka_unit_test(test_capture_kills),
		cmocka_unit_test(test_helper_path),
		cmocka_unit_test(test_signal_names),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_name),
	};

	if (argc > 1 && strcmp(argv[1], "--name") == 0)
		return name_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
