/* What is made of an answer: fields, text and errors of
 * storage/registry/http.h. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/http.h"
#include "storage/registry/http_header.h"
#include "storage/registry/url.h"
#include "storage/store/limits.h"

#define REASON_MAX (64u << 10) /* bytes of an error's text that are read */
#define TOLD_MAX   300u	       /* and of it in a message */

void http_response_release(struct http_response *response)
{
	stream_free(response->body);
	free(response->url);
	strv_free(response->names);
	strv_free(response->values);
	*response = (struct http_response){0};
}

const char *http_header(const struct http_response *response, const char *name)
{
	char *const *names = response->names;

	for (size_t i = 0; names && names[i]; i++) {
		if (strcasecmp(names[i], name) == 0)
			return response->values[i];
	}
	return NULL;
}

static int too_large(const struct http_response *response, size_t max,
		     struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "the answer of %.256s is larger than %zu bytes",
		       response->url, max);
}

int http_text(struct http_response *response, size_t max, char **ret_text,
	      size_t *ret_length, struct error *err)
{
	cleanup_str struct str text = {0};
	const void *bytes;
	ssize_t length;

	if (response->length != UINT64_MAX && response->length > max)
		return too_large(response, max, err);
	while ((length = stream_next(response->body, &bytes, err)) > 0) {
		if (text.length + (size_t)length > max)
			return too_large(response, max, err);
		str_append_bytes(&text, bytes, (size_t)length);
	}
	if (length < 0)
		return (int)length;
	if (ret_length)
		*ret_length = text.length;
	*ret_text = str_steal(&text);
	return 0;
}

/* "MANIFEST_UNKNOWN" as docker tells it: "manifest unknown". */
static char *code_words(const char *code)
{
	char *words = xstrdup(code);

	for (char *at = words; *at; at++)
		*at = *at == '_' ? ' ' : (char)tolower((unsigned char)*at);
	return words;
}

/* {"errors":[{"code":…,"message":…}]}, or what token servers write. */
static char *registry_reason(const cJSON *json)
{
	static const char *const keys[] = {"message", "details",
					   "error_description", "error"};
	const cJSON *errors = NULL;
	const char *code = NULL;
	const char *text = NULL;

	if (json_get_array(json, "", "errors", &errors, NULL) > 0) {
		const cJSON *first = cJSON_GetArrayItem(errors, 0);
		cleanup_free char *words = NULL;

		json_get_string(first, "", "code", &code, NULL);
		json_get_string(first, "", "message", &text, NULL);
		words = code ? code_words(code) : NULL;
		if (words && text)
			return xasprintf("%s: %s", words, text);
		return xstrdup(text ? text : words);
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (json_get_string(json, "", keys[i], &text, NULL) > 0)
			return xstrdup(text);
	}
	return NULL;
}

/* Borrowed words for those that servers do not explain. */
static const char *status_words(int status)
{
	static const struct {
		int status;
		const char *words;
	} known[] = {
		{401, "unauthorized: authentication required"},
		{403, "denied: requested access to the resource is denied"},
		{404, "not found"},
		{405, "method not allowed"},
		{413, "request too large"},
		{429, "too many requests"},
		{500, "internal server error"},
		{502, "bad gateway"},
		{503, "service unavailable"},
		{504, "gateway timeout"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].status == status)
			return known[i].words;
	}
	return NULL;
}

/* Of its body; NULL when that says nothing that can be told. */
static char *body_reason(struct http_response *response)
{
	cleanup_free char *text = NULL;
	cleanup_json cJSON *json = NULL;
	size_t length;

	if (!response->body ||
	    http_text(response, REASON_MAX, &text, &length, NULL) < 0)
		return NULL;
	if (json_parse(text, length, "answer", &json, NULL) == 0)
		return registry_reason(json);
	/* Not a page of HTML. */
	return length > 0 && *text != '<' ? xstrdup(text) : NULL;
}

char *http_reason(struct http_response *response)
{
	cleanup_free char *text = body_reason(response);

	if (text)
		text[strcspn(text, "\r\n")] = '\0';
	if (str_empty(text))
		return xstrdup(status_words(response->status));
	return xstrndup(text, strnlen(text, TOLD_MAX));
}

static const struct meaning {
	int status;
	enum error_kind kind;
	int number;
} meanings[] = {
	{400, ERROR_INVALID, EINVAL},	      {401, ERROR_PERMISSION, EACCES},
	{403, ERROR_PERMISSION, EACCES},      {404, ERROR_NOT_FOUND, ENOENT},
	{405, ERROR_UNSUPPORTED, EOPNOTSUPP}, {407, ERROR_PERMISSION, EPERM},
	{408, ERROR_TIMEOUT, ETIMEDOUT},      {410, ERROR_NOT_FOUND, ENOENT},
	{501, ERROR_UNSUPPORTED, EOPNOTSUPP}, {504, ERROR_TIMEOUT, ETIMEDOUT},
};

int http_status_error(struct http_response *response, const char *what,
		      struct error *err)
{
	cleanup_free char *reason = http_reason(response);
	struct meaning meaning = {0, ERROR_GENERIC, EIO};

	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (meanings[i].status == response->status)
			meaning = meanings[i];
	}
	return http_fail(err, meaning.kind, meaning.number,
			 "cannot %s: the server answered %d%s%s", what,
			 response->status, reason ? ": " : "",
			 reason ? reason : "");
}

bool http_status_is_transient(int status)
{
	return status == 408 || status == 429 || status == 500 ||
	       status == 502 || status == 503 || status == 504;
}

bool http_failure_is_transient(int number)
{
	return number == -ECONNRESET || number == -ETIMEDOUT ||
	       number == -ECONNREFUSED;
}

uint64_t http_delay(unsigned int attempt, const struct http_response *response)
{
	const char *field =
		response ? http_header(response, "retry-after") : NULL;
	uint64_t ms = RETRY_FIRST_MS;
	uint64_t seconds = 0;
	uint32_t random = 0;

	if (field && retry_after(field, time(NULL), &seconds) == 0) {
		if (seconds > RETRY_AFTER_S)
			seconds = RETRY_AFTER_S;
		return seconds * 1000;
	}
	for (; attempt > 0 && ms < RETRY_LAST_MS; attempt--)
		ms *= 2;
	if (ms > RETRY_LAST_MS)
		ms = RETRY_LAST_MS;
	/* Half of it by chance, so that many do not come back at once. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	return ms / 2 + random % (ms / 2 + 1);
}
