/*
 * HTTP for moss-image, over libcurl: one request, one answer, whose body is a
 * stream read at the reader's pace. What may be sent where is decided here, not
 * by libcurl:
 *
 *   - http and https only, HTTP/1.1 (bodies are long, one a connection);
 *   - redirects are followed by hand (storage/registry/url.h), at most
 *     FETCH_REDIRECTS_MAX, from https to http only with an insecure client. An
 *     Authorization and secret bodies never leave the server they are for;
 *   - proxies come from the environment (http_proxy, https_proxy, no_proxy, in
 *     capitals too), never for loopback;
 *   - certificates are checked against the system's and those of `ca`;
 *   - an answer's header is bounded (FETCH_HEADERS_MAX), its body is where the
 *     caller says so; a connection without a byte for FETCH_STALL_S ends.
 *
 * A client may be used by any number of threads; it keeps idle connections. It
 * outlives its answers.
 *
 * Failures tell themselves apart by the number that is returned, since a
 * registry's client has to know whether to try again or elsewhere:
 *
 *   -EHOSTUNREACH  no such host          -ECONNREFUSED  nobody listens
 *   -ECONNRESET    broke off             -ETIMEDOUT     waited long enough
 *   -EKEYREJECTED  certificate not trusted
 *   -EPROTO        no TLS, or no HTTP    -ECANCELED     *cancelled
 *
 * An answer of any status is an answer; http_status_error() makes an error of
 * one.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage/tar/stream.h"

struct http;

struct http_options {
	const char *ca; /* a PEM file, or a directory: *.crt, client.cert with
			   client.key (any NAME.cert, NAME.key) */
	const char *cert;
	const char *key;
	bool insecure; /* no check of certificates */
	/* Ends what is under way in all threads, and refuses what comes; may be
	   NULL. */
	const atomic_bool *cancelled;
};

/* options may be NULL. ERROR_NOT_FOUND when ca is not there. */
int http_new(const struct http_options *options, struct http **ret_http,
	     struct error *err);
void http_free(struct http *http);
bool http_is_insecure(const struct http *http);
void cleanup_http_function(struct http **http);
#define cleanup_http CLEANUP(cleanup_http_function)
/* Sleeps, but not once cancelled: -ECANCELED. */
int http_sleep(struct http *http, uint64_t ms, struct error *err);

/* What is sent. size bytes from `bytes`, or of fd from its offset on. */
struct http_body {
	const void *bytes; /* NULL: fd */
	int fd;
	uint64_t offset;
	uint64_t size;
	/* Sees what goes out, at its offset; after a dead connection the same
	   once more. May be NULL. */
	void (*tap)(void *data, uint64_t offset, const void *bytes,
		    size_t length);
	void *data;
};

struct http_request {
	const char *method; /* "GET" */
	const char *url;
	char *const *headers;	   /* "Accept: …"; may be NULL */
	const char *authorization; /* "Bearer …", or NULL */
	const struct http_body *body;
	bool no_redirects;    /* one is an answer then */
	unsigned int seconds; /* for all of the exchange, 0: any time */
};

struct http_response {
	int status;
	char *url; /* that answered */
	char **names;
	char **values;	 /* those of one name are joined by ", " */
	uint64_t length; /* of the body, UINT64_MAX: not said */
	struct stream *body;
};

int http_send(struct http *http, const struct http_request *request,
	      struct http_response *ret_response, struct error *err);
void http_response_release(struct http_response *response);
#define cleanup_response CLEANUP(http_response_release)
/*
 * The body outlives the response; caller frees. Whoever waits for a piece of it
 * may be ended by stream_ahead() and holds nothing that would be missed.
 */
struct stream *http_take_body(struct http_response *response);

/* Borrowed, NULL when absent; any case. */
const char *http_header(const struct http_response *response, const char *name);
/* All of the body; more than max bytes is ERROR_INVALID. Caller frees. */
int http_text(struct http_response *response, size_t max, char **ret_text,
	      size_t *ret_length, struct error *err);
/*
 * What a server says about its refusal, as docker writes it ("manifest unknown:
 * …"), or what the status means, or NULL. Reads the body; caller frees.
 */
char *http_reason(struct http_response *response);
/*
 * "cannot WHAT: the server answered 500: REASON" with the kind that fits.
 * -EACCES for 401 and 403, -ENOENT for 404.
 */
int http_status_error(struct http_response *response, const char *what,
		      struct error *err);
/* err_set() with a number of its own, which is returned negative. */
int http_fail(struct error *err, enum error_kind kind, int number,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* May it pass? A status that says so, or a failure that does. */
bool http_status_is_transient(int status);
bool http_failure_is_transient(int number);
/*
 * How long to wait before attempt (0: the first one again), in ms: twice as
 * long each time, with jitter; what the server asks for when response is not
 * NULL and has a Retry-After.
 */
uint64_t http_delay(unsigned int attempt, const struct http_response *response);
