/* core/build/run_mounts.h: what --mount says, what of it is in a key, and the
   parts that need no container. */
#include "core/build/run_mounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/wait.h>

#include "base/json.h"
#include "core/build/agent.h"
#include "core/build/cover.h"
#include "core/build/key.h"
#include "core/engine/engine.h"
#include "storage/build/ignore.h"
#include "storage/transfer_build.h"
#include "tests/unit/build_tree.h"

#define DIRECTORY "/work"

static struct error error;

/* ---- parsing ---- */

static char *text_of(const struct run_mount *mount)
{
	static const char *const types[] = {"bind", "cache", "tmpfs", "secret",
					    "ssh"};
	static const char *const sharing[] = {"", " private", " locked"};
	struct str text = {0};

	str_appendf(&text, "%s %s", types[mount->type],
		    mount->target ? mount->target : "-");
	if (mount->from)
		str_appendf(&text, " from=%s", mount->from);
	if (!str_equal(mount->source, "/"))
		str_appendf(&text, " source=%s", mount->source);
	if (mount->id)
		str_appendf(&text, " id=%s", mount->id);
	if (mount->environment)
		str_appendf(&text, " env=%s", mount->environment);
	str_append(&text, sharing[mount->sharing]);
	if (mount->read_only)
		str_append(&text, " ro");
	if (mount->required)
		str_append(&text, " required");
	if (mount->mode)
		str_appendf(&text, " %o", mount->mode);
	if (mount->has_owner)
		str_appendf(&text, " %u:%u", mount->uid, mount->gid);
	if (mount->size)
		str_appendf(&text, " size=%lld", (long long)mount->size);
	return str_steal(&text);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} rows[] = {
		{"target=/a", "bind /a ro"},
		{"target=a/../b/", "bind /work/b ro"},
		{"target=../../..//x", "bind /x ro"},
		{"type=bind", "bind /work ro"},
		{"TYPE=BIND,DST=/a,SRC=b/c,FROM=Base",
		 "bind /a from=Base source=/b/c ro"},
		{"type=bind,destination=/a,source=../../etc",
		 "bind /a source=/etc ro"},
		{"type=bind,dst=/a,rw", "bind /a"},
		{"type=bind,dst=/a,rw=false", "bind /a ro"},
		{"type=bind,dst=/a,readonly=0", "bind /a"},
		{"\"dst=/a,b\",type=bind", "bind /a,b ro"},
		{"\"dst=/a\"\"b\"", "bind /a\"b ro"},
		{"type=bind,dst=/a,from=", "bind /a ro"},
		{"dst=/a,dst=/b", "bind /b ro"},
		{"type=cache,target=/c", "cache /c id=/c 755"},
		{"type=cache,target=c/", "cache /work/c id=c 755"},
		{"type=cache,target=/c,id=x,sharing=locked,ro",
		 "cache /c id=x locked ro 755"},
		{"sharing=PRIVATE,mode=0700,uid=1,gid=2,target=/c,type=cache",
		 "cache /c id=/c private 700 1:2"},
		{"type=cache,target=/c,from=a,source=b",
		 "cache /c from=a source=/b id=/c 755"},
		{"type=tmpfs,target=/t", "tmpfs /t"},
		{"type=tmpfs,target=/t,size=1g", "tmpfs /t size=1073741824"},
		{"type=secret,id=a", "secret /run/secrets/a id=a ro 400"},
		{"type=secret,source=a/b",
		 "secret /run/secrets/b id=a/b ro 400"},
		{"type=secret,target=/x/y", "secret /x/y id=y ro 400"},
		{"type=secret,target=y", "secret /work/y id=y ro 400"},
		{"type=secret,id=a,env=B", "secret - id=a env=B ro 400"},
		{"type=secret,id=a,env=", "secret - id=a env=a ro 400"},
		{"type=secret,id=a,env=B,dst=/c,required,mode=444,uid=3",
		 "secret /c id=a env=B ro required 444 3:0"},
		{"type=ssh", "ssh /run/buildkit/ssh_agent.0 id=default ro 600"},
		{"type=ssh,id=x,required=true,gid=7",
		 "ssh /run/buildkit/ssh_agent.0 id=x ro required 600 0:7"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *flags[] = {xstrdup(rows[i].text), NULL};
		struct run_mounts mounts = {0};
		cleanup_free char *text = NULL;

		if (run_mounts_parse(flags, NULL, DIRECTORY, &mounts, &error) <
		    0)
			fail_msg("%s", error.message);
		assert_int_equal(mounts.count, 1);
		text = text_of(&mounts.list[0]);
		assert_string_equal(text, rows[i].expected);
		run_mounts_release(&mounts);
		free(flags[0]);
	}
}

static void test_parse_errors(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{"type=nosuch", "unsupported mount type \"nosuch\""},
		{"type=", "unsupported mount type \"\""},
		{"", "invalid field '' must be a key=value pair"},
		{"target", "invalid field 'target' must be a key=value pair"},
		{"type=bind,nosuch", "invalid field 'nosuch' must be"},
		{"type=bind,nosuch=1", "unexpected key 'nosuch' in 'nosuch=1'"},
		{"type=bind,ro=perhaps", "invalid value for ro: perhaps"},
		{"type=cache,sharing=all", "unsupported sharing value \"all\""},
		{"type=bind,sharing=shared",
		 "unexpected key 'sharing' for mount type 'bind'"},
		{"type=bind,size=1", "unexpected key 'size' for mount type"},
		{"type=tmpfs,target=/a,size=much", "invalid value for size"},
		{"type=tmpfs,target=/a,size=-1", "invalid value for size"},
		{"type=bind,required", "unexpected key 'required' for mount"},
		{"required,type=cache", "unexpected key 'required' for mount"},
		{"type=bind,mode=644", "unexpected key 'mode' for mount type"},
		{"type=tmpfs,uid=1", "unexpected key 'uid' for mount type"},
		{"type=cache,target=/a,mode=888", "invalid value 888 for mode"},
		{"type=cache,target=/a,mode=77777", "invalid value 77777 for"},
		{"type=cache,target=/a,uid=x", "invalid value x for uid"},
		{"type=cache,target=/a,gid=4294967295", "for gid"},
		{"type=cache,target=/a,source=b", "needs a from"},
		{"type=secret", "one of id, source and target is required"},
		{"type=secret,id=a,source=b",
		 "both source and id can't be set"},
		{"type=secret,id=a,from=b", "unexpected key 'from' for mount"},
		{"type=secret,id=a,env=B=C", "invalid value for env"},
		{"type=secret,id=B=C,env=", "invalid value for env"},
		{"type=ssh,source=a", "unexpected key 'source' for mount type"},
		{"target=/", "invalid mount target \"/\""},
		{"target=/a/../", "invalid mount target \"/a/../\""},
		{"target=/proc", "invalid mount target"},
		{"target=../proc/self", "invalid mount target"},
		{"target=/sys/", "invalid mount target"},
		{"type=tmpfs,target=/dev", "invalid mount target"},
		{"\"target=/a", "a quote is not closed"},
		{"\"target=/a\"b", "a quote is not closed"},
		{"target=/\"a\"", "a quote within a field"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *flags[] = {xstrdup(rows[i].text), NULL};
		struct run_mounts mounts = {0};

		err_clear(&error);
		if (run_mounts_parse(flags, NULL, DIRECTORY, &mounts, &error) >=
		    0)
			fail_msg("%s was taken", rows[i].text);
		if (!strstr(error.message, rows[i].message))
			fail_msg("%s: %s", rows[i].text, error.message);
		assert_true(str_starts(error.message, "--mount="));
		free(flags[0]);
	}
}

static void parse(const char *first, const char *second,
		  struct run_mounts *ret_mounts)
{
	cleanup_strv char **flags = NULL;

	strv_push(&flags, first);
	if (second)
		strv_push(&flags, second);
	if (run_mounts_parse(flags, NULL, DIRECTORY, ret_mounts, &error) < 0)
		fail_msg("%s", error.message);
}

static void test_many(void **state)
{
	cleanup_strv char **flags = NULL;
	cleanup_strv char **names = NULL;
	struct run_mounts mounts = {0};
	bool context = true;

	(void)state;
	parse("type=ssh", "type=ssh,id=b", &mounts);
	assert_string_equal(mounts.list[1].target, "/run/buildkit/ssh_agent.1");
	run_mounts_sources(&mounts, &names, &context);
	assert_null(names);
	assert_false(context);
	run_mounts_release(&mounts);

	parse("from=a,target=/a", "type=cache,from=b,target=/b", &mounts);
	run_mounts_sources(&mounts, &names, &context);
	assert_int_equal(strv_length(names), 2);
	assert_false(context);
	strv_free(names);
	run_mounts_release(&mounts);

	parse("target=/a", "type=tmpfs,from=b,target=/b", &mounts);
	run_mounts_sources(&mounts, &names, &context);
	assert_null(names);
	assert_true(context);
	run_mounts_release(&mounts);

	for (int i = 0; i <= RUN_MOUNTS_MAX; i++)
		strv_push(&flags, "type=tmpfs,target=/a");
	assert_true(run_mounts_parse(flags, NULL, DIRECTORY, &mounts, &error) <
		    0);
	assert_int_equal(run_mounts_parse(NULL, NULL, DIRECTORY, &mounts, NULL),
			 0);
	assert_int_equal(mounts.count, 0);
}

static const char *lookup(const char *name, void *data)
{
	(void)data;
	return str_equal(name, "LIST") ? "/a,readonly=0" : NULL;
}

/* A variable's value is one field's, whatever is in it. */
static void test_variables(void **state)
{
	const struct expand expand = {.escape = '\\', .lookup = lookup};
	char *const flags[] = {
		(char[]){"type=${NO:-cache},id=$LIST,\"target=/c,$LIST\",ro"},
		NULL,
	};
	struct run_mounts mounts = {0};

	(void)state;
	assert_int_equal(
		run_mounts_parse(flags, &expand, DIRECTORY, &mounts, &error),
		0);
	assert_int_equal(mounts.list[0].type, RUN_MOUNT_CACHE);
	assert_string_equal(mounts.list[0].id, "/a,readonly=0");
	assert_string_equal(mounts.list[0].target, "/c,/a,readonly=0");
	assert_true(mounts.list[0].read_only);
	run_mounts_release(&mounts);
}

static void test_security(void **state)
{
	(void)state;
	assert_int_equal(run_security_check(NULL, NULL), 0);
	assert_int_equal(run_security_check("sandbox", NULL), 0);
	assert_true(run_security_check("insecure", &error) < 0);
	assert_int_equal(error.kind, ERROR_UNSUPPORTED);
	assert_true(run_security_check("", &error) < 0);
	assert_int_equal(error.kind, ERROR_INVALID);
}

/* ---- keys ---- */

static struct tree tree;

static void key_of(const char *mount, char ret_hex[KEY_HEX_MAX])
{
	struct layer_ref layers[2] = {{.diff_id = "sha256:1"},
				      {.diff_id = "sha256:2"}};
	const struct layer_chain one = {.layers = layers, .count = 1};
	const struct layer_chain two = {.layers = layers, .count = 2};
	const struct run_mount_source sources[] = {
		{.directory = tree.path},
		{.name = "one", .chain = &one},
		{.name = "two", .chain = &two},
		{.name = "same", .chain = &one},
	};
	struct run_mounts mounts = {0};
	const struct run_mounts_request request = {
		.mounts = &mounts,
		.sources = sources,
		.source_count = ARRAY_SIZE(sources),
	};
	cleanup_key struct key key = {0};

	parse(mount, NULL, &mounts);
	assert_int_equal(key_begin(&key, "run", NULL), 0);
	if (run_mounts_key(&request, &key, &error) < 0)
		fail_msg("%s: %s", mount, error.message);
	key_finish(&key, ret_hex);
	run_mounts_release(&mounts);
}

static void check_keys(const char *a, const char *b, bool equal)
{
	char first[KEY_HEX_MAX], second[KEY_HEX_MAX];

	key_of(a, first);
	key_of(b, second);
	if (str_equal(first, second) != equal)
		fail_msg("%s and %s", a, b);
}

static void test_keys(void **state)
{
	char before[KEY_HEX_MAX], after[KEY_HEX_MAX], star[KEY_HEX_MAX];
	cleanup_fd int fd = -1;

	(void)state;
	tree_make(&tree);
	assert_int_equal(mkdirat(tree.fd, "d", 0755), 0);
	assert_int_equal(mkdirat(tree.fd, "e", 0755), 0);
	fd = openat(tree.fd, "d/*", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	check_keys("target=/a", "target=/a,ro", true);
	check_keys("target=/a", "target=/b", false);
	check_keys("target=/a", "target=/a,rw", false);
	check_keys("target=/a,source=d", "target=/a,source=/d/", true);
	check_keys("target=/a,source=d", "target=/a,source=e", false);
	check_keys("from=one,target=/a", "from=same,target=/a", true);
	check_keys("from=one,target=/a", "from=two,target=/a", false);
	/* What a cache, a secret or an agent is called, not what it has. */
	check_keys("type=cache,target=/a", "type=cache,target=/a,id=x", true);
	check_keys("type=cache,target=/a", "type=cache,target=/b,id=/a", false);
	check_keys("type=cache,target=/a,from=one",
		   "type=cache,target=/a,from=two", false);
	check_keys("type=secret,id=a", "type=secret,id=b,target=/run/secrets/a",
		   false);
	check_keys("type=secret,id=a,env=A", "type=secret,id=a,env=B", false);
	check_keys("type=ssh", "type=ssh,id=default", true);
	check_keys("type=ssh", "type=ssh,uid=1", false);
	check_keys("type=tmpfs,target=/a", "type=tmpfs,target=/a,size=1m",
		   false);

	key_of("target=/a,source=d", before);
	key_of("target=/a,source=d/*", star);
	assert_int_equal(write(fd, "x", 1), 1);
	key_of("target=/a,source=d", after);
	assert_string_not_equal(before, after);
	key_of("target=/a,source=d/*", after);
	assert_string_not_equal(star, after);
	tree_remove(&tree);
}

static void test_missing_sources(void **state)
{
	static const char *const rows[] = {"target=/a,source=nosuch",

					   "from=nosuch,target=/a"};

	(void)state;
	tree_make(&tree);
	assert_int_equal(mkdirat(tree.fd, "d", 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct run_mount_source source = {.directory = tree.path};
		struct run_mounts mounts = {0};
		const struct run_mounts_request request = {
			.mounts = &mounts,
			.sources = &source,
			.source_count = 1,
		};
		cleanup_key struct key key = {0};

		parse(rows[i], NULL, &mounts);
		assert_int_equal(key_begin(&key, "run", NULL), 0);
		assert_true(run_mounts_key(&request, &key, &error) < 0);
		assert_int_equal(error.kind, ERROR_NOT_FOUND);
		run_mounts_release(&mounts);
	}
	tree_remove(&tree);
}

/* ---- covers ---- */

static bool is_whiteout(const char *cover, const char *path)
{
	cleanup_free char *full = xasprintf("%s/%s", cover, path);
	struct stat st;

	return lstat(full, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static bool is_there(const char *cover, const char *path)
{
	cleanup_free char *full = xasprintf("%s/%s", cover, path);

	return access(full, F_OK) == 0;
}

static void test_cover(void **state)
{
	static const char text[] = "*.log\nsecret\npart\n!part/keep\nempty\n"
				   "!empty/x\n";
	struct tree context, work_tree;
	cleanup_ignore struct ignore *ignore = ignore_new();
	struct store store = {0};
	struct store_work work = {.store = &store, .name = "work-1"};
	cleanup_free char *cover = NULL;
	cleanup_free char *none = NULL;

	(void)state;
	tree_make(&context);
	tree_make(&work_tree);
	store.path = work_tree.path;
	assert_int_equal(mkdirat(work_tree.fd, "tmp", 0755), 0);
	assert_int_equal(mkdirat(work_tree.fd, "tmp/work-1", 0755), 0);
	tree_fill(&context,
		  "a.log= a.txt= d/b.log= d/b.txt= secret/x= secret/y= "
		  "part/keep= part/drop= empty/z= other/only=");
	assert_int_equal(ignore_add_file(ignore, text, strlen(text), &error),
			 0);
	if (cover_make(&work, context.path, ignore, &cover, &error) < 0)
		fail_msg("%s", error.message);
	assert_true(is_whiteout(cover, "a.log"));
	/* "*" does not reach into directories. */
	assert_false(is_there(cover, "d"));
	assert_true(is_whiteout(cover, "secret"));
	assert_true(is_whiteout(cover, "part/drop"));
	assert_false(is_there(cover, "part/keep"));
	assert_true(is_whiteout(cover, "empty"));
	assert_false(is_there(cover, "a.txt"));
	assert_false(is_there(cover, "other"));

	ignore_free(ignore);
	ignore = ignore_new();
	assert_int_equal(cover_make(&work, context.path, ignore, &none, NULL),
			 0);
	assert_null(none);
	assert_int_equal(cover_make(&work, context.path, NULL, &none, NULL), 0);
	assert_null(none);
	tree_remove(&context);
	tree_remove(&work_tree);
}

/* ---- agents ---- */

static int make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&address, sizeof(address)),
		0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&address, sizeof(address)),
		0);
	return fd;
}

/* Sends back what it gets, with how much there was at the end. */
static _Noreturn void echo(int listen_fd)
{
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);
		char bytes[4096];
		ssize_t length;
		size_t total = 0;

		while ((length = read(fd, bytes, sizeof(bytes))) > 0) {
			total += (size_t)length;
			(void)!write_all(fd, bytes, (size_t)length);
		}
		snprintf(bytes, sizeof(bytes), "=%zu", total);
		(void)!write_all(fd, bytes, strlen(bytes));
		close(fd);
	}
}

static void test_agent(void **state)
{
	char ours[80], theirs[80], answer[64] = "";
	int listen_fd, real_fd, fds[AGENT_CONNECTIONS_MAX + 4];
	pid_t echoer, agent;
	ssize_t length;
	size_t got = 0;

	(void)state;
	tree_make(&tree);
	snprintf(ours, sizeof(ours), "%s/ours", tree.path);
	snprintf(theirs, sizeof(theirs), "%s/theirs", tree.path);
	real_fd = make_socket(theirs);
	listen_fd = make_socket(ours);
	echoer = fork();
	if (echoer == 0)
		echo(real_fd);
	agent = agent_start(listen_fd, theirs, &error);
	assert_true(agent > 0);

	/* Connections that say nothing are in nobody's way for ever: those
	   beyond the limit wait. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connect_to(ours);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_int_equal(write_all(fds[0], "hello", 5), 0);
	shutdown(fds[0], SHUT_WR);
	while ((length = read(fds[0], answer + got, sizeof(answer) - got - 1)) >
	       0)
		got += (size_t)length;
	assert_string_equal(answer, "hello=5");
	close(fds[0]);

	/* A late one is served as well, and one whose agent is gone is ended.
	 */
	fds[0] = connect_to(ours);
	assert_int_equal(write_all(fds[0], "x", 1), 0);
	assert_int_equal(read(fds[0], answer, 1), 1);
	kill(echoer, SIGKILL);
	waitpid(echoer, NULL, 0);
	close(real_fd);
	assert_int_equal(read(fds[0], answer, 1), 0);
	close(fds[0]);
	fds[0] = connect_to(ours);
	assert_true(read(fds[0], answer, 1) <= 0);
	close(fds[0]);
	agent_stop(agent);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	tree_remove(&tree);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_errors),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_security),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_missing_sources),
		cmocka_unit_test(test_cover),
		cmocka_unit_test(test_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
