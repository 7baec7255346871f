/* Registries, of core/engine/engine.h, and core/engine/settings.h */
#include "core/engine/engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/engine/settings.h"

static char path[] = "/tmp/moss-conf-XXXXXX";

static void write_conf(const char *text)
{
	assert_int_equal(file_write_atomic_at(AT_FDCWD, path, text,
					      strlen(text), 0600, 0, NULL),
			 0);
}

/* What credentials are looked for under, joined by blanks. */
static char *names_of(const char *name, bool for_push)
{
	struct engine engine = {0};
	cleanup_strv char **names = NULL;
	struct error err = {0};

	if (engine_registry_names(&engine, name, for_push, &names, &err) < 0)
		return xstrdup(err.message);
	return strv_join(names, " ");
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool for_push;
		const char *names;
	} rows[] = {
		{"web", false,
		 "m:5000/cache/library/web n/library/web "
		 "docker.io/library/web"},
		{"web", true, "docker.io/library/web"},
		{"a.b/team/web:1", false, "a.b/team/web"},
		{"localhost:5000/web", false, "localhost:5000/web"},
		{"Web", false,
		 "invalid reference format: repository name (library/Web) must "
		 "be lowercase"},
	};

	write_conf("[registry \"docker.io\"]\nmirror = m:5000/cache\n"
		   "mirror = http://n\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *names =
			names_of(rows[i].name, rows[i].for_push);

		assert_string_equal(names, rows[i].names);
	}
}

static void test_search_name(void **state)
{
	static const struct {
		const char *term;
		const char *name;
	} rows[] = {
		{"web", "docker.io/web"},
		{"team/web", "docker.io/team/web"},
		{"a.b/web", "a.b/web"},
		{"a:5000/team/web", "a:5000/team/web"},
		{"localhost/web", "localhost/web"},
		/* Only the first part can be a host. */
		{"web/a.b", "docker.io/web/a.b"},
		{"a.b", "docker.io/a.b"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *name = engine_search_name(rows[i].term);

		assert_string_equal(name, rows[i].name);
	}
}

static void test_wrong_conf(void **state)
{
	cleanup_free char *message = NULL;
	cleanup_free char *wanted =
		xasprintf("%s:2: unknown key mirrors in [registry]", path);

	write_conf("[registry \"docker.io\"]\nmirrors = m\n");
	message = names_of("web", false);
	assert_string_equal(message, wanted);
}

static void count(const struct conf_key *key, void *data)
{
	assert_non_null(key->section);
	++*(size_t *)data;
}

/* Every row is reached, and no section and key is there twice. */
static void seen(const struct conf_key *key, void *data)
{
	char ***names = data;
	char *name = xasprintf("%s.%s", key->section, key->key);

	assert_false(strv_contains(*names, name));
	strv_push_take(names, name);
}

static void test_settings(void **state)
{
	cleanup_strv char **names = NULL;
	size_t total = 0;

	settings_for_each(count, &total);
	settings_for_each(seen, &names);
	assert_int_equal(strv_length(names), total);
	assert_true(strv_contains(names, "registry.mirror"));
}

static int set_up(void **state)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return -1;
	close(fd);
	return setenv("MOSS_CONFIG", path, 1);
}

static int tear_down(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_search_name),
		cmocka_unit_test(test_wrong_conf),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
