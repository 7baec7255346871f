/* cmd/container_options.h: what `run` and `create` ask the engine for. */
#include "cmd/container_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/egress_option.h"
#include "cmd/limit_options.h"
#include "cmd/refused_options.h"
#include "cmd/stream.h"

static const struct option *const tables[] = {container_options, egress_options,
					      limit_options,
					      refused_container_options, NULL};
static const struct command command = {.name = "run",
				       .options = tables,
				       .operands_min = 1,
				       .operands_max = -1,
				       .stop_at_operand = true};

static char directory[] = "/tmp/moss-test-XXXXXX";

/* The body of a command line, words apart by blanks, or an error. */
static int body_of(const char *line, bool detached, cJSON **ret_body,
		   struct error *err)
{
	cleanup_strv char **argv = strv_split(line, ' ');
	struct options options = {0};
	bool help;
	int r;

	r = options_parse(&command, "run", (int)strv_length(argv), argv,
			  &options, &help, err);
	r = r < 0 ? r : container_body(&options, detached, ret_body, err);
	options_release(&options);
	return r;
}

/* "HostConfig.CapAdd" */
static const cJSON *at(const cJSON *json, const char *path)
{
	cleanup_strv char **names = strv_split(path, '|');

	for (size_t i = 0; names[i]; i++)
		json = cJSON_GetObjectItemCaseSensitive(json, names[i]);
	return json;
}

struct row {
	const char *line;
	const char *path; /* of a member of the body, apart by "|" … */
	const char *json; /* … and what it holds; NULL: it is not there */
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_json cJSON *body = NULL;
		struct error err = {0};
		cleanup_free char *json = NULL;
		const cJSON *member;

		if (body_of(rows[i].line, false, &body, &err) < 0)
			fail_msg("%s: %s", rows[i].line, err.message);
		member = at(body, rows[i].path);
		json = member ? json_print(member) : NULL;
		if (!str_equal(json, rows[i].json))
			fail_msg("%s: %s is %s", rows[i].line, rows[i].path,
				 json);
	}
}

static void test_members(void **state)
{
	static const struct row rows[] = {
		{"web", "Image", "\"web\""},
		{"web", "Cmd", NULL},
		{"web sh -c x", "Cmd", "[\"sh\",\"-c\",\"x\"]"},
		{"web", "Entrypoint", NULL},
		{"--entrypoint sh web -c", "Entrypoint", "[\"sh\"]"},
		{"--entrypoint= web", "Entrypoint", "[\"\"]"},
		{"-e A=1 -e B=2 -e A=3 web", "Env", "[\"A=3\",\"B=2\"]"},
		{"-e SET_HERE -e NOT_SET web", "Env",
		 "[\"SET_HERE=yes\",\"NOT_SET\"]"},
		{"-e NOT_SET=1 -e NOT_SET web", "Env", "[\"NOT_SET\"]"},
		{"-e NOT_SET -e NOT_SET=1 web", "Env", "[\"NOT_SET=1\"]"},
		{"-l a=1 -l b -l a=2 web", "Labels",
		 "{\"a\":\"2\",\"b\":\"\"}"},
		{"-u 1:2 web", "User", "\"1:2\""},
		{"-w /srv web", "WorkingDir", "\"/srv\""},
		{"-h box web", "Hostname", "\"box\""},
		{"--stop-signal USR1 web", "StopSignal", "\"USR1\""},
		{"--stop-timeout 3 web", "StopTimeout", "3"},
		{"--no-healthcheck web", "Healthcheck",
		 "{\"Test\":[\"NONE\"]}"},
		{"--health-cmd ready --health-interval 1m "
		 "--health-timeout 5s --health-retries 2 "
		 "--health-start-period 1ms --health-start-interval 3s web",
		 "Healthcheck",
		 "{\"Test\":[\"CMD-SHELL\",\"ready\"],"
		 "\"Interval\":60000000000,\"Timeout\":5000000000,"
		 "\"StartPeriod\":1000000,\"StartInterval\":3000000000,"
		 "\"Retries\":2}"},
		{"--health-retries 0 web", "Healthcheck", NULL},
		{"--name x web", "Name", NULL},
		{"--cap-add A --cap-add B web", "HostConfig|CapAdd",
		 "[\"A\",\"B\"]"},
		{"--memory 1g web", "HostConfig|Memory", "1073741824"},
		{"--shm-size 64k web", "HostConfig|ShmSize", "65536"},
		{"--pids-limit -1 web", "HostConfig|PidsLimit", "-1"},
		{"--cpus 1.5 web", "HostConfig|NanoCpus", "1500000000"},
		{"--network none web", "HostConfig|NetworkMode", "\"none\""},
		{"--net host web", "HostConfig|NetworkMode", "\"host\""},
		{"--dns-opt ndots:1 web", "HostConfig|DnsOptions",
		 "[\"ndots:1\"]"},
		{"--rm web", "HostConfig|AutoRemove", "true"},
		{"web", "HostConfig|AutoRemove", NULL},
		{"--oom-kill-disable=false --cpu-count 0 web",
		 "HostConfig|AutoRemove", NULL},
		{"--oom-kill-disable web", "HostConfig|OomKillDisable", "true"},
		{"--memory-swap -1 web", "HostConfig|MemorySwap", "-1"},
		{"--memory-swap 1m web", "HostConfig|MemorySwap", "1048576"},
		{"--memory-swappiness 7 web", "HostConfig|MemorySwappiness",
		 "7"},
		{"web", "HostConfig|MemorySwappiness", NULL},
		{"-c 512 web", "HostConfig|CpuShares", "512"},
		{"--cpuset-cpus 0-1 web", "HostConfig|CpusetCpus", "\"0-1\""},
		{"--cgroup-parent a.slice web", "HostConfig|CgroupParent",
		 "\"a.slice\""},
		{"--blkio-weight 500 web", "HostConfig|BlkioWeight", "500"},
		{"--blkio-weight-device /dev/sda:300 web",
		 "HostConfig|BlkioWeightDevice",
		 "[{\"Path\":\"/dev/sda\",\"Weight\":300}]"},
		{"--device-read-bps /dev/a:1mb --device-read-bps /dev/b:2 web",
		 "HostConfig|BlkioDeviceReadBps",
		 "[{\"Path\":\"/dev/a\",\"Rate\":1048576},"
		 "{\"Path\":\"/dev/b\",\"Rate\":2}]"},
		{"--device-write-iops /dev/a:10 web",
		 "HostConfig|BlkioDeviceWriteIOps",
		 "[{\"Path\":\"/dev/a\",\"Rate\":10}]"},
		{"--cgroupns host web", "HostConfig|CgroupnsMode", "\"host\""},
		{"--runtime moss web", "HostConfig|Runtime", "\"moss\""},
		{"--cidfile /x web", "HostConfig|ContainerIDFile", "\"/x\""},
		{"--privileged=false web", "HostConfig|Privileged", "false"},
		{"--sysctl a.b=1 web", "HostConfig|Sysctls", "{\"a.b\":\"1\"}"},
		{"--restart on-failure:3 web", "HostConfig|RestartPolicy",
		 "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}"},
		{"web", "HostConfig|RestartPolicy",
		 "{\"Name\":\"no\",\"MaximumRetryCount\":0}"},
		{"--ulimit nofile=1:2 --ulimit core=-1 web",
		 "HostConfig|Ulimits",
		 "[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2},"
		 "{\"Name\":\"core\",\"Soft\":-1,\"Hard\":-1}]"},
		{"--device /dev/fuse web", "HostConfig|Devices",
		 "[{\"PathOnHost\":\"/dev/fuse\",\"PathInContainer\":"
		 "\"/dev/fuse\",\"CgroupPermissions\":\"rwm\"}]"},
		{"--device /dev/a:/dev/b:r web", "HostConfig|Devices",
		 "[{\"PathOnHost\":\"/dev/a\",\"PathInContainer\":\"/dev/b\","
		 "\"CgroupPermissions\":\"r\"}]"},
		{"--device /dev/a:rw web", "HostConfig|Devices",
		 "[{\"PathOnHost\":\"/dev/a\",\"PathInContainer\":\"/dev/a\","
		 "\"CgroupPermissions\":\"rw\"}]"},
		{"--log-opt max-size=1m web", "HostConfig|LogConfig",
		 "{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\"}}"},
		{"--ip 10.0.2.9 web",
		 "NetworkingConfig|EndpointsConfig|slirp|IPAMConfig",
		 "{\"IPv4Address\":\"10.0.2.9\"}"},
		{"--storage-driver overlay web",
		 "HostConfig|Moss|StorageDriver", "\"overlay\""},
		{"--security-opt no-new-privileges --security-opt "
		 "seccomp=unconfined web",
		 "HostConfig|SecurityOpt",
		 "[\"no-new-privileges\",\"seccomp=unconfined\"]"},
	};

	setenv("SET_HERE", "yes", 1);
	unsetenv("NOT_SET");
	unsetenv("MOSS_STORAGE_DRIVER");
	check(rows, ARRAY_SIZE(rows));
}

static void test_ports(void **state)
{
	static const struct row rows[] = {
		{"-p 8080:80 web", "ExposedPorts", "{\"80/tcp\":{}}"},
		{"-p 8080:80 web", "HostConfig|PortBindings",
		 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}"},
		{"-p 127.0.0.1:53:53/udp web", "HostConfig|PortBindings",
		 "{\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"53\"}"
		 "]}"},
		{"-p 80 web", "HostConfig|PortBindings",
		 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"}]}"},
		{"-p 1:80 -p 2:80 web", "HostConfig|PortBindings",
		 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"1\"},"
		 "{\"HostIp\":\"\",\"HostPort\":\"2\"}]}"},
		{"-p 8000-8001:80-81 web", "HostConfig|PortBindings",
		 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000\"}],"
		 "\"81/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8001\"}]}"},
		{"-p 8000-8009:80 web", "HostConfig|PortBindings",
		 "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8009\"}]"
		 "}"},
		{"--expose 90-91 web", "ExposedPorts",
		 "{\"90/tcp\":{},\"91/tcp\":{}}"},
		{"--expose 90 web", "HostConfig|PortBindings", "{}"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_mounts(void **state)
{
	static const struct row rows[] = {
		{"-v /a:/b web", "HostConfig|Binds", "[\"/a:/b\"]"},
		{"-v data:/b:ro web", "HostConfig|Binds", "[\"data:/b:ro\"]"},
		{"-v /anonymous web", "Volumes", "{\"/anonymous\":{}}"},
		{"-v /anonymous web", "HostConfig|Binds", "[]"},
		{"-v ./x:/b web", "HostConfig|Binds", "[\"/x:/b\"]"},
		{"-v .:/b:ro web", "HostConfig|Binds", "[\"/:/b:ro\"]"},
		{"--tmpfs /t --tmpfs /u:size=1m web", "HostConfig|Tmpfs",
		 "{\"/t\":\"\",\"/u\":\"size=1m\"}"},
		{"--mount type=bind,src=/a,dst=/b,bind-recursive=disabled web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\","
		 "\"BindOptions\":{\"NonRecursive\":true}}]"},
		{"--mount type=bind,src=/a,dst=/b,bind-recursive=enabled web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\"}]"},
		{"--mount type=bind,src=/a,dst=/b,ro,bind-recursive=readonly "
		 "web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\","
		 "\"ReadOnly\":true,"
		 "\"BindOptions\":{\"ReadOnlyForceRecursive\":true}}]"},
		{"--mount target=/a web", "HostConfig|Mounts",
		 "[{\"Type\":\"volume\",\"Target\":\"/a\"}]"},
		{"--mount type=bind,src=/a,dst=/b,ro web", "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\","
		 "\"ReadOnly\":true}]"},
		{"--mount type=bind,source=x/../y,target=/b,readonly=false web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"x/../y\",\"Target\":\"/b\","
		 "\"ReadOnly\":false}]"},
		{"--mount type=bind,\"src=/a,b\",dst=/b web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"bind\",\"Source\":\"/a,b\",\"Target\":\"/b\"}]"},
		{"--mount type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1770 web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"tmpfs\",\"Target\":\"/b\",\"TmpfsOptions\":"
		 "{\"SizeBytes\":1048576,\"Mode\":1016}}]"},
		{"--mount src=d,dst=/b,volume-nocopy,volume-label=a=b web",
		 "HostConfig|Mounts",
		 "[{\"Type\":\"volume\",\"Source\":\"d\",\"Target\":\"/b\","
		 "\"VolumeOptions\":{\"NoCopy\":true,\"Labels\":"
		 "{\"a\":\"b\"}}}]"},
		{"--mount type=bind,src=/a,dst=/b,bind-propagation=rslave,"
		 "bind-nonrecursive web",
		 "HostConfig|Mounts|0", NULL},
	};

	assert_int_equal(chdir("/"), 0);
	check(rows, ARRAY_SIZE(rows));
}

static void test_streams(void **state)
{
	static const struct {
		const char *line;
		bool detached;
		bool in, out, error, once;
	} rows[] = {
		{"web", false, false, true, true, false},
		{"-i web", false, true, true, true, true},
		{"-i web", true, false, false, false, false},
		{"-a stdout web", false, false, true, false, false},
		{"-a stdin -a STDERR -i web", false, true, false, true, true},
		{"-a stdout -i web", false, true, true, false, true},
		{"-a stdin web", false, true, false, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *body = NULL;

		assert_int_equal(
			body_of(rows[i].line, rows[i].detached, &body, NULL),
			0);
		assert_int_equal(cJSON_IsTrue(at(body, "AttachStdin")),
				 rows[i].in);
		assert_int_equal(cJSON_IsTrue(at(body, "AttachStdout")),
				 rows[i].out);
		assert_int_equal(cJSON_IsTrue(at(body, "AttachStderr")),
				 rows[i].error);
		assert_int_equal(cJSON_IsTrue(at(body, "StdinOnce")),
				 rows[i].once);
	}
}

static void test_errors(void **state)
{
	static const char *const rows[][2] = {
		{"-e =x web", "invalid environment variable: =x"},
		{"-a nowhere web",
		 "valid streams are STDIN, STDOUT and STDERR"},
		{"--restart sometimes web", "invalid restart policy"},
		{"--restart always:3 web", "goes with on-failure only"},
		{"--restart on-failure:-1 web", "invalid restart policy"},
		{"--restart always --rm web", "Conflicting options"},
		{"--no-healthcheck --health-retries 1 web",
		 "--no-healthcheck conflicts with --health-* options"},
		{"--health-interval=-1s web",
		 "--health-interval cannot be negative"},
		{"--health-retries -1 web",
		 "--health-retries cannot be negative"},
		{"--gpus all web", "--gpus is not supported"},
		{"--cpu-count 2 web", "--cpu-count is not supported"},
		{"--storage-opt size=1G web", "--storage-opt is not supported"},
		{"--cpus lots web", "--cpus"},
		{"--cpus -1 web", "--cpus"},
		{"--cpus nan web", "--cpus"},
		{"--memory-swap lots web", "--memory-swap"},
		{"--memory-swap=-2 web", "--memory-swap"},
		{"--blkio-weight 70000 web", "--blkio-weight"},
		{"--blkio-weight-device /dev/a:x web",
		 "invalid weight for device: /dev/a:x"},
		{"--device-read-bps /dev/a web", "bad format: /dev/a"},
		{"--device-read-bps a:1 web",
		 "bad format for device path: a:1"},
		{"--device-read-bps /dev/a:-1 web", "Unit is optional and can"},
		{"--device-read-iops /dev/a:1mb web",
		 "Number must be a positive integer"},
		{"--ulimit nofile web", "invalid ulimit argument: nofile"},
		{"--ulimit =1 web", "invalid ulimit argument: =1"},
		{"--ulimit nofile=1:2:3 web", "expected NAME=SOFT[:HARD]"},
		{"--ulimit nofile=x web", "expected NAME=SOFT[:HARD]"},
		{"--ulimit nofile=3:2 web", "less than or equal"},
		{"--device relative web", "bad format for device"},
		{"--device /dev/a:/dev/b:x web", "invalid device mode: x"},
		{"--device /dev/a:/b:r:w web", "bad format for device"},
		{"--env-file /nosuch/file web", "/nosuch/file"},
		{"--label-file /nosuch/file web", "/nosuch/file"},
		{"--security-opt seccomp=/nosuch/file web", "/nosuch/file"},
		{"-p 99999:80 web", "99999"},
		{"-v :/b web", "invalid volume specification"},
		{"-v /a::ro web", "invalid volume specification"},
		{"-v /a:/b:ro:x web", "invalid volume specification"},
		{"--mount type=nfs,dst=/a web", "mount type unknown: \"nfs\""},
		{"--mount type=bind,dst=/a web", "source is required"},
		{"--mount type=bind,src=/a web", "target is required"},
		{"--mount type=tmpfs,src=/a,dst=/b web", "takes no source"},
		{"--mount dst=/a,nosuch=1 web", "unknown option 'nosuch'"},
		{"--mount dst=/a,nosuch web", "'nosuch' must be a key=value"},
		{"--mount dst=/a,ro=maybe web", "expected true or false"},
		{"--mount dst=/a,\"x web", "a quote is not closed"},
		{"--mount type=bind,src=/a,dst=/b,volume-nocopy web",
		 "cannot mix volume-* options with mount type 'bind'"},
		{"--mount dst=/a,tmpfs-size=1 web", "cannot mix tmpfs-*"},
		{"--mount type=tmpfs,dst=/a,bind-nonrecursive web",
		 "cannot mix bind-*"},
		{"--mount type=tmpfs,dst=/a,tmpfs-size=x web", "tmpfs-size: x"},
		{"--mount type=bind,src=/a,dst=/b,bind-recursive=no web",
		 "invalid value for bind-recursive: no"},
		{"--mount type=bind,src=/a,dst=/b,bind-recursive=readonly web",
		 "'bind-recursive=readonly' requires 'readonly'"},
		{"--mount dst=/b,bind-recursive=disabled web",
		 "cannot mix bind-* options"},
		{"--mount type=tmpfs,dst=/a,tmpfs-mode=9 web", "tmpfs-mode: 9"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *body = NULL;
		struct error err = {0};

		if (body_of(rows[i][0], false, &body, &err) >= 0)
			fail_msg("%s: accepted", rows[i][0]);
		if (!strstr(err.message, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], err.message);
	}
	{
		cleanup_json cJSON *body = NULL;
		struct error err = {0};

		assert_true(body_of("-a stdout web", true, &body, &err) < 0);
		assert_non_null(strstr(err.message, "-a and -d"));
	}
}

static char *file_with(const char *text, size_t length)
{
	char *path = xasprintf("%s/file", directory);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void test_files(void **state)
{
	static const char text[] = "# comment\n\nA=1\r\n  B=two words\n"
				   "SET_HERE\nNOT_SET\nC=#x";
	cleanup_free char *path = file_with(text, sizeof(text) - 1);
	cleanup_free char *line = xasprintf("--env-file %s -e A=2 web", path);
	cleanup_free char *labels = xasprintf("--label-file %s web", path);
	cleanup_json cJSON *body = NULL;
	cleanup_json cJSON *labelled = NULL;
	cleanup_free char *json = NULL;

	setenv("SET_HERE", "yes", 1);
	unsetenv("NOT_SET");
	assert_int_equal(body_of(line, false, &body, NULL), 0);
	json = json_print(at(body, "Env"));
	assert_string_equal(json, "[\"A=2\",\"B=two words\",\"SET_HERE=yes\","
				  "\"C=#x\"]");
	assert_int_equal(body_of(labels, false, &labelled, NULL), 0);
	assert_string_equal(
		cJSON_GetStringValue(at(labelled, "Labels|SET_HERE")), "");
	assert_string_equal(cJSON_GetStringValue(at(labelled, "Labels|A")),
			    "1");
	unlink(path);
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *text;
		size_t length;
		const char *error;
	} rows[] = {
		{"A=1\n=x\n", 7, "file:2: invalid variable name: =x"},
		{"A B=1\n", 6, "file:1: invalid variable name: A B=1"},
		{"A=1\0B=2", 7, "contains a NUL byte"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *path =
			file_with(rows[i].text, rows[i].length);
		cleanup_free char *line = xasprintf("--env-file %s web", path);
		cleanup_json cJSON *body = NULL;
		struct error err = {0};

		assert_true(body_of(line, false, &body, &err) < 0);
		if (!strstr(err.message, rows[i].error))
			fail_msg("%s", err.message);
		unlink(path);
	}
}

/* A seccomp profile goes as its text, with the name for messages. */
static void test_profile(void **state)
{
	static const char text[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";
	cleanup_free char *path = file_with(text, sizeof(text) - 1);
	cleanup_free char *line =
		xasprintf("--security-opt seccomp=%s web", path);
	cleanup_json cJSON *body = NULL;
	const cJSON *options;

	assert_int_equal(body_of(line, false, &body, NULL), 0);
	options = at(body, "HostConfig|SecurityOpt");
	assert_string_equal(
		cJSON_GetStringValue(cJSON_GetArrayItem(options, 0)),
		"seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	assert_string_equal(
		cJSON_GetStringValue(at(body, "HostConfig|Moss|SeccompName")),
		path);
	unlink(path);
}

static void write_config(const char *text)
{
	cleanup_free char *path = xasprintf("%s/config.json", directory);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* docker's config.json: proxies of new containers, detach keys. */
static void test_config(void **state)
{
	static const struct row rows[] = {
		{"web", "Env",
		 "[\"HTTP_PROXY=http://p:1\",\"http_proxy=http://p:1\","
		 "\"NO_PROXY=x\",\"no_proxy=x\"]"},
		{"-e http_proxy= -e NO_PROXY=y web", "Env",
		 "[\"HTTP_PROXY=http://p:1\",\"http_proxy=\","
		 "\"NO_PROXY=y\",\"no_proxy=x\"]"},
	};
	cleanup_free char *path = xasprintf("%s/config.json", directory);
	struct detach_keys keys = {0};
	struct options options = {0};
	bool help;

	write_config("{\"detachKeys\":\"ctrl-e,DEL\",\"proxies\":{\"default\":"
		     "{\"httpProxy\":\"http://p:1\",\"noProxy\":\"x\"},"
		     "\"tcp://h\":{\"ftpProxy\":\"no\"}}}");
	check(rows, ARRAY_SIZE(rows));
	assert_int_equal(options_parse(&command_attach, "attach", 1,
				       (char *[]){"web", NULL}, &options, &help,
				       NULL),
			 0);
	assert_int_equal(detach_keys_choose(&options, &keys, NULL), 0);
	assert_int_equal(keys.count, 2);
	assert_memory_equal(keys.keys, "\x05\x7f", 2);
	unlink(path);
	assert_int_equal(detach_keys_choose(&options, &keys, NULL), 0);
	assert_memory_equal(keys.keys, "\x10\x11", 2);
	/* A damaged one stops nothing. */
	write_config("{");
	assert_int_equal(detach_keys_choose(&options, &keys, NULL), 0);
	assert_int_equal(keys.count, 2);
	unlink(path);
	options_release(&options);
}

static int remove_directory(void **state)
{
	return rmdir(directory);
}

static int make_directory(void **state)
{
	return mkdtemp(directory) && setenv("DOCKER_CONFIG", directory, 1) == 0
		       ? 0
		       : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_profile),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
