/*
 * URLs of http and https, as far as a client needs them that decides itself
 * where a redirect may lead. Pure text: whatever a server wrote into a Location
 * or a Link is looked at here before libcurl sees it.
 *
 * Refused: other schemes (file:, ftp:), user names and passwords in the URL,
 * spaces and control characters, more than FETCH_URL_MAX bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define URL_HOST_MAX 256

struct url {
	bool tls;
	char host[URL_HOST_MAX]; /* lower-case, an IPv6 address without [] */
	uint16_t port;
	const char *path; /* "/path?query" or "", borrowed from the text */
};

int url_parse(const char *text, struct url *ret_url, struct error *err);
/* The same scheme, host and port? False when one is no URL. */
bool url_same_origin(const char *a, const char *b);
bool url_is_loopback(const struct url *url);
/* "host:port", without the port that goes without saying; caller frees. */
char *url_authority(const struct url *url);

/*
 * What `reference` means in a document at `base` (RFC 3986 section 5.2, dot
 * segments are left to libcurl); the fragment goes. Caller frees.
 */
int url_resolve(const char *base, const char *reference, char **ret_url,
		struct error *err);
/*
 * Where a redirect of `from` leads. From https to http only when plain is
 * true. *ret_same_origin: what was meant for `from`'s server only (an
 * Authorization) may be sent there too.
 */
int url_redirect(const char *from, const char *location, bool plain,
		 char **ret_url, bool *ret_same_origin, struct error *err);

/* Appends text with all but unreserved characters as %XX. */
struct str;
void url_escape(struct str *out, const char *text);
