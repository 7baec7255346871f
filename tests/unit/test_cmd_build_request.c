/*
 * The command line of moss build as a request. cmd/build_options.h,
 * cmd/build_context.h.
 */
#include "cmd/build_options.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/build_context.h"
#include "cmd/commands.h"

#define cleanup_options CLEANUP(options_release)

static char directory[] = "/tmp/moss-build-request-XXXXXX";

static int enter_directory(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	/* What the user who runs the tests has must not be seen. */
	setenv("DOCKER_CONFIG", directory, 1);
	unsetenv("SOURCE_DATE_EPOCH");
	unsetenv("DOCKER_DEFAULT_PLATFORM");
	unsetenv("SSH_AUTH_SOCK");
	return 0;
}

static int leave_directory(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* words: apart by blanks, before the operand ".". */
static void parse(const char *words, struct options *ret_options)
{
	cleanup_free char *line = xasprintf("%s .", words);
	cleanup_strv char **argv = strv_split(line + strspn(line, " "), ' ');
	struct error err = {0};
	bool help;

	assert_int_equal(options_parse(&command_build, "build",
				       (int)strv_length(argv), argv,
				       ret_options, &help, &err),
			 0);
}

static int request_of(const char *words, cJSON **ret_request, struct error *err)
{
	cleanup_options struct options options = {0};

	parse(words, &options);
	*ret_request = json_object();
	return build_options_request(&options, *ret_request, err);
}

/* One member of the request, as JSON; "" where there is none. */
static void assert_member(const char *words, const char *member,
			  const char *expected)
{
	cleanup_json cJSON *request = NULL;
	cleanup_free char *text = NULL;
	struct error err = {0};
	const cJSON *value;

	if (request_of(words, &request, &err) < 0)
		fail_msg("%s: %s", words, err.message);
	value = json_member(request, member);
	text = value ? json_print(value) : xstrdup("");
	assert_string_equal(text, expected);
}

static void test_members(void **state)
{
	static const struct {
		const char *words;
		const char *member;
		const char *expected;
	} cases[] = {
		{"", "references", "[]"},
		{"-t web -t web:latest -t localhost:5000/a:1", "references",
		 "[\"docker.io/library/web:latest\",\"localhost:5000/a:1\"]"},
		{"-o type=image,name=web", "references",
		 "[\"docker.io/library/web:latest\"]"},
		{"", "noCache", "false"},
		{"--no-cache", "noCache", "true"},
		{"--no-cache-filter a", "noCacheFilter", "[\"a\"]"},
		{"--pull", "pull", "true"},
		{"--squash", "squash", "true"},
		{"", "target", ""},
		{"--target a", "target", "\"a\""},
		{"", "network", "\"default\""},
		{"--network bridge", "network", "\"default\""},
		{"--network none", "network", "\"none\""},
		{"", "allow", "[]"},
		{"--network host", "allow", "[\"network.host\"]"},
		{"--allow network.host", "allow", "[\"network.host\"]"},
		{"--platform aarch64", "platform", "\"linux/arm64\""},
		{"--label a --label b=c", "labels", "[\"a\",\"b=c\"]"},
		{"--annotation manifest:a=b --annotation c=d", "annotations",
		 "[\"a=b\",\"c=d\"]"},
		{"--add-host a:1.2.3.4", "addHosts", "[\"a:1.2.3.4\"]"},
		{"--build-arg A=1 --build-arg A=2 --build-arg SET --build-arg "
		 "UNSET",
		 "buildArgs", "[\"A=2\",\"SET=value\"]"},
		{"", "epoch", ""},
		{"--build-arg SOURCE_DATE_EPOCH=7", "epoch", "7"},
		{"-m 64m --cpus 1.5 --shm-size 1m --ulimit nofile=1:2",
		 "hostConfig",
		 "{\"ShmSize\":1048576,\"Ulimits\":[{\"Name\":\"nofile\","
		 "\"Soft\":1,\"Hard\":2}],\"NanoCpus\":1500000000,\"Memory\":"
		 "67108864}"},
		{"", "hostConfig", "{}"},
		{"--storage-driver overlay", "hostConfig",
		 "{\"Moss\":{\"StorageDriver\":\"overlay\"}}"},
		{"--secret id=SET --secret id=a,env=SET", "secrets",
		 "[{\"id\":\"SET\",\"value\":\"dmFsdWU=\"},{\"id\":\"a\","
		 "\"value\":\"dmFsdWU=\"}]"},
		{"--secret type=env,id=a,src=SET", "secrets",
		 "[{\"id\":\"a\",\"value\":\"dmFsdWU=\"}]"},
		{"--secret id=a,src=/dev/null", "secrets",
		 "[{\"id\":\"a\",\"source\":\"/dev/null\"}]"},
		{"-o /out", "outputs",
		 "[{\"type\":\"local\",\"dest\":\"/out\"}]"},
		{"-o type=oci,dest=/a.tar", "outputs",
		 "[{\"type\":\"oci\",\"dest\":\"/a.tar\"}]"},
		{"-o -", "outputs", "[{\"type\":\"tar\",\"dest\":\"-\"}]"},
		{"-o type=oci,dest=/a,tar=false", "outputs",
		 "[{\"type\":\"oci\",\"tar\":false,\"dest\":\"/a\"}]"},
		{"-o type=docker -o /out", "outputs",
		 "[{\"type\":\"image\"},{\"type\":\"local\",\"dest\":"
		 "\"/out\"}]"},
		{"", "outputs", ""},
		{"--load", "outputs", ""},
		{"-t web --push", "outputs", ""},
		{"-o type=docker", "outputs", "[{\"type\":\"image\"}]"},
		{"-o /out --load", "outputs",
		 "[{\"type\":\"local\",\"dest\":\"/out\"},{\"type\":"
		 "\"image\"}]"},
		{"-o type=docker,dest=/a,tar=false", "outputs",
		 "[{\"type\":\"docker\",\"tar\":false,\"dest\":\"/a\"}]"},
		{"--cache-from web,type", "cacheFrom",
		 "[{\"type\":\"registry\",\"ref\":\"docker.io/library/"
		 "web:latest\"},{\"type\":\"registry\",\"ref\":\"docker.io/"
		 "library/type:latest\"}]"},
		{"--cache-from type=local,src=/c", "cacheFrom",
		 "[{\"type\":\"local\",\"src\":\"/c\"}]"},
		{"--cache-to type=inline", "cacheTo",
		 "[{\"type\":\"inline\"}]"},
		{"--cache-to type=local,dest=/c,mode=max", "cacheTo",
		 "[{\"type\":\"local\",\"mode\":\"max\",\"dest\":\"/c\"}]"},
		{"--build-context a=/ --build-context b=docker-image://web",
		 "buildContexts", "{\"a\":\"/\",\"b\":\"docker-image://web\"}"},
		{"--build-context a=oci-layout:///tmp/../:t@sha256:1 "
		 "--build-context b=https://c.test/d.tar",
		 "buildContexts",
		 "{\"a\":\"oci-layout:///:t@sha256:1\","
		 "\"b\":\"https://c.test/d.tar\"}"},
		{"--provenance=false --sbom=false --builder=default", "pull",
		 "false"},
		{"--rm=false --force-rm --compress", "pull", "false"},
	};

	(void)state;
	unsetenv("MOSS_STORAGE_DRIVER");
	setenv("SET", "value", 1);
	unsetenv("UNSET");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_member(cases[i].words, cases[i].member,
			      cases[i].expected);
}

static void test_epoch_of_environment(void **state)
{
	(void)state;
	setenv("SOURCE_DATE_EPOCH", "5", 1);
	assert_member("", "epoch", "5");
	assert_member("", "buildArgs", "[\"SOURCE_DATE_EPOCH=5\"]");
	assert_member("--build-arg SOURCE_DATE_EPOCH=7", "epoch", "7");
	unsetenv("SOURCE_DATE_EPOCH");
}

static void test_platform_of_environment(void **state)
{
	(void)state;
	assert_member("", "platform", "");
	setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64", 1);
	assert_member("", "platform", "\"linux/arm64\"");
	assert_member("--platform riscv64", "platform", "\"linux/riscv64\"");
	assert_member("--platform=", "platform", "");
	unsetenv("DOCKER_DEFAULT_PLATFORM");
}

static void test_refused(void **state)
{
	static const struct {
		const char *words;
		const char *message;
	} cases[] = {
		{"-t Web", "must be lowercase"},
		{"-t web -t web@sha256:"
		 "0123456789012345678901234567890123456789012345678901234567890"
		 "123",
		 "cannot be given a digest"},
		{"--push", "no name to push"},
		{"-o type=registry", "no name to push"},
		{"-o type=local", "dest is required"},
		{"-o type=local,dest=-", "use type=tar"},
		{"-o type=image,dest=/x", "has no dest"},
		{"-o type=local,dest=/x,tar=false", "oci or docker"},
		{"-o dest=/x", "output type \"\""},
		{"-o type=tar,dets=/x", "unexpected key 'dets'"},
		{"-o type=tar,x", "must be a key=value pair"},
		{"-o type=image,name=a,push=maybe", "push"},
		{"--network web", "network mode \"web\""},
		{"--allow security.insecure", "confinement"},
		{"--allow x", "unknown entitlement"},
		{"--annotation index:a=b", "only manifests"},
		{"--annotation a", "KEY=VALUE"},
		{"--label =b", "empty name"},
		{"--add-host a", "bad format"},
		{"--build-arg =x", "no name"},
		{"--build-arg SOURCE_DATE_EPOCH=today", "SOURCE_DATE_EPOCH"},
		{"--platform linux/amd64,linux/arm64", "one platform"},
		{"--isolation hyperv", "Windows"},
		{"--sbom=true", "attestations"},
		{"--call=targets", "--call=targets is not supported"},
		{"--security-opt seccomp=unconfined", "default profile"},
		{"--secret src=/dev/null", "no id"},
		{"--secret id=a,src=nowhere", "cannot read nowhere"},
		{"--secret id=a,env=UNSET", "no variable UNSET"},
		{"--secret type=x,id=a", "secret type \"x\""},
		{"--secret id=a,mode=1", "unexpected key 'mode'"},
		{"--ssh default", "SSH_AUTH_SOCK"},
		{"--ssh a=/dev/null", "no socket"},
		{"-o type=oci,dest=/a,tar=maybe", "tar: expected"},
		{"--cache-from type=gha", "cache type \"gha\""},
		{"--cache-from type=inline", "cache type \"inline\""},
		{"--cache-from type=local", "src is required"},
		{"--cache-to type=registry", "ref is required"},
		{"--cache-to type=local,dest=/c,mode=some", "min or max"},
		{"--build-context a", "expected key=value"},
		{"--build-context a=/nowhere", "cannot find"},
		{"--build-context a=oci-layout:///none:t@sha256:1",
		 "cannot find the directory /none"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *request = NULL;
		struct error err = {0};

		assert_true(request_of(cases[i].words, &request, &err) < 0);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s: %s", cases[i].words, err.message);
	}
}

/* ---- contexts ---- */

/* Opens a context with bytes on standard input. */
static int open_context(const char *operand, const char *dockerfile,
			const void *bytes, size_t length, cJSON **ret_request,
			struct build_context *ret_context, struct error *err)
{
	int before = dup(STDIN_FILENO);
	int ends[2];
	int r;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], bytes, length), (ssize_t)length);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	*ret_request = json_object();
	r = build_context_open(operand, dockerfile, *ret_request, ret_context,
			       err);
	dup2(before, STDIN_FILENO);
	close(before);
	return r;
}

static void assert_context(const char *operand, const char *dockerfile,
			   const char *input, const char *expected)
{
	CLEANUP(build_context_release)
	struct build_context context = BUILD_CONTEXT_NONE;
	cleanup_json cJSON *request = NULL;
	cleanup_free char *text = NULL;
	struct error err = {0};

	if (open_context(operand, dockerfile, input, strlen(input), &request,
			 &context, &err) < 0) {
		assert_string_equal(err.message, expected);
		return;
	}
	assert_int_equal(context.input_fd, -1);
	text = json_print(request);
	assert_string_equal(text, expected);
}

static void test_contexts(void **state)
{
	(void)state;
	assert_context("-", NULL, "FROM a\n",
		       "{\"context\":{\"type\":\"none\"},\"dockerfile\":"
		       "{\"text\":\"FROM a\\n\"}}");
	assert_context("-", "", "FROM a\n",
		       "{\"context\":{\"type\":\"none\"},\"dockerfile\":"
		       "{\"text\":\"FROM a\\n\"}}");
	assert_context("-", "-", "FROM a\n",
		       "invalid argument: can't use stdin for both build "
		       "context and dockerfile");
	assert_context("-", "x", "FROM a\n",
		       "ambiguous Dockerfile source: both stdin and flag "
		       "correspond to Dockerfiles");
	assert_context("-", NULL, "",
		       "the Dockerfile on standard input is empty");
	assert_context("/", "-", "FROM a\n",
		       "{\"context\":{\"type\":\"directory\",\"path\":\"/\"},"
		       "\"dockerfile\":{\"text\":\"FROM a\\n\"}}");
	assert_context("/", NULL, "",
		       "{\"context\":{\"type\":\"directory\",\"path\":\"/\"}}");
	assert_context("/", "/dev/null", "",
		       "{\"context\":{\"type\":\"directory\",\"path\":\"/\"},"
		       "\"dockerfile\":{\"path\":\"/dev/null\"}}");
	assert_context("/", "nowhere", "",
		       "failed to read dockerfile: open nowhere: No such file "
		       "or directory");
	assert_context("nowhere", NULL, "",
		       "unable to prepare context: path \"nowhere\" not found");
	assert_context("https://host/a.tar.gz", "sub/Dockerfile", "",
		       "{\"context\":{\"type\":\"url\",\"url\":\"https://host/"
		       "a.tar.gz\"},\"dockerfile\":{\"context\":\"sub/"
		       "Dockerfile\"}}");
	assert_context("https://host/a.git#main:sub", NULL, "",
		       "{\"context\":{\"type\":\"git\",\"url\":\"https://host/"
		       "a.git#main:sub\"}}");
	assert_context("git@host:a/b", NULL, "",
		       "{\"context\":{\"type\":\"git\",\"url\":\"git@host:a/"
		       "b\"}}");
}

/* docker's second name for it. */
static void test_lower_case_name(void **state)
{
	cleanup_fd int fd = open("dockerfile", O_WRONLY | O_CREAT, 0600);
	CLEANUP(build_context_release)
	struct build_context context = BUILD_CONTEXT_NONE;
	cleanup_json cJSON *request = NULL;
	struct error err = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(
		open_context(".", NULL, "", 0, &request, &context, &err), 0);
	assert_string_equal(
		json_member(json_member(request, "dockerfile"), "context")
			->valuestring,
		"dockerfile");
}

/* An archive arrives as it came, however much of it was looked at. */
static void test_archive(void **state)
{
	unsigned char head[3000] = "name";
	char sum[9];
	unsigned int total = 0;
	const struct {
		const char *magic;
		size_t length;
	} cases[] = {
		{"\x1f\x8b", 2},
		{"\x28\xb5\x2f\xfd", 4},
		{(const char *)head, sizeof(head)},
	};

	(void)state;
	memset(head + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		total += head[i];
	snprintf(sum, sizeof(sum), "%06o", total);
	memcpy(head + 148, sum, 7);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(build_context_release)
		struct build_context context = BUILD_CONTEXT_NONE;
		cleanup_json cJSON *request = NULL;
		cleanup_free char *back = NULL;
		size_t length = 0;
		struct error err = {0};

		assert_int_equal(open_context("-", "sub/Dockerfile",
					      cases[i].magic, cases[i].length,
					      &request, &context, &err),
				 0);
		assert_string_equal(
			json_member(json_member(request, "context"), "type")
				->valuestring,
			"tar");
		assert_int_equal(file_read_fd(context.input_fd, "archive",
					      sizeof(head), &back, &length,
					      &err),
				 0);
		assert_int_equal(length, cases[i].length);
		assert_memory_equal(back, cases[i].magic, length);
	}
}

static void test_neither(void **state)
{
	CLEANUP(build_context_release)
	struct build_context context = BUILD_CONTEXT_NONE;
	cleanup_json cJSON *request = NULL;
	struct error err = {0};

	(void)state;
	assert_true(open_context("-", NULL,
				 "\x7f"
				 "ELF\0\1",
				 6, &request, &context, &err) < 0);
	assert_string_equal(err.message, "standard input is neither a "
					 "Dockerfile nor an archive");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_epoch_of_environment),
		cmocka_unit_test(test_platform_of_environment),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_contexts),
		cmocka_unit_test(test_lower_case_name),
		cmocka_unit_test(test_archive),
		cmocka_unit_test(test_neither),
	};

	return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
