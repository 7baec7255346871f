#include "core/runtime/sync.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fds.h"

union packet {
	struct sync_message message;
	struct error error;
};

_Static_assert(sizeof(struct sync_message) != sizeof(struct error),
	       "packets are told apart by their size");

int sync_pair(int *ret_parent_fd, int *ret_child_fd, struct error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_errno(err, "cannot make a socket pair");
	*ret_parent_fd = fds[0];
	*ret_child_fd = fds[1];
	return 0;
}

int sync_send(int fd, enum sync_type type, int value, const int *fds,
	      size_t fd_count, struct error *err)
{
	struct sync_message message = {.type = type, .value = value};

	return sync_send_message(fd, &message, fds, fd_count, err);
}

int sync_send_message(int fd, const struct sync_message *message,
		      const int *fds, size_t fd_count, struct error *err)
{
	int r;

	if (fd_count > SYNC_FDS_MAX)
		return err_number(err, EINVAL, "too many descriptors");
	r = fds_send(fd, 0, message, sizeof(*message), fds, fd_count);
	if (r == 0)
		return 0;
	return err_number(err, r, "cannot talk to %s",
			  message->type == SYNC_MAPPED ||
					  message->type == SYNC_SERVED ||
					  message->type == SYNC_START
				  ? "the container's first process"
				  : "the monitor");
}

/* The peer may be inside a container: nothing it says is taken as it is. */
static int take_error(struct error *sent, struct error *err)
{
	int number = sent->number > 0 && sent->number < 4096 ? sent->number : 0;
	enum error_kind kind = sent->kind;

	sent->message[sizeof(sent->message) - 1] = '\0';
	sent->hint[sizeof(sent->hint) - 1] = '\0';
	/* moss-init leaves the errno's kind and text to us. */
	if (kind == ERROR_NONE) {
		err_number(err, number, "%s", sent->message);
	} else {
		if ((unsigned int)kind >= ERROR_KIND_COUNT)
			kind = ERROR_GENERIC;
		err_set(err, kind, "%s", sent->message);
		if (err)
			err->number = number;
	}
	if (sent->hint[0])
		err_hint(err, "%s", sent->hint);
	return number ? -number : -error_meaning(kind)->number;
}

int sync_receive(int fd, struct sync_message *ret_message,
		 int ret_fds[SYNC_FDS_MAX], size_t *ret_fd_count,
		 struct error *err)
{
	union packet packet;
	int fds[SYNC_FDS_MAX];
	size_t count;
	bool reset = false;
	ssize_t length;
	int r;

	for (;;) {
		count = SYNC_FDS_MAX;
		length = fds_receive(fd, 0, &packet, sizeof(packet), fds,
				     &count);
		if (length != -ECONNRESET || reset)
			break;
		/* It ended with a packet of ours unread, but may have told why
		 * before: that comes with the next call. */
		reset = true;
	}
	if (length == -EMSGSIZE)
		return err_number(err, EBADMSG, "unexpected packet");
	if (length < 0 || (length == 0 && reset))
		return err_number(err, reset ? ECONNRESET : (int)-length,
				  "the other process is gone");
	if (ret_fd_count) {
		memcpy(ret_fds, fds, count * sizeof(int));
		*ret_fd_count = count;
	} else {
		fds_close(fds, count);
	}
	if (length == 0)
		return 0;
	if (length == sizeof(packet.error)) {
		r = take_error(&packet.error, err);
		return r < 0 ? r : -EIO;
	}
	if (length != sizeof(packet.message))
		return err_number(err, EBADMSG, "unexpected packet");
	*ret_message = packet.message;
	return 1;
}

bool sync_is_readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, timeout_ms) > 0;
}

int sync_expect(int fd, enum sync_type type, struct error *err)
{
	struct sync_message message;
	int r = sync_receive(fd, &message, NULL, NULL, err);

	if (r < 0)
		return r;
	if (r == 0)
		return err_number(err, ECONNRESET, "the other process is gone");
	if (message.type != type)
		return err_number(err, EBADMSG, "unexpected packet %u",
				  message.type);
	return 0;
}
