#include "cmd/ports_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

struct span {
	const char *ip; /* "" when only exposed */
	const char *type;
	int host, host_end;
	int inside, inside_end;
};

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a;
	const struct span *y = b;
	int order = strcmp(x->ip, y->ip);

	if (order == 0)
		order = strcmp(x->type, y->type);
	if (order == 0)
		order = x->inside - y->inside;
	return order ? order : x->host - y->host;
}

static struct span span_of(const cJSON *port)
{
	const char *ip = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(port, "IP"));
	const char *type = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(port, "Type"));
	const cJSON *inside =
		cJSON_GetObjectItemCaseSensitive(port, "PrivatePort");
	const cJSON *host =
		cJSON_GetObjectItemCaseSensitive(port, "PublicPort");
	struct span span = {
		.ip = ip ? ip : "",
		.type = type ? type : "tcp",
		.inside = inside ? inside->valueint : 0,
		.host = host ? host->valueint : 0,
	};

	span.inside_end = span.inside;
	span.host_end = span.host;
	return span;
}

static bool follows(const struct span *span, const struct span *next)
{
	return str_equal(span->ip, next->ip) &&
	       str_equal(span->type, next->type) &&
	       next->inside == span->inside_end + 1 &&
	       next->host == (span->host ? span->host_end + 1 : 0);
}

static void append_range(struct str *text, int first, int last)
{
	if (first == last)
		str_appendf(text, "%d", first);
	else
		str_appendf(text, "%d-%d", first, last);
}

static void append_span(struct str *text, const struct span *span)
{
	bool v6 = strchr(span->ip, ':') != NULL;

	if (text->length)
		str_append(text, ", ");
	if (span->host) {
		str_appendf(text, "%s%s%s:", v6 ? "[" : "", span->ip,
			    v6 ? "]" : "");
		append_range(text, span->host, span->host_end);
		str_append(text, "->");
	}
	append_range(text, span->inside, span->inside_end);
	str_appendf(text, "/%s", span->type);
}

char *ports_text(const cJSON *ports)
{
	size_t count = (size_t)cJSON_GetArraySize(ports);
	cleanup_free struct span *spans = xcalloc(count + 1, sizeof(*spans));
	struct str text = {0};
	const cJSON *port;
	size_t n = 0;

	cJSON_ArrayForEach(port, ports)
	{
		spans[n++] = span_of(port);
	}
	qsort(spans, n, sizeof(*spans), compare_spans);
	for (size_t i = 0; i < n; i++) {
		struct span span = spans[i];

		while (i + 1 < n && follows(&span, &spans[i + 1])) {
			i++;
			span.inside_end = spans[i].inside;
			span.host_end = spans[i].host;
		}
		append_span(&text, &span);
	}
	return str_steal(&text);
}
