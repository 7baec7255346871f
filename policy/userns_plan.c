#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "policy/userns_private.h"

#define SUBUID_PATH  "/etc/subuid"
#define SUBGID_PATH  "/etc/subgid"
#define TOOL_PATHS   "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
#define PROC_MAX     (64u << 10)
#define SUBID_OUTPUT (64u << 10)
#define SUBID_FIRST  100000u
#define SUBID_COUNT  65536u
#define INITIAL_INODE                                           \
	UINT64_C(0xeffffffd) /* the kernel's PROC_USER_INIT_INO \
			      */

int userns_is_initial(struct error *err)
{
	struct stat st;

	if (stat("/proc/self/ns/user", &st) < 0)
		return err_errno(err, "cannot stat /proc/self/ns/user");
	return st.st_ino == INITIAL_INODE;
}

char *userns_find_tool(const char *name)
{
	const char *search = getenv("PATH");
	cleanup_free char *all =
		xasprintf("%s:" TOOL_PATHS, search ? search : "");
	cleanup_strv char **directories = strv_split(all, ':');

	for (size_t i = 0; directories[i]; i++) {
		cleanup_free char *path = NULL;

		if (directories[i][0] != '/')
			continue;
		path = xasprintf("%s/%s", directories[i], name);
		if (access(path, X_OK) == 0)
			return steal_ptr(&path);
	}
	return NULL;
}

static void add_source(struct str *text, const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0) {
		str_append(text, "- ");
		return;
	}
	str_appendf(text, "%llu:%lld:%lld.%ld ", (unsigned long long)st.st_ino,
		    (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		    st.st_mtim.tv_nsec);
}

char *userns_sources(bool mapped)
{
	struct str text = {0};

	add_source(&text, SUBUID_PATH);
	add_source(&text, SUBGID_PATH);
	if (!mapped) {
		cleanup_free char *uids = userns_find_tool("newuidmap");
		cleanup_free char *gids = userns_find_tool("newgidmap");

		add_source(&text, uids);
		add_source(&text, gids);
		/* Both make the helpers fail, and differ between shells. */
		str_appendf(&text, "%d %u",
			    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
			    (unsigned int)getgid());
	}
	return str_steal(&text);
}

/* Settings that forbid user namespaces, the most likely first. */
static const struct {
	const char *path;
	const char *name;
	const char *bad; /* value that forbids */
	const char *cure;
} settings[] = {
	{"/proc/sys/kernel/unprivileged_userns_clone",
	 "kernel.unprivileged_userns_clone", "0",
	 "sysctl -w kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", "0",
	 "sysctl -w user.max_user_namespaces=15000"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
	 "kernel.apparmor_restrict_unprivileged_userns", "1",
	 "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (or an "
	 "AppArmor profile that allows moss userns)"},
};

int userns_blame(int number, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		cleanup_free char *value = NULL;

		if (file_read_at(AT_FDCWD, settings[i].path, PROC_MAX, &value,
				 NULL, NULL) < 0)
			continue;
		value[strcspn(value, "\n")] = '\0';
		if (str_equal(value, settings[i].bad))
			return err_hint(
				err, "%s is %s here; as the host's root: %s",
				settings[i].name, value, settings[i].cure);
	}
	switch (number) {
	case ENOSPC:
		return err_hint(err, "a limit in /proc/sys/user is reached; as "
				     "the host's root: sysctl -w "
				     "user.max_user_namespaces=15000");
	case EUSERS:
		return err_hint(err, "user namespaces are nested too deeply "
				     "here");
	case EINVAL:
	case ENOSYS:
		return err_hint(err, "this kernel is built without "
				     "CONFIG_USER_NS");
	default:
		return err_hint(err, "a seccomp filter, a security module or a "
				     "chroot around this process forbids it; "
				     "ask for user namespaces there");
	}
}

/* The maps of the namespace the caller is in, as IDs it could hand on. */
static bool own_ids(const char *path, uint32_t own, struct id_map *ret_map)
{
	cleanup_free char *text = NULL;
	struct id_map map;

	if (file_read_at(AT_FDCWD, path, PROC_MAX, &text, NULL, NULL) < 0 ||
	    idmap_parse(text, &map) < 0)
		return false;
	for (size_t i = 0; i < map.count; i++)
		map.extents[i].outside = map.extents[i].inside;
	idmap_build_pinned(own, &map, ret_map);
	return true;
}

static bool has_capabilities(uint64_t wanted)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {0};
	uint64_t effective;

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	return (effective & wanted) == wanted;
}

/* Ranges from a directory service, which files know nothing of. */
static void ask_getsubids(const char *option, const char *user, uid_t uid,
			  struct id_map *map)
{
	cleanup_free char *program = userns_find_tool("getsubids");
	cleanup_free char *name = xstrdup(user);
	cleanup_free char *flag = xstrdup(option);
	cleanup_free char *output = NULL;
	char command[] = "getsubids";
	char *argv[] = {command, *flag ? flag : name, *flag ? name : NULL,
			NULL};
	struct spawn spawn = {.argv = argv};
	cleanup_str struct str lines = {0};
	char *line;
	char *rest;

	if (!program)
		return;
	spawn.path = program;
	if (proc_capture(&spawn, SUBID_OUTPUT, &output, NULL) < 0)
		return;
	/* "0: NAME START COUNT" a line; made into what the files hold. */
	for (line = strtok_r(output, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char start[16];
		char count[16];

		if (sscanf(line, "%*u: %*s %15[0-9] %15[0-9]", start, count) ==
		    2)
			str_appendf(&lines, "%u:%s:%s\n", (unsigned int)uid,
				    start, count);
	}
	if (lines.length > 0)
		idmap_parse_subids(lines.data, lines.length, user, uid, map);
}

struct subid_kind {
	const char *file;
	const char *option; /* of getsubids */
	const char *what;
};

static const struct subid_kind subid_kinds[] = {
	{SUBUID_PATH, "", "user"},
	{SUBGID_PATH, "-g", "group"},
};

/* NULL and the ranges, or why there are none. Caller frees. */
static char *read_subids(const struct subid_kind *kind,
			 const struct userns_plan *plan, struct id_map *ret_map)
{
	struct error err;

	if (idmap_read_subids(kind->file, plan->user, plan->uid, ret_map,
			      &err) < 0)
		return xstrdup(err.message);
	if (ret_map->count == 0)
		ask_getsubids(kind->option, plan->user, plan->uid, ret_map);
	if (ret_map->count > 0)
		return NULL;
	return xasprintf("%s has no subordinate %s IDs in %s", plan->user,
			 kind->what, kind->file);
}

/* Maps as the helpers can write them; without any a single one. */
static void plan_helpers(struct userns_plan *plan)
{
	cleanup_free char *new_uids = userns_find_tool("newuidmap");
	cleanup_free char *new_gids = userns_find_tool("newgidmap");
	cleanup_free char *why = NULL;
	struct id_map subuids;
	struct id_map subgids;

	why = read_subids(&subid_kinds[0], plan, &subuids);
	if (!why)
		why = read_subids(&subid_kinds[1], plan, &subgids);
	if (why) {
		userns_plan_make_single(plan, SINGLE_NO_RANGE, why);
		return;
	}
	if (!new_uids || !new_gids) {
		userns_plan_make_single(plan, SINGLE_NO_TOOL,
					new_uids
						? "newgidmap is not installed"
						: "newuidmap is not installed");
		return;
	}
	idmap_build_pinned(plan->uid, &subuids, &plan->uids);
	idmap_build_pinned(plan->gid, &subgids, &plan->gids);
	plan->writer = MAP_HELPERS;
}

/* First ID behind all ranges of all users, from 100000 as useradd counts. */
static uint64_t first_free(void)
{
	uint64_t first = SUBID_FIRST;

	for (size_t i = 0; i < ARRAY_SIZE(subid_kinds); i++) {
		cleanup_free char *text = NULL;
		char *line;
		char *rest;

		if (file_read_at(AT_FDCWD, subid_kinds[i].file, SUBID_FILE_MAX,
				 &text, NULL, NULL) < 0)
			continue;
		for (line = strtok_r(text, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest)) {
			unsigned int start;
			unsigned int count;

			if (sscanf(line, "%*[^:]:%9u:%9u", &start, &count) ==
				    2 &&
			    (uint64_t)start + count > first)
				first = (uint64_t)start + count;
		}
	}
	return first;
}

static char *cure_for_range(const struct userns_plan *plan)
{
	unsigned long long first = first_free();
	unsigned long long last = first + SUBID_COUNT - 1;

	return xasprintf("as the host's root: usermod "
			 "--add-subuids %llu-%llu --add-subgids %llu-%llu %s",
			 first, last, first, last, plan->user);
}

static const char *cure_for_failure(const struct userns_plan *plan)
{
	const struct passwd *entry = getpwuid(plan->uid);

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) > 0)
		return "start moss outside of what set no_new_privs, under "
		       "which newuidmap cannot work";
	if (entry && entry->pw_gid != plan->gid)
		return "start moss from a shell with your primary group, "
		       "without newgrp or sg";
	return "install the package that has newuidmap and newgidmap again: "
	       "they need the set-user-ID bit or CAP_SETUID and CAP_SETGID";
}

/* What would give this user more than one ID. Caller frees. */
static char *cure(const struct userns_plan *plan, enum single_reason reason)
{
	switch (reason) {
	case SINGLE_NO_RANGE:
		return cure_for_range(plan);
	case SINGLE_NO_TOOL:
		return xstrdup("install the package uidmap (Debian, Ubuntu), "
			       "shadow-utils (Fedora), shadow (Arch) or "
			       "shadow-subids (Alpine)");
	case SINGLE_TOOL_FAILED:
		break;
	}
	return xstrdup(cure_for_failure(plan));
}

void userns_plan_make_single(struct userns_plan *plan,
			     enum single_reason reason, const char *why)
{
	cleanup_free char *advice = cure(plan, reason);
	struct id_map none = {.count = 0};

	free(plan->note);
	plan->note = xasprintf("%s, so containers have one user and one group, "
			       "and changing owners has no effect there; %s",
			       why, advice);
	plan->writer = MAP_SINGLE;
	idmap_build_pinned(plan->uid, &none, &plan->uids);
	idmap_build_pinned(plan->gid, &none, &plan->gids);
}

void userns_plan_make(bool initial, struct userns_plan *ret_plan)
{
	struct userns_plan plan = {.uid = getuid(), .gid = getgid()};
	const struct passwd *entry = getpwuid(plan.uid);

	if (entry)
		snprintf(plan.user, sizeof(plan.user), "%s", entry->pw_name);
	else
		snprintf(plan.user, sizeof(plan.user), "%u",
			 (unsigned int)plan.uid);

	/* Root of a namespace hands on what it has, without any helper. */
	if (!initial && plan.uid == 0 &&
	    has_capabilities(UINT64_C(1) << CAP_SETUID |
			     UINT64_C(1) << CAP_SETGID |
			     UINT64_C(1) << CAP_SETFCAP) &&
	    own_ids("/proc/self/uid_map", plan.uid, &plan.uids) &&
	    own_ids("/proc/self/gid_map", plan.gid, &plan.gids) &&
	    idmap_size(&plan.uids) > 1 && idmap_size(&plan.gids) > 1) {
		plan.writer = MAP_DIRECT;
	} else {
		plan_helpers(&plan);
	}
	*ret_plan = plan;
}

void userns_plan_release(struct userns_plan *plan)
{
	free(plan->note);
	plan->note = NULL;
}
