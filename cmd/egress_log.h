/* What came of an egress policy, for people. */
#pragma once

#include "cmd/command.h"

/* moss logs --egress and --egress-policy. */
int egress_log_print(struct context *context, const char *id,
		     struct error *err);
int egress_policy_print(struct context *context, const char *id,
			struct error *err);

/*
 * A line on standard error if anything was refused. fd: from
 * engine_container_egress_follow(), may be -1. name: the container's, NULL when
 * it has gone with its log.
 */
void egress_summary_print(int fd, const char *name);
