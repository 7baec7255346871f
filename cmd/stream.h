/*
 * The user's terminal and a container's streams: what `run`, `start -a`,
 * `attach` and `exec` share.
 *
 * With a terminal, standard input is raw while the stream is up (restored on
 * every way out, signals that end moss included), the window's size follows,
 * and the detach keys end it. Without one, the framed stream is taken apart to
 * standard output and error.
 *
 * Signals: SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 … go to the
 * container through forward() when sig_proxy is set; otherwise, and at the
 * third SIGINT or SIGTERM, they end moss.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "cmd/command.h"

#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"
#define DETACH_KEYS_MAX	    16

struct detach_keys {
	unsigned char keys[DETACH_KEYS_MAX];
	size_t count; /* 0: detaching is off */
};

/* "ctrl-p,ctrl-q", "a,ctrl-@", "DEL": docker's form. "" switches it off. */
int detach_keys_parse(const char *text, struct detach_keys *ret_keys,
		      struct error *err);
/* --detach-keys, or what docker's config.json has, or the default. */
int detach_keys_choose(const struct options *options,
		       struct detach_keys *ret_keys, struct error *err);

struct stream_options {
	/* The container's side: one socket (attach), or the pty master. */
	int stream_fd;
	bool terminal; /* raw both ways */
	bool framed;   /* docker's 8-byte headers from the container's side */
	bool input;    /* copy standard input */
	/* exec without a terminal: pipes instead of a stream, -1 unused.
	   stdin_pipe is handed over: closing it tells of the end of input. */
	int stdin_pipe;
	int stdout_pipe;
	int stderr_pipe;
	int wait_fd; /* becomes readable when the process has ended; -1 */
	const struct detach_keys *detach;
	bool sig_proxy;
	void (*forward)(int signal, void *data); /* may be NULL */
	void (*resize)(unsigned int rows, unsigned int columns, void *data);
	void *data;
};

enum stream_end {
	STREAM_ENDED,	 /* the container's side is closed */
	STREAM_DETACHED, /* the user typed the detach keys */
};

/* Runs until one of the ends. Negative errno with *err on a real failure. */
int stream_run(const struct stream_options *options, enum stream_end *ret_end,
	       struct error *err);

/* "the input device is not a TTY" when -t is asked without one. */
int stream_check_tty(bool interactive, bool tty, struct error *err);
