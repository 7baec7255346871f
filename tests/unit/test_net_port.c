/* net/port.h */
#include "net/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

/* "ip host-end>container/proto …" of a list, to compare with one string. */
static char *spell(const struct port_list *list)
{
	struct str text = {0};

	for (size_t i = 0; i < list->count; i++) {
		const struct port_mapping *mapping = &list->entries[i];

		str_appendf(&text, "%s%s %u", i ? ";" : "", mapping->host_ip,
			    mapping->host_port);
		if (mapping->host_port_end != mapping->host_port)
			str_appendf(&text, "-%u", mapping->host_port_end);
		str_appendf(&text, ">%u%s", mapping->container_port,
			    mapping->protocol == PORT_UDP ? "/udp" : "");
	}
	return str_steal(&text);
}

struct row {
	const char *text;
	const char *list;  /* NULL: refused … */
	const char *error; /* … with this message */
};

typedef int (*parse_function)(const char *text, struct port_list *list,
			      struct error *err);

static void check_rows(const struct row *rows, size_t count,
		       parse_function parse)
{
	for (size_t i = 0; i < count; i++) {
		struct port_list list = {0};
		struct error err = {0};
		cleanup_free char *spelt = NULL;
		int r = parse(rows[i].text, &list, &err);

		spelt = spell(&list);
		if (rows[i].list) {
			if (r < 0)
				fail_msg("%s: %s", rows[i].text, err.message);
			assert_string_equal(spelt, rows[i].list);
		} else {
			if (r >= 0)
				fail_msg("%s: accepted", rows[i].text);
			assert_string_equal(err.message, rows[i].error);
			assert_int_equal(list.count, 0);
		}
		port_list_release(&list);
	}
}

static void test_publish(void **state)
{
	static const struct row rows[] = {
		{"80", " 0>80", NULL},
		{"8080:80", " 8080>80", NULL},
		{"0080", " 0>80", NULL},
		{"0:80", " 0>80", NULL},
		{":80", " 0>80", NULL},
		{"::80", " 0>80", NULL},
		{"80/", " 0>80", NULL},
		{"8080:80/tcp", " 8080>80", NULL},
		{"8080:80/UDP", " 8080>80/udp", NULL},
		{"127.0.0.1:8080:80/tcp", "127.0.0.1 8080>80", NULL},
		{"127.0.0.1::80", "127.0.0.1 0>80", NULL},
		{"[::1]:80:80", "::1 80>80", NULL},
		{"::1:80:80", "::1 80>80", NULL},
		{"[::]:80:80", ":: 80>80", NULL},
		{"[2001:DB8::0:1]:80:80/udp", "2001:db8::1 80>80/udp", NULL},
		{"[1.2.3.4]:80:80", "1.2.3.4 80>80", NULL},
		{"[::ffff:1.2.3.4]:80:80", "1.2.3.4 80>80", NULL},
		{"3000-3002:4000-4002/udp",
		 " 3000>4000/udp; 3001>4001/udp; 3002>4002/udp", NULL},
		{"3000-3001", " 0>3000; 0>3001", NULL},
		{"8000-8010:80", " 8000-8010>80", NULL},
		{"8000-8010:80-80", " 8000-8010>80", NULL},
		{"8000-8000:80", " 8000>80", NULL},
		{"65535:65535", " 65535>65535", NULL},
		{"65534-65535:65534-65535", " 65534>65534; 65535>65535", NULL},
		{"published=8080,target=80", " 8080>80", NULL},
		{"target=80", " 0>80", NULL},
		{"target=53,protocol=udp,mode=host", " 0>53/udp", NULL},

		{"", NULL, "no port specified: <empty>"},
		{"/tcp", NULL, "no port specified: /tcp<empty>"},
		{"80:/tcp", NULL, "no port specified: 80:/tcp<empty>"},
		{"published=80", NULL, "no port specified: 80:/tcp<empty>"},
		{"abc", NULL, "invalid containerPort: abc"},
		{"+80", NULL, "invalid containerPort: +80"},
		{" 80", NULL, "invalid containerPort:  80"},
		{"0", NULL, "invalid containerPort: 0"},
		{"-", NULL, "invalid containerPort: -"},
		{"80-", NULL, "invalid containerPort: 80-"},
		{"-80", NULL, "invalid containerPort: -80"},
		{"90-80", NULL, "invalid containerPort: 90-80"},
		{"80-81-82", NULL, "invalid containerPort: 80-81-82"},
		{"1-70000", NULL, "invalid containerPort: 1-70000"},
		{"80:65536", NULL, "invalid containerPort: 65536"},
		{"80:99999999999999999999", NULL,
		 "invalid containerPort: 99999999999999999999"},
		{"99999:80", NULL, "invalid hostPort: 99999"},
		{"1.2.3.4:80", NULL, "invalid hostPort: 1.2.3.4"},
		{"0-2:80-82", NULL, "invalid hostPort: 0-2"},
		{"80-90:100-120", NULL,
		 "invalid ranges specified for container and host Ports: "
		 "100-120 and 80-90"},
		{"80:100-120", NULL,
		 "invalid ranges specified for container and host Ports: "
		 "100-120 and 80"},
		{"1.2.3:80:80", NULL, "invalid IP address: 1.2.3"},
		{"010.1.1.1:80:80", NULL, "invalid IP address: 010.1.1.1"},
		{":::80", NULL, "invalid IP address: :"},
		{"80:80:80:80", NULL, "invalid IP address: 80:80"},
		{"localhost:80:80", NULL, "invalid IP address: localhost"},
		{"::1]:80:80", NULL, "invalid IP address: ::1]"},
		{"[::1:80:80", NULL, "invalid IP address: [::1"},
		{"[]:80:80", NULL, "invalid IP address: "},
		{"[fe80::1%lo]:80:80", NULL, "invalid IP address: fe80::1%lo"},
		{"80/foo", NULL, "invalid proto: foo"},
		{"80/tcp/udp", NULL, "invalid proto: tcp/udp"},
		{"8080:80/sctp", NULL,
		 "cannot publish an sctp port: only tcp and udp reach a "
		 "container without root"},
		{"x=1,y", NULL, "invalid publish option 'x=1'"},
		{"target=80,y", NULL,
		 "invalid publish opts format (should be name=value but got "
		 "'y')"},
		{"target=80,=3", NULL,
		 "invalid publish opts format (should be name=value but got "
		 "'=3')"},
		{"target=80,mode=ingress", NULL,
		 "invalid publish option 'mode=ingress'"},
		{"1-5000", NULL, "too many ports: the limit is 4096"},
	};

	check_rows(rows, ARRAY_SIZE(rows), port_parse_publish);
}

static void test_expose(void **state)
{
	static const struct row rows[] = {
		{"80", " 0>80", NULL},
		{"80/udp", " 0>80/udp", NULL},
		{"8000-8001", " 0>8000; 0>8001", NULL},
		{"80:80", NULL, "invalid port format for --expose: 80:80"},
		{"", NULL, "invalid range format for --expose: "},
		{"a", NULL, "invalid range format for --expose: a"},
		{"/udp", NULL, "invalid range format for --expose: /udp"},
		{"90-80", NULL, "invalid range format for --expose: 90-80"},
		{"80/foo", NULL, "invalid proto: foo"},
	};

	check_rows(rows, ARRAY_SIZE(rows), port_parse_expose);
}

/* A list survives a later refusal, and the limit is that of the whole list. */
static void test_append(void **state)
{
	struct port_list list = {0};
	struct error err = {0};
	char text[1024];

	assert_int_equal(port_parse_publish("1-4095", &list, &err), 0);
	assert_int_equal(port_parse_publish("80", &list, &err), 0);
	assert_int_equal(list.count, PORT_MAPPINGS_MAX);
	assert_int_equal(port_parse_publish("80", &list, &err), -EINVAL);
	assert_int_equal(list.count, PORT_MAPPINGS_MAX);
	assert_int_equal(list.entries[4095].container_port, 80);
	port_list_release(&list);
	assert_null(list.entries);

	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(port_parse_publish(text, &list, &err), -EINVAL);
	assert_int_equal(port_parse_expose(text, &list, &err), -EINVAL);
	assert_int_equal(list.count, 0);
}

static int family_of(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length),
			 0);
	return address.ss_family;
}

static void close_both(int fds[2])
{
	close_fd(&fds[0]);
	close_fd(&fds[1]);
}

static void test_bind_random(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct port_mapping mapping = {
			.container_port = 80,
			.protocol = i ? PORT_UDP : PORT_TCP,
		};
		struct port_mapping again;
		struct error err = {0};
		int fds[2] = {-1, -1};
		int other[2] = {-1, -1};

		assert_int_equal(port_bind(&mapping, fds, &err), 0);
		assert_true(mapping.host_port > 0);
		assert_int_equal(mapping.host_port_end, mapping.host_port);
		assert_int_equal(family_of(fds[0]), AF_INET);
		if (fds[1] >= 0)
			assert_int_equal(family_of(fds[1]), AF_INET6);

		/* taken now, on each address */
		again = mapping;
		assert_int_equal(port_bind(&again, other, &err), -EADDRINUSE);
		assert_int_equal(err.kind, ERROR_CONFLICT);
		assert_non_null(strstr(err.message, "cannot publish 0.0.0.0:"));
		assert_non_null(strstr(err.message, i ? "/udp" : "/tcp"));
		assert_non_null(strstr(err.hint, i ? "ss -lnup" : "ss -lntp"));
		assert_int_equal(other[0], -1);
		assert_int_equal(port_bind(&again, other, NULL), -EADDRINUSE);
		close_both(fds);
	}
}

/* The first free one of a range; none is an error that names the range. */
static void test_bind_range(void **state)
{
	struct port_mapping first = {.host_ip = "127.0.0.1",
				     .container_port = 80};
	struct port_mapping mapping;
	struct error err = {0};
	int fds[2] = {-1, -1};
	int other[2] = {-1, -1};

	do {
		close_both(fds);
		first.host_port = 0;
		first.host_port_end = 0;
		assert_int_equal(port_bind(&first, fds, &err), 0);
	} while (first.host_port > 65000);
	assert_int_equal(fds[1], -1);

	mapping = first;
	mapping.host_port_end = (uint16_t)(first.host_port + 20);
	assert_int_equal(port_bind(&mapping, other, &err), 0);
	assert_true(mapping.host_port > first.host_port);
	assert_true(mapping.host_port <= first.host_port + 20);

	if (mapping.host_port == first.host_port + 1) {
		struct port_mapping full = first;
		int none[2] = {-1, -1};

		full.host_port_end = mapping.host_port;
		assert_int_equal(port_bind(&full, none, &err), -EADDRINUSE);
		assert_string_equal(err.hint, "no port of the range is free");
		assert_non_null(strchr(err.message, '-'));
	}
	close_both(fds);
	close_both(other);
}

static void test_bind_refused(void **state)
{
	struct port_mapping foreign = {.host_ip = "192.0.2.254",
				       .host_port = 4711,
				       .container_port = 80};
	struct port_mapping nonsense = {.host_ip = "nonsense",
					.container_port = 80};
	struct port_mapping foreign6 = {.host_ip = "2001:db8::1",
					.host_port = 4711,
					.protocol = PORT_UDP,
					.container_port = 80};
	struct error err = {0};
	int fds[2] = {-1, -1};

	assert_int_equal(port_bind(&foreign, fds, &err), -EADDRNOTAVAIL);
	assert_non_null(
		strstr(err.message, "cannot publish 192.0.2.254:4711/tcp: "));
	assert_string_equal(err.hint,
			    "192.0.2.254 is no address of this machine");
	assert_int_equal(port_bind(&nonsense, fds, &err), -EINVAL);
	if (port_bind(&foreign6, fds, &err) == -EADDRNOTAVAIL)
		assert_non_null(
			strstr(err.message,
			       "cannot publish [2001:db8::1]:4711/udp: "));
	assert_int_equal(fds[0], -1);
}

/* Needs a user who may not bind port 1. */
static void test_bind_low_port(void **state)
{
	struct port_mapping mapping = {
		.host_ip = "127.0.0.1", .host_port = 1, .container_port = 80};
	struct error err = {0};
	int fds[2] = {-1, -1};
	int r = port_bind(&mapping, fds, &err);

	if (r == 0) {
		close_both(fds);
		skip();
	}
	assert_int_equal(r, -EACCES);
	assert_int_equal(err.kind, ERROR_PERMISSION);
	assert_non_null(strstr(err.hint,
			       "sysctl net.ipv4.ip_unprivileged_port_start=1"));
}

static void test_publish_mode(void **state)
{
	static const char *const names[] = {"auto", "splice", "slirp",
					    "native"};
	enum publish_mode mode = PUBLISH_SLIRP;
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(publish_mode_parse(names[i], &mode, &err), 0);
		assert_int_equal(mode, i);
		assert_string_equal(publish_mode_name(mode), names[i]);
	}
	assert_int_equal(publish_mode_parse("", &mode, &err), 0);
	assert_int_equal(mode, PUBLISH_AUTO);
	assert_int_equal(publish_mode_parse("Auto", &mode, &err), -EINVAL);
	assert_string_equal(err.message, "invalid publish mode: \"Auto\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_expose),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_bind_random),
		cmocka_unit_test(test_bind_range),
		cmocka_unit_test(test_bind_refused),
		cmocka_unit_test(test_bind_low_port),
		cmocka_unit_test(test_publish_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
