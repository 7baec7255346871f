/* What moss.conf says of registries in docker's words, of
   storage/registry/registries.h. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/registries.h"

static cJSON *member(cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static cJSON *add_index(cJSON *indexes, const char *name)
{
	cJSON *index = member(indexes, name);

	if (index)
		return index;
	index = json_object();
	json_set_string(index, "Name", name);
	json_set(index, "Mirrors", json_array());
	json_set_bool(index, "Secure", true);
	json_set_bool(index, "Official", str_equal(name, REGISTRY_DOCKER));
	json_set(indexes, name, index);
	return index;
}

/* docker shows mirrors as URLs with a slash at the end. */
static char *mirror_url(const char *text)
{
	return xasprintf("%s%s%s", strstr(text, "://") ? "" : "https://", text,
			 str_ends(text, "/") ? "" : "/");
}

static void add_section(const struct conf *conf, const char *name,
			cJSON *indexes, cJSON *mirrors)
{
	cJSON *index = add_index(indexes, name);
	const struct conf_entry *entry;
	size_t at = 0;

	entry = conf_get(conf, "registry", name, "insecure");
	if (entry && entry->number) {
		cJSON_DeleteItemFromObjectCaseSensitive(index, "Secure");
		json_set_bool(index, "Secure", false);
	}
	while ((entry = conf_next(conf, "registry", name, "mirror", &at))) {
		cleanup_free char *url = mirror_url(entry->value);

		json_push_string(member(index, "Mirrors"), url);
		if (str_equal(name, REGISTRY_DOCKER))
			json_push_string(mirrors, url);
	}
}

cJSON *registries_info(const struct conf *conf)
{
	cleanup_strv char **names = NULL;
	cJSON *json = json_object();
	cJSON *indexes = json_object();
	cJSON *mirrors = json_array();
	cJSON *loopback = json_array();

	add_index(indexes, REGISTRY_DOCKER);
	for (size_t i = 0; i < conf->count; i++) {
		const struct conf_entry *entry = &conf->entries[i];

		if (!str_equal(entry->key->section, "registry") ||
		    strv_contains(names, entry->name))
			continue;
		strv_push(&names, entry->name);
		add_section(conf, entry->name, indexes, mirrors);
	}
	json_push_string(loopback, "::1/128");
	json_push_string(loopback, "127.0.0.0/8");
	json_set(json, "InsecureRegistryCIDRs", loopback);
	json_set(json, "IndexConfigs", indexes);
	json_set(json, "Mirrors", mirrors);
	return json;
}
