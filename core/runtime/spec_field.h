/*
 * For the files that parse a specification: typed members with limits, on top
 * of base/json.h; same results (1 there, 0 absent, negative errno).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

int field_u32(const cJSON *object, const char *path, const char *key,
	      uint32_t max, uint32_t *ret_value, struct error *err);
/* Full 64 bits: JSON numbers are doubles, so RLIM_INFINITY comes rounded. */
int field_u64(const cJSON *object, const char *path, const char *key,
	      uint64_t *ret_value, struct error *err);
/* An owned copy. */
int field_string(const cJSON *object, const char *path, const char *key,
		 char **ret_owned, struct error *err);
/* An owned, cleaned absolute path shorter than PATH_MAX. */
int field_path(const cJSON *object, const char *path, const char *key,
	       char **ret_owned, struct error *err);
int field_strv(const cJSON *object, const char *path, const char *key,
	       size_t max, char ***ret_strv, struct error *err);
/* A strv whose entries are absolute paths. */
int field_paths(const cJSON *object, const char *path, const char *key,
		char ***ret_strv, struct error *err);
/* An array of at most max elements; *ret_count is its length. */
int field_array(const cJSON *object, const char *path, const char *key,
		size_t max, const cJSON **ret_borrowed, size_t *ret_count,
		struct error *err);

/* Members that mean something but cannot be obeyed; empty ones are fine. */
struct field_refusal {
	const char *key;
	const char *why;
};
int field_refuse(const cJSON *object, const char *path,
		 const struct field_refusal *refusals, size_t count,
		 struct error *err);

struct spec_process;
/* spec_process.c: annotations that concern a process. */
int spec_process_annotations(const cJSON *annotations, const char *path,
			     struct spec_process *process, struct error *err);
