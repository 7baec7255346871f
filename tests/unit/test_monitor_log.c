/* core/monitor/log.h and log_line.h */
#include "core/monitor/log.h"
#include "core/monitor/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/log_attributes.h"
#include "core/monitor/log_line.h"

#define TIME "2026-01-02T03:04:05.006Z"

static char top_path[] = "/tmp/moss-test-XXXXXX";
static int top = -1;

static const struct log_options plain = {.max_size = -1, .max_file = 1};

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
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, top_path, NULL);
}

static void write_log(const char *name, const char *text)
{
	assert_int_equal(file_write_atomic_at(top, name, text, strlen(text),
					      0600, FILE_VOLATILE, NULL),
			 0);
}

static char *read_log(const char *name)
{
	char *text = NULL;

	assert_int_equal(file_read_at(top, name, 64u << 20, &text, NULL, NULL),
			 0);
	return text;
}

static struct log_writer *open_writer(const struct log_options *options)
{
	struct log_writer *writer = NULL;
	struct error err = {0};

	assert_int_equal(log_writer_open(top, options, &writer, &err), 0);
	return writer;
}

static void put(struct log_writer *writer, int stream, const char *text)
{
	struct error err = {0};

	assert_int_equal(
		log_writer_write(writer, stream, text, strlen(text), &err), 0);
}

static struct log_reader *open_reader(int64_t tail, bool follow)
{
	const struct log_reader_options options = {.tail = tail,
						   .follow = follow};
	struct log_reader *reader = NULL;
	struct error err = {0};

	assert_int_equal(log_reader_open(top, &options, &reader, &err), 0);
	return reader;
}

/* All entries that are there now, their texts one behind the other. */
static char *drain(struct log_reader *reader)
{
	struct str text = {0};
	struct log_entry entry;
	struct error err = {0};
	int r;

	while ((r = log_reader_next(reader, &entry, &err)) > 0)
		str_append_bytes(&text, entry.text, entry.length);
	assert_int_equal(r, 0);
	return str_steal(&text);
}

static void assert_log(int64_t tail, const char *expected)
{
	struct log_reader *reader = open_reader(tail, false);
	cleanup_free char *text = drain(reader);

	assert_string_equal(text, expected);
	log_reader_close(reader);
}

static const struct {
	const char *options; /* of LogConfig.Config */
	const char *attributes;
} attribute_table[] = {
	{"{}", NULL},
	{"{\"labels\":\"nosuch\",\"env\":\"NOSUCH\",\"tag\":\"\"}", NULL},
	{"{\"max-size\":\"1m\",\"labels\":\"tier,nosuch\"}",
	 "{\"tier\":\"web\"}"},
	{"{\"env\":\"OS,EMPTY\",\"labels\":\"tier\",\"tag\":\"x\"}",
	 "{\"EMPTY\":\"\",\"OS\":\"moss=1\",\"tag\":\"x\",\"tier\":\"web\"}"},
	{"{\"env-regex\":\"^O\",\"labels-regex\":\"er$\"}",
	 "{\"OS\":\"moss=1\",\"owner\":\"me\",\"tier\":\"web\"}"},
	{"{\"tag\":\"{{.Name}}/{{ .ID }}/{{.FullID}}\"}",
	 "{\"tag\":\"box/0123456789ab/0123456789abcdef\"}"},
	{"{\"tag\":\"{{.ImageName}} {{.ImageID}} {{.ImageFullID}}}\"}",
	 "{\"tag\":\"img:1 fedcba987654 sha256:fedcba9876543210}\"}"},
};

static void test_make_attributes(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(attribute_table); i++) {
		cleanup_free char *text = xasprintf(
			"{\"Id\":\"0123456789abcdef\",\"Name\":\"/box\","
			"\"Image\":\"sha256:fedcba9876543210\",\"Config\":"
			"{\"Image\":\"img:1\",\"Labels\":{\"tier\":\"web\","
			"\"owner\":\"me\"},\"Env\":[\"OS=moss=1\",\"EMPTY=\","
			"\"ALONE\"]},\"HostConfig\":{\"LogConfig\":{\"Config\":"
			"%s}}}",
			attribute_table[i].options);
		cleanup_json cJSON *json = NULL;
		cleanup_free char *attributes = NULL;

		assert_int_equal(
			json_parse(text, strlen(text), "test", &json, NULL), 0);
		assert_int_equal(log_attributes_make(json, &attributes, NULL),
				 0);
		if (!str_equal(attributes, attribute_table[i].attributes))
			fail_msg("%s: %s", attribute_table[i].options,
				 attributes);
	}
}

static void test_write_lines(void **state)
{
	struct log_writer *writer = open_writer(&plain);
	cleanup_free char *text = NULL;
	size_t length;

	put(writer, 1, "one\ntw");
	put(writer, 2, "error\n");
	assert_memory_equal(log_writer_unfinished(writer, 1, &length), "tw", 2);
	assert_int_equal(length, 2);
	put(writer, 1, "o\n\nend");
	assert_log(-1, "one\nerror\ntwo\n\n");
	assert_int_equal(log_writer_flush(writer, NULL), 0);
	log_writer_close(writer);
	assert_log(-1, "one\nerror\ntwo\n\nend");
	text = read_log("container.log");
	assert_non_null(strstr(text, "{\"log\":\"error\\n\",\"stream\":"
				     "\"stderr\",\"time\":\"2"));
	assert_non_null(strstr(text, "{\"log\":\"end\",\"stream\":"));
}

/* Number of lines, and the log texts' lengths of the first two. */
static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void test_long_lines(void **state)
{
	static const struct {
		size_t length;
		size_t lines;
	} cases[] = {
		{LOG_TEXT_MAX - 1, 1},	   {LOG_TEXT_MAX, 1},
		{LOG_TEXT_MAX + 1, 2},	   {2 * LOG_TEXT_MAX, 2},
		{2 * LOG_TEXT_MAX + 1, 3},
	};
	static const size_t steps[] = {1000, LOG_TEXT_MAX, 1u << 20};

	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(steps); i++) {
		size_t length = cases[i / ARRAY_SIZE(steps)].length;
		size_t step = steps[i % ARRAY_SIZE(steps)];
		struct log_writer *writer = open_writer(&plain);
		cleanup_free char *line = xcalloc(1, length + 2);
		cleanup_free char *file = NULL;

		memset(line, 'x', length);
		line[length] = '\n';
		for (size_t at = 0; at < length + 1; at += step) {
			size_t part =
				length + 1 - at < step ? length + 1 - at : step;

			assert_int_equal(log_writer_write(writer, 1, line + at,
							  part, NULL),
					 0);
		}
		log_writer_close(writer);
		assert_log(-1, line);
		file = read_log("container.log");
		assert_int_equal(count_lines(file),
				 cases[i / ARRAY_SIZE(steps)].lines);
		assert_int_equal(unlinkat(top, "container.log", 0), 0);
	}
}

/* A character at the edge of a part stays whole. */
static void test_long_line_utf8(void **state)
{
	for (size_t shift = 0; shift < 4; shift++) {
		struct log_writer *writer = open_writer(&plain);
		struct str text = {0};
		cleanup_free char *file = NULL;

		for (size_t i = 0; i < shift; i++)
			str_append_char(&text, 'x');
		while (text.length < 3 * LOG_TEXT_MAX)
			str_append(&text, "\xf0\x9f\x8c\xb1");
		str_append(&text, "\n");
		put(writer, 1, str_text(&text));
		log_writer_close(writer);
		assert_log(-1, str_text(&text));
		file = read_log("container.log");
		assert_null(strstr(file, "ufffd"));
		str_release(&text);
		assert_int_equal(unlinkat(top, "container.log", 0), 0);
	}
}

static void test_parts_share_time(void **state)
{
	struct log_writer *writer = open_writer(&plain);
	struct log_reader *reader;
	struct log_entry first;
	struct log_entry second;
	char line[LOG_TEXT_MAX];

	memset(line, 'x', sizeof(line));
	assert_int_equal(log_writer_write(writer, 1, line, sizeof(line), NULL),
			 0);
	usleep(2000);
	put(writer, 1, "yz");
	usleep(2000);
	put(writer, 1, "\n");
	log_writer_close(writer);
	reader = open_reader(-1, false);
	assert_int_equal(log_reader_next(reader, &first, NULL), 1);
	assert_int_equal(log_reader_next(reader, &second, NULL), 1);
	assert_int_equal(second.length, 3);
	assert_memory_equal(&first.time, &second.time, sizeof(first.time));
	log_reader_close(reader);
}

static void test_rotation(void **state)
{
	const struct log_options options = {.max_size = 500, .max_file = 3};
	struct log_writer *writer = open_writer(&options);
	struct stat st;

	for (int i = 0; i < 100; i++) {
		char line[32];

		snprintf(line, sizeof(line), "line %d\n", i);
		put(writer, 1, line);
		assert_int_equal(fstatat(top, "container.log", &st, 0), 0);
		/* At most the line that went over it. */
		assert_true(st.st_size < 500 + 100);
	}
	log_writer_close(writer);
	assert_int_equal(faccessat(top, "container.log.1", F_OK, 0), 0);
	assert_int_equal(faccessat(top, "container.log.2", F_OK, 0), 0);
	assert_int_equal(faccessat(top, "container.log.3", F_OK, 0), -1);
	/* Across the files, and more than there is left. */
	assert_log(3, "line 97\nline 98\nline 99\n");
	assert_log(8, "line 92\nline 93\nline 94\nline 95\nline 96\nline 97\n"
		      "line 98\nline 99\n");
}

/* As a kill leaves them, at each place of a rotation: no line is lost. */
static void test_killed_in_rotation(void **state)
{
	const struct log_options options = {.max_size = 300, .max_file = 50};

	for (int gap = 0; gap < 4; gap++) {
		struct log_writer *writer = open_writer(&options);
		struct str text = {0};
		char line[32];

		for (int i = 0; i < 14; i++) {
			snprintf(line, sizeof(line), "line %d-%d\n", gap, i);
			put(writer, 1, line);
			str_append(&text, line);
		}
		log_writer_close(writer);
		for (int i = 20; i >= gap; i--) {
			char from[32], to[32];

			log_file_name(from, i, false);
			log_file_name(to, i + 1, false);
			(void)renameat(top, from, top, to);
		}
		assert_log(14, str_text(&text));
		/* The next rotation fills it. */
		writer = open_writer(&options);
		for (int i = 0; i < 14; i++) {
			snprintf(line, sizeof(line), "more %d-%d\n", gap, i);
			put(writer, 1, line);
			str_append(&text, line);
		}
		log_writer_close(writer);
		assert_log(28, str_text(&text));
		for (int i = 0; i < 5; i++) {
			log_file_name(line, i, false);
			assert_int_equal(faccessat(top, line, F_OK, 0), 0);
		}
		str_release(&text);
	}
}

static void test_rotation_in_one_write(void **state)
{
	const struct log_options options = {.max_size = 4096, .max_file = 2};
	struct log_writer *writer = open_writer(&options);
	struct str text = {0};
	struct stat st;

	for (int i = 0; i < 1000; i++)
		str_appendf(&text, "line %d\n", i);
	put(writer, 1, str_text(&text));
	log_writer_close(writer);
	str_release(&text);
	assert_int_equal(fstatat(top, "container.log.1", &st, 0), 0);
	assert_true(st.st_size >= 4096 && st.st_size < 4096 + 100);
	assert_log(2, "line 998\nline 999\n");
}

static void test_rotation_single_file(void **state)
{
	const struct log_options options = {.max_size = 300, .max_file = 1};
	struct log_writer *writer = open_writer(&options);
	struct stat st;

	for (int i = 0; i < 50; i++)
		put(writer, 1, "a line of the log\n");
	put(writer, 1, "last\n");
	log_writer_close(writer);
	assert_int_equal(fstatat(top, "container.log", &st, 0), 0);
	assert_true(st.st_size < 400);
	assert_int_equal(faccessat(top, "container.log.1", F_OK, 0), -1);
	assert_log(1, "last\n");
}

static void test_tail(void **state)
{
	static const struct {
		int64_t tail;
		const char *text;
	} cases[] = {
		{0, ""},	   {1, "c\n"},	     {2, "b\nc\n"},
		{3, "a\nb\nc\n"},  {4, "a\nb\nc\n"}, {1000, "a\nb\nc\n"},
		{-1, "a\nb\nc\n"},
	};
	struct log_writer *writer = open_writer(&plain);

	assert_log(5, "");
	put(writer, 1, "a\nb\nc\n");
	log_writer_close(writer);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_log(cases[i].tail, cases[i].text);
}

/* More than one block of the backward scan. */
static void test_tail_far(void **state)
{
	struct log_writer *writer = open_writer(&plain);
	struct str text = {0};
	const char *wanted;

	for (int i = 0; i < 5000; i++)
		str_appendf(&text, "%0100d\n", i);
	put(writer, 1, str_text(&text));
	log_writer_close(writer);
	wanted = str_text(&text) + 101 * (5000 - 3000);
	assert_log(3000, wanted);
	str_release(&text);
}

static void test_no_log(void **state)
{
	const struct log_options none = {.disabled = true};
	struct log_writer *writer = open_writer(&none);

	assert_log(-1, "");
	put(writer, 1, "nowhere\n");
	assert_int_equal(log_writer_flush(writer, NULL), 0);
	log_writer_close(writer);
	assert_int_equal(faccessat(top, "container.log", F_OK, 0), -1);
}

#define LINE(text, second)                                         \
	"{\"log\":\"" text "\\n\",\"stream\":\"stdout\",\"time\":" \
	"\"2026-01-02T03:04:0" second "Z\"}\n"

static void test_since_until(void **state)
{
	static const struct {
		time_t since, until; /* seconds after 03:04:00, 0: none */
		const char *text;
	} cases[] = {
		{0, 0, "1\n2\n3\n4\n1 again\n"},
		{3, 0, "3\n4\n"},
		{0, 2, "1\n2\n1 again\n"},
		{2, 3, "2\n3\n"},
		{5, 0, ""},
		{4, 2, ""},
	};
	const time_t start = 1767323040;

	/* After the last but one the clock was set back. */
	write_log("container.log", LINE("1", "1") LINE("2", "2") LINE("3", "3")
					   LINE("4", "4") LINE("1 again", "1"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_reader_options options = {.tail = -1,
						     .follow = true};
		struct log_reader *reader = NULL;
		cleanup_free char *text = NULL;

		if (cases[i].since)
			options.since.tv_sec = start + cases[i].since;
		if (cases[i].until)
			options.until.tv_sec = start + cases[i].until;
		assert_int_equal(log_reader_open(top, &options, &reader, NULL),
				 0);
		assert_true(log_reader_fd(reader) >= 0);
		text = drain(reader);
		assert_string_equal(text, cases[i].text);
		log_reader_close(reader);
	}
}

static void test_hostile(void **state)
{
	struct str text = {0};

	str_append(&text, "no log line\n\n{}\n");
	str_append(&text, LINE("good", "1"));
	for (size_t i = 0; i < 3u << 20; i++)
		str_append_char(&text, i % 7 ? 'x' : '"');
	str_append(&text, "\n" LINE("after", "2"));
	/* What is cut off such a line is not a line of its own. */
	for (size_t i = 0; i < 1u << 20; i++)
		str_append_char(&text, 'x');
	str_append(&text, LINE("smuggled", "2"));
	str_append_bytes(&text, "\0\377\n", 3);
	str_append(&text, LINE("end", "3"));
	str_append(&text, "{\"log\":\"torn");
	assert_int_equal(file_write_atomic_at(top, "container.log", text.data,
					      text.length, 0600, FILE_VOLATILE,
					      NULL),
			 0);
	str_release(&text);
	assert_log(-1, "good\nafter\nend\n");
	assert_log(1, "end\n");
}

static void test_not_a_file(void **state)
{
	const struct log_reader_options options = {.tail = -1};
	struct log_reader *reader = NULL;
	struct error err = {0};

	assert_int_equal(symlinkat("/etc/passwd", top, "container.log"), 0);
	assert_true(log_reader_open(top, &options, &reader, &err) < 0);
	assert_int_equal(unlinkat(top, "container.log", 0), 0);
	assert_int_equal(mkfifoat(top, "container.log", 0600), 0);
	assert_true(log_reader_open(top, &options, &reader, &err) < 0);
	assert_null(reader);
}

static void test_torn_by_crash(void **state)
{
	struct log_writer *writer;

	write_log("container.log", LINE("good", "1") "{\"log\":\"torn");
	writer = open_writer(&plain);
	put(writer, 1, "next\n");
	log_writer_close(writer);
	assert_log(-1, "good\nnext\n");
}

static bool is_readable(struct log_reader *reader)
{
	struct pollfd event = {.fd = log_reader_fd(reader), .events = POLLIN};

	return poll(&event, 1, 0) == 1;
}

static void assert_next(struct log_reader *reader, const char *expected)
{
	cleanup_free char *text = NULL;

	assert_true(is_readable(reader));
	text = drain(reader);
	assert_string_equal(text, expected);
	assert_false(is_readable(reader));
}

static void test_follow(void **state)
{
	const struct log_options options = {.max_size = 500, .max_file = 3};
	struct log_reader *reader = open_reader(-1, true);
	cleanup_free char *nothing = drain(reader);
	struct log_writer *writer = open_writer(&options);
	struct log_writer *other;

	assert_string_equal(nothing, "");
	put(writer, 1, "first\n");
	assert_next(reader, "first\n");
	put(writer, 1, "half");
	put(writer, 1, " line\n");
	assert_next(reader, "half line\n");
	/* Every file once, whenever they are rotated. */
	for (int i = 0; i < 40; i++) {
		char line[32];

		snprintf(line, sizeof(line), "line %d\n", i);
		put(writer, 1, line);
		if (i % 3 == 0)
			continue;
		if (i % 3 == 1) {
			cleanup_free char *text = NULL;
			cleanup_free char *expected =
				xasprintf("line %d\nline %d\n", i - 1, i);

			text = drain(reader);
			assert_string_equal(text, expected);
			continue;
		}
		assert_next(reader, line);
	}
	log_writer_close(writer);
	free(drain(reader));
	/* The container starts again. */
	other = open_writer(&options);
	put(other, 1, "again\n");
	assert_next(reader, "again\n");
	log_writer_close(other);
	log_reader_close(reader);
}

static void test_follow_late(void **state)
{
	const struct log_options options = {.max_size = 300, .max_file = 2};
	struct log_writer *writer = open_writer(&options);
	struct log_reader *reader;
	cleanup_free char *text = NULL;

	put(writer, 1, "0\n");
	reader = open_reader(0, true);
	/* So many that the reader's file is deleted under its feet. */
	for (int i = 1; i < 40; i++) {
		char line[32];

		snprintf(line, sizeof(line), "%d\n", i);
		put(writer, 1, line);
	}
	text = drain(reader);
	/* What it had open, then what is left. */
	assert_true(str_starts(text, "1\n2\n"));
	assert_true(str_ends(text, "37\n38\n39\n"));
	log_writer_close(writer);
	log_reader_close(reader);
}

static void test_snapshot_ends(void **state)
{
	struct log_writer *writer = open_writer(&plain);
	struct log_reader *reader;
	cleanup_free char *text = NULL;

	put(writer, 1, "before\n");
	reader = open_reader(-1, false);
	put(writer, 1, "after\n");
	text = drain(reader);
	assert_string_equal(text, "before\n");
	assert_int_equal(log_reader_fd(reader), -1);
	log_writer_close(writer);
	log_reader_close(reader);
}

/* A file size limit stands for a full disk. */
static void test_disk_full(void **state)
{
	struct rlimit old;
	struct rlimit small;
	struct log_writer *writer = open_writer(&plain);
	struct error err = {0};

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_IGN);
	put(writer, 1, "before\n");
	small = (struct rlimit){.rlim_cur = 150, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(log_writer_write(writer, 1, "lost\nlost\n", 10, &err) < 0);
	assert_int_not_equal(err.kind, ERROR_NONE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	put(writer, 1, "after\n");
	log_writer_close(writer);
	assert_log(-1, "before\nafter\n");
}

static const struct {
	const char *json;
	bool good;
	bool disabled;
	int64_t max_size;
	int max_file;
} options_table[] = {
	{"null", true, false, -1, 1},
	{"{}", true, false, -1, 1},
	{"{\"Type\":\"\",\"Config\":null}", true, false, -1, 1},
	{"{\"Type\":\"none\"}", true, true, -1, 1},
	{"{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"10m\","
	 "\"max-file\":\"3\"}}",
	 true, false, 10000000, 3},
	{"{\"Config\":{\"max-size\":\"1.5kB\"}}", true, false, 1500, 1},
	{"{\"Config\":{\"max-size\":\"7\"}}", true, false, 7, 1},
	{"{\"Config\":{\"max-size\":\"2GiB\"}}", true, false, 2000000000, 1},
	{"{\"Type\":\"syslog\"}", false, false, 0, 0},
	{"{\"Type\":7}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":\"0\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":\"-1\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":\"lots\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":\"10x\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":\"\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-size\":10}}", false, false, 0, 0},
	{"{\"Config\":{\"max-file\":\"0\"}}", false, false, 0, 0},
	{"{\"Config\":{\"max-file\":\"99999999999\"}}", false, false, 0, 0},
	{"{\"Config\":{\"compress\":\"true\"}}", false, false, 0, 0},
	{"{\"Config\":{\"compress\":\"true\",\"max-size\":\"9\",\"max-file\":"
	 "\"2\"}}",
	 true, false, 9, 2},
	{"{\"Config\":{\"compress\":\"true\",\"max-size\":\"9\"}}", false,
	 false, 0, 0},
	{"{\"Config\":{\"compress\":\"false\"}}", true, false, -1, 1},
	{"{\"Config\":{\"compress\":\"no way\"}}", false, false, 0, 0},
	{"{\"Config\":{\"mode\":\"blocking\"}}", true, false, -1, 1},
	{"{\"Config\":{\"mode\":\"non-blocking\"}}", false, false, 0, 0},
	{"{\"Config\":{\"nosuch\":\"1\"}}", false, false, 0, 0},
	{"{\"Config\":{\"labels\":\"a,b\",\"tag\":\"{{.Name}}\"}}", true, false,
	 -1, 1},
	{"{\"Config\":{\"tag\":\"{{.Nope}}\"}}", false, false, 0, 0},
	{"{\"Config\":{\"tag\":\"{{.ID\"}}", false, false, 0, 0},
	{"{\"Config\":{\"env-regex\":\"(\"}}", false, false, 0, 0},
	{"{\"Type\":\"local\"}", true, false, 20000000, 5},
	{"{\"Type\":\"local\",\"Config\":{\"max-file\":\"2\"}}", true, false,
	 20000000, 2},
};

static void test_options(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_table); i++) {
		const char *text = options_table[i].json;
		cleanup_json cJSON *json = NULL;
		struct log_options options = {0};
		struct error err = {0};
		int r;

		assert_int_equal(
			json_parse(text, strlen(text), "test", &json, NULL), 0);
		r = log_options_parse(json, &options, &err);
		assert_int_equal(r == 0, options_table[i].good);
		if (r < 0) {
			assert_true(err.kind == ERROR_INVALID ||
				    err.kind == ERROR_UNSUPPORTED);
			continue;
		}
		assert_int_equal(options.disabled, options_table[i].disabled);
		assert_int_equal(options.max_size, options_table[i].max_size);
		assert_int_equal(options.max_file, options_table[i].max_file);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_attributes),
		cmocka_unit_test(test_options),
		TEST(test_write_lines),
		TEST(test_long_lines),
		TEST(test_long_line_utf8),
		TEST(test_parts_share_time),
		TEST(test_rotation),
		TEST(test_killed_in_rotation),
		TEST(test_rotation_in_one_write),
		TEST(test_rotation_single_file),
		TEST(test_tail),
		TEST(test_tail_far),
		TEST(test_no_log),
		TEST(test_since_until),
		TEST(test_hostile),
		TEST(test_not_a_file),
		TEST(test_torn_by_crash),
		TEST(test_follow),
		TEST(test_follow_late),
		TEST(test_snapshot_ends),
		TEST(test_disk_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
