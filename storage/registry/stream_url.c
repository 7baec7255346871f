/* The body of one http(s) answer, for `import URL`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/http.h"
#include "storage/store/limits.h"
#include "storage/tar/stream.h"

struct url_stream {
	struct stream stream;
	struct http *http;
	struct stream *body;
	char *url;
	uint64_t received;
};

bool stream_is_url(const char *source)
{
	return strncasecmp(source, "http://", 7) == 0 ||
	       strncasecmp(source, "https://", 8) == 0;
}

static void url_free(struct stream *stream)
{
	struct url_stream *self = (struct url_stream *)stream;

	stream_free(self->body);
	http_free(self->http);
	free(self->url);
	free(self);
}

static ssize_t url_next(struct stream *stream, const void **ret_bytes,
			struct error *err)
{
	struct url_stream *self = (struct url_stream *)stream;
	ssize_t length = stream_next(self->body, ret_bytes, err);

	if (length < 0) {
		err_wrap(err, "cannot fetch %s: after %llu bytes", self->url,
			 (unsigned long long)self->received);
		return length;
	}
	self->received += (uint64_t)length;
	if (self->received > FETCH_BYTES_MAX)
		return err_set(err, ERROR_INVALID,
			       "cannot fetch %s: larger than %llu bytes",
			       self->url, FETCH_BYTES_MAX);
	return length;
}

static int send_request(struct url_stream *self, uint64_t *ret_total,
			struct error *err)
{
	const struct http_request request = {.method = "GET", .url = self->url};
	cleanup_response struct http_response response = {0};
	cleanup_free char *what = xasprintf("fetch %s", self->url);
	int r = http_new(NULL, &self->http, err);

	if (r < 0)
		return r;
	r = http_send(self->http, &request, &response, err);
	if (r < 0)
		return err_wrap(err, "cannot fetch %s", self->url);
	if (response.status != 200)
		return http_status_error(&response, what, err);
	*ret_total = response.length == UINT64_MAX ? 0 : response.length;
	self->body = http_take_body(&response);
	return 0;
}

int stream_from_url(const char *url, struct stream **ret_stream,
		    uint64_t *ret_total, struct error *err)
{
	struct url_stream *self = xcalloc(1, sizeof(*self));
	int r;

	self->stream = (struct stream){url_next, url_free};
	self->url = xstrdup(url);
	r = send_request(self, ret_total, err);
	if (r < 0) {
		stream_free(&self->stream);
		return r;
	}
	*ret_stream = &self->stream;
	return 0;
}
