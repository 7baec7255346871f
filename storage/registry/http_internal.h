/* Shared by storage/registry/http*.c. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "storage/registry/http.h"

/* One at a time for an exchange; keeps its connections. */
struct http_handle {
	CURL *easy;
	CURLM *multi;
	struct http_handle *next;
};

struct http {
	pthread_mutex_t lock;
	struct http_handle *idle;
	const atomic_bool *cancelled;
	bool insecure;
	struct str ca; /* PEM, the system's too; empty: the system's only */
	char *cert;
	char *key;
};

/* http.c */
struct http_handle *http_take_handle(struct http *http, struct error *err);
void http_give_handle(struct http *http, struct http_handle *handle);
/* -ECANCELED when nobody wants an answer any more. */
int http_check_cancelled(const struct http *http, struct error *err);
/* Certificates and proxy for a URL. */
void http_set_connection(struct http *http, CURL *easy, const char *url);

/* http_exchange.c: one hop. A redirect is an answer here. */
int http_exchange(struct http *http, const struct http_request *request,
		  struct http_response *ret_response, struct error *err);
