/*
 * What each line of a container's log carries besides its text: the "attrs"
 * that the log options labels, labels-regex, env, env-regex and tag ask for, in
 * docker's form, {"key":"value",…} by key. They are made once a start.
 *
 * tag is a template of which {{.ID}}, {{.FullID}}, {{.Name}}, {{.FullName}},
 * {{.ImageID}}, {{.ImageFullID}}, {{.ImageName}} and {{.DaemonName}} are known.
 * Regular expressions are POSIX's extended ones.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

#define LOG_ATTRIBUTES_MAX (64u << 10) /* bytes; each line has them */

/* Of container.json. *ret_text: JSON, NULL when none are asked for or found;
   caller frees. */
int log_attributes_make(const cJSON *container, char **ret_text,
			struct error *err);
/* Of an option, before there is a container. */
int log_tag_check(const char *tag, struct error *err);
int log_regex_check(const char *regex, struct error *err);
