/* Where the store lies and how roots are mounted: core/engine/doctor.h. */
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
#include "storage/root/snapshot.h"

#define MIB		(UINT64_C(1) << 20)
#define SPACE_BROKEN	(64 * MIB)
#define SPACE_DEGRADED	(1024 * MIB)
#define INODES_BROKEN	1000u
#define INODES_DEGRADED 20000u
#define MOUNT_FIELD_MAX 5 /* of the mount point, before any optional ones */

/* The lines of the drivers in one. */
static char *one_line(const char *reasons)
{
	cleanup_strv char **lines = strv_split(reasons, '\n');

	return strv_join(lines, "; ");
}

void doctor_check_storage(const struct doctor *doctor,
			  struct doctor_finding *finding)
{
	cleanup_free char *driver = NULL;
	cleanup_free char *reasons = NULL;
	cleanup_free char *line = NULL;
	struct error err = {0};

	if (!doctor->probe) {
		doctor_say(finding, DOCTOR_OK, "not tried");
		return;
	}
	if (doctor_try_storage(doctor, &driver, &reasons, &err) < 0) {
		doctor_say(finding, DOCTOR_BROKEN, "cannot be tried: %s",
			   err.message);
		doctor_fix(finding, "%s",
			   err.hint[0] ? err.hint
				       : "see the other checks first");
		return;
	}
	line = one_line(reasons);
	if (str_equal(driver, snapshot_driver_name(SNAPSHOT_OVERLAY))) {
		doctor_say(finding, DOCTOR_OK, "%s", line);
		return;
	}
	doctor_say(finding, *driver ? DOCTOR_DEGRADED : DOCTOR_BROKEN, "%s",
		   line);
	if (*driver)
		doctor_fix(finding,
			   "for the kernel's overlay, which is faster: Linux "
			   "5.11 or later, and MOSS_ROOT on ext4, xfs or "
			   "btrfs");
	else
		doctor_fix(finding,
			   "install fuse-overlayfs, or use Linux 5.11 or later "
			   "and MOSS_ROOT on ext4, xfs or btrfs");
}

void doctor_check_fuse(const struct doctor *doctor,
		       struct doctor_finding *finding)
{
	cleanup_free char *path = doctor_path(doctor, "/dev/fuse");
	cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	int number = errno;

	if (fd >= 0) {
		doctor_say(finding, DOCTOR_OK, "/dev/fuse can be opened");
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "cannot open /dev/fuse: %s; there is no fuse-overlayfs, "
		   "which shifted IDs (--userns=auto) need",
		   strerror(number));
	if (number == EACCES || number == EPERM)
		doctor_fix(finding, "sudo chmod 666 /dev/fuse");
	else
		doctor_fix(finding, "echo fuse | sudo tee "
				    "/etc/modules-load.d/moss-fuse.conf && "
				    "sudo modprobe fuse");
}

void doctor_check_fuse_overlayfs(const struct doctor *doctor,
				 struct doctor_finding *finding)
{
	cleanup_free char *path = doctor_find_program(doctor, "fuse-overlayfs");

	if (path) {
		doctor_say(finding, DOCTOR_OK, "%s", path);
		return;
	}
	doctor_say(finding, DOCTOR_DEGRADED,
		   "not installed: shifted IDs (--userns=auto, keep-id) and "
		   "kernels without overlay for users need it");
	doctor_fix_package(finding, "fuse-overlayfs", "fuse-overlayfs",
			   "fuse-overlayfs", "fuse-overlayfs");
}

char *doctor_nearest(const struct doctor *doctor, const char *path)
{
	cleanup_free char *here = xstrdup(path);

	for (;;) {
		cleanup_free char *full = doctor_path(doctor, here);
		struct stat st;
		char *slash;

		if (stat(full, &st) == 0 && S_ISDIR(st.st_mode))
			return steal_ptr(&here);
		slash = strrchr(here, '/');
		if (!slash || slash == here)
			return xstrdup("/");
		*slash = '\0';
	}
}

/* The same without symbolic links, as the kernel lists mounts. */
static char *real_path(const struct doctor *doctor, const char *path)
{
	cleanup_free char *full = doctor_path(doctor, path);
	cleanup_free char *real = realpath(full, NULL);
	cleanup_free char *root =
		*doctor->root ? realpath(doctor->root, NULL) : xstrdup("");

	if (!real || !root || !str_starts(real, root) ||
	    real[strlen(root)] != '/')
		return xstrdup(path);
	return xstrdup(real + strlen(root));
}

static bool is_below(const char *path, const char *mount)
{
	size_t length = strlen(mount);

	if (str_equal(mount, "/"))
		return true;
	return str_starts(path, mount) &&
	       (path[length] == '/' || path[length] == '\0');
}

/* The type of a line of mountinfo whose mount is at or above path, and the
   length of the mount's path; NULL when it is elsewhere. Caller frees. */
static char *type_of_line(const char *line, const char *path,
			  size_t *ret_length)
{
	cleanup_strv char **fields = strv_split(line, ' ');
	size_t count = strv_length(fields);

	if (count <= MOUNT_FIELD_MAX || !is_below(path, fields[4]))
		return NULL;
	*ret_length = strlen(fields[4]);
	for (size_t i = MOUNT_FIELD_MAX; i + 1 < count; i++) {
		if (str_equal(fields[i], "-"))
			return xstrdup(fields[i + 1]);
	}
	return NULL;
}

/* The type of file system that path lies on; NULL: unknown. */
static char *file_system_of(const struct doctor *doctor, const char *path)
{
	cleanup_free char *text = doctor_read(doctor, "/proc/self/mountinfo");
	cleanup_strv char **lines = strv_split(text ? text : "", '\n');
	cleanup_free char *found = NULL;
	size_t longest = 0;

	for (size_t i = 0; lines[i]; i++) {
		size_t length = 0;
		char *type = type_of_line(lines[i], path, &length);

		/* What is mounted later lies on top. */
		if (!type || length < longest) {
			free(type);
			continue;
		}
		free(found);
		found = type;
		longest = length;
	}
	return steal_ptr(&found);
}

static const struct {
	const char *type;
	const char *why;
} poor[] = {
	{"nfs", "NFS keeps no owners but yours and no extended attributes"},
	{"nfs4", "NFS keeps no owners but yours and no extended attributes"},
	{"cifs", "SMB keeps no owners and no device nodes"},
	{"smb3", "SMB keeps no owners and no device nodes"},
	{"9p", "9p keeps no extended attributes for users"},
	{"fuse.sshfs", "sshfs keeps no owners"},
	{"gpfs", "GPFS knows nothing of user namespaces"},
	{"lustre", "Lustre knows nothing of user namespaces"},
	{"beegfs", "BeeGFS knows nothing of user namespaces"},
	{"ceph", "Ceph knows nothing of user namespaces"},
	{"afs", "AFS keeps no owners"},
	{"ecryptfs", "eCryptfs cannot be below an overlay"},
	{"vfat", "FAT keeps no owners"},
	{"exfat", "exFAT keeps no owners"},
	{"overlay", "an overlay cannot be below another one"},
	{"tmpfs", "tmpfs is memory, and empty after a reboot"},
};

void doctor_check_file_system(const struct doctor *doctor,
			      struct doctor_finding *finding)
{
	cleanup_free char *nearest = doctor_nearest(doctor, doctor->data_path);
	cleanup_free char *real = real_path(doctor, nearest);
	cleanup_free char *type = file_system_of(doctor, real);

	for (size_t i = 0; type && i < ARRAY_SIZE(poor); i++) {
		if (!str_equal(type, poor[i].type))
			continue;
		doctor_say(finding, DOCTOR_DEGRADED, "%s is on %s: %s",
			   doctor->data_path, type, poor[i].why);
		doctor_fix(finding,
			   "export MOSS_ROOT=/var/tmp/%s/moss (a directory on "
			   "a local disk) in ~/.profile",
			   doctor->user);
		return;
	}
	doctor_say(finding, DOCTOR_OK, "%s is on %s", doctor->data_path,
		   type ? type : "a file system of unknown type");
}

void doctor_judge_space(const struct statvfs *space, const char *path,
			struct doctor_finding *finding)
{
	uint64_t bytes = (uint64_t)space->f_bavail * space->f_frsize;
	uint64_t inodes = space->f_favail;
	cleanup_free char *size = format_bytes_short(bytes);
	/* btrfs and others make them as they go. */
	bool counts_inodes = space->f_files > 0;
	enum doctor_state state = DOCTOR_OK;

	if (bytes < SPACE_DEGRADED ||
	    (counts_inodes && inodes < INODES_DEGRADED))
		state = DOCTOR_DEGRADED;
	if (bytes < SPACE_BROKEN || (counts_inodes && inodes < INODES_BROKEN))
		state = DOCTOR_BROKEN;
	if (counts_inodes)
		doctor_say(finding, state, "%s and %llu inodes free for %s",
			   size, (unsigned long long)inodes, path);
	else
		doctor_say(finding, state, "%s free for %s", size, path);
	if (state != DOCTOR_OK)
		doctor_fix(finding, "moss system prune -a, or move the store: "
				    "MOSS_ROOT=/another/disk/moss");
}

void doctor_check_space(const struct doctor *doctor,
			struct doctor_finding *finding)
{
	cleanup_free char *nearest = doctor_nearest(doctor, doctor->data_path);
	cleanup_free char *full = doctor_path(doctor, nearest);
	struct statvfs space;

	if (statvfs(full, &space) < 0) {
		doctor_say(finding, DOCTOR_BROKEN, "cannot look at %s: %s",
			   nearest, strerror(errno));
		doctor_fix(finding, "set MOSS_ROOT to a directory of yours");
		return;
	}
	doctor_judge_space(&space, doctor->data_path, finding);
	if (access(full, W_OK) < 0) {
		doctor_say(finding, DOCTOR_BROKEN, "cannot write to %s: %s",
			   nearest, strerror(errno));
		doctor_fix(finding, "set MOSS_ROOT to a directory of yours");
	}
}
