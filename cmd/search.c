/* moss search. */
#include "cmd/command.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/credentials.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/text.h"

#define LIMIT_MAX	    100
#define DESCRIPTION_COLUMNS 45

/* clang-format off */
static const struct option search_options[] = {
	{'f', "filter", OPTION_LIST, "filter", NULL, "Filter output based on conditions provided", false},
	{0, "format", OPTION_STRING, NULL, NULL, "Pretty-print search using a Go template", false},
	{0, "limit", OPTION_INT, NULL, NULL, "Max number of search results", false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Don't truncate output", false},
	{0},
};
/* clang-format on */

static const struct listing_column columns[] = {
	{"Name", "NAME"},
	{"Description", "DESCRIPTION"},
	{"StarCount", "STARS"},
	{"IsOfficial", "OFFICIAL"},
	{"IsAutomated", "AUTOMATED"},
	{0},
};

static const char *const filter_keys[] = {"is-automated", "is-official",
					  "stars", NULL};

static bool match_official(const char *value, const void *data)
{
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	return cJSON_IsTrue(member_of(data, "is_official")) == wanted;
}

/* Nothing is built by docker.io itself any more, says docker. */
static bool match_automated(const char *value, const void *data)
{
	bool wanted = false;

	(void)data;
	(void)parse_bool(value, &wanted);
	return !wanted;
}

static bool match_stars(const char *value, const void *data)
{
	uint64_t stars = 0;

	(void)parse_u64(value, &stars);
	return number_of(data, "star_count") >= (int64_t)stars;
}

/* Values of filters are of the kind that their key wants. */
static int check_filters(const struct filters *filters, struct error *err)
{
	int r = filters_check(filters, filter_keys, err);

	for (size_t i = 0; r >= 0 && filters->list[i]; i++) {
		const char *value = strchr(filters->list[i], '=') + 1;
		uint64_t number;
		bool flag;

		r = str_starts(filters->list[i], "stars=")
			    ? parse_u64(value, &number)
			    : parse_bool(value, &flag);
		if (r < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid filter '%s'", filters->list[i]);
	}
	return r < 0 ? r : 0;
}

static int limit_of(const struct options *options, size_t *ret_limit,
		    struct error *err)
{
	int64_t limit = option_number(options, "limit");

	if (limit < 0 || limit > LIMIT_MAX)
		return err_set(err, ERROR_INVALID,
			       "limit %lld is outside the range of [1, %d]",
			       (long long)limit, LIMIT_MAX);
	*ret_limit = (size_t)limit;
	return 0;
}

static cJSON *row_of(const cJSON *result, bool whole)
{
	cleanup_free char *stars =
		xasprintf("%lld", (long long)number_of(result, "star_count"));
	cleanup_free char *description =
		text_printable(text_of(result, "description"), false);
	cleanup_free char *cut = NULL;
	cJSON *row = json_object();

	/* A description of several lines is one in a table. */
	for (char *at = description; *at; at++)
		if (*at == '\n' || *at == '\t' || *at == '\r')
			*at = ' ';
	if (!whole)
		cut = text_cut(description, DESCRIPTION_COLUMNS);
	json_set_string(row, "Description", cut ? cut : description);
	json_set_string(row, "IsAutomated", "");
	json_set_string(row, "IsOfficial",
			cJSON_IsTrue(member_of(result, "is_official")) ? "[OK]"
								       : "");
	json_set_string(row, "Name", text_of(result, "name"));
	json_set_string(row, "StarCount", stars);
	return row;
}

/* The most starred first; those with as many stay as they came. */
static void sort_by_stars(const cJSON **results, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const cJSON *result = results[i];
		size_t at = i;

		for (; at > 0 && number_of(results[at - 1], "star_count") <
					 number_of(result, "star_count");
		     at--)
			results[at] = results[at - 1];
		results[at] = result;
	}
}

static cJSON *rows_of(const cJSON *results, const struct filters *filters,
		      bool whole)
{
	size_t count = (size_t)cJSON_GetArraySize(results);
	cleanup_free const cJSON **sorted = xcalloc(count + 1, sizeof(*sorted));
	cJSON *rows = json_array();
	const cJSON *result;
	size_t i = 0;

	cJSON_ArrayForEach(result, results)
	{
		sorted[i++] = result;
	}
	sort_by_stars(sorted, count);
	for (i = 0; i < count; i++)
		if (filters_pass(filters, "is-official", match_official,
				 sorted[i]) &&
		    filters_pass(filters, "is-automated", match_automated,
				 sorted[i]) &&
		    filters_pass(filters, "stars", match_stars, sorted[i]))
			json_push(rows, row_of(sorted[i], whole));
	return rows;
}

static int search(struct context *context, const struct options *options,
		  const struct filters *filters, cJSON **ret_rows,
		  struct error *err)
{
	const char *term = options->operands[0];
	cleanup_free char *name = engine_search_name(term);
	cleanup_json cJSON *results = NULL;
	char *names[] = {name, NULL};
	size_t limit = 0;
	cJSON *auths;
	int r;

	r = check_filters(filters, err);
	r = r < 0 ? r : limit_of(options, &limit, err);
	if (r < 0)
		return r;
	auths = credentials_find_all(context->credentials, names);
	r = engine_registry_search(&context->engine, term, limit, auths,
				   &results, err);
	credentials_wipe(auths);
	if (r < 0)
		return r;
	*ret_rows = rows_of(results, filters, option_flag(options, "no-trunc"));
	return 0;
}

static int search_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"Name", "Description", "StarCount",
					    "IsOfficial", NULL};
	const struct filters filters = {option_list(options, "filter")};
	const struct listing listing = {
		.columns = columns,
		.shown = shown,
		.format = option_string(options, "format"),
	};
	cleanup_json cJSON *rows = NULL;
	struct error err = {0};

	if (search(context, options, &filters, &rows, &err) < 0 ||
	    listing_print(&listing, rows, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const tables[] = {search_options, NULL};

const struct command command_search = {
	.name = "search",
	.usage = "[OPTIONS] TERM",
	.summary = "Search a registry for images, docker.io unless named",
	.options = tables,
	.operands_min = 1,
	.operands_max = 1,
	.credentials = CREDENTIALS_READ,
	.run = search_main,
	.group = "Common Commands",
};
