/* base/file.h */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static char top_path[] = "/tmp/moss-test-XXXXXX";
static int top = -1;

static int set_up(void **state)
{
	strcpy(top_path, "/tmp/moss-test-XXXXXX");
	if (!mkdtemp(top_path))
		return -1;
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0;
}

static int tear_down(void **state)
{
	int r = tree_remove_at(AT_FDCWD, top_path, NULL);

	close_fd(&top);
	return r < 0 || access(top_path, F_OK) == 0;
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic_at(top, path, text, strlen(text),
					      0644, FILE_VOLATILE, NULL),
			 0);
}

static bool exists(const char *path)
{
	struct stat st;

	return fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t count_entries(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = fdopendir(fd);
	size_t count = 0;

	while (readdir(dir))
		count++;
	return count - 2;
}

static void test_read(void **state)
{
	static const struct {
		size_t size;
		size_t max;
		int result;
	} rows[] = {
		{0, 0, 0},	     {1, 0, -EINVAL},
		{10, 10, 0},	     {11, 10, -EINVAL},
		{4096, 4096, 0},     {4097, 4096, -EINVAL},
		{100000, 100000, 0}, {100001, 100000, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *content = xcalloc(rows[i].size + 1, 1);
		cleanup_free char *data = NULL;
		size_t length = 0;
		struct error err = {0};

		memset(content, 'x', rows[i].size);
		write_file("f", content);
		assert_int_equal(file_read_at(top, "f", rows[i].max, &data,
					      &length, &err),
				 rows[i].result);
		if (rows[i].result < 0) {
			assert_int_equal(err.kind, ERROR_INVALID);
			assert_null(data);
			continue;
		}
		assert_int_equal(length, rows[i].size);
		assert_string_equal(data, content);
	}
}

static void test_read_pipe(void **state)
{
	cleanup_free char *data = NULL;
	cleanup_free char *content = xcalloc(30001, 1);
	int ends[2];
	size_t length;
	struct error err = {0};

	/* No size to go by. */
	memset(content, 'p', 30000);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write_all(ends[1], content, 30000), 0);
	close(ends[1]);
	assert_int_equal(
		file_read_fd(ends[0], "pipe", 30000, &data, &length, &err), 0);
	assert_int_equal(length, 30000);
	assert_string_equal(data, content);
	close(ends[0]);

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write_all(ends[1], content, 30000), 0);
	close(ends[1]);
	assert_int_equal(
		file_read_fd(ends[0], "pipe", 29999, &data, &length, &err),
		-EINVAL);
	assert_string_equal(err.message, "pipe is larger than 29999 bytes");
	close(ends[0]);

	assert_int_equal(file_read_at(top, "none", 1, &data, NULL, &err),
			 -ENOENT);
	assert_string_equal(err.message,
			    "cannot open none: No such file or directory");
}

static void test_write_atomic(void **state)
{
	cleanup_free char *data = NULL;
	struct error err = {0};
	struct stat st;
	mode_t mask = umask(077);

	assert_int_equal(mkdirat(top, "d", 0755), 0);
	assert_int_equal(
		file_write_atomic_at(top, "d/f", "one", 3, 0644, 0, &err), 0);
	assert_int_equal(file_write_atomic_at(top, "d/f", "second", 6, 0640,
					      FILE_VOLATILE, &err),
			 0);
	umask(mask);
	assert_int_equal(file_read_at(top, "d/f", 100, &data, NULL, &err), 0);
	assert_string_equal(data, "second");
	assert_int_equal(fstatat(top, "d/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);

	/* A link is replaced, not followed. */
	assert_int_equal(symlinkat("f", top, "d/link"), 0);
	assert_int_equal(
		file_write_atomic_at(top, "d/link", "x", 1, 0600, 0, &err), 0);
	assert_int_equal(fstatat(top, "d/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));

	/* Failures leave nothing behind. */
	assert_int_equal(mkdirat(top, "d/dir", 0755), 0);
	assert_int_equal(
		file_write_atomic_at(top, "d/dir", "x", 1, 0600, 0, &err),
		-EISDIR);
	assert_int_equal(file_write_atomic_at(top, "d/", "x", 1, 0600, 0, &err),
			 -EISDIR);
	assert_int_equal(
		file_write_atomic_at(top, "none/f", "x", 1, 0600, 0, &err),
		-ENOENT);
	{
		cleanup_fd int fd = openat(top, "d", O_RDONLY | O_CLOEXEC);

		assert_int_equal(count_entries(fd), 3);
	}
}

static void test_write_once(void **state)
{
	cleanup_free char *data = NULL;
	struct error err = {0};

	write_file("w", "abcdef");
	assert_int_equal(file_write_once_at(top, "w", "xy", &err), 0);
	assert_int_equal(file_read_at(top, "w", 100, &data, NULL, &err), 0);
	assert_string_equal(data, "xycdef");
	assert_int_equal(file_write_once_at(top, "none", "x", &err), -ENOENT);
	assert_false(exists("none"));
	assert_int_equal(
		file_write_once_at(AT_FDCWD, "/proc/version", "x", &err) < 0,
		1);
}

static void test_locks(void **state)
{
	static const struct {
		enum lock_mode held;
		enum lock_mode wanted;
		bool works;
		int is_held;
	} rows[] = {
		{LOCK_SHARED, LOCK_SHARED, true, 0},
		{LOCK_SHARED, LOCK_EXCLUSIVE, false, 0},
		{LOCK_EXCLUSIVE, LOCK_SHARED, false, 1},
		{LOCK_EXCLUSIVE, LOCK_EXCLUSIVE, false, 1},
	};
	struct error err = {0};

	assert_int_equal(lock_is_held_at(top, "lock"), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_fd int held =
			lock_open_at(top, "lock", rows[i].held, false, &err);
		int second;

		assert_true(held >= 0);
		assert_true(fcntl(held, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(lock_is_held_at(top, "lock"), rows[i].is_held);
		second = lock_open_at(top, "lock", rows[i].wanted, false, &err);
		if (rows[i].works)
			assert_true(second >= 0);
		else
			assert_int_equal(second, -EAGAIN);
		close_fd(&second);
	}
	/* Gone with the descriptor. */
	assert_int_equal(lock_is_held_at(top, "lock"), 0);
	assert_string_equal(err.message, "");
}

/* The waiter must not get a lock on a file that was removed meanwhile. */
static void test_lock_of_removed_file(void **state)
{
	int held = lock_open_at(top, "gone", LOCK_EXCLUSIVE, false, NULL);
	int status = -1;
	int ready[2];
	char byte;
	pid_t pid;

	assert_true(held >= 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		close(held);
		if (write(ready[1], "x", 1) != 1)
			_exit(2);
		fd = lock_open_at(top, "gone", LOCK_EXCLUSIVE, true, NULL);
		_exit(fd >= 0 && lock_is_held_at(top, "gone") == 1 ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	usleep(20000);
	assert_int_equal(unlinkat(top, "gone", 0), 0);
	close(held);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(exists("gone"));
	close(ready[0]);
	close(ready[1]);
}

static void test_tree_remove(void **state)
{
	struct error err = {0};

	assert_int_equal(mkdirat(top, "t", 0755), 0);
	assert_int_equal(mkdirat(top, "keep", 0755), 0);
	write_file("keep/f", "x");
	for (int i = 0; i < 300; i++) {
		cleanup_free char *directory = xasprintf("t/%d", i);
		cleanup_free char *file = xasprintf("t/%d/f", i);

		assert_int_equal(mkdirat(top, directory, 0755), 0);
		write_file(file, "x");
	}
	assert_int_equal(symlinkat("../keep", top, "t/out"), 0);
	assert_int_equal(symlinkat("/nowhere", top, "t/7/dangling"), 0);
	/* What may not be read or written is ours all the same. */
	assert_int_equal(fchmodat(top, "t/3", 0, 0), 0);
	assert_int_equal(fchmodat(top, "t/4", 0555, 0), 0);

	assert_int_equal(tree_remove_at(top, "t", &err), 0);
	assert_false(exists("t"));
	assert_true(exists("keep/f"));

	/* A link to a directory is a link. */
	assert_int_equal(symlinkat("keep", top, "l"), 0);
	assert_int_equal(tree_remove_at(top, "l", &err), 0);
	assert_false(exists("l"));
	assert_true(exists("keep/f"));

	assert_int_equal(tree_remove_at(top, "keep/f", &err), 0);
	assert_false(exists("keep/f"));
	assert_int_equal(tree_remove_at(top, "keep/", &err), 0);
	assert_false(exists("keep"));
	assert_int_equal(tree_remove_at(top, "none", &err), 0);
	assert_int_equal(tree_remove_at(top, "none/deeper", &err), 0);

	assert_int_equal(tree_remove_at(top, "..", &err), -EINVAL);
	assert_int_equal(tree_remove_at(top, ".", &err), -EINVAL);
	assert_int_equal(tree_remove_at(top, "/", &err), -EINVAL);
	assert_int_equal(tree_remove_at(top, "", &err), -EINVAL);
}

/* Deeper than there are descriptors and than a path may be long. */
static void test_tree_deep(void **state)
{
	enum { DEPTH = 3000 };
	uint64_t bytes = 0;
	struct error err = {0};
	int fd = dup(top);

	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "dir", 0755), 0);
		next = openat(fd, "dir", O_PATH | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(tree_size_at(top, "dir", &bytes, &err), 0);
	assert_int_equal(tree_remove_at(top, "dir", &err), 0);
	assert_false(exists("dir"));
}

/* In a process of its own: 0 when a mount in the tree was left alone. */
static int remove_around_mount(void)
{
	cleanup_free char *block = xcalloc(1 << 20, 1);
	struct error err = {0};
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	uint64_t bytes = 0;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 77;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (file_write_once_at(AT_FDCWD, "/proc/self/uid_map", map, NULL) < 0)
		return 77;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (file_write_once_at(AT_FDCWD, "/proc/self/setgroups", "deny", NULL) <
		    0 ||
	    file_write_once_at(AT_FDCWD, "/proc/self/gid_map", map, NULL) < 0)
		return 77;
	/* By name: the descriptor is of the old mount namespace. */
	if (chdir(top_path) < 0 ||
	    mount("tmpfs", "mnt/m", "tmpfs", 0, NULL) < 0)
		return 77;
	if (file_write_atomic_at(AT_FDCWD, "mnt/m/f", block, 1 << 20, 0600,
				 FILE_VOLATILE, NULL) < 0)
		return 2;
	if (tree_remove_at(AT_FDCWD, "mnt", &err) != -EBUSY ||
	    !strstr(err.message, "mnt"))
		return 3;
	if (tree_remove_at(AT_FDCWD, "mnt/m", &err) != -EBUSY)
		return 4;
	if (access("mnt/m/f", F_OK) < 0)
		return 5;
	/* Nor is it counted. */
	if (tree_size_at(AT_FDCWD, "mnt", &bytes, &err) < 0 || bytes >= 1 << 20)
		return 6;
	if (umount2("mnt/m", MNT_DETACH) < 0)
		return 7;
	return tree_remove_at(AT_FDCWD, "mnt", &err) < 0 ? 8 : 0;
}

static void test_tree_stays_on_its_mount(void **state)
{
	int status = -1;
	pid_t pid;

	assert_int_equal(mkdirat(top, "mnt", 0755), 0);
	assert_int_equal(mkdirat(top, "mnt/m", 0755), 0);
	pid = fork();
	if (pid == 0)
		_exit(remove_around_mount());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no unprivileged user namespaces\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_tree_remove_fails(void **state)
{
	struct error err = {0};

	/* An error names the entry, not only the top. */
	assert_int_equal(tree_remove_at(AT_FDCWD, "/proc/self/task", &err) < 0,
			 1);
	assert_non_null(strstr(err.message, "cannot remove /proc/self/task"));
}

static void test_tree_size(void **state)
{
	char block[65536];
	struct error err = {0};
	uint64_t bytes = 4711;
	uint64_t empty = 0;
	uint64_t with_link;
	struct stat st;

	memset(block, 'x', sizeof(block));
	assert_int_equal(mkdirat(top, "s", 0755), 0);
	assert_int_equal(mkdirat(top, "s/d", 0755), 0);
	assert_int_equal(tree_size_at(top, "s", &empty, &err), 0);
	assert_int_equal(file_write_atomic_at(top, "s/d/f", block,
					      sizeof(block), 0600, 0, &err),
			 0);
	assert_int_equal(tree_size_at(top, "s", &bytes, &err), 0);
	assert_true(bytes >= empty + sizeof(block));

	/* A second name and a link outwards add nothing to speak of. */
	assert_int_equal(linkat(top, "s/d/f", top, "s/again", 0), 0);
	assert_int_equal(symlinkat("/", top, "s/root"), 0);
	assert_int_equal(tree_size_at(top, "s", &with_link, &err), 0);
	assert_true(with_link < bytes + sizeof(block));

	/* Holes are not allocated. */
	{
		cleanup_fd int fd = openat(
			top, "hole", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		assert_int_equal(ftruncate(fd, 1 << 30), 0);
	}
	assert_int_equal(tree_size_at(top, "hole", &bytes, &err), 0);
	assert_int_equal(fstatat(top, "hole", &st, 0), 0);
	assert_int_equal(bytes, st.st_blocks * 512);
	assert_true(bytes < 1 << 20);

	bytes = 4711;
	assert_int_equal(tree_size_at(top, "none", &bytes, &err), -ENOENT);
	assert_int_equal(bytes, 4711);
}

static void test_tree_size_many_links(void **state)
{
	uint64_t before;
	uint64_t after;

	assert_int_equal(mkdirat(top, "many", 0755), 0);
	for (int i = 0; i < 200; i++) {
		cleanup_free char *name = xasprintf("many/%d", i);

		write_file(name, "x");
	}
	assert_int_equal(tree_size_at(top, "many", &before, NULL), 0);
	for (int i = 0; i < 200; i++) {
		cleanup_free char *name = xasprintf("many/%d", i);
		cleanup_free char *other = xasprintf("many/%d-", i);

		assert_int_equal(linkat(top, name, top, other, 0), 0);
	}
	assert_int_equal(tree_size_at(top, "many", &after, NULL), 0);
	/* The directory itself may grow. */
	assert_in_range(after, before, before + 100 * 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_pipe),
		cmocka_unit_test(test_write_atomic),
		cmocka_unit_test(test_write_once),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_lock_of_removed_file),
		cmocka_unit_test(test_tree_remove),
		cmocka_unit_test(test_tree_deep),
		cmocka_unit_test(test_tree_stays_on_its_mount),
		cmocka_unit_test(test_tree_remove_fails),
		cmocka_unit_test(test_tree_size),
		cmocka_unit_test(test_tree_size_many_links),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
