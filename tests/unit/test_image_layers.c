/* Layers staged several at once, and the threads that do it. */
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
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/tar/flusher.h"
#include "storage/tar/hash.h"
#include "storage/job/layer_stage.h"
#include "storage/tar/parallel.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

#define LAYERS 4

static char directory[PATH_MAX]; /* of one test */
static struct job job;
static struct stage stage;
static struct error error;

/* A packed layer in memory, and how it is served. */
struct packed {
	unsigned char bytes[4096];
	size_t length;
	char diff_id[DIGEST_TEXT_MAX];
	int opened;
	bool endless; /* then waits until the job is cancelled */
};
static struct packed packed[LAYERS];
static struct layer_source sources[LAYERS];

struct memory_stream {
	struct stream stream;
	struct packed *packed;
	size_t at;
};

/* In small pieces, as a network does. */
static ssize_t memory_next(struct stream *stream, const void **ret_bytes,
			   struct error *err)
{
	struct memory_stream *self = (struct memory_stream *)stream;
	size_t length = self->packed->length - self->at;

	*ret_bytes = self->packed->bytes + self->at;
	if (length > 100)
		length = 100;
	self->at += length;
	while (length == 0 && self->packed->endless) {
		int r = job_check_cancelled(&job, err);

		if (r < 0)
			return r;
		usleep(1000);
	}
	return (ssize_t)length;
}

static void memory_free(struct stream *stream)
{
	free(stream);
}

static int memory_open(struct layer_source *source, struct stream **ret_stream,
		       struct error *err)
{
	struct memory_stream *stream = xcalloc(1, sizeof(*stream));

	stream->stream = (struct stream){memory_next, memory_free};
	stream->packed = source->data;
	stream->packed->opened++;
	*ret_stream = &stream->stream;
	return 0;
}

static int open_nothing(struct layer_source *source, struct stream **ret_stream,
			struct error *err)
{
	return err_set(err, ERROR_GENERIC, "the server answered 500");
}

static void pack(struct packed *layer, const char *text)
{
	const struct tar_file files[] = {
		{.path = "etc/", .type = '5'},
		{.path = "etc/name", .data = text},
	};
	cleanup_str struct str tar = {0};
	z_stream z = {0};

	tar_build(&tar, files, ARRAY_SIZE(files));
	assert_int_equal(
		hash_bytes(tar.data, tar.length, layer->diff_id, &error), 0);
	assert_int_equal(
		deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	z.next_in = (unsigned char *)tar.data;
	z.avail_in = (unsigned int)tar.length;
	z.next_out = layer->bytes;
	z.avail_out = sizeof(layer->bytes);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	layer->length = sizeof(layer->bytes) - z.avail_out;
	deflateEnd(&z);
}

static void describe(size_t i)
{
	static const char *const names[LAYERS] = {
		"image web: layer 1", "image web: layer 2",
		"image web: layer 3", "image web: layer 4"};
	struct layer_source *source = &sources[i];

	*source = (struct layer_source){
		.what = names[i],
		.diff_id = packed[i].diff_id,
		.open = memory_open,
		.data = &packed[i],
		.expected = {.media_type = "application/"
					   "vnd.oci.image.layer.v1.tar+gzip",
			     .size = packed[i].length},
	};
	assert_int_equal(hash_bytes(packed[i].bytes, packed[i].length,
				    source->expected.digest, &error),
			 0);
	digest_short(source->id, source->expected.digest);
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *path = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-layers-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	umask(0);
	path = xasprintf("%s/store", directory);
	err_clear(&error);
	job = (struct job){.progress_fd = -1};
	if (store_open(path, &job.store, &error) < 0)
		return -1;
	memset(packed, 0, sizeof(packed));
	for (size_t i = 0; i < LAYERS; i++) {
		cleanup_free char *text = xasprintf("layer %zu\n", i);

		pack(&packed[i], text);
		describe(i);
	}
	return stage_open(&job.store, &stage, &error);
}

static int tear_down(void **state)
{
	stage_release(&stage);
	store_close(&job.store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* Another attempt, by another process. */
static void restart(void)
{
	stage_release(&stage);
	atomic_store(&job.cancelled, false);
	err_clear(&error);
	for (size_t i = 0; i < LAYERS; i++) {
		describe(i);
		packed[i].opened = 0;
	}
	assert_int_equal(stage_open(&job.store, &stage, &error), 0);
}

static int run(uint64_t *ret_size)
{
	return layers_stage(&job, &stage, sources, LAYERS, 3, ret_size, &error);
}

static void run_well(void)
{
	uint64_t size = 0;

	if (run(&size) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(size, LAYERS * strlen("layer 0\n"));
}

static void assert_layer(size_t i)
{
	cleanup_free char *path =
		xasprintf("%s/diff/etc/name", digest_hex(packed[i].diff_id));
	cleanup_free char *wanted = xasprintf("layer %zu\n", i);
	cleanup_free char *found = NULL;
	struct layer layer;

	if (file_read_at(job.store.layers_fd, path, 100, &found, NULL, &error) <
	    0)
		fail_msg("%s", error.message);
	assert_string_equal(found, wanted);
	assert_int_equal(
		layer_read(&job.store, packed[i].diff_id, &layer, &error), 0);
	assert_string_equal(layer.blob, sources[i].expected.digest);
	assert_true(blob_exists(&job.store, layer.blob));
}

/* All there before the commit, and leased as long as the work goes on. */
static void test_all(void **state)
{
	cleanup_strv char **leases = NULL;

	run_well();
	for (size_t i = 0; i < LAYERS; i++) {
		assert_int_equal(packed[i].opened, 1);
		assert_layer(i);
		assert_string_equal(sources[i].blob.digest,
				    sources[i].expected.digest);
		assert_string_equal(sources[i].layer.diff_id,
				    packed[i].diff_id);
	}
	assert_int_equal(store_leases(&job.store, &leases, &error), 0);
	assert_int_equal(strv_length(leases), 2 * LAYERS);
	restart();
	run_well();
	for (size_t i = 0; i < LAYERS; i++)
		assert_int_equal(packed[i].opened, 0);
}

static void remove_blob(size_t i)
{
	char path[BLOB_PATH_MAX];

	blob_path(path, sources[i].expected.digest);
	assert_int_equal(unlinkat(job.store.image_fd, path, 0), 0);
}

static ino_t inode_of(size_t i)
{
	struct stat st;

	assert_int_equal(fstatat(job.store.layers_fd,
				 digest_hex(packed[i].diff_id), &st, 0),
			 0);
	return st.st_ino;
}

static void test_only_missing(void **state)
{
	ino_t inode;

	run_well();
	inode = inode_of(1);
	assert_int_equal(tree_remove_at(job.store.layers_fd,
					digest_hex(packed[0].diff_id), &error),
			 0);
	remove_blob(1);
	restart();
	run_well();
	/* From the blob that is here. */
	assert_int_equal(packed[0].opened, 0);
	assert_layer(0);
	/* The blob came again, the layer stayed what it was. */
	assert_int_equal(packed[1].opened, 1);
	assert_layer(1);
	assert_true(inode == inode_of(1));
	assert_int_equal(packed[2].opened, 0);
}

/* What a crash of another kind left in a layer's place. */
static void test_broken_layer(void **state)
{
	const char *hex = digest_hex(packed[2].diff_id);
	cleanup_free char *marker = xasprintf("%s/" LAYER_MARKER, hex);

	run_well();
	assert_int_equal(unlinkat(job.store.layers_fd, marker, 0), 0);
	restart();
	run_well();
	assert_layer(2);
}

static void test_same_twice(void **state)
{
	packed[3] = packed[0];
	describe(3);
	run_well();
	assert_int_equal(packed[0].opened + packed[3].opened, 1);
	assert_string_equal(sources[3].layer.diff_id, packed[0].diff_id);
	assert_string_equal(sources[3].blob.digest, sources[0].blob.digest);
}

/* A blob and a layer that are both here need not belong together. */
static void test_wrong_pair(void **state)
{
	uint64_t size;

	run_well();
	restart();
	sources[0].diff_id = packed[1].diff_id;
	assert_int_not_equal(run(&size), 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message, "the unpacked layer is"));
}

static void assert_refused(size_t i, const char *text)
{
	uint64_t size;

	assert_true(run(&size) < 0);
	if (!str_starts(error.message, sources[i].what) ||
	    !strstr(error.message, text))
		fail_msg("%s", error.message);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_false(layer_exists(&job.store, packed[i].diff_id));
	assert_false(blob_exists(&job.store, sources[i].expected.digest));
}

static void test_refused(void **state)
{
	char digest[DIGEST_TEXT_MAX];

	/* Packed data that is damaged: its digest tells. */
	packed[1].bytes[packed[1].length / 2] ^= 0x55;
	assert_refused(1, "wrong digest: the file is sha256:");
	packed[1].bytes[packed[1].length / 2] ^= 0x55;
	restart();
	packed[1].length -= 3;
	assert_refused(1, "wrong size: ");
	packed[1].length += 3;
	restart();
	sources[1].expected.size--;
	assert_refused(1, "wrong size: ");
	restart();
	sources[1].expected.size++;
	assert_refused(1, "wrong size: ");
	restart();
	/* Honest packed data of another layer than it is said to be. */
	memset(digest, 0, sizeof(digest));
	snprintf(digest, sizeof(digest), "%s", packed[1].diff_id);
	digest[20] = digest[20] == '0' ? '1' : '0';
	sources[1].diff_id = digest;
	assert_refused(1, "wrong digest: the unpacked layer is");
	restart();
	/* Damaged, but with the right digest. */
	packed[1].bytes[packed[1].length / 2] ^= 0x55;
	describe(1);
	assert_refused(1, "gzip");
}

/* One failure ends the others, whatever they wait for, and is what is told. */
static void test_failure_stops_all(void **state)
{
	uint64_t size;

	packed[0].endless = true;
	packed[2].endless = true;
	sources[0].expected.size = 5000;
	sources[2].expected.size = 5000;
	sources[1].open = open_nothing;
	assert_true(run(&size) < 0);
	assert_string_equal(error.message,
			    "image web: layer 2: the server answered 500");
	assert_true(atomic_load(&job.cancelled));
	assert_false(layer_exists(&job.store, packed[0].diff_id));
	for (size_t i = 0; i < LAYERS; i++)
		packed[i].endless = false;
	restart();
	run_well();
}

static void test_statuses(void **state)
{
	static const char *const wanted[] = {
		"\"Pulling fs layer\"", "\"Waiting\"", "\"Downloading\"",
		"\"current\":", "\"Pull complete\""};
	cleanup_free char *text = NULL;
	cleanup_free char *path = xasprintf("%s/progress", directory);
	cleanup_fd int fd =
		open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	job.progress_fd = fd;
	run_well();
	assert_int_equal(
		file_read_at(AT_FDCWD, path, 65536, &text, NULL, &error), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!strstr(text, wanted[i]))
			fail_msg("no %s in %s", wanted[i], text);
	}
	for (size_t i = 0; i < LAYERS; i++)
		assert_non_null(strstr(text, sources[i].id));
	assert_null(strstr(text, "Already exists"));
	restart();
	assert_int_equal(ftruncate(fd, 0), 0);
	run_well();
	cleanup_free_function(&text);
	text = NULL;
	assert_int_equal(
		file_read_at(AT_FDCWD, path, 65536, &text, NULL, &error), 0);
	assert_non_null(strstr(text, "Already exists"));
	assert_null(strstr(text, "Pulling"));
}

struct count {
	atomic_int begun;
	atomic_bool cancelled;
	int failing; /* index of a failure, -1: none */
};

static int count_run(void *data, size_t index, struct error *err)
{
	struct count *count = data;

	atomic_fetch_add(&count->begun, 1);
	if (count->failing < 0)
		return 0;
	if ((int)index == count->failing)
		return err_set(err, ERROR_NO_SPACE, "full");
	/* All that began with it learn of it, and say so first. */
	while (!atomic_load(&count->cancelled))
		usleep(100);
	return err_number(err, ECANCELED, "stopped");
}

static void test_parallel(void **state)
{
	struct count count = {.failing = -1};
	struct parallel parallel = {
		.run = count_run,
		.data = &count,
		.count = 100,
		.threads = 4,
		.cancelled = &count.cancelled,
	};

	assert_int_equal(parallel_run(&parallel, &error), 0);
	assert_int_equal(count.begun, 100);
	count = (struct count){.failing = 2};
	assert_int_equal(parallel_run(&parallel, &error), -ENOSPC);
	assert_string_equal(error.message, "full");
	assert_true(count.begun >= 3 && count.begun <= 4);
	/* Nothing to do; no threads wanted. */
	count = (struct count){.failing = -1};
	parallel.count = 0;
	assert_int_equal(parallel_run(&parallel, &error), 0);
	parallel.count = 3;
	parallel.threads = 0;
	assert_int_equal(parallel_run(&parallel, &error), 0);
	assert_int_equal(count.begun, 3);
}

/* Flushes many times, and ends when it is told to. */
static void test_flusher(void **state)
{
	struct flusher flusher;
	int dir_fd = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	flusher_start(&flusher, dir_fd);
	for (int i = 0; i < 100; i++)
		flusher_add(&flusher, 32u << 20);
	flusher_stop(&flusher);
	assert_true(flusher.fd < 0);
	close_fd(&dir_fd);
	/* No directory: nothing to flush, nothing to wait for. */
	flusher_start(&flusher, -1);
	flusher_add(&flusher, 1u << 30);
	flusher_stop(&flusher);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all),
		TEST(test_only_missing),
		TEST(test_broken_layer),
		TEST(test_same_twice),
		TEST(test_wrong_pair),
		TEST(test_refused),
		TEST(test_failure_stops_all),
		TEST(test_statuses),
		cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_flusher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
