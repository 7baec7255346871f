/* Here-documents become files in this process' own work. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/copy.h"

#define TEXT_MODE 0644

void copy_use_file(struct copy_input *input, int dir_fd, const char *name)
{
	input->root_fd = dir_fd;
	strv_free(input->patterns);
	input->patterns = NULL;
	strv_push(&input->patterns, COPY_FILE_NAME);
	input->name = xstrdup(name);
}

bool copy_is_file_name(const char *name)
{
	return *name && !strchr(name, '/') && !str_equal(name, ".") &&
	       !str_equal(name, "..") && strlen(name) <= NAME_MAX;
}

int copy_new_directory(int dir_fd, const char *name, struct error *err)
{
	int fd;

	if (mkdirat(dir_fd, name, 0700) < 0)
		return err_errno(err, "cannot make a directory in the store");
	fd = openat(dir_fd, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? err_errno(err, "cannot open a directory of the store")
		      : fd;
}

int copy_text(struct copy *copy, struct copy_input *input, struct error *err)
{
	cleanup_free char *directory =
		xasprintf("text-%zu", (size_t)(input - copy->inputs));
	const char *name = "", *content = "";
	cleanup_fd int dir_fd = -1;
	int r = json_get_string(input->json, "sources", "name", &name, err);

	if (r >= 0)
		r = json_get_string(input->json, "sources", "content", &content,
				    err);
	if (r < 0)
		return r;
	if (!copy_is_file_name(name))
		return err_set(err, ERROR_INVALID,
			       "\"%.128s\" cannot be the name of a "
			       "here-document's file",
			       name);
	dir_fd = copy_new_directory(copy->stage.work.fd, directory, err);
	if (dir_fd < 0)
		return dir_fd;
	r = file_write_atomic_at(dir_fd, COPY_FILE_NAME, content,
				 strlen(content), TEXT_MODE, FILE_VOLATILE,
				 err);
	if (r == 0)
		copy_use_file(input, steal_fd(&dir_fd), name);
	return r;
}
