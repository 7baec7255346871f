/* base/error.h */
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void test_kind_from_errno(void **state)
{
	static const struct {
		int number;
		enum error_kind kind;
	} rows[] = {
		{0, ERROR_NONE},
		{ENOENT, ERROR_NOT_FOUND},
		{-ENOENT, ERROR_NOT_FOUND},
		{EEXIST, ERROR_EXISTS},
		{EACCES, ERROR_PERMISSION},
		{EPERM, ERROR_PERMISSION},
		{ENOSPC, ERROR_NO_SPACE},
		{EDQUOT, ERROR_NO_SPACE},
		{ENOSYS, ERROR_UNSUPPORTED},
		{EOPNOTSUPP, ERROR_UNSUPPORTED},
		{ETIMEDOUT, ERROR_TIMEOUT},
		{EINVAL, ERROR_INVALID},
		{EBUSY, ERROR_CONFLICT},
		{EBADMSG, ERROR_CORRUPT},
		{EIO, ERROR_GENERIC},
		{99999, ERROR_GENERIC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(error_kind_from_errno(rows[i].number),
				 rows[i].kind);
}

static void test_meanings_are_complete(void **state)
{
	for (unsigned int i = 1; i < ERROR_KIND_COUNT; i++) {
		const struct error_meaning *meaning =
			error_meaning((enum error_kind)i);

		assert_non_null(meaning->name);
		assert_true(meaning->number > 0);
		assert_in_range(meaning->http_status, 400, 599);
		assert_true(meaning->exit_code > 0);
	}
	assert_int_equal(error_meaning(ERROR_NOT_EXECUTABLE)->exit_code, 126);
	assert_int_equal(error_meaning(ERROR_NO_SUCH_COMMAND)->exit_code, 127);
	assert_int_equal(error_meaning(ERROR_NOT_FOUND)->http_status, 404);
	/* A kind from elsewhere is not an index. */
	assert_ptr_equal(error_meaning((enum error_kind)12345),
			 error_meaning(ERROR_GENERIC));
}

static void test_set(void **state)
{
	struct error err;

	assert_int_equal(err_set(&err, ERROR_NOT_FOUND, "no %s", "web"),
			 -ENOENT);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_int_equal(err.number, 0);
	assert_string_equal(err.message, "no web");
	assert_string_equal(err.hint, "");
	assert_int_equal(err_return(&err), -ENOENT);
	/* A second error replaces the hint of the first. */
	assert_int_equal(err_hint(&err, "try %d", 2), -ENOENT);
	assert_string_equal(err.hint, "try 2");
	err_set(&err, ERROR_INVALID, "other");
	assert_string_equal(err.hint, "");

	assert_int_equal(err_set(NULL, ERROR_CONFLICT, "x"), -EBUSY);
	assert_int_equal(err_hint(NULL, "y"), -EBUSY);
	assert_int_equal(err_number(NULL, -ENOSPC, "x"), -ENOSPC);
	assert_int_equal(err_wrap(NULL, "z"), -ENOSPC);
}

static void test_errno(void **state)
{
	struct error err;

	errno = EACCES;
	assert_int_equal(err_errno(&err, "cannot open %s", "x"), -EACCES);
	assert_int_equal(err.kind, ERROR_PERMISSION);
	assert_int_equal(err.number, EACCES);
	assert_string_equal(err.message, "cannot open x: Permission denied");
	assert_int_equal(err_number(&err, -ENOENT, "a"), -ENOENT);
	assert_string_equal(err.message, "a: No such file or directory");
	assert_int_equal(err_number(&err, ENOENT, "a"), -ENOENT);
}

static void test_wrap(void **state)
{
	struct error err;

	err_number(&err, ENOSPC, "cannot write blob");
	err_hint(&err, "run prune");
	assert_int_equal(err_wrap(&err, "import of %s", "web"), -ENOSPC);
	assert_string_equal(err.message, "import of web: cannot write blob: "
					 "No space left on device");
	assert_int_equal(err.kind, ERROR_NO_SPACE);
	assert_string_equal(err.hint, "run prune");
	/* Arguments may be the error's own text. */
	err_set(&err, ERROR_INVALID, "inner");
	err_wrap(&err, "[%s]", err.message);
	assert_string_equal(err.message, "[inner]: inner");
	err_set(&err, ERROR_INVALID, "%s!", err.message);
	assert_string_equal(err.message, "[inner]: inner!");
}

static void test_long_and_hostile_texts(void **state)
{
	char name[4 * ERROR_MESSAGE_MAX];
	struct error err;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	err_number(&err, ENOENT, "%s", name);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
	/* The reason survives the cut. */
	assert_non_null(strstr(err.message, ": No such file or directory"));
	err_wrap(&err, "%s", name);
	assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
	err_hint(&err, "%s", name);
	assert_int_equal(strlen(err.hint), ERROR_HINT_MAX - 1);

	err_set(&err, ERROR_INVALID, "a\nb\x1b[31m\x7f\tc\n");
	assert_string_equal(err.message, "a b?[31m? c");
}

static void test_copy_and_clear(void **state)
{
	struct error a;
	struct error b = {0};

	err_set(&a, ERROR_TIMEOUT, "slow");
	assert_int_equal(err_copy(&b, &a), -ETIMEDOUT);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(err_copy(NULL, &a), -ETIMEDOUT);
	err_clear(&a);
	assert_int_equal(a.kind, ERROR_NONE);
	assert_string_equal(a.message, "");
	assert_int_equal(err_return(&a), 0);
}

static void test_pipe(void **state)
{
	struct error sent;
	struct error received = {0};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	err_number(&sent, ENOEXEC, "cannot execute x");
	err_hint(&sent, "build it");
	assert_int_equal(error_write(ends[1], &sent), 0);
	assert_int_equal(error_read(ends[0], &received), 1);
	assert_memory_equal(&sent, &received, sizeof(sent));

	/* Short: the writer died. */
	assert_int_equal(write(ends[1], &sent, 10), 10);
	close(ends[1]);
	assert_int_equal(error_read(ends[0], &received), -EBADMSG);
	assert_int_equal(error_read(ends[0], &received), 0);
	close(ends[0]);
	assert_int_equal(error_read(ends[0], &received), -EBADF);
}

static void test_pipe_from_a_liar(void **state)
{
	struct error sent;
	struct error received = {0};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	memset(&sent, 'x', sizeof(sent));
	sent.message[0] = '\x1b';
	sent.number = -5;
	assert_int_equal(error_write(ends[1], &sent), 0);
	assert_int_equal(error_read(ends[0], &received), 1);
	assert_int_equal(received.kind, ERROR_GENERIC);
	assert_int_equal(received.number, 0);
	assert_int_equal(strlen(received.message), ERROR_MESSAGE_MAX - 1);
	assert_int_equal(received.message[0], '?');
	assert_int_equal(strlen(received.hint), ERROR_HINT_MAX - 1);
	assert_true(err_return(&received) < 0);

	/* What arrives is an error, even when it says it is none. */
	err_clear(&sent);
	assert_int_equal(error_write(ends[1], &sent), 0);
	assert_int_equal(error_read(ends[0], &received), 1);
	assert_true(err_return(&received) < 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kind_from_errno),
		cmocka_unit_test(test_meanings_are_complete),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_long_and_hostile_texts),
		cmocka_unit_test(test_copy_and_clear),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_pipe_from_a_liar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
