/*
 * Uploads of storage/registry/registry.h: a session (POST), then all of the
 * blob in one request (PUT), or in parts (PATCH) and an empty PUT where the
 * blob is very large, the server takes no such requests (413), or an attempt
 * broke off and goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/registry/registry_internal.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define WHOLE_MAX    (1ull << 30)   /* bytes of one request */
#define PART_FIRST   (128ull << 20) /* of a part */
#define PART_LEAST   (4ull << 20)
#define PROGRESS_MIN (1ull << 20) /* makes up for a failure */

struct upload {
	struct registry *registry;
	struct endpoint *endpoint;
	const struct registry_upload *request;
	char *location;	 /* of the session, NULL: none */
	uint64_t offset; /* what the server has */
	uint64_t part;	 /* bytes of a part; 0: all of it at once */
	uint64_t least;	 /* the server's own least size of a part */
	bool mounted;
};

static void upload_release(struct upload *upload)
{
	free(upload->location);
}

/* Where the session goes on; every answer may tell a new place. */
static int take_location(struct upload *upload,
			 const struct http_response *response,
			 struct error *err)
{
	const char *field = http_header(response, "location");
	char *location = NULL;
	bool same_origin;
	int r;

	if (!field)
		return upload->location
			       ? 0
			       : err_set(err, ERROR_INVALID,
					 "%s tells no place to upload to",
					 upload->endpoint->host);
	/* Another server may be named, but none without encryption. */
	r = url_redirect(response->url, field,
			 http_is_insecure(upload->endpoint->http), &location,
			 &same_origin, err);
	if (r < 0)
		return err_wrap(err, "upload to %s", upload->endpoint->host);
	free(upload->location);
	upload->location = location;
	return 0;
}

static int call(struct upload *upload, const struct call *request,
		struct http_response *ret_response, struct error *err)
{
	return endpoint_call(upload->endpoint, request, ret_response, err);
}

/* Mounting needs the right to read there, which may be refused. */
static int post(struct upload *upload, const char *from,
		struct http_response *ret_response, struct error *err)
{
	const char *name = upload->endpoint->name;
	cleanup_str struct str path = {0};
	cleanup_free char *scope = NULL;
	const struct http_body nothing = {.bytes = "", .size = 0};
	struct call request = {.method = "POST", .body = &nothing};

	str_appendf(&path, "/v2/%s/blobs/uploads/", name);
	if (from) {
		str_append(&path, "?mount=");
		url_escape(&path, upload->request->digest);
		str_append(&path, "&from=");
		url_escape(&path, from);
		scope = xasprintf("%s repository:%s:pull",
				  upload->endpoint->scope, from);
	}
	request.path = path.data;
	request.scope = scope;
	return call(upload, &request, ret_response, err);
}

static int begin(struct upload *upload, const char *from, struct error *err)
{
	cleanup_response struct http_response response = {0};
	const char *least;
	int r = post(upload, from, &response, err);

	if (from && (r < 0 || response.status >= 400)) {
		if (r == -ECANCELED)
			return r;
		return begin(upload, NULL, err);
	}
	if (r < 0)
		return r;
	if (response.status == 201) {
		upload->mounted = from != NULL;
		return from ? 1
			    : err_set(err, ERROR_INVALID,
				      "%s has the blob without having got it",
				      upload->endpoint->host);
	}
	if (response.status != 202)
		return endpoint_refused(upload->endpoint, &response,
					"upload to", err);
	least = http_header(&response, "oci-chunk-min-length");
	if (!least || parse_u64(least, &upload->least) < 0)
		upload->least = 0;
	upload->offset = 0;
	return take_location(upload, &response, err);
}

static char *final_url(const struct upload *upload)
{
	cleanup_str struct str url = {0};

	str_append(&url, upload->location);
	str_append(&url,
		   strchr(upload->location, '?') ? "&digest=" : "?digest=");
	url_escape(&url, upload->request->digest);
	return str_steal(&url);
}

static struct http_body body_of(const struct upload *upload, uint64_t size)
{
	return (struct http_body){
		.fd = upload->request->fd,
		.offset = upload->offset,
		.size = size,
		.tap = upload->request->tap,
		.data = upload->request->data,
	};
}

/* The last request, with the bytes that are left or none. */
static int put(struct upload *upload, uint64_t size,
	       struct http_response *ret_response, struct error *err)
{
	cleanup_free char *url = final_url(upload);
	char type[] = "Content-Type: application/octet-stream";
	char *const headers[] = {type, NULL};
	struct http_body body = body_of(upload, size);
	const struct call request = {
		.method = "PUT",
		.path = url,
		.headers = headers,
		.body = &body,
		.once = true,
	};

	if (size == 0)
		body.bytes = "";
	return call(upload, &request, ret_response, err);
}

static int patch(struct upload *upload, uint64_t size,
		 struct http_response *ret_response, struct error *err)
{
	char type[] = "Content-Type: application/octet-stream";
	cleanup_free char *range = xasprintf(
		"Content-Range: %llu-%llu", (unsigned long long)upload->offset,
		(unsigned long long)(upload->offset + size - 1));
	char *const headers[] = {type, range, NULL};
	const struct http_body body = body_of(upload, size);
	const struct call request = {
		.method = "PATCH",
		.path = upload->location,
		.headers = headers,
		.body = &body,
		.once = true,
	};

	return call(upload, &request, ret_response, err);
}

static uint64_t part_size(const struct upload *upload)
{
	uint64_t left = upload->request->size - upload->offset;
	uint64_t part = upload->part;

	if (part < upload->least)
		part = upload->least;
	return part < left ? part : left;
}

/* After a part was taken: what the server says it has now. */
static int advance(struct upload *upload, uint64_t size,
		   const struct http_response *response, struct error *err)
{
	const char *field = http_header(response, "range");
	uint64_t has = upload->offset + size;

	if (field && upload_range(field, &has) < 0)
		has = upload->offset + size;
	if (has > upload->offset + size)
		return err_set(err, ERROR_INVALID,
			       "%s claims to have more than was sent",
			       upload->endpoint->host);
	if (has <= upload->offset)
		return http_fail(err, ERROR_GENERIC, ECONNRESET,
				 "%s took nothing of a part",
				 upload->endpoint->host);
	upload->offset = has;
	return take_location(upload, response, err);
}

static bool is_success(int status)
{
	return status == 201 || status == 202 || status == 204;
}

/*
 * From where the server is to the end. 0 and an answer to the last request
 * that was sent, or an error.
 */
static int send_rest(struct upload *upload, struct http_response *ret_response,
		     struct error *err)
{
	const uint64_t size = upload->request->size;

	if (upload->part == 0 && upload->offset == 0)
		return put(upload, size, ret_response, err);
	while (upload->offset < size) {
		cleanup_response struct http_response response = {0};
		uint64_t part = part_size(upload);
		int r = patch(upload, part, &response, err);

		if (r == 0 && !is_success(response.status)) {
			*ret_response = response;
			response = (struct http_response){0};
			return 0;
		}
		if (r == 0)
			r = advance(upload, part, &response, err);
		if (r < 0)
			return r;
	}
	return put(upload, 0, ret_response, err);
}

/*
 * Asks how far the session is. A session that is gone may have been ended by a
 * last request whose answer was lost: 1 when the blob is there.
 */
static int resume(struct upload *upload, struct error *err)
{
	const struct call request = {
		.method = "GET",
		.path = upload->location,
		.seconds = FETCH_DOCUMENT_S,
	};
	cleanup_response struct http_response response = {0};
	const char *field;
	uint64_t has = 0;
	int r = call(upload, &request, &response, err);

	if (r < 0)
		return r;
	field = http_header(&response, "range");
	if (response.status != 204 && response.status != 200 &&
	    response.status != 202) {
		free(steal_ptr(&upload->location));
		upload->offset = 0;
		return registry_has_blob(upload->registry,
					 upload->request->digest, err);
	}
	if (!field || upload_range(field, &has) < 0 ||
	    has > upload->request->size)
		has = 0;
	upload->offset = has;
	/* The rest in one part, when nobody asked for small ones. */
	if (has > 0 && upload->part == 0)
		upload->part = upload->request->size;
	return take_location(upload, &response, err);
}

/* Smaller requests; false when they are small already. */
static bool shrink(struct upload *upload)
{
	const uint64_t before = upload->part;

	if (before != 0 && part_size(upload) <= PART_LEAST)
		return false;
	upload->part = before == 0 ? PART_FIRST : before / 4;
	while (upload->part > PART_LEAST &&
	       upload->part >= upload->request->size)
		upload->part /= 4;
	if (upload->part < PART_LEAST)
		upload->part = PART_LEAST;
	free(steal_ptr(&upload->location));
	return true;
}

/* 1: it is there. 0: to be tried again after *ret_delay. */
static int attempt(struct upload *upload, unsigned int failures,
		   uint64_t *ret_delay, struct error *err)
{
	cleanup_response struct http_response response = {0};
	int r = 0;

	*ret_delay = 0;
	if (!upload->location)
		r = begin(upload, upload->request->from, err);
	if (r == 0)
		r = send_rest(upload, &response, err);
	else if (r > 0)
		return 1;
	*ret_delay = http_delay(failures, r < 0 ? NULL : &response);
	if (r < 0)
		return http_failure_is_transient(r) && upload->location ? 0 : r;
	if (response.status == 201 || response.status == 204)
		return 1;
	if (response.status == 413 && shrink(upload)) {
		*ret_delay = 0;
		return 0;
	}
	r = endpoint_refused(upload->endpoint, &response, "upload to", err);
	/* 404: the session is gone, or ended by what was sent twice. */
	return http_status_is_transient(response.status) ||
			       response.status == 416 || response.status == 404
		       ? 0
		       : r;
}

int registry_upload_blob(struct registry *registry,
			 const struct registry_upload *request,
			 bool *ret_mounted, struct error *err)
{
	CLEANUP(upload_release)
	struct upload upload = {
		.registry = registry,
		.endpoint = registry_home(registry),
		.request = request,
		.part = request->size > WHOLE_MAX ? PART_FIRST : 0,
	};
	uint64_t good_offset = 0;
	unsigned int failures = 0;

	for (;;) {
		struct error error = {0};
		uint64_t delay;
		int r = attempt(&upload, failures, &delay, &error);

		if (r > 0) {
			*ret_mounted = upload.mounted;
			return 0;
		}
		if (upload.offset >= good_offset + PROGRESS_MIN) {
			good_offset = upload.offset;
			failures = 0;
		}
		if (r == 0 && ++failures >= RETRY_ATTEMPTS)
			r = err_return(&error);
		if (r < 0)
			return err_copy(err, &error);
		r = http_sleep(upload.endpoint->http, delay, err);
		if (r == 0 && upload.location)
			r = resume(&upload, err);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_mounted = false;
			return 0;
		}
	}
}
