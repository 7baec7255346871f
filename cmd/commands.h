/* The rows of command_table[], each defined in the file of its name. */
#pragma once

#include "cmd/command.h"

extern const struct command command_run;
extern const struct command command_exec;
extern const struct command command_ps;
extern const struct command command_pull;
extern const struct command command_push;
extern const struct command command_images;
extern const struct command command_login;
extern const struct command command_logout;
extern const struct command command_search;
extern const struct command command_version;
extern const struct command command_info;
extern const struct command command_system_check;
extern const struct command command_attach;
extern const struct command command_commit;
extern const struct command command_cp;
extern const struct command command_create;
extern const struct command command_doctor;
extern const struct command command_export;
extern const struct command command_history;
extern const struct command command_import;
extern const struct command command_inspect;
extern const struct command command_kill;
extern const struct command command_load;
extern const struct command command_logs;
extern const struct command command_pause;
extern const struct command command_port;
extern const struct command command_rename;
extern const struct command command_restart;
extern const struct command command_rm;
extern const struct command command_rmi;
extern const struct command command_save;
extern const struct command command_start;
extern const struct command command_stop;
extern const struct command command_tag;
extern const struct command command_unpause;
extern const struct command command_wait;
extern const struct command command_manifest_inspect;
extern const struct command command_volume_create;
extern const struct command command_volume_inspect;
extern const struct command command_volume_ls;
extern const struct command command_volume_prune;
extern const struct command command_volume_rm;
extern const struct command command_completion;
extern const struct command command_help;
extern const struct command command_container_inspect;
extern const struct command command_container_prune;
extern const struct command command_image_inspect;
extern const struct command command_image_prune;
extern const struct command command_system_df;
extern const struct command command_system_prune;
extern const struct command command_complete;
extern const struct command command_options;
extern const struct command command_unpin;
