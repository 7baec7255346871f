/*
 * The user's SSH agent for a step: a process that takes connections on a socket
 * of ours and hands on what comes to the agent's, and back.
 *
 * The agent's own socket will not do: it belongs to the user, and an agent
 * refuses whoever connects as somebody else, while a step may run as any user
 * of the container. Who may connect is what owner and mode of our socket say.
 *
 * A step is hostile: no more than AGENT_CONNECTIONS_MAX connections at a time
 * are taken, further ones wait; each has two buffers of fixed size, and what is
 * in them is not looked at.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

#define AGENT_CONNECTIONS_MAX 16

/*
 * Takes listen_fd. socket_path: the agent's. Returns the PID, a child of the
 * caller that dies with it; to be ended with agent_stop().
 */
pid_t agent_start(int listen_fd, const char *socket_path, struct error *err);
void agent_stop(pid_t pid);
