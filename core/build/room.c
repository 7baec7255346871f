#include "core/build/room.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

#define ROOM_OPTIONS "mode=0711,size=64m,nr_inodes=1k"
#define BACKLOG	     16

static int mount_room(const char *path, struct error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_errno(err, "cannot make a mount namespace");
	/* What the host mounts later still comes in. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_errno(err, "cannot make the mounts private");
	if (mount("room", path, "tmpfs", MS_NOSUID | MS_NODEV, ROOM_OPTIONS) <
	    0)
		return err_errno(err, "cannot mount a tmpfs on %s", path);
	return 0;
}

int room_open(const struct store_work *work, struct room *ret_room,
	      struct error *err)
{
	cleanup_free char *name = xasprintf("room-%d", (int)getpid());
	cleanup_free char *path =
		xasprintf("%s/tmp/%s/%s", work->store->path, work->name, name);
	int fd, r;

	if (mkdirat(work->fd, name, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make %s", path);
	r = mount_room(path, err);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	*ret_room = (struct room){.path = steal_ptr(&path), .fd = fd};
	return 0;
}

void room_close(struct room *room)
{
	close_fd(&room->fd);
	if (room->path) {
		umount2(room->path, MNT_DETACH);
		rmdir(room->path);
	}
	free(room->path);
	*room = (struct room)ROOM_NONE;
}

static int give(const struct room *room, const char *name,
		const struct room_owner *owner, struct error *err)
{
	if (fchownat(room->fd, name, owner->uid, owner->gid,
		     AT_SYMLINK_NOFOLLOW) < 0 &&
	    !(owner->single_id && errno == EINVAL))
		return err_errno(err, "cannot give it to %u:%u", owner->uid,
				 owner->gid);
	/* After the owner, whose change takes set-ID bits away. */
	if (fchmodat(room->fd, name, owner->mode, 0) < 0)
		return err_errno(err, "cannot set its mode");
	return 0;
}

int room_write(const struct room *room, const char *name, const void *bytes,
	       size_t length, const struct room_owner *owner, struct error *err)
{
	cleanup_fd int fd = openat(
		room->fd, name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a file in memory");
	r = write_all(fd, bytes, length);
	if (r < 0)
		return err_number(err, r, "cannot write a file in memory");
	return give(room, name, owner, err);
}

int room_listen(const struct room *room, const char *name,
		const struct room_owner *owner, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char directory[PATH_FD_MAX];
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a socket");
	/* The path itself may be too long for an address. */
	path_of_fd(directory, room->fd);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.40s/%.40s",
		 directory, name);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_errno(err, "cannot make a socket in memory");
	r = give(room, name, owner, err);
	return r < 0 ? r : steal_fd(&fd);
}
