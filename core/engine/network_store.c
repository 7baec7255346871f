#include "core/engine/network_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/engine/members.h"
#include "net/netns.h"

#define NETWORKS "networks"
#define RECORD	 "network.json"
#define PART	 "network" /* in a work directory */
#define LOCK	 ".lock"   /* in networks/ */

static const struct {
	const char *name;
	const char *driver;
	const char *subnet;
} built_ins[] = {
	{"bridge", "bridge", "10.0.2.0/24"},
	{"host", "host", NULL},
	{"none", "null", NULL},
};

void network_record_release(struct network_record *record)
{
	if (!record)
		return;
	free(record->name);
	cJSON_Delete(record->json);
	*record = (struct network_record){0};
}

int network_name_check(const char *name, struct error *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t length = strlen(name);

	if (length == 0)
		return err_set(err, ERROR_INVALID, "network name is empty");
	if (length > NETWORK_NAME_MAX)
		return err_set(err, ERROR_INVALID,
			       "network name is longer than %d characters",
			       NETWORK_NAME_MAX);
	if (strchr(letters, name[0]) &&
	    strspn(name + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"
			     "WXYZ0123456789_.-") == length - 1)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "network name \"%s\" is invalid: only "
		       "\"[a-zA-Z0-9][a-zA-Z0-9_.-]*\" are allowed",
		       name);
}

/* Their IDs are always the same: the name's bytes and zeros. */
static void built_in_id(const char *name, char ret_id[ID_TEXT_MAX])
{
	memset(ret_id, '0', ID_TEXT_MAX - 1);
	ret_id[ID_TEXT_MAX - 1] = '\0';
	for (size_t i = 0; name[i]; i++) {
		char digits[3];

		hex_encode(digits, name + i, 1);
		memcpy(ret_id + 2 * i, digits, 2);
	}
}

bool network_is_built_in(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_ins); i++) {
		if (str_equal(built_ins[i].name, name))
			return true;
	}
	return false;
}

static cJSON *built_in_json(const char *name, const char *driver,
			    const char *subnet, const char *id)
{
	cJSON *json = json_object();
	cJSON *ipam = json_object();
	cJSON *configs = json_array();
	cJSON *from = json_object();

	if (subnet) {
		cJSON *config = json_object();

		json_set_string(config, "Subnet", subnet);
		json_set_string(config, "Gateway", NET_GATEWAY);
		json_push(configs, config);
	}
	json_set_string(ipam, "Driver", "default");
	json_set(ipam, "Options", NULL);
	json_set(ipam, "Config", configs);
	json_set_string(from, "Network", "");
	json_set_string(json, "Name", name);
	json_set_string(json, "Id", id);
	json_set_string(json, "Created", "0001-01-01T00:00:00Z");
	json_set_string(json, "Scope", "local");
	json_set_string(json, "Driver", driver);
	json_set_bool(json, "EnableIPv4", true);
	json_set_bool(json, "EnableIPv6", subnet != NULL);
	json_set(json, "IPAM", ipam);
	json_set_bool(json, "Internal", false);
	json_set_bool(json, "Attachable", false);
	json_set_bool(json, "Ingress", false);
	json_set(json, "ConfigFrom", from);
	json_set_bool(json, "ConfigOnly", false);
	json_set(json, "Options", json_object());
	json_set(json, "Labels", json_object());
	return json;
}

/* 1 when it is one of those, 0 otherwise. */
static int find_built_in(const char *name, struct network_record *ret_record)
{
	for (size_t i = 0; i < ARRAY_SIZE(built_ins); i++) {
		struct network_record record = {.built_in = true};

		built_in_id(built_ins[i].name, record.id);
		if (!str_equal(built_ins[i].name, name) &&
		    (strlen(name) < 2 || !str_starts(record.id, name)))
			continue;
		record.name = xstrdup(built_ins[i].name);
		record.json =
			built_in_json(built_ins[i].name, built_ins[i].driver,
				      built_ins[i].subnet, record.id);
		*ret_record = record;
		return 1;
	}
	return 0;
}

int network_directory(const struct store *store, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(store->root_fd, NETWORKS, flags);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(store->root_fd, NETWORKS, 0700) < 0 &&
		    errno != EEXIST)
			return err_errno(err, "cannot make %s/" NETWORKS,
					 store->path);
		fd = openat(store->root_fd, NETWORKS, flags);
	}
	if (fd < 0)
		return err_errno(err, "cannot open %s/" NETWORKS, store->path);
	return fd;
}

int network_lock(const struct store *store, struct error *err)
{
	cleanup_fd int directory_fd = network_directory(store, err);

	if (directory_fd < 0)
		return directory_fd;
	return lock_open_at(directory_fd, LOCK, LOCK_EXCLUSIVE, true, err);
}

static int not_found(const char *name, struct error *err)
{
	return err_set(err, ERROR_NOT_FOUND, "network %s not found", name);
}

/* -ENOENT without a message when there is none. */
static int read_record(int directory_fd, const char *name,
		       struct network_record *ret_record, struct error *err)
{
	CLEANUP(network_record_release)
	struct network_record record = {.name = xstrdup(name)};
	cleanup_free char *path = xasprintf("%s/" RECORD, name);
	const char *id;
	int r;

	if (faccessat(directory_fd, path, F_OK, 0) < 0 && errno == ENOENT)
		return -ENOENT;
	r = json_read_at(directory_fd, path, &record.json, err);
	if (r < 0)
		return r;
	id = member_string(record.json, "Id");
	if (strlen(id) != ID_TEXT_MAX - 1)
		return err_set(err, ERROR_CORRUPT, "network %s: %s has no ID",
			       name, RECORD);
	memcpy(record.id, id, ID_TEXT_MAX);
	*ret_record = record;
	record = (struct network_record){0};
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int network_names(const struct store *store, char ***ret_names,
		  struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = network_directory(store, err);

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot open %s/" NETWORKS, store->path);
	}
	while (errno = 0, (entry = readdir(dir))) {
		cleanup_free char *path = NULL;

		if (network_name_check(entry->d_name, NULL) < 0)
			continue;
		path = xasprintf("%s/" RECORD, entry->d_name);
		if (faccessat(dirfd(dir), path, F_OK, 0) == 0)
			strv_push(&names, entry->d_name);
	}
	if (errno != 0)
		return err_errno(err, "cannot read %s/" NETWORKS, store->path);
	if (names)
		qsort(names, strv_length(names), sizeof(*names), compare_names);
	*ret_names = steal_ptr(&names);
	return 0;
}

/* The only one whose ID begins with text; 0: none. */
static int find_by_id(const struct store *store, int directory_fd,
		      const char *text, struct network_record *ret_record,
		      struct error *err)
{
	CLEANUP(network_record_release) struct network_record found = {0};
	cleanup_strv char **names = NULL;
	int r = network_names(store, &names, err);

	for (size_t i = 0; r >= 0 && names && names[i]; i++) {
		CLEANUP(network_record_release)
		struct network_record record = {0};

		if (read_record(directory_fd, names[i], &record, NULL) < 0 ||
		    !str_starts(record.id, text))
			continue;
		if (found.name)
			return err_set(err, ERROR_INVALID,
				       "network %s is ambiguous (%d matches "
				       "found on ID prefix)",
				       text, 2);
		found = record;
		record = (struct network_record){0};
	}
	if (r < 0 || !found.name)
		return r;
	*ret_record = found;
	found = (struct network_record){0};
	return 1;
}

int network_find(const struct store *store, const char *name,
		 struct network_record *ret_record, struct error *err)
{
	cleanup_fd int directory_fd = -1;
	int r;

	if (*name == '\0')
		return not_found(name, err);
	if (network_is_built_in(name))
		return find_built_in(name, ret_record) > 0 ? 0 : -ENOENT;
	directory_fd = network_directory(store, err);
	if (directory_fd < 0)
		return directory_fd;
	/* No other name is in there, and some would lead elsewhere. */
	if (network_name_check(name, NULL) < 0)
		return not_found(name, err);
	r = read_record(directory_fd, name, ret_record, err);
	if (r != -ENOENT)
		return r;
	r = find_by_id(store, directory_fd, name, ret_record, err);
	if (r == 0)
		r = find_built_in(name, ret_record);
	if (r < 0)
		return r;
	return r > 0 ? 0 : not_found(name, err);
}

int network_write(struct store *store, const cJSON *json, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int directory_fd = network_directory(store, err);
	cleanup_fd int part_fd = -1;
	const char *name = member_string(json, "Name");
	int r;

	if (directory_fd < 0)
		return directory_fd;
	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	if (mkdirat(work.fd, PART, 0700) < 0)
		return err_errno(err, "cannot make network %s", name);
	part_fd = openat(work.fd, PART, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (part_fd < 0 || mkdirat(part_fd, "addresses", 0700) < 0 ||
	    mkdirat(part_fd, "endpoints", 0700) < 0)
		return err_errno(err, "cannot make network %s", name);
	r = json_write_at(part_fd, RECORD, json, 0, err);
	if (r < 0)
		return r;
	/* Without a record it is nobody's. */
	r = tree_remove_at(directory_fd, name, err);
	if (r < 0)
		return r;
	if (renameat(work.fd, PART, directory_fd, name) < 0 ||
	    fsync(directory_fd) < 0)
		return err_errno(err, "cannot make network %s", name);
	return 0;
}

int network_delete(struct store *store, const char *name, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int directory_fd = network_directory(store, err);
	int r;

	if (directory_fd < 0)
		return directory_fd;
	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	if (renameat(directory_fd, name, work.fd, PART) < 0) {
		if (errno == ENOENT)
			return not_found(name, err);
		return err_errno(err, "cannot remove network %s", name);
	}
	return tree_remove_at(work.fd, PART, err);
}

bool network_pool(const struct network_record *record, int family,
		  struct net_pool *ret_pool)
{
	const cJSON *config;

	cJSON_ArrayForEach(
		config, member_get(member_get(record->json, "IPAM"), "Config"))
	{
		struct net_pool pool = {0};
		const cJSON *item;

		if (!prefix_parse(member_string(config, "Subnet"),
				  &pool.subnet) ||
		    pool.subnet.address.family != family)
			continue;
		(void)prefix_parse(member_string(config, "IPRange"),
				   &pool.range);
		(void)address_parse(member_string(config, "Gateway"),
				    &pool.gateway);
		cJSON_ArrayForEach(item,
				   member_get(config, "AuxiliaryAddresses"))
		{
			if (pool.reserved_count < POOL_RESERVED_MAX &&
			    address_parse(item_string(item),
					  &pool.reserved[pool.reserved_count]))
				pool.reserved_count++;
		}
		*ret_pool = pool;
		return true;
	}
	return false;
}

unsigned int network_mtu(const struct network_record *record)
{
	const char *text = member_string(member_get(record->json, "Options"),
					 NETWORK_OPTION_MTU);
	uint64_t mtu = 0;

	return parse_u64(text, &mtu) == 0 && mtu > 0 && mtu < NET_MTU
		       ? (unsigned int)mtu
		       : NET_MTU;
}

bool network_option(const struct network_record *record, const char *name,
		    bool otherwise)
{
	bool value = otherwise;

	(void)parse_bool(
		member_string(member_get(record->json, "Options"), name),
		&value);
	return value;
}

/* Does a link lead to a container that is there? */
static bool is_claimed(const struct store *store, int addresses_fd,
		       const char *name, const char *id)
{
	cleanup_free char *path = NULL;
	char owner[ID_TEXT_MAX];
	ssize_t length = readlinkat(addresses_fd, name, owner, sizeof(owner));

	if (length != sizeof(owner) - 1)
		return false;
	owner[length] = '\0';
	/* Its own, from before. */
	if (str_equal(owner, id))
		return false;
	path = xasprintf(STORE_CONTAINERS "/%s", owner);
	return faccessat(store->root_fd, path, F_OK, 0) == 0;
}

/* 1: claimed; 0: somebody else's. */
static int claim_one(const struct store *store, int addresses_fd,
		     const char *name, const char *id, struct error *err)
{
	if (symlinkat(id, addresses_fd, name) == 0)
		return 1;
	if (errno != EEXIST)
		return err_errno(err, "cannot claim address %s", name);
	if (is_claimed(store, addresses_fd, name, id))
		return 0;
	/* What a removed container left. */
	if (unlinkat(addresses_fd, name, 0) < 0 ||
	    symlinkat(id, addresses_fd, name) < 0)
		return err_errno(err, "cannot claim address %s", name);
	return 1;
}

static int claim_any(const struct store *store,
		     const struct network_record *record,
		     const struct net_pool *pool, int addresses_fd,
		     const char *id, struct net_address_value *ret_address,
		     struct error *err)
{
	struct net_address_value candidate = {0};
	char text[ADDRESS_TEXT_MAX];

	for (int i = 0; i < POOL_CANDIDATES_MAX && pool_next(pool, &candidate);
	     i++) {
		int r;

		address_text(&candidate, text);
		r = claim_one(store, addresses_fd, text, id, err);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_address = candidate;
			return 0;
		}
	}
	err_set(err, ERROR_CONFLICT,
		"no available %s addresses on this network's address pools: "
		"%s (%s)",
		pool->subnet.address.family == AF_INET6 ? "IPv6" : "IPv4",
		record->name, record->id);
	return err_hint(err, "stopped containers keep their addresses until "
			     "they are removed or disconnected");
}

int network_claim(const struct store *store,
		  const struct network_record *record,
		  const struct net_pool *pool,
		  const struct net_address_value *wanted, const char *id,
		  struct net_address_value *ret_address, struct error *err)
{
	cleanup_free char *path = xasprintf("%s/addresses", record->name);
	cleanup_fd int directory_fd = network_directory(store, err);
	cleanup_fd int addresses_fd = -1;
	char text[ADDRESS_TEXT_MAX];
	int r;

	if (directory_fd < 0)
		return directory_fd;
	addresses_fd = openat(directory_fd, path,
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (addresses_fd < 0)
		return errno == ENOENT ? not_found(record->name, err)
				       : err_errno(err, "cannot open %s", path);
	if (wanted->family == 0)
		return claim_any(store, record, pool, addresses_fd, id,
				 ret_address, err);
	r = pool_check(pool, wanted, err);
	if (r < 0)
		return r;
	address_text(wanted, text);
	r = claim_one(store, addresses_fd, text, id, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERROR_CONFLICT,
			       "Address already in use: %s", text);
	*ret_address = *wanted;
	return 0;
}
