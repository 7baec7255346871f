#include "core/engine/doctor_private.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/userns.h"

#define FILE_MAX     (4u << 20) /* as /etc/subuid */
#define SYSCTL_FILE  "/etc/sysctl.d/99-moss.conf"
#define SYSTEM_PATHS "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

/* From what everything else rests on to what one can do without. */
const struct doctor_check doctor_checks[] = {
	{"user", false, doctor_check_user},
	{"kernel", false, doctor_check_kernel},
	{"programs", false, doctor_check_programs},
	{"user-namespaces", false, doctor_check_userns},
	{"apparmor", false, doctor_check_apparmor},
	{"nested", false, doctor_check_nested},
	{"sub-uids", true, doctor_check_subuids},
	{"sub-gids", true, doctor_check_subgids},
	{"newuidmap", false, doctor_check_newuidmap},
	{"newgidmap", false, doctor_check_newgidmap},
	{"storage", true, doctor_check_storage},
	{"fuse", false, doctor_check_fuse},
	{"fuse-overlayfs", false, doctor_check_fuse_overlayfs},
	{"file-system", true, doctor_check_file_system},
	{"disk-space", true, doctor_check_space},
	{"runtime-directory", true, doctor_check_runtime_directory},
	{"tun", false, doctor_check_tun},
	{"ping", true, doctor_check_ping},
	{"ports", false, doctor_check_ports},
	{"cgroup", true, doctor_check_cgroup},
	{"linger", true, doctor_check_linger},
	{"seccomp", false, doctor_check_seccomp},
	{"landlock", false, doctor_check_landlock},
	{0},
};

const char *doctor_state_name(enum doctor_state state)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_DEGRADED] = "degraded",
		[DOCTOR_BROKEN] = "broken",
	};

	return names[state];
}

void doctor_finding_release(struct doctor_finding *finding)
{
	free(finding->text);
	free(finding->fix);
	*finding = (struct doctor_finding){0};
}

void doctor_init(struct doctor *ret_doctor)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct error err = {0};

	*ret_doctor = (struct doctor){
		.root = "",
		.probe = true,
		.uid = getuid(),
		.gid = getgid(),
		.landlock_abi = abi > 0 ? abi : 0,
		.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
	};
	/* Set-ID programs are refused as well; that is their own message. */
	ret_doctor->initial_root =
		getuid() == 0 && userns_check_caller(&err) < 0;
}

bool doctor_run(const struct doctor *doctor, const struct doctor_check *check,
		struct doctor_finding *ret_finding)
{
	*ret_finding = (struct doctor_finding){0};
	if (check->of_user && doctor->initial_root)
		return false;
	check->run(doctor, ret_finding);
	return true;
}

cJSON *doctor_finding_json(const struct doctor_check *check,
			   const struct doctor_finding *finding)
{
	cJSON *json = json_object();

	json_set_string(json, "Name", check->name);
	json_set_string(json, "State", doctor_state_name(finding->state));
	json_set_string(json, "Message", finding->text);
	json_set_string(json, "Fix", finding->fix);
	return json;
}

/* ---- what the checks are made of ---- */

char *doctor_path(const struct doctor *doctor, const char *path)
{
	return xasprintf("%s%s", doctor->root, path);
}

bool doctor_exists(const struct doctor *doctor, const char *path)
{
	cleanup_free char *full = doctor_path(doctor, path);

	return access(full, F_OK) == 0;
}

char *doctor_read(const struct doctor *doctor, const char *path)
{
	cleanup_free char *full = doctor_path(doctor, path);
	char *text = NULL;
	size_t length;

	if (file_read_at(AT_FDCWD, full, FILE_MAX, &text, NULL, NULL) < 0)
		return NULL;
	length = strlen(text);
	if (length > 0 && text[length - 1] == '\n')
		text[length - 1] = '\0';
	return text;
}

bool doctor_number(const struct doctor *doctor, const char *path,
		   int64_t *ret_value)
{
	cleanup_free char *text = doctor_read(doctor, path);

	return text && parse_i64(text, ret_value) == 0;
}

char *doctor_find_program(const struct doctor *doctor, const char *name)
{
	cleanup_free char *all = xasprintf(
		"%s:" SYSTEM_PATHS, doctor->search ? doctor->search : "");
	cleanup_strv char **directories = strv_split(all, ':');

	for (size_t i = 0; directories[i]; i++) {
		cleanup_free char *path = NULL;

		if (directories[i][0] != '/')
			continue;
		path = xasprintf("%s%s/%s", doctor->root, directories[i], name);
		if (access(path, X_OK) == 0)
			return steal_ptr(&path);
	}
	return NULL;
}

void doctor_say(struct doctor_finding *finding, enum doctor_state state,
		const char *format, ...)
{
	char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		str_oom();
	va_end(arguments);
	free(finding->text);
	finding->state = state;
	finding->text = text;
}

void doctor_fix(struct doctor_finding *finding, const char *format, ...)
{
	cleanup_free char *old = finding->fix;
	cleanup_free char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		str_oom();
	va_end(arguments);
	finding->fix =
		xasprintf("%s%s%s", old ? old : "", old ? "\n" : "", text);
}

void doctor_fix_sysctl(struct doctor_finding *finding, const char *name,
		       const char *value)
{
	doctor_fix(finding,
		   "echo '%s = %s' | sudo tee -a " SYSCTL_FILE
		   " && sudo sysctl -p " SYSCTL_FILE,
		   name, value);
}

void doctor_fix_package(struct doctor_finding *finding, const char *debian,
			const char *fedora, const char *arch,
			const char *alpine)
{
	doctor_fix(finding,
		   "sudo apt install %s (Debian, Ubuntu), dnf install %s "
		   "(Fedora), pacman -S %s (Arch), apk add %s (Alpine)",
		   debian, fedora, arch, alpine);
}
