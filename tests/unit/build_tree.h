/* Small directory trees for the tests of contexts. */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

struct tree {
	char path[64];
	int fd;
};

static inline void tree_make(struct tree *tree)
{
	strcpy(tree->path, "/tmp/moss-build-XXXXXX");
	assert_non_null(mkdtemp(tree->path));
	tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree->fd >= 0);
}

static inline void tree_remove(struct tree *tree)
{
	close_fd(&tree->fd);
	assert_int_equal(tree_remove_at(AT_FDCWD, tree->path, NULL), 0);
}

static inline void tree_directories(const struct tree *tree, const char *path)
{
	cleanup_free char *copy = xstrdup(path);
	char *slash = strrchr(copy, '/');

	if (!slash)
		return;
	*slash = '\0';
	assert_int_equal(path_mkdirs_at(tree->fd, copy, 0755, NULL), 0);
}

/* "d/": a directory; "d/f=text": a file; "l>target": a link; "p|": a FIFO. */
static inline void tree_add(const struct tree *tree, const char *what)
{
	cleanup_free char *path = xstrdup(what);
	char *at = path + strcspn(path, "=>|");
	char kind = *at;
	cleanup_fd int fd = -1;

	*at = '\0';
	tree_directories(tree, path);
	if (kind == '>') {
		assert_int_equal(symlinkat(at + 1, tree->fd, path), 0);
	} else if (kind == '|') {
		assert_int_equal(mkfifoat(tree->fd, path, 0644), 0);
	} else if (kind == '=') {
		fd = openat(tree->fd, path,
			    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		assert_int_equal(fchmod(fd, 0644), 0);
		assert_int_equal(write_all(fd, at + 1, strlen(at + 1)), 0);
	}
}

/* Several, with spaces between. */
static inline void tree_fill(const struct tree *tree, const char *list)
{
	cleanup_strv char **all = strv_split(list, ' ');

	for (size_t i = 0; all[i]; i++)
		tree_add(tree, all[i]);
}
