/*
 * moss system unit: the systemd user unit that calls `moss system boot`. Paths
 * are those of this moss and its environment.
 */
#include "cmd/command.h"

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
#include "cmd/boot_unit.h"
#include "cmd/commands.h"

#define LINGER_PATH "/var/lib/systemd/linger"

/* clang-format off */
static const struct option unit_options[] = {
	{'w', "write", OPTION_FLAG, NULL, NULL, "Write the unit to where systemd looks for it", false},
	{0},
};
/* clang-format on */

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
	cleanup_free char *directory = boot_unit_directory(err);
	cleanup_free char *path = NULL;
	int r;

	if (!directory)
		return err_return(err);
	r = path_mkdirs(directory, 0755, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/" BOOT_UNIT_NAME, directory);
	r = file_write_atomic_at(AT_FDCWD, path, text, strlen(text), 0644, 0,
				 err);
	if (r < 0)
		return r;
	printf("Wrote %s\n"
	       "To have it run: systemctl --user enable " BOOT_UNIT_NAME "\n",
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
	int r = boot_unit_text(&text, &err);

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
