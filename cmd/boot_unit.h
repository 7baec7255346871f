/*
 * The systemd user unit that calls `moss system boot`: its text, where `moss
 * system unit` writes it, and what `moss system reset` takes away again.
 *
 * A unit is of a store when it is moss's and names the same MOSS_ROOT and
 * MOSS_RUN as the environment, which are the only things in it that differ
 * from one store to another. The path of moss in it may be another one.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

#define BOOT_UNIT_NAME "moss.service"

/* $XDG_CONFIG_HOME/systemd/user or its default; caller frees. */
char *boot_unit_directory(struct error *err);
int boot_unit_text(struct str *text, struct error *err);

/* Is there one of this store? */
bool boot_unit_exists(void);
/*
 * Stops and disables it where the user's service manager knows it by that path,
 * and removes it with the link that enabled it.
 */
int boot_unit_remove(struct error *err);
