/* --egress and what goes with it, as the member Egress of HostConfig.Moss. */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

extern const struct option egress_options[];

bool egress_options_given(const struct options *options);
/* Reads --egress-policy. Errors are about what the user typed. */
int egress_options_body(const struct options *options, cJSON *moss,
			struct error *err);
