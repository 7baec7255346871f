#include "base/fds.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the descriptors of one packet, aligned for its header. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

void fds_close(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

int fds_send(int socket_fd, int flags, const void *data, size_t length,
	     const int *fds, size_t fd_count)
{
	union control control = {0};
	/* sendmsg() reads only; struct iovec has no const. */
	struct iovec part = {.iov_base = (void *)(uintptr_t)data,
			     .iov_len = length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > FDS_MAX)
		return -EINVAL;
	if (fd_count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	while (sendmsg(socket_fd, &message, MSG_NOSIGNAL | flags) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* The first `room` to fds, the others are closed; how many there were. */
static size_t take_fds(struct msghdr *message, int *fds, size_t room)
{
	size_t count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t length = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < length; i++, count++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int),
			       sizeof(fd));
			if (count < room)
				fds[count] = fd;
			else
				close(fd);
		}
	}
	return count;
}

ssize_t fds_receive(int socket_fd, int flags, void *data, size_t size, int *fds,
		    size_t *fd_count)
{
	const size_t room = *fd_count < FDS_MAX ? *fd_count : FDS_MAX;
	union control control;
	struct iovec part = {.iov_base = data, .iov_len = size};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		/* One more may fit, for the sake of alignment. */
		.msg_controllen = CMSG_SPACE(room * sizeof(int)),
	};
	size_t count;
	ssize_t length;

	do
		length = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | flags);
	while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	count = take_fds(&message, fds, room);
	if (count > room || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		fds_close(fds, count < room ? count : room);
		return -EMSGSIZE;
	}
	*fd_count = count;
	return length;
}
