/* Contexts that are no directory: archives, Dockerfiles, git repositories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/build/remote.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

static char directory[PATH_MAX];
static struct store store;
static struct store_work work;
static struct error error;
static char *path;	 /* of the last context */
static char *dockerfile; /* the last one */
static pid_t server;
static unsigned int port;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *top = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-remote-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = xasprintf("%s/store", directory);
	err_clear(&error);
	if (store_open(top, &store, &error) < 0)
		return -1;
	return store_work_new(&store, &work, &error);
}

static int tear_down(void **state)
{
	if (server > 0) {
		kill(server, SIGKILL);
		proc_wait(server);
	}
	server = 0;
	free(steal_ptr(&path));
	free(steal_ptr(&dockerfile));
	store_work_release(&work);
	store_close(&store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

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
	whole = xasprintf("cd '%s' && %s", directory, command);
	if (system(whole) != 0)
		fail_msg("%s", command);
}

static int run(const char *type, const char *url, int input_fd)
{
	const struct remote_request request = {
		.store = &store,
		.work = &work,
		.input_fd = input_fd,
		.progress_fd = -1,
	};
	cleanup_json cJSON *context = json_object();

	json_set_string(context, "type", type);
	if (url)
		json_set_string(context, "url", url);
	free(steal_ptr(&path));
	free(steal_ptr(&dockerfile));
	err_clear(&error);
	return remote_context(&request, context, &path, &dockerfile, &error);
}

/* From standard input. */
static int run_file(const char *name)
{
	cleanup_free char *whole = xasprintf("%s/%s", directory, name);
	cleanup_fd int fd = open(whole, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return run("tar", NULL, fd);
}

static void expect(int r)
{
	if (r != 0)
		fail_msg("%s", error.message);
}

static void expect_error(int r, const char *text)
{
	if (r >= 0)
		fail_msg("no \"%s\"", text);
	if (!strstr(error.message, text))
		fail_msg("\"%s\" has no \"%s\"", error.message, text);
	assert_null(path);
	assert_null(dockerfile);
}

static void assert_text(const char *name, const char *expected)
{
	cleanup_free char *whole = NULL;
	cleanup_free char *text = NULL;

	assert_non_null(path);
	whole = xasprintf("%s/%s", path, name);
	if (file_read_at(AT_FDCWD, whole, 65536, &text, NULL, &error) < 0)
		fail_msg("%s", error.message);
	assert_string_equal(text, expected);
}

static bool has(const char *name)
{
	cleanup_free char *whole = xasprintf("%s/%s", path, name);

	return faccessat(AT_FDCWD, whole, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put_tar(const char *name, const struct tar_file *files,
		    size_t count)
{
	cleanup_free char *whole = xasprintf("%s/%s", directory, name);
	cleanup_str struct str tar = {0};

	tar_build(&tar, files, count);
	expect(file_write_atomic_at(AT_FDCWD, whole, tar.data, tar.length, 0644,
				    FILE_VOLATILE, &error));
}

/* ---- archives ---- */

static void test_archives(void **state)
{
	static const char *const packers[] = {"cat", "gzip", "bzip2", "xz",
					      "zstd -q"};
	const struct tar_file files[] = {
		{.path = "./", .type = '5'},
		{.path = "./Dockerfile", .data = "FROM scratch\n"},
		{.path = "src/a", .data = "a", .uid = 99999999},
		{.path = "link", .type = '2', .link = "/etc/passwd"},
		{.path = "null", .type = '3', .major = 1, .minor = 3},
	};

	put_tar("plain", files, ARRAY_SIZE(files));
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		shell("%s <plain >packed", packers[i]);
		expect(run_file("packed"));
		assert_null(dockerfile);
		assert_text("Dockerfile", "FROM scratch\n");
		assert_text("src/a", "a");
		assert_true(has("link"));
		assert_false(has("null"));
	}
}

static void test_dockerfiles(void **state)
{
	shell("echo 'FROM scratch' >one && : >none && "
	      "printf 'FROM\\0scratch' >zero && "
	      "head -c 5000000 /dev/zero | tr '\\0' x >large");
	expect(run_file("one"));
	assert_string_equal(dockerfile, "FROM scratch\n");
	assert_null(path);
	expect(run_file("none"));
	assert_string_equal(dockerfile, "");
	expect_error(run_file("zero"), "neither");
	expect_error(run_file("large"), "larger than");
}

static void test_hostile_archives(void **state)
{
	static const struct {
		struct tar_file files[2];
		const char *text;
	} cases[] = {
		{{{.path = "../x", .data = "x"}}, "leads out"},
		{{{.path = "h", .type = '1', .link = "../../x"}}, "leads out"},
		{{{.path = "h", .type = '1', .link = "/etc/passwd"}}, "h"},
	};
	const struct tar_file out[] = {
		{.path = "up", .type = '2', .link = "../../../.."},
		{.path = "up/escaped", .data = "x"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_tar("bad", cases[i].files, 1);
		expect_error(run_file("bad"), cases[i].text);
	}
	/* A link leads where it would in a root of its own. */
	put_tar("out", out, ARRAY_SIZE(out));
	expect(run_file("out"));
	assert_text("escaped", "x");
	shell("gzip <out | head -c 60 >half");
	expect_error(run_file("half"), "gzip");
}

/* ---- git ---- */

static void test_is_git(void **state)
{
	static const struct {
		const char *source;
		bool is_git;
	} cases[] = {
		{"https://example.com/x.git", true},
		{"https://example.com/x.git#main:sub", true},
		{"https://example.com/x.git?a=b", true},
		{"http://example.com/x.tar.gz", false},
		{"http://example.com/x#y.git", false},
		{"git://example.com/x", true},
		{"ssh://git@example.com/x", true},
		{"git@example.com:x/y", true},
		{"github.com/x/y", true},
		{"x.git", false},
		{"./github.com/x", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (remote_is_git(cases[i].source) != cases[i].is_git)
			fail_msg("%s", cases[i].source);
	}
}

/* Each connection has a git daemon of its own. */
static _Noreturn void serve(int listen_fd)
{
	cleanup_free char *base = xasprintf("--base-path=%s/repos", directory);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);

		if (fd >= 0 && fork() == 0) {
			int null = open("/dev/null", O_WRONLY);

			signal(SIGCHLD, SIG_DFL);
			dup2(fd, STDIN_FILENO);
			dup2(fd, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
			execlp("git", "git", "daemon", "--inetd",
			       "--export-all", base, (char *)NULL);
			_exit(127);
		}
		close(fd);
	}
}

static void start_server(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length),
			 0);
	port = ntohs(address.sin_port);
	server = fork();
	if (server == 0)
		serve(fd);
	close(fd);
}

#define GIT                                                                \
	"git -c user.name=x -c user.email=x@y -c init.defaultBranch=main " \
	"-c protocol.file.allow=always "

/* repos/one: a branch and a tag; repos/two has it as a submodule. */
static void make_repositories(void)
{
	shell("mkdir repos && cd repos && " GIT "init -q one && cd one && "
	      "mkdir -p app/deep && echo 1 >app/file && echo top >top && "
	      "ln -s /etc app/out && ln -s app way && " GIT "add . && " GIT
	      "commit -qm 1 && " GIT "tag v1 && echo 2 >app/file && " GIT
	      "commit -qam 2 && git rev-parse v1 >../v1");
}

static int run_git(const char *rest)
{
	cleanup_free char *url = xasprintf("git://127.0.0.1:%u/%s", port, rest);

	return run("git", url, -1);
}

static void test_git(void **state)
{
	cleanup_free char *commit = NULL;
	cleanup_free char *url = NULL;
	cleanup_free char *v1 = NULL;

	make_repositories();
	start_server();
	expect(run_git("one"));
	assert_text("app/file", "2\n");
	assert_false(has(".git"));
	expect(run_git("one#v1:app"));
	assert_text("file", "1\n");
	assert_false(has("top"));
	expect(run_git("one#:way"));
	assert_text("file", "2\n");
	expect_error(run_git("one#:app/out"), "no directory");
	/* There is nothing above it. */
	expect(run_git("one#:../.."));
	assert_text("app/file", "2\n");
	expect_error(run_git("one#nowhere"), "cannot fetch");
	expect_error(run_git("none"), "cannot fetch");
	expect_error(run_git("one#--upload-pack=x"), "reference");
	/* By its number, and by the beginning of that. */
	url = xasprintf("%s/repos/v1", directory);
	expect(file_read_at(AT_FDCWD, url, 128, &v1, NULL, &error));
	v1[strcspn(v1, "\n")] = '\0';
	free(url);
	url = xasprintf("git://127.0.0.1:%u/one#v1", port);
	expect(remote_git_commit(url, &commit, &error));
	assert_string_equal(commit, v1);
	v1[10] = '\0';
	free(url);
	url = xasprintf("one#%s", v1);
	expect(run_git(url));
	assert_text("app/file", "1\n");
}

static void test_submodules(void **state)
{
	make_repositories();
	start_server();
	shell("cd repos && " GIT "init -q two && cd two && " GIT
	      "submodule add -q ../one sub 2>/dev/null && " GIT
	      "config -f .gitmodules submodule.sub.url ../one && " GIT
	      "commit -qam 1");
	expect(run_git("two"));
	assert_text("sub/app/file", "2\n");
	assert_false(has("sub/.git"));
	/* A submodule may not run anything, nor read here. */
	shell("cd repos/two && " GIT "config -f .gitmodules submodule.sub.url "
	      "'ext::sh -c touch%% %s/escaped' && " GIT "commit -qam 2",
	      directory);
	expect_error(run_git("two"), "cannot fetch");
	shell("test ! -e escaped");
	shell("cd repos/two && " GIT "config -f .gitmodules submodule.sub.url "
	      "%s/repos/one && " GIT "commit -qam 3",
	      directory);
	expect_error(run_git("two"), "cannot fetch");
}

static void test_git_options(void **state)
{
	const struct remote_request request = {
		.store = &store,
		.work = &work,
		.input_fd = -1,
		.progress_fd = -1,
	};
	cleanup_free char *url = NULL;
	struct remote_git git = {.keep_git_dir = true};

	make_repositories();
	start_server();
	url = xasprintf("git://127.0.0.1:%u/one#v1", port);
	git.url = url;
	expect(remote_git_checkout(&request, &git, &path, &error));
	assert_true(has(".git"));
	git.checksum = "0123456789";
	free(steal_ptr(&path));
	expect_error(remote_git_checkout(&request, &git, &path, &error),
		     "expected checksum");
	/* Nothing of the user's PATH: no git. */
	setenv("PATH", directory, 1);
	expect_error(remote_git_checkout(&request, &git, &path, &error),
		     "git is not installed");
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	expect_error(run("git", "ext::sh -c true", -1), "cannot");
	expect_error(run("git", "file:///etc", -1), "cannot fetch");
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_archives),
		TEST(test_dockerfiles),
		TEST(test_hostile_archives),
		cmocka_unit_test(test_is_git),
		TEST(test_git),
		TEST(test_submodules),
		TEST(test_git_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
