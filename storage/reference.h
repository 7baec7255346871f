/*
 * Image references as docker writes them: "nginx", "user/app:1.2",
 * "localhost:5000/app@sha256:…" (distribution's reference grammar). Normalised:
 * docker.io, "library/", tag "latest" when neither tag nor digest is given.
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
/* Full "docker.io/library/nginx:latest"; caller frees. */
char *reference_full(const struct reference *reference);
/* As docker prints it: "nginx:latest", "localhost:5000/app:1"; caller frees. */
char *reference_familiar(const struct reference *reference);
char *reference_familiar_name(const struct reference *reference); /* no tag */
