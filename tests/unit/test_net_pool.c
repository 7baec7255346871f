/* net/prefix.h and net/pool.h */
#include "net/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static struct net_prefix prefix_of(const char *text)
{
	struct net_prefix prefix;

	if (!prefix_parse(text, &prefix))
		fail_msg("%s: not a prefix", text);
	return prefix;
}

static struct net_address_value address_of(const char *text)
{
	struct net_address_value address;

	if (!address_parse(text, &address))
		fail_msg("%s: not an address", text);
	return address;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *first, *last; /* NULL: refused */
	} rows[] = {
		{"172.18.0.0/16", "172.18.0.0", "172.18.255.255"},
		{"172.18.5.9/16", "172.18.0.0", "172.18.255.255"},
		{"10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
		{"10.1.2.3/31", "10.1.2.2", "10.1.2.3"},
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
		{"fd00:1::/64", "fd00:1::", "fd00:1::ffff:ffff:ffff:ffff"},
		{"fd00:1::9/127", "fd00:1::8", "fd00:1::9"},
		{"10.0.0.0", NULL, NULL},
		{"10.0.0.0/", NULL, NULL},
		{"10.0.0.0/33", NULL, NULL},
		{"10.0.0.0/-1", NULL, NULL},
		{"10.0.0/8", NULL, NULL},
		{"fd00::/129", NULL, NULL},
		{"/8", NULL, NULL},
		{"fd00:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8",
		 NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_prefix prefix;
		struct net_address_value edge;
		char text[ADDRESS_TEXT_MAX];

		if (!prefix_parse(rows[i].text, &prefix)) {
			if (rows[i].first)
				fail_msg("%s: refused", rows[i].text);
			continue;
		}
		if (!rows[i].first)
			fail_msg("%s: taken", rows[i].text);
		edge = prefix_first(&prefix);
		address_text(&edge, text);
		assert_string_equal(text, rows[i].first);
		edge = prefix_last(&prefix);
		address_text(&edge, text);
		assert_string_equal(text, rows[i].last);
	}
}

static void test_overlap(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlap, within; /* a in b */
	} rows[] = {
		{"10.0.0.0/8", "10.9.0.0/16", true, false},
		{"10.9.0.0/16", "10.0.0.0/8", true, true},
		{"10.9.0.0/16", "10.9.0.0/16", true, true},
		{"10.9.0.0/16", "10.10.0.0/16", false, false},
		{"10.0.0.0/8", "fd00::/8", false, false},
		{"fd00:1::/64", "fd00::/16", true, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_prefix a = prefix_of(rows[i].a);
		struct net_prefix b = prefix_of(rows[i].b);

		if (prefix_overlaps(&a, &b) != rows[i].overlap ||
		    prefix_overlaps(&b, &a) != rows[i].overlap ||
		    prefix_within(&a, &b) != rows[i].within)
			fail_msg("%s, %s", rows[i].a, rows[i].b);
	}
}

/* All candidates of a pool, apart by blanks, at most eight. */
static char *candidates(const struct net_pool *pool)
{
	struct net_address_value address = {0};
	struct str text = {0};

	for (int i = 0; i < 8 && pool_next(pool, &address); i++) {
		char one[ADDRESS_TEXT_MAX];

		address_text(&address, one);
		str_appendf(&text, "%s%s", i ? " " : "", one);
	}
	return str_steal(&text);
}

static void test_candidates(void **state)
{
	static const struct {
		const char *subnet, *range, *gateway, *reserved;
		const char *wanted;
	} rows[] = {
		{"10.9.0.0/29", NULL, "10.9.0.1", NULL,
		 "10.9.0.2 10.9.0.3 10.9.0.4 10.9.0.5 10.9.0.6"},
		{"10.9.0.0/29", NULL, "10.9.0.6", "10.9.0.2",
		 "10.9.0.1 10.9.0.3 10.9.0.4 10.9.0.5"},
		{"10.9.0.0/16", "10.9.5.254/31", "10.9.0.1", NULL,
		 "10.9.5.254 10.9.5.255"},
		{"10.9.0.0/30", NULL, "10.9.0.1", NULL, "10.9.0.2"},
		{"10.9.0.0/31", NULL, "10.9.0.0", NULL, "10.9.0.1"},
		{"10.9.0.1/32", NULL, "10.9.0.1", NULL, ""},
		{"255.255.255.252/30", NULL, "255.255.255.253", NULL,
		 "255.255.255.254"},
		{"fd00:9::/126", NULL, "fd00:9::1", NULL,
		 "fd00:9::2 fd00:9::3"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_pool pool = {
			.subnet = prefix_of(rows[i].subnet),
			.gateway = address_of(rows[i].gateway),
		};
		cleanup_free char *found = NULL;

		if (rows[i].range)
			pool.range = prefix_of(rows[i].range);
		if (rows[i].reserved)
			pool.reserved[pool.reserved_count++] =
				address_of(rows[i].reserved);
		found = candidates(&pool);
		assert_string_equal(found, rows[i].wanted);
	}
}

static void test_check(void **state)
{
	static const struct {
		const char *address;
		bool good;
	} rows[] = {
		{"10.9.0.2", true},	 {"10.9.255.254", true},
		{"10.9.0.1", false},	 {"10.9.0.0", false},
		{"10.9.255.255", false}, {"10.10.0.2", false},
		{"fd00::2", false},
	};
	const struct net_pool pool = {
		.subnet = prefix_of("10.9.0.0/16"),
		.gateway = address_of("10.9.0.1"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_address_value address = address_of(rows[i].address);
		struct error err = {0};

		if ((pool_check(&pool, &address, &err) == 0) != rows[i].good)
			fail_msg("%s: %s", rows[i].address, err.message);
	}
}

/* Each is the first that is left, until there is none. */
static void test_choose(void **state)
{
	struct net_prefix taken[64];
	size_t count = 0;
	struct error err = {0};
	struct net_prefix subnet;
	char text[PREFIX_TEXT_MAX];

	taken[count++] = prefix_of("172.19.128.0/24");
	assert_int_equal(pool_choose_subnet(taken, count, &subnet, &err), 0);
	prefix_text(&subnet, text);
	assert_string_equal(text, "172.18.0.0/16");
	taken[count++] = subnet;
	assert_int_equal(pool_choose_subnet(taken, count, &subnet, &err), 0);
	prefix_text(&subnet, text);
	assert_string_equal(text, "172.20.0.0/16");
	taken[count++] = prefix_of("172.16.0.0/12");
	assert_int_equal(pool_choose_subnet(taken, count, &subnet, &err), 0);
	prefix_text(&subnet, text);
	assert_string_equal(text, "192.168.0.0/20");
	taken[count++] = subnet;
	assert_int_equal(pool_choose_subnet(taken, count, &subnet, &err), 0);
	prefix_text(&subnet, text);
	assert_string_equal(text, "192.168.16.0/20");
	taken[count++] = prefix_of("192.0.0.0/8");
	assert_true(pool_choose_subnet(taken, count, &subnet, &err) < 0);
	assert_int_equal(err.kind, ERROR_CONFLICT);

	assert_int_equal(pool_choose_subnet6(&subnet, &err), 0);
	assert_int_equal(subnet.length, 64);
	assert_int_equal(subnet.address.bytes[0], 0xfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_choose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
