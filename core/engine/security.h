/*
 * HostConfig.SecurityOpt, docker's forms:
 *   seccomp=<JSON text> | unconfined | builtin   (the client reads the file)
 *   no-new-privileges[=BOOL]
 *   label=…            no SELinux here: a warning
 *   apparmor=unconfined | NAME                   (a profile needs root: error)
 *   systempaths=unconfined                       (nothing masked or read-only)
 * with "=" or docker's older ":". Anything else is an error.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/monitor/record.h"

struct security {
	enum launch_seccomp seccomp;
	const char *profile; /* with LAUNCH_SECCOMP_FILE; borrowed from host */
	bool no_new_privileges_given;
	bool no_new_privileges;
	bool system_paths; /* systempaths=unconfined */
};

int security_parse(const cJSON *host, struct security *ret_security,
		   char ***warnings, struct error *err);
