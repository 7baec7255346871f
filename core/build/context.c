#include "core/build/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/dockerfile/dockerfile.h"

#define IGNORE_FILE ".dockerignore"
/* A FIFO does not keep anybody waiting. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* Takes fd, or the negative errno that it is instead. -ENOENT has no text. */
static int read_regular(int fd, const char *name, size_t max, char **ret_text,
			size_t *ret_length, struct error *err)
{
	cleanup_fd int file = fd;
	struct stat st;

	if (fd < 0) {
		file = -1;
		return fd == -ENOENT || fd == -ENOTDIR
			       ? -ENOENT
			       : err_number(err, fd, "cannot read %s", name);
	}
	if (fstat(file, &st) < 0)
		return err_errno(err, "cannot read %s", name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "cannot read %s: it is a directory", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "cannot read %s: it is no regular file", name);
	return file_read_fd(file, name, max, ret_text, ret_length, err);
}

static int open_on_host(const char *path)
{
	int fd = open(path, READ_FLAGS);

	return fd < 0 ? -errno : fd;
}

static int open_in(const struct context *context, const char *path)
{
	return context->fd < 0
		       ? -ENOENT
		       : path_open_in_root(context->fd, path, READ_FLAGS, 0);
}

/* ---- .dockerignore ---- */

static int parse_ignore(struct context *context, char *text, size_t length,
			const char *name, struct error *err)
{
	cleanup_free char *owned = text;
	cleanup_ignore struct ignore *ignore = ignore_new();
	int r = ignore_add_file(ignore, text, length, err);

	if (r < 0)
		return err_wrap(err, "%s", name);
	context->ignore = steal_ptr(&ignore);
	context->ignore_text = steal_ptr(&owned);
	return 0;
}

/* The Dockerfile's own one; -ENOENT where there is none. */
static int read_own_ignore(const struct context *context,
			   const struct context_request *request,
			   char **ret_name, char **ret_text, size_t *ret_length,
			   struct error *err)
{
	cleanup_free char *name = NULL;
	int fd;
	int r;

	if (!request->dockerfile && !request->dockerfile_path)
		return -ENOENT;
	name = xasprintf("%s%s",
			 request->dockerfile_path ? request->dockerfile_path
						  : request->dockerfile,
			 IGNORE_FILE);
	fd = request->dockerfile_path ? open_on_host(name)
				      : open_in(context, name);
	r = read_regular(fd, name, IGNORE_MAX, ret_text, ret_length, err);
	if (r == 0)
		*ret_name = steal_ptr(&name);
	return r;
}

static int read_ignore(struct context *context,
		       const struct context_request *request, struct error *err)
{
	cleanup_free char *name = NULL;
	char *text = NULL;
	size_t length = 0;
	int r = read_own_ignore(context, request, &name, &text, &length, err);

	if (r == -ENOENT)
		r = read_regular(open_in(context, IGNORE_FILE), IGNORE_FILE,
				 IGNORE_MAX, &text, &length, err);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r
		     : parse_ignore(context, text, length,
				    name ? name : IGNORE_FILE, err);
}

/* ---- the context ---- */

int context_open(const struct context_request *request,
		 struct context *ret_context, struct error *err)
{
	cleanup_context struct context context = CONTEXT_EMPTY;
	int r;

	if (!request->path) {
		*ret_context = context;
		return 0;
	}
	context.path = xstrdup(request->path);
	context.fd = open(request->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (context.fd < 0)
		return err_errno(err, "cannot open the context %s",
				 request->path);
	r = read_ignore(&context, request, err);
	if (r < 0)
		return r;
	context.cache = stat_cache_open(request->store->root_fd, context.fd,
					context.path);
	*ret_context = context;
	context = (struct context)CONTEXT_EMPTY;
	return 0;
}

void context_release(struct context *context)
{
	if (context->cache)
		(void)stat_cache_save(context->cache, NULL);
	stat_cache_free(context->cache);
	ignore_free(context->ignore);
	free(context->ignore_text);
	free(context->path);
	close_fd(&context->fd);
	*context = (struct context)CONTEXT_EMPTY;
}

/* ---- the Dockerfile ---- */

/* "Dockerfile" at the end of path as "dockerfile"; NULL: it is not so called.
 */
static char *in_lower_case(const char *path)
{
	static const char name[] = "Dockerfile";
	size_t length = strlen(path);
	size_t start = length - (sizeof(name) - 1);
	char *lower;

	if (length < sizeof(name) - 1 || !str_equal(path + start, name) ||
	    (start > 0 && path[start - 1] != '/'))
		return NULL;
	lower = xstrdup(path);
	lower[start] = 'd';
	return lower;
}

/* docker's words, as far as they go. */
static int tell(int r, const char *path, struct error *err)
{
	static const char what[] = "failed to read dockerfile";

	if (r == -ENOENT)
		return err_set(err, ERROR_NOT_FOUND,
			       "%s: open %s: no such file or directory", what,
			       path);
	return r < 0 ? err_wrap(err, "%s", what) : 0;
}

int context_read_dockerfile(const struct context *context, const char *path,
			    char **ret_text, size_t *ret_length,
			    struct error *err)
{
	cleanup_free char *lower = in_lower_case(path);
	int r = read_regular(open_in(context, path), path, DOCKERFILE_MAX,
			     ret_text, ret_length, err);

	if (r == -ENOENT && lower)
		r = read_regular(open_in(context, lower), lower, DOCKERFILE_MAX,
				 ret_text, ret_length, err);
	return tell(r, path, err);
}

int context_read_file(const char *path, char **ret_text, size_t *ret_length,
		      struct error *err)
{
	return tell(read_regular(open_on_host(path), path, DOCKERFILE_MAX,
				 ret_text, ret_length, err),
		    path, err);
}
