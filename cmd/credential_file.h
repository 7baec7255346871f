/*
 * Files of credentials: docker's config.json and containers' auth.json.
 *
 *     "auths": {KEY: {"auth": base64 of "user:password",
 *                     "identitytoken": …, "registrytoken": …}}
 *     "credHelpers": {KEY: NAME}     the helper of one registry
 *     "credsStore": NAME             the helper of all others
 *
 * A KEY is a registry, "host:5000"; docker.io's is
 * "https://index.docker.io/v1/" in docker's file. Files of long ago have
 * "https://host/v1/". In auth.json it may go on with a part of the repository's
 * name, "quay.io/team"; the longest that fits counts.
 *
 * Writing keeps members that are not known here. The file is replaced as a
 * whole, mode 0600, where a symbolic link leads to; one who writes at a time
 * holds a lock on the directory.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/registry/registries.h"

/* The key of a registry's credentials in docker's file and for helpers. */
const char *credential_key(const char *registry);
/* "host:5000" of "https://host:5000/v2/"; "docker.io" for its hosts. Caller
   frees. */
char *credential_registry(const char *text);

/* *ret_json: an object; NULL when there is no such file. */
int credential_file_read(const char *path, cJSON **ret_json, struct error *err);
/* Says that it names helpers; cheap, and in doubt true. */
bool credential_file_names_helper(const char *path);

/*
 * name: "docker.io/library/web". *ret_helper is NULL when no helper has it,
 * otherwise *ret_server is what it is asked for. Borrowed from json or static;
 * *ret_server also from name.
 */
void credential_file_helper(const cJSON *json, const char *name,
			    const char **ret_helper, char **ret_server);
/* 1 and *ret_auth, 0 when there is none; path is for messages. */
int credential_file_find(const cJSON *json, const char *path, const char *name,
			 struct registry_auth *ret_auth, struct error *err);

/* One change of a file: gets its object, returns 1 when it changed it. */
typedef int (*credential_change)(cJSON *json, void *data, struct error *err);
/* 1 when the file was written, 0 when there was nothing to change. */
int credential_file_change(const char *path, credential_change change,
			   void *data, struct error *err);

/* auth NULL: an empty entry, which says that a helper has it. */
void credential_file_set(cJSON *json, const char *registry,
			 const struct registry_auth *auth);
/* All keys of the registry; true when there was any. */
bool credential_file_remove(cJSON *json, const char *registry);
