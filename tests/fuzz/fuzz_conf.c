/*
 * base/conf.h: a configuration file. Whatever is accepted is of the schema;
 * whatever is refused says where.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/conf.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_key keys[] = {
	{"host", "mirror", CONF_STRING, CONF_NAMED | CONF_REPEATED, 0, 0},
	{"host", "blocked", CONF_BOOL, CONF_NAMED, 0, 0},
	{"host", "ca", CONF_PATH, CONF_NAMED, 0, 0},
	{"limits", "count", CONF_NUMBER, 0, 1, 10},
	{"limits", "bytes", CONF_BYTES, 0, 0, INT64_MAX},
	{0},
};
static const struct conf_key *const schema[] = {keys, NULL};

static void check(const struct conf *conf, const struct conf_entry *entry)
{
	cleanup_free char *where = conf_where(conf, entry);
	const struct conf_key *key = entry->key;

	assert(str_starts(where, "file:") && entry->line > 0);
	assert(!str_empty(entry->value));
	assert(!(key->flags & CONF_NAMED) == !entry->name);
	assert(conf_get(conf, key->section, entry->name, key->key));
	if (key->type == CONF_NUMBER || key->type == CONF_BYTES)
		assert(entry->number >= key->min && entry->number <= key->max);
	if (key->type == CONF_BOOL)
		assert(entry->number == 0 || entry->number == 1);
	if (key->type == CONF_PATH)
		assert(entry->value[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf conf = {.schema = schema, .home = "/home/user"};
	struct error err = {0};
	int r;

	r = conf_parse(&conf, (const char *)data, size, "file", &err);
	assert(r == 0 || str_starts(err.message, "file"));
	assert(conf.count <= CONF_ENTRIES_MAX);
	for (size_t i = 0; i < conf.count; i++)
		check(&conf, &conf.entries[i]);
	conf_release(&conf);
	return 0;
}
