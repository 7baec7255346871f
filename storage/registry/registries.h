/*
 * Registries: where the images of a name are asked for, in which order, and
 * what is known about each host. From moss.conf (base/conf.h):
 *
 *     [registry "docker.io"]          the name in image references; "*" and
 *                                     "*.example.com" stand for many, at any
 *                                     port; the longest match wins key by key
 *         mirror = [http(s)://]HOST[:PORT][/PREFIX]    asked first, in order
 *         insecure = true             http, or https without checking names
 *         blocked = true              nothing is asked there
 *         ca = FILE                   certificates to trust, cert and key
 *         cert = FILE                 to show one of one's own
 *         key = FILE
 *     [transfer]
 *         max-concurrent-downloads = 3    layers at a time
 *         max-concurrent-uploads = 5
 *
 * and from certs.d directories as docker and podman have them: the first that
 * exists of ~/.config/moss, /etc/moss, ~/.config/containers, /etc/containers,
 * ~/.config/docker, /etc/docker, below them certs.d/HOST[:PORT] with *.crt to
 * trust and NAME.cert with NAME.key to show.
 *
 * A host that is this machine (localhost, 127.0.0.0/8, ::1) and an insecure one
 * may speak http: https is tried first. A mirror's host has its own section,
 * certs.d and credentials; nothing of the registry it mirrors goes there.
 *
 * Endpoints cross to the helper program moss-image as JSON:
 *
 *     {"host": "localhost:5000", "scheme": "https" | "http" | "auto",
 *      "prefix": "", "insecure": false, "ca": null, "cert": null, "key": null,
 *      "mirror": false, "auth": {"username": …}}
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/conf.h"
#include "base/error.h"
#include "storage/store/reference.h"

#define REGISTRY_DOCKER	     "docker.io"
#define REGISTRY_DOCKER_HOST "registry-1.docker.io"
/* What docker keeps the credentials of its own registry under. */
#define REGISTRY_DOCKER_ACCOUNTS "https://index.docker.io/v1/"

#define REGISTRY_DOWNLOADS 3 /* layers at a time, when nobody said */
#define REGISTRY_UPLOADS   5

/* The rows of [registry] and [transfer]. */
extern const struct conf_key registries_conf_keys[];

/* How to introduce oneself; members are NULL when they are not known. */
struct registry_auth {
	char *username;
	char *password;
	char *identity_token; /* an OAuth 2 refresh token */
	char *registry_token; /* a bearer token as it is */
};

enum registry_scheme {
	REGISTRY_HTTPS,
	REGISTRY_HTTP,
	REGISTRY_AUTO, /* https, and http when that is not spoken there */
};

struct registry_endpoint {
	char *host; /* with the port, where one was written */
	enum registry_scheme scheme;
	char *prefix;	/* path before the repository, "" or "a/b" */
	bool insecure;	/* certificates are not checked */
	char *ca;	/* file, or directory with *.crt; NULL: the system's */
	char *cert;	/* file; NULL: none */
	char *key;	/* file; NULL: none, or in cert */
	bool mirror;	/* not the registry itself: failing, ask the next */
	char *auth_key; /* what credentials are kept under: the host, or
			   "docker.io" for its own; not in the JSON */
	struct registry_auth auth;
};

struct registry_endpoints {
	struct registry_endpoint *entries; /* in order; the last is the registry
					      itself */
	size_t count;
};

/*
 * Where to ask for images of that registry ("docker.io", "localhost:5000").
 * for_push: the registry alone. home: for certs.d, NULL when there is none.
 * ERROR_PERMISSION for a blocked one, with the place of the rule.
 */
int registries_endpoints(const struct conf *conf, const char *home,
			 const char *registry, bool for_push,
			 struct registry_endpoints *ret_endpoints,
			 struct error *err);
void registry_endpoints_release(struct registry_endpoints *endpoints);

/* The JSON form, both ways. A host or scheme that cannot be is refused. */
cJSON *registry_endpoints_to_json(const struct registry_endpoints *endpoints);
int registry_endpoints_from_json(const cJSON *array,
				 struct registry_endpoints *ret_endpoints,
				 struct error *err);

/* "username", "password", "identitytoken", "registrytoken"; absent ones stay
   NULL. json NULL: all of them. */
int registry_auth_from_json(const cJSON *json, struct registry_auth *ret_auth,
			    struct error *err);
cJSON *registry_auth_to_json(const struct registry_auth *auth);
/* Wipes before it frees. */
void registry_auth_release(struct registry_auth *auth);
bool registry_auth_is_empty(const struct registry_auth *auth);

/* From [transfer], or the default. */
unsigned int registries_downloads(const struct conf *conf);
unsigned int registries_uploads(const struct conf *conf);

/* The member RegistryConfig of docker's SystemInfo. */
cJSON *registries_info(const struct conf *conf);

/* localhost, 127.0.0.0/8 or ::1, with or without a port. */
bool registry_is_loopback(const char *host);
/* "host", "host:port", "[::1]:port": nothing that could be more of a URL. */
bool registry_host_is_valid(const char *host);
