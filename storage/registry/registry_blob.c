/*
 * Blobs of storage/registry/registry.h that are read: a stream that outlives
 * broken connections, expired tokens, redirects that ran out and a mirror that
 * goes away.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/registry/registry_internal.h"
#include "storage/store/limits.h"
#include "storage/tar/hash.h"

/* So much of progress makes up for a failure. */
#define PROGRESS_BYTES (1u << 20)

struct blob_stream {
	struct stream stream;
	struct registry *registry;
	struct descriptor descriptor;
	size_t endpoint;      /* index of the one that is asked */
	struct stream *body;  /* NULL: to be opened */
	uint64_t skip;	      /* of the body, which began too early */
	uint64_t offset;      /* handed out */
	uint64_t good_offset; /* when attempts were counted last */
	unsigned int attempts;
};

static int bad_size(const struct blob_stream *self, uint64_t size,
		    struct error *err)
{
	return err_set(err, ERROR_CORRUPT,
		       "wrong size: %s sends %llu bytes, not %llu",
		       self->registry->endpoints[self->endpoint].host,
		       (unsigned long long)size,
		       (unsigned long long)self->descriptor.size);
}

/* A minute without a byte counts twice. */
static void count_silence(struct blob_stream *self, ssize_t r)
{
	if (r == -ETIMEDOUT)
		self->attempts++;
}

/* Where the body begins, and whether it is as long as it should be. */
static int check_body(struct blob_stream *self,
		      const struct http_response *response, struct error *err)
{
	const char *field = http_header(response, "content-range");
	uint64_t first = 0;
	uint64_t last;
	uint64_t total = response->length;

	if (response->status == 206) {
		if (!field || content_range(field, &first, &last, &total) < 0 ||
		    first > self->offset)
			return err_set(
				err, ERROR_INVALID,
				"%s answers with the wrong part of the "
				"blob",
				self->registry->endpoints[self->endpoint].host);
	}
	if (total != UINT64_MAX && total != self->descriptor.size)
		return bad_size(self, total, err);
	self->skip = self->offset - first;
	return 0;
}

/*
 * Asks the present endpoint for what is missing. 0; 1 when it may help to ask
 * again; error. *ret_delay: how long to wait before that.
 */
static int open_body(struct blob_stream *self, uint64_t *ret_delay,
		     struct error *err)
{
	struct endpoint *endpoint = &self->registry->endpoints[self->endpoint];
	cleanup_free char *path = xasprintf("/v2/%s/blobs/%s", endpoint->name,
					    self->descriptor.digest);
	cleanup_free char *range = xasprintf("Range: bytes=%llu-",
					     (unsigned long long)self->offset);
	char *const headers[] = {self->offset > 0 ? range : NULL, NULL};
	const struct call call = {
		.method = "GET",
		.path = path,
		.headers = headers,
		.once = true,
	};
	cleanup_response struct http_response response = {0};
	int r = endpoint_call(endpoint, &call, &response, err);

	*ret_delay = http_delay(self->attempts, r < 0 ? NULL : &response);
	count_silence(self, r);
	if (r < 0)
		return http_failure_is_transient(r) ? 1 : r;
	if (response.status != 200 && response.status != 206) {
		bool again = http_status_is_transient(response.status);

		r = endpoint_refused(endpoint, &response, "get a blob from",
				     err);
		return again ? 1 : r;
	}
	r = check_body(self, &response, err);
	if (r == 0)
		self->body = http_take_body(&response);
	return r;
}

/* The next endpoint, if there is one. */
static bool move_on(struct blob_stream *self)
{
	if (self->endpoint + 1 >= self->registry->count)
		return false;
	self->endpoint++;
	self->attempts = 0;
	return true;
}

/* May it be tried again after a failure? Waits, or moves to another server. */
static int recover(struct blob_stream *self, uint64_t delay, struct error *err)
{
	struct endpoint *endpoint = &self->registry->endpoints[self->endpoint];

	if (self->offset - self->good_offset >= PROGRESS_BYTES) {
		self->good_offset = self->offset;
		self->attempts = 0;
	}
	if (++self->attempts >= RETRY_ATTEMPTS)
		return move_on(self) ? 0 : err_return(err);
	return http_sleep(endpoint->http, delay, err);
}

static int reopen(struct blob_stream *self, struct error *err)
{
	while (!self->body) {
		uint64_t delay = 0;
		int r = open_body(self, &delay, err);

		if (r == -ECANCELED)
			return r;
		if (r > 0)
			r = recover(self, delay, err);
		else if (r < 0 && move_on(self))
			r = 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* A piece of the body, -errno, or 0 when it ended. */
static ssize_t read_body(struct blob_stream *self, const void **ret_bytes,
			 struct error *err)
{
	ssize_t length;

	while ((length = stream_next(self->body, ret_bytes, err)) > 0) {
		if ((uint64_t)length > self->skip)
			break;
		self->skip -= (uint64_t)length;
	}
	if (length <= 0)
		return length;
	*ret_bytes = (const char *)*ret_bytes + self->skip;
	length -= (ssize_t)self->skip;
	self->skip = 0;
	return length;
}

static int broken_off(struct blob_stream *self, ssize_t r, struct error *err)
{
	struct endpoint *endpoint = &self->registry->endpoints[self->endpoint];

	stream_free(steal_ptr(&self->body));
	count_silence(self, r);
	if (r == 0)
		http_fail(err, ERROR_GENERIC, ECONNRESET,
			  "%s sent only %llu of %llu bytes", endpoint->host,
			  (unsigned long long)self->offset,
			  (unsigned long long)self->descriptor.size);
	else if (!http_failure_is_transient((int)r))
		return (int)r;
	return recover(self, http_delay(self->attempts, NULL), err);
}

static ssize_t blob_next(struct stream *stream, const void **ret_bytes,
			 struct error *err)
{
	struct blob_stream *self = (struct blob_stream *)stream;

	while (self->offset < self->descriptor.size) {
		ssize_t length;
		int r = reopen(self, err);

		if (r < 0)
			return r;
		length = read_body(self, ret_bytes, err);
		if (length <= 0) {
			r = broken_off(self, length, err);
			if (r < 0)
				return r;
			continue;
		}
		if ((uint64_t)length > self->descriptor.size - self->offset)
			return bad_size(self, self->offset + (uint64_t)length,
					err);
		self->offset += (uint64_t)length;
		return length;
	}
	return 0;
}

static void blob_free(struct stream *stream)
{
	struct blob_stream *self = (struct blob_stream *)stream;

	stream_free(self->body);
	free(self);
}

int registry_open_blob(struct registry *registry,
		       const struct descriptor *descriptor,
		       struct stream **ret_stream, struct error *err)
{
	struct blob_stream *self = xcalloc(1, sizeof(*self));
	int r;

	self->stream = (struct stream){blob_next, blob_free};
	self->registry = registry;
	self->descriptor = *descriptor;
	self->endpoint = atomic_load(&registry->current);
	r = reopen(self, err);
	if (r < 0) {
		stream_free(&self->stream);
		return r;
	}
	*ret_stream = &self->stream;
	return 0;
}

int registry_read_blob(struct registry *registry,
		       const struct descriptor *descriptor, char **ret_text,
		       struct error *err)
{
	cleanup_stream struct stream *stream = NULL;
	cleanup_str struct str text = {0};
	char digest[DIGEST_TEXT_MAX];
	const void *bytes;
	ssize_t length;
	int r;

	if (descriptor->size > FETCH_TEXT_MAX)
		return err_set(err, ERROR_INVALID, "it is larger than %u bytes",
			       FETCH_TEXT_MAX);
	r = registry_open_blob(registry, descriptor, &stream, err);
	if (r < 0)
		return r;
	while ((length = stream_next(stream, &bytes, err)) > 0)
		str_append_bytes(&text, bytes, (size_t)length);
	if (length < 0)
		return (int)length;
	r = hash_bytes(str_text(&text), text.length, digest, err);
	if (r < 0)
		return r;
	if (!str_equal(digest, descriptor->digest))
		return err_set(err, ERROR_CORRUPT,
			       "wrong digest: it is %s, not %s", digest,
			       descriptor->digest);
	*ret_text = str_steal(&text);
	return 0;
}

int registry_has_blob(struct registry *registry, const char *digest,
		      struct error *err)
{
	struct endpoint *endpoint = registry_home(registry);
	cleanup_free char *path =
		xasprintf("/v2/%s/blobs/%s", endpoint->name, digest);
	const struct call call = {
		.method = "HEAD",
		.path = path,
		.seconds = FETCH_DOCUMENT_S,
	};
	cleanup_response struct http_response response = {0};
	int r = endpoint_call(endpoint, &call, &response, err);

	if (r < 0)
		return r;
	if (response.status == 200)
		return 1;
	if (response.status == 404)
		return 0;
	return endpoint_refused(endpoint, &response, "look for a blob at", err);
}
