/* Volumes: names, making and removing by several at once, first content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/root/volume.h"
#include "tests/unit/namespace.h"

static char directory[PATH_MAX]; /* of one test */
static int top, image;		 /* image: a directory of one */
static struct store store;
static struct volume volume;
static struct error error;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	char path[PATH_MAX];

	snprintf(directory, sizeof(directory), "%s/moss-volume-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, flags);
	mkdirat(top, "image", 0755);
	image = openat(top, "image", flags);
	snprintf(path, sizeof(path), "%.3000s/store", directory);
	err_clear(&error);
	return store_open(path, &store, &error);
}

static int tear_down(void **state)
{
	volume_release(&volume);
	store_close(&store);
	close_fd(&image);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static void put(int dir_fd, const char *path, const char *text)
{
	assert_int_equal(file_write_atomic_at(dir_fd, path, text, strlen(text),
					      0644, FILE_VOLATILE, NULL),
			 0);
}

static void assert_text(int dir_fd, const char *path, const char *text)
{
	cleanup_free char *content = NULL;

	assert_int_equal(
		file_read_at(dir_fd, path, 65536, &content, NULL, &error), 0);
	assert_string_equal(content, text);
}

static bool is_there(int dir_fd, const char *path)
{
	return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t count_entries(int dir_fd)
{
	cleanup_dir DIR *dir = NULL;
	size_t count = 0;

	dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_CLOEXEC));
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	return count - 2;
}

static int open_data(void)
{
	int fd = open(volume.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void ensure(const char *name)
{
	volume_release(&volume);
	assert_int_equal(
		volume_ensure(&store, name, NULL, NULL, &volume, NULL, &error),
		0);
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"ab", true},	      {"a.", true},   {"0_", true},
		{"A-b.c_D9", true},   {"a", false},   {"", false},
		{".a", false},	      {"-a", false},  {"_a", false},
		{"a/b", false},	      {"..", false},  {"a b", false},
		{"a\n", false},	      {"a:b", false}, {"\303\244b", false},
		{"a\303\244", false},
	};
	char name[VOLUME_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = volume_name_check(rows[i].name, &error);

		if ((r == 0) != rows[i].valid)
			fail_msg("\"%s\" gives %d", rows[i].name, r);
		if (r < 0)
			assert_int_equal(error.kind, ERROR_INVALID);
	}
	memset(name, 'a', sizeof(name));
	name[VOLUME_NAME_MAX] = '\0';
	assert_int_equal(volume_name_check(name, &error), 0);
	name[VOLUME_NAME_MAX] = 'a';
	name[VOLUME_NAME_MAX + 1] = '\0';
	assert_int_equal(volume_name_check(name, &error), -EINVAL);
	assert_true(volume_ensure(&store, "../x", NULL, NULL, &volume, NULL,
				  &error) < 0);
	assert_non_null(strstr(error.message, "includes invalid characters"));
	assert_true(volume_find(&store, "../image", &volume, &error) < 0);
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_true(volume_remove(&store, "..", &error) < 0);
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_true(is_there(store.root_fd, "volumes"));
}

static void test_life(void **state)
{
	cleanup_json cJSON *labels = json_object();
	cleanup_strv char **names = NULL;
	cleanup_fd int data = -1;
	struct volume found = {0};
	struct timespec time;
	bool created = false;
	struct stat st;
	mode_t mask = umask(077);

	assert_int_equal(volume_list(&store, &names, &error), 0);
	assert_null(names);
	assert_true(volume_find(&store, "data", &found, &error) < 0);
	assert_string_equal(error.message, "get data: no such volume");
	json_set_string(labels, "a", "1");
	assert_int_equal(volume_ensure(&store, "data", labels, NULL, &volume,
				       &created, &error),
			 0);
	umask(mask);
	assert_true(created);
	assert_string_equal(volume.name, "data");
	assert_false(volume.anonymous);
	assert_int_equal(parse_time(volume.created, &time), 0);
	assert_true(str_starts(volume.path, directory));
	assert_true(str_ends(volume.path, "/store/volumes/data/_data"));
	data = open_data();
	assert_int_equal(fstat(data, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	put(data, "mine", "mine");

	/* Again: the same one. */
	json_set_string(labels, "b", "2");
	assert_int_equal(volume_ensure(&store, "data", labels, NULL, &found,
				       &created, &error),
			 0);
	assert_false(created);
	assert_string_equal(found.created, volume.created);
	assert_int_equal(cJSON_GetArraySize(found.labels), 1);
	volume_release(&found);
	assert_int_equal(volume_find(&store, "data", &found, &error), 0);
	assert_string_equal(
		cJSON_GetStringValue(cJSON_GetObjectItem(found.labels, "a")),
		"1");
	assert_string_equal(found.path, volume.path);
	volume_release(&found);
	assert_text(data, "mine", "mine");

	ensure(NULL);
	assert_true(volume.anonymous);
	assert_int_equal(strlen(volume.name), 64);
	assert_int_equal(volume_find(&store, volume.name, &found, &error), 0);
	assert_true(found.anonymous);
	volume_release(&found);
	ensure("Zoo");
	assert_int_equal(volume_list(&store, &names, &error), 0);
	assert_int_equal(strv_length(names), 3);
	assert_true(strv_contains(names, "Zoo"));
	assert_true(strcmp(names[0], names[1]) < 0);
	assert_true(strcmp(names[1], names[2]) < 0);

	assert_int_equal(volume_remove(&store, "data", &error), 0);
	assert_false(is_there(store.volumes_fd, "data"));
	assert_true(volume_remove(&store, "data", &error) < 0);
	assert_string_equal(error.message, "get data: no such volume");
	assert_int_equal(count_entries(store.tmp_fd), 0);
}

static void test_labels(void **state)
{
	cleanup_json cJSON *labels = json_object();
	cleanup_json cJSON *array = json_array();

	json_set_i64(labels, "number", 1);
	assert_true(volume_ensure(&store, "data", labels, NULL, &volume, NULL,
				  &error) < 0);
	assert_string_equal(error.message,
			    "volume label \"number\": expected a string");
	assert_true(volume_ensure(&store, "data", array, NULL, &volume, NULL,
				  &error) < 0);
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_false(is_there(store.volumes_fd, "data"));
	assert_int_equal(count_entries(store.tmp_fd), 0);
}

/* What is there without a record is nobody's. */
static void test_leftover(void **state)
{
	cleanup_strv char **names = NULL;

	assert_int_equal(mkdirat(store.volumes_fd, "data", 0755), 0);
	assert_int_equal(mkdirat(store.volumes_fd, "data/_data", 0755), 0);
	put(store.volumes_fd, "data/_data/old", "old");
	assert_int_equal(volume_list(&store, &names, &error), 0);
	assert_null(names);
	assert_true(volume_find(&store, "data", &volume, &error) < 0);
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	ensure("data");
	assert_false(is_there(store.volumes_fd, "data/_data/old"));
	assert_int_equal(count_entries(store.tmp_fd), 0);
	/* A damaged one is somebody's. */
	put(store.volumes_fd, "data/volume.json", "{\"created\": 1");
	put(store.volumes_fd, "data/_data/kept", "kept");
	assert_true(volume_ensure(&store, "data", NULL, NULL, &volume, NULL,
				  &error) < 0);
	assert_non_null(strstr(error.message, "data/volume.json"));
	assert_true(is_there(store.volumes_fd, "data/_data/kept"));
	assert_int_equal(volume_remove(&store, "data", &error), 0);
}

/* Many make and remove the same names: each call succeeds or says no such. */
static void test_parallel(void **state)
{
	pid_t pids[8];

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] != 0)
			continue;
		for (int j = 0; j < 12; j++) {
			const char *name = j % 2 ? "one" : "two";
			struct volume mine = {0};
			int r = volume_ensure(&store, name, NULL, NULL, &mine,
					      NULL, &error);

			if (r < 0) {
				print_error("%s\n", error.message);
				_exit(1);
			}
			volume_release(&mine);
			r = volume_remove(&store, name, &error);
			if (r < 0 && error.kind != ERROR_NOT_FOUND) {
				print_error("%s\n", error.message);
				_exit(2);
			}
		}
		_exit(0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		assert_int_equal(proc_wait(pids[i]), 0);
	assert_int_equal(unlinkat(store.volumes_fd, ".lock", 0), 0);
	assert_int_equal(count_entries(store.volumes_fd), 0);
	assert_int_equal(count_entries(store.tmp_fd), 0);
}

static void test_copy_up(void **state)
{
	cleanup_fd int source = openat(top, "image", O_PATH | O_CLOEXEC);
	cleanup_fd int data = -1;
	struct stat st;

	put(image, "file", "image");
	assert_int_equal(mkdirat(image, "dir", 0711), 0);
	put(image, "dir/in", "image");
	assert_int_equal(fchmod(image, 01777), 0);
	if (namespace_ids > 1)
		assert_int_equal(fchown(image, 33, 44), 0);
	ensure("data");
	assert_int_equal(volume_copy_up(&volume, source, &error), 0);
	data = open_data();
	assert_text(data, "file", "image");
	assert_text(data, "dir/in", "image");
	assert_int_equal(fstat(data, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(st.st_uid, namespace_ids > 1 ? 33 : 0);
	assert_int_equal(st.st_gid, namespace_ids > 1 ? 44 : 0);
	assert_int_equal(count_entries(data), 2);
	/* Once only: content stays what the container made of it. */
	put(data, "file", "changed");
	assert_int_equal(unlinkat(data, "dir/in", 0), 0);
	assert_int_equal(volume_copy_up(&volume, source, &error), 0);
	assert_text(data, "file", "changed");
	assert_false(is_there(data, "dir/in"));
}

static void test_copy_up_nothing(void **state)
{
	cleanup_fd int data = -1;
	struct stat st;

	/* Into content of the user's, be it one hidden file: never. */
	ensure("data");
	data = open_data();
	put(data, ".hidden", "mine");
	put(image, "file", "image");
	assert_int_equal(volume_copy_up(&volume, image, &error), 0);
	assert_int_equal(count_entries(data), 1);
	/* From an empty directory: its owner and mode. */
	close_fd(&data);
	ensure("other");
	assert_int_equal(unlinkat(image, "file", 0), 0);
	assert_int_equal(fchmod(image, 0700), 0);
	assert_int_equal(volume_copy_up(&volume, image, &error), 0);
	data = open_data();
	assert_int_equal(count_entries(data), 0);
	assert_int_equal(fstat(data, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* As the runtime calls it. */
static void test_copy_up_by_descriptor(void **state)
{
	struct volume by_fd = {0};
	char path[PATH_FD_MAX];
	cleanup_fd int data = -1;
	cleanup_fd int mount = -1;

	put(image, "file", "image");
	ensure("data");
	data = open_data();
	mount = open(volume.path, O_PATH | O_CLOEXEC);
	path_of_fd(path, mount);
	by_fd.path = path;
	assert_int_equal(volume_copy_up(&by_fd, image, &error), 0);
	assert_text(data, "file", "image");
}

/* What a killed copy left: a mark, half of the files. */
static void test_interrupted(void **state)
{
	cleanup_fd int data = -1;

	put(image, "a", "image");
	put(image, "b", "image");
	ensure("data");
	data = open_data();
	put(data, ".moss-filling", "");
	put(data, "a", "im");
	put(data, "extra", "mine");
	assert_int_equal(volume_copy_up(&volume, image, &error), 0);
	assert_text(data, "a", "image");
	assert_text(data, "b", "image");
	assert_text(data, "extra", "mine");
	assert_false(is_there(data, ".moss-filling"));
	/* And it is done. */
	put(data, "a", "changed");
	assert_int_equal(volume_copy_up(&volume, image, &error), 0);
	assert_text(data, "a", "changed");
}

/* Killed at any moment, the next one finishes it. */
static void test_killed(void **state)
{
	for (int i = 0; i < 400; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		put(image, name, name);
	}
	for (int i = 0; i < 20; i++) {
		cleanup_fd int data = -1;
		char name[16];
		pid_t pid;

		snprintf(name, sizeof(name), "data%d", i);
		ensure(name);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			volume_copy_up(&volume, image, NULL);
			_exit(0);
		}
		usleep((useconds_t)i * 1000);
		kill(pid, SIGKILL);
		proc_wait(pid);
		assert_int_equal(volume_copy_up(&volume, image, &error), 0);
		data = open_data();
		assert_int_equal(count_entries(data), 400);
		for (int j = 0; j < 400; j++) {
			snprintf(name, sizeof(name), "%d", j);
			assert_text(data, name, name);
		}
	}
}

/* Two containers at once: one copies, the other waits for all of it. */
static void test_copy_up_parallel(void **state)
{
	pid_t pids[4];

	for (int i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		put(image, name, name);
	}
	ensure("data");
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			int fd;

			if (volume_copy_up(&volume, image, &error) < 0)
				_exit(1);
			fd = open(volume.path, O_RDONLY | O_CLOEXEC);
			_exit(count_entries(fd) == 300 ? 0 : 2);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		assert_int_equal(proc_wait(pids[i]), 0);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_life),
		TEST(test_labels),
		TEST(test_leftover),
		TEST(test_parallel),
		TEST(test_copy_up),
		TEST(test_copy_up_nothing),
		TEST(test_copy_up_by_descriptor),
		TEST(test_interrupted),
		TEST(test_killed),
		TEST(test_copy_up_parallel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
