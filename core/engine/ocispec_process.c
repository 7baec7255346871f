/* The process part of an OCI configuration: core/engine/ocispec.h. */
#include "core/engine/ocispec.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/members.h"
#include "core/engine/resources.h"
#include "policy/capability.h"

#define CAPABILITY_BITS 64

static cJSON *capability_names(uint64_t mask)
{
	cJSON *array = json_array();

	for (int i = 0; i < CAPABILITY_BITS; i++) {
		if (mask & (1ull << i))
			json_push_string(array, capability_name(i));
	}
	return array;
}

/*
 * As docker: no inheritable and no ambient ones, so that another user than root
 * loses the effective ones at execve(2).
 */
static cJSON *capabilities(uint64_t mask)
{
	static const char *const sets[] = {"bounding", "effective",
					   "permitted"};
	cJSON *object = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_set(object, sets[i], capability_names(mask));
	json_set(object, "inheritable", json_array());
	json_set(object, "ambient", json_array());
	return object;
}

static uint64_t container_capabilities(const cJSON *container)
{
	const char *text =
		member_string(member_get(container, "Moss"), "Capabilities");

	return str_starts(text, "0x") ? strtoull(text + 2, NULL, 16) : 0;
}

static cJSON *numeric_user(const char *user)
{
	size_t length = strcspn(user, ":");
	cleanup_free char *name = xstrndup(user, length);
	uint64_t uid = 0, gid = 0;
	cJSON *object = json_object();

	(void)parse_u64(name, &uid);
	if (user[length])
		(void)parse_u64(user + length + 1, &gid);
	json_set_i64(object, "uid", (int64_t)uid);
	json_set_i64(object, "gid", (int64_t)gid);
	return object;
}

/* Names are looked up in the container's files, by the runtime. */
static void set_user(cJSON *process, const cJSON *container, const char *user)
{
	const cJSON *host = member_get(container, "HostConfig");
	cleanup_strv char **groups = member_strv(host, "GroupAdd");
	cleanup_free char *joined = NULL;
	cJSON *annotations = json_object();

	json_set(process, "user", numeric_user(user));
	/* Root's own groups are of no use where only one ID is mapped. */
	if (*user || !member_bool(member_get(container, "Moss"), "SingleId"))
		json_set_string(annotations, "dev.moss.user",
				*user ? user : "0");
	if (groups && groups[0]) {
		joined = strv_join(groups, ",");
		json_set_string(annotations, "dev.moss.group-add", joined);
	}
	json_set(process, "annotations", annotations);
}

static void set_console(cJSON *process, const cJSON *size, bool terminal)
{
	const cJSON *rows = cJSON_GetArrayItem(size, 0);
	const cJSON *columns = cJSON_GetArrayItem(size, 1);
	cJSON *object;

	json_set_bool(process, "terminal", terminal);
	if (!terminal || !cJSON_IsNumber(rows) || !cJSON_IsNumber(columns) ||
	    rows->valuedouble < 1 || columns->valuedouble < 1)
		return;
	object = json_object();
	json_set_i64(object, "height", (int64_t)rows->valuedouble);
	json_set_i64(object, "width", (int64_t)columns->valuedouble);
	json_set(process, "consoleSize", object);
}

static void set_common(cJSON *process, const cJSON *container)
{
	const cJSON *host = member_get(container, "HostConfig");
	const cJSON *engine = member_get(container, "Engine");
	int64_t score = member_i64(host, "OomScoreAdj");

	json_set(process, "rlimits", ulimits_json(host));
	json_set_bool(process, "noNewPrivileges",
		      member_bool(engine, "NoNewPrivileges"));
	if (score != 0)
		json_set_i64(process, "oomScoreAdj", score);
}

static const char *or_root(const char *directory)
{
	return *directory ? directory : "/";
}

cJSON *ocispec_process(const cJSON *container)
{
	const cJSON *config = member_get(container, "Config");
	const cJSON *host = member_get(container, "HostConfig");
	cleanup_strv char **env = config_environment(config);
	cJSON *process = json_object();
	cJSON *args = json_array();
	const cJSON *item;

	set_console(process, member_get(host, "ConsoleSize"),
		    member_bool(config, "Tty"));
	set_user(process, container, member_string(config, "User"));
	json_push_string(args, member_string(container, "Path"));
	cJSON_ArrayForEach(item, member_get(container, "Args"))
	{
		json_push_string(args, item_string(item));
	}
	json_set(process, "args", args);
	json_set_strv(process, "env", env);
	json_set_string(process, "cwd",
			or_root(member_string(config, "WorkingDir")));
	json_set(process, "capabilities",
		 capabilities(container_capabilities(container)));
	set_common(process, container);
	return process;
}

/* clang-format off */
static const struct member exec_members[] = {
	{"User", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Privileged", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Tty", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ConsoleSize", MEMBER_ARRAY, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"AttachStdin", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"AttachStdout", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"AttachStderr", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Detach", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"DetachKeys", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Env", MEMBER_STRINGS, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"WorkingDir", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Cmd", MEMBER_COMMAND, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

static int check_exec(const cJSON *body, struct error *err)
{
	const char *directory = member_string(body, "WorkingDir");
	const cJSON *item;
	int r;

	r = members_check(body, "", exec_members, ARRAY_SIZE(exec_members),
			  true, err);
	if (r < 0)
		return r;
	if (member_is_empty(member_get(body, "Cmd")))
		return err_set(err, ERROR_INVALID, "No exec command specified");
	if (*directory && *directory != '/')
		return err_set(
			err, ERROR_INVALID,
			"the working directory '%s' is invalid, it needs "
			"to be an absolute path",
			directory);
	cJSON_ArrayForEach(item, member_get(body, "Env"))
	{
		const char *text = item_string(item);

		if (*text == '\0' || *text == '=')
			return err_set(err, ERROR_INVALID,
				       "invalid environment variable: %s",
				       *text ? text : "\"\"");
	}
	return config_check_user(member_string(body, "User"), err);
}

int ocispec_exec_process(const cJSON *container, const cJSON *body,
			 cJSON **ret_process, struct error *err)
{
	const cJSON *config = member_get(container, "Config");
	cleanup_strv char **extra = member_strv(body, "Env");
	cleanup_strv char **env = NULL;
	cleanup_strv char **command = NULL;
	const char *user = member_string(body, "User");
	const char *directory = member_string(body, "WorkingDir");
	bool terminal = member_bool(body, "Tty");
	uint64_t mask = container_capabilities(container);
	cJSON *process;
	int r;

	r = check_exec(body, err);
	if (r < 0)
		return r;
	process = json_object();
	command = member_strv(body, "Cmd");
	env = config_environment(config);
	if (terminal)
		env_set(&env, "TERM", "xterm");
	config_environment_apply(&env, extra);
	set_console(process, member_get(body, "ConsoleSize"), terminal);
	set_user(process, container,
		 *user ? user : member_string(config, "User"));
	json_set_strv(process, "args", command);
	json_set_strv(process, "env", env);
	json_set_string(process, "cwd",
			*directory
				? directory
				: or_root(member_string(config, "WorkingDir")));
	if (member_bool(body, "Privileged"))
		mask = capability_all();
	json_set(process, "capabilities", capabilities(mask));
	set_common(process, container);
	*ret_process = process;
	return 0;
}
