#include "cmd/egress_option.h"

#include <fcntl.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "net/egress_policy.h"

/* clang-format off */
const struct option egress_options[] = {
	{0, "egress", OPTION_STRING, "mode", NULL, "What the container may reach unless a rule says otherwise (allow|deny), or note what it reaches (record)", false},
	{0, "egress-allow", OPTION_LIST, NULL, NULL, "Let the container reach these only (HOST[:PORTS][/PROTOCOL],...)", false},
	{0, "egress-deny", OPTION_LIST, NULL, NULL, "Keep the container from reaching these (HOST[:PORTS][/PROTOCOL],...)", false},
	{0, "egress-policy", OPTION_STRING, NULL, NULL, "Read what the container may reach from a JSON file", false},
	{0},
};
/* clang-format on */

static int read_policy(const char *path, struct egress_policy *policy,
		       struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = json_read_at(AT_FDCWD, path, &json, err);

	return r < 0 ? r : egress_policy_parse(json, path, policy, err);
}

static int add_lists(const struct options *options, const char *option,
		     bool deny, struct egress_policy *policy, struct error *err)
{
	char *const *lists = option_list(options, option);

	for (size_t i = 0; lists[i]; i++) {
		int r = egress_policy_add_list(policy, lists[i], deny, err);

		if (r < 0)
			return err_wrap(err, "--%s", option);
	}
	return 0;
}

static int choose_mode(const struct options *options,
		       struct egress_policy *policy, struct error *err)
{
	const char *mode = option_string(options, "egress");
	const char *file = option_string(options, "egress-policy");

	if (file && mode)
		return err_set(err, ERROR_INVALID,
			       "conflicting options: --egress and "
			       "--egress-policy, which has a default of its "
			       "own");
	if (file)
		return read_policy(file, policy, err);
	if (mode)
		return egress_mode_parse(mode, &policy->mode, err);
	/* What is allowed is all there is; what is denied is an exception. */
	policy->mode = option_given(options, "egress-allow") ? EGRESS_DENY
							     : EGRESS_ALLOW;
	return 0;
}

bool egress_options_given(const struct options *options)
{
	for (const struct option *o = egress_options; o->name; o++) {
		if (option_given(options, o->name))
			return true;
	}
	return false;
}

int egress_options_body(const struct options *options, cJSON *moss,
			struct error *err)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	int r;

	if (!egress_options_given(options))
		return 0;
	r = choose_mode(options, &policy, err);
	r = r < 0 ? r : add_lists(options, "egress-allow", false, &policy, err);
	r = r < 0 ? r : add_lists(options, "egress-deny", true, &policy, err);
	r = r < 0 ? r : egress_policy_check(&policy, err);
	if (r < 0)
		return r;
	json_set(moss, "Egress", egress_policy_json(&policy));
	return 0;
}
