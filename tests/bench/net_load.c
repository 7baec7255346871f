/*
 * net_load: load for tests/bench/ports.py, both ends of it in one static
 * program, so that it runs in any container and any namespace.
 *
 *   net_load serve PORT
 *   net_load send HOST PORT SECONDS            Gbit/s that arrived
 *   net_load receive HOST PORT SECONDS         Gbit/s
 *   net_load echo HOST PORT COUNT              p50 p99 of a byte's way, us
 *   net_load connect HOST PORT SECONDS         connections/s p50 p99
 *   net_load request HOST PORT SECONDS COUNT   requests/s p50 p99 over COUNT
 *                                              connections that stay
 *
 * Each figure is a line of its own. A connection begins with a byte that says
 * what it is for (enum purpose); of wrk(1) it is the first of GET. The server
 * answers small messages from one epoll loop, as servers do, and gives each
 * bulk transfer a thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BULK_SIZE     (128u << 10)
#define REQUEST_SIZE  64
#define RESPONSE_SIZE 256
#define SAMPLES_MAX   (1u << 21)
#define FDS_MAX	      65536
#define EVENTS	      64

enum purpose {
	PURPOSE_ECHO = 'e',    /* what was read is sent back */
	PURPOSE_HTTP = 'G',    /* of "GET": wrk's, each is answered */
	PURPOSE_REQUEST = 'q', /* REQUEST_SIZE bytes in, RESPONSE_SIZE out */
	PURPOSE_SINK = 's',    /* reads to the end, then tells how much */
	PURPOSE_SOURCE = 'f',  /* writes until nobody reads */
};

static char zeros[BULK_SIZE];

static const char http_response[] = "HTTP/1.1 200 OK\r\n"
				    "Content-Type: text/plain\r\n"
				    "Content-Length: 6\r\n"
				    "\r\n"
				    "hello\n";

/* What the server knows of a connection. */
struct client {
	char purpose; /* 0: the byte has not come */
	size_t owed;  /* bytes of a request that is not whole */
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "net_load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void set_nodelay(int fd)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void write_whole(int fd, const void *data, size_t size)
{
	const char *bytes = data;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0)
			die("write");
		bytes += n;
		size -= (size_t)n;
	}
}

static void read_whole(int fd, void *data, size_t size)
{
	char *bytes = data;

	while (size > 0) {
		ssize_t n = read(fd, bytes, size);

		if (n < 0)
			die("read");
		if (n == 0) {
			errno = ECONNRESET;
			die("read");
		}
		bytes += n;
		size -= (size_t)n;
	}
}

/* The server. */

static void *sink(void *data)
{
	int fd = (int)(intptr_t)data;
	char *buffer = malloc(BULK_SIZE);
	uint64_t total = 0;
	ssize_t n;

	while ((n = read(fd, buffer, BULK_SIZE)) > 0)
		total += (uint64_t)n;
	if (write(fd, &total, sizeof(total)) < 0)
		perror("net_load: sink");
	close(fd);
	free(buffer);
	return NULL;
}

static void *source(void *data)
{
	int fd = (int)(intptr_t)data;

	while (write(fd, zeros, BULK_SIZE) > 0)
		;
	close(fd);
	return NULL;
}

static void start_bulk(int fd, void *(*function)(void *))
{
	pthread_t thread;

	fcntl(fd, F_SETFL, 0);
	if (pthread_create(&thread, NULL, function, (void *)(intptr_t)fd) != 0)
		close(fd);
	else
		pthread_detach(thread);
}

/* Nobody sends the next one before this one is answered. */
static bool is_whole_request(const char *bytes, ssize_t length)
{
	return length >= 4 && memcmp(bytes + length - 4, "\r\n\r\n", 4) == 0;
}

/* False when the connection is over, or no longer the loop's. */
static bool serve_message(int epoll_fd, int fd, struct client *client)
{
	static char buffer[4096];
	const char *message = buffer;
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n <= 0) {
		close(fd);
		return false;
	}
	if (client->purpose == 0) {
		const char purpose = *message++;

		n--;
		client->purpose = purpose;
		if (purpose == PURPOSE_SINK || purpose == PURPOSE_SOURCE) {
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
			start_bulk(fd, purpose == PURPOSE_SINK ? sink : source);
			return false;
		}
	}
	if (client->purpose == PURPOSE_REQUEST) {
		client->owed += (size_t)n;
		n = (ssize_t)(client->owed / REQUEST_SIZE * RESPONSE_SIZE);
		client->owed %= REQUEST_SIZE;
		message = zeros;
	}
	if (client->purpose == PURPOSE_HTTP) {
		n = is_whole_request(message, n) ? sizeof(http_response) - 1
						 : 0;
		message = http_response;
	}
	if (n > 0 && write(fd, message, (size_t)n) != n) {
		close(fd);
		return false;
	}
	return true;
}

static int listen_on(int port)
{
	const int on = 1;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static _Noreturn void serve(int port)
{
	static struct client clients[FDS_MAX];
	int listener = listen_on(port);
	int epoll_fd = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	struct epoll_event events[EVENTS];

	set_nodelay(listener); /* inherited */
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				serve_message(epoll_fd, fd, &clients[fd]);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (fd < 0 || fd >= FDS_MAX)
				continue;
			clients[fd] = (struct client){0};
			event.data.fd = fd;
			epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
		}
	}
}

/* The clients. */

static struct sockaddr_in server;

static int open_connection(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		die("connect");
	set_nodelay(fd);
	return fd;
}

static int compare(const void *a, const void *b)
{
	const float x = *(const float *)a;
	const float y = *(const float *)b;

	return (x > y) - (x < y);
}

static float *samples;
static size_t sample_count;

static void add_sample(double since)
{
	if (sample_count < SAMPLES_MAX)
		samples[sample_count++] = (float)(now_us() - since);
}

static void print_samples(void)
{
	if (sample_count == 0)
		exit(EXIT_FAILURE);
	qsort(samples, sample_count, sizeof(*samples), compare);
	printf("%.1f\n%.1f\n", samples[sample_count / 2],
	       samples[sample_count * 99 / 100]);
}

static void send_bulk(double seconds)
{
	const char purpose = PURPOSE_SINK;
	int fd = open_connection();
	double start = now_us();
	uint64_t total;

	write_whole(fd, &purpose, 1);
	while (now_us() - start < seconds * 1e6)
		write_whole(fd, zeros, BULK_SIZE);
	shutdown(fd, SHUT_WR);
	read_whole(fd, &total, sizeof(total));
	printf("%.3f\n", (double)total * 8 / (now_us() - start) / 1e3);
}

static void receive_bulk(double seconds)
{
	const char purpose = PURPOSE_SOURCE;
	int fd = open_connection();
	double start = now_us();
	double total = 0;

	write_whole(fd, &purpose, 1);
	while (now_us() - start < seconds * 1e6) {
		ssize_t n = read(fd, zeros, BULK_SIZE);

		if (n <= 0)
			die("read");
		total += (double)n;
	}
	printf("%.3f\n", total * 8 / (now_us() - start) / 1e3);
}

static void echo(size_t count)
{
	const char purpose = PURPOSE_ECHO;
	int fd = open_connection();
	char byte = 0;

	write_whole(fd, &purpose, 1);
	for (size_t i = 0; i < count + 200; i++) {
		double start = now_us();

		write_whole(fd, &byte, 1);
		read_whole(fd, &byte, 1);
		if (i >= 200)
			add_sample(start);
	}
	print_samples();
}

static void connect_often(double seconds)
{
	/* Leaves no port in TIME_WAIT. */
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};
	const char message[2] = {PURPOSE_ECHO, 'x'};
	double start = now_us();
	double before;

	while ((before = now_us()) - start < seconds * 1e6) {
		int fd = open_connection();
		char byte;

		write_whole(fd, message, sizeof(message));
		read_whole(fd, &byte, 1);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
		add_sample(before);
	}
	printf("%.1f\n", (double)sample_count / (now_us() - start) * 1e6);
	print_samples();
}

static void request_often(double seconds, size_t count)
{
	static char response[RESPONSE_SIZE];
	const char purpose = PURPOSE_REQUEST;
	int epoll_fd = epoll_create1(0);
	double *sent = calloc(FDS_MAX, sizeof(*sent));
	double start = now_us();

	for (size_t i = 0; i < count; i++) {
		int fd = open_connection();
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
		write_whole(fd, &purpose, 1);
		sent[fd] = now_us();
		write_whole(fd, zeros, REQUEST_SIZE);
	}
	while (now_us() - start < seconds * 1e6) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(epoll_fd, events, EVENTS, 1000);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;

			read_whole(fd, response, RESPONSE_SIZE);
			add_sample(sent[fd]);
			sent[fd] = now_us();
			write_whole(fd, zeros, REQUEST_SIZE);
		}
	}
	printf("%.1f\n", (double)sample_count / (now_us() - start) * 1e6);
	print_samples();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	double seconds;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(mode, "serve") == 0)
		serve(atoi(argv[2]));
	server.sin_family = AF_INET;
	if (argc < 5 || inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) {
		fprintf(stderr, "net_load: see the top of net_load.c\n");
		return 2;
	}
	server.sin_port = htons((uint16_t)atoi(argv[3]));
	seconds = atof(argv[4]);
	samples = malloc(SAMPLES_MAX * sizeof(*samples));
	if (!samples)
		die("malloc");

	if (strcmp(mode, "send") == 0)
		send_bulk(seconds);
	else if (strcmp(mode, "receive") == 0)
		receive_bulk(seconds);
	else if (strcmp(mode, "echo") == 0)
		echo((size_t)atol(argv[4]));
	else if (strcmp(mode, "connect") == 0)
		connect_often(seconds);
	else if (strcmp(mode, "request") == 0 && argc == 6)
		request_often(seconds, (size_t)atol(argv[5]));
	else
		return 2;
	return EXIT_SUCCESS;
}
