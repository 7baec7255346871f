#include "core/engine/network_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "net/files.h"
#include "net/netns.h"

/* A name without a dot is a container's first of all, as with docker; and where
   both name servers refuse, musl waits for more. */
#define NDOTS	"ndots:"
#define TIMEOUT "timeout:"

/* Made anew at each start, so nothing is lost by a power cut. */
static int write_whole(const struct container *container, const char *name,
		       const char *text, bool in_place, struct error *err)
{
	int directory_fd = container->record.directory_fd;
	cleanup_fd int fd = -1;
	int r;

	if (!in_place)
		return file_write_atomic_at(directory_fd, name, text,
					    strlen(text), 0644, FILE_VOLATILE,
					    err);
	fd = openat(directory_fd, name,
		    O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, "cannot write the container's %s", name);
	r = write_all(fd, text, strlen(text));
	return r < 0 ? err_number(err, r, "cannot write the container's %s",
				  name)
		     : 0;
}

/* The name servers of its networks; each knows the names of all of them. */
static char **name_servers(const cJSON *networks)
{
	char **servers = NULL;
	const cJSON *item;

	cJSON_ArrayForEach(item, networks)
	{
		strv_push(&servers, member_string(item, "Gateway"));
	}
	return servers;
}

/* Unless it was given another. */
static void add_option(char ***options, const char *name, const char *value)
{
	for (size_t i = 0; *options && (*options)[i]; i++) {
		if (str_starts((*options)[i], name))
			return;
	}
	strv_push_take(options, xasprintf("%s%s", name, value));
}

/* The address that its own name stands for; further ones get lines of their
   own. */
static const char *own_address(const cJSON *networks)
{
	const cJSON *first = cJSON_GetArrayItem(networks, 0);
	const cJSON *item;

	cJSON_ArrayForEach(item, networks)
	{
		if (member_bool(item, "DefaultRoute"))
			return member_string(item, "Address");
	}
	return first ? member_string(first, "Address") : NULL;
}

static void add_addresses(char **hosts, const cJSON *networks,
			  const char *address, const char *hostname)
{
	struct str text = {0};
	const cJSON *item;

	str_append(&text, *hosts);
	cJSON_ArrayForEach(item, networks)
	{
		const char *own[] = {member_string(item, "Address"),
				     member_string(item, "Address6")};

		for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
			if (*own[i] && !str_equal(own[i], address) && *hostname)
				str_appendf(&text, "%s\t%s\n", own[i],
					    hostname);
		}
	}
	free(*hosts);
	*hosts = str_steal(&text);
}

static bool has_way_out(const cJSON *networks)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, networks)
	{
		if (member_bool(item, "DefaultRoute"))
			return true;
	}
	return false;
}

int network_files_write(const struct container *container, bool in_place,
			struct error *err)
{
	const cJSON *config = member_get(container->json, "Config");
	const cJSON *host = member_get(container->json, "HostConfig");
	const cJSON *moss = member_get(container->json, "Moss");
	const cJSON *networks = member_get(moss, "Networks");
	const char *network = member_string(moss, "Network");
	bool slirp = str_equal(network, "slirp");
	bool named = cJSON_GetArraySize(networks) > 0;
	cleanup_strv char **add_hosts = member_strv(host, "ExtraHosts");
	bool routed = named && cJSON_IsObject(member_get(moss, "Egress"));
	cleanup_strv char **servers = named ? name_servers(networks) : NULL;
	cleanup_strv char **dns = named && !routed ? strv_copy(servers)
						   : member_strv(host, "Dns");
	cleanup_strv char **search = member_strv(host, "DnsSearch");
	cleanup_strv char **options = member_strv(host, "DnsOptions");
	bool host_reached = slirp || has_way_out(networks) ||
			    !member_is_empty(member_get(moss, "HostPorts"));
	const char *hostname = member_string(config, "Hostname");
	const char *domain = member_string(config, "Domainname");
	const char *address =
		slirp ? member_string(moss, "Address") : own_address(networks);
	struct net_files_request request = {
		.hostname = hostname,
		.domainname = *domain ? domain : NULL,
		.address = str_empty(address) ? NULL : address,
		.gateway = host_reached ? NET_GATEWAY : NULL,
		.host_network = str_equal(network, "host"),
		.add_hosts = add_hosts,
		.first_dns = routed ? servers[0] : NULL,
		.dns = dns,
		.dns_search = search,
		.default_dns = slirp ? NET_DNS : NULL,
		.default_dns6 = slirp ? NET_DNS6 : NULL,
	};
	cleanup_free char *hosts = NULL;
	cleanup_free char *resolv = NULL;
	cleanup_free char *name = xasprintf("%s\n", hostname);
	int r;

	if (named)
		add_option(&options, NDOTS, "0");
	if (routed)
		add_option(&options, TIMEOUT, "2");
	request.dns_options = options;
	r = net_hosts_text(&request, &hosts, err);
	r = r < 0 ? r : net_resolv_text(&request, &resolv, err);
	if (r < 0)
		return r;
	add_addresses(&hosts, networks, request.address, hostname);
	r = write_whole(container, "hosts", hosts, in_place, err);
	r = r < 0 ? r
		  : write_whole(container, "resolv.conf", resolv, in_place,
				err);
	return r < 0 || in_place
		       ? r
		       : write_whole(container, "hostname", name, false, err);
}
