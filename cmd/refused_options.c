#include "cmd/refused_options.h"

#include "base/cleanup.h"
#include "base/str.h"

/* clang-format off */
const struct option refused_container_options[] = {
	{0, "cpu-count", OPTION_INT, NULL, NULL, "CPU count (Windows only)", true},
	{0, "cpu-percent", OPTION_INT, NULL, NULL, "CPU percent (Windows only)", true},
	{0, "device-cgroup-rule", OPTION_LIST, NULL, NULL, "Add a rule to the cgroup allowed devices list", true},
	{0, "gpus", OPTION_STRING, "gpu-request", NULL, "GPU devices to add to the container", true},
	{0, "io-maxbandwidth", OPTION_BYTES, NULL, NULL, "Maximum IO bandwidth limit (Windows only)", true},
	{0, "io-maxiops", OPTION_INT, "uint", NULL, "Maximum IOps limit (Windows only)", true},
	{0, "storage-opt", OPTION_LIST, NULL, NULL, "Storage driver options for the container", true},
	{0, "use-api-socket", OPTION_FLAG, NULL, NULL, "Bind mount Docker API socket and required auth", true},
	{0},
};
const struct option refused_build_options[] = {
	{0, "attest", OPTION_LIST, NULL, NULL, "Attestation parameters (format: \"type=sbom,generator=image\")", true},
	{0, "builder", OPTION_STRING, NULL, NULL, "Override the configured builder instance", true},
	{0, "provenance", OPTION_STRING, NULL, NULL, "Shorthand for \"--attest=type=provenance\"", true},
	{0, "sbom", OPTION_STRING, NULL, NULL, "Shorthand for \"--attest=type=sbom\"", true},
	{0, "security-opt", OPTION_LIST, "strings", NULL, "Security options", true},
	{0},
};
const struct option refused_rm_options[] = {
	{'l', "link", OPTION_FLAG, NULL, NULL, "Remove the specified link", true},
	{0},
};
const struct option refused_start_options[] = {
	{0, "checkpoint", OPTION_STRING, NULL, NULL, "Restore from this checkpoint", true},
	{0, "checkpoint-dir", OPTION_STRING, NULL, NULL, "Use a custom checkpoint storage directory", true},
	{0},
};

static const char windows[] = "it is for containers of Windows";
static const char use_cpus[] = "Use --cpus.";
static const char use_blkio[] = "Use --device-read-bps, --device-write-bps and the like.";

static const char no_attestations[] = "images get no attestations";
static const char leave_out[] = "Leave it out.";

static const struct {
	const char *option;
	const char *why;
	const char *instead;
	const char *nothing; /* a value that asks for nothing, beside "" and 0 */
} refusals[] = {
	{"attest", no_attestations, leave_out, NULL},
	{"builder", "there is only the one builder", leave_out, "default"},
	{"provenance", no_attestations, leave_out, "false"},
	{"sbom", no_attestations, leave_out, "false"},
	{"security-opt", "every step of a build is confined by the default profile", leave_out, NULL},
	{"cpu-count", windows, use_cpus, NULL},
	{"cpu-percent", windows, use_cpus, NULL},
	{"device-cgroup-rule", "only root can make device nodes or rules for them", "A container has the devices that --device names, and no others.", NULL},
	{"gpus", "no driver's libraries and device nodes are found for you", "Give the devices with --device (/dev/dri, /dev/nvidia0) and the driver's libraries with -v.", NULL},
	{"io-maxbandwidth", windows, use_blkio, NULL},
	{"io-maxiops", windows, use_blkio, NULL},
	{"storage-opt", "root file systems here have no options", "Their size is what the disk of the store has; --tmpfs /PATH:size=64m has a limit.", NULL},
	{"use-api-socket", "there is no API socket that a container could use", "Mount a socket of your own with -v.", NULL},
	{"link", "there are no links between containers that rm could remove", "Leave it out to remove the container.", NULL},
	{"checkpoint", "checkpoints cannot be restored without root", "Use `moss commit` to keep a container's files.", NULL},
	{"checkpoint-dir", "checkpoints cannot be restored without root", "Use `moss commit` to keep a container's files.", NULL},
};
/* clang-format on */

static bool asks_for_nothing(const struct options *options,
			     const struct option *option, const char *nothing)
{
	if (option->type == OPTION_FLAG)
		return !option_flag(options, option->name);
	if (option->type == OPTION_LIST)
		return false;
	return str_equal(option_string(options, option->name), "") ||
	       str_equal(option_string(options, option->name), "0") ||
	       str_equal(option_string(options, option->name), nothing);
}

int refused_options_check(const struct options *options, struct error *err)
{
	for (size_t i = 0; i < options->count; i++) {
		const struct option_value *value = &options->values[i];
		const char *name = value->option->name;

		if (!value->given || !value->option->hidden)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(refusals); j++) {
			if (!str_equal(refusals[j].option, name) ||
			    asks_for_nothing(options, value->option,
					     refusals[j].nothing))
				continue;
			err_set(err, ERROR_UNSUPPORTED,
				"--%s is not supported: %s", name,
				refusals[j].why);
			return err_hint(err, "%s", refusals[j].instead);
		}
	}
	return 0;
}
