/*
 * Every command, in the order of `moss help`; every management form.
 */
#include "cmd/command.h"

#include <stdio.h>

#include "base/str.h"
#include "cmd/commands.h"

const struct command *const command_table[] = {
	/* Common Commands */
	&command_run,
	&command_exec,
	&command_ps,
	&command_build,
	&command_pull,
	&command_push,
	&command_images,
	&command_login,
	&command_logout,
	&command_search,
	&command_version,
	&command_info,
	/* Commands */
	&command_attach,
	&command_commit,
	&command_cp,
	&command_create,
	&command_doctor,
	&command_diff,
	&command_events,
	&command_export,
	&command_history,
	&command_import,
	&command_inspect,
	&command_kill,
	&command_load,
	&command_logs,
	&command_pause,
	&command_port,
	&command_rename,
	&command_restart,
	&command_rm,
	&command_rmi,
	&command_save,
	&command_start,
	&command_stats,
	&command_stop,
	&command_tag,
	&command_top,
	&command_unpause,
	&command_update,
	&command_wait,
	&command_completion,
	&command_help,
	/* Reached as `moss container inspect` and the like */
	&command_builder_du,
	&command_builder_prune,
	&command_container_inspect,
	&command_container_prune,
	&command_image_inspect,
	&command_image_prune,
	&command_system_boot,
	&command_system_check,
	&command_system_df,
	&command_system_prune,
	&command_system_reset,
	&command_system_unit,
	&command_manifest_inspect,
	&command_network_connect,
	&command_network_create,
	&command_network_disconnect,
	&command_network_inspect,
	&command_network_ls,
	&command_network_prune,
	&command_network_rm,
	&command_volume_create,
	&command_volume_inspect,
	&command_volume_ls,
	&command_volume_prune,
	&command_volume_rm,
	/* For shells, tests and moss itself */
	&command_complete,
	&command_options,
	&command_unpin,
	NULL,
};

const struct command_path command_paths[] = {
	{"builder", "build", "build", false},
	{"builder", "du", "builder-du", false},
	{"builder", "prune", "builder-prune", false},
	{"buildx", "build", "build", false},
	{"container", "attach", "attach", false},
	{"container", "commit", "commit", false},
	{"container", "cp", "cp", false},
	{"container", "create", "create", false},
	{"container", "diff", "diff", false},
	{"container", "exec", "exec", false},
	{"container", "export", "export", false},
	{"container", "inspect", "container-inspect", false},
	{"container", "kill", "kill", false},
	{"container", "logs", "logs", false},
	{"container", "ls", "ps", false},
	{"container", "list", "ps", true},
	{"container", "ps", "ps", true},
	{"container", "pause", "pause", false},
	{"container", "port", "port", false},
	{"container", "prune", "container-prune", false},
	{"container", "rename", "rename", false},
	{"container", "remove", "rm", true},
	{"container", "restart", "restart", false},
	{"container", "rm", "rm", false},
	{"container", "run", "run", false},
	{"container", "start", "start", false},
	{"container", "stats", "stats", false},
	{"container", "stop", "stop", false},
	{"container", "top", "top", false},
	{"container", "unpause", "unpause", false},
	{"container", "update", "update", false},
	{"container", "wait", "wait", false},
	{"image", "build", "build", false},
	{"image", "history", "history", false},
	{"image", "import", "import", false},
	{"image", "inspect", "image-inspect", false},
	{"image", "load", "load", false},
	{"image", "ls", "images", false},
	{"image", "list", "images", true},
	{"image", "prune", "image-prune", false},
	{"image", "pull", "pull", false},
	{"image", "push", "push", false},
	{"image", "rm", "rmi", false},
	{"image", "remove", "rmi", true},
	{"image", "save", "save", false},
	{"image", "tag", "tag", false},
	{"manifest", "inspect", "manifest-inspect", false},
	{"network", "connect", "network-connect", false},
	{"network", "create", "network-create", false},
	{"network", "disconnect", "network-disconnect", false},
	{"network", "inspect", "network-inspect", false},
	{"network", "ls", "network-ls", false},
	{"network", "list", "network-ls", true},
	{"network", "prune", "network-prune", false},
	{"network", "rm", "network-rm", false},
	{"network", "remove", "network-rm", true},
	{"system", "boot", "system-boot", false},
	{"system", "check", "system-check", false},
	{"system", "df", "system-df", false},
	{"system", "doctor", "doctor", false},
	{"system", "events", "events", false},
	{"system", "info", "info", false},
	{"system", "prune", "system-prune", false},
	{"system", "reset", "system-reset", false},
	{"system", "unit", "system-unit", false},
	{"volume", "create", "volume-create", false},
	{"volume", "inspect", "volume-inspect", false},
	{"volume", "ls", "volume-ls", false},
	{"volume", "list", "volume-ls", true},
	{"volume", "prune", "volume-prune", false},
	{"volume", "rm", "volume-rm", false},
	{"volume", "remove", "volume-rm", true},
	{0},
};

const struct command *command_by_name(const char *name)
{
	for (size_t i = 0; command_table[i]; i++)
		if (str_equal(command_table[i]->name, name))
			return command_table[i];
	return NULL;
}

bool command_is_group(const char *name)
{
	for (size_t i = 0; command_paths[i].group; i++)
		if (str_equal(command_paths[i].group, name))
			return true;
	return false;
}

/* Resolves "run" or "container run". */
const struct command *command_find(int *argc, char ***argv,
				   const char **ret_path)
{
	static char path[128];
	const struct command *command;

	if (*argc < 1)
		return NULL;
	for (size_t i = 0; *argc >= 2 && command_paths[i].group; i++) {
		if (!str_equal(command_paths[i].group, (*argv)[0]) ||
		    !str_equal(command_paths[i].name, (*argv)[1]))
			continue;
		snprintf(path, sizeof(path), "%s %s", (*argv)[0], (*argv)[1]);
		*ret_path = path;
		command = command_by_name(command_paths[i].command);
		*argc -= 2;
		*argv += 2;
		return command;
	}
	command = command_by_name((*argv)[0]);
	if (!command || !command->group)
		return NULL;
	*ret_path = command->name;
	*argc -= 1;
	*argv += 1;
	return command;
}
