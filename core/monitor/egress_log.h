/*
 * What came of a container's egress policy, in its directory: one JSON object a
 * line, written by the monitor as moss-net reports it.
 *
 *   egress.log   what was refused; egress.log.1: what was before that. Each has
 *                EGRESS_LOG_MAX bytes at most
 *   egress.used  what was used, with a policy that records; of the same size,
 *                and then no more
 *
 *   {"time":"2026-01-02T03:04:05.000000006Z","protocol":"tcp",
 *    "address":"192.0.2.7","port":443,"name":"example.org",
 *    "reason":"no rule allows it","count":1}
 *
 * protocol is "dns" for a question to the resolver; address, port and name are
 * there when they are known. count is how often, since the last line of the
 * same. A line that cannot be written is lost: the container does not wait for
 * its log. Whoever reads passes over what is no such line.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "net/egress.h"

#define EGRESS_LOG     "egress.log"
#define EGRESS_LOG_OLD "egress.log.1"
#define EGRESS_USED    "egress.used"
#define EGRESS_LOG_MAX (1u << 20)

/* The file that whoever starts the container can hold on to. */
int egress_log_create(int directory_fd, struct error *err);
/* report was checked with egress_report_is_sound(). */
cJSON *egress_log_entry(const struct egress_report *report);
void egress_log_append(int directory_fd, const struct egress_report *report,
		       const cJSON *entry);
/* An array of the entries of one file, none when it is not there. */
int egress_log_read(int directory_fd, const char *file, cJSON **ret_array,
		    struct error *err);
/* From where fd stands. */
int egress_log_read_fd(int fd, cJSON **ret_array, struct error *err);
