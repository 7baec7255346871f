/* net/egress_policy.h */
#include "net/egress_policy.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

/* What comes back as text is what the rule means. */
static void test_rules(void **state)
{
	static const struct {
		const char *text, *shown;
		enum egress_kind kind;
		uint8_t protocols;
		uint16_t first, last;
	} rows[] = {
		{"example.org", "example.org", EGRESS_NAME, EGRESS_TCP, 0,
		 65535},
		{"Example.ORG.:443", "example.org:443", EGRESS_NAME, EGRESS_TCP,
		 443, 443},
		{"*.debian.org", "*.debian.org", EGRESS_BELOW, EGRESS_TCP, 0,
		 65535},
		{"a.test:53/udp", "a.test:53/udp", EGRESS_NAME, EGRESS_UDP, 53,
		 53},
		{"git.corp@10.0.0.0/8:80-90", "git.corp@10.0.0.0/8:80-90",
		 EGRESS_NAME, EGRESS_TCP, 80, 90},
		{"git.corp@[fd00::]/8:80", "git.corp@[fd00::]/8:80",
		 EGRESS_NAME, EGRESS_TCP, 80, 80},
		{"git.corp@fd00::1", "git.corp@[fd00::1]", EGRESS_NAME,
		 EGRESS_TCP, 0, 65535},
		{"10.0.0.0/8", "10.0.0.0/8", EGRESS_ADDRESS, EGRESS_ANY, 0,
		 65535},
		{"10.1.2.3/8", "10.0.0.0/8", EGRESS_ADDRESS, EGRESS_ANY, 0,
		 65535},
		{"192.0.2.7:22", "192.0.2.7:22", EGRESS_ADDRESS, EGRESS_TCP, 22,
		 22},
		{"192.0.2.7/icmp", "192.0.2.7/icmp", EGRESS_ADDRESS,
		 EGRESS_ICMP, 0, 65535},
		{"10.0.0.0/8:53/any", "10.0.0.0/8:53/any", EGRESS_ADDRESS,
		 EGRESS_ANY, 53, 53},
		{"[2001:db8::]/32:53/udp", "[2001:db8::]/32:53/udp",
		 EGRESS_ADDRESS, EGRESS_UDP, 53, 53},
		{"2001:db8::1", "[2001:db8::1]", EGRESS_ADDRESS, EGRESS_ANY, 0,
		 65535},
		{"2001:db8::/32", "[2001:db8::]/32", EGRESS_ADDRESS, EGRESS_ANY,
		 0, 65535},
		{"*", "*", EGRESS_EVERYWHERE, EGRESS_ANY, 0, 65535},
		{"*:443", "*:443", EGRESS_EVERYWHERE, EGRESS_TCP, 443, 443},
		{"host.docker.internal:8080", "host.docker.internal:8080",
		 EGRESS_NAME, EGRESS_TCP, 8080, 8080},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(egress_policy_release)
		struct egress_policy policy = {0};
		char text[EGRESS_RULE_TEXT_MAX];

		assert_int_equal(
			egress_policy_add(&policy, rows[i].text, false, NULL),
			0);
		assert_int_equal(policy.rules[0].kind, rows[i].kind);
		assert_int_equal(policy.rules[0].protocols, rows[i].protocols);
		assert_int_equal(policy.rules[0].port_first, rows[i].first);
		assert_int_equal(policy.rules[0].port_last, rows[i].last);
		egress_rule_text(&policy.rules[0], text);
		assert_string_equal(text, rows[i].shown);
		assert_int_equal(egress_policy_add(&policy, text, false, NULL),
				 0);
		assert_memory_equal(&policy.rules[0], &policy.rules[1],
				    sizeof(policy.rules[0]));
	}
}

static void test_wrong_rules(void **state)
{
	static const char *const rows[] = {
		"",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.0/33",
		"example.org:0",
		"example.org:65536",
		"example.org:9-8",
		"example.org:http",
		"example.org:",
		"example..org",
		".example.org",
		"a b.org",
		"*.",
		"*.*.org",
		"a.*.org",
		"**",
		"[::1",
		"[::1]x",
		"[example.org]",
		"[10.0.0.1]:80",
		"ex\xc3\xa4mple.org",
		"example.org@",
		"example.org@b.org",
		"example.org/sctp",
		"10.0.0.1:5/icmp",
		"http://example.org",
		"example.org/path",
		"*@10.0.0.0/8",
		"*.host.docker.internal",
		"host.docker.internal@10.0.0.1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct egress_policy policy = {0};
		struct error err = {0};

		if (egress_policy_add(&policy, rows[i], false, &err) == 0)
			fail_msg("\"%s\" was taken", rows[i]);
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_non_null(strstr(err.message, rows[i]));
		assert_int_equal(policy.rule_count, 0);
	}
}

static int parse(const char *text, struct egress_policy *policy,
		 struct error *err)
{
	cleanup_json cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return egress_policy_parse(json, "policy.json", policy, err);
}

static void test_json(void **state)
{
	static const char text[] =
		"{\"default\":\"deny\",\"allow\":[\"a.test:443\",\"10.0.0.0/8\""
		"],\"deny\":[\"10.1.0.0/16\"]}";
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_free char *printed = NULL;

	assert_int_equal(parse(text, &policy, NULL), 0);
	assert_int_equal(policy.mode, EGRESS_DENY);
	assert_int_equal(policy.rule_count, 3);
	assert_true(policy.rules[2].deny);
	json = egress_policy_json(&policy);
	printed = json_print(json);
	assert_string_equal(printed, text);
}

static void test_wrong_json(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{"[]", "expected an object"},
		{"{\"alow\":[]}", "alow"},
		{"{\"default\":\"no\"}", "\"no\""},
		{"{\"default\":1}", "policy.json.default"},
		{"{\"allow\":\"a.test\"}", "policy.json.allow"},
		{"{\"allow\":[\"a.test\",\"10.0.0\"]}", "allow[1]"},
		{"{\"allow\":[],\"allow\":[]}", "allow"},
		{"{\"default\":\"record\",\"allow\":[\"a.test\"]}", "records"},
		{"{\"default\":\"allow\",\"allow\":[\"a.test\"]}", "a.test"},
		{"{\"default\":\"allow\",\"deny\":[\"a.test\"]}", "a.test"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct egress_policy policy = {0};
		struct error err = {0};

		if (parse(rows[i].text, &policy, &err) == 0)
			fail_msg("%s was taken", rows[i].text);
		if (!strstr(err.message, rows[i].message))
			fail_msg("%s: %s", rows[i].text, err.message);
		assert_null(policy.rules);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *rule, *name;
		bool matches;
	} rows[] = {
		{"example.org", "example.org", true},
		{"example.org", "www.example.org", false},
		{"example.org", "xexample.org", false},
		{"*.example.org", "www.example.org", true},
		{"*.example.org", "a.b.example.org", true},
		{"*.example.org", "example.org", false},
		{"*.example.org", ".example.org", false},
		{"*.example.org", "xexample.org", false},
		{"*", "example.org", false},
		{"10.0.0.0/8", "10.0.0.1", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(egress_policy_release)
		struct egress_policy policy = {0};

		egress_policy_add(&policy, rows[i].rule, false, NULL);
		if (egress_rule_has_name(&policy.rules[0], rows[i].name) !=
		    rows[i].matches)
			fail_msg("%s against %s", rows[i].rule, rows[i].name);
	}
}

static void test_limit(void **state)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};

	for (size_t i = 0; i < EGRESS_RULES_MAX; i++)
		assert_int_equal(egress_policy_add_list(&policy, "10.0.0.1",
							false, NULL),
				 0);
	assert_true(egress_policy_add(&policy, "10.0.0.1", false, NULL) < 0);
}

static void test_memfd(void **state)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	CLEANUP(egress_policy_release) struct egress_policy read = {0};
	cleanup_fd int fd = -1;

	policy.mode = EGRESS_DENY;
	egress_policy_add_list(&policy, "a.test:443,10.0.0.0/8", false, NULL);
	policy.resolvers[0].family = AF_INET;
	policy.resolver_count = 1;
	policy.has_networks = true;
	assert_int_equal(egress_policy_pack(&policy, &fd, NULL), 0);
	/* Nobody changes it on the way. */
	assert_true(pwrite(fd, "x", 1, 0) < 0);
	assert_true(ftruncate(fd, 0) < 0);
	assert_int_equal(egress_policy_unpack(fd, &read, NULL), 0);
	assert_int_equal(read.rule_count, 2);
	assert_memory_equal(read.rules, policy.rules, 2 * sizeof(*read.rules));
	assert_int_equal(read.resolver_count, 1);
	assert_true(read.has_networks);
}

/* Every damaged one is refused, and none is read past its end. */
static void test_damaged_memfd(void **state)
{
	static const struct {
		size_t offset; /* within the first rule, behind the header */
		uint8_t value;
	} rows[] = {
		{offsetof(struct egress_rule, kind), 9},
		{offsetof(struct egress_rule, protocols), 0},
		{offsetof(struct egress_rule, prefix.address.family), 99},
		{offsetof(struct egress_rule, prefix.length), 200},
		{offsetof(struct egress_rule, name), 'x'},
	};
	struct egress_policy policy = {.mode = EGRESS_DENY};
	cleanup_free char *bytes = NULL;
	cleanup_fd int fd = -1;
	off_t size;

	egress_policy_add(&policy, "10.0.0.0/8", false, NULL);
	assert_int_equal(egress_policy_pack(&policy, &fd, NULL), 0);
	size = lseek(fd, 0, SEEK_END);
	bytes = xcalloc(1, (size_t)size);
	assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
	for (size_t i = 0; i <= ARRAY_SIZE(rows); i++) {
		size_t rule = (size_t)size - sizeof(struct egress_rule);
		char path[] = "/tmp/test-egress-XXXXXX";
		cleanup_fd int copy = mkstemp(path);
		struct egress_policy read = {0};

		unlink(path);
		assert_int_equal(pwrite(copy, bytes, (size_t)size, 0), size);
		if (i < ARRAY_SIZE(rows))
			assert_int_equal(pwrite(copy, &rows[i].value, 1,
						(off_t)(rule + rows[i].offset)),
					 1);
		else
			assert_int_equal(ftruncate(copy, size - 1), 0);
		assert_true(egress_policy_unpack(copy, &read, NULL) < 0);
		assert_null(read.rules);
	}
	egress_policy_release(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_wrong_rules),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_wrong_json),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_damaged_memfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
