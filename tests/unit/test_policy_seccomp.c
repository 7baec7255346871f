/* policy/seccomp.h: profiles, their errors, what filters do. */
#include "policy/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "tests/unit/seccomp_child.h"

#define BIT(number) (UINT64_C(1) << (number))
#define ALLOW	    "\"action\":\"SCMP_ACT_ALLOW\""
#define DENY(error) "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" #error

static int load(const char *profile, uint64_t capabilities, bool single_id,
		struct seccomp_filter *filter, struct error *err)
{
	const struct seccomp_request request = {
		.profile = profile,
		.profile_length = strlen(profile),
		.name = "p.json",
		.capabilities = capabilities,
		.single_id = single_id,
	};

	return seccomp_filter_load(&request, -1, filter, err);
}

static void test_errors(void **state)
{
	static const struct {
		const char *profile;
		const char *message;
	} rows[] = {
		{"", "seccomp profile: p.json:1:1: JSON text ends too early"},
		{"{\n\"a\": }", "seccomp profile: p.json:2:6: malformed JSON"},
		{"[]", "seccomp profile: p.json: expected an object"},
		{"{}", "seccomp profile p.json: defaultAction: missing"},
		{"{\"defaultAction\":1}",
		 "seccomp profile p.json: defaultAction: expected a string"},
		{"{\"defaultAction\":\"ALLOW\"}",
		 "seccomp profile p.json: defaultAction: unknown action "
		 "\"ALLOW\""},
		{"{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
		 "seccomp profile p.json: defaultAction: SCMP_ACT_NOTIFY is "
		 "not supported: it needs a supervisor that answers each "
		 "call"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		 "\"defaultErrnoRet\":-1}",
		 "seccomp profile p.json: defaultErrnoRet: expected an integer "
		 ">= 0"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		 "\"defaultErrnoRet\":4096}",
		 "seccomp profile p.json: defaultErrnoRet: expected an integer "
		 "from 0 to 4095"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		 "\"defaultErrno\":\"EFOO\"}",
		 "seccomp profile p.json: defaultErrno: unknown error "
		 "\"EFOO\""},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		 "\"defaultErrno\":\"EPERM\",\"defaultErrnoRet\":2}",
		 "seccomp profile p.json: defaultErrnoRet: EPERM is 1, not 2"},
		{"{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		 "\"defaultErrnoRet\":2}",
		 "seccomp profile p.json: defaultErrnoRet: SCMP_ACT_ALLOW has "
		 "no error number"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct seccomp_filter filter = {0};
		struct error err = {0};

		assert_true(load(rows[i].profile, 0, false, &filter, &err) < 0);
		assert_string_equal(err.message, rows[i].message);
		assert_null(filter.code);
	}
}

/* Everything but defaultAction: a syscalls array or other members. */
static void test_content_errors(void **state)
{
	static const struct {
		const char *members;
		const char *message;
	} rows[] = {
		{"\"archMap\":{}", "archMap: expected an array"},
		{"\"archMap\":[{}]", "archMap[0].architecture: missing"},
		{"\"archMap\":[1]", "archMap[0]: expected an object"},
		{"\"architectures\":[\"SCMP_ARCH_FOO\"]",
		 "architectures[0]: unknown architecture \"SCMP_ARCH_FOO\""},
		{"\"architectures\":[1]",
		 "architectures[0]: expected a string"},
		{"\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":"
		 "[{\"architecture\":\"SCMP_ARCH_X86\"}]",
		 "archMap: architectures is there too, give one of them"},
		{"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_S390X\"]",
		 "architectures of both byte orders cannot be in one filter"},
		{"\"flags\":[\"SECCOMP_FILTER_FLAG_FOO\"]",
		 "flags[0]: unknown flag \"SECCOMP_FILTER_FLAG_FOO\""},
		{"\"syscalls\":{}", "syscalls: expected an array"},
		{"\"syscalls\":[1]", "syscalls[0]: expected an object"},
		{"\"syscalls\":[{" ALLOW "}]",
		 "syscalls[0].names: missing or empty"},
		{"\"syscalls\":[{\"names\":[]," ALLOW "}]",
		 "syscalls[0].names: missing or empty"},
		{"\"syscalls\":[{\"names\":[\"read\",\"\"]," ALLOW "}]",
		 "syscalls[0].names[1]: expected the name of a system call"},
		{"\"syscalls\":[{\"names\":[\"a\"],\"name\":\"b\"," ALLOW "}]",
		 "syscalls[0].name: names is there too, give one of them"},
		{"\"syscalls\":[{\"name\":\"read\"}]",
		 "syscalls[0].action: missing"},
		{"\"syscalls\":[{\"name\":\"a\"," ALLOW "},{\"name\":\"b\","
		 "\"action\":\"SCMP_ACT_FOO\"}]",
		 "syscalls[1].action: unknown action \"SCMP_ACT_FOO\""},
		{"\"syscalls\":[{\"name\":\"b\",\"action\":"
		 "\"SCMP_ACT_NOTIFY\"}]",
		 "syscalls[0].action: SCMP_ACT_NOTIFY is not supported: it "
		 "needs a supervisor that answers each call"},
		{"\"syscalls\":[{\"name\":\"b\",\"errno\":\"EX\","
		 "\"action\":\"SCMP_ACT_ERRNO\"}]",
		 "syscalls[0].errno: unknown error \"EX\""},
		{"\"syscalls\":[{\"name\":\"b\",\"errnoRet\":1," ALLOW "}]",
		 "syscalls[0].errnoRet: SCMP_ACT_ALLOW has no error number"},
		{"\"syscalls\":[{\"name\":\"b\"," DENY(1.5) "}]",
		 "syscalls[0].errnoRet: expected an integer"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW ",\"args\":{}}]",
		 "syscalls[0].args: expected an array"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW ",\"args\":[7]}]",
		 "syscalls[0].args[0]: expected an object"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW ",\"args\":[{}]}]",
		 "syscalls[0].args[0].op: missing"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"args\":[{\"op\":\"==\"}]}]",
		 "syscalls[0].args[0].op: unknown operator \"==\""},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"args\":[{\"index\":6,\"op\":\"SCMP_CMP_EQ\"}]}]",
		 "syscalls[0].args[0].index: system calls have arguments 0 to "
		 "5"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"args\":[{\"value\":-1,\"op\":\"SCMP_CMP_EQ\"}]}]",
		 "syscalls[0].args[0].value: expected an integer >= 0"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"args\":[{\"value\":18446744073709551616,"
		 "\"op\":\"SCMP_CMP_EQ\"}]}]",
		 "syscalls[0].args[0].value: does not fit in 64 bits"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"args\":[{\"valueTwo\":\"1\",\"op\":\"SCMP_CMP_EQ\"}]}]",
		 "syscalls[0].args[0].valueTwo: expected an integer"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"includes\":{\"caps\":\"CAP_CHOWN\"}}]",
		 "syscalls[0].includes.caps: expected an array"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"excludes\":{\"arches\":[0]}}]",
		 "syscalls[0].excludes.arches[0]: expected a string"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"includes\":{\"minKernel\":\"x\"}}]",
		 "syscalls[0].includes.minKernel: \"x\" is not a version such "
		 "as 4.8"},
		{"\"syscalls\":[{\"name\":\"b\"," ALLOW
		 ",\"excludes\":{\"minKernel\":\"4\"}}]",
		 "syscalls[0].excludes.minKernel: \"4\" is not a version such "
		 "as 4.8"},
		/* Also where the rule would not apply. */
		{"\"syscalls\":[{\"name\":\"b\",\"action\":\"X\","
		 "\"includes\":{\"caps\":[\"CAP_SYS_BOOT\"]}}]",
		 "syscalls[0].action: unknown action \"X\""},
		{"\"syscalls\":[{\"name\":\"lseek\"," ALLOW
		 ",\"args\":[{\"index\":0,\"value\":9,"
		 "\"op\":\"SCMP_CMP_EQ\"}]},"
		 "{\"name\":\"lseek\",\"action\":\"SCMP_ACT_KILL\","
		 "\"args\":[{\"index\":0,\"value\":9,"
		 "\"op\":\"SCMP_CMP_EQ\"}]}]",
		 "syscalls[1]: another rule has the same conditions for lseek "
		 "and another action"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile =
			xasprintf("{\"defaultAction\":\"SCMP_ACT_ERRNO\",%s}",
				  rows[i].members);
		cleanup_free char *message = xasprintf(
			"seccomp profile p.json: %s", rows[i].message);
		struct seccomp_filter filter = {0};
		struct error err = {0};

		assert_true(load(profile, 0, false, &filter, &err) < 0);
		assert_string_equal(err.message, message);
		assert_null(filter.code);
	}
}

/* All as a file full of them, the kernel's limit included. */
static void test_limits(void **state)
{
	cleanup_str struct str text = {0};
	struct seccomp_filter filter = {0};
	struct error err = {0};
	struct seccomp_request request = {.profile = "{", .name = "big"};

	request.profile_length = SECCOMP_PROFILE_MAX + 1;
	assert_int_equal(seccomp_filter_load(&request, -1, &filter, &err),
			 -EINVAL);
	assert_string_equal(err.message, "seccomp profile big is larger than "
					 "1048576 bytes");

	str_append(&text,
		   "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		   "\"syscalls\":[{\"name\":\"lseek\"," DENY(5) ","
								"\"args\":[");
	/* Each differs in both halves: two instructions and more. */
	for (long long i = 0; i < 3000; i++)
		str_appendf(&text,
			    "%s{\"index\":0,\"value\":%lld,"
			    "\"op\":\"SCMP_CMP_EQ\"}",
			    i ? "," : "", i * 3 + (i << 32));
	str_append(&text, "]}]}");
	assert_int_equal(load(text.data, 0, false, &filter, &err), -EINVAL);
	assert_string_equal(err.message,
			    "seccomp profile p.json: the filter is longer "
			    "than the 4096 instructions the kernel takes");

	str_clear(&text);
	str_append(&text,
		   "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
		   "\"syscalls\":[{\"name\":\"lseek\"," DENY(5) ","
								"\"args\":[");
	for (int i = 0; i < 4097; i++)
		str_appendf(&text,
			    "%s{\"index\":0,\"value\":%d,"
			    "\"op\":\"SCMP_CMP_EQ\"}",
			    i ? "," : "", i * 3);
	str_append(&text, "]}]}");
	assert_int_equal(load(text.data, 0, false, &filter, &err), -EINVAL);
	assert_string_equal(err.message,
			    "seccomp profile p.json: syscalls[0].args: more "
			    "than 4096 conditions");
	assert_null(filter.code);
}

/* lseek of descriptor -1 is the guinea pig: EBADF when it is let through. */
static long lseek_under(const struct seccomp_filter *filter,
			unsigned long offset, unsigned long whence)
{
	const struct call call = {SYS_lseek, {~0UL, offset, whence}};

	return seccomp_child_call(filter, seccomp_child_raw, &call);
}

static void test_actions(void **state)
{
	static const struct {
		const char *action;
		long result;
	} rows[] = {
		{"\"SCMP_ACT_ALLOW\"", -EBADF},
		{"\"SCMP_ACT_LOG\"", -EBADF},
		{"\"SCMP_ACT_ERRNO\"", -EPERM},
		{"\"SCMP_ACT_ERRNO\",\"errnoRet\":7", -7},
		{"\"SCMP_ACT_ERRNO\",\"errnoRet\":0", 0},
		{"\"SCMP_ACT_ERRNO\",\"errno\":\"ENOTTY\"", -ENOTTY},
		{"\"SCMP_ACT_ERRNO\",\"errno\":\"ENOTTY\",\"errnoRet\":25",
		 -ENOTTY},
		{"\"SCMP_ACT_ERRNO\",\"errno\":\"\",\"errnoRet\":null", -EPERM},
		/* Without a tracer it is not implemented. */
		{"\"SCMP_ACT_TRACE\",\"errnoRet\":3", -ENOSYS},
		{"\"SCMP_ACT_TRAP\"", CALL_KILLED - SIGSYS},
		{"\"SCMP_ACT_KILL\"", CALL_KILLED - SIGSYS},
		{"\"SCMP_ACT_KILL_THREAD\"", CALL_KILLED - SIGSYS},
		{"\"SCMP_ACT_KILL_PROCESS\"", CALL_KILLED - SIGSYS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* A default that lets all else work, and equals none. */
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_%s\",\"syscalls\":[{"
			"\"names\":[\"lseek\"],\"action\":%s}]}",
			i == 1 ? "ALLOW" : "LOG", rows[i].action);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, 0, false, &filter, &err) < 0)
			fail_msg("%s: %s", profile, err.message);
		assert_int_equal(lseek_under(&filter, 0, 0), rows[i].result);
	}
}

static void test_operators(void **state)
{
	static const struct {
		const char *args;
		unsigned long offset;
		unsigned long whence;
		bool match;
	} rows[] = {
#define OFFSET(op, rest) "{\"index\":1,\"op\":\"SCMP_CMP_" op "\"," rest "}"
#define WHENCE(op, rest) "{\"index\":2,\"op\":\"SCMP_CMP_" op "\"," rest "}"
		{OFFSET("EQ", "\"value\":5"), 5, 0, true},
		{OFFSET("EQ", "\"value\":5"), 4, 0, false},
		{OFFSET("NE", "\"value\":5"), 5, 0, false},
		{OFFSET("NE", "\"value\":5"), 6, 0, true},
		{OFFSET("LT", "\"value\":5"), 4, 0, true},
		{OFFSET("LT", "\"value\":5"), 5, 0, false},
		{OFFSET("LE", "\"value\":5"), 5, 0, true},
		{OFFSET("LE", "\"value\":5"), 6, 0, false},
		{OFFSET("GT", "\"value\":5"), 6, 0, true},
		{OFFSET("GT", "\"value\":5"), 5, 0, false},
		{OFFSET("GE", "\"value\":5"), 5, 0, true},
		{OFFSET("GE", "\"value\":5"), 4, 0, false},
		{OFFSET("MASKED_EQ", "\"value\":12,\"valueTwo\":4"), 0xf7, 0,
		 true},
		{OFFSET("MASKED_EQ", "\"value\":12,\"valueTwo\":4"), 0x0c, 0,
		 false},
		{OFFSET("MASKED_EQ", "\"value\":2114060288"), 0x11, 0, true},
		/* All 64 bits, which a double does not hold. */
		{OFFSET("EQ", "\"value\":18446744073709551615"), ~0UL, 0, true},
		{OFFSET("EQ", "\"value\":18446744073709551615"), ~1UL, 0,
		 false},
		{OFFSET("EQ", "\"value\":9007199254740993"), 9007199254740993UL,
		 0, true},
		{OFFSET("EQ", "\"value\":9007199254740993"), 9007199254740992UL,
		 0, false},
		{OFFSET("EQ", "\"value\":4294967301"), 5, 0, false},
		{OFFSET("EQ", ""
			      "\"value\":5"),
		 4294967301UL, 0, false},
		/* Two arguments: both; one twice: either. */
		{OFFSET("EQ", "\"value\":5") "," WHENCE("EQ", "\"value\":2"), 5,
		 2, true},
		{OFFSET("EQ", "\"value\":5") "," WHENCE("EQ", "\"value\":2"), 5,
		 1, false},
		{OFFSET("EQ", "\"value\":5") "," OFFSET("EQ", "\"value\":6"), 6,
		 0, true},
		{OFFSET("EQ", "\"value\":5") "," OFFSET("EQ", "\"value\":6"), 7,
		 0, false},
		{OFFSET("EQ", "\"value\":5") "," OFFSET(
			 "EQ", "\"value\":6") "," WHENCE("EQ", "\"value\":1"),
		 9, 1, true},
		{"", 0, 0, true},
#undef OFFSET
#undef WHENCE
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
			"\"names\":[\"lseek\"]," DENY(7) ",\"args\":[%s]}]}",
			rows[i].args);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, 0, false, &filter, &err) < 0)
			fail_msg("%s: %s", profile, err.message);
		if (lseek_under(&filter, rows[i].offset, rows[i].whence) !=
		    (rows[i].match ? -7 : -EBADF))
			fail_msg("%s with %lu, %lu", rows[i].args,
				 rows[i].offset, rows[i].whence);
	}
}

static void test_conditions(void **state)
{
	static const struct {
		const char *condition;
		uint64_t capabilities;
		bool applies;
	} rows[] = {
#if defined(__x86_64__)
#define HERE "\"amd64\""
#elif defined(__aarch64__)
#define HERE "\"arm64\""
#endif
#define CAPS "\"caps\":[\"CAP_CHOWN\",\"CAP_KILL\"]"
		{"\"includes\":{" CAPS "}", 0, false},
		{"\"includes\":{" CAPS "}", BIT(CAP_CHOWN), false},
		{"\"includes\":{" CAPS "}", BIT(CAP_CHOWN) | BIT(CAP_KILL),
		 true},
		{"\"excludes\":{" CAPS "}", 0, true},
		{"\"excludes\":{" CAPS "}", BIT(CAP_KILL), false},
		{"\"includes\":{\"caps\":[\"CAP_NO_SUCH\"]}", ~0UL, false},
		{"\"excludes\":{\"caps\":[\"CAP_NO_SUCH\"]}", ~0UL, true},
		{"\"includes\":{\"caps\":[]},\"excludes\":{}", 0, true},
		{"\"includes\":null,\"excludes\":null", 0, true},
		{"\"includes\":{\"minKernel\":\"4.8\"}", 0, true},
		{"\"includes\":{\"minKernel\":\"4.19.0\"}", 0, true},
		{"\"includes\":{\"minKernel\":\"99.0\"}", 0, false},
		{"\"excludes\":{\"minKernel\":\"4.8\"}", 0, false},
		{"\"excludes\":{\"minKernel\":\"99.0\"}", 0, true},
		{"\"includes\":{\"minKernel\":\"\"}", 0, true},
		{"\"includes\":{\"arches\":[\"m68k\"]}", 0, false},
		{"\"excludes\":{\"arches\":[\"m68k\"]}", 0, true},
#ifdef HERE
		{"\"includes\":{\"arches\":[\"s390\"," HERE "]}", 0, true},
		{"\"excludes\":{\"arches\":[\"s390\"," HERE "]}", 0, false},
		{"\"includes\":{\"arches\":[" HERE "]," CAPS "}", 0, false},
		{"\"excludes\":{\"arches\":[" HERE "]," CAPS "}", 0, false},
#endif
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
			"\"names\":[\"lseek\"]," DENY(7) ",%s}]}",
			rows[i].condition);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, rows[i].capabilities, false, &filter, &err) <
		    0)
			fail_msg("%s: %s", profile, err.message);
		if (lseek_under(&filter, 0, 0) !=
		    (rows[i].applies ? -7 : -EBADF))
			fail_msg("%s with %llx", rows[i].condition,
				 (unsigned long long)rows[i].capabilities);
	}
}

/* The running kernel itself, and the ones beside it. */
static void test_min_kernel(void **state)
{
	struct utsname host;
	unsigned int major = 0;
	unsigned int minor = 0;

	assert_int_equal(uname(&host), 0);
	assert_int_equal(sscanf(host.release, "%u.%u", &major, &minor), 2);
	for (int step = -1; step <= 1; step++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
			"\"names\":[\"lseek\"]," DENY(
				7) ","
				   "\"includes\":{\"minKernel\":\"%u.%u\"}}]}",
			minor == 0 && step < 0 ? major - 1 : major,
			minor == 0 && step < 0 ? 99 : minor + (unsigned)step);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};

		assert_int_equal(load(profile, 0, false, &filter, NULL), 0);
		assert_int_equal(lseek_under(&filter, 0, 0),
				 step <= 0 ? -7 : -EBADF);
	}
}

static void test_precedence(void **state)
{
	static const struct {
		const char *syscalls;
		long result;
	} rows[] = {
		/* The first rule without conditions. */
		{"{\"name\":\"lseek\"," DENY(7) "},{\"name\":\"lseek\"," DENY(
			 8) "}",
		 -7},
		/* One without conditions before those with. */
		{"{\"name\":\"lseek\"," DENY(7) ",\"args\":[{\"index\":0,"
						"\"op\":\"SCMP_CMP_GE\"}]},"
						"{\"name\":\"lseek\"," DENY(
							8) "}",
		 -8},
		/* What nobody knows, what others have, what is unknown JSON. */
		{"{\"names\":[\"no_such_call\",\"chown32\",\"lseek\"],"
		 "\"x\":[1]," DENY(7) "}",
		 -7},
		/* The default again is no rule. */
		{"{\"name\":\"lseek\"," ALLOW "}", -EBADF},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile =
			xasprintf("{\"defaultAction\":\"SCMP_ACT_ALLOW\","
				  "\"syscalls\":[%s],\"unknown\":{}}",
				  rows[i].syscalls);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, 0, false, &filter, &err) < 0)
			fail_msg("%s: %s", profile, err.message);
		assert_int_equal(lseek_under(&filter, 0, 0), rows[i].result);
	}
}

/* Numbers above those of the profile, where the default is a denial. */
static void test_newer_calls(void **state)
{
	static const struct {
		const char *default_action;
		long known;
		long newer;
	} rows[] = {
		{"\"SCMP_ACT_ERRNO\"", -EPERM, -ENOSYS},
		{"\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13", -EACCES, -ENOSYS},
		{"\"SCMP_ACT_KILL_PROCESS\"", CALL_KILLED - SIGSYS, -ENOSYS},
		{"\"SCMP_ACT_LOG\"", -EBADF, -ENOSYS},
		{"\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38", -ENOSYS, -ENOSYS},
	};
	const struct call newer = {100000, {0}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":%s,\"syscalls\":[{\"names\":["
			"\"openat2\",\"getpid\",\"kill\",\"exit_group\"]," ALLOW
			"}]}",
			rows[i].default_action);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, 0, false, &filter, &err) < 0)
			fail_msg("%s: %s", profile, err.message);
		assert_int_equal(lseek_under(&filter, 0, 0), rows[i].known);
		assert_int_equal(
			seccomp_child_call(&filter, seccomp_child_raw, &newer),
			rows[i].newer);
	}
}

static void test_flags(void **state)
{
	static const struct {
		const char *members;
		uint32_t flags;
	} rows[] = {
		{"", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{",\"flags\":null", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{",\"flags\":[]", 0},
		{",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\","
		 "\"SECCOMP_FILTER_FLAG_TSYNC\"]",
		 SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_TSYNC},
		{",\"flags\":[\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]",
		 SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			"\"syscalls\":[{\"name\":\"lseek\"," DENY(7) "}]%s}",
			rows[i].members);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};

		assert_int_equal(load(profile, 0, false, &filter, NULL), 0);
		assert_int_equal(filter.flags, rows[i].flags);
		assert_int_equal(lseek_under(&filter, 0, 0), -7);
	}
}

#if defined(__x86_64__)
static void test_arches(void **state)
{
	static const struct {
		const char *members;
		long result; /* of a 32-bit lseek */
	} rows[] = {
		{"", CALL_KILLED - SIGSYS},
		{",\"architectures\":[\"SCMP_ARCH_X86\"]", -7},
		{",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\","
		 "\"SCMP_ARCH_X32\"]",
		 -7},
		{",\"archMap\":[{\"architecture\":\"SCMP_ARCH_AARCH64\","
		 "\"subArchitectures\":[\"SCMP_ARCH_ARM\"]},"
		 "{\"architecture\":\"SCMP_ARCH_X86_64\","
		 "\"subArchitectures\":[\"SCMP_ARCH_X86\"]},"
		 "{\"architecture\":\"SCMP_ARCH_FUTURE\"}]",
		 -7},
		{",\"archMap\":[{\"architecture\":\"SCMP_ARCH_S390X\","
		 "\"subArchitectures\":[\"SCMP_ARCH_S390\"]}]",
		 CALL_KILLED - SIGSYS},
	};
	const struct call call = {19 /* lseek */, {~0UL, 0, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *profile = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			"\"syscalls\":[{\"name\":\"lseek\"," DENY(7) "}]%s}",
			rows[i].members);
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (load(profile, 0, false, &filter, &err) < 0)
			fail_msg("%s: %s", profile, err.message);
		assert_int_equal(lseek_under(&filter, 0, 0), -7);
		assert_int_equal(
			seccomp_child_call(&filter, seccomp_child_int80, &call),
			rows[i].result);
	}
}
#endif

/* Calls that would fail without the fake: on a descriptor that is not there. */
static void test_single_id(void **state)
{
	static const struct call fakes[] = {
		{SYS_fchown, {~0UL, 1, 1}}, {SYS_fchownat, {~0UL, 0, 1, 1}},
		{SYS_setgroups, {~0UL, 0}}, {SYS_setuid, {12345}},
		{SYS_setresgid, {1, 2, 3}},
	};
	static const char *const profiles[] = {
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
		/* What a profile says of them does not matter. */
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{"
		"\"names\":[\"fchown\",\"setuid\",\"getpid\",\"kill\"]," ALLOW
		"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		"\"names\":[\"fchown\",\"setuid\"],\"action\":"
		"\"SCMP_ACT_KILL\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":0,"
		"\"syscalls\":[{\"names\":[\"getpid\",\"kill\"]," ALLOW "}]}",
		NULL, /* the default one */
	};

	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct seccomp_request request = {
			.profile = profiles[i],
			.profile_length = profiles[i] ? strlen(profiles[i]) : 0,
			.single_id = true,
		};
		CLEANUP(seccomp_filter_release)
		struct seccomp_filter filter = {0};
		struct error err = {0};

		if (seccomp_filter_load(&request, -1, &filter, &err) < 0)
			fail_msg("%s", err.message);
		for (size_t j = 0; j < ARRAY_SIZE(fakes); j++)
			assert_int_equal(seccomp_child_call(&filter,
							    seccomp_child_raw,
							    &fakes[j]),
					 0);
	}
}

static void test_unconfined(void **state)
{
	struct seccomp_request request = {.unconfined = true, .profile = "{"};
	CLEANUP(seccomp_filter_release) struct seccomp_filter filter = {0};
	const struct call chown_call = {SYS_fchown, {~0UL, 1, 1}};

	assert_int_equal(seccomp_filter_load(&request, -1, &filter, NULL), 0);
	assert_null(filter.code);
	assert_int_equal(filter.length, 0);

	request.single_id = true;
	assert_int_equal(seccomp_filter_load(&request, -1, &filter, NULL), 0);
	assert_int_equal(
		seccomp_child_call(&filter, seccomp_child_raw, &chown_call), 0);
	assert_int_equal(lseek_under(&filter, 0, 0), -EBADF);
#if defined(__x86_64__)
	{
		const struct call call = {19 /* lseek */, {~0UL, 0, 0}};

		assert_int_equal(
			seccomp_child_call(&filter, seccomp_child_int80, &call),
			-EBADF);
	}
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_content_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_min_kernel),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_newer_calls),
		cmocka_unit_test(test_flags),
#if defined(__x86_64__)
		cmocka_unit_test(test_arches),
#endif
		cmocka_unit_test(test_single_id),
		cmocka_unit_test(test_unconfined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
