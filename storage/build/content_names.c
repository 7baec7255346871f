#include "storage/build/content_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "storage/store/limits.h"

void content_names_release(struct content_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->list[i].name);
		free(names->list[i].link);
	}
	free(names->list);
	*names = (struct content_names){0};
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct content_name *)a)->name,
		      ((const struct content_name *)b)->name);
}

static char *read_link(int dir_fd, const char *name)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(dir_fd, name, target, sizeof(target));

	return length > 0 && (size_t)length < sizeof(target)
		       ? xstrndup(target, (size_t)length)
		       : NULL;
}

/* 1: it is gone, or becoming something else. */
static int look(int dir_fd, const char *name, struct content_name *ret_name)
{
	struct content_name found = {0};

	if (fstatat(dir_fd, name, &found.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -errno;
	if (S_ISLNK(found.st.st_mode)) {
		found.link = read_link(dir_fd, name);
		if (!found.link)
			return 1;
	}
	found.name = xstrdup(name);
	*ret_name = found;
	return 0;
}

static int read_all(DIR *dir, const struct content_request *request,
		    const char *real, content_wanted wanted, void *data,
		    struct content_names *names, struct error *err)
{
	const struct dirent *entry;
	uint64_t held = 0;
	size_t room = 0;

	while (errno = 0, (entry = readdir(dir))) {
		const char *name = entry->d_name;
		int verdict;
		int r;

		if (str_equal(name, ".") || str_equal(name, ".."))
			continue;
		verdict = wanted(data, name, entry->d_type);
		if (verdict == 0)
			continue;
		held += strlen(name) + sizeof(*names->list);
		if (held > LAYER_NAMES_MAX)
			return content_unreadable(request, real, EOVERFLOW,
						  err);
		if (names->count == room) {
			room = room ? 2 * room : 64;
			names->list = xrealloc(names->list, room,
					       sizeof(*names->list));
		}
		r = look(dirfd(dir), name, &names->list[names->count]);
		if (r < 0)
			return content_unreadable(request, real, r, err);
		if (r == 0)
			names->list[names->count++].wanted = verdict;
	}
	return errno == 0 ? 0 : content_unreadable(request, real, errno, err);
}

int content_names_read(const struct content_request *request, const char *real,
		       content_wanted wanted, void *data,
		       struct content_names *ret_names, struct error *err)
{
	cleanup_content_names struct content_names names = {0};
	cleanup_dir DIR *dir = NULL;
	int fd = path_open_exact(request->root_fd, *real ? real : ".",
				 O_RDONLY | O_DIRECTORY);
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) {
		*ret_names = names;
		return 0;
	}
	if (fd < 0)
		return content_unreadable(request, real, fd, err);
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return content_unreadable(request, real, ENOMEM, err);
	}
	r = read_all(dir, request, real, wanted, data, &names, err);
	if (r < 0)
		return r;
	if (names.count > 1)
		qsort(names.list, names.count, sizeof(*names.list), compare);
	*ret_names = names;
	names = (struct content_names){0};
	return 0;
}
