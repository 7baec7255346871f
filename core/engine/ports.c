/* Ports that come to a container and go: core/engine/engine.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/monitor/control.h"

/* One container's ports as they are to be, with what it takes to get there. */
struct change {
	struct container container;
	struct port_list wanted; /* Moss.Ports */
	struct port_list drop;	 /* as bound, of those that go */
};

#define CHANGE_INIT                          \
	{                                    \
		.container = CONTAINER_INIT, \
	}

static void change_release(struct change *change)
{
	container_close(&change->container);
	port_list_release(&change->wanted);
	port_list_release(&change->drop);
}

static int change_open(struct engine *engine, const char *id,
		       struct change *change, struct error *err)
{
	struct container *container = &change->container;
	const cJSON *moss;
	const char *network;
	int r = container_open_locked(engine, id, container, err);

	if (r < 0)
		return r;
	moss = member_get(container->json, "Moss");
	network = member_string(moss, "Network");
	if (!str_equal(network, "slirp") && !str_equal(network, "named"))
		return err_set(err, ERROR_CONFLICT,
			       "container %s has no network of its own whose "
			       "ports could be published",
			       container->name);
	return record_ports_parse(moss, "Moss", &change->wanted, err);
}

/* ---- HostConfig.PortBindings ---- */

static char *binding_key(const struct port_mapping *port)
{
	return xasprintf("%u/%s", port->container_port,
			 port_protocol_name(port->protocol));
}

/* "", "8080", "8000-8010" */
static char *binding_number(const struct port_mapping *port)
{
	if (port->host_port == 0)
		return xstrdup("");
	if (port->host_port_end > port->host_port)
		return xasprintf("%u-%u", port->host_port, port->host_port_end);
	return xasprintf("%u", port->host_port);
}

static cJSON *bindings_of(cJSON *container)
{
	cJSON *host = cJSON_GetObjectItemCaseSensitive(container, "HostConfig");
	cJSON *bindings =
		cJSON_GetObjectItemCaseSensitive(host, "PortBindings");

	if (cJSON_IsObject(bindings))
		return bindings;
	bindings = json_object();
	json_set(host, "PortBindings", bindings);
	return bindings;
}

static void binding_add(cJSON *container, const struct port_mapping *port)
{
	cJSON *bindings = bindings_of(container);
	cleanup_free char *key = binding_key(port);
	cleanup_free char *number = binding_number(port);
	cJSON *list = cJSON_GetObjectItemCaseSensitive(bindings, key);
	cJSON *binding = json_object();

	if (!cJSON_IsArray(list)) {
		list = json_array();
		json_set(bindings, key, list);
	}
	json_set_string(binding, "HostIp", port->host_ip);
	json_set_string(binding, "HostPort", number);
	json_push(list, binding);
}

/* What --publish-all has published is not there. */
static void binding_remove(cJSON *container, const struct port_mapping *port)
{
	cJSON *bindings = bindings_of(container);
	cleanup_free char *key = binding_key(port);
	cleanup_free char *number = binding_number(port);
	cJSON *list = cJSON_GetObjectItemCaseSensitive(bindings, key);
	cJSON *binding;

	cJSON_ArrayForEach(binding, list)
	{
		const char *text = member_string(binding, "HostPort");

		if (!str_equal(member_string(binding, "HostIp"),
			       port->host_ip) ||
		    !str_equal(str_equal(text, "0") ? "" : text, number))
			continue;
		cJSON_Delete(cJSON_DetachItemViaPointer(list, binding));
		break;
	}
	if (cJSON_GetArraySize(list) == 0)
		cJSON_DeleteItemFromObjectCaseSensitive(bindings, key);
}

/* ---- what goes ---- */

/* "" stands for all addresses, 0 for any port. */
static bool is_meant(const struct port_mapping *spec,
		     const struct port_mapping *port)
{
	uint16_t last = spec->host_port_end > spec->host_port
				? spec->host_port_end
				: spec->host_port;

	return spec->container_port == port->container_port &&
	       spec->protocol == port->protocol &&
	       (*spec->host_ip == '\0' ||
		str_equal(spec->host_ip, port->host_ip)) &&
	       (spec->host_port == 0 || (port->host_port >= spec->host_port &&
					 port->host_port <= last));
}

/* Was bound made from wanted? */
static bool is_of(const struct port_mapping *bound,
		  const struct port_mapping *wanted)
{
	uint16_t last = wanted->host_port_end > wanted->host_port
				? wanted->host_port_end
				: wanted->host_port;

	return bound->container_port == wanted->container_port &&
	       bound->protocol == wanted->protocol &&
	       str_equal(bound->host_ip, wanted->host_ip) &&
	       (wanted->host_port == 0 ||
		(bound->host_port >= wanted->host_port &&
		 bound->host_port <= last));
}

static void push(struct port_list *list, const struct port_mapping *port)
{
	list->entries = xrealloc(list->entries, list->count + 1,
				 sizeof(*list->entries));
	list->entries[list->count++] = *port;
}

/* One on a port of the kernel's choice, by where it is bound. */
static bool take_bound(struct change *change, const struct port_mapping *spec,
		       const struct port_mapping *wanted)
{
	const struct port_list *bound = &change->container.state.ports;

	for (size_t i = 0; i < bound->count; i++) {
		const struct port_mapping *port = &bound->entries[i];
		bool taken = false;

		if (!is_of(port, wanted) || !is_meant(spec, port))
			continue;
		for (size_t j = 0; j < change->drop.count; j++)
			taken = taken ||
				(is_of(&change->drop.entries[j], wanted) &&
				 change->drop.entries[j].host_port ==
					 port->host_port);
		if (taken)
			continue;
		push(&change->drop, port);
		return true;
	}
	return false;
}

/* The kernel chooses the host's port. */
static bool is_chosen(const struct port_mapping *port)
{
	return port->host_port == 0 || port->host_port_end > port->host_port;
}

/* True when something was meant by it. */
static bool take_out(struct change *change, const struct port_mapping *spec)
{
	struct port_list *wanted = &change->wanted;
	size_t kept = 0;
	bool found = false;

	for (size_t i = 0; i < wanted->count; i++) {
		const struct port_mapping port = wanted->entries[i];
		bool meant = is_meant(spec, &port);

		if (is_chosen(&port))
			meant = take_bound(change, spec, &port) ||
				(meant &&
				 (spec->host_port == 0 || is_chosen(spec)));
		if (meant)
			binding_remove(change->container.json, &port);
		else
			wanted->entries[kept++] = port;
		found = found || meant;
	}
	wanted->count = kept;
	return found;
}

/* ---- making it so ---- */

static bool has_monitor(const struct container *container)
{
	return container->state.status == CONTAINER_RUNNING ||
	       container->state.status == CONTAINER_PAUSED ||
	       container->state.status == CONTAINER_RESTARTING;
}

static int write_record(struct change *change, struct error *err)
{
	struct container *container = &change->container;
	cJSON *moss = cJSON_GetObjectItemCaseSensitive(container->json, "Moss");

	json_set(moss, "Ports", record_ports_json(&change->wanted));
	return record_write(&container->record, container->json, err);
}

/* The monitor follows; one that ends meanwhile has nothing to follow. */
static int sync_monitor(struct engine *engine, struct change *change,
			struct error *err)
{
	struct container *container = &change->container;
	struct error problem = {0};
	int r;

	if (!has_monitor(container))
		return 0;
	r = monitor_sync_ports(&container->record, &change->drop, &problem);
	if (r >= 0)
		return 0;
	if (problem.kind == ERROR_CONFLICT &&
	    container_refresh(engine, container, NULL) >= 0 &&
	    !has_monitor(container))
		return 0;
	return err_copy(err, &problem);
}

static int apply(struct engine *engine, struct change *change,
		 struct error *err)
{
	struct container *container = &change->container;
	cleanup_json cJSON *before = NULL;
	int r = record_read(&container->record, &before, err);

	r = r < 0 ? r : write_record(change, err);
	if (r < 0)
		return r;
	r = sync_monitor(engine, change, err);
	if (r < 0) {
		/* As if nothing had been. */
		if (record_write(&container->record, before, NULL) >= 0)
			(void)monitor_sync_ports(&container->record, NULL,
						 NULL);
		return r;
	}
	container_tell(engine, container, "update", NULL);
	return 0;
}

static bool is_published(const struct port_list *list,
			 const struct port_mapping *port)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct port_mapping *other = &list->entries[i];

		if (port->host_port != 0 &&
		    other->host_port == port->host_port &&
		    other->host_port_end == port->host_port_end &&
		    other->protocol == port->protocol &&
		    str_equal(other->host_ip, port->host_ip))
			return true;
	}
	return false;
}

int engine_container_ports_add(struct engine *engine, const char *id,
			       const struct port_list *ports, struct error *err)
{
	CLEANUP(change_release) struct change change = CHANGE_INIT;
	int r = change_open(engine, id, &change, err);

	if (r < 0)
		return r;
	if (change.wanted.count + ports->count > PORT_MAPPINGS_MAX)
		return err_set(err, ERROR_INVALID,
			       "too many ports: the limit is %d",
			       PORT_MAPPINGS_MAX);
	for (size_t i = 0; i < ports->count; i++) {
		const struct port_mapping *port = &ports->entries[i];

		if (is_published(&change.wanted, port))
			return err_set(err, ERROR_CONFLICT,
				       "container %s has published %u/%s "
				       "already",
				       change.container.name, port->host_port,
				       port_protocol_name(port->protocol));
		push(&change.wanted, port);
		binding_add(change.container.json, port);
	}
	return apply(engine, &change, err);
}

int engine_container_ports_remove(struct engine *engine, const char *id,
				  const struct port_list *specs,
				  struct error *err)
{
	CLEANUP(change_release) struct change change = CHANGE_INIT;
	int r = change_open(engine, id, &change, err);

	for (size_t i = 0; r >= 0 && i < specs->count; i++) {
		cleanup_free char *key = binding_key(&specs->entries[i]);

		if (!take_out(&change, &specs->entries[i]))
			return err_set(err, ERROR_NOT_FOUND,
				       "no public port '%s' published for %s",
				       key, change.container.name);
	}
	return r < 0 ? r : apply(engine, &change, err);
}
