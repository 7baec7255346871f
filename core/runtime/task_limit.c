#include "core/runtime/task_limit.h"

#include <stdio.h>
#include <sys/utsname.h>

#define KERNEL_MAJOR 5
#define KERNEL_MINOR 14

bool task_limit_is_possible(void)
{
	struct utsname name;
	unsigned int major, minor;

	return uname(&name) == 0 &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > KERNEL_MAJOR ||
		(major == KERNEL_MAJOR && minor >= KERNEL_MINOR));
}

void task_limit_map(const struct id_map *own, struct id_map *ret_map)
{
	*ret_map = *own;
	for (size_t i = 0; i < ret_map->count; i++)
		ret_map->extents[i].outside = ret_map->extents[i].inside;
}

int task_limit_lower(int64_t limit, struct rlimit *ret_before,
		     struct error *err)
{
	struct rlimit lower;

	if (getrlimit(RLIMIT_NPROC, &lower) < 0)
		return err_errno(err, "cannot read RLIMIT_NPROC");
	*ret_before = lower;
	/* Where the user may have less altogether, that is the limit. */
	if ((rlim_t)limit < lower.rlim_max)
		lower.rlim_cur = (rlim_t)limit;
	else
		lower.rlim_cur = lower.rlim_max;
	if (setrlimit(RLIMIT_NPROC, &lower) < 0)
		return err_errno(err, "cannot set RLIMIT_NPROC");
	return 0;
}

int task_limit_restore(const struct rlimit *before, struct error *err)
{
	if (setrlimit(RLIMIT_NPROC, before) < 0)
		return err_errno(err, "cannot restore RLIMIT_NPROC");
	return 0;
}
