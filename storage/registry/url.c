#include "storage/registry/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"

#define PORT_HTTP  80
#define PORT_HTTPS 443
#define TOLD_MAX   256 /* bytes of a URL in a message */

static int bad_url(const char *text, const char *why, struct error *err)
{
	return err_set(err, ERROR_INVALID, "URL \"%.*s\": %s", TOLD_MAX, text,
		       why);
}

static bool is_clean(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f ||
		    *text == '\\')
			return false;
	}
	return true;
}

/* Length of "http://" or "https://", 0 for anything else. */
static size_t scheme_length(const char *text, bool *ret_tls)
{
	if (strncasecmp(text, "http://", 7) == 0) {
		*ret_tls = false;
		return 7;
	}
	if (strncasecmp(text, "https://", 8) == 0) {
		*ret_tls = true;
		return 8;
	}
	return 0;
}

static int parse_port(const char *text, const char *digits, size_t length,
		      struct url *url, struct error *err)
{
	cleanup_free char *number = xstrndup(digits, length);
	uint64_t port;

	if (length == 0)
		return 0;
	if (length > 5 || parse_u64(number, &port) < 0 || port == 0 ||
	    port > UINT16_MAX)
		return bad_url(text, "invalid port", err);
	url->port = (uint16_t)port;
	return 0;
}

static int set_host(const char *text, const char *host, size_t length,
		    bool address, struct url *url, struct error *err)
{
	if (length == 0 || length >= URL_HOST_MAX)
		return bad_url(text, "invalid host", err);
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)host[i];
		bool good = isalnum(byte) || byte == '.' ||
			    (address ? byte == ':' || byte == '%'
				     : byte == '-' || byte == '_');

		if (!good)
			return bad_url(text, "invalid host", err);
		url->host[i] = (char)tolower(byte);
	}
	url->host[length] = '\0';
	return 0;
}

int url_parse(const char *text, struct url *ret_url, struct error *err)
{
	struct url url = {0};
	size_t length;
	const char *host;
	const char *end;
	const char *port;
	int r;

	if (strlen(text) > FETCH_URL_MAX)
		return bad_url(text, "too long", err);
	if (!is_clean(text))
		return bad_url(text, "invalid character", err);
	length = scheme_length(text, &url.tls);
	if (length == 0)
		return bad_url(text, "neither http nor https", err);
	url.port = url.tls ? PORT_HTTPS : PORT_HTTP;
	host = text + length;
	end = host + strcspn(host, "/?#");
	if (memchr(host, '@', (size_t)(end - host)))
		return bad_url("…", "a user name in a URL is not taken", err);
	if (*host == '[') {
		const char *close = memchr(host, ']', (size_t)(end - host));

		if (!close)
			return bad_url(text, "invalid host", err);
		r = set_host(text, host + 1, (size_t)(close - host - 1), true,
			     &url, err);
		port = close + 1;
	} else {
		port = memchr(host, ':', (size_t)(end - host));
		if (!port)
			port = end;
		r = set_host(text, host, (size_t)(port - host), false, &url,
			     err);
	}
	if (r < 0)
		return r;
	if (port < end) {
		if (*port != ':')
			return bad_url(text, "invalid host", err);
		r = parse_port(text, port + 1, (size_t)(end - port - 1), &url,
			       err);
		if (r < 0)
			return r;
	}
	url.path = end;
	*ret_url = url;
	return 0;
}

static bool same_origin(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port &&
	       str_equal(a->host, b->host);
}

bool url_same_origin(const char *a, const char *b)
{
	struct url x;
	struct url y;

	return url_parse(a, &x, NULL) == 0 && url_parse(b, &y, NULL) == 0 &&
	       same_origin(&x, &y);
}

bool url_is_loopback(const struct url *url)
{
	unsigned int byte;
	char rest;

	return str_equal(url->host, "localhost") ||
	       str_equal(url->host, "::1") ||
	       sscanf(url->host, "127.%u.%u.%u%c", &byte, &byte, &byte,
		      &rest) == 3;
}

char *url_authority(const struct url *url)
{
	const char *open = strchr(url->host, ':') ? "[" : "";
	const char *close = *open ? "]" : "";

	if (url->port == (url->tls ? PORT_HTTPS : PORT_HTTP))
		return xasprintf("%s%s%s", open, url->host, close);
	return xasprintf("%s%s%s:%u", open, url->host, close, url->port);
}

static bool has_scheme(const char *reference)
{
	size_t length = strspn(reference, "abcdefghijklmnopqrstuvwxyz"
					  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789+-.");

	return length > 0 && reference[length] == ':';
}

int url_resolve(const char *base, const char *reference, char **ret_url,
		struct error *err)
{
	cleanup_free char *text = NULL;
	struct url url;
	size_t origin;
	size_t path;
	int r = url_parse(base, &url, err);

	if (r < 0)
		return r;
	origin = (size_t)(url.path - base);
	path = strcspn(url.path, "?#");
	if (has_scheme(reference)) {
		text = xstrdup(reference);
	} else if (str_starts(reference, "//")) {
		text = xasprintf("%s:%s", url.tls ? "https" : "http",
				 reference);
	} else if (*reference == '/') {
		text = xasprintf("%.*s%s", (int)origin, base, reference);
	} else if (*reference == '?') {
		text = xasprintf("%.*s%s", (int)(origin + path), base,
				 reference);
	} else {
		while (path > 0 && url.path[path - 1] != '/')
			path--;
		text = xasprintf("%.*s%s%s", (int)(origin + path), base,
				 path > 0 ? "" : "/", reference);
	}
	text[strcspn(text, "#")] = '\0';
	r = url_parse(text, &url, err);
	if (r < 0)
		return r;
	*ret_url = steal_ptr(&text);
	return 0;
}

int url_redirect(const char *from, const char *location, bool plain,
		 char **ret_url, bool *ret_same_origin, struct error *err)
{
	cleanup_free char *text = NULL;
	struct url source;
	struct url target;
	int r = url_parse(from, &source, err);

	if (r == 0)
		r = url_resolve(from, location, &text, err);
	if (r == 0)
		r = url_parse(text, &target, err);
	if (r < 0)
		return err_wrap(err, "redirect from %s", source.host);
	if (source.tls && !target.tls && !plain)
		return err_set(err, ERROR_PERMISSION,
			       "redirect from %s: refused to go on without "
			       "encryption at http://%s",
			       source.host, target.host);
	*ret_same_origin = same_origin(&source, &target);
	*ret_url = steal_ptr(&text);
	return 0;
}

void url_escape(struct str *out, const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (isalnum(byte) || strchr("-._~", byte))
			str_append_char(out, *text);
		else
			str_appendf(out, "%%%02X", byte);
	}
}
