/* What the parts of the unpacker share, and the checker of what it made; nobody
   else includes it. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "storage/tar/unpack.h"

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

/*
 * A directory that entries were put into. Most lie where the one before them
 * does, or some levels above it again.
 */
#define UNPACK_PARENTS 8

struct unpack_parent {
	char *path; /* NULL: unused */
	size_t length;
	int fd;
	bool plain; /* what is made there belongs to 0:0 */
};

struct unpack {
	struct tar_reader *reader;
	int root_fd;
	const char *prefix; /* of all paths; NULL: it is a layer */
	struct unpack_result result;
	uint64_t size_max; /* bytes of all files */
	uint64_t left;

	struct unpack_parent parents[UNPACK_PARENTS];
	unsigned int next_parent; /* to be replaced */
	bool stale;		  /* something was removed or changed: they may
				     lead elsewhere now */
	bool plain_possible;
	bool plain; /* of the parent looked up last */

	struct unpack_directory *directories;
	size_t directory_count;
	size_t directory_room;
	uint64_t names; /* bytes of their paths */
	uint64_t device_names;

	enum unpack_marks marks;
};

void unpack_start_parents(struct unpack *unpack);
void unpack_forget_parents(struct unpack *unpack);
/*
 * The directory that holds path, made when missing, and the last name in path.
 * Borrowed, valid until the next call.
 */
int unpack_parent(struct unpack *unpack, const char *path, int *ret_fd,
		  const char **ret_name, struct error *err);

#define UNPACK_XATTR_OPAQUE "user.overlay.opaque"
#define UNPACK_OPAQUE	    "y" /* nothing of the lower layers shows */

/*
 * Names are limited, but links on the way may add up: a directory whose path
 * the kernel cannot tell is refused, that nobody else stumbles over it.
 */
int unpack_check_depth(int fd, const char *path, struct error *err);

/* Marks of the overlay; on `name` in parent_fd. */
bool unpack_is_whiteout(int parent_fd, const char *name, const struct stat *st);
int unpack_whiteout(struct unpack *unpack, const char *path, struct error *err);
/* path "" is the root. */
int unpack_opaque(struct unpack *unpack, const char *path, struct error *err);
int unpack_opaque_at(struct unpack *unpack, int parent_fd, const char *name,
		     const char *path, struct error *err);

/* Owner, mode, xattrs and time of what was just made; plain: owner and mode
   are right already. fd >= 0: a regular file
   open for writing, or a directory; -1: only `name` in parent_fd. */
int unpack_attributes(struct unpack *unpack, const struct tar_entry *entry,
		      bool plain, int fd, int parent_fd, const char *name,
		      struct error *err);

/* "cannot WHAT "path": …", from errno. */
int unpack_error(const struct tar_entry *entry, const char *what,
		 struct error *err);
