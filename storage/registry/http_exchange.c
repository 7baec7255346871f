/*
 * One request and its answer of storage/registry/http.h. libcurl runs only
 * while somebody waits for the answer's head or asks for a piece of its body;
 * what comes faster is held back by pausing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "storage/registry/http_internal.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define POLL_MS	    200
#define BUFFER_SIZE (256L << 10)
#define BUFFER_MAX  (1u << 20) /* received and not asked for */

struct exchange {
	struct stream stream;
	struct http *http;
	struct http_handle *handle;
	struct curl_slist *fields;
	struct http_body body;
	uint64_t sent;
	char *url;
	char *authority;
	char error[CURL_ERROR_SIZE];
	/* The answer's head. */
	char **names;
	char **values;
	size_t head_bytes;
	bool head_done;
	bool head_too_large;
	/* Its body. */
	struct str buffer; /* received, not handed out yet */
	struct str given;  /* what the reader has */
	bool paused;
	bool taken; /* by a reader that may be ended while it waits */
	bool done;
	CURLcode result;
};

static void exchange_free(struct stream *stream)
{
	struct exchange *self = (struct exchange *)stream;

	if (self->handle) {
		curl_multi_remove_handle(self->handle->multi,
					 self->handle->easy);
		http_give_handle(self->http, self->handle);
	}
	curl_slist_free_all(self->fields);
	strv_free(self->names);
	strv_free(self->values);
	str_release(&self->buffer);
	str_release(&self->given);
	free(self->authority);
	free(self->url);
	free(self);
}

/* ---- the answer's head ---- */

static void add_field(struct exchange *self, const char *name, size_t length,
		      const char *value)
{
	for (size_t i = 0; self->names && self->names[i]; i++) {
		char *joined;

		if (strlen(self->names[i]) != length ||
		    strncasecmp(self->names[i], name, length) != 0)
			continue;
		joined = xasprintf("%s, %s", self->values[i], value);
		free(self->values[i]);
		self->values[i] = joined;
		return;
	}
	strv_push_take(&self->names, xstrndup(name, length));
	strv_push(&self->values, value);
}

static void end_head(struct exchange *self)
{
	long status = 0;

	curl_easy_getinfo(self->handle->easy, CURLINFO_RESPONSE_CODE, &status);
	/* "100 Continue" comes before the answer. */
	self->head_done = status >= 200;
}

static size_t receive_head(char *bytes, size_t size, size_t count, void *data)
{
	struct exchange *self = data;
	size_t length = size * count;
	cleanup_free char *line = xstrndup(bytes, length);
	char *colon;
	char *value;

	self->head_bytes += length;
	if (self->head_bytes > FETCH_HEADERS_MAX) {
		self->head_too_large = true;
		return 0;
	}
	if (self->head_done) /* trailers */
		return length;
	line[strcspn(line, "\r\n")] = '\0';
	if (strncasecmp(line, "HTTP/", 5) == 0) {
		strv_free(steal_ptr(&self->names));
		strv_free(steal_ptr(&self->values));
		return length;
	}
	if (!*line) {
		end_head(self);
		return length;
	}
	colon = strchr(line, ':');
	if (!colon)
		return length;
	value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t end = strlen(value);
	     end > 0 && strchr(" \t", value[end - 1]); end--)
		value[end - 1] = '\0';
	add_field(self, line, (size_t)(colon - line), value);
	return length;
}

/* ---- bodies ---- */

static size_t receive_body(char *bytes, size_t size, size_t count, void *data)
{
	struct exchange *self = data;

	if (self->buffer.length >= BUFFER_MAX) {
		self->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	str_append_bytes(&self->buffer, bytes, size * count);
	return size * count;
}

static size_t send_body(char *bytes, size_t size, size_t count, void *data)
{
	struct exchange *self = data;
	const struct http_body *body = &self->body;
	uint64_t left = body->size - self->sent;
	size_t length = size * count;
	ssize_t part;

	if (length > left)
		length = (size_t)left;
	if (body->bytes) {
		memcpy(bytes, (const char *)body->bytes + self->sent, length);
		part = (ssize_t)length;
	} else {
		do
			part = pread(body->fd, bytes, length,
				     (off_t)(body->offset + self->sent));
		while (part < 0 && errno == EINTR);
	}
	if (part < 0)
		return CURL_READFUNC_ABORT;
	if (body->tap && part > 0)
		body->tap(body->data, body->offset + self->sent, bytes,
			  (size_t)part);
	self->sent += (uint64_t)part;
	return (size_t)part;
}

/* libcurl begins anew when a kept connection turns out to be dead. */
static int rewind_body(void *data, curl_off_t offset, int origin)
{
	struct exchange *self = data;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	self->sent = 0;
	return CURL_SEEKFUNC_OK;
}

/* ---- failures ---- */

static int connect_failed(const struct exchange *self, struct error *err)
{
	long number = 0;

	curl_easy_getinfo(self->handle->easy, CURLINFO_OS_ERRNO, &number);
	if (number == ECONNREFUSED)
		return err_number(err, ECONNREFUSED, "cannot connect to %s",
				  self->authority);
	return http_fail(err, ERROR_GENERIC, EHOSTUNREACH,
			 "cannot connect to %s: %s", self->authority,
			 number > 0 ? strerror((int)number) : self->error);
}

static const struct failure {
	CURLcode code;
	enum error_kind kind;
	int number;
	const char *what; /* before the host */
} failures[] = {
	{CURLE_COULDNT_RESOLVE_PROXY, ERROR_GENERIC, EHOSTUNREACH,
	 "cannot find the proxy for"},
	{CURLE_OPERATION_TIMEDOUT, ERROR_TIMEOUT, ETIMEDOUT,
	 "no answer in time from"},
	{CURLE_PEER_FAILED_VERIFICATION, ERROR_GENERIC, EKEYREJECTED,
	 "cannot trust the certificate of"},
	{CURLE_SSL_CONNECT_ERROR, ERROR_GENERIC, EPROTO,
	 "cannot speak TLS with"},
	{CURLE_SSL_CERTPROBLEM, ERROR_INVALID, EINVAL,
	 "cannot use the client certificate for"},
	{CURLE_SSL_CACERT_BADFILE, ERROR_INVALID, ENOKEY,
	 "cannot use the CA certificates for"},
	{CURLE_WEIRD_SERVER_REPLY, ERROR_GENERIC, EPROTO,
	 "no HTTP answer from"},
	{CURLE_UNSUPPORTED_PROTOCOL, ERROR_GENERIC, EPROTO,
	 "no HTTP answer from"},
	{CURLE_OUT_OF_MEMORY, ERROR_GENERIC, ENOMEM, "out of memory for"},
};

static int failed(const struct exchange *self, struct error *err)
{
	const char *why =
		*self->error ? self->error : curl_easy_strerror(self->result);
	long proxy_status = 0;

	if (self->head_too_large)
		return http_fail(err, ERROR_INVALID, EPROTO,
				 "the header of the answer of %s is larger "
				 "than %u bytes",
				 self->authority, FETCH_HEADERS_MAX);
	if (self->result == CURLE_COULDNT_CONNECT)
		return connect_failed(self, err);
	if (self->result == CURLE_COULDNT_RESOLVE_HOST)
		return http_fail(err, ERROR_GENERIC, EHOSTUNREACH,
				 "cannot find host %s", self->authority);
	curl_easy_getinfo(self->handle->easy, CURLINFO_HTTP_CONNECTCODE,
			  &proxy_status);
	if (proxy_status >= 300)
		return http_fail(err, ERROR_GENERIC, EHOSTUNREACH,
				 "the proxy refused to connect to %s: it "
				 "answered %ld",
				 self->authority, proxy_status);
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		const struct failure *row = &failures[i];

		if (row->code == self->result)
			return http_fail(err, row->kind, row->number,
					 "%s %s: %s", row->what,
					 self->authority, why);
	}
	if (self->result == CURLE_ABORTED_BY_CALLBACK)
		return err_set(err, ERROR_GENERIC,
			       "cannot read what was to be sent to %s",
			       self->authority);
	return http_fail(err, ERROR_GENERIC, ECONNRESET,
			 "the connection to %s broke off: %s", self->authority,
			 why);
}

/* ---- running ---- */

static int poll_once(struct exchange *self, struct error *err)
{
	CURLM *multi = self->handle->multi;
	CURLMsg *message;
	CURLMcode code;
	int running = 0;
	int left;

	if (http_check_cancelled(self->http, err) < 0)
		return -ECANCELED;
	code = curl_multi_perform(multi, &running);
	if (code == CURLM_OK && running > 0 && self->buffer.length == 0) {
		if (self->taken)
			stream_wait_begin();
		code = curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
		if (self->taken)
			stream_wait_end();
	}
	if (code != CURLM_OK)
		return err_set(err, ERROR_GENERIC, "%s: %s", self->authority,
			       curl_multi_strerror(code));
	while ((message = curl_multi_info_read(multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		self->done = true;
		self->result = message->data.result;
	}
	if (self->done && self->result != CURLE_OK)
		return failed(self, err);
	if (self->done && !self->head_done)
		return http_fail(err, ERROR_GENERIC, EPROTO,
				 "no HTTP answer from %s", self->authority);
	return 0;
}

static ssize_t exchange_next(struct stream *stream, const void **ret_bytes,
			     struct error *err)
{
	struct exchange *self = (struct exchange *)stream;
	struct str swapped;
	int r = 0;

	str_clear(&self->given);
	if (self->paused && self->buffer.length == 0) {
		self->paused = false;
		curl_easy_pause(self->handle->easy, CURLPAUSE_CONT);
	}
	while (r == 0 && !self->done && self->buffer.length == 0)
		r = poll_once(self, err);
	/* What came before a failure counts, for a download that goes on. */
	if (r < 0 && self->buffer.length == 0)
		return r;
	if (self->done && self->result != CURLE_OK && self->buffer.length == 0)
		return failed(self, err);
	swapped = self->given;
	self->given = self->buffer;
	self->buffer = swapped;
	*ret_bytes = self->given.data;
	return (ssize_t)self->given.length;
}

struct stream *http_take_body(struct http_response *response)
{
	struct exchange *self = (struct exchange *)response->body;

	self->taken = true;
	response->body = NULL;
	return &self->stream;
}

/* ---- options ---- */

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
			 (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_body(struct exchange *self, const struct http_body *body)
{
	CURL *easy = self->handle->easy;

	self->body = *body;
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
			 (curl_off_t)body->size);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, send_body);
	curl_easy_setopt(easy, CURLOPT_READDATA, self);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_body);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, self);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
	/* No waiting for a "100 Continue" that many do not send. */
	self->fields = curl_slist_append(self->fields, "Expect:");
}

static void set_fields(struct exchange *self,
		       const struct http_request *request)
{
	char *const *headers = request->headers;

	for (size_t i = 0; headers && headers[i]; i++)
		self->fields = curl_slist_append(self->fields, headers[i]);
	if (request->authorization) {
		cleanup_free char *field =
			xasprintf("Authorization: %s", request->authorization);

		self->fields = curl_slist_append(self->fields, field);
	}
	curl_easy_setopt(self->handle->easy, CURLOPT_HTTPHEADER, self->fields);
}

static void set_options(struct exchange *self,
			const struct http_request *request)
{
	CURL *easy = self->handle->easy;

	curl_easy_setopt(easy, CURLOPT_URL, self->url);
	set_protocols(easy);
	http_set_connection(self->http, easy, self->url);
	if (str_equal(request->method, "HEAD"))
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->body)
		set_body(self, request->body);
	set_fields(self, request);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, FETCH_CONNECT_S);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
			 request->body ? FETCH_COMMIT_S : FETCH_STALL_S);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)request->seconds);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "moss/" MOSS_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, self->error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_head);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, self);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, self);
}

static void tell_response(struct exchange *self,
			  struct http_response *ret_response)
{
	CURL *easy = self->handle->easy;
	curl_off_t length = -1;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	*ret_response = (struct http_response){
		.status = (int)status,
		.url = xstrdup(self->url),
		.names = steal_ptr(&self->names),
		.values = steal_ptr(&self->values),
		.length = length >= 0 ? (uint64_t)length : UINT64_MAX,
		.body = &self->stream,
	};
}

int http_exchange(struct http *http, const struct http_request *request,
		  struct http_response *ret_response, struct error *err)
{
	cleanup_stream struct stream *owned = NULL;
	struct exchange *self;
	struct url url;
	int r = url_parse(request->url, &url, err);

	if (r < 0)
		return r;
	self = xcalloc(1, sizeof(*self));
	owned = &self->stream;
	self->stream = (struct stream){exchange_next, exchange_free};
	self->http = http;
	self->url = xstrdup(request->url);
	self->authority = url_authority(&url);
	self->handle = http_take_handle(http, err);
	if (!self->handle)
		return err_return(err);
	set_options(self, request);
	curl_multi_add_handle(self->handle->multi, self->handle->easy);
	while (r == 0 && !self->head_done)
		r = poll_once(self, err);
	/* A short answer may be there whole, and then a failure. */
	if (r < 0 && !self->head_done)
		return r;
	tell_response(self, ret_response);
	owned = NULL;
	return 0;
}
