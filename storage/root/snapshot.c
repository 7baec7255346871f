#include "storage/root/snapshot_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "storage/store/digest.h"
#include "storage/store/layer.h"

#define LOG_MAX	       (64u << 10) /* bytes of fuse.log that are looked at */
#define END_TIMEOUT_MS 2000

const struct snapshot_operations *const snapshot_drivers[] = {
	&snapshot_overlay,
	&snapshot_fuse_overlayfs,
	NULL,
};

const struct snapshot_operations *
snapshot_operations_of(enum snapshot_driver driver)
{
	for (size_t i = 0; snapshot_drivers[i]; i++) {
		if (snapshot_drivers[i]->driver == driver)
			return snapshot_drivers[i];
	}
	return NULL;
}

int snapshot_driver_from_name(const char *name,
			      enum snapshot_driver *ret_driver,
			      struct error *err)
{
	struct str names = {0};

	if (str_empty(name) || str_equal(name, "auto")) {
		*ret_driver = SNAPSHOT_AUTO;
		return 0;
	}
	for (size_t i = 0; snapshot_drivers[i]; i++) {
		if (str_equal(name, snapshot_drivers[i]->name)) {
			*ret_driver = snapshot_drivers[i]->driver;
			str_release(&names);
			return 0;
		}
		str_appendf(&names, "%s%s", i > 0 ? ", " : "",
			    snapshot_drivers[i]->name);
	}
	err_set(err, ERROR_INVALID, "unknown storage driver \"%s\"", name);
	err_hint(err, "one of: auto, %s", str_text(&names));
	str_release(&names);
	return -EINVAL;
}

const char *snapshot_driver_name(enum snapshot_driver driver)
{
	const struct snapshot_operations *operations =
		snapshot_operations_of(driver);

	return operations ? operations->name : "auto";
}

int snapshot_place_fd(const struct snapshot *snapshot)
{
	return snapshot->view ? snapshot->view->place_fd
			      : snapshot->directory_fd;
}

int snapshot_lowers_of(const struct snapshot *snapshot,
		       struct snapshot_lowers *ret_lowers, struct error *err)
{
	size_t length = strv_length(snapshot->diff_ids);

	if (length > IMAGE_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "the image has %zu layers, more than %d", length,
			       IMAGE_LAYERS_MAX);
	ret_lowers->count = 0;
	ret_lowers->dir_fd = snapshot->store->layers_fd;
	for (size_t i = length; i-- > 0;) {
		const char *diff_id = snapshot->diff_ids[i];
		char *path = ret_lowers->paths[ret_lowers->count];
		bool seen = false;
		int r = digest_check(diff_id, "layer", err);

		if (r < 0)
			return r;
		snprintf(path, SNAPSHOT_LOWER_MAX, "%.64s/" LAYER_DIFF,
			 digest_hex(diff_id));
		for (size_t j = 0; j < ret_lowers->count && !seen; j++)
			seen = str_equal(ret_lowers->paths[j], path);
		if (!seen)
			ret_lowers->count++;
	}
	if (ret_lowers->count == 0) {
		ret_lowers->dir_fd = snapshot->directory_fd;
		ret_lowers->count = 1;
		snprintf(ret_lowers->paths[0], SNAPSHOT_LOWER_MAX,
			 SNAPSHOT_NONE);
	}
	return 0;
}

/* 1 when it was made, 0 when it was there. The umask has no say. */
static int make_directory(int dir_fd, const char *name, mode_t mode,
			  struct error *err)
{
	if (mkdirat(dir_fd, name, mode) < 0) {
		if (errno == EEXIST)
			return 0;
		return err_errno(err, "cannot make the container's %s", name);
	}
	if (fchmodat(dir_fd, name, mode, 0) < 0)
		return err_errno(err, "cannot set the mode of %s", name);
	return 1;
}

static int prepare_place(int place_fd, struct error *err)
{
	static const char *const names[] = {
		SNAPSHOT_MERGED,
		SNAPSHOT_NONE,
		SNAPSHOT_MORE,
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(names); i++)
		r = make_directory(place_fd, names[i], 0755, err);
	return r < 0 ? r : 0;
}

int snapshot_prepare(const struct snapshot *snapshot, struct error *err)
{
	int dir_fd = snapshot->directory_fd;
	int r;

	if (snapshot->view)
		return prepare_place(snapshot->view->place_fd, err);
	/* What "/" looks like, as docker has it: root's, 0755. */
	r = make_directory(dir_fd, SNAPSHOT_UPPER, 0755, err);
	if (r < 0)
		return r;
	r = make_directory(dir_fd, SNAPSHOT_MERGED, 0755, err);
	if (r < 0)
		return r;
	if (strv_length(snapshot->diff_ids) == 0) {
		r = make_directory(dir_fd, SNAPSHOT_NONE, 0755, err);
		if (r < 0)
			return r;
	}
	/* What a crash left in there makes overlay refuse it (volatile). */
	r = make_directory(dir_fd, SNAPSHOT_WORK, 0700, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tree_remove_at(dir_fd, SNAPSHOT_WORK, err);
	if (r < 0)
		return r;
	r = make_directory(dir_fd, SNAPSHOT_WORK, 0700, err);
	return r < 0 ? r : 0;
}

static const struct snapshot_operations *
operations_for(const struct snapshot *snapshot, struct error *err)
{
	const struct snapshot_operations *operations =
		snapshot_operations_of(snapshot->driver);

	if (!operations)
		err_set(err, ERROR_INVALID,
			"the container has no storage driver");
	return operations;
}

/*
 * The directory fd is open on, opened anew by its path: through the mounts of
 * the mount namespace we are in now.
 */
static int open_here(int fd, struct error *err)
{
	cleanup_fd int here = -1;
	char path[PATH_MAX];
	char link[PATH_FD_MAX];
	struct stat wanted, found;
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, path, sizeof(path));
	if (length < 0 || length >= (ssize_t)sizeof(path))
		return err_number(err, length < 0 ? errno : ENAMETOOLONG,
				  "cannot look up a directory of the store");
	path[length] = '\0';
	here = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || fstat(here, &found) < 0 || fstat(fd, &wanted) < 0)
		return err_errno(err, "cannot open %s", path);
	if (found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino)
		return err_number(err, ESTALE, "%s was replaced", path);
	return steal_fd(&here);
}

int snapshot_mount(const struct snapshot *snapshot, int *ret_fuse_fd,
		   struct error *err)
{
	const struct snapshot_operations *operations =
		operations_for(snapshot, err);
	cleanup_fd int directory_fd = -1;
	cleanup_fd int layers_fd = -1;
	cleanup_fd int place_fd = -1;
	struct snapshot here = *snapshot;
	struct snapshot_view view = {0};
	struct store store = *snapshot->store;
	int fuse_fd = -1;
	int r;

	if (!operations)
		return -EINVAL;
	directory_fd = open_here(snapshot->directory_fd, err);
	if (directory_fd < 0)
		return directory_fd;
	layers_fd = open_here(snapshot->store->layers_fd, err);
	if (layers_fd < 0)
		return layers_fd;
	place_fd = open_here(snapshot_place_fd(snapshot), err);
	if (place_fd < 0)
		return place_fd;
	here.directory_fd = directory_fd;
	here.store = &store;
	store.layers_fd = layers_fd;
	if (snapshot->view) {
		view = *snapshot->view;
		view.place_fd = place_fd;
		here.view = &view;
	}
	r = operations->mount(&here, &fuse_fd, err);
	if (r < 0)
		return r;
	*ret_fuse_fd = fuse_fd;
	return 0;
}

int snapshot_serve(const struct snapshot *snapshot, int fuse_fd,
		   struct error *err)
{
	const struct snapshot_operations *operations =
		operations_for(snapshot, err);

	if (!operations)
		return -EINVAL;
	if (!operations->serve)
		return err_set(err, ERROR_INVALID, "%s needs no server",
			       operations->name);
	return operations->serve(snapshot, fuse_fd, err);
}

/* The last line of the log; libfuse's first remark is on every start. */
static char *last_words(const struct snapshot *snapshot)
{
	cleanup_strv char **lines = NULL;
	cleanup_free char *text = NULL;
	size_t count;

	if (file_read_at(snapshot_place_fd(snapshot), SNAPSHOT_LOG, LOG_MAX,
			 &text, NULL, NULL) < 0)
		return NULL;
	lines = strv_split(text, '\n');
	for (count = strv_length(lines); count > 0; count--) {
		const char *line = lines[count - 1];

		if (line[0] != '\0' &&
		    !str_starts(line, "unknown argument ignored"))
			return xstrdup(line);
	}
	return NULL;
}

/* A process lets go of its files a little before it can be waited for. */
static void await_end(pid_t server)
{
	struct pollfd ended = {
		.fd = (int)syscall(SYS_pidfd_open, server, 0),
		.events = POLLIN,
	};

	if (ended.fd < 0)
		return;
	(void)!poll(&ended, 1, END_TIMEOUT_MS);
	close(ended.fd);
}

int snapshot_explain(const struct snapshot *snapshot, pid_t server,
		     struct error *err)
{
	const char *name = snapshot_driver_name(snapshot->driver);
	cleanup_free char *words = NULL;
	siginfo_t info = {0};

	/* What a look at the root gives when nobody has /dev/fuse any more. */
	if (err && (err->number == ENOTCONN || err->number == ECONNABORTED))
		await_end(server);
	if (waitid(P_PID, (id_t)server, &info, WEXITED | WNOHANG | WNOWAIT) <
		    0 ||
	    info.si_pid == 0)
		return 0;
	words = last_words(snapshot);
	if (info.si_code != CLD_EXITED)
		return err_set(err, ERROR_GENERIC, "%s was ended by %s", name,
			       signal_name(info.si_status));
	return err_set(err, ERROR_GENERIC, "%s ended with status %d: %s", name,
		       info.si_status, words ? words : "it said nothing");
}

int snapshot_remove(const struct snapshot *snapshot, struct error *err)
{
	static const char *const parts[] = {
		SNAPSHOT_MERGED, SNAPSHOT_WORK, SNAPSHOT_UPPER,
		SNAPSHOT_NONE,	 SNAPSHOT_LOG,
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = tree_remove_at(snapshot->directory_fd, parts[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}
