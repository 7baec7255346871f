/* base/path.h */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

static void test_clean(void **state)
{
	static const struct {
		const char *path;
		const char *clean;
	} rows[] = {
		{"", "."},
		{".", "."},
		{"/", "/"},
		{"//", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/../..", "/"},
		{"..", ".."},
		{"../..", "../.."},
		{"../../a", "../../a"},
		{"../a/..", ".."},
		{"a/..", "."},
		{"a/../..", ".."},
		{"a/../../b", "../b"},
		{"a/b/../c", "a/c"},
		{"a//b/./c/", "a/b/c"},
		{"/a//b/../c/", "/a/c"},
		{"/a/../../b", "/b"},
		{"/a/b/../..", "/"},
		{"...", "..."},
		{"/..a/.b/", "/..a/.b"},
		{"./a", "a"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *clean = path_clean(rows[i].path);

		assert_string_equal(clean, rows[i].clean);
	}
}

static void test_join(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		const char *joined;
	} rows[] = {
		{"a", "b", "a/b"},	 {"a/", "/b", "a/b"}, {"", "b", "b"},
		{"a", "", "a"},		 {"", "", ""},	      {"/", "a", "/a"},
		{"/a", "../../b", "/b"}, {"a", NULL, "a"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *joined = path_join(rows[i].a, rows[i].b);

		assert_string_equal(joined, rows[i].joined);
	}
}

/*
 * TOP/root is the tree, TOP/outside what must never be reached from it.
 */
static char top_path[] = "/tmp/moss-test-XXXXXX";
static int top = -1;
static int root = -1;

static int set_up(void **state)
{
	static const struct {
		const char *target;
		const char *name;
	} links[] = {
		{"/etc", "root/abs"},
		{"etc", "root/rel"},
		{"/../../../etc", "root/up"},
		{"../../outside", "root/escape"},
		{"/made/by/link", "root/dangling"},
		{"../made2", "root/etc/dangling"},
		{"loop-b", "root/loop-a"},
		{"loop-a", "root/loop-b"},
		{"self/self", "root/self"},
		{"dangling2/x", "root/chain"},
		{"/made3", "root/dangling2"},
		{"etc/file", "root/to-file"},
		{"etc/new-file", "root/to-new-file"},
		{"/made4", "root/etc/abs"},
	};

	strcpy(top_path, "/tmp/moss-test-XXXXXX");
	if (!mkdtemp(top_path))
		return -1;
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(top, "root", 0755) < 0 || mkdirat(top, "outside", 0755) < 0)
		return -1;
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(root, "etc", 0755) < 0)
		return -1;
	if (file_write_atomic_at(root, "etc/file", "x", 1, 0644, 0, NULL) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (symlinkat(links[i].target, top, links[i].name) < 0)
			return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	close_fd(&root);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, top_path, NULL);
}

/* Does fd name what real, without links, names below TOP? */
static void assert_same(int fd, const char *real)
{
	struct stat a;
	struct stat b;

	assert_int_equal(fstat(fd, &a), 0);
	if (fstatat(top, real, &b, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s is not there", real);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_dev, b.st_dev);
}

static void assert_outside_untouched(void)
{
	assert_int_equal(unlinkat(top, "outside", AT_REMOVEDIR), 0);
	assert_int_equal(mkdirat(top, "outside", 0755), 0);
	assert_int_equal(faccessat(top, "made", F_OK, 0), -1);
	assert_int_equal(access("/made", F_OK), -1);
	assert_int_equal(access("/made3", F_OK), -1);
}

static void test_open_in_root(void **state)
{
	static const struct {
		const char *path;
		const char *real; /* NULL: refused */
		int number;
	} rows[] = {
		{"/etc/file", "root/etc/file", 0},
		{"etc/file", "root/etc/file", 0},
		{"../../../etc/file", "root/etc/file", 0},
		{"abs/file", "root/etc/file", 0},
		{"up/file", "root/etc/file", 0},
		{"to-file", "root/etc/file", 0},
		{"/", "root", 0},
		{"escape", NULL, -ENOENT},
		{"dangling", NULL, -ENOENT},
		{"loop-a", NULL, -ELOOP},
		{"etc/file/x", NULL, -ENOTDIR},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = path_open_in_root(root, rows[i].path, O_PATH, 0);
		cleanup_fd int fd = r;

		if (!rows[i].real) {
			assert_int_equal(r, rows[i].number);
			continue;
		}
		assert_true(r >= 0);
		assert_same(fd, rows[i].real);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
}

static void test_open_creates(void **state)
{
	cleanup_fd int fd = path_open_in_root(
		root, "abs/created", O_WRONLY | O_CREAT | O_EXCL, 0600);
	cleanup_fd int slash = open("/", O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_same(fd, "root/etc/created");
	assert_int_equal(path_open_in_root(root, "abs/created",
					   O_WRONLY | O_CREAT | O_EXCL, 0600),
			 -EEXIST);
	assert_int_equal(
		path_open_in_root(slash, "/proc/self/exe", O_RDONLY, 0),
		-ELOOP);
}

static void test_mkdirs_in_root(void **state)
{
	static const struct {
		const char *path;
		const char *real; /* NULL: refused */
		int number;
	} rows[] = {
		{"/", "root", 0},
		{"", "root", 0},
		{"etc", "root/etc", 0},
		{"/a/b//c/", "root/a/b/c", 0},
		{"/a/b/c", "root/a/b/c", 0},
		{"x/../y/./z", "root/y/z", 0},
		{"../../../up1/deep", "root/up1/deep", 0},
		{"abs/in-etc", "root/etc/in-etc", 0},
		{"up/in-etc2/d", "root/etc/in-etc2/d", 0},
		{"escape", "root/outside", 0},
		{"escape/deeper", "root/outside/deeper", 0},
		{"dangling", "root/made/by/link", 0},
		{"etc/dangling/d", "root/made2/d", 0},
		{"chain/y", "root/made3/x/y", 0},
		{"etc/abs/d", "root/made4/d", 0},
		{"loop-a", NULL, -ELOOP},
		{"loop-a/x", NULL, -ELOOP},
		{"self", NULL, -ELOOP},
		{"etc/file", NULL, -ENOTDIR},
		{"etc/file/x", NULL, -ENOTDIR},
		{"to-file/x", NULL, -ENOTDIR},
	};
	mode_t mask = umask(077);
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = {0};
		int r = path_mkdirs_in_root(root, rows[i].path, 0755, &err);
		cleanup_fd int fd = r;

		if (!rows[i].real) {
			assert_int_equal(r, rows[i].number);
			assert_non_null(strstr(err.message, rows[i].path));
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", rows[i].path, err.message);
		assert_same(fd, rows[i].real);
		assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
	}
	umask(mask);
	assert_int_equal(fstatat(root, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_outside_untouched();
}

static void test_touch_in_root(void **state)
{
	static const struct {
		const char *path;
		const char *real;
		int number;
	} rows[] = {
		{"etc/file", "root/etc/file", 0},
		{"/new", "root/new", 0},
		{"new/", "root/new", 0},
		{"n1/n2/f", "root/n1/n2/f", 0},
		{"to-file", "root/etc/file", 0},
		{"to-new-file", "root/etc/new-file", 0},
		{"dangling2/f", "root/made3/f", 0},
		{"../../f", "root/f", 0},
		{"etc", NULL, -EISDIR},
		{"/", NULL, -EISDIR},
		{"", NULL, -EISDIR},
		{"etc/..", NULL, -EISDIR},
		{"abs", NULL, -EISDIR},
		{"loop-b", NULL, -ELOOP},
		{"etc/file/f", NULL, -ENOTDIR},
	};
	mode_t mask = umask(077);
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = {0};
		int r = path_touch_in_root(root, rows[i].path, 0644, &err);
		cleanup_fd int fd = r;

		if (!rows[i].real) {
			assert_int_equal(r, rows[i].number);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", rows[i].path, err.message);
		assert_same(fd, rows[i].real);
	}
	umask(mask);
	assert_int_equal(fstatat(root, "n1/n2/f", &st, 0), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fstatat(root, "n1", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	/* What was there keeps its content. */
	assert_int_equal(fstatat(root, "etc/file", &st, 0), 0);
	assert_int_equal(st.st_size, 1);
	assert_outside_untouched();
}

/* A dangling link in the last place names the file itself. */
static void test_touch_through_dangling(void **state)
{
	cleanup_fd int fd = -1;

	assert_int_equal(symlinkat("/t1/t2/file", root, "tl"), 0);
	fd = path_touch_in_root(root, "tl", 0600, NULL);
	assert_true(fd >= 0);
	assert_same(fd, "root/t1/t2/file");
}

static void test_links_that_grow(void **state)
{
	char target[4000];
	struct error err = {0};

	/* Each step adds 4000 bytes to what is still to be walked. */
	memset(target, 'a', sizeof(target));
	for (size_t i = 1; i < sizeof(target); i += 2)
		target[i] = '/';
	memcpy(target, "grow/", 5);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(symlinkat(target, root, "grow"), 0);
	assert_true(path_mkdirs_in_root(root, "grow/x", 0755, &err) < 0);
}

static void test_mkdirs(void **state)
{
	static const struct {
		const char *path;
		int result;
	} rows[] = {
		{"m", 0},
		{"m/n/o/", 0},
		{"m//n/p", 0},
		{"./m/q", 0},
		{"root/rel/host", 0},
		{"root/etc/file", -ENOTDIR},
		{"root/etc/file/x", -ENOTDIR},
		{"", -ENOENT},
	};
	cleanup_free char *absolute = path_join(top_path, "abs/olute");
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(path_mkdirs_at(top, rows[i].path, 0700, NULL),
				 rows[i].result);
	assert_int_equal(fstatat(top, "m/n/o", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(top, "root/etc/host", &st, 0), 0);

	assert_int_equal(path_mkdirs(absolute, 0755, NULL), 0);
	assert_int_equal(fstatat(top, "abs/olute", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_true(path_mkdirs("/proc/none/x", 0755, NULL) < 0);
	assert_int_equal(path_mkdirs("/", 0755, NULL), 0);
}

static void test_fd_path(void **state)
{
	char path[PATH_FD_MAX];

	path_of_fd(path, 7);
	assert_string_equal(path, "/proc/self/fd/7");
	path_of_fd(path, INT_MAX);
	assert_string_equal(path, "/proc/self/fd/2147483647");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_join),
		cmocka_unit_test_setup_teardown(test_open_in_root, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_open_creates, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_mkdirs_in_root, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_touch_in_root, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_touch_through_dangling,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_that_grow, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_mkdirs, set_up, tear_down),
		cmocka_unit_test(test_fd_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
