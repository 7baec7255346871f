#include "cmd/network_option.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"

static cJSON *object_in(cJSON *object, const char *name)
{
	cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!member) {
		member = json_object();
		json_set(object, name, member);
	}
	return member;
}

static cJSON *array_in(cJSON *object, const char *name)
{
	cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!member) {
		member = json_array();
		json_set(object, name, member);
	}
	return member;
}

static int unsupported(const char *what, const char *why, const char *instead,
		       struct error *err)
{
	err_set(err, ERROR_UNSUPPORTED, "%s is not supported: %s", what, why);
	return err_hint(err, "%s", instead);
}

static int refuse_link(struct error *err)
{
	return unsupported("--link",
			   "containers on a network know each other by name",
			   "Put both on a network: --network NAME, with "
			   "--network-alias for further names.",
			   err);
}

static int refuse_link_local(struct error *err)
{
	return unsupported("a link-local address",
			   "interfaces in containers have none",
			   "Use --ip or --ip6.", err);
}

int network_setting_add(cJSON *endpoint, const char *key, const char *value,
			struct error *err)
{
	int64_t number;

	if (str_equal(key, "alias")) {
		json_push_string(array_in(endpoint, "Aliases"), value);
	} else if (str_equal(key, "ip")) {
		json_set_string(object_in(endpoint, "IPAMConfig"),
				"IPv4Address", value);
	} else if (str_equal(key, "ip6")) {
		json_set_string(object_in(endpoint, "IPAMConfig"),
				"IPv6Address", value);
	} else if (str_equal(key, "mac-address")) {
		json_set_string(endpoint, "MacAddress", value);
	} else if (str_equal(key, "gw-priority")) {
		if (parse_i64(value, &number) < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid gw-priority (%s): expected a "
				       "number",
				       value);
		json_set_i64(endpoint, "GwPriority", number);
	} else if (str_equal(key, "link-local-ip")) {
		return refuse_link_local(err);
	} else if (str_equal(key, "driver-opt")) {
		return unsupported("a driver option of an endpoint",
				   "there are none",
				   "Give it to moss network create.", err);
	} else {
		return err_set(err, ERROR_INVALID, "invalid field key %s", key);
	}
	return 0;
}

/* One --network: "NAME" or "name=NAME,alias=…". */
struct network_given {
	char *name;
	cJSON *settings;
};

static void network_given_release(struct network_given *given)
{
	free(given->name);
	cJSON_Delete(given->settings);
}

static int parse_given(const char *text, struct network_given *given,
		       struct error *err)
{
	cleanup_strv char **fields = NULL;

	given->settings = json_object();
	if (!strchr(text, '=') || str_starts(text, "slirp:")) {
		given->name = xstrdup(text);
		return 0;
	}
	fields = strv_split(text, ',');
	for (size_t i = 0; fields[i]; i++) {
		char *equals = strchr(fields[i], '=');
		int r;

		if (!equals)
			return err_set(err, ERROR_INVALID, "invalid field %s",
				       fields[i]);
		*equals = '\0';
		if (str_equal(fields[i], "name")) {
			free(given->name);
			given->name = xstrdup(equals + 1);
			continue;
		}
		r = network_setting_add(given->settings, fields[i], equals + 1,
					err);
		if (r < 0)
			return r;
	}
	if (str_empty(given->name))
		return err_set(err, ERROR_INVALID,
			       "network name/id is not specified");
	return 0;
}

static bool is_user_defined(const char *name)
{
	static const char *const others[] = {"default", "bridge", "host",
					     "none", "slirp"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (str_equal(name, others[i]))
			return false;
	}
	return !str_starts(name, "container:") && !str_starts(name, "slirp:");
}

/* --ip and the like are the first network's. */
static int add_plain(const struct options *options, bool user_defined,
		     cJSON *settings, struct error *err)
{
	static const char *const scalars[] = {"ip", "ip6"};
	char *const *aliases = option_list(options, "network-alias");
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(scalars); i++) {
		const char *value = option_string(options, scalars[i]);

		if (!str_empty(value))
			r = network_setting_add(settings, scalars[i], value,
						err);
	}
	if (aliases[0] && !user_defined)
		return err_set(err, ERROR_INVALID,
			       "network-scoped aliases are only supported for "
			       "user-defined networks");
	if (aliases[0] && member_of(settings, "Aliases"))
		return err_set(err, ERROR_INVALID,
			       "conflicting options: cannot specify both "
			       "--network-alias and per-network alias");
	for (size_t i = 0; r >= 0 && aliases[i]; i++)
		r = network_setting_add(settings, "alias", aliases[i], err);
	return r;
}

static int add_network(const struct options *options, const char *text,
		       bool first, bool alone, cJSON *endpoints, cJSON *host,
		       struct error *err)
{
	CLEANUP(network_given_release) struct network_given given = {0};
	bool user_defined;
	int r = parse_given(text, &given, err);

	if (r < 0)
		return r;
	user_defined = is_user_defined(given.name);
	if (!alone && !user_defined)
		return err_set(err, ERROR_INVALID,
			       "conflicting options: cannot attach both "
			       "user-defined and non-user-defined "
			       "network-modes");
	if (member_of(endpoints, given.name))
		return err_set(err, ERROR_INVALID,
			       "network \"%s\" is specified multiple times",
			       given.name);
	if (first) {
		json_set_string(host, "NetworkMode", given.name);
		r = add_plain(options, user_defined, given.settings, err);
		if (r < 0)
			return r;
	}
	if (user_defined || given.settings->child)
		json_set(endpoints, user_defined ? given.name : "slirp",
			 steal_ptr(&given.settings));
	return 0;
}

int network_options_body(const struct options *options, cJSON *body,
			 cJSON *host, struct error *err)
{
	char *const *networks = option_list(options, "network");
	cleanup_json cJSON *endpoints = json_object();
	int r = 0;

	if (option_list(options, "link")[0])
		return refuse_link(err);
	if (option_list(options, "link-local-ip")[0])
		return refuse_link_local(err);
	if (!networks[0]) {
		cleanup_json cJSON *settings = json_object();

		r = add_plain(options, false, settings, err);
		if (r < 0)
			return r;
		if (settings->child)
			json_set(endpoints, "slirp", steal_ptr(&settings));
	}
	for (size_t i = 0; r >= 0 && networks[i]; i++)
		r = add_network(options, networks[i], i == 0, !networks[1],
				endpoints, host, err);
	if (r >= 0 && endpoints->child)
		json_set(object_in(body, "NetworkingConfig"), "EndpointsConfig",
			 steal_ptr(&endpoints));
	return r;
}
