#include "storage/registry/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/registry_internal.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define HTTP_BAD_REQUEST 400
#define MIRROR_ATTEMPTS	 2u /* there is somebody else to ask */
#define SILENT_ATTEMPTS	 2u /* of a minute and more each */

/* ---- endpoints ---- */

static void endpoint_release(struct endpoint *endpoint)
{
	http_auth_free(endpoint->auth);
	http_free(endpoint->http);
	pthread_mutex_destroy(&endpoint->lock);
	free(endpoint->host);
	free(endpoint->name);
	free(endpoint->scope);
	free(endpoint->base);
}

static int endpoint_init(const struct registry_options *options,
			 const struct registry_endpoint *from,
			 struct endpoint *endpoint, struct error *err)
{
	const struct http_options http = {
		.ca = from->ca,
		.cert = from->cert,
		.key = from->key,
		.insecure = from->insecure,
		.cancelled = options->cancelled,
	};
	const struct http_credentials credentials = {
		.username = from->auth.username,
		.password = from->auth.password,
		.identity_token = from->auth.identity_token,
		.registry_token = from->auth.registry_token,
		.offline = options->offline,
	};
	int r;

	endpoint->host = xstrdup(from->host);
	endpoint->scheme = from->scheme;
	endpoint->mirror = from->mirror;
	endpoint->name =
		str_empty(from->prefix)
			? xstrdup(options->repository)
			: xasprintf("%s/%s", from->prefix, options->repository);
	if (*endpoint->name)
		endpoint->scope =
			xasprintf("repository:%s:pull%s", endpoint->name,
				  options->push ? ",push" : "");
	pthread_mutex_init(&endpoint->lock, NULL);
	r = http_new(&http, &endpoint->http, err);
	if (r == 0)
		r = http_auth_new(&credentials, &endpoint->auth, err);
	return r < 0 ? err_wrap(err, "registry %s", from->host) : 0;
}

int registry_new(const struct registry_options *options,
		 struct registry **ret_registry, struct error *err)
{
	cleanup_registry struct registry *registry =
		xcalloc(1, sizeof(*registry));
	size_t count = options->endpoints->count;

	if (count == 0)
		return err_set(err, ERROR_INVALID, "no registry to ask");
	registry->endpoints = xcalloc(count, sizeof(*registry->endpoints));
	registry->push = options->push;
	for (size_t i = 0; i < count; i++) {
		struct endpoint *endpoint = &registry->endpoints[i];
		int r;

		registry->count++;
		r = endpoint_init(options, &options->endpoints->entries[i],
				  endpoint, err);
		if (r < 0)
			return r;
	}
	*ret_registry = steal_ptr(&registry);
	return 0;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->count; i++)
		endpoint_release(&registry->endpoints[i]);
	free(registry->endpoints);
	free(registry);
}

void cleanup_registry_function(struct registry **registry)
{
	registry_free(*registry);
}

struct endpoint *registry_home(struct registry *registry)
{
	return &registry->endpoints[registry->count - 1];
}

const char *registry_host(const struct registry *registry)
{
	return registry->endpoints[registry->count - 1].host;
}

/* ---- what went wrong ---- */

static int explain(const struct endpoint *endpoint, int number,
		   struct error *err)
{
	if (number == -EKEYREJECTED)
		err_hint(err,
			 "if it is the right one, name the certificate of its "
			 "CA with ca = FILE below [registry \"%s\"] in "
			 "moss.conf",
			 endpoint->host);
	else if (number == -ENOKEY)
		err_hint(err, "install the package ca-certificates, or look at "
			      "ca = below [registry] in moss.conf");
	else if (number == -EPROTO && endpoint->scheme == REGISTRY_HTTPS)
		err_hint(err,
			 "if %s is to be used without encryption, write "
			 "insecure = true below [registry \"%s\"] in moss.conf",
			 endpoint->host, endpoint->host);
	return number;
}

int endpoint_refused(const struct endpoint *endpoint,
		     struct http_response *response, const char *what,
		     struct error *err)
{
	cleanup_free char *sentence = xasprintf("%s %s", what, endpoint->host);
	cleanup_free char *reason = NULL;

	if (response->status != 401 && response->status != 403 &&
	    response->status != 404)
		return http_status_error(response, sentence, err);
	reason = http_reason(response);
	return response->status == 404
		       ? http_fail(err, ERROR_NOT_FOUND, ENOENT, "%s", reason)
		       : http_fail(err, ERROR_PERMISSION, EACCES, "%s", reason);
}

/* ---- requests ---- */

static int probe(struct endpoint *endpoint, const char *scheme,
		 struct error *err)
{
	cleanup_free char *base = xasprintf("%s://%s", scheme, endpoint->host);
	cleanup_free char *url = xasprintf("%s/v2/", base);
	const struct http_request request = {
		.method = "GET",
		.url = url,
		.no_redirects = true,
		.seconds = FETCH_STALL_S,
	};
	cleanup_response struct http_response response = {0};
	int r = http_send(endpoint->http, &request, &response, err);

	if (r < 0)
		return r;
	endpoint->base = steal_ptr(&base);
	return response.status;
}

/* By https, or by http when nobody speaks TLS there. */
static int find_scheme(struct endpoint *endpoint, struct error *err)
{
	struct error secure = {0};
	int r = probe(endpoint, "https", &secure);

	/* ENOKEY: of a machine without CA certificates nobody was asked yet. */
	if (r != -ECONNREFUSED && r != -EHOSTUNREACH && r != -EPROTO &&
	    r != -ECONNRESET && r != -ENOKEY)
		return r < 0 ? err_copy(err, &secure) : 0;
	r = probe(endpoint, "http", err);
	if (r != HTTP_BAD_REQUEST)
		return r < 0 ? r : 0;
	/* What a server of TLS says to plain text: it was not content with our
	   half of TLS, a certificate it wants. */
	free(endpoint->base);
	endpoint->base = NULL;
	return err_copy(err, &secure);
}

static int settle(struct endpoint *endpoint, struct error *err)
{
	const char *scheme =
		endpoint->scheme == REGISTRY_HTTP ? "http" : "https";
	int r = 0;

	pthread_mutex_lock(&endpoint->lock);
	if (!endpoint->base && endpoint->scheme == REGISTRY_AUTO)
		r = find_scheme(endpoint, err);
	else if (!endpoint->base)
		endpoint->base = xasprintf("%s://%s", scheme, endpoint->host);
	pthread_mutex_unlock(&endpoint->lock);
	return r;
}

static int call_once(struct endpoint *endpoint, const struct call *call,
		     struct http_response *ret_response, struct error *err)
{
	cleanup_free char *url =
		*call->path == '/'
			? xasprintf("%s%s", endpoint->base, call->path)
			: xstrdup(call->path);
	const struct http_request request = {
		.method = call->method,
		.url = url,
		.headers = call->headers,
		.body = call->body,
		.seconds = call->seconds,
	};

	/* A URL that the server gave may lead anywhere: no credentials. */
	if (!url_same_origin(endpoint->base, url))
		return http_send(endpoint->http, &request, ret_response, err);
	return http_auth_send(endpoint->auth, endpoint->http, &request,
			      call->scope ? call->scope : endpoint->scope,
			      ret_response, err);
}

/*
 * May another attempt after the given one (from 0) help? Nobody listening where
 * nobody answered yet will not pass soon, and silence has taken long enough.
 */
static bool may_pass(int r, const struct http_response *response,
		     unsigned int attempt, unsigned int attempts)
{
	if (r == -ETIMEDOUT && attempts > SILENT_ATTEMPTS)
		attempts = SILENT_ATTEMPTS;
	if (attempt + 1 >= attempts)
		return false;
	if (r < 0)
		return http_failure_is_transient(r) && r != -ECONNREFUSED;
	return http_status_is_transient(response->status);
}

static unsigned int attempts_of(const struct endpoint *endpoint,
				const struct call *call)
{
	if (call->once)
		return 1;
	return endpoint->mirror ? MIRROR_ATTEMPTS : RETRY_ATTEMPTS;
}

int endpoint_call(struct endpoint *endpoint, const struct call *call,
		  struct http_response *ret_response, struct error *err)
{
	const unsigned int attempts = attempts_of(endpoint, call);
	int r = settle(endpoint, err);

	if (r < 0)
		return explain(endpoint, r, err);
	for (unsigned int attempt = 0;; attempt++) {
		cleanup_response struct http_response response = {0};
		uint64_t delay;

		r = call_once(endpoint, call, &response, err);
		if (!may_pass(r, &response, attempt, attempts)) {
			if (r < 0)
				return explain(endpoint, r, err);
			*ret_response = response;
			response = (struct http_response){0};
			return 0;
		}
		delay = http_delay(attempt, r < 0 ? NULL : &response);
		r = http_sleep(endpoint->http, delay, err);
		if (r < 0)
			return r;
	}
}

int endpoint_read(struct endpoint *endpoint, const struct call *call,
		  struct http_response *ret_response, char **ret_text,
		  size_t *ret_length, struct error *err)
{
	const unsigned int attempts = attempts_of(endpoint, call);

	for (unsigned int attempt = 0;; attempt++) {
		cleanup_response struct http_response response = {0};
		cleanup_free char *text = NULL;
		int r = endpoint_call(endpoint, call, &response, err);

		if (r < 0)
			return r;
		if (response.status == 200)
			r = http_text(&response, FETCH_TEXT_MAX, &text,
				      ret_length, err);
		if (r < 0) {
			if (!may_pass(r, NULL, attempt, attempts))
				return r;
			r = http_sleep(endpoint->http,
				       http_delay(attempt, NULL), err);
			if (r < 0)
				return r;
			continue;
		}
		*ret_text = steal_ptr(&text);
		*ret_response = response;
		response = (struct http_response){0};
		return 0;
	}
}

int registry_try(struct registry *registry,
		 int (*run)(struct endpoint *endpoint, void *data,
			    struct error *err),
		 void *data, struct error *err)
{
	size_t first = atomic_load(&registry->current);
	struct error mirror = {0};
	int r = -EIO;

	for (size_t i = first; i < registry->count; i++) {
		struct error error = {0};

		r = run(&registry->endpoints[i], data, &error);
		if (r >= 0) {
			atomic_store(&registry->current, i);
			return r;
		}
		if (i + 1 < registry->count && r != -ECANCELED) {
			mirror = error;
			continue;
		}
		err_copy(err, &error);
		break;
	}
	if (mirror.kind != ERROR_NONE && err && !*err->hint)
		err_hint(err, "its mirror: %s", mirror.message);
	return r;
}

/* ---- the registry itself ---- */

int registry_ping(struct registry *registry, struct error *err)
{
	const struct call call = {
		.method = "GET",
		.path = "/v2/",
		.seconds = FETCH_DOCUMENT_S,
	};
	struct endpoint *endpoint = registry_home(registry);
	cleanup_response struct http_response response = {0};
	int r = endpoint_call(endpoint, &call, &response, err);

	if (r < 0 || response.status == 200)
		return r;
	return endpoint_refused(endpoint, &response, "talk to registry", err);
}

const char *registry_identity_token(struct registry *registry)
{
	return http_auth_given_token(registry_home(registry)->auth);
}

int registry_get_text(struct registry *registry, const char *path,
		      const char *scope, char **ret_text, size_t *ret_length,
		      struct error *err)
{
	const struct call call = {
		.method = "GET",
		.path = path,
		.scope = scope,
		.seconds = FETCH_DOCUMENT_S,
	};
	struct endpoint *endpoint = registry_home(registry);
	cleanup_response struct http_response response = {0};
	cleanup_free char *text = NULL;
	int r = endpoint_read(endpoint, &call, &response, &text, ret_length,
			      err);

	if (r < 0)
		return r;
	if (!text)
		return endpoint_refused(endpoint, &response, "read a list from",
					err);
	*ret_text = steal_ptr(&text);
	return 0;
}
