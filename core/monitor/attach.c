#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/monitor/monitor.h"

#define CLIENTS_MAX   64
#define HEADER_LENGTH 8
#define REPLAY_STEP   256	/* log entries before others have their turn */
#define LAST_SNDBUF   (1 << 20) /* the kernel takes what its limit allows */

struct client {
	struct monitor *monitor;
	struct client *next;
	int fd;
	struct loop_source *source;
	uint32_t events;
	bool out, err;
	bool in;	 /* its input is not at its end */
	bool is_leaving; /* the run that it was attached to has ended */
	/* The log up to now comes first; what is written meanwhile comes out
	 * of the log too. */
	struct log_reader *replay;
	char *kept; /* what it did not take yet */
	size_t kept_length, kept_offset;
};

static void client_remove(struct client *client)
{
	struct monitor *monitor = client->monitor;
	struct client **link = &monitor->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	monitor->client_count--;
	loop_remove(client->source);
	close_fd(&client->fd);
	log_reader_close(client->replay);
	free(client->kept);
	free(client);
}

static bool client_is_behind(const struct client *client)
{
	return client->kept_length > 0 || client->replay;
}

static void client_update(struct client *client)
{
	uint32_t events = 0;

	if (client->in && client->monitor->input.kept_length == 0)
		events |= EPOLLIN;
	if (client_is_behind(client))
		events |= EPOLLOUT;
	if (events != client->events &&
	    loop_set_events(client->source, events) == 0)
		client->events = events;
}

static void client_keep(struct client *client, const char *data, size_t length)
{
	if (length == 0)
		return;
	if (client->kept_offset > 0) {
		memmove(client->kept, client->kept + client->kept_offset,
			client->kept_length);
		client->kept_offset = 0;
	}
	client->kept = xrealloc(client->kept, client->kept_length + length, 1);
	memcpy(client->kept + client->kept_length, data, length);
	client->kept_length += length;
}

/* Sends what was kept: 0, or negative errno when the client has gone. */
static int client_flush(struct client *client)
{
	while (client->kept_length > 0) {
		ssize_t sent =
			send(client->fd, client->kept + client->kept_offset,
			     client->kept_length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -errno;
		client->kept_offset += (size_t)sent;
		client->kept_length -= (size_t)sent;
	}
	free(client->kept);
	client->kept = NULL;
	client->kept_offset = 0;
	return 0;
}

/* As above. With a terminal the bytes go as they are, else in a frame. */
static int client_send(struct client *client, int stream, const char *data,
		       size_t length)
{
	char header[HEADER_LENGTH] = {(char)stream};
	uint32_t size = htobe32((uint32_t)length);
	size_t skip = client->monitor->launch.terminal ? HEADER_LENGTH : 0;
	struct iovec parts[] = {
		{.iov_base = header + skip, .iov_len = HEADER_LENGTH - skip},
		{.iov_base = (char *)(uintptr_t)data, .iov_len = length},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t sent = 0;

	memcpy(header + 4, &size, sizeof(size));
	if (client->kept_length == 0) {
		do
			sent = sendmsg(client->fd, &message,
				       MSG_DONTWAIT | MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN)
			return -errno;
		if (sent < 0)
			sent = 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t done = (size_t)sent < parts[i].iov_len
				      ? (size_t)sent
				      : parts[i].iov_len;

		client_keep(client, (char *)parts[i].iov_base + done,
			    parts[i].iov_len - done);
		sent -= (ssize_t)done;
	}
	return 0;
}

static bool client_wants(const struct client *client, int stream)
{
	return stream == 2 ? client->err : client->out;
}

/* The end of the log: the line that is not there yet, then the live output. */
static int replay_end(struct client *client)
{
	struct monitor *monitor = client->monitor;
	int r = 0;

	log_reader_close(client->replay);
	client->replay = NULL;
	for (int stream = 1; stream <= 2 && r == 0 && monitor->log; stream++) {
		size_t length;
		const char *text =
			log_writer_unfinished(monitor->log, stream, &length);

		if (length > 0 && client_wants(client, stream))
			r = client_send(client, stream, text, length);
	}
	return r;
}

static int client_replay(struct client *client)
{
	for (int i = 0; i < REPLAY_STEP && client->kept_length == 0; i++) {
		struct log_entry entry;
		int r = log_reader_next(client->replay, &entry, NULL);

		if (r <= 0)
			return replay_end(client);
		if (!client_wants(client, entry.stream))
			continue;
		r = client_send(client, entry.stream, entry.text, entry.length);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Flushes and replays: negative errno when the client has gone. */
static int client_catch_up(struct client *client)
{
	int r = client_flush(client);

	if (r == 0 && client->replay && client->kept_length == 0)
		r = client_replay(client);
	return r;
}

void clients_write(struct monitor *monitor, int stream, const char *data,
		   size_t length)
{
	struct client *next;

	for (struct client *client = monitor->clients; client; client = next) {
		next = client->next;
		if (client->replay || client->is_leaving ||
		    !client_wants(client, stream))
			continue;
		if (client_send(client, stream, data, length) < 0)
			client_remove(client);
		else
			client_update(client);
	}
}

bool clients_are_slow(const struct monitor *monitor)
{
	const struct client *client = monitor->clients;

	while (client && (client->replay || client->is_leaving ||
			  client->kept_length == 0))
		client = client->next;
	return client != NULL;
}

/* ---- the container's standard input ---- */

static void update_clients(struct monitor *monitor)
{
	for (struct client *client = monitor->clients; client;
	     client = client->next)
		client_update(client);
}

static void input_close(struct monitor *monitor)
{
	struct input *input = &monitor->input;

	loop_remove(input->source);
	input->source = NULL;
	close_fd(&input->fd);
	free(input->kept);
	input->kept = NULL;
	input->kept_length = 0;
	update_clients(monitor);
}

static void on_input(struct loop_source *source, int fd, uint32_t events,
		     void *data)
{
	struct monitor *monitor = data;
	struct input *input = &monitor->input;
	ssize_t written =
		write(fd, input->kept + input->kept_offset, input->kept_length);

	if (written < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (written < 0) {
		input_close(monitor);
		return;
	}
	input->kept_offset += (size_t)written;
	input->kept_length -= (size_t)written;
	if (input->kept_length > 0)
		return;
	if (input->ending) {
		input_close(monitor);
		return;
	}
	loop_remove(input->source);
	input->source = NULL;
	free(input->kept);
	input->kept = NULL;
	update_clients(monitor);
}

static void input_write(struct monitor *monitor, const char *data,
			size_t length)
{
	struct input *input = &monitor->input;
	ssize_t written;

	if (input->fd < 0 || input->ending)
		return;
	written = write(input->fd, data, length);
	if (written < 0 && errno != EAGAIN && errno != EINTR) {
		input_close(monitor);
		return;
	}
	if (written < 0)
		written = 0;
	if ((size_t)written == length)
		return;
	if (loop_add_fd(monitor->loop, input->fd, EPOLLOUT, on_input, monitor,
			&input->source, NULL) < 0) {
		input_close(monitor);
		return;
	}
	input->kept_offset = 0;
	input->kept_length = length - (size_t)written;
	input->kept = xrealloc(NULL, input->kept_length, 1);
	memcpy(input->kept, data + written, input->kept_length);
	update_clients(monitor);
}

/* A client has sent all its input, or gone. Docker's StdinOnce. */
static void input_end(struct client *client)
{
	struct monitor *monitor = client->monitor;

	if (!client->in)
		return;
	client->in = false;
	if (!monitor->launch.stdin_once || monitor->launch.terminal)
		return;
	if (monitor->input.kept_length > 0)
		monitor->input.ending = true;
	else
		input_close(monitor);
}

int input_start(struct monitor *monitor, struct error *err)
{
	if (monitor->input.fd >= 0 &&
	    fcntl(monitor->input.fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "cannot write the input");
	return 0;
}

void input_release(struct monitor *monitor)
{
	input_close(monitor);
}

/* ---- clients' events ---- */

/* Negative errno when the client has gone. */
static int client_read(struct client *client)
{
	struct monitor *monitor = client->monitor;
	ssize_t length = recv(client->fd, monitor->buffer, MONITOR_READ_SIZE,
			      MSG_DONTWAIT);

	if (length > 0)
		input_write(monitor, monitor->buffer, (size_t)length);
	else if (length == 0)
		input_end(client);
	else if (errno != EAGAIN && errno != EINTR)
		return -errno;
	return 0;
}

static void on_client(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct client *client = data;
	struct monitor *monitor = client->monitor;
	bool gone = false;

	if (events & EPOLLOUT)
		gone = client_catch_up(client) < 0;
	if (!gone && (events & EPOLLIN))
		gone = client_read(client) < 0;
	/* Input that came before the hang-up is read first. */
	if (!(events & EPOLLIN) || !client->in)
		gone |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	if ((monitor->ended || client->is_leaving) && !client_is_behind(client))
		gone = true;
	if (gone) {
		input_end(client);
		client_remove(client);
	} else {
		client_update(client);
	}
	if (monitor->ended && !monitor->clients)
		loop_stop(monitor->loop, 0);
	if (!monitor->ended)
		output_update(monitor);
}

static int check_stream(int fd, struct error *err)
{
	socklen_t size = sizeof(int);
	int type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    type != SOCK_STREAM)
		return err_set(err, ERROR_INVALID,
			       "attach: expected a stream socket");
	return 0;
}

static struct client *client_new(struct monitor *monitor, int fd,
				 const struct client_options *options)
{
	struct client *client = xcalloc(1, sizeof(*client));

	client->monitor = monitor;
	client->fd = fd;
	client->out = options->out;
	/* A terminal has one stream. */
	client->err = options->err;
	if (monitor->launch.terminal)
		client->out = options->out || options->err;
	client->in = options->in && monitor->launch.open_stdin;
	client->next = monitor->clients;
	monitor->clients = client;
	monitor->client_count++;
	return client;
}

int client_add(struct monitor *monitor, int fd,
	       const struct client_options *options, struct error *err)
{
	static const struct log_reader_options all = {.tail = -1};
	cleanup_fd int stream_fd = fd;
	struct client *client;
	int r = check_stream(fd, err);

	if (r < 0)
		return r;
	if (monitor->client_count >= CLIENTS_MAX)
		return err_set(err, ERROR_CONFLICT,
			       "more than %d clients are attached to container "
			       "%.12s",
			       CLIENTS_MAX, monitor->record.id);
	client = client_new(monitor, steal_fd(&stream_fd), options);
	r = loop_add_fd(monitor->loop, client->fd, 0, on_client, client,
			&client->source, err);
	if (r >= 0 && options->logs && !monitor->launch.log.disabled)
		r = log_reader_open(monitor->record.directory_fd, &all,
				    &client->replay, err);
	if (r < 0) {
		client_remove(client);
		return r;
	}
	client_update(client);
	return 0;
}

bool clients_finish(struct monitor *monitor)
{
	struct client *next;

	for (struct client *client = monitor->clients; client; client = next) {
		int size = LAST_SNDBUF;

		next = client->next;
		/* A client that is only slow finds the rest in its socket. */
		if (client->kept_length > 0)
			setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size,
				   sizeof(size));
		client->in = false;
		client->is_leaving = true;
		if (client_catch_up(client) < 0 || !client_is_behind(client))
			client_remove(client);
		else
			client_update(client);
	}
	return monitor->clients != NULL;
}

void clients_release(struct monitor *monitor)
{
	while (monitor->clients)
		client_remove(monitor->clients);
}
