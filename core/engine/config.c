#include "core/engine/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "net/port.h"

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_MAX	    256
#define ID_LIMIT	    2147483647 /* docker's */
#define HEALTH_DURATION_MIN 1000000    /* ns; docker's */

/* clang-format off */
static const struct member body_members[] = {
	{"Hostname", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Domainname", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"User", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"AttachStdin", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"AttachStdout", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"AttachStderr", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"ExposedPorts", MEMBER_SET, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Tty", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"OpenStdin", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"StdinOnce", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"Env", MEMBER_STRINGS, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"Cmd", MEMBER_COMMAND, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"Healthcheck", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ArgsEscaped", MEMBER_BOOL, MEMBER_REFUSED, MEMBER_OMIT, NULL, NULL},
	{"Image", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Volumes", MEMBER_SET, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"WorkingDir", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Entrypoint", MEMBER_COMMAND, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"NetworkDisabled", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"MacAddress", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"OnBuild", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_NULL, NULL, NULL},
	{"Labels", MEMBER_MAP, MEMBER_USED, MEMBER_NO_MEMBERS, NULL, NULL},
	{"StopSignal", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"StopTimeout", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Shell", MEMBER_STRINGS, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	/* Not Config's: objects of their own. */
	{"HostConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"NetworkingConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

#define CONFIG_MEMBERS (ARRAY_SIZE(body_members) - 2)

static int check_size(const cJSON *object, const char *where, const char *name,
		      int max, struct error *err)
{
	if (cJSON_GetArraySize(member_get(object, name)) <= max)
		return 0;
	return err_set(err, ERROR_INVALID, "%s%s: more than %d entries", where,
		       name, max);
}

static int check_sizes(const cJSON *object, const char *where,
		       struct error *err)
{
	int r;

	r = check_size(object, where, "Env", CONFIG_ENV_MAX, err);
	if (r < 0)
		return r;
	r = check_size(object, where, "Labels", CONFIG_ENV_MAX, err);
	if (r < 0)
		return r;
	r = check_size(object, where, "ExposedPorts", PORT_MAPPINGS_MAX, err);
	if (r < 0)
		return r;
	return check_size(object, where, "Volumes", CONFIG_VOLUMES_MAX, err);
}

static int check_env(const cJSON *object, struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(object, "Env"))
	{
		const char *text = item_string(item);

		if (*text == '\0' || *text == '=')
			return err_set(err, ERROR_INVALID,
				       "invalid environment variable: %s",
				       *text ? text : "\"\"");
	}
	return 0;
}

static bool user_part_is_valid(const char *text, size_t length)
{
	uint64_t number;
	cleanup_free char *part = xstrndup(text, length);

	if (length == 0 || length > USER_MAX || strpbrk(part, "\n\r\t ,/"))
		return false;
	if (strspn(part, "0123456789") == length)
		return parse_u64(part, &number) == 0 && number <= ID_LIMIT;
	return true;
}

int config_check_user(const char *user, struct error *err)
{
	size_t name = strcspn(user, ":");
	const char *group = user[name] ? user + name + 1 : NULL;

	/* ":group" is root with another group. */
	if (*user == '\0' ||
	    ((name == 0 || user_part_is_valid(user, name)) &&
	     (!group || (!strchr(group, ':') &&
			 user_part_is_valid(group, strlen(group))))))
		return 0;
	err_set(err, ERROR_INVALID, "invalid user: \"%s\"", user);
	return err_hint(err, "expected NAME or UID, then perhaps :GROUP or "
			     ":GID; numbers up to 2147483647");
}

/* clang-format off */
static const struct member health_members[] = {
	{"Test", MEMBER_STRINGS, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Interval", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Timeout", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"StartPeriod", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"StartInterval", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Retries", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

static int check_health(const cJSON *config, bool strict, struct error *err)
{
	static const char *const durations[] = {"Interval", "Timeout",
						"StartPeriod", "StartInterval"};
	const cJSON *check = member_get(config, "Healthcheck");
	int r;

	if (!check)
		return 0;
	r = members_check(check, "Healthcheck", health_members,
			  ARRAY_SIZE(health_members), strict, err);
	if (r >= 0)
		r = check_size(check, "Healthcheck.", "Test", CONFIG_ENV_MAX,
			       err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		int64_t ns = member_i64(check, durations[i]);

		if (ns != 0 && ns < HEALTH_DURATION_MIN)
			return err_set(err, ERROR_INVALID,
				       "%s in Healthcheck cannot be less than "
				       "1ms",
				       durations[i]);
	}
	if (member_i64(check, "Retries") < 0)
		return err_set(err, ERROR_INVALID,
			       "Retries in Healthcheck cannot be negative");
	return 0;
}

static int check_hostname(const char *what, const char *name, struct error *err)
{
	if (strlen(name) > CONFIG_HOSTNAME_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s \"%s\" is too long (maximum %d bytes)", what,
			       name, CONFIG_HOSTNAME_MAX);
	if (strpbrk(name, "\n\r\t /#"))
		return err_set(err, ERROR_INVALID, "invalid %s: \"%s\"", what,
			       name);
	return 0;
}

int config_check_body(const cJSON *body, struct error *err)
{
	const char *directory = member_string(body, "WorkingDir");
	const char *signal = member_string(body, "StopSignal");
	int r;

	if (!cJSON_IsObject(body))
		return err_set(err, ERROR_INVALID,
			       "config cannot be empty in order to create a "
			       "container");
	r = members_check(body, "", body_members, ARRAY_SIZE(body_members),
			  true, err);
	if (r < 0)
		return r;
	r = check_sizes(body, "", err);
	if (r < 0)
		return r;
	r = check_env(body, err);
	if (r < 0)
		return r;
	r = check_health(body, true, err);
	if (r < 0)
		return r;
	if (*directory && *directory != '/')
		return err_set(
			err, ERROR_INVALID,
			"the working directory '%s' is invalid, it needs "
			"to be an absolute path",
			directory);
	if (*signal && signal_from_name(signal) <= 0)
		return err_set(err, ERROR_INVALID, "invalid signal: %s",
			       signal);
	r = check_hostname("hostname", member_string(body, "Hostname"), err);
	if (r < 0)
		return r;
	r = check_hostname("domain name", member_string(body, "Domainname"),
			   err);
	if (r < 0)
		return r;
	return config_check_user(member_string(body, "User"), err);
}

static int check_image(const cJSON *image, struct error *err)
{
	int r;

	r = members_check(image, "the image's config", body_members,
			  CONFIG_MEMBERS, false, err);
	if (r < 0)
		return r;
	r = check_sizes(image, "the image's ", err);
	if (r < 0)
		return r;
	r = check_health(image, false, err);
	return r < 0 ? err_wrap(err, "the image's config") : 0;
}

static bool env_has(const cJSON *env, const char *variable)
{
	size_t length = strcspn(variable, "=");
	const cJSON *item;

	cJSON_ArrayForEach(item, env)
	{
		const char *text = item_string(item);

		if (strcspn(text, "=") == length &&
		    strncmp(text, variable, length) == 0)
			return true;
	}
	return false;
}

static void merge_env(cJSON *config, const cJSON *image)
{
	cJSON *env = cJSON_GetObjectItemCaseSensitive(config, "Env");
	cleanup_json cJSON *user = cJSON_Duplicate(env, true);
	const cJSON *item;

	if (!user)
		str_oom();
	cJSON_ArrayForEach(item, member_get(image, "Env"))
	{
		const char *text = item_string(item);

		if (*text && *text != '=' && !env_has(user, text))
			json_push_string(env, text);
	}
}

/* Members of the image's map that the user has not set. */
static void merge_map(cJSON *config, const cJSON *image, const char *name)
{
	cJSON *map = cJSON_GetObjectItemCaseSensitive(config, name);
	const cJSON *theirs = member_get(image, name);
	const cJSON *item;

	if (!theirs || !theirs->child)
		return;
	if (!cJSON_IsObject(map)) {
		map = json_object();
		json_set(config, name, map);
	}
	cJSON_ArrayForEach(item, theirs)
	{
		cJSON *copy;

		if (cJSON_GetObjectItemCaseSensitive(map, item->string))
			continue;
		copy = cJSON_Duplicate(item, true);
		if (!copy)
			str_oom();
		json_set(map, item->string, copy);
	}
}

static void take_from_image(cJSON *config, const cJSON *image, const char *name)
{
	const cJSON *theirs = member_get(image, name);
	cJSON *copy;

	if (!theirs || !member_is_empty(member_get(config, name)))
		return;
	copy = cJSON_Duplicate(theirs, true);
	if (!copy)
		str_oom();
	json_set(config, name, copy);
}

/* Member by member: an interval alone leaves the image's test. */
static void merge_health(cJSON *config, const cJSON *image)
{
	cJSON *check = cJSON_GetObjectItemCaseSensitive(config, "Healthcheck");
	const cJSON *theirs = member_get(image, "Healthcheck");

	if (!check || !check->child) {
		take_from_image(config, image, "Healthcheck");
		return;
	}
	for (size_t i = 0; theirs && i < ARRAY_SIZE(health_members); i++)
		take_from_image(check, theirs, health_members[i].name);
}

static void merge_command(cJSON *config, const cJSON *image)
{
	/* null and [] differ: [] clears the image's entrypoint. */
	bool given = member_get(config, "Entrypoint") != NULL;

	if (!member_is_empty(member_get(config, "Entrypoint")))
		return;
	take_from_image(config, image, "Cmd");
	if (!given)
		take_from_image(config, image, "Entrypoint");
}

/* Arrays in place of single strings, as inspect shows them. */
static void command_to_array(cJSON *config, const char *name)
{
	cleanup_strv char **strv = NULL;

	if (!cJSON_IsString(member_get(config, name)))
		return;
	strv = member_strv(config, name);
	json_set_strv(config, name, strv);
}

int config_of_image(const cJSON *image_config, cJSON **ret_config,
		    struct error *err)
{
	int r;

	r = check_image(image_config, err);
	if (r < 0)
		return r;
	*ret_config =
		members_normalise(image_config, body_members, CONFIG_MEMBERS);
	command_to_array(*ret_config, "Cmd");
	command_to_array(*ret_config, "Entrypoint");
	return 0;
}

static void clean_working_directory(cJSON *config)
{
	const char *directory = member_string(config, "WorkingDir");
	cleanup_free char *clean = NULL;

	if (*directory == '\0')
		return;
	clean = path_join("/", directory);
	json_set_string(config, "WorkingDir", clean);
}

int config_merge(const cJSON *body, const cJSON *image_config,
		 cJSON **ret_config, struct error *err)
{
	cleanup_json cJSON *config = NULL;
	const cJSON *entrypoint;
	int r;

	r = check_image(image_config, err);
	if (r < 0)
		return r;
	r = config_check_user(member_string(image_config, "User"), err);
	if (r < 0)
		return err_wrap(err, "the image's config");
	config = members_normalise(body, body_members, CONFIG_MEMBERS);
	take_from_image(config, image_config, "User");
	take_from_image(config, image_config, "WorkingDir");
	take_from_image(config, image_config, "StopSignal");
	merge_health(config, image_config);
	take_from_image(config, image_config, "Shell");
	merge_env(config, image_config);
	merge_map(config, image_config, "ExposedPorts");
	merge_map(config, image_config, "Labels");
	merge_map(config, image_config, "Volumes");
	merge_command(config, image_config);
	command_to_array(config, "Cmd");
	command_to_array(config, "Entrypoint");
	clean_working_directory(config);

	entrypoint = member_get(config, "Entrypoint");
	if (cJSON_GetArraySize(entrypoint) == 1 &&
	    str_empty(item_string(entrypoint->child)))
		json_set(config, "Entrypoint", NULL);
	if (member_is_empty(member_get(config, "Entrypoint")) &&
	    member_is_empty(member_get(config, "Cmd"))) {
		err_set(err, ERROR_INVALID, "no command specified");
		return err_hint(err, "the image names none: give one after the "
				     "image's name");
	}
	*ret_config = steal_ptr(&config);
	return 0;
}

void config_command(const cJSON *config, const char **ret_path,
		    cJSON **ret_args)
{
	const cJSON *lists[] = {member_get(config, "Entrypoint"),
				member_get(config, "Cmd")};
	const char *path = NULL;
	cJSON *args = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const cJSON *item;

		cJSON_ArrayForEach(item, lists[i])
		{
			if (!path)
				path = item_string(item);
			else
				json_push_string(args, item_string(item));
		}
	}
	*ret_path = path ? path : "";
	*ret_args = args;
}

static void env_remove(char **env, const char *name)
{
	size_t length = strlen(name);
	size_t kept = 0;

	for (size_t i = 0; env && env[i]; i++) {
		if (strncmp(env[i], name, length) == 0 && env[i][length] == '=')
			free(env[i]);
		else
			env[kept++] = env[i];
	}
	if (env)
		env[kept] = NULL;
}

static void env_apply(char ***env, const char *text)
{
	size_t length = strcspn(text, "=");
	cleanup_free char *name = xstrndup(text, length);

	if (length == 0)
		return;
	if (text[length])
		env_set(env, name, text + length + 1);
	else
		env_remove(*env, name);
}

void config_environment_apply(char ***env, char *const *variables)
{
	for (size_t i = 0; variables && variables[i]; i++)
		env_apply(env, variables[i]);
}

char **config_environment(const cJSON *config)
{
	cleanup_strv char **own = member_strv(config, "Env");
	char **env = NULL;

	env_set(&env, "PATH", DEFAULT_PATH);
	env_set(&env, "HOSTNAME", member_string(config, "Hostname"));
	if (member_bool(config, "Tty"))
		env_set(&env, "TERM", "xterm");
	config_environment_apply(&env, own);
	return env;
}
