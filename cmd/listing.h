/*
 * Lists of objects as docker prints them: a table by default, or --format:
 * "table", "table TEMPLATE", "json" (an object a line), or a template a line;
 * "raw", which docker no longer tells of: a line a member.
 * Rows are flat JSON objects whose members are the template's fields.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LISTING_FORMAT_HELP                                          \
	"Format output using a custom template: 'table' (default), " \
	"'table TEMPLATE', 'json' or 'TEMPLATE'"

struct listing_column {
	const char *field;   /* "ID" */
	const char *heading; /* "CONTAINER ID" */
};

struct listing {
	const struct listing_column *columns; /* all, ends with field NULL */
	const char *const *shown; /* fields of the default table, NULL-ended */
	const char *format;	  /* --format, NULL: the default table */
	const char *raw;	  /* template of the format "raw", or NULL */
	bool quiet; /* only quiet_field, a line each, without a --format */
	const char *quiet_field;
	/* For {{.Label "key"}}: an array beside the rows, or NULL. */
	const cJSON *labels;
};

/* Prints rows (an array). */
int listing_print(const struct listing *listing, const cJSON *rows,
		  struct error *err);

/* "key=value" filters: true when any value of key matches by `match`. */
typedef bool (*filter_match)(const char *value, const void *data);
struct filters {
	char *const *list; /* of "key=value"; NULL-ended */
};
/* Each key must be one of known (NULL-ended). */
int filters_check(const struct filters *filters, const char *const *known,
		  struct error *err);
/* No filter of that key passes everything. */
bool filters_pass(const struct filters *filters, const char *key,
		  filter_match match, const void *data);

/* As filters_pass(), but every value of key must match. */
bool filters_pass_all(const struct filters *filters, const char *key,
		      filter_match match, const void *data);
/* docker's "label!": there are values of key, and all of them match. */
bool filters_refuse(const struct filters *filters, const char *key,
		    filter_match match, const void *data);
/* {key: [value…]}, as the engine takes filters; caller owns. */
cJSON *filters_json(const struct filters *filters);
/* The values of key (strv, caller frees; NULL: none). */
char **filters_values(const struct filters *filters, const char *key);

/* "a=1,b=2" of a JSON object; caller frees. */
char *labels_text(const cJSON *labels);
/* "2026-01-02 03:04:05 +0000 UTC" of an epoch time; caller frees. */
char *created_text(int64_t epoch);
/* docker's name filter: a regular expression. */
bool name_matches(const char *value, const char *name);
/* docker's label filter, "key" or "key=value", against an object. */
bool label_matches(const char *value, const void *labels);
