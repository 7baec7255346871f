/* Owners, modes, extended attributes and times of storage/tar/unpack.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/store/limits.h"
#include "storage/tar/unpack_internal.h"

#define NAME_PATH_MAX (PATH_FD_MAX + TAR_COMPONENT_MAX + 2)

static int change_owner(int fd, int parent_fd, const char *name, uid_t uid,
			gid_t gid)
{
	int r = fd >= 0 ? fchown(fd, uid, gid)
			: fchownat(parent_fd, name, uid, gid,
				   AT_SYMLINK_NOFOLLOW);

	return r < 0 ? -errno : 0;
}

/* EINVAL: no such ID in this namespace; then each of the two on its own. */
static int set_owner(struct unpack *unpack, const struct tar_entry *entry,
		     int fd, int parent_fd, const char *name)
{
	const uid_t uid = entry->uid;
	const gid_t gid = entry->gid;
	int r = -EINVAL;

	/* -1 would mean "as it is". */
	if (uid != TAR_ID_UNKNOWN && gid != TAR_ID_UNKNOWN)
		r = change_owner(fd, parent_fd, name, uid, gid);
	if (r != -EINVAL)
		return r;
	unpack->result.squashed++;
	r = change_owner(fd, parent_fd, name, 0, 0);
	if (r < 0)
		return r;
	if (uid != TAR_ID_UNKNOWN)
		r = change_owner(fd, parent_fd, name, uid, (gid_t)-1);
	if ((r == 0 || r == -EINVAL) && gid != TAR_ID_UNKNOWN)
		r = change_owner(fd, parent_fd, name, (uid_t)-1, gid);
	return r == -EINVAL ? 0 : r;
}

static int set_xattr(int fd, int parent_fd, const char *name,
		     const struct tar_xattr *xattr)
{
	char directory[PATH_FD_MAX];
	char path[NAME_PATH_MAX];

	if (fd >= 0)
		return fsetxattr(fd, xattr->name, xattr->value, xattr->length,
				 0);
	path_of_fd(directory, parent_fd);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return lsetxattr(path, xattr->name, xattr->value, xattr->length, 0);
}

static int set_xattrs(struct unpack *unpack, const struct tar_entry *entry,
		      int fd, int parent_fd, const char *name,
		      struct error *err)
{
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];

		if (!layer_keeps_xattr(xattr->name)) {
			unpack->result.xattrs_skipped++;
			continue;
		}
		if (set_xattr(fd, parent_fd, name, xattr) == 0) {
			if (str_equal(xattr->name, "security.capability"))
				unpack->result.privileged++;
			continue;
		}
		/* The kernel or the file system does not have them here. */
		if (errno != EPERM && errno != EOPNOTSUPP && errno != EINVAL)
			return unpack_error(
				entry, "set an extended attribute of", err);
		unpack->result.xattrs_skipped++;
	}
	return 0;
}

/* The mode after the owner, whose change takes set-ID bits and capabilities. */
static int set_owner_and_mode(struct unpack *unpack,
			      const struct tar_entry *entry, int fd,
			      int parent_fd, const char *name,
			      struct error *err)
{
	int r = set_owner(unpack, entry, fd, parent_fd, name);

	if (r < 0) {
		errno = -r;
		return unpack_error(entry, "set the owner of", err);
	}
	if (entry->type != TAR_SYMLINK &&
	    (fd >= 0 ? fchmod(fd, entry->mode)
		     : fchmodat(parent_fd, name, entry->mode, 0)) < 0)
		return unpack_error(entry, "set the mode of", err);
	return 0;
}

int unpack_attributes(struct unpack *unpack, const struct tar_entry *entry,
		      bool plain, int fd, int parent_fd, const char *name,
		      struct error *err)
{
	const struct timespec times[2] = {entry->mtime, entry->mtime};
	int r = plain ? 0
		      : set_owner_and_mode(unpack, entry, fd, parent_fd, name,
					   err);

	if (r < 0)
		return r;
	if (entry->type == TAR_FILE && (entry->mode & (S_ISUID | S_ISGID)) &&
	    (entry->mode & 0111))
		unpack->result.privileged++;
	r = set_xattrs(unpack, entry, fd, parent_fd, name, err);
	if (r < 0)
		return r;
	if (entry->type == TAR_DIRECTORY)
		return 0;
	if ((fd >= 0 ? futimens(fd, times)
		     : utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW)) <
		    0 &&
	    errno != EINVAL)
		return unpack_error(entry, "set the time of", err);
	return 0;
}
