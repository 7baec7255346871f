/*
 * moss system boot: starts what is to run from boot on. For the unit of `moss
 * system unit`, or a line "@reboot moss system boot" of crontab(5).
 */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"

static int boot_main(struct context *context, const struct options *options)
{
	struct engine *engine = &context->engine;
	cleanup_strv char **names = NULL;
	struct error err = {0};
	int code = 0;

	if (engine_boot_list(engine, &names, &err) < 0)
		return command_fail(context, &err);
	for (size_t i = 0; names && names[i]; i++) {
		int r = engine_container_start(engine, names[i], NULL, NULL,
					       NULL, &err);

		if (r >= 0) {
			printf("%s\n", names[i]);
			continue;
		}
		/* The others are to run all the same. */
		err_wrap(&err, "container %s", names[i]);
		report_error(&err);
		err_clear(&err);
		code = 1;
	}
	return code;
}

const struct command command_system_boot = {
	.name = "system-boot",
	.usage = "",
	.summary = "Start the containers that are to run from boot on",
	.aliases = "moss system boot",
	.run = boot_main,
};
