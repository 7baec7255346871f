/* Manifests, tags and referrers of storage/registry/registry.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/registry/registry_internal.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"

#define ACCEPT                                                   \
	"Accept: " OCI_INDEX ", " DOCKER_INDEX ", " OCI_MANIFEST \
	", " DOCKER_MANIFEST
#define TAGS_PAGE 1000
#define PAGES_MAX 1000u

void registry_document_release(struct registry_document *document)
{
	free(document->text);
	*document = (struct registry_document){0};
}

/* "application/json; charset=utf-8" without what follows the type. */
static void set_media_type(struct descriptor *descriptor,
			   const struct http_response *response)
{
	const char *field = http_header(response, "content-type");
	size_t length = field ? strcspn(field, "; \t,") : 0;

	if (length > 0 && length < MEDIA_TYPE_MAX)
		snprintf(descriptor->media_type, MEDIA_TYPE_MAX, "%.*s",
			 (int)length, field);
}

/* What the server claims, NULL when it claims nothing that we can check. */
static const char *claimed_digest(const struct http_response *response)
{
	const char *digest = http_header(response, "docker-content-digest");

	return digest && digest_is_valid(digest) ? digest : NULL;
}

static bool is_document_type(const char *media_type)
{
	return str_equal(media_type, OCI_INDEX) ||
	       str_equal(media_type, OCI_MANIFEST) ||
	       str_equal(media_type, DOCKER_INDEX) ||
	       str_equal(media_type, DOCKER_MANIFEST);
}

static void guess_media_type(struct descriptor *descriptor, const cJSON *json)
{
	enum document_kind kind = document_kind(json);

	if (kind == DOCUMENT_INDEX)
		strcpy(descriptor->media_type, OCI_INDEX);
	else if (kind == DOCUMENT_MANIFEST)
		strcpy(descriptor->media_type, OCI_MANIFEST);
}

/*
 * The document's own word for its type counts; a server that calls it another
 * of the types that decide how it is read is lying or confused.
 */
static int check_media_type(struct registry_document *document,
			    const char *reference, struct error *err)
{
	struct descriptor *descriptor = &document->descriptor;
	cleanup_free char *name = xasprintf("manifest %s", reference);
	cleanup_json cJSON *json = NULL;
	const char *own = NULL;
	int r = json_parse(document->text, descriptor->size, name, &json, err);

	if (r < 0)
		return r;
	/* OCI documents need not say, and servers of plain files do not. */
	if (json_get_string(json, "", "mediaType", &own, NULL) <= 0) {
		if (!is_document_type(descriptor->media_type))
			guess_media_type(descriptor, json);
		return 0;
	}
	if (str_equal(own, descriptor->media_type))
		return 0;
	if (is_document_type(descriptor->media_type) ||
	    strlen(own) >= MEDIA_TYPE_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: its media type is \"%.128s\", but the "
			       "registry sent it as \"%s\"",
			       name, own, descriptor->media_type);
	strcpy(descriptor->media_type, own);
	return 0;
}

/* Takes the text, whatever it returns. */
static int take_document(const struct http_response *response, char *text,
			 size_t length, const char *reference,
			 struct registry_document *ret_document,
			 struct error *err)
{
	CLEANUP(registry_document_release)
	struct registry_document document = {.text = text};
	struct descriptor *descriptor = &document.descriptor;
	const char *claimed = claimed_digest(response);
	int r;

	r = hash_bytes(text, length, descriptor->digest, err);
	if (r < 0)
		return r;
	descriptor->size = length;
	set_media_type(descriptor, response);
	if (digest_is_valid(reference) &&
	    !str_equal(reference, descriptor->digest))
		return err_set(err, ERROR_CORRUPT,
			       "wrong digest: the manifest sent for %s is %s",
			       reference, descriptor->digest);
	if (claimed && !str_equal(claimed, descriptor->digest))
		return err_set(err, ERROR_CORRUPT,
			       "wrong digest: the manifest sent as %s is %s",
			       claimed, descriptor->digest);
	r = check_media_type(&document, reference, err);
	if (r < 0)
		return r;
	*ret_document = document;
	document.text = NULL;
	return 0;
}

/* ---- by tag or digest ---- */

struct get_manifest {
	const char *reference;
	struct registry_document *ret_document;
};

/* ret_text NULL: without the body. */
static int call_manifest(struct endpoint *endpoint, const char *method,
			 const char *reference,
			 struct http_response *ret_response, char **ret_text,
			 size_t *ret_length, struct error *err)
{
	cleanup_free char *path =
		xasprintf("/v2/%s/manifests/%s", endpoint->name, reference);
	char accept[] = ACCEPT;
	char *const headers[] = {accept, NULL};
	const struct call call = {
		.method = method,
		.path = path,
		.headers = headers,
		.seconds = FETCH_DOCUMENT_S,
	};

	if (!ret_text)
		return endpoint_call(endpoint, &call, ret_response, err);
	return endpoint_read(endpoint, &call, ret_response, ret_text,
			     ret_length, err);
}

static int get_manifest(struct endpoint *endpoint, void *data,
			struct error *err)
{
	const struct get_manifest *get = data;
	cleanup_response struct http_response response = {0};
	char *text = NULL;
	size_t length;
	int r = call_manifest(endpoint, "GET", get->reference, &response, &text,
			      &length, err);

	if (r < 0)
		return r;
	if (!text)
		return endpoint_refused(endpoint, &response,
					"get the manifest from", err);
	return take_document(&response, text, length, get->reference,
			     get->ret_document, err);
}

int registry_get_manifest(struct registry *registry, const char *reference,
			  struct registry_document *ret_document,
			  struct error *err)
{
	struct get_manifest get = {reference, ret_document};

	return registry_try(registry, get_manifest, &get, err);
}

struct head_manifest {
	const char *reference;
	struct descriptor *ret_descriptor;
};

static int head_manifest(struct endpoint *endpoint, void *data,
			 struct error *err)
{
	const struct head_manifest *head = data;
	cleanup_response struct http_response response = {0};
	struct descriptor descriptor = {0};
	const char *claimed;
	int r = call_manifest(endpoint, "HEAD", head->reference, &response,
			      NULL, NULL, err);

	if (r < 0)
		return r;
	claimed = claimed_digest(&response);
	/* A refusal has no words in an answer to HEAD: GET has. */
	if (response.status != 200 || !claimed)
		return 0;
	strcpy(descriptor.digest, claimed);
	set_media_type(&descriptor, &response);
	descriptor.size = response.length == UINT64_MAX ? 0 : response.length;
	*head->ret_descriptor = descriptor;
	return 1;
}

int registry_head_manifest(struct registry *registry, const char *reference,
			   struct descriptor *ret_descriptor, struct error *err)
{
	struct head_manifest head = {reference, ret_descriptor};

	return registry_try(registry, head_manifest, &head, err);
}

int registry_put_manifest(struct registry *registry, const char *reference,
			  const struct registry_document *document,
			  struct error *err)
{
	const struct descriptor *descriptor = &document->descriptor;
	struct endpoint *endpoint = registry_home(registry);
	cleanup_free char *path =
		xasprintf("/v2/%s/manifests/%s", endpoint->name, reference);
	cleanup_free char *type =
		xasprintf("Content-Type: %s", descriptor->media_type);
	char *const headers[] = {type, NULL};
	const struct http_body body = {
		.bytes = document->text,
		.size = descriptor->size,
	};
	const struct call call = {
		.method = "PUT",
		.path = path,
		.headers = headers,
		.body = &body,
	};
	cleanup_response struct http_response response = {0};
	const char *claimed;
	int r = endpoint_call(endpoint, &call, &response, err);

	if (r < 0)
		return r;
	if (response.status != 201 && response.status != 200 &&
	    response.status != 202 && response.status != 204)
		return endpoint_refused(endpoint, &response,
					"put the manifest to", err);
	claimed = claimed_digest(&response);
	if (claimed && !str_equal(claimed, descriptor->digest))
		return err_set(err, ERROR_CORRUPT,
			       "the registry stored manifest %s as %s",
			       descriptor->digest, claimed);
	return 0;
}

/* ---- tags ---- */

static int add_tags(const char *text, size_t length, char ***tags,
		    struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **page = NULL;
	int r = json_parse(text, length, "tags", &json, err);

	if (r == 0)
		r = json_get_strv(json, "tags", "tags", &page, err);
	if (r < 0)
		return r;
	for (size_t i = 0; page && page[i]; i++) {
		if (strv_length(*tags) >= REGISTRY_TAGS_MAX)
			return err_set(err, ERROR_INVALID, "more than %u tags",
				       REGISTRY_TAGS_MAX);
		strv_push(tags, page[i]);
	}
	return 0;
}

/* The next page is at the same server, or there is none. */
static int next_page(const struct endpoint *endpoint,
		     const struct http_response *response, char **ret_url,
		     struct error *err)
{
	const char *field = http_header(response, "link");
	cleanup_free char *target = field ? link_next(field) : NULL;
	cleanup_free char *url = NULL;
	int r;

	*ret_url = NULL;
	if (!target)
		return 0;
	r = url_resolve(response->url, target, &url, err);
	if (r < 0)
		return r;
	if (!url_same_origin(endpoint->base, url))
		return err_set(err, ERROR_PERMISSION,
			       "its list of tags goes on at another server, "
			       "%.256s",
			       url);
	*ret_url = steal_ptr(&url);
	return 0;
}

static int list_tags(struct endpoint *endpoint, void *data, struct error *err)
{
	cleanup_free char *url =
		xasprintf("/v2/%s/tags/list?n=%d", endpoint->name, TAGS_PAGE);
	cleanup_strv char **tags = NULL;

	for (size_t page = 0; url; page++) {
		const struct call call = {
			.method = "GET",
			.path = url,
			.seconds = FETCH_DOCUMENT_S,
		};
		cleanup_response struct http_response response = {0};
		cleanup_free char *text = NULL;
		char *next = NULL;
		size_t length;
		int r;

		if (page >= PAGES_MAX)
			return err_set(err, ERROR_INVALID,
				       "more than %u pages of tags", PAGES_MAX);
		r = endpoint_read(endpoint, &call, &response, &text, &length,
				  err);
		if (r < 0)
			return r;
		if (!text)
			return endpoint_refused(endpoint, &response,
						"list the tags at", err);
		r = add_tags(text, length, &tags, err);
		if (r == 0)
			r = next_page(endpoint, &response, &next, err);
		if (r < 0)
			return r;
		free(url);
		url = next;
	}
	*(char ***)data = steal_ptr(&tags);
	return 0;
}

int registry_list_tags(struct registry *registry, char ***ret_tags,
		       struct error *err)
{
	return registry_try(registry, list_tags, ret_tags, err);
}

/* ---- referrers ---- */

static bool is_index(const struct registry_document *document)
{
	cleanup_json cJSON *json = NULL;

	return json_parse(document->text, document->descriptor.size, "index",
			  &json, NULL) == 0 &&
	       document_kind(json) == DOCUMENT_INDEX;
}

/* 1, 0. */
static int get_index(struct endpoint *endpoint, const char *path,
		     struct registry_document *ret_document, struct error *err)
{
	char accept[] = "Accept: " OCI_INDEX;
	char *const headers[] = {accept, NULL};
	const struct call call = {
		.method = "GET",
		.path = path,
		.headers = headers,
		.seconds = FETCH_EXTRA_S,
		.once = true,
	};
	CLEANUP(registry_document_release)
	struct registry_document document = {0};
	cleanup_response struct http_response response = {0};
	char *text = NULL;
	size_t length;
	int r = endpoint_read(endpoint, &call, &response, &text, &length, err);

	if (r < 0)
		return r;
	if (!text)
		return 0;
	r = take_document(&response, text, length, "referrers", &document, err);
	if (r < 0)
		return r;
	if (!is_index(&document))
		return 0;
	*ret_document = document;
	document.text = NULL;
	return 1;
}

int registry_get_referrers(struct registry *registry, const char *digest,
			   struct registry_document *ret_document,
			   struct error *err)
{
	struct endpoint *endpoint =
		&registry->endpoints[atomic_load(&registry->current)];
	cleanup_free char *path =
		xasprintf("/v2/%s/referrers/%s", endpoint->name, digest);
	cleanup_free char *tag = xasprintf("/v2/%s/manifests/sha256-%s",
					   endpoint->name, digest_hex(digest));
	int r = get_index(endpoint, path, ret_document, err);

	return r != 0 ? r : get_index(endpoint, tag, ret_document, err);
}
