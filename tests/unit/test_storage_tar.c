/* The tar reader: formats, extensions, sparse files, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar.h"
#include "tests/unit/tar_builder.h"

/* A source that hands out pieces of an awkward size. */
struct source {
	const char *data;
	size_t length;
	size_t piece;
	size_t taken;
};

static ssize_t next_piece(void *data, const void **ret_bytes, struct error *err)
{
	struct source *source = data;
	size_t part = source->length - source->taken;

	if (part > source->piece)
		part = source->piece;
	*ret_bytes = source->data + source->taken;
	source->taken += part;
	return (ssize_t)part;
}

/* What a whole archive says, a line an entry. */
static int describe(struct source *source, struct str *out, struct error *err)
{
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(next_piece, source);
	const struct tar_entry *entry;
	int r;

	while ((r = tar_next(reader, &entry, err)) > 0) {
		const void *bytes = NULL;
		uint64_t offset = 0;
		size_t length = 0;

		str_appendf(
			out, "%d %s>%s %o %u:%u %llu %lld.%09ld %u:%u",
			(int)entry->type, entry->path, entry->link, entry->mode,
			entry->uid, entry->gid, (unsigned long long)entry->size,
			(long long)entry->mtime.tv_sec, entry->mtime.tv_nsec,
			entry->device_major, entry->device_minor);
		for (size_t i = 0; i < entry->xattr_count; i++) {
			str_appendf(out, " %s=", entry->xattrs[i].name);
			str_append_bytes(out, entry->xattrs[i].value,
					 entry->xattrs[i].length);
		}
		str_append(out, " [");
		while ((r = tar_data(reader, &bytes, &length, &offset, err)) >
		       0) {
			str_appendf(out, "@%llu:", (unsigned long long)offset);
			str_append_bytes(out, bytes, length);
		}
		if (r < 0)
			return r;
		str_append(out, "]\n");
	}
	return r;
}

static void assert_reads(const struct str *tar, const char *expected)
{
	static const size_t pieces[] = {512, 65536, 100};

	for (size_t i = 0; i < 2; i++) {
		struct source source = {tar->data, tar->length, pieces[i], 0};
		cleanup_str struct str out = {0};
		struct error error = {0};

		if (describe(&source, &out, &error) < 0)
			fail_msg("%s", error.message);
		assert_string_equal(str_text(&out), expected);
		assert_int_equal(source.taken, tar->length);
	}
}

static void assert_fails(const struct str *tar, const char *message)
{
	struct source source = {tar->data, tar->length, 1000, 0};
	cleanup_str struct str out = {0};
	struct error error = {0};

	assert_true(describe(&source, &out, &error) < 0);
	if (!strstr(error.message, message))
		fail_msg("%s instead of %s", error.message, message);
}

static void test_types(void **state)
{
	static const struct tar_file files[] = {
		{.path = "d/",
		 .type = '5',
		 .mode = 0700,
		 .uid = 1,
		 .gid = 2,
		 .mtime = 3},
		{.path = "v7dir/"},
		{.path = "f", .data = "hello", .mode = 04755},
		{.path = "empty", .type = '0'},
		{.path = "s", .type = '2', .link = "to"},
		{.path = "h", .type = '1', .link = "f", .size = 99},
		{.path = "c", .type = '3', .major = 1, .minor = 3},
		{.path = "b", .type = '4', .major = 8},
		{.path = "p", .type = '6'},
	};
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, ARRAY_SIZE(files));
	str_append(&tar, "padding of any kind");
	assert_reads(&tar, "1 d/> 700 1:2 0 3.000000000 0:0 []\n"
			   "1 v7dir/> 644 0:0 0 0.000000000 0:0 []\n"
			   "0 f> 4755 0:0 5 0.000000000 0:0 [@0:hello]\n"
			   "0 empty> 644 0:0 0 0.000000000 0:0 []\n"
			   "2 s>to 644 0:0 0 0.000000000 0:0 []\n"
			   "3 h>f 644 0:0 0 0.000000000 0:0 []\n"
			   "4 c> 644 0:0 0 0.000000000 1:3 []\n"
			   "5 b> 644 0:0 0 0.000000000 8:0 []\n"
			   "6 p> 644 0:0 0 0.000000000 0:0 []\n");
}

static void test_pax(void **state)
{
	static const struct tar_file files[] = {
		{.path = "short",
		 .data = "x",
		 .pax = "path=a/\xff/long\nmtime=-1.25\nuid=70000\ngid=-3\n"
			"SCHILY.xattr.user.a=b=c\n"
			"LIBARCHIVE.xattr.user.%41b=aGk\n"
			"comment=no\n"},
		/* Says nothing, as for docker. */
		{.path = "global", .type = 'g', .data = "15 gid=1234567\n"},
		{.path = "second",
		 .type = '2',
		 .link = "x",
		 .pax = "linkpath=y\nuid=\n"},
	};
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, ARRAY_SIZE(files));
	assert_reads(&tar,
		     "0 a/\xff/long> 644 70000:4294967295 1 -2.750000000 0:0 "
		     "user.a=b=c user.Ab=hi [@0:x]\n"
		     "2 second>y 644 0:0 0 0.000000000 0:0 []\n");
}

static void test_gnu_names(void **state)
{
	static const struct tar_file files[] = {
		{.path = "././@LongLink",
		 .type = 'L',
		 .data = "a/name/longer/than/that"},
		{.path = "././@LongLink", .type = 'K', .data = "its/link"},
		{.path = "label", .type = 'V'},
		{.path = "cut", .type = '2', .link = "cut"},
	};
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, ARRAY_SIZE(files));
	assert_reads(&tar, "2 a/name/longer/than/that>its/link 644 0:0 0 "
			   "0.000000000 0:0 []\n");
}

static void test_sparse(void **state)
{
	static const char map[512 + 4] = "2\n3\n2\n10\n2\n";
	char data[516];
	const struct tar_file files[] = {
		{.path = "zero",
		 .data = "abcd",
		 .pax = "GNU.sparse.size=20\nGNU.sparse.numblocks=2\n"
			"GNU.sparse.offset=3\nGNU.sparse.numbytes=2\n"
			"GNU.sparse.offset=10\nGNU.sparse.numbytes=2\n"},
		{.path = "one",
		 .data = "abcd",
		 .pax = "GNU.sparse.size=20\nGNU.sparse.name=name\n"
			"GNU.sparse.map=3,2,10,2\n"},
		{.path = "ten",
		 .data = data,
		 .length = sizeof(data),
		 .pax = "GNU.sparse.major=1\nGNU.sparse.minor=0\n"
			"GNU.sparse.name=name\nGNU.sparse.realsize=20\n"},
		{.path = "hole",
		 .pax = "GNU.sparse.size=20\nGNU.sparse.map=\n"},
	};
	cleanup_str struct str tar = {0};

	memcpy(data, map, 512);
	memcpy(data + 512, "abcd", 4);
	tar_build(&tar, files, ARRAY_SIZE(files));
	assert_reads(&tar, "0 zero> 644 0:0 20 0.000000000 0:0 [@3:ab@10:cd]\n"
			   "0 name> 644 0:0 20 0.000000000 0:0 [@3:ab@10:cd]\n"
			   "0 name> 644 0:0 20 0.000000000 0:0 [@3:ab@10:cd]\n"
			   "0 hole> 644 0:0 20 0.000000000 0:0 []\n");
}

static void test_gnu_sparse(void **state)
{
	const struct tar_file file = {
		.path = "old", .type = 'S', .data = "abcd"};
	cleanup_str struct str tar = {0};

	tar_add(&tar, &file);
	strcpy(tar.data + 257, "ustar  ");
	strcpy(tar.data + 386, "00000000003");
	strcpy(tar.data + 398, "00000000002");
	strcpy(tar.data + 410, "00000000012");
	strcpy(tar.data + 422, "00000000002");
	strcpy(tar.data + 483, "00000000024");
	tar_build_checksum(tar.data);
	tar_end(&tar);
	assert_reads(&tar, "0 old> 644 0:0 20 0.000000000 0:0 [@3:ab@10:cd]\n");
}

static void test_numbers(void **state)
{
	const struct tar_file file = {.path = "big", .type = '2', .link = "x"};
	cleanup_str struct str tar = {0};

	tar_add(&tar, &file);
	/* base-256: a user of 2^24, a time before 1970 */
	memcpy(tar.data + 108, "\x80\0\0\0\1\0\0\0", 8);
	memset(tar.data + 136, 0xff, 12);
	tar_build_checksum(tar.data);
	tar_end(&tar);
	assert_reads(&tar, "2 big>x 644 16777216:0 0 -1.000000000 0:0 []\n");
}

static const struct {
	struct tar_file file;
	const char *message;
} damaged[] = {
	{{.path = "a", .type = '0', .size = 1u << 30}, "truncated"},
	{{.path = "a", .type = 'M'}, "multi-volume"},
	{{.path = "a", .type = 'Z'}, "unknown type"},
	{{.path = "a", .pax = "size=-1\n"}, "malformed extended header"},
	{{.path = "a", .pax = "mtime=soon\n"}, "malformed extended header"},
	{{.path = "a", .pax = "GNU.sparse.size=1\nGNU.sparse.map=0,9\n"},
	 "invalid sparse map"},
	{{.path = "a",
	  .data = "x",
	  .pax = "GNU.sparse.size=9\nGNU.sparse.map=\n"},
	 "invalid sparse map"},
	{{.path = "a",
	  .data = "xx",
	  .pax = "GNU.sparse.size=9\nGNU.sparse.map=4,1,2,1\n"},
	 "invalid sparse map"},
	{{.path = "a", .pax = "GNU.sparse.size=9\nGNU.sparse.map=4\n"},
	 "malformed extended header"},
	{{.path = "a", .pax = "GNU.sparse.map=\n"}, "invalid sparse size"},
	{{.path = "a",
	  .pax = "GNU.sparse.map=\nGNU.sparse.size=99999999999999\n"},
	 "too large"},
	{{.path = "a", .pax = "GNU.sparse.major=2\n"},
	 "malformed extended header"},
	{{.path = "a",
	  .data = "junk",
	  .pax = "GNU.sparse.major=1\nGNU.sparse.realsize=4\n"},
	 "invalid sparse map"},
	{{.path = "a", .type = 'x', .data = "5 a=b\n"},
	 "malformed extended header"},
	{{.path = "a", .type = 'x', .data = "99 a=b\n"},
	 "malformed extended header"},
	{{.path = "a", .type = 'x', .data = "7 ab=cd"},
	 "malformed extended header"},
	{{.path = "a", .type = 'x', .data = "12 path=a\0b\n", .length = 12},
	 "malformed extended header"},
	{{.path = "a", .type = 'x', .data = "x", .size = TAR_PAX_MAX + 1},
	 "too large"},
	{{.path = "a", .type = 'L', .data = "x", .size = TAR_PATH_MAX + 1},
	 "too long"},
	{{.path = "a", .type = 'x', .data = "9 path=x\n"}, "truncated"},
};

static void test_damaged(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		cleanup_str struct str tar = {0};

		tar_add(&tar, &damaged[i].file);
		assert_fails(&tar, damaged[i].message);
	}
}

static void test_truncated(void **state)
{
	static const struct tar_file files[] = {
		{.path = "f", .data = "hello", .pax = "mtime=1\n"},
	};
	cleanup_str struct str tar = {0};
	struct str cut;

	tar_build(&tar, files, 1);
	cut = tar;
	cut.length = 0;
	assert_fails(&cut, "empty input");
	for (cut.length = 1; cut.length < 5 * 512; cut.length += 37)
		assert_fails(&cut,
			     cut.length < 512 ? "not a tar" : "truncated");
	/* Without its end it is whole, too. */
	cut.length = 4 * 512;
	assert_reads(&cut, "0 f> 644 0:0 5 1.000000000 0:0 [@0:hello]\n");
	tar.data[4 * 512 + 3] = 'x';
	assert_fails(&tar, "damaged header at byte 2560");
	tar.data[0]++;
	assert_fails(&tar, "not a tar archive");
}

static void test_limits(void **state)
{
	struct tar_file file = {.path = "f"};
	cleanup_str struct str tar = {0};
	cleanup_str struct str pax = {0};

	for (unsigned int i = 0; i <= TAR_XATTRS_MAX; i++)
		str_appendf(&pax, "SCHILY.xattr.user.%u=x\n", i);
	file.pax = pax.data;
	tar_build(&tar, &file, 1);
	assert_fails(&tar, "beyond a limit");

	str_clear(&tar);
	str_clear(&pax);
	str_append(&pax, "path=");
	while (pax.length < TAR_PATH_MAX + 5)
		str_append(&pax, "a/");
	str_append(&pax, "\n");
	file.pax = pax.data;
	tar_build(&tar, &file, 1);
	assert_fails(&tar, "beyond a limit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_pax),
		cmocka_unit_test(test_gnu_names),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_gnu_sparse),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
