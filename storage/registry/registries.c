#include "storage/registry/registries.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

#define CONCURRENT_MAX 32
#define ENDPOINTS_MAX  32

const struct conf_key registries_conf_keys[] = {
	{"registry", "mirror", CONF_STRING, CONF_NAMED | CONF_REPEATED, 0, 0},
	{"registry", "insecure", CONF_BOOL, CONF_NAMED, 0, 0},
	{"registry", "blocked", CONF_BOOL, CONF_NAMED, 0, 0},
	{"registry", "ca", CONF_PATH, CONF_NAMED, 0, 0},
	{"registry", "cert", CONF_PATH, CONF_NAMED, 0, 0},
	{"registry", "key", CONF_PATH, CONF_NAMED, 0, 0},
	{"transfer", "max-concurrent-downloads", CONF_NUMBER, 0, 1,
	 CONCURRENT_MAX},
	{"transfer", "max-concurrent-uploads", CONF_NUMBER, 0, 1,
	 CONCURRENT_MAX},
	{0},
};

/* What endpoints are made from. */
struct maker {
	const struct conf *conf;
	const char *home;
	struct registry_endpoints *endpoints;
};

static void endpoint_release(struct registry_endpoint *endpoint)
{
	free(endpoint->host);
	free(endpoint->prefix);
	free(endpoint->ca);
	free(endpoint->cert);
	free(endpoint->key);
	free(endpoint->auth_key);
	registry_auth_release(&endpoint->auth);
}

void registry_endpoints_release(struct registry_endpoints *endpoints)
{
	for (size_t i = 0; i < endpoints->count; i++)
		endpoint_release(&endpoints->entries[i]);
	free(endpoints->entries);
	*endpoints = (struct registry_endpoints){0};
}

static struct registry_endpoint *add(struct registry_endpoints *endpoints)
{
	endpoints->entries = xrealloc(endpoints->entries, endpoints->count + 1,
				      sizeof(*endpoints->entries));
	endpoints->entries[endpoints->count] = (struct registry_endpoint){0};
	return &endpoints->entries[endpoints->count++];
}

/* The name without the port, and without an IPv6 address' brackets. */
static char *host_name(const char *host)
{
	const char *end;

	if (host[0] == '[') {
		end = strchr(host, ']');
		return end ? xstrndup(host + 1, (size_t)(end - host - 1))
			   : xstrdup(host);
	}
	end = strchr(host, ':');
	return end ? xstrndup(host, (size_t)(end - host)) : xstrdup(host);
}

bool registry_is_loopback(const char *host)
{
	cleanup_free char *name = host_name(host);
	struct in_addr address;
	struct in6_addr address6;

	if (str_equal(name, "localhost"))
		return true;
	if (inet_pton(AF_INET, name, &address) == 1)
		return ntohl(address.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &address6) == 1 &&
	       IN6_IS_ADDR_LOOPBACK(&address6);
}

static bool port_is_valid(const char *port)
{
	uint64_t number;

	return isdigit((unsigned char)port[0]) &&
	       parse_u64(port, &number) == 0 && number > 0 && number <= 65535;
}

bool registry_host_is_valid(const char *host)
{
	cleanup_free char *name = host_name(host);
	struct in6_addr address;
	const char *rest = host + strlen(name);

	if (host[0] == '[') {
		rest += 2; /* the brackets */
		if (inet_pton(AF_INET6, name, &address) != 1)
			return false;
	} else if (name[0] == '\0' ||
		   name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789.-_")] != '\0') {
		return false;
	}
	return rest[0] == '\0' || (rest[0] == ':' && port_is_valid(rest + 1));
}

/* How long a part of host the section's name matches; 0: it does not. */
static size_t match_length(const char *pattern, const char *host)
{
	cleanup_free char *name = NULL;

	if (str_equal(pattern, host))
		return strlen(host) + 1;
	if (str_equal(pattern, "*"))
		return 1;
	if (!str_starts(pattern, "*."))
		return 0;
	name = host_name(host);
	return str_ends(host, pattern + 1) || str_ends(name, pattern + 1)
		       ? strlen(pattern)
		       : 0;
}

/* The setting of the section that matches the host best and has the key. */
static const struct conf_entry *setting(const struct conf *conf,
					const char *host, const char *key)
{
	const struct conf_entry *best = NULL;
	size_t best_length = 0;

	for (size_t i = 0; i < conf->count; i++) {
		const struct conf_entry *entry = &conf->entries[i];
		size_t length;

		if (!str_equal(entry->key->section, "registry") ||
		    !str_equal(entry->key->key, key))
			continue;
		length = match_length(entry->name, host);
		/* Of the same section the last. */
		if (length > 0 && length >= best_length) {
			best = entry;
			best_length = length;
		}
	}
	return best;
}

static bool setting_bool(const struct conf *conf, const char *host,
			 const char *key)
{
	const struct conf_entry *entry = setting(conf, host, key);

	return entry && entry->number;
}

static char *setting_copy(const struct conf *conf, const char *host,
			  const char *key)
{
	const struct conf_entry *entry = setting(conf, host, key);

	return entry ? xstrdup(entry->value) : NULL;
}

static bool is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The certs.d directory of a host; NULL when there is none. */
static char *certs_find(const char *home, const char *host)
{
	static const char *const names[] = {"moss", "containers", "docker"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path;

		if (home) {
			path = xasprintf("%s/.config/%s/certs.d/%s", home,
					 names[i], host);
			if (is_directory(path))
				return path;
			free(path);
		}
		path = xasprintf("/etc/%s/certs.d/%s", names[i], host);
		if (is_directory(path))
			return path;
		free(path);
	}
	return NULL;
}

/* NAME.cert and NAME.key, the first pair by name. */
static int certs_take_pair(struct registry_endpoint *endpoint,
			   const char *directory, const char *name,
			   struct error *err)
{
	size_t stem = strlen(name) - strlen(".cert");
	cleanup_free char *key =
		xasprintf("%s/%.*s.key", directory, (int)stem, name);
	cleanup_free char *cert = xasprintf("%s/%s", directory, name);
	struct stat status;

	if (endpoint->cert && strcmp(endpoint->cert, cert) < 0)
		return 0;
	if (stat(key, &status) < 0) {
		err_set(err, ERROR_INVALID,
			"missing key %s for client certificate %s", key, cert);
		return err_hint(err, "Certificates to trust end in .crt.");
	}
	free(endpoint->cert);
	free(endpoint->key);
	endpoint->cert = steal_ptr(&cert);
	endpoint->key = steal_ptr(&key);
	return 0;
}

static int certs_read(struct registry_endpoint *endpoint, const char *directory,
		      struct error *err)
{
	cleanup_dir DIR *dir = opendir(directory);
	bool own_cert = endpoint->cert != NULL;
	bool trusts = false;
	struct dirent *entry;
	int r;

	if (!dir)
		return err_errno(err, "cannot open %s", directory);
	while ((entry = readdir(dir))) {
		if (str_ends(entry->d_name, ".crt"))
			trusts = true;
		if (own_cert || !str_ends(entry->d_name, ".cert"))
			continue;
		r = certs_take_pair(endpoint, directory, entry->d_name, err);
		if (r < 0)
			return r;
	}
	if (trusts && !endpoint->ca)
		endpoint->ca = xstrdup(directory);
	return 0;
}

/* What moss.conf and certs.d say of the host called name. */
static int describe(const struct maker *maker,
		    struct registry_endpoint *endpoint, const char *name,
		    struct error *err)
{
	cleanup_free char *directory = NULL;

	endpoint->insecure = setting_bool(maker->conf, name, "insecure");
	endpoint->ca = setting_copy(maker->conf, name, "ca");
	endpoint->cert = setting_copy(maker->conf, name, "cert");
	endpoint->key = setting_copy(maker->conf, name, "key");
	endpoint->scheme =
		endpoint->insecure || registry_is_loopback(endpoint->host)
			? REGISTRY_AUTO
			: REGISTRY_HTTPS;
	directory = certs_find(maker->home, name);
	if (!directory && !str_equal(name, endpoint->host))
		directory = certs_find(maker->home, endpoint->host);
	return directory ? certs_read(endpoint, directory, err) : 0;
}

static int check_blocked(const struct conf *conf, const char *registry,
			 struct error *err)
{
	const struct conf_entry *entry = setting(conf, registry, "blocked");
	cleanup_free char *where = NULL;

	if (!entry || !entry->number)
		return 0;
	where = conf_where(conf, entry);
	return err_set(err, ERROR_PERMISSION,
		       "registry %s is blocked: [registry \"%s\"] in %s",
		       registry, entry->name, where);
}

static int mirror_wrong(const struct maker *maker,
			const struct conf_entry *entry, struct error *err)
{
	cleanup_free char *where = conf_where(maker->conf, entry);

	err_set(err, ERROR_INVALID, "%s: mirror = %s: not a registry's address",
		where, entry->value);
	return err_hint(err, "Write HOST[:PORT][/PREFIX], with https:// or "
			     "http:// before it if need be.");
}

/* A path of plain names: nothing that a URL would read in another way. */
static bool prefix_is_valid(const char *prefix)
{
	return prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789.-_/")] == '\0' &&
	       !strstr(prefix, "..") && !strstr(prefix, "//");
}

static int add_mirror(const struct maker *maker, const struct conf_entry *entry,
		      struct error *err)
{
	struct registry_endpoint *endpoint;
	const char *text = entry->value;
	bool http = str_starts(text, "http://");
	bool https = str_starts(text, "https://");
	size_t length;
	int r;

	text += strlen(http ? "http://" : https ? "https://" : "");
	length = strcspn(text, "/");
	endpoint = add(maker->endpoints);
	endpoint->host = xstrndup(text, length);
	text += length + strspn(text + length, "/");
	length = strlen(text);
	while (length > 0 && text[length - 1] == '/')
		length--;
	endpoint->prefix = xstrndup(text, length);
	endpoint->mirror = true;
	endpoint->auth_key = xstrdup(endpoint->host);
	if (!registry_host_is_valid(endpoint->host) ||
	    !prefix_is_valid(endpoint->prefix) ||
	    maker->endpoints->count >= ENDPOINTS_MAX)
		return mirror_wrong(maker, entry, err);
	r = check_blocked(maker->conf, endpoint->host, err);
	r = r < 0 ? r : describe(maker, endpoint, endpoint->host, err);
	if (r < 0)
		return r;
	if (http)
		endpoint->scheme = REGISTRY_HTTP;
	else if (https)
		endpoint->scheme = REGISTRY_HTTPS;
	return 0;
}

static int add_mirrors(const struct maker *maker, const char *registry,
		       struct error *err)
{
	const struct conf_entry *best =
		setting(maker->conf, registry, "mirror");
	const struct conf_entry *entry;
	size_t index = 0;

	while (best && (entry = conf_next(maker->conf, "registry", best->name,
					  "mirror", &index))) {
		int r = add_mirror(maker, entry, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_itself(const struct maker *maker, const char *registry,
		      struct error *err)
{
	struct registry_endpoint *endpoint = add(maker->endpoints);

	endpoint->host = xstrdup(str_equal(registry, REGISTRY_DOCKER)
					 ? REGISTRY_DOCKER_HOST
					 : registry);
	endpoint->prefix = xstrdup("");
	endpoint->auth_key = xstrdup(registry);
	if (!registry_host_is_valid(endpoint->host))
		return err_set(err, ERROR_INVALID,
			       "%s is not a registry's address", registry);
	return describe(maker, endpoint, registry, err);
}

int registries_endpoints(const struct conf *conf, const char *home,
			 const char *registry, bool for_push,
			 struct registry_endpoints *ret_endpoints,
			 struct error *err)
{
	struct registry_endpoints endpoints = {0};
	struct maker maker = {conf, home, &endpoints};
	int r;

	r = check_blocked(conf, registry, err);
	if (r >= 0 && !for_push)
		r = add_mirrors(&maker, registry, err);
	r = r < 0 ? r : add_itself(&maker, registry, err);
	if (r < 0) {
		registry_endpoints_release(&endpoints);
		return r;
	}
	*ret_endpoints = endpoints;
	return 0;
}

static unsigned int concurrent(const struct conf *conf, const char *key,
			       unsigned int otherwise)
{
	const struct conf_entry *entry = conf_get(conf, "transfer", NULL, key);

	return entry ? (unsigned int)entry->number : otherwise;
}

unsigned int registries_downloads(const struct conf *conf)
{
	return concurrent(conf, "max-concurrent-downloads", REGISTRY_DOWNLOADS);
}

unsigned int registries_uploads(const struct conf *conf)
{
	return concurrent(conf, "max-concurrent-uploads", REGISTRY_UPLOADS);
}
