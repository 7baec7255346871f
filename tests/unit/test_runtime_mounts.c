/* core/runtime: binds, volumes, and images that try to redirect them. */
#include "runtime_harness.h"

static char *outside; /* a directory of the host's */

static void make(const char *name, const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", outside, name);

	if (text)
		harness_write(path, text);
	else
		assert_int_equal(mkdir(path, 0755), 0);
}

static cJSON *bind_spec(const char *script, const char *source,
			const char *destination, const char *options)
{
	cleanup_free char *text = xasprintf(
		"{\"destination\":\"%s\",\"type\":\"bind\",\"source\":"
		"\"%s/%s\",\"options\":[%s]}",
		destination, outside, source, options);
	cJSON *spec = harness_spec(script);

	harness_add_mount(spec, text);
	return spec;
}

static void link_in_root(const char *path, const char *target)
{
	cleanup_free char *full = xasprintf("%s/%s", harness_root, path);

	assert_int_equal(symlink(target, full), 0);
}

static int set_up(void **state)
{
	if (harness_set_up(state) < 0)
		return -1;
	outside = xasprintf("%s/outside", harness_directory);
	if (mkdir(outside, 0755) < 0)
		return -1;
	make("file", "content\n");
	make("directory", NULL);
	make("directory/inner", "inner\n");
	make("secret", "host\n");
	return 0;
}

static int tear_down(void **state)
{
	free(outside);
	return harness_tear_down(state);
}

static void test_bind(void **state)
{
	harness_expect(bind_spec("cat /data/inner; echo x > /data/new; "
				 "cat /data/new; rm /data/new",
				 "directory", "/data", "\"rbind\""),
		       "inner\nx\n");
	/* Mount points are made: a directory, a file, all above them. */
	harness_expect(bind_spec("cat /made/up/place/inner", "directory",
				 "/made/up/place", "\"rbind\",\"rprivate\""),
		       "inner\n");
	harness_expect(bind_spec("cat /made/file", "file", "/made/file",
				 "\"bind\",\"rslave\""),
		       "content\n");
}

static void test_bind_options(void **state)
{
	harness_expect(bind_spec("(echo x > /data/y) 2>/dev/null || echo ro",
				 "directory", "/data", "\"rbind\",\"ro\""),
		       "ro\n");
	harness_expect(
		bind_spec("grep ' /data ' /proc/self/mountinfo | "
			  "sed 's/.* .data //; s/ .*//'",
			  "directory", "/data",
			  "\"rbind\",\"nosuid\",\"nodev\",\"noexec\",\"rw\""),
		"rw,nosuid,nodev,noexec,relatime\n");
	harness_expect_error(bind_spec("true", "directory", "/data",
				       "\"rbind\",\"sideways\""),
			     ERROR_INVALID,
			     "mounts[7].options: [1]: unknown option "
			     "\"sideways\"");
	harness_expect_error(bind_spec("true", "missing", "/data", "\"rbind\""),
			     ERROR_NOT_FOUND, "/missing on /data: ");
	harness_expect_error(bind_spec("true", "file", "/etc", "\"rbind\""),
			     ERROR_INVALID, "one is a directory");
}

/* Links are looked up as if the source were a root of its own. */
static void test_bind_in_root(void **state)
{
	cleanup_free char *link = xasprintf("%s/directory/link", outside);
	cleanup_free char *up = xasprintf("%s/directory/up", outside);

	assert_int_equal(symlink("/inner", link), 0);
	assert_int_equal(symlink("../secret", up), 0);
	harness_expect(bind_spec("cat /linked", "directory", "/linked",
				 "\"rbind\",\"rootpath=link\""),
		       "inner\n");
	harness_expect(bind_spec("cat /data/inner", "directory", "/data",
				 "\"rbind\",\"rootpath=../..\""),
		       "inner\n");
	harness_expect_error(bind_spec("true", "directory", "/data",
				       "\"rbind\",\"rootpath=up\""),
			     ERROR_NOT_FOUND, "cannot mount up of ");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(unlink(up), 0);
}

static void test_layers_refused(void **state)
{
	static const struct {
		const char *source;
		const char *options;
		const char *message;
	} rows[] = {
		{"x", "\"lower=relative\"", "unknown option"},
		{"x", "\"subpath=a\"", "unknown option"},
		{"x", "\"size=1m\"", "unknown option"},
		{"x", "\"copyup\"", "for a bind mount only"},
		{"x", "\"rbind\"", "layers cannot be a bind mount"},
		{"x", "\"layer=a\",\"lower=/a\"", "cannot be mixed"},
		{"x",
		 "\"lower=/\",\"lower=/\",\"lower=/\",\"lower=/\","
		 "\"lower=/\"",
		 "more than 4 directories"},
		{"", "\"lower=/a\"", "source: is missing"},
		{"x", "\"lower=/a\"", "layers need a container of layers"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *mount =
			xasprintf("{\"destination\":\"/data\",\"type\":"
				  "\"layers\",\"source\":\"%s\","
				  "\"options\":[%s]}",
				  rows[i].source, rows[i].options);
		cJSON *spec = harness_spec("true");

		harness_add_mount(spec, mount);
		harness_expect_error(spec,
				     i == ARRAY_SIZE(rows) - 1
					     ? ERROR_UNSUPPORTED
					     : ERROR_INVALID,
				     rows[i].message);
	}
}

/* Read-only goes for what is mounted below the source, too. */
static void test_bind_recursive(void **state)
{
	cleanup_free char *below = xasprintf("%s/directory/below", outside);

	make("directory/below", NULL);
	assert_int_equal(mount("tmpfs", below, "tmpfs", 0, NULL), 0);
	harness_expect(bind_spec("(echo x > /data/below/y) 2>/dev/null || "
				 "echo ro",
				 "directory", "/data", "\"rbind\",\"ro\""),
		       "ro\n");
	harness_expect(bind_spec("echo x > /data/below/y && echo rw",
				 "directory", "/data", "\"rbind\""),
		       "rw\n");
	harness_expect_error(
		bind_spec("true", "directory", "/data", "\"bind\""),
		ERROR_INVALID, "/directory on /data: ");
	assert_int_equal(umount2(below, MNT_DETACH), 0);
	assert_int_equal(rmdir(below), 0);
}

/* Links in the image lead nowhere but into the image. */
static void test_links(void **state)
{
	cleanup_free char *up = xasprintf("../../../../../../..%s", outside);
	cleanup_free char *reached =
		xasprintf("%s/%s/directory", harness_root, outside);
	cleanup_free char *untouched = xasprintf("%s/directory/new", outside);

	link_in_root("up", up);
	link_in_root("absolute", outside);
	link_in_root("etc2", "../../../etc");
	harness_expect(bind_spec("cat /etc2/hosts", "file", "/etc2/hosts",
				 "\"rbind\""),
		       "content\n");
	/* /absolute/directory is made in the image, not found on the host. */
	harness_expect(bind_spec("ls /absolute/directory; "
				 "echo x > /absolute/directory/new",
				 "directory", "/up/directory", "\"rbind\""),
		       "inner\n");
	assert_int_equal(access(reached, F_OK), 0);
	assert_int_equal(unlink(untouched), 0); /* through the bind */
	harness_expect(bind_spec("cat /up/secret2", "secret", "/up/secret2",
				 "\"rbind\""),
		       "host\n");
	{
		cleanup_free char *host = xasprintf("%s/secret2", outside);

		assert_int_equal(access(host, F_OK), -1);
	}
}

static void test_magic_links(void **state)
{
	link_in_root("magic", "/proc/self/root");
	link_in_root("magic2", "/proc/1/cwd/x");
	harness_expect_error(
		bind_spec("true", "directory", "/magic/etc", "\"rbind\""),
		ERROR_GENERIC, "/magic/etc");
	harness_expect_error(
		bind_spec("true", "directory", "/magic2", "\"rbind\""),
		ERROR_GENERIC, "/magic2");
}

/* An image whose /proc, /dev and /sys point elsewhere gets them there. */
static void test_moved_proc(void **state)
{
	static const char *const names[] = {"proc", "dev", "sys"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path =
			xasprintf("%s/%s", harness_root, names[i]);
		cleanup_free char *target = xasprintf("/data/%s", names[i]);

		assert_int_equal(rmdir(path), 0);
		link_in_root(names[i], target);
	}
	harness_expect(
		harness_spec("(echo 1 > /proc/sys/kernel/domainname) "
			     "2>/dev/null || echo ro; "
			     "wc -c < /data/proc/interrupts; "
			     "wc -c < /proc/interrupts; "
			     "echo x > /data/dev/null; ls /sys/firmware; "
			     "grep -c ' /data/dev/null ' /proc/self/mountinfo"),
		"ro\n0\n0\n1\n");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path =
			xasprintf("%s/%s", harness_root, names[i]);

		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0755), 0);
	}
}

/* A /dev/null of the image's is not what masks. */
static void test_false_null(void **state)
{
	cJSON *spec = harness_spec("wc -c < /proc/interrupts; "
				   "cat /dev/null | wc -c");
	cJSON *mounts = cJSON_GetObjectItem(spec, "mounts");

	/* Without a tmpfs on /dev, names there are the image's. */
	for (int i = cJSON_GetArraySize(mounts) - 1; i >= 0; i--) {
		const char *at =
			cJSON_GetObjectItem(cJSON_GetArrayItem(mounts, i),
					    "destination")
				->valuestring;

		if (str_starts(at, "/dev"))
			cJSON_DeleteItemFromArray(mounts, i);
	}
	link_in_root("dev/null", "../etc/passwd");
	harness_expect(spec, "0\n0\n");
}

static void test_tmpfs(void **state)
{
	cJSON *spec = harness_spec("stat -c %a /tmp /etc/x; "
				   "dd if=/dev/zero of=/etc/x/f bs=1k count=64 "
				   "2>/dev/null || echo full; ls /srv");

	harness_add_mount(spec, "{\"destination\":\"/etc/x\",\"type\":"
				"\"tmpfs\",\"source\":\"tmpfs\","
				"\"options\":[\"size=16k\",\"mode=1770\"]}");
	harness_add_mount(spec, "{\"destination\":\"/tmp\",\"type\":\"tmpfs\","
				"\"options\":[\"nosuid\"]}");
	harness_add_mount(spec, "{\"destination\":\"/srv\",\"type\":\"tmpfs\","
				"\"options\":[\"tmpcopyup\",\"ro\"]}");
	harness_expect(spec, "755\n1770\nfull\nfrom-image\n");

	spec = harness_spec("true");
	harness_add_mount(spec, "{\"destination\":\"/x\",\"type\":\"tmpfs\","
				"\"options\":[\"size=many\"]}");
	harness_expect_error(spec, ERROR_INVALID,
			     "cannot mount tmpfs on /x: tmpfs: ");
	spec = harness_spec("true");
	harness_add_mount(spec, "{\"destination\":\"/x\",\"type\":\"nosuchfs\","
				"\"options\":[]}");
	harness_expect_error(spec, ERROR_UNSUPPORTED,
			     "no file system \"nosuchfs\"");
}

static void test_copy_up(void **state)
{
	cleanup_free char *copied = xasprintf("%s/volume/from-image", outside);

	make("volume", NULL);
	harness_expect(bind_spec("ls /srv; touch /srv/x 2>/dev/null || "
				 "echo ro",
				 "volume", "/srv",
				 "\"rbind\",\"copyup\",\"ro\""),
		       "from-image\nro\n");
	assert_int_equal(access(copied, F_OK), 0);
	harness_expect(bind_spec("ls /etc/new/x", "volume", "/etc/new/x",
				 "\"rbind\",\"copyup\""),
		       "from-image\n");
}

/* The host sees nothing of it, and nothing is left mounted. */
static void test_nothing_left(void **state)
{
	static const char *const words[] = {"moss-runtime", "outside"};
	cleanup_free char *text = NULL;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t size = 0;

	assert_non_null(file);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	fclose(file);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_null(strstr(text, words[i]));
}

static int all_tests(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_bind_options),
		cmocka_unit_test(test_bind_in_root),
		cmocka_unit_test(test_layers_refused),
		cmocka_unit_test(test_bind_recursive),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_magic_links),
		cmocka_unit_test(test_moved_proc),
		cmocka_unit_test(test_false_null),
		cmocka_unit_test(test_tmpfs),
		cmocka_unit_test(test_copy_up),
		cmocka_unit_test(test_nothing_left),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

int main(void)
{
	return harness_main(all_tests);
}
