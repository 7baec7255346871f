/*
 * moss-image diff: what a container has changed in its image's root, told one
 * by one on standard output, a record each: 'A' (new), 'C' (changed) or 'D'
 * (gone), the path from "/" on, a NUL.
 *
 * upper/ is walked (storage/root/diff.h) and compared with a view of the layers
 * alone. A directory counts as changed when its attributes differ, or when
 * something in it has changed; it comes before that. Of a directory that was
 * made anew in the place of another, what is missing in it is gone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/confine.h"
#include "storage/job/output.h"
#include "storage/root/diff.h"
#include "storage/root/root_job.h"

#define BUFFER_SIZE (64u << 10)

struct changes {
	struct root_job below; /* the layers alone */
	int upper_fd;
	struct output output;
	struct str buffer;
	/* Directories on the way to the present item that are not told yet. */
	char **pending;
};

static void changes_release(struct changes *changes)
{
	root_job_release(&changes->below);
	close_fd(&changes->upper_fd);
	str_release(&changes->buffer);
	strv_free(changes->pending);
}

/* 0 and what the layers have at path, or -ENOENT. */
static int look_below(const struct changes *changes, const char *path,
		      struct stat *ret_st)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	cleanup_fd int fd =
		(int)syscall(SYS_openat2, changes->below.view.root_fd, path,
			     &how, sizeof(how));

	return fd >= 0 && fstat(fd, ret_st) == 0 ? 0 : -ENOENT;
}

static int flush(struct changes *changes, struct error *err)
{
	int r = output_put(&changes->output, changes->buffer.data,
			   changes->buffer.length, err);

	str_clear(&changes->buffer);
	return r;
}

static int put(struct changes *changes, char kind, const char *path,
	       struct error *err)
{
	str_append_char(&changes->buffer, kind);
	str_append_char(&changes->buffer, '/');
	str_append_bytes(&changes->buffer, path, strlen(path) + 1);
	return changes->buffer.length < BUFFER_SIZE ? 0 : flush(changes, err);
}

/* With the directories that it makes changed ones. */
static int tell(struct changes *changes, char kind, const char *path,
		struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(changes->pending); i++)
		r = put(changes, 'C', changes->pending[i], err);
	strv_free(changes->pending);
	changes->pending = NULL;
	return r < 0 ? r : put(changes, kind, path, err);
}

static bool is_below(const char *path, const char *directory)
{
	return str_starts(path, directory) && path[strlen(directory)] == '/';
}

/* The walk has left those that path is not in. */
static void leave(struct changes *changes, const char *path)
{
	size_t count = strv_length(changes->pending);

	while (count > 0 && !is_below(path, changes->pending[count - 1])) {
		free(changes->pending[--count]);
		changes->pending[count] = NULL;
	}
}

static bool is_equal(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       a->st_gid == b->st_gid &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int on_entry(struct changes *changes, const char *path,
		    const struct tree_item *item, struct error *err)
{
	struct stat st;

	if (look_below(changes, path, &st) < 0)
		return tell(changes, 'A', path, err);
	if (S_ISDIR(st.st_mode) && is_equal(&st, &item->st)) {
		strv_push(&changes->pending, path);
		return 0;
	}
	return tell(changes, 'C', path, err);
}

/* What the layers have in the directory and its successor has not. */
static int on_opaque(struct changes *changes, const char *path,
		     const struct tree_item *item, struct error *err)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, changes->below.view.root_fd, path,
			      &how, sizeof(how));
	cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int r = 0;

	/* It was no directory. */
	if (!dir)
		return 0;
	while (r == 0 && (entry = readdir(dir))) {
		cleanup_free char *gone = NULL;
		struct stat st;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, "..") ||
		    fstatat(item->fd, entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		gone = xasprintf("%s/%s", path, entry->d_name);
		r = tell(changes, 'D', gone, err);
	}
	return r;
}

static int on_change(void *data, enum diff_kind kind, const char *path,
		     const struct tree_item *item, struct error *err)
{
	struct changes *changes = data;
	struct stat st;

	if (kind != DIFF_OPAQUE)
		leave(changes, path);
	switch (kind) {
	case DIFF_ENTRY:
		return on_entry(changes, path, item, err);
	case DIFF_OPAQUE:
		return on_opaque(changes, path, item, err);
	case DIFF_REMOVED:
		break;
	}
	/* A mark may stand over nothing. */
	return look_below(changes, path, &st) < 0
		       ? 0
		       : tell(changes, 'D', path, err);
}

static int walk(struct changes *changes, struct error *err)
{
	struct job *job = changes->below.job;
	struct diff_request request = {
		.store = &job->store,
		.diff_ids = changes->below.diff_ids,
	};
	int r = snapshot_driver_from_name(job_string(job, "driver"),
					  &request.driver, err);

	if (r == 0)
		r = diff_walk(changes->upper_fd, &request, on_change, changes,
			      err);
	return r < 0 ? r : flush(changes, err);
}

int diff_run(struct job *job, struct error *err)
{
	CLEANUP(changes_release)
	struct changes changes = {
		.below = ROOT_JOB_EMPTY,
		.upper_fd = -1,
		.output = {JOB_OUTPUT, "standard output"},
	};
	const char *path = job_string(job, "upper");
	int r;

	if (!path)
		return err_set(err, ERROR_INVALID,
			       "diff: no changes are given");
	changes.upper_fd =
		open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* A container that was never started has none. */
	if (changes.upper_fd < 0 && errno == ENOENT)
		return 0;
	if (changes.upper_fd < 0)
		return err_errno(err, "cannot open %s", path);
	r = root_job_open(job, false, &changes.below, err);
	if (r < 0)
		return r;
	confine_writes(job->store.root_fd);
	return walk(&changes, err);
}
