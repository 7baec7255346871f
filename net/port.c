#include "net/port.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define PORT_TEXT_MAX 256

struct range {
	uint16_t first;
	uint16_t last;
};

static const char *const mode_names[] = {
	[PUBLISH_AUTO] = "auto",
	[PUBLISH_SPLICE] = "splice",
	[PUBLISH_SLIRP] = "slirp",
	[PUBLISH_NATIVE] = "native",
};

const struct conf_key port_conf_keys[] = {
	{PORT_CONF_SECTION, PORT_CONF_PUBLISH_MODE, CONF_STRING, 0, 0, 0},
	{PORT_CONF_SECTION, PORT_CONF_HOST_LOOPBACK, CONF_BOOL, 0, 0, 0},
	{0},
};

const char *port_protocol_name(enum port_protocol protocol)
{
	return protocol == PORT_UDP ? "udp" : "tcp";
}

const char *publish_mode_name(enum publish_mode mode)
{
	return mode_names[mode];
}

int publish_mode_parse(const char *text, enum publish_mode *ret_mode,
		       struct error *err)
{
	if (str_empty(text))
		text = mode_names[PUBLISH_AUTO];
	for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++) {
		if (str_equal(text, mode_names[i])) {
			*ret_mode = (enum publish_mode)i;
			return 0;
		}
	}
	err_set(err, ERROR_INVALID, "invalid publish mode: \"%s\"", text);
	return err_hint(err, "use auto, splice, slirp or native");
}

void port_list_release(struct port_list *list)
{
	if (!list)
		return;
	free(list->entries);
	*list = (struct port_list){0};
}

static int append(struct port_list *list, const struct port_mapping *mapping,
		  struct error *err)
{
	if (list->count >= PORT_MAPPINGS_MAX)
		return err_set(err, ERROR_INVALID,
			       "too many ports: the limit is %d",
			       PORT_MAPPINGS_MAX);
	/* doubled at each power of two */
	if ((list->count & (list->count - 1)) == 0)
		list->entries = xrealloc(list->entries,
					 list->count ? 2 * list->count : 1,
					 sizeof(*list->entries));
	list->entries[list->count++] = *mapping;
	return 0;
}

static int check_length(const char *text, struct error *err)
{
	if (strlen(text) > PORT_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid port: longer than %d characters",
			       PORT_TEXT_MAX);
	return 0;
}

/* Decimal digits only, as Go's ParseUint(…, 10, 16). Returns past them. */
static const char *parse_number(const char *text, uint16_t *ret_number)
{
	unsigned int number = 0;
	const char *next = text;

	for (; *next >= '0' && *next <= '9'; next++) {
		number = number * 10 + (unsigned int)(*next - '0');
		if (number > UINT16_MAX)
			return NULL;
	}
	if (next == text)
		return NULL;
	*ret_number = (uint16_t)number;
	return next;
}

/* "80" or "80-90". */
static bool parse_range(const char *text, struct range *ret_range)
{
	struct range range;
	const char *next = parse_number(text, &range.first);

	if (!next)
		return false;
	range.last = range.first;
	if (*next == '-')
		next = parse_number(next + 1, &range.last);
	if (!next || *next != '\0' || range.last < range.first)
		return false;
	*ret_range = range;
	return true;
}

static int parse_protocol(const char *text, enum port_protocol *ret_protocol,
			  struct error *err)
{
	if (str_empty(text) || strcasecmp(text, "tcp") == 0) {
		*ret_protocol = PORT_TCP;
		return 0;
	}
	if (strcasecmp(text, "udp") == 0) {
		*ret_protocol = PORT_UDP;
		return 0;
	}
	if (strcasecmp(text, "sctp") == 0)
		return err_set(err, ERROR_UNSUPPORTED,
			       "cannot publish an sctp port: only tcp and udp "
			       "reach a container without root");
	return err_set(err, ERROR_INVALID, "invalid proto: %s", text);
}

/* Checks the address and writes it in its canonical form. */
static int parse_host_ip(char *text, char ret_ip[46], struct error *err)
{
	struct in6_addr address6;
	struct in_addr address4;
	size_t length = strlen(text);

	if (*text == '\0') {
		*ret_ip = '\0';
		return 0;
	}
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text[length - 1] = '\0';
		text++;
	}
	if (inet_pton(AF_INET, text, &address4) == 1) {
		inet_ntop(AF_INET, &address4, ret_ip, 46);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &address6) != 1)
		return err_set(err, ERROR_INVALID, "invalid IP address: %s",
			       text);
	if (IN6_IS_ADDR_V4MAPPED(&address6))
		inet_ntop(AF_INET, &address6.s6_addr[12], ret_ip, 46);
	else
		inet_ntop(AF_INET6, &address6, ret_ip, 46);
	return 0;
}

/* Splits off what follows the last occurrence of separator, or NULL. */
static char *split_last(char *text, char separator)
{
	char *found = strrchr(text, separator);

	if (!found)
		return NULL;
	*found = '\0';
	return found + 1;
}

/* The three parts of "[ip:][host]:container", cut where docker cuts them. */
struct parts {
	char *ip;
	char *host;
	char *container;
	char *protocol;
};

static void split(char *text, struct parts *ret_parts)
{
	static char nothing[1];
	struct parts parts = {nothing, nothing, text, nothing};
	char *slash;

	if (strchr(text, ':')) {
		parts.container = split_last(text, ':');
		parts.host = text;
		if (strchr(text, ':')) {
			parts.host = split_last(text, ':');
			parts.ip = text;
		}
	}
	slash = strchr(parts.container, '/');
	if (slash) {
		*slash = '\0';
		parts.protocol = slash + 1;
	}
	*ret_parts = parts;
}

/* Spells a range out. */
static int append_range(struct port_list *list, struct port_mapping mapping,
			const struct range *host, const struct range *container,
			struct error *err)
{
	const size_t old_count = list->count;
	bool pick = container->first == container->last;
	int r;

	for (unsigned int i = 0;
	     i <= (unsigned int)container->last - container->first; i++) {
		mapping.container_port = (uint16_t)(container->first + i);
		mapping.host_port =
			host->first ? (uint16_t)(host->first + i) : 0;
		mapping.host_port_end = pick ? host->last : mapping.host_port;
		r = append(list, &mapping, err);
		if (r < 0) {
			list->count = old_count;
			return r;
		}
	}
	return 0;
}

static int parse_short(const char *given, struct port_list *list,
		       struct error *err)
{
	cleanup_free char *text = xstrdup(given);
	struct port_mapping mapping = {0};
	struct range container;
	struct range host = {0};
	struct parts parts;
	int r;

	split(text, &parts);
	r = parse_host_ip(parts.ip, mapping.host_ip, err);
	if (r < 0)
		return r;
	if (*parts.container == '\0')
		return err_set(err, ERROR_INVALID,
			       "no port specified: %s<empty>", given);
	if (!parse_range(parts.container, &container) || container.first == 0)
		return err_set(err, ERROR_INVALID, "invalid containerPort: %s",
			       parts.container);
	if (*parts.host && (!parse_range(parts.host, &host) ||
			    (host.first == 0 && host.last != 0)))
		return err_set(err, ERROR_INVALID, "invalid hostPort: %s",
			       parts.host);
	/* A host range for one container port: any free one of it. */
	if (*parts.host && container.first != container.last &&
	    container.last - container.first != host.last - host.first)
		return err_set(err, ERROR_INVALID,
			       "invalid ranges specified for container and "
			       "host Ports: %s and %s",
			       parts.container, parts.host);
	r = parse_protocol(parts.protocol, &mapping.protocol, err);
	if (r < 0)
		return r;
	return append_range(list, mapping, &host, &container, err);
}

/* "published=8080,target=80,protocol=tcp" */
static int parse_long(const char *given, struct port_list *list,
		      struct error *err)
{
	cleanup_strv char **fields = strv_split(given, ',');
	cleanup_free char *text = NULL;
	const char *published = "";
	const char *target = "";
	const char *protocol = "tcp";

	for (size_t i = 0; fields && fields[i]; i++) {
		char *value = strchr(fields[i], '=');

		if (!value || value == fields[i])
			return err_set(err, ERROR_INVALID,
				       "invalid publish opts format (should be "
				       "name=value but got '%s')",
				       fields[i]);
		*value++ = '\0';
		if (str_equal(fields[i], "published")) {
			published = value;
		} else if (str_equal(fields[i], "target")) {
			target = value;
		} else if (str_equal(fields[i], "protocol")) {
			protocol = value;
		} else if (!str_equal(fields[i], "mode") ||
			   !str_equal(value, "host")) {
			err_set(err, ERROR_INVALID,
				"invalid publish option '%s=%s'", fields[i],
				value);
			return err_hint(err, "known are published, target, "
					     "protocol and mode=host");
		}
	}
	text = xasprintf("%s:%s/%s", published, target, protocol);
	return parse_short(text, list, err);
}

int port_parse_publish(const char *text, struct port_list *list,
		       struct error *err)
{
	int r = check_length(text, err);

	if (r < 0)
		return r;
	if (strchr(text, '='))
		return parse_long(text, list, err);
	return parse_short(text, list, err);
}

int port_parse_expose(const char *given, struct port_list *list,
		      struct error *err)
{
	struct port_mapping mapping = {0};
	cleanup_free char *text = NULL;
	const struct range host = {0};
	struct range container;
	struct parts parts;
	int r;

	r = check_length(given, err);
	if (r < 0)
		return r;
	if (strchr(given, ':'))
		return err_set(err, ERROR_INVALID,
			       "invalid port format for --expose: %s", given);
	text = xstrdup(given);
	split(text, &parts);
	if (!parse_range(parts.container, &container) || container.first == 0)
		return err_set(err, ERROR_INVALID,
			       "invalid range format for --expose: %s", given);
	r = parse_protocol(parts.protocol, &mapping.protocol, err);
	if (r < 0)
		return r;
	return append_range(list, mapping, &host, &container, err);
}
