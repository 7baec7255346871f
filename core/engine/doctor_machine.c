/* Who runs moss, on what kernel, inside of what: core/engine/doctor.h. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"

void doctor_check_user(const struct doctor *doctor,
		       struct doctor_finding *finding)
{
	if (!doctor->initial_root) {
		doctor_say(finding, DOCTOR_OK, "%s (%u:%u)", doctor->user,
			   (unsigned int)doctor->uid,
			   (unsigned int)doctor->gid);
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN,
		   "moss runs as a user, never as root; the checks of a user "
		   "are left out");
	doctor_fix(finding, "su - USER -c 'moss doctor', after "
			    "`useradd -m USER` if there is none");
}

/* mount_setattr(2), which every container's set-up needs. */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 12

void doctor_check_kernel(const struct doctor *doctor,
			 struct doctor_finding *finding)
{
	cleanup_free char *release =
		doctor_read(doctor, "/proc/sys/kernel/osrelease");
	unsigned int major = 0;
	unsigned int minor = 0;

	if (!release || sscanf(release, "%9u.%9u", &major, &minor) != 2) {
		doctor_say(finding, DOCTOR_BROKEN,
			   "/proc/sys/kernel/osrelease cannot be read");
		doctor_fix(finding, "sudo mount -t proc proc /proc");
		return;
	}
	if (major > KERNEL_MAJOR ||
	    (major == KERNEL_MAJOR && minor >= KERNEL_MINOR)) {
		doctor_say(finding, DOCTOR_OK, "Linux %s", release);
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN,
		   "Linux %s is too old: moss needs %d.%d or later", release,
		   KERNEL_MAJOR, KERNEL_MINOR);
	doctor_fix(finding, "install a newer kernel of your distribution and "
			    "reboot");
}

void doctor_check_programs(const struct doctor *doctor,
			   struct doctor_finding *finding)
{
	static const char *const helpers[] = {"moss-pause",   "moss-monitor",
					      "moss-image",   "moss-net",
					      "moss-gateway", "moss-native"};
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
		cleanup_free char *path = proc_helper_path(helpers[i], &err);

		if (path)
			continue;
		doctor_say(finding, DOCTOR_BROKEN, "%s", err.message);
		doctor_fix(finding, "install moss again: sudo meson install "
				    "-C build");
		return;
	}
	doctor_say(finding, DOCTOR_OK, "all helpers of moss are there");
}

/* "container=NAME" of PID 1, which only root of the container may read. */
static char *container_of_init(const struct doctor *doctor)
{
	static const char *const files[] = {"/run/systemd/container",
					    "/run/host/container-manager"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *name = doctor_read(doctor, files[i]);

		if (name)
			return name;
	}
	return NULL;
}

/* What the machine is, if it is none; NULL: a machine. Caller frees. */
static char *container_name(const struct doctor *doctor)
{
	static const struct {
		const char *file;
		const char *name;
	} marks[] = {
		{"/.dockerenv", "docker"},
		{"/run/.containerenv", "podman"},
		{"/run/.toolboxenv", "toolbox"},
		{"/.flatpak-info", "flatpak"},
		{"/dev/lxd", "lxd"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		if (doctor_exists(doctor, marks[i].file))
			return xstrdup(marks[i].name);
	}
	return container_of_init(doctor);
}

void doctor_check_nested(const struct doctor *doctor,
			 struct doctor_finding *finding)
{
	cleanup_free char *name = container_name(doctor);
	struct error err = {0};
	int r = doctor->probe ? doctor_try_proc(doctor, &err) : 0;

	if (r == 0) {
		doctor_say(finding, DOCTOR_OK, "%s%s%s",
			   name ? "inside a container of " : "no container",
			   name ? name : " around moss",
			   name && doctor->probe ? ", which lets moss work"
						 : "");
		return;
	}
	/* What else stops it has a check of its own. */
	if (doctor_try_namespaces(doctor, NULL) < 0) {
		doctor_say(finding, DOCTOR_OK,
			   "%s%s: cannot be tried without user namespaces",
			   name ? "inside a container of " : "no container",
			   name ? name : " to be seen");
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN, "inside a container%s%s: %s",
		   name ? " of " : "", name ? name : "", err.message);
	doctor_fix(finding,
		   "start the outer container with: --security-opt "
		   "systempaths=unconfined --security-opt seccomp=unconfined "
		   "--security-opt apparmor=unconfined --device /dev/fuse "
		   "--device /dev/net/tun");
	doctor_fix(finding, "(podman: --security-opt unmask=ALL in place of "
			    "systempaths)");
}

void doctor_check_seccomp(const struct doctor *doctor,
			  struct doctor_finding *finding)
{
	cleanup_free char *actions =
		doctor_read(doctor, "/proc/sys/kernel/seccomp/actions_avail");

	if (actions && strstr(actions, "errno")) {
		doctor_say(finding, DOCTOR_OK, "%s", actions);
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN,
		   "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER), "
		   "without which moss starts no confined container");
	doctor_fix(finding, "install a kernel of a distribution; to go on "
			    "without the filter: moss run --security-opt "
			    "seccomp=unconfined");
}

void doctor_check_landlock(const struct doctor *doctor,
			   struct doctor_finding *finding)
{
	cleanup_free char *modules =
		doctor_read(doctor, "/sys/kernel/security/lsm");

	if (doctor->landlock_abi > 0) {
		doctor_say(finding, DOCTOR_OK, "ABI %d", doctor->landlock_abi);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "Landlock is not there: what reads images is not kept from "
		   "other files");
	if (modules && *modules)
		doctor_fix(finding,
			   "add lsm=landlock,%s to the kernel's command line "
			   "(GRUB_CMDLINE_LINUX in /etc/default/grub), then "
			   "sudo update-grub and reboot",
			   modules);
	else
		doctor_fix(finding,
			   "use a kernel of 5.13 or later with "
			   "CONFIG_SECURITY_LANDLOCK and \"landlock\" in lsm= "
			   "on its command line");
}
