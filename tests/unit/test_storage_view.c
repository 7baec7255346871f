/* Merged roots that are looked at: layers, changes on top, nothing at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/root/view.h"
#include "tests/unit/namespace.h"

#define LOWER "1111111111111111111111111111111111111111111111111111111111111111"
#define UPPER "2222222222222222222222222222222222222222222222222222222222222222"

static char lower_id[] = "sha256:" LOWER;
static char upper_id[] = "sha256:" UPPER;
static char *const none[] = {NULL};
static char *const one[] = {lower_id, NULL};
static char *const two[] = {lower_id, upper_id, NULL};

static char directory[PATH_MAX];
static struct store store;
static int container;
static struct error error;

static void add_file(int dir_fd, const char *path, const char *text)
{
	if (file_write_atomic_at(dir_fd, path, text, strlen(text), 0644,
				 FILE_VOLATILE, &error) < 0)
		fail_msg("%s", error.message);
}

static void add_directory(int dir_fd, const char *path)
{
	if (mkdirat(dir_fd, path, 0755) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/moss-view-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory) || store_open(directory, &store, &error) < 0)
		return -1;
	add_directory(store.layers_fd, LOWER);
	add_directory(store.layers_fd, LOWER "/" LAYER_DIFF);
	add_file(store.layers_fd, LOWER "/" LAYER_DIFF "/a", "lower");
	add_file(store.layers_fd, LOWER "/" LAYER_DIFF "/b", "lower");
	add_directory(store.layers_fd, UPPER);
	add_directory(store.layers_fd, UPPER "/" LAYER_DIFF);
	add_file(store.layers_fd, UPPER "/" LAYER_DIFF "/b", "upper");
	add_directory(store.root_fd, "container");
	container = openat(store.root_fd, "container",
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err_clear(&error);
	return 0;
}

static int tear_down(void **state)
{
	close_fd(&container);
	store_close(&store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* What is in the root: "a=lower b=upper". */
static void show(const struct view *view, struct str *text)
{
	static const char *const names[] = {"a", "b", "c"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *content = NULL;

		if (file_read_at(view->root_fd, names[i], 64, &content, NULL,
				 NULL) == 0)
			str_appendf(text, "%s=%s ", names[i], content);
	}
}

/* A view is for one process, so each is looked at in a child. */
static void assert_view(char *const *diff_ids, int directory_fd,
			enum snapshot_driver driver, const char *expected)
{
	const struct view_request request = {
		.store = &store,
		.diff_ids = diff_ids,
		.driver = driver,
		.directory_fd = directory_fd,
	};
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct view view = VIEW_EMPTY;
		struct str text = {0};
		bool same;

		if (view_open(&request, &view, &error) < 0) {
			fprintf(stderr, "%s\n", error.message);
			_exit(1);
		}
		show(&view, &text);
		same = str_equal(str_text(&text), expected);
		if (!same)
			fprintf(stderr, "%s\n", str_text(&text));
		if (openat(view.root_fd, "new", O_WRONLY | O_CREAT, 0600) >= 0)
			same = false;
		view_close(&view);
		_exit(same ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* Nothing is left of it, here or on disk. */
	assert_int_equal(faccessat(store.tmp_fd, "merged", F_OK, 0), -1);
}

static void test_images(void **state)
{
	assert_view(none, -1, SNAPSHOT_AUTO, "");
	assert_view(one, -1, SNAPSHOT_AUTO, "a=lower b=lower ");
	assert_view(two, -1, SNAPSHOT_AUTO, "a=lower b=upper ");
}

static void test_never_started(void **state)
{
	assert_view(one, container, SNAPSHOT_OVERLAY, "a=lower b=lower ");
}

static void test_changes(void **state)
{
	add_directory(container, "upper");
	add_file(container, "upper/c", "changed");
	assert_int_equal(mknodat(container, "upper/a", S_IFCHR, makedev(0, 0)),
			 0);
	assert_view(two, container, SNAPSHOT_OVERLAY, "b=upper c=changed ");
	add_directory(container, "none");
	assert_view(none, container, SNAPSHOT_OVERLAY, "c=changed ");
}

static void test_fuse(void **state)
{
	if (access("/dev/fuse", R_OK | W_OK) < 0 || namespace_ids < 2)
		skip();
	add_directory(container, "upper");
	add_file(container, "upper/c", "changed");
	assert_int_equal(mknodat(container, "upper/a", S_IFCHR, makedev(0, 0)),
			 0);
	assert_view(two, container, SNAPSHOT_FUSE_OVERLAYFS,
		    "b=upper c=changed ");
}

static void test_damaged(void **state)
{
	static char missing[] =
		"sha256:"
		"333333333333333333333333333333333333333333333333333333333333"
		"3333";
	char *const ids[] = {missing, NULL};
	const struct view_request request = {
		.store = &store,
		.diff_ids = ids,
		.directory_fd = -1,
	};
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct view view = VIEW_EMPTY;

		_exit(view_open(&request, &view, &error) < 0 &&
				      strstr(error.message, "cannot open layer")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_bind(void **state)
{
	const struct view_request request = {
		.store = &store,
		.diff_ids = one,
		.directory_fd = -1,
	};
	pid_t child = fork();
	int status;

	if (child == 0) {
		cleanup_free char *source = xasprintf(
			"%s/layers/" UPPER "/" LAYER_DIFF "/b", directory);
		struct view view = VIEW_EMPTY;
		struct str text = {0};

		if (view_open(&request, &view, &error) < 0 ||
		    view_bind(&view, source, "/a", false, &error) != 1 ||
		    view_bind(&view, source, "/missing", false, &error) != 0 ||
		    view_bind(&view, "/nowhere/x", "/b", false, &error) != 0 ||
		    view_bind(&view, directory, "/b", false, &error) != 0)
			_exit(1);
		show(&view, &text);
		_exit(str_equal(str_text(&text), "a=upper b=lower ") ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void change(const char *path, bool read_only)
{
	const struct view_request request = {
		.store = &store,
		.diff_ids = two,
		.driver = SNAPSHOT_OVERLAY,
		.directory_fd = container,
		.writable = path,
	};
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct view view = VIEW_EMPTY;

		if (view_open(&request, &view, &error) < 0 ||
		    (read_only && view_set_read_only(&view, &error) < 0))
			_exit(1);
		if (file_write_atomic_at(view.root_fd, "c", "new", 3, 0644,
					 FILE_VOLATILE, NULL) < 0)
			_exit(errno == EROFS ? 2 : 3);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, (read_only ? 2 : 0) << 8);
}

static void test_writable(void **state)
{
	cleanup_free char *path = xasprintf("%s/container", directory);

	change(path, true);
	assert_view(two, container, SNAPSHOT_OVERLAY, "a=lower b=upper ");
	/* It was never started; what is written stays. */
	change(path, false);
	assert_view(two, container, SNAPSHOT_OVERLAY, "a=lower b=upper c=new ");
	/* The layers are as they were, and nothing is mounted out here. */
	assert_view(two, -1, SNAPSHOT_AUTO, "a=lower b=upper ");
	assert_int_not_equal(
		faccessat(container, "merged/a", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_images),   TEST(test_never_started),
		TEST(test_changes),  TEST(test_fuse),
		TEST(test_damaged),  TEST(test_bind),
		TEST(test_writable),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
