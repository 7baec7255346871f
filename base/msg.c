#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

#define LISTEN_BACKLOG 128

/* Room for the descriptors of one message, aligned for its header. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))];
};

int msg_send(int socket_fd, const cJSON *json, const int *fds, size_t fd_count,
	     struct error *err)
{
	cleanup_free char *text = json_print(json);
	union control control = {0};
	struct iovec part = {.iov_base = text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (part.iov_len > MSG_MAX)
		return err_set(err, ERROR_INVALID,
			       "message of %zu bytes is larger than %u",
			       part.iov_len, MSG_MAX);
	if (fd_count > MSG_FDS_MAX)
		return err_set(err, ERROR_INVALID,
			       "message has more than %d descriptors",
			       MSG_FDS_MAX);
	if (fd_count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	do
		sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return err_errno(err, "cannot send a message");
	return 0;
}

/* Takes the descriptors out of a message: the first `room` to fds. */
static size_t take_fds(struct msghdr *message, int *fds, size_t room)
{
	struct cmsghdr *header;
	size_t count = 0;

	for (header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t length;

		if (header->cmsg_level != SOL_SOCKET ||
		    header->cmsg_type != SCM_RIGHTS)
			continue;
		length = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < length; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int),
			       sizeof(fd));
			if (count < room)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

int msg_receive(int socket_fd, cJSON **ret_json, int *fds, size_t *ret_fd_count,
		struct error *err)
{
	cleanup_free char *text = xrealloc(NULL, MSG_MAX, 1);
	union control control = {0};
	struct iovec part = {.iov_base = text, .iov_len = MSG_MAX};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int taken[MSG_FDS_MAX];
	size_t room = fds && ret_fd_count ? *ret_fd_count : 0;
	size_t count;
	ssize_t length;
	int r;

	do
		length = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -EAGAIN;
	/* A peer that died with our words unread is gone all the same. */
	if (length < 0 && errno == ECONNRESET)
		return 0;
	if (length < 0)
		return err_errno(err, "cannot receive a message");

	count = take_fds(&message, taken,
			 room < MSG_FDS_MAX ? room : MSG_FDS_MAX);
	if (length == 0)
		r = 0;
	else if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = err_set(err, ERROR_INVALID, "received message is too long");
	else
		r = json_parse(text, (size_t)length, "message", ret_json, err);
	if (length == 0 || r < 0) {
		while (count > 0)
			close(taken[--count]);
		return r;
	}
	if (room > 0)
		memcpy(fds, taken, count * sizeof(int));
	if (ret_fd_count)
		*ret_fd_count = count;
	return 1;
}

int msg_peer_uid(int socket_fd, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	*ret_uid = peer.uid;
	return 0;
}

/* The address of name, short whatever the directory: it stays open as *ret_fd.
 */
static int address_at(int dir_fd, const char *name, int *ret_fd,
		      const char **ret_last, struct sockaddr_un *ret_address)
{
	cleanup_free char *parent = NULL;
	cleanup_fd int fd = -1;
	char directory[PATH_FD_MAX];
	const char *last = strrchr(name, '/');
	int length;

	parent =
		last ? xstrndup(name, (size_t)(last - name + 1)) : xstrdup(".");
	last = last ? last + 1 : name;
	if (!*last)
		return -EISDIR;
	fd = openat(dir_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	path_of_fd(directory, fd);
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(ret_address->sun_path, sizeof(ret_address->sun_path),
			  "%s/%s", directory, last);
	if (length < 0 || (size_t)length >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	*ret_last = last;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int socket_listen_at(int dir_fd, const char *name, int type, struct error *err)
{
	cleanup_fd int parent_fd = -1;
	cleanup_fd int fd = -1;
	struct sockaddr_un address;
	const char *last;
	struct stat st;
	int r;

	r = address_at(dir_fd, name, &parent_fd, &last, &address);
	if (r < 0)
		return err_number(err, r, "cannot listen at %s", name);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "cannot make a socket for %s", name);
	/* Left by one that was killed; who may listen here is told by locks. */
	if (fstatat(parent_fd, last, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode))
		unlinkat(parent_fd, last, 0);
	/* Before bind(2), which gives the file this mode. */
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0)
		return err_errno(err, "cannot listen at %s", name);
	return steal_fd(&fd);
}

int socket_connect_at(int dir_fd, const char *name, int type, struct error *err)
{
	cleanup_fd int parent_fd = -1;
	cleanup_fd int fd = -1;
	struct sockaddr_un address;
	const char *last;
	int r;

	r = address_at(dir_fd, name, &parent_fd, &last, &address);
	if (r < 0)
		return err_number(err, r, "cannot connect to %s", name);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "cannot make a socket for %s", name);
	do
		r = connect(fd, (const struct sockaddr *)&address,
			    sizeof(address));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_errno(err, "cannot connect to %s", name);
	return steal_fd(&fd);
}

cJSON *error_to_json(const struct error *err)
{
	cJSON *json = json_object();

	json_set_string(json, "kind", error_meaning(err->kind)->name);
	json_set_i64(json, "errno", err->number);
	json_set_string(json, "message", err->message);
	if (err->hint[0])
		json_set_string(json, "hint", err->hint);
	return json;
}

void error_from_json(const cJSON *json, struct error *ret_err)
{
	enum error_kind kind = ERROR_GENERIC;
	const char *name = NULL;
	const char *message = NULL;
	const char *hint = NULL;
	int64_t number = 0;

	/* Whatever is wrong with the reply, the result is an error. */
	json_get_string(json, "error", "kind", &name, NULL);
	json_get_i64(json, "error", "errno", &number, NULL);
	json_get_string(json, "error", "message", &message, NULL);
	json_get_string(json, "error", "hint", &hint, NULL);
	for (unsigned int i = ERROR_NONE + 1; i < ERROR_KIND_COUNT; i++) {
		if (str_equal(error_meaning((enum error_kind)i)->name, name))
			kind = (enum error_kind)i;
	}
	err_set(ret_err, kind, "%s", message ? message : "unknown error");
	if (number > 0 && number < 4096)
		ret_err->number = (int)number;
	if (hint)
		err_hint(ret_err, "%s", hint);
}
