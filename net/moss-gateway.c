/*
 * moss-gateway: see net/gateway.h. This file has the order of things at the
 * start.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/confine.h"
#include "net/dns_server.h"
#include "net/gateway.h"
#include "net/helper.h"
#include "net/names.h"
#include "net/slirp_loop.h"

#define THREAD_STACK (1u << 20)

enum argument {
	ARGUMENT_NAME = 1,
	ARGUMENT_DIRECTORY,
	ARGUMENT_HOST,
	ARGUMENT_SUBNET,
	ARGUMENT_SUBNET6,
	ARGUMENT_WAY_OUT,
	ARGUMENT_COUNT,
};

struct gateway {
	struct dns_config dns;
	int sockets[BRIDGE_SOCKETS_MAX];
	struct slirp_loop *loop; /* NULL: no way out */
	sem_t started; /* the thread is past what the C library does first */
	sem_t confined;
};

static int parse_subnets(struct gateway *gateway, char **argv,
			 struct error *err)
{
	struct net_prefix *subnets = gateway->dns.subnets;

	if (!prefix_parse(argv[ARGUMENT_SUBNET], &subnets[0]) ||
	    (!str_equal(argv[ARGUMENT_SUBNET6], "-") &&
	     !prefix_parse(argv[ARGUMENT_SUBNET6], &subnets[1])))
		return err_set(err, ERROR_INVALID,
			       "moss-gateway and moss are not of one build");
	return 0;
}

static void take_sockets(struct gateway *gateway)
{
	while (gateway->dns.socket_count < BRIDGE_SOCKETS_MAX) {
		int fd = GATEWAY_SERVERS + (int)gateway->dns.socket_count;

		if (fcntl(fd, F_GETFD) < 0)
			break;
		gateway->sockets[gateway->dns.socket_count++] = fd;
	}
	gateway->dns.sockets = gateway->sockets;
}

/* In the new root: who is there, and a word when somebody comes or goes. */
static int open_names(struct gateway *gateway, const char *network,
		      struct error *err)
{
	cleanup_free char *path =
		xasprintf(CONFINE_DIRECTORY "/%s/endpoints", network);
	int directory_fd =
		open(CONFINE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int wake_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (directory_fd < 0 || wake_fd < 0 ||
	    inotify_add_watch(wake_fd, path,
			      IN_CREATE | IN_MOVED_TO | IN_DELETE |
				      IN_CLOSE_WRITE | IN_DELETE_SELF |
				      IN_MOVE_SELF) < 0)
		return err_errno(err, "cannot follow the containers on %s",
				 network);
	gateway->dns.names = names_new(directory_fd, network);
	gateway->dns.wake_fd = wake_fd;
	gateway->dns.grace_ms = GATEWAY_GRACE_MS;
	return 0;
}

static int open_uplink(struct gateway *gateway, const char *way_out,
		       struct error *err)
{
	struct slirp_config config = {
		.tap_fd = GATEWAY_TUN,
		.routed = true,
		.host_loopback = str_equal(way_out, "loopback"),
		.subnets = {gateway->dns.subnets[0], gateway->dns.subnets[1]},
	};

	if (str_equal(way_out, "internal"))
		return 0;
	return slirp_loop_new(&config, &gateway->loop, err);
}

static void *serve_names(void *data)
{
	struct gateway *gateway = data;

	sem_post(&gateway->started);
	while (sem_wait(&gateway->confined) < 0)
		;
	dns_serve(&gateway->dns);
	/* Nobody is left who could use the uplink. */
	_exit(EXIT_SUCCESS);
}

/* The uplink has this thread to itself, where there is one. */
static int start_names(struct gateway *gateway, struct error *err)
{
	pthread_attr_t attributes;
	pthread_t id;
	int r;

	sem_init(&gateway->started, 0, 0);
	sem_init(&gateway->confined, 0, 0);
	if (!gateway->loop)
		return 0;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	r = pthread_create(&id, &attributes, serve_names, gateway);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		return err_number(err, r, "cannot start a thread");
	while (sem_wait(&gateway->started) < 0)
		;
	return 0;
}

static int start(struct gateway *gateway, int argc, char **argv,
		 struct error *err)
{
	cleanup_free char *name = NULL;
	int r = parse_subnets(gateway, argv, err);

	if (r < 0)
		return r;
	take_sockets(gateway);
	r = confine_limits(err);
	r = r < 0 ? r
		  : confine_root(argv[ARGUMENT_HOST], argv[ARGUMENT_DIRECTORY],
				 err);
	r = r < 0 ? r : open_names(gateway, argv[ARGUMENT_NAME], err);
	r = r < 0 ? r : open_uplink(gateway, argv[ARGUMENT_WAY_OUT], err);
	r = r < 0 ? r : confine_privileges(0, err);
	r = r < 0 ? r : start_names(gateway, err);
	if (r < 0)
		return r;
	/* The arguments are no longer needed, and are written over. */
	name = xstrdup(argv[ARGUMENT_NAME]);
	proc_name_init(argc, argv);
	proc_name_set("moss: gateway %s", name);
	return confine_syscalls(err);
}

int main(int argc, char **argv)
{
	static struct gateway gateway;
	struct error err = {0};

	signal(SIGPIPE, SIG_IGN);
	if (argc != ARGUMENT_COUNT || fcntl(GATEWAY_SOCKET, F_GETFD) < 0) {
		fprintf(stderr, "moss-gateway: started by moss only\n");
		return EXIT_FAILURE;
	}
	if (start(&gateway, argc, argv, &err) < 0) {
		error_write(GATEWAY_SOCKET, &err);
		return EXIT_FAILURE;
	}
	if (!helper_say_ready(GATEWAY_SOCKET))
		return EXIT_FAILURE;
	close(GATEWAY_SOCKET);
	if (!gateway.loop) {
		dns_serve(&gateway.dns);
		return EXIT_SUCCESS;
	}
	sem_post(&gateway.confined);
	slirp_loop_run(gateway.loop);
}
