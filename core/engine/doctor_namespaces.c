/* User namespaces, and what may forbid them: core/engine/doctor.h. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"

#define APPARMOR_SWITCH "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"

/* Settings that forbid them. */
static const struct {
	const char *path;
	const char *name;
	int64_t least;
	const char *cure;
} settings[] = {
	{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 16,
	 "15000"},
	{"/proc/sys/kernel/unprivileged_userns_clone",
	 "kernel.unprivileged_userns_clone", 1, "1"},
};

static bool is_restricted(const struct doctor *doctor)
{
	int64_t value = 0;

	return doctor_number(doctor, APPARMOR_SWITCH, &value) && value > 0;
}

/* False with a finding when a setting forbids them. */
static bool settings_allow(const struct doctor *doctor,
			   struct doctor_finding *finding)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int64_t value = 0;

		/* Not every kernel has each. */
		if (!doctor_number(doctor, settings[i].path, &value) ||
		    value >= settings[i].least)
			continue;
		doctor_say(finding, DOCTOR_BROKEN, "%s is %lld",
			   settings[i].name, (long long)value);
		doctor_fix_sysctl(finding, settings[i].name, settings[i].cure);
		return false;
	}
	return true;
}

void doctor_check_userns(const struct doctor *doctor,
			 struct doctor_finding *finding)
{
	struct error err = {0};

	if (!doctor_exists(doctor, "/proc/self/ns/user")) {
		doctor_say(finding, DOCTOR_BROKEN,
			   "the kernel has no user namespaces");
		doctor_fix(finding, "install a kernel with CONFIG_USER_NS (of "
				    "any distribution) and reboot");
		return;
	}
	if (!settings_allow(doctor, finding))
		return;
	if (!doctor->probe || doctor_try_namespaces(doctor, &err) == 0) {
		doctor_say(finding, DOCTOR_OK,
			   doctor->probe ? "can be made, with all the others "
					   "of a container inside"
					 : "no setting forbids them");
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN, "%s", err.message);
	if (is_restricted(doctor))
		doctor_fix(finding, "see the check apparmor");
	else
		doctor_fix(finding,
			   "no setting forbids it: a seccomp filter, a "
			   "security module (sudo dmesg | tail tells), a "
			   "chroot or the container around moss does; allow "
			   "user namespaces there");
}

/* The profile that confines moss, or NULL. Caller frees. */
static char *own_profile(const struct doctor *doctor)
{
	cleanup_free char *label =
		doctor_read(doctor, "/proc/self/attr/apparmor/current");

	if (!label)
		label = doctor_read(doctor, "/proc/self/attr/current");
	if (!label || !*label || str_equal(label, "unconfined") ||
	    str_starts(label, "unprivileged_userns"))
		return NULL;
	return xstrdup(label);
}

/* A path as profiles name one: their wildcards taken literally. */
static char *profile_path(const char *path)
{
	struct str text = {0};

	str_append_char(&text, '"');
	for (; *path; path++) {
		if (strchr("\"\\*?[]{}^@$", *path))
			str_append_char(&text, '\\');
		str_append_char(&text, *path);
	}
	str_append_char(&text, '"');
	return str_steal(&text);
}

static void fix_profile(const struct doctor *doctor,
			struct doctor_finding *finding)
{
	cleanup_free char *path = profile_path(doctor->program);

	doctor_fix(finding, "write /etc/apparmor.d/moss:");
	doctor_fix(finding, "    abi <abi/4.0>,");
	doctor_fix(finding, "    include <tunables/global>");
	doctor_fix(finding, "    profile moss %s flags=(unconfined) {", path);
	doctor_fix(finding, "        userns,");
	doctor_fix(finding, "        include if exists <local/moss>");
	doctor_fix(finding, "    }");
	doctor_fix(finding, "sudo apparmor_parser -r /etc/apparmor.d/moss");
}

void doctor_check_apparmor(const struct doctor *doctor,
			   struct doctor_finding *finding)
{
	cleanup_free char *profile = own_profile(doctor);

	if (!is_restricted(doctor)) {
		doctor_say(finding, DOCTOR_OK,
			   "does not restrict user namespaces");
		return;
	}
	if (profile ||
	    (doctor->probe && doctor_try_namespaces(doctor, NULL) == 0)) {
		doctor_say(finding, DOCTOR_OK,
			   "lets moss make user namespaces%s%s",
			   profile ? ", as " : "", profile ? profile : "");
		return;
	}
	doctor_say(finding, DOCTOR_BROKEN,
		   "kernel.apparmor_restrict_unprivileged_userns is 1 and no "
		   "profile allows %s user namespaces",
		   doctor->program);
	fix_profile(doctor, finding);
}
