/*
 * rtnetlink by hand: a request is built in place, sent, and answered by the
 * kernel's acknowledgement before nl_call() returns. One request at a time.
 */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define NL_REQUEST_MAX 512

struct nl_request {
	union {
		struct nlmsghdr header;
		char bytes[NL_REQUEST_MAX];
	};
	bool overflow; /* nl_call() refuses it then */
};

/* A NETLINK_ROUTE socket in the caller's network namespace. */
int nl_open(struct error *err);

/* flags beyond NLM_F_REQUEST | NLM_F_ACK; body is the family's header. */
void nl_begin(struct nl_request *request, uint16_t type, uint16_t flags,
	      const void *body, size_t length);
void nl_add(struct nl_request *request, uint16_t attribute, const void *data,
	    size_t length);
void nl_add_u32(struct nl_request *request, uint16_t attribute, uint32_t value);
/* Bare bytes, where a family has a header inside an attribute. */
void nl_add_raw(struct nl_request *request, const void *data, size_t length);
/* Attributes added until nl_nest_end(…, its value) go inside. */
size_t nl_nest_begin(struct nl_request *request, uint16_t attribute);
void nl_nest_end(struct nl_request *request, size_t start);

/* 0 or the kernel's negative errno. */
int nl_call(int fd, struct nl_request *request);
/*
 * The same for a question with one answer, of which up to size bytes are kept
 * in *ret_answer: its length, 0 when there was none, negative errno.
 */
ssize_t nl_ask(int fd, struct nl_request *request, void *ret_answer,
	       size_t size);

/* Sets IFF_UP on an interface. */
int nl_link_up(int fd, unsigned int index);

/*
 * Gives an interface that is still down no link-local IPv6 address: nothing to
 * probe for duplicates, nor to solicit routers from. 0 also on a kernel without
 * IPv6, which has none to give.
 */
int nl_link_without_local(int fd, unsigned int index);

/* Settings of an interface for IPv4, IPV4_DEVCONF_* of <linux/ip.h>. */
struct nl_setting {
	uint16_t number;
	uint32_t value;
};
int nl_configure4(int fd, unsigned int index, const struct nl_setting *settings,
		  size_t count);
