#include "core/runtime/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/layers.h"
#include "core/runtime/mountopt.h"
#include "core/runtime/setup.h"
#include "storage/root/volume.h"

#define ATTRIBUTES_SYSTEM \
	(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* The directory to start from, and the path from there. */
static int base_of(const struct setup *setup, const char *path,
		   const char **ret_rest)
{
	const struct {
		const char *prefix;
		int fd;
	} places[] = {
		{"/proc/", setup->proc_fd},
		{"/sys/", setup->sys_fd},
		{"/dev/", setup->dev_fd},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (places[i].fd >= 0 && str_starts(path, places[i].prefix)) {
			*ret_rest = path + strlen(places[i].prefix) - 1;
			return places[i].fd;
		}
	}
	*ret_rest = path;
	return setup->root_fd;
}

int mounts_open_path(const struct setup *setup, const char *path, int flags)
{
	int base_fd = base_of(setup, path, &path);

	return path_open_in_root(base_fd, path, flags, 0);
}

/* A detached mount of the source, or of a part of it. */
static int clone_source(const struct spec_mount *mount,
			const struct mount_options *options)
{
	cleanup_fd int base_fd = -1;
	cleanup_fd int fd = -1;
	int r;

	if (!options->subpath && !options->root_path) {
		r = mount_clone(AT_FDCWD, mount->source, options->recursive);
		if (r == -EINVAL && str_starts(mount->source, "/proc/"))
			r = mount_clone_of_process(mount->source,
						   options->recursive);
		return r;
	}
	/* A container that has the volume may change what is in it meanwhile:
	   what was looked up is what is mounted. */
	base_fd = open(mount->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (base_fd < 0)
		return -errno;
	if (options->root_path)
		return layers_clone(base_fd, options);
	fd = path_open_beneath(base_fd, options->subpath, O_PATH);
	return fd < 0 ? steal_fd(&fd) : mount_clone(fd, "", options->recursive);
}

static int source_failed(const struct spec_mount *mount,
			 const struct mount_options *options, int r,
			 struct error *err)
{
	if (r == -EXDEV && options->subpath)
		return err_set(err, ERROR_INVALID,
			       "cannot mount %s of %s: it leads out of the "
			       "volume",
			       options->subpath, mount->source);
	if (options->subpath || options->root_path)
		return err_number(err, r, "cannot mount %s of %s on %s",
				  options->subpath ? options->subpath
						   : options->root_path,
				  mount->source, mount->destination);
	err_number(err, r, "cannot mount %s on %s", mount->source,
		   mount->destination);
	if (r == -EINVAL && !options->recursive)
		err_hint(err, "something is mounted below it, which a user "
			      "namespace may not uncover: bind it recursively");
	return r;
}

int mounts_open_sources(struct setup *setup, struct error *err)
{
	const struct runtime_spec *spec = setup->spec;
	int r;

	setup->sources = xcalloc(spec->mount_count + 1, sizeof(int));
	setup->owned = xcalloc(spec->mount_count + 1, sizeof(int));
	for (size_t i = 0; i < spec->mount_count; i++)
		setup->sources[i] = setup->owned[i] = -1;
	r = layers_open_points(setup, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < spec->mount_count; i++) {
		const struct spec_mount *mount = &spec->mounts[i];
		CLEANUP(mount_options_release)
		struct mount_options options = {0};

		r = mount_options_parse(mount, &options, err);
		if (r < 0)
			return r;
		if (options.layers) {
			setup->sources[i] = r =
				layers_mount(setup, i, &options, err);
			if (r < 0)
				return err_wrap(err, "cannot mount on %s",
						mount->destination);
		}
		if (!options.bind)
			continue;
		setup->sources[i] = r = clone_source(mount, &options);
		if (r >= 0 && options.chown)
			setup->owned[i] = r = clone_source(mount, &options);
		if (r < 0)
			return source_failed(mount, &options, r, err);
	}
	return 0;
}

int mounts_give(struct setup *setup, struct error *err)
{
	const struct user *user = &setup->launch.user;

	for (size_t i = 0; i < setup->spec->mount_count; i++) {
		cleanup_fd int fd = steal_fd(&setup->owned[i]);
		char path[PATH_FD_MAX];
		struct stat st;
		int r;

		if (fd < 0)
			continue;
		path_of_fd(path, fd);
		if (fstat(fd, &st) < 0)
			r = err_errno(err, "cannot read its owner");
		else if (S_ISDIR(st.st_mode))
			r = tree_chown_at(fd, ".", user->uid, user->gid, err);
		else if (chown(path, user->uid, user->gid) < 0)
			r = err_errno(err, "cannot change its owner");
		else
			r = 0;
		if (r < 0)
			return err_wrap(err, "cannot give %s to user %u",
					setup->spec->mounts[i].destination,
					user->uid);
	}
	return 0;
}

/* The mount point, made when missing: a directory or a file, as is needed. */
static int open_target(const struct setup *setup, const char *path,
		       bool directory, bool temporary, bool *ret_existed,
		       struct error *err)
{
	const char *rest;
	int base_fd = base_of(setup, path, &rest);
	int fd = path_open_in_root(base_fd, rest, O_PATH, 0);
	int r;

	*ret_existed = fd >= 0;
	if (fd == -ENOENT)
		fd = directory ? path_mkdirs_in_root(base_fd, rest, 0755, err)
			       : path_touch_in_root(base_fd, rest, 0644, err);
	else if (fd < 0)
		err_number(err, fd, "cannot reach %s in the container", path);
	if (fd < 0 || *ret_existed || !temporary)
		return fd;
	r = layers_tell_point(setup, fd, err);
	if (r < 0)
		close_fd(&fd);
	return r < 0 ? r : fd;
}

/* What the image has at target fills the mount, see storage/root/volume.h. */
static int fill(int mount_fd, int target_fd, struct error *err)
{
	char path[PATH_FD_MAX];
	struct volume volume = {.path = path};

	path_of_fd(path, mount_fd);
	return volume_copy_up(&volume, target_fd, err);
}

static int set_bind_options(int fd, const struct mount_options *options)
{
	unsigned long propagation =
		options->propagation ? options->propagation : MS_PRIVATE;
	uint64_t atime = options->clear & MOUNT_ATTR__ATIME;
	uint64_t clear = options->clear & ~(uint64_t)MOUNT_ATTR__ATIME;
	int r;

	/* What makes a mount safer is for all that came along. */
	r = mount_set(fd, options->set | options->set_recursive,
		      options->clear_recursive | atime,
		      propagation & ~(unsigned long)MS_REC, options->recursive);
	if (r < 0 || !clear)
		return r;
	r = mount_set(fd, 0, clear, 0, false);
	/* What the host locked stays locked: "rw" is a wish. */
	clear &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	return r == -EPERM && !clear ? 0 : r;
}

static int bind_mount(const struct setup *setup, const struct spec_mount *mount,
		      const struct mount_options *options, int fd,
		      struct error *err)
{
	cleanup_fd int target_fd = -1;
	struct stat st, target;
	bool existed;
	int r;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot mount %s on %s", mount->source,
				 mount->destination);
	target_fd = open_target(setup, mount->destination, S_ISDIR(st.st_mode),
				options->temporary, &existed, err);
	if (target_fd < 0)
		return err_wrap(err, "cannot mount %s", mount->source);
	if (options->copy_up && existed && S_ISDIR(st.st_mode)) {
		r = fill(fd, target_fd, err);
		if (r < 0)
			return r;
	}

	r = set_bind_options(fd, options);
	if (r < 0)
		return err_number(err, r, "cannot set the options of %s",
				  mount->destination);
	r = mount_attach(fd, target_fd);
	if (r < 0 && fstat(target_fd, &target) == 0 &&
	    S_ISDIR(target.st_mode) != S_ISDIR(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "cannot mount %s on %s: one is a directory, the "
			       "other is not",
			       mount->source, mount->destination);
	if (r < 0)
		return err_number(err, r, "cannot mount %s on %s",
				  mount->source, mount->destination);
	return 0;
}

static int layers_bind(struct setup *setup, size_t index,
		       const struct mount_options *options, int *ret_fd,
		       struct error *err)
{
	const struct spec_mount *mount = &setup->spec->mounts[index];
	cleanup_fd int root_fd = steal_fd(&setup->sources[index]);
	int fd = layers_clone(root_fd, options);

	if (fd < 0)
		return source_failed(mount, options, fd, err);
	*ret_fd = fd;
	return bind_mount(setup, mount, options, fd, err);
}

/* A read-only view of the host's directory, when an own one cannot be had. */
static int bind_host(const char *path, struct error *err)
{
	cleanup_fd int fd = mount_clone(AT_FDCWD, path, true);
	int r;

	if (fd < 0)
		return err_number(err, fd, "cannot mount %s", path);
	r = mount_set(fd, MOUNT_ATTR_RDONLY | ATTRIBUTES_SYSTEM, 0, MS_PRIVATE,
		      true);
	if (r < 0)
		return err_number(err, r, "cannot mount %s read-only", path);
	return steal_fd(&fd);
}

/* The first thing that hides a part of the /proc we see, or NULL. */
static char *find_cover(void)
{
	cleanup_free char *text = NULL;
	char *line, *rest = NULL;

	if (file_read_at(AT_FDCWD, "/proc/self/mountinfo", 4u << 20, &text,
			 NULL, NULL) < 0)
		return NULL;
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *word = strstr(line, " /proc/");

		if (word)
			return xstrndup(word + 1, strcspn(word + 1, " "));
	}
	return NULL;
}

static int explain_proc(struct error *err)
{
	cleanup_free char *cover = find_cover();

	if (!cover)
		return err_return(err);
	err_set(err, ERROR_PERMISSION,
		"the /proc here is partly covered (%s), as inside another "
		"container, and the kernel gives no full one then",
		cover);
	return err_hint(err, "run the outer container with an uncovered /proc "
			     "(docker: --security-opt systempaths=unconfined; "
			     "Kubernetes: procMount: Unmasked)");
}

/*
 * Types whose mount is refused when the namespace they show is not the
 * container's own. The host's is shown read-only instead, but for the processes
 * of a PID namespace that is neither; where even that cannot be (no
 * /dev/mqueue, no cgroup tree), an `optional` place stays empty.
 */
static const struct fallback {
	const char *type;
	int flag; /* of that namespace */
	const char *path;
	bool optional;
} fallbacks[] = {
	{"proc", CLONE_NEWPID, "/proc", false},
	{"sysfs", CLONE_NEWNET, "/sys", false},
	{"mqueue", CLONE_NEWIPC, "/dev/mqueue", true},
	{"cgroup2", 0, "/sys/fs/cgroup", true},
};

/* Returns a detached mount, -ENOENT for "none", or another error. */
static int create_or_fall_back(const struct setup *setup, const char *type,
			       const struct spec_mount *mount,
			       const struct mount_options *options,
			       uint64_t attributes, struct error *err)
{
	int fd = mount_create(type, mount->source ? mount->source : type,
			      options->data, options->data_count, attributes,
			      err);

	if (fd != -EPERM && fd != -EBUSY)
		return fd;
	for (size_t i = 0; i < ARRAY_SIZE(fallbacks); i++) {
		const struct fallback *row = &fallbacks[i];

		if (!str_equal(type, row->type))
			continue;
		if (row->flag == CLONE_NEWPID
			    ? spec_namespace(setup->spec, row->flag) != NULL
			    : spec_namespace_is_new(setup->spec, row->flag))
			break;
		fd = bind_host(row->path, err);
		return fd < 0 && row->optional ? -ENOENT : fd;
	}
	if (str_equal(type, "proc"))
		return explain_proc(err);
	if (str_equal(type, "cgroup2"))
		return -ENOENT;
	return err_hint(err, "a user namespace may not mount every kind of "
			     "file system");
}

/* devpts's group is usually 5; without that group, the mounter's will do. */
static void drop_unmapped_group(const struct setup *setup,
				struct mount_options *options)
{
	size_t kept = 0;

	for (size_t i = 0; i < options->data_count; i++) {
		const char *word = options->data[i];
		uint64_t gid;
		uint32_t outside;

		if (str_starts(word, "gid=") &&
		    parse_u64(word + strlen("gid="), &gid) == 0 &&
		    (gid > UINT32_MAX ||
		     idmap_to_outside(&setup->gids, (uint32_t)gid, &outside) <
			     0))
			continue;
		options->data[kept++] = word;
	}
	options->data_count = kept;
}

/* A tmpfs over a directory looks like it, unless a mode is given. */
static void inherit_mode(struct mount_options *options, int target_fd,
			 char ret_word[16])
{
	struct stat st;

	for (size_t i = 0; i < options->data_count; i++) {
		if (str_starts(options->data[i], "mode="))
			return;
	}
	if (fstat(target_fd, &st) < 0)
		return;
	snprintf(ret_word, 16, "mode=%o", st.st_mode & 07777);
	/* mount_options_parse() left room for one more. */
	options->data[options->data_count++] = ret_word;
}

static int new_mount(const struct setup *setup, const struct spec_mount *mount,
		     struct mount_options *options, int *ret_fd,
		     struct error *err)
{
	/* OCI says "cgroup" for whatever version the host has. */
	const char *type =
		str_equal(mount->type, "cgroup") ? "cgroup2" : mount->type;
	uint64_t attributes = options->set | options->set_recursive;
	cleanup_fd int target_fd = -1;
	cleanup_fd int fd = -1;
	char mode[16];
	bool existed;
	int r;

	target_fd = open_target(setup, mount->destination, true,
				options->temporary, &existed, err);
	if (target_fd < 0)
		return err_wrap(err, "cannot mount %s", type);
	if (str_equal(type, "devpts"))
		drop_unmapped_group(setup, options);
	if (str_equal(type, "tmpfs") && existed)
		inherit_mode(options, target_fd, mode);

	fd = create_or_fall_back(setup, type, mount, options,
				 options->temporary_copy_up
					 ? attributes &
						   ~(uint64_t)MOUNT_ATTR_RDONLY
					 : attributes,
				 err);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_wrap(err, "cannot mount %s on %s", type,
				mount->destination);
	if (options->temporary_copy_up && existed) {
		r = fill(fd, target_fd, err);
		if (r < 0)
			return r;
	}
	if (options->propagation || options->temporary_copy_up) {
		r = mount_set(fd, attributes, 0,
			      options->propagation & ~(unsigned long)MS_REC,
			      false);
		if (r < 0)
			return err_number(err, r,
					  "cannot set the options of %s",
					  mount->destination);
	}
	r = mount_attach(fd, target_fd);
	if (r < 0)
		return err_number(err, r, "cannot mount %s on %s", type,
				  mount->destination);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Remembers the mounts that later steps work in. Takes fd. */
static void remember(struct setup *setup, const struct spec_mount *mount,
		     int fd)
{
	const struct {
		const char *path;
		const char *type;
		int *fd;
	} places[] = {
		{"/dev", "tmpfs", &setup->dev_fd},
		{"/proc", "proc", &setup->proc_fd},
		{"/sys", "sysfs", &setup->sys_fd},
		{"/dev/pts", "devpts", &setup->devpts_fd},
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!str_equal(mount->destination, places[i].path))
			continue;
		close_fd(places[i].fd);
		if (str_equal(mount->type, places[i].type))
			*places[i].fd = steal_fd(&fd);
		else if (i == 0)
			setup->dev_is_foreign = true;
	}
	close_fd(&fd);
}

int mounts_make(struct setup *setup, struct error *err)
{
	const struct runtime_spec *spec = setup->spec;

	for (size_t i = 0; i < spec->mount_count; i++) {
		const struct spec_mount *mount = &spec->mounts[i];
		CLEANUP(mount_options_release)
		struct mount_options options = {0};
		int fd = -1;
		int r = mount_options_parse(mount, &options, err);

		if (r < 0)
			return r;
		if (options.bind) {
			fd = steal_fd(&setup->sources[i]);
			r = bind_mount(setup, mount, &options, fd, err);
		} else if (options.layers) {
			r = layers_bind(setup, i, &options, &fd, err);
		} else {
			r = new_mount(setup, mount, &options, &fd, err);
		}
		remember(setup, mount, fd);
		if (r < 0)
			return r;
	}
	return 0;
}
