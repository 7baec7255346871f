/*
 * Go's text/template language, as docker has it in --format, over JSON values.
 *
 * Actions: {{pipeline}}, {{if}} {{else if}} {{else}} {{end}}, {{range}} (with
 * "$i, $v :=" or "=", else, break, continue, over arrays, objects by sorted key
 * and whole numbers), {{with}} {{else with}}, variables, comments, trim
 * markers, {{define}}, {{template}}, {{block}}. Constants as Go writes them.
 * Functions: Go's (and, call, eq, ge, gt, html, index, js, le, len, lt, ne,
 * not, or, print, printf, println, slice, urlquery) and docker's (join, json,
 * lower, pad, split, title, truncate, upper); the method {{.Label "key"}}.
 * Imaginary numbers are not there.
 *
 * What is wrong with the words is found before anything runs, in Go's own
 * words; so are functions and variables that do not exist.
 *
 * JSON does not tell Go's structs from its maps, nor what null is. docker's
 * maps, lists and pointers are known by their members' names; another object is
 * taken for a map when it is empty or a member's name does not begin as an
 * exported Go name does ("80/tcp", "maintainer"). What a map lacks is
 * <no value> (index: "" if its values are texts), what a struct lacks is an
 * error, unless docker's JSON leaves it out when it is empty (State.Health).
 *
 * A template is the user's own, but the values are an image's or a container's:
 * nothing in them is ever parsed. Limits: text, nesting, steps, what functions
 * make, and the output's size.
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
/* The same over a table's headings: functions that change a text leave them. */
int template_execute_headings(const struct template *template,
			      const cJSON *value, const cJSON *labels,
			      struct str *output, struct error *err);
