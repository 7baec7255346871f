/*
 * Searching a registry, see storage/transfer.h. docker.io's index has an API
 * for it (GET /v1/search?q=TERM&n=LIMIT); most others have not, but list their
 * repositories (distribution spec's catalog, docker's registry API v2), in
 * which names that contain the term are looked for.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/job.h"
#include "storage/registry/job_registry.h"
#include "storage/registry/url.h"

#define LIMIT_USUAL	25 /* docker's */
#define LIMIT_MAX	100
#define CATALOG_PAGE	1000
#define CATALOG_PAGES	100
#define CATALOG_SCOPE	"registry:catalog:*"
#define NAME_MAX_LENGTH 512

struct search {
	struct registry *registry;
	const char *term;
	size_t limit;
	cJSON *results;
};

static bool is_full(const struct search *search)
{
	return (size_t)cJSON_GetArraySize(search->results) >= search->limit;
}

static void add(const struct search *search, const char *name,
		const char *description, int64_t stars, bool official)
{
	cJSON *json = json_object();

	json_set_string(json, "name", name);
	json_set_string(json, "description", description);
	json_set_i64(json, "star_count", stars);
	json_set_bool(json, "is_official", official);
	json_push(search->results, json);
}

static int add_result(const struct search *search, const cJSON *item,
		      struct error *err)
{
	static const char where[] = "results";
	const char *name = NULL;
	const char *description = "";
	int64_t stars = 0;
	bool official = false;
	int r;

	r = json_get_string(item, where, "name", &name, err);
	r = r < 0 ? r
		  : json_get_string(item, where, "description", &description,
				    err);
	r = r < 0 ? r : json_get_i64(item, where, "star_count", &stars, err);
	r = r < 0 ? r
		  : json_get_bool(item, where, "is_official", &official, err);
	if (r < 0)
		return r;
	if (str_empty(name))
		return err_set(err, ERROR_INVALID, "%s: one has no name",
			       where);
	add(search, name, description, stars, official);
	return 0;
}

static int get_json(const struct search *search, const char *path,
		    const char *scope, cJSON **ret_json, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	r = registry_get_text(search->registry, path, scope, &text, &length,
			      err);
	return r < 0 ? r : json_parse(text, length, "answer", ret_json, err);
}

static int ask_index(const struct search *search, struct error *err)
{
	cleanup_str struct str path = {0};
	cleanup_json cJSON *json = NULL;
	const cJSON *results = NULL;
	const cJSON *item;
	int r;

	str_append(&path, "/v1/search?q=");
	url_escape(&path, search->term);
	str_appendf(&path, "&n=%zu", search->limit);
	r = get_json(search, str_text(&path), NULL, &json, err);
	r = r < 0 ? r : json_get_array(json, "", "results", &results, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, results)
	{
		if (is_full(search))
			break;
		r = add_result(search, item, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* With the registry before it, as it can be pulled. */
static void add_listed(const struct search *search, const char *name)
{
	cleanup_free char *full =
		xasprintf("%s/%s", registry_host(search->registry), name);

	add(search, full, "", 0, false);
}

/* One page; *last: its last name, "" when there is no more. */
static int read_page(const struct search *search, char last[NAME_MAX_LENGTH],
		     struct error *err)
{
	cleanup_str struct str path = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **names = NULL;
	size_t count;
	int r;

	str_appendf(&path, "/v2/_catalog?n=%d", CATALOG_PAGE);
	if (last[0]) {
		str_append(&path, "&last=");
		url_escape(&path, last);
	}
	r = get_json(search, str_text(&path), CATALOG_SCOPE, &json, err);
	r = r < 0 ? r
		  : json_get_strv(json, "catalog", "repositories", &names, err);
	if (r < 0)
		return r;
	count = strv_length(names);
	for (size_t i = 0; i < count && !is_full(search); i++)
		if (strcasestr(names[i], search->term))
			add_listed(search, names[i]);
	if (count < CATALOG_PAGE || strlen(names[count - 1]) >= NAME_MAX_LENGTH)
		last[0] = '\0';
	else
		strcpy(last, names[count - 1]);
	return 0;
}

static int read_catalog(const struct search *search, struct error *err)
{
	char last[NAME_MAX_LENGTH] = "";

	for (int i = 0; i < CATALOG_PAGES && !is_full(search); i++) {
		int r = read_page(search, last, err);

		if (r < 0)
			return r;
		if (!last[0])
			break;
	}
	return 0;
}

static int failed(const struct search *search, int r, struct error *err)
{
	const char *host = registry_host(search->registry);

	if (r == -ENOENT)
		return err_set(err, ERROR_UNSUPPORTED,
			       "registry %s can be neither searched nor listed",
			       host);
	if (r == -EACCES) {
		err_wrap(err, "registry %s refuses to be searched", host);
		err_hint(err, "Log in with `moss login %s`.", host);
		return r;
	}
	return err_wrap(err, "cannot search registry %s", host);
}

int search_run(struct job *job, struct error *err)
{
	cleanup_registry struct registry *registry = NULL;
	struct search search = {.limit = LIMIT_USUAL};
	int64_t limit = 0;
	int r;

	search.term = job_string(job, "term");
	if (!search.term)
		return err_set(err, ERROR_INVALID, "the request has no term");
	(void)json_get_i64(job->request, "", "limit", &limit, NULL);
	if (limit > 0)
		search.limit = limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX;
	r = job_open_host(job, false, &registry, err);
	if (r < 0)
		return r;
	search.registry = registry;
	search.results = json_array();
	json_set(job->result, "results", search.results);
	r = ask_index(&search, err);
	if (r == -ENOENT)
		r = read_catalog(&search, err);
	return r < 0 ? failed(&search, r, err) : 0;
}
