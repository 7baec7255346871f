/* COPY, ADD and WORKDIR as layers, made by the helper program moss-image. */
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
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/transfer_build.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

#define STORE_CLOSED                                            \
	{                                                       \
		.root_fd = -1, .image_fd = -1, .layers_fd = -1, \
		.volumes_fd = -1, .tmp_fd = -1                  \
	}
#define MTIME 1000000000 /* of all files of a context */

static char directory[PATH_MAX]; /* of one test */
static char *context;
static int top; /* the context */
static struct store store = STORE_CLOSED;
static struct store_work work = {.fd = -1, .lock_fd = -1};
static struct layer_chain chain; /* the stage so far */
static char content[65];	 /* of the last copy */
static struct error error;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *path = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-copy-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	umask(022);
	context = xasprintf("%s/context", directory);
	path = xasprintf("%s/store", directory);
	if (mkdir(context, 0755) < 0)
		return -1;
	top = open(context, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err_clear(&error);
	if (store_open(path, &store, &error) < 0)
		return -1;
	return store_work_new(&store, &work, &error);
}

static int tear_down(void **state)
{
	store_work_release(&work);
	work = (struct store_work){.fd = -1, .lock_fd = -1};
	store_close(&store);
	layer_chain_release(&chain);
	close_fd(&top);
	free(steal_ptr(&context));
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* ---- a context ---- */

static void shell(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	cleanup_free char *command = NULL;
	cleanup_free char *whole = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&command, format, arguments) < 0)
		str_oom();
	va_end(arguments);
	whole = xasprintf("cd '%s' && %s", context, command);
	if (system(whole) != 0)
		fail_msg("%s", command);
}

/* Of equal times, so that layers can be compared. */
static void set_times(void)
{
	shell("find . -exec touch -h -d @%d {} +", MTIME);
}

static void put_tar(const char *name, const struct tar_file *files,
		    size_t count)
{
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, count);
	assert_int_equal(file_write_atomic_at(top, name, tar.data, tar.length,
					      0644, FILE_VOLATILE, &error),
			 0);
}

/* ---- steps ---- */

static struct layer_copy_request request_of(const struct copy_source *source,
					    const char *destination)
{
	return (struct layer_copy_request){
		.chain = &chain,
		.destination = destination,
		.sources = source,
		.source_count = 1,
		.lease = work.name,
		.epoch = -1,
		.progress_fd = -1,
	};
}

/* As the command says; a layer is put on top of the chain. */
static int run(const struct layer_copy_request *request)
{
	struct layer_ref layer;
	int r;

	err_clear(&error);
	r = image_layer_copy(&store, request, &layer, content, &error);
	if (r > 0)
		assert_int_equal(layer_chain_push(&chain, &layer, &error), 0);
	return r;
}

static struct copy_source context_of(char *const *patterns)
{
	return (struct copy_source){
		.kind = COPY_FROM_CONTEXT,
		.directory = context,
		.patterns = patterns,
	};
}

static int copy(const char *pattern, const char *destination)
{
	char *const patterns[] = {(char *)(uintptr_t)pattern, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, destination);

	return run(&request);
}

static int add(const char *pattern, const char *destination)
{
	char *const patterns[] = {(char *)(uintptr_t)pattern, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, destination);

	source.unpack = true;
	return run(&request);
}

static int work_directory(const char *path, const char *owner)
{
	const struct copy_source source = {.kind = COPY_DIRECTORY};
	struct layer_copy_request request = request_of(&source, path);

	request.owner = owner;
	return run(&request);
}

static void expect(int expected, int r)
{
	if (r != expected)
		fail_msg("%d, not %d: %s", r, expected, error.message);
}

static void expect_error(int r, const char *text)
{
	if (r >= 0)
		fail_msg("%d, not \"%s\"", r, text);
	if (!strstr(error.message, text))
		fail_msg("\"%s\" has no \"%s\"", error.message, text);
}

/* ---- the layer on top ---- */

static const char *last(void)
{
	assert_true(chain.count > 0);
	return chain.layers[chain.count - 1].diff_id;
}

/* "d 0755 1:2 MTIME" of a path in it; "" when it has none. Caller frees. */
static char *look(const char *path)
{
	cleanup_free char *whole =
		xasprintf("%s/diff/%s", digest_hex(last()), path);
	struct stat st;

	if (fstatat(store.layers_fd, whole, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return xstrdup("");
	return xasprintf("%c %04o %u:%u",
			 S_ISDIR(st.st_mode)	? 'd'
			 : S_ISLNK(st.st_mode)	? 'l'
			 : S_ISFIFO(st.st_mode) ? 'p'
						: 'f',
			 st.st_mode & 07777, st.st_uid, st.st_gid);
}

/* Without sub-IDs all of it is root's. */
static void assert_is(const char *path, const char *expected)
{
	cleanup_free char *found = look(path);
	cleanup_free char *wanted = xstrdup(expected);

	if (*wanted && namespace_ids < 100)
		strcpy(strrchr(wanted, ' '), " 0:0");
	if (!str_equal(found, wanted))
		fail_msg("%s: \"%s\", not \"%s\"", path, found, wanted);
}

static void assert_text(const char *path, const char *expected)
{
	cleanup_free char *whole =
		xasprintf("%s/diff/%s", digest_hex(last()), path);
	cleanup_free char *text = NULL;

	if (file_read_at(store.layers_fd, whole, 65536, &text, NULL, &error) <
	    0)
		fail_msg("%s", error.message);
	assert_string_equal(text, expected);
}

static struct stat stat_of(const char *path)
{
	cleanup_free char *whole =
		xasprintf("%s/diff/%s", digest_hex(last()), path);
	struct stat st = {0};

	assert_int_equal(
		fstatat(store.layers_fd, whole, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* ---- tests ---- */

static void test_directory(void **state)
{
	shell("mkdir -p src/sub && echo a >src/a && echo b >src/sub/b && "
	      "chmod 0700 src src/sub && chmod 4755 src/a && "
	      "ln -s ../nowhere src/link && mkfifo src/pipe && "
	      "touch \"src/$(printf 'new\\nline')\"");
	set_times();
	expect(1, copy("src", "/srv/www"));
	assert_is("srv", "d 0755 0:0");
	/* The destination is made; it is not the source. */
	assert_is("srv/www", "d 0755 0:0");
	assert_is("srv/www/a", "f 4755 0:0");
	assert_is("srv/www/sub", "d 0700 0:0");
	assert_text("srv/www/sub/b", "b\n");
	assert_is("srv/www/link", "l 0777 0:0");
	assert_is("srv/www/pipe", "p 0644 0:0");
	assert_is("srv/www/new\nline", "f 0644 0:0");
	assert_int_equal(stat_of("srv/www/a").st_mtim.tv_sec, MTIME);
	assert_int_equal(stat_of("srv/www/sub").st_mtim.tv_sec, MTIME);
	assert_int_equal(stat_of("srv").st_mtim.tv_sec, MTIME);
}

static void test_same_layer(void **state)
{
	struct layer_chain empty = {0};
	char *const patterns[] = {(char[]){"src"}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "/srv/");
	char first[DIGEST_TEXT_MAX], digest[65];
	cleanup_strv char **leases = NULL;

	shell("mkdir src && echo a >src/a && echo b >src/b");
	set_times();
	request.chain = &empty;
	expect(1, run(&request));
	strcpy(first, last());
	expect(0, image_copy_digest(&store, &request, digest, &error));
	assert_string_equal(digest, content);
	expect(1, run(&request));
	assert_string_equal(last(), first);
	assert_int_equal(store_leases(&store, &leases, &error), 0);
	assert_true(strv_contains(leases, digest_hex(first)));
	assert_true(
		strv_contains(leases, digest_hex(chain.layers[0].blob.digest)));
	shell("echo c >src/b");
	set_times();
	expect(1, run(&request));
	assert_string_not_equal(last(), first);
	assert_string_not_equal(digest, content);
}

/* What is below keeps what it is. */
static void test_parents(void **state)
{
	const struct tar_file files[] = {
		{.path = "tmp/", .type = '5', .mode = 01777, .mtime = 5},
		{.path = "home/",
		 .type = '5',
		 .uid = 7,
		 .gid = 8,
		 .mode = 0710},
		{.path = "home/link", .type = '2', .link = "/tmp/sub"},
		{.path = "tmp/sub/", .type = '5', .mode = 0700},
		{.path = "tmp/file", .data = "old"},
		{.path = "way", .type = '2', .link = "/tmp/file"},
		{.path = "dangling", .type = '2', .link = "no/where/file"},
		{.path = "loop", .type = '2', .link = "loop"},
	};

	put_tar("base.tar", files, ARRAY_SIZE(files));
	shell("echo new >new");
	expect(1, add("base.tar", "/"));
	expect(1, copy("new", "/tmp/"));
	assert_is("tmp", "d 1777 0:0");
	assert_int_equal(stat_of("tmp").st_mtim.tv_sec, 5);
	assert_is("tmp/sub", "");
	expect(1, copy("new", "/home/new"));
	assert_is("home", "d 0710 7:8");
	/* Through a link in the root, and over one. */
	expect(1, copy("new", "/home/link/deep/new"));
	assert_is("home", "");
	assert_is("tmp/sub", "d 0700 0:0");
	assert_is("tmp/sub/deep", "d 0755 0:0");
	assert_text("tmp/sub/deep/new", "new\n");
	expect(1, copy("new", "/way"));
	assert_is("way", "");
	assert_text("tmp/file", "new\n");
	expect(1, copy("new", "/dangling"));
	assert_text("no/where/file", "new\n");
	expect_error(copy("new", "/loop"), "Too many levels");
	expect_error(copy("new", "/loop/x"), "Too many levels");
}

static void test_destinations(void **state)
{
	shell("mkdir dir && echo a >a && echo b >b && echo c >dir/c");
	expect(1, copy("a", "/file"));
	assert_text("file", "a\n");
	expect(1, copy("a", "/dir/"));
	assert_text("dir/a", "a\n");
	expect(1, copy("b", "/dir"));
	assert_text("dir/b", "b\n");
	expect(1, copy("a", "/other/."));
	assert_text("other/a", "a\n");
	expect(1, copy("*", "/all/"));
	assert_text("all/a", "a\n");
	assert_text("all/c", "c\n");
	expect(0, copy("none*", "/x/"));
	expect_error(copy("none", "/x/"), "not found");
	expect_error(copy("a", "/file/x"), "/file");
	expect_error(copy("dir", "/file"), "cannot copy to non-directory");
	shell("mkdir -p over/a");
	expect(1, copy("over", "/dest/"));
	expect_error(copy("a", "/all/a/"), "there is a file");
	expect_error(copy("a", "/dest"), "cannot replace");
}

static void test_owner_and_mode(void **state)
{
	static const struct {
		const char *owner, *mode, *file, *directory;
	} cases[] = {
		{"7", NULL, "f 0644 7:7", "d 0755 7:7"},
		{"1:2", "0600", "f 0600 1:2", "d 0600 1:2"},
		{"web", "u+x,g=u,o=", "f 0770 33:34", "d 0770 33:34"},
		{"web:staff", "a=rX", "f 0444 33:50", "d 0555 33:50"},
		{":staff", "4755", "f 4755 0:50", "d 4755 0:50"},
	};
	char *const patterns[] = {(char[]){"src"}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "/app");

	shell("mkdir -p etc src/sub && echo f >src/f && "
	      "printf 'root:x:0:0::/:\\nweb:x:33:34:w:/:\\n' >etc/passwd && "
	      "printf 'staff:x:50:\\n' >etc/group");
	expect(1, copy("etc", "/etc"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *destination = xasprintf("/app%zu", i);
		cleanup_free char *file = xasprintf("app%zu/f", i);
		cleanup_free char *sub = xasprintf("app%zu/sub", i);

		request.destination = destination;
		request.owner = cases[i].owner;
		request.mode = cases[i].mode;
		expect(1, run(&request));
		assert_is(file, cases[i].file);
		assert_is(sub, cases[i].directory);
		assert_is(destination + 1, cases[i].directory);
	}
	/* What is made on the way there: of a number only. */
	request.owner = NULL;
	request.mode = "0750";
	request.destination = "/one/two/three";
	expect(1, run(&request));
	assert_is("one", "d 0750 0:0");
	assert_is("one/two", "d 0750 0:0");
	request.mode = "o=";
	request.destination = "/four/five";
	expect(1, run(&request));
	assert_is("four", "d 0755 0:0");
	assert_is("four/five", "d 0750 0:0");
	request.destination = "/app";
	request.owner = "nobody";
	expect_error(run(&request), "can't find user nobody");
	request.owner = "web:nogroup";
	expect_error(run(&request), "can't find group nogroup");
	request.owner = "4294967296";
	expect_error(run(&request), "IDs go from 0");
	request.owner = NULL;
	request.mode = "0888";
	expect_error(run(&request), "octal");
	request.mode = "u+q";
	expect_error(run(&request), "invalid chmod");
}

static void test_work_directory(void **state)
{
	expect(1, work_directory("/srv/app", "3:4"));
	assert_is("srv/app", "d 0755 3:4");
	assert_is("srv", "d 0755 3:4");
	expect(1, work_directory("/srv/unknown", "nobody:nogroup"));
	assert_is("srv/unknown", "d 0755 0:0");
	expect(0, work_directory("/srv/app", NULL));
	expect(0, work_directory("/", NULL));
	shell("echo a >a");
	expect(1, copy("a", "/srv/file"));
	expect_error(work_directory("/srv/file/x", NULL), "/srv/file");
}

static void test_text(void **state)
{
	struct copy_source sources[] = {
		{.kind = COPY_FROM_TEXT, .name = "one", .content = "1\n"},
		{.kind = COPY_FROM_TEXT, .name = "two", .content = ""},
	};
	struct layer_copy_request request = request_of(sources, "/etc/");

	request.source_count = 2;
	request.epoch = 77;
	expect(1, run(&request));
	assert_text("etc/one", "1\n");
	assert_text("etc/two", "");
	assert_is("etc/one", "f 0644 0:0");
	assert_int_equal(stat_of("etc/one").st_mtim.tv_sec, 77);
	assert_int_equal(stat_of("etc").st_mtim.tv_sec, 77);
	sources[0].name = "../one";
	expect_error(run(&request), "cannot be the name");
}

static void test_archives(void **state)
{
	static const char *const packers[] = {"cat", "gzip", "bzip2", "xz",
					      "zstd -q"};
	const struct tar_file files[] = {
		{.path = "./", .type = '5', .mode = 0700},
		{.path = "a/b", .data = "text", .uid = 3, .gid = 4, .mtime = 9},
		{.path = "a/hard", .type = '1', .link = "a/b"},
		{.path = "a/link", .type = '2', .link = "/etc"},
		{.path = "a/link/inside", .data = "in"},
		{.path = "a/pipe", .type = '6'},
	};

	put_tar("plain", files, ARRAY_SIZE(files));
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		cleanup_free char *name = xasprintf("packed%zu", i);

		chain.count = 0;
		shell("%s <plain >%s", packers[i], name);
		expect(1, add(name, "/opt"));
		assert_is("opt", "d 0755 0:0");
		assert_is("opt/a/b", "f 0644 3:4");
		assert_text("opt/a/hard", "text");
		assert_int_equal(stat_of("opt/a/b").st_nlink, 2);
		/* Where the link leads in a container. */
		assert_text("etc/inside", "in");
		assert_is("opt/a/pipe", "p 0644 0:0");
	}
	/* COPY does not unpack, nor does ADD what is none. */
	expect(1, copy("packed1", "/opt/"));
	assert_is("opt/packed1", "f 0644 0:0");
	shell("echo text | gzip >text.gz && truncate -s 4096 zeros");
	expect(1, add("text.gz", "/opt/"));
	assert_is("opt/text.gz", "f 0644 0:0");
	expect(1, add("zeros", "/opt/"));
	assert_is("opt/zeros", "f 0644 0:0");
}

static void test_archive_replaces(void **state)
{
	const struct tar_file files[] = {
		{.path = "dir", .data = "file"},
		{.path = "file/", .type = '5'},
		{.path = "file/x", .data = "x"},
	};
	const struct tar_file again[] = {
		{.path = "dir", .data = "file"},
		{.path = "dir/", .type = '5'},
	};

	shell("mkdir -p src/dir && touch src/dir/below src/file");
	expect(1, copy("src", "/"));
	put_tar("add.tar", files, ARRAY_SIZE(files));
	put_tar("again.tar", again, ARRAY_SIZE(again));
	expect_error(add("again.tar", "/"), "directory again");
	expect(1, add("add.tar", "/"));
	assert_text("dir", "file");
	assert_text("file/x", "x");
	expect(1, copy("src/file", "/file/"));
	assert_is("file", "d 0755 0:0");
}

static void test_hostile_archives(void **state)
{
	static const struct {
		struct tar_file files[2];
		const char *text;
	} cases[] = {
		{{{.path = "../x", .data = "x"}}, "leads out"},
		{{{.path = "a/../../x", .data = "x"}}, "leads out"},
		{{{.path = "a/.wh.b", .data = "x"}}, ".wh."},
		{{{.path = ".wh.a/b", .data = "x"}}, ".wh."},
		{{{.path = "h", .type = '1', .link = "/etc/passwd"}}, "hard"},
		{{{.path = "h", .type = '1', .link = "../../x"}}, "leads out"},
		{{{.path = "f", .data = "x"}, {.path = "f/x", .data = "x"}},
		 "there is a file"},
		{{{.path = "l", .type = '2', .link = "l"},
		  {.path = "l/x", .data = "x"}},
		 "Too many levels"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_tar("bad.tar", cases[i].files,
			cases[i].files[1].path ? 2 : 1);
		expect_error(add("bad.tar", "/"), cases[i].text);
		assert_int_equal(chain.count, 0);
	}
	shell("head -c 100000 /dev/urandom >big && tar -c big | gzip | "
	      "head -c 50000 >half.tar.gz");
	expect_error(add("half.tar.gz", "/"), "cannot unpack half.tar.gz");
}

static void test_hostile_context(void **state)
{
	shell("mkdir -p src real/sub && ln -s /etc/passwd src/out && "
	      "ln -s ../../../../../etc src/up && echo x >src/.wh.x && "
	      "ln -s / top && echo mine >real/sub/f && ln -s real way");
	expect_error(copy("src", "/"), ".wh.x");
	expect_error(copy("../etc/passwd", "/"), "not found");
	expect_error(copy("top/etc/passwd", "/"), "not found");
	expect_error(copy("src/out", "/"), "not found");
	expect_error(copy("src/up/passwd", "/"), "not found");
	shell("rm src/.wh.x");
	expect(1, copy("src", "/"));
	assert_is("out", "l 0777 0:0");
	expect(1, copy("way/sub", "/"));
	assert_text("f", "mine\n");
}

static void test_sparse(void **state)
{
	struct stat st;

	shell("truncate -s 1G sparse && echo end >>sparse");
	expect(1, copy("sparse", "/"));
	st = stat_of("sparse");
	assert_int_equal(st.st_size, (1 << 30) + 4);
	assert_true(st.st_blocks < 2048);
	assert_true(chain.layers[0].blob.size < 4096);
}

static void test_root(void **state)
{
	CLEANUP(layer_chain_release) struct layer_chain other = {0};
	const struct tar_file files[] = {
		{.path = "app/", .type = '5', .mode = 0700, .uid = 5},
		{.path = "app/a",
		 .data = "text",
		 .uid = 3,
		 .gid = 4,
		 .mtime = 9},
		{.path = "app/b", .type = '1', .link = "app/a"},
		{.path = "app/null", .type = '3', .major = 1, .minor = 3},
		{.path = "way", .type = '2', .link = "/app"},
	};
	char *const patterns[] = {(char[]){"/way"}, NULL};
	struct copy_source source = {
		.kind = COPY_FROM_ROOT,
		.chain = &other,
		.patterns = patterns,
	};
	struct layer_copy_request request = request_of(&source, "/usr/app");
	char digest[65];
	cJSON *devices = NULL;

	put_tar("base.tar", files, ARRAY_SIZE(files));
	expect(1, add("base.tar", "/"));
	layer_chain_copy(&chain, &other);
	shell("mkdir -p etc usr && chmod 0711 usr");
	chain.count = 0;
	expect(1, copy(".", "/"));
	expect(1, run(&request));
	expect(0, image_copy_digest(&store, &request, digest, &error));
	assert_string_equal(digest, content);
	assert_is("usr", "d 0711 0:0");
	assert_is("usr/app", "d 0755 0:0");
	assert_is("usr/app/a", "f 0644 3:4");
	assert_int_equal(stat_of("usr/app/b").st_nlink, 2);
	assert_int_equal(layer_read_devices(&store, last(), &devices, &error),
			 0);
	assert_int_equal(cJSON_GetArraySize(devices), 1);
	cJSON_Delete(devices);
}

/* A name that was taken by another file is not linked to. */
static void test_root_links(void **state)
{
	CLEANUP(layer_chain_release) struct layer_chain other = {0};
	const struct tar_file files[] = {
		{.path = "x/a", .data = "first"},
		{.path = "y/a", .data = "second"},
		{.path = "z", .type = '1', .link = "x/a"},
	};
	char *const patterns[] = {(char[]){"x/a"}, (char[]){"y/a"},
				  (char[]){"z"}, (char[]){"x"}, NULL};
	struct copy_source source = {
		.kind = COPY_FROM_ROOT,
		.chain = &other,
		.patterns = patterns,
	};
	struct layer_copy_request request = request_of(&source, "/to/");

	put_tar("base.tar", files, ARRAY_SIZE(files));
	expect(1, add("base.tar", "/"));
	layer_chain_copy(&chain, &other);
	chain.count = 0;
	expect(1, run(&request));
	assert_text("to/a", "first");
	assert_text("to/z", "first");
}

static void test_link(void **state)
{
	char *const patterns[] = {(char[]){"new"}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "/tmp/x/new");

	shell("mkdir -p root/tmp root/real && chmod 1777 root/tmp && "
	      "ln -s ../real root/tmp/x && echo new >new");
	expect(1, copy("root", "/"));
	request.link = true;
	expect(1, run(&request));
	assert_is("tmp", "d 0755 0:0");
	assert_text("tmp/x/new", "new\n");
}

static void test_choices(void **state)
{
	char *const patterns[] = {(char[]){"a/./b/*.c"}, (char[]){"top"}, NULL};
	char *const excludes[] = {(char[]){"**/*.o"}, NULL};
	char *const all[] = {(char[]){"."}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "/out/");

	shell("mkdir -p a/b && touch a/b/x.c a/b/x.o top && "
	      "printf 'secret\\n' >.dockerignore && touch secret");
	request.parents = true;
	expect(1, run(&request));
	assert_is("out/b/x.c", "f 0644 0:0");
	assert_is("out/b", "d 0755 0:0");
	assert_is("out/b/x.o", "");
	assert_is("out/top", "f 0644 0:0");
	request.parents = false;
	request.excludes = excludes;
	source.patterns = all;
	source.ignore = "secret\n";
	expect(1, run(&request));
	assert_is("out/a/b/x.c", "f 0644 0:0");
	assert_is("out/a/b/x.o", "");
	assert_is("out/secret", "");
	assert_is("out/.dockerignore", "f 0644 0:0");
}

static void test_epoch(void **state)
{
	char *const patterns[] = {(char[]){"src"}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "/srv/");

	shell("mkdir src && touch -d @100 src/old && touch src/new");
	request.epoch = 5000;
	expect(1, run(&request));
	assert_int_equal(stat_of("srv/old").st_mtim.tv_sec, 100);
	assert_int_equal(stat_of("srv/new").st_mtim.tv_sec, 5000);
	assert_int_equal(stat_of("srv/new").st_mtim.tv_nsec, 0);
	assert_int_equal(stat_of("srv").st_mtim.tv_sec, 5000);
}

static void test_bad_requests(void **state)
{
	char *const patterns[] = {(char[]){"a"}, NULL};
	struct copy_source source = context_of(patterns);
	struct layer_copy_request request = request_of(&source, "relative");

	shell("echo a >a");
	expect_error(run(&request), "absolute");
	request.destination = "/a";
	request.lease = "work-../../x";
	expect_error(run(&request), "no name of work");
	request.lease = NULL;
	expect_error(run(&request), "no work");
	source.directory = "/nonexistent/context";
	expect_error(run(&request), "/nonexistent/context");
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_directory),
		TEST(test_same_layer),
		TEST(test_parents),
		TEST(test_destinations),
		TEST(test_owner_and_mode),
		TEST(test_work_directory),
		TEST(test_text),
		TEST(test_archives),
		TEST(test_archive_replaces),
		TEST(test_hostile_archives),
		TEST(test_hostile_context),
		TEST(test_sparse),
		TEST(test_root),
		TEST(test_root_links),
		TEST(test_link),
		TEST(test_choices),
		TEST(test_epoch),
		TEST(test_bad_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
