/*
 * Where moss keeps its things, from the environment of the user who runs it:
 *   data  MOSS_ROOT, $XDG_DATA_HOME/moss, ~/.local/share/moss
 *   run   MOSS_RUN, $XDG_RUNTIME_DIR/moss, /run/user/UID/moss, /tmp/moss-UID
 * The run directory is opened, not named: it must belong to the user, mode
 * 0700, and not be reached through a symbolic link of somebody else's in /tmp.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* $HOME, or what the account has; NULL: neither. Borrowed. */
const char *path_home(void);
int path_data(char **ret_path, struct error *err);
/* Its name, without making it; caller frees. */
int path_run(uid_t uid, char **ret_path, struct error *err);
/* Returns the directory's descriptor; makes it when it is not there. */
int path_run_open(uid_t uid, struct error *err);
