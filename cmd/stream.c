#include "cmd/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/command.h"

#define BUFFER_SIZE  65536
#define FRAME_HEADER 8
#define SIGNALS_MAX  3

/* What arrived from one descriptor and still has to go out. */
struct channel {
	int from; /* -1: closed */
	int to;
	size_t start, end;
	unsigned char data[BUFFER_SIZE];
};

struct stream {
	const struct stream_options *options;
	struct channel input;
	struct channel output[2]; /* stdout and stderr, or [0] the stream */
	size_t frame_left;	  /* bytes of the present frame still to come */
	int frame_to;
	unsigned char header[FRAME_HEADER];
	size_t header_length;
	size_t matched; /* detach keys typed so far */
	int signal_fd;
	sigset_t old_mask;
	bool raw;
	struct termios old_termios;
	int impatience; /* signals to end it that were passed on */
	bool ended, detached, exited;
};

static const int forwarded_signals[] = {
	SIGINT,	 SIGTERM, SIGHUP,  SIGQUIT,  SIGUSR1,
	SIGUSR2, SIGALRM, SIGCONT, SIGWINCH,
};

static void terminal_restore(struct stream *stream)
{
	if (stream->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &stream->old_termios);
	stream->raw = false;
}

static void terminal_raw(struct stream *stream)
{
	struct termios raw;

	if (!stream->options->terminal || !stream->options->input)
		return;
	if (!stream->raw && tcgetattr(STDIN_FILENO, &stream->old_termios) < 0)
		return;
	raw = stream->old_termios;
	cfmakeraw(&raw);
	stream->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void send_size(const struct stream *stream)
{
	struct winsize size;

	if (!stream->options->terminal || !stream->options->resize)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 &&
	    ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	if (size.ws_row && size.ws_col)
		stream->options->resize(size.ws_row, size.ws_col,
					stream->options->data);
}

/* A first process without a handler ignores what it is sent: the third signal
   to end it ends moss instead, as docker has it. */
static bool is_impatient(struct stream *stream, int signal)
{
	if (signal != SIGINT && signal != SIGTERM)
		return false;
	if (++stream->impatience < SIGNALS_MAX)
		return false;
	terminal_restore(stream);
	fprintf(stderr,
		"moss: got %d SIGTERM/SIGINTs, forcefully exiting\n"
		"The container does not end of them; `moss stop` or `moss "
		"kill` "
		"ends it.\n",
		SIGNALS_MAX);
	return true;
}

static void on_signal(struct stream *stream)
{
	const struct stream_options *options = stream->options;
	struct signalfd_siginfo info;
	int signal;

	if (read(stream->signal_fd, &info, sizeof(info)) !=
	    (ssize_t)sizeof(info))
		return;
	signal = (int)info.ssi_signo;
	if (signal == SIGWINCH) {
		send_size(stream);
	} else if (signal == SIGCONT) {
		/* The shell took the terminal back while moss was stopped. */
		terminal_raw(stream);
		send_size(stream);
	} else if (options->sig_proxy && options->forward &&
		   !is_impatient(stream, signal)) {
		options->forward(signal, options->data);
	} else {
		/* Die of it as if it had never been caught. */
		terminal_restore(stream);
		sigprocmask(SIG_SETMASK, &stream->old_mask, NULL);
		raise(signal);
	}
}

/* Takes the detach keys out of what was typed; true when they are complete. */
static bool detach_filter(struct stream *stream, const unsigned char *typed,
			  size_t length)
{
	const struct detach_keys *keys = stream->options->detach;
	struct channel *input = &stream->input;

	for (size_t i = 0; i < length; i++) {
		if (typed[i] == keys->keys[stream->matched]) {
			if (++stream->matched == keys->count)
				return true;
			continue;
		}
		/* Not the sequence after all: it was meant for the program. */
		memcpy(input->data + input->end, keys->keys, stream->matched);
		input->end += stream->matched;
		stream->matched = typed[i] == keys->keys[0] ? 1 : 0;
		if (!stream->matched)
			input->data[input->end++] = typed[i];
	}
	return false;
}

static void input_read(struct stream *stream)
{
	const struct detach_keys *keys = stream->options->detach;
	struct channel *input = &stream->input;
	unsigned char typed[BUFFER_SIZE / (DETACH_KEYS_MAX + 1)];
	ssize_t n;

	n = read(input->from, typed, sizeof(typed));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		input->from = -1;
		return;
	}
	input->start = input->end = 0;
	if (stream->options->terminal && keys && keys->count > 0) {
		stream->detached = detach_filter(stream, typed, (size_t)n);
	} else {
		memcpy(input->data, typed, (size_t)n);
		input->end = (size_t)n;
	}
}

/* Tells the program that its input has ended, once all of it went out. */
static void input_finish(struct stream *stream)
{
	const struct stream_options *options = stream->options;

	if (stream->input.to < 0)
		return;
	if (options->stdin_pipe >= 0) {
		close(options->stdin_pipe);
	} else if (!options->terminal) {
		shutdown(options->stream_fd, SHUT_WR);
	}
	stream->input.to = -1;
}

static void input_write(struct stream *stream)
{
	struct channel *input = &stream->input;
	ssize_t n;

	n = write(input->to, input->data + input->start,
		  input->end - input->start);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) { /* the program does not listen any more */
		input->from = -1;
		input->start = input->end = 0;
		return;
	}
	input->start += (size_t)n;
}

static void output_read(struct channel *channel)
{
	ssize_t n = read(channel->from, channel->data, sizeof(channel->data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) { /* EIO: the last user of a pty has gone */
		channel->from = -1;
		return;
	}
	channel->start = 0;
	channel->end = (size_t)n;
}

/* Takes one frame header apart, as far as it is there. */
static void frame_header(struct stream *stream, struct channel *channel)
{
	while (stream->header_length < FRAME_HEADER &&
	       channel->start < channel->end)
		stream->header[stream->header_length++] =
			channel->data[channel->start++];
	if (stream->header_length < FRAME_HEADER)
		return;
	stream->frame_to =
		stream->header[0] == 2 ? STDERR_FILENO : STDOUT_FILENO;
	stream->frame_left = (size_t)stream->header[4] << 24 |
			     (size_t)stream->header[5] << 16 |
			     (size_t)stream->header[6] << 8 | stream->header[7];
	stream->header_length = 0;
}

/* A pipe or terminal that poll(2) calls writable takes PIPE_BUF bytes without
   blocking, which would keep signals waiting. */
static size_t write_limit(int fd)
{
	struct stat status;

	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return BUFFER_SIZE;
	return 4096;
}

static int output_write(struct stream *stream, struct channel *channel,
			struct error *err)
{
	size_t length = channel->end - channel->start;
	int to = channel->to;
	ssize_t n;

	if (stream->options->framed) {
		to = stream->frame_to;
		if (length > stream->frame_left)
			length = stream->frame_left;
	}
	if (length > write_limit(to))
		length = write_limit(to);
	n = write(to, channel->data + channel->start, length);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return err_errno(err, "cannot write to standard %s",
				 to == STDERR_FILENO ? "error" : "output");
	channel->start += (size_t)n;
	if (stream->options->framed)
		stream->frame_left -= (size_t)n;
	return 0;
}

static bool channel_has_data(const struct channel *channel)
{
	return channel->start < channel->end;
}

/* Where a channel's next bytes go, or -1. Framed: known after the header. */
static int output_target(struct stream *stream, struct channel *channel)
{
	while (stream->options->framed && stream->frame_left == 0 &&
	       channel_has_data(channel))
		frame_header(stream, channel);
	if (!channel_has_data(channel))
		return -1;
	return stream->options->framed ? stream->frame_to : channel->to;
}

enum { SLOT_SIGNAL, SLOT_INPUT, SLOT_OUTPUT, SLOT_WAIT = 4, SLOT_COUNT };

static void poll_slots(struct stream *stream, struct pollfd slots[SLOT_COUNT])
{
	struct channel *input = &stream->input;

	for (size_t i = 0; i < SLOT_COUNT; i++)
		slots[i] = (struct pollfd){.fd = -1};
	slots[SLOT_SIGNAL] =
		(struct pollfd){.fd = stream->signal_fd, .events = POLLIN};
	if (channel_has_data(input))
		slots[SLOT_INPUT] =
			(struct pollfd){.fd = input->to, .events = POLLOUT};
	else if (input->from >= 0)
		slots[SLOT_INPUT] =
			(struct pollfd){.fd = input->from, .events = POLLIN};
	for (size_t i = 0; i < 2; i++) {
		struct channel *channel = &stream->output[i];
		int target = output_target(stream, channel);

		slots[SLOT_OUTPUT + i].fd =
			target >= 0 ? target : channel->from;
		slots[SLOT_OUTPUT + i].events = target >= 0 ? POLLOUT : POLLIN;
	}
	if (!stream->exited)
		slots[SLOT_WAIT] = (struct pollfd){
			.fd = stream->options->wait_fd, .events = POLLIN};
}

static int serve(struct stream *stream, struct pollfd slots[SLOT_COUNT],
		 struct error *err)
{
	struct channel *input = &stream->input;
	int r;

	if (slots[SLOT_SIGNAL].revents)
		on_signal(stream);
	if (slots[SLOT_INPUT].revents) {
		if (channel_has_data(input))
			input_write(stream);
		else
			input_read(stream);
	}
	if (input->from < 0 && !channel_has_data(input))
		input_finish(stream);
	for (size_t i = 0; i < 2; i++) {
		struct channel *channel = &stream->output[i];

		if (!slots[SLOT_OUTPUT + i].revents)
			continue;
		if (!channel_has_data(channel)) {
			output_read(channel);
			continue;
		}
		r = output_write(stream, channel, err);
		if (r < 0)
			return r;
	}
	if (slots[SLOT_WAIT].revents)
		stream->exited = true;
	return 0;
}

static bool outputs_done(struct stream *stream)
{
	for (size_t i = 0; i < 2; i++)
		if (stream->output[i].from >= 0 ||
		    channel_has_data(&stream->output[i]))
			return false;
	return true;
}

static int stream_loop(struct stream *stream, struct error *err)
{
	int r;

	while (!stream->detached && !outputs_done(stream)) {
		struct pollfd slots[SLOT_COUNT];
		int ready;

		poll_slots(stream, slots);
		/* After the end only what is there already is still taken: a
		   process left in the background may hold the other end. */
		ready = poll(slots, SLOT_COUNT, stream->exited ? 0 : -1);
		if (ready < 0 && errno != EINTR)
			return err_errno(err, "cannot wait for the container");
		if (ready == 0 && stream->exited &&
		    !channel_has_data(&stream->output[0]) &&
		    !channel_has_data(&stream->output[1]))
			break;
		if (ready <= 0)
			continue;
		/* Standard input must not keep a finished stream alive. */
		if (stream->exited)
			slots[SLOT_INPUT].revents = 0;
		r = serve(stream, slots, err);
		if (r < 0)
			return r;
		if (stream->exited) {
			stream->input.from = -1;
			stream->input.start = stream->input.end = 0;
		}
	}
	return 0;
}

static void set_nonblocking(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void stream_setup(struct stream *stream)
{
	const struct stream_options *options = stream->options;
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded_signals); i++)
		sigaddset(&mask, forwarded_signals[i]);
	sigprocmask(SIG_BLOCK, &mask, &stream->old_mask);
	stream->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);

	stream->input.from = options->input ? STDIN_FILENO : -1;
	stream->input.to = options->stdin_pipe >= 0 ? options->stdin_pipe
						    : options->stream_fd;
	stream->output[0].from = options->stream_fd >= 0 ? options->stream_fd
							 : options->stdout_pipe;
	stream->output[0].to = STDOUT_FILENO;
	stream->output[1].from =
		options->stream_fd >= 0 ? -1 : options->stderr_pipe;
	stream->output[1].to = STDERR_FILENO;
	stream->frame_to = STDOUT_FILENO;
	set_nonblocking(stream->input.to);
	set_nonblocking(stream->output[0].from);
	set_nonblocking(stream->output[1].from);
	terminal_raw(stream);
	send_size(stream);
}

static void stream_free(struct stream *stream)
{
	terminal_restore(stream);
	if (stream->options->stdin_pipe >= 0 && stream->input.to >= 0)
		close(stream->input.to);
	close_fd(&stream->signal_fd);
	sigprocmask(SIG_SETMASK, &stream->old_mask, NULL);
	free(stream);
}

int stream_run(const struct stream_options *options, enum stream_end *ret_end,
	       struct error *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return err_number(err, ENOMEM, "cannot attach");
	stream->options = options;
	stream_setup(stream);
	r = stream_loop(stream, err);
	if (r >= 0)
		*ret_end = stream->detached ? STREAM_DETACHED : STREAM_ENDED;
	stream_free(stream);
	if (r == -EPIPE)
		output_broken_pipe();
	return r;
}

int stream_check_tty(bool interactive, bool tty, struct error *err)
{
	if (!interactive || !tty || isatty(STDIN_FILENO))
		return 0;
	err_set(err, ERROR_INVALID, "the input device is not a TTY");
	return err_hint(err, "Leave out -t when standard input is not a "
			     "terminal.");
}
