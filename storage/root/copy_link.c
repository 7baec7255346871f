/* Hard links of a copied tree. */
#include "storage/root/copy_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"

struct copy_link {
	dev_t dev; /* of the source */
	ino_t ino;
	dev_t copy_dev;
	ino_t copy_ino;
	char path[]; /* of the copy, below target_fd */
};

static int compare(const void *a, const void *b)
{
	const struct copy_link *left = a;
	const struct copy_link *right = b;

	if (left->dev != right->dev)
		return left->dev < right->dev ? -1 : 1;
	return (left->ino > right->ino) - (left->ino < right->ino);
}

int copy_link_find(struct copy *copy, const struct stat *st, int dir_fd,
		   const char *name)
{
	const struct copy_link key = {.dev = st->st_dev, .ino = st->st_ino};
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	const struct copy_link *const *found;
	cleanup_fd int fd = -1;
	char path[PATH_FD_MAX];
	struct stat copied;

	if (st->st_nlink < 2)
		return 0;
	found = tfind(&key, &copy->links, compare);
	if (!found)
		return 0;
	/* Is it still what we made? */
	fd = (int)syscall(SYS_openat2, copy->target_fd, (*found)->path, &how,
			  sizeof(how));
	if (fd < 0 || fstat(fd, &copied) < 0 ||
	    copied.st_dev != (*found)->copy_dev ||
	    copied.st_ino != (*found)->copy_ino)
		return 0;
	path_of_fd(path, fd);
	return linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

void copy_link_add(struct copy *copy, const struct stat *st, int dir_fd,
		   const char *name)
{
	struct copy_link *link;
	struct stat copied;
	void *node;

	if (st->st_nlink < 2 || copy->link_count >= COPY_LINKS_MAX ||
	    fstatat(dir_fd, name, &copied, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	link = xcalloc(1, sizeof(*link) + copy->path.length + 1);
	link->dev = st->st_dev;
	link->ino = st->st_ino;
	link->copy_dev = copied.st_dev;
	link->copy_ino = copied.st_ino;
	memcpy(link->path, str_text(&copy->path), copy->path.length);
	node = tsearch(link, &copy->links, compare);
	if (!node)
		str_oom();
	if (*(struct copy_link **)node != link)
		free(link);
	else
		copy->link_count++;
}

void copy_links_release(struct copy *copy)
{
	tdestroy(copy->links, free);
	copy->links = NULL;
}
