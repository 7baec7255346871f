/* Networks as objects: core/engine/engine.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/network_store.h"
#include "net/netns.h"
#include "storage/store/events.h"

/* docker's "172.18.0.2/16", "" without an address. */
static void set_cidr(cJSON *json, const char *member, const char *address,
		     int64_t prefix)
{
	cleanup_free char *text = NULL;

	text = *address ? xasprintf("%s/%d", address, (int)prefix)
			: xstrdup("");
	json_set_string(json, member, text);
}

/* One of a network's Containers: its entry in Moss.Networks, NULL with slirp.
 */
static void add_member(cJSON *members, const struct container *container,
		       const cJSON *network)
{
	const cJSON *moss = member_get(container->json, "Moss");
	cJSON *json = json_object();

	json_set_string(json, "Name", container->name);
	json_set_string(json, "EndpointID",
			network ? member_string(network, "EndpointId") : "");
	json_set_string(json, "MacAddress",
			member_string(network ? network : moss, "Mac"));
	set_cidr(json, "IPv4Address",
		 member_string(network ? network : moss, "Address"),
		 network ? member_i64(network, "Prefix") : NET_PREFIX);
	set_cidr(json, "IPv6Address",
		 network ? member_string(network, "Address6") : NET_ADDRESS6,
		 network ? member_i64(network, "Prefix6") : NET_PREFIX6);
	json_set(members, container->record.id, json);
}

static const cJSON *find_entry(const cJSON *container, const char *name)
{
	const cJSON *entry;

	cJSON_ArrayForEach(
		entry, member_get(member_get(container, "Moss"), "Networks"))
	{
		if (str_equal(member_string(entry, "Name"), name))
			return entry;
	}
	return NULL;
}

/* IDs of the containers that are on it now: whose monitor holds its endpoint.
 */
static int live_endpoints(const struct store *store, const char *name,
			  char ***ret_ids)
{
	cleanup_free char *path = xasprintf("networks/%s/endpoints", name);
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store->root_fd, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		if (record_id_is_valid(entry->d_name) &&
		    lock_is_held_at(dirfd(dir), entry->d_name) > 0)
			strv_push(ret_ids, entry->d_name);
	}
	return 0;
}

struct slirp_members {
	cJSON *members;
	const char *network; /* Moss.Network of those */
};

static int add_slirp_member(const struct container *container, void *data,
			    struct error *err)
{
	const struct slirp_members *wanted = data;
	const cJSON *moss = member_get(container->json, "Moss");

	if (container->state.status == CONTAINER_RUNNING &&
	    str_equal(member_string(moss, "Network"), wanted->network))
		add_member(wanted->members, container, NULL);
	return 0;
}

static int built_in_members(struct engine *engine, const char *name,
			    cJSON *members, struct error *err)
{
	struct slirp_members wanted = {members, "slirp"};

	/* What is on the host's network, or on none, has no address of ours. */
	if (!str_equal(name, "bridge"))
		return 0;
	return container_for_each(engine, add_slirp_member, &wanted, err);
}

static int members_of(struct engine *engine,
		      const struct network_record *record, cJSON *members,
		      struct error *err)
{
	cleanup_strv char **ids = NULL;
	int r;

	if (record->built_in)
		return built_in_members(engine, record->name, members, err);
	r = live_endpoints(&engine->store, record->name, &ids);
	if (r < 0)
		return err_number(err, r,
				  "cannot read the endpoints of "
				  "network %s",
				  record->name);
	for (size_t i = 0; ids && ids[i]; i++) {
		CLEANUP(container_close)
		struct container container = CONTAINER_INIT;
		const cJSON *entry;

		if (container_open(engine, ids[i], &container, NULL) < 0)
			continue;
		entry = find_entry(container.json, record->name);
		if (entry)
			add_member(members, &container, entry);
	}
	return 0;
}

static int network_json(struct engine *engine,
			const struct network_record *record, bool whole,
			cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cJSON *members = json_object();
	const cJSON *item;

	/* docker's order: Containers come before Options and Labels. */
	cJSON_ArrayForEach(item, record->json)
	{
		if (str_equal(item->string, "Options"))
			json_set(json, "Containers", steal_ptr(&members));
		json_set(json, item->string, cJSON_Duplicate(item, true));
	}
	cJSON_Delete(members);
	members = cJSON_GetObjectItemCaseSensitive(json, "Containers");
	if (whole && members) {
		int r = members_of(engine, record, members, err);

		if (r < 0)
			return r;
	}
	*ret_json = steal_ptr(&json);
	return 0;
}

int engine_network_inspect(struct engine *engine, const char *name,
			   cJSON **ret_json, struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	int r = network_find(&engine->store, name, &record, err);

	if (r < 0)
		return r;
	return network_json(engine, &record, true, ret_json, err);
}

static int push_network(struct engine *engine, const char *name, cJSON *array)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	cJSON *json = NULL;

	/* Removed since. */
	if (network_find(&engine->store, name, &record, NULL) < 0 ||
	    network_json(engine, &record, false, &json, NULL) < 0)
		return 0;
	json_push(array, json);
	return 0;
}

int engine_network_list(struct engine *engine, cJSON **ret_array,
			struct error *err)
{
	static const char *const built_in[] = {"bridge", "host", "none"};
	cleanup_strv char **names = NULL;
	cleanup_json cJSON *array = json_array();
	int r = network_names(&engine->store, &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		push_network(engine, built_in[i], array);
	for (size_t i = 0; names && names[i]; i++)
		push_network(engine, names[i], array);
	*ret_array = steal_ptr(&array);
	return 0;
}

/* docker's words for a network that is not to be removed now. */
static int in_use(struct engine *engine, const struct network_record *record,
		  char *const *ids, struct error *err)
{
	cleanup_str struct str list = {0};

	for (size_t i = 0; ids[i]; i++) {
		CLEANUP(container_close)
		struct container container = CONTAINER_INIT;

		if (container_open(engine, ids[i], &container, NULL) < 0)
			continue;
		str_appendf(&list, "%sname:\"%s\" id:\"%.12s\"",
			    list.length ? ", " : "", container.name, ids[i]);
	}
	return err_set(err, ERROR_CONFLICT,
		       "error while removing network: network %s has active "
		       "endpoints (%s)",
		       record->name, str_text(&list));
}

/* It would end by itself in a while. */
static void end_gateway(const struct store *store, const char *name)
{
	cleanup_free char *path = xasprintf("networks/%s/gateway.json", name);
	cleanup_json cJSON *json = NULL;
	cleanup_fd int pid_fd = -1;

	if (json_read_at(store->root_fd, path, &json, NULL) < 0)
		return;
	pid_fd = proc_open((pid_t)member_i64(json, "Pid"),
			   (uint64_t)member_i64(json, "Start"));
	if (pid_fd >= 0)
		(void)proc_pidfd_signal(pid_fd, SIGKILL);
}

int engine_network_remove(struct engine *engine, const char *name,
			  struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	cleanup_strv char **ids = NULL;
	cleanup_free char *path = NULL;
	cleanup_fd int lock_fd = -1;
	cleanup_fd int operation_fd = -1;
	int r;

	lock_fd = network_lock(&engine->store, err);
	if (lock_fd < 0)
		return lock_fd;
	r = network_find(&engine->store, name, &record, err);
	if (r < 0)
		return r;
	if (record.built_in)
		return err_set(err, ERROR_PERMISSION,
			       "%s is a pre-defined network and cannot be "
			       "removed",
			       record.name);
	/* Who joins holds this one. */
	path = xasprintf("networks/%s/operation.lock", record.name);
	operation_fd = lock_open_at(engine->store.root_fd, path, LOCK_EXCLUSIVE,
				    true, err);
	if (operation_fd < 0)
		return operation_fd;
	r = live_endpoints(&engine->store, record.name, &ids);
	if (r < 0)
		return err_number(err, r,
				  "cannot read the endpoints of network %s",
				  record.name);
	if (ids)
		return in_use(engine, &record, ids, err);
	end_gateway(&engine->store, record.name);
	r = network_delete(&engine->store, record.name, err);
	if (r < 0)
		return r;
	event_write(
		&engine->store, EVENT_NETWORK, "destroy", record.id,
		event_attributes("name", record.name, "type", "bridge", NULL));
	return 0;
}
