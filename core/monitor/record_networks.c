/* The member Moss.Networks of a record. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/monitor/record_private.h"

#define NETWORKS_MAX 32 /* of one container */

enum network_type { NETWORK_TEXT, NETWORK_NUMBER, NETWORK_BOOL, NETWORK_STRV };

#define MEMBER(type, name, member)                                  \
	{                                                           \
		type, name, offsetof(struct record_network, member) \
	}

static const struct {
	enum network_type type;
	const char *name;
	size_t offset;
} members[] = {
	MEMBER(NETWORK_TEXT, "Name", name),
	MEMBER(NETWORK_TEXT, "Id", id),
	MEMBER(NETWORK_TEXT, "Address", address),
	MEMBER(NETWORK_NUMBER, "Prefix", prefix),
	MEMBER(NETWORK_TEXT, "Gateway", gateway),
	MEMBER(NETWORK_TEXT, "Address6", address6),
	MEMBER(NETWORK_NUMBER, "Prefix6", prefix6),
	MEMBER(NETWORK_TEXT, "Gateway6", gateway6),
	MEMBER(NETWORK_TEXT, "Mac", mac),
	MEMBER(NETWORK_NUMBER, "Mtu", mtu),
	MEMBER(NETWORK_BOOL, "Internal", internal),
	MEMBER(NETWORK_BOOL, "Isolated", isolated),
	MEMBER(NETWORK_BOOL, "HostLoopback", host_loopback),
	MEMBER(NETWORK_BOOL, "DefaultRoute", default_route),
	MEMBER(NETWORK_STRV, "Aliases", aliases),
};

static int parse_member(const cJSON *json, const char *path, size_t index,
			struct record_network *network, struct error *err)
{
	void *at = (char *)network + members[index].offset;
	const char *name = members[index].name;
	const char *text = NULL;
	int64_t number = 0;
	int r;

	switch (members[index].type) {
	case NETWORK_TEXT:
		r = json_get_string(json, path, name, &text, err);
		if (r >= 0)
			*(char **)at = xstrdup(text ? text : "");
		return r;
	case NETWORK_NUMBER:
		r = json_get_i64(json, path, name, &number, err);
		if (r >= 0 && (number < 0 || number > 65535))
			return err_set(err, ERROR_INVALID,
				       "%s.%s: out of range", path, name);
		if (r >= 0)
			*(unsigned int *)at = (unsigned int)number;
		return r;
	case NETWORK_BOOL:
		return json_get_bool(json, path, name, at, err);
	case NETWORK_STRV:
		return json_get_strv(json, path, name, at, err);
	}
	return 0;
}

void record_networks_release(struct record_network *networks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(members); j++) {
			void *at = (char *)&networks[i] + members[j].offset;

			if (members[j].type == NETWORK_TEXT)
				free(*(char **)at);
			else if (members[j].type == NETWORK_STRV)
				strv_free(*(char ***)at);
		}
	}
	free(networks);
}

int record_networks_parse(const cJSON *moss,
			  struct record_network **ret_networks,
			  size_t *ret_count, struct error *err)
{
	const char *path = "Moss.Networks[]";
	struct record_network *networks;
	const cJSON *array = NULL;
	const cJSON *item;
	size_t count = 0;
	int r = json_get_array(moss, "Moss", "Networks", &array, err);
	int length = cJSON_GetArraySize(array);

	if (r <= 0 || length == 0)
		return r;
	if (length > NETWORKS_MAX)
		return err_set(err, ERROR_INVALID,
			       "a container on more than %d networks",
			       NETWORKS_MAX);
	networks = xcalloc((size_t)length, sizeof(*networks));
	cJSON_ArrayForEach(item, array)
	{
		struct record_network *network = &networks[count++];

		for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(members); i++)
			r = parse_member(item, path, i, network, err);
		/* It names a directory. */
		if (r >= 0 &&
		    (*network->name == '\0' || *network->name == '.' ||
		     strchr(network->name, '/')))
			r = err_set(err, ERROR_INVALID, "%s.Name: '%s'", path,
				    network->name);
		if (r < 0)
			break;
	}
	if (r < 0) {
		record_networks_release(networks, count);
		return r;
	}
	*ret_networks = networks;
	*ret_count = count;
	return 0;
}

static void release_address(int networks_fd, const char *name,
			    const char *address, const char *id)
{
	cleanup_free char *path = NULL;
	char owner[ID_TEXT_MAX];
	ssize_t length;

	if (str_empty(address))
		return;
	path = xasprintf("%s/addresses/%s", name, address);
	length = readlinkat(networks_fd, path, owner, sizeof(owner));
	if (length == (ssize_t)strlen(id) &&
	    strncmp(owner, id, strlen(id)) == 0)
		(void)unlinkat(networks_fd, path, 0);
}

void record_network_release_addresses(const struct store *store, const char *id,
				      const struct record_network *network)
{
	cleanup_fd int fd =
		openat(store->root_fd, "networks",
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	release_address(fd, network->name, network->address, id);
	release_address(fd, network->name, network->address6, id);
}
