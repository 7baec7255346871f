#include "cmd/container_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/docker_config.h"
#include "cmd/egress_option.h"
#include "cmd/limit_options.h"
#include "cmd/member.h"
#include "cmd/network_option.h"
#include "cmd/refused_options.h"
#include "net/port.h"
#include "policy/seccomp.h"

#define OPTION_FILE_MAX (4u << 20) /* bytes of an env or label file */

/* clang-format off */
const struct option container_options[] = {
	{0, "add-host", OPTION_LIST, NULL, NULL, "Add a custom host-to-IP mapping (host:ip)", false},
	{0, "annotation", OPTION_LIST, "map", NULL, "Add an annotation to the container (passed through to the OCI runtime)", false},
	{'a', "attach", OPTION_LIST, NULL, NULL, "Attach to STDIN, STDOUT or STDERR", false},
	{0, "cap-add", OPTION_LIST, NULL, NULL, "Add Linux capabilities", false},
	{0, "cap-drop", OPTION_LIST, NULL, NULL, "Drop Linux capabilities", false},
	{0, "cgroupns", OPTION_STRING, NULL, NULL, "Cgroup namespace to use (host|private)", false},
	{0, "cidfile", OPTION_STRING, NULL, NULL, "Write the container ID to the file", false},
	{0, "device", OPTION_LIST, NULL, NULL, "Add a host device to the container", false},
	{0, "disable-content-trust", OPTION_FLAG, NULL, "true", "Skip image verification", false},
	{0, "dns", OPTION_LIST, NULL, NULL, "Set custom DNS servers", false},
	{0, "dns-option", OPTION_LIST, NULL, NULL, "Set DNS options", false},
	{0, "dns-search", OPTION_LIST, NULL, NULL, "Set custom DNS search domains", false},
	{0, "domainname", OPTION_STRING, NULL, NULL, "Container NIS domain name", false},
	{0, "entrypoint", OPTION_STRING, NULL, NULL, "Overwrite the default ENTRYPOINT of the image", false},
	{'e', "env", OPTION_LIST, NULL, NULL, "Set environment variables", false},
	{0, "env-file", OPTION_LIST, NULL, NULL, "Read in a file of environment variables", false},
	{0, "expose", OPTION_LIST, NULL, NULL, "Expose a port or a range of ports", false},
	{0, "group-add", OPTION_LIST, NULL, NULL, "Add additional groups to join", false},
	{0, "health-cmd", OPTION_STRING, NULL, NULL, "Command to run to check health", false},
	{0, "health-interval", OPTION_DURATION, NULL, NULL, "Time between running the check (ms|s|m|h) (default 0s)", false},
	{0, "health-retries", OPTION_INT, NULL, NULL, "Consecutive failures needed to report unhealthy", false},
	{0, "health-start-interval", OPTION_DURATION, NULL, NULL, "Time between running the check during the start period (ms|s|m|h) (default 0s)", false},
	{0, "health-start-period", OPTION_DURATION, NULL, NULL, "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)", false},
	{0, "health-timeout", OPTION_DURATION, NULL, NULL, "Maximum time to allow one check to run (ms|s|m|h) (default 0s)", false},
	{0, "host-port", OPTION_LIST, "port", NULL, "Let the container reach a TCP port of the host's loopback (PORT[:CONTAINERPORT])", false},
	{'h', "hostname", OPTION_STRING, NULL, NULL, "Container host name", false},
	{0, "init", OPTION_FLAG, NULL, NULL, "Run an init inside the container that forwards signals and reaps processes", false},
	{'i', "interactive", OPTION_FLAG, NULL, NULL, "Keep STDIN open even if not attached", false},
	{0, "ip", OPTION_STRING, NULL, NULL, "IPv4 address (e.g., 172.30.100.104)", false},
	{0, "ip6", OPTION_STRING, NULL, NULL, "IPv6 address (e.g., 2001:db8::33)", false},
	{0, "ipc", OPTION_STRING, NULL, NULL, "IPC mode to use (private|host|shareable|none|container:NAME)", false},
	{0, "isolation", OPTION_STRING, NULL, NULL, "Container isolation technology (default)", false},
	{'l', "label", OPTION_LIST, NULL, NULL, "Set meta data on a container", false},
	{0, "label-file", OPTION_LIST, NULL, NULL, "Read in a line delimited file of labels", false},
	{0, "link", OPTION_LIST, NULL, NULL, "Add link to another container", true},
	{0, "link-local-ip", OPTION_LIST, NULL, NULL, "Container IPv4/IPv6 link-local addresses", true},
	{0, "log-driver", OPTION_STRING, NULL, NULL, "Logging driver for the container (json-file|local|none)", false},
	{0, "log-opt", OPTION_LIST, NULL, NULL, "Log driver options (max-size, max-file, compress, labels, labels-regex, env, env-regex, tag)", false},
	{0, "mac-address", OPTION_STRING, NULL, NULL, "Container MAC address (e.g., 92:d0:c6:0a:29:33)", false},
	{0, "mount", OPTION_LIST, "mount", NULL, "Attach a filesystem mount to the container", false},
	{0, "name", OPTION_STRING, NULL, NULL, "Assign a name to the container", false},
	{0, "network", OPTION_LIST, "network", NULL, "Connect a container to a network (NAME|slirp|none|host|container:NAME)", false},
	{0, "network-alias", OPTION_LIST, NULL, NULL, "Add network-scoped alias for the container", false},
	{0, "no-healthcheck", OPTION_FLAG, NULL, NULL, "Disable any container-specified HEALTHCHECK", false},
	{0, "oom-score-adj", OPTION_INT, NULL, NULL, "Tune host's OOM preferences (-1000 to 1000)", false},
	{0, "pid", OPTION_STRING, NULL, NULL, "PID namespace to use (host|container:NAME)", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Set platform if server is multi-platform capable", false},
	{0, "privileged", OPTION_FLAG, NULL, NULL, "All capabilities in the container's own user namespace, no seccomp (it is not root on the host)", false},
	{'p', "publish", OPTION_LIST, NULL, NULL, "Publish a container's port(s) to the host", false},
	{'P', "publish-all", OPTION_FLAG, NULL, NULL, "Publish all exposed ports to random ports", false},
	{0, "publish-mode", OPTION_STRING, "mode", NULL, "How published ports reach the container (auto|splice|slirp|native); native gives it sockets of the host's, see moss-run(1)", false},
	{0, "pull", OPTION_STRING, NULL, "missing", "Pull image before running (\"always\", \"missing\", \"never\")", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress the pull output", false},
	{0, "read-only", OPTION_FLAG, NULL, NULL, "Mount the container's root filesystem as read only", false},
	{0, "restart", OPTION_STRING, NULL, "no", "Restart policy to apply when a container exits", false},
	{0, "rm", OPTION_FLAG, NULL, NULL, "Automatically remove the container and its associated anonymous volumes when it exits", false},
	{0, "runtime", OPTION_STRING, NULL, NULL, "Runtime to use for this container (moss)", false},
	{0, "security-opt", OPTION_LIST, NULL, NULL, "Security Options", false},
	{0, "shm-size", OPTION_BYTES, NULL, NULL, "Size of /dev/shm", false},
	{0, "stop-signal", OPTION_STRING, NULL, NULL, "Signal to stop the container", false},
	{0, "stop-timeout", OPTION_INT, NULL, NULL, "Timeout (in seconds) to stop a container", false},
	{0, "storage-driver", OPTION_STRING, NULL, NULL, "Driver of the root filesystem (overlay|fuse-overlayfs); MOSS_STORAGE_DRIVER sets the default", false},
	{0, "sysctl", OPTION_LIST, "map", NULL, "Sysctl options", false},
	{0, "tmpfs", OPTION_LIST, NULL, NULL, "Mount a tmpfs directory", false},
	{'t', "tty", OPTION_FLAG, NULL, NULL, "Allocate a pseudo-TTY", false},
	{0, "ulimit", OPTION_LIST, "ulimit", NULL, "Ulimit options", false},
	{'u', "user", OPTION_STRING, NULL, NULL, "Username or UID (format: <name|uid>[:<group|gid>])", false},
	{0, "userns", OPTION_STRING, NULL, NULL, "User namespace to use (host|nomap|keep-id[:uid=,gid=]|auto[:size=])", false},
	{0, "uts", OPTION_STRING, NULL, NULL, "UTS namespace to use (host)", false},
	{'v', "volume", OPTION_LIST, NULL, NULL, "Bind mount a volume", false},
	{0, "volume-driver", OPTION_STRING, NULL, NULL, "Optional volume driver for the container (local)", false},
	{0, "volumes-from", OPTION_LIST, NULL, NULL, "Mount volumes from the specified container(s)", false},
	{'w', "workdir", OPTION_STRING, NULL, NULL, "Working directory inside the container", false},
	{0},
};

/* Options that go into the body as they are: option, member of which object. */
static const struct {
	const char *option;
	const char *member;
	bool host; /* HostConfig, not the top */
} plain_members[] = {
	{"add-host", "ExtraHosts", true},
	{"cap-add", "CapAdd", true},
	{"cap-drop", "CapDrop", true},
	{"cgroupns", "CgroupnsMode", true},
	{"cidfile", "ContainerIDFile", true},
	{"dns", "Dns", true},
	{"dns-option", "DnsOptions", true},
	{"dns-search", "DnsSearch", true},
	{"domainname", "Domainname", false},
	{"group-add", "GroupAdd", true},
	{"hostname", "Hostname", false},
	{"init", "Init", true},
	{"interactive", "OpenStdin", false},
	{"ipc", "IpcMode", true},
	{"isolation", "Isolation", true},
	{"mac-address", "MacAddress", false},
	{"oom-score-adj", "OomScoreAdj", true},
	{"pid", "PidMode", true},
	{"privileged", "Privileged", true},
	{"publish-all", "PublishAllPorts", true},
	{"read-only", "ReadonlyRootfs", true},
	{"rm", "AutoRemove", true},
	{"runtime", "Runtime", true},
	{"shm-size", "ShmSize", true},
	{"stop-signal", "StopSignal", false},
	{"stop-timeout", "StopTimeout", false},
	{"tty", "Tty", false},
	{"user", "User", false},
	{"userns", "UsernsMode", true},
	{"uts", "UTSMode", true},
	{"volume-driver", "VolumeDriver", true},
	{"volumes-from", "VolumesFrom", true},
	{"workdir", "WorkingDir", false},
};
/* clang-format on */

static enum option_type option_type_of(const char *name)
{
	for (const struct option *o = container_options; o->name; o++)
		if (str_equal(o->name, name))
			return o->type;
	return OPTION_STRING;
}

static void add_plain_members(const struct options *options, cJSON *body,
			      cJSON *host)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain_members); i++) {
		const char *option = plain_members[i].option;
		const char *member = plain_members[i].member;
		cJSON *object = plain_members[i].host ? host : body;

		if (!option_given(options, option))
			continue;
		switch (option_type_of(option)) {
		case OPTION_FLAG:
			json_set_bool(object, member,
				      option_flag(options, option));
			break;
		case OPTION_STRING:
			json_set_string(object, member,
					option_string(options, option));
			break;
		case OPTION_LIST:
			json_set_strv(object, member,
				      option_list(options, option));
			break;
		case OPTION_INT:
		case OPTION_BYTES:
		case OPTION_DURATION:
			json_set_i64(object, member,
				     option_number(options, option));
			break;
		}
	}
}

/* Takes "NAME" out, and "NAME=value" when values is set. */
static void env_forget(char **env, const char *name, bool values)
{
	size_t length = strlen(name);
	size_t kept = 0;

	for (size_t i = 0; env && env[i]; i++) {
		if (strncmp(env[i], name, length) == 0 &&
		    (env[i][length] == '\0' ||
		     (values && env[i][length] == '=')))
			free(env[i]);
		else
			env[kept++] = env[i];
	}
	if (env)
		env[kept] = NULL;
}

int env_option_add(char ***env, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *name = NULL;
	const char *value;

	if (equals == text || *text == '\0')
		return err_set(err, ERROR_INVALID,
			       "invalid environment variable: %s", text);
	name = equals ? xstrndup(text, (size_t)(equals - text)) : xstrdup(text);
	value = equals ? equals + 1 : getenv(text);
	env_forget(*env, name, !value);
	if (value)
		env_set(env, name, value);
	else
		strv_push(env, name);
	return 0;
}

int option_file_read(const char *path, bool from_environment, char ***list,
		     struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_strv char **lines = NULL;
	size_t length;
	int r;

	r = file_read_at(AT_FDCWD, path, OPTION_FILE_MAX, &text, &length, err);
	if (r < 0)
		return r;
	if (memchr(text, '\0', length))
		return err_set(err, ERROR_INVALID, "%s: contains a NUL byte",
			       path);
	lines = strv_split(text, '\n');
	for (size_t i = 0; lines[i]; i++) {
		char *line = lines[i];
		size_t end;

		/* Editors on Windows mark UTF-8 so. */
		if (i == 0 && str_starts(line, "\xef\xbb\xbf"))
			line += 3;
		line += strspn(line, " \t");
		end = strlen(line);
		if (end > 0 && line[end - 1] == '\r')
			line[end - 1] = '\0';
		if (*line == '\0' || *line == '#')
			continue;
		if (!from_environment) {
			strv_push(list, line);
			continue;
		}
		end = strcspn(line, "=");
		if (end == 0 || strcspn(line, " \t") < end)
			return err_set(err, ERROR_INVALID,
				       "%s:%zu: invalid variable name: %s",
				       path, i + 1, line);
		/* One that we do not have is not there, unlike with -e. */
		if (line[end] == '\0' && !getenv(line))
			continue;
		r = env_option_add(list, line, err);
		if (r < 0)
			return err_wrap(err, "%s:%zu", path, i + 1);
	}
	return 0;
}

static int add_env(const struct options *options, cJSON *body,
		   struct error *err)
{
	cleanup_json cJSON *config = docker_config_read();
	cleanup_strv char **env = NULL;
	char *const *files = option_list(options, "env-file");
	char *const *list = option_list(options, "env");
	int r;

	docker_config_add_proxies(config, &env);
	for (size_t i = 0; files[i]; i++) {
		r = option_file_read(files[i], true, &env, err);
		if (r < 0)
			return err_wrap(err, "--env-file");
	}
	for (size_t i = 0; list[i]; i++) {
		r = env_option_add(&env, list[i], err);
		if (r < 0)
			return r;
	}
	json_set_strv(body, "Env", env);
	return 0;
}

/* A label's name has no white space, nor is it empty. */
int label_option_check(const char *label, struct error *err)
{
	static const char white[] = " \t\n\v\f\r";
	const char *name = label + strspn(label, white);
	size_t length = strcspn(name, "=");

	if (length == 0)
		return err_set(err, ERROR_INVALID,
			       "invalid label '%s': empty name", label);
	if (strcspn(name, white) < length)
		return err_set(err, ERROR_INVALID,
			       "label '%.*s' contains whitespaces", (int)length,
			       name);
	return 0;
}

static int add_labels(const struct options *options, cJSON *body,
		      struct error *err)
{
	cleanup_strv char **labels = NULL;
	char *const *files = option_list(options, "label-file");
	char *const *list = option_list(options, "label");
	int r;

	for (size_t i = 0; files[i]; i++) {
		r = option_file_read(files[i], false, &labels, err);
		if (r < 0)
			return err_wrap(err, "--label-file");
	}
	for (size_t i = 0; list[i]; i++)
		strv_push(&labels, list[i]);
	for (size_t i = 0; labels && labels[i]; i++) {
		r = label_option_check(labels[i], err);
		if (r < 0)
			return r;
	}
	json_set(body, "Labels", option_map(labels));
	return 0;
}

static int add_attach(const struct options *options, bool detached, cJSON *body,
		      struct error *err)
{
	char *const *list = option_list(options, "attach");
	bool in = option_flag(options, "interactive");
	bool out = false, error = false;

	for (size_t i = 0; list[i]; i++) {
		if (strcasecmp(list[i], "stdin") == 0)
			in = true;
		else if (strcasecmp(list[i], "stdout") == 0)
			out = true;
		else if (strcasecmp(list[i], "stderr") == 0)
			error = true;
		else
			return err_set(err, ERROR_INVALID,
				       "invalid argument \"%s\" for \"-a, "
				       "--attach\" flag: valid streams are "
				       "STDIN, STDOUT and STDERR",
				       list[i]);
	}
	if (list[0] && detached)
		return err_set(err, ERROR_INVALID,
			       "Conflicting options: -a and -d");
	if (detached)
		in = false;
	else if (!list[0])
		out = error = true;
	json_set_bool(body, "AttachStdin", in);
	json_set_bool(body, "AttachStdout", out);
	json_set_bool(body, "AttachStderr", error);
	json_set_bool(body, "StdinOnce",
		      in && option_flag(options, "interactive"));
	return 0;
}

static cJSON *member_object(cJSON *object, const char *name)
{
	cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!member) {
		member = json_object();
		json_set(object, name, member);
	}
	return member;
}

static int add_ports(const struct options *options, cJSON *body, cJSON *host,
		     struct error *err)
{
	char *const *publish = option_list(options, "publish");
	char *const *expose = option_list(options, "expose");
	cJSON *exposed = member_object(body, "ExposedPorts");
	cJSON *bindings = member_object(host, "PortBindings");
	struct port_list ports = {0};
	size_t published;
	int r = 0;

	for (size_t i = 0; r >= 0 && publish[i]; i++)
		r = port_parse_publish(publish[i], &ports, err);
	published = ports.count;
	for (size_t i = 0; r >= 0 && expose[i]; i++)
		r = port_parse_expose(expose[i], &ports, err);
	for (size_t i = 0; r >= 0 && i < ports.count; i++) {
		const struct port_mapping *port = &ports.entries[i];
		cleanup_free char *key = NULL;
		cleanup_free char *number = NULL;
		cJSON *list, *binding;

		key = xasprintf("%u/%s", port->container_port,
				port->protocol == PORT_UDP ? "udp" : "tcp");
		(void)member_object(exposed, key);
		if (i >= published)
			continue;
		list = cJSON_GetObjectItemCaseSensitive(bindings, key);
		if (!list) {
			list = json_array();
			json_set(bindings, key, list);
		}
		if (port->host_port == 0)
			number = xstrdup("");
		else if (port->host_port_end > port->host_port)
			number = xasprintf("%u-%u", port->host_port,
					   port->host_port_end);
		else
			number = xasprintf("%u", port->host_port);
		binding = json_object();
		json_set_string(binding, "HostIp", port->host_ip);
		json_set_string(binding, "HostPort", number);
		json_push(list, binding);
	}
	port_list_release(&ports);
	return r < 0 ? r : 0;
}

/* "seccomp=FILE" becomes "seccomp=<JSON>", as the API wants it. */
static int add_security(const struct options *options, cJSON *host, cJSON *moss,
			struct error *err)
{
	char *const *list = option_list(options, "security-opt");
	cJSON *array = json_array();

	json_set(host, "SecurityOpt", array);
	for (size_t i = 0; list[i]; i++) {
		const char *value = strpbrk(list[i], "=:");
		cleanup_free char *text = NULL;
		cleanup_free char *option = NULL;
		int r;

		if (!value || strncmp(list[i], "seccomp", 7) != 0 ||
		    value != list[i] + 7 ||
		    str_equal(value + 1, "unconfined") ||
		    str_equal(value + 1, "builtin")) {
			json_push_string(array, list[i]);
			continue;
		}
		r = file_read_at(AT_FDCWD, value + 1, SECCOMP_PROFILE_MAX,
				 &text, NULL, err);
		if (r < 0)
			return err_wrap(err, "opening seccomp profile");
		option = xasprintf("seccomp=%s", text);
		json_push_string(array, option);
		json_set_string(moss, "SeccompName", value + 1);
	}
	return 0;
}

int restart_option_add(const char *text, cJSON *host, struct error *err)
{
	static const char *const names[] = {"no", "on-failure", "always",
					    "unless-stopped"};
	size_t length = strcspn(text, ":");
	cleanup_free char *name = xstrndup(text, length);
	cJSON *policy = member_object(host, "RestartPolicy");
	int64_t retries = 0;
	bool known = false;

	if (*name == '\0') {
		free(name);
		name = xstrdup("no");
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known = known || str_equal(name, names[i]);
	if (!known)
		return err_set(
			err, ERROR_INVALID,
			"invalid restart policy '%s'; use one of \"no\", "
			"\"always\", \"on-failure[:max-retries]\", "
			"\"unless-stopped\"",
			text);
	if (text[length] == ':' &&
	    (parse_i64(text + length + 1, &retries) < 0 || retries < 0 ||
	     !str_equal(name, "on-failure")))
		return err_set(err, ERROR_INVALID,
			       "invalid restart policy '%s': a retry count "
			       "goes with on-failure only",
			       text);
	json_set_string(policy, "Name", name);
	json_set_i64(policy, "MaximumRetryCount", retries);
	return 0;
}

static int add_restart(const struct options *options, cJSON *host,
		       struct error *err)
{
	int r = restart_option_add(option_string(options, "restart"), host,
				   err);

	if (r >= 0 && option_flag(options, "rm") &&
	    !str_equal(text_of(member_of(host, "RestartPolicy"), "Name"), "no"))
		return err_set(err, ERROR_INVALID,
			       "Conflicting options: --restart and --rm");
	return r;
}

/* "name=soft[:hard]" */
int ulimit_options_add(const struct options *options, cJSON *host,
		       struct error *err)
{
	char *const *list = option_list(options, "ulimit");
	cJSON *array = json_array();

	json_set(host, "Ulimits", array);
	for (size_t i = 0; list[i]; i++) {
		const char *equals = strchr(list[i], '=');
		cleanup_strv char **limits = NULL;
		cleanup_free char *name = NULL;
		int64_t soft, hard;
		cJSON *limit;

		if (!equals || equals == list[i])
			return err_set(err, ERROR_INVALID,
				       "invalid ulimit argument: %s", list[i]);
		name = xstrndup(list[i], (size_t)(equals - list[i]));
		limits = strv_split(equals + 1, ':');
		if (strv_length(limits) > 2 ||
		    parse_i64(limits[0], &soft) < 0 ||
		    parse_i64(limits[1] ? limits[1] : limits[0], &hard) < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid ulimit argument: %s: expected "
				       "NAME=SOFT[:HARD]",
				       list[i]);
		if (hard != -1 && (soft == -1 || soft > hard))
			return err_set(err, ERROR_INVALID,
				       "ulimit soft limit must be less than or "
				       "equal to hard limit: %s",
				       list[i]);
		limit = json_object();
		json_set_string(limit, "Name", name);
		json_set_i64(limit, "Soft", soft);
		json_set_i64(limit, "Hard", hard);
		json_push(array, limit);
	}
	return 0;
}

/* "host[:container[:rwm]]" */
static int add_devices(const struct options *options, cJSON *host,
		       struct error *err)
{
	char *const *list = option_list(options, "device");
	cJSON *array = json_array();

	json_set(host, "Devices", array);
	for (size_t i = 0; list[i]; i++) {
		cleanup_strv char **parts = strv_split(list[i], ':');
		size_t count = strv_length(parts);
		const char *permissions = "rwm";
		const char *inside = parts[0];
		cJSON *device;

		if (count > 3 || parts[0][0] != '/')
			return err_set(err, ERROR_INVALID,
				       "bad format for device: %s: expected "
				       "/dev/HOST[:/dev/CONTAINER[:rwm]]",
				       list[i]);
		if (count == 3)
			permissions = parts[2];
		if (count >= 2 && parts[1][0] == '/')
			inside = parts[1];
		else if (count == 2)
			permissions = parts[1];
		if (strspn(permissions, "rwm") != strlen(permissions) ||
		    *permissions == '\0')
			return err_set(err, ERROR_INVALID,
				       "invalid device mode: %s", permissions);
		device = json_object();
		json_set_string(device, "PathOnHost", parts[0]);
		json_set_string(device, "PathInContainer", inside);
		json_set_string(device, "CgroupPermissions", permissions);
		json_push(array, device);
	}
	return 0;
}

static int add_log(const struct options *options, cJSON *host,
		   struct error *err)
{
	const char *driver = option_string(options, "log-driver");
	cJSON *log = member_object(host, "LogConfig");

	if (str_equal(driver, "none") && option_given(options, "log-opt"))
		return err_set(err, ERROR_INVALID,
			       "invalid logging opts for driver none");

	json_set_string(log, "Type", driver ? driver : "json-file");
	json_set(log, "Config", option_map(option_list(options, "log-opt")));
	return 0;
}

static void add_command(const struct options *options, cJSON *body)
{
	char *const *operands = options->operands;

	json_set_string(body, "Image", operands[0]);
	if (operands[1])
		json_set_strv(body, "Cmd", operands + 1);
	if (option_given(options, "entrypoint")) {
		cJSON *array = json_array();

		json_push_string(array, option_string(options, "entrypoint"));
		json_set(body, "Entrypoint", array);
	}
}

static void set_test(cJSON *check, const char *kind, const char *command)
{
	cJSON *test = json_array();

	json_push_string(test, kind);
	if (command)
		json_push_string(test, command);
	json_set(check, "Test", test);
}

static int add_health(const struct options *options, cJSON *body,
		      struct error *err)
{
	static const struct {
		const char *option;
		const char *member;
	} numbers[] = {
		{"health-interval", "Interval"},
		{"health-timeout", "Timeout"},
		{"health-start-period", "StartPeriod"},
		{"health-start-interval", "StartInterval"},
		{"health-retries", "Retries"},
	};
	cleanup_json cJSON *check = json_object();
	const char *command = option_string(options, "health-cmd");

	if (!str_empty(command))
		set_test(check, "CMD-SHELL", command);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int64_t number;

		if (!option_given(options, numbers[i].option))
			continue;
		number = option_number(options, numbers[i].option);
		if (number < 0)
			return err_set(err, ERROR_INVALID,
				       "--%s cannot be negative",
				       numbers[i].option);
		if (number > 0)
			json_set_i64(check, numbers[i].member, number);
	}
	if (option_flag(options, "no-healthcheck")) {
		if (check->child)
			return err_set(err, ERROR_INVALID,
				       "--no-healthcheck conflicts with "
				       "--health-* options");
		set_test(check, "NONE", NULL);
	}
	if (check->child)
		json_set(body, "Healthcheck", steal_ptr(&check));
	return 0;
}

int container_body(const struct options *options, bool detached,
		   cJSON **ret_body, struct error *err)
{
	cleanup_json cJSON *body = json_object();
	cJSON *host = member_object(body, "HostConfig");
	cJSON *moss = member_object(host, "Moss");
	const char *driver = option_string(options, "storage-driver");
	const char *platform = option_platform(options);
	const char *mode = option_string(options, "publish-mode");
	int r = refused_options_check(options, err);

	if (r < 0)
		return r;
	add_plain_members(options, body, host);
	add_command(options, body);
	json_set(host, "Sysctls", option_map(option_list(options, "sysctl")));
	json_set(host, "Annotations",
		 option_map(option_list(options, "annotation")));
	if (!driver)
		driver = getenv("MOSS_STORAGE_DRIVER");
	json_set_string(moss, "StorageDriver", driver ? driver : "");
	json_set_string(moss, "Platform", platform ? platform : "");
	json_set_string(moss, "PublishMode", mode ? mode : "");
	if (option_given(options, "host-port"))
		json_set_strv(moss, "HostPorts",
			      option_list(options, "host-port"));
	r = add_attach(options, detached, body, err);
	r = r < 0 ? r : add_log(options, host, err);
	r = r < 0 ? r : network_options_body(options, body, host, err);
	r = r < 0 ? r : egress_options_body(options, moss, err);
	r = r < 0 ? r : add_env(options, body, err);
	r = r < 0 ? r : add_labels(options, body, err);
	r = r < 0 ? r : add_ports(options, body, host, err);
	r = r < 0 ? r : add_security(options, host, moss, err);
	r = r < 0 ? r : add_restart(options, host, err);
	r = r < 0 ? r : add_health(options, body, err);
	r = r < 0 ? r : limit_options_add(options, host, err);
	r = r < 0 ? r : ulimit_options_add(options, host, err);
	r = r < 0 ? r : add_devices(options, host, err);
	r = r < 0 ? r : mount_options_body(options, body, host, err);
	if (r < 0)
		return r;
	*ret_body = steal_ptr(&body);
	return 0;
}
