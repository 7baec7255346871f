/*
 * Snapshots with both drivers, in the way the runtime uses them: a container's
 * first process in namespaces of its own mounts, this one serves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/root/snapshot.h"
#include "tests/unit/namespace.h"

#define ID_A      \
	"sha256:" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B      \
	"sha256:" \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* The same IDs as here; every one of the container one further up here. */
#define MAP_SAME    "0 0 1\n1 1 65535\n"
#define MAP_SINGLE  "0 0 1\n"
#define MAP_SHIFTED "0 1 1000\n"

static char directory[PATH_MAX]; /* of one test */
static struct store store;
static struct error error;

static const enum snapshot_driver both[] = {SNAPSHOT_OVERLAY,
					    SNAPSHOT_FUSE_OVERLAYFS};

static const char *map_same(void)
{
	return namespace_ids > 1 ? MAP_SAME : MAP_SINGLE;
}

/* A store whose path has what mount options are split at. */
static int set_up_at(const char *name)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];
	char template[PATH_MAX];

	snprintf(template, sizeof(template), "%s/moss-snapshot-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(template))
		return -1;
	strcpy(directory, template);
	snprintf(path, sizeof(path), "%.3000s/%s", directory, name);
	err_clear(&error);
	return store_open(path, &store, &error);
}

static int set_up(void **state)
{
	return set_up_at("store, \\odd");
}

static int tear_down(void **state)
{
	store_close(&store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static int open_layer(const char *diff_id)
{
	cleanup_free char *path =
		xasprintf("%s/diff", strchr(diff_id, ':') + 1);

	assert_int_equal(path_mkdirs_at(store.layers_fd, path, 0755, NULL), 0);
	return openat(store.layers_fd, path,
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(int dir_fd, const char *path, const char *text)
{
	assert_int_equal(file_write_atomic_at(dir_fd, path, text, strlen(text),
					      0644, FILE_VOLATILE, NULL),
			 0);
}

static void make_layers(void)
{
	cleanup_fd int a = open_layer(ID_A);
	cleanup_fd int b = open_layer(ID_B);
	cleanup_fd int opaque = -1;

	assert_true(a >= 0 && b >= 0);
	put(a, "lower", "a");
	put(a, "both", "a");
	put(a, "gone", "a");
	put(a, "suid", "a");
	assert_int_equal(fchmodat(a, "suid", 04755, 0), 0);
	assert_int_equal(mkdirat(a, "opaque", 0755), 0);
	put(a, "opaque/hidden", "a");
	assert_int_equal(mkdirat(a, "merged", 0755), 0);
	put(a, "merged/a", "a");
	if (namespace_ids > 1) {
		put(a, "theirs", "a");
		assert_int_equal(fchownat(a, "theirs", 33, 44, 0), 0);
		assert_int_equal(fchmodat(a, "theirs", 0600, 0), 0);
	}
	put(b, "both", "b");
	assert_int_equal(mknodat(b, "gone", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(mkdirat(b, "opaque", 0755), 0);
	put(b, "opaque/shown", "b");
	opaque = openat(b, "opaque", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(opaque, "user.overlay.opaque", "y", 1, 0),
			 0);
	assert_int_equal(mkdirat(b, "merged", 0755), 0);
	put(b, "merged/b", "b");
}

static struct snapshot make_snapshot(enum snapshot_driver driver,
				     char *const *diff_ids, const char *name)
{
	struct snapshot snapshot = {
		.driver = driver,
		.store = &store,
		.diff_ids = diff_ids,
	};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.3000s/%s", directory, name);
	mkdir(path, 0700);
	snapshot.directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(snapshot.directory_fd >= 0);
	return snapshot;
}

static void close_snapshot(struct snapshot *snapshot)
{
	close_fd(&snapshot->directory_fd);
}

/* In a container's process: say what is wrong and end. */
#define CHECK(condition)                                                \
	do {                                                            \
		if (!(condition)) {                                     \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__,   \
				__LINE__, #condition, strerror(errno)); \
			_exit(99);                                      \
		}                                                       \
	} while (0)

struct container {
	pid_t pid;
	pid_t server;
	int socket_fd;
};

static void send_step(int socket_fd, int fd)
{
	cleanup_json cJSON *json = json_object();

	if (msg_send(socket_fd, json, &fd, fd >= 0 ? 1 : 0, NULL) < 0)
		_exit(98);
}

/* 0 at the end of file. */
static int await_step(int socket_fd, int *ret_fd)
{
	cleanup_json cJSON *json = NULL;
	int fds[1] = {-1};
	size_t count = 1;
	int r = msg_receive(socket_fd, &json, fds, &count, NULL);

	*ret_fd = fds[0];
	return r;
}

typedef void (*container_body)(int root_fd, int socket_fd);

static const char *path_of(int fd)
{
	static char path[PATH_MAX];
	char link[PATH_FD_MAX];
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, path, sizeof(path) - 1);
	CHECK(length > 0);
	path[length] = '\0';
	return path;
}

static void container_main(const struct snapshot *snapshot, int socket_fd,
			   container_body body)
{
	struct error err = {0};
	char before[PATH_MAX], after[PATH_MAX];
	int unused, fuse_fd = -1, path_fd, root_fd;
	char *path;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		_exit(97);
	send_step(socket_fd, -1);
	await_step(socket_fd, &unused);
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(getcwd(before, sizeof(before)));
	if (snapshot_mount(snapshot, &fuse_fd, &err) < 0) {
		fprintf(stderr, "%s; %s\n", err.message, err.hint);
		_exit(96);
	}
	CHECK(getcwd(after, sizeof(after)) && strcmp(before, after) == 0);
	send_step(socket_fd, fuse_fd);
	close_fd(&fuse_fd);
	await_step(socket_fd, &unused);
	path = xasprintf("%s/merged", path_of(snapshot->directory_fd));
	path_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(path_fd >= 0);
	CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
	root_fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		_exit(95);
	body(root_fd, socket_fd);
	_exit(0);
}

static struct container start(const struct snapshot *snapshot, const char *map,
			      container_body body)
{
	struct container container = {0};
	int sockets[2], fuse_fd;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets),
		0);
	fflush(NULL);
	container.pid = fork();
	assert_true(container.pid >= 0);
	if (container.pid == 0) {
		close(sockets[0]);
		container_main(snapshot, sockets[1], body);
	}
	close(sockets[1]);
	container.socket_fd = sockets[0];
	assert_int_equal(await_step(sockets[0], &fuse_fd), 1);
	assert_true(namespace_write(container.pid, "uid_map", map));
	assert_true(namespace_write(container.pid, "gid_map", map));
	send_step(sockets[0], -1);
	if (await_step(sockets[0], &fuse_fd) != 1)
		return container;
	if (fuse_fd >= 0) {
		container.server = snapshot_serve(snapshot, fuse_fd, &error);
		close(fuse_fd);
		if (container.server < 0)
			print_error("%s\n", error.message);
		assert_true(container.server > 0);
	}
	send_step(sockets[0], -1);
	return container;
}

/* Its exit status; the server must end by itself, with the mount. */
static int finish(struct container *container)
{
	int status = proc_wait(container->pid);

	close(container->socket_fd);
	if (container->server > 0)
		proc_wait(container->server);
	return status;
}

static int run_container(const struct snapshot *snapshot, const char *map,
			 container_body body)
{
	struct container container = start(snapshot, map, body);

	return finish(&container);
}

static bool reads(int dir_fd, const char *path, const char *text)
{
	cleanup_free char *content = NULL;

	return file_read_at(dir_fd, path, 4096, &content, NULL, NULL) == 0 &&
	       str_equal(content, text);
}

static bool is_there(int dir_fd, const char *path)
{
	return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void write_in(int dir_fd, const char *path, const char *text)
{
	int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0644);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void body_layers(int root_fd, int socket_fd)
{
	struct statvfs vfs;
	struct stat st;

	CHECK(fstat(root_fd, &st) == 0 && (st.st_mode & 07777) == 0755);
	CHECK(st.st_uid == 0 && st.st_gid == 0);
	CHECK(reads(root_fd, "lower", "a"));
	CHECK(reads(root_fd, "both", "b"));
	CHECK(!is_there(root_fd, "gone"));
	CHECK(!is_there(root_fd, "opaque/hidden"));
	CHECK(reads(root_fd, "opaque/shown", "b"));
	CHECK(reads(root_fd, "merged/a", "a"));
	CHECK(reads(root_fd, "merged/b", "b"));
	/* Set-uid programs work. */
	CHECK(fstatvfs(root_fd, &vfs) == 0 && !(vfs.f_flag & ST_NOSUID));

	write_in(root_fd, "lower", "changed");
	CHECK(reads(root_fd, "lower", "changed"));
	write_in(root_fd, "new", "new");
	CHECK(unlinkat(root_fd, "both", 0) == 0);
	CHECK(unlinkat(root_fd, "merged/a", 0) == 0);
	CHECK(unlinkat(root_fd, "merged/b", 0) == 0);
	CHECK(unlinkat(root_fd, "merged", AT_REMOVEDIR) == 0);
	CHECK(mkdirat(root_fd, "merged", 0755) == 0);
	CHECK(!is_there(root_fd, "merged/a"));
}

/* The second start of the same container. */
static void body_again(int root_fd, int socket_fd)
{
	CHECK(reads(root_fd, "lower", "changed"));
	CHECK(reads(root_fd, "new", "new"));
	CHECK(!is_there(root_fd, "both"));
	CHECK(!is_there(root_fd, "gone"));
	CHECK(is_there(root_fd, "merged"));
	CHECK(!is_there(root_fd, "merged/a"));
	CHECK(!is_there(root_fd, "merged/b"));
}

static void test_layers(void **state)
{
	/* B twice: an image may list the same (empty) layer many times. */
	char *const ids[] = {(char[]){ID_B}, (char[]){ID_A}, (char[]){ID_B},
			     NULL};

	make_layers();
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		CLEANUP(close_snapshot)
		struct snapshot snapshot =
			make_snapshot(both[i], ids, i ? "fuse" : "overlay");
		int dir_fd = snapshot.directory_fd;
		cleanup_fd int layer = open_layer(ID_A);

		snapshot.is_volatile = true;
		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_layers), 0);
		/* Layers never change. */
		assert_true(reads(layer, "lower", "a"));
		assert_true(reads(dir_fd, "upper/lower", "changed"));
		/* The kernel's mark stays behind as after a crash. */
		if (both[i] == SNAPSHOT_OVERLAY)
			assert_true(is_there(dir_fd,
					     "work/work/incompat/volatile"));
		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_again), 0);
		snapshot.is_volatile = false;
		snapshot.read_only = true;
		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_again), 0);
		snapshot.read_only = false;
		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_again), 0);
		assert_int_equal(snapshot_remove(&snapshot, &error), 0);
		assert_false(is_there(dir_fd, "upper"));
		assert_false(is_there(dir_fd, "work"));
		assert_false(is_there(dir_fd, "merged"));
		assert_false(is_there(dir_fd, "fuse.log"));
		assert_int_equal(snapshot_remove(&snapshot, &error), 0);
	}
}

static void test_prepare(void **state)
{
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_OVERLAY, NULL, "container");
	int fd = snapshot.directory_fd;
	mode_t mask = umask(077);
	struct stat st;

	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	umask(mask);
	assert_int_equal(fstatat(fd, "upper", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(fd, "merged", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(fd, "work", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* What the user changed on "/" stays over a restart; work does not. */
	assert_int_equal(fchmodat(fd, "upper", 0700, 0), 0);
	assert_int_equal(mkdirat(fd, "work/work", 0), 0);
	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	assert_int_equal(fstatat(fd, "upper", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_false(is_there(fd, "work/work"));
}

static void body_write(int root_fd, int socket_fd)
{
	write_in(root_fd, "new", "new");
}

static void test_no_layers(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		CLEANUP(close_snapshot)
		struct snapshot snapshot =
			make_snapshot(both[i], NULL, i ? "fuse" : "overlay");
		int fd = snapshot.directory_fd;

		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_write), 0);
		assert_true(reads(fd, "upper/new", "new"));
	}
}

static void body_many(int root_fd, int socket_fd)
{
	CHECK(is_there(root_fd, "0"));
	CHECK(is_there(root_fd, "499"));
}

/* The limit of images, with a low limit of open files. */
static void test_many_layers(void **state)
{
	const struct rlimit low = {.rlim_cur = 256, .rlim_max = 4096};
	cleanup_strv char **ids = NULL;
	struct rlimit saved;

	for (int i = 0; i < 500; i++) {
		cleanup_fd int fd = -1;
		char name[16];

		strv_push_take(&ids, xasprintf("sha256:%064d", i));
		fd = open_layer(ids[i]);
		snprintf(name, sizeof(name), "%d", i);
		put(fd, name, name);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		CLEANUP(close_snapshot)
		struct snapshot snapshot =
			make_snapshot(both[i], ids, i ? "fuse" : "overlay");

		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_many), 0);
	}
	strv_push_take(&ids, xasprintf("sha256:%064d", 500));
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		CLEANUP(close_snapshot)
		struct snapshot snapshot = make_snapshot(both[i], ids, "more");
		int fuse_fd = -1;

		/* Nothing is mounted in this namespace: it fails before. */
		if (both[i] == SNAPSHOT_OVERLAY)
			assert_int_equal(
				snapshot_mount(&snapshot, &fuse_fd, &error),
				-EINVAL);
		else
			assert_int_equal(snapshot_serve(&snapshot, 0, &error),
					 -EINVAL);
		assert_non_null(strstr(error.message, "more than 500"));
	}
}

static void body_shifted(int root_fd, int socket_fd)
{
	struct stat st;

	CHECK(fstat(root_fd, &st) == 0 && st.st_uid == 0 && st.st_gid == 0);
	CHECK(fstatat(root_fd, "lower", &st, 0) == 0);
	CHECK(st.st_uid == 0 && st.st_gid == 0);
	CHECK(fstatat(root_fd, "theirs", &st, 0) == 0);
	CHECK(st.st_uid == 33 && st.st_gid == 44);
	CHECK(fstatat(root_fd, "suid", &st, 0) == 0);
	CHECK((st.st_mode & 07777) == 04755);
	write_in(root_fd, "new", "new");
	CHECK(fchownat(root_fd, "new", 33, 33, 0) == 0);
	write_in(root_fd, "theirs", "changed");
	CHECK(mkdirat(root_fd, "tmp", 0777) == 0);
	CHECK(fchmodat(root_fd, "tmp", 01777, 0) == 0);
	/* Outside the container's map: refused, not mistaken. */
	CHECK(fchownat(root_fd, "new", 1000, 0, 0) < 0 && errno == EINVAL);

	CHECK(setresgid(34, 34, 34) == 0 && setresuid(34, 34, 34) == 0);
	CHECK(!reads(root_fd, "theirs", "changed"));
	write_in(root_fd, "tmp/by34", "x");
	CHECK(fstatat(root_fd, "tmp/by34", &st, 0) == 0);
	CHECK(st.st_uid == 34 && st.st_gid == 34);
}

static void assert_owner(int dir_fd, const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void test_shifted(void **state)
{
	char *const ids[] = {(char[]){ID_A}, (char[]){ID_B}, NULL};
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_FUSE_OVERLAYFS, ids, "shifted");
	int fd = snapshot.directory_fd;

	if (namespace_ids < 65536) {
		print_message("no subordinate IDs\n");
		skip();
	}
	make_layers();
	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	assert_int_equal(run_container(&snapshot, MAP_SHIFTED, body_shifted),
			 0);
	/* On disk as in a layer: the container's numbers in our namespace. */
	assert_owner(fd, "upper/new", 33, 33);
	assert_owner(fd, "upper/theirs", 33, 44);
	assert_owner(fd, "upper/tmp", 0, 0);
	assert_owner(fd, "upper/tmp/by34", 34, 34);
	/* So the same upper serves another map. */
	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	assert_int_equal(tree_remove_at(fd, "upper/tmp", NULL), 0);
	assert_int_equal(run_container(&snapshot, "0 100 1000\n", body_shifted),
			 0);
}

static void body_capability(int root_fd, int socket_fd)
{
	/* Revision 2, permitted and effective CAP_NET_BIND_SERVICE. */
	static const unsigned char value[20] = {1, 0, 0, 2, 0, 4};
	unsigned char back[64];
	int fd = openat(root_fd, "lower", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(fsetxattr(fd, "security.capability", value, sizeof(value), 0) ==
	      0);
	CHECK(fgetxattr(fd, "security.capability", back, sizeof(back)) == 20);
	CHECK(memcmp(value, back, sizeof(value)) == 0);
	CHECK(fsetxattr(fd, "user.mine", "x", 1, 0) == 0);
	CHECK(fgetxattr(fd, "user.mine", back, sizeof(back)) == 1);
	close(fd);
}

/* File capabilities written in a container count in it and here. */
static void test_capability(void **state)
{
	char *const ids[] = {(char[]){ID_A}, NULL};

	make_layers();
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		CLEANUP(close_snapshot)
		struct snapshot snapshot =
			make_snapshot(both[i], ids, i ? "fuse" : "overlay");
		int fd = snapshot.directory_fd;
		cleanup_fd int file = -1;
		unsigned char back[64];

		assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
		assert_int_equal(
			run_container(&snapshot, map_same(), body_capability),
			0);
		file = openat(fd, "upper/lower", O_RDONLY | O_CLOEXEC);
		assert_int_equal(fgetxattr(file, "security.capability", back,
					   sizeof(back)),
				 20);
	}
}

static void body_wait(int root_fd, int socket_fd)
{
	int unused;

	CHECK(is_there(root_fd, "lower"));
	send_step(socket_fd, -1);
	await_step(socket_fd, &unused);
	CHECK(!is_there(root_fd, "both") && errno == ENOTCONN);
}

/* A dead server is an error in the container, no hang, and can be explained. */
static void test_server_killed(void **state)
{
	char *const ids[] = {(char[]){ID_A}, NULL};
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_FUSE_OVERLAYFS, ids, "killed");
	struct container container;
	siginfo_t info;
	int unused;

	make_layers();
	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	container = start(&snapshot, map_same(), body_wait);
	assert_int_equal(await_step(container.socket_fd, &unused), 1);
	assert_int_equal(snapshot_explain(&snapshot, container.server, &error),
			 0);
	assert_int_equal(error.kind, ERROR_NONE);
	kill(container.server, SIGKILL);
	waitid(P_PID, (id_t)container.server, &info, WEXITED | WNOWAIT);
	send_step(container.socket_fd, -1);
	assert_true(snapshot_explain(&snapshot, container.server, &error) < 0);
	assert_string_equal(error.message,
			    "fuse-overlayfs was ended by SIGKILL");
	assert_int_equal(finish(&container), 0);
}

static void body_pause(int root_fd, int socket_fd)
{
	pause();
}

/* A killed monitor takes its server along. */
static void test_monitor_killed(void **state)
{
	char *const ids[] = {(char[]){ID_A}, NULL};
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_FUSE_OVERLAYFS, ids, "orphan");
	struct container container;
	int ends[2];
	pid_t monitor;
	uint64_t since;

	make_layers();
	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	monitor = fork();
	assert_true(monitor >= 0);
	if (monitor == 0) {
		container = start(&snapshot, map_same(), body_pause);
		CHECK(write(ends[1], &container, sizeof(container)) > 0);
		pause();
	}
	assert_int_equal(read(ends[0], &container, sizeof(container)),
			 sizeof(container));
	assert_int_equal(proc_start_time(container.server, &since), 0);
	kill(monitor, SIGKILL);
	proc_wait(monitor);
	for (int i = 0; i < 500 && proc_is_alive(container.server, since); i++)
		usleep(10000);
	assert_false(proc_is_alive(container.server, since));
	/* Its root may have gone before it was opened, and init reaped it. */
	if (kill(container.pid, SIGKILL) < 0)
		assert_int_equal(errno, ESRCH);
	close(ends[0]);
	close(ends[1]);
}

static void test_server_fails(void **state)
{
	char *const ids[] = {(char[]){ID_A}, NULL};
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_FUSE_OVERLAYFS, ids, "fails");
	struct container container;

	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	container = start(&snapshot, map_same(), body_write);
	/* It did not get past opening the root. */
	assert_int_equal(proc_wait(container.pid), 95);
	err_number(&error, ENOTCONN, "cannot look at the root");
	assert_true(snapshot_explain(&snapshot, container.server, &error) < 0);
	assert_non_null(strstr(error.message, "ended with status 1: "));
	assert_null(strstr(error.message, "it said nothing"));
	close(container.socket_fd);
	proc_wait(container.server);
}

static void test_layer_missing(void **state)
{
	char *const ids[] = {(char[]){ID_A}, NULL};
	char *const bad[] = {(char[]){"sha256:../../x"}, NULL};
	CLEANUP(close_snapshot)
	struct snapshot snapshot =
		make_snapshot(SNAPSHOT_OVERLAY, ids, "missing");
	int fuse_fd = -7;

	assert_int_equal(snapshot_prepare(&snapshot, &error), 0);
	assert_int_equal(snapshot_mount(&snapshot, &fuse_fd, &error), -ENOENT);
	assert_int_equal(fuse_fd, -7);
	assert_non_null(strstr(error.message, "aaaa/diff"));
	assert_string_not_equal(error.hint, "");
	snapshot.diff_ids = bad;
	assert_int_equal(snapshot_mount(&snapshot, &fuse_fd, &error), -EINVAL);
	snapshot.driver = SNAPSHOT_AUTO;
	assert_int_equal(snapshot_mount(&snapshot, &fuse_fd, &error), -EINVAL);
}

static void test_names(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_FUSE_OVERLAYFS;

	assert_int_equal(snapshot_driver_from_name("overlay", &driver, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	assert_int_equal(
		snapshot_driver_from_name("fuse-overlayfs", &driver, &error),
		0);
	assert_int_equal(driver, SNAPSHOT_FUSE_OVERLAYFS);
	assert_int_equal(snapshot_driver_from_name("zfs", &driver, &error),
			 -EINVAL);
	assert_int_equal(driver, SNAPSHOT_FUSE_OVERLAYFS);
	assert_string_equal(error.message, "unknown storage driver \"zfs\"");
	assert_string_equal(error.hint,
			    "one of: auto, overlay, fuse-overlayfs");
	assert_int_equal(snapshot_driver_from_name("", &driver, &error), 0);
	assert_int_equal(driver, SNAPSHOT_AUTO);
	assert_string_equal(snapshot_driver_name(SNAPSHOT_AUTO), "auto");
	assert_string_equal(snapshot_driver_name(SNAPSHOT_OVERLAY), "overlay");
	assert_string_equal(snapshot_driver_name(SNAPSHOT_FUSE_OVERLAYFS),
			    "fuse-overlayfs");
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		TEST(test_prepare),
		TEST(test_layers),
		TEST(test_no_layers),
		TEST(test_many_layers),
		TEST(test_shifted),
		TEST(test_capability),
		TEST(test_server_killed),
		TEST(test_monitor_killed),
		TEST(test_server_fails),
		TEST(test_layer_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
