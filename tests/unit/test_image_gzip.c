/* gzip, read and written: built with ISA-L and with zlib, which must not differ
   in what they take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "storage/tar/gzip_writer.h"
#include "storage/tar/stream.h"
#include "tests/unit/memory_stream.h"

static const size_t pieces[] = {1, 2, 3, 7, 511, 65536, 1u << 30};
static struct error error;

/* A member with every optional part of a header when `rich`. */
static void pack(struct str *out, const void *bytes, size_t length, int level,
		 bool rich)
{
	char extra[] = "extra field";
	char name[] = "a name.tar";
	char comment[] = "and a comment";
	gz_header header = {
		.time = 1,
		.os = 3,
		.extra = (unsigned char *)extra,
		.extra_len = sizeof(extra),
		.name = (unsigned char *)name,
		.comment = (unsigned char *)comment,
		.hcrc = 1,
	};
	z_stream z = {0};
	int r;

	assert_int_equal(
		deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	if (rich)
		deflateSetHeader(&z, &header);
	z.next_in = (z_const unsigned char *)(uintptr_t)bytes;
	z.avail_in = (unsigned int)length;
	do {
		unsigned char buffer[4096];

		z.next_out = buffer;
		z.avail_out = sizeof(buffer);
		r = deflate(&z, Z_FINISH);
		str_append_bytes(out, buffer, sizeof(buffer) - z.avail_out);
	} while (r == Z_OK);
	assert_int_equal(r, Z_STREAM_END);
	deflateEnd(&z);
}

static int unpack(const struct str *packed, size_t length, size_t piece,
		  struct str *out)
{
	struct stream *stream = NULL;

	str_clear(out);
	err_clear(&error);
	if (stream_gunzip(memory_stream(packed->data, length, piece), &stream,
			  &error) < 0)
		return -1;
	return memory_read(stream, out, &error);
}

static void assert_unpacks(const struct str *packed, const struct str *wanted)
{
	cleanup_str struct str out = {0};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		if (unpack(packed, packed->length, pieces[i], &out) < 0)
			fail_msg("pieces of %zu: %s", pieces[i], error.message);
		assert_int_equal(out.length, wanted->length);
		if (wanted->length > 0)
			assert_memory_equal(out.data, wanted->data,
					    wanted->length);
	}
}

static void assert_damaged(const struct str *packed, const char *text)
{
	cleanup_str struct str out = {0};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		assert_true(unpack(packed, packed->length, pieces[i], &out) <
			    0);
		assert_int_equal(error.kind, ERROR_CORRUPT);
		if (!strstr(error.message, text))
			fail_msg("%s", error.message);
	}
}

static void test_levels(void **state)
{
	cleanup_str struct str text = {0};

	memory_fill(&text, 150000);
	for (int level = 0; level <= 9; level += 3) {
		for (int rich = 0; rich < 2; rich++) {
			cleanup_str struct str packed = {0};

			pack(&packed, text.data, text.length, level, rich);
			assert_unpacks(&packed, &text);
		}
	}
}

/* Much output from little input: it must not be lost at the end. */
static void test_zeros(void **state)
{
	cleanup_str struct str zeros = {0};
	cleanup_str struct str packed = {0};
	char block[4096] = {0};

	for (int i = 0; i < 1500; i++)
		str_append_bytes(&zeros, block, sizeof(block));
	pack(&packed, zeros.data, zeros.length, 9, false);
	assert_true(packed.length < 10000);
	assert_unpacks(&packed, &zeros);
}

static void test_members(void **state)
{
	static const char zeros[1000];
	cleanup_str struct str text = {0};
	cleanup_str struct str twice = {0};
	cleanup_str struct str packed = {0};

	memory_fill(&text, 70000);
	str_append_bytes(&twice, text.data, text.length);
	str_append_bytes(&twice, text.data, text.length);
	pack(&packed, text.data, text.length, 6, false);
	pack(&packed, "", 0, 6, true);
	pack(&packed, text.data, text.length, 1, true);
	assert_unpacks(&packed, &twice);
	/* Padding, and anything else that begins no member. */
	str_append_bytes(&packed, zeros, sizeof(zeros));
	assert_unpacks(&packed, &twice);
	str_append(&packed, "\x1f\x8b is not looked at after the zeros");
	assert_unpacks(&packed, &twice);
}

static void test_empty(void **state)
{
	cleanup_str struct str nothing = {0};
	cleanup_str struct str packed = {0};

	pack(&packed, "", 0, 6, false);
	assert_unpacks(&packed, &nothing);
}

/* However short: never taken for whole. */
static void test_truncated(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};

	memory_fill(&text, 2000);
	pack(&packed, text.data, text.length, 6, true);
	for (size_t length = 0; length < packed.length; length++) {
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
			assert_true(unpack(&packed, length, pieces[i], &out) <
				    0);
			assert_int_equal(error.kind, ERROR_CORRUPT);
			assert_non_null(strstr(error.message, "truncated"));
		}
	}
	/* A second member that has hardly begun. */
	str_append(&packed, "\x1f\x8b");
	assert_damaged(&packed, "truncated");
}

/* A flipped bit is told, or one of the few that change nothing. */
static void test_flipped(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};
	size_t caught = 0;

	memory_fill(&text, 1000);
	pack(&packed, text.data, text.length, 6, false);
	for (size_t i = 0; i < packed.length * 8; i++) {
		char bit = (char)(1 << (i % 8));

		packed.data[i / 8] ^= bit;
		if (unpack(&packed, packed.length, 100, &out) < 0) {
			assert_int_equal(error.kind, ERROR_CORRUPT);
			caught++;
		} else {
			assert_int_equal(out.length, text.length);
			assert_memory_equal(out.data, text.data, text.length);
		}
		packed.data[i / 8] ^= bit;
	}
	assert_true(caught >= (packed.length - 12) * 8);
}

static void test_trailer(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};

	memory_fill(&text, 100000);
	pack(&packed, text.data, text.length, 6, false);
	packed.data[packed.length - 1] ^= 1;
	assert_damaged(&packed, "incorrect");
	packed.data[packed.length - 1] ^= 1;
	packed.data[packed.length - 5] ^= 1;
	assert_damaged(&packed, "incorrect");
	packed.data[packed.length - 5] ^= 1;
	assert_unpacks(&packed, &text);
	packed.data[2] = 7; /* method */
	assert_damaged(&packed, "method");
	str_clear(&packed);
	pack(&packed, text.data, text.length, 6, true);
	packed.data[12] ^= 1; /* in the extra field, which has a checksum */
	assert_damaged(&packed, "");
}

static int count(void *data, const void *bytes, size_t length,
		 struct error *err)
{
	*(size_t *)data += length;
	return 0;
}

/* A tap below sees all bytes; an error from below comes through. */
static void test_input(void **state)
{
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};
	struct stream *stream;
	struct stream *input;
	size_t seen = 0;

	pack(&packed, "moss", 4, 6, false);
	str_append(&packed, "and what follows it");
	input = stream_tapped(memory_stream(packed.data, packed.length, 5),
			      count, &seen);
	assert_int_equal(stream_gunzip(input, &stream, &error), 0);
	assert_int_equal(memory_read(stream, &out, &error), 0);
	assert_string_equal(out.data, "moss");
	assert_int_equal(seen, packed.length);
	input = memory_stream(packed.data, 12, 5);
	((struct memory_stream *)input)->fails = true;
	assert_int_equal(stream_gunzip(input, &stream, &error), 0);
	assert_true(memory_read(stream, &out, &error) < 0);
	assert_string_equal(error.message, "no more");
}

static int append(void *data, const void *bytes, size_t length,
		  struct error *err)
{
	str_append_bytes(data, bytes, length);
	return 0;
}

/* By zlib alone, whoever wrote it. */
static void assert_inflates(const struct str *packed, const struct str *wanted)
{
	cleanup_free char *out = xcalloc(1, wanted->length + 1);
	z_stream z = {
		.next_in = (unsigned char *)packed->data,
		.avail_in = (unsigned int)packed->length,
		.next_out = (unsigned char *)out,
		.avail_out = (unsigned int)wanted->length + 1,
	};

	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, wanted->length);
	assert_int_equal(z.avail_in, 0);
	if (wanted->length > 0)
		assert_memory_equal(out, wanted->data, wanted->length);
	inflateEnd(&z);
}

static void test_write(void **state)
{
	static const size_t sizes[] = {0, 1, 4000, 65536, 100000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_str struct str first = {0};
		cleanup_str struct str text = {0};

		memory_fill(&text, sizes[i]);
		for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
			struct gzip_writer *writer = gzip_writer_new();
			cleanup_str struct str packed = {0};

			for (size_t at = 0; at < text.length;) {
				size_t part = text.length - at;

				if (part > pieces[j])
					part = pieces[j];
				assert_int_equal(gzip_write(writer,
							    text.data + at,
							    part, false, append,
							    &packed, &error),
						 0);
				at += part;
			}
			assert_int_equal(gzip_write(writer, "", 0, true, append,
						    &packed, &error),
					 0);
			gzip_writer_free(writer);
			assert_inflates(&packed, &text);
			/* Equal layers are equal blobs. */
			if (j == 0)
				str_append_bytes(&first, packed.data,
						 packed.length);
			assert_int_equal(packed.length, first.length);
			assert_memory_equal(packed.data, first.data,
					    first.length);
			assert_unpacks(&packed, &text);
			assert_true(text.length < 1000 ||
				    packed.length < text.length / 2);
		}
	}
}

static int no_room(void *data, const void *bytes, size_t length,
		   struct error *err)
{
	return err_set(err, ERROR_NO_SPACE, "full");
}

static void test_write_fails(void **state)
{
	struct gzip_writer *writer = gzip_writer_new();

	assert_int_equal(
		gzip_write(writer, "x", 1, true, no_room, NULL, &error),
		-ENOSPC);
	gzip_writer_free(writer);
	gzip_writer_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_trailer),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
