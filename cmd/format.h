/*
 * --format of the commands that show whole objects: inspect, info, version.
 * NULL: the default, indented JSON; "json": compact JSON; else a template, a
 * line an object.
 */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

#define FORMAT_HELP \
	"Format output using a custom template: 'json' or 'TEMPLATE'"

#define EXIT_TEMPLATE 64 /* docker's for a template that cannot be parsed */

/* All objects of an array. The exit code; errors are printed. */
int format_objects(struct context *context, const char *format,
		   const cJSON *objects);
/* One object, without the array's brackets; format is not NULL. */
int format_object(struct context *context, const char *format,
		  const cJSON *object);
