/*
 * snapshot_choose(): the only way to know whether a driver works is to use it.
 *
 * A small layered tree is made below the store's tmp/, a child with a user and
 * mount namespace of its own mounts it as a container would, and tries what
 * every image relies on: reading, whiteouts, opaque directories, copy-up,
 * removal. Some file systems and kernels mount happily and fail there. What the
 * store's file system cannot keep (an overlay no whiteouts, NFS no xattrs) is
 * left out: many images do without, and fuse-overlayfs has means of its own for
 * what a container removes. Parent
 * and child speak in turns over a socket: {} when a step was done, {"error": …}
 * when not; the child's second message carries the FUSE descriptor.
 */
#include "storage/root/snapshot_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/path.h"
#include "base/proc.h"
#include "storage/store/digest.h"
#include "storage/store/layer.h"

#define ANSWER_TIMEOUT_MS 10000
#define KEY_MAX		  8192

#define LAYER_PATH "layers/%s/" LAYER_DIFF
#define LOWER_ID  \
	"sha256:" \
	"0000000000000000000000000000000000000000000000000000000000000000"
#define UPPER_ID  \
	"sha256:" \
	"1111111111111111111111111111111111111111111111111111111111111111"

static char *const probe_ids[] = {(char[]){LOWER_ID}, (char[]){UPPER_ID}, NULL};

/* What the two layers hold. */
static const struct part {
	int layer;
	const char *path;
	const char *content; /* NULL: a directory; "": a whiteout */
} parts[] = {
	{0, "file", "lower"},	  {0, "gone", "lower"},
	{0, "opaque", NULL},	  {0, "opaque/hidden", "lower"},
	{0, "tree", NULL},	  {0, "tree/below", "lower"},
	{1, "gone", ""},	  {1, "opaque", NULL},
	{1, "opaque/shown", "x"},
};

struct trial {
	struct snapshot snapshot;
	char *root; /* path of the mounted root */
	/* Can the store's file system keep these marks? */
	bool has_whiteouts;
	bool has_xattrs;
};

static int make_part(struct trial *trial, int dir_fd, const struct part *part,
		     struct error *err)
{
	if (!part->content) {
		if (mkdirat(dir_fd, part->path, 0755) < 0)
			return err_errno(err, "cannot make a directory");
		return 0;
	}
	if (part->content[0] == '\0') {
		trial->has_whiteouts = mknodat(dir_fd, part->path, S_IFCHR,
					       makedev(0, 0)) == 0;
		return 0;
	}
	return file_write_atomic_at(dir_fd, part->path, part->content,
				    strlen(part->content), 0644, FILE_VOLATILE,
				    err);
}

static int make_layer(struct trial *trial, int work_fd, int layer,
		      struct error *err)
{
	cleanup_free char *path =
		xasprintf(LAYER_PATH, digest_hex(probe_ids[layer]));
	cleanup_fd int opaque_fd = -1;
	cleanup_fd int fd = -1;
	int r = path_mkdirs_at(work_fd, path, 0755, err);

	if (r < 0)
		return r;
	fd = openat(work_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open a directory");
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++) {
		if (parts[i].layer == layer)
			r = make_part(trial, fd, &parts[i], err);
	}
	if (r < 0 || layer == 0)
		return r;
	opaque_fd = openat(fd, "opaque", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opaque_fd < 0)
		return err_errno(err, "cannot open a directory");
	trial->has_xattrs =
		fsetxattr(opaque_fd, "user.overlay.opaque", "y", 1, 0) == 0;
	return 0;
}

static bool is_there(int dir_fd, const char *path)
{
	return faccessat(dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int append(int dir_fd, const char *path, struct error *err)
{
	cleanup_fd int fd =
		openat(dir_fd, path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0 || write(fd, "+", 1) != 1)
		return err_errno(err, "cannot change a file of a layer");
	return 0;
}

/* Uses the mounted tree as images and containers do. */
static int check_tree(const struct trial *trial, struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd =
		open(trial->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "cannot open the mounted root");
	r = append(fd, "file", err);
	if (r == 0)
		r = file_read_at(fd, "file", 64, &text, NULL, err);
	if (r < 0)
		return r;
	if (!str_equal(text, "lower+"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "a changed file reads \"%s\"", text);
	if (trial->has_whiteouts && is_there(fd, "gone"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "a whiteout hides nothing");
	if (trial->has_xattrs &&
	    (is_there(fd, "opaque/hidden") || !is_there(fd, "opaque/shown")))
		return err_set(err, ERROR_UNSUPPORTED,
			       "an opaque directory hides nothing");
	if (unlinkat(fd, "tree/below", 0) < 0 ||
	    unlinkat(fd, "tree", AT_REMOVEDIR) < 0 ||
	    mkdirat(fd, "tree", 0755) < 0)
		return err_errno(err, "cannot replace a directory of a layer");
	if (is_there(fd, "tree/below"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "a removed directory comes back");
	return 0;
}

/* fd -1: none. */
static int say(int socket_fd, const struct error *error, int fd)
{
	cleanup_json cJSON *json = json_object();

	if (error)
		json_set(json, "error", error_to_json(error));
	return msg_send(socket_fd, json, &fd, fd >= 0 ? 1 : 0, NULL);
}

/* The other side's next message; its error becomes ours. */
static int hear(int socket_fd, int *ret_fd, struct error *err)
{
	struct pollfd ready = {.fd = socket_fd, .events = POLLIN};
	cleanup_json cJSON *json = NULL;
	const cJSON *error = NULL;
	struct error theirs;
	int fds[1] = {-1};
	size_t count = 1;
	int r;

	do
		r = poll(&ready, 1, ANSWER_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return err_set(err, ERROR_TIMEOUT, "no answer for %d seconds",
			       ANSWER_TIMEOUT_MS / 1000);
	r = msg_receive(socket_fd, &json, fds, &count, err);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(err, ERROR_GENERIC, "the trial ended early");
	error = cJSON_GetObjectItemCaseSensitive(json, "error");
	if (!error) {
		if (ret_fd)
			*ret_fd = fds[0];
		else
			close_fd(&fds[0]);
		return 0;
	}
	close_fd(&fds[0]);
	error_from_json(error, &theirs);
	return err_copy(err, &theirs);
}

static int child_steps(const struct trial *trial, int socket_fd,
		       struct error *err)
{
	cleanup_fd int fuse_fd = -1;
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		r = err_errno(err, "cannot make a user namespace");
		err_hint(err, "see user.max_user_namespaces and "
			      "kernel.unprivileged_userns_clone in sysctl(8)");
		return r;
	}
	r = say(socket_fd, NULL, -1);
	if (r == 0)
		r = hear(socket_fd, NULL, err);
	if (r == 0)
		r = snapshot_mount(&trial->snapshot, &fuse_fd, err);
	if (r < 0)
		return r;
	r = say(socket_fd, NULL, fuse_fd);
	close_fd(&fuse_fd);
	if (r == 0)
		r = hear(socket_fd, NULL, err);
	if (r == 0)
		r = check_tree(trial, err);
	return r;
}

_Noreturn static void child_main(const struct trial *trial, int socket_fd)
{
	struct error error = {0};
	int r = child_steps(trial, socket_fd, &error);

	say(socket_fd, r < 0 ? &error : NULL, -1);
	_exit(0);
}

static int write_map(pid_t pid, const char *file, struct error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return file_write_once_at(AT_FDCWD, path, "0 0 1\n", err);
}

/* The parent's side; *ret_server is set as soon as there is one. */
static int parent_steps(const struct snapshot *snapshot, pid_t child,
			int socket_fd, pid_t *ret_server, struct error *err)
{
	cleanup_fd int fuse_fd = -1;
	int r = hear(socket_fd, NULL, err);

	if (r == 0)
		r = write_map(child, "uid_map", err);
	if (r == 0)
		r = write_map(child, "gid_map", err);
	if (r == 0)
		r = say(socket_fd, NULL, -1);
	if (r == 0)
		r = hear(socket_fd, &fuse_fd, err);
	if (r < 0)
		return r;
	if (fuse_fd >= 0) {
		pid_t server = snapshot_serve(snapshot, fuse_fd, err);

		if (server < 0)
			return server;
		*ret_server = server;
		close_fd(&fuse_fd);
	}
	r = say(socket_fd, NULL, -1);
	if (r == 0)
		r = hear(socket_fd, NULL, err);
	if (r < 0 && *ret_server > 0)
		snapshot_explain(snapshot, *ret_server, err);
	return r;
}

static void end_process(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	proc_wait(pid);
}

static int try_mount(const struct trial *trial, struct error *err)
{
	cleanup_fd int ours = -1;
	cleanup_fd int theirs = -1;
	pid_t server = 0;
	int sockets[2];
	pid_t child;
	int r = snapshot_prepare(&trial->snapshot, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_errno(err, "cannot make a socket");
	ours = sockets[0];
	theirs = sockets[1];
	child = fork();
	if (child < 0)
		return err_errno(err, "cannot start a process");
	if (child == 0) {
		close_fd(&ours);
		child_main(trial, theirs);
	}
	close_fd(&theirs);
	r = parent_steps(&trial->snapshot, child, ours, &server, err);
	end_process(child);
	end_process(server);
	return r;
}

static int probe(const struct snapshot_operations *operations,
		 const struct store *store, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int layers_fd = -1;
	cleanup_free char *root = NULL;
	struct store layers;
	struct trial trial = {
		.snapshot =
			{
				.driver = operations->driver,
				.store = &layers,
				.diff_ids = probe_ids,
				.is_volatile = true,
			},
	};
	int r = store_work_new(store, &work, err);

	for (int i = 0; i < 2 && r >= 0; i++)
		r = make_layer(&trial, work.fd, i, err);
	if (r < 0)
		return r;
	layers_fd =
		openat(work.fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (layers_fd < 0)
		return err_errno(err, "cannot open a directory");
	layers = *store;
	layers.layers_fd = layers_fd;
	root = xasprintf("%s/tmp/%s/" SNAPSHOT_MERGED, store->path, work.name);
	trial.snapshot.directory_fd = work.fd;
	trial.root = root;
	return try_mount(&trial, err);
}

/* What a remembered success depends on. */
static char *cache_key(const struct snapshot_operations *operations,
		       const struct store *store)
{
	struct utsname system;
	struct str key = {0};
	struct stat st;

	if (uname(&system) < 0 || fstat(store->tmp_fd, &st) < 0)
		return NULL;
	str_appendf(&key, "%s %u:%u", system.release, major(st.st_dev),
		    minor(st.st_dev));
	if (operations->key)
		operations->key(&key);
	str_append_char(&key, '\n');
	return str_steal(&key);
}

static bool is_remembered(int cache_fd, const char *name, const char *key)
{
	cleanup_free char *text = NULL;

	return file_read_at(cache_fd, name, KEY_MAX, &text, NULL, NULL) == 0 &&
	       str_equal(text, key);
}

/* Does it work here? Says what stands in the way and what can be done. */
static int is_usable(const struct snapshot_operations *operations,
		     const struct store *store, int cache_fd, struct error *err)
{
	cleanup_free char *name = xasprintf("snapshot-%s", operations->name);
	cleanup_free char *key = NULL;
	int r = 0;

	if (operations->check)
		r = operations->check(store, err);
	if (r < 0)
		return r;
	if (cache_fd >= 0)
		key = cache_key(operations, store);
	if (key && is_remembered(cache_fd, name, key))
		return 0;
	r = probe(operations, store, err);
	/* Not to be able to remember costs time only. */
	if (r == 0 && key)
		file_write_atomic_at(cache_fd, name, key, strlen(key), 0600,
				     FILE_VOLATILE, NULL);
	return r;
}

/* "overlay: …; what to do" */
static void add_reason(struct str *reasons,
		       const struct snapshot_operations *operations,
		       const struct error *error)
{
	if (reasons->length > 0)
		str_append_char(reasons, '\n');
	str_appendf(reasons, "%s: ", operations->name);
	if (!error) {
		str_append(reasons, "works");
		if (operations->remark)
			str_appendf(reasons, " (%s)", operations->remark);
		return;
	}
	str_append(reasons, error->message);
	if (error->hint[0] != '\0')
		str_appendf(reasons, "; %s", error->hint);
}

static int choose_forced(const struct snapshot_operations *operations,
			 const struct store *store, bool shifted, int cache_fd,
			 struct error *err)
{
	int r;

	if (shifted && !operations->shifts) {
		err_set(err, ERROR_UNSUPPORTED,
			"the storage driver %s cannot shift IDs, as this user "
			"namespace mode needs",
			operations->name);
		return err_hint(err, "use --storage-driver fuse-overlayfs");
	}
	r = is_usable(operations, store, cache_fd, err);
	if (r < 0)
		err_wrap(err, "the storage driver %s does not work here",
			 operations->name);
	return r;
}

/* File systems that drivers are known to stumble over. */
static const struct {
	unsigned long magic;
	const char *name;
} file_systems[] = {
	{NFS_SUPER_MAGIC, "nfs"},
	{OVERLAYFS_SUPER_MAGIC, "overlay"},
	{FUSE_SUPER_MAGIC, "fuse"},
	{V9FS_MAGIC, "9p"},
	{ECRYPTFS_SUPER_MAGIC, "ecryptfs"},
	{TMPFS_MAGIC, "tmpfs"},
	{MSDOS_SUPER_MAGIC, "vfat"},
	{CIFS_SUPER_MAGIC, "cifs"},
	{SMB2_SUPER_MAGIC, "smb"},
	{0x2fc12fc1, "zfs"},
	{0x0bd00bd0, "lustre"},
	{0x47504653, "gpfs"},
	{0x19830326, "beegfs"},
};

static const char *file_system_name(const struct store *store)
{
	struct statfs st;

	if (fstatfs(store->tmp_fd, &st) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++) {
		if ((unsigned long)st.f_type == file_systems[i].magic)
			return file_systems[i].name;
	}
	return NULL;
}

/* With reasons of one line a driver. */
static int no_driver(const struct store *store, const char *reasons,
		     struct error *err)
{
	const char *name = file_system_name(store);
	cleanup_strv char **lines = strv_split(reasons, '\n');
	cleanup_free char *text = strv_join(lines, "; ");

	return err_set(err, ERROR_UNSUPPORTED,
		       "no storage driver works for %s%s%s%s: %s", store->path,
		       name ? " (" : "", name ? name : "", name ? ")" : "",
		       text);
}

int snapshot_choose(struct store *store, enum snapshot_driver wanted,
		    bool shifted, int cache_fd,
		    enum snapshot_driver *ret_driver, char **ret_reasons,
		    struct error *err)
{
	enum snapshot_driver found = SNAPSHOT_AUTO;
	cleanup_str struct str reasons = {0};

	if (wanted != SNAPSHOT_AUTO) {
		int r = choose_forced(snapshot_operations_of(wanted), store,
				      shifted, cache_fd, err);

		if (r < 0)
			return r;
		found = wanted;
	}
	for (size_t i = 0; snapshot_drivers[i]; i++) {
		const struct snapshot_operations *operations =
			snapshot_drivers[i];
		bool fits = !shifted || operations->shifts;
		struct error error = {0};
		int r;

		if (!ret_reasons && (found != SNAPSHOT_AUTO || !fits))
			continue;
		r = is_usable(operations, store, cache_fd, &error);
		add_reason(&reasons, operations, r < 0 ? &error : NULL);
		if (r == 0 && fits && found == SNAPSHOT_AUTO)
			found = operations->driver;
	}
	if (found == SNAPSHOT_AUTO && !ret_reasons)
		return no_driver(store, str_text(&reasons), err);
	*ret_driver = found;
	if (ret_reasons)
		*ret_reasons = str_steal(&reasons);
	return 0;
}
