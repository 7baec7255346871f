/*
 * Keeps the copy of the host's resolv.conf that the helpers are shown
 * (net/resolv_copy.h) up to date while the container runs. Names are not worth
 * a container that does not start: what fails here fails silently, and the
 * helpers see what was there before, or the host's file as it was.
 */
#include "base/cleanup.h"
#include "core/monitor/helpers.h"
#include "core/monitor/monitor.h"
#include "net/resolv_copy.h"

static void on_change(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	const struct monitor *monitor = data;

	if (resolv_watch_read(fd))
		(void)resolv_copy_update(monitor->store.root_fd, NULL);
}

void resolvers_start(struct monitor *monitor)
{
	if (monitor->resolv_source)
		return;
	/* First, so that no change is missed. */
	monitor->resolv_fd = resolv_watch_open();
	(void)resolv_copy_update(monitor->store.root_fd, NULL);
	if (monitor->resolv_fd >= 0)
		(void)loop_add_fd(monitor->loop, monitor->resolv_fd, EPOLLIN,
				  on_change, monitor, &monitor->resolv_source,
				  NULL);
}

void resolvers_stop(struct monitor *monitor)
{
	loop_remove(monitor->resolv_source);
	monitor->resolv_source = NULL;
	close_fd(&monitor->resolv_fd);
}
