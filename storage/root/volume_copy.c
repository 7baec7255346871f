/* volume_copy_up() of storage/root/volume.h. */
#include "storage/root/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/root/copy.h"
#include "storage/tar/sync_tree.h"

#define FILLING	     ".moss-filling"
#define LOCK_STEP_MS 10
#define LOCK_TRIES   12000 /* two minutes; then someone in there sits on it */

/*
 * Another container may have the volume mounted and could lock its root for
 * ever, so this does not wait for ever.
 */
static int lock(int fd, struct error *err)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, "cannot lock the volume");
		nanosleep(&step, NULL);
	}
	err_set(err, ERROR_TIMEOUT,
		"the volume has been locked for %d seconds by a container "
		"that uses or fills it",
		LOCK_TRIES * LOCK_STEP_MS / 1000);
	return err_hint(err, "mount it with \"nocopy\" to leave it as it is");
}

static int look_for_content(int volume_fd, bool *ret_empty, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(volume_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret_empty = true;
	if (fd < 0)
		return err_errno(err, "cannot open the volume");
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot open the volume");
	}
	while (errno = 0, (entry = readdir(dir))) {
		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, "..") ||
		    str_equal(entry->d_name, FILLING))
			continue;
		*ret_empty = false;
		return 0;
	}
	return errno != 0 ? err_errno(err, "cannot read the volume") : 0;
}

/*
 * Is there anything in it? *ret_filling: with the mark of a copy that goes on
 * or broke off. The mark is there before the first entry and goes after the
 * last one, so it is looked for after the content: the other way round a copy
 * that begins in between would pass for a whole one.
 */
static int look(int volume_fd, bool *ret_empty, bool *ret_filling,
		struct error *err)
{
	int r = look_for_content(volume_fd, ret_empty, err);

	*ret_filling =
		faccessat(volume_fd, FILLING, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return r;
}

static int mark(int volume_fd, struct error *err)
{
	cleanup_fd int fd =
		openat(volume_fd, FILLING,
		       O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, "cannot write to the volume");
	return 0;
}

static int fill(int volume_fd, int source_fd, bool again, struct error *err)
{
	const struct copy_request request = {.flags = again ? COPY_REPLACE : 0};
	static const char *const all[] = {".", NULL};
	struct copy_report report;
	int r = copy_tree(source_fd, volume_fd, &request, &report, err);

	if (r < 0)
		return r;
	/* An unfinished copy must not pass for a whole one after a crash. */
	if (report.entries > 0)
		r = sync_trees(volume_fd, all, "the volume", err);
	if (r < 0)
		return r;
	if (unlinkat(volume_fd, FILLING, 0) < 0)
		return err_errno(err, "cannot write to the volume");
	return 0;
}

int volume_copy_up(const struct volume *volume, int source_fd,
		   struct error *err)
{
	cleanup_fd int fd = -1;
	bool empty, filling;
	int r;

	fd = open(volume->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open the volume %s",
				 volume->path);
	/* Mostly there is content and no need for a lock. */
	r = look(fd, &empty, &filling, err);
	if (r < 0 || (!empty && !filling))
		return r;
	r = lock(fd, err);
	if (r >= 0)
		r = look(fd, &empty, &filling, err);
	if (r < 0 || (!empty && !filling))
		return r;
	r = mark(fd, err);
	if (r >= 0)
		r = fill(fd, source_fd, filling, err);
	if (r < 0)
		err_wrap(err, "cannot fill the volume from the image");
	return r;
}
