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
#include "base/fds.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

#define LISTEN_BACKLOG 128

int msg_send(int socket_fd, const cJSON *json, const int *fds, size_t fd_count,
	     struct error *err)
{
	cleanup_free char *text = json_print(json);
	const size_t length = strlen(text);
	int r;

	if (length > MSG_MAX)
		return err_set(err, ERROR_INVALID,
			       "message of %zu bytes is larger than %u", length,
			       MSG_MAX);
	if (fd_count > MSG_FDS_MAX)
		return err_set(err, ERROR_INVALID,
			       "message has more than %d descriptors",
			       MSG_FDS_MAX);
	r = fds_send(socket_fd, 0, text, length, fds, fd_count);
	return r < 0 ? err_number(err, r, "cannot send a message") : 0;
}

int msg_receive(int socket_fd, cJSON **ret_json, int *fds, size_t *ret_fd_count,
		struct error *err)
{
	cleanup_free char *text = xrealloc(NULL, MSG_MAX, 1);
	int taken[MSG_FDS_MAX];
	size_t room = fds && ret_fd_count ? *ret_fd_count : 0;
	size_t count = MSG_FDS_MAX;
	ssize_t length =
		fds_receive(socket_fd, 0, text, MSG_MAX, taken, &count);
	int r;

	/* A peer that died with our words unread is gone all the same. */
	if (length == -ECONNRESET)
		return 0;
	if (length == -EAGAIN)
		return -EAGAIN;
	if (length == -EMSGSIZE)
		return err_set(err, ERROR_INVALID,
			       "received message is too long");
	if (length < 0)
		return err_number(err, (int)length, "cannot receive a message");
	r = length == 0 ? 0
			: json_parse(text, (size_t)length, "message", ret_json,
				     err);
	if (length == 0 || r < 0) {
		fds_close(taken, count);
		return r;
	}
	if (count > room) {
		fds_close(taken + room, count - room);
		count = room;
	}
	if (count > 0)
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
