#include "core/runtime/sync.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

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
	struct sync_message copy = *message;
	struct iovec vector = {&copy, sizeof(copy)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(SYNC_FDS_MAX * sizeof(int))];
	} control = {0};
	struct msghdr packet = {.msg_iov = &vector, .msg_iovlen = 1};
	ssize_t sent;

	if (fd_count > SYNC_FDS_MAX)
		return err_number(err, EINVAL, "too many descriptors");
	if (fd_count > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
		packet.msg_control = &control;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	do
		sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return err_errno(err, "cannot talk to %s",
				 message->type == SYNC_MAPPED ||
						 message->type == SYNC_SERVED ||
						 message->type == SYNC_START
					 ? "the container's first process"
					 : "the monitor");
	return 0;
}

/* Takes what arrived; what there is no room for is closed. */
static void take_fds(struct msghdr *packet, int ret_fds[SYNC_FDS_MAX],
		     size_t *ret_count)
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header;
	     header = CMSG_NXTHDR(packet, header)) {
		size_t length = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < length; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int),
			       sizeof(int));
			if (ret_count && count < SYNC_FDS_MAX)
				ret_fds[count++] = fd;
			else
				close(fd);
		}
	}
	if (ret_count)
		*ret_count = count;
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
	struct iovec vector = {&packet, sizeof(packet)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(SYNC_FDS_MAX * sizeof(int))];
	} control;
	struct msghdr header = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	bool reset = false;
	ssize_t length;
	int r;

	for (;;) {
		length = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
		if (length >= 0 ||
		    (errno != EINTR && (errno != ECONNRESET || reset)))
			break;
		/* It ended with a packet of ours unread, but may have told why
		 * before: that comes with the next call. */
		reset = reset || errno == ECONNRESET;
	}
	if (length < 0 || (length == 0 && reset))
		return err_number(err, reset ? ECONNRESET : errno,
				  "the other process is gone");
	take_fds(&header, ret_fds, ret_fd_count);
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
