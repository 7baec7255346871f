#include "cmd/ports_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

struct entry {
	const char *ip; /* "" when only exposed */
	const char *type;
	int host; /* 0 when only exposed */
	int inside;
};

/* Ports of one address and protocol, one behind the other, that are the same on
   both sides. */
struct span {
	const char *ip;
	const char *type;
	int first, last;
};

/* docker's order. */
static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	int order = x->inside - y->inside;

	if (order == 0)
		order = strcmp(x->ip, y->ip);
	if (order == 0)
		order = x->host - y->host;
	return order ? order : strcmp(x->type, y->type);
}

static struct entry entry_of(const cJSON *port)
{
	const char *ip = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(port, "IP"));
	const char *type = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(port, "Type"));
	const cJSON *inside =
		cJSON_GetObjectItemCaseSensitive(port, "PrivatePort");
	const cJSON *host =
		cJSON_GetObjectItemCaseSensitive(port, "PublicPort");

	return (struct entry){
		.ip = ip ? ip : "",
		.type = type ? type : "tcp",
		.inside = inside ? inside->valueint : 0,
		.host = host ? host->valueint : 0,
	};
}

static void begin(struct str *text, const char *ip)
{
	bool v6 = strchr(ip, ':') != NULL;

	if (text->length)
		str_append(text, ", ");
	if (*ip)
		str_appendf(text, "%s%s%s:", v6 ? "[" : "", ip, v6 ? "]" : "");
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
	begin(text, span->ip);
	if (*span->ip) {
		append_range(text, span->first, span->last);
		str_append(text, "->");
	}
	append_range(text, span->first, span->last);
	str_appendf(text, "/%s", span->type);
}

/* Adds it to the span of its kind; a span that it does not follow is done. */
static void add_entry(struct str *text, struct span *spans, size_t *count,
		      const struct entry *entry)
{
	size_t at = 0;

	while (at < *count && (!str_equal(spans[at].ip, entry->ip) ||
			       !str_equal(spans[at].type, entry->type)))
		at++;
	if (at < *count && spans[at].last == entry->inside)
		return;
	if (at < *count && spans[at].last + 1 == entry->inside) {
		spans[at].last = entry->inside;
		return;
	}
	if (at < *count)
		append_span(text, &spans[at]);
	else
		(*count)++;
	spans[at] = (struct span){entry->ip, entry->type, entry->inside,
				  entry->inside};
}

/*
 * docker's: spans that ended, in the order of the ports, then those that are
 * left, then ports that have another number outside, which it never joins.
 */
char *ports_text(const cJSON *ports)
{
	size_t size = (size_t)cJSON_GetArraySize(ports) + 1;
	cleanup_free struct entry *entries = xcalloc(size, sizeof(*entries));
	cleanup_free struct span *spans = xcalloc(size, sizeof(*spans));
	struct str text = {0};
	const cJSON *port;
	size_t count = 0;
	size_t span_count = 0;

	cJSON_ArrayForEach(port, ports)
	{
		entries[count++] = entry_of(port);
	}
	qsort(entries, count, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < count; i++)
		if (!*entries[i].ip || entries[i].host == entries[i].inside)
			add_entry(&text, spans, &span_count, &entries[i]);
	for (size_t i = 0; i < span_count; i++)
		append_span(&text, &spans[i]);
	for (size_t i = 0; i < count; i++) {
		if (!*entries[i].ip || entries[i].host == entries[i].inside)
			continue;
		begin(&text, entries[i].ip);
		str_appendf(&text, "%d->%d/%s", entries[i].host,
			    entries[i].inside, entries[i].type);
	}
	return str_steal(&text);
}
