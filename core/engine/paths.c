#include "core/engine/paths.h"

#include <stddef.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static const char *const masked[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
};

static const char *const readonly[] = {
	"/proc/bus",	       "/proc/fs", "/proc/irq", "/proc/sys",
	"/proc/sysrq-trigger",
};

#define THERMAL_FIRST  "/sys/devices/system/cpu/cpu0/thermal_throttle"
#define THERMAL_FORMAT "/sys/devices/system/cpu/cpu%ld/thermal_throttle"

cJSON *paths_masked(void)
{
	cJSON *array = json_array();
	long cpus = 0;

	for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
		json_push_string(array, masked[i]);
	/* These counters tell what others compute, as /proc/interrupts does. */
	if (access(THERMAL_FIRST, F_OK) == 0)
		cpus = sysconf(_SC_NPROCESSORS_CONF);
	for (long i = 0; i < cpus; i++) {
		cleanup_free char *path = xasprintf(THERMAL_FORMAT, i);

		if (access(path, F_OK) == 0)
			json_push_string(array, path);
	}
	return array;
}

cJSON *paths_readonly(void)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(readonly); i++)
		json_push_string(array, readonly[i]);
	return array;
}
