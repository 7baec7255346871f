#include "storage/tar/tar_xattrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/layer.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_writer.h"

/* Their names one after the other; caller frees. 0 when there are none. */
static ssize_t list_names(int fd, char **ret_names)
{
	cleanup_free char *names = NULL;
	ssize_t length = flistxattr(fd, NULL, 0);

	if (length <= 0)
		return length < 0 && errno != EOPNOTSUPP && errno != ENODATA
			       ? -errno
			       : 0;
	names = xcalloc((size_t)length + 1, 1);
	length = flistxattr(fd, names, (size_t)length);
	/* It grew in between. */
	if (length < 0)
		return errno == ERANGE ? 0 : -errno;
	*ret_names = steal_ptr(&names);
	return length;
}

bool tar_xattrs_any(int fd)
{
	cleanup_free char *names = NULL;
	ssize_t length = list_names(fd, &names);

	for (const char *name = names; name && name < names + length;
	     name += strlen(name) + 1) {
		if (layer_keeps_xattr(name))
			return true;
	}
	return false;
}

void tar_xattrs_free(struct tar_xattr *xattrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(xattrs[i].name);
		free(xattrs[i].value);
	}
	free(xattrs);
}

static void add(struct tar_xattr **xattrs, size_t *count, const char *name,
		const char *value, size_t length)
{
	struct tar_xattr xattr = {
		.name = xstrdup(name),
		.value = xcalloc(length + 1, 1),
		.length = length,
	};

	memcpy(xattr.value, value, length);
	*xattrs = xrealloc(*xattrs, *count + 1, sizeof(**xattrs));
	(*xattrs)[(*count)++] = xattr;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct tar_xattr *)a)->name,
		      ((const struct tar_xattr *)b)->name);
}

int tar_xattrs_read(int fd, struct tar_xattr **ret_xattrs, size_t *ret_count,
		    uint64_t *ret_skipped)
{
	cleanup_free char *names = NULL;
	cleanup_free char *value = NULL;
	struct tar_xattr *xattrs = NULL;
	size_t count = 0;
	uint64_t skipped = 0;
	size_t room = TAR_XATTR_ROOM;
	ssize_t length = list_names(fd, &names);

	if (length < 0)
		return (int)length;
	if (names)
		value = xcalloc(TAR_XATTR_MAX, 1);
	for (const char *name = names; name && name < names + length;
	     name += strlen(name) + 1) {
		ssize_t size;

		if (layer_xattr_is_private(name))
			continue;
		size = layer_keeps_xattr(name)
			       ? fgetxattr(fd, name, value, TAR_XATTR_MAX)
			       : -1;
		if (size < 0 || count == TAR_XATTRS_MAX ||
		    !tar_xattr_fits(name, (size_t)size, &room)) {
			skipped++;
			continue;
		}
		add(&xattrs, &count, name, value, (size_t)size);
	}
	/* A file system lists them in any order. */
	if (count > 1)
		qsort(xattrs, count, sizeof(*xattrs), compare);
	*ret_xattrs = xattrs;
	*ret_count = count;
	if (ret_skipped)
		*ret_skipped = skipped;
	return 0;
}
