#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/capability.h"
#include "policy/seccomp_profile.h"

#define PATH_GROUP_MAX 48 /* "syscalls[N]" */
#define PATH_MAX_TEXT  128
/*
 * cJSON keeps numbers as doubles, which is exact up to 2^53; arguments have 64
 * bits. Integers this long are handed to it as strings with a prefix that
 * cannot be typed by accident.
 */
#define LONG_DIGITS	  16
#define LONG_PREFIX	  "\x01integer:"
#define LONG_PREFIX_JSON  "\\u0001integer:"
#define NOTIFY_UNANSWERED "SCMP_ACT_NOTIFY is not supported"

struct parser {
	const struct seccomp_target *target;
	struct seccomp_profile *profile;
};

void seccomp_profile_release(struct seccomp_profile *profile)
{
	if (!profile)
		return;
	free(profile->rules);
	cJSON_Delete(profile->json);
	memset(profile, 0, sizeof(*profile));
}

/* Copies text with each long integer outside of strings quoted; NULL: none. */
static char *quote_long_integers(const char *text, size_t length)
{
	struct str quoted = {0};
	bool in_string = false;
	size_t copied = 0;

	for (size_t i = 0; i < length; i++) {
		size_t start = i;

		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string && text[i] == '\\')
			i++;
		if (in_string || !isdigit((unsigned char)text[i]))
			continue;
		while (i < length && isdigit((unsigned char)text[i]))
			i++;
		if (i - start >= LONG_DIGITS &&
		    (start == 0 || !strchr("-+.eE", text[start - 1])) &&
		    (i == length || !strchr(".eE", text[i]))) {
			str_append_bytes(&quoted, text + copied,
					 start - copied);
			str_append(&quoted, "\"" LONG_PREFIX_JSON);
			str_append_bytes(&quoted, text + start, i - start);
			str_append(&quoted, "\"");
			copied = i;
		}
		i--;
	}
	if (copied == 0)
		return NULL;
	str_append_bytes(&quoted, text + copied, length - copied);
	return str_steal(&quoted);
}

static int parse_json(const char *text, size_t length, const char *name,
		      cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_free char *quoted = NULL;
	int r;

	/* Once as it is, so that line and column are those of the file. */
	r = json_parse(text, length, name, &json, err);
	if (r < 0)
		return r;
	quoted = quote_long_integers(text, length);
	if (quoted) {
		cJSON_Delete(steal_ptr(&json));
		r = json_parse(quoted, strlen(quoted), name, &json, err);
		if (r < 0)
			return r;
	}
	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       name);
	*ret_json = steal_ptr(&json);
	return 0;
}

static const char *member_path(char buffer[PATH_MAX_TEXT], const char *path,
			       const char *key)
{
	snprintf(buffer, PATH_MAX_TEXT, "%s%s%s", path, *path ? "." : "", key);
	return buffer;
}

/* An unsigned integer of 64 bits: 1 when there, 0 when absent. */
static int get_u64(const cJSON *object, const char *path, const char *key,
		   uint64_t *ret_value, struct error *err)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
	char at[PATH_MAX_TEXT];
	int64_t value = -1;
	int r;

	if (cJSON_IsString(member) &&
	    str_starts(member->valuestring, LONG_PREFIX)) {
		if (parse_u64(member->valuestring + strlen(LONG_PREFIX),
			      ret_value) == 0)
			return 1;
		return err_set(err, ERROR_INVALID,
			       "%s: does not fit in 64 bits",
			       member_path(at, path, key));
	}
	r = json_get_i64(object, path, key, &value, err);
	if (r <= 0)
		return r;
	if (value < 0)
		return err_set(err, ERROR_INVALID,
			       "%s: expected an integer >= 0",
			       member_path(at, path, key));
	*ret_value = (uint64_t)value;
	return 1;
}

/* The pair errnoRet (a number) and errno (its name); -1 when neither is. */
static int get_errno(const cJSON *object, const char *path,
		     const char *number_key, const char *name_key,
		     int *ret_number, struct error *err)
{
	char at[PATH_MAX_TEXT];
	const char *name = NULL;
	uint64_t value = 0;
	int named = -1;
	int r;

	*ret_number = -1;
	r = json_get_string(object, path, name_key, &name, err);
	if (r < 0)
		return r;
	if (r > 0 && *name && seccomp_errno_from_name(name, &named) < 0)
		return err_set(err, ERROR_INVALID, "%s: unknown error \"%s\"",
			       member_path(at, path, name_key), name);
	r = get_u64(object, path, number_key, &value, err);
	if (r < 0)
		return r;
	if (r > 0 && value > SECCOMP_ERRNO_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: expected an integer from 0 to %d",
			       member_path(at, path, number_key),
			       SECCOMP_ERRNO_MAX);
	if (r > 0 && named >= 0 && (uint64_t)named != value)
		return err_set(err, ERROR_INVALID, "%s: %s is %d, not %d",
			       member_path(at, path, number_key), name, named,
			       (int)value);
	if (r > 0)
		*ret_number = (int)value;
	else if (named >= 0)
		*ret_number = named;
	return 0;
}

struct action_keys {
	const char *action;
	const char *number;
	const char *name;
};

static const struct action_keys default_keys = {
	"defaultAction", "defaultErrnoRet", "defaultErrno"};
static const struct action_keys rule_keys = {"action", "errnoRet", "errno"};

static int get_action(const cJSON *object, const char *path,
		      const struct action_keys *keys, uint32_t *ret_action,
		      struct error *err)
{
	char at[PATH_MAX_TEXT];
	const char *name = NULL;
	bool takes_errno;
	uint32_t action;
	int number;
	int r;

	r = json_get_string(object, path, keys->action, &name, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERROR_INVALID, "%s: missing",
			       member_path(at, path, keys->action));
	if (seccomp_action_from_name(name, &action, &takes_errno) < 0)
		return err_set(err, ERROR_INVALID, "%s: unknown action \"%s\"",
			       member_path(at, path, keys->action), name);
	if (action == SCMP_ACT_NOTIFY) {
		err_set(err, ERROR_UNSUPPORTED,
			"%s: " NOTIFY_UNANSWERED
			": it needs a supervisor that answers each call",
			member_path(at, path, keys->action));
		return err_hint(err,
				"use SCMP_ACT_ERRNO or SCMP_ACT_ALLOW instead");
	}
	r = get_errno(object, path, keys->number, keys->name, &number, err);
	if (r < 0)
		return r;
	if (number >= 0 && !takes_errno)
		return err_set(err, ERROR_INVALID, "%s: %s has no error number",
			       member_path(at, path, keys->number), name);
	if (takes_errno)
		action |= (uint32_t)(number >= 0 ? number : EPERM);
	*ret_action = action;
	return 0;
}

static int add_arch(struct parser *parser, const char *path, const char *name,
		    struct error *err)
{
	struct seccomp_profile *profile = parser->profile;
	uint32_t arch;

	if (seccomp_arch_from_name(name, &arch) < 0)
		return err_set(err, ERROR_INVALID,
			       "%s: unknown architecture \"%s\"", path, name);
	if (arch == 0)
		return 0;
	for (size_t i = 0; i < profile->arch_count; i++) {
		if (profile->arches[i] == arch)
			return 0;
	}
	if (profile->arch_count == SECCOMP_ARCHES_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: more than %d architectures", path,
			       SECCOMP_ARCHES_MAX);
	profile->arches[profile->arch_count++] = arch;
	return 0;
}

static int add_arches(struct parser *parser, const cJSON *object,
		      const char *path, const char *key, struct error *err)
{
	cleanup_strv char **names = NULL;
	char at[PATH_MAX_TEXT];
	int r;

	r = json_get_strv(object, path, key, &names, err);
	for (size_t i = 0; r >= 0 && names && names[i]; i++) {
		snprintf(at, sizeof(at), "%s%s%s[%zu]", path, *path ? "." : "",
			 key, i);
		r = add_arch(parser, at, names[i], err);
	}
	return r < 0 ? r : 0;
}

/* Docker's archMap: the row of this machine and the sisters it lists. */
static int parse_arch_map(struct parser *parser, const cJSON *map,
			  struct error *err)
{
	const cJSON *row;
	size_t i = 0;
	int r;

	cJSON_ArrayForEach(row, map)
	{
		char path[PATH_GROUP_MAX];
		const char *name = NULL;
		uint32_t arch = 0;

		snprintf(path, sizeof(path), "archMap[%zu]", i++);
		r = json_get_string(row, path, "architecture", &name, err);
		if (r < 0)
			return r;
		if (r == 0)
			return err_set(err, ERROR_INVALID,
				       "%s.architecture: missing", path);
		/* Rows of machines nobody here knows do no harm. */
		if (seccomp_arch_from_name(name, &arch) < 0 ||
		    arch != parser->target->arch || parser->profile->arch_count)
			continue;
		parser->profile->arches[parser->profile->arch_count++] = arch;
		r = add_arches(parser, row, path, "subArchitectures", err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_arches(struct parser *parser, const cJSON *json,
			struct error *err)
{
	const cJSON *map = NULL;
	const cJSON *list = NULL;
	int r;

	r = json_get_array(json, "", "archMap", &map, err);
	if (r < 0)
		return r;
	r = json_get_array(json, "", "architectures", &list, err);
	if (r < 0)
		return r;
	if (cJSON_GetArraySize(map) > 0 && cJSON_GetArraySize(list) > 0)
		return err_set(err, ERROR_INVALID,
			       "archMap: architectures is there too, give one "
			       "of them");
	if (cJSON_GetArraySize(map) > 0)
		return parse_arch_map(parser, map, err);
	return add_arches(parser, json, "", "architectures", err);
}

static int parse_flags(struct parser *parser, const cJSON *json,
		       struct error *err)
{
	cleanup_strv char **names = NULL;
	int r;

	r = json_get_strv(json, "", "flags", &names, err);
	if (r < 0)
		return r;
	/*
	 * Not given at all means what it means elsewhere: without this flag
	 * kernels before 5.16 turn speculative store bypass off for the whole
	 * container, which costs much and helps nobody here.
	 */
	if (r == 0)
		parser->profile->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; names && names[i]; i++) {
		uint32_t flag;

		if (seccomp_flag_from_name(names[i], &flag) < 0)
			return err_set(err, ERROR_INVALID,
				       "flags[%zu]: unknown flag \"%s\"", i,
				       names[i]);
		parser->profile->flags |= flag;
	}
	return 0;
}

/* "4.8": is the running kernel that or newer? 1, 0, -EINVAL. */
static int kernel_at_least(const struct seccomp_target *target,
			   const char *version)
{
	unsigned int major;
	unsigned int minor;
	int used = 0;

	if (!isdigit((unsigned char)*version) ||
	    sscanf(version, "%4u.%4u%n", &major, &minor, &used) != 2 ||
	    !isdigit((unsigned char)version[used - 1]) ||
	    (version[used] && !strchr(".-", version[used])))
		return -EINVAL;
	if (target->kernel_major != major)
		return target->kernel_major > major;
	return target->kernel_minor >= minor;
}

/* How much of a condition object holds. */
struct condition {
	bool any; /* at least one of its terms holds */
	bool all; /* all of them do */
};

static int parse_condition(const struct parser *parser, const cJSON *group,
			   const char *path, const char *key,
			   struct condition *ret_condition, struct error *err)
{
	const struct seccomp_target *target = parser->target;
	cleanup_strv char **caps = NULL;
	cleanup_strv char **arches = NULL;
	const cJSON *object = NULL;
	const char *kernel = NULL;
	char at[PATH_MAX_TEXT];
	bool found = false;
	int number;
	int r;

	*ret_condition = (struct condition){.any = false, .all = true};
	r = json_get_object(group, path, key, &object, err);
	if (r <= 0)
		return r;
	member_path(at, path, key);
	if (json_get_strv(object, at, "caps", &caps, err) < 0 ||
	    json_get_strv(object, at, "arches", &arches, err) < 0 ||
	    json_get_string(object, at, "minKernel", &kernel, err) < 0)
		return -EINVAL;

	for (size_t i = 0; caps && caps[i]; i++) {
		bool held = capability_from_name(caps[i], &number) == 0 &&
			    (target->capabilities >> number & 1);

		ret_condition->any |= held;
		ret_condition->all &= held;
	}
	for (size_t i = 0; arches && arches[i]; i++)
		found |= seccomp_arch_has_short_name(target->arch, arches[i]);
	if (arches && arches[0]) {
		ret_condition->any |= found;
		ret_condition->all &= found;
	}
	if (!str_empty(kernel)) {
		r = kernel_at_least(target, kernel);
		if (r < 0)
			return err_set(err, ERROR_INVALID,
				       "%s.minKernel: \"%s\" is not a version "
				       "such as 4.8",
				       at, kernel);
		ret_condition->any |= r > 0;
		ret_condition->all &= r > 0;
	}
	return 0;
}

static int parse_arg(const cJSON *json, const char *path,
		     struct scmp_arg_cmp *ret_arg, struct error *err)
{
	const char *op = NULL;
	uint64_t index = 0;
	uint64_t value = 0;
	uint64_t value_two = 0;
	enum scmp_compare compare;
	int r;

	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       path);
	if (get_u64(json, path, "index", &index, err) < 0 ||
	    get_u64(json, path, "value", &value, err) < 0 ||
	    get_u64(json, path, "valueTwo", &value_two, err) < 0)
		return -EINVAL;
	r = json_get_string(json, path, "op", &op, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERROR_INVALID, "%s.op: missing", path);
	if (seccomp_operator_from_name(op, &compare) < 0)
		return err_set(err, ERROR_INVALID,
			       "%s.op: unknown operator \"%s\"", path, op);
	if (index >= SECCOMP_ARGS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s.index: system calls have arguments 0 to %d",
			       path, SECCOMP_ARGS_MAX - 1);
	/* MASKED_EQ: value is the mask, valueTwo what must be left. */
	*ret_arg = (struct scmp_arg_cmp){
		.arg = (unsigned int)index,
		.op = compare,
		.datum_a = value,
		.datum_b = compare == SCMP_CMP_MASKED_EQ ? value_two : 0,
	};
	return 0;
}

/* The "args" of a group, before they are made into rules. */
struct arg_list {
	struct scmp_arg_cmp *args;
	size_t count;
	bool alternatives; /* an index occurs twice: any one, not all of them */
};

static void arg_list_release(struct arg_list *list)
{
	free(list->args);
}

static int parse_args(const cJSON *group, const char *path,
		      struct arg_list *ret_list, struct error *err)
{
	const cJSON *array = NULL;
	const cJSON *item;
	unsigned int seen = 0;
	int size;
	int r;

	r = json_get_array(group, path, "args", &array, err);
	if (r <= 0)
		return r;
	size = cJSON_GetArraySize(array);
	if (size > SECCOMP_CONDITIONS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s.args: more than %d conditions", path,
			       SECCOMP_CONDITIONS_MAX);
	ret_list->args = xcalloc((size_t)size + 1, sizeof(*ret_list->args));
	cJSON_ArrayForEach(item, array)
	{
		struct scmp_arg_cmp *arg = &ret_list->args[ret_list->count];
		char at[PATH_MAX_TEXT];

		snprintf(at, sizeof(at), "%s.args[%zu]", path,
			 ret_list->count++);
		r = parse_arg(item, at, arg, err);
		if (r < 0)
			return r;
		ret_list->alternatives |= seen >> arg->arg & 1;
		seen |= 1u << arg->arg;
	}
	return 0;
}

static struct seccomp_rule *new_rule(struct seccomp_profile *profile)
{
	if (profile->rule_count == profile->rule_capacity) {
		size_t capacity = profile->rule_capacity * 2 + 64;

		profile->rules = xrealloc(profile->rules, capacity,
					  sizeof(*profile->rules));
		profile->rule_capacity = capacity;
	}
	return &profile->rules[profile->rule_count++];
}

/* One name of a group: one rule, or one for each alternative. */
static int add_rules(struct seccomp_profile *profile,
		     const struct seccomp_rule *pattern,
		     const struct arg_list *list, const char *path,
		     struct error *err)
{
	size_t count = list->alternatives ? list->count : 1;
	struct seccomp_rule *rule;

	if (count > SECCOMP_RULES_MAX - profile->rule_count)
		return err_set(err, ERROR_INVALID, "%s: more than %d rules",
			       path, SECCOMP_RULES_MAX);
	if (list->count > SECCOMP_CONDITIONS_MAX - profile->condition_count)
		return err_set(err, ERROR_INVALID,
			       "%s: more than %d conditions in the profile",
			       path, SECCOMP_CONDITIONS_MAX);
	profile->condition_count += list->count;

	for (size_t i = 0; i < count; i++) {
		rule = new_rule(profile);
		*rule = *pattern;
		if (list->alternatives) {
			rule->args[0] = list->args[i];
			rule->arg_count = 1;
			continue;
		}
		/* No index twice, so they are SECCOMP_ARGS_MAX at most. */
		for (size_t j = 0; j < list->count; j++)
			rule->args[j] = list->args[j];
		rule->arg_count = (unsigned int)list->count;
	}
	return 0;
}

static int add_group(struct parser *parser, const cJSON *group,
		     const char *path, const struct seccomp_rule *pattern,
		     const struct arg_list *list, struct error *err)
{
	const cJSON *names = NULL;
	const cJSON *item;
	const char *name = NULL;
	struct seccomp_rule rule = *pattern;
	size_t i = 0;
	int r;

	r = json_get_array(group, path, "names", &names, err);
	if (r < 0)
		return r;
	r = json_get_string(group, path, "name", &name, err);
	if (r < 0)
		return r;
	if (!str_empty(name) && cJSON_GetArraySize(names) > 0)
		return err_set(err, ERROR_INVALID,
			       "%s.name: names is there too, give one of them",
			       path);
	if (!str_empty(name)) {
		rule.name = name;
		return add_rules(parser->profile, &rule, list, path, err);
	}
	if (cJSON_GetArraySize(names) == 0)
		return err_set(err, ERROR_INVALID, "%s.names: missing or empty",
			       path);
	cJSON_ArrayForEach(item, names)
	{
		if (!cJSON_IsString(item) || str_empty(item->valuestring))
			return err_set(err, ERROR_INVALID,
				       "%s.names[%zu]: expected the name of a "
				       "system call",
				       path, i);
		i++;
		rule.name = item->valuestring;
		r = add_rules(parser->profile, &rule, list, path, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_group(struct parser *parser, const cJSON *group, size_t index,
		       struct error *err)
{
	CLEANUP(arg_list_release) struct arg_list list = {0};
	struct seccomp_rule pattern = {.group = index};
	size_t rules = parser->profile->rule_count;
	size_t conditions = parser->profile->condition_count;
	struct condition includes;
	struct condition excludes;
	char path[PATH_GROUP_MAX];
	int r;

	snprintf(path, sizeof(path), "syscalls[%zu]", index);
	if (!cJSON_IsObject(group))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       path);
	r = parse_condition(parser, group, path, "includes", &includes, err);
	if (r < 0)
		return r;
	r = parse_condition(parser, group, path, "excludes", &excludes, err);
	if (r < 0)
		return r;
	r = get_action(group, path, &rule_keys, &pattern.action, err);
	if (r < 0)
		return r;
	r = parse_args(group, path, &list, err);
	if (r < 0)
		return r;
	r = add_group(parser, group, path, &pattern, &list, err);
	if (r < 0)
		return r;
	/* Checked like the others, so that a mistake shows everywhere. */
	if (!includes.all || excludes.any) {
		parser->profile->rule_count = rules;
		parser->profile->condition_count = conditions;
	}
	return 0;
}

static int parse_profile(struct parser *parser, const cJSON *json,
			 struct error *err)
{
	const cJSON *groups = NULL;
	const cJSON *group;
	size_t index = 0;
	int r;

	r = get_action(json, "", &default_keys,
		       &parser->profile->default_action, err);
	if (r < 0)
		return r;
	r = parse_arches(parser, json, err);
	if (r < 0)
		return r;
	r = parse_flags(parser, json, err);
	if (r < 0)
		return r;
	r = json_get_array(json, "", "syscalls", &groups, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(group, groups)
	{
		r = parse_group(parser, group, index++, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int seccomp_profile_parse(const char *text, size_t length, const char *name,
			  const struct seccomp_target *target,
			  struct seccomp_profile *ret_profile,
			  struct error *err)
{
	cleanup_profile struct seccomp_profile profile = {0};
	struct parser parser = {.target = target, .profile = &profile};
	int r;

	if (length > SECCOMP_PROFILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "seccomp profile %s is larger than %u bytes",
			       name, SECCOMP_PROFILE_MAX);
	r = parse_json(text, length, name, &profile.json, err);
	if (r < 0)
		return err_wrap(err, "seccomp profile");
	profile.bad_arch_action = SCMP_ACT_KILL_PROCESS;
	r = parse_profile(&parser, profile.json, err);
	if (r < 0)
		return err_wrap(err, "seccomp profile %s", name);
	*ret_profile = profile;
	profile = (struct seccomp_profile){0};
	return 0;
}

void seccomp_profile_allow_all(struct seccomp_profile *ret_profile)
{
	*ret_profile = (struct seccomp_profile){
		.default_action = SCMP_ACT_ALLOW,
		.bad_arch_action = SCMP_ACT_ALLOW,
		.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	};
}

/*
 * Where only one ID exists, giving a file away and becoming someone else can
 * but fail, and installers and daemons give up over it. They are told that it
 * worked: the file's owner and the process's identity stay what they are, the
 * user's own. Nobody gains a right by it; a daemon that believes to have
 * dropped root has nothing to drop, since root here is the user and no more.
 */
static const char *const id_calls[] = {
	"chown",       "chown32",    "fchown",	   "fchown32",	  "fchownat",
	"lchown",      "lchown32",   "setfsgid",   "setfsgid32",  "setfsuid",
	"setfsuid32",  "setgid",     "setgid32",   "setgroups",	  "setgroups32",
	"setregid",    "setregid32", "setresgid",  "setresgid32", "setresuid",
	"setresuid32", "setreuid",   "setreuid32", "setuid",	  "setuid32",
};

static bool is_id_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(id_calls); i++) {
		if (str_equal(name, id_calls[i]))
			return true;
	}
	return false;
}

void seccomp_profile_fake_ids(struct seccomp_profile *profile)
{
	size_t kept = 0;

	for (size_t i = 0; i < profile->rule_count; i++) {
		if (!is_id_call(profile->rules[i].name))
			profile->rules[kept++] = profile->rules[i];
	}
	profile->rule_count = kept;
	for (size_t i = 0; i < ARRAY_SIZE(id_calls); i++) {
		*new_rule(profile) = (struct seccomp_rule){
			.name = id_calls[i],
			.action = SCMP_ACT_ERRNO(0),
		};
	}
}
