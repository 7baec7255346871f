/*
 * The texts of /etc/resolv.conf, /etc/hosts and /etc/hostname of a container.
 * Caller frees.
 */
#pragma once

#include "base/error.h"

struct net_files_request {
	const char *hostname;
	const char *domainname; /* may be NULL */
	const char *address;	/* NULL: no address of its own (none, host) */
	const char *gateway;	/* for host.docker.internal and host-gateway;
				   NULL: not there */
	char *const *add_hosts; /* "name:ip" or "name=ip"; ip "host-gateway" */
	char *const *dns;	/* --dns; empty: default_dns, or the host's
				   resolv.conf */
	char *const *dns_search;
	char *const *dns_options;
	const char *default_dns; /* NET_DNS for slirp, NULL: copy the host's */
};

int net_hosts_text(const struct net_files_request *request, char **ret_text,
		   struct error *err);
int net_resolv_text(const struct net_files_request *request, char **ret_text,
		    struct error *err);
/* Checks "name:ip" (docker's --add-host) without using it. */
int net_add_host_check(const char *text, struct error *err);
