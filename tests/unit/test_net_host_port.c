/* net/host_port.h: the words of --host-port. */
#include "net/host_port.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

/* "HOST>CONTAINER;…" */
static char *spell(const struct port_list *list)
{
	struct str text = {0};

	for (size_t i = 0; i < list->count; i++)
		str_appendf(&text, "%s%u>%u", i ? ";" : "",
			    list->entries[i].host_port,
			    list->entries[i].container_port);
	return str_steal(&text);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *list;  /* NULL: refused … */
		const char *error; /* … with this message */
	} rows[] = {
		{"5432", "5432>5432", NULL},
		{"5432/tcp", "5432>5432", NULL},
		{"5432:80", "5432>80", NULL},
		{"5432:80/tcp", "5432>80", NULL},
		{"65535", "65535>65535", NULL},
		{"8000-8002", "8000>8000;8001>8001;8002>8002", NULL},
		{"8000-8001:90-91", "8000>90;8001>91", NULL},
		{"", NULL, "invalid host port: \"\""},
		{"0", NULL, "invalid host port: \"0\""},
		{"80:0", NULL, "invalid host port: \"80:0\""},
		{"0:80", NULL, "invalid host port: \"0:80\""},
		{":80", NULL, "invalid host port: \":80\""},
		{"80:", NULL, "invalid host port: \"80:\""},
		{"65536", NULL, "invalid host port: \"65536\""},
		{"x", NULL, "invalid host port: \"x\""},
		{"80-82:90", NULL, "invalid host port: \"80-82:90\""},
		{"80-82:90-91", NULL, "invalid host port: \"80-82:90-91\""},
		{"127.0.0.1:80:80", NULL,
		 "invalid host port: \"127.0.0.1:80:80\""},
		{"[::1]:80:80", NULL, "invalid host port: \"[::1]:80:80\""},
		{"53/udp", NULL, "host port 53/udp: only TCP can be opened"},
		{"1-129", NULL, "too many host ports: the limit is 128"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(port_list_release) struct port_list list = {0};
		struct error err = {0};
		cleanup_free char *spelt = NULL;
		int r = host_port_parse(rows[i].text, &list, &err);

		spelt = spell(&list);
		if (rows[i].list) {
			if (r < 0)
				fail_msg("%s: %s", rows[i].text, err.message);
			assert_string_equal(spelt, rows[i].list);
			continue;
		}
		if (r >= 0)
			fail_msg("%s was taken", rows[i].text);
		assert_string_equal(err.message, rows[i].error);
		assert_string_equal(spelt, "");
	}
}

/* One port of the gateway leads to one place. */
static void test_twice(void **state)
{
	CLEANUP(port_list_release) struct port_list list = {0};
	struct error err = {0};

	assert_true(host_port_parse("5432", &list, &err) >= 0);
	assert_true(host_port_parse("5432:5433", &list, &err) >= 0);
	assert_true(host_port_parse("80:5432", &list, &err) < 0);
	assert_string_equal(err.message, "host port 80:5432: port 5432 of the "
					 "gateway is used twice");
	assert_int_equal(list.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
