#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/monitor/monitor.h"

/* What a stray writer may still add after the container's end. */
#define DRAIN_MAX (1u << 20)
#define RETRY_MS  1000

static void on_output(struct loop_source *source, int fd, uint32_t events,
		      void *data);

/* Later if need be: otherwise the container would write to nobody for ever. */
static void watch(struct output *output)
{
	struct monitor *monitor = output->monitor;

	if (output->fd < 0 || output->source)
		return;
	if (loop_add_fd(monitor->loop, output->fd, EPOLLIN, on_output, output,
			&output->source, NULL) < 0)
		loop_timer_set(monitor->output_timer, RETRY_MS);
}

static void unwatch(struct output *output)
{
	loop_remove(output->source);
	output->source = NULL;
}

static void deliver(struct output *output, const char *data, size_t length)
{
	struct monitor *monitor = output->monitor;
	struct error err = {0};

	if (log_writer_write(monitor->log, output->stream, data, length, &err) <
		    0 &&
	    !monitor->log_failed) {
		/* The container goes on; its lines are lost. */
		monitor->log_failed = true;
		err_wrap(&err, "log lines are lost");
		monitor_note(monitor, &err);
	}
	if (log_writer_has_rotated(monitor->log))
		compress_next(monitor);
	clients_write(monitor, output->stream, data, length);
}

static void on_timer(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	for (size_t i = 0; i < ARRAY_SIZE(monitor->outputs); i++)
		if (!monitor->output_held)
			watch(&monitor->outputs[i]);
}

/*
 * The end of a pipe is its end; a terminal whose far side nobody has open may
 * be opened again.
 */
static void end_output(struct output *output)
{
	struct monitor *monitor = output->monitor;

	unwatch(output);
	if (!monitor->launch.terminal || monitor->ended)
		close_fd(&output->fd);
	else if (monitor->output_timer)
		loop_timer_set(monitor->output_timer, RETRY_MS);
}

/* Bytes read, 0 when there are none at present or any more. */
static size_t read_output(struct output *output)
{
	struct monitor *monitor = output->monitor;
	ssize_t length = read(output->fd, monitor->buffer, MONITOR_READ_SIZE);

	if (length > 0) {
		monitor_settle_later(monitor);
		deliver(output, monitor->buffer, (size_t)length);
		return (size_t)length;
	}
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	end_output(output);
	return 0;
}

static void on_output(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct output *output = data;

	read_output(output);
	output_update(output->monitor);
}

/*
 * Keeps the far side open, so that the terminal does not hang up between two
 * programs that use it.
 */
static void hold_terminal(struct monitor *monitor)
{
	int fd = ioctl(monitor->outputs[0].fd, TIOCGPTPEER,
		       O_RDWR | O_NOCTTY | O_CLOEXEC);

	monitor->terminal_fd = fd < 0 ? -1 : fd;
}

int output_start(struct monitor *monitor, struct error *err)
{
	int r = loop_add_timer(monitor->loop, -1, on_timer, monitor,
			       &monitor->output_timer, err);

	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++) {
		struct output *output = &monitor->outputs[i];

		if (output->fd < 0)
			continue;
		if (fcntl(output->fd, F_SETFL, O_NONBLOCK) < 0)
			return err_errno(err, "cannot read the output");
		r = loop_add_fd(monitor->loop, output->fd, EPOLLIN, on_output,
				output, &output->source, err);
		if (r < 0)
			return r;
	}
	if (monitor->launch.terminal)
		hold_terminal(monitor);
	return 0;
}

void output_update(struct monitor *monitor)
{
	bool held = clients_are_slow(monitor);

	if (held == monitor->output_held)
		return;
	monitor->output_held = held;
	for (int i = 0; i < 2; i++) {
		/* Not only masked: epoll reports a hang-up all the same. */
		if (held)
			unwatch(&monitor->outputs[i]);
		else
			watch(&monitor->outputs[i]);
	}
}

void output_drain(struct monitor *monitor)
{
	for (int i = 0; i < 2; i++) {
		struct output *output = &monitor->outputs[i];
		size_t total = 0;

		while (output->fd >= 0 && total < DRAIN_MAX) {
			size_t length = read_output(output);

			if (length == 0)
				break;
			total += length;
		}
		unwatch(output);
		close_fd(&output->fd);
	}
}

void output_release(struct monitor *monitor)
{
	for (int i = 0; i < 2; i++) {
		unwatch(&monitor->outputs[i]);
		close_fd(&monitor->outputs[i].fd);
	}
	loop_remove(monitor->output_timer);
	monitor->output_timer = NULL;
	close_fd(&monitor->terminal_fd);
}
