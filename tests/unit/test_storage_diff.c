/* Changes read from an upper directory: every form of mark, hostile trees. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/root/diff.h"
#include "storage/store/layer.h"
#include "storage/store/limits.h"
#include "tests/unit/namespace.h"

#define LOWER "1111111111111111111111111111111111111111111111111111111111111111"

static char lower_id[] = "sha256:" LOWER;
static char *const diff_ids[] = {lower_id, NULL};
static char directory[PATH_MAX];
static int top, upper;
static struct store store;
static struct error error;
static struct diff_report report;
static struct str archive;
static char *const *points; /* mount points of a step */

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	snprintf(directory, sizeof(directory), "%s/moss-diff-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	umask(0);
	top = open(directory, flags);
	mkdirat(top, "upper", 0755);
	mkdirat(top, LOWER, 0755);
	mkdirat(top, LOWER "/" LAYER_DIFF, 0755);
	upper = openat(top, "upper", flags);
	store = (struct store){.layers_fd = top};
	err_clear(&error);
	report = (struct diff_report){0};
	return upper < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	str_release(&archive);
	close_fd(&upper);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

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

static void add_below(const char *path)
{
	cleanup_free char *below = xasprintf(LOWER "/" LAYER_DIFF "/%s", path);

	add_directory(top, below);
}

static void add_whiteout(const char *path)
{
	if (mknodat(upper, path, S_IFCHR, makedev(0, 0)) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

static void add_xattr(const char *path, const char *name, const char *value)
{
	cleanup_fd int fd = openat(upper, path, O_RDONLY | O_CLOEXEC);

	if (fsetxattr(fd, name, value, strlen(value), 0) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

static int take(void *data, const void *bytes, size_t length, struct error *err)
{
	str_append_bytes(&archive, bytes, length);
	return 0;
}

static int64_t epoch = -1;

static int make(enum snapshot_driver driver)
{
	const struct diff_request request = {
		.driver = driver,
		.store = &store,
		.diff_ids = diff_ids,
		.mount_points = points,
		.has_epoch = epoch >= 0,
		.epoch = epoch,
	};
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(take, NULL);

	str_clear(&archive);
	return diff_write(upper, &request, writer, &report, &error);
}

static ssize_t give(void *data, const void **ret_bytes, struct error *err)
{
	bool *given = data;

	*ret_bytes = archive.data;
	if (*given)
		return 0;
	*given = true;
	return (ssize_t)archive.length;
}

/* Names of the archive: "etc/ etc/passwd hard>etc/passwd". */
static char *names(void)
{
	bool given = archive.length == 0;
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(give, &given);
	const struct tar_entry *entry;
	struct str text = {0};

	if (archive.length == 0)
		return xstrdup("");
	while (tar_next(reader, &entry, &error) > 0) {
		if (text.length > 0)
			str_append_char(&text, ' ');
		str_append(&text, entry->path);
		if (*entry->link)
			str_appendf(&text, ">%s", entry->link);
		for (size_t i = 0; i < entry->xattr_count; i++)
			str_appendf(&text, "{%s}", entry->xattrs[i].name);
	}
	return str_steal(&text);
}

#define DIFFERS(driver_, expected_)                     \
	({                                              \
		cleanup_free char *names_ = NULL;       \
		if (make(driver_) < 0)                  \
			fail_msg("%s", error.message);  \
		names_ = names();                       \
		assert_string_equal(names_, expected_); \
	})

static void test_nothing(void **state)
{
	DIFFERS(SNAPSHOT_OVERLAY, "");
	assert_int_equal(report.tree.entries, 0);
}

static void test_entries(void **state)
{
	add_directory(upper, "b");
	add_file(upper, "b/two", "2");
	add_file(upper, "b/One", "1");
	assert_int_equal(linkat(upper, "b/two", upper, "a", 0), 0);
	assert_int_equal(symlinkat("b/two", upper, "link"), 0);
	assert_int_equal(mkfifoat(upper, "pipe", 0600), 0);
	add_file(upper, "n\n\xe9", "");
	DIFFERS(SNAPSHOT_OVERLAY, "a b/ b/One b/two>a link>b/two n\n\xe9 pipe");
	assert_int_equal(report.tree.entries, 7);
}

static void set_time(const char *path, int64_t seconds)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
					 {.tv_sec = seconds, .tv_nsec = 5}};

	assert_int_equal(utimensat(upper, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* What is younger than the epoch is as old; the rest stays. */
static void test_epoch(void **state)
{
	static const struct {
		const char *path;
		int64_t seconds, expected;
	} rows[] = {{"a", 10, 10}, {"b", 1000, 1000}, {"c", 2000, 1000}};
	bool given = false;
	cleanup_tar_reader struct tar_reader *reader = NULL;
	cleanup_free char *first = NULL;
	const struct tar_entry *entry;
	size_t length;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		add_file(upper, rows[i].path, "");
		set_time(rows[i].path, rows[i].seconds);
	}
	epoch = 1000;
	assert_int_equal(make(SNAPSHOT_OVERLAY), 0);
	reader = tar_reader_new(give, &given);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(tar_next(reader, &entry, &error), 1);
		assert_string_equal(entry->path, rows[i].path);
		assert_int_equal(entry->mtime.tv_sec, rows[i].expected);
		assert_int_equal(entry->mtime.tv_nsec, i == 0 ? 5 : 0);
	}
	/* Made again later it is the same to the last byte. */
	length = archive.length;
	first = str_steal(&archive);
	set_time("b", 3000);
	set_time("c", 4000);
	assert_int_equal(make(SNAPSHOT_OVERLAY), 0);
	epoch = -1;
	assert_int_equal(archive.length, length);
	assert_memory_equal(archive.data, first, length);
}

static void test_whiteouts(void **state)
{
	add_directory(upper, "dir");
	add_whiteout("dir/gone");
	add_whiteout("top");
	add_directory(upper, "new");
	add_xattr("new", "user.overlay.opaque", "y");
	add_file(upper, "new/file", "");
	add_below("new");
	/* There is nothing that this one could hide. */
	add_directory(upper, "only");
	add_xattr("only", "user.overlay.opaque", "y");
	DIFFERS(SNAPSHOT_OVERLAY, "dir/ dir/.wh.gone new/ new/.wh..wh..opq "
				  "new/file only/ .wh.top");
	assert_int_equal(report.whiteouts, 3);
}

static void test_xattr_whiteouts(void **state)
{
	add_directory(upper, "dir");
	add_xattr("dir", "user.overlay.opaque", "x");
	add_file(upper, "dir/gone", "");
	add_xattr("dir/gone", "user.overlay.whiteout", "y");
	/* Outside of such a directory it says nothing. */
	add_file(upper, "stays", "");
	add_xattr("stays", "user.overlay.whiteout", "y");
	DIFFERS(SNAPSHOT_OVERLAY, "dir/ dir/.wh.gone stays");
}

static void test_fuse_forms(void **state)
{
	add_below("new");
	add_below("other");
	add_directory(upper, "new");
	add_file(upper, "new/.wh..wh..opq", "");
	add_whiteout("new/.wh..opq");
	add_file(upper, "new/file", "");
	add_directory(upper, "other");
	add_xattr("other", "user.fuseoverlayfs.opaque", "y");
	add_file(upper, ".wh.gone", "");
	add_file(upper, ".wh.", "");
	add_whiteout("too");
	DIFFERS(SNAPSHOT_FUSE_OVERLAYFS,
		".wh.gone new/ new/.wh..wh..opq new/file other/ "
		"other/.wh..wh..opq .wh.too");
	assert_int_equal(report.unnamable, 1);
}

/* With overlay these names are the container's own, and mean nothing. */
static void test_names_of_marks(void **state)
{
	add_file(upper, ".wh.hosts", "");
	add_directory(upper, "dir");
	add_file(upper, "dir/.wh..wh..opq", "");
	add_directory(upper, ".wh.d");
	add_file(upper, ".wh.d/x", "");
	add_xattr("dir", "user.fuseoverlayfs.opaque", "y");
	DIFFERS(SNAPSHOT_OVERLAY, "dir/");
	assert_int_equal(report.unnamable, 3);
}

static void test_xattrs(void **state)
{
	add_file(upper, "file", "x");
	add_xattr("file", "user.kept", "v");
	add_xattr("file", "user.a=b", "v");
	add_xattr("file", "user.overlay.origin", "v");
	add_xattr("file", "user.fuseoverlayfs.x", "v");
	add_xattr("file", "user.moss.x", "v");
	add_directory(upper, "dir");
	add_xattr("dir", "user.z", "v");
	add_xattr("dir", "user.b", "v");
	DIFFERS(SNAPSHOT_OVERLAY, "dir/{user.b}{user.z} file{user.kept}");
	assert_int_equal(report.tree.xattrs_skipped, 1);
}

static void test_sockets(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/upper/s",
		 directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	DIFFERS(SNAPSHOT_OVERLAY, "");
	assert_int_equal(report.tree.sockets, 1);
}

/* What the runtime made to mount on is no change. */
static void test_mount_points(void **state)
{
	static const char *const made[] = {"etc/hosts", "etc/hostname",
					   "etc/resolv.conf"};

	add_directory(upper, "etc");
	add_directory(upper, "proc");
	add_directory(upper, "sys");
	add_directory(upper, "dev");
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		add_file(upper, made[i], "");
	DIFFERS(SNAPSHOT_OVERLAY, "");
	/* Another of that name, or a changed parent, is one. */
	assert_int_equal(fchmodat(upper, "etc", 0700, 0), 0);
	DIFFERS(SNAPSHOT_OVERLAY, "etc/");
	add_below("etc");
	assert_int_equal(fchmodat(top, LOWER "/" LAYER_DIFF "/etc", 0700, 0),
			 0);
	DIFFERS(SNAPSHOT_OVERLAY, "");
	add_file(upper, "etc/hosts", "1");
	add_file(upper, "proc/x", "");
	DIFFERS(SNAPSHOT_OVERLAY, "etc/ etc/hosts proc/ proc/x");
	add_xattr("sys", "user.x", "y");
	add_below("dev");
	add_xattr("dev", "user.overlay.opaque", "y");
	DIFFERS(SNAPSHOT_OVERLAY, "dev/ dev/.wh..wh..opq etc/ etc/hosts proc/ "
				  "proc/x sys/{user.x}");
}

/* Those of a step as well, where nothing else came there. */
static void test_mount_points_of_a_step(void **state)
{
	static const char text[] = "/run/secrets/a\0/run/secrets/b\0/x/y/z\0"
				   "/file";
	cleanup_strv char **read = NULL;

	assert_int_equal(diff_read_mount_points(top, &read, &error), 0);
	assert_null(read);
	assert_int_equal(mkdirat(top, "mounts", 0755), 0);
	assert_int_equal(file_write_atomic_at(top, "mounts/points", text,
					      sizeof(text), 0600, FILE_VOLATILE,
					      NULL),
			 0);
	assert_int_equal(diff_read_mount_points(top, &read, &error), 0);
	assert_int_equal(strv_length(read), 4);
	points = read;

	add_directory(upper, "run");
	add_directory(upper, "run/secrets");
	add_file(upper, "run/secrets/a", "");
	add_file(upper, "run/secrets/b", "");
	add_directory(upper, "x");
	add_directory(upper, "x/y");
	add_directory(upper, "x/y/z");
	add_file(upper, "file", "");
	DIFFERS(SNAPSHOT_OVERLAY, "");
	/* A neighbour keeps what leads to it, and nothing more. */
	add_file(upper, "x/other", "");
	add_directory(upper, "x/yy");
	DIFFERS(SNAPSHOT_OVERLAY, "x/ x/other x/yy/");
	/* What is in one was there before the mount, or came after. */
	add_file(upper, "x/y/z/in", "");
	add_file(upper, "file", "text");
	DIFFERS(SNAPSHOT_OVERLAY, "file x/ x/other x/y/ x/y/z/ x/y/z/in x/yy/");
	/* A directory of the image's that was changed, too. */
	add_below("run");
	assert_int_equal(fchmodat(upper, "run", 01777, 0), 0);
	DIFFERS(SNAPSHOT_OVERLAY, "file run/ x/ x/other x/y/ x/y/z/ x/y/z/in "
				  "x/yy/");
	points = NULL;
	DIFFERS(SNAPSHOT_OVERLAY,
		"file run/ run/secrets/ run/secrets/a run/secrets/b x/ "
		"x/other x/y/ x/y/z/ x/y/z/in x/yy/");
	assert_int_equal(tree_remove_at(top, "mounts", NULL), 0);
}

/* fuse-overlayfs marks what it makes, as if it hid something. */
static void test_mount_points_with_fuse(void **state)
{
	static char point[] = "x/y";
	static char *const list[] = {point, NULL};

	add_directory(upper, "x");
	add_xattr("x", "user.fuseoverlayfs.opaque", "y");
	add_file(upper, "x/.wh..wh..opq", "");
	add_whiteout("x/.wh..opq");
	add_directory(upper, "x/y");
	add_file(upper, "x/y/.wh..wh..opq", "");
	add_directory(upper, "dev");
	add_file(upper, "dev/.wh..wh..opq", "");
	points = list;
	DIFFERS(SNAPSHOT_FUSE_OVERLAYFS, "");
	/* What it does hide counts. */
	add_below("x");
	DIFFERS(SNAPSHOT_FUSE_OVERLAYFS, "x/ x/.wh..wh..opq");
	points = NULL;
}

static void test_links_lead_nowhere(void **state)
{
	assert_int_equal(symlinkat("/etc", upper, "etc"), 0);
	assert_int_equal(symlinkat(directory, upper, "all"), 0);
	cleanup_free char *expected = xasprintf("all>%s etc>/etc", directory);

	DIFFERS(SNAPSHOT_OVERLAY, expected);
}

static void test_too_deep(void **state)
{
	cleanup_fd int fd = openat(upper, ".", O_RDONLY | O_DIRECTORY);

	for (unsigned int i = 0; i < TAR_DEPTH_MAX + 2; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	assert_true(make(SNAPSHOT_OVERLAY) < 0);
	if (error.number != EMFILE)
		assert_non_null(
			strstr(error.message, "too many directories deep"));
}

static void test_name_too_long(void **state)
{
	cleanup_fd int fd = openat(upper, ".", O_RDONLY | O_DIRECTORY);
	char name[TAR_COMPONENT_MAX + 1];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 17; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	assert_true(make(SNAPSHOT_OVERLAY) < 0);
	assert_non_null(strstr(error.message, "the name is too long"));
}

static int visit(void *data, enum diff_kind kind, const char *path,
		 const struct tree_item *item, struct error *err)
{
	str_appendf(data, "%c%s ",
		    kind == DIFF_REMOVED  ? 'D'
		    : kind == DIFF_OPAQUE ? 'O'
					  : '+',
		    path);
	return 0;
}

static void test_walk(void **state)
{
	const struct diff_request request = {
		.driver = SNAPSHOT_OVERLAY,
		.store = &store,
		.diff_ids = diff_ids,
	};
	cleanup_str struct str text = {0};

	add_below("dir");
	add_directory(upper, "dir");
	add_xattr("dir", "user.overlay.opaque", "y");
	add_file(upper, "dir/new", "");
	add_whiteout("gone");
	assert_int_equal(diff_walk(upper, &request, visit, &text, &error), 0);
	assert_string_equal(str_text(&text), "+dir Odir +dir/new Dgone ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_epoch),
		TEST(test_nothing),
		TEST(test_entries),
		TEST(test_whiteouts),
		TEST(test_xattr_whiteouts),
		TEST(test_fuse_forms),
		TEST(test_names_of_marks),
		TEST(test_xattrs),
		TEST(test_sockets),
		TEST(test_mount_points),
		TEST(test_mount_points_of_a_step),
		TEST(test_mount_points_with_fuse),
		TEST(test_links_lead_nowhere),
		TEST(test_too_deep),
		TEST(test_name_too_long),
		TEST(test_walk),
	};

	return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
