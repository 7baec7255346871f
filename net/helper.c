#include "net/helper.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/file.h"

int helper_pair(const char *program, int *ret_mine, int *ret_theirs,
		struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "cannot start %s", program);
	*ret_mine = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

int helper_wait_ready(int socket_fd, const char *program, struct error *err)
{
	struct error result = {0};
	ssize_t length;

	do {
		length = recv(socket_fd, &result, sizeof(result), 0);
	} while (length < 0 && errno == EINTR);
	if (length == sizeof(HELPER_READY))
		return 0;
	if (length == sizeof(result))
		return err_copy(err, &result);
	if (length < 0 && errno == EAGAIN)
		return err_set(err, ERROR_TIMEOUT, "%s does not answer",
			       program);
	if (length < 0)
		return err_errno(err, "cannot hear from %s", program);
	return err_set(err, ERROR_GENERIC, "%s ended before it was ready",
		       program);
}

bool helper_say_ready(int socket_fd)
{
	return write_all(socket_fd, HELPER_READY, sizeof(HELPER_READY)) == 0;
}
