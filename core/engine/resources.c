#include "core/engine/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"

static const struct {
	const char *name;
	int resource;
	const char *oci;
} limits[] = {
	{"core", RLIMIT_CORE, "RLIMIT_CORE"},
	{"cpu", RLIMIT_CPU, "RLIMIT_CPU"},
	{"data", RLIMIT_DATA, "RLIMIT_DATA"},
	{"fsize", RLIMIT_FSIZE, "RLIMIT_FSIZE"},
	{"locks", RLIMIT_LOCKS, "RLIMIT_LOCKS"},
	{"memlock", RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},
	{"msgqueue", RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"},
	{"nice", RLIMIT_NICE, "RLIMIT_NICE"},
	{"nofile", RLIMIT_NOFILE, "RLIMIT_NOFILE"},
	{"nproc", RLIMIT_NPROC, "RLIMIT_NPROC"},
	{"rss", RLIMIT_RSS, "RLIMIT_RSS"},
	{"rtprio", RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},
	{"rttime", RLIMIT_RTTIME, "RLIMIT_RTTIME"},
	{"sigpending", RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
	{"stack", RLIMIT_STACK, "RLIMIT_STACK"},
};

static const struct member ulimit_members[] = {
	{"Name", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Soft", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	{"Hard", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
};

static ssize_t limit_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (str_equal(limits[i].name, name))
			return (ssize_t)i;
	}
	return -1;
}

static int ulimit_check(const cJSON *limit, struct error *err)
{
	const char *name = member_string(limit, "Name");
	int64_t soft = member_i64(limit, "Soft");
	int64_t hard = member_i64(limit, "Hard");
	ssize_t row = limit_find(name);
	struct rlimit64 own;

	if (row < 0)
		return err_set(err, ERROR_INVALID, "invalid ulimit type: %s",
			       name);
	if (soft < -1 || hard < -1)
		return err_set(err, ERROR_INVALID,
			       "invalid ulimit %s: %lld is below -1 "
			       "(unlimited)",
			       name, (long long)(soft < hard ? soft : hard));
	if (hard != -1 && (soft == -1 || soft > hard))
		return err_set(err, ERROR_INVALID,
			       "ulimit soft limit must be less than or equal "
			       "to hard limit: %lld > %lld",
			       (long long)soft, (long long)hard);
	if (getrlimit64(limits[row].resource, &own) < 0 ||
	    own.rlim_max == RLIM64_INFINITY)
		return 0;
	if (hard != -1 && (uint64_t)hard <= own.rlim_max)
		return 0;
	err_set(err, ERROR_PERMISSION,
		"cannot set ulimit %s=%lld:%lld: your own hard limit is %llu",
		name, (long long)soft, (long long)hard,
		(unsigned long long)own.rlim_max);
	return err_hint(err, "ask for less, or have root raise it in "
			     "/etc/security/limits.conf");
}

int ulimits_check(const cJSON *host, struct error *err)
{
	const cJSON *limit;

	cJSON_ArrayForEach(limit, member_get(host, "Ulimits"))
	{
		int r;

		if (!cJSON_IsObject(limit))
			return err_set(err, ERROR_INVALID,
				       "HostConfig.Ulimits: expected objects");
		r = members_check(limit, "HostConfig.Ulimits", ulimit_members,
				  ARRAY_SIZE(ulimit_members), true, err);
		if (r < 0)
			return r;
		r = ulimit_check(limit, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void set_limit(cJSON *object, const char *name, int64_t value)
{
	cleanup_free char *text = NULL;
	cJSON *raw;

	/* A double cannot hold RLIM_INFINITY, so it goes in as text. */
	text = xasprintf("%llu", value < 0 ? (unsigned long long)RLIM64_INFINITY
					   : (unsigned long long)value);
	raw = cJSON_CreateRaw(text);
	if (!raw)
		str_oom();
	json_set(object, name, raw);
}

cJSON *ulimits_json(const cJSON *host)
{
	cJSON *array = json_array();
	const cJSON *limit;

	cJSON_ArrayForEach(limit, member_get(host, "Ulimits"))
	{
		ssize_t row = limit_find(member_string(limit, "Name"));
		cJSON *object;

		if (row < 0)
			continue;
		object = json_object();
		json_set_string(object, "type", limits[row].oci);
		set_limit(object, "soft", member_i64(limit, "Soft"));
		set_limit(object, "hard", member_i64(limit, "Hard"));
		json_push(array, object);
	}
	return array;
}

static const char *const ipc_sysctls[] = {
	"kernel.msgmax", "kernel.msgmnb",	   "kernel.msgmni",
	"kernel.sem",	 "kernel.shmall",	   "kernel.shmmax",
	"kernel.shmmni", "kernel.shm_rmid_forced",
};

static bool is_ipc_sysctl(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(ipc_sysctls); i++) {
		if (str_equal(ipc_sysctls[i], name))
			return true;
	}
	return str_starts(name, "fs.mqueue.");
}

static int sysctl_check(const char *name, const char *value,
			const struct resource_namespaces *namespaces,
			struct error *err)
{
	/* It becomes a path below /proc/sys. */
	if (*name == '\0' || strstr(name, "..") || strpbrk(name, "\n= \t") ||
	    strchr(value, '\n'))
		return err_set(err, ERROR_INVALID, "invalid sysctl \"%s=%s\"",
			       name, value);
	if (is_ipc_sysctl(name)) {
		if (namespaces->ipc)
			return 0;
		return err_set(err, ERROR_INVALID,
			       "sysctl \"%s\" is not allowed in the hosts ipc "
			       "namespace",
			       name);
	}
	if (str_starts(name, "net.")) {
		if (namespaces->network)
			return 0;
		return err_set(err, ERROR_INVALID,
			       "sysctl \"%s\" not allowed in host network "
			       "namespace",
			       name);
	}
	if (str_equal(name, "kernel.domainname")) {
		if (namespaces->uts)
			return 0;
		return err_set(err, ERROR_INVALID,
			       "sysctl \"%s\" is not allowed in the hosts uts "
			       "namespace",
			       name);
	}
	if (str_equal(name, "kernel.hostname"))
		return err_set(err, ERROR_INVALID,
			       "sysctl \"%s\" is not allowed as it conflicts "
			       "with the hostname",
			       name);
	err_set(err, ERROR_INVALID,
		"sysctl \"%s\" is not in a separate kernel namespace", name);
	return err_hint(err, "a container may set net.*, fs.mqueue.* and the "
			     "kernel.msg*, kernel.sem and kernel.shm* ones");
}

int sysctls_check(const cJSON *host,
		  const struct resource_namespaces *namespaces,
		  struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, "Sysctls"))
	{
		int r = sysctl_check(item->string, item_string(item),
				     namespaces, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int oom_score_check(const cJSON *host, struct error *err)
{
	int64_t wanted = member_i64(host, "OomScoreAdj");
	cleanup_free char *text = NULL;
	int64_t own;

	if (wanted == 0 || file_read_at(AT_FDCWD, "/proc/self/oom_score_adj",
					64, &text, NULL, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	if (parse_i64(text, &own) < 0 || wanted >= own)
		return 0;
	err_set(err, ERROR_PERMISSION,
		"cannot set the OOM score to %lld: without root it cannot go "
		"below your own, %lld",
		(long long)wanted, (long long)own);
	return err_hint(err, "use a value of %lld or more", (long long)own);
}
