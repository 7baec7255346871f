/* The network and the user's session: core/engine/doctor.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"

#define PORT_WANTED 80
#define PORTS_FILE  "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define PING_FILE   "/proc/sys/net/ipv4/ping_group_range"

void doctor_check_tun(const struct doctor *doctor,
		      struct doctor_finding *finding)
{
	cleanup_free char *path = doctor_path(doctor, "/dev/net/tun");
	cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	int number = errno;
	struct error err = {0};

	if (fd < 0) {
		doctor_say(finding, DOCTOR_BROKEN,
			   "cannot open /dev/net/tun: %s; containers start "
			   "with --network none or host only",
			   strerror(number));
		if (number == EACCES || number == EPERM)
			doctor_fix(finding, "sudo chmod 666 /dev/net/tun");
		else
			doctor_fix(finding,
				   "echo tun | sudo tee "
				   "/etc/modules-load.d/moss-tun.conf && sudo "
				   "modprobe tun");
		return;
	}
	if (!doctor->probe || doctor_try_tap(doctor, &err) == 0 ||
	    doctor_try_namespaces(doctor, NULL) < 0) {
		doctor_say(finding, DOCTOR_OK, "/dev/net/tun can be opened");
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN, "%s", err.message);
	doctor_fix(finding, "allow tap devices in network namespaces: sudo "
			    "dmesg | tail tells who forbade it");
}

void doctor_check_ping(const struct doctor *doctor,
		       struct doctor_finding *finding)
{
	cleanup_free char *text = doctor_read(doctor, PING_FILE);
	unsigned int first = 1;
	unsigned int last = 0;

	if (text && sscanf(text, "%10u %10u", &first, &last) == 2 &&
	    doctor->gid >= first && doctor->gid <= last) {
		doctor_say(finding, DOCTOR_OK,
			   "net.ipv4.ping_group_range has your group %u",
			   (unsigned int)doctor->gid);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "net.ipv4.ping_group_range has not your group %u: ping "
		   "reaches nothing outside from containers",
		   (unsigned int)doctor->gid);
	doctor_fix_sysctl(finding, "net.ipv4.ping_group_range", "0 2147483647");
}

void doctor_check_ports(const struct doctor *doctor,
			struct doctor_finding *finding)
{
	int64_t first = 1024;

	(void)doctor_number(doctor, PORTS_FILE, &first);
	if (first <= PORT_WANTED) {
		doctor_say(finding, DOCTOR_OK,
			   "ports from %lld on can be published",
			   (long long)first);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "ports below %lld cannot be published (-p 80:80)",
		   (long long)first);
	doctor_fix_sysctl(finding, "net.ipv4.ip_unprivileged_port_start", "80");
}

/* ---- the session ---- */

static bool has_systemd(const struct doctor *doctor)
{
	return doctor_exists(doctor, "/run/systemd/system");
}

/*
 * Without lingering a container goes on after the last logout as well, since
 * moss's processes keep the login's session (policy/moss-pause.c).
 */
void doctor_check_linger(const struct doctor *doctor,
			 struct doctor_finding *finding)
{
	cleanup_free char *path =
		xasprintf("/var/lib/systemd/linger/%s", doctor->user);
	bool lingers = doctor_exists(doctor, path);

	if (!has_systemd(doctor)) {
		doctor_say(finding, DOCTOR_OK,
			   "no systemd: nothing ends containers at logout");
		return;
	}
	if (doctor_logind_kills(doctor)) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "systemd ends %s's containers at logout "
			   "(KillUserProcesses=yes)",
			   doctor->user);
		doctor_fix(finding,
			   "sudo mkdir -p /etc/systemd/logind.conf.d && printf "
			   "'[Login]\\nKillExcludeUsers=root %s\\n' | sudo "
			   "tee /etc/systemd/logind.conf.d/moss.conf && sudo "
			   "systemctl restart systemd-logind",
			   doctor->user);
	} else if (lingers) {
		doctor_say(finding, DOCTOR_OK,
			   "%s lingers: containers can start at boot, and go "
			   "on after logout",
			   doctor->user);
	} else {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%s does not linger: containers go on after "
			   "logout, but none starts at boot, only at login",
			   doctor->user);
	}
	if (!lingers)
		doctor_fix(finding, "sudo loginctl enable-linger %s",
			   doctor->user);
}

/* ---- the runtime directory ---- */

static void check_given(const struct doctor *doctor, const char *name,
			const char *path, struct doctor_finding *finding)
{
	cleanup_free char *full = doctor_path(doctor, path);
	struct stat st;

	if (stat(full, &st) < 0 || !S_ISDIR(st.st_mode)) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%s is %s, which is no directory", name, path);
	} else if (st.st_uid != doctor->uid) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%s is %s, which belongs to user %u (a shell of "
			   "su or sudo keeps it)",
			   name, path, (unsigned int)st.st_uid);
	} else if (st.st_mode & 0022) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%s is %s, where others may write", name, path);
		doctor_fix(finding, "chmod 700 %s", path);
		return;
	} else {
		doctor_say(finding, DOCTOR_OK, "%s=%s", name, path);
		return;
	}
	doctor_fix(finding,
		   "unset %s, or log in as %s by ssh or "
		   "`machinectl shell %s@`",
		   name, doctor->user, doctor->user);
}

void doctor_check_runtime_directory(const struct doctor *doctor,
				    struct doctor_finding *finding)
{
	cleanup_free char *login =
		xasprintf("/run/user/%u", (unsigned int)doctor->uid);

	if (!str_empty(doctor->run_path)) {
		doctor_say(finding, DOCTOR_OK, "MOSS_RUN=%s", doctor->run_path);
		return;
	}
	if (!str_empty(doctor->xdg_run)) {
		check_given(doctor, "XDG_RUNTIME_DIR", doctor->xdg_run,
			    finding);
		return;
	}
	if (doctor_exists(doctor, login)) {
		doctor_say(finding, DOCTOR_OK, "%s", login);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "XDG_RUNTIME_DIR is not set: moss uses /tmp/moss-%u, which "
		   "a cleaner of /tmp may remove",
		   (unsigned int)doctor->uid);
	if (has_systemd(doctor))
		doctor_fix(finding,
			   "sudo loginctl enable-linger %s && export "
			   "XDG_RUNTIME_DIR=%s",
			   doctor->user, login);
	else
		doctor_fix(finding,
			   "sudo install -d -m 700 -o %s %s && export "
			   "XDG_RUNTIME_DIR=%s",
			   doctor->user, login, login);
}
