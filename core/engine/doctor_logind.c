/*
 * What systemd-logind does to a user's processes at logout, as its files say:
 * logind.conf(5). Nothing, where they say nothing: so Debian, Fedora, Arch and
 * SUSE build it, unlike systemd's own default.
 *
 * The main file is the first there is in the directories, the drop-ins come
 * after it, sorted by name; of those with one name that of the first directory
 * counts. A later assignment replaces an earlier one, but adds to a list.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"

#define MAIN_FILE "logind.conf"
#define DROP_INS  "logind.conf.d"
#define SUFFIX	  ".conf"
#define SPACE	  " \t\r"

static const char *const directories[] = {
	"/etc/systemd",
	"/run/systemd",
	"/usr/local/lib/systemd",
	"/usr/lib/systemd",
};

struct logind {
	bool kills;
	char **only, **exclude; /* users */
};

static void logind_release(struct logind *logind)
{
	strv_free(logind->only);
	strv_free(logind->exclude);
}

static bool is_yes(const char *text)
{
	static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

/* Nothing empties a list. */
static void add_users(char ***users, char *text)
{
	char *rest = NULL;

	if (*text == '\0') {
		strv_free(*users);
		*users = NULL;
	}
	for (char *user = strtok_r(text, SPACE, &rest); user;
	     user = strtok_r(NULL, SPACE, &rest))
		strv_push(users, user);
}

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, SPACE);
	length = strlen(text);
	while (length > 0 && strchr(SPACE, text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

static void read_line(struct logind *logind, char *line)
{
	char *equals = strchr(line, '=');
	const char *key;
	char *value;

	if (!equals)
		return;
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	if (str_equal(key, "KillUserProcesses"))
		logind->kills = is_yes(value);
	else if (str_equal(key, "KillOnlyUsers"))
		add_users(&logind->only, value);
	else if (str_equal(key, "KillExcludeUsers"))
		add_users(&logind->exclude, value);
}

static void read_text(struct logind *logind, char *text)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		read_line(logind, line);
}

/* The first of that name; false: there is none. */
static bool read_first(const struct doctor *doctor, const char *name,
		       struct logind *logind)
{
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		cleanup_free char *path =
			xasprintf("%s/%s", directories[i], name);
		cleanup_free char *text = doctor_read(doctor, path);

		if (!text)
			continue;
		read_text(logind, text);
		return true;
	}
	return false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_drop_ins(const struct doctor *doctor, const char *directory,
			  char ***names)
{
	cleanup_free char *path = xasprintf("%s/" DROP_INS, directory);
	cleanup_free char *full = doctor_path(doctor, path);
	cleanup_dir DIR *entries = opendir(full);
	const struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		size_t length = strlen(entry->d_name);

		if (length > strlen(SUFFIX) && entry->d_name[0] != '.' &&
		    str_equal(entry->d_name + length - strlen(SUFFIX),
			      SUFFIX) &&
		    !strv_contains(*names, entry->d_name))
			strv_push(names, entry->d_name);
	}
}

bool doctor_logind_kills(const struct doctor *doctor)
{
	CLEANUP(logind_release) struct logind logind = {0};
	cleanup_strv char **names = NULL;

	(void)read_first(doctor, MAIN_FILE, &logind);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		list_drop_ins(doctor, directories[i], &names);
	if (names)
		qsort(names, strv_length(names), sizeof(*names), compare_names);
	for (size_t i = 0; names && names[i]; i++) {
		cleanup_free char *path = xasprintf(DROP_INS "/%s", names[i]);

		(void)read_first(doctor, path, &logind);
	}
	return logind.kills && !strv_contains(logind.exclude, doctor->user) &&
	       (strv_length(logind.only) == 0 ||
		strv_contains(logind.only, doctor->user));
}
