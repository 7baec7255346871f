/* base/fds.h */
#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

struct ends {
	int mine, theirs;
};

static void close_ends(struct ends *ends)
{
	close_fd(&ends->mine);
	close_fd(&ends->theirs);
}
#define cleanup_ends CLEANUP(close_ends)

static struct ends make_ends(void)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	return (struct ends){pair[0], pair[1]};
}

/* The lowest number that is free tells how many are open. */
static int next_free(void)
{
	int fd = dup(STDIN_FILENO);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void test_some(void **state)
{
	cleanup_ends struct ends ends = make_ends();
	const int sent[] = {ends.mine, ends.theirs};
	char text[8] = "";
	int fds[4];
	size_t count = ARRAY_SIZE(fds);

	assert_int_equal(fds_send(ends.mine, 0, "word", 4, sent, 2), 0);
	assert_int_equal(
		fds_receive(ends.theirs, 0, text, sizeof(text), fds, &count),
		4);
	assert_memory_equal(text, "word", 4);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	fds_close(fds, count);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
}

static void test_none(void **state)
{
	cleanup_ends struct ends ends = make_ends();
	char text[8];
	int fds[1];
	size_t count = 1;

	assert_int_equal(fds_receive(ends.theirs, MSG_DONTWAIT, text,
				     sizeof(text), fds, &count),
			 -EAGAIN);
	assert_int_equal(fds_send(ends.mine, 0, "word", 4, NULL, 0), 0);
	assert_int_equal(
		fds_receive(ends.theirs, 0, text, sizeof(text), fds, &count),
		4);
	assert_int_equal(count, 0);
	close_fd(&ends.mine);
	assert_int_equal(
		fds_receive(ends.theirs, 0, text, sizeof(text), fds, &count),
		0);
	assert_int_equal(fds_send(ends.theirs, 0, "word", 4, NULL, 0), -EPIPE);
}

/* Too many, or too long: refused, and nothing of it stays open. */
static void test_too_much(void **state)
{
	static const struct {
		size_t sent, room, size;
	} rows[] = {
		{1, 0, 8},	 {2, 1, 8}, {3, 1, 8}, {3, 2, 8},
		{FDS_MAX, 4, 8}, {1, 4, 2}, {3, 3, 3},
	};
	cleanup_ends struct ends ends = make_ends();
	int sent[FDS_MAX + 1];
	int before = next_free();

	for (size_t i = 0; i < ARRAY_SIZE(sent); i++)
		sent[i] = ends.mine;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[8];
		int fds[FDS_MAX];
		size_t count = rows[i].room;

		assert_int_equal(
			fds_send(ends.mine, 0, "word", 4, sent, rows[i].sent),
			0);
		assert_int_equal(fds_receive(ends.theirs, 0, text, rows[i].size,
					     fds, &count),
				 -EMSGSIZE);
		assert_int_equal(next_free(), before);
	}
	assert_int_equal(fds_send(ends.mine, 0, "word", 4, sent, FDS_MAX + 1),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
