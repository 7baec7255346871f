/* base/cleanup.h */
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

static int released;

struct thing {
	int value;
};

static void thing_free(struct thing *thing)
{
	released += thing->value;
	free(thing);
}
DEFINE_CLEANUP(struct thing *, thing_free);

static void test_scope(void **state)
{
	int fd;

	{
		cleanup_fd int held = open("/dev/null", O_RDONLY | O_CLOEXEC);
		cleanup_fd int none = -1;
		cleanup_file FILE *file = NULL;
		cleanup_dir DIR *dir = NULL;
		cleanup_strv char **strv = NULL;

		(void)none;
		(void)file;
		(void)dir;
		strv_push(&strv, "x");
		fd = held;
		assert_int_not_equal(fcntl(fd, F_GETFD), -1);
		errno = ENOTTY;
	}
	/* The error that sent us here survives the close. */
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_steal(void **state)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -1;

	{
		cleanup_free char *inner = xstrdup("kept");
		cleanup_fd int held = open("/dev/null", O_RDONLY | O_CLOEXEC);

		text = steal_ptr(&inner);
		assert_null(inner);
		fd = steal_fd(&held);
		assert_int_equal(held, -1);
	}
	assert_string_equal(text, "kept");
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	errno = ENOTTY;
	close_fd(&fd);
	assert_int_equal(fd, -1);
	close_fd(&fd);
	assert_int_equal(errno, ENOTTY);
}

static void test_define(void **state)
{
	{
		CLEANUP(thing_free_cleanup) struct thing *none = NULL;
		CLEANUP(thing_free_cleanup)
		struct thing *thing = xcalloc(1, sizeof(*thing));

		(void)none;
		thing->value = 3;
	}
	assert_int_equal(released, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_steal),
		cmocka_unit_test(test_define),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
