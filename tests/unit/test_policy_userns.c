/*
 * policy/userns.h, as an ordinary user. Each entry is a child's, as there is no
 * way back; it reports on a pipe.
 */
#include "policy/userns.h"

#include <errno.h>
#include <fcntl.h>
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
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"

#define PARALLEL 20

struct run {
	char path[32];
	int fd;
};

struct outcome {
	int r;
	struct error err;
	struct identity identity;
	char note[1024];
	uid_t uid; /* afterwards */
	gid_t gid;
	uint64_t inode; /* of the namespace */
	bool dumpable;
};

struct child {
	pid_t pid;
	int out;  /* struct outcome comes from here */
	int hold; /* a byte ends the child */
};

typedef void (*prepare_function)(void);

static void enter_and_report(int run_fd, int out, struct outcome *outcome)
{
	struct stat st;
	char *note = NULL;

	outcome->r =
		userns_enter(run_fd, &outcome->identity, &note, &outcome->err);
	snprintf(outcome->note, sizeof(outcome->note), "%s", note ? note : "");
	free(note);
	outcome->uid = getuid();
	outcome->gid = getgid();
	outcome->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
	if (stat("/proc/self/ns/user", &st) == 0)
		outcome->inode = st.st_ino;
	if (write_all(out, outcome, sizeof(*outcome)) < 0)
		_exit(1);
}

/* twice: once more from inside; the second outcome is the one reported. */
static struct child start(const struct run *run, prepare_function prepare,
			  bool twice)
{
	static struct outcome outcome;
	struct child child;
	int out[2];
	int hold[2];
	char byte;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		memset(&outcome, 0, sizeof(outcome));
		close(hold[1]);
		if (prepare)
			prepare();
		if (twice) {
			int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

			enter_and_report(run->fd, null_fd, &outcome);
		}
		enter_and_report(run->fd, out[1], &outcome);
		close(out[1]);
		if (read(hold[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(out[1]);
	close(hold[0]);
	child.out = out[0];
	child.hold = hold[1];
	return child;
}

static void hear(const struct child *child, struct outcome *ret_outcome)
{
	size_t length = 0;

	while (length < sizeof(*ret_outcome)) {
		ssize_t part = read(child->out, (char *)ret_outcome + length,
				    sizeof(*ret_outcome) - length);

		assert_true(part > 0);
		length += (size_t)part;
	}
}

static void finish(struct child *child)
{
	/* Not by closing it: children forked later have it too. */
	assert_int_equal(write(child->hold, "", 1), 1);
	close(child->out);
	close(child->hold);
	assert_int_equal(proc_wait(child->pid), 0);
}

static struct outcome enter(const struct run *run, prepare_function prepare)
{
	static struct outcome outcome;
	struct child child = start(run, prepare, false);

	hear(&child, &outcome);
	finish(&child);
	return outcome;
}

static struct outcome enter_well(const struct run *run)
{
	struct outcome outcome = enter(run, NULL);

	if (outcome.r < 0)
		fail_msg("%s (%s)", outcome.err.message, outcome.err.hint);
	return outcome;
}

static pid_t pause_pid(const struct run *run)
{
	cleanup_json cJSON *json = NULL;
	int64_t pid = 0;

	if (json_read_at(run->fd, "userns/pin.json", &json, NULL) < 0 ||
	    json_get_i64(json, "", "pid", &pid, NULL) <= 0)
		return 0;
	return (pid_t)pid;
}

static void kill_pause(const struct run *run, int signal)
{
	pid_t pid = pause_pid(run);
	uint64_t start_time = 0;

	assert_true(pid > 0);
	assert_int_equal(proc_start_time(pid, &start_time), 0);
	assert_int_equal(kill(pid, signal), 0);
	/* It is a child of this subreaper; a zombie would hold its namespace.
	 */
	assert_true(proc_wait(pid) >= 0);
	assert_false(proc_is_alive(pid, start_time));
}

static int set_up(void **state)
{
	struct run *run = xcalloc(1, sizeof(*run));

	strcpy(run->path, "/tmp/test_userns.XXXXXX");
	if (!mkdtemp(run->path))
		return -1;
	run->fd = open(run->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = run;
	return run->fd < 0;
}

static int tear_down(void **state)
{
	struct run *run = *state;
	pid_t pid = pause_pid(run);
	int r;

	if (pid > 0)
		kill(pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	r = tree_remove_at(AT_FDCWD, run->path, NULL);
	close(run->fd);
	free(run);
	return r;
}

static void test_root_is_refused(void **state)
{
	const struct run *run = *state;
	struct outcome outcome;

	outcome = enter(run, NULL);
	assert_int_equal(outcome.r, -EPERM);
	assert_non_null(strstr(outcome.err.message, "moss runs without root"));
	assert_true(outcome.err.hint[0] != '\0');
}

static void test_enter(void **state)
{
	const struct run *run = *state;
	struct outcome outcome = enter_well(run);
	uint32_t outside = 0;

	assert_int_equal(outcome.uid, 0);
	assert_int_equal(outcome.gid, 0);
	assert_true(outcome.dumpable);
	assert_int_equal(outcome.identity.uid, getuid());
	assert_int_equal(outcome.identity.gid, getgid());
	assert_int_equal(idmap_to_outside(&outcome.identity.uids, 0, &outside),
			 0);
	assert_int_equal(outside, getuid());
	/* Either sub-IDs or a note that says why not and what to do. */
	assert_int_equal(outcome.identity.mapped,
			 idmap_size(&outcome.identity.uids) > 1);
	assert_int_equal(outcome.identity.mapped,
			 idmap_size(&outcome.identity.gids) > 1);
	assert_int_equal(outcome.identity.mapped, outcome.note[0] == '\0');
}

static void test_stays(void **state)
{
	const struct run *run = *state;
	struct outcome first = enter_well(run);
	pid_t pid = pause_pid(run);
	struct outcome second = enter_well(run);

	assert_int_equal(first.inode, second.inode);
	assert_int_equal(pause_pid(run), pid);
	assert_string_equal(first.note, second.note);
	assert_memory_equal(
		&first.identity.uids.extents, &second.identity.uids.extents,
		first.identity.uids.count * sizeof(struct id_extent));
	assert_string_equal(first.identity.user, second.identity.user);
}

static void test_again_from_inside(void **state)
{
	const struct run *run = *state;
	struct outcome outside = enter_well(run);
	static struct outcome inside;
	struct child child = start(run, NULL, true);

	hear(&child, &inside);
	finish(&child);
	assert_int_equal(inside.r, 0);
	assert_int_equal(inside.inode, outside.inode);
	assert_int_equal(inside.identity.uid, getuid());
	assert_string_equal(inside.identity.user, outside.identity.user);
}

static void test_killed_pause(void **state)
{
	const struct run *run = *state;
	pid_t pid;

	enter_well(run);
	pid = pause_pid(run);
	kill_pause(run, SIGKILL);
	enter_well(run);
	assert_int_not_equal(pause_pid(run), pid);
}

static void test_killed_pause_in_use(void **state)
{
	const struct run *run = *state;
	struct child user = start(run, NULL, false);
	static struct outcome first;
	struct outcome second;

	hear(&user, &first);
	assert_int_equal(first.r, 0);
	kill_pause(run, SIGKILL);
	/* Another namespace would have no rights over what runs in this. */
	second = enter_well(run);
	assert_int_equal(first.inode, second.inode);
	finish(&user);
	assert_int_equal(enter_well(run).inode, first.inode);
}

static void test_killed_pause_used_below(void **state)
{
	const struct run *run = *state;
	struct outcome first = enter_well(run);
	int ready[2];
	int hold[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct identity *identity = xcalloc(1, sizeof(*identity));
		char *note = NULL;

		close(hold[1]);
		if (userns_enter(run->fd, identity, &note, NULL) < 0 ||
		    unshare(CLONE_NEWUSER) < 0 || write(ready[1], "", 1) != 1 ||
		    read(hold[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill_pause(run, SIGKILL);
	assert_int_equal(enter_well(run).inode, first.inode);
	close(hold[1]);
	assert_int_equal(proc_wait(pid), 0);
	close(ready[0]);
	close(ready[1]);
	close(hold[0]);
}

static void test_bad_pin(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"version\":1}",
		"{\"version\":2,\"pid\":1}",
		"{\"version\":1,\"pid\":-1,\"start_time\":0,\"device\":4,"
		"\"inode\":1,\"uid\":0,\"mapped\":true,\"user\":\"x\","
		"\"sources\":\"\",\"note\":null}",
		"{\"version\":1,\"pid\":1,\"start_time\":1e99,\"device\":4,"
		"\"inode\":1,\"uid\":0,\"mapped\":true,\"user\":\"x\","
		"\"sources\":\"\",\"note\":null}",
	};
	const struct run *run = *state;
	struct outcome first = enter_well(run);
	pid_t pid = pause_pid(run);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(
			file_write_atomic_at(run->fd, "userns/pin.json",
					     texts[i], strlen(texts[i]), 0600,
					     FILE_VOLATILE, NULL),
			0);
		/* The process is found by its name, not made once more. */
		assert_int_equal(enter_well(run).inode, first.inode);
		assert_int_equal(pause_pid(run), pid);
	}
	assert_int_equal(unlinkat(run->fd, "userns/pin.json", 0), 0);
	assert_int_equal(enter_well(run).inode, first.inode);
	assert_int_equal(pause_pid(run), pid);
}

/* A pin of another process, or of a PID that was used again. */
static void test_wrong_process(void **state)
{
	const struct run *run = *state;
	struct outcome first = enter_well(run);
	const char *const keys[] = {"pid", "start_time"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		cleanup_json cJSON *json = NULL;
		int64_t value = 0;
		pid_t pid = pause_pid(run);

		assert_int_equal(
			json_read_at(run->fd, "userns/pin.json", &json, NULL),
			0);
		json_get_i64(json, "", keys[i], &value, NULL);
		json_set_i64(json, keys[i], i == 0 ? getpid() : value + 1);
		assert_int_equal(json_write_at(run->fd, "userns/pin.json", json,
					       FILE_VOLATILE, NULL),
				 0);
		assert_int_equal(enter_well(run).inode, first.inode);
		kill(pid, SIGKILL);
	}
}

static void test_parallel(void **state)
{
	const struct run *run = *state;
	struct child children[PARALLEL];
	uint64_t inode = 0;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < PARALLEL; i++)
			children[i] = start(run, NULL, false);
		for (size_t i = 0; i < PARALLEL; i++) {
			static struct outcome outcome;

			hear(&children[i], &outcome);
			if (outcome.r < 0)
				fail_msg("%s", outcome.err.message);
			if (inode == 0)
				inode = outcome.inode;
			assert_int_equal(outcome.inode, inode);
			if (i == 0 && round == 1)
				kill_pause(run, SIGKILL);
		}
		for (size_t i = 0; i < PARALLEL; i++)
			finish(&children[i]);
	}
	assert_int_equal(enter_well(run).r, 0);
}

static void set_no_new_privs(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* The helpers cannot work: one ID, said so, and not for ever. */
static void test_no_new_privs(void **state)
{
	const struct run *run = *state;
	struct outcome outcome = enter(run, set_no_new_privs);
	struct identity *planned = xcalloc(1, sizeof(*planned));
	cleanup_free char *note = NULL;
	struct outcome later;

	assert_int_equal(userns_identity(planned, &note, NULL), 0);
	assert_int_equal(outcome.r, 0);
	assert_false(outcome.identity.mapped);
	assert_int_equal(outcome.uid, 0);
	assert_true(outcome.note[0] != '\0');
	later = enter_well(run);
	assert_int_equal(later.identity.mapped, planned->mapped);
	free(planned);
	/* Whoever has sub-IDs has them from then on, that process too. */
	outcome = enter(run, set_no_new_privs);
	assert_int_equal(outcome.identity.mapped, later.identity.mapped);
	assert_int_equal(outcome.inode, later.inode);
}

static void test_pause_is_detached(void **state)
{
	const struct run *run = *state;
	cleanup_free char *title = NULL;
	char path[64];
	char link[256] = "";
	struct stat st;
	pid_t pid;
	int fd;

	enter_well(run);
	pid = pause_pid(run);
	assert_int_not_equal(getsid(pid), getsid(0));
	snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
	assert_int_equal(readlink(path, link, sizeof(link) - 1), 1);
	assert_string_equal(link, "/");
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	assert_int_equal(file_read_at(AT_FDCWD, path, 4096, &title, NULL, NULL),
			 0);
	assert_true(str_starts(title, "moss: pause "));
	assert_non_null(strstr(title, run->path));
	for (fd = 0; fd < 32; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		assert_int_equal(lstat(path, &st), -1);
		assert_int_equal(errno, ENOENT);
	}
	kill(pid, SIGINT);
	kill(pid, SIGHUP);
	kill(pid, SIGTSTP);
	enter_well(run);
	assert_int_equal(pause_pid(run), pid);
	kill_pause(run, SIGTERM);
}

static void test_bad_run_directory(void **state)
{
	const struct run *run = *state;
	struct outcome outcome;

	assert_int_equal(mkdirat(run->fd, "userns", 0700), 0);
	assert_int_equal(fchmodat(run->fd, "userns", 0777, 0), 0);
	outcome = enter(run, NULL);
	assert_int_equal(outcome.r, -EPERM);
	assert_non_null(strstr(outcome.err.message, "userns"));
	assert_int_equal(unlinkat(run->fd, "userns", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/tmp", run->fd, "userns"), 0);
	outcome = enter(run, NULL);
	assert_true(outcome.r < 0);
}

static void test_identity(void **state)
{
	const struct run *run = *state;
	struct outcome entered = enter_well(run);
	struct identity *identity = xcalloc(1, sizeof(*identity));
	cleanup_free char *note = NULL;
	cleanup_free char *expected = idmap_text(&entered.identity.uids);
	cleanup_free char *text = NULL;

	assert_int_equal(userns_identity(identity, &note, NULL), 0);
	assert_int_equal(identity->uid, getuid());
	assert_int_equal(identity->mapped, entered.identity.mapped);
	text = idmap_text(&identity->uids);
	assert_string_equal(text, expected);
	free(identity);
	/* It made nothing and joined nothing. */
	assert_int_not_equal(getuid(), 0);
}

/* Everybody but two, then everybody; zombies are waited for by nobody. */
static void test_kill(void **state)
{
	const struct run *run = *state;
	struct child first = start(run, NULL, false);
	struct child second = start(run, NULL, false);
	static struct outcome outcome;
	cleanup_fd int lock_fd = -1;
	pid_t pause;

	hear(&first, &outcome);
	assert_int_equal(outcome.r, 0);
	hear(&second, &outcome);
	assert_int_equal(outcome.r, 0);
	pause = pause_pid(run);

	lock_fd = userns_lock(run->fd, NULL);
	assert_true(lock_fd >= 0);
	assert_int_equal(userns_kill(run->fd, second.pid, false, NULL), 0);
	assert_int_equal(proc_wait(first.pid), 128 + SIGKILL);
	assert_int_equal(waitpid(second.pid, NULL, WNOHANG), 0);
	assert_int_equal(waitpid(pause, NULL, WNOHANG), 0);

	assert_int_equal(userns_kill(run->fd, 0, true, NULL), 0);
	assert_int_equal(proc_wait(second.pid), 128 + SIGKILL);
	assert_int_equal(proc_wait(pause), 128 + SIGKILL);
	/* With nobody left there is nothing to be done. */
	assert_int_equal(userns_kill(run->fd, 0, true, NULL), 0);
	close(first.out);
	close(first.hold);
	close(second.out);
	close(second.hold);
}

#define RUN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest as_root[] = {
		RUN_TEST(test_root_is_refused),
	};
	const struct CMUnitTest as_user[] = {
		RUN_TEST(test_enter),
		RUN_TEST(test_stays),
		RUN_TEST(test_again_from_inside),
		RUN_TEST(test_killed_pause),
		RUN_TEST(test_killed_pause_in_use),
		RUN_TEST(test_killed_pause_used_below),
		RUN_TEST(test_bad_pin),
		RUN_TEST(test_wrong_process),
		RUN_TEST(test_parallel),
		RUN_TEST(test_no_new_privs),
		RUN_TEST(test_pause_is_detached),
		RUN_TEST(test_bad_run_directory),
		RUN_TEST(test_identity),
		RUN_TEST(test_kill),
	};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return 1;
	if (getuid() == 0)
		return cmocka_run_group_tests(as_root, NULL, NULL);
	return cmocka_run_group_tests(as_user, NULL, NULL);
}
