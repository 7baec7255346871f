/* Subordinate IDs and the programs that map them: core/engine/doctor.h. */
#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"
#include "policy/userns.h"

#define SUBID_FIRST 100000u /* as useradd counts */
#define SUBID_COUNT 65536u

struct kind {
	const char *file;
	const char *what;
	const char *option; /* usermod --add-…, --del-… */
	bool groups;
};

static const struct kind uids = {"/etc/subuid", "user", "subuids", false};
static const struct kind gids = {"/etc/subgid", "group", "subgids", true};

/* A line of the file. */
struct range {
	char *owner; /* within the line */
	uint64_t first;
	uint64_t count;
};

static bool parse_range(char *line, struct range *ret_range)
{
	char *first = strchr(line, ':');
	char *count = first ? strchr(first + 1, ':') : NULL;

	if (!count)
		return false;
	*first++ = '\0';
	*count++ = '\0';
	ret_range->owner = line;
	return parse_u64(first, &ret_range->first) == 0 &&
	       parse_u64(count, &ret_range->count) == 0 &&
	       ret_range->first <= UINT32_MAX &&
	       ret_range->count <= UINT32_MAX && ret_range->count > 0;
}

static bool is_own(const struct doctor *doctor, const struct range *range)
{
	uint64_t number;

	return str_equal(range->owner, doctor->user) ||
	       (parse_u64(range->owner, &number) == 0 && number == doctor->uid);
}

static bool overlap(const struct range *a, const struct range *b)
{
	return a->first < b->first + b->count && b->first < a->first + a->count;
}

/* The ranges of a file; their texts lie in lines. */
struct ranges {
	char **lines;
	struct range *all;
	size_t count;
	uint64_t total;	 /* of the user's own */
	uint64_t behind; /* the first ID that is nobody's, and none after it */
	const struct range *first; /* of the user's own, NULL: none */
};

static void ranges_release(struct ranges *ranges)
{
	strv_free(ranges->lines);
	free(ranges->all);
}

static void ranges_read(const struct doctor *doctor, const struct kind *kind,
			struct ranges *ranges)
{
	cleanup_free char *text = doctor_read(doctor, kind->file);

	ranges->behind = SUBID_FIRST;
	ranges->lines = strv_split(text ? text : "", '\n');
	ranges->all =
		xcalloc(strv_length(ranges->lines) + 1, sizeof(*ranges->all));
	for (size_t i = 0; ranges->lines[i]; i++) {
		struct range *range = &ranges->all[ranges->count];

		if (!parse_range(ranges->lines[i], range))
			continue;
		ranges->count++;
		if (range->first + range->count > ranges->behind)
			ranges->behind = range->first + range->count;
		if (!is_own(doctor, range))
			continue;
		ranges->total += range->count;
		if (!ranges->first)
			ranges->first = range;
	}
}

/* usermod's option for a new range. */
static void fix_add(const struct doctor *doctor, const struct kind *kind,
		    const struct ranges *ranges, struct doctor_finding *finding)
{
	unsigned long long first = ranges->behind;

	doctor_fix(finding, "sudo usermod --add-%s %llu-%llu %s", kind->option,
		   first, first + SUBID_COUNT - 1, doctor->user);
}

/* Another's range that takes some of the user's own IDs. */
static bool find_overlap(const struct doctor *doctor,
			 const struct ranges *ranges,
			 const struct range **ret_own,
			 const struct range **ret_other)
{
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *own = &ranges->all[i];

		for (size_t j = 0; is_own(doctor, own) && j < ranges->count;
		     j++) {
			const struct range *other = &ranges->all[j];

			if (is_own(doctor, other) || !overlap(own, other))
				continue;
			*ret_own = own;
			*ret_other = other;
			return true;
		}
	}
	return false;
}

/* Ranges that a directory service has. */
static uint64_t ids_from_service(const struct doctor *doctor,
				 const struct kind *kind)
{
	struct identity identity = {0};
	const struct id_map *map =
		kind->groups ? &identity.gids : &identity.uids;

	if (!doctor->probe || userns_identity(&identity, NULL, NULL) < 0 ||
	    !identity.mapped)
		return 0;
	return idmap_size(map) - 1;
}

static void check_none(const struct doctor *doctor, const struct kind *kind,
		       const struct ranges *ranges,
		       struct doctor_finding *finding)
{
	uint64_t count = ids_from_service(doctor, kind);

	if (count > 0) {
		doctor_say(finding, DOCTOR_OK, "%llu, not of %s",
			   (unsigned long long)count, kind->file);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "%s has no subordinate %s IDs in %s: containers have one "
		   "user and one group",
		   doctor->user, kind->what, kind->file);
	fix_add(doctor, kind, ranges, finding);
}

static void check_subids(const struct doctor *doctor, const struct kind *kind,
			 struct doctor_finding *finding)
{
	CLEANUP(ranges_release) struct ranges ranges = {0};
	const struct range *own;
	const struct range *other;

	ranges_read(doctor, kind, &ranges);
	if (ranges.total == 0) {
		check_none(doctor, kind, &ranges, finding);
		return;
	}
	if (find_overlap(doctor, &ranges, &own, &other)) {
		doctor_say(
			finding, DOCTOR_DEGRADED,
			"%llu-%llu in %s overlaps with %s's %llu-%llu: each "
			"can change the files of the other's containers",
			(unsigned long long)own->first,
			(unsigned long long)(own->first + own->count - 1),
			kind->file, other->owner,
			(unsigned long long)other->first,
			(unsigned long long)(other->first + other->count - 1));
		doctor_fix(finding, "moss system reset (files of the old IDs "
				    "would be lost to you)");
		doctor_fix(finding, "sudo usermod --del-%s %llu-%llu %s",
			   kind->option, (unsigned long long)own->first,
			   (unsigned long long)(own->first + own->count - 1),
			   doctor->user);
		fix_add(doctor, kind, &ranges, finding);
		return;
	}
	if (ranges.total < SUBID_COUNT) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%llu subordinate %s IDs in %s are too few for many "
			   "images, which use up to %u",
			   (unsigned long long)ranges.total, kind->what,
			   kind->file, SUBID_COUNT);
		fix_add(doctor, kind, &ranges, finding);
		return;
	}
	doctor_say(finding, DOCTOR_OK, "%llu, from %llu",
		   (unsigned long long)ranges.total,
		   (unsigned long long)ranges.first->first);
}

void doctor_check_subuids(const struct doctor *doctor,
			  struct doctor_finding *finding)
{
	check_subids(doctor, &uids, finding);
}

void doctor_check_subgids(const struct doctor *doctor,
			  struct doctor_finding *finding)
{
	check_subids(doctor, &gids, finding);
}

bool doctor_has_file_capability(const void *value, size_t length,
				unsigned int capability)
{
	struct vfs_cap_data data = {0};
	uint32_t revision;

	if (length < XATTR_CAPS_SZ_1 || length > XATTR_CAPS_SZ_3)
		return false;
	memcpy(&data, value, length < sizeof(data) ? length : sizeof(data));
	revision = le32toh(data.magic_etc) & VFS_CAP_REVISION_MASK;
	if (capability >= 32 ||
	    (revision != VFS_CAP_REVISION_1 && revision != VFS_CAP_REVISION_2 &&
	     revision != VFS_CAP_REVISION_3))
		return false;
	return le32toh(data.data[0].permitted) & (UINT32_C(1) << capability);
}

/* Has it the right to write a map, by its bit or by its attribute? */
static bool has_right(const struct doctor *doctor, const char *path,
		      unsigned int capability)
{
	char value[XATTR_CAPS_SZ];
	ssize_t length;
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid == doctor->owner)
		return true;
	length = getxattr(path, "security.capability", value, sizeof(value));
	return length > 0 &&
	       doctor_has_file_capability(value, (size_t)length, capability);
}

/* Tries to map the first of the user's own ranges. */
static void try_tool(const struct doctor *doctor, const char *name,
		     const struct kind *kind, struct doctor_finding *finding)
{
	CLEANUP(ranges_release) struct ranges ranges = {0};
	struct error err = {0};

	ranges_read(doctor, kind, &ranges);
	if (!ranges.first || doctor->initial_root ||
	    doctor_try_map(doctor, name, (uint32_t)ranges.first->first,
			   (uint32_t)ranges.first->count, &err) == 0)
		return;
	/* Without a user namespace there is nothing to map. */
	if (doctor_try_namespaces(doctor, NULL) < 0)
		return;
	doctor_say(finding, DOCTOR_DEGRADED, "%s", err.message);
	doctor_fix(finding,
		   "install the package of %s again, on a file system without "
		   "nosuid, and start moss from a shell with your primary "
		   "group",
		   name);
}

static void check_tool(const struct doctor *doctor, const char *name,
		       unsigned int capability, const struct kind *kind,
		       struct doctor_finding *finding)
{
	cleanup_free char *path = doctor_find_program(doctor, name);

	if (!path) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "not installed: containers have one user and one "
			   "group");
		doctor_fix_package(finding, "uidmap", "shadow-utils", "shadow",
				   "shadow-subids");
		return;
	}
	if (!has_right(doctor, path, capability)) {
		doctor_say(
			finding, DOCTOR_DEGRADED,
			"%s has neither the set-user-ID bit nor CAP_SET%cID, "
			"so it cannot map anything",
			path, kind->groups ? 'G' : 'U');
		doctor_fix(finding,
			   "sudo chown root:root %s && sudo chmod "
			   "u+s %s",
			   path, path);
		return;
	}
	if (doctor->no_new_privs) {
		doctor_say(finding, DOCTOR_DEGRADED,
			   "%s cannot work here, under no_new_privs", path);
		doctor_fix(finding, "start moss outside of what set "
				    "no_new_privs (a service with "
				    "NoNewPrivileges=yes, a sandbox)");
		return;
	}
	doctor_say(finding, DOCTOR_OK, "%s", path);
	if (doctor->probe)
		try_tool(doctor, name, kind, finding);
}

void doctor_check_newuidmap(const struct doctor *doctor,
			    struct doctor_finding *finding)
{
	check_tool(doctor, "newuidmap", CAP_SETUID, &uids, finding);
}

void doctor_check_newgidmap(const struct doctor *doctor,
			    struct doctor_finding *finding)
{
	check_tool(doctor, "newgidmap", CAP_SETGID, &gids, finding);
}
