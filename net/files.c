#include "net/files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define HOST_FILE_MAX (1u << 20)
#define NAME_MAX_DNS  253

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 ||
	       inet_pton(AF_INET6, text, &address) == 1;
}

/* One word of a hosts or resolv.conf line: no blanks, no comment, no control
   characters. */
static bool is_word(const char *text)
{
	if (str_empty(text) || strlen(text) > NAME_MAX_DNS)
		return false;
	for (; *text; text++) {
		unsigned char character = (unsigned char)*text;

		if (character <= ' ' || character == 0x7f || character == '#')
			return false;
	}
	return true;
}

struct add_host {
	char *name;
	char *address; /* "host-gateway" or an address, without brackets */
};

static void add_host_release(struct add_host *host)
{
	free(host->name);
	free(host->address);
}

/* "name=ip" or "name:ip", cut at the first separator, as docker does. */
static int parse_add_host(const char *text, struct add_host *ret_host,
			  struct error *err)
{
	CLEANUP(add_host_release) struct add_host host = {0};
	const char *separator = strchr(text, '=');
	const char *value;
	size_t length;

	if (!separator)
		separator = strchr(text, ':');
	if (!separator || separator == text)
		return err_set(err, ERROR_INVALID,
			       "bad format for add-host: \"%s\"", text);
	host.name = xstrndup(text, (size_t)(separator - text));
	if (!is_word(host.name))
		return err_set(err, ERROR_INVALID,
			       "invalid host name in add-host: \"%s\"",
			       host.name);

	value = separator + 1;
	length = strlen(value);
	if (length > 2 && value[0] == '[' && value[length - 1] == ']')
		host.address = xstrndup(value + 1, length - 2);
	else
		host.address = xstrdup(value);
	if (!str_equal(host.address, "host-gateway") &&
	    !is_address(host.address))
		return err_set(err, ERROR_INVALID,
			       "invalid IP address in add-host: \"%s\"", value);
	*ret_host = host;
	host = (struct add_host){0};
	return 0;
}

int net_add_host_check(const char *text, struct error *err)
{
	CLEANUP(add_host_release) struct add_host host = {0};

	return parse_add_host(text, &host, err);
}

int net_dns_check(const char *text, struct error *err)
{
	if (!is_address(text))
		return err_set(err, ERROR_INVALID,
			       "IP address is not correctly formatted: %s",
			       text);
	return 0;
}

static bool is_alnum(char character)
{
	return (character >= 'a' && character <= 'z') ||
	       (character >= 'A' && character <= 'Z') ||
	       (character >= '0' && character <= '9');
}

/* Labels of letters, digits and inner dashes, one letter at least. */
static bool is_domain(const char *text)
{
	size_t length = strlen(text);
	bool letter = false;

	if (length > 0 && text[length - 1] == '.')
		length--;
	if (length == 0 || length > NAME_MAX_DNS)
		return false;
	for (size_t i = 0; i < length; i++) {
		bool edge = i == 0 || text[i - 1] == '.' || i + 1 == length ||
			    text[i + 1] == '.';

		if (is_alnum(text[i])) {
			letter |= text[i] > '9';
			continue;
		}
		/* A dash or a dot at a label's edge. */
		if (edge || (text[i] != '-' && text[i] != '.'))
			return false;
	}
	return letter;
}

int net_dns_search_check(const char *text, struct error *err)
{
	if (!str_equal(text, ".") && !is_domain(text))
		return err_set(err, ERROR_INVALID, "%s is not a valid domain",
			       text);
	return 0;
}

/* The lines --add-host asks for; *ret_names are the names they give. */
static int append_add_hosts(struct str *text,
			    const struct net_files_request *request,
			    char ***ret_names, struct error *err)
{
	for (size_t i = 0; request->add_hosts && request->add_hosts[i]; i++) {
		CLEANUP(add_host_release) struct add_host host = {0};
		const char *address;
		int r = parse_add_host(request->add_hosts[i], &host, err);

		if (r < 0)
			return r;
		address = host.address;
		if (str_equal(address, "host-gateway")) {
			address = request->gateway;
			if (!address)
				return err_set(err, ERROR_INVALID,
					       "cannot add host %s: "
					       "host-gateway has no address "
					       "without a network",
					       host.name);
		}
		str_appendf(text, "%s\t%s\n", address, host.name);
		strv_push(ret_names, host.name);
	}
	return 0;
}

/* host.docker.internal and podman's name for it, unless the user gave them. */
static void append_gateway(struct str *text, const char *gateway,
			   char *const *given)
{
	static const char *const names[] = {"host.docker.internal",
					    "host.containers.internal"};
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strv_contains(given, names[i]))
			continue;
		str_appendf(text, any ? " %s" : "%s\t%s",
			    any ? names[i] : gateway, names[i]);
		any = true;
	}
	if (any)
		str_append_char(text, '\n');
}

int net_hosts_text(const struct net_files_request *request, char **ret_text,
		   struct error *err)
{
	cleanup_str struct str text = {0};
	cleanup_strv char **given = NULL;
	cleanup_free char *host = NULL;
	int r;

	if (request->hostname && !is_word(request->hostname))
		return err_set(err, ERROR_INVALID, "invalid hostname: %s",
			       request->hostname);
	if (!str_empty(request->domainname) && !is_word(request->domainname))
		return err_set(err, ERROR_INVALID, "invalid domain name: %s",
			       request->domainname);

	if (request->host_network) {
		r = file_read_at(AT_FDCWD, "/etc/hosts", HOST_FILE_MAX, &host,
				 NULL, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	if (host) {
		str_append(&text, host);
		if (text.length > 0 && !str_ends(str_text(&text), "\n"))
			str_append_char(&text, '\n');
	} else {
		str_append(&text, "127.0.0.1\tlocalhost\n"
				  "::1\tlocalhost ip6-localhost ip6-loopback\n"
				  "fe00::\tip6-localnet\n"
				  "ff00::\tip6-mcastprefix\n"
				  "ff02::1\tip6-allnodes\n"
				  "ff02::2\tip6-allrouters\n");
	}

	r = append_add_hosts(&text, request, &given, err);
	if (r < 0)
		return r;
	if (request->gateway)
		append_gateway(&text, request->gateway, given);
	/* The host's own file knows the host's name. */
	if (!str_empty(request->hostname) && !host) {
		str_appendf(&text, "%s\t",
			    request->address ? request->address : "127.0.0.1");
		if (!str_empty(request->domainname))
			str_appendf(&text, "%s.%s ", request->hostname,
				    request->domainname);
		str_appendf(&text, "%s\n", request->hostname);
	}
	*ret_text = str_steal(&text);
	return 0;
}

/* What resolv.conf(5) says, as vectors of words. */
struct resolv {
	char **nameservers;
	char **search;
	char **options;
};

static void resolv_release(struct resolv *resolv)
{
	strv_free(resolv->nameservers);
	strv_free(resolv->search);
	strv_free(resolv->options);
}

static void parse_resolv(char *text, struct resolv *resolv)
{
	char *line_rest = NULL;

	for (char *line = strtok_r(text, "\n", &line_rest); line;
	     line = strtok_r(NULL, "\n", &line_rest)) {
		char *rest = NULL;
		const char *keyword = strtok_r(line, " \t\r", &rest);
		char ***words;

		if (!keyword || *keyword == '#' || *keyword == ';')
			continue;
		if (str_equal(keyword, "nameserver")) {
			words = &resolv->nameservers;
		} else if (str_equal(keyword, "options")) {
			words = &resolv->options;
		} else if (str_equal(keyword, "search") ||
			   str_equal(keyword, "domain")) {
			/* The last such line counts. */
			strv_free(resolv->search);
			resolv->search = NULL;
			words = &resolv->search;
		} else {
			continue;
		}
		for (const char *word = strtok_r(NULL, " \t\r", &rest);
		     word && *word != '#' && *word != ';';
		     word = strtok_r(NULL, " \t\r", &rest))
			strv_push(words, word);
	}
}

/* Does a resolver of the host's mean the same one in another network? */
static bool is_reachable(const char *nameserver)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, nameserver, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 != 127 && v4.s_addr != 0;
	return inet_pton(AF_INET6, nameserver, &v6) == 1 &&
	       !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6);
}

static bool has_family(char *const *nameservers, int family)
{
	struct in6_addr address;

	for (size_t i = 0; nameservers && nameservers[i]; i++) {
		cleanup_free char *text = xstrdup(nameservers[i]);

		text[strcspn(text, "%")] = '\0';
		if (inet_pton(family, text, &address) == 1)
			return true;
	}
	return false;
}

static void append_nameservers(struct str *text,
			       const struct net_files_request *request,
			       const struct resolv *host)
{
	char *const *nameservers = host->nameservers;

	if (request->first_dns)
		str_appendf(text, "nameserver %s\n", request->first_dns);
	if (strv_length(request->dns) > 0) {
		for (size_t i = 0; request->dns[i]; i++)
			str_appendf(text, "nameserver %s\n", request->dns[i]);
		return;
	}
	if (request->default_dns) {
		/* slirp's resolver asks the host's of the same family. */
		bool only6 = request->default_dns6 &&
			     has_family(nameservers, AF_INET6) &&
			     !has_family(nameservers, AF_INET);

		str_appendf(text, "nameserver %s\n",
			    only6 ? request->default_dns6
				  : request->default_dns);
		return;
	}
	for (size_t i = 0; nameservers && nameservers[i]; i++) {
		if (request->host_network || is_reachable(nameservers[i]))
			str_appendf(text, "nameserver %s\n", nameservers[i]);
	}
}

static void append_line(struct str *text, const char *keyword,
			char *const *words)
{
	if (strv_length(words) == 0)
		return;
	str_append(text, keyword);
	for (size_t i = 0; words[i]; i++)
		str_appendf(text, " %s", words[i]);
	str_append_char(text, '\n');
}

static int check_request(const struct net_files_request *request,
			 struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && request->dns && request->dns[i]; i++)
		r = net_dns_check(request->dns[i], err);
	for (size_t i = 0;
	     r == 0 && request->dns_search && request->dns_search[i]; i++)
		r = net_dns_search_check(request->dns_search[i], err);
	for (size_t i = 0;
	     r == 0 && request->dns_options && request->dns_options[i]; i++) {
		if (!is_word(request->dns_options[i]))
			r = err_set(err, ERROR_INVALID,
				    "invalid DNS option: \"%s\"",
				    request->dns_options[i]);
	}
	return r;
}

int net_resolv_text_from(const struct net_files_request *request,
			 const char *host_text, char **ret_text,
			 struct error *err)
{
	CLEANUP(resolv_release) struct resolv host = {0};
	cleanup_free char *copy = xstrdup(host_text ? host_text : "");
	cleanup_str struct str text = {0};
	char *const *search = request->dns_search;
	char *const *options = request->dns_options;
	int r = check_request(request, err);

	if (r < 0)
		return r;
	parse_resolv(copy, &host);
	if (strv_length(search) == 0)
		search = host.search;
	if (strv_length(options) == 0)
		options = host.options;

	append_nameservers(&text, request, &host);
	/* A lone "." means: search nowhere. */
	if (strv_length(search) != 1 || !str_equal(search[0], "."))
		append_line(&text, "search", search);
	append_line(&text, "options", options);
	*ret_text = str_steal(&text);
	return 0;
}

int net_resolv_text(const struct net_files_request *request, char **ret_text,
		    struct error *err)
{
	cleanup_free char *host = NULL;
	int r = file_read_at(AT_FDCWD, "/etc/resolv.conf", HOST_FILE_MAX, &host,
			     NULL, err);

	if (r < 0 && r != -ENOENT)
		return r;
	return net_resolv_text_from(request, host, ret_text, err);
}
