#include "net/names.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
/* A change so soon after another may bear the same time. */
#define SAME_TIME_MS 100

struct names_client {
	char *id;
	char **names;
	struct net_address_value address, address6; /* family 0: none */
	bool forward;
	bool routed;
	char **resolvers;
};

/* One network's endpoints, as they were when they were read. */
struct table {
	char *network;
	int fd; /* its endpoints/, -1: gone */
	struct timespec changed;
	int64_t seen_ms; /* when it was found to have changed so */
	int64_t read_ms;
	struct names_client *entries;
	size_t count;
	struct table *next;
};

struct names {
	int directory_fd;
	char *network;
	struct table *tables; /* the first: of network */
	unsigned int turn;
};

static void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		free(table->entries[i].id);
		strv_free(table->entries[i].names);
		strv_free(table->entries[i].resolvers);
	}
	free(table->entries);
	table->entries = NULL;
	table->count = 0;
}

static void table_free(struct table *table)
{
	table_clear(table);
	close_fd(&table->fd);
	free(table->network);
	free(table);
}

struct names *names_new(int directory_fd, const char *network)
{
	struct names *names = xcalloc(1, sizeof(*names));

	names->directory_fd = directory_fd;
	names->network = xstrdup(network);
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	while (names->tables) {
		struct table *table = names->tables;

		names->tables = table->next;
		table_free(table);
	}
	free(names->network);
	free(names);
}

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

static bool read_entry(int fd, const char *id, struct names_client *ret_entry)
{
	struct names_client entry = {0};
	cleanup_json cJSON *json = NULL;
	const char *address = NULL;
	const char *address6 = NULL;

	if (json_read_at(fd, id, &json, NULL) < 0 ||
	    json_get_strv(json, id, "Names", &entry.names, NULL) < 0 ||
	    json_get_strv(json, id, "Dns", &entry.resolvers, NULL) < 0 ||
	    json_get_bool(json, id, "Forward", &entry.forward, NULL) < 0 ||
	    json_get_bool(json, id, "Routed", &entry.routed, NULL) < 0 ||
	    json_get_string(json, id, "Address", &address, NULL) < 0 ||
	    json_get_string(json, id, "Address6", &address6, NULL) < 0) {
		strv_free(entry.names);
		strv_free(entry.resolvers);
		return false;
	}
	if (address)
		(void)address_parse(address, &entry.address);
	if (address6)
		(void)address_parse(address6, &entry.address6);
	for (size_t i = 0; entry.names && entry.names[i]; i++)
		lower(entry.names[i]);
	entry.id = xstrdup(id);
	*ret_entry = entry;
	return true;
}

static void read_table(struct table *table)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(table->fd, ".", DIRECTORY_FLAGS);

	table_clear(table);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		struct names_client client;

		if (entry->d_name[0] == '.' ||
		    !read_entry(table->fd, entry->d_name, &client))
			continue;
		table->entries = xrealloc(table->entries, table->count + 1,
					  sizeof(*table->entries));
		table->entries[table->count++] = client;
	}
}

/* Reads it again if need be. A network of that name made anew is another. */
static void refresh(const struct names *names, struct table *table)
{
	cleanup_free char *path = xasprintf("%s/endpoints", table->network);
	struct stat now, before;

	if (fstatat(names->directory_fd, path, &now, AT_SYMLINK_NOFOLLOW) < 0) {
		table_clear(table);
		close_fd(&table->fd);
		return;
	}
	if (table->fd < 0 || fstat(table->fd, &before) < 0 ||
	    before.st_ino != now.st_ino) {
		close_fd(&table->fd);
		table->fd = openat(names->directory_fd, path, DIRECTORY_FLAGS);
		table->seen_ms = table->read_ms = 0;
		table->changed = (struct timespec){0};
	}
	if (table->changed.tv_sec != now.st_mtim.tv_sec ||
	    table->changed.tv_nsec != now.st_mtim.tv_nsec)
		table->seen_ms = clock_ms();
	else if (table->read_ms - table->seen_ms > SAME_TIME_MS)
		return;
	table->changed = now.st_mtim;
	table->read_ms = clock_ms();
	read_table(table);
}

static struct table *table_of(struct names *names, const char *network)
{
	struct table **link = &names->tables;

	while (*link && !str_equal((*link)->network, network))
		link = &(*link)->next;
	if (!*link) {
		*link = xcalloc(1, sizeof(**link));
		(*link)->network = xstrdup(network);
		(*link)->fd = -1;
	}
	refresh(names, *link);
	return *link;
}

static bool is_held(const struct table *table, const struct names_client *entry)
{
	return lock_is_held_at(table->fd, entry->id) > 0;
}

const struct names_client *names_client(struct names *names,
					const struct net_address_value *address)
{
	const struct table *table = table_of(names, names->network);

	for (size_t i = 0; i < table->count; i++) {
		const struct names_client *entry = &table->entries[i];

		if ((address_equal(&entry->address, address) ||
		     address_equal(&entry->address6, address)) &&
		    is_held(table, entry))
			return entry;
	}
	return NULL;
}

bool names_may_forward(const struct names_client *client)
{
	return client->forward;
}

bool names_is_routed(const struct names_client *client)
{
	return client->routed;
}

char *const *names_resolvers(const struct names_client *client)
{
	return client->resolvers;
}

bool names_any(struct names *names)
{
	const struct table *table = table_of(names, names->network);

	for (size_t i = 0; i < table->count; i++) {
		if (is_held(table, &table->entries[i]))
			return true;
	}
	return false;
}

/* Calls visit for each network that the container is on, the server's first,
   until it returns true. */
typedef bool (*table_visit)(struct table *table, void *data);

static bool each_table(struct names *names, const char *id, table_visit visit,
		       void *data)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd;

	if (visit(table_of(names, names->network), data))
		return true;
	fd = openat(names->directory_fd, ".", DIRECTORY_FLAGS);
	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return false;
	}
	while ((entry = readdir(dir))) {
		cleanup_free char *path = NULL;
		struct stat st;

		if (entry->d_name[0] == '.' ||
		    str_equal(entry->d_name, names->network))
			continue;
		path = xasprintf("%s/endpoints/%s", entry->d_name, id);
		if (fstatat(names->directory_fd, path, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    visit(table_of(names, entry->d_name), data))
			return true;
	}
	return false;
}

struct search {
	const char *name;
	struct net_address_value *addresses;
	size_t count;
	bool only4; /* for one whose wire has no IPv6: net/bridge_routed.h */
	bool found;
};

static void add_address(struct search *search,
			const struct net_address_value *address)
{
	if (address->family != 0 && search->count < NAMES_ADDRESSES_MAX)
		search->addresses[search->count++] = *address;
}

/* "web" or "web.backend" on network backend. */
static bool has_name(const struct table *table,
		     const struct names_client *entry, const char *name)
{
	cleanup_free char *network = xstrdup(table->network);

	lower(network);
	for (size_t i = 0; entry->names && entry->names[i]; i++) {
		const char *own = entry->names[i];
		size_t length = strlen(own);

		if (strncmp(own, name, length) != 0)
			continue;
		if (name[length] == '\0' ||
		    (name[length] == '.' &&
		     str_equal(name + length + 1, network)))
			return true;
	}
	return false;
}

static bool search_table(struct table *table, void *data)
{
	struct search *search = data;

	for (size_t i = 0; i < table->count; i++) {
		const struct names_client *entry = &table->entries[i];

		if (!has_name(table, entry, search->name) ||
		    !is_held(table, entry))
			continue;
		search->found = true;
		add_address(search, &entry->address);
		if (!search->only4)
			add_address(search, &entry->address6);
	}
	/* As docker does, the first network that knows it has the say. */
	return search->found;
}

bool names_find(struct names *names, const struct names_client *client,
		const char *name,
		struct net_address_value ret_addresses[NAMES_ADDRESSES_MAX],
		size_t *ret_count)
{
	struct net_address_value found[NAMES_ADDRESSES_MAX];
	struct search search = {
		.name = name,
		.addresses = found,
		.only4 = client->routed,
	};
	cleanup_free char *id = xstrdup(client->id);
	unsigned int first;

	if (*name == '\0' || !each_table(names, id, search_table, &search))
		return false;
	first = search.count > 0 ? names->turn++ % search.count : 0;
	for (size_t i = 0; i < search.count; i++)
		ret_addresses[i] = found[(first + i) % search.count];
	*ret_count = search.count;
	return true;
}

struct reverse {
	const struct net_address_value *address;
	char *name;
};

static bool reverse_table(struct table *table, void *data)
{
	struct reverse *reverse = data;

	for (size_t i = 0; i < table->count; i++) {
		const struct names_client *entry = &table->entries[i];

		if ((!address_equal(&entry->address, reverse->address) &&
		     !address_equal(&entry->address6, reverse->address)) ||
		    !entry->names || !is_held(table, entry))
			continue;
		reverse->name =
			xasprintf("%s.%s", entry->names[0], table->network);
		return true;
	}
	return false;
}

char *names_reverse(struct names *names, const struct names_client *client,
		    const struct net_address_value *address)
{
	cleanup_free char *id = xstrdup(client->id);
	struct reverse reverse = {.address = address};

	(void)each_table(names, id, reverse_table, &reverse);
	return reverse.name;
}
