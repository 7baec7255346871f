/*
 * The texts of /etc/resolv.conf and /etc/hosts of a container. Caller frees.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct net_files_request {
	const char *hostname;
	const char *domainname; /* may be NULL */
	const char *address;	/* NULL: no address of its own (none, host) */
	const char *gateway;	/* for host.docker.internal and host-gateway;
				   NULL: not there */
	bool host_network;	/* shares the host's: its hosts file and its
				   loopback resolvers are good inside too */
	char *const *add_hosts; /* "name:ip" or "name=ip"; ip "host-gateway" */
	const char *first_dns;	/* asked before all others; may be NULL */
	char *const *dns;	/* --dns; empty: default_dns, or the host's
				   resolv.conf */
	char *const *dns_search;
	char *const *dns_options;
	const char *default_dns;  /* NET_DNS for slirp, NULL: copy the host's */
	const char *default_dns6; /* NET_DNS6: used where the host has only
				     IPv6 resolvers; may be NULL */
};

int net_hosts_text(const struct net_files_request *request, char **ret_text,
		   struct error *err);
int net_resolv_text(const struct net_files_request *request, char **ret_text,
		    struct error *err);
/* The same with the text of the host's resolv.conf given; NULL: none. */
int net_resolv_text_from(const struct net_files_request *request,
			 const char *host_text, char **ret_text,
			 struct error *err);

/* docker's checks of --add-host, --dns, --dns-search without using them. */
int net_add_host_check(const char *text, struct error *err);
int net_dns_check(const char *text, struct error *err);
int net_dns_search_check(const char *text, struct error *err);
