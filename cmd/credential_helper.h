/*
 * Credential helpers: programs docker-credential-NAME that keep passwords in a
 * keychain (docker-credential-helpers' protocol). The verb is the argument, the
 * rest goes through pipes:
 *
 *     get     stdin: the server      stdout: {"Username": …, "Secret": …}
 *     store   stdin: {"ServerURL": …, "Username": …, "Secret": …}
 *     erase   stdin: the server
 *
 * A failed one says why on stdout. It may ask the user first, so it has time;
 * what it answers is bounded and checked all the same.
 *
 * Keychains speak through D-Bus, whose peers must have the user's own UID. A
 * process in moss's user namespace has it no more, so helpers are run by an
 * agent: a child of moss that is forked before the namespace is joined, and
 * that ends when its socket is closed.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/registry/registries.h"

#define CREDENTIAL_HELPER_MS 120000 /* for a user to find the PIN */

enum credential_verb {
	CREDENTIAL_GET,
	CREDENTIAL_STORE,
	CREDENTIAL_ERASE,
};

struct credential_request {
	enum credential_verb verb;
	const char *helper;   /* NAME */
	const char *server;   /* "https://index.docker.io/v1/" */
	const char *username; /* of CREDENTIAL_STORE, as the next */
	const char *secret;
};

/*
 * Runs the helper. 1, and for CREDENTIAL_GET *ret_auth; 0 when it has none for
 * the server.
 */
int credential_helper_run(const struct credential_request *request,
			  unsigned int timeout_ms,
			  struct registry_auth *ret_auth, struct error *err);

struct credential_agent {
	int fd; /* -1: there is none */
	pid_t pid;
};

int credential_agent_start(struct credential_agent *ret_agent,
			   struct error *err);
/* As credential_helper_run(), in the agent. */
int credential_agent_ask(const struct credential_agent *agent,
			 const struct credential_request *request,
			 struct registry_auth *ret_auth, struct error *err);
void credential_agent_stop(struct credential_agent *agent);
