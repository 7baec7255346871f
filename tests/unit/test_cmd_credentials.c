/* cmd/credentials.h, cmd/credential_file.h, cmd/credential_helper.h */
#include "cmd/credentials.h"

#include <errno.h>
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
#include "base/str.h"
#include "cmd/credential_file.h"
#include "cmd/credential_helper.h"

#define TIMEOUT_MS 10000

static char home[] = "/tmp/moss-credentials-XXXXXX";

/* "user:password", "<identity token>", "=registry token", "" for nothing. */
static char *spell(const struct registry_auth *auth)
{
	if (auth->identity_token)
		return xasprintf("<%s>", auth->identity_token);
	if (auth->registry_token)
		return xasprintf("=%s", auth->registry_token);
	return auth->username ? xasprintf("%s:%s", auth->username,
					  auth->password ? auth->password : "")
			      : xstrdup("");
}

static cJSON *parse(const char *text)
{
	struct error err = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "file", &json, &err) < 0)
		fail_msg("%s", err.message);
	return json;
}

/* YTpi is a:b, YTpjOmQ= is a:c:d, YTo= is a:. */
static void test_find(void **state)
{
	static const struct {
		const char *auths;
		const char *name;
		const char *found;
	} rows[] = {
		{"", "a.b/x", ""},
		{"\"a.b\":{\"auth\":\"YTpi\"}", "a.b/x", "a:b"},
		{"\"a.b\":{\"auth\":\"YTpi\"}", "a.b", "a:b"},
		{"\"a.b\":{\"auth\":\"YTpjOmQ=\"}", "a.b", "a:c:d"},
		{"\"a.b:5000\":{\"auth\":\"YTpi\"}", "a.b/x", ""},
		{"\"a.b\":{\"auth\":\"YTpi\"}", "a.b:5000/x", ""},
		{"\"xa.b\":{\"auth\":\"YTpi\"}", "a.b/x", ""},
		/* The longest part of the name. */
		{"\"q.io\":{\"auth\":\"YTpi\"},"
		 "\"q.io/t\":{\"auth\":\"YTpjOmQ=\"}",
		 "q.io/t/x", "a:c:d"},
		{"\"q.io\":{\"auth\":\"YTpi\"},"
		 "\"q.io/t\":{\"auth\":\"YTpjOmQ=\"}",
		 "q.io/tt", "a:b"},
		{"\"q.io/t\":{\"auth\":\"YTpi\"}", "q.io/u", ""},
		{"\"q.io/t\":{\"auth\":\"YTpi\"}", "q.io", ""},
		/* docker.io under all its names. */
		{"\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}",
		 "docker.io/library/x", "a:b"},
		{"\"docker.io\":{\"auth\":\"YTpi\"}", "docker.io/x", "a:b"},
		{"\"registry-1.docker.io\":{\"auth\":\"YTpi\"}", "docker.io/x",
		 "a:b"},
		{"\"docker.io\":{\"auth\":\"YTpjOmQ=\"},"
		 "\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}",
		 "docker.io/x", "a:b"},
		/* Keys of long ago. */
		{"\"https://a.b/v1/\":{\"auth\":\"YTpi\"}", "a.b/x", "a:b"},
		{"\"http://a.b:5000\":{\"auth\":\"YTpi\"}", "a.b:5000/x",
		 "a:b"},
		{"\"https://a.b/team\":{\"auth\":\"YTpi\"}", "a.b/x", ""},
		/* What is in an entry. */
		{"\"a.b\":{}", "a.b", ""},
		{"\"a.b\":{\"auth\":\"YTo=\",\"identitytoken\":\"t\"}", "a.b",
		 "<t>"},
		{"\"a.b\":{\"registrytoken\":\"r\"}", "a.b", "=r"},
		{"\"a.b\":{\"username\":\"u\",\"password\":\"p\"}", "a.b",
		 "u:p"},
		{"\"a.b\":7", "a.b", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(registry_auth_release) struct registry_auth auth = {0};
		cleanup_free char *text =
			xasprintf("{\"auths\":{%s}}", rows[i].auths);
		cleanup_json cJSON *json = parse(text);
		cleanup_free char *spelt = NULL;
		struct error err = {0};

		if (credential_file_find(json, "file", rows[i].name, &auth,
					 &err) < 0)
			fail_msg("%s: %s", text, err.message);
		spelt = spell(&auth);
		if (strcmp(spelt, rows[i].found) != 0)
			fail_msg("%s in %s: %s", rows[i].name, text, spelt);
	}
}

static void test_find_wrong(void **state)
{
	/* "YWI=" is ab, "YQA6Yg==" has a NUL byte. */
	static const char *const rows[] = {"YWI=", "YTpi=", "*", "YQA6Yg=="};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct registry_auth auth = {0};
		cleanup_free char *text = xasprintf(
			"{\"auths\":{\"a.b\":{\"auth\":\"%s\"}}}", rows[i]);
		cleanup_json cJSON *json = parse(text);
		struct error err = {0};

		assert_true(credential_file_find(json, "file", "a.b", &auth,
						 &err) < 0);
		assert_string_equal(err.message,
				    "file: auths[\"a.b\"]: auth is not the "
				    "base64 form of user:password");
		/* Nothing of it in what the user and his logs see. */
		assert_null(strstr(err.message, rows[i]));
		assert_null(auth.username);
	}
}

static void test_helper_of(void **state)
{
	static const struct {
		const char *file;
		const char *name;
		const char *helper; /* "helper server", "" for none */
	} rows[] = {
		{"{}", "a.b/x", ""},
		{"{\"credsStore\":\"s\"}", "a.b/x", "s a.b"},
		{"{\"credsStore\":\"s\"}", "docker.io/library/x",
		 "s https://index.docker.io/v1/"},
		{"{\"credsStore\":\"s\",\"credHelpers\":{\"a.b\":\"h\"}}",
		 "a.b/x", "h a.b"},
		{"{\"credsStore\":\"s\",\"credHelpers\":{\"a.b\":\"\"}}",
		 "a.b/x", "s a.b"},
		{"{\"credHelpers\":{\"a.b\":\"h\"}}", "c.d/x", ""},
		{"{\"credHelpers\":{\"https://index.docker.io/v1/\":\"h\"}}",
		 "docker.io/x", "h https://index.docker.io/v1/"},
		{"{\"credsStore\":7}", "a.b/x", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *json = parse(rows[i].file);
		cleanup_free char *server = NULL;
		cleanup_free char *spelt = NULL;
		const char *helper;

		credential_file_helper(json, rows[i].name, &helper, &server);
		spelt = helper ? xasprintf("%s %s", helper, server)
			       : xstrdup("");
		assert_string_equal(spelt, rows[i].helper);
	}
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	struct error err = {0};

	if (file_write_atomic_at(AT_FDCWD, path, text, strlen(text), mode, 0,
				 &err) < 0)
		fail_msg("%s", err.message);
}

static char *read_file(const char *path)
{
	char *text = NULL;

	assert_int_equal(
		file_read_at(AT_FDCWD, path, 1 << 20, &text, NULL, NULL), 0);
	return text;
}

static void store(const char *registry, const char *user, const char *password,
		  char **ret_file)
{
	struct registry_auth auth = {xstrdup(user), xstrdup(password), NULL,
				     NULL};
	struct credentials *credentials = NULL;
	struct error err = {0};

	assert_int_equal(
		credentials_open(CREDENTIALS_WRITTEN, &credentials, &err), 0);
	if (credentials_store(credentials, registry, &auth, ret_file, &err) < 0)
		fail_msg("%s", err.message);
	credentials_close(credentials);
	registry_auth_release(&auth);
}

static char *find(const char *name)
{
	CLEANUP(registry_auth_release) struct registry_auth auth = {0};
	struct credentials *credentials = NULL;
	struct error err = {0};
	char *spelt;

	assert_int_equal(credentials_open(CREDENTIALS_READ, &credentials, &err),
			 0);
	(void)credentials_find(credentials, name, &auth);
	spelt = spell(&auth);
	credentials_close(credentials);
	return spelt;
}

static int erase(const char *registry)
{
	struct credentials *credentials = NULL;
	struct error err = {0};
	int r;

	assert_int_equal(
		credentials_open(CREDENTIALS_WRITTEN, &credentials, &err), 0);
	r = credentials_erase(credentials, registry, &err);
	credentials_close(credentials);
	return r;
}

/* Through a symbolic link, with members of somebody else's. */
static void test_file(void **state)
{
	cleanup_free char *link = xasprintf("%s/.docker/config.json", home);
	cleanup_free char *real = xasprintf("%s/real.json", home);
	cleanup_free char *directory = xasprintf("%s/.docker", home);
	cleanup_free char *file = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *found = NULL;
	cleanup_free char *again = NULL;
	struct stat status;

	assert_int_equal(mkdir(directory, 0700), 0);
	write_file(real,
		   "{\"psFormat\":\"x\",\"auths\":{\"https://a.b/v1/\":{},"
		   "\"c.d\":{\"auth\":\"YTpi\"}}}",
		   0644);
	assert_int_equal(symlink(real, link), 0);
	store("a.b", "u", "p:\"\\", &file);
	assert_string_equal(file, link);
	assert_int_equal(lstat(link, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_int_equal(stat(link, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	text = read_file(real);
	assert_non_null(strstr(text, "\"psFormat\""));
	assert_non_null(strstr(text, "YTpi"));
	found = find("a.b/repository");
	assert_string_equal(found, "u:p:\"\\");
	assert_int_equal(erase("a.b"), 1);
	assert_int_equal(erase("a.b"), 0);
	again = find("a.b");
	assert_string_equal(again, "");
	unlink(link);
	unlink(real);
}

/* REGISTRY_AUTH_FILE, docker's, containers' of the login, containers'. */
static void test_order(void **state)
{
	static const char *const files[] = {"auth.json", ".docker/config.json",
					    "run/containers/auth.json",
					    ".config/containers/auth.json"};
	cleanup_free char *runtime = xasprintf("%s/run", home);
	cleanup_free char *explicit_file = xasprintf("%s/auth.json", home);

	setenv("XDG_RUNTIME_DIR", runtime, 1);
	setenv("REGISTRY_AUTH_FILE", explicit_file, 1);
	for (size_t i = ARRAY_SIZE(files); i > 0; i--) {
		cleanup_free char *path =
			xasprintf("%s/%s", home, files[i - 1]);
		cleanup_free char *wanted = xasprintf("<%zu>", i);
		cleanup_free char *text =
			xasprintf("{\"auths\":{\"a.b\":{\"identitytoken\":"
				  "\"%zu\"}}}",
				  i);
		cleanup_free char *directory = xstrdup(path);
		cleanup_free char *found = NULL;
		cleanup_free char *command = NULL;

		*strrchr(directory, '/') = '\0';
		command = xasprintf("mkdir -p %s", directory);
		assert_int_equal(system(command), 0);
		write_file(path, text, 0600);
		found = find("a.b/x");
		assert_string_equal(found, wanted);
	}
	unsetenv("REGISTRY_AUTH_FILE");
	unsetenv("XDG_RUNTIME_DIR");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = xasprintf("%s/%s", home, files[i]);

		assert_int_equal(unlink(path), 0);
	}
}

static void write_helper(const char *name, const char *script)
{
	cleanup_free char *path =
		xasprintf("%s/bin/docker-credential-%s", home, name);
	cleanup_free char *text = xasprintf("#!/bin/sh\n%s\n", script);

	write_file(path, text, 0755);
}

static void test_helper(void **state)
{
	static const struct {
		const char *script;
		int result;	  /* 1 found, 0 not, -1 an error */
		const char *text; /* what was found, or the message */
	} rows[] = {
		{"read s; echo \"{\\\"Username\\\":\\\"u\\\","
		 "\\\"Secret\\\":\\\"$1 $s\\\"}\"",
		 1, "u:get a.b"},
		{"echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}'", 1,
		 "<t>"},
		{"echo 'credentials not found in native keychain'; exit 1", 0,
		 ""},
		{"echo '{\"Username\":\"\",\"Secret\":\"\"}'", 0, ""},
		{"echo locked; echo more; exit 3", -1,
		 "docker-credential-x: get of a.b failed: locked"},
		{"exit 3", -1,
		 "docker-credential-x: get of a.b failed: it said nothing "
		 "about the reason"},
		{"kill -9 $$", -1,
		 "docker-credential-x: get of a.b failed: it was killed"},
		{"echo '{\"Secret\":\"hunter2'", -1,
		 "docker-credential-x: its answer is not JSON"},
		{"echo '[]'", -1,
		 "docker-credential-x: answer: expected an object"},
		{"echo '{\"Username\":\"u\",\"Secret\":7}'", -1,
		 "docker-credential-x: answer.Secret: expected a string"},
		{"head -c 70000 /dev/zero", -1,
		 "docker-credential-x: its answer is larger than 65536 bytes"},
		{"cat /dev/zero", -1,
		 "docker-credential-x: its answer is larger than 65536 bytes"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(registry_auth_release) struct registry_auth auth = {0};
		const struct credential_request request = {
			.verb = CREDENTIAL_GET, .helper = "x", .server = "a.b"};
		cleanup_free char *spelt = NULL;
		struct error err = {0};
		int r;

		write_helper("x", rows[i].script);
		r = credential_helper_run(&request, TIMEOUT_MS, &auth, &err);
		spelt = r < 0 ? xstrdup(err.message) : spell(&auth);
		assert_string_equal(spelt, rows[i].text);
		assert_int_equal(r < 0 ? -1 : r, rows[i].result);
	}
}

static void test_helper_hangs(void **state)
{
	/* What they leave must not hold the test's stderr. */
	static const char *const scripts[] = {
		"exec 2>/dev/null; sleep 100",
		/* A child of it holds the pipe. */
		"exec 2>/dev/null; sleep 100 & echo '{}'",
		/* It lives on without it. */
		"exec >&- 2>/dev/null; sleep 100",
	};
	static const char *const messages[] = {
		"docker-credential-x: it did not answer within 0 s",
		"docker-credential-x: it did not answer within 0 s",
		"docker-credential-x: get of a.b failed: it was killed",
	};

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		const struct credential_request request = {
			.verb = CREDENTIAL_GET, .helper = "x", .server = "a.b"};
		struct registry_auth auth = {0};
		struct error err = {0};

		write_helper("x", scripts[i]);
		assert_true(credential_helper_run(&request, 300, &auth, &err) <
			    0);
		assert_string_equal(err.message, messages[i]);
	}
}

static void test_helper_name(void **state)
{
	static const char *const names[] = {"", "../x", "a b", "x;y", "/bin/x"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct credential_request request = {
			.verb = CREDENTIAL_GET,
			.helper = names[i],
			.server = "a.b"};
		struct registry_auth auth = {0};
		struct error err = {0};

		assert_true(credential_helper_run(&request, TIMEOUT_MS, &auth,
						  &err) < 0);
		assert_non_null(
			strstr(err.message, "name of a credential helper"));
	}
}

/* In the agent: what is stored is found, nothing of it is in the file. */
static void test_agent(void **state)
{
	cleanup_free char *config = xasprintf("%s/.docker/config.json", home);
	cleanup_free char *file = NULL;
	cleanup_free char *text = NULL;
	cleanup_free char *found = NULL;
	cleanup_free char *gone = NULL;

	write_helper("keep", "cd $HOME\n"
			     "case $1 in\n"
			     "store) cat >kept ;;\n"
			     "erase) rm kept ;;\n"
			     "get) test -e kept || {\n"
			     "  echo credentials not found; exit 1; }\n"
			     "  cat kept ;;\n"
			     "esac");
	write_file(config, "{\"credsStore\":\"keep\"}", 0600);
	store("a.b", "u", "p", &file);
	assert_null(file);
	text = read_file(config);
	assert_non_null(strstr(text, "\"a.b\": {}"));
	found = find("a.b/x");
	assert_string_equal(found, "u:p");
	assert_int_equal(erase("a.b"), 1);
	gone = find("a.b/x");
	assert_string_equal(gone, "");
}

static int set_up(void **state)
{
	cleanup_free char *path = NULL;
	cleanup_free char *bin = NULL;

	if (!mkdtemp(home))
		return -1;
	bin = xasprintf("%s/bin", home);
	path = xasprintf("%s:/usr/bin:/bin", bin);
	setenv("HOME", home, 1);
	setenv("PATH", path, 1);
	unsetenv("DOCKER_CONFIG");
	unsetenv("REGISTRY_AUTH_FILE");
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_CONFIG_HOME");
	return mkdir(bin, 0700);
}

static int tear_down(void **state)
{
	return tree_remove_at(AT_FDCWD, home, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_wrong),
		cmocka_unit_test(test_helper_of),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_helper),
		cmocka_unit_test(test_helper_hangs),
		cmocka_unit_test(test_helper_name),
		cmocka_unit_test(test_agent),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
