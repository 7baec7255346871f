/*
 * Image references as docker writes them: "nginx", "user/app:1.2",
 * "localhost:5000/app@sha256:…" (distribution's reference grammar). Normalised:
 * docker.io, "library/", tag "latest" when neither tag nor digest is given.
 *
 *   reference  = name [":" tag] ["@" digest]
 *   name       = [registry "/"] component ("/" component)*
 *   registry   = host [":" port], taken for one when it has a "." or ":", is
 *                "localhost" or has an upper-case letter
 *   component  = [a-z0-9]+ (("." | "_" | "__" | "-"+) [a-z0-9]+)*
 *   tag        = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define REFERENCE_MAX 512 /* bytes of a whole reference */

struct reference {
	char registry[256];   /* "docker.io" */
	char repository[256]; /* "library/nginx" */
	char tag[129];	      /* "" when there is only a digest */
	char digest[72];      /* "sha256:…" or "" */
};

/* "invalid reference format" with docker's details. */
int reference_parse(const char *text, struct reference *ret_reference,
		    struct error *err);
/* True for "nginx" and "host:5000/app": neither tag nor digest is written. */
bool reference_is_name_only(const char *text);
/* Full "docker.io/library/nginx:latest"; caller frees. */
char *reference_full(const struct reference *reference);
/* As docker prints it: "nginx:latest", "localhost:5000/app:1"; caller frees. */
char *reference_familiar(const struct reference *reference);
char *reference_familiar_name(const struct reference *reference); /* no tag */
/* From a full name to a familiar one; one that is no reference stays as is. */
char *reference_shorten(const char *full);
