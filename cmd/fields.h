/*
 * Values of options that are a line of CSV, as docker reads them:
 * "type=local,dest=out", where a field that has a comma is "quoted".
 */
#pragma once

#include "base/error.h"

/* *ret_fields: one at least, maybe empty; strv, caller frees. */
int fields_split(const char *text, char ***ret_fields, struct error *err);
