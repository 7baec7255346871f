/*
 * How monitor_start() calls the program moss-monitor:
 *
 *   moss-monitor STORE CONTAINERS ID [ATTACH]
 *
 * CONTAINERS tells where in the store it lies (storage/store/store.h),
 * with one end of a SOCK_SEQPACKET pair, on which one packet tells that the
 * container runs (START_RUNS, a single byte) or, a struct error, why it does
 * not; and with ATTACH a stream and a SOCK_SEQPACKET connection for the exit
 * code, as in control.h.
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
	START_ATTACH_OWNER = 'k',
};
#define START_ATTACH_MAX 6
#define START_RUNS	 'R'
