/* What servers write into headers and URLs: storage/registry/http_header.h,
 * url.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/store/limits.h"
#include "storage/registry/url.h"

/* ---- WWW-Authenticate ---- */

static const struct {
	const char *field;
	size_t count;
	const char *scheme; /* of the challenge looked for */
	const char *realm;
	const char *service;
	const char *scope;
	const char *error;
} challenges[] = {
	{"Bearer realm=\"https://auth.docker.io/token\","
	 "service=\"registry.docker.io\","
	 "scope=\"repository:library/nginx:pull\"",
	 1, "bearer", "https://auth.docker.io/token", "registry.docker.io",
	 "repository:library/nginx:pull", NULL},
	{"Basic realm=\"Registry Realm\"", 1, "basic", "Registry Realm", NULL,
	 NULL, NULL},
	{"basic realm=simple", 1, "basic", "simple", NULL, NULL, NULL},
	{"BEARER  realm = \"https://a/t\" , error=\"invalid_token\"", 1,
	 "bearer", "https://a/t", NULL, NULL, "invalid_token"},
	{"Basic realm=\"a\", Bearer realm=\"https://b/\",service=\"s\"", 2,
	 "bearer", "https://b/", "s", NULL, NULL},
	{"Basic realm=\"a\", Bearer realm=\"https://b/\"", 2, "basic", "a",
	 NULL, NULL, NULL},
	{"Negotiate, Basic realm=\"a, b=\\\"c\\\"\"", 2, "basic", "a, b=\"c\"",
	 NULL, NULL, NULL},
	{"Negotiate YWJj==, Bearer realm=https://h:1/x", 2, "bearer",
	 "https://h:1/x", NULL, NULL, NULL},
	{"Bearer realm=\"first\",realm=\"second\"", 1, "bearer", "first", NULL,
	 NULL, NULL},
	{"Bearer realm=\"\"", 1, "bearer", "", NULL, NULL, NULL},
	{"Bearer", 1, "bearer", NULL, NULL, NULL, NULL},
	{" , ,Basic realm=\"a\" , ", 1, "basic", "a", NULL, NULL, NULL},
	{"Bearer charset=\"UTF-8\",realm=\"r\",unknown=x", 1, "bearer", "r",
	 NULL, NULL, NULL},
	{"", 0, NULL, NULL, NULL, NULL, NULL},
};

static void test_challenges(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(challenges); i++) {
		CLEANUP(challenges_release) struct challenges found = {0};
		const struct challenge *one;
		struct error err = {0};

		print_message("%s\n", challenges[i].field);
		assert_int_equal(
			challenges_parse(challenges[i].field, &found, &err), 0);
		assert_int_equal(found.count, challenges[i].count);
		if (!challenges[i].scheme)
			continue;
		one = challenges_find(&found, challenges[i].scheme);
		assert_non_null(one);
		assert_true(str_equal(one->realm, challenges[i].realm));
		assert_true(str_equal(one->service, challenges[i].service));
		assert_true(str_equal(one->scope, challenges[i].scope));
		assert_true(str_equal(one->error, challenges[i].error));
	}
}

static void test_bad_challenges(void **state)
{
	static const char *const bad[] = {
		"Bearer realm=\"open",
		"Bearer realm=\"a\" service=\"b\"",
		"=x",
		"\"quoted\"",
		"averyveryverylongscheme realm=\"a\"",
		"Ba(sic realm=\"a\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct challenges found = {0};
		struct error err = {0};

		print_message("%s\n", bad[i]);
		assert_int_equal(challenges_parse(bad[i], &found, &err),
				 -EINVAL);
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_int_equal(found.count, 0);
	}
}

static void test_many_challenges(void **state)
{
	CLEANUP(challenges_release) struct challenges found = {0};
	cleanup_str struct str field = {0};
	cleanup_str struct str large = {0};

	for (int i = 0; i < 100; i++)
		str_append(&field, "Basic realm=\"x\", ");
	assert_int_equal(challenges_parse(field.data, &found, NULL), 0);
	assert_int_equal(found.count, CHALLENGES_MAX);

	str_append(&large, "Basic realm=\"");
	for (size_t i = 0; i <= CHALLENGE_VALUE_MAX; i++)
		str_append_char(&large, 'x');
	str_append(&large, "\"");
	assert_int_equal(challenges_parse(large.data, &found, NULL), -EINVAL);
}

/* ---- Link, Retry-After, ranges ---- */

static void test_link(void **state)
{
	static const struct {
		const char *field;
		const char *next;
	} links[] = {
		{"</v2/a/tags/list?n=2&last=b>; rel=\"next\"",
		 "/v2/a/tags/list?n=2&last=b"},
		{"<x>; rel=next", "x"},
		{"<x>;rel=prev, <y>;title=\"a, b\";rel=\"last NEXT\"", "y"},
		{"<x>; rel=\"prev\"", NULL},
		{"<x>; rel=\"nextish\"", NULL},
		{"<x>", NULL},
		{"<x; rel=\"next\"", NULL},
		{"x; rel=\"next\"", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		cleanup_free char *next = link_next(links[i].field);

		print_message("%s\n", links[i].field);
		assert_true(str_equal(next, links[i].next));
	}
}

static void test_retry_after(void **state)
{
	const time_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
	uint64_t seconds = 99;

	assert_int_equal(retry_after("120", now, &seconds), 0);
	assert_int_equal(seconds, 120);
	assert_int_equal(
		retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now, &seconds), 0);
	assert_int_equal(seconds, 60);
	assert_int_equal(
		retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now, &seconds), 0);
	assert_int_equal(seconds, 0);
	assert_int_equal(retry_after("soon", now, &seconds), -EINVAL);
	assert_int_equal(retry_after("-1", now, &seconds), -EINVAL);
	assert_int_equal(retry_after("", now, &seconds), -EINVAL);
}

static void test_ranges(void **state)
{
	uint64_t first;
	uint64_t last;
	uint64_t total;
	uint64_t length;

	assert_int_equal(
		content_range("bytes 10-19/100", &first, &last, &total), 0);
	assert_int_equal(first, 10);
	assert_int_equal(last, 19);
	assert_int_equal(total, 100);
	assert_int_equal(content_range("bytes 0-0/*", &first, &last, &total),
			 0);
	assert_true(total == UINT64_MAX);
	assert_int_equal(content_range("bytes 9-8/100", &first, &last, &total),
			 -EINVAL);
	assert_int_equal(
		content_range("bytes 0-100/100", &first, &last, &total),
		-EINVAL);
	assert_int_equal(content_range("bytes */100", &first, &last, &total),
			 -EINVAL);
	assert_int_equal(content_range("bytes 0-99999999999999999999/*", &first,
				       &last, &total),
			 -EINVAL);

	assert_int_equal(upload_range("0-1023", &length), 0);
	assert_int_equal(length, 1024);
	assert_int_equal(upload_range("bytes=0-9", &length), 0);
	assert_int_equal(length, 10);
	assert_int_equal(upload_range("0-0", &length), 0);
	assert_int_equal(length, 0);
	assert_int_equal(upload_range("5-9", &length), -EINVAL);
	assert_int_equal(upload_range("x", &length), -EINVAL);
}

/* ---- URLs ---- */

static void test_url(void **state)
{
	static const struct {
		const char *text;
		bool tls;
		const char *host;
		unsigned int port;
		const char *path;
		const char *authority;
	} urls[] = {
		{"http://localhost:5000/v2/", false, "localhost", 5000, "/v2/",
		 "localhost:5000"},
		{"HTTPS://Example.COM", true, "example.com", 443, "",
		 "example.com"},
		{"https://h:443/a?b=c", true, "h", 443, "/a?b=c", "h"},
		{"http://[::1]:81/", false, "::1", 81, "/", "[::1]:81"},
		{"http://h?q", false, "h", 80, "?q", "h"},
	};
	static const char *const bad[] = {
		"file:///etc/passwd",
		"ftp://h/",
		"//h/",
		"/path",
		"",
		"http://",
		"http:///x",
		"http://user:secret@h/",
		"http://h:0/",
		"http://h:99999/",
		"http://h:x/",
		"http://[::1/",
		"http://[::1]x/",
		"http://h/a b",
		"http://h/a\r\nX: y",
		"http://h\\@other/",
		"http://h,i/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		cleanup_free char *authority = NULL;
		struct url url;

		assert_int_equal(url_parse(urls[i].text, &url, NULL), 0);
		assert_int_equal(url.tls, urls[i].tls);
		assert_string_equal(url.host, urls[i].host);
		assert_int_equal(url.port, urls[i].port);
		assert_string_equal(url.path, urls[i].path);
		authority = url_authority(&url);
		assert_string_equal(authority, urls[i].authority);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = {0};
		struct url url;

		print_message("%s\n", bad[i]);
		assert_int_equal(url_parse(bad[i], &url, &err), -EINVAL);
		assert_null(strstr(err.message, "secret"));
	}
}

static void test_resolve(void **state)
{
	static const char base[] = "https://h:5000/v2/a/blobs/x?q=1";
	static const struct {
		const char *reference;
		const char *url;
	} resolved[] = {
		{"http://other/x", "http://other/x"},
		{"//other/x?y#z", "https://other/x?y"},
		{"/v2/b", "https://h:5000/v2/b"},
		{"?n=2", "https://h:5000/v2/a/blobs/x?n=2"},
		{"y", "https://h:5000/v2/a/blobs/y"},
		{"y?url=http://z", "https://h:5000/v2/a/blobs/y?url=http://z"},
		{"", "https://h:5000/v2/a/blobs/"},
	};
	static const char *const bad[] = {"file:///x", "javascript:1",
					  "http://a:b@h/"};
	char *url = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(resolved); i++) {
		cleanup_free char *text = NULL;

		assert_int_equal(
			url_resolve(base, resolved[i].reference, &text, NULL),
			0);
		assert_string_equal(text, resolved[i].url);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(url_resolve(base, bad[i], &url, NULL),
				 -EINVAL);
		assert_null(url);
	}
}

static void test_redirect(void **state)
{
	static const struct {
		const char *from;
		const char *location;
		bool plain;
		int result;
		bool same_origin;
	} redirects[] = {
		{"https://h/a", "/b", false, 0, true},
		{"https://h/a", "https://h:443/b", false, 0, true},
		{"https://h/a", "https://H/b", false, 0, true},
		{"https://h/a", "https://h:444/b", false, 0, false},
		{"https://h/a", "https://i/b", false, 0, false},
		{"https://h/a", "//i/b", false, 0, false},
		{"http://h/a", "https://h/b", false, 0, false},
		{"https://h/a", "http://h/b", false, -EPERM, false},
		{"https://h/a", "http://h/b", true, 0, false},
		{"https://h/a", "http://h:443/b", true, 0, false},
		{"http://h/a", "file:///b", true, -EINVAL, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(redirects); i++) {
		cleanup_free char *url = NULL;
		bool same_origin = false;

		print_message("%s -> %s\n", redirects[i].from,
			      redirects[i].location);
		assert_int_equal(url_redirect(redirects[i].from,
					      redirects[i].location,
					      redirects[i].plain, &url,
					      &same_origin, NULL),
				 redirects[i].result);
		assert_int_equal(same_origin, redirects[i].same_origin);
	}
}

static void test_loopback(void **state)
{
	static const struct {
		const char *url;
		bool loopback;
	} hosts[] = {
		{"http://localhost/", true},
		{"http://127.0.0.1:5000/", true},
		{"http://127.1.2.3/", true},
		{"http://[::1]/", true},
		{"http://127.0.0.1.example.com/", false},
		{"http://localhost.example.com/", false},
		{"http://10.0.0.1/", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct url url;

		assert_int_equal(url_parse(hosts[i].url, &url, NULL), 0);
		assert_int_equal(url_is_loopback(&url), hosts[i].loopback);
	}
}

static void test_escape(void **state)
{
	cleanup_str struct str out = {0};

	url_escape(&out, "repository:a/b:pull,push é~-._");
	assert_string_equal(out.data, "repository%3Aa%2Fb%3Apull%2Cpush%20"
				      "%C3%A9~-._");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_bad_challenges),
		cmocka_unit_test(test_many_challenges),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
