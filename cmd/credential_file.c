#include "cmd/credential_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

#define FILE_MODE      0600
#define DIRECTORY_MODE 0700

/* All hosts that mean docker.io. */
static const char *const docker_hosts[] = {
	REGISTRY_DOCKER,
	"index.docker.io",
	REGISTRY_DOCKER_HOST,
};

static const cJSON *member(const cJSON *json, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_member(const cJSON *json, const char *name)
{
	const char *text = cJSON_GetStringValue(member(json, name));

	return str_empty(text) ? NULL : text;
}

const char *credential_key(const char *registry)
{
	return str_equal(registry, REGISTRY_DOCKER) ? REGISTRY_DOCKER_ACCOUNTS
						    : registry;
}

char *credential_registry(const char *text)
{
	cleanup_free char *host = NULL;

	if (str_starts(text, "https://"))
		text += strlen("https://");
	else if (str_starts(text, "http://"))
		text += strlen("http://");
	host = xstrndup(text, strcspn(text, "/"));
	for (size_t i = 0; i < ARRAY_SIZE(docker_hosts); i++)
		if (str_equal(host, docker_hosts[i]))
			return xstrdup(REGISTRY_DOCKER);
	return steal_ptr(&host);
}

/*
 * The registry that a key stands for as a whole; NULL for one that stands for
 * some of its repositories ("quay.io/team").
 */
static char *key_registry(const char *key)
{
	static const char *const paths[] = {"",	    "/",   "/v1",
					    "/v1/", "/v2", "/v2/"};
	const char *path = strstr(key, "://");

	path = strchr(path ? path + strlen("://") : key, '/');
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (str_equal(path ? path : "", paths[i]))
			return credential_registry(key);
	return NULL;
}

/* "docker.io" of "docker.io/library/web". */
static char *name_registry(const char *name)
{
	return xstrndup(name, strcspn(name, "/"));
}

/* The member of an object whose key fits the name best; NULL: none does. */
static const cJSON *find_key(const cJSON *object, const char *name)
{
	cleanup_free char *part = xstrdup(name);
	cleanup_free char *registry = name_registry(name);
	const cJSON *item;
	char *slash;

	while ((slash = strrchr(part, '/'))) {
		item = member(object, part);
		if (item)
			return item;
		*slash = '\0';
	}
	item = member(object, credential_key(registry));
	if (!item)
		item = member(object, registry);
	if (item || !cJSON_IsObject(object))
		return item;
	cJSON_ArrayForEach(item, object)
	{
		cleanup_free char *other = key_registry(item->string);

		if (str_equal(other, registry))
			return item;
	}
	return NULL;
}

/* Not waiting: it could be a named pipe. */
static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

int credential_file_read(const char *path, cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -1;
	size_t length;
	int r;

	fd = open_file(path);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		*ret_json = NULL;
		return 0;
	}
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	r = file_read_fd(fd, path, JSON_FILE_MAX, &text, &length, err);
	if (r < 0)
		return r;
	/* An empty file is one without credentials, as for docker. */
	if (length == 0)
		json = json_object();
	else
		r = json_parse(text, length, path, &json, err);
	explicit_bzero(text, length);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       path);
	*ret_json = steal_ptr(&json);
	return 0;
}

bool credential_file_names_helper(const char *path)
{
	cleanup_fd int fd = open_file(path);
	cleanup_free char *text = NULL;
	bool found;

	if (fd < 0 ||
	    file_read_fd(fd, path, JSON_FILE_MAX, &text, NULL, NULL) < 0)
		return false;
	found = strstr(text, "\"credsStore\"") ||
		strstr(text, "\"credHelpers\"");
	explicit_bzero(text, strlen(text));
	return found;
}

void credential_file_helper(const cJSON *json, const char *name,
			    const char **ret_helper, char **ret_server)
{
	const cJSON *item = find_key(member(json, "credHelpers"), name);
	const char *helper = cJSON_GetStringValue(item);

	*ret_helper = NULL;
	if (!str_empty(helper)) {
		*ret_helper = helper;
		*ret_server = xstrdup(item->string);
		return;
	}
	helper = text_member(json, "credsStore");
	if (helper) {
		cleanup_free char *registry = name_registry(name);

		*ret_helper = helper;
		*ret_server = xstrdup(credential_key(registry));
	}
}

static int decode_auth(const cJSON *entry, const char *text, const char *path,
		       struct registry_auth *auth, struct error *err)
{
	cleanup_free char *bytes = NULL;
	size_t length = 0;
	char *colon = NULL;

	if (base64_decode(text, &bytes, &length) == 0 &&
	    strlen(bytes) == length)
		colon = strchr(bytes, ':');
	if (!colon)
		return err_set(err, ERROR_INVALID,
			       "%s: auths[\"%s\"]: auth is not the base64 form "
			       "of user:password",
			       path, entry->string);
	*colon = '\0';
	auth->username = xstrdup(bytes);
	auth->password = xstrdup(colon + 1);
	explicit_bzero(bytes, length);
	return 0;
}

int credential_file_find(const cJSON *json, const char *path, const char *name,
			 struct registry_auth *ret_auth, struct error *err)
{
	CLEANUP(registry_auth_release) struct registry_auth auth = {0};
	const cJSON *entry = find_key(member(json, "auths"), name);
	const char *text = text_member(entry, "auth");
	int r = 0;

	if (!entry)
		return 0;
	if (text) {
		r = decode_auth(entry, text, path, &auth, err);
		if (r < 0)
			return r;
	} else {
		auth.username = xstrdup(text_member(entry, "username"));
		auth.password = xstrdup(text_member(entry, "password"));
	}
	auth.identity_token = xstrdup(text_member(entry, "identitytoken"));
	auth.registry_token = xstrdup(text_member(entry, "registrytoken"));
	if (registry_auth_is_empty(&auth))
		return 0;
	*ret_auth = auth;
	auth = (struct registry_auth){0};
	return 1;
}

/* Where the file lies, through symbolic links; it need not be there. */
static int resolve(const char *path, char **ret_directory, char **ret_name,
		   struct error *err)
{
	cleanup_free char *real = realpath(path, NULL);
	struct stat status;
	char *slash;

	if (!real && errno != ENOENT)
		return err_errno(err, "cannot find %s", path);
	if (!real && lstat(path, &status) == 0)
		return err_set(err, ERROR_NOT_FOUND,
			       "%s is a symbolic link that leads nowhere",
			       path);
	if (!real)
		real = xstrdup(path);
	slash = strrchr(real, '/');
	*ret_name = xstrdup(slash + 1);
	*slash = '\0';
	*ret_directory = xstrdup(slash == real ? "/" : real);
	return 0;
}

/* The descriptor holds the lock. */
static int lock_directory(const char *path, struct error *err)
{
	cleanup_fd int fd = -1;
	int r;

	r = path_mkdirs(path, DIRECTORY_MODE, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_errno(err, "cannot lock %s", path);
	return steal_fd(&fd);
}

/* As docker writes it, so that taking turns changes nothing but the content. */
static void indent_with_tabs(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		*to++ = *from;
		if (*from++ != '\n')
			continue;
		for (; strncmp(from, "    ", 4) == 0; from += 4)
			*to++ = '\t';
	}
	*to = '\0';
}

int credential_file_change(const char *path, credential_change change,
			   void *data, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_free char *directory = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *text = NULL;
	cleanup_fd int directory_fd = -1;
	struct error error = {0};
	size_t size;
	int r;

	r = resolve(path, &directory, &name, err);
	if (r < 0)
		return r;
	directory_fd = lock_directory(directory, err);
	if (directory_fd < 0)
		return directory_fd;
	r = credential_file_read(path, &json, err);
	if (r < 0)
		return r;
	if (!json)
		json = json_object();
	r = change(json, data, err);
	if (r <= 0)
		return r;
	text = json_print_pretty(json);
	size = strlen(text);
	indent_with_tabs(text);
	r = file_write_atomic_at(directory_fd, name, text, strlen(text),
				 FILE_MODE, 0, &error);
	explicit_bzero(text, size);
	if (r < 0) {
		err_copy(err, &error);
		return err_wrap(err, "cannot save credentials in %s",
				directory);
	}
	return 1;
}

static cJSON *auths_of(cJSON *json)
{
	cJSON *auths = cJSON_GetObjectItemCaseSensitive(json, "auths");

	if (!cJSON_IsObject(auths)) {
		cJSON_DeleteItemFromObjectCaseSensitive(json, "auths");
		auths = json_object();
		json_set(json, "auths", auths);
	}
	return auths;
}

void credential_file_set(cJSON *json, const char *registry,
			 const struct registry_auth *auth)
{
	cJSON *auths = auths_of(json);
	cJSON *entry = json_object();
	const char *key = credential_key(registry);

	if (auth && auth->username) {
		cleanup_free char *plain =
			xasprintf("%s:%s", auth->username,
				  auth->identity_token || !auth->password
					  ? ""
					  : auth->password);
		cleanup_free char *text = base64_encode(plain, strlen(plain));

		json_set_string(entry, "auth", text);
		explicit_bzero(plain, strlen(plain));
		explicit_bzero(text, strlen(text));
	}
	if (auth && auth->identity_token)
		json_set_string(entry, "identitytoken", auth->identity_token);
	cJSON_DeleteItemFromObjectCaseSensitive(auths, key);
	json_set(auths, key, entry);
}

bool credential_file_remove(cJSON *json, const char *registry)
{
	cJSON *auths = cJSON_GetObjectItemCaseSensitive(json, "auths");
	cJSON *item = cJSON_IsObject(auths) ? auths->child : NULL;
	bool removed = false;

	while (item) {
		cJSON *next = item->next;
		cleanup_free char *other = key_registry(item->string);

		if (str_equal(other, registry)) {
			cJSON_Delete(cJSON_DetachItemViaPointer(auths, item));
			removed = true;
		}
		item = next;
	}
	return removed;
}
