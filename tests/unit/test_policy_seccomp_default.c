/* policy/profiles/default.json: what it lets through and what it answers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/capability.h"
#include "policy/seccomp.h"
#include "tests/unit/seccomp_child.h"

#define BIT(number) (UINT64_C(1) << (number))
#define HIGH	    (UINT64_C(1) << 32) /* a bit the kernel does not look at */
#define PASSED	    1 /* any answer that is not the filter's */

/* Filters by capability set, compiled once. */
struct filters {
	struct seccomp_filter plain;
	struct seccomp_filter admin;
	struct seccomp_filter net_admin;
};

static int compile(uint64_t capabilities, struct seccomp_filter *ret_filter)
{
	const struct seccomp_request request = {.capabilities = capabilities};
	struct error err = {0};

	if (seccomp_filter_load(&request, -1, ret_filter, &err) < 0) {
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int set_up(void **state)
{
	static struct filters filters;
	uint64_t base = capability_default();

	*state = &filters;
	return compile(base, &filters.plain) ||
	       compile(base | BIT(CAP_SYS_ADMIN), &filters.admin) ||
	       compile(base | BIT(CAP_NET_ADMIN), &filters.net_admin);
}

static int tear_down(void **state)
{
	struct filters *filters = *state;

	seccomp_filter_release(&filters->plain);
	seccomp_filter_release(&filters->admin);
	seccomp_filter_release(&filters->net_admin);
	return 0;
}

struct row {
	const char *name;
	struct call call;
	long result; /* PASSED: not EPERM nor ENOSYS */
};

static void check_rows(const struct seccomp_filter *filter,
		       long (*enter)(const struct call *call),
		       const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		long r = seccomp_child_call(filter, enter, &rows[i].call);
		bool good = r == rows[i].result;

		if (rows[i].result == PASSED)
			good = r > CALL_KILLED && r != -EPERM && r != -ENOSYS;
		if (!good)
			fail_msg("%s: %ld", rows[i].name, r);
	}
}

#define BAD ~0UL /* a descriptor or an address that is not there */

/* Numbers that are the same everywhere, where headers may be older. */
static const struct row plain_rows[] = {
	{"getpid", {SYS_getpid, {0}}, PASSED},
	{"openat2", {437, {BAD, BAD, BAD, 24}}, PASSED},
	{"faccessat2", {439, {BAD, BAD}}, PASSED},
	{"close_range", {436, {BAD, 0}}, PASSED},
	{"statx", {SYS_statx, {BAD, BAD}}, PASSED},
	{"pidfd_open", {434, {BAD}}, PASSED},
	{"pidfd_send_signal", {424, {BAD}}, PASSED},
	{"epoll_pwait2", {441, {BAD, BAD, 1}}, PASSED},
	{"memfd_create", {SYS_memfd_create, {BAD}}, PASSED},
	{"landlock_create_ruleset", {444, {BAD, 8, 9}}, PASSED},
	{"rseq", {SYS_rseq, {BAD, 1}}, PASSED},
	{"copy_file_range", {SYS_copy_file_range, {BAD, 0, BAD}}, PASSED},
	{"ptrace", {SYS_ptrace, {16 /* ATTACH */, BAD}}, PASSED},
	{"process_vm_readv", {SYS_process_vm_readv, {BAD}}, PASSED},
	{"name_to_handle_at", {SYS_name_to_handle_at, {BAD, BAD}}, PASSED},
	{"io_setup", {SYS_io_setup, {1, BAD}}, PASSED},
	{"chroot", {SYS_chroot, {BAD}}, PASSED},
	{"mknodat", {SYS_mknodat, {BAD, BAD}}, PASSED},
	{"clone", {SYS_clone, {CLONE_FS | CLONE_SIGHAND}}, PASSED},
	{"personality query", {SYS_personality, {0xffffffff}}, PASSED},
	{"personality LINUX32", {SYS_personality, {8}}, PASSED},
	{"personality UNAME26", {SYS_personality, {0x20000}}, PASSED},
	{"personality high", {SYS_personality, {HIGH | 0xffffffff}}, PASSED},

	{"personality randomize", {SYS_personality, {0x40000}}, -ENOSYS},
	{"personality mixed", {SYS_personality, {0x40008}}, -ENOSYS},
	{"clone3", {435, {BAD, 64}}, -ENOSYS},
	{"lookup_dcookie", {SYS_lookup_dcookie, {0}}, -ENOSYS},
	{"no such call", {600, {0}}, -ENOSYS},
	{"minus one", {-1, {0}}, -ENOSYS},
	{"far away", {0x3fffffff, {0}}, -ENOSYS},

	{"mount", {SYS_mount, {BAD, BAD, BAD}}, -EPERM},
	{"umount2", {SYS_umount2, {BAD}}, -EPERM},
	{"pivot_root", {SYS_pivot_root, {BAD}}, -EPERM},
	{"fsopen", {430, {BAD}}, -EPERM},
	{"open_tree", {428, {BAD}}, -EPERM},
	{"move_mount", {429, {BAD}}, -EPERM},
	{"mount_setattr", {442, {BAD}}, -EPERM},
	{"unshare user", {SYS_unshare, {CLONE_NEWUSER}}, -EPERM},
	{"unshare nothing", {SYS_unshare, {0}}, -EPERM},
	{"setns", {SYS_setns, {BAD}}, -EPERM},
	{"clone user", {SYS_clone, {CLONE_NEWUSER}}, -EPERM},
	{"clone fs", {SYS_clone, {CLONE_NEWNS | SIGCHLD}}, -EPERM},
	{"clone net", {SYS_clone, {CLONE_NEWNET | SIGCHLD}}, -EPERM},
	{"clone pid", {SYS_clone, {CLONE_NEWPID | SIGCHLD}}, -EPERM},
	{"clone two", {SYS_clone, {CLONE_NEWUTS | CLONE_NEWIPC}}, -EPERM},
	{"clone cgroup", {SYS_clone, {0x02000000}}, -EPERM},
	{"clone high", {SYS_clone, {HIGH | CLONE_NEWUSER}}, -EPERM},
	{"keyctl", {SYS_keyctl, {0}}, -EPERM},
	{"add_key", {SYS_add_key, {0}}, -EPERM},
	{"request_key", {SYS_request_key, {0}}, -EPERM},
	{"bpf", {SYS_bpf, {BAD}}, -EPERM},
	{"perf_event_open", {SYS_perf_event_open, {BAD}}, -EPERM},
	{"userfaultfd", {SYS_userfaultfd, {BAD}}, -EPERM},
	{"io_uring_setup", {425, {1, BAD}}, -EPERM},
	{"io_uring_enter", {426, {BAD}}, -EPERM},
	{"io_uring_register", {427, {BAD}}, -EPERM},
	{"kexec_load", {SYS_kexec_load, {BAD}}, -EPERM},
	{"init_module", {SYS_init_module, {BAD}}, -EPERM},
	{"finit_module", {SYS_finit_module, {BAD}}, -EPERM},
	{"open_by_handle_at", {SYS_open_by_handle_at, {BAD}}, -EPERM},
	{"quotactl", {SYS_quotactl, {BAD}}, -EPERM},
	{"swapon", {SYS_swapon, {BAD}}, -EPERM},
	{"reboot", {SYS_reboot, {BAD}}, -EPERM},
	{"clock_settime", {SYS_clock_settime, {BAD, BAD}}, -EPERM},
	{"settimeofday", {SYS_settimeofday, {BAD}}, -EPERM},
	{"sethostname", {SYS_sethostname, {BAD, 1}}, -EPERM},
	{"syslog", {SYS_syslog, {3, 0, 0}}, -EPERM},
	{"acct", {SYS_acct, {BAD}}, -EPERM},
	{"kcmp", {SYS_kcmp, {BAD}}, -EPERM},
	{"pidfd_getfd", {438, {BAD}}, -EPERM},
	{"mbind", {SYS_mbind, {BAD}}, -EPERM},
	{"move_pages", {SYS_move_pages, {BAD}}, -EPERM},
	{"fanotify_init", {SYS_fanotify_init, {BAD}}, -EPERM},
	{"vhangup", {SYS_vhangup, {0}}, -EPERM},
#if defined(__x86_64__)
	{"arch_prctl", {SYS_arch_prctl, {0x1003, BAD}}, PASSED},
	{"modify_ldt", {SYS_modify_ldt, {0, 0, 0}}, PASSED},
	{"iopl", {SYS_iopl, {3}}, -EPERM},
	{"ioperm", {SYS_ioperm, {BAD}}, -EPERM},
	{"uselib", {SYS_uselib, {BAD}}, -ENOSYS},
	{"x32 getpid", {0x40000000 + SYS_getpid, {0}}, CALL_KILLED - SIGSYS},
#endif
};

/* Calls that look at their arguments before they look at who calls. */
static const struct row admin_rows[] = {
	{"mount", {SYS_mount, {BAD, BAD, BAD}}, PASSED},
	{"unshare", {SYS_unshare, {0}}, PASSED},
	{"setns", {SYS_setns, {BAD}}, PASSED},
	{"clone3", {435, {BAD, 64}}, PASSED},
	{"clone", {SYS_clone, {CLONE_NEWUSER | CLONE_FS}}, PASSED},
	{"quotactl", {SYS_quotactl, {BAD}}, PASSED},
	{"perf_event_open", {SYS_perf_event_open, {BAD}}, PASSED},
	{"keyctl", {SYS_keyctl, {0}}, -EPERM},
	{"io_uring_setup", {425, {1, BAD}}, -EPERM},
	{"init_module", {SYS_init_module, {BAD}}, -EPERM},
	{"AF_ALG", {SYS_socket, {38, SOCK_SEQPACKET}}, -EAFNOSUPPORT},
};

static void test_plain(void **state)
{
	const struct filters *filters = *state;

	check_rows(&filters->plain, seccomp_child_raw, plain_rows,
		   ARRAY_SIZE(plain_rows));
}

static void test_admin(void **state)
{
	const struct filters *filters = *state;

	check_rows(&filters->admin, seccomp_child_raw, admin_rows,
		   ARRAY_SIZE(admin_rows));
}

/*
 * A type of socket that no family has: one that is let through answers with
 * something else than the filter does.
 */
static void check_families(const struct seccomp_filter *filter,
			   const int *allowed, size_t count, uint64_t high)
{
	for (unsigned long family = 0; family < 70; family++) {
		const struct call call = {SYS_socket, {family | high, 15, 0}};
		long expected = family < 64 ? -EAFNOSUPPORT : -ENOSYS;

		for (size_t i = 0; i < count; i++) {
			if ((unsigned long)allowed[i] == family)
				expected = -EINVAL;
		}
		if (seccomp_child_call(filter, seccomp_child_raw, &call) !=
		    expected)
			fail_msg("family %lu", family);
	}
}

static void test_socket_families(void **state)
{
	static const int allowed[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK,
				      AF_PACKET};
	static const int works[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	const struct filters *filters = *state;

	check_families(&filters->plain, allowed, ARRAY_SIZE(allowed), 0);
	/* The kernel takes 32 bits of it, so must the filter. */
	check_families(&filters->plain, allowed, ARRAY_SIZE(allowed), HIGH);
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		const struct call call = {
			SYS_socket, {(unsigned long)works[i], SOCK_DGRAM, 0}};

		assert_true(seccomp_child_call(&filters->plain,
					       seccomp_child_raw, &call) >= 0);
	}
}

static void test_socket_families_net_admin(void **state)
{
	const struct filters *filters = *state;

	/* 46 and more the kernel does not know. */
	for (unsigned long family = 0; family < 46; family++) {
		const struct call call = {SYS_socket, {family | HIGH, 15, 0}};
		bool refused = family == 0 || family == 38 || family == 40;
		long r = seccomp_child_call(&filters->net_admin,
					    seccomp_child_raw, &call);

		/* Past the filter the type is looked at first. */
		if (r != (refused ? -EAFNOSUPPORT : -EINVAL))
			fail_msg("family %lu: %ld", family, r);
	}
}

#if defined(__x86_64__)
/* By numbers of the 32-bit table. */
static const struct row x86_rows[] = {
	{"getpid", {20, {0}}, PASSED},
	{"socket unix", {359, {AF_UNIX, SOCK_STREAM, 0}}, PASSED},
	{"socket alg", {359, {38, SOCK_SEQPACKET, 0}}, -EAFNOSUPPORT},
	{"chown32", {212, {0, 0, 0}}, PASSED},
	{"clock_gettime64", {403, {0, 0}}, PASSED},
	{"ipc", {117, {BAD}}, -ENOSYS}, /* the kernel's own */
	/* The arguments are in memory: any of its calls is refused. */
	{"socketcall socket", {102, {1, 0}}, -EPERM},
	{"socketcall connect", {102, {3, 0}}, -EPERM},
	{"mount", {21, {0, 0, 0}}, -EPERM},
	{"unshare", {310, {0}}, -EPERM},
	{"clone user", {120, {CLONE_NEWUSER}}, -EPERM},
	{"clone3", {435, {0, 0}}, -ENOSYS},
	{"vm86", {166, {0}}, -EPERM},
	{"no such call", {600, {0}}, -ENOSYS},
};

static void test_x86(void **state)
{
	const struct filters *filters = *state;

	check_rows(&filters->plain, seccomp_child_int80, x86_rows,
		   ARRAY_SIZE(x86_rows));
}
#endif

/* The file itself: what its readers rely on. */
static void test_text(void **state)
{
	size_t length = 0;
	const char *text = seccomp_default_profile(&length);
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **seen = NULL;
	const cJSON *group;
	const cJSON *name;

	assert_int_equal(strlen(text), length);
	assert_int_equal(json_parse(text, length, "default", &json, NULL), 0);
	cJSON_ArrayForEach(group, cJSON_GetObjectItem(json, "syscalls"))
	{
		assert_true(
			cJSON_IsString(cJSON_GetObjectItem(group, "comment")));
		if (cJSON_GetObjectItem(group, "includes") ||
		    cJSON_GetObjectItem(group, "excludes") ||
		    cJSON_GetObjectItem(group, "args"))
			continue;
		/* Twice without a condition: one of them does nothing. */
		cJSON_ArrayForEach(name, cJSON_GetObjectItem(group, "names"))
		{
			if (strv_contains(seen, name->valuestring))
				fail_msg("%s", name->valuestring);
			strv_push(&seen, name->valuestring);
		}
	}
	assert_true(strv_length(seen) > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_socket_families),
		cmocka_unit_test(test_socket_families_net_admin),
#if defined(__x86_64__)
		cmocka_unit_test(test_x86),
#endif
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
