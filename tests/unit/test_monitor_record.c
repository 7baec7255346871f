/* core/monitor/record.h */
#include "core/monitor/record.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char top_path[] = "/tmp/moss-test-XXXXXX";
static struct store store;

static int set_up(void **state)
{
	struct error err = {0};

	strcpy(top_path, "/tmp/moss-test-XXXXXX");
	if (!mkdtemp(top_path))
		return -1;
	return store_open(top_path, &store, &err);
}

static int tear_down(void **state)
{
	store_close(&store);
	return tree_remove_at(AT_FDCWD, top_path, NULL);
}

static bool exists(const char *path)
{
	struct stat st;

	return fstatat(store.root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static cJSON *container_json(const char *name, bool auto_remove)
{
	cleanup_free char *text = xasprintf(
		"{\"Name\":\"/%s\",\"Config\":{},"
		"\"HostConfig\":{\"AutoRemove\":%s},"
		"\"Moss\":{\"StorageDriver\":\"overlay\",\"DiffIds\":[],"
		"\"Network\":\"none\",\"Seccomp\":\"default\","
		"\"Capabilities\":\"0x0\",\"AnonymousVolumes\":[]}}",
		name, auto_remove ? "true" : "false");
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

/* A container as core/engine makes it; the record stays open. */
static struct record make(const char *id, const char *name, bool auto_remove)
{
	cleanup_json cJSON *json = container_json(name, auto_remove);
	struct record record;
	struct error err = {0};

	assert_int_equal(record_create(&store, id, true, &record, &err), 0);
	assert_int_equal(record_write(&record, json, &err), 0);
	assert_int_equal(record_name_claim(&store, name, id, true, &err), 0);
	record_unlock(&record);
	return record;
}

/* Someone to be found and killed. */
static pid_t make_process(uint64_t *ret_start)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(proc_start_time(pid, ret_start), 0);
	return pid;
}

static void test_create_and_remove(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record again;
	struct error err = {0};
	char id[ID_TEXT_MAX];

	assert_true(exists("containers/" ID_A "/container.json"));
	assert_int_equal(record_name_find(&store, "web", id, &err), 1);
	assert_string_equal(id, ID_A);
	assert_int_equal(record_name_find(&store, "other", id, &err), 0);
	assert_true(record_create(&store, ID_A, true, &again, &err) < 0);
	assert_int_equal(record_remove(&store, &record, "web", &err), 0);
	record_close(&record);
	assert_false(exists("containers/" ID_A));
	assert_false(exists("names/web"));
	assert_false(exists("tmp/removed-" ID_A));
	assert_int_equal(record_open(&store, ID_A, &again, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_string_equal(err.message, "No such container: " ID_A);
}

/* A build's: in its work, without a name, not among the others. */
static void test_private(void **state)
{
	struct record public = make(ID_A, "web", false);
	struct store others = store;
	struct store_work work = {.fd = -1, .lock_fd = -1};
	struct record record;
	struct error err = {0};
	cleanup_strv char **ids = NULL;
	cleanup_strv char **all = NULL;
	cleanup_free char *path = NULL;

	assert_false(store_containers_are_private(&store));
	assert_int_equal(store_work_new(&store, &work, &err), 0);
	store_use_containers_of(&others, work.name);
	assert_true(store_containers_are_private(&others));
	assert_int_equal(record_create(&others, ID_B, false, &record, &err), 0);
	assert_true(record.is_volatile);
	path = xasprintf("tmp/%s/containers/" ID_B, work.name);
	assert_true(exists(path));
	assert_true(record_is_current(&others, &record));
	assert_false(record_is_current(&store, &record));
	record_close(&record);
	assert_int_equal(record_open(&store, ID_B, &record, NULL), -ENOENT);
	assert_int_equal(record_open(&others, ID_A, &record, NULL), -ENOENT);
	assert_int_equal(record_list(&store, &all, &err), 0);
	assert_int_equal(strv_length(all), 1);
	assert_int_equal(record_list(&others, &ids, &err), 0);
	assert_int_equal(strv_length(ids), 0);
	/* Gone with the work, and nothing else is. */
	store_work_release(&work);
	assert_false(exists(path));
	assert_true(exists("containers/" ID_A));
	record_close(&public);
}

static void test_ids(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"../../etc",
		"aaaa",
		(ID_A "a"),
		("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		 "A"
		 "AA"),
	};
	struct record record;
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(record_id_is_valid(bad[i]));
		assert_true(record_open(&store, bad[i], &record, &err) < 0);
		assert_true(record_create(&store, bad[i], true, &record, &err) <
			    0);
	}
	assert_true(record_id_is_valid(ID_A));
}

static void test_list(void **state)
{
	struct record a = make(ID_A, "a", false);
	struct record b;
	struct error err = {0};
	cleanup_strv char **ids = NULL;
	cleanup_strv char **none = NULL;

	/* Half made: not there yet. */
	assert_int_equal(record_create(&store, ID_B, true, &b, &err), 0);
	assert_int_equal(record_list(&store, &ids, &err), 0);
	assert_int_equal(strv_length(ids), 1);
	assert_string_equal(ids[0], ID_A);
	/* Its maker lives. */
	assert_int_equal(record_sweep(&store), 0);
	assert_true(exists("containers/" ID_B));
	record_close(&b);
	assert_int_equal(record_sweep(&store), 1);
	assert_false(exists("containers/" ID_B));
	assert_int_equal(record_remove(&store, &a, "a", &err), 0);
	record_close(&a);
	assert_int_equal(record_list(&store, &none, &err), 0);
	assert_int_equal(strv_length(none), 0);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", ".lock", "a/b"};
	struct record record = make(ID_A, "web", false);
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(record_name_claim(&store, bad[i], ID_A, true,
					      &err) < 0);
	assert_int_equal(record_name_claim(&store, "web", ID_B, true, &err),
			 -EEXIST);
	assert_int_equal(err.kind, ERROR_EXISTS);
	assert_string_equal(
		err.message,
		"Conflict. The container name \"/web\" is already in use by "
		"container \"" ID_A "\". You have to remove (or rename) that "
		"container to be able to reuse that name.");
	/* Once more by its owner; by nobody else released. */
	assert_int_equal(record_name_claim(&store, "web", ID_A, true, &err), 0);
	assert_int_equal(record_name_release(&store, "web", ID_B, &err), 0);
	assert_true(exists("names/web"));
	assert_int_equal(record_name_release(&store, "web", ID_A, &err), 0);
	assert_false(exists("names/web"));
	record_close(&record);
}

static void test_stale_names(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record half;
	struct error err = {0};
	char id[ID_TEXT_MAX];

	/* Leads nowhere, is no ID, belongs to a container never finished. */
	assert_int_equal(symlinkat(ID_B, store.root_fd, "names/gone"), 0);
	assert_int_equal(symlinkat("/etc", store.root_fd, "names/odd"), 0);
	assert_int_equal(record_name_find(&store, "gone", id, &err), 0);
	assert_int_equal(record_name_find(&store, "odd", id, &err), 0);
	assert_int_equal(record_name_claim(&store, "gone", ID_A, true, &err),
			 0);
	assert_int_equal(record_name_claim(&store, "odd", ID_A, true, &err), 0);
	assert_int_equal(record_create(&store, ID_B, true, &half, &err), 0);
	record_close(&half);
	assert_int_equal(symlinkat(ID_B, store.root_fd, "names/half"), 0);
	assert_int_equal(record_name_claim(&store, "half", ID_A, true, &err),
			 0);
	assert_false(exists("containers/" ID_B));
	record_close(&record);
}

/* A rename was killed before or after it wrote the new name down. */
static void test_second_names(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record other = make(ID_B, "db", false);
	struct error err = {0};

	assert_int_equal(symlinkat(ID_A, store.root_fd, "names/new"), 0);
	/* It may be just being renamed. */
	assert_int_equal(record_lock(&record, false, &err), 0);
	assert_int_equal(record_sweep(&store), 0);
	assert_int_equal(record_name_claim(&store, "new", ID_B, true, &err),
			 -EEXIST);
	record_unlock(&record);
	assert_int_equal(record_name_claim(&store, "new", ID_B, true, &err), 0);
	assert_int_equal(record_name_release(&store, "new", ID_B, &err), 0);

	assert_int_equal(symlinkat(ID_A, store.root_fd, "names/a"), 0);
	assert_int_equal(symlinkat(ID_A, store.root_fd, "names/z"), 0);
	assert_int_equal(record_sweep(&store), 2);
	assert_false(exists("names/a"));
	assert_false(exists("names/z"));
	assert_true(exists("names/web"));
	assert_true(exists("names/db"));
	record_close(&record);
	record_close(&other);
}

static void test_sweep(void **state)
{
	struct record record = make(ID_A, "web", false);

	assert_int_equal(symlinkat(ID_B, store.root_fd, "names/gone"), 0);
	assert_int_equal(mkdirat(store.tmp_fd, "removed-" ID_B, 0700), 0);
	assert_int_equal(mkdirat(store.tmp_fd, "someone-elses", 0700), 0);
	assert_int_equal(record_sweep(&store), 2);
	assert_false(exists("names/gone"));
	assert_false(exists("tmp/removed-" ID_B));
	assert_true(exists("tmp/someone-elses"));
	assert_true(exists("names/web"));
	assert_true(exists("containers/" ID_A));
	record_close(&record);
}

static void test_list_checked(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record half;
	struct error err = {0};
	cleanup_strv char **ids = NULL;

	assert_int_equal(symlinkat(ID_B, store.root_fd, "names/gone"), 0);
	assert_int_equal(mkdirat(store.tmp_fd, "removed-" ID_B, 0700), 0);
	assert_int_equal(record_create(&store, ID_B, true, &half, &err), 0);
	record_close(&half);
	assert_int_equal(record_list_unchecked(&store, &ids, &err), 0);
	assert_int_equal(strv_length(ids), 2);
	assert_false(exists("tmp/removed-" ID_B));
	assert_int_equal(record_sweep_half_made(&store, ID_A), 0);
	assert_int_equal(record_sweep_half_made(&store, ID_B), 1);
	assert_true(exists("containers/" ID_A));
	assert_false(exists("containers/" ID_B));
	record_list_checked(&store, 2);
	assert_true(exists("names/gone"));
	record_list_checked(&store, 1);
	assert_false(exists("names/gone"));
	assert_true(exists("names/web"));
	record_close(&record);
}

static void test_read_members(void **state)
{
	static const char *const members[] = {"Name", NULL};
	struct record record = make(ID_A, "web", false);
	cleanup_json cJSON *some = NULL;
	cleanup_json cJSON *all = NULL;
	struct error err = {0};

	assert_int_equal(record_read(&record, &all, &err), 0);
	assert_int_equal(record_read_members(&record, members, &some, &err), 0);
	assert_int_equal(cJSON_GetArraySize(some), 1);
	assert_true(cJSON_Compare(
		cJSON_GetObjectItemCaseSensitive(all, "Name"),
		cJSON_GetObjectItemCaseSensitive(some, "Name"), 1));
	assert_int_equal(unlinkat(record.directory_fd, "container.json", 0), 0);
	assert_int_equal(record_read_members(&record, members, &some, &err),
			 -ENOENT);
	assert_string_equal(err.message, "No such container: " ID_A);
	record_close(&record);
}

static void test_operation_lock(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record other;
	struct error err = {0};

	assert_int_equal(record_open(&store, ID_A, &other, &err), 0);
	assert_int_equal(record_lock(&record, false, &err), 0);
	assert_int_equal(record_lock(&other, false, &err), -EAGAIN);
	record_unlock(&record);
	assert_int_equal(record_lock(&other, false, &err), 0);
	/* Whoever comes when it has been removed is told so. */
	assert_int_equal(record_remove(&store, &other, "web", &err), 0);
	record_close(&other);
	assert_int_equal(record_lock(&record, true, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	record_close(&record);
}

static void test_state_round_trip(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct container_state in;
	struct container_state out;
	struct error err = {0};

	/* Before the first start. */
	assert_int_equal(record_state_read(&record, &out, &err), 0);
	assert_int_equal(out.status, CONTAINER_CREATED);
	assert_string_equal(out.started_at, CONTAINER_TIME_NONE);
	assert_string_equal(out.error, "");
	container_state_release(&out);

	container_state_init(&in);
	in.status = CONTAINER_RUNNING;
	in.pid = 4711;
	in.pid_start = 123456789012;
	in.monitor_pid = 12;
	in.monitor_start = 13;
	in.net_pid = 14;
	in.net_start = 15;
	in.fuse_pid = 16;
	in.fuse_start = 17;
	in.exit_code = 137;
	in.oom_killed = true;
	in.restart_count = 3;
	in.stopped_by_hand = true;
	container_state_set_text(&in.health, "healthy");
	container_state_set_text(&in.error, "bad \"things\"\n");
	in.ports.count = 1;
	in.ports.entries = xcalloc(1, sizeof(*in.ports.entries));
	in.ports.entries[0] = (struct port_mapping){
		.host_ip = "::1",
		.host_port = 8080,
		.host_port_end = 8090,
		.container_port = 80,
		.protocol = PORT_UDP,
	};
	assert_int_equal(record_state_write(&record, &in, &err), 0);
	assert_int_equal(record_state_read(&record, &out, &err), 0);
	assert_int_equal(out.status, CONTAINER_RUNNING);
	assert_int_equal(out.pid, 4711);
	assert_true(out.pid_start == 123456789012);
	assert_int_equal(out.monitor_pid, 12);
	assert_int_equal(out.monitor_start, 13);
	assert_int_equal(out.net_pid, 14);
	assert_int_equal(out.net_start, 15);
	assert_int_equal(out.fuse_pid, 16);
	assert_int_equal(out.fuse_start, 17);
	assert_int_equal(out.exit_code, 137);
	assert_true(out.oom_killed);
	assert_int_equal(out.restart_count, 3);
	assert_true(out.stopped_by_hand);
	assert_string_equal(out.error, "bad \"things\"\n");
	assert_string_equal(out.health, "healthy");
	assert_int_equal(out.ports.count, 1);
	assert_memory_equal(out.ports.entries, in.ports.entries,
			    sizeof(*in.ports.entries));
	container_state_release(&in);
	container_state_release(&out);
	record_close(&record);
}

static void test_state_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"Status\":\"flying\"}",
		"{\"Status\":1}",
		"{\"Status\":\"running\",\"Pid\":\"1\"}",
		"{\"Status\":\"running\",\"Pid\":99999999999}",
		"{\"Status\":\"running\",\"PidStart\":-1}",
		"{\"Status\":\"running\",\"Ports\":[{\"HostPort\":65536}]}",
		"{\"Status\":\"running\",\"Ports\":{}}",
		"{\"Status\":\"running\",\"Ports\":[{\"Protocol\":\"ip\"}]}",
	};
	struct record record = make(ID_A, "web", false);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct container_state out;
		struct error err = {0};

		assert_int_equal(file_write_atomic_at(record.directory_fd,
						      "state.json", bad[i],
						      strlen(bad[i]), 0600,
						      FILE_VOLATILE, &err),
				 0);
		assert_true(record_state_read(&record, &out, &err) < 0);
		assert_true(
			str_starts(err.message, "container aaaaaaaaaaaa: "));
	}
	record_close(&record);
}

static void test_state_names(void **state)
{
	assert_string_equal(container_status_name(CONTAINER_EXITED), "exited");
	assert_string_equal(container_status_name(CONTAINER_DEAD), "dead");
}

static void write_running(const struct record *record, pid_t pid,
			  uint64_t start)
{
	struct container_state running;
	struct error err = {0};

	container_state_init(&running);
	running.status = CONTAINER_RUNNING;
	running.pid = pid;
	running.pid_start = start;
	running.net_pid = pid;
	/* The PID is someone else's by now. */
	running.net_start = start + 1;
	running.monitor_pid = pid;
	running.monitor_start = start + 2;
	assert_int_equal(record_state_write(record, &running, &err), 0);
	container_state_release(&running);
}

static void test_repair(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct container_state after;
	struct error err = {0};
	uint64_t start;
	pid_t init = make_process(&start);
	pid_t other = make_process(&start);
	uint64_t init_start;
	int status;

	/* Nothing to do. */
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_CREATED);
	container_state_release(&after);

	assert_int_equal(proc_start_time(init, &init_start), 0);
	write_running(&record, init, init_start);
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	assert_int_equal(after.exit_code, 137);
	assert_int_equal(after.pid, 0);
	assert_int_equal(after.monitor_pid, 0);
	assert_string_not_equal(after.finished_at, CONTAINER_TIME_NONE);
	container_state_release(&after);
	assert_int_equal(waitpid(init, &status, 0), init);
	assert_true(WIFSIGNALED(status));
	/* What only has the same PID is left alone. */
	write_running(&record, other, start + 7);
	assert_int_equal(record_repair(&store, &record, NULL, &err), 0);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	assert_int_equal(kill(other, SIGKILL), 0);
	assert_int_equal(waitpid(other, &status, 0), other);
	/* It was written. */
	assert_int_equal(record_state_read(&record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	container_state_release(&after);
	record_close(&record);
}

static void test_repair_living(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct container_state after;
	struct error err = {0};
	cleanup_fd int lock = -1;

	lock = lock_open_at(record.directory_fd, "lock", LOCK_EXCLUSIVE, false,
			    &err);
	assert_true(lock >= 0);
	write_running(&record, 1, 1);
	assert_int_equal(record_is_monitored(&record), 1);
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_RUNNING);
	container_state_release(&after);
	assert_int_equal(record_remove(&store, &record, "web", &err), -EBUSY);
	assert_int_equal(err.kind, ERROR_CONFLICT);
	record_close(&record);
}

/* Killed on its way from created to running. */
static void test_repair_starting(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct container_state starting;
	struct container_state after;
	struct error err = {0};

	container_state_init(&starting);
	starting.monitor_pid = 1;
	assert_int_equal(record_state_write(&record, &starting, &err), 0);
	container_state_release(&starting);
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	container_state_release(&after);
	record_close(&record);
}

static void test_repair_damaged(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct container_state after;
	struct error err = {0};

	assert_int_equal(file_write_atomic_at(record.directory_fd, "state.json",
					      "", 0, 0600, FILE_VOLATILE, &err),
			 0);
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	container_state_release(&after);
	record_close(&record);
}

static void test_repair_temporary(void **state)
{
	struct record record = make(ID_A, "web", true);
	struct record next;
	struct error err = {0};

	write_running(&record, 0, 0);
	assert_int_equal(record_repair(&store, &record, NULL, &err),
			 RECORD_REMOVED);
	record_close(&record);
	assert_false(exists("containers/" ID_A));
	assert_false(exists("names/web"));
	/* The next owner of the name does not wait for anyone's repair. */
	record = make(ID_A, "web", true);
	write_running(&record, 0, 0);
	record_close(&record);
	next = make(ID_B, "web", true);
	assert_false(exists("containers/" ID_A));
	record_close(&next);
}

/* A monitor that is done has let go of the lock, but not of the files. */
static void test_repair_detached(void **state)
{
	struct record record = make(ID_A, "web", true);
	struct error err = {0};

	write_running(&record, 0, 0);
	assert_int_equal(record_detach(&store, &record, "web", &err), 0);
	assert_false(exists("containers/" ID_A));
	assert_false(exists("names/web"));
	assert_int_equal(record_repair(&store, &record, NULL, &err),
			 RECORD_REMOVED);
	assert_int_equal(record_destroy(&store, &record, &err), 0);
	assert_false(exists("tmp/removed-" ID_A));
	record_close(&record);
}

/* Someone else is at it: the truth is told, nothing is written. */
static void test_repair_busy(void **state)
{
	struct record record = make(ID_A, "web", false);
	struct record other;
	struct container_state after;
	struct error err = {0};

	write_running(&record, 0, 0);
	assert_int_equal(record_open(&store, ID_A, &other, &err), 0);
	assert_int_equal(record_lock(&other, true, &err), 0);
	assert_int_equal(record_repair(&store, &record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	container_state_release(&after);
	assert_int_equal(record_state_read(&record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_RUNNING);
	container_state_release(&after);
	/* Who holds the lock repairs under it. */
	assert_int_equal(record_repair(&store, &other, &after, &err), 0);
	container_state_release(&after);
	assert_int_equal(record_state_read(&record, &after, &err), 0);
	assert_int_equal(after.status, CONTAINER_EXITED);
	container_state_release(&after);
	record_close(&other);
	record_close(&record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_remove),
		TEST(test_private),
		TEST(test_ids),
		TEST(test_list),
		TEST(test_names),
		TEST(test_stale_names),
		TEST(test_second_names),
		TEST(test_sweep),
		TEST(test_list_checked),
		TEST(test_read_members),
		TEST(test_operation_lock),
		TEST(test_state_round_trip),
		TEST(test_state_bad),
		cmocka_unit_test(test_state_names),
		TEST(test_repair),
		TEST(test_repair_living),
		TEST(test_repair_starting),
		TEST(test_repair_damaged),
		TEST(test_repair_temporary),
		TEST(test_repair_busy),
		TEST(test_repair_detached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
