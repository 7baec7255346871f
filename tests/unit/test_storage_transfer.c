/* Import, load and save through the helper program moss-image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/image.h"
#include "storage/store/layer.h"
#include "storage/transfer.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

static char directory[PATH_MAX]; /* of one test */
static int top;
static struct store store = {.root_fd = -1,
			     .image_fd = -1,
			     .layers_fd = -1,
			     .volumes_fd = -1,
			     .tmp_fd = -1};
static struct error error;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *path = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-transfer-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	path = xasprintf("%s/store", directory);
	err_clear(&error);
	return store_open(path, &store, &error);
}

static int tear_down(void **state)
{
	store_close(&store);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void put(const char *name, const void *data, size_t length)
{
	assert_int_equal(file_write_atomic_at(top, name, data, length, 0644,
					      FILE_VOLATILE, &error),
			 0);
}

static void put_tar(const char *name, const struct tar_file *files,
		    size_t count)
{
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, count);
	put(name, tar.data, tar.length);
}

/* The ID (caller frees), or NULL and the error. */
static char *import(const char *name, const char *reference,
		    char *const *changes)
{
	cleanup_free char *path = path_of(name);
	const struct import_request request = {
		.source = path,
		.reference = reference,
		.changes = changes,
		.progress_fd = -1,
	};
	char *id = NULL;

	err_clear(&error);
	return image_import(&store, &request, &id, &error) < 0 ? NULL : id;
}

/* What was loaded in one line, or the error; caller frees. */
static char *load(const char *name)
{
	cleanup_free char *path = path_of(name);
	const struct load_request request = {.source = path, .progress_fd = -1};
	cleanup_strv char **loaded = NULL;

	err_clear(&error);
	if (image_load(&store, &request, &loaded, &error) < 0)
		return NULL;
	return strv_join(loaded, " ");
}

static int save(const char *name, bool oci, const char *image)
{
	cleanup_free char *path = path_of(name);
	cleanup_free char *copy = xstrdup(image);
	char *const names[] = {copy, NULL};
	const struct save_request request = {
		.names = names,
		.output = path,
		.oci_directory = oci,
	};

	err_clear(&error);
	return image_save(&store, &request, &error);
}

static void assert_text(const char *diff_id, const char *file, const char *text)
{
	cleanup_free char *path =
		xasprintf("%s/diff/%s", digest_hex(diff_id), file);
	cleanup_free char *content = NULL;

	if (file_read_at(store.layers_fd, path, 65536, &content, NULL, &error) <
	    0)
		fail_msg("%s", error.message);
	assert_string_equal(content, text);
}

static void assert_tidy(void)
{
	cleanup_free char *command =
		xasprintf("test -z \"$(ls -A %s/store/tmp)\"", directory);

	assert_int_equal(system(command), 0);
}

static const struct tar_file root_files[] = {
	{.path = "etc/", .type = '5'},
	{.path = "etc/name", .data = "moss\n", .uid = 5, .gid = 6},
	{.path = "bin", .type = '2', .link = "usr/bin"},
};

/* Digest of the packed layer; caller frees. */
static char *packed_of(const char *diff_id)
{
	struct layer layer;

	assert_int_equal(layer_read(&store, diff_id, &layer, &error), 0);
	return xstrdup(layer.blob);
}

static void test_import(void **state)
{
	char change[] = "CMD [\"/x\", \"y\"]";
	char *const changes[] = {change, NULL};
	cleanup_free char *id = NULL;
	cleanup_strv char **command = NULL;
	cleanup_free char *packed = NULL;
	const cJSON *config = NULL;
	struct image image;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	id = import("root.tar", "web:1", changes);
	if (!id)
		fail_msg("%s", error.message);
	assert_int_equal(image_find(&store, "web:1", &image, &error), 0);
	assert_string_equal(image.id, id);
	assert_int_equal(image.size, 5);
	assert_int_equal(image_check_layers(&store, &image, &error), 0);
	assert_text(image.diff_ids[0], "etc/name", "moss\n");
	/* A plain tar is packed. */
	packed = packed_of(image.diff_ids[0]);
	assert_true(blob_exists(&store, packed));
	assert_false(blob_exists(&store, image.diff_ids[0]));
	assert_int_equal(
		json_get_object(image.config, "", "config", &config, NULL), 1);
	assert_int_equal(json_get_strv(config, "", "Cmd", &command, NULL), 1);
	assert_string_equal(command[1], "y");
	image_release(&image);
	assert_tidy();
}

static void test_import_packed(void **state)
{
	static const char *const packers[] = {"gzip", "bzip2", "xz", "zstd -q"};
	cleanup_free char *plain = NULL;
	struct image first;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	plain = import("root.tar", "plain", NULL);
	assert_int_equal(image_find(&store, "plain", &first, &error), 0);
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		cleanup_free char *command =
			xasprintf("%s -c %s/root.tar > %s/packed 2>/dev/null",
				  packers[i], directory, directory);
		cleanup_free char *cut = NULL;
		cleanup_free char *id = NULL;
		struct image image;
		struct stat st;

		if (system(command) != 0) {
			print_message("no %s here\n", packers[i]);
			continue;
		}
		id = import("packed", "packed", NULL);
		if (!id)
			fail_msg("%s: %s", packers[i], error.message);
		assert_int_equal(image_find(&store, "packed", &image, &error),
				 0);
		assert_string_equal(image.diff_ids[0], first.diff_ids[0]);
		image_release(&image);
		/* Each of them is caught when its end is missing. */
		assert_int_equal(fstatat(top, "packed", &st, 0), 0);
		cut = xasprintf("truncate -s %lld %s/packed",
				(long long)st.st_size - 9, directory);
		assert_int_equal(system(cut), 0);
		assert_null(import("packed", "packed", NULL));
		assert_int_equal(error.kind, ERROR_CORRUPT);
		assert_non_null(strstr(error.message, "truncated"));
	}
	image_release(&first);
	assert_tidy();
}

static void test_import_refused(void **state)
{
	static const struct tar_file evil[] = {{.path = "../evil"}};
	char change[] = "ENV";
	char *const changes[] = {change, NULL};
	struct image *images;
	size_t count;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	put_tar("evil.tar", evil, 1);
	put("text", "no archive at all", 17);
	put("empty", "", 0);
	assert_null(import("evil.tar", "x", NULL));
	assert_non_null(strstr(error.message, "leads out of the layer"));
	assert_null(import("text", "x", NULL));
	assert_non_null(strstr(error.message, "not a tar archive"));
	assert_null(import("empty", "x", NULL));
	assert_non_null(strstr(error.message, "empty input"));
	assert_null(import("nothing", "x", NULL));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_null(import("store", "x", NULL));
	assert_non_null(strstr(error.message, "is a directory"));
	assert_null(import("root.tar", "UPPER", NULL));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_null(import("root.tar", "x", changes));
	assert_non_null(strstr(error.message, "ENV requires"));
	assert_int_equal(faccessat(top, "evil", F_OK, 0), -1);
	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	assert_int_equal(count, 0);
	image_list_free(images, count);
	assert_tidy();
}

/* A whole circle: the ID stays, and so does what the layer unpacks to. */
static void test_save_and_load(void **state)
{
	cleanup_strv char **report = NULL;
	cleanup_free char *id = NULL;
	cleanup_free char *from_tar = NULL;
	cleanup_free char *from_directory = NULL;
	struct image image;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	id = import("root.tar", "web:1", NULL);
	assert_int_equal(image_tag(&store, "web:1", "web:2", &error), 0);
	assert_int_equal(save("both.tar", false, "web"), 0);
	assert_int_equal(save("layout", true, "web:2"), 0);
	assert_true(save("layout", true, "web:2") < 0);
	assert_int_equal(error.kind, ERROR_EXISTS);
	assert_true(save("x.tar", false, "none") < 0);
	assert_string_equal(error.message, "No such image: none:latest");
	assert_int_equal(faccessat(top, "x.tar", F_OK, 0), -1);

	assert_int_equal(
		image_remove(&store, id, true, NULL, NULL, &report, &error), 0);
	from_tar = load("both.tar");
	assert_string_equal(from_tar, "web:1 web:2");
	strv_free(steal_ptr(&report));
	assert_int_equal(
		image_remove(&store, id, true, NULL, NULL, &report, &error), 0);
	from_directory = load("layout");
	assert_string_equal(from_directory, "web:2");
	assert_int_equal(image_find(&store, "web:2", &image, &error), 0);
	assert_string_equal(image.id, id);
	assert_text(image.diff_ids[0], "etc/name", "moss\n");
	image_release(&image);
	assert_tidy();
}

/* What is damaged in the store is not handed on. */
static void test_save_damaged(void **state)
{
	cleanup_free char *id = NULL;
	cleanup_free char *packed = NULL;
	char path[BLOB_PATH_MAX];
	struct image image;
	cleanup_fd int fd = -1;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	id = import("root.tar", "web", NULL);
	assert_int_equal(image_find(&store, "web", &image, &error), 0);
	packed = packed_of(image.diff_ids[0]);
	blob_path(path, packed);
	fd = openat(store.image_fd, path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "xxxx", 4, 40), 4);
	assert_true(save("x.tar", false, "web") < 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message, packed));
	assert_int_equal(faccessat(top, "x.tar", F_OK, 0), -1);
	assert_true(save("x", true, "web") < 0);
	assert_int_equal(faccessat(top, "x", F_OK, 0), -1);
	image_release(&image);
	assert_tidy();
}

/* A docker archive with one layer twice, once as a link; diff ID of root.tar */
static char *docker_config(const char *diff_id)
{
	return xasprintf("{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			 "\"diff_ids\":[\"%s\",\"%s\"]}}",
			 diff_id, diff_id);
}

static char *root_diff_id(void)
{
	cleanup_free char *id = import("root.tar", "first", NULL);
	struct image image;
	char *diff_id;

	assert_non_null(id);
	assert_int_equal(image_find(&store, "first", &image, &error), 0);
	diff_id = xstrdup(image.diff_ids[0]);
	image_release(&image);
	return diff_id;
}

static void test_load_docker(void **state)
{
	cleanup_str struct str layer = {0};
	cleanup_free char *diff_id = NULL;
	cleanup_free char *config = NULL;
	cleanup_free char *loaded = NULL;
	cleanup_free char *wrong = NULL;
	cleanup_free char *wrong_config = NULL;
	struct tar_file files[] = {
		{.path = "a/layer.tar"},
		{.path = "b/layer.tar", .type = '2', .link = "../a/layer.tar"},
		{.path = "c.json"},
		{.path = "manifest.json",
		 .data = "[{\"Config\":\"c.json\",\"RepoTags\":[\"two:1\"],"
			 "\"Layers\":[\"a/layer.tar\",\"b/layer.tar\"]}]"},
	};

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	tar_build(&layer, root_files, ARRAY_SIZE(root_files));
	diff_id = root_diff_id();
	config = docker_config(diff_id);
	files[0].data = layer.data;
	files[0].length = layer.length;
	files[2].data = config;
	put_tar("docker.tar", files, ARRAY_SIZE(files));
	loaded = load("docker.tar");
	if (!loaded)
		fail_msg("%s", error.message);
	assert_string_equal(loaded, "two:1");

	wrong = xstrdup(diff_id);
	wrong[10] = wrong[10] == '0' ? '1' : '0';
	wrong_config = docker_config(wrong);
	files[2].data = wrong_config;
	put_tar("docker.tar", files, ARRAY_SIZE(files));
	assert_null(load("docker.tar"));
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message,
			       "image two:1: layer 1 (a/layer.tar): wrong "
			       "digest"));

	files[1].link = "../../../etc/passwd";
	put_tar("docker.tar", files, ARRAY_SIZE(files));
	assert_null(load("docker.tar"));
	assert_non_null(strstr(error.message, "leads out of"));
	put_tar("docker.tar", files + 2, 2);
	assert_null(load("docker.tar"));
	assert_non_null(strstr(error.message, "\"a/layer.tar\" is missing"));
	put_tar("docker.tar", files, 1);
	assert_null(load("docker.tar"));
	assert_non_null(strstr(error.message, "neither a docker archive nor"));
	assert_tidy();
}

/* Bytes changed in an OCI layout's blobs, one blob after the other. */
static void test_load_damaged_layout(void **state)
{
	cleanup_free char *id = NULL;
	cleanup_free char *packed = NULL;
	cleanup_strv char **report = NULL;
	struct image image;
	const char *digests[3];

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	id = import("root.tar", "web", NULL);
	assert_int_equal(image_find(&store, "web", &image, &error), 0);
	assert_int_equal(save("layout", true, "web"), 0);
	packed = packed_of(image.diff_ids[0]);
	assert_int_equal(
		image_remove(&store, "web", false, NULL, NULL, &report, &error),
		0);
	digests[0] = image.manifest;
	digests[1] = image.id;
	digests[2] = packed;
	for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
		cleanup_free char *path = xasprintf("layout/blobs/sha256/%s",
						    digest_hex(digests[i]));
		cleanup_fd int fd = openat(top, path, O_RDWR | O_CLOEXEC);
		char byte = 0;
		char other;

		assert_int_equal(pread(fd, &byte, 1, 20), 1);
		other = (char)(byte == 'x' ? 'y' : 'x');
		assert_int_equal(pwrite(fd, &other, 1, 20), 1);
		assert_null(load("layout"));
		assert_int_equal(error.kind, ERROR_CORRUPT);
		assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
	}
	{
		cleanup_free char *loaded = load("layout");

		assert_string_equal(loaded, "web:latest");
	}
	image_release(&image);
	assert_tidy();
}

/* Killed in the middle, it leaves nothing but what the next one clears. */
static void test_killed(void **state)
{
	struct image *images;
	size_t count;
	int fds[2];
	pid_t child;

	put_tar("root.tar", root_files, ARRAY_SIZE(root_files));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		const struct import_request request = {
			.source = "-",
			.input_fd = fds[0],
			.reference = "x",
			.progress_fd = -1,
		};
		char *id;

		/* Waits for input for ever. */
		image_import(&store, &request, &id, NULL);
		_exit(0);
	}
	assert_int_equal(write(fds[1], "x", 1), 1);
	/* Until the helper has its work directory. */
	for (int i = 0; i < 500; i++) {
		cleanup_free char *command = xasprintf(
			"test -n \"$(ls -A %s/store/tmp)\"", directory);

		if (system(command) == 0)
			break;
		usleep(10000);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fds[0]);
	for (int i = 0; i < 500; i++) {
		cleanup_free char *command = xasprintf(
			"test -z \"$(ls -A %s/store/tmp)\"", directory);

		store_clean(&store);
		if (system(command) == 0)
			break;
		usleep(10000);
	}
	close(fds[1]);
	assert_tidy();
	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	assert_int_equal(count, 0);
	image_list_free(images, count);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_import),
		TEST(test_import_packed),
		TEST(test_import_refused),
		TEST(test_save_and_load),
		TEST(test_save_damaged),
		TEST(test_load_docker),
		TEST(test_load_damaged_layout),
		TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
