#include "storage/store/reference.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/digest.h"

#define DEFAULT_REGISTRY "docker.io"
#define LEGACY_REGISTRY	 "index.docker.io"
#define OFFICIAL_PREFIX	 "library/"
#define DEFAULT_TAG	 "latest"
#define TAG_MAX		 128
#define NAME_MAX_BYTES	 255

static int invalid(struct error *err, const char *text)
{
	err_set(err, ERROR_INVALID, "invalid reference format");
	return err_hint(err,
			"\"%.128s\" should look like name[:tag], for example "
			"web:1.2 or registry.example.com/team/web",
			text);
}

static bool is_alnum(char c)
{
	return isalnum((unsigned char)c) != 0 && (unsigned char)c < 0x80;
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of the separator at text inside a path component, 0 for none. */
static size_t separator_length(const char *text)
{
	if (*text == '.')
		return 1;
	if (*text == '_')
		return text[1] == '_' ? 2 : 1;
	return strspn(text, "-");
}

static bool component_is_valid(const char *text)
{
	if (!is_lower_alnum(*text))
		return false;
	while (*text) {
		size_t separator;

		while (is_lower_alnum(*text))
			text++;
		if (!*text)
			return true;
		separator = separator_length(text);
		if (separator == 0 || !is_lower_alnum(text[separator]))
			return false;
		text += separator;
	}
	return true;
}

static bool path_is_valid(const char *path)
{
	cleanup_strv char **components = strv_split(path, '/');

	for (size_t i = 0; components && components[i]; i++) {
		if (!component_is_valid(components[i]))
			return false;
	}
	return components && components[0];
}

/* "[::1]": the grammar wants hex digits and colons only. */
static const char *skip_ipv6(const char *text)
{
	size_t length = strspn(text + 1, "0123456789abcdefABCDEF:");

	return length > 0 && text[1 + length] == ']' ? text + 2 + length : NULL;
}

static const char *skip_host(const char *text)
{
	if (*text == '[')
		return skip_ipv6(text);
	for (;;) {
		const char *start = text;

		while (is_alnum(*text) || *text == '-')
			text++;
		if (text == start || *start == '-' || text[-1] == '-')
			return NULL;
		if (*text != '.')
			return text;
		text++;
	}
}

static bool registry_is_valid(const char *text)
{
	const char *end = skip_host(text);
	size_t digits;

	if (!end)
		return false;
	if (!*end)
		return true;
	digits = strspn(end + 1, "0123456789");
	return *end == ':' && digits > 0 && !end[1 + digits];
}

static bool tag_is_valid(const char *tag)
{
	size_t length = strlen(tag);

	if (length == 0 || length > TAG_MAX || !(is_alnum(*tag) || *tag == '_'))
		return false;
	for (size_t i = 1; i < length; i++) {
		if (!is_alnum(tag[i]) && !strchr("_.-", tag[i]))
			return false;
	}
	return true;
}

static bool has_upper(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] >= 'A' && text[i] <= 'Z')
			return true;
	}
	return false;
}

/* Cuts the registry off *text; docker's rule for what counts as one. */
static char *split_registry(const char **text)
{
	const char *slash = strchr(*text, '/');
	size_t length = slash ? (size_t)(slash - *text) : 0;
	char *registry;

	if (!slash ||
	    (!memchr(*text, '.', length) && !memchr(*text, ':', length) &&
	     !has_upper(*text, length) &&
	     !(length == strlen("localhost") &&
	       memcmp(*text, "localhost", length) == 0)))
		return xstrdup(DEFAULT_REGISTRY);
	registry = xstrndup(*text, length);
	*text = slash + 1;
	if (str_equal(registry, LEGACY_REGISTRY)) {
		free(registry);
		return xstrdup(DEFAULT_REGISTRY);
	}
	return registry;
}

static int check_digest(const char *digest, const char *text, struct error *err)
{
	const char *colon = strchr(digest, ':');

	if (digest_is_valid(digest))
		return 0;
	if (!colon || colon == digest)
		return invalid(err, text);
	if (!str_starts(digest, DIGEST_PREFIX))
		return err_set(err, ERROR_UNSUPPORTED,
			       "unsupported digest algorithm in \"%s\"", text);
	if (strlen(digest_hex(digest)) != DIGEST_HEX)
		return err_set(err, ERROR_INVALID,
			       "invalid checksum digest length in \"%s\"",
			       text);
	return invalid(err, text);
}

static int check_name(const char *registry, const char *path, const char *text,
		      struct error *err)
{
	if (has_upper(path, strlen(path)))
		return err_set(err, ERROR_INVALID,
			       "invalid reference format: repository name "
			       "(%s) must be lowercase",
			       path);
	if (!registry_is_valid(registry) || !path_is_valid(path))
		return invalid(err, text);
	if (strlen(registry) + 1 + strlen(path) > NAME_MAX_BYTES)
		return err_set(err, ERROR_INVALID,
			       "repository name must not be more than %d "
			       "characters",
			       NAME_MAX_BYTES);
	return 0;
}

int reference_parse(const char *text, struct reference *ret_reference,
		    struct error *err)
{
	const char *rest = text;
	cleanup_free char *registry = NULL;
	cleanup_free char *name = NULL;
	cleanup_free char *path = NULL;
	char *digest;
	char *tag;
	int r;

	if (strlen(text) > REFERENCE_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid reference format: longer than %d bytes",
			       REFERENCE_MAX);
	if (strlen(text) == DIGEST_HEX && digest_is_hex(text, DIGEST_HEX))
		return err_set(err, ERROR_INVALID,
			       "invalid repository name (%s), cannot specify "
			       "64-byte hexadecimal strings",
			       text);
	registry = split_registry(&rest);
	name = xstrdup(rest);
	digest = strchr(name, '@');
	if (digest)
		*digest++ = '\0';
	tag = strchr(name, ':');
	if (tag)
		*tag++ = '\0';
	path = xasprintf("%s%s",
			 str_equal(registry, DEFAULT_REGISTRY) &&
					 !strchr(name, '/')
				 ? OFFICIAL_PREFIX
				 : "",
			 name);
	r = check_name(registry, path, text, err);
	if (r < 0)
		return r;
	if (tag && !tag_is_valid(tag))
		return invalid(err, text);
	r = digest ? check_digest(digest, text, err) : 0;
	if (r < 0)
		return r;

	*ret_reference = (struct reference){0};
	strcpy(ret_reference->registry, registry);
	strcpy(ret_reference->repository, path);
	if (tag || !digest)
		strcpy(ret_reference->tag, tag ? tag : DEFAULT_TAG);
	if (digest)
		strcpy(ret_reference->digest, digest);
	return 0;
}

bool reference_is_name_only(const char *text)
{
	const char *slash = strrchr(text, '/');

	return !strchr(text, '@') && !strchr(slash ? slash : text, ':');
}

static char *with_suffix(char *name, const struct reference *reference)
{
	char *text = xasprintf("%s%s%s%s%s", name, *reference->tag ? ":" : "",
			       reference->tag, *reference->digest ? "@" : "",
			       reference->digest);

	free(name);
	return text;
}

char *reference_full(const struct reference *reference)
{
	return with_suffix(
		xasprintf("%s/%s", reference->registry, reference->repository),
		reference);
}

char *reference_familiar_name(const struct reference *reference)
{
	const char *repository = reference->repository;

	if (!str_equal(reference->registry, DEFAULT_REGISTRY))
		return xasprintf("%s/%s", reference->registry, repository);
	if (str_starts(repository, OFFICIAL_PREFIX) &&
	    !strchr(repository + strlen(OFFICIAL_PREFIX), '/'))
		repository += strlen(OFFICIAL_PREFIX);
	return xstrdup(repository);
}

char *reference_familiar(const struct reference *reference)
{
	return with_suffix(reference_familiar_name(reference), reference);
}

char *reference_shorten(const char *full)
{
	struct reference reference;

	if (reference_parse(full, &reference, NULL) < 0)
		return xstrdup(full);
	return reference_familiar(&reference);
}
