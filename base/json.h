/*
 * JSON on top of cJSON: whole files under a size and depth limit, errors that
 * name the file with line and column (malformed text) or the JSON path (wrong
 * content), typed look-ups.
 *
 * A look-up of an absent or null member returns 0 and leaves the output alone;
 * 1 when it was there and has the type; -EINVAL with *err "PATH: expected a
 * string" otherwise. `path` is the caller's name of the object ("syscalls[3]"),
 * used only in messages.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

#define JSON_FILE_MAX  (4u << 20) /* bytes; the OCI limit for a manifest */
#define JSON_DEPTH_MAX 64

void cleanup_json_function(cJSON **json);
#define cleanup_json CLEANUP(cleanup_json_function)

/*
 * Parses length bytes; name stands for the source in messages. Trailing
 * garbage, duplicate NULs and depth over JSON_DEPTH_MAX are errors. Caller owns
 * *ret_json (cJSON_Delete).
 */
int json_parse(const char *text, size_t length, const char *name,
	       cJSON **ret_json, struct error *err);
/*
 * Refuses an object that has a key twice: which of the two counts is another
 * program's to decide otherwise. For documents that are identified by their
 * digest.
 */
int json_check_unique(const cJSON *json, const char *name, struct error *err);
int json_read_at(int dir_fd, const char *path, cJSON **ret_json,
		 struct error *err);
/*
 * Of an object, the named members only, for lists that read many documents of
 * our own: what is not named is passed over, and whether it is well-formed is
 * not looked at. members ends with NULL; "a" names all of the member a, "a.b"
 * the member b of the object a; those of one object stand together. text ends
 * with a NUL at length.
 */
int json_parse_members(const char *text, size_t length, const char *name,
		       const char *const *members, cJSON **ret_json,
		       struct error *err);
int json_read_members_at(int dir_fd, const char *path,
			 const char *const *members, cJSON **ret_json,
			 struct error *err);
/* Atomic, see file_write_atomic_at(); flags as there. JSON_FILE_MAX holds. */
int json_write_at(int dir_fd, const char *path, const cJSON *json,
		  unsigned int flags, struct error *err);
char *json_print(const cJSON *json); /* compact; caller frees */
char *
json_print_pretty(const cJSON *json); /* 4 spaces, docker's inspect form */

/* NULL when there is none, or no object. */
const cJSON *json_member(const cJSON *object, const char *key);
int json_get_string(const cJSON *object, const char *path, const char *key,
		    const char **ret_borrowed, struct error *err);
int json_get_bool(const cJSON *object, const char *path, const char *key,
		  bool *ret_value, struct error *err);
/* Exact integers only, |value| <= 2^53. */
int json_get_i64(const cJSON *object, const char *path, const char *key,
		 int64_t *ret_value, struct error *err);
int json_get_object(const cJSON *object, const char *path, const char *key,
		    const cJSON **ret_borrowed, struct error *err);
int json_get_array(const cJSON *object, const char *path, const char *key,
		   const cJSON **ret_borrowed, struct error *err);
/* Array of strings to a strv (caller frees). */
int json_get_strv(const cJSON *object, const char *path, const char *key,
		  char ***ret_strv, struct error *err);

/* Builders that end the process when memory is out, like base/str.h. */
cJSON *json_object(void);
cJSON *json_array(void);
void json_set(cJSON *object, const char *key, cJSON *value); /* takes value */
void json_set_string(cJSON *object, const char *key,
		     const char *value); /* NULL: JSON null */
/* Nothing where value is NULL. */
void json_set_text(cJSON *object, const char *key, const char *value);
void json_set_bool(cJSON *object, const char *key, bool value);
void json_set_i64(cJSON *object, const char *key, int64_t value);
void json_set_strv(cJSON *object, const char *key,
		   char *const *strv);	    /* NULL: [] */
void json_push(cJSON *array, cJSON *value); /* takes value */
void json_push_string(cJSON *array, const char *value);
