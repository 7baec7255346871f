/* zstd unpacked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "storage/store/limits.h"
#include "storage/tar/stream.h"
#include "tests/unit/memory_stream.h"

static const size_t pieces[] = {1, 3, 511, 65536, 1u << 30};
static struct error error;

/* A frame with a checksum, as zstd(1) writes it. */
static void pack(struct str *out, const struct str *text, int window_log)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t room = ZSTD_compressBound(text->length);
	cleanup_free char *buffer = xcalloc(1, room);
	ZSTD_outBuffer to = {buffer, room, 0};
	ZSTD_inBuffer from = {text->data, text->length, 0};

	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	if (window_log > 0)
		ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
	while (ZSTD_compressStream2(context, &to, &from, ZSTD_e_end) > 0)
		;
	str_append_bytes(out, buffer, to.pos);
	ZSTD_freeCCtx(context);
}

static void skippable(struct str *out)
{
	static const char frame[] = "\x5a\x2a\x4d\x18\x05\0\0\0table";

	str_append_bytes(out, frame, sizeof(frame) - 1);
}

static int unpack(const struct str *packed, size_t length, size_t piece,
		  struct str *out)
{
	struct stream *stream = NULL;

	str_clear(out);
	err_clear(&error);
	if (stream_unzstd(memory_stream(packed->data, length, piece), &stream,
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

static void test_frames(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str thrice = {0};
	cleanup_str struct str packed = {0};

	memory_fill(&text, 700000);
	for (int i = 0; i < 3; i++)
		str_append_bytes(&thrice, text.data, text.length);
	pack(&packed, &text, 0);
	assert_unpacks(&packed, &text);
	skippable(&packed);
	pack(&packed, &text, 0);
	pack(&packed, &text, 20);
	skippable(&packed);
	assert_unpacks(&packed, &thrice);
}

static void test_zeros(void **state)
{
	cleanup_str struct str zeros = {0};
	cleanup_str struct str packed = {0};
	char block[4096] = {0};

	for (int i = 0; i < 1500; i++)
		str_append_bytes(&zeros, block, sizeof(block));
	pack(&packed, &zeros, 0);
	assert_unpacks(&packed, &zeros);
}

static void test_empty(void **state)
{
	cleanup_str struct str nothing = {0};
	cleanup_str struct str packed = {0};

	pack(&packed, &nothing, 0);
	assert_unpacks(&packed, &nothing);
}

static void test_truncated(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};

	memory_fill(&text, 2000);
	pack(&packed, &text, 0);
	for (size_t length = 1; length < packed.length; length++) {
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
			assert_true(unpack(&packed, length, pieces[i], &out) <
				    0);
			assert_int_equal(error.kind, ERROR_CORRUPT);
			assert_non_null(strstr(error.message, "truncated"));
		}
	}
}

static void test_damaged(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};

	memory_fill(&text, 50000);
	pack(&packed, &text, 0);
	packed.data[packed.length - 1] ^= 1; /* the checksum */
	assert_true(unpack(&packed, packed.length, 1000, &out) < 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message, "checksum"));
	packed.data[packed.length - 1] ^= 1;
	str_append(&packed, "no frame");
	assert_true(unpack(&packed, packed.length, 1000, &out) < 0);
	assert_non_null(strstr(error.message, "damaged zstd data"));
}

/* What would make us allocate a gigabyte is refused before it does. */
static void test_window(void **state)
{
	/* Magic, a descriptor with nothing but a window of 2^30 bytes. */
	static const char huge[] = "\x28\xb5\x2f\xfd\0\xa0\x01\0\0";
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};

	str_append_bytes(&packed, huge, sizeof(huge) - 1);
	assert_true(unpack(&packed, packed.length, 1000, &out) < 0);
	assert_int_equal(error.kind, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error.message, "128 MiB"));
}

/* By its first bytes, also when those are a frame to be skipped. */
static void test_detected(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str packed = {0};
	cleanup_str struct str out = {0};
	enum compression compression;
	struct limits limits;
	struct stream *stream;

	memory_fill(&text, 1000);
	skippable(&packed);
	pack(&packed, &text, 0);
	assert_int_equal(
		stream_detect(memory_stream(packed.data, packed.length, 3),
			      &stream, &compression, &error),
		0);
	assert_int_equal(compression, COMPRESSION_ZSTD);
	limits_init(&limits);
	assert_int_equal(
		stream_unpacked(stream, compression, &limits, &stream, &error),
		0);
	assert_int_equal(memory_read(stream, &out, &error), 0);
	assert_string_equal(out.data, text.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_detected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
