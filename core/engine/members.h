/*
 * A Docker API body checked against a table of its members, before anything
 * reads it: the rows say which members there are, of what type, and which of
 * them moss has nothing behind yet. Such a member may be there with an empty
 * value (null, false, 0, "", [], {}), as docker's own client sends them all;
 * any other value is an error, so that nothing is accepted and then ignored.
 * The same goes for members without a row.
 *
 * After members_check() the plain getters below need no error path.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define MEMBERS_LIST_MAX 65536 /* entries of one array or map */

enum member_type {
	MEMBER_STRING,
	MEMBER_BOOL,
	MEMBER_INTEGER,
	MEMBER_STRINGS, /* array of strings */
	MEMBER_COMMAND, /* array of strings, or one string */
	MEMBER_ARRAY,	/* of anything */
	MEMBER_OBJECT,
	MEMBER_MAP, /* object of strings */
	MEMBER_SET, /* object whose keys count */
};

enum member_use {
	MEMBER_USED,
	MEMBER_REFUSED, /* nothing behind it: may only be empty */
	MEMBER_LIMIT,	/* a cgroup's (limits.h): used, too */
};

/* What a normalised object holds where the body has nothing. */
enum member_default {
	MEMBER_OMIT,
	MEMBER_NULL,
	MEMBER_FALSE,
	MEMBER_ZERO,
	MEMBER_EMPTY, /* string */
	MEMBER_NO_ITEMS,
	MEMBER_NO_MEMBERS,
};

struct member {
	const char *name;
	enum member_type type;
	enum member_use use;
	enum member_default empty;
	const char *option; /* the command line's name of it, for messages */
	const char *controller; /* of MEMBER_LIMIT */
};

/*
 * path: the object's name in messages ("HostConfig"), "" at the top.
 * strict: a body; members that are refused or have no row must be empty.
 * Otherwise (an image's config) only the types count.
 */
int members_check(const cJSON *object, const char *path,
		  const struct member *members, size_t count, bool strict,
		  struct error *err);

/* All rows' members in their order: object's value or the default. */
cJSON *members_normalise(const cJSON *object, const struct member *members,
			 size_t count);

bool member_is_empty(const cJSON *value);

/* For checked objects; an absent member is "", 0, false or NULL. */
const cJSON *member_get(const cJSON *object, const char *name);
const char *member_string(const cJSON *object, const char *name);
bool member_bool(const cJSON *object, const char *name);
int64_t member_i64(const cJSON *object, const char *name);
char **member_strv(const cJSON *object, const char *name);
/* Text of an array's element; "" when it is none. */
const char *item_string(const cJSON *item);
