/* Shared by storage/registry/registry*.c. */
#pragma once

#include <pthread.h>

#include "storage/registry/http.h"
#include "storage/registry/http_auth.h"
#include "storage/registry/registry.h"

struct endpoint {
	char *host;
	enum registry_scheme scheme;
	bool mirror;
	char *name;  /* of the repository there: prefix and name */
	char *scope; /* what is to be done with it */
	struct http *http;
	struct http_auth *auth;
	pthread_mutex_t lock;
	char *base; /* "https://host", once it is known */
};

struct registry {
	struct endpoint *endpoints;
	size_t count;
	bool push;
	atomic_size_t current; /* the endpoint that had the manifest */
};

/* A request to one endpoint. */
struct call {
	const char *method;
	const char *path; /* "/v2/…", or a whole URL that the server gave */
	char *const *headers;
	const char *scope; /* NULL: the repository's */
	const struct http_body *body;
	unsigned int seconds;
	bool once; /* the caller knows how to try again */
};

/* An answer of any status, after the attempts that may help. */
int endpoint_call(struct endpoint *endpoint, const struct call *call,
		  struct http_response *ret_response, struct error *err);
/*
 * The same for a small answer: *ret_text is all of its body, NULL when the
 * status is not 200. One that breaks off is asked for again. Caller frees.
 */
int endpoint_read(struct endpoint *endpoint, const struct call *call,
		  struct http_response *ret_response, char **ret_text,
		  size_t *ret_length, struct error *err);
/* The registry itself. */
struct endpoint *registry_home(struct registry *registry);
/*
 * Error of an answer that is not the wanted one: the reason alone for 401, 403
 * and 404, else "cannot WHAT HOST: …".
 */
int endpoint_refused(const struct endpoint *endpoint,
		     struct http_response *response, const char *what,
		     struct error *err);
/*
 * Does `run` with one endpoint after the other, from the current one on, until
 * it does not fail. What a mirror says is not told but as a hint.
 */
int registry_try(struct registry *registry,
		 int (*run)(struct endpoint *endpoint, void *data,
			    struct error *err),
		 void *data, struct error *err);
