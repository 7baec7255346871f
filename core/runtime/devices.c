#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/console.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mounts.h"
#include "core/runtime/setup.h"

/* A user namespace cannot make device nodes, so the host's are bound. */
static const char *const nodes[] = {"null",   "zero",	 "full",
				    "random", "urandom", "tty"};

static const struct {
	const char *name;
	const char *target;
} links[] = {
	{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},	       {"core", "/proc/kcore"},
};

/*
 * Binds fd on name in /dev. In our own tmpfs nobody else has written; in a /dev
 * that is the image's, names are resolved as its own.
 */
static int place(const struct setup *setup, const char *name, int fd)
{
	cleanup_free char *path = NULL;
	cleanup_fd int target_fd = -1;

	if (setup->dev_fd >= 0) {
		if (mknodat(setup->dev_fd, name, S_IFREG | 0666, 0) < 0 &&
		    errno != EEXIST)
			return -errno;
		return mount_attach_at(fd, setup->dev_fd, name);
	}
	path = xasprintf("/dev/%s", name);
	target_fd = path_touch_in_root(setup->root_fd, path, 0666, NULL);
	return target_fd < 0 ? target_fd : mount_attach(fd, target_fd);
}

static int make_node(const struct setup *setup, const char *name,
		     struct error *err)
{
	char path[32] = "/dev/";
	cleanup_fd int fd = -1;
	int r;

	strncat(path, name, sizeof(path) - sizeof("/dev/"));
	fd = mount_clone(AT_FDCWD, path, false);
	r = fd < 0 ? fd : place(setup, name, fd);
	if (r < 0)
		return err_number(err, r, "cannot make the container's %s",
				  path);
	return 0;
}

static int make_links(const struct setup *setup, struct error *err)
{
	cleanup_fd int opened_fd = -1;
	int dev_fd = setup->dev_fd;

	if (dev_fd < 0) {
		opened_fd =
			path_mkdirs_in_root(setup->root_fd, "/dev", 0755, err);
		if (opened_fd < 0)
			return opened_fd;
		dev_fd = opened_fd;
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 &&
		    errno != EEXIST)
			return err_errno(err,
					 "cannot make the container's /dev/%s",
					 links[i].name);
	}
	return 0;
}

static bool is_standard(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		if (str_starts(path, "/dev/") &&
		    str_equal(path + strlen("/dev/"), nodes[i]))
			return true;
	}
	return false;
}

/* The host's node must be what the configuration speaks of. */
static int check_node(const struct spec_device *device, const char *source,
		      int fd, struct error *err)
{
	struct stat st;
	bool block = device->type == 'b';

	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot look at device %s", source);
	if (block ? !S_ISBLK(st.st_mode) : !S_ISCHR(st.st_mode))
		return err_set(err, ERROR_INVALID, "%s is not a %s device",
			       source, block ? "block" : "character");
	if (!device->source && (device->major || device->minor) &&
	    st.st_rdev != makedev(device->major, device->minor))
		return err_set(err, ERROR_INVALID,
			       "device %s is %u:%u here, not %u:%u", source,
			       major(st.st_rdev), minor(st.st_rdev),
			       device->major, device->minor);
	return 0;
}

static int make_fifo(const struct setup *setup,
		     const struct spec_device *device, struct error *err)
{
	cleanup_free char *parent = xstrdup(device->path);
	cleanup_fd int fd = -1;
	char *name = strrchr(parent, '/');

	*name++ = '\0';
	fd = path_mkdirs_in_root(setup->root_fd, *parent ? parent : "/", 0755,
				 err);
	if (fd < 0)
		return fd;
	if (mknodat(fd, name, S_IFIFO | device->mode, 0) < 0 ||
	    fchownat(fd, name, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) <
		    0)
		return err_errno(err, "cannot make the FIFO %s", device->path);
	return 0;
}

static int make_device(const struct setup *setup,
		       const struct spec_device *device, struct error *err)
{
	const char *source = device->source ? device->source : device->path;
	cleanup_fd int fd = -1;
	cleanup_fd int target_fd = -1;
	int r;

	if (device->type == 'p')
		return make_fifo(setup, device, err);
	if (!device->source && !setup->dev_is_foreign &&
	    is_standard(device->path))
		return 0;
	fd = mount_clone(AT_FDCWD, source, false);
	if (fd < 0)
		return err_number(err, fd, "cannot add device %s", source);
	r = check_node(device, source, fd, err);
	if (r < 0)
		return r;
	target_fd = path_touch_in_root(setup->root_fd, device->path, 0666, err);
	if (target_fd < 0)
		return err_wrap(err, "cannot add device %s", source);
	r = mount_attach(fd, target_fd);
	if (r < 0)
		return err_number(err, r, "cannot add device %s as %s", source,
				  device->path);
	return 0;
}

int devices_make(struct setup *setup, struct error *err)
{
	int r;

	for (size_t i = 0; !setup->dev_is_foreign && i < ARRAY_SIZE(nodes);
	     i++) {
		r = make_node(setup, nodes[i], err);
		if (r < 0)
			return r;
	}
	if (!setup->dev_is_foreign) {
		r = make_links(setup, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < setup->spec->device_count; i++) {
		r = make_device(setup, &setup->spec->devices[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int devices_make_console(struct setup *setup, struct error *err)
{
	const struct spec_process *process = &setup->spec->process;
	cleanup_fd int fd = -1;
	int r;

	if (!process->terminal)
		return 0;
	setup->master_fd = setup->devpts_fd >= 0
				   ? openat(setup->devpts_fd, "ptmx",
					    O_RDWR | O_NOCTTY | O_CLOEXEC)
				   : console_find_ptmx(setup->root_fd, err);
	if (setup->master_fd < 0 && setup->devpts_fd < 0)
		return setup->master_fd;
	if (setup->master_fd < 0)
		return err_errno(err, "cannot open a terminal");
	r = console_open(setup->master_fd, process->rows, process->columns,
			 &setup->slave_fd, err);
	if (r < 0)
		return r;
	r = console_adopt(setup->slave_fd, setup->launch.user.uid, err);
	if (r < 0)
		return r;
	fd = mount_clone(setup->slave_fd, "", false);
	r = fd < 0 ? fd : place(setup, "console", fd);
	if (r < 0)
		return err_number(err, r,
				  "cannot make the container's /dev/console");
	for (size_t i = 0; i < ARRAY_SIZE(setup->launch.stdio); i++)
		setup->launch.stdio[i] = setup->slave_fd;
	return 0;
}
