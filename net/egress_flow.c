#include "net/egress_flow.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BUCKETS 4096
#define GROWTH	256
#define NONE	UINT32_MAX

/*
 * Records in an array that grows up to EGRESS_FLOWS_MAX; chains by bucket,
 * and one list of all from newest to oldest. Free records are chained, too.
 */
struct flow_table {
	struct flow *flows;
	uint32_t room;
	uint32_t free; /* NONE: all in use */
	uint32_t newest, oldest;
	void (*release)(struct flow *flow);
	uint32_t buckets[BUCKETS];
};

struct flow_table *flow_table_new(void (*release)(struct flow *flow))
{
	struct flow_table *table = xcalloc(1, sizeof(*table));

	table->release = release;
	table->free = table->newest = table->oldest = NONE;
	for (size_t i = 0; i < BUCKETS; i++)
		table->buckets[i] = NONE;
	return table;
}

void flow_table_free(struct flow_table *table)
{
	if (!table)
		return;
	while (table->oldest != NONE)
		flow_remove(table, &table->flows[table->oldest]);
	free(table->flows);
	free(table);
}

void flow_key_set(struct flow_key *ret_key, const struct packet_path *path,
		  bool from_container, bool udp)
{
	struct packet_path back;

	if (!from_container) {
		back = packet_path_back(path);
		path = &back;
	}
	/* No padding between: keys are compared member by member. */
	*ret_key = (struct flow_key){
		.ours = path->source,
		.theirs = path->destination,
		.our_port = path->source_port,
		.their_port = path->destination_port,
		.udp = udp,
	};
}

static bool key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return a->our_port == b->our_port && a->their_port == b->their_port &&
	       a->udp == b->udp && address_equal(&a->theirs, &b->theirs) &&
	       address_equal(&a->ours, &b->ours);
}

/* A container that makes them collide slows its own packets down. */
static uint32_t bucket_of(const struct flow_key *key)
{
	uint32_t hash = (uint32_t)key->our_port << 16 | key->their_port;

	for (size_t i = 0; i < sizeof(key->theirs.bytes); i++)
		hash = (hash ^ key->theirs.bytes[i]) * 16777619u;
	hash = (hash ^ key->udp) * 16777619u;
	return (hash ^ hash >> 16) % BUCKETS;
}

static void list_remove(struct flow_table *table, struct flow *flow)
{
	if (flow->newer == NONE)
		table->newest = flow->older;
	else
		table->flows[flow->newer].older = flow->older;
	if (flow->older == NONE)
		table->oldest = flow->newer;
	else
		table->flows[flow->older].newer = flow->newer;
}

static void list_add_newest(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];

	flow->newer = NONE;
	flow->older = table->newest;
	if (table->newest == NONE)
		table->oldest = index;
	else
		table->flows[table->newest].newer = index;
	table->newest = index;
}

struct flow *flow_find(struct flow_table *table, const struct flow_key *key,
		       int64_t now, int64_t *ret_used)
{
	uint32_t index = table->buckets[bucket_of(key)];

	while (index != NONE && !key_equal(&table->flows[index].key, key))
		index = table->flows[index].chain;
	if (index == NONE)
		return NULL;
	*ret_used = table->flows[index].used_ms;
	table->flows[index].used_ms = now;
	if (index != table->newest) {
		list_remove(table, &table->flows[index]);
		list_add_newest(table, index);
	}
	return &table->flows[index];
}

void flow_remove(struct flow_table *table, struct flow *flow)
{
	uint32_t index = (uint32_t)(flow - table->flows);
	uint32_t *link = &table->buckets[bucket_of(&flow->key)];

	while (*link != index)
		link = &table->flows[*link].chain;
	*link = flow->chain;
	list_remove(table, flow);
	table->release(flow);
	flow->hold = NULL;
	flow->chain = table->free;
	table->free = index;
}

static void grow(struct flow_table *table)
{
	table->flows = xrealloc(table->flows, table->room + GROWTH,
				sizeof(*table->flows));
	for (uint32_t i = 0; i < GROWTH; i++) {
		table->flows[table->room].chain = table->free;
		table->free = table->room++;
	}
}

struct flow *flow_add(struct flow_table *table, const struct flow_key *key,
		      int64_t now)
{
	uint32_t *bucket = &table->buckets[bucket_of(key)];
	struct flow *flow;
	uint32_t index;

	if (table->free == NONE && table->room < EGRESS_FLOWS_MAX)
		grow(table);
	if (table->free == NONE)
		flow_remove(table, &table->flows[table->oldest]);
	index = table->free;
	flow = &table->flows[index];
	table->free = flow->chain;
	*flow = (struct flow){
		.key = *key,
		.used_ms = now,
		.chain = *bucket,
	};
	*bucket = index;
	list_add_newest(table, index);
	return flow;
}
