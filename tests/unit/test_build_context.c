/* core/build/context.h */
#include "core/build/context.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include "storage/dockerfile/dockerfile.h"
#include "tests/unit/build_tree.h"

static struct tree tree;
static struct tree store_tree;
static struct store store;
static struct error error;

static int set_up(void **state)
{
	err_clear(&error);
	tree_make(&tree);
	tree_make(&store_tree);
	store = (struct store){.root_fd = store_tree.fd};
	return 0;
}

static int tear_down(void **state)
{
	tree_remove(&tree);
	tree_remove(&store_tree);
	return 0;
}

/* *a and *b; which of them is left out? */
static void check_ignore(const char *files, const char *dockerfile,
			 const char *dockerfile_path, bool a, bool b)
{
	struct context_request request = {
		.store = &store,
		.dockerfile = dockerfile,
		.dockerfile_path = dockerfile_path,
	};
	struct context context = CONTEXT_EMPTY;

	set_up(NULL);
	tree_fill(&tree, files);
	request.path = tree.path;
	if (context_open(&request, &context, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(context.ignore && ignore_matches(context.ignore, "a"),
			 a);
	assert_int_equal(context.ignore && ignore_matches(context.ignore, "b"),
			 b);
	assert_int_equal(!context.ignore, !context.ignore_text);
	assert_non_null(context.cache);
	context_release(&context);
	context_release(&context);
	tear_down(NULL);
}

static void test_ignore(void **state)
{
	check_ignore("x=", "Dockerfile", NULL, false, false);
	check_ignore(".dockerignore=a", "Dockerfile", NULL, true, false);
	check_ignore(".dockerignore=a Dockerfile.dockerignore=b", "Dockerfile",
		     NULL, false, true);
	check_ignore(".dockerignore=a Dockerfile.dockerignore=", "Dockerfile",
		     NULL, false, false);
	check_ignore(".dockerignore=a d/x.dockerignore=b", "d/x", NULL, false,
		     true);
	check_ignore(".dockerignore=a Dockerfile.dockerignore=b", NULL, NULL,
		     true, false);
	check_ignore(".dockerignore=a d=", "d/x", NULL, true, false);
	check_ignore(".dockerignore>rules rules=b", "Dockerfile", NULL, false,
		     true);
	/* Out of the context there is nothing. */
	check_ignore(".dockerignore>/etc/passwd", "Dockerfile", NULL, false,
		     false);
}

static void test_ignore_beside_a_dockerfile_elsewhere(void **state)
{
	struct tree other;
	cleanup_free char *path = NULL;

	tree_make(&other);
	path = xasprintf("%s/Dockerfile", other.path);
	tree_fill(&other, "Dockerfile=FROM Dockerfile.dockerignore=b");
	check_ignore(".dockerignore=a", NULL, path, false, true);
	assert_int_equal(unlinkat(other.fd, "Dockerfile.dockerignore", 0), 0);
	check_ignore(".dockerignore=a", NULL, path, true, false);
	tree_remove(&other);
}

static void test_bad_ignore(void **state)
{
	static const struct {
		const char *what;
		const char *message;
	} rows[] = {
		{".dockerignore/x=", ".dockerignore: it is a directory"},
		{".dockerignore|", ".dockerignore: it is no regular file"},
		{".dockerignore=!", ".dockerignore: line 1: "},
		{".dockerignore=[", ".dockerignore: line 1: "},
		{".dockerignore>.dockerignore", "cannot read .dockerignore"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct context_request request = {.store = &store};
		struct context context = CONTEXT_EMPTY;

		set_up(NULL);
		request.path = tree.path;
		tree_add(&tree, rows[i].what);
		assert_true(context_open(&request, &context, &error) < 0);
		if (!strstr(error.message, rows[i].message))
			fail_msg("%s: %s", rows[i].what, error.message);
		assert_int_equal(context.fd, -1);
		tear_down(NULL);
	}
}

static void test_no_context(void **state)
{
	const struct context_request request = {.store = &store};
	struct context context = CONTEXT_EMPTY;
	char *text = NULL;
	size_t length;

	assert_int_equal(context_open(&request, &context, &error), 0);
	assert_null(context.path);
	assert_int_equal(context_read_dockerfile(&context, "Dockerfile", &text,
						 &length, &error),
			 -ENOENT);
	context_release(&context);
}

static void test_context_that_is_none(void **state)
{
	cleanup_free char *path = xasprintf("%s/none", tree.path);
	const struct context_request request = {.store = &store, .path = path};
	struct context context = CONTEXT_EMPTY;

	assert_int_equal(context_open(&request, &context, &error), -ENOENT);
	assert_non_null(strstr(error.message, path));
}

/* NULL: an error, which `wanted` is part of. */
static void check_dockerfile(const char *path, const char *text,
			     const char *wanted)
{
	const struct context_request request = {
		.store = &store,
		.path = tree.path,
	};
	cleanup_context struct context context = CONTEXT_EMPTY;
	cleanup_free char *found = NULL;
	size_t length = 0;
	int r;

	assert_int_equal(context_open(&request, &context, &error), 0);
	r = context_read_dockerfile(&context, path, &found, &length, &error);
	assert_int_equal(r == 0, text != NULL);
	if (text) {
		assert_string_equal(found, text);
		assert_int_equal(length, strlen(text));
	} else if (!strstr(error.message, wanted)) {
		fail_msg("%s: %s", path, error.message);
	}
}

static void test_dockerfile(void **state)
{
	cleanup_fd int fd = -1;

	tree_fill(&tree, "Dockerfile=FROM d/dockerfile=lower l>d/dockerfile "
			 "out>/etc/passwd up>../../etc/passwd p| dir/ big= "
			 "loop>loop");
	fd = openat(tree.fd, "big", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, DOCKERFILE_MAX + 1), 0);
	check_dockerfile("Dockerfile", "FROM", NULL);
	check_dockerfile("./Dockerfile", "FROM", NULL);
	check_dockerfile("d/Dockerfile", "lower", NULL);
	check_dockerfile("l", "lower", NULL);
	check_dockerfile("../Dockerfile", "FROM", NULL);
	check_dockerfile("none", NULL,
			 "failed to read dockerfile: open none: no such file "
			 "or directory");
	check_dockerfile("Dockerfile/x", NULL, "no such file");
	check_dockerfile("out", NULL, "no such file");
	check_dockerfile("up", NULL, "no such file");
	check_dockerfile("p", NULL,
			 "failed to read dockerfile: cannot read p: "
			 "it is no regular file");
	check_dockerfile("dir", NULL, "it is a directory");
	check_dockerfile("big", NULL, "big");
	check_dockerfile("loop", NULL, "cannot read loop");
}

static void test_dockerfile_on_the_host(void **state)
{
	cleanup_free char *path = xasprintf("%s/l", tree.path);
	cleanup_free char *fifo = xasprintf("%s/p", tree.path);
	cleanup_free char *text = NULL;
	size_t length = 0;

	tree_fill(&tree, "f=text l>f p|");
	assert_int_equal(context_read_file(path, &text, &length, &error), 0);
	assert_string_equal(text, "text");
	assert_int_equal(context_read_file(fifo, &text, &length, &error),
			 -EINVAL);
	assert_int_equal(unlinkat(tree.fd, "f", 0), 0);
	assert_int_equal(context_read_file(path, &text, &length, &error),
			 -ENOENT);
	assert_non_null(strstr(error.message, path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ignore),
		cmocka_unit_test(test_ignore_beside_a_dockerfile_elsewhere),
		cmocka_unit_test(test_bad_ignore),
		TEST(test_no_context),
		TEST(test_context_that_is_none),
		TEST(test_dockerfile),
		TEST(test_dockerfile_on_the_host),
	};

	return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
