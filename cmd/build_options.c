#include "cmd/build_options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/container_options.h"
#include "cmd/docker_config.h"
#include "cmd/limit_options.h"
#include "cmd/refused_options.h"
#include "net/files.h"
#include "storage/store/platform.h"
#include "storage/store/reference.h"

#define EPOCH_NAME "SOURCE_DATE_EPOCH"

/* clang-format off */
const struct option build_option_table[] = {
	{0, "add-host", OPTION_LIST, NULL, NULL, "Add a custom host-to-IP mapping (\"host:ip\")", false},
	{0, "allow", OPTION_LIST, NULL, NULL, "Allow instructions of the Dockerfile what they may not do by themselves (\"network.host\")", false},
	{0, "annotation", OPTION_LIST, NULL, NULL, "Add annotation to the image", false},
	{0, "build-arg", OPTION_LIST, NULL, NULL, "Set build-time variables", false},
	{0, "build-context", OPTION_LIST, NULL, NULL, "Additional build contexts (e.g., name=path)", false},
	{0, "cache-from", OPTION_LIST, "strings", NULL, "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")", false},
	{0, "cache-to", OPTION_LIST, "strings", NULL, "Cache export destinations (e.g., \"user/app:cache\", \"type=local,dest=path/to/dir\")", false},
	{0, "call", OPTION_STRING, NULL, "build", "Set method for evaluating build (\"build\", \"check\")", false},
	{0, "cgroup-parent", OPTION_STRING, NULL, NULL, "Set the parent cgroup for the \"RUN\" instructions during build", false},
	{0, "check", OPTION_FLAG, NULL, NULL, "Shorthand for \"--call=check\": show what is doubtful in the Dockerfile, build nothing", false},
	{0, "compress", OPTION_FLAG, NULL, NULL, "Compress the build context (there is nobody to send it to: no effect)", false},
	{0, "cpu-period", OPTION_INT, NULL, NULL, "Limit the CPU CFS (Completely Fair Scheduler) period", false},
	{0, "cpu-quota", OPTION_INT, NULL, NULL, "Limit the CPU CFS (Completely Fair Scheduler) quota", false},
	{'c', "cpu-shares", OPTION_INT, NULL, NULL, "CPU shares (relative weight)", false},
	{0, "cpus", OPTION_STRING, "decimal", NULL, "Number of CPUs", false},
	{0, "cpuset-cpus", OPTION_STRING, NULL, NULL, "CPUs in which to allow execution (0-3, 0,1)", false},
	{0, "cpuset-mems", OPTION_STRING, NULL, NULL, "MEMs in which to allow execution (0-3, 0,1)", false},
	{0, "disable-content-trust", OPTION_FLAG, NULL, "true", "Skip image verification", false},
	{'f', "file", OPTION_STRING, NULL, NULL, "Name of the Dockerfile (default is \"PATH/Dockerfile\")", false},
	{0, "force-rm", OPTION_FLAG, NULL, NULL, "Always remove intermediate containers (they always are)", false},
	{0, "iidfile", OPTION_STRING, NULL, NULL, "Write the image ID to the file", false},
	{0, "isolation", OPTION_STRING, NULL, NULL, "Container isolation technology (default)", false},
	{0, "label", OPTION_LIST, NULL, NULL, "Set metadata for an image", false},
	{0, "load", OPTION_FLAG, NULL, NULL, "Shorthand for \"--output=type=docker\" (the default)", false},
	{'m', "memory", OPTION_BYTES, NULL, NULL, "Memory limit", false},
	{0, "memory-swap", OPTION_STRING, "bytes", NULL, "Swap limit equal to memory plus swap: -1 to enable unlimited swap", false},
	{0, "metadata-file", OPTION_STRING, NULL, NULL, "Write build result metadata to a file", false},
	{0, "network", OPTION_STRING, NULL, "default", "Set the networking mode for the \"RUN\" instructions during build (default|none|host)", false},
	{0, "no-cache", OPTION_FLAG, NULL, NULL, "Do not use cache when building the image", false},
	{0, "no-cache-filter", OPTION_LIST, NULL, NULL, "Do not cache specified stages", false},
	{'o', "output", OPTION_LIST, NULL, NULL, "Output destination (format: \"type=local,dest=path\")", false},
	{0, "pids-limit", OPTION_INT, NULL, NULL, "Limit of processes (set -1 for unlimited)", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Set target platform for build", false},
	{0, "progress", OPTION_STRING, NULL, NULL, "Set type of progress output (auto|plain|tty|quiet|rawjson); BUILDKIT_PROGRESS sets the default", false},
	{0, "pull", OPTION_FLAG, NULL, NULL, "Always attempt to pull all referenced images", false},
	{0, "push", OPTION_FLAG, NULL, NULL, "Push the image after the build", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress the build output and print image ID on success", false},
	{0, "rm", OPTION_FLAG, NULL, "true", "Remove intermediate containers (they always are, whatever it says)", false},
	{0, "secret", OPTION_LIST, NULL, NULL, "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")", false},
	{0, "shm-size", OPTION_BYTES, NULL, NULL, "Size of \"/dev/shm\"", false},
	{0, "squash", OPTION_FLAG, NULL, NULL, "Squash newly built layers into a single new layer", false},
	{0, "ssh", OPTION_LIST, NULL, NULL, "SSH agent socket to expose to the build (format: \"default|<id>[=<socket>]\")", false},
	{0, "storage-driver", OPTION_STRING, NULL, NULL, "Driver of the root filesystem of RUN (overlay|fuse-overlayfs); MOSS_STORAGE_DRIVER sets the default", false},
	{'t', "tag", OPTION_LIST, NULL, NULL, "Name and optionally a tag in the \"name:tag\" format", false},
	{0, "target", OPTION_STRING, NULL, NULL, "Set the target build stage to build", false},
	{0, "ulimit", OPTION_LIST, "ulimit", NULL, "Ulimit options", false},
	{0},
};
/* clang-format on */

int build_path(const char *path, char **ret_path, struct error *err)
{
	cleanup_free char *here = NULL;

	if (path[0] == '/') {
		*ret_path = xstrdup(path);
		return 0;
	}
	here = getcwd(NULL, 0);
	if (!here)
		return err_errno(err, "cannot tell the working directory");
	*ret_path = xasprintf("%s/%s", here, path);
	return 0;
}

/* ---- names ---- */

static int add_name(char ***names, const char *flag, const char *text,
		    struct error *err)
{
	struct reference reference;
	cleanup_free char *full = NULL;
	int r = reference_parse(text, &reference, err);

	if (r >= 0 && reference.digest[0])
		r = err_set(err, ERROR_INVALID,
			    "an image cannot be given a digest");
	if (r < 0)
		return err_wrap(err, "invalid argument \"%s\" for \"%s\" flag",
				text, flag);
	full = reference_full(&reference);
	if (!strv_contains(*names, full))
		strv_push(names, full);
	return 0;
}

int build_options_names(const struct options *options, char ***ret_names,
			struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_strv char **from_outputs = NULL;
	char *const *tags = option_list(options, "tag");
	bool push;
	int r = build_values_output_names(options, &from_outputs, &push, err);

	for (size_t i = 0; r >= 0 && tags[i]; i++)
		r = add_name(&names, "-t, --tag", tags[i], err);
	for (size_t i = 0; r >= 0 && from_outputs && from_outputs[i]; i++)
		r = add_name(&names, "-o, --output", from_outputs[i], err);
	if (r >= 0 && (push || option_flag(options, "push")) && !names) {
		err_set(err, ERROR_INVALID,
			"there is no name to push the image under");
		r = err_hint(err, "Give it one with -t.");
	}
	if (r < 0)
		return r;
	*ret_names = steal_ptr(&names);
	return 0;
}

bool build_options_push(const struct options *options)
{
	cleanup_strv char **names = NULL;
	bool push = false;

	(void)build_values_output_names(options, &names, &push, NULL);
	return push || option_flag(options, "push");
}

/* ---- build arguments ---- */

/* In this order: docker's config.json, the options, the environment. */
static int add_build_args(const struct options *options, cJSON *request,
			  struct error *err)
{
	cleanup_json cJSON *config = docker_config_read();
	cleanup_strv char **args = NULL;
	char *const *list = option_list(options, "build-arg");
	const char *epoch = getenv(EPOCH_NAME);
	int64_t seconds;

	docker_config_add_proxies(config, &args);
	for (size_t i = 0; list[i]; i++) {
		const char *equals = strchr(list[i], '=');
		cleanup_free char *name =
			equals ? xstrndup(list[i], (size_t)(equals - list[i]))
			       : xstrdup(list[i]);
		const char *value = equals ? equals + 1 : getenv(name);

		if (*name == '\0')
			return err_set(err, ERROR_INVALID,
				       "invalid argument \"%s\" for "
				       "\"--build-arg\" flag: no name",
				       list[i]);
		/* One that we do not have is not given. */
		if (value)
			env_set(&args, name, value);
	}
	if (env_get(args, EPOCH_NAME))
		epoch = env_get(args, EPOCH_NAME);
	if (!str_empty(epoch)) {
		if (parse_i64(epoch, &seconds) < 0 || seconds < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid " EPOCH_NAME " '%s': expected "
				       "seconds since 1970",
				       epoch);
		json_set_i64(request, "epoch", seconds);
		if (!env_get(args, EPOCH_NAME))
			env_set(&args, EPOCH_NAME, epoch);
	}
	json_set_strv(request, "buildArgs", args);
	return 0;
}

/* ---- checks ---- */

static int check_list(const struct options *options, const char *name,
		      int (*check)(const char *text, struct error *err),
		      struct error *err)
{
	char *const *list = option_list(options, name);

	for (size_t i = 0; list[i]; i++)
		if (check(list[i], err) < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for \"--%s\" "
					"flag",
					list[i], name);
	return 0;
}

static int check_pair(const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return err_set(err, ERROR_INVALID, "expected KEY=VALUE");
	return 0;
}

static int check_annotation(const char *text, struct error *err)
{
	size_t length = strcspn(text, "=:");

	if (text[length] == ':' && !str_starts(text, "manifest:"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "only manifests have annotations here, not "
			       "\"%.*s\"",
			       (int)length, text);
	return check_pair(text, err);
}

static int check_allow(const char *text, struct error *err)
{
	if (str_equal(text, "network.host"))
		return 0;
	if (str_equal(text, "security.insecure"))
		return err_set(
			err, ERROR_UNSUPPORTED,
			"no step of a build runs without its confinement");
	return err_set(err, ERROR_INVALID, "unknown entitlement");
}

static int add_platform(const struct options *options, cJSON *request,
			struct error *err)
{
	const char *text = option_platform(options);
	char whole[PLATFORM_TEXT_MAX];
	struct platform platform;
	int r;

	if (str_empty(text))
		return 0;
	if (strchr(text, ',')) {
		err_set(err, ERROR_UNSUPPORTED,
			"--platform %s: an image is built for one platform",
			text);
		return err_hint(err, "Build once for each of them.");
	}
	r = platform_parse(text, &platform, err);
	if (r < 0)
		return r;
	platform_text(whole, &platform);
	json_set_string(request, "platform", whole);
	return 0;
}

static int add_network(const struct options *options, cJSON *request,
		       struct error *err)
{
	static const char *const modes[] = {"default", "none", "host"};
	const char *mode = option_string(options, "network");

	/* docker's bridge is what a step has by itself. */
	if (str_empty(mode) || str_equal(mode, "bridge"))
		mode = "default";
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (str_equal(modes[i], mode)) {
			json_set_string(request, "network", mode);
			return 0;
		}
	return err_set(err, ERROR_UNSUPPORTED,
		       "network mode \"%s\" is not supported in a build: use "
		       "default, none or host",
		       mode);
}

/* BuildKit's rule: who asks for the host's network allows it. */
static void add_allow(const struct options *options, cJSON *request)
{
	cleanup_strv char **allow = strv_copy(option_list(options, "allow"));

	if (str_equal(option_string(options, "network"), "host") &&
	    !strv_contains(allow, "network.host"))
		strv_push(&allow, "network.host");
	json_set_strv(request, "allow", allow);
}

static int add_host_config(const struct options *options, cJSON *request,
			   struct error *err)
{
	const char *driver = option_string(options, "storage-driver");
	cJSON *host = json_object();
	int r = 0;

	json_set(request, "hostConfig", host);
	if (!driver)
		driver = getenv("MOSS_STORAGE_DRIVER");
	if (!str_empty(driver)) {
		cJSON *moss = json_object();

		json_set_string(moss, "StorageDriver", driver);
		json_set(host, "Moss", moss);
	}
	if (option_given(options, "shm-size"))
		json_set_i64(host, "ShmSize",
			     option_number(options, "shm-size"));
	if (option_given(options, "ulimit"))
		r = ulimit_options_add(options, host, err);
	return r < 0 ? r : limit_options_add(options, host, err);
}

static int check(const struct options *options, struct error *err)
{
	const char *isolation = option_string(options, "isolation");
	int r = refused_options_check(options, err);

	if (r >= 0 && !str_empty(isolation) && !str_equal(isolation, "default"))
		r = err_set(err, ERROR_UNSUPPORTED,
			    "--isolation=%s is not supported: it is for "
			    "containers of Windows",
			    isolation);
	r = r < 0 ? r
		  : check_list(options, "add-host", net_add_host_check, err);
	r = r < 0 ? r : check_list(options, "allow", check_allow, err);
	r = r < 0 ? r
		  : check_list(options, "annotation", check_annotation, err);
	return r < 0 ? r
		     : check_list(options, "label", label_option_check, err);
}

/* "manifest:KEY=VALUE" is "KEY=VALUE". */
static void add_annotations(const struct options *options, cJSON *request)
{
	static const char prefix[] = "manifest:";
	char *const *list = option_list(options, "annotation");
	cJSON *array = json_array();

	for (size_t i = 0; list[i]; i++)
		json_push_string(array, str_starts(list[i], prefix)
						? list[i] + strlen(prefix)
						: list[i]);
	json_set(request, "annotations", array);
}

/* Is the Dockerfile to be judged instead of built? By --check and --call. */
static int read_call(const struct options *options, bool *ret_check,
		     struct error *err)
{
	const char *call = option_string(options, "call");

	*ret_check = option_flag(options, "check") ||
		     str_equal(call, "check") || str_equal(call, "lint");
	if (*ret_check || str_empty(call) || str_equal(call, "build"))
		return 0;
	return err_set(err, ERROR_UNSUPPORTED,
		       "--call=%s is not supported: use build or check", call);
}

int build_options_request(const struct options *options, cJSON *request,
			  struct error *err)
{
	cleanup_strv char **names = NULL;
	bool only_check = false;
	int r = check(options, err);

	r = r < 0 ? r : read_call(options, &only_check, err);
	r = r < 0 ? r : build_options_names(options, &names, err);
	r = r < 0 ? r : add_build_args(options, request, err);
	r = r < 0 ? r : add_platform(options, request, err);
	r = r < 0 ? r : add_network(options, request, err);
	r = r < 0 ? r : add_host_config(options, request, err);
	r = r < 0 ? r : build_values_add(options, request, err);
	if (r < 0)
		return r;
	if (only_check)
		json_set_string(request, "call", "check");
	add_allow(options, request);
	add_annotations(options, request);
	json_set_strv(request, "references", names);
	json_set_strv(request, "labels", option_list(options, "label"));
	json_set_strv(request, "addHosts", option_list(options, "add-host"));
	json_set_strv(request, "noCacheFilter",
		      option_list(options, "no-cache-filter"));
	json_set_bool(request, "noCache", option_flag(options, "no-cache"));
	json_set_bool(request, "pull", option_flag(options, "pull"));
	json_set_bool(request, "squash", option_flag(options, "squash"));
	if (option_given(options, "target"))
		json_set_string(request, "target",
				option_string(options, "target"));
	return 0;
}
