/*
 * Values of a template in the making; shared by its evaluator and its
 * functions.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/str.h"

#define TEMPLATE_STEPS_MAX 1000000     /* of one execution: ranges in ranges */
#define TEMPLATE_MADE_MAX  (64u << 20) /* bytes of what functions make */

/* Keeps what functions make until the execution ends. */
struct template_arena {
	cJSON *made; /* array */
	size_t size; /* bytes of texts in it */
	bool headings;
};

/* ---- template_value.c ---- */

const cJSON *template_keep(struct template_arena *arena, cJSON *value);
bool template_truth(const cJSON *value);
/* A number without a fraction that a long long and a double both hold. */
bool template_is_whole(const cJSON *value);
/* As Go's %v prints it, but <no value> for what is not there, unless docker has
   something else for a member of that name. */
void template_print(struct str *output, const cJSON *value);
/* Members in the order in which Go walks them: of an object by name. Caller
   frees the array. */
const cJSON **template_members(const cJSON *value, size_t *ret_count);
/* "string", "int" …: the type in Go's words. */
const char *template_type(const cJSON *value);
/*
 * JSON does not tell a struct from a map: docker's maps are known by the name
 * of the member, others by names in them that no struct's field could have.
 */
bool template_is_map(const cJSON *object);
/* What docker has for a member that its JSON leaves out when it is empty;
   NULL: there is no such member. */
const cJSON *template_absent(struct template_arena *arena, const char *member);
/* A field of docker's structs that JSON has another name for ("ID", "Id");
   NULL: none. */
const char *template_json_name(const char *field);
/* What docker prints for null as a member of that name: "[]", "<nil>"; NULL:
   nothing is known of it. */
const char *template_nil(const char *member);
/* A number as Go prints it. */
void template_print_number(struct str *output, const cJSON *value);

/* ---- template_printf.c ---- */

/* Go's Sprintf. False: too much text. */
bool template_printf(struct str *output, const char *format,
		     const cJSON *const *arguments, size_t count);

/* ---- template_functions.c ---- */

/*
 * Calls a function that exists by its name. arguments may hold NULL (nil). The
 * message of an error has no prefix yet.
 */
int template_call(struct template_arena *arena, const char *name,
		  const cJSON *const *arguments, size_t count,
		  const cJSON **ret_value, struct error *err);
bool template_function_exists(const char *name);
