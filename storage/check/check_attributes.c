/* Types, modes, owners and extended attributes of storage/check/check_tree.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/check/check_tree_internal.h"
#include "storage/store/layer.h"
#include "storage/store/limits.h"
#include "storage/tar/unpack_internal.h"

#define MAP_TEXT_MAX	(64u << 10)
#define NAMES_MAX	(64u << 10) /* XATTR_LIST_MAX */
#define CAPABILITY	"security.capability"
#define CAPABILITY_HEAD 4 /* revision, which the kernel changes, and flags */
#define CAPABILITY_SETS 16
#define CAPABILITY_FLAG 1 /* of the first byte: effective */

static void read_map(const char *path, struct id_ranges *ranges)
{
	cleanup_free char *text = NULL;
	char *at;

	if (file_read_at(AT_FDCWD, path, MAP_TEXT_MAX, &text, NULL, NULL) < 0)
		return;
	for (at = text; at && *at && ranges->count < MAP_LINES_MAX;) {
		unsigned int first = 0;
		unsigned int outside = 0;
		unsigned int count = 0;

		if (sscanf(at, "%u %u %u", &first, &outside, &count) == 3) {
			ranges->ranges[ranges->count].first = first;
			ranges->ranges[ranges->count++].count = count;
		}
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
}

void checker_read_maps(struct checker *checker)
{
	read_map("/proc/self/uid_map", &checker->uids);
	read_map("/proc/self/gid_map", &checker->gids);
}

/* What has no ID here was given to root. */
static uint32_t as_mapped(const struct id_ranges *ranges, uint32_t id)
{
	for (size_t i = 0; i < ranges->count; i++) {
		if (id >= ranges->ranges[i].first &&
		    id - ranges->ranges[i].first < ranges->ranges[i].count)
			return id;
	}
	return 0;
}

bool checker_has_type(const struct model_link *link, int directory_fd,
		      const struct stat *st)
{
	const struct model_node *node = link->node;
	bool whiteout = unpack_is_whiteout(directory_fd, link->name, st);

	switch (node->type) {
	case MODEL_FILE:
		return S_ISREG(st->st_mode) && !whiteout;
	case MODEL_DIRECTORY:
		return S_ISDIR(st->st_mode);
	case MODEL_SYMLINK:
		return S_ISLNK(st->st_mode);
	case MODEL_FIFO:
		return S_ISFIFO(st->st_mode);
	case MODEL_WHITEOUT:
		return whiteout;
	case MODEL_DEVICE:
		if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
			return !whiteout && st->st_rdev == node->device;
		return S_ISREG(st->st_mode) && st->st_size == 0 && !whiteout;
	}
	return false;
}

static void compare_target(struct checker *checker, struct model_link *link,
			   int directory_fd)
{
	char target[TAR_PATH_MAX];
	ssize_t length =
		readlinkat(directory_fd, link->name, target, sizeof(target));

	if (length < 0 || (size_t)length != strlen(link->node->target) ||
	    memcmp(target, link->node->target, (size_t)length) != 0)
		checker_report(checker, link, NULL, "leads elsewhere");
}

/* A directory without an entry may have got its group from the one above. */
static void compare_owner(struct checker *checker, struct model_link *link,
			  const struct stat *st)
{
	uint32_t uid = as_mapped(&checker->uids, link->node->uid);
	uint32_t gid = as_mapped(&checker->gids, link->node->gid);

	if (st->st_uid != uid || (st->st_gid != gid && !link->node->implied))
		checker_report(checker, link, NULL,
			       "belongs to %u:%u instead of %u:%u",
			       (unsigned int)st->st_uid,
			       (unsigned int)st->st_gid, uid, gid);
}

static void compare_mode(struct checker *checker, struct model_link *link,
			 const struct stat *st)
{
	const struct model_node *node = link->node;
	mode_t ignored = node->implied ? S_ISGID : 0;

	if ((st->st_mode & 07777 & ~ignored) != node->mode)
		checker_report(checker, link, NULL,
			       "has mode %04o instead of %04o",
			       (unsigned int)(st->st_mode & 07777),
			       (unsigned int)node->mode);
}

/* Of a capability what counts: the kernel writes the rest as it likes. */
static bool same_value(const struct tar_xattr *xattr, const char *value,
		       size_t length)
{
	const char *expected = xattr->value;

	if (str_equal(xattr->name, CAPABILITY) &&
	    length >= CAPABILITY_HEAD + CAPABILITY_SETS &&
	    xattr->length >= CAPABILITY_HEAD + CAPABILITY_SETS)
		return ((*value ^ *expected) & CAPABILITY_FLAG) == 0 &&
		       memcmp(value + CAPABILITY_HEAD,
			      expected + CAPABILITY_HEAD, CAPABILITY_SETS) == 0;
	return length == xattr->length &&
	       memcmp(value, xattr->value, length) == 0;
}

/* Could it have been kept? Then its absence is a loss. */
static bool can_be_kept(const struct checker *checker,
			const struct tar_xattr *xattr)
{
	int fd = checker->check->scratch_fd;

	if (fd < 0 ||
	    fsetxattr(fd, xattr->name, xattr->value, xattr->length, 0) < 0)
		return false;
	fremovexattr(fd, xattr->name);
	return true;
}

static const struct tar_xattr *find_xattr(const struct model_node *node,
					  const char *name)
{
	for (size_t i = 0; i < node->xattr_count; i++) {
		if (str_equal(node->xattrs[i].name, name))
			return &node->xattrs[i];
	}
	return NULL;
}

/* An attribute that is there. */
static void compare_present(struct checker *checker, struct model_link *link,
			    const char *path, const char *name)
{
	const struct tar_xattr *xattr = find_xattr(link->node, name);
	char value[TAR_XATTR_MAX];
	ssize_t length;

	/* The overlay's marks are looked at elsewhere; others' (security
	   modules', ACLs) are not of the layer. */
	if (!xattr && !layer_keeps_xattr(name))
		return;
	length = lgetxattr(path, name, value, sizeof(value));
	if (!xattr)
		checker_report(checker, link, NULL,
			       "has an extended attribute %.64s of its own",
			       name);
	else if (length < 0 || !same_value(xattr, value, (size_t)length))
		checker_report(checker, link, NULL,
			       "has another extended attribute %.64s", name);
}

static bool is_listed(const char *names, size_t length, const char *name)
{
	for (size_t at = 0; at < length; at += strlen(names + at) + 1) {
		if (str_equal(names + at, name))
			return true;
	}
	return false;
}

static void compare_xattrs(struct checker *checker, struct model_link *link,
			   const char *path)
{
	const struct model_node *node = link->node;
	cleanup_free char *names = xrealloc(NULL, NAMES_MAX + 1, 1);
	ssize_t listed = llistxattr(path, names, NAMES_MAX);
	size_t length = listed > 0 ? (size_t)listed : 0;

	names[length] = '\0';
	for (size_t at = 0; at < length; at += strlen(names + at) + 1)
		compare_present(checker, link, path, names + at);
	for (size_t i = 0; i < node->xattr_count; i++) {
		const struct tar_xattr *xattr = &node->xattrs[i];

		if (!layer_keeps_xattr(xattr->name) ||
		    is_listed(names, length, xattr->name) ||
		    (str_equal(xattr->name, CAPABILITY) &&
		     node->type != MODEL_FILE) ||
		    !can_be_kept(checker, xattr))
			continue;
		checker_report(checker, link, NULL,
			       "has lost its extended attribute %.64s",
			       xattr->name);
	}
}

static void compare_opaque(struct checker *checker, struct model_link *link,
			   const char *path)
{
	char mark[4];
	ssize_t length =
		lgetxattr(path, UNPACK_XATTR_OPAQUE, mark, sizeof(mark));
	bool opaque = length == 1 && *mark == *UNPACK_OPAQUE;

	if (opaque != link->node->opaque)
		checker_report(checker, link, NULL,
			       opaque ? "is opaque and should not be"
				      : "is not opaque and should be");
}

void checker_attributes(struct checker *checker, struct model_link *link,
			int directory_fd, const struct stat *st)
{
	const struct model_node *node = link->node;
	cleanup_free char *path = NULL;
	char directory[PATH_FD_MAX];

	if (node->type == MODEL_SYMLINK)
		compare_target(checker, link, directory_fd);
	else
		compare_mode(checker, link, st);
	compare_owner(checker, link, st);
	if (node->type != MODEL_FILE && node->type != MODEL_DIRECTORY)
		return;
	path_of_fd(directory, directory_fd);
	path = xasprintf("%s/%s", directory, *link->name ? link->name : ".");
	compare_xattrs(checker, link, path);
	if (node->type == MODEL_DIRECTORY)
		compare_opaque(checker, link, path);
}
