/*
 * Who we are to a server that asks (WWW-Authenticate): nobody, a user with a
 * password, or the bearer of a token that a token server gives to that user
 * (distribution spec's "token" and docker's OAuth 2 form).
 *
 *   Basic     the password goes to the registry with each request
 *   Bearer    the password, or an identity token, goes to the realm that the
 *             registry names, wherever that is: it is meant to; but never to a
 *             realm without encryption when the registry itself has it. The
 *             token goes to the registry. One is kept for each scope until it
 *             nears its end or is refused.
 *   registry token   goes to the registry as it is
 *
 * Nothing is sent before the server has asked. One struct serves all threads.
 */
#pragma once

#include "base/error.h"
#include "storage/registry/http.h"

struct http_auth;

struct http_credentials {
	const char *username;
	const char *password;
	const char *identity_token;
	const char *registry_token;
	bool offline; /* ask for an identity token as well */
};

/* All may be NULL: nobody. ERROR_INVALID for what no header can hold. */
int http_auth_new(const struct http_credentials *credentials,
		  struct http_auth **ret_auth, struct error *err);
void http_auth_free(struct http_auth *auth);
/* The identity token that a token server gave when asked; NULL: none. */
const char *http_auth_given_token(const struct http_auth *auth);

/*
 * As http_send(), answering a 401 as often as that can help. scope: what is to
 * be done, "repository:NAME:pull", several separated by blanks, or NULL: what
 * the server asks for. A 401 that is left is an answer; a token server's
 * refusal is -EACCES.
 */
int http_auth_send(struct http_auth *auth, struct http *http,
		   const struct http_request *request, const char *scope,
		   struct http_response *ret_response, struct error *err);
