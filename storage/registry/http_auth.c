#include "storage/registry/http_auth.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define TOKENS_MAX     32u
#define TOKEN_LIFE_S   60 /* when the server does not say; its least, too */
#define TOKEN_MARGIN_S 15 /* renewed before its end */
#define CLIENT_ID      "moss"

struct token {
	char *scope;
	char *header; /* "Bearer …" */
	time_t end;   /* CLOCK_MONOTONIC */
};

struct http_auth {
	char *username;
	char *password;
	char *identity_token;
	char *registry_header; /* "Bearer …" */
	char *basic_header;
	bool offline;
	char *given_token; /* what `offline` brought */
	pthread_mutex_t lock;
	/* What the server asked for; scheme "" before it did. */
	struct challenge challenge;
	struct token tokens[TOKENS_MAX];
	size_t token_count;
};

/* Of a header field: printable, no blanks. */
static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	}
	return true;
}

static char *basic_header(const char *username, const char *password)
{
	cleanup_free char *pair = xasprintf("%s:%s", username, password);
	size_t length = strlen(pair);
	cleanup_free char *coded = xcalloc(1, (length + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)pair,
			(int)length);
	return xasprintf("Basic %s", coded);
}

int http_auth_new(const struct http_credentials *credentials,
		  struct http_auth **ret_auth, struct error *err)
{
	static const struct http_credentials nobody;
	const struct http_credentials *from =
		credentials ? credentials : &nobody;
	struct http_auth *auth;

	if (from->registry_token && !is_printable(from->registry_token))
		return err_set(err, ERROR_INVALID,
			       "the registry token is malformed");
	if (from->username && from->password &&
	    strlen(from->username) + strlen(from->password) > FETCH_TOKEN_MAX)
		return err_set(err, ERROR_INVALID, "the password is too long");
	auth = xcalloc(1, sizeof(*auth));
	pthread_mutex_init(&auth->lock, NULL);
	auth->username = xstrdup(from->username);
	auth->password = xstrdup(from->password);
	if (!str_empty(from->identity_token))
		auth->identity_token = xstrdup(from->identity_token);
	if (!str_empty(from->registry_token))
		auth->registry_header =
			xasprintf("Bearer %s", from->registry_token);
	auth->offline = from->offline;
	if (!str_empty(from->username) && from->password)
		auth->basic_header =
			basic_header(from->username, from->password);
	*ret_auth = auth;
	return 0;
}

static void wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void token_release(struct token *token)
{
	free(token->scope);
	wipe(token->header);
	*token = (struct token){0};
}

static void set_challenge(struct http_auth *auth, struct challenge *challenge)
{
	struct challenges old = {.items = {auth->challenge}, .count = 1};

	challenges_release(&old);
	auth->challenge = *challenge;
	*challenge = (struct challenge){0};
}

void http_auth_free(struct http_auth *auth)
{
	struct challenge none = {0};

	if (!auth)
		return;
	for (size_t i = 0; i < auth->token_count; i++)
		token_release(&auth->tokens[i]);
	set_challenge(auth, &none);
	pthread_mutex_destroy(&auth->lock);
	free(auth->username);
	free(auth->password);
	free(auth->identity_token);
	free(auth->registry_header);
	free(auth->basic_header);
	free(auth->given_token);
	free(auth);
}

const char *http_auth_given_token(const struct http_auth *auth)
{
	return auth->given_token;
}

/* ---- tokens ---- */

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static struct token *find_token(struct http_auth *auth, const char *scope)
{
	for (size_t i = 0; i < auth->token_count; i++) {
		if (str_equal(auth->tokens[i].scope, scope))
			return &auth->tokens[i];
	}
	return NULL;
}

static void drop_token(struct http_auth *auth, struct token *token)
{
	token_release(token);
	*token = auth->tokens[--auth->token_count];
	auth->tokens[auth->token_count] = (struct token){0};
}

static void keep_token(struct http_auth *auth, const char *scope,
		       const char *text, int64_t life)
{
	struct token *old = find_token(auth, scope);

	if (old)
		drop_token(auth, old);
	else if (auth->token_count == TOKENS_MAX)
		drop_token(auth, &auth->tokens[0]);
	auth->tokens[auth->token_count++] = (struct token){
		.scope = xstrdup(scope),
		.header = xasprintf("Bearer %s", text),
		.end = now() + (time_t)life,
	};
}

static void add_parameter(struct str *out, char separator, const char *name,
			  const char *value)
{
	str_append_char(out, separator);
	str_append(out, name);
	str_append_char(out, '=');
	url_escape(out, value);
}

/* service, account and one scope parameter for each of them. */
static char *token_url(const struct http_auth *auth, const char *scope)
{
	const struct challenge *challenge = &auth->challenge;
	cleanup_strv char **scopes = strv_split(scope, ' ');
	cleanup_str struct str url = {0};
	char separator = strchr(challenge->realm, '?') ? '&' : '?';

	str_append(&url, challenge->realm);
	if (challenge->service) {
		add_parameter(&url, separator, "service", challenge->service);
		separator = '&';
	}
	for (size_t i = 0; scopes && scopes[i]; i++) {
		if (!*scopes[i])
			continue;
		add_parameter(&url, separator, "scope", scopes[i]);
		separator = '&';
	}
	if (auth->basic_header) {
		add_parameter(&url, separator, "account", auth->username);
		separator = '&';
	}
	if (auth->basic_header && auth->offline) {
		add_parameter(&url, separator, "client_id", CLIENT_ID);
		add_parameter(&url, '&', "offline_token", "true");
	}
	return str_steal(&url);
}

static char *token_form(const struct http_auth *auth, const char *scope)
{
	cleanup_str struct str form = {0};

	str_append(&form, "grant_type=refresh_token&client_id=" CLIENT_ID);
	if (auth->challenge.service)
		add_parameter(&form, '&', "service", auth->challenge.service);
	if (*scope)
		add_parameter(&form, '&', "scope", scope);
	add_parameter(&form, '&', "refresh_token", auth->identity_token);
	return str_steal(&form);
}

static int take_token(struct http_auth *auth, const char *scope,
		      struct http_response *response, struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *json = NULL;
	const char *token = NULL;
	const char *given = NULL;
	int64_t life = TOKEN_LIFE_S;
	size_t length;
	int r;

	r = http_text(response, FETCH_TOKEN_MAX, &text, &length, err);
	if (r == 0)
		r = json_parse(text, length, "token", &json, err);
	if (r < 0)
		return r;
	if (json_get_string(json, "", "token", &token, NULL) <= 0 || !*token) {
		r = json_get_string(json, "answer", "access_token", &token,
				    err);
		if (r < 0)
			return r;
	}
	if (str_empty(token) || !is_printable(token))
		return err_set(err, ERROR_INVALID,
			       "the answer has no usable token");
	if (auth->offline && !auth->given_token &&
	    json_get_string(json, "", "refresh_token", &given, NULL) > 0 &&
	    *given && is_printable(given))
		auth->given_token = xstrdup(given);
	json_get_i64(json, "", "expires_in", &life, NULL);
	if (life < TOKEN_LIFE_S)
		life = TOKEN_LIFE_S;
	keep_token(auth, scope, token, life);
	return 0;
}

static int check_realm(struct http *http, const char *realm,
		       const char *request_url, struct error *err)
{
	struct url registry;
	struct url url;
	int r;

	if (!realm)
		return err_set(err, ERROR_INVALID, "it names no realm");
	r = url_parse(realm, &url, err);
	if (r == 0)
		r = url_parse(request_url, &registry, err);
	if (r < 0)
		return r;
	if (registry.tls && !url.tls && !http_is_insecure(http))
		return err_set(err, ERROR_PERMISSION,
			       "refused to send credentials without "
			       "encryption to its realm http://%s",
			       url.host);
	return 0;
}

/* Its own words, as if the registry had said them. */
static int denied(struct http_response *response, struct error *err)
{
	cleanup_free char *reason = http_reason(response);

	return http_fail(err, ERROR_PERMISSION, EACCES, "%s", reason);
}

static int ask_for_token(struct http_auth *auth, struct http *http,
			 const char *request_url, const char *scope,
			 struct error *err)
{
	cleanup_free char *form =
		auth->identity_token ? token_form(auth, scope) : NULL;
	cleanup_free char *url = NULL;
	char type[] = "Content-Type: application/x-www-form-urlencoded";
	char *const form_headers[] = {type, NULL};
	const struct http_body body = {
		.bytes = form,
		.size = form ? strlen(form) : 0,
	};
	cleanup_response struct http_response response = {0};
	struct http_request request = {
		.method = "GET",
		.authorization = auth->basic_header,
		.seconds = FETCH_DOCUMENT_S,
	};
	int r = check_realm(http, auth->challenge.realm, request_url, err);

	if (r < 0)
		return r;
	url = form ? xstrdup(auth->challenge.realm) : token_url(auth, scope);
	request.url = url;
	if (form) {
		/* The secret in it is for this server only. */
		request.method = "POST";
		request.authorization = NULL;
		request.headers = form_headers;
		request.body = &body;
		request.no_redirects = true;
	}
	r = http_send(http, &request, &response, err);
	if (r < 0)
		return r;
	if (response.status == 401 || response.status == 403)
		return denied(&response, err);
	if (response.status != 200)
		return http_status_error(&response, "get a token", err);
	return take_token(auth, scope, &response, err);
}

/* Under the lock: the others wait for the same token. */
static int fetch_token(struct http_auth *auth, struct http *http,
		       const char *request_url, const char *scope,
		       struct error *err)
{
	int r = ask_for_token(auth, http, request_url, scope, err);

	if (r >= 0 || r == -EACCES)
		return r;
	return err_wrap(err, "token for %s", *scope ? scope : "the registry");
}

/* ---- requests ---- */

static const char *scope_of(const struct http_auth *auth, const char *scope)
{
	if (scope)
		return scope;
	return auth->challenge.scope ? auth->challenge.scope : "";
}

/* *ret_header: NULL as long as nothing was asked for. Caller frees. */
static int get_header(struct http_auth *auth, struct http *http,
		      const char *url, const char *scope, char **ret_header,
		      struct error *err)
{
	const struct token *token;
	int r;

	*ret_header = NULL;
	if (!*auth->challenge.scheme)
		return 0;
	if (auth->registry_header) {
		*ret_header = xstrdup(auth->registry_header);
		return 0;
	}
	if (str_equal(auth->challenge.scheme, "basic")) {
		*ret_header = xstrdup(auth->basic_header);
		return 0;
	}
	scope = scope_of(auth, scope);
	token = find_token(auth, scope);
	if (!token || token->end - TOKEN_MARGIN_S < now()) {
		r = fetch_token(auth, http, url, scope, err);
		if (r < 0)
			return r;
		token = find_token(auth, scope);
	}
	*ret_header = xstrdup(token->header);
	return 0;
}

/*
 * Takes in what a 401 asks for. 1 when another try may help: nothing was sent,
 * or a token that is no longer good.
 */
static int learn(struct http_auth *auth, const struct http_response *response,
		 const char *sent, const char *scope, struct error *err)
{
	CLEANUP(challenges_release) struct challenges challenges = {0};
	const char *field = http_header(response, "www-authenticate");
	const struct challenge *found;
	struct challenge taken;
	struct token *token;
	int r;

	if (!field)
		return 0;
	r = challenges_parse(field, &challenges, err);
	if (r < 0)
		return err_wrap(err, "WWW-Authenticate of %.256s",
				response->url);
	found = challenges_find(&challenges, "bearer");
	if (!found)
		found = challenges_find(&challenges, "basic");
	if (!found || (str_equal(found->scheme, "basic") &&
		       !auth->basic_header && !auth->registry_header))
		return 0;
	taken = *found;
	challenges.items[found - challenges.items] = (struct challenge){0};
	set_challenge(auth, &taken);
	token = find_token(auth, scope_of(auth, scope));
	/* Another thread may have renewed it meanwhile. */
	if (token && str_equal(token->header, sent))
		drop_token(auth, token);
	return !sent || (str_equal(auth->challenge.scheme, "bearer") &&
			 !auth->registry_header);
}

static int send_once(struct http_auth *auth, struct http *http,
		     const struct http_request *request, const char *scope,
		     char **ret_sent, struct http_response *ret_response,
		     struct error *err)
{
	struct http_request signed_request = *request;
	int r;

	pthread_mutex_lock(&auth->lock);
	r = get_header(auth, http, request->url, scope, ret_sent, err);
	pthread_mutex_unlock(&auth->lock);
	if (r < 0)
		return r;
	signed_request.authorization = *ret_sent;
	return http_send(http, &signed_request, ret_response, err);
}

int http_auth_send(struct http_auth *auth, struct http *http,
		   const struct http_request *request, const char *scope,
		   struct http_response *ret_response, struct error *err)
{
	/* Unasked; with what was asked for; with a token that is new. */
	for (int attempt = 0;; attempt++) {
		cleanup_response struct http_response response = {0};
		cleanup_free char *sent = NULL;
		int r = send_once(auth, http, request, scope, &sent, &response,
				  err);

		if (r < 0)
			return r;
		/* Only the server itself may name a realm for the password,
		   not one that it redirects to. */
		if (response.status == 401 && attempt < 2 &&
		    url_same_origin(response.url, request->url)) {
			pthread_mutex_lock(&auth->lock);
			r = learn(auth, &response, sent, scope, err);
			pthread_mutex_unlock(&auth->lock);
			if (r < 0)
				return r;
			if (r > 0)
				continue;
		}
		*ret_response = response;
		response = (struct http_response){0};
		return 0;
	}
}
