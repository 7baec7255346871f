#include "core/engine/security.h"

#include <string.h>

#include "base/cleanup.h"

#include "base/str.h"
#include "core/engine/members.h"

struct option_value {
	const char *option; /* whole, for messages */
	const char *value;  /* NULL: none */
};

static int invalid(const char *option, struct error *err)
{
	err_set(err, ERROR_INVALID, "invalid --security-opt: \"%s\"", option);
	return err_hint(err, "known are seccomp=FILE|unconfined|builtin, "
			     "no-new-privileges[=true|false], label=…, "
			     "apparmor=unconfined, systempaths=unconfined");
}

static int set_seccomp(const struct option_value *option,
		       struct security *security, char ***warnings,
		       struct error *err)
{
	const char *value = option->value;

	if (str_empty(value))
		return invalid(option->option, err);
	security->profile = NULL;
	if (str_equal(value, "unconfined")) {
		security->seccomp = LAUNCH_SECCOMP_UNCONFINED;
	} else if (str_equal(value, "builtin")) {
		security->seccomp = LAUNCH_SECCOMP_DEFAULT;
	} else {
		security->seccomp = LAUNCH_SECCOMP_FILE;
		security->profile = value;
	}
	return 0;
}

static int set_no_new_privileges(const struct option_value *option,
				 struct security *security, char ***warnings,
				 struct error *err)
{
	bool value = true;

	if (option->value && parse_bool(option->value, &value) < 0)
		return invalid(option->option, err);
	security->no_new_privileges_given = true;
	security->no_new_privileges = value;
	return 0;
}

static int set_label(const struct option_value *option,
		     struct security *security, char ***warnings,
		     struct error *err)
{
	if (str_empty(option->value))
		return invalid(option->option, err);
	strv_push_take(warnings,
		       xasprintf("--security-opt %s is ignored: moss sets no "
				 "SELinux labels",
				 option->option));
	return 0;
}

static int set_apparmor(const struct option_value *option,
			struct security *security, char ***warnings,
			struct error *err)
{
	/* Containers have the user's own confinement, nothing more. */
	if (str_equal(option->value, "unconfined"))
		return 0;
	if (str_empty(option->value))
		return invalid(option->option, err);
	err_set(err, ERROR_UNSUPPORTED,
		"--security-opt %s: an AppArmor profile cannot be set without "
		"root",
		option->option);
	return err_hint(err, "leave it out, or give apparmor=unconfined");
}

static int set_system_paths(const struct option_value *option,
			    struct security *security, char ***warnings,
			    struct error *err)
{
	if (!str_equal(option->value, "unconfined"))
		return invalid(option->option, err);
	security->system_paths = true;
	return 0;
}

static const struct {
	const char *name;
	int (*set)(const struct option_value *option, struct security *security,
		   char ***warnings, struct error *err);
} rows[] = {
	{"seccomp", set_seccomp},
	{"no-new-privileges", set_no_new_privileges},
	{"label", set_label},
	{"apparmor", set_apparmor},
	{"systempaths", set_system_paths},
};

static int parse_one(const char *text, struct security *security,
		     char ***warnings, struct error *err)
{
	size_t length = strcspn(text, "=:");
	struct option_value option = {.option = text};

	if (text[length])
		option.value = text + length + 1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) == length &&
		    strncmp(rows[i].name, text, length) == 0)
			return rows[i].set(&option, security, warnings, err);
	}
	return invalid(text, err);
}

int security_parse(const cJSON *host, struct security *ret_security,
		   char ***warnings, struct error *err)
{
	struct security security = {
		.seccomp = member_bool(host, "Privileged")
				   ? LAUNCH_SECCOMP_UNCONFINED
				   : LAUNCH_SECCOMP_DEFAULT,
	};
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, "SecurityOpt"))
	{
		int r = parse_one(item_string(item), &security, warnings, err);

		if (r < 0)
			return r;
	}
	*ret_security = security;
	return 0;
}
