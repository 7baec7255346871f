/*
 * The user's credentials for registries, where docker and podman keep them. In
 * this order, the first that has any for the name:
 *
 *     $REGISTRY_AUTH_FILE                          containers' auth.json
 *     $DOCKER_CONFIG/config.json, ~/.docker/config.json
 *     $XDG_RUNTIME_DIR/containers/auth.json
 *     $XDG_CONFIG_HOME/containers/auth.json, ~/.config/containers/auth.json
 *
 * In each a helper goes before what is written down (cmd/credential_helper.h,
 * cmd/credential_file.h). login and logout change docker's config.json.
 *
 * Opened before the user namespace is joined, as helpers have to run outside of
 * it; no file is parsed and no helper run before something is asked for.
 * Secrets are in memory only, which no core file keeps while they are used.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "cmd/command.h"
#include "storage/registry/registries.h"

struct credentials;

/* use: of the command's row. The agent of helpers starts here, when a file
   names any, or could after a login. */
int credentials_open(enum credentials_use use,
		     struct credentials **ret_credentials, struct error *err);
/*
 * Wipes what was read. Until then the process cannot be looked into, in which
 * even its own children fail that have to (/proc/PID/uid_map): nothing but the
 * work that needs the secrets belongs before it.
 */
void credentials_forget(struct credentials *credentials);
/* Ends the agent, too; nothing can be asked after it. */
void credentials_close(struct credentials *credentials);

/*
 * name: "docker.io/library/web", or a registry alone. 1 and *ret_auth, or 0. A
 * file or helper that fails is a warning: the image may be free for all.
 */
int credentials_find(struct credentials *credentials, const char *name,
		     struct registry_auth *ret_auth);
/* Object of AuthConfig objects by name, for core/engine/engine.h; wipe it with
   credentials_wipe(). */
cJSON *credentials_find_all(struct credentials *credentials,
			    char *const *names);
void credentials_wipe(cJSON *json);

/* *ret_file: where the password now stands readable, NULL: nowhere. */
int credentials_store(struct credentials *credentials, const char *registry,
		      const struct registry_auth *auth, char **ret_file,
		      struct error *err);
/* 1, or 0 when there was nothing. */
int credentials_erase(struct credentials *credentials, const char *registry,
		      struct error *err);
