/* policy/seccomp_native.h */
#include "policy/seccomp_native.h"

#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "seccomp_child.h"

#define NO_FD ((unsigned long)-1)

/* Without a listener, who would be notified is told ENOSYS. */
#define NOTIFIED (-ENOSYS)

static struct seccomp_filter build(void)
{
	struct seccomp_filter filter;

	seccomp_native_build(&filter);
	assert_true(filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER);
	filter.flags = 0;
	return filter;
}

static void test_calls(void **state)
{
	static const struct {
		struct call call;
		long result;
	} cases[] = {
		{{SYS_bind, {NO_FD, 0, 16}}, NOTIFIED},
		{{SYS_bind, {NO_FD, 0, 128}}, NOTIFIED},
		{{SYS_bind, {NO_FD, 0, 0xffffffff}}, NOTIFIED},
		/* as netlink's */
		{{SYS_bind, {NO_FD, 0, 12}}, -EBADF},
		{{SYS_connect, {NO_FD, 0, 16}}, NOTIFIED},
		{{SYS_connect, {NO_FD, 0, 2}}, -EBADF},
		{{SYS_sendto, {NO_FD, 0, 0, MSG_FASTOPEN}}, -EOPNOTSUPP},
		{{SYS_sendto, {NO_FD, 0, 0, MSG_FASTOPEN | MSG_DONTWAIT}},
		 -EOPNOTSUPP},
		{{SYS_sendto, {NO_FD, 0, 0, MSG_DONTWAIT}}, -EBADF},
		{{SYS_sendmsg, {NO_FD, 0, MSG_FASTOPEN}}, -EOPNOTSUPP},
		{{SYS_sendmmsg, {NO_FD, 0, 0, MSG_FASTOPEN}}, -EOPNOTSUPP},
		{{SYS_setsockopt, {NO_FD, 6, 30}}, -EOPNOTSUPP},
		{{SYS_setsockopt, {NO_FD, 6, 1}}, -EBADF},
		{{SYS_setsockopt, {NO_FD, 1, 30}}, -EBADF},
		{{425, {0}}, -ENOSYS},
		{{427, {NO_FD}}, -ENOSYS},
		/* close_range, the neighbour of io_uring's */
		{{436, {1, 0}}, -EINVAL},
		{{SYS_close, {NO_FD}}, -EBADF},
#if defined(__x86_64__)
		/* getppid of x32 */
		{{0x40000000 | SYS_getppid, {0}}, -ENOSYS},
#endif
	};
	struct seccomp_filter filter = build();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		long result = seccomp_child_call(&filter, seccomp_child_raw,
						 &cases[i].call);

		if (result != cases[i].result)
			fail_msg("case %zu: %ld", i, result);
	}
	seccomp_filter_release(&filter);
}

#if defined(__x86_64__)
static void test_calls_of_32_bits(void **state)
{
	static const struct {
		struct call call;
		long result;
	} cases[] = {
		{{361, {NO_FD, 0, 16}}, NOTIFIED},
		{{361, {NO_FD, 0, 12}}, -EBADF},
		{{362, {NO_FD, 0, 16}}, NOTIFIED},
		{{370, {NO_FD, 0, MSG_FASTOPEN}}, -EOPNOTSUPP},
		{{366, {NO_FD, 6, 30}}, -EOPNOTSUPP},
		{{102, {3, 0, 0}}, -ENOSYS},
		{{425, {0}}, -ENOSYS},
		{{6 /* close */, {NO_FD}}, -EBADF},
	};
	const struct call close_call = {6, {NO_FD}};
	struct seccomp_filter filter = build();

	/* A kernel without 32-bit programs has nothing to refuse. */
	if (seccomp_child_call(&filter, seccomp_child_int80, &close_call) ==
	    CALL_KILLED - SIGSEGV) {
		seccomp_filter_release(&filter);
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		long result = seccomp_child_call(&filter, seccomp_child_int80,
						 &cases[i].call);

		if (result != cases[i].result)
			fail_msg("case %zu: %ld", i, result);
	}
	seccomp_filter_release(&filter);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
#if defined(__x86_64__)
		cmocka_unit_test(test_calls_of_32_bits),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
