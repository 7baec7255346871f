/*
 * Go's text/template language, as far as docker's users write it in --format,
 * over JSON values.
 *
 * Actions: {{pipeline}}, {{if}} {{else if}} {{else}} {{end}}, {{range}} (with
 * "$i, $v :=", else, over arrays, objects by sorted key and whole numbers),
 * {{with}}, variables, comments, trim markers. Functions: json, join, lower,
 * upper, title, split, println, print, printf, len, index, slice, eq, ne, lt,
 * le, gt, ge, and, or, not, pad, truncate; the method {{.Label "key"}}.
 *
 * JSON does not tell Go's structs from its maps. An object is taken for a map
 * when it is empty or a member's name does not begin as an exported Go name
 * does ("80/tcp", "maintainer"): what a map lacks is <no value> (index: "" if
 * its values are texts), what a struct lacks is an error.
 *
 * A template is the user's own, but the values are an image's or a container's:
 * nothing in them is ever parsed. Limits: text, nesting, and the output's size.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/str.h"

#define TEMPLATE_TEXT_MAX   65536
#define TEMPLATE_DEPTH_MAX  64
#define TEMPLATE_OUTPUT_MAX (64u << 20)

struct template;

/* "template parsing error: template: :1: …" */
int template_parse(const char *text, struct template **ret_template,
		   struct error *err);
void template_free(struct template *template);

/*
 * Appends the output for `value` (which `.` and `$` are) to *output. A member
 * that is not there is an error that names it; null prints as <no value>.
 * labels: what {{.Label "key"}} looks into; NULL: there is no such method.
 */
int template_execute(const struct template *template, const cJSON *value,
		     const cJSON *labels, struct str *output,
		     struct error *err);
