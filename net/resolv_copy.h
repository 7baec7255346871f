/*
 * The host's resolv.conf for processes that cannot see the host's /etc.
 *
 * moss-net and moss-gateway look at it whenever a container asks for a name,
 * but all they see of the host is what they were shown at their start
 * (net/confine.h): a file that is replaced, as network managers do by renaming,
 * would be the old one for ever. So they are shown a directory of moss's own
 * with a copy, and whoever is outside keeps that up to date: every monitor
 * watches /etc/resolv.conf, and the first to see a change copies it, also into
 * existence and out of it.
 *
 * The directory is shared by all of a user's containers: STORE/host. A monitor
 * that gets no inotify instance leaves it to the others.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define RESOLV_COPY_DIRECTORY "host"
#define RESOLV_COPY_MAX	      (64u << 10)

/* Makes RESOLV_COPY_DIRECTORY below store_fd where it is missing; updates it.
 */
int resolv_copy_update(int store_fd, struct error *err);

/* A descriptor that is readable after changes; non-blocking. */
int resolv_watch_open(void);
/* Empties it: was it about resolv.conf? */
bool resolv_watch_read(int watch_fd);
