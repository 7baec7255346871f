/*
 * Who has the port? The kernel tells only that somebody does; where it is
 * another container of the same store, its state tells.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/helpers.h"
#include "core/monitor/monitor.h"

static bool overlaps(const struct port_mapping *wanted,
		     const struct port_mapping *bound)
{
	return wanted->host_port == bound->host_port &&
	       wanted->protocol == bound->protocol &&
	       (*wanted->host_ip == '\0' || *bound->host_ip == '\0' ||
		str_equal(wanted->host_ip, bound->host_ip));
}

static bool has_bound(const struct record *record,
		      const struct port_mapping *wanted)
{
	struct container_state state;
	bool found = false;

	if (record_is_monitored(record) <= 0 ||
	    record_state_read(record, &state, NULL) < 0)
		return false;
	for (size_t i = 0; i < state.ports.count; i++)
		found = found || overlaps(wanted, &state.ports.entries[i]);
	container_state_release(&state);
	return found;
}

/* Its name, NULL when it has not got the port; the caller frees it. */
static char *owner_name(struct store *store, const char *id,
			const struct port_mapping *wanted)
{
	static const char *const members[] = {"Name", NULL};
	CLEANUP(record_close)
	struct record record = {.directory_fd = -1, .operation_fd = -1};
	cleanup_json cJSON *container = NULL;
	const char *name = NULL;

	if (record_open(store, id, &record, NULL) < 0 ||
	    !has_bound(&record, wanted) ||
	    record_read_members(&record, members, &container, NULL) < 0)
		return NULL;
	json_get_string(container, "container", "Name", &name, NULL);
	if (str_empty(name))
		return xstrndup(id, 12);
	return xstrdup(*name == '/' ? name + 1 : name);
}

void ports_explain(struct monitor *monitor, const struct port_mapping *wanted,
		   struct error *err)
{
	cleanup_strv char **ids = NULL;

	if (!err || err->number != EADDRINUSE || wanted->host_port == 0 ||
	    wanted->host_port_end > wanted->host_port ||
	    record_list(&monitor->store, &ids, NULL) < 0)
		return;
	for (size_t i = 0; ids && ids[i]; i++) {
		cleanup_free char *name = NULL;

		if (str_equal(ids[i], monitor->record.id))
			continue;
		name = owner_name(&monitor->store, ids[i], wanted);
		if (!name)
			continue;
		err_hint(err, "container %s has it; publish another port",
			 name);
		return;
	}
}
