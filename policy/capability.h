/*
 * Capability sets as masks (1 << CAP_x), names as docker and OCI write them:
 * with or without "CAP_", any case. Docker's default set of 14; ALL.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define CAPABILITY_DEFAULT capability_default()

uint64_t capability_default(void);
uint64_t capability_all(void); /* that the running kernel knows */

/* 0 and the bit number, -EINVAL for an unknown name. */
int capability_from_name(const char *name, int *ret_number);
const char *capability_name(int number); /* "CAP_CHOWN" */

/*
 * --cap-add and --cap-drop applied to the default set (or to ALL when
 * privileged) with docker's rules: drop ALL then add, add ALL then drop.
 */
int capability_resolve(char *const *add, char *const *drop, int privileged,
		       uint64_t *ret_mask, struct error *err);
