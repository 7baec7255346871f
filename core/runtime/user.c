#include "core/runtime/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

#define ID_LIMIT INT32_MAX /* docker's */
#define FIELDS	 7

/* One of the two files, cut into fields as it is walked. */
struct table {
	char *text;
	char *next; /* the rest */
};

static void table_release(struct table *table)
{
	free(table->text);
}

/* A file that is not there is an empty one. */
static int table_read(int root_fd, const char *path, struct table *ret_table,
		      struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	/* Not blocking: it could be a FIFO. */
	fd = path_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
			       0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return err_number(err, fd, "cannot read the container's %s",
				  path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot read the container's %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "the container's %s is not a regular file",
			       path);
	r = file_read_fd(fd, path, USER_FILE_MAX, &ret_table->text, NULL, err);
	if (r < 0)
		return err_wrap(err, "container");
	ret_table->next = ret_table->text;
	return 0;
}

/* Next line's fields, missing ones empty; false at the end. */
static bool table_next(struct table *table, const char *ret_fields[FIELDS])
{
	while (table->next && *table->next) {
		char *line = table->next;
		char *end = strchr(line, '\n');
		size_t count = 0;

		table->next = end ? end + 1 : line + strlen(line);
		if (end)
			*end = '\0';
		line += strspn(line, " \t\r");
		if (!*line || *line == '#')
			continue;
		while (count < FIELDS) {
			char *colon = strchr(line, ':');

			ret_fields[count++] = line;
			if (!colon)
				break;
			if (count < FIELDS)
				*colon = '\0';
			line = colon + 1;
		}
		while (count < FIELDS)
			ret_fields[count++] = "";
		return true;
	}
	return false;
}

static bool is_number(const char *text, uint64_t *ret_value)
{
	return text[0] >= '0' && text[0] <= '9' &&
	       parse_u64(text, ret_value) == 0;
}

static bool has_number(const char *field, uint64_t number)
{
	uint64_t value;

	return is_number(field, &value) && value == number;
}

static int check_range(const char *what, const char *text, uint64_t value,
		       struct error *err)
{
	if (value <= ID_LIMIT)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "%s %s: user and group IDs go from 0 to %d", what, text,
		       ID_LIMIT);
}

/* Sets uid, gid and home; *ret_name is the entry's name, if there is one. */
static int find_user(int root_fd, const char *wanted, struct user *user,
		     char **ret_name, struct error *err)
{
	CLEANUP(table_release) struct table table = {0};
	const char *fields[FIELDS];
	uint64_t number = 0;
	bool numeric = is_number(wanted, &number);
	int r;

	r = table_read(root_fd, "/etc/passwd", &table, err);
	if (r < 0)
		return r;
	while (table_next(&table, fields)) {
		uint64_t uid, gid;

		if (!str_equal(fields[0], wanted) &&
		    !(numeric && has_number(fields[2], number)))
			continue;
		if (!is_number(fields[2], &uid) ||
		    !is_number(fields[3], &gid) || uid > ID_LIMIT ||
		    gid > ID_LIMIT)
			continue;
		user->uid = (uint32_t)uid;
		user->gid = (uint32_t)gid;
		free(user->home);
		user->home = xstrdup(fields[5]);
		*ret_name = xstrdup(fields[0]);
		return 0;
	}
	if (!numeric)
		return err_set(err, ERROR_INVALID,
			       "unable to find user %s: no matching entries in "
			       "passwd file",
			       wanted);
	r = check_range("user", wanted, number, err);
	if (r < 0)
		return r;
	user->uid = (uint32_t)number;
	user->gid = 0;
	return 0;
}

static int find_group(int root_fd, const char *wanted, uint32_t *ret_gid,
		      struct error *err)
{
	CLEANUP(table_release) struct table table = {0};
	const char *fields[FIELDS];
	uint64_t number = 0, gid;
	bool numeric = is_number(wanted, &number);
	int r;

	r = table_read(root_fd, "/etc/group", &table, err);
	if (r < 0)
		return r;
	while (table_next(&table, fields)) {
		if (!str_equal(fields[0], wanted) &&
		    !(numeric && has_number(fields[2], number)))
			continue;
		if (!is_number(fields[2], &gid) || gid > ID_LIMIT)
			continue;
		*ret_gid = (uint32_t)gid;
		return 0;
	}
	if (!numeric)
		return err_set(err, ERROR_INVALID,
			       "unable to find group %s: no matching entries "
			       "in group file",
			       wanted);
	r = check_range("group", wanted, number, err);
	if (r < 0)
		return r;
	*ret_gid = (uint32_t)number;
	return 0;
}

static void add_group(struct user *user, uint32_t gid)
{
	/* Twice the same does no harm; a hostile file shall not cost much. */
	for (size_t i = 0; i < user->group_count && i < 64; i++) {
		if (user->groups[i] == gid)
			return;
	}
	if (user->group_count == SPEC_GROUPS_MAX)
		return;
	user->groups = xrealloc(user->groups, user->group_count + 1,
				sizeof(*user->groups));
	user->groups[user->group_count++] = gid;
}

static bool is_member(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (*list) {
		size_t word = strcspn(list, ",");

		if (word == length && memcmp(list, name, length) == 0)
			return true;
		list += word;
		list += *list == ',';
	}
	return false;
}

static int find_memberships(int root_fd, const char *name, struct user *user,
			    struct error *err)
{
	CLEANUP(table_release) struct table table = {0};
	const char *fields[FIELDS];
	uint64_t gid;
	int r;

	r = table_read(root_fd, "/etc/group", &table, err);
	if (r < 0)
		return r;
	while (table_next(&table, fields)) {
		if (is_member(fields[3], name) && is_number(fields[2], &gid) &&
		    gid <= ID_LIMIT)
			add_group(user, (uint32_t)gid);
	}
	return 0;
}

/* "user[:group]". The primary group is a supplementary one as well, as docker
   has it: a file mode that shuts a group out must do so for it, too. */
static int find_by_name(int root_fd, const char *text, struct user *user,
			struct error *err)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *wanted =
		colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	const char *group = colon ? colon + 1 : "";
	cleanup_free char *name = NULL;
	int r;

	r = find_user(root_fd, *wanted ? wanted : "0", user, &name, err);
	if (r < 0)
		return r;
	if (*group) {
		r = find_group(root_fd, group, &user->gid, err);
		if (r < 0)
			return r;
		add_group(user, user->gid);
		return 0;
	}
	add_group(user, user->gid);
	return name ? find_memberships(root_fd, name, user, err) : 0;
}

/* Numbers stand as they are; only the home directory is looked up. */
static int find_by_number(int root_fd, const struct spec_process *process,
			  struct user *user)
{
	cleanup_free char *number = xasprintf("%u", process->uid);
	cleanup_free char *name = NULL;

	if (!env_get(process->env, "HOME") && process->uid <= ID_LIMIT)
		find_user(root_fd, number, user, &name, NULL);
	user->uid = process->uid;
	user->gid = process->gid;
	for (size_t i = 0; i < process->group_count; i++)
		add_group(user, process->groups[i]);
	return 0;
}

int user_find(int root_fd, const struct spec_process *process,
	      struct user *ret_user, struct error *err)
{
	CLEANUP(user_release) struct user user = {0};
	int r;

	if (!str_empty(process->user))
		r = find_by_name(root_fd, process->user, &user, err);
	else
		r = find_by_number(root_fd, process, &user);
	if (r < 0)
		return r;
	for (size_t i = 0; process->group_add && process->group_add[i]; i++) {
		uint32_t gid = 0;

		if (str_empty(process->group_add[i]))
			continue;
		r = find_group(root_fd, process->group_add[i], &gid, err);
		if (r < 0)
			return r;
		add_group(&user, gid);
	}
	if (str_empty(user.home)) {
		free(user.home);
		user.home = xstrdup("/");
	}
	*ret_user = user;
	user = (struct user){0};
	return 0;
}

void user_release(struct user *user)
{
	if (!user)
		return;
	free(user->groups);
	free(user->home);
	*user = (struct user){0};
}

static int check_mapped(const char *what, uint32_t id, const struct id_map *map,
			struct error *err)
{
	cleanup_str struct str text = {0};
	uint32_t outside;

	if (idmap_to_outside(map, id, &outside) == 0)
		return 0;
	for (size_t i = 0; i < map->count && i < 8; i++)
		str_appendf(&text, "%s%u-%u", i ? ", " : "",
			    map->extents[i].inside,
			    map->extents[i].inside + map->extents[i].count - 1);
	err_set(err, ERROR_INVALID,
		"%s ID %u does not exist in the container: mapped are %s%s",
		what, id, str_text(&text), map->count > 8 ? ", …" : "");
	return err_hint(err, "choose another --user, or give your account more "
			     "subordinate IDs in /etc/subuid and /etc/subgid");
}

int user_check_mapped(const struct user *user, const struct id_map *uids,
		      const struct id_map *gids, struct error *err)
{
	int r = check_mapped("user", user->uid, uids, err);

	if (r == 0)
		r = check_mapped("group", user->gid, gids, err);
	for (size_t i = 0; r == 0 && i < user->group_count; i++)
		r = check_mapped("group", user->groups[i], gids, err);
	return r;
}
