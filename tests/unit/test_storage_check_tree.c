/* The tree of a layer against its archive: what agrees, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/check/check_tree.h"
#include "storage/tar/unpack.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

static char directory[PATH_MAX]; /* of one test */
static int top, root;
static struct error error;
static struct unpack_result result;
static struct str told; /* "PATH: WHAT\n", of one check */

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	snprintf(directory, sizeof(directory), "%s/moss-check-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, flags);
	umask(0);
	mkdirat(top, "root", 0755);
	root = openat(top, "root", flags);
	err_clear(&error);
	result = (struct unpack_result){0};
	return root < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	cJSON_Delete(result.devices);
	str_release(&told);
	close_fd(&root);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static ssize_t all_at_once(void *data, const void **ret_bytes,
			   struct error *err)
{
	struct str *tar = data;
	size_t length = tar->length;

	*ret_bytes = tar->data;
	tar->length = 0;
	return (ssize_t)length;
}

static void tell(void *data, const char *path, const char *what)
{
	str_appendf(&told, "%s: %s\n", path, what);
}

static void unpack(const struct tar_file *files, size_t count)
{
	cleanup_str struct str tar = {0};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(all_at_once, &tar);
	struct limits limits;

	limits_init(&limits);
	tar_build(&tar, files, count);
	assert_int_equal(unpack_layer(reader, root, &limits, &result, &error),
			 0);
}

static int check(const struct tar_file *files, size_t count)
{
	cleanup_str struct str tar = {0};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(all_at_once, &tar);
	cleanup_json cJSON *none = json_array();
	cleanup_fd int scratch_fd =
		openat(top, "scratch", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const struct check_tree request = {
		.reader = reader,
		.root_fd = root,
		.scratch_fd = scratch_fd,
		.devices = result.devices ? result.devices : none,
		.report = tell,
	};

	str_clear(&told);
	tar_build(&tar, files, count);
	return check_tree(&request, &error);
}

static const struct tar_file files[] = {
	{.path = "./", .type = '5', .mode = 0711},
	{.path = "d/", .type = '5', .uid = 5, .gid = 6, .mode = 02750},
	{.path = "d/f", .data = "content", .pax = "SCHILY.xattr.user.x=y\n"},
	{.path = "g", .type = '1', .link = "d/f"},
	{.path = "l", .type = '2', .link = "/d"},
	{.path = "l/through", .data = "x"},
	{.path = "i/m/plied", .data = ""},
	{.path = ".wh.gone"},
	{.path = "o/.wh..wh..opq"},
	{.path = "null", .type = '3', .major = 1, .minor = 3},
	{.path = "p", .type = '6'},
	{.path = "twice", .data = "1"},
	{.path = "twice", .data = "22"},
};

static void test_agrees(void **state)
{
	unpack(files, ARRAY_SIZE(files));
	assert_int_equal(check(files, ARRAY_SIZE(files)), 0);
	assert_string_equal(str_text(&told), "");
}

/* What is done to the tree, and all that is told. */
static void test_differences(void **state)
{
	unpack(files, ARRAY_SIZE(files));
	assert_int_equal(unlinkat(root, "twice", 0), 0);
	assert_int_equal(fchmodat(root, "i", 0700, 0), 0);
	assert_int_equal(mknodat(root, "i/more", S_IFREG | 0644, 0), 0);
	assert_int_equal(unlinkat(root, "l", 0), 0);
	assert_int_equal(symlinkat("/e", root, "l"), 0);
	assert_int_equal(check(files, ARRAY_SIZE(files)), 0);
	assert_non_null(strstr(str_text(&told), "twice: is missing\n"));
	assert_non_null(
		strstr(str_text(&told), "i: has mode 0700 instead of 0755\n"));
	assert_non_null(
		strstr(str_text(&told), "i/more: is not in the layer\n"));
	assert_non_null(strstr(str_text(&told), "l: leads elsewhere\n"));
	/* The file below the link is where it led to when it was made. */
	assert_null(strstr(str_text(&told), "through"));
}

static void test_content_of_a_hard_link_is_told_once(void **state)
{
	int fd;

	unpack(files, ARRAY_SIZE(files));
	fd = openat(root, "g", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "C", 1, 0), 1);
	close(fd);
	assert_int_equal(check(files, ARRAY_SIZE(files)), 0);
	assert_non_null(strstr(str_text(&told), "has other content\n"));
	assert_null(strchr(strchr(str_text(&told), '\n') + 1, '\n'));
}

/* One that was unpacked can be compared; others end the check. */
static void test_hostile(void **state)
{
	static const struct tar_file hostile[][2] = {
		{{.path = "../x"}, {.path = "y"}},
		{{.path = "f", .data = "x"}, {.path = "f/g"}},
		{{.path = "h", .type = '1', .link = "nowhere"}, {.path = "y"}},
		{{.path = ".wh.a/b"}, {.path = "y"}},
		{{.path = "a", .type = '2', .link = "a"}, {.path = "a/b"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++)
		assert_true(check(hostile[i], 2) < 0);
}

static int all_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_agrees),
		TEST(test_differences),
		TEST(test_content_of_a_hard_link_is_told_once),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
