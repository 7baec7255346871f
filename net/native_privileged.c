/* Which ports of the container need CAP_NET_BIND_SERVICE. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/native_internal.h"

#define SETTING	       "sys/net/ipv4/ip_unprivileged_port_start"
#define SETTING_LENGTH 16
/* Where it cannot be read. */
#define USUALLY 1024

/* A file of /proc/sys/net is of the namespace of the thread that opens it. */
struct opener {
	int netns_fd;
	int proc_fd;
	int fd; /* or -errno */
};

static void *open_inside(void *data)
{
	struct opener *opener = data;

	if (setns(opener->netns_fd, CLONE_NEWNET) < 0)
		opener->fd = -errno;
	else
		opener->fd =
			openat(opener->proc_fd, SETTING, O_RDONLY | O_CLOEXEC);
	return NULL;
}

int native_privileged_open(const struct supervisor *supervisor, int netns_fd)
{
	struct opener opener = {
		.netns_fd = netns_fd,
		.proc_fd = supervisor->proc_fd,
		.fd = -1,
	};
	pthread_t thread;

	if (pthread_create(&thread, NULL, open_inside, &opener) != 0)
		return -1;
	pthread_join(thread, NULL);
	return native_raise(opener.fd);
}

bool native_is_privileged(const struct supervisor *supervisor, uint16_t port)
{
	char text[SETTING_LENGTH + 1];
	ssize_t length = supervisor->setting_fd < 0
				 ? -1
				 : pread(supervisor->setting_fd, text,
					 SETTING_LENGTH, 0);

	if (length <= 0)
		return port < USUALLY;
	text[length] = '\0';
	return port < strtoul(text, NULL, 10);
}
