/* storage/registry/registries.h */
#include "storage/registry/registries.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

static const struct conf_key *const schema[] = {registries_conf_keys, NULL};

static const char *scheme_text(enum registry_scheme scheme)
{
	return scheme == REGISTRY_HTTPS	 ? "https"
	       : scheme == REGISTRY_HTTP ? "http"
					 : "auto";
}

/* "scheme://host/prefix +insecure +mirror ca=… key=…" joined by ";" */
static char *spell(const struct registry_endpoints *endpoints)
{
	struct str text = {0};

	for (size_t i = 0; i < endpoints->count; i++) {
		const struct registry_endpoint *endpoint =
			&endpoints->entries[i];

		str_appendf(&text, "%s%s://%s/%s%s%s", i ? ";" : "",
			    scheme_text(endpoint->scheme), endpoint->host,
			    endpoint->prefix,
			    endpoint->insecure ? " insecure" : "",
			    endpoint->mirror ? " mirror" : "");
		if (endpoint->ca)
			str_appendf(&text, " ca=%s", endpoint->ca);
		if (endpoint->cert)
			str_appendf(&text, " cert=%s", endpoint->cert);
		if (endpoint->key)
			str_appendf(&text, " key=%s", endpoint->key);
	}
	return str_steal(&text);
}

static void read_conf(struct conf *conf, const char *text)
{
	struct error err = {0};

	conf->schema = schema;
	conf->home = "/home/me";
	if (conf_parse(conf, text, strlen(text), "moss.conf", &err) < 0)
		fail_msg("%s", err.message);
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *conf;
		const char *registry;
		const char *endpoints;
	} rows[] = {
		{"", "docker.io", "https://registry-1.docker.io/"},
		{"", "example.com", "https://example.com/"},
		{"", "localhost", "auto://localhost/"},
		{"", "localhost:5000", "auto://localhost:5000/"},
		{"", "127.1.2.3:5000", "auto://127.1.2.3:5000/"},
		{"", "[::1]:5000", "auto://[::1]:5000/"},
		{"", "128.0.0.1:5000", "https://128.0.0.1:5000/"},
		{"", "localhost.example.com", "https://localhost.example.com/"},
		{"[registry \"docker.io\"]\nmirror = localhost:5000\n"
		 "mirror = https://m.example.com/cache/hub/\n"
		 "mirror = http://10.0.0.1\n",
		 "docker.io",
		 "auto://localhost:5000/ mirror;"
		 "https://m.example.com/cache/hub mirror;"
		 "http://10.0.0.1/ mirror;https://registry-1.docker.io/"},
		/* A mirror's host has a section of its own. */
		{"[registry \"docker.io\"]\nmirror = m.local\nca = /hub.pem\n"
		 "[registry \"m.local\"]\ninsecure = true\nca = /m.pem\n",
		 "docker.io",
		 "auto://m.local/ insecure mirror ca=/m.pem;"
		 "https://registry-1.docker.io/ ca=/hub.pem"},
		{"[registry \"a.b:5000\"]\ninsecure\ncert = ~/c\nkey = ~/k\n",
		 "a.b:5000",
		 "auto://a.b:5000/ insecure cert=/home/me/c key=/home/me/k"},
		/* Another port is another registry. */
		{"[registry \"a.b:5000\"]\ninsecure\n", "a.b", "https://a.b/"},
		{"[registry \"*\"]\nca = /all\n[registry \"*.b.c\"]\nca = /b\n"
		 "[registry \"*.c\"]\ninsecure\nca = /c\n",
		 "a.b.c", "auto://a.b.c/ insecure ca=/b"},
		{"[registry \"*\"]\nblocked\n[registry \"a.b\"]\nblocked = no",
		 "a.b", "https://a.b/"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(registry_endpoints_release)
		struct registry_endpoints endpoints = {0};
		CLEANUP(conf_release) struct conf conf = {0};
		cleanup_free char *spelt = NULL;
		struct error err = {0};

		read_conf(&conf, rows[i].conf);
		if (registries_endpoints(&conf, NULL, rows[i].registry, false,
					 &endpoints, &err) < 0)
			fail_msg("%s: %s", rows[i].registry, err.message);
		spelt = spell(&endpoints);
		assert_string_equal(spelt, rows[i].endpoints);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *conf;
		const char *registry;
		const char *message;
	} rows[] = {
		{"[registry \"a.b\"]\nblocked", "a.b",
		 "registry a.b is blocked: [registry \"a.b\"] in moss.conf:2"},
		{"\n[registry \"*.b\"]\n\nblocked = true", "a.b",
		 "registry a.b is blocked: [registry \"*.b\"] in moss.conf:4"},
		{"[registry \"m\"]\nblocked\n[registry \"a.b\"]\nmirror = m",
		 "a.b",
		 "registry m is blocked: [registry \"m\"] in moss.conf:2"},
		{"[registry \"*.b\"]\nblocked = true", "a.b:443",
		 "registry a.b:443 is blocked: [registry \"*.b\"] in "
		 "moss.conf:2"},
		{"[registry \"a.b\"]\nmirror = https://user@host", "a.b",
		 "moss.conf:2: mirror = https://user@host: not a registry's "
		 "address"},
		{"[registry \"a.b\"]\nmirror = m/../x", "a.b",
		 "moss.conf:2: mirror = m/../x: not a registry's address"},
		{"[registry \"a.b\"]\nmirror = m/x?y", "a.b",
		 "moss.conf:2: mirror = m/x?y: not a registry's address"},
		{"[registry \"a.b\"]\nmirror = file:///etc", "a.b",
		 "moss.conf:2: mirror = file:///etc: not a registry's address"},
		{"[registry \"a.b\"]\nmirror = \"m:0\"", "a.b",
		 "moss.conf:2: mirror = m:0: not a registry's address"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct registry_endpoints endpoints = {0};
		CLEANUP(conf_release) struct conf conf = {0};
		struct error err = {0};

		read_conf(&conf, rows[i].conf);
		assert_true(registries_endpoints(&conf, NULL, rows[i].registry,
						 false, &endpoints, &err) < 0);
		assert_string_equal(err.message, rows[i].message);
		assert_null(endpoints.entries);
	}
}

/* Nothing is pushed to a mirror. */
static void test_push(void **state)
{
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints endpoints = {0};
	CLEANUP(conf_release) struct conf conf = {0};
	cleanup_free char *spelt = NULL;

	read_conf(&conf, "[registry \"docker.io\"]\nmirror = localhost\n");
	assert_int_equal(registries_endpoints(&conf, NULL, "docker.io", true,
					      &endpoints, NULL),
			 0);
	spelt = spell(&endpoints);
	assert_string_equal(spelt, "https://registry-1.docker.io/");
	assert_string_equal(endpoints.entries[0].auth_key, "docker.io");
}

static void touch(const char *directory, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);
	cleanup_file FILE *file = fopen(path, "w");

	assert_non_null(file);
}

static void test_certs(void **state)
{
	char home[] = "/tmp/moss-certs-XXXXXX";
	cleanup_free char *docker = NULL;
	cleanup_free char *ours = NULL;
	CLEANUP(conf_release) struct conf conf = {0};
	struct error err = {0};

	read_conf(&conf, "[registry \"c.d\"]\nca = /mine\n");
	assert_non_null(mkdtemp(home));
	docker = xasprintf("%s/.config/docker/certs.d/a.b:5000", home);
	ours = xasprintf("%s/.config/moss/certs.d/c.d", home);
	assert_int_equal(path_mkdirs(docker, 0700, NULL), 0);
	assert_int_equal(path_mkdirs(ours, 0700, NULL), 0);
	touch(docker, "ca.crt");
	touch(docker, "client.cert");
	touch(docker, "client.key");
	touch(ours, "x.crt");
	{
		CLEANUP(registry_endpoints_release)
		struct registry_endpoints endpoints = {0};
		cleanup_free char *spelt = NULL;
		cleanup_free char *expected = NULL;

		assert_int_equal(registries_endpoints(&conf, home, "a.b:5000",
						      false, &endpoints, NULL),
				 0);
		spelt = spell(&endpoints);
		expected = xasprintf("https://a.b:5000/ ca=%s "
				     "cert=%s/client.cert key=%s/client.key",
				     docker, docker, docker);
		assert_string_equal(spelt, expected);
	}
	{
		CLEANUP(registry_endpoints_release)
		struct registry_endpoints endpoints = {0};
		cleanup_free char *spelt = NULL;

		assert_int_equal(registries_endpoints(&conf, home, "c.d", false,
						      &endpoints, NULL),
				 0);
		spelt = spell(&endpoints);
		assert_string_equal(spelt, "https://c.d/ ca=/mine");
	}
	touch(ours, "lonely.cert");
	{
		struct registry_endpoints endpoints = {0};

		assert_true(registries_endpoints(&conf, home, "c.d", false,
						 &endpoints, &err) < 0);
		assert_non_null(strstr(err.message, "missing key"));
		assert_non_null(strstr(err.message, "lonely.key"));
	}
	assert_int_equal(tree_remove_at(AT_FDCWD, home, NULL), 0);
}

static void test_json(void **state)
{
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints endpoints = {0};
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints back = {0};
	CLEANUP(conf_release) struct conf conf = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_free char *before = NULL;
	cleanup_free char *after = NULL;
	struct error err = {0};

	read_conf(&conf, "[registry \"docker.io\"]\nmirror = localhost:1/x\n"
			 "ca = /ca\ncert = /cert\nkey = /key\n");
	assert_int_equal(registries_endpoints(&conf, NULL, "docker.io", false,
					      &endpoints, NULL),
			 0);
	endpoints.entries[0].auth = (struct registry_auth){
		xstrdup("me"), xstrdup("secret"), NULL, NULL};
	endpoints.entries[1].auth.identity_token = xstrdup("token");
	json = registry_endpoints_to_json(&endpoints);
	if (registry_endpoints_from_json(json, &back, &err) < 0)
		fail_msg("%s", err.message);
	before = spell(&endpoints);
	after = spell(&back);
	assert_string_equal(before, after);
	assert_string_equal(back.entries[0].auth.username, "me");
	assert_string_equal(back.entries[0].auth.password, "secret");
	assert_null(back.entries[0].auth.identity_token);
	assert_string_equal(back.entries[1].auth.identity_token, "token");
	assert_null(back.entries[1].auth.username);
}

static void test_json_refused(void **state)
{
	static const char *const rows[] = {
		"[]",
		"{}",
		"[{\"host\":\"a\",\"scheme\":\"ftp\"}]",
		"[{\"host\":\"a\"}]",
		"[{\"scheme\":\"http\"}]",
		"[{\"host\":\"a/b\",\"scheme\":\"http\"}]",
		"[{\"host\":\"u@a\",\"scheme\":\"http\"}]",
		"[{\"host\":\"a:x\",\"scheme\":\"http\"}]",
		"[{\"host\":\"a\",\"scheme\":\"http\",\"auth\":\"me\"}]",
		("[{\"host\":\"a\",\"scheme\":\"http\",\"auth\":"
		 "{\"password\":1}}]"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct registry_endpoints endpoints = {0};
		cleanup_json cJSON *json = cJSON_Parse(rows[i]);
		struct error err = {0};

		assert_non_null(json);
		if (registry_endpoints_from_json(json, &endpoints, &err) >= 0)
			fail_msg("accepted: %s", rows[i]);
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

static void test_transfer(void **state)
{
	CLEANUP(conf_release) struct conf conf = {0};

	read_conf(&conf, "");
	assert_int_equal(registries_downloads(&conf), 3);
	assert_int_equal(registries_uploads(&conf), 5);
	conf_release(&conf);
	read_conf(&conf, "[transfer]\nmax-concurrent-downloads = 7\n"
			 "max-concurrent-uploads = 1\n");
	assert_int_equal(registries_downloads(&conf), 7);
	assert_int_equal(registries_uploads(&conf), 1);
}

static void test_info(void **state)
{
	CLEANUP(conf_release) struct conf conf = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;

	read_conf(&conf, "[registry \"docker.io\"]\nmirror = m:5000/x\n"
			 "mirror = http://n/\n"
			 "[registry \"a.b\"]\ninsecure\n");
	json = registries_info(&conf);
	text = json_print(json);
	assert_string_equal(
		text,
		"{\"InsecureRegistryCIDRs\":[\"::1/128\",\"127.0.0.0/8\"],"
		"\"IndexConfigs\":{\"docker.io\":{\"Name\":\"docker.io\","
		"\"Mirrors\":[\"https://m:5000/x/\",\"http://n/\"],"
		"\"Secure\":true,\"Official\":true},"
		"\"a.b\":{\"Name\":\"a.b\",\"Mirrors\":[],"
		"\"Official\":false,\"Secure\":false}},"
		"\"Mirrors\":[\"https://m:5000/x/\",\"http://n/\"]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_certs),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_refused),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
