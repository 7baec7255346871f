#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/monitor/log_attributes.h"
#include "core/monitor/record_private.h"
#include "net/egress_policy.h"

#define STOP_TIMEOUT_DEFAULT 10
#define STOP_TIMEOUT_MAX     (366 * 24 * 3600)
#define PORT_MAX	     65535

static const char *const network_names[] = {
	[LAUNCH_NETWORK_NONE] = "none",
	[LAUNCH_NETWORK_SLIRP] = "slirp",
	[LAUNCH_NETWORK_NAMED] = "named",
	[LAUNCH_NETWORK_HOST] = "host",
	[LAUNCH_NETWORK_CONTAINER] = "container",
};

static const char *const seccomp_names[] = {
	[LAUNCH_SECCOMP_DEFAULT] = "default",
	[LAUNCH_SECCOMP_UNCONFINED] = "unconfined",
	[LAUNCH_SECCOMP_FILE] = "file",
};

/* Members that need no more than a look-up, by the object they are in. */
enum launch_part { PART_CONFIG, PART_HOST_CONFIG, PART_MOSS, PART_COUNT };
enum launch_type { TYPE_BOOL, TYPE_TEXT, TYPE_STRV };

#define MEMBER(part, type, name, member)                                 \
	{                                                                \
		part, type, name, offsetof(struct record_launch, member) \
	}

static const char *const part_names[] = {
	[PART_CONFIG] = "Config",
	[PART_HOST_CONFIG] = "HostConfig",
	[PART_MOSS] = "Moss",
};

static const struct {
	enum launch_part part;
	enum launch_type type;
	const char *name;
	size_t offset;
} members[] = {
	MEMBER(PART_CONFIG, TYPE_BOOL, "Tty", terminal),
	MEMBER(PART_CONFIG, TYPE_BOOL, "OpenStdin", open_stdin),
	MEMBER(PART_CONFIG, TYPE_BOOL, "StdinOnce", stdin_once),
	MEMBER(PART_CONFIG, TYPE_TEXT, "Hostname", hostname),
	MEMBER(PART_HOST_CONFIG, TYPE_BOOL, "AutoRemove", auto_remove),
	MEMBER(PART_HOST_CONFIG, TYPE_STRV, "Dns", dns),
	MEMBER(PART_MOSS, TYPE_STRV, "DiffIds", diff_ids),
	MEMBER(PART_MOSS, TYPE_BOOL, "Volatile", is_volatile),
	MEMBER(PART_MOSS, TYPE_BOOL, "HostLoopback", host_loopback),
	MEMBER(PART_MOSS, TYPE_STRV, "HostPorts", host_ports),
	MEMBER(PART_MOSS, TYPE_TEXT, "Address", address),
	MEMBER(PART_MOSS, TYPE_TEXT, "Mac", mac),
	MEMBER(PART_MOSS, TYPE_BOOL, "SingleId", single_id),
	MEMBER(PART_MOSS, TYPE_TEXT, "SeccompName", seccomp_name),
	MEMBER(PART_MOSS, TYPE_STRV, "AnonymousVolumes", anonymous_volumes),
};

static int parse_member(const cJSON *object, size_t index,
			struct record_launch *launch, struct error *err)
{
	char *at = (char *)launch + members[index].offset;
	const char *path = part_names[members[index].part];
	const char *name = members[index].name;
	const char *text = NULL;
	int r;

	switch (members[index].type) {
	case TYPE_BOOL:
		return json_get_bool(object, path, name, (bool *)(void *)at,
				     err);
	case TYPE_STRV:
		return json_get_strv(object, path, name, (char ***)(void *)at,
				     err);
	case TYPE_TEXT:
		r = json_get_string(object, path, name, &text, err);
		if (r > 0)
			*(char **)(void *)at = xstrdup(text);
		return r;
	}
	return 0;
}

/* A word out of a table. */
static int parse_word(const cJSON *object, const char *name,
		      const char *const *words, size_t count, int *ret_index,
		      struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(object, "Moss", name, &text, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (str_equal(text, words[i])) {
			*ret_index = (int)i;
			return 0;
		}
	}
	return err_set(err, ERROR_INVALID, "Moss.%s: unknown value '%s'", name,
		       text ? text : "");
}

static int parse_port_number(const cJSON *json, const char *path,
			     const char *name, uint16_t *ret_port,
			     struct error *err)
{
	int64_t number = 0;
	int r = json_get_i64(json, path, name, &number, err);

	if (r < 0)
		return r;
	if (number < 0 || number > PORT_MAX)
		return err_set(err, ERROR_INVALID, "%s.%s: not a port", path,
			       name);
	*ret_port = (uint16_t)number;
	return 0;
}

static int parse_port(const cJSON *json, const char *path,
		      struct port_mapping *ret_port, struct error *err)
{
	const char *address = "";
	const char *protocol = "tcp";
	int r;

	r = json_get_string(json, path, "HostIp", &address, err);
	if (r >= 0)
		r = json_get_string(json, path, "Protocol", &protocol, err);
	if (r >= 0)
		r = parse_port_number(json, path, "HostPort",
				      &ret_port->host_port, err);
	if (r >= 0)
		r = parse_port_number(json, path, "HostPortEnd",
				      &ret_port->host_port_end, err);
	if (r >= 0)
		r = parse_port_number(json, path, "ContainerPort",
				      &ret_port->container_port, err);
	if (r < 0)
		return r;
	if (strlen(address) >= sizeof(ret_port->host_ip))
		return err_set(err, ERROR_INVALID, "%s.HostIp: too long", path);
	strcpy(ret_port->host_ip, address);
	if (!str_equal(protocol, "tcp") && !str_equal(protocol, "udp"))
		return err_set(err, ERROR_INVALID,
			       "%s.Protocol: unknown value '%s'", path,
			       protocol);
	ret_port->protocol = str_equal(protocol, "udp") ? PORT_UDP : PORT_TCP;
	return 0;
}

int record_ports_parse(const cJSON *object, const char *path,
		       struct port_list *ret_ports, struct error *err)
{
	struct port_list ports = {0};
	const cJSON *array = NULL;
	const cJSON *item;
	int r = json_get_array(object, path, "Ports", &array, err);
	int count;

	if (r <= 0)
		return r;
	count = cJSON_GetArraySize(array);
	if (count > PORT_MAPPINGS_MAX)
		return err_set(err, ERROR_INVALID, "%s.Ports: more than %d",
			       path, PORT_MAPPINGS_MAX);
	if (count == 0)
		return 0;
	ports.entries = xcalloc((size_t)count, sizeof(*ports.entries));
	cJSON_ArrayForEach(item, array)
	{
		char name[64];

		snprintf(name, sizeof(name), "%s.Ports[%zu]", path,
			 ports.count);
		r = parse_port(item, name, &ports.entries[ports.count++], err);
		if (r < 0) {
			port_list_release(&ports);
			return r;
		}
	}
	*ret_ports = ports;
	return 0;
}

cJSON *record_ports_json(const struct port_list *ports)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < ports->count; i++) {
		const struct port_mapping *port = &ports->entries[i];
		cJSON *json = json_object();

		json_set_string(json, "HostIp", port->host_ip);
		json_set_i64(json, "HostPort", port->host_port);
		json_set_i64(json, "HostPortEnd", port->host_port_end);
		json_set_i64(json, "ContainerPort", port->container_port);
		json_set_string(json, "Protocol",
				port_protocol_name(port->protocol));
		json_push(array, json);
	}
	return array;
}

static int parse_name(const cJSON *container, struct record_launch *launch,
		      struct error *err)
{
	const char *name = NULL;
	int r = json_get_string(container, "container", "Name", &name, err);

	if (r < 0)
		return r;
	if (name && *name == '/')
		name++;
	if (str_empty(name) || strchr(name, '/'))
		return err_set(err, ERROR_INVALID,
			       "container.Name: '%s' is no name",
			       name ? name : "");
	launch->name = xstrdup(name);
	return 0;
}

static int parse_stop(const cJSON *config, struct record_launch *launch,
		      struct error *err)
{
	const char *signal = NULL;
	int64_t timeout = STOP_TIMEOUT_DEFAULT;
	int r;

	r = json_get_string(config, "Config", "StopSignal", &signal, err);
	if (r >= 0)
		r = json_get_i64(config, "Config", "StopTimeout", &timeout,
				 err);
	if (r < 0)
		return r;
	launch->stop_signal =
		str_empty(signal) ? SIGTERM : signal_from_name(signal);
	if (launch->stop_signal <= 0)
		return err_set(err, ERROR_INVALID,
			       "Config.StopSignal: invalid signal '%s'",
			       signal);
	if (timeout < -1 || timeout > STOP_TIMEOUT_MAX)
		return err_set(err, ERROR_INVALID,
			       "Config.StopTimeout: %" PRId64
			       " is out of range",
			       timeout);
	launch->stop_timeout = (int)timeout;
	return 0;
}

static int parse_capabilities(const cJSON *moss, struct record_launch *launch,
			      struct error *err)
{
	const char *text = NULL;
	char *end = NULL;
	int r = json_get_string(moss, "Moss", "Capabilities", &text, err);

	if (r <= 0)
		return r;
	errno = 0;
	if (str_starts(text, "0x") && text[2] && text[2] != '-')
		launch->capabilities = strtoull(text + 2, &end, 16);
	if (!end || *end || errno)
		return err_set(err, ERROR_INVALID,
			       "Moss.Capabilities: '%s' is no mask", text);
	return 0;
}

static int parse_publish_mode(const cJSON *moss, struct record_launch *launch,
			      struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(moss, "Moss", "PublishMode", &text, err);

	return r < 0 ? r : publish_mode_parse(text, &launch->publish_mode, err);
}

static int parse_egress(const cJSON *moss, struct record_launch *launch,
			struct error *err)
{
	const cJSON *json = NULL;
	int r = json_get_object(moss, "Moss", "Egress", &json, err);

	if (r <= 0)
		return r;
	launch->egress = xcalloc(1, sizeof(*launch->egress));
	return egress_policy_parse(json, "Moss.Egress", launch->egress, err);
}

static int parse_moss(const cJSON *moss, struct record_launch *launch,
		      struct error *err)
{
	const char *driver = NULL;
	int network = 0;
	int seccomp = 0;
	int r;

	r = json_get_string(moss, "Moss", "StorageDriver", &driver, err);
	if (r < 0)
		return r;
	if (str_empty(driver))
		return err_set(err, ERROR_INVALID,
			       "Moss.StorageDriver: missing");
	r = snapshot_driver_from_name(driver, &launch->storage_driver, err);
	if (r >= 0)
		r = parse_word(moss, "Network", network_names,
			       ARRAY_SIZE(network_names), &network, err);
	if (r >= 0)
		r = parse_word(moss, "Seccomp", seccomp_names,
			       ARRAY_SIZE(seccomp_names), &seccomp, err);
	if (r >= 0)
		r = parse_capabilities(moss, launch, err);
	if (r >= 0)
		r = record_ports_parse(moss, "Moss", &launch->ports, err);
	if (r >= 0)
		r = parse_publish_mode(moss, launch, err);
	if (r >= 0)
		r = parse_egress(moss, launch, err);
	if (r >= 0)
		r = record_networks_parse(moss, &launch->networks,
					  &launch->network_count, err);
	launch->network = (enum launch_network)network;
	launch->seccomp = (enum launch_seccomp)seccomp;
	return r;
}

static int parse_launch(const cJSON *container, struct record_launch *launch,
			struct error *err)
{
	const cJSON *parts[PART_COUNT] = {NULL};
	int r = parse_name(container, launch, err);

	for (size_t i = 0; r >= 0 && i < PART_COUNT; i++) {
		r = json_get_object(container, "container", part_names[i],
				    &parts[i], err);
		if (r == 0)
			r = err_set(err, ERROR_INVALID, "container.%s: missing",
				    part_names[i]);
	}
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(members); i++)
		r = parse_member(parts[members[i].part], i, launch, err);
	if (r >= 0)
		r = parse_stop(parts[PART_CONFIG], launch, err);
	if (r >= 0)
		r = health_check_parse(parts[PART_CONFIG], &launch->health,
				       err);
	if (r >= 0)
		r = restart_policy_parse(parts[PART_HOST_CONFIG],
					 &launch->restart, err);
	if (r >= 0)
		r = log_options_parse(
			cJSON_GetObjectItemCaseSensitive(
				parts[PART_HOST_CONFIG], "LogConfig"),
			&launch->log, err);
	if (r >= 0)
		r = log_attributes_make(container, &launch->log.attributes,
					err);
	if (r >= 0)
		r = parse_moss(parts[PART_MOSS], launch, err);
	return r;
}

int record_launch_parse(const cJSON *container,
			struct record_launch *ret_launch, struct error *err)
{
	struct record_launch launch = {0};
	int r = parse_launch(container, &launch, err);

	if (r < 0) {
		record_launch_release(&launch);
		return r;
	}
	*ret_launch = launch;
	return 0;
}

void record_launch_release(struct record_launch *launch)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		char *at = (char *)launch + members[i].offset;

		if (members[i].type == TYPE_TEXT)
			free(*(char **)(void *)at);
		else if (members[i].type == TYPE_STRV)
			strv_free(*(char ***)(void *)at);
	}
	free(launch->name);
	free(launch->log.attributes);
	health_check_release(&launch->health);
	port_list_release(&launch->ports);
	if (launch->egress)
		egress_policy_release(launch->egress);
	free(launch->egress);
	record_networks_release(launch->networks, launch->network_count);
	*launch = (struct record_launch){0};
}

cJSON *record_launch_json(const struct record_launch *launch)
{
	cJSON *json = json_object();
	char mask[sizeof("0x") + 16];

	json_set_string(json, "StorageDriver",
			snapshot_driver_name(launch->storage_driver));
	json_set_string(json, "Network", network_names[launch->network]);
	json_set_string(json, "Seccomp", seccomp_names[launch->seccomp]);
	snprintf(mask, sizeof(mask), "0x%" PRIx64, launch->capabilities);
	json_set_string(json, "Capabilities", mask);
	json_set(json, "Ports", record_ports_json(&launch->ports));
	if (launch->egress)
		json_set(json, "Egress", egress_policy_json(launch->egress));
	json_set_string(json, "PublishMode",
			publish_mode_name(launch->publish_mode));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *at = (const char *)launch + members[i].offset;
		const char *name = members[i].name;

		if (members[i].part != PART_MOSS)
			continue;
		switch (members[i].type) {
		case TYPE_BOOL:
			json_set_bool(json, name,
				      *(const bool *)(const void *)at);
			break;
		case TYPE_TEXT:
			json_set_string(json, name,
					*(char *const *)(const void *)at);
			break;
		case TYPE_STRV:
			json_set_strv(json, name,
				      *(char **const *)(const void *)at);
			break;
		}
	}
	return json;
}
