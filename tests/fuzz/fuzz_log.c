/*
 * core/monitor/log.h: whatever lies in a log file, reading it ends and gives
 * entries that were asked for; whatever a container writes, it comes back.
 */
#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/monitor/log.h"
#include "core/monitor/log_line.h"

#define TIME	   "2026-01-02T03:04:05Z"
#define ATTRIBUTES "{\"a\":\"\\\",\\\"time\\\":\\\"x\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int directory = -1;
static char directory_path[] = "/tmp/moss-fuzz-XXXXXX";

static void remove_directory(void)
{
	tree_remove_at(AT_FDCWD, directory_path, NULL);
}

static void open_directory(void)
{
	if (directory >= 0)
		return;
	assert(mkdtemp(directory_path));
	directory = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(directory >= 0);
	atexit(remove_directory);
}

static void check_entry(const struct log_entry *entry, size_t size)
{
	assert(entry->stream == 1 || entry->stream == 2);
	assert(entry->length <= size);
	assert(entry->time.tv_nsec >= 0 && entry->time.tv_nsec < 1000000000);
}

static void check_decode(const char *text, size_t size)
{
	cleanup_free char *buffer = xrealloc(NULL, size + 1, 1);
	struct log_entry entry;

	if (log_line_decode(text, size, buffer, NULL, &entry) == 0)
		check_entry(&entry, size);
}

/* What cannot be kept becomes U+FFFD once, and is kept from there on. */
static void check_encode(const char *text, size_t size)
{
	cleanup_free char *line = xrealloc(NULL, LOG_LINE_MAX + 64, 1);
	cleanup_free char *again = xrealloc(NULL, LOG_LINE_MAX + 64, 1);
	cleanup_free char *buffer = xrealloc(NULL, LOG_LINE_MAX + 64, 1);
	struct log_entry entry;
	struct timespec time;
	size_t length, length_again;

	if (size > LOG_TEXT_MAX)
		size = LOG_TEXT_MAX;
	length = log_line_encode(line, text, size, false, 2, ATTRIBUTES, TIME);
	assert(length <= LOG_LINE_MAX + sizeof(ATTRIBUTES));
	assert(memchr(line, '\n', length) == line + length - 1);
	assert(log_line_decode(line, length - 1, buffer, NULL, &entry) == 0);
	check_entry(&entry, length);
	assert(entry.attributes_length == sizeof(ATTRIBUTES) - 1 &&
	       memcmp(entry.attributes, ATTRIBUTES, sizeof(ATTRIBUTES) - 1) ==
		       0);
	assert(log_line_time(line, length - 1, NULL, &time) == 0);
	assert(time.tv_sec == entry.time.tv_sec &&
	       time.tv_nsec == entry.time.tv_nsec);
	if (entry.length > LOG_TEXT_MAX)
		return;
	length_again = log_line_encode(again, entry.text, entry.length, false,
				       2, ATTRIBUTES, TIME);
	/* Only \ufffd is written out the second time. */
	assert(length_again <= length);
}

static size_t count_entries(int64_t tail, size_t size)
{
	const struct log_reader_options options = {.tail = tail};
	struct log_reader *reader = NULL;
	struct log_entry entry;
	size_t count = 0;

	assert(log_reader_open(directory, &options, &reader, NULL) == 0);
	while (log_reader_next(reader, &entry, NULL) > 0) {
		check_entry(&entry, size);
		count++;
	}
	log_reader_close(reader);
	return count;
}

static void check_file(const char *text, size_t size)
{
	size_t all;

	unlinkat(directory, "container.log.1", 0);
	assert(file_write_atomic_at(directory, "container.log", text, size,
				    0600, FILE_VOLATILE, NULL) == 0);
	all = count_entries(-1, size);
	for (int64_t tail = 0; tail < 4; tail++) {
		size_t count = count_entries(tail, size);

		assert(count <= all && count <= (size_t)tail);
	}
}

/* Two writes and a flush behind whatever is in the file. */
static void check_write(const char *text, size_t size)
{
	const struct log_options options = {.max_size = 512, .max_file = 2};
	struct log_writer *writer = NULL;
	size_t half = size / 2;

	assert(log_writer_open(directory, &options, &writer, NULL) == 0);
	assert(log_writer_write(writer, 1, text, half, NULL) == 0);
	assert(log_writer_write(writer, 1, text + half, size - half, NULL) ==
	       0);
	assert(log_writer_flush(writer, NULL) == 0);
	log_writer_close(writer);
	if (size > 0)
		assert(count_entries(-1, LOG_LINE_MAX) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	open_directory();
	check_decode(text, size);
	check_encode(text, size);
	check_file(text, size);
	check_write(text, size);
	return 0;
}
