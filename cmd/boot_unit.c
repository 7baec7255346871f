#include "cmd/boot_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "cmd/paths.h"

#define UNIT_PATH	"systemd/user"
#define WANTED_BY	"default.target"
#define DESCRIPTION	"Description=Containers of moss that run from boot on\n"
#define ENVIRONMENT	"Environment="
#define PROGRAM_SIZE	4096
#define UNIT_SIZE_MAX	(64u << 10)
#define ANSWER_SIZE_MAX 4096

/* ---- its text ---- */

/* systemd.syntax(7): in double quotes; specifiers begin with "%". */
static int append_quoted(struct str *text, const char *prefix,
			 const char *value, bool is_command, struct error *err)
{
	str_appendf(text, "\"%s", prefix);
	for (const char *c = value; *c; c++) {
		if ((unsigned char)*c < ' ')
			return err_set(err, ERROR_INVALID,
				       "a path with control characters cannot "
				       "be in a unit");
		if (*c == '"' || *c == '\\')
			str_append_char(text, '\\');
		if (*c == '%' || (*c == '$' && is_command))
			str_append_char(text, *c);
		str_append_char(text, *c);
	}
	str_append_char(text, '"');
	return 0;
}

static int append_environment(struct str *text, struct error *err)
{
	static const char *const names[] = {"MOSS_ROOT", "MOSS_RUN"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);
		cleanup_free char *prefix = xasprintf("%s=", names[i]);

		if (str_empty(value))
			continue;
		str_append(text, ENVIRONMENT);
		r = append_quoted(text, prefix, value, false, err);
		str_append_char(text, '\n');
	}
	return r;
}

int boot_unit_text(struct str *text, struct error *err)
{
	char program[PROGRAM_SIZE];
	ssize_t length =
		readlink("/proc/self/exe", program, sizeof(program) - 1);
	int r;

	if (length < 0)
		return err_errno(err, "cannot find the path of moss");
	program[length] = '\0';
	str_append(text, "[Unit]\n" DESCRIPTION
			 "Documentation=man:moss-system-boot(1)\n"
			 "\n"
			 "[Service]\n"
			 "Type=oneshot\n"
			 "RemainAfterExit=yes\n");
	r = append_environment(text, err);
	if (r < 0)
		return r;
	str_append(text, "ExecStart=");
	r = append_quoted(text, "", program, true, err);
	if (r < 0)
		return r;
	str_append(text, " system boot\n"
			 "TimeoutStopSec=90\n"
			 "\n"
			 "[Install]\n"
			 "WantedBy=" WANTED_BY "\n");
	return 0;
}

/* ---- where it is ---- */

char *boot_unit_directory(struct error *err)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = path_home();

	if (!str_empty(config))
		return xasprintf("%s/" UNIT_PATH, config);
	if (home)
		return xasprintf("%s/.config/" UNIT_PATH, home);
	err_set(err, ERROR_GENERIC, "there is no home directory");
	return NULL;
}

static char *unit_path(const char *name)
{
	struct error ignored = {0};
	cleanup_free char *directory = boot_unit_directory(&ignored);

	return directory ? xasprintf("%s/%s", directory, name) : NULL;
}

/* The lines of a unit that begin with prefix. */
static void take_lines(const char *unit, const char *prefix, struct str *lines)
{
	cleanup_strv char **all = strv_split(unit, '\n');

	for (size_t i = 0; all[i]; i++) {
		if (str_starts(all[i], prefix))
			str_appendf(lines, "%s\n", all[i]);
	}
}

bool boot_unit_exists(void)
{
	cleanup_free char *path = unit_path(BOOT_UNIT_NAME);
	cleanup_free char *unit = NULL;
	cleanup_str struct str theirs = {0};
	cleanup_str struct str ours = {0};
	struct error ignored = {0};

	if (!path ||
	    file_read_at(AT_FDCWD, path, UNIT_SIZE_MAX, &unit, NULL, NULL) <
		    0 ||
	    !strstr(unit, DESCRIPTION) ||
	    append_environment(&ours, &ignored) < 0)
		return false;
	take_lines(unit, ENVIRONMENT, &theirs);
	return str_equal(str_text(&theirs), str_text(&ours));
}

/* ---- its end ---- */

/* Without systemd, or without its manager, there is nothing to be told. */
static void tell_systemd(char *const *argv)
{
	const struct spawn spawn = {.path = argv[0], .argv = argv};
	struct error ignored = {0};
	pid_t pid = proc_spawn(&spawn, &ignored);

	if (pid > 0)
		(void)proc_wait(pid);
}

/* Does the user's manager know the unit by this path, and not by another? */
static bool is_of_manager(const char *path)
{
	static char *const argv[] = {
		"systemctl", "--user",	     "show", "--property=FragmentPath",
		"--value",   BOOT_UNIT_NAME, NULL};
	const struct spawn spawn = {.path = argv[0], .argv = argv};
	cleanup_free char *answer = NULL;
	struct error ignored = {0};

	if (proc_capture(&spawn, ANSWER_SIZE_MAX, &answer, &ignored) < 0)
		return false;
	answer[strcspn(answer, "\n")] = '\0';
	return str_equal(answer, path);
}

static int remove_file(const char *path, struct error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, "cannot remove %s", path);
	return 0;
}

int boot_unit_remove(struct error *err)
{
	static char *const disable[] = {"systemctl", "--user",	     "disable",
					"--now",     BOOT_UNIT_NAME, NULL};
	static char *const reload[] = {"systemctl", "--user", "daemon-reload",
				       NULL};
	cleanup_free char *path = unit_path(BOOT_UNIT_NAME);
	cleanup_free char *link = unit_path(WANTED_BY ".wants/" BOOT_UNIT_NAME);
	bool is_known;
	int r;

	if (!path || !link)
		return 0;
	is_known = is_of_manager(path);
	if (is_known)
		tell_systemd(disable);
	/* What systemctl has done if it could. */
	r = remove_file(link, err);
	if (r >= 0)
		r = remove_file(path, err);
	if (r >= 0 && is_known)
		tell_systemd(reload);
	return r;
}
