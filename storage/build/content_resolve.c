#include "storage/build/content_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "storage/store/limits.h"

#define LINKS_MAX 40 /* as the kernel */

/* `rest` is still to be walked from `real`, which has no link in it. */
struct walk {
	const struct content_request *request;
	struct str real;
	struct str rest;
	unsigned int links;
	struct stat st; /* of real */
};

static void walk_release(struct walk *walk)
{
	str_release(&walk->real);
	str_release(&walk->rest);
}

int content_not_found(const char *path, bool hidden, struct error *err)
{
	err_set(err, ERROR_NOT_FOUND, "\"%.512s\": not found", path);
	if (hidden)
		err_hint(err, "it is there, but .dockerignore leaves it out");
	return err_return(err);
}

int content_unreadable(const struct content_request *request, const char *real,
		       int number, struct error *err)
{
	int r = err_number(err, number, "cannot read \"/%.512s\"", real);

	if ((r == -EACCES || r == -EPERM) && !request->owners)
		err_hint(err, "make it readable, or leave it out with "
			      ".dockerignore");
	return r;
}

static void cut(struct str *str, size_t length)
{
	str->length = length;
	if (str->data)
		str->data[length] = '\0';
}

static void go_up(struct str *real)
{
	const char *slash = real->data ? strrchr(real->data, '/') : NULL;

	cut(real, slash ? (size_t)(slash - real->data) : 0);
}

/* Takes the first name off rest; "" at the end. */
static void take_name(struct str *rest, char ret_name[NAME_MAX + 1],
		      bool *ret_too_long)
{
	const char *at = str_text(rest) + strspn(str_text(rest), "/");
	size_t length = strcspn(at, "/");
	size_t used = (size_t)(at - str_text(rest)) + length;

	*ret_too_long = length > NAME_MAX;
	if (*ret_too_long)
		return;
	memcpy(ret_name, at, length);
	ret_name[length] = '\0';
	memmove(rest->data, rest->data + used, rest->length - used + 1);
	rest->length -= used;
}

/* real is a link: what it says is to be walked instead. */
static int follow(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];
	cleanup_str struct str rest = {0};
	ssize_t length = readlinkat(link_fd, "", target, sizeof(target));

	if (length < 0)
		return -errno;
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	if (length == 0 || (size_t)length == sizeof(target) ||
	    (size_t)length + walk->rest.length > 2 * PATH_MAX)
		return -ENAMETOOLONG;
	str_append_bytes(&rest, target, (size_t)length);
	str_append_char(&rest, '/');
	str_append(&rest, str_text(&walk->rest));
	if (*target == '/')
		cut(&walk->real, 0);
	else
		go_up(&walk->real);
	str_release(&walk->rest);
	walk->rest = rest;
	rest = (struct str){0};
	return 0;
}

static bool is_hidden(const struct walk *walk)
{
	return walk->request->ignore && walk->real.length > 0 &&
	       ignore_matches(walk->request->ignore, walk->real.data);
}

/* Looks at real, just reached. */
static int look(struct walk *walk, bool *hidden)
{
	const char *real = walk->real.length > 0 ? walk->real.data : ".";
	cleanup_fd int fd = path_open_exact(walk->request->root_fd, real,
					    O_PATH | O_NOFOLLOW);

	if (fd < 0)
		return fd;
	if (fstat(fd, &walk->st) < 0)
		return -errno;
	if (S_ISDIR(walk->st.st_mode))
		return 0;
	*hidden = is_hidden(walk);
	if (*hidden)
		return -ENOENT;
	return S_ISLNK(walk->st.st_mode) ? follow(walk, fd) : 0;
}

static int step(struct walk *walk, const char *name, bool *hidden)
{
	if (str_equal(name, "."))
		return 0;
	if (!S_ISDIR(walk->st.st_mode))
		return -ENOTDIR;
	if (str_equal(name, "..")) {
		go_up(&walk->real);
		return look(walk, hidden);
	}
	if (walk->real.length + strlen(name) + 2 > TAR_PATH_MAX)
		return -ENAMETOOLONG;
	if (walk->real.length > 0)
		str_append_char(&walk->real, '/');
	str_append(&walk->real, name);
	return look(walk, hidden);
}

static int walk_all(struct walk *walk, bool *hidden)
{
	char name[NAME_MAX + 1];
	bool too_long = false;
	int r = look(walk, hidden);

	while (r == 0) {
		take_name(&walk->rest, name, &too_long);
		if (too_long)
			return -ENAMETOOLONG;
		if (!*name)
			return 0;
		r = step(walk, name, hidden);
		/* What a link says begins in its directory. */
		if (r == 0 && S_ISLNK(walk->st.st_mode))
			r = look(walk, hidden);
	}
	return r;
}

int content_resolve(const struct content_request *request, const char *path,
		    struct content_place *ret_place, bool *ret_hidden,
		    struct error *err)
{
	CLEANUP(walk_release) struct walk walk = {.request = request};
	bool hidden = false;
	int r;

	str_append(&walk.rest, path);
	r = walk_all(&walk, &hidden);
	*ret_hidden = hidden;
	if (r == -ENOENT || r == -ENOTDIR)
		return -ENOENT;
	if (r < 0)
		return content_unreadable(request, path + 1, r, err);
	ret_place->real = str_steal(&walk.real);
	ret_place->st = walk.st;
	return 0;
}
