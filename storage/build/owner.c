#include "storage/build/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

#define ID_MAX INT32_MAX /* docker's */

/* Columns of both files. */
enum { NAME, PASSWORD, ID, PRIMARY_GROUP, COLUMNS };

/* *ret_text is NULL when the root has no such file. */
static int read_file(int root_fd, const char *path, char **ret_text,
		     struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (root_fd < 0)
		return 0;
	/* Not blocking: it could be a FIFO. */
	fd = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
			       0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return err_number(err, fd, "cannot read the image's %s", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot read the image's %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "the image's %s is not a regular file", path);
	return file_read_fd(fd, path, OWNER_FILE_MAX, ret_text, NULL, err);
}

static int parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t value;

	if (parse_u64(text, &value) < 0 || value > ID_MAX)
		return -ERANGE;
	*ret_id = (uint32_t)value;
	return 0;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* The line's columns; those it has not are empty. */
static void split(char *line, const char *columns[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		char *colon = strchr(line, ':');

		columns[i] = line;
		if (!colon) {
			line += strlen(line);
			continue;
		}
		*colon = '\0';
		line = colon + 1;
	}
}

/* 1 and the numbers in the first line of that name; 0: there is none. */
static int find_name(char *text, const char *name, uint32_t *ret_id,
		     uint32_t *ret_group)
{
	char *rest = text;

	while (rest) {
		char *line = strsep(&rest, "\n");
		const char *columns[COLUMNS];
		uint32_t id;

		split(line, columns);
		if (!str_equal(columns[NAME], name) ||
		    parse_id(columns[ID], &id) < 0)
			continue;
		if (ret_group &&
		    parse_id(columns[PRIMARY_GROUP], ret_group) < 0)
			continue;
		*ret_id = id;
		return 1;
	}
	return 0;
}

static int find(int root_fd, const char *what, const char *path,
		const char *name, uint32_t *ret_id, uint32_t *ret_group,
		struct error *err)
{
	cleanup_free char *text = NULL;
	int r;

	if (is_number(name)) {
		if (parse_id(name, ret_id) < 0)
			return err_set(err, ERROR_INVALID,
				       "%s %.64s: IDs go from 0 to %d", what,
				       name, ID_MAX);
		if (ret_group)
			*ret_group = *ret_id;
		return 0;
	}
	r = read_file(root_fd, path, &text, err);
	if (r < 0)
		return r;
	if (text && find_name(text, name, ret_id, ret_group) > 0)
		return 0;
	err_set(err, ERROR_NOT_FOUND,
		"unable to convert uid/gid chown string to host mapping: can't "
		"find %s %.128s: no such %s in the image's %s",
		what, name, what, path);
	return err_hint(err, "add it before (RUN useradd …), or give its "
			     "number");
}

int owner_find(int root_fd, const char *text, struct owner *ret_owner,
	       struct error *err)
{
	cleanup_free char *user = xstrdup(text);
	struct owner owner = {0};
	char *group = strchr(user, ':');
	int r = 0;

	if (group)
		*group++ = '\0';
	if (strchr(group ? group : "", ':') || (!*user && str_empty(group)))
		return err_set(err, ERROR_INVALID,
			       "invalid chown string \"%.128s\": expected "
			       "user:group",
			       text);
	if (*user)
		r = find(root_fd, "user", "/etc/passwd", user, &owner.uid,
			 &owner.gid, err);
	if (r == 0 && !str_empty(group))
		r = find(root_fd, "group", "/etc/group", group, &owner.gid,
			 NULL, err);
	if (r < 0)
		return r;
	*ret_owner = owner;
	return 0;
}
