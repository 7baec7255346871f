#include "storage/tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/layer_path.h"
#include "storage/store/limits.h"
#include "storage/tar/unpack_internal.h"

/* The headers may be older than the kernel. */
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

int unpack_error(const struct tar_entry *entry, const char *what,
		 struct error *err)
{
	err_errno(err, "cannot %s \"%.128s\"", what, entry->path);
	if (err && err->kind == ERROR_NO_SPACE)
		return err_hint(err, "free some space, or move the store with "
				     "MOSS_ROOT");
	return err ? err_return(err) : -errno;
}

static void unpack_release(struct unpack *unpack)
{
	unpack_forget_parents(unpack);
	for (size_t i = 0; i < unpack->directory_count; i++)
		free(unpack->directories[i].path);
	free(unpack->directories);
	cJSON_Delete(unpack->result.devices);
}

/*
 * Removing a mount point of another mount namespace would unmount it there.
 */
static bool is_mounted(int parent_fd, const char *name)
{
	struct statx st;

	return statx(parent_fd, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) ==
		       0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/*
 * Makes room for an entry where something is. *ret_opaque, when not NULL: it
 * was a whiteout, so a directory in its place must be opaque.
 */
static int remove_existing(struct unpack *unpack, const struct tar_entry *entry,
			   int parent_fd, const char *name, bool *ret_opaque,
			   struct error *err)
{
	struct stat st;

	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_error(entry, "look up", err);
	unpack->stale = true;
	if (S_ISDIR(st.st_mode) && unpack->prefix)
		return err_set(err, ERROR_CONFLICT,
			       "cannot overwrite directory \"%.128s\" with "
			       "non-directory",
			       entry->path);
	if (S_ISDIR(st.st_mode))
		return tree_remove_at(parent_fd, name, err);
	if (unpack->prefix && is_mounted(parent_fd, name))
		return err_set(
			err, ERROR_CONFLICT,
			"cannot replace \"%.128s\": something is mounted "
			"on it",
			entry->path);
	if (ret_opaque)
		*ret_opaque = unpack_is_whiteout(parent_fd, name, &st);
	if (unlinkat(parent_fd, name, 0) < 0)
		return unpack_error(entry, "replace", err);
	return 0;
}

/*
 * Made with this mode where this parent is, it has the owner and the mode that
 * the entry tells: nearly all of the files of nearly all images.
 */
static bool is_plain(const struct unpack *unpack, const struct tar_entry *entry)
{
	return unpack->plain && entry->uid == 0 && entry->gid == 0 &&
	       !(entry->mode & (S_ISUID | S_ISGID | S_ISVTX));
}

/* Holes count: whoever copies the file later may fill them. */
static int take_size(struct unpack *unpack, const struct tar_entry *entry,
		     struct error *err)
{
	if (entry->size > unpack->left) {
		err_set(err, ERROR_INVALID,
			"entry \"%.128s\": the files of the layer are larger "
			"than %llu bytes together",
			entry->path, (unsigned long long)unpack->size_max);
		return limits_hint(LIMIT_LAYER_SIZE, err);
	}
	unpack->left -= entry->size;
	return 0;
}

static int write_data(struct unpack *unpack, const struct tar_entry *entry,
		      int fd, struct error *err)
{
	uint64_t at = 0;
	int r;

	for (;;) {
		const void *bytes = NULL;
		size_t length = 0;
		uint64_t offset = 0;

		r = tar_data(unpack->reader, &bytes, &length, &offset, err);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		unpack->result.bytes += length;
		if (offset != at && lseek(fd, (off_t)offset, SEEK_SET) < 0)
			return unpack_error(entry, "write", err);
		r = write_all(fd, bytes, length);
		if (r < 0) {
			errno = -r;
			return unpack_error(entry, "write", err);
		}
		at = offset + length;
	}
	/* A hole at the end. */
	if (at < entry->size && ftruncate(fd, (off_t)entry->size) < 0)
		return unpack_error(entry, "set the size of", err);
	return 0;
}

static int make_file(struct unpack *unpack, const struct tar_entry *entry,
		     int parent_fd, const char *name, struct error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int fd = -1;
	bool plain = is_plain(unpack, entry);
	mode_t mode = plain ? entry->mode : 0600;
	int r;

	fd = openat(parent_fd, name, flags, mode);
	if (fd < 0 && errno == EEXIST) {
		r = remove_existing(unpack, entry, parent_fd, name, NULL, err);
		if (r < 0)
			return r;
		fd = openat(parent_fd, name, flags, mode);
	}
	if (fd < 0)
		return unpack_error(entry, "make file", err);
	r = take_size(unpack, entry, err);
	if (r < 0)
		return r;
	r = write_data(unpack, entry, fd, err);
	if (r < 0)
		return r;
	return unpack_attributes(unpack, entry, plain, fd, parent_fd, name,
				 err);
}

static int note_directory(struct unpack *unpack, const struct tar_entry *entry,
			  const char *path, struct error *err)
{
	unpack->names += strlen(path) + 1;
	if (unpack->names > LAYER_NAMES_MAX)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": names of directories beyond "
			       "%llu bytes",
			       entry->path, LAYER_NAMES_MAX);
	if (unpack->directory_count == unpack->directory_room) {
		unpack->directory_room = unpack->directory_room
						 ? unpack->directory_room * 2
						 : 256;
		unpack->directories =
			xrealloc(unpack->directories, unpack->directory_room,
				 sizeof(*unpack->directories));
	}
	unpack->directories[unpack->directory_count++] =
		(struct unpack_directory){xstrdup(path), entry->mtime};
	return 0;
}

/* A directory that was there, or took something else's place. */
static int change_directory(struct unpack *unpack,
			    const struct tar_entry *entry, const char *path,
			    int parent_fd, const char *name, struct error *err)
{
	cleanup_fd int fd = -1;
	bool opaque = false;
	struct stat st;
	int r = fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW);

	/* What is known of it as a parent may not be true any more. */
	unpack->stale = true;
	if (r == 0 && !S_ISDIR(st.st_mode) && unpack->prefix)
		return err_set(err, ERROR_CONFLICT,
			       "cannot overwrite non-directory \"%.128s\" "
			       "with directory",
			       entry->path);
	if (r == 0 && !S_ISDIR(st.st_mode)) {
		r = remove_existing(unpack, entry, parent_fd, name, &opaque,
				    err);
		if (r < 0)
			return r;
		r = mkdirat(parent_fd, name, 0700);
	}
	if (r == 0)
		fd = openat(parent_fd, name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0 || fd < 0)
		return unpack_error(entry, "make directory", err);
	if (opaque) {
		r = unpack_opaque_at(unpack, parent_fd, name, path, err);
		if (r < 0)
			return r;
	}
	return unpack_attributes(unpack, entry, false, fd, parent_fd, name,
				 err);
}

static int make_directory(struct unpack *unpack, const struct tar_entry *entry,
			  const char *path, int parent_fd, const char *name,
			  struct error *err)
{
	bool plain = is_plain(unpack, entry);
	int r = mkdirat(parent_fd, name, plain ? entry->mode : 0700);

	if (r == 0 && plain && entry->xattr_count == 0)
		return note_directory(unpack, entry, path, err);
	if (r < 0 && errno != EEXIST)
		return unpack_error(entry, "make directory", err);
	r = change_directory(unpack, entry, path, parent_fd, name, err);
	return r < 0 ? r : note_directory(unpack, entry, path, err);
}

static int make_symlink(struct unpack *unpack, const struct tar_entry *entry,
			int parent_fd, const char *name, struct error *err)
{
	int r = symlinkat(entry->link, parent_fd, name);

	if (r < 0 && errno == EEXIST) {
		r = remove_existing(unpack, entry, parent_fd, name, NULL, err);
		if (r < 0)
			return r;
		r = symlinkat(entry->link, parent_fd, name);
	}
	if (r < 0)
		return unpack_error(entry, "make link", err);
	return unpack_attributes(unpack, entry, is_plain(unpack, entry), -1,
				 parent_fd, name, err);
}

static int link_error(const struct tar_entry *entry, int number,
		      struct error *err)
{
	if (number == -ENOENT)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": hard link to \"%.128s\", "
			       "which is not in the layer",
			       entry->path, entry->link);
	return err_number(err, number,
			  "cannot make \"%.128s\", a hard link to \"%.128s\"",
			  entry->path, entry->link);
}

static int make_hardlink(struct unpack *unpack, const struct tar_entry *entry,
			 const char *path, int parent_fd, const char *name,
			 struct error *err)
{
	cleanup_free char *target = NULL;
	cleanup_fd int target_fd = -1;
	const char *target_name;
	struct stat st;
	char *slash;
	int r = layer_link_path(entry->link, &target, err);

	if (r < 0)
		return err_wrap(err, "hard link \"%.128s\"", entry->path);
	if (unpack->prefix) {
		char *full = xasprintf("%s/%s", unpack->prefix, target);

		free(target);
		target = full;
	}
	if (str_equal(target, path) &&
	    fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	slash = strrchr(target, '/');
	target_name = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	target_fd = path_open_in_root(unpack->root_fd, slash ? target : "/",
				      O_PATH | O_DIRECTORY, 0);
	if (target_fd < 0)
		return link_error(entry, target_fd, err);
	r = linkat(target_fd, target_name, parent_fd, name, 0);
	if (r < 0 && errno == EEXIST) {
		r = remove_existing(unpack, entry, parent_fd, name, NULL, err);
		if (r < 0)
			return r;
		r = linkat(target_fd, target_name, parent_fd, name, 0);
	}
	return r < 0 ? link_error(entry, -errno, err) : 0;
}

static int note_device(struct unpack *unpack, const struct tar_entry *entry,
		       const char *path, struct error *err)
{
	cJSON *device;

	if (!unpack->result.devices)
		unpack->result.devices = json_array();
	unpack->device_names += strlen(path);
	if ((unsigned int)cJSON_GetArraySize(unpack->result.devices) >=
		    LAYER_DEVICES_MAX ||
	    unpack->device_names > LAYER_DEVICES_TEXT)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": too many device nodes",
			       entry->path);
	device = json_object();
	json_set_string(device, "path", path);
	json_set_string(device, "type", entry->type == TAR_CHAR ? "c" : "b");
	json_set_i64(device, "major", entry->device_major);
	json_set_i64(device, "minor", entry->device_minor);
	json_push(unpack->result.devices, device);
	return 0;
}

static int make_node_as(int parent_fd, const char *name, mode_t type,
			dev_t device, bool forged)
{
	if (!forged)
		return mknodat(parent_fd, name, type | 0600, device);
	errno = faccessat(parent_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			? EEXIST
			: EPERM;
	return -1;
}

static int make_node(struct unpack *unpack, const struct tar_entry *entry,
		     const char *path, int parent_fd, const char *name,
		     struct error *err)
{
	mode_t type = entry->type == TAR_FIFO	? S_IFIFO
		      : entry->type == TAR_CHAR ? S_IFCHR
						: S_IFBLK;
	dev_t device = makedev(entry->device_major, entry->device_minor);
	/* The kernel makes this one for anybody; it would be a whiteout. */
	bool forged = entry->type == TAR_CHAR && device == 0;
	int r = make_node_as(parent_fd, name, type, device, forged);

	if (r < 0 && errno == EEXIST) {
		r = remove_existing(unpack, entry, parent_fd, name, NULL, err);
		if (r < 0)
			return r;
		r = make_node_as(parent_fd, name, type, device, forged);
	}
	if (r < 0 && errno == EPERM && type != S_IFIFO) {
		r = note_device(unpack, entry, path, err);
		if (r < 0)
			return r;
		r = mknodat(parent_fd, name, S_IFREG | 0600, 0);
	}
	if (r < 0)
		return unpack_error(entry, "make node", err);
	return unpack_attributes(unpack, entry, false, -1, parent_fd, name,
				 err);
}

/* The layer's root itself; a root that is no directory is nonsense. */
static int set_root(struct unpack *unpack, const struct tar_entry *entry,
		    struct error *err)
{
	int r;

	if (entry->type != TAR_DIRECTORY)
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": the root is no directory",
			       entry->path);
	r = unpack_attributes(unpack, entry, false, unpack->root_fd, -1, NULL,
			      err);
	if (r < 0)
		return r;
	return note_directory(unpack, entry, "/", err);
}

static int make_entry(struct unpack *unpack, const struct tar_entry *entry,
		      const char *path, struct error *err)
{
	const char *name;
	int fd;
	int r;

	if (!*path)
		return set_root(unpack, entry, err);
	r = unpack_parent(unpack, path, &fd, &name, err);
	if (r < 0)
		return err_wrap(err, "entry \"%.128s\"", entry->path);
	switch (entry->type) {
	case TAR_FILE:
		return make_file(unpack, entry, fd, name, err);
	case TAR_DIRECTORY:
		return make_directory(unpack, entry, path, fd, name, err);
	case TAR_SYMLINK:
		return make_symlink(unpack, entry, fd, name, err);
	case TAR_HARDLINK:
		return make_hardlink(unpack, entry, path, fd, name, err);
	case TAR_CHAR:
	case TAR_BLOCK:
	case TAR_FIFO:
		break;
	}
	return make_node(unpack, entry, path, fd, name, err);
}

/* Is a component of it what a driver may take for a mark? */
static bool is_mark(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (str_starts(at, ".wh."))
			return true;
	}
	return false;
}

static int place_entry(struct unpack *unpack, const struct tar_entry *entry,
		       struct error *err)
{
	cleanup_free char *path = NULL;
	cleanup_free char *full = NULL;
	int r = layer_link_path(entry->path, &path, err);

	if (r < 0 || !*path)
		return r;
	unpack->result.entries++;
	if (is_mark(path))
		return err_set(err, ERROR_INVALID,
			       "entry \"%.128s\": in a container's root such a "
			       "name stands for a removed file",
			       entry->path);
	if (entry->type == TAR_CHAR || entry->type == TAR_BLOCK) {
		unpack->result.skipped++;
		return 0;
	}
	full = xasprintf("%s/%s", unpack->prefix, path);
	return make_entry(unpack, entry, full, err);
}

static int unpack_entry(struct unpack *unpack, const struct tar_entry *entry,
			struct error *err)
{
	cleanup_free char *path = NULL;
	int kind;
	int r;

	if (unpack->prefix)
		return place_entry(unpack, entry, err);
	kind = layer_path(entry->path, &path, err);
	if (kind < 0)
		return kind;
	unpack->result.entries++;
	switch ((enum layer_path_kind)kind) {
	case LAYER_PATH_SKIP:
		return 0;
	case LAYER_PATH_WHITEOUT:
		return unpack_whiteout(unpack, path, err);
	case LAYER_PATH_OPAQUE:
		r = unpack_opaque(unpack, path, err);
		return r < 0 ? err_wrap(err, "entry \"%.128s\"", entry->path)
			     : 0;
	case LAYER_PATH_FILE:
		break;
	}
	return make_entry(unpack, entry, path, err);
}

/* Of a directory that came twice, the later entry counts. */
static void set_directory_times(const struct unpack *unpack)
{
	for (size_t i = 0; i < unpack->directory_count; i++) {
		const struct unpack_directory *directory =
			&unpack->directories[i];
		const struct timespec times[2] = {directory->mtime,
						  directory->mtime};
		cleanup_fd int fd =
			path_open_in_root(unpack->root_fd, directory->path,
					  O_RDONLY | O_DIRECTORY, 0);

		/* A later entry may have replaced it. */
		if (fd >= 0)
			(void)!futimens(fd, times);
	}
}

static int unpack_all(struct tar_reader *reader, int root_fd,
		      const char *prefix, const struct limits *limits,
		      struct unpack_result *ret_result, struct error *err)
{
	CLEANUP(unpack_release)
	struct unpack unpack = {
		.reader = reader,
		.root_fd = root_fd,
		.prefix = prefix,
		.size_max = limits->layer_size,
		.left = limits->layer_size,
	};
	const struct tar_entry *entry;
	int r;

	tar_reader_limit(reader, limits->layer_entries);
	unpack_start_parents(&unpack);
	while ((r = tar_next(reader, &entry, err)) > 0) {
		r = unpack_entry(&unpack, entry, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	set_directory_times(&unpack);
	*ret_result = unpack.result;
	unpack.result.devices = NULL;
	return 0;
}

int unpack_layer(struct tar_reader *reader, int root_fd,
		 const struct limits *limits, struct unpack_result *ret_result,
		 struct error *err)
{
	return unpack_all(reader, root_fd, NULL, limits, ret_result, err);
}

int unpack_into(struct tar_reader *reader, int root_fd, const char *prefix,
		const struct limits *limits, struct unpack_result *ret_result,
		struct error *err)
{
	return unpack_all(reader, root_fd, prefix, limits, ret_result, err);
}
