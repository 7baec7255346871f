/*
 * net/resolv_copy.h, and what a container's questions for names reach while the
 * host's resolv.conf is made, replaced and removed: moss-net between namespaces
 * of the test's own, with an /etc of its own.
 */
#include "net/resolv_copy.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "tests/unit/uplink_world.h"

/* The library looks at the file once a second; tenths of one. */
#define CHANGE_TRIES 50

static char directory[] = "/tmp/moss-resolv-XXXXXX";
static int etc_fd = -1;
static int store_fd = -1;
static int watch_fd = -1;
static struct world world;

static bool write_file(const char *name, const char *text)
{
	int fd = openat(etc_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0644);
	bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	return close(fd) == 0 && written;
}

/* What a monitor does when the watch wakes it. */
static void take_change(void)
{
	struct pollfd wait = {.fd = watch_fd, .events = POLLIN};
	struct error err = {0};

	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_true(resolv_watch_read(watch_fd));
	if (resolv_copy_update(store_fd, &err) < 0)
		fail_msg("%s", err.message);
}

static void assert_copy(const char *wanted)
{
	cleanup_free char *text = NULL;
	int r = file_read_at(store_fd, RESOLV_COPY_DIRECTORY "/resolv.conf",
			     RESOLV_COPY_MAX, &text, NULL, NULL);

	if (!wanted) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	assert_int_equal(r, 0);
	assert_string_equal(text, wanted);
}

static char ask(char question)
{
	char answer = 0;

	assert_int_equal(write(world.command_fd, &question, 1), 1);
	assert_int_equal(read(world.command_fd, &answer, 1), 1);
	return answer;
}

static void assert_answer(char question, char wanted)
{
	char answer = 0;

	for (int i = 0; i < CHANGE_TRIES; i++) {
		answer = ask(question);
		if (answer == wanted)
			break;
		usleep(100000);
	}
	assert_int_equal(answer, wanted);
}

/* Other files of /etc concern nobody. */
static void test_watch(void **state)
{
	assert_copy(NULL);
	assert_true(write_file("hosts", "127.0.0.1 localhost\n"));
	assert_false(resolv_watch_read(watch_fd));
	assert_false(resolv_watch_read(watch_fd));
	assert_true(write_file("resolv.conf", ""));
	take_change();
	assert_copy("");
	assert_int_equal(unlinkat(etc_fd, "resolv.conf", 0), 0);
	take_change();
	assert_copy(NULL);
}

/* systemd-resolved's address, from nothing; then as network managers do it. */
static void test_container(void **state)
{
	assert_int_equal(ask('4'), '-');

	assert_true(write_file("resolv.conf", "nameserver 127.0.0.53\n"));
	take_change();
	assert_answer('4', 'a');

	assert_true(write_file("resolv.conf.new", "nameserver 127.0.0.54\n"));
	assert_int_equal(
		renameat(etc_fd, "resolv.conf.new", etc_fd, "resolv.conf"), 0);
	take_change();
	assert_answer('4', 'b');

	assert_true(write_file("resolv.conf", "nameserver ::1\n"));
	take_change();
	assert_answer('6', 'c');
	assert_answer('4', '-');

	assert_int_equal(unlinkat(etc_fd, "resolv.conf", 0), 0);
	take_change();
	assert_copy(NULL);
	assert_answer('6', '-');
}

/* Resolvers on the host's loopback; each has an answer of its own. */
static _Noreturn void serve_resolvers(void)
{
	static const char *const addresses[] = {"127.0.0.53", "127.0.0.54"};
	struct pollfd fds[3];

	for (int i = 0; i < 3; i++) {
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
					  .sin6_port = htons(53),
					  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
		struct sockaddr_in v4 = {.sin_family = AF_INET,
					 .sin_port = htons(53)};
		int fd = socket(i < 2 ? AF_INET : AF_INET6,
				SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (i < 2)
			inet_pton(AF_INET, addresses[i], &v4.sin_addr);
		if (bind(fd,
			 i < 2 ? (struct sockaddr *)&v4
			       : (struct sockaddr *)&v6,
			 i < 2 ? sizeof(v4) : sizeof(v6)) < 0)
			perror("bind");
		fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	for (;;) {
		poll(fds, 3, -1);
		for (int i = 0; i < 3; i++) {
			struct sockaddr_storage from = {0};
			socklen_t length = sizeof(from);
			char answer = (char)('a' + i);

			if (!fds[i].revents ||
			    recvfrom(fds[i].fd, &(char){0}, 1, 0,
				     (struct sockaddr *)&from, &length) < 0)
				continue;
			sendto(fds[i].fd, &answer, 1, 0,
			       (struct sockaddr *)&from, length);
		}
	}
}

static void *resolvers_main(void *data)
{
	serve_resolvers();
}

static bool prepare(void)
{
	cleanup_free char *etc = NULL;
	struct error err = {0};

	if (unshare(CLONE_NEWNET) < 0 || netns_loopback_up(&err) < 0 ||
	    !mkdtemp(directory))
		return false;
	etc = xasprintf("%s/etc", directory);
	store_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdir(etc, 0755) < 0 || mount(etc, "/etc", NULL, MS_BIND, NULL) < 0)
		return false;
	etc_fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	watch_fd = resolv_watch_open();
	return etc_fd >= 0 && watch_fd >= 0 &&
	       resolv_copy_update(store_fd, &err) >= 0;
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_container),
	};
	cleanup_free char *host = NULL;
	struct error err = {0};
	pthread_t thread;
	int failures;

	if (!prepare()) {
		perror("cannot make a host");
		return 1;
	}
	host = xasprintf("%s/" RESOLV_COPY_DIRECTORY, directory);
	world.resolv_directory = host;
	if (pthread_create(&thread, NULL, resolvers_main, NULL) != 0)
		return 1;
	if (world_make(&world, false, &err) < 0) {
		fprintf(stderr, "%s; %s\n", err.message, err.hint);
		return 1;
	}
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	world_end(&world);
	umount2("/etc", MNT_DETACH);
	tree_remove_at(AT_FDCWD, directory, NULL);
	return failures;
}

int main(int argc, char **argv)
{
	/* Built in BUILD/tests, moss-net in BUILD. */
	cleanup_free char *build = xasprintf("%s/../..", argv[0]);

	setenv("MOSS_LIBEXEC", build, 0);
	return namespace_run(run);
}
