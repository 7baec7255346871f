/* net/files.h and the address checks of net/netns.h */
#include "net/files.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/netns.h"

#define STANDARD                                      \
	"127.0.0.1\tlocalhost\n"                      \
	"::1\tlocalhost ip6-localhost ip6-loopback\n" \
	"fe00::\tip6-localnet\n"                      \
	"ff00::\tip6-mcastprefix\n"                   \
	"ff02::1\tip6-allnodes\n"                     \
	"ff02::2\tip6-allrouters\n"

static void test_hosts(void **state)
{
	const struct {
		struct net_files_request request;
		const char *text; /* after STANDARD */
	} rows[] = {
		{{0}, ""},
		{{.hostname = "www"}, "127.0.0.1\twww\n"},
		{{.hostname = "www", .address = "10.0.2.100"},
		 "10.0.2.100\twww\n"},
		{{.hostname = "www",
		  .domainname = "example.org",
		  .address = "10.0.2.100"},
		 "10.0.2.100\twww.example.org www\n"},
		{{.hostname = "www",
		  .address = "10.0.2.100",
		  .gateway = "10.0.2.2"},
		 "10.0.2.2\thost.docker.internal host.containers.internal\n"
		 "10.0.2.100\twww\n"},
		{{.hostname = "www",
		  .address = "10.0.2.100",
		  .gateway = "10.0.2.2",
		  .add_hosts = (char *[]){"db:10.1.2.3", "six=[::1]",
					  "seven:fd00::7",
					  "host.docker.internal:1.2.3.4",
					  "gate:host-gateway", NULL}},
		 "10.1.2.3\tdb\n"
		 "::1\tsix\n"
		 "fd00::7\tseven\n"
		 "1.2.3.4\thost.docker.internal\n"
		 "10.0.2.2\tgate\n"
		 "10.0.2.2\thost.containers.internal\n"
		 "10.0.2.100\twww\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *expected =
			xasprintf("%s%s", STANDARD, rows[i].text);
		cleanup_free char *text = NULL;
		struct error err = {0};

		if (net_hosts_text(&rows[i].request, &text, &err) < 0)
			fail_msg("row %zu: %s", i, err.message);
		assert_string_equal(text, expected);
	}
}

static void test_hosts_refused(void **state)
{
	const struct {
		struct net_files_request request;
		const char *message;
	} rows[] = {
		{{.hostname = "a\n1.2.3.4 b"}, "invalid hostname: a 1.2.3.4 b"},
		{{.hostname = "a", .domainname = "b c"},
		 "invalid domain name: b c"},
		{{.add_hosts = (char *[]){"a:1.2.3", NULL}},
		 "invalid IP address in add-host: \"1.2.3\""},
		{{.add_hosts = (char *[]){"a:host-gateway", NULL}},
		 "cannot add host a: host-gateway has no address without a "
		 "network"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = NULL;
		struct error err = {0};

		assert_int_equal(net_hosts_text(&rows[i].request, &text, &err),
				 -EINVAL);
		assert_null(text);
		assert_string_equal(err.message, rows[i].message);
	}
}

/* --network host: the host's own file is there, the hostname isn't added. */
static void test_hosts_of_host(void **state)
{
	const struct net_files_request request = {
		.hostname = "surely-not-in-etc-hosts",
		.host_network = true,
		.add_hosts = (char *[]){"db:10.1.2.3", NULL},
	};
	cleanup_free char *text = NULL;

	assert_int_equal(net_hosts_text(&request, &text, NULL), 0);
	assert_true(str_ends(text, "10.1.2.3\tdb\n"));
	assert_non_null(strstr(text, "localhost"));
	if (access("/etc/hosts", R_OK) == 0)
		assert_null(strstr(text, request.hostname));
}

static void test_add_host(void **state)
{
	static const struct {
		const char *text;
		const char *message; /* NULL: fine */
	} rows[] = {
		{"a:1.2.3.4", NULL},
		{"a=1.2.3.4", NULL},
		{"a:::1", NULL},
		{"a:[::1]", NULL},
		{"a:host-gateway", NULL},
		{"a", "bad format for add-host: \"a\""},
		{"", "bad format for add-host: \"\""},
		{":1.2.3.4", "bad format for add-host: \":1.2.3.4\""},
		{"a:", "invalid IP address in add-host: \"\""},
		{"a=[::1", "invalid IP address in add-host: \"[::1\""},
		{"a:HOST-GATEWAY",
		 "invalid IP address in add-host: \"HOST-GATEWAY\""},
		{"a b:1.2.3.4", "invalid host name in add-host: \"a b\""},
		{"a#:1.2.3.4", "invalid host name in add-host: \"a#\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = {0};
		int r = net_add_host_check(rows[i].text, &err);

		assert_int_equal(r, rows[i].message ? -EINVAL : 0);
		assert_string_equal(err.message,
				    rows[i].message ? rows[i].message : "");
	}
}

static void test_dns_checks(void **state)
{
	static const struct {
		const char *text;
		bool dns;
		bool search;
	} rows[] = {
		{"8.8.8.8", true, false}, {"::1", true, false},
		{"8.8.8", false, false},  {"[::1]", false, false},
		{"", false, false},	  {".", false, true},
		{"a", false, true},	  {"a.", false, true},
		{"a-b.c1", false, true},  {"A.example.org", false, true},
		{".a", false, false},	  {"a..b", false, false},
		{"-a", false, false},	  {"a-", false, false},
		{"a.-b", false, false},	  {"a-.b", false, false},
		{"a_b", false, false},	  {"1", false, false},
		{"a b", false, false},	  {"..", false, false},
		{"a\n", false, false},	  {"1a.2", false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(net_dns_check(rows[i].text, NULL) == 0,
				 rows[i].dns);
		assert_int_equal(net_dns_search_check(rows[i].text, NULL) == 0,
				 rows[i].search);
	}
}

static void test_resolv(void **state)
{
	static const char host[] = "# made by hand\n"
				   "domain old.example\n"
				   "nameserver 127.0.0.53\n"
				   "  nameserver\t192.0.2.1 # first\n"
				   "nameserver ::1\n"
				   "nameserver fe80::1%eth0\n"
				   "nameserver 2001:db8::53\r\n"
				   "search a.example b.example\n"
				   "options edns0\n"
				   "options ndots:2 trust-ad\n"
				   "sortlist 1.2.3.4\n";
	const struct {
		struct net_files_request request;
		const char *host;
		const char *text;
	} rows[] = {
		{{.default_dns = NET_DNS, .default_dns6 = NET_DNS6},
		 host,
		 "nameserver 10.0.2.3\n"
		 "search a.example b.example\n"
		 "options edns0 ndots:2 trust-ad\n"},
		/* slirp asks a resolver of the same family only */
		{{.default_dns = NET_DNS, .default_dns6 = NET_DNS6},
		 "nameserver fe80::1%eth0\n",
		 "nameserver fd00::3\n"},
		{{.default_dns = NET_DNS, .default_dns6 = NET_DNS6},
		 NULL,
		 "nameserver 10.0.2.3\n"},
		{{.default_dns = NET_DNS,
		  .dns = (char *[]){"9.9.9.9", "::1", NULL}},
		 host,
		 "nameserver 9.9.9.9\n"
		 "nameserver ::1\n"
		 "search a.example b.example\n"
		 "options edns0 ndots:2 trust-ad\n"},
		{{.default_dns = NET_DNS,
		  .dns_search = (char *[]){".", NULL},
		  .dns_options = (char *[]){"ndots:1", "rotate", NULL}},
		 host,
		 "nameserver 10.0.2.3\n"
		 "options ndots:1 rotate\n"},
		{{.default_dns = NET_DNS,
		  .dns_search = (char *[]){"x.example", "y.example", NULL}},
		 "search z\n",
		 "nameserver 10.0.2.3\n"
		 "search x.example y.example\n"},
		/* not the host's loopback, unless it is shared */
		{{0},
		 host,
		 "nameserver 192.0.2.1\n"
		 "nameserver 2001:db8::53\n"
		 "search a.example b.example\n"
		 "options edns0 ndots:2 trust-ad\n"},
		{{.host_network = true},
		 "nameserver 127.0.0.53\nnameserver fe80::1%eth0\n",
		 "nameserver 127.0.0.53\nnameserver fe80::1%eth0\n"},
		{{0}, "search a\ndomain b\n", "search b\n"},
		{{0}, "nameserver\nsearch\noptions\n\n;\n", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = NULL;
		struct error err = {0};

		if (net_resolv_text_from(&rows[i].request, rows[i].host, &text,
					 &err) < 0)
			fail_msg("row %zu: %s", i, err.message);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_resolv_refused(void **state)
{
	const struct {
		struct net_files_request request;
		const char *message;
	} rows[] = {
		{{.dns = (char *[]){"8.8.8", NULL}},
		 "IP address is not correctly formatted: 8.8.8"},
		{{.dns_search = (char *[]){"a b", NULL}},
		 "a b is not a valid domain"},
		{{.dns_options =
			  (char *[]){"a", "a\nnameserver 1.2.3.4", NULL}},
		 "invalid DNS option: \"a nameserver 1.2.3.4\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = NULL;
		struct error err = {0};

		assert_int_equal(net_resolv_text_from(&rows[i].request, NULL,
						      &text, &err),
				 -EINVAL);
		assert_string_equal(err.message, rows[i].message);
	}
}

static void test_address(void **state)
{
	static const struct {
		const char *text;
		bool fine;
	} rows[] = {
		{"10.0.2.100", true},	{"10.0.2.4", true},
		{"10.0.2.254", true},	{"10.0.2.0", false},
		{"10.0.2.1", false},	{"10.0.2.2", false},
		{"10.0.2.3", false},	{"10.0.2.255", false},
		{"10.0.3.100", false},	{"10.0.2", false},
		{"::1", false},		{"", false},
		{"10.0.2.100 ", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(netns_address_check(rows[i].text, NULL) == 0,
				 rows[i].fine);
}

static void test_mac(void **state)
{
	static const struct {
		const char *text;
		uint8_t mac[6]; /* all zero: refused */
	} rows[] = {
		{"02:42:ac:11:00:02", {0x02, 0x42, 0xac, 0x11, 0x00, 0x02}},
		{"02-42-AC-11-00-02", {0x02, 0x42, 0xac, 0x11, 0x00, 0x02}},
		{"0242.ac11.0002", {0x02, 0x42, 0xac, 0x11, 0x00, 0x02}},
		{"00:00:00:00:00:00", {0}},
		{"01:00:00:00:00:01", {0}},
		{"ff:ff:ff:ff:ff:ff", {0}},
		{"02:42:ac:11:00", {0}},
		{"02:42:ac:11:00:02:03", {0}},
		{"02:42:ac:11:00:0", {0}},
		{"02:42:ac:11:00:0g", {0}},
		{"02:42-ac:11:00:02", {0}},
		{"0242ac110002", {0}},
		{"", {0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static const uint8_t zero[6];
		uint8_t mac[6] = {0};
		int r = netns_mac_parse(rows[i].text, mac, NULL);

		assert_int_equal(r == 0, memcmp(rows[i].mac, zero, 6) != 0);
		assert_memory_equal(mac, rows[i].mac, 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_hosts_refused),
		cmocka_unit_test(test_hosts_of_host),
		cmocka_unit_test(test_add_host),
		cmocka_unit_test(test_dns_checks),
		cmocka_unit_test(test_resolv),
		cmocka_unit_test(test_resolv_refused),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
