/* Layers unpacked: honest ones, marks of the overlay, hostile ones. */
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
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/layer_path.h"
#include "storage/tar/unpack.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

static char directory[PATH_MAX]; /* of one test */
static int top, root;
static struct error error;
static struct limits limits;
static struct unpack_result result;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	snprintf(directory, sizeof(directory), "%s/moss-unpack-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, flags);
	mkdirat(top, "root", 0755);
	root = openat(top, "root", flags);
	err_clear(&error);
	result = (struct unpack_result){0};
	umask(0);
	return root < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	cJSON_Delete(result.devices);
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

static int unpack(const struct tar_file *files, size_t count)
{
	cleanup_str struct str tar = {0};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(all_at_once, &tar);

	tar_build(&tar, files, count);
	limits_init(&limits);
	return unpack_layer(reader, root, &limits, &result, &error);
}

#define UNPACK(...)                                             \
	({                                                      \
		const struct tar_file files_[] = {__VA_ARGS__}; \
		int r_ = unpack(files_, ARRAY_SIZE(files_));    \
		if (r_ < 0)                                     \
			fail_msg("%s", error.message);          \
	})
#define REFUSED(message_, ...)                                                 \
	({                                                                     \
		const struct tar_file files_[] = {__VA_ARGS__};                \
		assert_true(unpack(files_, ARRAY_SIZE(files_)) < 0);           \
		if (!strstr(error.message, message_))                          \
			fail_msg("%s instead of %s", error.message, message_); \
	})

static struct stat status(const char *path)
{
	struct stat st;

	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static bool is_there(const char *path)
{
	struct stat st;

	return fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_text(const char *path, const char *text)
{
	cleanup_free char *content = NULL;

	if (file_read_at(root, path, 65536, &content, NULL, &error) < 0)
		fail_msg("%s", error.message);
	assert_string_equal(content, text);
}

static char xattr(const char *path, const char *name)
{
	cleanup_fd int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	char value[4] = "";

	return fgetxattr(fd, name, value, sizeof(value)) == 1 ? value[0] : 0;
}

static bool is_whiteout(const char *path)
{
	struct stat st = status(path);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static void test_plain(void **state)
{
	struct stat st;
	char link[16] = "";

	UNPACK({.path = "./", .type = '5', .mode = 0711, .mtime = 5},
	       {.path = "d/", .type = '5', .mode = 02770, .gid = 7, .mtime = 6},
	       {.path = "d/f",
		.data = "hello",
		.mode = 06755,
		.uid = 3,
		.gid = 4,
		.mtime = 7},
	       {.path = "s",
		.type = '2',
		.link = "/nowhere",
		.uid = 5,
		.mtime = 8},
	       {.path = "h", .type = '1', .link = "/d/f"},
	       {.path = "p", .type = '6', .mode = 0600});
	st = status(".");
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(st.st_mtime, 5);
	st = status("d");
	assert_int_equal(st.st_mode & 07777, 02770);
	assert_int_equal(st.st_mtime, 6);
	st = status("d/f");
	assert_int_equal(st.st_mode, S_IFREG | 06755);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_mtime, 7);
	assert_int_equal(status("h").st_ino, st.st_ino);
	if (namespace_ids > 1) {
		assert_int_equal(st.st_uid, 3);
		assert_int_equal(st.st_gid, 4);
		assert_int_equal(status("d").st_gid, 7);
		assert_int_equal(status("s").st_uid, 5);
		assert_int_equal(result.squashed, 0);
	}
	assert_int_equal(readlinkat(root, "s", link, sizeof(link)), 8);
	assert_int_equal(status("s").st_mtime, 8);
	assert_true(S_ISFIFO(status("p").st_mode));
	assert_text("d/f", "hello");
	assert_int_equal(result.entries, 6);
	assert_int_equal(result.bytes, 5);
}

static void test_owners(void **state)
{
	UNPACK({.path = "big", .uid = 02000000, .gid = 0},
	       {.path = "pax", .pax = "uid=4000000000\ngid=-1\n"},
	       {.path = "s", .type = '2', .link = "x", .gid = 02000000});
	assert_int_equal(result.squashed, 3);
	assert_int_equal(status("big").st_uid, 0);
	assert_int_equal(status("pax").st_uid, 0);
	assert_int_equal(status("s").st_gid, 0);
}

/* Owner and mode come out right wherever a file is put, whatever the directory
   would hand down to it. */
static void test_directories_hand_nothing_down(void **state)
{
	UNPACK({.path = "d/", .type = '5', .mode = 02775, .gid = 50},
	       {.path = "d/f", .mode = 0640},
	       {.path = "d/sub/", .type = '5', .mode = 0750},
	       {.path = "d/sub/f", .mode = 0604},
	       {.path = "d/link", .type = '2', .link = "f"},
	       {.path = "e/", .type = '5', .mode = 0755}, {.path = "e/before"},
	       {.path = "e/", .type = '5', .mode = 02771, .gid = 50},
	       {.path = "e/after"},
	       {.path = "sticky/", .type = '5', .mode = 01777},
	       {.path = "sticky/none", .mode = 07000, .data = "x"},
	       {.path = "owned", .uid = 3, .mode = 04711, .data = "x"});
	assert_int_equal(status("d").st_mode & 07777, 02775);
	assert_int_equal(status("d/f").st_mode & 07777, 0640);
	assert_int_equal(status("d/f").st_gid, 0);
	assert_int_equal(status("d/sub").st_mode & 07777, 0750);
	assert_int_equal(status("d/sub").st_gid, 0);
	assert_int_equal(status("d/sub/f").st_mode & 07777, 0604);
	assert_int_equal(status("d/link").st_gid, 0);
	assert_int_equal(status("e").st_mode & 07777, 02771);
	assert_int_equal(status("e/before").st_gid, 0);
	assert_int_equal(status("e/after").st_gid, 0);
	assert_int_equal(status("sticky").st_mode & 07777, 01777);
	assert_int_equal(status("sticky/none").st_mode & 07777, 07000);
	assert_int_equal(status("owned").st_mode & 07777, 04711);
}

/* A default ACL of the directory that the store was put into. */
static void test_default_acl(void **state)
{
	/* linux/posix_acl_xattr.h: version 2; the owner 7, the group 0, others
	   0. */
	static const unsigned char acl[] = {
		2,    0,    0,	  0, 0x01, 0,	 7,    0,    0xff, 0xff,
		0xff, 0xff, 0x04, 0, 0,	   0,	 0xff, 0xff, 0xff, 0xff,
		0x20, 0,    0,	  0, 0xff, 0xff, 0xff, 0xff};

	if (fsetxattr(root, "system.posix_acl_default", acl, sizeof(acl), 0) <
	    0) {
		print_message("no ACLs on this file system\n");
		skip();
	}
	UNPACK({.path = "d/", .type = '5', .mode = 0755},
	       {.path = "d/f", .mode = 0644});
	assert_int_equal(status("d").st_mode & 07777, 0755);
	assert_int_equal(status("d/f").st_mode & 07777, 0644);
}

/* More directories than are kept open, and back to each of them. */
static void test_many_directories(void **state)
{
	struct tar_file files[60] = {0};
	char paths[ARRAY_SIZE(files)][32];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(paths[i], sizeof(paths[i]), "d%zu/e/f%zu", i % 20, i);
		files[i].path = paths[i];
		files[i].data = paths[i];
	}
	if (unpack(files, ARRAY_SIZE(files)) < 0)
		fail_msg("%s", error.message);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_text(paths[i], paths[i]);
}

static int unpack_files_into(const char *prefix, const struct tar_file *files,
			     size_t count)
{
	cleanup_str struct str tar = {0};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(all_at_once, &tar);

	tar_build(&tar, files, count);
	limits_init(&limits);
	return unpack_into(reader, root, prefix, &limits, &result, &error);
}

#define INTO(prefix_, ...)                                              \
	({                                                              \
		const struct tar_file files_[] = {__VA_ARGS__};         \
		unpack_files_into(prefix_, files_, ARRAY_SIZE(files_)); \
	})

/* Into a root in use: no marks, and what is there keeps its kind. */
static void test_into(void **state)
{
	assert_int_equal(mkdirat(root, "d", 0711), 0);
	assert_int_equal(mkdirat(root, "d/sub", 0755), 0);
	assert_int_equal(mkdirat(root, "other", 0755), 0);
	assert_int_equal(symlinkat("/other", root, "d/out"), 0);
	assert_int_equal(INTO("/d", {.path = "./", .type = '5', .mode = 0700},
			      {.path = "f", .data = "f"},
			      {.path = "h", .type = '1', .link = "f"},
			      {.path = "/out/g", .data = "g"},
			      {.path = "node", .type = '3', .major = 1}),
			 0);
	assert_int_equal(status("d").st_mode & 07777, 0711);
	assert_text("d/f", "f");
	assert_int_equal(status("d/h").st_ino, status("d/f").st_ino);
	/* The link leads where it would in the root, not in the directory. */
	assert_text("other/g", "g");
	assert_false(is_there("d/node"));
	assert_int_equal(result.skipped, 1);

	assert_int_equal(INTO("/", {.path = "top", .data = "t"}), 0);
	assert_text("top", "t");
	assert_int_equal(INTO("/d", {.path = "f", .data = "again"}), 0);
	assert_text("d/f", "again");
	assert_text("d/h", "f");
}

static void test_into_refused(void **state)
{
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(mkdirat(root, "d/sub", 0755), 0);
	assert_int_equal(INTO("/d", {.path = "f", .data = "f"}), 0);
	assert_true(INTO("/d", {.path = "sub", .data = "x"}) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_true(INTO("/d", {.path = "f", .type = '5'}) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_text("d/f", "f");
	assert_true(INTO("/d", {.path = "../up", .data = "x"}) < 0);
	assert_false(is_there("up"));
	assert_true(INTO("/d", {.path = ".wh.f"}) < 0);
	assert_true(INTO("/d", {.path = "sub/.wh..wh..opq"}) < 0);
	assert_true(INTO("/d", {.path = ".wh.x/y", .data = "x"}) < 0);
	assert_true(INTO("/d", {.path = "h", .type = '1', .link = "../top"}) <
		    0);
	assert_text("d/f", "f");
}

/* A directory that is open as a parent becomes something else. */
static void test_parent_replaced(void **state)
{
	UNPACK({.path = "a/b/f", .data = "old"}, {.path = "c/g", .data = "c"},
	       {.path = "a/b", .type = '2', .link = "../c"},
	       {.path = "a/b/f", .data = "new"});
	assert_text("c/f", "new");
	assert_text("c/g", "c");
}

static void test_replace(void **state)
{
	UNPACK({.path = "a", .data = "1"}, {.path = "a", .data = "2"},
	       {.path = "d/x", .data = "x"},
	       {.path = "d", .type = '2', .link = "a"},
	       {.path = "e", .data = "e"}, {.path = "e/", .type = '5'},
	       {.path = "e/f", .data = "f"},
	       {.path = "g/", .type = '5', .mode = 0700},
	       {.path = "g/h", .data = "h"},
	       {.path = "g/", .type = '5', .mode = 0750, .mtime = 9},
	       {.path = "k/l", .type = '0'}, {.path = "k", .type = '0'},
	       {.path = "k", .type = '5'}, {.path = "k/m", .data = "m"});
	assert_text("a", "2");
	assert_true(S_ISLNK(status("d").st_mode));
	assert_text("e/f", "f");
	assert_text("g/h", "h");
	assert_int_equal(status("g").st_mode & 07777, 0750);
	assert_int_equal(status("g").st_mtime, 9);
	assert_text("k/m", "m");
	assert_false(is_there("k/l"));
}

static void test_sparse(void **state)
{
	struct stat st;

	UNPACK({.path = "f",
		.data = "ab",
		.pax = "GNU.sparse.size=10000000\n"
		       "GNU.sparse.map=5000000,2\n"});
	st = status("f");
	assert_int_equal(st.st_size, 10000000);
	assert_true(st.st_blocks < 1000);
}

static void test_whiteouts(void **state)
{
	UNPACK({.path = "d/", .type = '5'}, {.path = "d/.wh.gone", .type = '0'},
	       {.path = "o/", .type = '5'},
	       {.path = "o/.wh..wh..opq", .type = '0'},
	       {.path = "o/new", .type = '0'},
	       {.path = ".wh..wh.plnk/", .type = '5'},
	       {.path = ".wh..wh.plnk/x", .type = '0'},
	       {.path = ".wh..wh.aufs", .type = '0'},
	       {.path = "i/.wh.x", .type = '0'});
	assert_true(is_whiteout("d/gone"));
	assert_true(is_whiteout("i/x"));
	assert_int_equal(xattr("o", "user.overlay.opaque"), 'y');
	assert_false(is_there("o/.wh..wh..opq"));
	assert_false(is_there(".wh..wh.plnk"));
	assert_false(is_there(".wh..wh.aufs"));
}

/* The same name hidden and given anew, in either order. */
static void test_whiteout_and_new(void **state)
{
	UNPACK({.path = ".wh.a", .type = '0'}, {.path = "a/", .type = '5'},
	       {.path = "b/", .type = '5'}, {.path = "b/x", .type = '0'},
	       {.path = ".wh.b", .type = '0'}, {.path = ".wh.c", .type = '0'},
	       {.path = "c", .data = "c"}, {.path = "d", .data = "d"},
	       {.path = ".wh.d", .type = '0'}, {.path = ".wh.e", .type = '0'},
	       {.path = "e/f/g", .data = "g"}, {.path = ".wh.w", .type = '0'},
	       {.path = ".wh.w", .type = '0'});
	assert_int_equal(xattr("a", "user.overlay.opaque"), 'y');
	assert_int_equal(xattr("b", "user.overlay.opaque"), 'y');
	assert_true(is_there("b/x"));
	assert_text("c", "c");
	assert_text("d", "d");
	assert_text("e/f/g", "g");
	assert_int_equal(xattr("e", "user.overlay.opaque"), 'y');
	assert_int_equal(xattr("e/f", "user.overlay.opaque"), 0);
	assert_true(is_whiteout("w"));
}

static void test_xattrs(void **state)
{
	UNPACK({.path = "f",
		.pax = "SCHILY.xattr.user.mine=v\n"
		       "SCHILY.xattr.user.overlay.whiteout=y\n"
		       "SCHILY.xattr.trusted.overlay.opaque=y\n"
		       "SCHILY.xattr.security.selinux=x\n"},
	       {.path = "d/",
		.type = '5',
		.pax = "SCHILY.xattr.user.overlay.opaque=y\n"});
	assert_int_equal(xattr("f", "user.mine"), 'v');
	assert_int_equal(xattr("f", "user.overlay.whiteout"), 0);
	assert_int_equal(xattr("d", "user.overlay.opaque"), 0);
	assert_int_equal(result.xattrs_skipped, 4);
}

static void test_devices(void **state)
{
	const cJSON *device;
	const char *path = NULL;

	UNPACK({.path = "dev/null",
		.type = '3',
		.major = 1,
		.minor = 3,
		.mode = 0666,
		.gid = 5});
	/* Real only for the host's root. */
	if (S_ISCHR(status("dev/null").st_mode))
		skip();
	assert_true(S_ISREG(status("dev/null").st_mode));
	assert_int_equal(status("dev/null").st_mode & 07777, 0666);
	assert_int_equal(cJSON_GetArraySize(result.devices), 1);
	device = result.devices->child;
	assert_int_equal(json_get_string(device, "", "path", &path, NULL), 1);
	assert_string_equal(path, "dev/null");
}

/* Links lead where they would in a container, and no further. */
static void test_links_stay_inside(void **state)
{
	cleanup_free char *up = xasprintf("../../../../..%s", directory);

	UNPACK({.path = "abs", .type = '2', .link = "/x"},
	       {.path = "abs/f", .data = "1"},
	       {.path = "up", .type = '2', .link = up},
	       {.path = "up/g", .data = "2"}, {.path = "/etc/h", .data = "3"},
	       {.path = "file", .type = '2', .link = "/etc/passwd"},
	       {.path = "file", .data = "4"});
	assert_text("x/f", "1");
	assert_text("etc/h", "3");
	assert_text("file", "4");
	assert_int_equal(faccessat(top, "g", F_OK, 0), -1);
	assert_int_equal(access("/x/f", F_OK), -1);
}

static void test_refused(void **state)
{
	static const struct {
		struct tar_file file;
		const char *message;
	} rows[] = {
		{{.path = "../f"}, "leads out of the layer"},
		{{.path = "a/../../f"}, "leads out of the layer"},
		{{.path = ".wh.."}, "whiteout of nothing"},
		{{.path = ".wh.."}, "whiteout of nothing"},
		{{.path = "a/.wh..."}, "whiteout of nothing"},
		{{.path = ".wh."}, "whiteout of nothing"},
		{{.path = "."}, "the root is no directory"},
		{{.path = "/", .type = '2', .link = "x"},
		 "the root is no directory"},
		{{.path = "h", .type = '1', .link = "/etc/passwd"},
		 "not in the layer"},
		{{.path = "h", .type = '1', .link = "../../etc/passwd"},
		 "leads out of"},
		{{.path = "h", .type = '1'}, "the name is empty"},
		{{.path = "s", .type = '2'}, "cannot make link"},
		{{.path = ""}, "the name is empty"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		REFUSED(rows[i].message, rows[i].file);
	REFUSED("Not a directory", {.path = "a", .type = '0'},
		{.path = "a/b", .type = '0'});
	REFUSED("not in the layer", {.path = "l", .type = '2', .link = "/etc"},
		{.path = "h", .type = '1', .link = "l/passwd"});
	REFUSED("Operation not permitted", {.path = "dir/", .type = '5'},
		{.path = "h", .type = '1', .link = "dir"});
}

static void test_names(void **state)
{
	cleanup_str struct str text = {0};
	char *path = NULL;

	for (int i = 0; i < 256; i++)
		str_append_char(&text, 'x');
	assert_true(layer_path(text.data, &path, &error) < 0);
	assert_non_null(strstr(error.message, "the name is too long"));
	str_clear(&text);
	for (int i = 0; i < 1025; i++)
		str_append(&text, "x/");
	assert_true(layer_path(text.data, &path, &error) < 0);
	assert_non_null(strstr(error.message, "too many directories deep"));
	assert_null(path);
	assert_int_equal(layer_path("./a//b/../c/", &path, &error),
			 LAYER_PATH_FILE);
	assert_string_equal(path, "a/c");
	free(path);
	assert_int_equal(layer_path("a/.wh.b", &path, &error),
			 LAYER_PATH_WHITEOUT);
	assert_string_equal(path, "a/b");
	free(path);
	assert_int_equal(layer_path(".wh..wh..opq", &path, &error),
			 LAYER_PATH_OPAQUE);
	assert_string_equal(path, "");
	free(path);
	UNPACK({.path = "new\nline\x1b", .data = "1"});
	assert_text("new\nline\x1b", "1");
}

/* A way in and out of deep directories, links on links. */
static void test_deep_through_links(void **state)
{
	cleanup_str struct str path = {0};
	struct tar_file files[3] = {{.type = '2', .path = "l"}};

	for (int i = 0; i < 40; i++)
		str_append(&path, "d/");
	files[0].link = xstrdup(path.data);
	files[1] = (struct tar_file){
		.path = "l/l", .type = '2', .link = files[0].link};
	files[2] = (struct tar_file){.path = "l/l/f", .data = "deep"};
	if (unpack(files, 3) < 0)
		fail_msg("%s", error.message);
	assert_text("l/l/f", "deep");
	free((void *)(uintptr_t)files[0].link);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_owners),
		TEST(test_directories_hand_nothing_down),
		TEST(test_default_acl),
		TEST(test_many_directories),
		TEST(test_into),
		TEST(test_into_refused),
		TEST(test_parent_replaced),
		TEST(test_replace),
		TEST(test_sparse),
		TEST(test_whiteouts),
		TEST(test_whiteout_and_new),
		TEST(test_xattrs),
		TEST(test_devices),
		TEST(test_links_stay_inside),
		TEST(test_refused),
		TEST(test_names),
		TEST(test_deep_through_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
