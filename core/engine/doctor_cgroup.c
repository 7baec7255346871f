/* Whether limits can be set, and by which way (core/runtime/cgroup.h). */
#include "core/engine/doctor_private.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/task_limit.h"

#define DROP_IN "/etc/systemd/system/user@.service.d/delegate.conf"
#define HELPER	"moss-systemd"
#define EXPECTED                                              \
	(CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_MEMORY) | \
	 CGROUP_BIT(CGROUP_PIDS))
#define ALL (EXPECTED | CGROUP_BIT(CGROUP_CPUSET) | CGROUP_BIT(CGROUP_IO))

/* The one limit that is also kept without a cgroup. */
static const char *exception(unsigned int missing)
{
	return (missing & CGROUP_BIT(CGROUP_PIDS)) && task_limit_is_possible()
		       ? ", but --pids-limit, which a user namespace keeps"
		       : "";
}

static void say_delegated(const struct cgroup_host *host,
			  struct doctor_finding *finding)
{
	cleanup_free char *names = cgroup_controllers_text(host->delegated);
	cleanup_free char *rest =
		cgroup_controllers_text(ALL & ~host->delegated);
	bool by_systemd = host->manager == CGROUP_MANAGER_SYSTEMD;

	doctor_say(finding, DOCTOR_OK, "delegated to you%s: %s%s%s%s",
		   by_systemd ? " by your service manager" : "", names,
		   *rest ? " (not " : "", rest, *rest ? ")" : "");
}

static void fix_by_hand(const struct doctor *doctor,
			struct doctor_finding *finding)
{
	doctor_fix(finding,
		   "sudo sh -c 'cd /sys/fs/cgroup && echo +cpu +memory +pids > "
		   "cgroup.subtree_control && mkdir -p moss-%s/shell && chown "
		   "-R %s moss-%s && echo PID_OF_YOUR_SHELL > "
		   "moss-%s/shell/cgroup.procs'",
		   doctor->user, doctor->user, doctor->user, doctor->user);
}

static void fix_drop_in(struct doctor_finding *finding)
{
	doctor_fix(finding, "write " DROP_IN ":");
	doctor_fix(finding, "    [Service]");
	doctor_fix(finding, "    Delegate=cpu cpuset io memory pids");
	doctor_fix(finding, "sudo systemctl daemon-reload, then log out and "
			    "in again");
}

/* There are controllers, but not for us. */
static void say_missing(const struct doctor *doctor,
			const struct cgroup_host *host,
			struct doctor_finding *finding)
{
	unsigned int bits = EXPECTED & ~host->delegated;
	cleanup_free char *missing = cgroup_controllers_text(bits);
	cleanup_free char *have = cgroup_controllers_text(host->delegated);

	if (host->has_systemd && host->manager == CGROUP_MANAGER_NONE) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "no service manager of yours runs that could give "
			   "a cgroup to containers: no limits%s",
			   exception(bits));
		doctor_fix(finding,
			   "log in by ssh, at a console or with machinectl "
			   "shell %s@, or: sudo loginctl enable-linger %s",
			   doctor->user, doctor->user);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "not delegated to you: %s%s%s: these limits cannot be "
		   "set%s",
		   missing, *have ? "; only " : "", have, exception(bits));
	if (host->has_systemd)
		fix_drop_in(finding);
	else
		fix_by_hand(doctor, finding);
}

void doctor_check_cgroup(const struct doctor *doctor,
			 struct doctor_finding *finding)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cleanup_free char *helper = proc_helper_path(HELPER, NULL);

	cgroup_host_read(doctor->root, doctor->uid, &host);
	if (EXPECTED & ~host.available) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "cgroup v2 has no controllers cpu, memory and pids "
			   "here: no limits for containers%s",
			   exception(EXPECTED));
		doctor_fix(finding, "add systemd.unified_cgroup_hierarchy=1 "
				    "(without systemd: cgroup_no_v1=all) to "
				    "the kernel's command line and reboot");
	} else if (EXPECTED & ~host.delegated) {
		say_missing(doctor, &host, finding);
	} else if (host.manager == CGROUP_MANAGER_SYSTEMD && !helper) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   HELPER
			   " is missing, which asks your service "
			   "manager for a cgroup: no limits for containers");
		doctor_fix(finding, "install libsystemd-dev (systemd-devel) "
				    "and build moss again");
	} else {
		say_delegated(&host, finding);
	}
}
