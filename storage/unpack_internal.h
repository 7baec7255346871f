/* What the parts of the unpacker share, and the checker of what it made; nobody
   else includes it. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "storage/unpack.h"

/* A directory's time is set last: what is put into it changes it. */
struct unpack_directory {
	char *path;
	struct timespec mtime;
};

enum unpack_marks {
	MARKS_UNKNOWN,
	MARKS_DEVICE, /* whiteouts are 0:0 devices */
	MARKS_XATTR,
};

struct unpack {
	struct tar_reader *reader;
	int root_fd;
	struct unpack_result result;

	char *parent; /* path of parent_fd; NULL: none is open */
	int parent_fd;
	bool stale; /* something was removed: it may lead elsewhere now */

	struct unpack_directory *directories;
	size_t directory_count;
	size_t directory_room;
	uint64_t names; /* bytes of their paths */
	uint64_t device_names;

	enum unpack_marks marks;
};

/*
 * The directory that holds path, made when missing, and the last name in path.
 * Borrowed, valid until the next call.
 */
int unpack_parent(struct unpack *unpack, const char *path, int *ret_fd,
		  const char **ret_name, struct error *err);

#define UNPACK_XATTR_OPAQUE "user.overlay.opaque"
#define UNPACK_OPAQUE	    "y" /* nothing of the lower layers shows */

/* Marks of the overlay; on `name` in parent_fd. */
bool unpack_is_whiteout(int parent_fd, const char *name, const struct stat *st);
int unpack_whiteout(struct unpack *unpack, const char *path, struct error *err);
/* path "" is the root. */
int unpack_opaque(struct unpack *unpack, const char *path, struct error *err);
int unpack_opaque_at(struct unpack *unpack, int parent_fd, const char *name,
		     const char *path, struct error *err);

/* Owner, mode, xattrs and time of what was just made. fd >= 0: a regular file
   open for writing, or a directory; -1: only `name` in parent_fd. */
int unpack_attributes(struct unpack *unpack, const struct tar_entry *entry,
		      int fd, int parent_fd, const char *name,
		      struct error *err);

/* "cannot WHAT "path": …", from errno. */
int unpack_error(const struct tar_entry *entry, const char *what,
		 struct error *err);
