/*
 * moss system unit: the systemd user unit that calls `moss system boot`. Paths
 * are those of this moss and its environment.
 */
#include "cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/paths.h"

#define UNIT_NAME    "moss.service"
#define UNIT_PATH    "systemd/user"
#define LINGER_PATH  "/var/lib/systemd/linger"
#define PROGRAM_SIZE 4096

/* clang-format off */
static const struct option unit_options[] = {
	{'w', "write", OPTION_FLAG, NULL, NULL, "Write the unit to where systemd looks for it", false},
	{0},
};
/* clang-format on */

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
		str_append(text, "Environment=");
		r = append_quoted(text, prefix, value, false, err);
		str_append_char(text, '\n');
	}
	return r;
}

static int unit_text(struct str *text, struct error *err)
{
	char program[PROGRAM_SIZE];
	ssize_t length =
		readlink("/proc/self/exe", program, sizeof(program) - 1);
	int r;

	if (length < 0)
		return err_errno(err, "cannot find the path of moss");
	program[length] = '\0';
	str_append(text,
		   "[Unit]\n"
		   "Description=Containers of moss that run from boot on\n"
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
			 "WantedBy=default.target\n");
	return 0;
}

static char *unit_directory(struct error *err)
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

/* Without it a user's units run only while somebody is logged in. */
static bool lingers(void)
{
	const struct passwd *account = getpwuid(getuid());
	cleanup_free char *path = NULL;

	if (!account)
		return false;
	path = xasprintf(LINGER_PATH "/%s", account->pw_name);
	return access(path, F_OK) == 0;
}

static int write_unit(const char *text, struct error *err)
{
	cleanup_free char *directory = unit_directory(err);
	cleanup_free char *path = NULL;
	int r;

	if (!directory)
		return err_return(err);
	r = path_mkdirs(directory, 0755, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/" UNIT_NAME, directory);
	r = file_write_atomic_at(AT_FDCWD, path, text, strlen(text), 0644, 0,
				 err);
	if (r < 0)
		return r;
	printf("Wrote %s\n"
	       "To have it run: systemctl --user enable " UNIT_NAME "\n",
	       path);
	if (!lingers())
		puts("At boot it runs only with lingering, otherwise at your "
		     "first login: loginctl enable-linger");
	return 0;
}

static int unit_main(struct context *context, const struct options *options)
{
	cleanup_str struct str text = {0};
	struct error err = {0};
	int r = unit_text(&text, &err);

	if (r >= 0 && option_flag(options, "write"))
		r = write_unit(str_text(&text), &err);
	else if (r >= 0)
		fputs(str_text(&text), stdout);
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {unit_options, NULL};

const struct command command_system_unit = {
	.name = "system-unit",
	.usage = "[OPTIONS]",
	.summary = "Print or write the systemd user unit that starts "
		   "containers at boot",
	.aliases = "moss system unit",
	.options = tables,
	.no_engine = true,
	.run = unit_main,
};
