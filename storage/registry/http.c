#include "storage/registry/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "storage/registry/http_internal.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define CA_BYTES_MAX (4u << 20)
#define SLEEP_MS     200u /* until *cancelled is seen */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

static void start_curl(void)
{
	curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- certificates ---- */

static int add_ca(struct http *http, int dir_fd, const char *name,
		  struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r = file_read_at(dir_fd, name, CA_BYTES_MAX, &text, &length, err);

	if (r < 0)
		return err_wrap(err, "CA certificate");
	if (http->ca.length + length > 2 * CA_BYTES_MAX)
		return err_set(err, ERROR_INVALID,
			       "CA certificates are larger than %u bytes",
			       2 * CA_BYTES_MAX);
	str_append_bytes(&http->ca, text, length);
	str_append_char(&http->ca, '\n');
	return 0;
}

/* Those of a registry are trusted beside the system's, not instead. */
static void add_system_ca(struct http *http)
{
#if LIBCURL_VERSION_NUM >= 0x075400
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (info->age >= CURLVERSION_TENTH && info->cainfo)
		add_ca(http, AT_FDCWD, info->cainfo, NULL);
#endif
}

static void use_client_certificate(struct http *http, const char *directory,
				   const char *name)
{
	size_t length = strlen(name) - strlen(".cert");

	if (http->cert)
		return;
	http->cert = xasprintf("%s/%s", directory, name);
	http->key = xasprintf("%s/%.*s.key", directory, (int)length, name);
}

/* docker's certs.d/HOST: *.crt, and NAME.cert with NAME.key. */
static int read_directory(struct http *http, const char *path, int fd,
			  struct error *err)
{
	struct dirent **entries = NULL;
	int count = scandirat(fd, ".", &entries, NULL, alphasort);
	int r = 0;

	if (count < 0)
		return err_errno(err, "cannot read %s", path);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;

		if (r == 0 && str_ends(name, ".crt"))
			r = add_ca(http, fd, name, err);
		else if (str_ends(name, ".cert"))
			use_client_certificate(http, path, name);
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

static int read_ca(struct http *http, const char *path, struct error *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "cannot open CA certificates %s", path);
	r = S_ISDIR(st.st_mode) ? read_directory(http, path, fd, err)
				: add_ca(http, AT_FDCWD, path, err);
	if (r < 0)
		return r;
	if (http->ca.length > 0)
		add_system_ca(http);
	return 0;
}

static void set_certificates(struct http *http, CURL *easy)
{
	if (http->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (http->ca.length > 0) {
		struct curl_blob blob = {
			.data = http->ca.data,
			.len = http->ca.length,
			.flags = CURL_BLOB_NOCOPY,
		};

		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	if (http->cert)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, http->cert);
	if (http->key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key);
}

/* ---- proxies ---- */

/*
 * libcurl reads the environment but for HTTP_PROXY, which a CGI program's
 * client could set.
 */
static void set_proxy(CURL *easy, const char *text)
{
	const char *proxy = getenv("HTTP_PROXY");
	struct url url;

	if (url_parse(text, &url, NULL) < 0)
		return;
	if (url_is_loopback(&url))
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	else if (!url.tls && str_empty(getenv("http_proxy")) &&
		 !str_empty(proxy) && !getenv("REQUEST_METHOD"))
		curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
}

void http_set_connection(struct http *http, CURL *easy, const char *url)
{
	set_certificates(http, easy);
	set_proxy(easy, url);
}

/* ---- handles ---- */

static void handle_free(struct http_handle *handle)
{
	if (!handle)
		return;
	curl_easy_cleanup(handle->easy);
	curl_multi_cleanup(handle->multi);
	free(handle);
}

static struct http_handle *handle_new(struct error *err)
{
	struct http_handle *handle = xcalloc(1, sizeof(*handle));

	handle->easy = curl_easy_init();
	handle->multi = curl_multi_init();
	if (handle->easy && handle->multi)
		return handle;
	handle_free(handle);
	err_set(err, ERROR_GENERIC, "cannot start libcurl");
	return NULL;
}

struct http_handle *http_take_handle(struct http *http, struct error *err)
{
	struct http_handle *handle;

	pthread_mutex_lock(&http->lock);
	handle = http->idle;
	if (handle)
		http->idle = handle->next;
	pthread_mutex_unlock(&http->lock);
	return handle ? handle : handle_new(err);
}

void http_give_handle(struct http *http, struct http_handle *handle)
{
	curl_easy_reset(handle->easy);
	pthread_mutex_lock(&http->lock);
	handle->next = http->idle;
	http->idle = handle;
	pthread_mutex_unlock(&http->lock);
}

/* ---- the client ---- */

int http_new(const struct http_options *options, struct http **ret_http,
	     struct error *err)
{
	cleanup_http struct http *http = xcalloc(1, sizeof(*http));
	int r;

	pthread_mutex_init(&http->lock, NULL);
	pthread_once(&curl_once, start_curl);
	if (curl_started != CURLE_OK)
		return err_set(err, ERROR_GENERIC, "cannot start libcurl: %s",
			       curl_easy_strerror(curl_started));
	if (options) {
		http->insecure = options->insecure;
		http->cancelled = options->cancelled;
		http->cert = xstrdup(options->cert);
		http->key = xstrdup(options->key);
		r = options->ca ? read_ca(http, options->ca, err) : 0;
		if (r < 0)
			return r;
	}
	*ret_http = steal_ptr(&http);
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	while (http->idle) {
		struct http_handle *next = http->idle->next;

		handle_free(http->idle);
		http->idle = next;
	}
	pthread_mutex_destroy(&http->lock);
	str_release(&http->ca);
	free(http->cert);
	free(http->key);
	free(http);
}

void cleanup_http_function(struct http **http)
{
	http_free(*http);
}

bool http_is_insecure(const struct http *http)
{
	return http->insecure;
}

int http_fail(struct error *err, enum error_kind kind, int number,
	      const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	err_set(err, kind, "%s", message);
	if (err)
		err->number = number;
	return -number;
}

int http_check_cancelled(const struct http *http, struct error *err)
{
	if (http->cancelled && atomic_load(http->cancelled))
		return http_fail(err, ERROR_GENERIC, ECANCELED, "interrupted");
	return 0;
}

int http_sleep(struct http *http, uint64_t ms, struct error *err)
{
	while (ms > 0 && http_check_cancelled(http, err) == 0) {
		uint64_t part = ms < SLEEP_MS ? ms : SLEEP_MS;
		const struct timespec time = {
			.tv_nsec = (long)part * 1000000L,
		};

		nanosleep(&time, NULL);
		ms -= part;
	}
	return http_check_cancelled(http, err);
}

/* ---- redirects ---- */

/*
 * The status says whether the method and the body go along. A POST answered by
 * 301 or 302 becomes a GET in browsers; no registry means that.
 */
static bool is_redirect(const struct http_request *request,
			const struct http_response *response)
{
	bool reads = str_equal(request->method, "GET") ||
		     str_equal(request->method, "HEAD");

	if (request->no_redirects || !http_header(response, "location"))
		return false;
	if (response->status == 307 || response->status == 308)
		return true;
	return reads && (response->status == 301 || response->status == 302 ||
			 response->status == 303);
}

int http_send(struct http *http, const struct http_request *request,
	      struct http_response *ret_response, struct error *err)
{
	struct http_request hop = *request;
	cleanup_free char *url = NULL;

	for (int i = 0; i <= FETCH_REDIRECTS_MAX; i++) {
		cleanup_response struct http_response response = {0};
		char *next = NULL;
		bool same_origin;
		int r;

		r = http_check_cancelled(http, err);
		if (r < 0)
			return r;
		r = http_exchange(http, &hop, &response, err);
		if (r < 0)
			return r;
		if (!is_redirect(request, &response)) {
			*ret_response = response;
			response = (struct http_response){0};
			return 0;
		}
		r = url_redirect(hop.url, http_header(&response, "location"),
				 http->insecure, &next, &same_origin, err);
		if (r < 0)
			return r;
		/* Once it was left it is gone: a way back proves nothing. */
		if (!same_origin)
			hop.authorization = NULL;
		free(url);
		url = next;
		hop.url = url;
	}
	return http_fail(err, ERROR_INVALID, EPROTO,
			 "more than %d redirects, the last to %.256s",
			 FETCH_REDIRECTS_MAX, hop.url);
}
