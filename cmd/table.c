/*
 * Every command, in the order of `moss help`; every management form.
 */
#include "cmd/command.h"

#include "cmd/commands.h"

const struct command *const command_table[] = {
	/* Common Commands */
	&command_run,
	&command_exec,
	&command_ps,
	&command_images,
	&command_version,
	&command_info,
	/* Commands */
	&command_attach,
	&command_create,
	&command_import,
	&command_inspect,
	&command_kill,
	&command_load,
	&command_logs,
	&command_port,
	&command_rename,
	&command_rm,
	&command_rmi,
	&command_save,
	&command_start,
	&command_stop,
	&command_tag,
	&command_wait,
	&command_volume_create,
	&command_volume_inspect,
	&command_volume_ls,
	&command_volume_rm,
	&command_completion,
	&command_help,
	NULL,
};

const struct command_path command_paths[] = {
	{"container", "attach", "attach"},
	{"container", "create", "create"},
	{"container", "exec", "exec"},
	{"container", "inspect", "inspect"},
	{"container", "kill", "kill"},
	{"container", "logs", "logs"},
	{"container", "ls", "ps"},
	{"container", "list", "ps"},
	{"container", "ps", "ps"},
	{"container", "port", "port"},
	{"container", "rename", "rename"},
	{"container", "rm", "rm"},
	{"container", "run", "run"},
	{"container", "start", "start"},
	{"container", "stop", "stop"},
	{"container", "wait", "wait"},
	{"image", "import", "import"},
	{"image", "inspect", "inspect"},
	{"image", "load", "load"},
	{"image", "ls", "images"},
	{"image", "list", "images"},
	{"image", "rm", "rmi"},
	{"image", "save", "save"},
	{"image", "tag", "tag"},
	{"system", "info", "info"},
	{"volume", "create", "volume-create"},
	{"volume", "inspect", "volume-inspect"},
	{"volume", "ls", "volume-ls"},
	{"volume", "list", "volume-ls"},
	{"volume", "rm", "volume-rm"},
	{0},
};
