/* Image references and platforms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/digest.h"
#include "storage/store/platform.h"
#include "storage/store/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
	const char *text;
	const char *full;
	const char *familiar;
} good[] = {
	{"nginx", "docker.io/library/nginx:latest", "nginx:latest"},
	{"nginx:1.2", "docker.io/library/nginx:1.2", "nginx:1.2"},
	{"user/app", "docker.io/user/app:latest", "user/app:latest"},
	{"docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
	{"index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"},
	{"localhost/app", "localhost/app:latest", "localhost/app:latest"},
	{"localhost:5000/app", "localhost:5000/app:latest",
	 "localhost:5000/app:latest"},
	{"a.b/c/d/e:T_1.x-y", "a.b/c/d/e:T_1.x-y", "a.b/c/d/e:T_1.x-y"},
	{"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"},
	{"Host/app", "Host/app:latest", "Host/app:latest"},
	{"a__b/c-----d.e_f", "docker.io/a__b/c-----d.e_f:latest",
	 "a__b/c-----d.e_f:latest"},
	{"web@sha256:" HEX, "docker.io/library/web@sha256:" HEX,
	 "web@sha256:" HEX},
	{"web:1@sha256:" HEX, "docker.io/library/web:1@sha256:" HEX,
	 "web:1@sha256:" HEX},
	{"localhost:5000", "docker.io/library/localhost:5000",
	 "localhost:5000"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct reference reference;
		cleanup_free char *full = NULL;
		cleanup_free char *familiar = NULL;
		cleanup_free char *again = NULL;

		assert_int_equal(
			reference_parse(good[i].text, &reference, NULL), 0);
		full = reference_full(&reference);
		familiar = reference_familiar(&reference);
		again = reference_shorten(full);
		assert_string_equal(full, good[i].full);
		assert_string_equal(familiar, good[i].familiar);
		assert_string_equal(again, familiar);
	}
}

static const struct {
	const char *text;
	const char *message;
} bad[] = {
	{"", "invalid reference format"},
	{"/", "invalid reference format"},
	{"/a", "invalid reference format"},
	{"a/", "invalid reference format"},
	{"a//b", "invalid reference format"},
	{"a:", "invalid reference format"},
	{"a:b:c", "invalid reference format"},
	{"a b", "invalid reference format"},
	{"a\nb", "invalid reference format"},
	{"-a", "invalid reference format"},
	{"a-", "invalid reference format"},
	{"a..b", "invalid reference format"},
	{"a___b", "invalid reference format"},
	{"a._b", "invalid reference format"},
	{"../../etc/passwd", "invalid reference format"},
	{"-x.y/a", "invalid reference format"},
	{"x-.y/a", "invalid reference format"},
	{"x.y:/a", "invalid reference format"},
	{"x.y:12x/a", "invalid reference format"},
	{"[::g]/a", "invalid reference format"},
	{"a:.b", "invalid reference format"},
	{"a:b@", "invalid reference format"},
	{"a@b", "invalid reference format"},
	{"a@sha256:xyz", "invalid checksum digest length"},
	{"a@md5:00", "unsupported digest algorithm"},
	{"a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789"
	 "abcdef",
	 "invalid reference format"},
	{"Nginx", "repository name (library/Nginx) must be lowercase"},
	{"user/App:1", "repository name (user/App) must be lowercase"},
	{HEX, "cannot specify 64-byte hexadecimal strings"},
	{X50 X50 X50 X50 X50 X50, "must not be more than 255 characters"},
	{X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50, "longer than 512 bytes"},
	{"a:" X50 X50 X50, "invalid reference format"},
	{"\xc3\xa4/b", "invalid reference format"},
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct reference reference = {.tag = "untouched"};
		struct error error = {0};

		assert_true(reference_parse(bad[i].text, &reference, &error) <
			    0);
		assert_non_null(strstr(error.message, bad[i].message));
		assert_string_equal(reference.tag, "untouched");
	}
}

static void test_name_only(void **state)
{
	assert_true(reference_is_name_only("nginx"));
	assert_true(reference_is_name_only("host:5000/app"));
	assert_false(reference_is_name_only("host:5000/app:1"));
	assert_false(reference_is_name_only("app:1"));
	assert_false(reference_is_name_only("app@sha256:" HEX));
}

static void test_digest(void **state)
{
	char text[DIGEST_SHORT_MAX];
	struct error error = {0};

	assert_true(digest_is_valid("sha256:" HEX));
	assert_false(digest_is_valid("sha256:" HEX "0"));
	assert_false(digest_is_valid("sha256:../" HEX));
	assert_false(digest_is_valid(HEX));
	assert_false(digest_is_valid(NULL));
	assert_true(digest_check("sha512:" HEX HEX, "here", &error) < 0);
	assert_non_null(strstr(error.message, "\"sha512\" is not supported"));
	assert_true(digest_check(NULL, "here", &error) < 0);
	assert_string_equal(error.message, "here: digest is missing");
	digest_short(text, "sha256:" HEX);
	assert_string_equal(text, "0123456789ab");
}

static const struct {
	const char *text;
	const char *normal; /* NULL: refused */
} platforms[] = {
	{"linux/amd64", "linux/amd64"},
	{"linux/x86_64", "linux/amd64"},
	{"LINUX/AArch64", "linux/arm64"},
	{"linux/arm64/v8", "linux/arm64"},
	{"linux/arm", "linux/arm/v7"},
	{"linux/arm/v6", "linux/arm/v6"},
	{"armhf", "linux/arm/v7"},
	{"riscv64", "linux/riscv64"},
	{"linux/newarch", "linux/newarch"},
	{"newarch", NULL},
	{"windows", NULL},
	{"windows/amd64", NULL},
	{"", NULL},
	{"linux/", NULL},
	{"linux/a/b/c", NULL},
	{"linux/am d64", NULL},
	{"linux/" X50, NULL},
};

static void test_platform(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(platforms); i++) {
		struct platform platform;
		char text[PLATFORM_TEXT_MAX];
		int r = platform_parse(platforms[i].text, &platform, NULL);

		assert_int_equal(r == 0, platforms[i].normal != NULL);
		if (r < 0)
			continue;
		platform_text(text, &platform);
		assert_string_equal(text, platforms[i].normal);
	}
}

static int match(const char *wanted, const char *have)
{
	struct platform a;
	struct platform b;

	assert_int_equal(platform_parse(wanted, &a, NULL), 0);
	assert_int_equal(platform_parse(have, &b, NULL), 0);
	return platform_match(&a, &b);
}

static void test_platform_match(void **state)
{
	assert_int_equal(match("linux/amd64", "linux/arm64"), 0);
	assert_int_equal(match("linux/arm/v6", "linux/arm/v7"), 0);
	assert_true(match("linux/arm/v7", "linux/arm/v7") >
		    match("linux/arm/v7", "linux/arm/v6"));
	assert_true(match("linux/arm/v7", "linux/arm/v6") >
		    match("linux/arm/v7", "linux/arm/v5"));
	assert_true(match("linux/amd64", "linux/amd64") >
		    match("linux/amd64", "linux/amd64/v3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_name_only),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_platform),
		cmocka_unit_test(test_platform_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
