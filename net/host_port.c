#include "net/host_port.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static int invalid(const char *text, struct error *err)
{
	err_set(err, ERROR_INVALID, "invalid host port: \"%s\"", text);
	return err_hint(err, "expected is PORT[:CONTAINERPORT], or ranges of "
			     "the same length");
}

/* What port_parse_publish() made of it may be more than is meant here. */
static int check(const char *text, const struct port_list *list, size_t first,
		 struct error *err)
{
	for (size_t i = first; i < list->count; i++) {
		const struct port_mapping *port = &list->entries[i];

		if (port->protocol != PORT_TCP) {
			err_set(err, ERROR_UNSUPPORTED,
				"host port %s: only TCP can be opened", text);
			return err_hint(err,
					"for UDP open the host's loopback: "
					"--network "
					"slirp:allow-host-loopback=true");
		}
		if (port->host_ip[0] || port->host_port == 0 ||
		    port->host_port_end > port->host_port ||
		    port->container_port == 0)
			return invalid(text, err);
		for (size_t j = 0; j < i; j++) {
			if (list->entries[j].container_port ==
			    port->container_port)
				return err_set(err, ERROR_INVALID,
					       "host port %s: port %u of the "
					       "gateway is used twice",
					       text, port->container_port);
		}
	}
	if (list->count > HOST_PORTS_MAX)
		return err_set(err, ERROR_INVALID,
			       "too many host ports: the limit is %d",
			       HOST_PORTS_MAX);
	return 0;
}

int host_port_parse(const char *text, struct port_list *list, struct error *err)
{
	cleanup_free char *both = NULL;
	const char *protocol = strchrnul(text, '/');
	const size_t first = list->count;
	struct error problem = {0};
	int r;

	/* An address has colons, and there is none here. */
	if (!strchr(text, ':'))
		both = xasprintf("%.*s:%s", (int)(protocol - text), text, text);
	r = port_parse_publish(both ? both : text, list, &problem);
	/* In the words of what was given. */
	if (r < 0 && problem.kind == ERROR_INVALID)
		return invalid(text, err);
	if (r < 0)
		return err_copy(err, &problem);
	r = check(text, list, first, err);
	if (r < 0)
		list->count = first;
	return r;
}
