#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/monitor/event.h"
#include "core/monitor/monitor.h"
#include "core/runtime/task_limit.h"

#define EVENTS_SIZE 4096

/* Once a monitor's life: later runs make their leaves in the same place. */
static int enter(struct monitor *monitor, const char *parent,
		 unsigned int needed, struct error *err)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	int r;

	if (monitor->cgroup_base)
		return 0;
	cgroup_host_read("", cgroup_outside_uid(), &host);
	r = cgroup_host_check(&host, needed, "limits", err);
	if (r < 0)
		return r;
	return cgroup_enter(&host, parent, needed, &monitor->cgroup_base, err);
}

/* Is the limit of processes one that only a user namespace can keep? */
static bool counts_tasks(const struct cgroup_limits *limits)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};

	if (limits->pids <= 0 || !task_limit_is_possible())
		return false;
	cgroup_host_read("", cgroup_outside_uid(), &host);
	return !(host.delegated & CGROUP_BIT(CGROUP_PIDS));
}

int limits_start(struct monitor *monitor, const struct runtime_spec *spec,
		 int64_t *ret_task_limit, struct error *err)
{
	const char *parent = spec->cgroup_parent ? spec->cgroup_parent : "";
	struct cgroup_limits limits = spec->limits; /* is borrowed */
	cleanup_free char *path = NULL;
	unsigned int needed;
	int r;

	if (counts_tasks(&limits)) {
		*ret_task_limit = limits.pids;
		limits.pids = 0;
	}
	needed = cgroup_limits_controllers(&limits);
	if (!needed && *parent == '\0')
		return 0;
	r = enter(monitor, parent, needed, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/%s", monitor->cgroup_base, monitor->record.id);
	container_state_set_text(&monitor->state.cgroup, path);
	r = record_state_write(&monitor->record, &monitor->state, err);
	if (r >= 0)
		r = cgroup_make(path, &monitor->cgroup, err);
	if (r >= 0)
		r = cgroup_limits_write(monitor->cgroup.fd, &limits, err);
	return r;
}

static void look_for_kills(struct monitor *monitor)
{
	uint64_t kills = cgroup_oom_kills(&monitor->cgroup);

	if (kills <= monitor->oom_kills)
		return;
	monitor->oom_kills = kills;
	record_event(&monitor->store, &monitor->record, "oom", NULL);
	if (monitor->state.oom_killed)
		return;
	monitor->state.oom_killed = true;
	/* What the disk does not take, the end will write. */
	(void)record_state_write(&monitor->record, &monitor->state, NULL);
}

static void on_memory_event(struct loop_source *source, int fd, uint32_t events,
			    void *data)
{
	char ignored[EVENTS_SIZE];

	while (read(fd, ignored, sizeof(ignored)) > 0)
		;
	look_for_kills(data);
}

int limits_watch(struct monitor *monitor, struct error *err)
{
	monitor->oom_kills = 0;
	/* Without the controller there is nothing to watch. */
	if (monitor->cgroup.fd < 0 ||
	    faccessat(monitor->cgroup.fd, "memory.events", F_OK, 0) < 0)
		return 0;
	monitor->oom_fd = cgroup_oom_watch(&monitor->cgroup, err);
	if (monitor->oom_fd < 0)
		return monitor->oom_fd;
	return loop_add_fd(monitor->loop, monitor->oom_fd, EPOLLIN,
			   on_memory_event, monitor, &monitor->oom_source, err);
}

void limits_end(struct monitor *monitor)
{
	if (monitor->cgroup.fd >= 0)
		look_for_kills(monitor);
	loop_remove(monitor->oom_source);
	monitor->oom_source = NULL;
	close_fd(&monitor->oom_fd);
	/* A killed init has told us before its cgroup could. */
	if (!str_empty(monitor->state.cgroup))
		(void)cgroup_remove(monitor->state.cgroup, NULL);
	cgroup_close(&monitor->cgroup);
	container_state_set_text(&monitor->state.cgroup, "");
}
