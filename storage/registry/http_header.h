/*
 * Header fields of HTTP answers that a registry's client has to understand,
 * pure text from a server that may write anything:
 *
 *   WWW-Authenticate  challenges (RFC 9110 section 11.6.1): one field may hold
 *                     several, each with parameters or one token68
 *   Link              <target>; rel="next" (RFC 8288), for paged lists
 *   Retry-After       seconds or a date (RFC 9110 section 10.2.3)
 *   Content-Range     bytes FIRST-LAST/TOTAL (section 14.4)
 *   Range             0-LAST, as the distribution spec answers to uploads
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

#define CHALLENGES_MAX	    8u
#define CHALLENGE_VALUE_MAX 4096u /* bytes of a parameter */

struct challenge {
	char scheme[16]; /* lower-case: "bearer", "basic" */
	char *realm;	 /* NULL when absent, as all of them */
	char *service;
	char *scope;
	char *error; /* why the token that was sent is not enough */
};

struct challenges {
	struct challenge items[CHALLENGES_MAX];
	size_t count;
};

/*
 * ERROR_INVALID for what is no list of challenges. Those beyond the limit and
 * parameters of other names are left out.
 */
int challenges_parse(const char *field, struct challenges *ret_challenges,
		     struct error *err);
void challenges_release(struct challenges *challenges);
const struct challenge *challenges_find(const struct challenges *challenges,
					const char *scheme);

/* Target of the link rel="next", NULL without; caller frees. */
char *link_next(const char *field);
/* Seconds from now; -EINVAL for what is neither a number nor a date. */
int retry_after(const char *field, time_t now, uint64_t *ret_seconds);
/* *ret_total: UINT64_MAX for "*". -EINVAL without text. */
int content_range(const char *field, uint64_t *ret_first, uint64_t *ret_last,
		  uint64_t *ret_total);
/* How many bytes a server has of an upload; -EINVAL without text. */
int upload_range(const char *field, uint64_t *ret_length);
