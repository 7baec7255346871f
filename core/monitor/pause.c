#include "core/monitor/monitor.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "core/runtime/freeze.h"

bool is_paused(const struct monitor *monitor)
{
	return monitor->freeze_count > 0;
}

int pause_take(struct monitor *monitor, struct error *err)
{
	const pid_t helpers[] = {
		monitor->uplink.pid,
		monitor->process.fuse_pid,
	};
	int r;

	if (monitor->freeze_count == 0) {
		r = freeze_children(getpid(), helpers, ARRAY_SIZE(helpers),
				    &monitor->freeze, err);
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
	freeze_thaw(monitor->freeze);
	monitor->freeze = NULL;
}
