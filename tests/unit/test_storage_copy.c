/* Copies of directory trees, friendly and hostile ones. */
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/root/copy.h"
#include "tests/unit/namespace.h"

#define MIB (1 << 20)

static char directory[PATH_MAX]; /* of one test */
static int top, from, to;
static struct error error;
static struct copy_report report;

static const struct copy_request keep = {0};
static const struct copy_request replace = {.flags = COPY_REPLACE};

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	snprintf(directory, sizeof(directory), "%s/moss-copy-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, flags);
	mkdirat(top, "from", 0755);
	mkdirat(top, "to", 0755);
	from = openat(top, "from", flags);
	to = openat(top, "to", flags);
	err_clear(&error);
	report = (struct copy_report){0};
	return from < 0 || to < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	close_fd(&from);
	close_fd(&to);
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

static struct stat look(int dir_fd, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void copy(const struct copy_request *request)
{
	int r = copy_tree(from, to, request, &report, &error);

	if (r < 0)
		print_error("%s\n", error.message);
	assert_int_equal(r, 0);
}

/* Owner (when there are any), mode and an old time with nanoseconds. */
static void dress(const char *path, uid_t uid, gid_t gid, mode_t mode,
		  time_t seconds)
{
	const struct timespec times[2] = {{.tv_sec = seconds},
					  {.tv_sec = seconds, .tv_nsec = 789}};

	if (namespace_ids > 1)
		assert_int_equal(
			fchownat(from, path, uid, gid, AT_SYMLINK_NOFOLLOW), 0);
	if (!S_ISLNK(look(from, path).st_mode))
		assert_int_equal(fchmodat(from, path, mode, 0), 0);
	assert_int_equal(utimensat(from, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void assert_same(const char *path)
{
	struct stat a = look(from, path);
	struct stat b = look(to, path);

	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_gid, b.st_gid);
	assert_int_equal(a.st_size, S_ISDIR(a.st_mode) ? a.st_size : b.st_size);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
}

static void test_attributes(void **state)
{
	static const char *const paths[] = {"file", "suid", "empty",  "link",
					    "fifo", "dir",  "dir/in", "."};
	char text[64];

	put(from, "file", "content");
	put(from, "suid", "x");
	put(from, "empty", "");
	assert_int_equal(symlinkat("/etc/passwd", from, "link"), 0);
	assert_int_equal(mkfifoat(from, "fifo", 0600), 0);
	assert_int_equal(mkdirat(from, "dir", 0755), 0);
	put(from, "dir/in", "inside");
	dress("dir/in", 65534, 65534, 0, 1000000000);
	dress("file", 33, 44, 0640, 1);
	dress("suid", 7, 8, 06755, 2);
	dress("empty", 0, 0, 0444, 1700000000);
	dress("link", 33, 33, 0, 3);
	dress("fifo", 5, 6, 0622, 4);
	dress("dir", 100, 1000, 01777, 5);
	dress(".", 33, 44, 02711, 6);
	copy(&keep);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_same(paths[i]);
	assert_text(to, "file", "content");
	assert_text(to, "dir/in", "inside");
	assert_int_equal(readlinkat(to, "link", text, sizeof(text)), 11);
	assert_memory_equal(text, "/etc/passwd", 11);
	assert_int_equal(report.entries, 7);
	assert_int_equal(report.bytes,
			 strlen("content") + 1 + strlen("inside"));
	assert_int_equal(report.skipped, 0);
}

static void test_owner(void **state)
{
	const struct copy_owner owner = {.uid = 12, .gid = 13};
	const struct copy_request request = {.owner = &owner};

	if (namespace_ids < 65536) {
		print_message("no subordinate IDs\n");
		skip();
	}
	put(from, "file", "content");
	dress("file", 33, 44, 04711, 1);
	assert_int_equal(symlinkat("x", from, "link"), 0);
	copy(&request);
	assert_int_equal(look(to, "file").st_uid, 12);
	assert_int_equal(look(to, "file").st_gid, 13);
	assert_int_equal(look(to, "file").st_mode & 07777, 04711);
	assert_int_equal(look(to, "link").st_uid, 12);
	assert_int_equal(look(to, ".").st_gid, 13);
}

static void set_xattr(const char *path, const char *name, const void *value,
		      size_t size)
{
	cleanup_fd int fd = openat(from, path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fsetxattr(fd, name, value, size, 0), 0);
}

static ssize_t get_xattr(const char *path, const char *name)
{
	cleanup_fd int fd = openat(to, path, O_RDONLY | O_CLOEXEC);
	char value[256];

	return fgetxattr(fd, name, value, sizeof(value));
}

static void test_xattrs(void **state)
{
	static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
	/* Version 2, user rw, one named user r, group r, mask r, other none. */
	static const unsigned char acl[] = {
		2, 0, 0,   0,	1,   0,	  6,  0, 255, 255, 255, 255, 2,	  0,  4,
		0, 0, 0,   0,	0,   4,	  0,  4, 0,   255, 255, 255, 255, 16, 0,
		4, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};

	put(from, "file", "content");
	assert_int_equal(mkdirat(from, "dir", 0755), 0);
	set_xattr("file", "user.mine", "value", 5);
	set_xattr("file", "user.empty", "", 0);
	set_xattr("file", "security.capability", capability, 20);
	set_xattr("file", "system.posix_acl_access", acl, sizeof(acl));
	set_xattr("dir", "user.overlay.opaque", "y", 1);
	set_xattr("dir", "user.fuseoverlayfs.opaque", "y", 1);
	set_xattr("dir", "user.kept", "1", 1);
	copy(&keep);
	assert_int_equal(get_xattr("file", "user.mine"), 5);
	assert_int_equal(get_xattr("file", "user.empty"), 0);
	assert_int_equal(get_xattr("file", "security.capability"), 20);
	assert_int_equal(get_xattr("file", "system.posix_acl_access"),
			 sizeof(acl));
	assert_same("file");
	assert_int_equal(get_xattr("dir", "user.kept"), 1);
	assert_int_equal(get_xattr("dir", "user.overlay.opaque"), -1);
	assert_int_equal(get_xattr("dir", "user.fuseoverlayfs.opaque"), -1);
}

static void test_hard_links(void **state)
{
	put(from, "a", "linked");
	assert_int_equal(mkdirat(from, "dir", 0755), 0);
	assert_int_equal(mkdirat(from, "dir/deep", 0755), 0);
	assert_int_equal(linkat(from, "a", from, "dir/deep/b", 0), 0);
	assert_int_equal(linkat(from, "a", from, "c", 0), 0);
	assert_int_equal(symlinkat("nowhere", from, "s1"), 0);
	assert_int_equal(linkat(from, "s1", from, "dir/s2", 0), 0);
	assert_int_equal(mkfifoat(from, "f1", 0600), 0);
	assert_int_equal(linkat(from, "f1", from, "f2", 0), 0);
	/* A link to something outside the tree is a file of its own. */
	put(top, "outside", "alone");
	assert_int_equal(linkat(top, "outside", from, "alone", 0), 0);
	copy(&keep);
	assert_int_equal(look(to, "a").st_nlink, 3);
	assert_int_equal(look(to, "a").st_ino, look(to, "dir/deep/b").st_ino);
	assert_int_equal(look(to, "a").st_ino, look(to, "c").st_ino);
	assert_text(to, "dir/deep/b", "linked");
	assert_int_equal(look(to, "s1").st_ino, look(to, "dir/s2").st_ino);
	assert_int_equal(look(to, "f1").st_ino, look(to, "f2").st_ino);
	assert_int_equal(look(to, "alone").st_nlink, 1);
	assert_int_equal(report.bytes, strlen("linked") + strlen("alone"));
	/* Again over itself: the links stay links. */
	copy(&replace);
	assert_int_equal(look(to, "a").st_nlink, 3);
	assert_text(to, "c", "linked");
}

static void test_sparse(void **state)
{
	struct stat st;
	int fd = openat(from, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, 64 * MIB + 7), 6);
	assert_int_equal(ftruncate(fd, 1024L * MIB), 0);
	close(fd);
	fd = openat(from, "hole", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 512L * MIB), 0);
	close(fd);
	copy(&keep);
	st = look(to, "sparse");
	assert_int_equal(st.st_size, 1024L * MIB);
	assert_true(st.st_blocks * 512 < MIB);
	st = look(to, "hole");
	assert_int_equal(st.st_size, 512L * MIB);
	assert_int_equal(st.st_blocks, 0);
	assert_true(report.bytes < MIB);
	fd = openat(to, "sparse", O_RDONLY | O_CLOEXEC);
	{
		char text[8] = "";

		assert_int_equal(pread(fd, text, 6, 64 * MIB + 7), 6);
		assert_string_equal(text, "middle");
		assert_int_equal(pread(fd, text, 5, 0), 5);
		assert_memory_equal(text, "begin", 5);
	}
	close(fd);
}

/* Across file systems the kernel does not copy: by hand, with the holes. */
static void test_other_file_system(void **state)
{
	int ours = to;
	char path[PATH_MAX + 8];
	char byte;
	int fd;

	snprintf(path, sizeof(path), "%s/to", directory);
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "size=8m"), 0);
	to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(from, "big", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pwrite(fd, "x", 1, i * MIB + 4000), 1);
	assert_int_equal(ftruncate(fd, 100L * MIB), 0);
	close(fd);
	copy(&keep);
	assert_int_equal(look(to, "big").st_size, 100L * MIB);
	fd = openat(to, "big", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, 2 * MIB + 4000), 1);
	assert_int_equal(byte, 'x');
	close(fd);
	/* Full: says so, and leaves no half file. */
	fd = openat(from, "full", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(write(fd, directory, 4096), 4096);
	close(fd);
	assert_int_equal(
		copy_entry(from, "full", to, "full", &keep, NULL, &error),
		-ENOSPC);
	assert_int_equal(error.kind, ERROR_NO_SPACE);
	assert_non_null(strstr(error.message, "cannot copy full: "));
	assert_false(is_there(to, "full"));
	close_fd(&to);
	to = ours;
	assert_int_equal(umount(path), 0);
}

static void test_keep_and_replace(void **state)
{
	put(from, "file", "new");
	put(from, "link", "new");
	assert_int_equal(mkdirat(from, "dir", 0711), 0);
	put(from, "dir/a", "new");
	put(to, "file", "old");
	put(top, "victim", "safe");
	assert_int_equal(symlinkat("../victim", to, "link"), 0);
	assert_int_equal(mkdirat(to, "dir", 0700), 0);
	put(to, "dir/b", "old");
	copy(&keep);
	assert_text(to, "file", "old");
	assert_text(to, "dir/a", "new");
	assert_text(to, "dir/b", "old");
	assert_text(top, "victim", "safe");
	assert_int_equal(look(to, "dir").st_mode & 07777, 0700);
	assert_true(S_ISLNK(look(to, "link").st_mode));
	copy(&replace);
	assert_text(to, "file", "new");
	assert_text(to, "link", "new");
	assert_true(S_ISREG(look(to, "link").st_mode));
	assert_text(top, "victim", "safe");
	assert_text(to, "dir/b", "old");
	assert_int_equal(look(to, "dir").st_mode & 07777, 0711);
}

static void test_conflicts(void **state)
{
	put(from, "a", "file");
	assert_int_equal(mkdirat(from, "b", 0755), 0);
	assert_int_equal(mkdirat(to, "a", 0755), 0);
	put(to, "b", "file");
	assert_true(copy_entry(from, "a", to, "a", &replace, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_string_equal(error.message,
			    "cannot overwrite directory a with a file");
	assert_true(copy_entry(from, "b", to, "b", &replace, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_string_equal(error.message,
			    "cannot overwrite file b with a directory");
	assert_int_equal(copy_entry(from, "a", to, "a", &keep, NULL, &error),
			 0);
	assert_int_equal(copy_entry(from, "b", to, "b", &keep, NULL, &error),
			 0);
	assert_int_equal(copy_entry(from, "none", to, "b", &keep, NULL, &error),
			 -ENOENT);
	assert_int_equal(copy_entry(from, "a", to, "c", &keep, NULL, &error),
			 0);
	assert_text(to, "c", "file");
}

/* A symbolic link in the target's place for a directory leads nowhere. */
static void test_target_links(void **state)
{
	assert_int_equal(mkdirat(from, "dir", 0755), 0);
	put(from, "dir/evil", "evil");
	assert_int_equal(mkdirat(top, "outside", 0755), 0);
	assert_int_equal(symlinkat("../outside", to, "dir"), 0);
	copy(&keep);
	assert_false(is_there(top, "outside/evil"));
	assert_true(copy_tree(from, to, &replace, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_false(is_there(top, "outside/evil"));
}

static void test_special_files(void **state)
{
	assert_int_equal(mknodat(from, "whiteout", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(mknodat(from, "socket", S_IFSOCK | 0600, 0), 0);
	put(from, "file", "x");
	copy(&keep);
	assert_false(is_there(to, "whiteout"));
	assert_false(is_there(to, "socket"));
	assert_text(to, "file", "x");
	assert_int_equal(report.skipped, 2);
	assert_int_equal(report.entries, 1);
}

static void test_mount_in_source(void **state)
{
	char path[PATH_MAX + 16];

	assert_int_equal(mkdirat(from, "mount", 0755), 0);
	snprintf(path, sizeof(path), "%s/from/mount", directory);
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "mode=711"), 0);
	put(from, "mount/secret", "secret");
	copy(&keep);
	assert_int_equal(umount(path), 0);
	assert_true(is_there(to, "mount"));
	assert_false(is_there(to, "mount/secret"));
	assert_int_equal(report.skipped, 1);
}

static void test_into_itself(void **state)
{
	cleanup_fd int inner = -1;

	assert_int_equal(mkdirat(from, "a", 0755), 0);
	assert_int_equal(mkdirat(from, "a/b", 0755), 0);
	inner = openat(from, "a/b", O_PATH | O_CLOEXEC);
	assert_true(copy_tree(from, inner, &keep, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_true(copy_tree(from, from, &keep, NULL, &error) < 0);
	assert_true(copy_entry(from, "a", inner, "a", &keep, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	/* Beside itself is fine. */
	assert_int_equal(copy_entry(from, "a", from, "c", &keep, NULL, &error),
			 0);
	assert_true(is_there(from, "c/b"));
}

static void make_deep(int levels)
{
	int fd = dup(from);

	for (int i = 0; i < levels; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	put(fd, "bottom", "bottom");
	close(fd);
}

static void test_depth(void **state)
{
	const struct rlimit usual = {.rlim_cur = 1024, .rlim_max = 1024};

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	/* The top is a level. */
	make_deep(COPY_DEPTH_MAX - 1);
	copy(&keep);
	assert_int_equal(report.entries, COPY_DEPTH_MAX);
	assert_int_equal(tree_remove_at(from, "d", NULL), 0);
	make_deep(COPY_DEPTH_MAX);
	assert_true(copy_tree(from, to, &keep, NULL, &error) < 0);
	assert_non_null(strstr(error.message, "levels of directories"));
}

/* By O_PATH descriptors, and nothing left open. */
static void test_descriptors(void **state)
{
	cleanup_fd int source = openat(top, "from", O_PATH | O_CLOEXEC);
	cleanup_fd int target = openat(top, "to", O_PATH | O_CLOEXEC);
	int before = dup(top);
	int after;

	put(from, "a", "x");
	assert_int_equal(mkdirat(from, "b", 0755), 0);
	assert_int_equal(symlinkat("x", from, "c"), 0);
	assert_int_equal(copy_tree(source, target, &keep, NULL, &error), 0);
	assert_text(to, "a", "x");
	after = dup(top);
	assert_int_equal(after, before + 1);
	close(before);
	close(after);
}

static void test_unmapped_owner(void **state)
{
	const struct copy_owner owner = {.uid = 4000000, .gid = 0};
	const struct copy_request request = {.owner = &owner};

	put(from, "file", "x");
	assert_int_equal(
		copy_entry(from, "file", to, "file", &request, NULL, &error),
		-EINVAL);
	assert_non_null(strstr(error.hint, "/etc/subuid"));
	assert_false(is_there(to, "file"));
}

/* One of each kind beside x, in any state a race may have left. */
static void put_decoys(int dir_fd)
{
	put(dir_fd, "x", "");
	assert_int_equal(symlinkat("../secret", dir_fd, "link"), 0);
	assert_int_equal(mkfifoat(dir_fd, "fifo", 0600), 0);
	assert_int_equal(mkdirat(dir_fd, "dir", 0700), 0);
}

/* Makes x another one of them as fast as it can. */
_Noreturn static void disturb(int dir_fd)
{
	static const char *const names[] = {"link", "fifo", "dir"};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0;; i = (i + 1) % ARRAY_SIZE(names))
		renameat2(dir_fd, "x", dir_fd, names[i], RENAME_EXCHANGE);
}

static bool is_secret(int dir_fd, const char *name)
{
	cleanup_fd int fd = openat(
		dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char byte;

	return fd >= 0 && read(fd, &byte, 1) == 1;
}

/*
 * Someone swaps links, pipes and directories under the copy's hands, in the
 * source and in the target: no hang, no word of the secret, no change to it.
 */
static void test_races(void **state)
{
	struct stat before, after;

	put(top, "secret", "secret");
	assert_int_equal(fchmodat(top, "secret", 0600, 0), 0);
	before = look(top, "secret");
	alarm(100);
	for (int side = 0; side < 2; side++) {
		int dir_fd = side == 0 ? from : to;
		pid_t pid;

		put_decoys(dir_fd);
		if (side == 1)
			assert_int_equal(mkfifoat(from, "y", 04777), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			disturb(dir_fd);
		for (int i = 0; i < 10000; i++) {
			/* Failing is fine, a conflict for example. */
			copy_entry(from, side == 0 ? "x" : "y", to, "x",
				   &replace, NULL, &error);
			if (side == 0 && is_secret(to, "x"))
				fail_msg("a link was followed");
			if (side == 0)
				tree_remove_at(to, "x", NULL);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	alarm(0);
	after = look(top, "secret");
	assert_text(top, "secret", "secret");
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attributes),
		TEST(test_owner),
		TEST(test_xattrs),
		TEST(test_hard_links),
		TEST(test_sparse),
		TEST(test_other_file_system),
		TEST(test_keep_and_replace),
		TEST(test_conflicts),
		TEST(test_target_links),
		TEST(test_special_files),
		TEST(test_mount_in_source),
		TEST(test_into_itself),
		TEST(test_descriptors),
		TEST(test_unmapped_owner),
		TEST(test_races),
		TEST(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
