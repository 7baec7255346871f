#include "core/runtime/spec.h"
#include "core/runtime/spec_field.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/capability.h"

#define ENVIRONMENT_MAX (64u << 20)	 /* bytes of further variables */
#define ID_MAX		(UINT32_MAX - 1) /* the last one means "no change" */

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

static const struct field_refusal refusals[] = {
	{"apparmorProfile", "AppArmor profiles are not supported"},
	{"selinuxLabel", "SELinux labels are not supported"},
	{"ioPriority", "I/O priorities are not supported"},
	{"scheduler", "scheduler settings are not supported"},
	{"execCPUAffinity", "CPU affinities are not supported"},
};

const char *spec_rlimit_name(int resource)
{
	for (size_t i = 0; i < ARRAY_SIZE(rlimit_names); i++) {
		if (rlimit_names[i].resource == resource)
			return rlimit_names[i].name;
	}
	return "RLIMIT_?";
}

void spec_process_release(struct spec_process *process)
{
	if (!process)
		return;
	strv_free(process->args);
	strv_free(process->env);
	strv_free(process->group_add);
	free(process->cwd);
	free(process->groups);
	free(process->user);
	free(process->rlimits);
	*process = (struct spec_process){0};
}

static int parse_console(const cJSON *json, struct spec_process *process,
			 struct error *err)
{
	const cJSON *size = NULL;
	uint32_t rows = 0, columns = 0;
	int r;

	r = json_get_bool(json, "process", "terminal", &process->terminal, err);
	if (r < 0)
		return r;
	r = json_get_object(json, "process", "consoleSize", &size, err);
	if (r <= 0)
		return r;
	r = field_u32(size, "process.consoleSize", "height", UINT16_MAX, &rows,
		      err);
	if (r < 0)
		return r;
	r = field_u32(size, "process.consoleSize", "width", UINT16_MAX,
		      &columns, err);
	if (r < 0)
		return r;
	process->rows = (uint16_t)rows;
	process->columns = (uint16_t)columns;
	return 0;
}

static int parse_groups(const cJSON *user, struct spec_process *process,
			struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0;
	int r = field_array(user, "process.user", "additionalGids",
			    SPEC_GROUPS_MAX, &array, &count, err);

	if (r <= 0)
		return r;
	free(process->groups);
	process->groups = xcalloc(count + 1, sizeof(uint32_t));
	process->group_count = 0;
	cJSON_ArrayForEach(item, array)
	{
		double value = item->valuedouble;

		if (!cJSON_IsNumber(item) || !(value >= 0) ||
		    !(value <= ID_MAX) || value != (double)(uint32_t)value)
			return err_set(err, ERROR_INVALID,
				       "process.user.additionalGids[%zu]: "
				       "expected a group ID",
				       process->group_count);
		process->groups[process->group_count++] = (uint32_t)value;
	}
	return 0;
}

static int parse_user(const cJSON *json, struct spec_process *process,
		      struct error *err)
{
	const cJSON *user = NULL;
	int r = json_get_object(json, "process", "user", &user, err);

	if (r <= 0)
		return r;
	r = field_u32(user, "process.user", "uid", ID_MAX, &process->uid, err);
	if (r < 0)
		return r;
	r = field_u32(user, "process.user", "gid", ID_MAX, &process->gid, err);
	if (r < 0)
		return r;
	r = field_u32(user, "process.user", "umask", 0777, &process->umask,
		      err);
	if (r < 0)
		return r;
	process->has_umask = r > 0;
	return parse_groups(user, process, err);
}

static int parse_capability_set(const cJSON *sets, const char *key,
				uint64_t *ret_mask, struct error *err)
{
	cleanup_strv char **names = NULL;
	uint64_t mask = 0;
	int r = field_strv(sets, "process.capabilities", key, 256, &names, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; names[i]; i++) {
		int number;

		if (capability_from_name(names[i], &number) < 0)
			return err_set(err, ERROR_INVALID,
				       "process.capabilities.%s[%zu]: unknown "
				       "capability \"%s\"",
				       key, i, names[i]);
		mask |= UINT64_C(1) << number;
	}
	*ret_mask = mask;
	return 0;
}

static int parse_capabilities(const cJSON *json, struct spec_process *process,
			      struct error *err)
{
	const struct {
		const char *key;
		uint64_t *mask;
	} sets[] = {
		{"bounding", &process->bounding},
		{"effective", &process->effective},
		{"permitted", &process->permitted},
		{"inheritable", &process->inheritable},
		{"ambient", &process->ambient},
	};
	const cJSON *object = NULL;
	int r = json_get_object(json, "process", "capabilities", &object, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		r = parse_capability_set(object, sets[i].key, sets[i].mask,
					 err);
		if (r < 0)
			return r;
	}
	if (process->effective & ~process->permitted)
		return err_set(err, ERROR_INVALID,
			       "process.capabilities.effective: has what "
			       "\"permitted\" has not");
	if (process->ambient & ~(process->permitted & process->inheritable))
		return err_set(err, ERROR_INVALID,
			       "process.capabilities.ambient: has what "
			       "\"permitted\" or \"inheritable\" has not");
	return 0;
}

static int parse_rlimit(const cJSON *item, size_t index,
			struct spec_rlimit *ret_rlimit, struct error *err)
{
	cleanup_free char *path = xasprintf("process.rlimits[%zu]", index);
	const char *type = NULL;
	int r = json_get_string(item, path, "type", &type, err);

	if (r < 0)
		return r;
	for (size_t i = 0; type && i < ARRAY_SIZE(rlimit_names); i++) {
		uint64_t soft = 0, hard = 0;

		if (!str_equal(type, rlimit_names[i].name))
			continue;
		r = field_u64(item, path, "soft", &soft, err);
		if (r < 0)
			return r;
		r = field_u64(item, path, "hard", &hard, err);
		if (r < 0)
			return r;
		if (soft > hard)
			return err_set(err, ERROR_INVALID,
				       "%s: soft limit %llu is above the hard "
				       "limit %llu",
				       path, (unsigned long long)soft,
				       (unsigned long long)hard);
		ret_rlimit->resource = rlimit_names[i].resource;
		ret_rlimit->soft = soft;
		ret_rlimit->hard = hard;
		return 0;
	}
	return err_set(err, ERROR_INVALID, "%s.type: unknown limit \"%s\"",
		       path, type ? type : "");
}

static int parse_rlimits(const cJSON *json, struct spec_process *process,
			 struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0;
	int r = field_array(json, "process", "rlimits", 64, &array, &count,
			    err);

	if (r <= 0)
		return r;
	process->rlimits = xcalloc(count + 1, sizeof(*process->rlimits));
	cJSON_ArrayForEach(item, array)
	{
		r = parse_rlimit(item, process->rlimit_count,
				 &process->rlimits[process->rlimit_count], err);
		if (r < 0)
			return r;
		process->rlimit_count++;
	}
	return 0;
}

static int parse_oom_score(const cJSON *json, struct spec_process *process,
			   struct error *err)
{
	int64_t score = 0;
	int r = json_get_i64(json, "process", "oomScoreAdj", &score, err);

	if (r <= 0)
		return r;
	if (score < -1000 || score > 1000)
		return err_set(err, ERROR_INVALID,
			       "process.oomScoreAdj: %lld is not between -1000 "
			       "and 1000",
			       (long long)score);
	process->has_oom_score_adj = true;
	process->oom_score_adj = (int)score;
	return 0;
}

static int parse_command(const cJSON *json, struct spec_process *process,
			 struct error *err)
{
	int r = field_strv(json, "process", "args", SPEC_ARGS_MAX,
			   &process->args, err);

	if (r < 0)
		return r;
	if (!process->args || !process->args[0])
		return err_set(err, ERROR_INVALID, "process.args: is empty");
	r = field_strv(json, "process", "env", SPEC_ARGS_MAX, &process->env,
		       err);
	if (r < 0)
		return r;
	r = field_path(json, "process", "cwd", &process->cwd, err);
	if (r < 0)
		return r;
	if (!process->cwd)
		process->cwd = xstrdup("/");
	r = json_get_bool(json, "process", "noNewPrivileges",
			  &process->no_new_privileges, err);
	return r < 0 ? r : 0;
}

int spec_process_annotations(const cJSON *annotations, const char *path,
			     struct spec_process *process, struct error *err)
{
	const char *groups = NULL;
	int r;

	r = field_string(annotations, path, "dev.moss.user", &process->user,
			 err);
	if (r < 0)
		return r;
	if (process->user && strlen(process->user) > 512)
		return err_set(err, ERROR_INVALID,
			       "%s.dev.moss.user: is too long", path);
	r = json_get_string(annotations, path, "dev.moss.group-add", &groups,
			    err);
	if (r < 0)
		return r;
	if (!str_empty(groups)) {
		if (strlen(groups) > 65536)
			return err_set(err, ERROR_INVALID,
				       "%s.dev.moss.group-add: is too long",
				       path);
		strv_free(process->group_add);
		process->group_add = strv_split(groups, ',');
	}
	return 0;
}

int spec_process_parse(const cJSON *json, struct spec_process *ret_process,
		       struct error *err)
{
	static int (*const parsers[])(const cJSON *, struct spec_process *,
				      struct error *) = {
		parse_command,	    parse_console, parse_user,
		parse_capabilities, parse_rlimits, parse_oom_score,
	};
	CLEANUP(spec_process_release) struct spec_process process = {0};
	const cJSON *annotations = NULL;
	int r;

	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID,
			       "process: expected an object");
	r = field_refuse(json, "process", refusals, ARRAY_SIZE(refusals), err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
		r = parsers[i](json, &process, err);
		if (r < 0)
			return r;
	}
	r = json_get_object(json, "process", "annotations", &annotations, err);
	if (r < 0)
		return r;
	r = spec_process_annotations(annotations, "process.annotations",
				     &process, err);
	if (r < 0)
		return r;
	*ret_process = process;
	process = (struct spec_process){0};
	return 0;
}

int spec_add_environment(struct runtime_spec *spec, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length = 0;
	int r;

	if (!spec->environment_file)
		return 0;
	r = file_read_at(AT_FDCWD, spec->environment_file, ENVIRONMENT_MAX,
			 &text, &length, err);
	if (r < 0)
		return err_wrap(err, "cannot read the secrets' variables");
	for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
		char *name = text + at;
		char *equals = strchr(name, '=');

		if (!equals || equals == name)
			return err_set(err, ERROR_CORRUPT,
				       "%s: a variable without a name",
				       spec->environment_file);
		*equals = '\0';
		env_set(&spec->process.env, name, equals + 1);
		*equals = '=';
	}
	explicit_bzero(text, length);
	return 0;
}
