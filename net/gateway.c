#include "net/gateway.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/helper.h"

#define PROGRAM "moss-gateway"

static char *subnet_text(const struct net_prefix *gateway)
{
	struct net_prefix subnet = prefix_mask(gateway);
	char text[PREFIX_TEXT_MAX];

	if (gateway->address.family == 0)
		return xstrdup("-");
	prefix_text(&subnet, text);
	return xstrdup(text);
}

static const char *way_out(const struct gateway_request *request)
{
	if (!request->bridge->uplink)
		return "internal";
	return request->host_loopback ? "loopback" : "uplink";
}

static pid_t spawn(const struct gateway_request *request, int socket_fd,
		   struct error *err)
{
	cleanup_free char *path = proc_helper_path(PROGRAM, err);
	cleanup_strv char **argv = NULL;
	struct spawn_fd fds[3 + BRIDGE_SOCKETS_MAX];
	size_t count = 0;
	char env[] = "MALLOC_ARENA_MAX=1";

	if (!path)
		return err ? err_return(err) : -ENOENT;
	strv_push(&argv, PROGRAM);
	strv_push(&argv, request->name);
	strv_push(&argv, request->directory);
	strv_push(&argv, request->resolv_directory);
	strv_push_take(&argv, subnet_text(&request->bridge->gateway));
	strv_push_take(&argv, subnet_text(&request->bridge->gateway6));
	strv_push(&argv, way_out(request));
	fds[count++] = (struct spawn_fd){socket_fd, GATEWAY_SOCKET};
	fds[count++] = (struct spawn_fd){request->netns_fd, GATEWAY_NETNS};
	if (request->services->tun_fd >= 0)
		fds[count++] = (struct spawn_fd){request->services->tun_fd,
						 GATEWAY_TUN};
	for (int i = 0; i < BRIDGE_SOCKETS_MAX; i++) {
		if (request->services->sockets[i] >= 0)
			fds[count++] =
				(struct spawn_fd){request->services->sockets[i],
						  GATEWAY_SERVERS + i};
	}
	return proc_spawn_orphan(
		&(struct spawn){
			.path = path,
			.argv = argv,
			/* As for moss-net: nothing else of the environment. */
			.env = (char *[]){env, NULL},
			.fds = fds,
			.fd_count = count,
			.new_session = true,
		},
		err);
}

pid_t gateway_start(const struct gateway_request *request, struct error *err)
{
	cleanup_fd int mine = -1;
	cleanup_fd int theirs = -1;
	pid_t pid;
	int r = helper_pair(PROGRAM, &mine, &theirs, err);

	if (r < 0)
		return r;
	pid = spawn(request, theirs, err);
	close_fd(&theirs);
	if (pid < 0)
		return pid;
	r = helper_wait_ready(mine, PROGRAM, err);
	return r < 0 ? r : pid;
}
