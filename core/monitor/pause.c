#include "core/monitor/monitor.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "core/monitor/event.h"
#include "core/runtime/freeze.h"

bool is_paused(const struct monitor *monitor)
{
	return monitor->freeze_count > 0;
}

/* At once by its cgroup, or one by one. */
static int freeze(struct monitor *monitor, struct error *err)
{
	const pid_t helpers[] = {
		monitor->helpers[HELPER_UPLINK].uplink.pid,
		monitor->helpers[HELPER_PORTS].uplink.pid,
		monitor->process.fuse_pid,
	};

	if (monitor->cgroup.fd >= 0)
		return cgroup_freeze(&monitor->cgroup, true, FREEZE_TIMEOUT_MS,
				     err);
	return freeze_children(getpid(), helpers, ARRAY_SIZE(helpers),
			       &monitor->freeze, err);
}

int pause_take(struct monitor *monitor, struct error *err)
{
	if (monitor->freeze_count == 0) {
		int r = freeze(monitor, err);

		if (r < 0)
			return err_wrap(err, "cannot pause container %.12s",
					monitor->record.id);
	}
	monitor->freeze_count++;
	return 0;
}

void pause_drop(struct monitor *monitor)
{
	if (--monitor->freeze_count > 0)
		return;
	if (monitor->cgroup.fd >= 0)
		(void)cgroup_freeze(&monitor->cgroup, false, FREEZE_TIMEOUT_MS,
				    NULL);
	freeze_thaw(monitor->freeze);
	monitor->freeze = NULL;
	probe_resume(monitor);
}

static bool is_paused_by_user(const struct monitor *monitor)
{
	return monitor->state.status == CONTAINER_PAUSED;
}

static int set_status(struct monitor *monitor, enum container_status status,
		      struct error *err)
{
	monitor->state.status = status;
	return record_state_write(&monitor->record, &monitor->state, err);
}

int pause_by_user(struct monitor *monitor, struct error *err)
{
	int r;

	if (is_paused_by_user(monitor))
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is already paused",
			       monitor->record.id);
	r = pause_take(monitor, err);
	if (r < 0)
		return r;
	probe_hold(monitor);
	r = set_status(monitor, CONTAINER_PAUSED, err);
	if (r < 0) {
		monitor->state.status = CONTAINER_RUNNING;
		pause_drop(monitor);
		return err_wrap(err, "cannot pause container %.12s",
				monitor->record.id);
	}
	record_event(&monitor->store, &monitor->record, "pause", NULL);
	return 0;
}

void pause_lift(struct monitor *monitor)
{
	if (!is_paused_by_user(monitor))
		return;
	pause_drop(monitor);
	/* What the disk does not take, the end or the next pause will write. */
	(void)set_status(monitor, CONTAINER_RUNNING, NULL);
	record_event(&monitor->store, &monitor->record, "unpause", NULL);
}

int pause_end(struct monitor *monitor, struct error *err)
{
	if (!is_paused_by_user(monitor))
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is not paused",
			       monitor->record.id);
	pause_lift(monitor);
	return 0;
}
