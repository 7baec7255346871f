/* core/engine/engine.h: containers as records, without running any */
#include "core/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/step.h"
#include "tests/unit/namespace.h"

#define ID_A "aaaa000000000000000000000000000000000000000000000000000000000000"
#define ID_B "aabb000000000000000000000000000000000000000000000000000000000000"

static char top[] = "/tmp/moss-test-XXXXXX";
static struct engine engine;

static int set_up(void **state)
{
	static const struct id_map root = {.extents = {{0, 1000, 1}},
					   .count = 1};
	static struct identity identity = {
		.uid = 1000, .gid = 1000, .user = "u"};
	const struct engine_options options = {
		.data_path = top, .run_fd = -1, .identity = &identity};
	struct error err = {0};

	identity.uids = identity.gids = root;
	strcpy(top, "/tmp/moss-test-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	if (engine_open(&options, &engine, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	engine_close(&engine);
	return tree_remove_at(AT_FDCWD, top, NULL);
}

static void make(const char *id, const char *name, const char *created)
{
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;
	struct record record;

	text = xasprintf(
		"{\"Id\":\"%s\",\"Name\":\"/%s\",\"Created\":\"%s\",\"Path\":"
		"\"sh\",\"Args\":[\"-c\",\"a b\"],\"Image\":\"sha256:%s\","
		"\"Driver\":\"overlay\",\"Config\":{\"Image\":\"web\","
		"\"Labels\":{},\"Tty\":false},\"HostConfig\":{\"NetworkMode\":"
		"\"none\",\"AutoRemove\":false,\"LogConfig\":{\"Type\":"
		"\"json-file\",\"Config\":{}}},\"Mounts\":[],\"Moss\":"
		"{\"StorageDriver\":\"overlay\",\"Network\":\"none\","
		"\"Seccomp\":\"default\",\"DiffIds\":[\"sha256:12\"]},"
		"\"Engine\":{}}",
		id, name, created, id);
	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	assert_int_equal(record_create(&engine.store, id, true, &record, NULL),
			 0);
	assert_int_equal(record_write(&record, json, NULL), 0);
	assert_int_equal(record_name_claim(&engine.store, name, id, true, NULL),
			 0);
	record_close(&record);
}

static void make_two(void)
{
	make(ID_A, "first", "2026-01-01T00:00:00.000000001Z");
	make(ID_B, "second", "2026-01-01T00:00:00.000000002Z");
}

static void test_resolve(void **state)
{
	static const struct {
		const char *name;
		const char *id; /* NULL: the message */
		const char *message;
	} rows[] = {
		{"first", ID_A, NULL},
		{"/first", ID_A, NULL},
		{ID_A, ID_A, NULL},
		{"aab", ID_B, NULL},
		{"aabb00000000", ID_B, NULL},
		{"aa", NULL, "Multiple IDs found with provided prefix: aa"},
		{"third", NULL, "No such container: third"},
		{"ff", NULL, "No such container: ff"},
		{"", NULL, "invalid name or ID supplied: \"\""},
		{"/", NULL, "invalid name or ID supplied: \"/\""},
		{"../containers/x", NULL, "No such container"},
	};

	make_two();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char id[ID_TEXT_MAX] = "untouched";
		struct error err = {0};
		int r = engine_container_resolve(&engine, rows[i].name, id,
						 &err);

		if (rows[i].id) {
			assert_int_equal(r, 0);
			assert_string_equal(id, rows[i].id);
		} else {
			assert_true(r < 0);
			assert_string_equal(id, "untouched");
			assert_non_null(strstr(err.message, rows[i].message));
		}
	}
}

/* A step of a build: what it is made of, and where it lies. */
static void test_step(void **state)
{
	static char layer[] = "sha256:" ID_A;
	char *diff_ids[] = {layer, NULL};
	static const char config_text[] =
		"{\"Env\":[\"A=1\",\"B=2\"],\"User\":\"0\",\"WorkingDir\":\"/"
		"w\","
		"\"Entrypoint\":[\"/entry\"],\"Cmd\":[\"x\"],"
		"\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
		"\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"]}}";
	static const char body_text[] =
		"{\"Entrypoint\":[\"sh\",\"-c\",\"make\"],\"Env\":[\"B=3\"],"
		"\"HostConfig\":{\"NetworkMode\":\"none\",\"SecurityOpt\":"
		"[\"seccomp=unconfined\"],\"LogConfig\":{\"Type\":\"none\"},"
		"\"Moss\":{\"StorageDriver\":\"overlay\"}}}";
	cleanup_json cJSON *config = NULL, *body = NULL;
	struct mount_list mounts = {0};
	struct step_request step = {.diff_ids = diff_ids, .mounts = &mounts};
	struct mount_point point = {
		.kind = MOUNT_TMPFS,
		.destination = xstrdup("/cache"),
		.mode = xstrdup(""),
		.propagation = xstrdup(""),
	};
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_json cJSON *all = NULL;
	cleanup_free char *path = NULL;
	char id[ID_TEXT_MAX];
	struct engine own = engine;
	struct error err = {0};
	const cJSON *made;

	json_parse(config_text, strlen(config_text), "config", &config, NULL);
	json_parse(body_text, strlen(body_text), "body", &body, NULL);
	step.config = config;
	step.body = body;
	assert_int_equal(mount_list_add(&mounts, &point, &err), 0);
	assert_int_equal(store_work_new(&engine.store, &work, &err), 0);
	store_use_containers_of(&own.store, work.name);
	if (engine_step_create(&own, &step, id, &err) < 0) {
		/* No overlay in user namespaces. */
		if (strstr(err.message, "the storage driver overlay"))
			skip();
		fail_msg("%s", err.message);
	}
	assert_int_equal(container_open(&own, id, &container, &err), 0);
	path = container_path(&own, id);
	assert_non_null(strstr(path, work.name));
	assert_string_equal(member_string(container.json, "Path"), "sh");
	made = member_get(container.json, "Config");
	assert_null(member_get(made, "Volumes"));
	assert_null(member_get(made, "Healthcheck"));
	assert_string_equal(member_string(made, "User"), "0");
	assert_string_equal(member_string(made, "WorkingDir"), "/w");
	assert_int_equal(cJSON_GetArraySize(member_get(made, "Cmd")), 0);
	assert_int_equal(cJSON_GetArraySize(member_get(made, "Env")), 2);
	made = member_get(container.json, "Moss");
	assert_true(member_bool(made, "Volatile"));
	assert_string_equal(item_string(member_get(made, "DiffIds")->child),
			    diff_ids[0]);
	made = member_get(container.json, "Engine");
	assert_false(member_bool(made, "NoNewPrivileges"));
	assert_int_equal(cJSON_GetArraySize(member_get(made, "Mounts")), 1);
	/* Nobody's business, and gone with the work. */
	assert_int_equal(
		engine_container_list(&engine, CONTAINER_LIST_ALL, &all, &err),
		0);
	assert_int_equal(cJSON_GetArraySize(all), 0);
	container_close(&container);
	engine_step_remove(&own, id);
	assert_true(container_open(&own, id, &container, NULL) < 0);
	mount_list_release(&mounts);
	store_work_release(&work);
}

static void test_list(void **state)
{
	cleanup_json cJSON *all = NULL;
	cleanup_json cJSON *running = NULL;
	const cJSON *newest;

	make_two();
	assert_int_equal(engine_container_list(&engine, 0, &running, NULL), 0);
	assert_int_equal(cJSON_GetArraySize(running), 0);
	assert_int_equal(
		engine_container_list(&engine,
				      CONTAINER_LIST_ALL | CONTAINER_LIST_SIZE,
				      &all, NULL),
		0);
	assert_int_equal(cJSON_GetArraySize(all), 2);
	newest = cJSON_GetArrayItem(all, 0);
	assert_string_equal(member_string(newest, "Id"), ID_B);
	assert_string_equal(member_string(newest, "Command"), "sh -c 'a b'");
	assert_string_equal(member_string(newest, "State"), "created");
	assert_string_equal(member_string(newest, "Status"), "Created");
	assert_string_equal(member_string(newest, "Image"), "web");
	assert_int_equal(member_i64(newest, "Created"), 1767225600);
	assert_non_null(member_get(newest, "SizeRw"));
}

/* What a brief entry has is what the whole one has. */
static void test_list_brief(void **state)
{
	cleanup_json cJSON *all = NULL;
	cleanup_json cJSON *brief = NULL;
	const cJSON *whole;

	make_two();
	assert_int_equal(
		engine_container_list(&engine, CONTAINER_LIST_ALL, &all, NULL),
		0);
	assert_int_equal(
		engine_container_list(&engine,
				      CONTAINER_LIST_ALL | CONTAINER_LIST_BRIEF,
				      &brief, NULL),
		0);
	assert_int_equal(cJSON_GetArraySize(brief), 2);
	whole = all->child;
	for (const cJSON *entry = brief->child; entry;
	     entry = entry->next, whole = whole->next) {
		const cJSON *member;

		assert_true(cJSON_GetArraySize(entry) >= 9);
		assert_null(member_get(entry, "Labels"));
		cJSON_ArrayForEach(member, entry)
		{
			assert_true(cJSON_Compare(
				member, member_get(whole, member->string), 1));
		}
	}
}

static void test_inspect(void **state)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *driver;
	struct error err = {0};

	make_two();
	assert_int_equal(
		engine_container_inspect(&engine, "first", &json, &err), 0);
	assert_string_equal(member_string(json, "Name"), "/first");
	assert_string_equal(member_string(member_get(json, "State"), "Status"),
			    "created");
	driver = member_get(json, "GraphDriver");
	assert_non_null(
		strstr(member_string(member_get(driver, "Data"), "LowerDir"),
		       "/layers/12/diff"));
	/* What is moss's own stays inside. */
	assert_null(member_get(json, "Moss"));
	assert_null(member_get(json, "Engine"));
	cJSON_Delete(json);
	json = NULL;
	assert_true(engine_container_inspect(&engine, "third", &json, &err) <
		    0);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void test_rename(void **state)
{
	char id[ID_TEXT_MAX];
	struct error err = {0};

	make_two();
	assert_true(engine_container_rename(&engine, "first", "second", &err) <
		    0);
	assert_int_equal(err.kind, ERROR_EXISTS);
	assert_non_null(strstr(err.message, "is already in use by container "
					    "\"" ID_B "\""));
	assert_true(engine_container_rename(&engine, "first", "first", &err) <
		    0);
	assert_true(engine_container_rename(&engine, "first", "-", &err) < 0);
	assert_int_equal(
		engine_container_rename(&engine, "first", "/third", &err), 0);
	assert_int_equal(engine_container_resolve(&engine, "third", id, NULL),
			 0);
	assert_string_equal(id, ID_A);
	assert_true(engine_container_resolve(&engine, "first", id, NULL) < 0);
}

static void test_remove(void **state)
{
	char id[ID_TEXT_MAX];
	struct error err = {0};

	make_two();
	assert_int_equal(
		engine_container_remove(&engine, "first", false, true, &err),
		0);
	assert_true(engine_container_resolve(&engine, "first", id, NULL) < 0);
	assert_true(engine_container_remove(&engine, "first", true, true,
					    &err) < 0);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	/* Its name is free. */
	make(ID_A, "first", "2026-01-01T00:00:00.000000001Z");
}

/* What a living monitor looks like from outside. */
static int pretend_to_run(const char *id)
{
	struct container_state state = {0};
	struct record record;
	int fd;

	assert_int_equal(record_open(&engine.store, id, &record, NULL), 0);
	container_state_init(&state);
	state.status = CONTAINER_RUNNING;
	state.monitor_pid = getpid();
	assert_int_equal(record_state_write(&record, &state, NULL), 0);
	container_state_release(&state);
	fd = lock_open_at(record.directory_fd, "lock", LOCK_EXCLUSIVE, false,
			  NULL);
	assert_true(fd >= 0);
	record_close(&record);
	return fd;
}

static void test_remove_running(void **state)
{
	cleanup_json cJSON *list = NULL;
	cleanup_fd int lock_fd = -1;
	struct error err = {0};

	make_two();
	lock_fd = pretend_to_run(ID_A);
	assert_true(engine_container_remove(&engine, "first", false, false,
					    &err) < 0);
	assert_int_equal(err.kind, ERROR_CONFLICT);
	assert_string_equal(err.message,
			    "cannot remove container \"/first\": container is "
			    "running: stop the container before removing or "
			    "force remove");
	assert_int_equal(engine_container_list(&engine, 0, &list, NULL), 0);
	assert_int_equal(cJSON_GetArraySize(list), 1);
	/* Its monitor dies: the trace is repaired and no longer in the way. */
	close_fd(&lock_fd);
	assert_int_equal(
		engine_container_remove(&engine, "first", false, false, &err),
		0);
}

/* There must be a way to be rid of a damaged one, but only by force. */
static void test_remove_damaged(void **state)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -1;
	char id[ID_TEXT_MAX];
	struct error err = {0};

	make_two();
	path = xasprintf("%s/containers/" ID_A "/container.json", top);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "{", 1), 1);
	assert_true(engine_container_remove(&engine, "first", false, false,
					    &err) < 0);
	assert_int_equal(
		engine_container_remove(&engine, "first", true, false, &err),
		0);
	assert_true(engine_container_resolve(&engine, "first", id, NULL) < 0);
}

static void test_not_running(void **state)
{
	struct attach_options options = {.stdout_ = true};
	const int fds[3] = {-1, -1, -1};
	cleanup_json cJSON *body = json_object();
	struct error err = {0};
	int fd = -1, wait_fd = -1, code = 5;
	struct exec_handle handle = EXEC_HANDLE_INIT;

	make_two();
	assert_true(engine_container_kill(&engine, "first", 9, &err) < 0);
	assert_string_equal(err.message,
			    "Cannot kill container: first: container " ID_A
			    " is not running");
	assert_int_equal(err.kind, ERROR_CONFLICT);
	assert_int_equal(engine_container_stop(&engine, "first", 0,
					       STOP_TIMEOUT_OWN, &err),
			 1);
	assert_int_equal(engine_container_wait(&engine, "first", &code, &err),
			 0);
	assert_int_equal(code, 0);
	assert_true(engine_container_resize(&engine, "first", 1, 1, &err) < 0);
	assert_true(engine_container_attach(&engine, "first", &options, &fd,
					    &wait_fd, &err) < 0);
	assert_non_null(strstr(err.message, "stopped container"));
	assert_true(engine_exec(&engine, "first", body, fds, &handle, &err) <
		    0);
	assert_string_equal(err.message, "container " ID_A " is not running");
}

static void test_image_in_use(void **state)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = &engine};
	cleanup_free char *id = NULL;
	bool running = true;

	make_two();
	assert_int_equal(
		image_users_find("sha256:" ID_A, &id, &running, &users), 1);
	assert_string_equal(id, ID_A);
	assert_false(running);
	assert_int_equal(image_users_find("sha256:other", NULL, NULL, &users),
			 0);
	assert_int_equal(image_users_count(&users, "sha256:" ID_A), 1);
	assert_int_equal(image_users_count(&users, "sha256:other"), 0);
}

#define create_test(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		create_test(test_resolve),
		create_test(test_step),
		create_test(test_list),
		create_test(test_list_brief),
		create_test(test_inspect),
		create_test(test_rename),
		create_test(test_remove),
		create_test(test_remove_running),
		create_test(test_remove_damaged),
		create_test(test_not_running),
		create_test(test_image_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
