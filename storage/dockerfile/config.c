#include "storage/dockerfile/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/dockerfile/check.h"

#define PORT_MAX 65535

/* Docker's: less is a mistake. 0 stands for the default. */
#define HEALTH_DURATION_MIN 1000000 /* ns */

struct application {
	cJSON *config;
	const struct dockerfile_instruction *instruction;
	const struct expand *expand;
};

const char *config_lookup(const char *name, void *data)
{
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(data, "Env");
	const cJSON *item;
	size_t length = strlen(name);

	cJSON_ArrayForEach(item, env)
	{
		if (cJSON_IsString(item) &&
		    strncmp(item->valuestring, name, length) == 0 &&
		    item->valuestring[length] == '=')
			return item->valuestring + length + 1;
	}
	return NULL;
}

/* A copy of the member, an empty object or array when it is not there. */
static cJSON *copy_member(const cJSON *object, const char *key, bool array)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
	cJSON *copy;

	if (!(array ? cJSON_IsArray(item) : cJSON_IsObject(item)))
		return array ? json_array() : json_object();
	copy = cJSON_Duplicate(item, true);
	if (!copy)
		str_oom();
	return copy;
}

/* All words, expanded; each may become several if split is wanted. */
static int expand_all(const struct application *application, bool split,
		      char ***ret_words, struct error *err)
{
	char *const *words = application->instruction->words;
	cleanup_strv char **result = xcalloc(1, sizeof(*result));

	for (size_t i = 0; words[i]; i++) {
		cleanup_strv char **parts = NULL;
		cleanup_free char *word = NULL;
		int r = split ? expand_words(application->expand, words[i],
					     &parts, err)
			      : expand_word(application->expand, words[i],
					    &word, err);

		if (r < 0)
			return r;
		for (size_t j = 0; parts && parts[j]; j++)
			strv_push(&result, parts[j]);
		if (!split)
			strv_push(&result, word);
	}
	*ret_words = steal_ptr(&result);
	return 0;
}

/* ---- commands ---- */

/* Words as an array, with the image's shell before those that want one. */
static cJSON *command(const struct application *application)
{
	const struct dockerfile_instruction *instruction =
		application->instruction;
	const cJSON *shell =
		cJSON_GetObjectItemCaseSensitive(application->config, "Shell");
	const cJSON *item;
	cJSON *array = json_array();

	if (!instruction->json && strv_length(instruction->words) > 0) {
		if (!cJSON_IsArray(shell) || !shell->child) {
			json_push_string(array, "/bin/sh");
			json_push_string(array, "-c");
		}
		cJSON_ArrayForEach(item, shell)
			json_push_string(array, item->valuestring);
	}
	for (size_t i = 0; instruction->words && instruction->words[i]; i++)
		json_push_string(array, instruction->words[i]);
	return array;
}

static int apply_cmd(const struct application *application, struct error *err)
{
	json_set(application->config, "Cmd", command(application));
	return 0;
}

static int apply_entrypoint(const struct application *application,
			    struct error *err)
{
	json_set(application->config, "Entrypoint", command(application));
	return 0;
}

static int apply_shell(const struct application *application, struct error *err)
{
	json_set_strv(application->config, "Shell",
		      application->instruction->words);
	return 0;
}

/* ---- pairs ---- */

static int check_names(char *const *words, const char *keyword,
		       struct error *err)
{
	for (size_t i = 0; words[i]; i += 2) {
		if (!*words[i])
			return err_set(err, ERROR_INVALID,
				       "%s names can not be blank", keyword);
	}
	return 0;
}

static int apply_env(const struct application *application, struct error *err)
{
	cleanup_strv char **words = NULL;
	cleanup_strv char **env = NULL;
	int r = expand_all(application, false, &words, err);

	if (r == 0)
		r = check_names(words, "ENV", err);
	if (r < 0)
		return r;
	if (json_get_strv(application->config, "", "Env", &env, NULL) < 0)
		env = NULL;
	for (size_t i = 0; words[i]; i += 2)
		env_set(&env, words[i], words[i + 1]);
	json_set_strv(application->config, "Env", env);
	return 0;
}

static int apply_label(const struct application *application, struct error *err)
{
	cleanup_strv char **words = NULL;
	cJSON *labels;
	int r = expand_all(application, false, &words, err);

	if (r == 0)
		r = check_names(words, "LABEL", err);
	if (r < 0)
		return r;
	labels = copy_member(application->config, "Labels", false);
	for (size_t i = 0; words[i]; i += 2)
		json_set_string(labels, words[i], words[i + 1]);
	json_set(application->config, "Labels", labels);
	return 0;
}

/* ---- ports and paths ---- */

static int bad_port(const char *text, struct error *err)
{
	err_set(err, ERROR_INVALID, "EXPOSE: invalid port \"%.64s\"", text);
	return err_hint(err,
			"write PORT, PORT/udp or FIRST-LAST/tcp, with "
			"ports from 1 to %d",
			PORT_MAX);
}

struct port_range {
	uint64_t first, last;
};

/* "80" or "80-90"; text is cut. */
static bool read_range(char *text, struct port_range *ret_range)
{
	char *dash = strchr(text, '-');
	uint64_t first, last;

	if (dash)
		*dash++ = '\0';
	if (parse_u64(text, &first) < 0 ||
	    parse_u64(dash ? dash : text, &last) < 0 || first == 0 ||
	    last > PORT_MAX || first > last)
		return false;
	*ret_range = (struct port_range){first, last};
	return true;
}

/* "ADDRESS:PORT", "PORT" or "ADDRESS:", as of --publish; text is cut. */
static bool is_host_part(char *text, const struct port_range *inside)
{
	struct in6_addr address;
	struct port_range host;
	char *colon = strrchr(text, ':');
	char *port = colon ? colon + 1 : text;

	if (colon) {
		*colon = '\0';
		if (*text == '[' && str_ends(text, "]")) {
			*strrchr(text, ']') = '\0';
			text++;
		}
		if (*text && inet_pton(AF_INET, text, &address) != 1 &&
		    inet_pton(AF_INET6, text, &address) != 1)
			return false;
	}
	if (!*port)
		return true;
	return read_range(port, &host) &&
	       (inside->first == inside->last ||
		host.last - host.first == inside->last - inside->first);
}

/* Lower case; NULL: none that there is. */
static const char *protocol_of(char *text)
{
	for (char *c = text; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (str_empty(text) || str_equal(text, "tcp"))
		return "tcp";
	return str_equal(text, "udp") || str_equal(text, "sctp") ? text : NULL;
}

/* Where on the host it might go is read, as docker does, and left out. */
static int expose(cJSON *ports, const char *whole, struct error *err)
{
	cleanup_free char *text = xstrdup(whole);
	char *slash = strchr(text, '/');
	const char *protocol = protocol_of(slash ? slash + 1 : NULL);
	struct port_range range;
	char *host;

	if (slash)
		*slash = '\0';
	host = strrchr(text, ':');
	if (!protocol || !read_range(host ? host + 1 : text, &range))
		return bad_port(whole, err);
	if (host) {
		*host = '\0';
		if (!is_host_part(text, &range))
			return bad_port(whole, err);
	}
	for (; range.first <= range.last; range.first++) {
		cleanup_free char *port = xasprintf(
			"%llu/%s", (unsigned long long)range.first, protocol);

		json_set(ports, port, json_object());
	}
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order, so that the history has them so. */
static int apply_expose(const struct application *application,
			struct error *err)
{
	cleanup_json cJSON *ports =
		copy_member(application->config, "ExposedPorts", false);
	cleanup_strv char **words = NULL;
	int r = expand_all(application, true, &words, err);

	if (r == 0)
		qsort(words, strv_length(words), sizeof(*words), compare_words);
	for (size_t i = 0; r == 0 && words[i]; i++)
		r = expose(ports, words[i], err);
	if (r < 0)
		return r;
	json_set(application->config, "ExposedPorts", steal_ptr(&ports));
	return 0;
}

static int apply_volume(const struct application *application,
			struct error *err)
{
	cleanup_json cJSON *volumes =
		copy_member(application->config, "Volumes", false);
	cleanup_strv char **words = NULL;
	int r = expand_all(application, false, &words, err);

	if (r < 0)
		return r;
	for (size_t i = 0; words[i]; i++) {
		if (!*words[i])
			return err_set(err, ERROR_INVALID,
				       "VOLUME specified can not be an empty "
				       "string");
		json_set(volumes, words[i], json_object());
	}
	json_set(application->config, "Volumes", steal_ptr(&volumes));
	return 0;
}

/* The one word there is, expanded; caller frees. */
static int one_word(const struct application *application, char **ret_text,
		    struct error *err)
{
	return expand_word(application->expand,
			   application->instruction->words[0], ret_text, err);
}

static int apply_user(const struct application *application, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = one_word(application, &text, err);

	if (r < 0)
		return r;
	/* Nothing, from a variable without a value, is root. */
	if (text[strcspn(text, " \t")])
		return err_set(err, ERROR_INVALID,
			       "USER: no user or user:group: \"%.64s\"", text);
	json_set_string(application->config, "User", text);
	return 0;
}

static int apply_workdir(const struct application *application,
			 struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_free char *path = NULL;
	const char *before = NULL;
	int r = one_word(application, &text, err);

	if (r < 0)
		return r;
	if (json_get_string(application->config, "", "WorkingDir", &before,
			    NULL) < 1 ||
	    str_empty(before))
		before = "/";
	/* Nothing, from a variable without a value, is where it was. */
	path = *text == '/' ? path_clean(text) : path_join(before, text);
	json_set_string(application->config, "WorkingDir", path);
	return 0;
}

static int apply_stopsignal(const struct application *application,
			    struct error *err)
{
	cleanup_free char *text = NULL;
	int r = one_word(application, &text, err);

	if (r < 0)
		return r;
	if (signal_from_name(text) < 0)
		return err_set(err, ERROR_INVALID,
			       "STOPSIGNAL: invalid signal: %.64s", text);
	json_set_string(application->config, "StopSignal", text);
	return 0;
}

static int apply_onbuild(const struct application *application,
			 struct error *err)
{
	cJSON *list = copy_member(application->config, "OnBuild", true);
	cleanup_free char *trigger =
		dockerfile_trigger(application->instruction);

	json_push_string(list, trigger);
	json_set(application->config, "OnBuild", list);
	return 0;
}

/* ---- health checks ---- */

static const struct health_flag {
	const char *name;
	const char *key;
	bool is_duration;
} health_flags[] = {
	{"interval", "Interval", true},
	{"timeout", "Timeout", true},
	{"start-period", "StartPeriod", true},
	{"start-interval", "StartInterval", true},
	{"retries", "Retries", false},
};

static int health_flag(cJSON *health, const struct health_flag *flag,
		       const char *text, struct error *err)
{
	int64_t value;
	int r = flag->is_duration ? parse_duration(text, &value)
				  : parse_i64(text, &value);

	if (r < 0 || value < 0 ||
	    (flag->is_duration && value != 0 && value < HEALTH_DURATION_MIN))
		return err_set(err, ERROR_INVALID,
			       "HEALTHCHECK: invalid value in "
			       "\"--%s=%.64s\"",
			       flag->name, text);
	json_set_i64(health, flag->key, value);
	return 0;
}

static cJSON *health_test(const struct dockerfile_instruction *instruction)
{
	cJSON *test = json_array();

	if (strcasecmp(instruction->words[0], "NONE") == 0) {
		json_push_string(test, "NONE");
		return test;
	}
	json_push_string(test, instruction->json ? "CMD" : "CMD-SHELL");
	for (size_t i = 1; instruction->words[i]; i++)
		json_push_string(test, instruction->words[i]);
	return test;
}

static int apply_healthcheck(const struct application *application,
			     struct error *err)
{
	const struct dockerfile_instruction *instruction =
		application->instruction;
	cleanup_json cJSON *health = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(health_flags); i++) {
		const char *text =
			instruction_flag(instruction, health_flags[i].name);
		int r = 0;

		/* Without a value it is as if it were not there. */
		if (!str_empty(text))
			r = health_flag(health, &health_flags[i], text, err);
		if (r < 0)
			return r;
	}
	json_set(health, "Test", health_test(instruction));
	json_set(application->config, "Healthcheck", steal_ptr(&health));
	return 0;
}

/* NULL: says nothing of the config. */
static int (*const apply[DOCKERFILE_KEYWORDS])(
	const struct application *application, struct error *err) = {
	[DOCKERFILE_CMD] = apply_cmd,
	[DOCKERFILE_ENTRYPOINT] = apply_entrypoint,
	[DOCKERFILE_ENV] = apply_env,
	[DOCKERFILE_EXPOSE] = apply_expose,
	[DOCKERFILE_HEALTHCHECK] = apply_healthcheck,
	[DOCKERFILE_LABEL] = apply_label,
	[DOCKERFILE_ONBUILD] = apply_onbuild,
	[DOCKERFILE_SHELL] = apply_shell,
	[DOCKERFILE_STOPSIGNAL] = apply_stopsignal,
	[DOCKERFILE_USER] = apply_user,
	[DOCKERFILE_VOLUME] = apply_volume,
	[DOCKERFILE_WORKDIR] = apply_workdir,
};

bool config_takes(enum dockerfile_keyword keyword)
{
	return apply[keyword] != NULL;
}

int config_apply(cJSON *config,
		 const struct dockerfile_instruction *instruction,
		 const struct expand *expand, struct error *err)
{
	const struct application application = {config, instruction, expand};

	return apply[instruction->keyword](&application, err);
}
