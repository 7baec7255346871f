/* core/runtime/user.h: docker's rules, and files that an image made up. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/runtime/user.h"

static char directory[PATH_MAX];
static int root_fd = -1;

static void put(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic_at(root_fd, path, text, strlen(text),
					      0644, FILE_VOLATILE, NULL),
			 0);
}

static int set_up(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/moss-user-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0 || mkdirat(root_fd, "etc", 0755) < 0)
		return -1;
	put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
			  "\n"
			  "# web:x:1:1::/wrong:\n"
			  "nonsense\n"
			  ":::::::::\n"
			  "word:x:eleven:12::/:/bin/sh\n"
			  "minus:x:-1:12::/:/bin/sh\n"
			  "huge:x:4294967296:12::/:/bin/sh\n"
			  "  web:x:33:44:Web:/srv/web:/bin/sh\n"
			  "33:x:55:66::/numeric:/bin/sh\n"
			  "short:x:77:88\n"
			  "last:x:99:99::/last:/bin/sh");
	put("etc/group", "root:x:0:\n"
			 "web:x:44:\n"
			 "log:x:45:other,web\n"
			 "weblog:x:46:webother\n"
			 "tape:x:47:web\n"
			 "47:x:48:\n");
	return 0;
}

static int tear_down(void **state)
{
	close_fd(&root_fd);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static void test_find(void **state)
{
	static const struct {
		const char *user;
		const char *add;
		uint32_t uid, gid;
		const char *groups;
		const char *home;
	} rows[] = {
		{"root", NULL, 0, 0, " 0", "/root"},
		{"0", NULL, 0, 0, " 0", "/root"},
		{"web", NULL, 33, 44, " 44 45 47", "/srv/web"},
		/* The first entry that has it, as name or as number. */
		{"33", NULL, 33, 44, " 44 45 47", "/srv/web"},
		{"web:", NULL, 33, 44, " 44 45 47", "/srv/web"},
		{"web:log", NULL, 33, 45, " 45", "/srv/web"},
		{"web:47", NULL, 33, 47, " 47", "/srv/web"},
		{"web:1234", NULL, 33, 1234, " 1234", "/srv/web"},
		{":log", NULL, 0, 45, " 45", "/root"},
		{"1234", NULL, 1234, 0, " 0", "/"},
		{"1234:web", NULL, 1234, 44, " 44", "/"},
		{"short", NULL, 77, 88, " 88", "/"},
		{"last", NULL, 99, 99, " 99", "/last"},
		{"web", "log,99,", 33, 44, " 44 45 47 99", "/srv/web"},
		{"1234", "tape", 1234, 0, " 0 47", "/"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *name = xstrdup(rows[i].user);
		cleanup_strv char **add =
			rows[i].add ? strv_split(rows[i].add, ',') : NULL;
		struct spec_process process = {.user = name, .group_add = add};
		CLEANUP(user_release) struct user user = {0};
		cleanup_str struct str groups = {0};
		struct error err = {0};

		if (user_find(root_fd, &process, &user, &err) < 0)
			fail_msg("%s: %s", name, err.message);
		assert_int_equal(user.uid, rows[i].uid);
		assert_int_equal(user.gid, rows[i].gid);
		for (size_t j = 0; j < user.group_count; j++)
			str_appendf(&groups, " %u", user.groups[j]);
		assert_string_equal(str_text(&groups), rows[i].groups);
		assert_string_equal(user.home, rows[i].home);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *user;
		const char *add;
		const char *message;
	} rows[] = {
		{"nobody", NULL,
		 "unable to find user nobody: no matching entries in passwd "
		 "file"},
		{"word", NULL,
		 "unable to find user word: no matching entries in passwd "
		 "file"},
		{"minus", NULL,
		 "unable to find user minus: no matching entries in passwd "
		 "file"},
		{"huge", NULL,
		 "unable to find user huge: no matching entries in passwd "
		 "file"},
		{"-1", NULL,
		 "unable to find user -1: no matching entries in passwd file"},
		{"web:none", NULL,
		 "unable to find group none: no matching entries in group "
		 "file"},
		{"web", "none",
		 "unable to find group none: no matching entries in group "
		 "file"},
		{"2147483648", NULL,
		 "user 2147483648: user and group IDs go from 0 to "
		 "2147483647"},
		{"0:2147483648", NULL,
		 "group 2147483648: user and group IDs go from 0 to "
		 "2147483647"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *name = xstrdup(rows[i].user);
		cleanup_strv char **add =
			rows[i].add ? strv_split(rows[i].add, ',') : NULL;
		struct spec_process process = {.user = name, .group_add = add};
		struct user user = {.home = directory};
		struct error err = {0};

		assert_int_equal(user_find(root_fd, &process, &user, &err),
				 -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_ptr_equal(user.home, directory);
	}
}

/* Numbers count as they are; the file gives no more than the home. */
static void test_numbers(void **state)
{
	uint32_t groups[] = {1, 2};
	struct spec_process process = {
		.uid = 33, .gid = 5, .groups = groups, .group_count = 2};
	struct user user = {0};

	assert_int_equal(user_find(root_fd, &process, &user, NULL), 0);
	assert_int_equal(user.uid, 33);
	assert_int_equal(user.gid, 5);
	assert_int_equal(user.group_count, 2);
	assert_string_equal(user.home, "/srv/web");
	user_release(&user);
}

/* Neither a link out of the root nor a FIFO, nor too much, nor nothing. */
static void test_hostile_files(void **state)
{
	char name[] = "web";
	char number[] = "7";
	struct spec_process process = {.user = name};
	struct user user = {0};
	struct error err = {0};
	cleanup_free char *large = xcalloc(1, USER_FILE_MAX + 2);

	assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
	assert_int_equal(mkfifoat(root_fd, "etc/passwd", 0644), 0);
	assert_int_equal(user_find(root_fd, &process, &user, &err), -EINVAL);
	assert_string_equal(err.message, "the container's /etc/passwd is not a "
					 "regular file");

	assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
	memset(large, '\n', USER_FILE_MAX + 1);
	put("etc/passwd", large);
	assert_true(user_find(root_fd, &process, &user, &err) < 0);
	assert_non_null(strstr(err.message, "/etc/passwd"));

	assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
	assert_int_equal(
		symlinkat("../../../../../../etc/group", root_fd, "etc/passwd"),
		0);
	/* In the root that is its own /etc/group: "web:x:44:" has no user. */
	assert_int_equal(user_find(root_fd, &process, &user, &err), -EINVAL);
	assert_non_null(strstr(err.message, "unable to find user web"));

	assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
	process.user = number;
	assert_int_equal(user_find(root_fd, &process, &user, &err), 0);
	assert_int_equal(user.uid, 7);
	user_release(&user);
}

static void test_mapped(void **state)
{
	struct id_map map = {.extents = {{0, 1000, 1}, {1, 100000, 9}},
			     .count = 2};
	uint32_t groups[] = {3, 10};
	struct user user = {.uid = 9, .gid = 0, .groups = groups};
	struct error err = {0};

	assert_int_equal(user_check_mapped(&user, &map, &map, &err), 0);
	user.group_count = 2;
	assert_int_equal(user_check_mapped(&user, &map, &map, &err), -EINVAL);
	assert_string_equal(err.message, "group ID 10 does not exist in the "
					 "container: mapped are 0-0, 1-9");
	assert_true(err.hint[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_hostile_files),
		cmocka_unit_test(test_mapped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
