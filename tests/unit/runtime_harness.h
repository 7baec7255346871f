/*
 * Containers for the tests of core/runtime: a root with a static busybox, a
 * configuration as core/engine writes it, and what comes out of a run. The
 * program runs as a monitor does: executed inside the user namespace.
 */
#pragma once

#include "namespace.h"

#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/runtime/runtime.h"
#include "policy/capability.h"

#define HARNESS_BUSYBOX "/bin/busybox"

/* Everything is allowed; it shows that a filter is there, and its place. */
static struct sock_filter harness_allow[] = {
	BPF_STMT(BPF_RET | BPF_K, 0x7fff0000U /* SECCOMP_RET_ALLOW */),
};
static const struct seccomp_filter harness_filter = {
	.code = harness_allow,
	.length = ARRAY_SIZE(harness_allow),
};

static char harness_directory[PATH_MAX / 4];
static char harness_root[PATH_MAX / 2];

static inline void harness_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static inline void harness_write_in_root(const char *path, const char *text)
{
	cleanup_free char *full = xasprintf("%s/%s", harness_root, path);

	harness_write(full, text);
}

static inline void harness_copy_busybox(const char *target)
{
	cleanup_free char *command =
		xasprintf("cp %s '%s'", HARNESS_BUSYBOX, target);

	assert_int_equal(system(command), 0);
}

static inline int harness_set_up(void **state)
{
	static const char *const links[] = {
		"sh",	"ls",	 "cat",	 "echo",     "grep",   "id",	"sleep",
		"ps",	"mount", "true", "readlink", "stat",   "touch", "tty",
		"env",	"pwd",	 "stty", "hostname", "kill",   "head",	"wc",
		"sort", "ip",	 "rm",	 "test",     "ulimit", "mkdir", "umask",
		"tr",	"dd",	 "sed",
	};
	static const char *const directories[] = {
		"bin", "etc",  "proc", "dev", "sys",
		"tmp", "root", "data", "srv",
	};
	const char *base = getenv("TMPDIR");

	snprintf(harness_directory, sizeof(harness_directory),
		 "%s/moss-runtime-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(harness_directory))
		return -1;
	chmod(harness_directory, 0755);
	snprintf(harness_root, sizeof(harness_root), "%s/root",
		 harness_directory);
	if (mkdir(harness_root, 0755) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		cleanup_free char *path =
			xasprintf("%s/%s", harness_root, directories[i]);

		if (mkdir(path, 0755) < 0)
			return -1;
	}
	{
		cleanup_free char *path =
			xasprintf("%s/bin/busybox", harness_root);

		harness_copy_busybox(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		cleanup_free char *path =
			xasprintf("%s/bin/%s", harness_root, links[i]);

		if (symlink("busybox", path) < 0)
			return -1;
	}
	harness_write_in_root("srv/from-image", "x\n");
	harness_write_in_root("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
					    "# a comment\n"
					    "broken\n"
					    "web:x:33:44:Web:/srv/web:/bin/sh\n"
					    "far:x:70000:70000::/:/bin/sh\n");
	harness_write_in_root("etc/group", "root:x:0:\n"
					   "web:x:44:\n"
					   "log:x:45:other,web\n"
					   "tape:x:46:web\n"
					   "disk:x:6:someone\n");
	return 0;
}

static inline int harness_remove(const char *path, const struct stat *st,
				 int type, struct FTW *walk)
{
	return remove(path);
}

static inline int harness_tear_down(void **state)
{
	return nftw(harness_directory, harness_remove, 32,
		    FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static inline cJSON *harness_json(const char *text)
{
	cJSON *json = NULL;
	struct error err = {0};

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s", err.message);
	return json;
}

static inline void harness_set_capabilities(cJSON *process, uint64_t mask)
{
	static const char *const sets[] = {"bounding", "effective",
					   "permitted"};
	cJSON *capabilities = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		cJSON *names = json_array();

		for (int bit = 0; bit < 64; bit++) {
			if (mask & (UINT64_C(1) << bit))
				json_push_string(names, capability_name(bit));
		}
		json_set(capabilities, sets[i], names);
	}
	json_set(process, "capabilities", capabilities);
}

static inline void harness_set_maps(cJSON *linux_)
{
	static const char *const keys[] = {"uidMappings", "gidMappings"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		/* An extent must lie within one of ours. */
		cleanup_free char *text = xasprintf(
			"[{\"containerID\":0,\"hostID\":0,\"size\":1}%s]",
			namespace_ids == 1 ? ""
					   : ",{\"containerID\":1,"
					     "\"hostID\":1,\"size\":65535}");

		json_set(linux_, keys[i], harness_json(text));
	}
}

/* What core/engine would write for `run IMAGE script`. */
static inline cJSON *harness_spec(const char *script)
{
	cJSON *spec = harness_json(
		"{\"ociVersion\":\"1.1.0\",\"hostname\":\"box\","
		"\"process\":{\"cwd\":\"/\",\"noNewPrivileges\":true,"
		"\"user\":{\"uid\":0,\"gid\":0},"
		"\"env\":[\"PATH=/usr/bin:/bin\"]},"
		"\"root\":{},\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\","
		"\"source\":\"proc\","
		"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\","
		"\"source\":\"tmpfs\",\"options\":[\"nosuid\","
		"\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\","
		"\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\","
		"\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
		"{\"destination\":\"/sys\",\"type\":\"sysfs\","
		"\"source\":\"sysfs\","
		"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
		"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\","
		"\"source\":\"cgroup\","
		"\"options\":[\"ro\",\"nosuid\",\"noexec\",\"nodev\"]},"
		"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\","
		"\"source\":\"mqueue\","
		"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\","
		"\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\","
		"\"nodev\",\"mode=1777\",\"size=67108864\"]}],"
		"\"linux\":{\"namespaces\":[{\"type\":\"user\"},"
		"{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},"
		"{\"type\":\"uts\"},{\"type\":\"network\"},"
		"{\"type\":\"cgroup\"}],"
		"\"maskedPaths\":[\"/proc/asound\",\"/proc/acpi\","
		"\"/proc/interrupts\",\"/proc/kcore\",\"/proc/keys\","
		"\"/proc/latency_stats\",\"/proc/timer_list\","
		"\"/proc/timer_stats\",\"/proc/sched_debug\","
		"\"/proc/scsi\",\"/sys/firmware\","
		"\"/sys/devices/virtual/powercap\"],"
		"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\","
		"\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}");
	cJSON *process = cJSON_GetObjectItem(spec, "process");
	cJSON *args = json_array();

	json_set_string(cJSON_GetObjectItem(spec, "root"), "path",
			harness_root);
	json_push_string(args, "/bin/sh");
	json_push_string(args, "-c");
	json_push_string(args, script);
	json_set(process, "args", args);
	harness_set_capabilities(process, CAPABILITY_DEFAULT);
	harness_set_maps(cJSON_GetObjectItem(spec, "linux"));
	return spec;
}

static inline cJSON *harness_process(cJSON *spec)
{
	return cJSON_GetObjectItem(spec, "process");
}

static inline cJSON *harness_linux(cJSON *spec)
{
	return cJSON_GetObjectItem(spec, "linux");
}

static inline void harness_set_args(cJSON *process, const char *const *words)
{
	cJSON *args = json_array();

	for (; *words; words++)
		json_push_string(args, *words);
	json_set(process, "args", args);
}

static inline void harness_add_mount(cJSON *spec, const char *text)
{
	json_push(cJSON_GetObjectItem(spec, "mounts"), harness_json(text));
}

/* The member of linux.namespaces of that type, to be changed or removed. */
static inline void harness_drop_namespace(cJSON *spec, const char *type)
{
	cJSON *array = cJSON_GetObjectItem(harness_linux(spec), "namespaces");

	for (int i = 0; i < cJSON_GetArraySize(array); i++) {
		cJSON *item = cJSON_GetArrayItem(array, i);

		if (str_equal(cJSON_GetObjectItem(item, "type")->valuestring,
			      type)) {
			cJSON_DeleteItemFromArray(array, i);
			return;
		}
	}
	fail_msg("no namespace %s", type);
}

static inline void harness_join_namespace(cJSON *spec, const char *type,
					  pid_t pid, const char *file)
{
	cleanup_free char *text =
		xasprintf("{\"type\":\"%s\",\"path\":\"/proc/%d/ns/%s\"}", type,
			  pid, file);

	harness_drop_namespace(spec, type);
	json_push(cJSON_GetObjectItem(harness_linux(spec), "namespaces"),
		  harness_json(text));
}

/* A container, started or not, and its output. */
struct harness {
	struct runtime_spec spec;
	struct runtime_process process;
	struct error err;
	int result; /* of the step that failed, or 0 */
	int output_fd;
	char output[65536];
	int exit_code;
};

static inline int harness_read(struct harness *harness)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = read(harness->output_fd, harness->output + length,
			 sizeof(harness->output) - 1 - length);
		length += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	harness->output[length] = '\0';
	close_fd(&harness->output_fd);
	return 0;
}

static inline void harness_start(struct harness *harness, cJSON *json,
				 const struct runtime_request *base)
{
	struct runtime_request request =
		base ? *base
		     : (struct runtime_request){
			       .filter = &harness_filter,
		       };
	int fds[2];

	*harness = (struct harness){.output_fd = -1};
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	harness->output_fd = fds[0];
	harness->result = spec_parse(json, &harness->spec, &harness->err);
	cJSON_Delete(json);
	if (harness->result == 0) {
		request.spec = &harness->spec;
		request.stdio[0] = -1;
		request.stdio[1] = request.stdio[2] = fds[1];
		harness->result = runtime_create(&request, &harness->process,
						 &harness->err);
	}
	if (harness->result == 0)
		harness->result =
			runtime_start(&harness->process, &harness->err);
	close(fds[1]);
}

static inline void harness_end(struct harness *harness)
{
	if (harness->result == 0)
		runtime_process_release(&harness->process);
	spec_release(&harness->spec);
	close_fd(&harness->output_fd);
}

static inline void harness_wait(struct harness *harness)
{
	if (harness->result < 0)
		return;
	harness_read(harness);
	harness->exit_code = proc_wait(harness->process.pid);
}

static inline void harness_run(struct harness *harness, cJSON *json)
{
	harness_start(harness, json, NULL);
	harness_wait(harness);
	if (harness->result < 0)
		print_message("%s (%s)\n", harness->err.message,
			      harness->err.hint);
	harness_end(harness);
}

/* The script must end well; its output is compared. */
static inline void harness_expect(cJSON *json, const char *output)
{
	static struct harness harness;

	harness_run(&harness, json);
	if (harness.result < 0)
		fail_msg("%s", harness.err.message);
	assert_string_equal(harness.output, output);
	assert_int_equal(harness.exit_code, 0);
}

/* It must not start, for this reason; and nothing may be left of it. */
static inline void harness_expect_error(cJSON *json, enum error_kind kind,
					const char *part)
{
	static struct harness harness;

	harness_start(&harness, json, NULL);
	if (harness.result == 0)
		fail_msg("it started");
	if (!strstr(harness.err.message, part))
		fail_msg("\"%s\" is not in \"%s\"", part, harness.err.message);
	assert_int_equal(harness.err.kind, kind);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	harness_end(&harness);
}

static inline int harness_execute(void)
{
	char ids[32];

	snprintf(ids, sizeof(ids), "%lu", namespace_ids);
	setenv("HARNESS_IDS", ids, 1);
	execl("/proc/self/exe", "test", NULL);
	return 1;
}

/* To be returned from main(). */
static inline int harness_main(int (*tests)(void))
{
	const char *ids = getenv("HARNESS_IDS");

	if (!ids)
		return namespace_run(harness_execute);
	namespace_ids = strtoul(ids, NULL, 10);
	if (access(HARNESS_BUSYBOX, X_OK) < 0) {
		fprintf(stderr, "a static %s is needed\n", HARNESS_BUSYBOX);
		return 77;
	}
	return tests();
}
