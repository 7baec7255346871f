/* The tar writer: what it writes, the reader reads back equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_writer.h"

#define MIB (1024 * 1024)

static struct str archive;
static struct error error;

static int take(void *data, const void *bytes, size_t length, struct error *err)
{
	str_append_bytes(&archive, bytes, length);
	return 0;
}

static struct tar_writer *writer;

static int set_up(void **state)
{
	writer = tar_writer_new(take, NULL);
	err_clear(&error);
	return 0;
}

static int tear_down(void **state)
{
	tar_writer_free(writer);
	str_release(&archive);
	archive = (struct str){0};
	return 0;
}

static ssize_t give(void *data, const void **ret_bytes, struct error *err)
{
	size_t *taken = data;
	size_t length = archive.length - *taken;

	*ret_bytes = archive.data + *taken;
	*taken = archive.length;
	return (ssize_t)length;
}

static struct tar_entry entry_of(const char *path)
{
	return (struct tar_entry){
		.path = (char *)(uintptr_t)path,
		.mode = 0644,
	};
}

static void write_ok(const struct tar_entry *entry)
{
	if (tar_write_entry(writer, entry, &error) < 0)
		fail_msg("%s", error.message);
}

static void end_archive(void)
{
	assert_int_equal(tar_write_end(writer, &error), 0);
	assert_int_equal(tar_writer_bytes(writer), archive.length);
	assert_int_equal(archive.length % TAR_BLOCK_SIZE, 0);
}

static void assert_same(const struct tar_entry *wanted,
			const struct tar_entry *found)
{
	assert_int_equal(found->type, wanted->type);
	assert_string_equal(found->path, wanted->path);
	assert_string_equal(found->link, wanted->link ? wanted->link : "");
	assert_int_equal(found->mode, wanted->mode);
	assert_int_equal(found->uid, wanted->uid);
	assert_int_equal(found->gid, wanted->gid);
	assert_int_equal(found->size, wanted->size);
	assert_int_equal(found->mtime.tv_sec, wanted->mtime.tv_sec);
	assert_int_equal(found->mtime.tv_nsec, wanted->mtime.tv_nsec);
	assert_int_equal(found->device_major, wanted->device_major);
	assert_int_equal(found->device_minor, wanted->device_minor);
	assert_int_equal(found->xattr_count, wanted->xattr_count);
	for (size_t i = 0; i < wanted->xattr_count; i++) {
		assert_string_equal(found->xattrs[i].name,
				    wanted->xattrs[i].name);
		assert_int_equal(found->xattrs[i].length,
				 wanted->xattrs[i].length);
		assert_memory_equal(found->xattrs[i].value,
				    wanted->xattrs[i].value,
				    wanted->xattrs[i].length);
	}
}

/* All entries of the archive are those, data left aside. */
static void assert_reads(const struct tar_entry *entries, size_t count)
{
	size_t taken = 0;
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(give, &taken);
	const struct tar_entry *found;
	int r;

	for (size_t i = 0; i < count; i++) {
		r = tar_next(reader, &found, &error);
		if (r <= 0)
			fail_msg("entry %zu: %s", i, error.message);
		assert_same(&entries[i], found);
	}
	assert_int_equal(tar_next(reader, &found, &error), 0);
}

static void test_kinds(void **state)
{
	static char capability[] = "\1\0\0\2\0\4";
	static char text[] = "a\nb=c";
	struct tar_xattr xattrs[] = {
		{(char[]){"security.capability"}, capability, 6},
		{(char[]){"user.text"}, text, 5},
		{(char[]){"user.empty"}, text, 0},
	};
	struct tar_entry entries[] = {
		{.type = TAR_DIRECTORY, .path = (char[]){"etc/"}, .mode = 0755},
		{.path = (char[]){"etc/empty"},
		 .mode = 04755,
		 .uid = 33,
		 .gid = 4,
		 .mtime = {1700000000, 0}},
		{.path = (char[]){"marked"},
		 .mode = 0600,
		 .xattrs = xattrs,
		 .xattr_count = 3},
		{.path = (char[]){"a\nb \xe9 \xc3\xa9"},
		 .mode = 0,
		 .uid = 2097151,
		 .gid = 2097152,
		 .mtime = {1, 5}},
		{.path = (char[]){"old"},
		 .uid = 4000000000u,
		 .mtime = {-2, 750000000}},
		{.path = (char[]){"older"}, .mtime = {-7, 0}},
		{.path = (char[]){"late"}, .mtime = {1ll << 34, 1}},
		{.type = TAR_SYMLINK,
		 .path = (char[]){"link"},
		 .link = (char[]){"../x y"},
		 .mode = 0777},
		{.type = TAR_HARDLINK,
		 .path = (char[]){"hard"},
		 .link = (char[]){"marked"}},
		{.type = TAR_CHAR,
		 .path = (char[]){"dev/null"},
		 .device_major = 1,
		 .device_minor = 3},
		{.type = TAR_BLOCK,
		 .path = (char[]){"dev/odd"},
		 .device_major = 4095,
		 .device_minor = 4000000000u},
		{.type = TAR_FIFO, .path = (char[]){"pipe"}, .mode = 0620},
	};

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		write_ok(&entries[i]);
	end_archive();
	assert_reads(entries, ARRAY_SIZE(entries));
}

static void test_directory_gets_its_slash(void **state)
{
	struct tar_entry entry = entry_of("var");

	entry.type = TAR_DIRECTORY;
	write_ok(&entry);
	end_archive();
	entry.path = (char[]){"var/"};
	assert_reads(&entry, 1);
}

/* Every length around the limits of name and prefix, and of what is read. */
static void test_long_names(void **state)
{
	static const size_t lengths[] = {1,   99,  100, 101,
					 155, 156, 200, 255,
					 256, 257, 300, TAR_PATH_MAX - 1};
	static const size_t parts[] = {1, 7, 60, 100, 155, 255};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(parts); j++) {
			cleanup_free char *path = xcalloc(lengths[i] + 1, 1);
			struct tar_entry entry = entry_of(path);

			for (size_t k = 0; k < lengths[i]; k++)
				path[k] = k % (parts[j] + 1) == parts[j] &&
							  k + 1 < lengths[i]
						  ? '/'
						  : 'n';
			write_ok(&entry);
			entry.type = TAR_SYMLINK;
			entry.link = path;
			write_ok(&entry);
			end_archive();
			assert_reads(
				(struct tar_entry[]){
					{.path = path, .mode = 0644}, entry},
				2);
			tear_down(NULL);
			set_up(NULL);
		}
	}
}

static void test_too_long_is_refused(void **state)
{
	cleanup_free char *path = xcalloc(TAR_PATH_MAX + 1, 1);
	struct tar_entry entry = entry_of(path);

	memset(path, 'n', TAR_PATH_MAX);
	assert_true(tar_write_entry(writer, &entry, &error) < 0);
	assert_non_null(strstr(error.message, "the name is too long"));
	assert_int_equal(archive.length, 0);
}

static int memory_file(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The file as the archive has it: size, data at its places, holes as zeros. */
static void assert_content(const char *path, int fd, uint64_t size)
{
	cleanup_free char *wanted = xcalloc(size + 1, 1);
	cleanup_free char *found = xcalloc(size + 1, 1);
	size_t taken = 0;
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(give, &taken);
	const struct tar_entry *entry;
	const void *bytes;
	uint64_t offset;
	size_t length;
	int r;

	if (tar_next(reader, &entry, &error) <= 0)
		fail_msg("%s", error.message);
	assert_string_equal(entry->path, path);
	assert_int_equal(entry->size, size);
	while ((r = tar_data(reader, &bytes, &length, &offset, &error)) > 0)
		memcpy(found + offset, bytes, length);
	assert_int_equal(r, 0);
	assert_true(pread(fd, wanted, size, 0) >= 0);
	assert_memory_equal(found, wanted, size);
	assert_int_equal(tar_next(reader, &entry, &error), 0);
}

static void test_file(void **state)
{
	cleanup_fd int fd = memory_file();
	struct tar_entry entry = entry_of("data");
	char block[1000];

	for (int i = 0; i < 1000; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		assert_int_equal(write(fd, block, sizeof(block)), 1000);
	}
	entry.size = 1000000;
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	end_archive();
	assert_content("data", fd, 1000000);
}

static void test_sparse(void **state)
{
	static const off_t places[] = {0, 5 * MIB, 5 * MIB + 8192, 31 * MIB};
	cleanup_free char *path = xcalloc(201, 1);
	cleanup_fd int fd = memory_file();
	struct tar_entry entry = entry_of(path);

	memset(path, 'p', 200);
	path[90] = '/';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		assert_int_equal(pwrite(fd, "data", 4, places[i]), 4);
	entry.size = 32 * MIB;
	assert_int_equal(ftruncate(fd, (off_t)entry.size), 0);
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	end_archive();
	assert_true(archive.length < MIB);
	assert_content(path, fd, entry.size);
}

static void test_only_a_hole(void **state)
{
	cleanup_fd int fd = memory_file();
	struct tar_entry entry = entry_of("hole");

	entry.size = MIB;
	assert_int_equal(ftruncate(fd, MIB), 0);
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	end_archive();
	assert_true(archive.length < 8192);
	assert_content("hole", fd, MIB);
}

/* It had that size when it was looked at. */
static void test_file_that_changes(void **state)
{
	cleanup_fd int fd = memory_file();
	struct tar_entry entry = entry_of("short");

	assert_int_equal(write(fd, "12345", 5), 5);
	entry.size = 5000;
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	end_archive();
	assert_content("short", fd, 5000);
	tear_down(NULL);
	set_up(NULL);
	entry.size = 3;
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	end_archive();
	assert_content("short", fd, 3);
}

/* Beyond 11 octal digits. */
static void note(void *data, uint64_t offset, const void *bytes, size_t length)
{
	char *seen = data;

	memcpy(seen + offset, bytes, length);
}

/* Who has heard all of it and knows the size knows the file. */
static void test_tap(void **state)
{
	cleanup_free char *seen = xcalloc(2 * MIB, 1);
	cleanup_free char *wanted = xcalloc(2 * MIB, 1);
	cleanup_fd int fd = memory_file();
	struct tar_entry entry = entry_of("file");

	assert_int_equal(pwrite(fd, "first", 5, 0), 5);
	assert_int_equal(pwrite(fd, "last", 4, MIB + 5), 4);
	entry.size = 2 * MIB;
	assert_int_equal(ftruncate(fd, (off_t)entry.size), 0);
	assert_int_equal(pread(fd, wanted, entry.size, 0), entry.size);
	tar_writer_tap(writer, note, seen);
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	assert_memory_equal(seen, wanted, entry.size);
	memset(seen, 'x', entry.size);
	tar_writer_tap(writer, NULL, NULL);
	assert_int_equal(tar_write_file(writer, &entry, fd, &error), 0);
	assert_int_equal(seen[0], 'x');
}

static void test_huge_size(void **state)
{
	struct tar_entry entry = entry_of("huge");
	size_t taken = 0;
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(give, &taken);
	const struct tar_entry *found;

	entry.size = 1ull << 40;
	write_ok(&entry);
	assert_int_equal(tar_next(reader, &found, &error), 1);
	assert_same(&entry, found);
}

static void test_data_must_fit(void **state)
{
	struct tar_entry entry = entry_of("five");

	entry.size = 5;
	write_ok(&entry);
	assert_true(tar_write_data(writer, "123456", 6, &error) < 0);
	assert_int_equal(tar_write_data(writer, "123", 3, &error), 0);
	assert_true(tar_write_entry(writer, &entry, &error) < 0);
	assert_int_equal(tar_write_data(writer, "45", 2, &error), 0);
	write_ok(&entry);
}

static int refuse_all(void *data, const void *bytes, size_t length,
		      struct error *err)
{
	return err_set(err, ERROR_NO_SPACE, "full");
}

static void test_sink_fails(void **state)
{
	cleanup_tar_writer struct tar_writer *full =
		tar_writer_new(refuse_all, NULL);
	struct tar_entry entry = entry_of("x");

	assert_int_equal(tar_write_entry(full, &entry, &error), -ENOSPC);
	assert_string_equal(error.message, "full");
}

static void test_xattr_fits(void **state)
{
	size_t room = TAR_XATTR_ROOM;

	assert_true(tar_xattr_fits("user.x", 100, &room));
	assert_true(room < TAR_XATTR_ROOM - 100);
	assert_false(tar_xattr_fits("user.a=b", 1, &room));
	assert_false(tar_xattr_fits("user.x", TAR_XATTR_MAX + 1, &room));
	room = 50;
	assert_false(tar_xattr_fits("user.x", 40, &room));
	assert_int_equal(room, 50);
}

/* As many attributes as fit are read back. */
static void test_many_xattrs(void **state)
{
	cleanup_free char *value = xcalloc(TAR_XATTR_MAX, 1);
	struct tar_xattr xattrs[32];
	char names[32][16];
	struct tar_entry entry = entry_of("x");
	size_t room = TAR_XATTR_ROOM;

	entry.xattrs = xattrs;
	for (size_t i = 0; i < ARRAY_SIZE(xattrs); i++) {
		snprintf(names[i], sizeof(names[i]), "user.%zu", i);
		if (!tar_xattr_fits(names[i], TAR_XATTR_MAX, &room))
			break;
		xattrs[entry.xattr_count++] =
			(struct tar_xattr){names[i], value, TAR_XATTR_MAX};
	}
	assert_int_equal(entry.xattr_count, 15);
	write_ok(&entry);
	end_archive();
	assert_reads(&entry, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds),	TEST(test_directory_gets_its_slash),
		TEST(test_long_names),	TEST(test_too_long_is_refused),
		TEST(test_file),	TEST(test_sparse),
		TEST(test_only_a_hole), TEST(test_file_that_changes),
		TEST(test_huge_size),	TEST(test_data_must_fit),
		TEST(test_sink_fails),	TEST(test_xattr_fits),
		TEST(test_many_xattrs), TEST(test_tap),
	};

	return cmocka_run_group_tests_name("tar_writer", tests, NULL, NULL);
}
