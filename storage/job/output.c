#include "storage/job/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

int output_error(int number, const char *name, struct error *err)
{
	int r = err_number(err, number, "cannot write %s", name);

	if (err && err->kind == ERROR_NO_SPACE)
		err_hint(err, "free some space, or write it somewhere else");
	return r;
}

int output_put(void *data, const void *bytes, size_t length, struct error *err)
{
	const struct output *output = data;
	int r = write_all(output->fd, bytes, length);

	return r < 0 ? output_error(r, output->name, err) : 0;
}

void output_parent_release(struct output_parent *parent)
{
	close_fd(&parent->fd);
	free(parent->name);
	free(parent->temporary);
}

int output_parent_open(const char *path, struct output_parent *ret_parent,
		       struct error *err)
{
	cleanup_free char *clean = path_clean(path);
	char *slash = strrchr(clean, '/');
	unsigned char random[8];
	char hex[2 * sizeof(random) + 1];
	int fd;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_errno(err, "cannot get random bytes");
	hex_encode(hex, random, sizeof(random));
	if (slash)
		*slash = '\0';
	fd = open(!slash	   ? "."
		  : slash == clean ? "/"
				   : clean,
		  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open the directory of %s", path);
	*ret_parent = (struct output_parent){
		.fd = fd,
		.name = xstrdup(slash ? slash + 1 : clean),
		.temporary = xasprintf(".tmp-%s", hex),
	};
	return 0;
}

/* Nameless where the file system can, so that a killed job leaves nothing. */
static int open_temporary(const struct output_parent *parent, bool *ret_named)
{
	int fd =
		openat(parent->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	*ret_named = false;
	if (fd >= 0)
		return fd;
	*ret_named = true;
	fd = openat(parent->fd, parent->temporary,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int name_file(const struct output_parent *parent, int fd, bool named)
{
	char path[PATH_FD_MAX];

	path_of_fd(path, fd);
	if (fsync(fd) < 0)
		return -errno;
	/* A link cannot take a name that is in use, a rename can. */
	if (!named && linkat(AT_FDCWD, path, parent->fd, parent->temporary,
			     AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (renameat(parent->fd, parent->temporary, parent->fd, parent->name) <
	    0) {
		int r = -errno;

		unlinkat(parent->fd, parent->temporary, 0);
		return r;
	}
	return fsync(parent->fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int write_special(const char *path, output_writer write, void *data,
			 struct error *err)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	struct output output = {fd, path};

	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	return write(data, &output, err);
}

int output_to_file(const char *path, output_writer write, void *data,
		   struct error *err)
{
	CLEANUP(output_parent_release) struct output_parent parent = {.fd = -1};
	struct output output = {-1, path};
	cleanup_fd int fd = -1;
	bool named = false;
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		err_set(err, ERROR_INVALID, "%s is a directory", path);
		return err_hint(err, "name a file in it");
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return write_special(path, write, data, err);
	r = output_parent_open(path, &parent, err);
	if (r < 0)
		return r;
	fd = open_temporary(&parent, &named);
	if (fd < 0) {
		r = fd;
		fd = -1;
		return output_error(r, path, err);
	}
	output.fd = fd;
	r = write(data, &output, err);
	if (r < 0) {
		if (named)
			unlinkat(parent.fd, parent.temporary, 0);
		return r;
	}
	r = name_file(&parent, fd, named);
	return r < 0 ? output_error(r, path, err) : 0;
}
