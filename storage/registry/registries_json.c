/* The JSON form of storage/registry/registries.h, which crosses to moss-image.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/registries.h"

static const char *const schemes[] = {
	[REGISTRY_HTTPS] = "https",
	[REGISTRY_HTTP] = "http",
	[REGISTRY_AUTO] = "auto",
};

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void registry_auth_release(struct registry_auth *auth)
{
	free(auth->username);
	wipe(auth->password);
	wipe(auth->identity_token);
	wipe(auth->registry_token);
	*auth = (struct registry_auth){0};
}

bool registry_auth_is_empty(const struct registry_auth *auth)
{
	return !auth->username && !auth->password && !auth->identity_token &&
	       !auth->registry_token;
}

static int take(const cJSON *json, const char *where, const char *key,
		char **ret_text, struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(json, where, key, &text, err);

	if (r > 0)
		*ret_text = xstrdup(text);
	return r < 0 ? r : 0;
}

int registry_auth_from_json(const cJSON *json, struct registry_auth *ret_auth,
			    struct error *err)
{
	struct registry_auth auth = {0};
	int r = 0;

	if (json) {
		r = take(json, "auth", "username", &auth.username, err);
		r = r < 0 ? r
			  : take(json, "auth", "password", &auth.password, err);
		r = r < 0 ? r
			  : take(json, "auth", "identitytoken",
				 &auth.identity_token, err);
		r = r < 0 ? r
			  : take(json, "auth", "registrytoken",
				 &auth.registry_token, err);
	}
	if (r < 0) {
		registry_auth_release(&auth);
		return r;
	}
	*ret_auth = auth;
	return 0;
}

static void set_if(cJSON *json, const char *key, const char *value)
{
	if (value)
		json_set_string(json, key, value);
}

cJSON *registry_auth_to_json(const struct registry_auth *auth)
{
	cJSON *json = json_object();

	set_if(json, "username", auth->username);
	set_if(json, "password", auth->password);
	set_if(json, "identitytoken", auth->identity_token);
	set_if(json, "registrytoken", auth->registry_token);
	return json;
}

cJSON *registry_endpoints_to_json(const struct registry_endpoints *endpoints)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < endpoints->count; i++) {
		const struct registry_endpoint *endpoint =
			&endpoints->entries[i];
		cJSON *json = json_object();

		json_set_string(json, "host", endpoint->host);
		json_set_string(json, "scheme", schemes[endpoint->scheme]);
		json_set_string(json, "prefix", endpoint->prefix);
		json_set_bool(json, "insecure", endpoint->insecure);
		json_set_string(json, "ca", endpoint->ca);
		json_set_string(json, "cert", endpoint->cert);
		json_set_string(json, "key", endpoint->key);
		json_set_bool(json, "mirror", endpoint->mirror);
		if (!registry_auth_is_empty(&endpoint->auth))
			json_set(json, "auth",
				 registry_auth_to_json(&endpoint->auth));
		json_push(array, json);
	}
	return array;
}

static int scheme_from_text(const char *text, enum registry_scheme *ret_scheme,
			    struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (str_equal(schemes[i], text)) {
			*ret_scheme = (enum registry_scheme)i;
			return 0;
		}
	return err_set(err, ERROR_INVALID, "endpoints: unknown scheme %s",
		       text ? text : "null");
}

static int one_from_json(const cJSON *json, struct registry_endpoint *endpoint,
			 struct error *err)
{
	static const char where[] = "endpoints";
	const char *scheme = NULL;
	const cJSON *auth = NULL;
	int r;

	r = take(json, where, "host", &endpoint->host, err);
	r = r < 0 ? r : json_get_string(json, where, "scheme", &scheme, err);
	r = r < 0 ? r : scheme_from_text(scheme, &endpoint->scheme, err);
	r = r < 0 ? r : take(json, where, "prefix", &endpoint->prefix, err);
	r = r < 0 ? r
		  : json_get_bool(json, where, "insecure", &endpoint->insecure,
				  err);
	r = r < 0 ? r : take(json, where, "ca", &endpoint->ca, err);
	r = r < 0 ? r : take(json, where, "cert", &endpoint->cert, err);
	r = r < 0 ? r : take(json, where, "key", &endpoint->key, err);
	r = r < 0 ? r
		  : json_get_bool(json, where, "mirror", &endpoint->mirror,
				  err);
	r = r < 0 ? r : json_get_object(json, where, "auth", &auth, err);
	r = r < 0 ? r : registry_auth_from_json(auth, &endpoint->auth, err);
	if (r < 0)
		return r;
	if (!endpoint->host || !registry_host_is_valid(endpoint->host))
		return err_set(err, ERROR_INVALID,
			       "endpoints: %s is not a registry's address",
			       endpoint->host ? endpoint->host : "null");
	if (!endpoint->prefix)
		endpoint->prefix = xstrdup("");
	return 0;
}

int registry_endpoints_from_json(const cJSON *array,
				 struct registry_endpoints *ret_endpoints,
				 struct error *err)
{
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints endpoints = {0};
	size_t count =
		cJSON_IsArray(array) ? (size_t)cJSON_GetArraySize(array) : 0;
	const cJSON *item;

	if (count == 0)
		return err_set(err, ERROR_INVALID,
			       "the request names no "
			       "registry");
	endpoints.entries = xcalloc(count, sizeof(*endpoints.entries));
	cJSON_ArrayForEach(item, array)
	{
		int r = one_from_json(
			item, &endpoints.entries[endpoints.count++], err);

		if (r < 0)
			return r;
	}
	*ret_endpoints = endpoints;
	endpoints = (struct registry_endpoints){0};
	return 0;
}
