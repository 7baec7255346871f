/* Bodies of http(s) answers, through libcurl, read at the reader's pace. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/limits.h"
#include "storage/stream.h"

#define POLL_MS	       1000
#define HTTP_ERROR_MIN 400

struct url_stream {
	struct stream stream;
	CURLM *multi;
	CURL *easy;
	char *url;
	char error[CURL_ERROR_SIZE];
	struct str buffer; /* received, not handed out yet */
	struct str given;  /* what the reader has */
	uint64_t received;
	bool too_large;
	bool done;
	CURLcode result;
};

bool stream_is_url(const char *source)
{
	return strncasecmp(source, "http://", 7) == 0 ||
	       strncasecmp(source, "https://", 8) == 0;
}

static void url_free(struct stream *stream)
{
	struct url_stream *self = (struct url_stream *)stream;

	if (self->multi && self->easy)
		curl_multi_remove_handle(self->multi, self->easy);
	curl_easy_cleanup(self->easy);
	curl_multi_cleanup(self->multi);
	str_release(&self->buffer);
	str_release(&self->given);
	free(self->url);
	free(self);
}

static size_t receive(char *bytes, size_t size, size_t count, void *data)
{
	struct url_stream *self = data;

	self->received += size * count;
	if (self->received > FETCH_BYTES_MAX) {
		self->too_large = true;
		return 0;
	}
	str_append_bytes(&self->buffer, bytes, size * count);
	return size * count;
}

static int failed(const struct url_stream *self, struct error *err)
{
	const char *why =
		*self->error ? self->error : curl_easy_strerror(self->result);
	enum error_kind kind = ERROR_GENERIC;
	long status = 0;

	if (self->too_large)
		return err_set(err, ERROR_INVALID,
			       "cannot fetch %s: larger than %llu bytes",
			       self->url, FETCH_BYTES_MAX);
	curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
	if (self->result == CURLE_HTTP_RETURNED_ERROR && status > 0)
		return err_set(err,
			       status == 404 || status == 410 ? ERROR_NOT_FOUND
			       : status == 401 || status == 403
				       ? ERROR_PERMISSION
				       : ERROR_GENERIC,
			       "cannot fetch %s: the server answered %ld",
			       self->url, status);
	if (self->result == CURLE_PARTIAL_FILE)
		return err_set(err, ERROR_CORRUPT,
			       "cannot fetch %s: the transfer broke off after "
			       "%llu bytes",
			       self->url, (unsigned long long)self->received);
	if (self->result == CURLE_OPERATION_TIMEDOUT)
		kind = ERROR_TIMEOUT;
	else if (self->result == CURLE_UNSUPPORTED_PROTOCOL)
		kind = ERROR_UNSUPPORTED;
	else if (self->result == CURLE_COULDNT_RESOLVE_HOST)
		kind = ERROR_NOT_FOUND;
	return err_set(err, kind, "cannot fetch %s: %s", self->url, why);
}

/* Until there is something to hand out, or the end. */
static int receive_some(struct url_stream *self, struct error *err)
{
	while (!self->done && self->buffer.length == 0) {
		CURLMcode code;
		CURLMsg *message;
		int running = 0;
		int left;

		code = curl_multi_perform(self->multi, &running);
		if (code == CURLM_OK && running > 0 &&
		    self->buffer.length == 0) {
			stream_wait_begin();
			code = curl_multi_poll(self->multi, NULL, 0, POLL_MS,
					       NULL);
			stream_wait_end();
		}
		if (code != CURLM_OK)
			return err_set(err, ERROR_GENERIC,
				       "cannot fetch %s: %s", self->url,
				       curl_multi_strerror(code));
		while ((message = curl_multi_info_read(self->multi, &left))) {
			if (message->msg != CURLMSG_DONE)
				continue;
			self->done = true;
			self->result = message->data.result;
		}
	}
	if (self->done && self->result != CURLE_OK)
		return failed(self, err);
	return 0;
}

static ssize_t url_next(struct stream *stream, const void **ret_bytes,
			struct error *err)
{
	struct url_stream *self = (struct url_stream *)stream;
	struct str swapped;
	int r;

	str_clear(&self->given);
	r = receive_some(self, err);
	if (r < 0)
		return r;
	swapped = self->given;
	self->given = self->buffer;
	self->buffer = swapped;
	*ret_bytes = self->given.data;
	return (ssize_t)self->given.length;
}

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
	const long allowed = CURLPROTO_HTTP | CURLPROTO_HTTPS;

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, allowed);
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, allowed);
#endif
}

static void set_options(struct url_stream *self)
{
	CURL *easy = self->easy;

	curl_easy_setopt(easy, CURLOPT_URL, self->url);
	set_protocols(easy);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, FETCH_REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, FETCH_CONNECT_S);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, FETCH_STALL_S);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "moss/" MOSS_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, self->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, self);
}

int stream_from_url(const char *url, struct stream **ret_stream,
		    uint64_t *ret_total, struct error *err)
{
	struct url_stream *self = xcalloc(1, sizeof(*self));
	curl_off_t total = 0;
	int r;

	self->stream = (struct stream){url_next, url_free};
	self->url = xstrdup(url);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		self->easy = curl_easy_init();
		self->multi = curl_multi_init();
	}
	if (!self->easy || !self->multi) {
		stream_free(&self->stream);
		return err_set(err, ERROR_GENERIC, "cannot start libcurl");
	}
	set_options(self);
	curl_multi_add_handle(self->multi, self->easy);
	r = receive_some(self, err);
	if (r < 0) {
		stream_free(&self->stream);
		return r;
	}
	curl_easy_getinfo(self->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
			  &total);
	*ret_total = total > 0 ? (uint64_t)total : 0;
	*ret_stream = &self->stream;
	return 0;
}
