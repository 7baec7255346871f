/* core/runtime on the roots that storage/root/snapshot.h mounts. */
#include "runtime_harness.h"

#include "storage/root/snapshot.h"

#define HEX "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct store store;
static char layer[] = "sha256:" HEX;
static char *layers[] = {layer, NULL};
static char *container;

/* A store with one layer, the root of the harness. */
static int set_up(void **state)
{
	cleanup_free char *path = NULL;
	cleanup_free char *target = NULL;
	cleanup_free char *marker = NULL;
	struct error err = {0};

	if (harness_set_up(state) < 0)
		return -1;
	path = xasprintf("%s/store", harness_directory);
	container = xasprintf("%s/container", path);
	if (store_open(path, &store, &err) < 0) {
		print_error("%s\n", err.message);
		return -1;
	}
	target = xasprintf("%s/layers/" HEX, path);
	if (mkdir(target, 0755) < 0 || mkdir(container, 0755) < 0)
		return -1;
	marker = xasprintf("%s/layer.json", target);
	harness_write(marker, "{}");
	free(target);
	target = xasprintf("%s/layers/" HEX "/diff", path);
	return rename(harness_root, target);
}

static int tear_down(void **state)
{
	store_close(&store);
	free(container);
	return harness_tear_down(state);
}

static void run_on(enum snapshot_driver driver, cJSON *spec,
		   struct harness *harness)
{
	struct snapshot snapshot = {
		.driver = driver,
		.store = &store,
		.diff_ids = layers,
		.directory_fd = open(container, O_RDONLY | O_DIRECTORY),
		.is_volatile = true,
	};
	struct runtime_request request = {
		.snapshot = &snapshot,
		.filter = &harness_filter,
	};
	struct error err = {0};

	assert_true(snapshot.directory_fd >= 0);
	if (snapshot_prepare(&snapshot, &err) < 0)
		fail_msg("%s", err.message);
	harness_start(harness, spec, &request);
	harness_wait(harness);
	if (harness->process.fuse_pid > 0)
		assert_true(proc_wait(harness->process.fuse_pid) >= 0);
	assert_int_equal(snapshot_remove(&snapshot, &err), 0);
	close(snapshot.directory_fd);
}

static void check(enum snapshot_driver driver)
{
	static struct harness harness;

	run_on(driver,
	       harness_spec("echo x > /data/new; cat /data/new; mkdir /made; "
			    "rm /srv/from-image; ls -a /srv; pwd"),
	       &harness);
	if (harness.result < 0)
		fail_msg("%s", harness.err.message);
	assert_string_equal(harness.output, "x\n.\n..\n/\n");
	assert_int_equal(harness.exit_code, 0);
	harness_end(&harness);

	/* The layer is as it was, and nothing of the host's is to be seen. */
	run_on(driver,
	       harness_spec("cat /srv/from-image; test -e /made && echo made; "
			    "grep -c moss-runtime /proc/self/mountinfo"),
	       &harness);
	assert_string_equal(harness.output, "x\n0\n");
	harness_end(&harness);
}

static void test_overlay(void **state)
{
	check(SNAPSHOT_OVERLAY);
}

static bool has_fuse(void)
{
	return access("/dev/fuse", R_OK | W_OK) == 0 &&
	       system("command -v fuse-overlayfs > /dev/null") == 0;
}

static void test_fuse(void **state)
{
	static const char *const keys[] = {"uidMappings", "gidMappings"};
	static struct harness harness;
	cJSON *spec = harness_spec("stat -c %u /bin; touch /data/a; "
				   "stat -c %u /data/a");

	if (!has_fuse())
		skip(); /* /dev/fuse or fuse-overlayfs is not there */
	check(SNAPSHOT_FUSE_OVERLAYFS);
	if (namespace_ids < 65536) {
		cJSON_Delete(spec);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_set(harness_linux(spec), keys[i],
			 harness_json("[{\"containerID\":0,\"hostID\":1000,"
				      "\"size\":500}]"));
	run_on(SNAPSHOT_FUSE_OVERLAYFS, spec, &harness);
	if (harness.result < 0)
		fail_msg("%s", harness.err.message);
	assert_string_equal(harness.output, "0\n0\n");
	harness_end(&harness);
}

/* A program that does not start leaves no server behind. */
static void test_fuse_error(void **state)
{
	static const char *const words[] = {"/missing", NULL};
	static struct harness harness;
	cJSON *spec = harness_spec("");

	if (!has_fuse())
		skip();
	harness_set_args(harness_process(spec), words);
	run_on(SNAPSHOT_FUSE_OVERLAYFS, spec, &harness);
	assert_int_equal(harness.err.kind, ERROR_NO_SUCH_COMMAND);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	harness_end(&harness);
}

/* What of the host's directory a container may write is not the host's. */
static void check_layers(const char *script, const char *options,
			 const char *expected)
{
	static struct harness harness;
	cleanup_free char *mount =
		xasprintf("{\"destination\":\"/made/here\",\"type\":\"layers\","
			  "\"source\":\"x\",\"options\":[%s]}",
			  options);
	cJSON *spec = harness_spec(script);

	harness_add_mount(spec, mount);
	run_on(SNAPSHOT_OVERLAY, spec, &harness);
	if (harness.result < 0)
		fail_msg("%s", harness.err.message);
	assert_string_equal(harness.output, expected);
	harness_end(&harness);
}

static void test_layers(void **state)
{
	cleanup_free char *directory = xasprintf("%s/host", harness_directory);
	cleanup_free char *file = xasprintf("%s/file", directory);
	cleanup_free char *points = xasprintf("%s/mounts/points", container);
	cleanup_free char *cover = xasprintf("%s/cover", harness_directory);
	cleanup_free char *cover_file = xasprintf("%s/more", cover);
	cleanup_free char *options = NULL;
	cleanup_free char *text = NULL;
	size_t length = 0;

	assert_int_equal(mkdir(directory, 0755), 0);
	assert_int_equal(mkdir(cover, 0755), 0);
	harness_write(file, "host\n");
	harness_write(cover_file, "more\n");

	check_layers("cat /made/here/srv/from-image; touch /made/here/x "
		     "2> /dev/null || echo ro",
		     "\"layer=sha256:" HEX "\",\"ro\"", "x\nro\n");
	assert_int_equal(access(points, F_OK), -1);
	check_layers("cat /made/here",
		     "\"layer=sha256:" HEX
		     "\",\"ro\",\"rootpath=/../srv/from-image\"",
		     "x\n");

	options = xasprintf("\"lower=%s\",\"lower=%s\",\"rw\","
			    "\"temporary\"",
			    directory, cover);
	for (int i = 0; i < 2; i++)
		check_layers("cd /made/here; cat file more; echo new > file; "
			     "cat file; rm more; ls",
			     options, "host\nmore\nnew\nfile\n");
	assert_int_equal(file_read_at(AT_FDCWD, file, 64, &text, &length, NULL),
			 0);
	assert_string_equal(text, "host\n");
	free(text);
	assert_int_equal(access(cover_file, F_OK), 0);
	assert_int_equal(
		file_read_at(AT_FDCWD, points, 64, &text, &length, NULL), 0);
	assert_int_equal(length, sizeof("/made/here"));
	assert_string_equal(text, "/made/here");
}

static int all_tests(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_fuse),
		cmocka_unit_test(test_fuse_error),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void)
{
	return harness_main(all_tests);
}
