/*
 * A start: the files and the OCI configuration of this run, made anew, then the
 * monitor. All under the container's operation.lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"
#include "net/files.h"
#include "net/netns.h"
#include "storage/root/volume.h"

struct start {
	struct engine *engine;
	struct container *container;
	const cJSON *config;
	const cJSON *host;
	struct spec_request request;
	char *directory;
	char *network_directory; /* of the container whose network is joined */
};

static void start_release(struct start *start)
{
	free(start->directory);
	free(start->network_directory);
}

static const char *const join_members[] = {
	[JOIN_NETWORK] = "NetworkMode",
	[JOIN_IPC] = "IpcMode",
	[JOIN_PID] = "PidMode",
};

static int find_joined(struct start *start, enum spec_join join,
		       struct error *err)
{
	CLEANUP(container_close) struct container target = CONTAINER_INIT;
	const char *member = join_members[join];
	const char *id = mode_container(member_string(start->host, member));
	int r;

	if (!id)
		return 0;
	if (str_equal(id, start->container->record.id))
		return err_set(err, ERROR_INVALID,
			       "%s: a container cannot join itself", member);
	r = container_open(start->engine, id, &target, err);
	if (r < 0)
		return err_wrap(err, "%s", member);
	if (!container_is_running(&target))
		return err_set(err, ERROR_CONFLICT,
			       "cannot join namespace of a non running "
			       "container: container %s is %s",
			       target.name,
			       container_status_name(target.state.status));
	start->request.join[join] = target.state.pid;
	if (join == JOIN_NETWORK)
		start->network_directory =
			container_path(start->engine, target.record.id);
	return 0;
}

static int write_file(const struct start *start, const char *name,
		      const char *text, struct error *err)
{
	/* Made anew at each start, so nothing is lost by a power cut. */
	return file_write_atomic_at(start->container->record.directory_fd, name,
				    text, strlen(text), 0644, FILE_VOLATILE,
				    err);
}

static int write_network_files(const struct start *start, struct error *err)
{
	const cJSON *moss = member_get(start->container->json, "Moss");
	const char *network = member_string(moss, "Network");
	bool slirp = str_equal(network, "slirp");
	cleanup_strv char **add_hosts = member_strv(start->host, "ExtraHosts");
	cleanup_strv char **dns = member_strv(start->host, "Dns");
	cleanup_strv char **search = member_strv(start->host, "DnsSearch");
	cleanup_strv char **options = member_strv(start->host, "DnsOptions");
	const char *hostname = member_string(start->config, "Hostname");
	const char *domain = member_string(start->config, "Domainname");
	const char *address = member_string(moss, "Address");
	struct net_files_request request = {
		.hostname = hostname,
		.domainname = *domain ? domain : NULL,
		.address = slirp && *address ? address : NULL,
		.gateway = slirp ? NET_GATEWAY : NULL,
		.host_network = str_equal(network, "host"),
		.add_hosts = add_hosts,
		.dns = dns,
		.dns_search = search,
		.dns_options = options,
		.default_dns = slirp ? NET_DNS : NULL,
		.default_dns6 = slirp ? NET_DNS6 : NULL,
	};
	cleanup_free char *hosts = NULL;
	cleanup_free char *resolv = NULL;
	cleanup_free char *name = xasprintf("%s\n", hostname);
	int r;

	/* Joined: the other's files are bound. */
	if (start->network_directory)
		return 0;
	r = net_hosts_text(&request, &hosts, err);
	if (r < 0)
		return r;
	r = net_resolv_text(&request, &resolv, err);
	if (r < 0)
		return r;
	r = write_file(start, "hosts", hosts, err);
	if (r < 0)
		return r;
	r = write_file(start, "resolv.conf", resolv, err);
	if (r < 0)
		return r;
	return write_file(start, "hostname", name, err);
}

/* -v makes a missing directory, as docker does; what else is gone is told. */
static int check_sources(const struct start *start, struct error *err)
{
	CLEANUP(mount_list_release) struct mount_list list = {0};
	const cJSON *engine = member_get(start->container->json, "Engine");
	int r;

	r = mounts_parse_json(member_get(engine, "Mounts"), &list, err);
	for (size_t i = 0; r >= 0 && i < list.count; i++) {
		const struct mount_point *point = &list.entries[i];
		struct stat status;

		if (!point->source || stat(point->source, &status) == 0)
			continue;
		if (errno != ENOENT)
			r = err_errno(err, "cannot use mount source path %s",
				      point->source);
		else if (point->kind == MOUNT_VOLUME)
			r = err_set(err, ERROR_NOT_FOUND, "no such volume: %s",
				    point->name);
		else if (point->create_source)
			r = path_mkdirs(point->source, 0755, err);
		else
			r = err_set(err, ERROR_NOT_FOUND,
				    "bind source path does not exist: %s",
				    point->source);
	}
	return r < 0 ? r : 0;
}

static int write_config(struct start *start, struct error *err)
{
	cleanup_json cJSON *spec = NULL;
	int r;

	start->request.container = start->container->json;
	start->request.directory = start->directory;
	start->request.network_directory = start->network_directory;
	start->request.identity = &start->engine->identity;
	start->request.first = str_equal(start->container->state.started_at,
					 CONTAINER_TIME_NONE);
	r = ocispec_build(&start->request, &spec, err);
	if (r < 0)
		return r;
	return json_write_at(start->container->record.directory_fd,
			     "config.json", spec, FILE_VOLATILE, err);
}

static int prepare(struct start *start, struct error *err)
{
	int r;

	for (int i = 0; i < JOIN_COUNT; i++) {
		r = find_joined(start, (enum spec_join)i, err);
		if (r < 0)
			return r;
	}
	r = check_sources(start, err);
	if (r < 0)
		return r;
	r = write_network_files(start, err);
	if (r < 0)
		return r;
	return write_config(start, err);
}

/* Has its monitor told of the end and removed it, or will a repair do so? */
static bool is_told(struct engine *engine, const struct container *container)
{
	struct container_state state = {0};
	bool told;

	if (!record_is_current(&engine->store, &container->record) ||
	    record_state_read(&container->record, &state, NULL) < 0)
		return true;
	told = state.monitor_pid != 0;
	container_state_release(&state);
	return told;
}

/*
 * The monitor has recorded a failure of its own; what failed before it or
 * killed it is recorded here.
 */
static void record_failure(struct engine *engine, struct container *container,
			   const struct error *problem)
{
	struct container_state *state = &container->state;
	bool told = is_told(engine, container);
	int exit_code = error_meaning(problem->kind)->exit_code;

	if (container_refresh(engine, container, NULL) < 0 ||
	    container_is_running(container) ||
	    str_equal(state->error, problem->message))
		return;
	if (exit_code <= 1)
		exit_code = 125;
	if (!told)
		container_event_die(&engine->store, container->record.id,
				    container->json, exit_code, 0);
	if (member_bool(member_get(container->json, "HostConfig"),
			"AutoRemove")) {
		(void)container_discard(engine, container, true, NULL);
		return;
	}
	state->exit_code = exit_code;
	container_state_set_text(&state->error, problem->message);
	(void)record_state_write(&container->record, state, NULL);
}

static int run(struct start *start, const struct attach_options *attach,
	       int *ret_stream_fd, int *ret_wait_fd, struct error *err)
{
	int r;

	start->config = member_get(start->container->json, "Config");
	start->host = member_get(start->container->json, "HostConfig");
	start->directory =
		container_path(start->engine, start->container->record.id);
	r = prepare(start, err);
	if (r < 0)
		return r;
	return monitor_start(&start->engine->store, &start->container->record,
			     attach, ret_stream_fd, ret_wait_fd, err);
}

int engine_container_start(struct engine *engine, const char *id,
			   const struct attach_options *attach,
			   int *ret_stream_fd, int *ret_wait_fd,
			   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(start_release)
	struct start start = {.engine = engine, .container = &container};
	struct error problem = {0};
	int r;

	r = container_open_locked(engine, id, &container, err);
	if (r < 0)
		return r;
	if (container.state.status == CONTAINER_PAUSED)
		return err_set(err, ERROR_CONFLICT,
			       "cannot start a paused container, try unpause "
			       "instead");
	if (container_is_running(&container))
		return 1;
	if (attach)
		container_tell(engine, &container, "attach", NULL);
	r = run(&start, attach, ret_stream_fd, ret_wait_fd, &problem);
	if (r < 0) {
		record_failure(engine, &container, &problem);
		return err_copy(err, &problem);
	}
	return 0;
}
