/*
 * How monitor_start() calls the program moss-monitor:
 *
 *   moss-monitor STORE ID [ATTACH]
 *
 * with the write end of a pipe, on which one struct error tells that the
 * container runs (ERROR_NONE) or why it does not, and with ATTACH a stream and
 * a SOCK_SEQPACKET connection for the exit code, as in control.h.
 */
#pragma once

enum start_fd {
	START_FD = 3,
	START_STREAM_FD,
	START_WAIT_FD,
};

enum start_attach {
	START_ATTACH_STDIN = 'i',
	START_ATTACH_STDOUT = 'o',
	START_ATTACH_STDERR = 'e',
	START_ATTACH_LOGS = 'l',
};
#define START_ATTACH_MAX 5
