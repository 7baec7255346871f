#include "storage/root/diff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/tar/tar_xattrs.h"

#define WHITEOUT	 ".wh."
#define WHITEOUT_OPAQUE	 ".wh..wh..opq"
#define MOUNT_POINTS_MAX (1u << 20) /* bytes */
#define MODE_WHITEOUT	 0600

struct diff {
	const struct diff_request *request;
	struct tar_writer *writer;
	struct diff_report report;
	diff_visit visit;
	void *data;
};

static bool has_mark(int fd, const char *name, char value)
{
	char buffer[4];

	return fgetxattr(fd, name, buffer, sizeof(buffer)) == 1 &&
	       buffer[0] == value;
}

static bool is_fuse(const struct diff *diff)
{
	return diff->request->driver == SNAPSHOT_FUSE_OVERLAYFS;
}

/* ---- marks ---- */

static bool is_xattr_whiteout(const struct tree_item *item)
{
	return item->fd >= 0 && S_ISREG(item->st.st_mode) &&
	       item->st.st_size == 0 &&
	       has_mark(item->fd, "user.overlay.whiteout", 'y') &&
	       has_mark(item->parent_fd, "user.overlay.opaque", 'x');
}

static bool is_opaque(const struct diff *diff, int fd)
{
	if (has_mark(fd, "user.overlay.opaque", 'y'))
		return true;
	return is_fuse(diff) &&
	       (has_mark(fd, "user.fuseoverlayfs.opaque", 'y') ||
		faccessat(fd, WHITEOUT_OPAQUE, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

/* The files by which fuse-overlayfs marks an opaque directory. */
static bool is_opaque_mark(const char *name)
{
	return str_equal(name, WHITEOUT_OPAQUE) ||
	       str_equal(name, WHITEOUT ".opq");
}

/* An empty file of that name, which stands for what is gone. */
static int write_mark(struct diff *diff, const char *directory,
		      size_t directory_length, const char *name,
		      struct error *err)
{
	cleanup_free char *path =
		xasprintf("%.*s%s%s", (int)directory_length, directory,
			  directory_length > 0 ? "/" : "", name);
	const struct tar_entry entry = {
		.type = TAR_FILE,
		.path = path,
		.mode = MODE_WHITEOUT,
	};

	return tar_write_entry(diff->writer, &entry, err);
}

/* name of the present item's directory is gone. */
static int put_whiteout(struct diff *diff, const struct tree_item *item,
			const char *name, struct error *err)
{
	const char *slash = strrchr(item->path, '/');
	size_t length = slash ? (size_t)(slash - item->path) : 0;
	cleanup_free char *mark = xasprintf(WHITEOUT "%s", name);
	cleanup_free char *path = xasprintf("%.*s%s%s", (int)length, item->path,
					    length > 0 ? "/" : "", name);

	diff->report.whiteouts++;
	if (diff->visit)
		return diff->visit(diff->data, DIFF_REMOVED, path, item, err);
	return write_mark(diff, item->path, length, mark, err);
}

/* ---- what the runtime made ---- */

static const char *const mount_directories[] = {"dev", "etc", "proc", "sys"};
static const char *const mount_files[] = {
	"etc/hostname",
	"etc/hosts",
	"etc/resolv.conf",
};

static bool is_mount_file(const struct diff *diff, const char *path,
			  const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_size != 0 ||
	    (st->st_mode & 07777) != 0644)
		return false;
	if (strv_contains(diff->request->mount_points, path))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(mount_files); i++) {
		if (str_equal(path, mount_files[i]))
			return true;
	}
	return false;
}

/* As the topmost layer that has the path has it. False: none does. */
static bool look_below(const struct diff_request *request, const char *path,
		       struct stat *ret_st)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	for (size_t i = strv_length(request->diff_ids); i-- > 0;) {
		cleanup_free char *below =
			xasprintf("%s/" LAYER_DIFF "/%s",
				  digest_hex(request->diff_ids[i]), path);

		cleanup_fd int fd =
			(int)syscall(SYS_openat2, request->store->layers_fd,
				     below, &how, sizeof(how));

		if (fd >= 0 && fstat(fd, ret_st) == 0)
			return true;
	}
	return false;
}

/* Is it opaque, and does that matter? fuse-overlayfs marks every new directory,
   just in case. */
static bool hides_below(const struct diff *diff, const char *path, int fd)
{
	struct stat below;

	return is_opaque(diff, fd) && look_below(diff->request, path, &below);
}

static bool is_as_below(const struct diff *diff, const char *path,
			const struct stat *st)
{
	struct stat below = {.st_mode = S_IFDIR | 0755};

	/* Without one below it is compared with what the runtime makes. */
	(void)look_below(diff->request, path, &below);
	return below.st_mode == st->st_mode && below.st_uid == st->st_uid &&
	       below.st_gid == st->st_gid;
}

/* A directory that is, or that leads to, a mount point. */
static bool leads_to_mount(const struct diff *diff, const char *path)
{
	char *const *points = diff->request->mount_points;
	size_t length = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(mount_directories); i++) {
		if (str_equal(path, mount_directories[i]))
			return true;
	}
	for (size_t i = 0; points && points[i]; i++) {
		if (str_starts(points[i], path) &&
		    (points[i][length] == '\0' || points[i][length] == '/'))
			return true;
	}
	return false;
}

static bool is_mount_directory(const struct diff *diff, const char *path,
			       int fd, const struct stat *st);

/* Is there nothing in it but what the runtime made? path: the directory's. */
static bool holds_mounts_only(const struct diff *diff, const char *path, int fd)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int dir_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd < 0)
		return false;
	dir = fdopendir(dir_fd);
	if (!dir) {
		close_fd(&dir_fd);
		return false;
	}
	while ((entry = readdir(dir))) {
		cleanup_free char *below = NULL;
		cleanup_fd int below_fd = -1;
		struct stat st;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, "..") ||
		    (is_fuse(diff) && is_opaque_mark(entry->d_name)))
			continue;
		below = xasprintf("%s/%s", path, entry->d_name);
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
		if (is_mount_file(diff, below, &st))
			continue;
		if (!S_ISDIR(st.st_mode) || !leads_to_mount(diff, below))
			return false;
		below_fd =
			openat(fd, entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below_fd < 0 ||
		    !is_mount_directory(diff, below, below_fd, &st))
			return false;
	}
	return true;
}

static bool is_mount_directory(const struct diff *diff, const char *path,
			       int fd, const struct stat *st)
{
	return S_ISDIR(st->st_mode) && fd >= 0 && leads_to_mount(diff, path) &&
	       !hides_below(diff, path, fd) &&
	       holds_mounts_only(diff, path, fd) &&
	       is_as_below(diff, path, st) && !tar_xattrs_any(fd);
}

/* ---- the walk ---- */

static int on_name_of_marks(struct diff *diff, const struct tree_item *item,
			    struct error *err)
{
	const char *name = item->name + strlen(WHITEOUT);
	int r = 0;

	if (!is_fuse(diff) || !*name || str_equal(name, ".") ||
	    str_equal(name, ".."))
		diff->report.unnamable++;
	else if (S_ISREG(item->st.st_mode) && !str_starts(name, WHITEOUT))
		r = put_whiteout(diff, item, name, err);
	return r < 0 ? r : TREE_LEAVE;
}

/* Whoever builds it again gets the same layer. */
static void clamp(struct timespec *time, int64_t epoch)
{
	if (time->tv_sec >= epoch)
		*time = (struct timespec){.tv_sec = epoch};
}

static int on_item(void *data, struct tree_item *item, struct error *err)
{
	struct diff *diff = data;
	int r = 0;

	if (str_starts(item->name, WHITEOUT))
		return on_name_of_marks(diff, item, err);
	if (is_mount_file(diff, item->path, &item->st) ||
	    is_mount_directory(diff, item->path, item->fd, &item->st))
		return TREE_LEAVE;
	if ((S_ISCHR(item->st.st_mode) && item->st.st_rdev == makedev(0, 0)) ||
	    is_xattr_whiteout(item)) {
		r = put_whiteout(diff, item, item->name, err);
		return r < 0 ? r : TREE_LEAVE;
	}
	if (diff->request->has_epoch)
		clamp(&item->entry.mtime, diff->request->epoch);
	if (diff->visit)
		r = diff->visit(diff->data, DIFF_ENTRY, item->path, item, err);
	return r < 0 ? r : TREE_TAKE;
}

static int on_directory(void *data, const struct tree_item *item,
			struct error *err)
{
	struct diff *diff = data;

	if (!hides_below(diff, item->path, item->fd))
		return 0;
	diff->report.whiteouts++;
	if (diff->visit)
		return diff->visit(diff->data, DIFF_OPAQUE, item->path, item,
				   err);
	return write_mark(diff, item->path, strlen(item->path), WHITEOUT_OPAQUE,
			  err);
}

static int run(struct diff *diff, int upper_fd, struct error *err)
{
	const struct tree_request tree = {
		.writer = diff->writer,
		.hooks = {on_item, on_directory, diff},
	};

	return tree_write(upper_fd, &tree, &diff->report.tree, err);
}

int diff_write(int upper_fd, const struct diff_request *request,
	       struct tar_writer *writer, struct diff_report *ret_report,
	       struct error *err)
{
	struct diff diff = {.request = request, .writer = writer};
	int r = run(&diff, upper_fd, err);

	if (r < 0)
		return r;
	*ret_report = diff.report;
	return 0;
}

int diff_walk(int upper_fd, const struct diff_request *request,
	      diff_visit visit, void *data, struct error *err)
{
	struct diff diff = {.request = request, .visit = visit, .data = data};

	return run(&diff, upper_fd, err);
}

int diff_read_mount_points(int directory_fd, char ***ret_points,
			   struct error *err)
{
	cleanup_free char *text = NULL;
	struct error problem = {0};
	char **points = NULL;
	size_t length = 0;
	int r = file_read_at(directory_fd, "mounts/points", MOUNT_POINTS_MAX,
			     &text, &length, &problem);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_copy(err, &problem);
	for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
		const char *path = text + at;

		strv_push(&points, path + strspn(path, "/"));
	}
	*ret_points = points;
	return 0;
}
