/* HostConfig: hostconfig.h, network.h, security.h, resources.h, mounts.h */
#include "core/engine/hostconfig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "core/engine/mounts.h"
#include "core/engine/network.h"
#include "core/engine/resources.h"
#include "core/engine/security.h"

static cJSON *parse(const char *text)
{
	struct error err = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return json;
}

/* All checks that need no other object, as creation does them. */
static int check(const cJSON *body, char ***warnings, struct error *err)
{
	CLEANUP(network_release) struct network network = {0};
	CLEANUP(mount_list_release) struct mount_list mounts = {0};
	const struct resource_namespaces all = {true, true, true};
	const cJSON *host = member_get(body, "HostConfig");
	struct security security;
	int r;

	r = host_config_check(host, false, err);
	if (r >= 0)
		r = host_config_check_conflicts(body, host, warnings, err);
	if (r >= 0)
		r = security_parse(host, &security, warnings, err);
	if (r >= 0)
		r = network_parse(body, host, member_get(body, "ExposedPorts"),
				  &network, warnings, err);
	if (r >= 0)
		r = sysctls_check(host, &all, err);
	if (r >= 0)
		r = ulimits_check(host, err);
	if (r >= 0)
		r = oom_score_check(host, err);
	if (r >= 0)
		r = devices_check(host, err);
	if (r >= 0)
		r = mounts_collect(host, member_get(body, "Volumes"), &mounts,
				   err);
	return r;
}

#define HOST(text) "{\"HostConfig\":{" text "}}"

static const struct {
	const char *body;
	const char *message; /* a part of it */
} wrong[] = {
	{HOST("\"Memory\":6291455"), "Minimum memory limit allowed is 6MB"},
	{HOST("\"Memory\":-1"), "Minimum memory limit allowed is 6MB"},
	{HOST("\"Memory\":67108864,\"MemorySwap\":33554432"),
	 "Minimum memoryswap limit should be larger than memory limit"},
	{HOST("\"MemorySwap\":33554432"),
	 "You should always set the Memory limit when using Memoryswap"},
	{HOST("\"MemorySwap\":-2"), "is negative"},
	{HOST("\"MemorySwappiness\":101"), "range is 0-100"},
	{HOST("\"MemoryReservation\":4096"),
	 "Minimum memory reservation allowed is 6MB"},
	{HOST("\"Memory\":8388608,\"MemoryReservation\":9437184"),
	 "can not be less than memory reservation limit"},
	{HOST("\"NanoCpus\":500000000,\"CpuPeriod\":5000"),
	 "Nano CPUs and CPU Period cannot both be set"},
	{HOST("\"NanoCpus\":500000000,\"CpuQuota\":5000"),
	 "Nano CPUs and CPU Quota cannot both be set"},
	{HOST("\"NanoCpus\":9000000000000000"), "Range of CPUs is from 0.01"},
	{HOST("\"NanoCpus\":1000"), "Range of CPUs is from 0.01 to"},
	{HOST("\"CpuPeriod\":999"), "CPU cfs period can not be less than 1ms"},
	{HOST("\"CpuPeriod\":1000001"), "or larger than 1s"},
	{HOST("\"CpuQuota\":999"), "CPU cfs quota can not be less than 1ms"},
	{HOST("\"CpuShares\":-1"), "invalid CPU shares (-1)"},
	{HOST("\"CpuRealtimeRuntime\":1"), "CPU real-time scheduler"},
	{HOST("\"CpusetCpus\":\"0-\""), "Invalid value 0- for cpuset cpus"},
	{HOST("\"CpusetCpus\":\"2-1\""), "Invalid value 2-1 for cpuset cpus"},
	{HOST("\"CpusetCpus\":\"0,8191\""),
	 "Requested CPUs are not available - requested 0,8191, available: 0"},
	{HOST("\"CpusetMems\":\"x\""), "Invalid value x for cpuset mems"},
	{HOST("\"BlkioWeight\":9"), "Range of blkio weight is from 10 to 1000"},
	{HOST("\"BlkioWeightDevice\":[{\"Path\":\"/dev/a\",\"Weight\":1001}]"),
	 "Range of blkio weight is from 10 to 1000"},
	{HOST("\"BlkioDeviceReadBps\":[{}]"), "a rate of 0 for"},
	{HOST("\"BlkioDeviceReadBps\":[{\"Rate\":\"x\"}]"),
	 "BlkioDeviceReadBps.Rate: expected"},
	{HOST("\"BlkioDeviceReadBps\":[5]"), "expected objects"},
	{HOST("\"Links\":[\"a:b\"]"), "--link (HostConfig.Links) is not"},
	{HOST("\"StorageOpt\":{\"size\":\"1\"}"), "--storage-opt"},
	{HOST("\"DeviceRequests\":[{}]"), "--gpus"},
	{HOST("\"NoSuch\":true"), "unknown member HostConfig.NoSuch"},
	{HOST("\"Moss\":{\"NoSuch\":1}"), "unknown member HostConfig.Moss"},
	{HOST("\"Binds\":5"), "HostConfig.Binds: expected an array"},
	{HOST("\"Runtime\":\"runsc\""), "invalid runtime: runsc"},
	{HOST("\"Isolation\":\"hyperv\""), "invalid isolation: hyperv"},
	{HOST("\"IpcMode\":\"odd\""), "invalid IPC mode: odd"},
	{HOST("\"IpcMode\":\"container:\""), "invalid IPC mode"},
	{HOST("\"PidMode\":\"private\""), "invalid PID mode: private"},
	{HOST("\"UTSMode\":\"container:x\""), "invalid UTS mode"},
	{HOST("\"CgroupnsMode\":\"odd\""), "invalid cgroup namespace mode"},
	{HOST("\"VolumeDriver\":\"nfs\""), "invalid volume driver: nfs"},
	{HOST("\"RestartPolicy\":{\"Name\":\"sometimes\"}"),
	 "unknown policy 'sometimes'"},
	{HOST("\"RestartPolicy\":{\"Name\":\"always\","
	      "\"MaximumRetryCount\":2}"),
	 "can only be used with 'on-failure'"},
	{HOST("\"RestartPolicy\":{\"Name\":\"always\"},\"AutoRemove\":true"),
	 "can't create 'AutoRemove' container with restart policy"},
	{HOST("\"LogConfig\":{\"Type\":\"syslog\"}"), "syslog"},
	{HOST("\"LogConfig\":{\"Config\":{\"max-size\":\"lots\"}}"), "lots"},
	{HOST("\"LogConfig\":{\"Config\":{\"compress\":\"true\"}}"),
	 "compress"},
	{HOST("\"Annotations\":{\"\":\"x\"}"), "the empty string"},
	{HOST("\"Annotations\":{\"dev.moss.user\":\"x\"}"), "dev.moss.user"},
	{HOST("\"CapAdd\":[\"NOSUCH\"]"), "NOSUCH"},
	{HOST("\"ExtraHosts\":[\"nocolon\"]"), "nocolon"},
	{HOST("\"Dns\":[\"not-an-ip\"]"), "not-an-ip"},
	{HOST("\"GroupAdd\":[\"a,b\"]"), "invalid group"},
	{HOST("\"ConsoleSize\":[1]"), "ConsoleSize"},
	{HOST("\"ShmSize\":-1"), "SHM size can not be less than 0"},
	{HOST("\"OomScoreAdj\":1001"), "range for oom score adj"},
	{HOST("\"MaskedPaths\":[\"proc\"]"), "not an absolute path"},

	/* security options */
	{HOST("\"SecurityOpt\":[\"nosuch=1\"]"), "\"nosuch=1\""},
	{HOST("\"SecurityOpt\":[\"seccomp\"]"), "invalid --security-opt"},
	{HOST("\"SecurityOpt\":[\"no-new-privileges=maybe\"]"),
	 "no-new-privileges=maybe"},
	{HOST("\"SecurityOpt\":[\"apparmor=mine\"]"), "without root"},
	{HOST("\"SecurityOpt\":[\"systempaths=half\"]"), "systempaths=half"},

	/* network */
	{HOST("\"NetworkMode\":\"we b\""), "network we b not found"},
	{HOST("\"NetworkMode\":\"slirp:odd=1\""), "odd=1"},
	{HOST("\"NetworkMode\":\"container:\""), "invalid container format"},
	{HOST("\"NetworkMode\":\"container:x\",\"Dns\":[\"1.1.1.1\"]"),
	 "conflicting options: dns and the network mode"},
	{HOST("\"NetworkMode\":\"container:x\",\"PublishAllPorts\":true"),
	 "conflicting options: port publishing"},
	{"{\"Hostname\":\"h\",\"HostConfig\":{\"NetworkMode\":\"container:x\"}"
	 "}",
	 "conflicting options: hostname and the network mode"},
	{"{\"Hostname\":\"h\",\"HostConfig\":{\"UTSMode\":\"host\"}}",
	 "conflicting options: hostname and the UTS mode"},
	{"{\"MacAddress\":\"92:d0:c6:0a:29:33\",\"HostConfig\":"
	 "{\"NetworkMode\":\"host\"}}",
	 "conflicting options: mac-address and the network mode"},
	{"{\"MacAddress\":\"nonsense\",\"HostConfig\":{}}", "nonsense"},
	{HOST("\"PortBindings\":{\"x/tcp\":[]}"), "invalid port"},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"1=2\"}]}"),
	 "invalid port specification: \"1=2\""},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"1.2.3.4:5\"}]}"),
	 "1.2.3.4:5"},
	{HOST("\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"99999\"}]}"),
	 "99999"},
	{HOST("\"PortBindings\":{\"80/sctp\":[{\"HostPort\":\"80\"}]}"),
	 "sctp"},
	{HOST("\"PortBindings\":{\"80/tcp\":[5]}"), "invalid port"},
	{"{\"ExposedPorts\":{\"http\":{}},\"HostConfig\":{}}", "http"},
	{"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"slirp\":{\"IPAMConfig\""
	 ":{\"IPv4Address\":\"192.0.2.1\"}}}}}",
	 "192.0.2.1"},
	{"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"slirp\":{\"Aliases\""
	 ":[\"x\"]}}}}",
	 "--network-alias"},
	{"{\"HostConfig\":{\"NetworkMode\":\"none\"},\"NetworkingConfig\":"
	 "{\"EndpointsConfig\":{\"slirp\":{\"IPAMConfig\":"
	 "{\"IPv4Address\":\"10.0.2.9\"}}}}}",
	 "conflicting options: ip and the network mode"},

	/* ulimits, sysctls, devices */
	{HOST("\"Ulimits\":[{\"Name\":\"nosuch\",\"Soft\":1,\"Hard\":1}]"),
	 "invalid ulimit type: nosuch"},
	{HOST("\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":9,\"Hard\":1}]"),
	 "must be less than or equal to hard limit: 9 > 1"},
	{HOST("\"Ulimits\":[7]"), "expected objects"},
	{HOST("\"Sysctls\":{\"kernel.panic\":\"1\"}"),
	 "\"kernel.panic\" is not in a separate kernel namespace"},
	{HOST("\"Sysctls\":{\"net.../../kernel.panic\":\"1\"}"),
	 "invalid sysctl"},
	{HOST("\"Devices\":[{\"PathOnHost\":\"/dev/nosuch\"}]"),
	 "\"/dev/nosuch\": No such file"},
	{HOST("\"Devices\":[{\"PathOnHost\":\"/etc/passwd\"}]"),
	 "not a device node"},
	{HOST("\"Devices\":[{\"PathOnHost\":\"/dev/null\","
	      "\"CgroupPermissions\":\"r\"}]"),
	 "access cannot be limited to \"r\""},
	{HOST("\"Devices\":[{\"PathOnHost\":\"/dev/null\","
	      "\"CgroupPermissions\":\"rx\"}]"),
	 "invalid device mode: rx"},

	/* mounts */
	{HOST("\"Binds\":[\"/etc\"]"), "'/etc'"},
	{HOST("\"Binds\":[\"/etc:ro\"]"), "'/etc:ro'"},
	{HOST("\"Binds\":[\":/x\"]"), "':/x'"},
	{HOST("\"Binds\":[\"/etc:/x:ro:z:more\"]"), "expected SOURCE"},
	{HOST("\"Binds\":[\"/etc:/x:rx\"]"), "invalid mode: rx"},
	{HOST("\"Binds\":[\"/etc:/x:ro,rw\"]"), "invalid mode: ro,rw"},
	{HOST("\"Binds\":[\"/etc:/x:nocopy\"]"), "invalid mode: nocopy"},
	{HOST("\"Binds\":[\"/etc:/x:rshared\"]"), "without root"},
	{HOST("\"Binds\":[\"/etc:/\"]"), "destination can't be '/'"},
	{HOST("\"Binds\":[\"/etc:/x/..\"]"), "destination can't be '/'"},
	{HOST("\"Binds\":[\"a/b:/x\"]"), "a/b"},
	{HOST("\"Binds\":[\"/etc:/x\",\"/usr:/x/\"]"),
	 "Duplicate mount point: /x"},
	{HOST("\"Binds\":[\"/etc:/x\"],\"Tmpfs\":{\"/x\":\"\"}"),
	 "Duplicate mount point: /x"},
	{HOST("\"Binds\":[\"/etc:/x\"],\"Mounts\":[{\"Type\":\"volume\","
	      "\"Target\":\"/x\"}]"),
	 "Duplicate mount point: /x"},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/no/such\","
	      "\"Target\":\"/x\"}]"),
	 "bind source path does not exist: /no/such"},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/x\"}]"),
	 "field Source must not be empty"},
	{HOST("\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\"}]"),
	 "field Target must not be empty"},
	{HOST("\"Mounts\":[{\"Type\":\"nfs\",\"Target\":\"/x\"}]"),
	 "invalid mount config for type \"nfs\": mount type unknown"},
	{HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Source\":\"/y\","
	      "\"Target\":\"/x\"}]"),
	 "field Source must not be specified"},
	{HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/x\","
	      "\"BindOptions\":{}}]"),
	 "field BindOptions must not be specified"},
	{HOST("\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":"
	      "\"/x\",\"VolumeOptions\":{\"Subpath\":\"a/../..\"}}]"),
	 "subpath must be a relative path"},
	{HOST("\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":"
	      "\"/x\",\"VolumeOptions\":{\"DriverConfig\":"
	      "{\"Name\":\"nfs\"}}}]"),
	 "volume driver nfs"},
	{HOST("\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/x\","
	      "\"TmpfsOptions\":{\"Mode\":99999}}]"),
	 "99999 is no mode"},
	{HOST("\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/x\","
	      "\"ReadOnly\":true}]"),
	 "must not set ReadOnly mode when using anonymous volumes"},
	{HOST("\"Mounts\":[5]"), "expected objects"},
	{HOST("\"Tmpfs\":{\"/x\":\"size=\"}"), "invalid tmpfs option: size="},
	{HOST("\"Tmpfs\":{\"/x\":\"upperdir=/etc\"}"), "upperdir=/etc"},
	{HOST("\"Tmpfs\":{\"x\":\"\"}"), "must be absolute"},
	{"{\"Volumes\":{\"data\":{}},\"HostConfig\":{}}", "must be absolute"},
	{"{\"Volumes\":{\"/\":{}},\"HostConfig\":{}}", "can't be '/'"},
};

static void test_wrong(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cleanup_json cJSON *body = parse(wrong[i].body);
		cleanup_strv char **warnings = NULL;
		struct error err = {0};

		if (check(body, &warnings, &err) >= 0)
			fail_msg("%s: was accepted", wrong[i].body);
		if (!strstr(err.message, wrong[i].message))
			fail_msg("%s: '%s' lacks '%s'", wrong[i].body,
				 err.message, wrong[i].message);
	}
}

static const char *const good[] = {
	"{}",
	HOST(""),
	/* As docker's client sends an empty command line. */
	HOST("\"Memory\":0,\"PidsLimit\":0,\"MemorySwappiness\":-1,"
	     "\"MemorySwap\":-1,\"OomKillDisable\":false,\"Links\":null,"
	     "\"DeviceRequests\":null,\"BlkioDeviceReadBps\":[],"
	     "\"CpusetCpus\":\"\",\"IpcMode\":\"\",\"Isolation\":\"default\","
	     "\"RestartPolicy\":{\"Name\":\"no\",\"MaximumRetryCount\":0},"
	     "\"LogConfig\":{\"Type\":\"\",\"Config\":{}},\"ConsoleSize\":[0,0]"
	     ","
	     "\"Runtime\":\"\",\"VolumeDriver\":\"\""),
	HOST("\"PidsLimit\":-1"),
	HOST("\"NetworkMode\":\"slirp:allow_host_loopback=false\""),
	HOST("\"NetworkMode\":\"container:x\""),
	HOST("\"Binds\":[\"/etc:/x:ro,Z,rslave\",\"vol:/y:nocopy\","
	     "\"/no/such/thing:/z\"]"),
	HOST("\"Tmpfs\":{\"/x\":\"rw,exec,size=10%,mode=1777,uid=3\"}"),
	HOST("\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"vol\","
	     "\"Target\":\"/x\",\"ReadOnly\":true,\"VolumeOptions\":{"
	     "\"Subpath\":\"a/../b\"}},{\"Type\":\"bind\",\"Source\":\"/"
	     "etc\",\"Target\":\"/y\","
	     "\"Consistency\":\"cached\",\"BindOptions\":{\"Propagation\":"
	     "\"rslave\",\"NonRecursive\":true}}]"),
	HOST("\"Sysctls\":{\"net.core.somaxconn\":\"9\",\"kernel.shmmax\":"
	     "\"1\",\"fs.mqueue.msg_max\":\"5\"}"),
	HOST("\"Ulimits\":[{\"Name\":\"core\",\"Soft\":0,\"Hard\":0}]"),
	HOST("\"Devices\":[{\"PathOnHost\":\"/dev/null\",\"PathInContainer\":"
	     "\"/dev/nothing\",\"CgroupPermissions\":\"rwm\"}]"),
	HOST("\"OomScoreAdj\":1000"),
	("{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"8000-8010\":{}},"
	 "\"HostConfig\":{\"PublishAllPorts\":true}}"),
};

static void test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cleanup_json cJSON *body = parse(good[i]);
		cleanup_strv char **warnings = NULL;
		struct error err = {0};

		if (check(body, &warnings, &err) < 0)
			fail_msg("%s: %s", good[i], err.message);
		assert_null(warnings);
	}
}

static const struct {
	const char *body;
	const char *warning;
} warned[] = {
	{HOST("\"NetworkMode\":\"host\",\"PortBindings\":{\"80/tcp\":[]}"),
	 "Published ports are discarded when using host network mode"},
	{HOST("\"NetworkMode\":\"none\",\"PublishAllPorts\":true"),
	 "Published ports are discarded when using none network mode"},
	{HOST("\"Privileged\":true"), "it is not root on the host"},
	{HOST("\"SecurityOpt\":[\"label=disable\"]"), "label=disable"},
	{"{\"ExposedPorts\":{\"80/sctp\":{}},\"HostConfig\":"
	 "{\"PublishAllPorts\":true}}",
	 "Port 80/sctp is not published"},
};

static void test_warnings(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(warned); i++) {
		cleanup_json cJSON *body = parse(warned[i].body);
		cleanup_strv char **warnings = NULL;
		struct error err = {0};

		if (check(body, &warnings, &err) < 0)
			fail_msg("%s: %s", warned[i].body, err.message);
		assert_int_equal(strv_length(warnings), 1);
		assert_non_null(strstr(warnings[0], warned[i].warning));
	}
}

static const struct {
	const char *host;
	const char *member;
	const char *expected;
} normal[] = {
	{"{}", "ShmSize", "67108864"},
	{"{\"ShmSize\":5}", "ShmSize", "5"},
	{"{}", "IpcMode", "\"private\""},
	{"{}", "CgroupnsMode", "\"private\""},
	{"{}", "Runtime", "\"moss\""},
	{"{}", "RestartPolicy", "{\"Name\":\"no\",\"MaximumRetryCount\":0}"},
	{"{}", "LogConfig", "{\"Type\":\"json-file\",\"Config\":{}}"},
	{"{}", "ReadonlyPaths",
	 "[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\","
	 "\"/proc/sysrq-trigger\"]"},
	{"{\"ReadonlyPaths\":[]}", "ReadonlyPaths", "[]"},
	{"{\"Privileged\":true}", "ReadonlyPaths", "null"},
	{"{\"Privileged\":true}", "MaskedPaths", "null"},
	{"{}", "ConsoleSize", "[0,0]"},
	{"{\"Binds\":[\"a:/b\"]}", "Binds", "[\"a:/b\"]"},
	{"{}", "Memory", "0"},
	{"{}", "PidsLimit", "null"},
	{"{}", "PortBindings", "{}"},
};

static void test_normalise(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(normal); i++) {
		cleanup_json cJSON *given = parse(normal[i].host);
		cleanup_json cJSON *host = host_config_normalise(given);
		cleanup_free char *text = NULL;

		text = json_print(cJSON_GetObjectItemCaseSensitive(
			host, normal[i].member));
		assert_string_equal(text, normal[i].expected);
	}
}

static void test_masked_paths(void **state)
{
	static const char *const paths[] = {
		"/proc/kcore",	    "/proc/keys",
		"/proc/timer_list", "/proc/interrupts",
		"/sys/firmware",    "/sys/devices/virtual/powercap"};
	cleanup_json cJSON *host = host_config_normalise(NULL);
	cleanup_strv char **masked = member_strv(host, "MaskedPaths");

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_true(strv_contains(masked, paths[i]));
}

static struct network network_of(const char *text)
{
	cleanup_json cJSON *body = parse(text);
	cleanup_strv char **warnings = NULL;
	struct network network = {0};
	struct error err = {0};

	if (network_parse(body, member_get(body, "HostConfig"),
			  member_get(body, "ExposedPorts"), &network, &warnings,
			  &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return network;
}

static void test_network(void **state)
{
	struct network network = network_of("{}");

	assert_int_equal(network.kind, LAUNCH_NETWORK_SLIRP);
	assert_false(network.host_loopback);
	assert_string_equal(network.address, "10.0.2.100");
	assert_string_equal(network.mac, "02:42:0a:00:02:64");
	network_release(&network);

	network = network_of(
		"{\"MacAddress\":\"92:D0:c6:0a:29:33\",\"HostConfig\":"
		"{\"NetworkMode\":\"slirp:allow-host-loopback=true\"},"
		"\"NetworkingConfig\":{\"EndpointsConfig\":{\"slirp\":"
		"{\"IPAMConfig\":{\"IPv4Address\":\"10.0.2.44\"}}}}}");
	assert_true(network.host_loopback);
	assert_string_equal(network.address, "10.0.2.44");
	assert_string_equal(network.mac, "92:d0:c6:0a:29:33");
	network_release(&network);

	/* slirp4netns' spelling, too. */
	network = network_of("{\"HostConfig\":{\"NetworkMode\":"
			     "\"slirp:allow_host_loopback=true\"}}");
	assert_true(network.host_loopback);
	network_release(&network);

	network = network_of("{\"NetworkDisabled\":true}");
	assert_int_equal(network.kind, LAUNCH_NETWORK_NONE);
	assert_null(network.address);
	network_release(&network);
}

static void test_ports(void **state)
{
	struct network network = network_of(
		"{\"ExposedPorts\":{\"80/tcp\":{},\"53/"
		"udp\":{}},\"HostConfig\":"
		"{\"PublishAllPorts\":true,\"PortBindings\":{\"80/tcp\":["
		"{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"},"
		"{\"HostIp\":\"::1\",\"HostPort\":\"9000-9010\"}],"
		"\"90\":null}}}");
	const struct port_mapping *ports = network.ports.entries;

	assert_int_equal(network.ports.count, 4);
	assert_string_equal(ports[0].host_ip, "127.0.0.1");
	assert_int_equal(ports[0].host_port, 8080);
	assert_int_equal(ports[0].container_port, 80);
	assert_string_equal(ports[1].host_ip, "::1");
	assert_int_equal(ports[1].host_port_end, 9010);
	assert_int_equal(ports[2].container_port, 90);
	assert_int_equal(ports[2].host_port, 0);
	assert_int_equal(ports[3].container_port, 53);
	assert_int_equal(ports[3].protocol, PORT_UDP);
	network_release(&network);
}

static void test_security(void **state)
{
	cleanup_json cJSON *host =
		parse("{\"SecurityOpt\":[\"seccomp={\\\"a\\\":\\\"=:\\\"}\","
		      "\"no-new-privileges:false\",\"systempaths=unconfined\","
		      "\"apparmor=unconfined\"]}");
	cleanup_strv char **warnings = NULL;
	struct security security;

	assert_int_equal(security_parse(host, &security, &warnings, NULL), 0);
	assert_int_equal(security.seccomp, LAUNCH_SECCOMP_FILE);
	assert_string_equal(security.profile, "{\"a\":\"=:\"}");
	assert_true(security.no_new_privileges_given);
	assert_false(security.no_new_privileges);
	assert_true(security.system_paths);
	assert_null(warnings);
}

static void test_privileged_is_unconfined(void **state)
{
	cleanup_json cJSON *plain = parse("{\"Privileged\":true}");
	cleanup_json cJSON *builtin = parse(
		"{\"Privileged\":true,\"SecurityOpt\":[\"seccomp=builtin\"]}");
	struct security security;

	assert_int_equal(security_parse(plain, &security, NULL, NULL), 0);
	assert_int_equal(security.seccomp, LAUNCH_SECCOMP_UNCONFINED);
	assert_int_equal(security_parse(builtin, &security, NULL, NULL), 0);
	assert_int_equal(security.seccomp, LAUNCH_SECCOMP_DEFAULT);
}

static void test_tmpfs_options(void **state)
{
	static const struct {
		const char *given;
		const char *expected;
	} rows[] = {
		{"", "noexec,nosuid,nodev,rprivate"},
		{"exec,size=5m", "nosuid,nodev,rprivate,exec,size=5m"},
		{"ro,rw,mode=700,mode=755",
		 "noexec,nosuid,nodev,rprivate,rw,mode=755"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(mount_point_release) struct mount_point point = {0};

		assert_int_equal(
			mount_parse_tmpfs("/x", rows[i].given, &point, NULL),
			0);
		assert_string_equal(point.options, rows[i].expected);
	}
}

static void test_mount_round_trip(void **state)
{
	cleanup_json cJSON *host = parse(
		"{\"Binds\":[\"/etc:/a:ro,rslave\",\"data:/b\"],"
		"\"Tmpfs\":{\"/c\":\"size=1m\"},\"Mounts\":[{\"Type\":"
		"\"volume\",\"Target\":\"/d\",\"VolumeOptions\":{\"NoCopy\":"
		"true}},{\"Type\":\"tmpfs\",\"Target\":\"/e\",\"TmpfsOptions\":"
		"{\"SizeBytes\":4096,\"Mode\":448}},{\"Type\":\"image\","
		"\"Source\":\"web:1\",\"Target\":\"/g\",\"ImageOptions\":"
		"{\"Subpath\":\"a\"}}]}");
	cleanup_json cJSON *volumes = parse("{\"/a\":{},\"/f/\":{}}");
	CLEANUP(mount_list_release) struct mount_list list = {0};
	CLEANUP(mount_list_release) struct mount_list again = {0};
	cleanup_json cJSON *first = NULL;
	cleanup_json cJSON *second = NULL;
	cleanup_json cJSON *docker = NULL;
	cleanup_free char *a = NULL;
	cleanup_free char *b = NULL;
	struct error err = {0};

	if (mounts_collect(host, volumes, &list, &err) < 0)
		fail_msg("%s", err.message);
	/* /a is taken, so the image's volume there is not made. */
	assert_int_equal(list.count, 7);
	assert_true(mount_list_find(&list, "/g")->read_only);
	assert_string_equal(mount_list_find(&list, "/g")->name, "web:1");
	assert_string_equal(mount_list_find(&list, "/g")->subpath, "a");
	assert_true(mount_list_find(&list, "/f")->anonymous);
	assert_true(mount_list_find(&list, "/f")->copy);
	assert_false(mount_list_find(&list, "/d")->copy);
	assert_string_equal(mount_list_find(&list, "/a")->propagation,
			    "rslave");
	assert_non_null(strstr(mount_list_find(&list, "/e")->options,
			       "size=4096,mode=700"));
	for (size_t i = 0; i < list.count; i++) {
		if (list.entries[i].kind == MOUNT_VOLUME)
			list.entries[i].source = xstrdup("/v");
		if (list.entries[i].kind == MOUNT_IMAGE) {
			list.entries[i].source = xstrdup("sha256:1");
			strv_push(&list.entries[i].layers, "sha256:2");
			strv_push(&list.entries[i].directories, "/d");
			list.entries[i].in_root = true;
			list.entries[i].temporary = true;
		}
	}
	first = mounts_json(&list);
	assert_int_equal(mounts_parse_json(first, &again, NULL), 0);
	second = mounts_json(&again);
	a = json_print(first);
	b = json_print(second);
	assert_string_equal(a, b);
	/* --tmpfs is not listed, --mount type=tmpfs is. */
	docker = mounts_docker_json(&list);
	assert_int_equal(cJSON_GetArraySize(docker), 6);
}

static void test_image_oci(void **state)
{
	char one[] = "sha256:1", two[] = "sha256:2", sub[] = "a";
	char name[] = "web", id[] = "sha256:3", at[] = "/m", below[] = "/d";
	char *layers[] = {one, two, NULL};
	char *directories[] = {below, NULL};
	struct mount_point point = {
		.kind = MOUNT_IMAGE,
		.name = name,
		.source = id,
		.destination = at,
		.layers = layers,
		.subpath = sub,
		.read_only = true,
	};
	cleanup_json cJSON *first = mount_oci_json(&point, true);
	cleanup_json cJSON *second = NULL;
	cleanup_json cJSON *third = NULL;
	cleanup_free char *text = json_print(first);
	cleanup_free char *other = NULL;
	cleanup_free char *bind = NULL;

	assert_string_equal(text,
			    "{\"destination\":\"/m\",\"type\":\"layers\","
			    "\"source\":\"web\",\"options\":["
			    "\"layer=sha256:1\",\"layer=sha256:2\",\"ro\","
			    "\"rootpath=a\"]}");
	point.name = point.subpath = NULL;
	point.layers = NULL;
	point.directories = directories;
	point.source = below;
	point.read_only = false;
	point.temporary = true;
	second = mount_oci_json(&point, true);
	other = json_print(second);
	assert_string_equal(other,
			    "{\"destination\":\"/m\",\"type\":\"layers\","
			    "\"source\":\"/d\",\"options\":["
			    "\"lower=/d\",\"rw\",\"temporary\"]}");
	point.kind = MOUNT_BIND;
	point.subpath = sub;
	point.in_root = true;
	third = mount_oci_json(&point, true);
	bind = json_print(third);
	assert_string_equal(bind,
			    "{\"destination\":\"/m\",\"type\":\"bind\","
			    "\"source\":\"/d\",\"options\":[\"rbind\","
			    "\"rprivate\",\"rootpath=a\",\"temporary\"]}");
}

static void test_volumes_from(void **state)
{
	cleanup_free char *name = NULL;
	bool read_only = false;
	char *none = NULL;

	assert_int_equal(
		mount_parse_volumes_from("web:ro", &name, &read_only, NULL), 0);
	assert_string_equal(name, "web");
	assert_true(read_only);
	assert_true(mount_parse_volumes_from("", &none, &read_only, NULL) < 0);
	assert_true(mount_parse_volumes_from("web:rslave", &none, &read_only,
					     NULL) < 0);
	assert_true(mount_parse_volumes_from("web:nocopy", &none, &read_only,
					     NULL) < 0);
	assert_null(none);
}

static void test_sysctl_namespaces(void **state)
{
	static const struct {
		const char *host;
		const char *message;
	} rows[] = {
		{"{\"Sysctls\":{\"net.ipv4.ip_forward\":\"1\"}}",
		 "not allowed in host network namespace"},
		{"{\"Sysctls\":{\"kernel.sem\":\"1\"}}",
		 "not allowed in the hosts ipc namespace"},
		{"{\"Sysctls\":{\"kernel.domainname\":\"x\"}}",
		 "not allowed in the hosts uts namespace"},
	};
	const struct resource_namespaces none = {false, false, false};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *host = parse(rows[i].host);
		struct error err = {0};

		assert_true(sysctls_check(host, &none, &err) < 0);
		assert_non_null(strstr(err.message, rows[i].message));
	}
}

static void test_ulimit_infinity(void **state)
{
	cleanup_json cJSON *host =
		parse("{\"Ulimits\":[{\"Name\":\"core\",\"Soft\":-1,"
		      "\"Hard\":-1}]}");
	cleanup_json cJSON *limits = ulimits_json(host);
	cleanup_free char *text = json_print(limits);

	assert_string_equal(text, "[{\"type\":\"RLIMIT_CORE\",\"soft\":"
				  "18446744073709551615,\"hard\":"
				  "18446744073709551615}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_masked_paths),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_security),
		cmocka_unit_test(test_privileged_is_unconfined),
		cmocka_unit_test(test_tmpfs_options),
		cmocka_unit_test(test_mount_round_trip),
		cmocka_unit_test(test_image_oci),
		cmocka_unit_test(test_volumes_from),
		cmocka_unit_test(test_sysctl_namespaces),
		cmocka_unit_test(test_ulimit_infinity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
