/*
 * moss-image copy-in: files of the host's, or a tar archive from standard
 * input, into a container's root, by docker's rules for names:
 *
 *   source             what is copied
 *     file             itself; a link itself, unless it is to be followed
 *     directory        itself; with "/." at its end what is in it
 *     archive          what is in it
 *   destination
 *     directory        the copy goes into it, by the source's name
 *     file             is overwritten by a file
 *     not there        the copy gets that name; its directory must be there
 *
 * A running container is written to as it sees itself: in its user namespace,
 * as its root, from its first process's root on, so that its volumes, tmpfs and
 * read-only mounts are what they are to it. The root of one that does not run
 * is mounted in a namespace of ours. In both, files come as an archive that a
 * child process writes, which has the user's rights and nothing to do with the
 * container, and each name is looked up inside of the root.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/job/confine.h"
#include "storage/job/output.h"
#include "storage/root/root_job.h"
#include "storage/tar/stream.h"
#include "storage/tar/unpack.h"

#define LINKS_MAX 40

struct copy_in {
	struct job *job;
	const char *what; /* "container web" */
	const char *source;
	const char *path; /* in the container, as it was given */
	bool archive;
	bool follow;

	/* The source; dir_fd -1: an archive. */
	int dir_fd;
	char *name;  /* in dir_fd; "." is dir_fd itself */
	char *shown; /* its own name; "." when its contents are meant */
	bool is_directory;

	/* The child that writes it. */
	pid_t child;
	int name_fd;  /* is told what to call it */
	int data_fd;  /* the archive */
	int error_fd; /* what went wrong with it */

	struct root_job root; /* of one that does not run */
	int root_fd;

	char *parent; /* directory in the root that it goes into */
	char *target; /* its name there */
};

static void copy_in_release(struct copy_in *copy)
{
	close_fd(&copy->dir_fd);
	close_fd(&copy->name_fd);
	close_fd(&copy->data_fd);
	close_fd(&copy->error_fd);
	if (copy->child > 0)
		proc_wait(copy->child);
	close_fd(&copy->root_fd);
	root_job_release(&copy->root);
	free(copy->name);
	free(copy->shown);
	free(copy->parent);
	free(copy->target);
}

/* ---- the source ---- */

static bool means_content(const char *path)
{
	return str_equal(path, ".") || str_ends(path, "/.");
}

/* Its name and directory, by which it is found again without its path. */
static int split(const char *path, char **ret_parent, char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_parent = slash ? xstrndup(path, (size_t)(slash - path) + 1)
			    : xstrdup("./");
	*ret_name = xstrdup(slash ? slash + 1 : path);
	return 0;
}

static int use_directory(struct copy_in *copy, struct error *err)
{
	cleanup_free char *real = realpath(copy->source, NULL);

	copy->dir_fd = open(copy->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!real || copy->dir_fd < 0)
		return err_errno(err, "cannot open %s", copy->source);
	copy->name = xstrdup(".");
	copy->is_directory = true;
	copy->shown =
		xstrdup(means_content(copy->source) || str_equal(real, "/")
				? "."
				: strrchr(real, '/') + 1);
	return 0;
}

static int use_name(struct copy_in *copy, const char *path, struct error *err)
{
	cleanup_free char *parent = NULL;
	struct stat st;

	split(path, &parent, &copy->name);
	copy->dir_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (copy->dir_fd < 0 ||
	    fstatat(copy->dir_fd, copy->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "cannot open %s", copy->source);
	copy->is_directory = S_ISDIR(st.st_mode);
	return 0;
}

static int find_source(struct copy_in *copy, struct error *err)
{
	const char *path = copy->source;
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	cleanup_free char *real = NULL;

	if (!*last || str_equal(last, ".") || str_equal(last, ".."))
		return use_directory(copy, err);
	copy->shown = xstrdup(last);
	if (!copy->follow)
		return use_name(copy, path, err);
	real = realpath(path, NULL);
	if (!real)
		return err_errno(err, "cannot open %s", path);
	return use_name(copy, real, err);
}

/* ---- the child that reads it ---- */

static int on_item(void *data, struct tree_item *item, struct error *err)
{
	const struct copy_in *copy = data;

	/* The user's files are the container's root's. */
	if (!copy->archive)
		item->entry.uid = item->entry.gid = 0;
	return TREE_TAKE;
}

static int write_archive(struct copy_in *copy, const char *name, int fd,
			 struct error *err)
{
	struct output output = {fd, "the copy"};
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(output_put, &output);
	struct tree_report report = {0};
	const struct tree_request request = {
		.writer = writer,
		.prefix = name,
		.enter_mounts = true,
		.hooks = {.on_item = on_item, .data = copy},
	};
	int r = tree_write_one(copy->dir_fd, copy->name, &request, &report,
			       err);

	if (r == 0)
		r = tar_write_end(writer, err);
	if (r == 0 && report.sockets > 0)
		job_note(copy->job, "%llu sockets were left out",
			 (unsigned long long)report.sockets);
	return r;
}

/* A reader that has seen enough has said why. */
_Noreturn static void run_child(struct copy_in *copy, int name_fd, int data_fd,
				int error_fd)
{
	struct error err = {0};
	char name[NAME_MAX + 1] = "";
	ssize_t length;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	length = read(name_fd, name, NAME_MAX);
	if (length <= 0)
		_exit(0);
	r = write_archive(copy, name, data_fd, &err);
	if (r < 0 && r != -EPIPE)
		error_write(error_fd, &err);
	_exit(r < 0);
}

/* Before anything of the container is touched, with the user's rights. */
static int start_child(struct copy_in *copy, struct error *err)
{
	int name[2] = {-1, -1};
	int data[2] = {-1, -1};
	int error[2] = {-1, -1};

	if (pipe2(name, O_CLOEXEC) == 0 && pipe2(data, O_CLOEXEC) == 0 &&
	    pipe2(error, O_CLOEXEC) == 0)
		copy->child = fork();
	else
		copy->child = -1;
	if (copy->child == 0) {
		close(name[1]);
		close(data[0]);
		run_child(copy, name[0], data[1], error[1]);
	}
	close_fd(&name[0]);
	close_fd(&data[1]);
	close_fd(&error[1]);
	copy->name_fd = name[1];
	copy->data_fd = data[0];
	copy->error_fd = error[0];
	return copy->child < 0 ? err_errno(err, "cannot start a process") : 0;
}

/* ---- the root ---- */

static int join(struct copy_in *copy, pid_t pid, uint64_t start,
		struct error *err)
{
	cleanup_free char *space = xasprintf("/proc/%d/ns/user", (int)pid);
	cleanup_free char *root = xasprintf("/proc/%d/root/", (int)pid);
	cleanup_fd int space_fd = open(space, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (space_fd < 0 || !proc_is_alive(pid, start) ||
	    setns(space_fd, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
	    setresuid(0, 0, 0) < 0)
		r = -errno;
	/* Another identity has lost it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (r == 0)
		copy->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!proc_is_alive(pid, start))
		return err_set(err, ERROR_CONFLICT, "%s has just ended",
			       copy->what);
	if (r < 0 || copy->root_fd < 0)
		return err_number(err, r < 0 ? r : -errno,
				  "cannot enter the root of %s", copy->what);
	return 0;
}

static int open_root(struct copy_in *copy, struct error *err)
{
	int64_t pid = 0;
	int64_t start = 0;
	int r = json_get_i64(copy->job->request, "", "pid", &pid, err);

	if (r >= 0)
		r = json_get_i64(copy->job->request, "", "pidStart", &start,
				 err);
	if (r < 0)
		return r;
	if (pid > 0)
		return join(copy, (pid_t)pid, (uint64_t)start, err);
	r = root_job_open_writable(copy->job, &copy->root, err);
	if (r < 0)
		return r;
	copy->root_fd = fcntl(copy->root.view.root_fd, F_DUPFD_CLOEXEC, 3);
	return copy->root_fd < 0 ? err_errno(err, "cannot open the root") : 0;
}

/* ---- the destination ---- */

static int no_such_file(const struct copy_in *copy, const char *path,
			int number, struct error *err)
{
	if (number == -ENOENT || number == -ENOTDIR)
		return err_set(err, ERROR_NOT_FOUND,
			       "Could not find the file %s in %s", path,
			       copy->what);
	return err_number(err, number, "cannot look at %s in %s", path,
			  copy->what);
}

static int must_be_directory(const struct copy_in *copy, struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "destination \"%s\" in %s must be a directory",
		       copy->path, copy->what);
}

/* What is at path, a file: in which directory, and under which name? */
static int use_file(struct copy_in *copy, const char *path, struct error *err)
{
	cleanup_free char *at = xstrdup(path);

	for (int i = 0; i < LINKS_MAX; i++) {
		cleanup_fd int fd = -1;
		char text[PATH_MAX];
		ssize_t length;
		char *next;

		free(copy->parent);
		free(copy->target);
		split(at, &copy->parent, &copy->target);
		fd = path_open_in_root(copy->root_fd, copy->parent,
				       O_PATH | O_DIRECTORY, 0);
		if (fd < 0)
			return no_such_file(copy, copy->path, fd, err);
		length = readlinkat(fd, copy->target, text, sizeof(text) - 1);
		if (length < 0)
			return 0;
		text[length] = '\0';
		next = xasprintf("%s%s", *text == '/' ? "" : copy->parent,
				 text);
		free(at);
		at = next;
		if (strlen(at) >= PATH_MAX)
			break;
	}
	return no_such_file(copy, copy->path, -ELOOP, err);
}

/* The name is new. */
static int use_new(struct copy_in *copy, const char *path, struct error *err)
{
	cleanup_free char *clean = xstrdup(path);
	size_t length = strlen(clean);
	cleanup_fd int fd = -1;
	struct stat st;

	if (!copy->source)
		return no_such_file(copy, copy->path, -ENOENT, err);
	if (!copy->is_directory && str_ends(path, "/"))
		return err_set(err, ERROR_NOT_FOUND,
			       "the destination directory %s must exist",
			       copy->path);
	while (length > 1 && clean[length - 1] == '/')
		clean[--length] = '\0';
	split(clean, &copy->parent, &copy->target);
	if (str_equal(copy->target, ".") || str_equal(copy->target, ".."))
		return no_such_file(copy, copy->path, -ENOENT, err);
	fd = path_open_in_root(copy->root_fd, copy->parent,
			       O_PATH | O_DIRECTORY, 0);
	if (fd < 0) {
		cleanup_free char *parent = path_clean(copy->parent);

		return no_such_file(copy, parent, fd, err);
	}
	if (fstatat(fd, copy->target, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, ERROR_INVALID,
			       "%s in %s is a symbolic link that leads nowhere",
			       copy->path, copy->what);
	return 0;
}

static int find_destination(struct copy_in *copy, struct error *err)
{
	cleanup_free char *path = xasprintf("/%s", copy->path);
	cleanup_fd int fd = path_open_in_root(copy->root_fd, path, O_PATH, 0);
	struct stat st;

	if (fd == -ENOENT)
		return use_new(copy, path, err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return no_such_file(copy, copy->path, fd < 0 ? fd : -errno,
				    err);
	if (S_ISDIR(st.st_mode)) {
		copy->parent = steal_ptr(&path);
		copy->target = xstrdup(copy->source ? copy->shown : ".");
		return 0;
	}
	if (!copy->source)
		return must_be_directory(copy, err);
	if (copy->is_directory)
		return err_set(err, ERROR_CONFLICT,
			       "cannot copy directory %s over file %s",
			       copy->source, copy->path);
	return use_file(copy, path, err);
}

/* ---- the copy ---- */

static int open_archive(struct copy_in *copy, struct stream **ret_stream,
			struct error *err)
{
	struct stream *stream;
	enum compression compression;
	int fd;
	int r;

	if (copy->source) {
		size_t length = strlen(copy->target);

		if (write_all(copy->name_fd, copy->target, length) < 0)
			return err_errno(err, "cannot read %s", copy->source);
		close_fd(&copy->name_fd);
		*ret_stream =
			stream_from_fd(steal_fd(&copy->data_fd), "the copy");
		return 0;
	}
	fd = fcntl(JOB_INPUT, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_errno(err, "cannot read standard input");
	r = stream_detect(stream_from_fd(fd, "standard input"), &stream,
			  &compression, err);
	if (r < 0)
		return r;
	if (compression == COMPRESSION_NONE) {
		*ret_stream = stream;
		return 0;
	}
	return stream_unpacked(stream, compression, &copy->job->store.limits,
			       ret_stream, err);
}

static int extract(struct copy_in *copy, struct unpack_result *ret_result,
		   struct error *err)
{
	/* It is the user's disk; an image's limits are none here. */
	const struct limits limits = {
		.layer_size = LAYER_BYTES_MAX,
		.layer_entries = UINT64_MAX,
	};
	cleanup_stream struct stream *stream = NULL;
	int r = open_archive(copy, &stream, err);

	if (r == 0) {
		cleanup_tar_reader struct tar_reader *reader =
			tar_reader_new(stream_tar_source, stream);

		r = unpack_into(reader, copy->root_fd, copy->parent, &limits,
				ret_result, err);
	}
	return r;
}

/* What the child has met is why the archive was not whole. */
static int run(struct copy_in *copy, struct unpack_result *ret_result,
	       struct error *err)
{
	struct error problem = {0};
	struct error cause = {0};
	int r = extract(copy, ret_result, &problem);

	if (copy->child > 0 && error_read(copy->error_fd, &cause) > 0)
		return err_copy(err, &cause);
	if (r == -EROFS) {
		err_copy(err, &problem);
		return err_hint(err, "The container's root, or the volume, is "
				     "mounted read-only.");
	}
	return r < 0 ? err_copy(err, &problem) : 0;
}

static void tell(struct copy_in *copy, const struct unpack_result *result)
{
	if (result->skipped > 0)
		job_note(copy->job, "%llu devices were left out",
			 (unsigned long long)result->skipped);
	if (result->squashed > 0)
		job_note(copy->job,
			 "%llu owners have no ID in the container; their files "
			 "belong to its root",
			 (unsigned long long)result->squashed);
	json_set_i64(copy->job->result, "bytes", (int64_t)result->bytes);
}

static int read_request(struct copy_in *copy, struct error *err)
{
	const struct job *job = copy->job;
	int r = json_get_bool(job->request, "", "archive", &copy->archive, err);

	copy->what = job_string(job, "what");
	copy->source = job_string(job, "source");
	copy->path = job_string(job, "path");
	if (r >= 0)
		r = json_get_bool(job->request, "", "followLink", &copy->follow,
				  err);
	if (r >= 0 && (!copy->path || !copy->what))
		r = err_set(err, ERROR_INVALID, "copy: no path is given");
	return r < 0 ? r : 0;
}

int copy_in_run(struct job *job, struct error *err)
{
	CLEANUP(copy_in_release)
	struct copy_in copy = {
		.job = job,
		.dir_fd = -1,
		.name_fd = -1,
		.data_fd = -1,
		.error_fd = -1,
		.root = ROOT_JOB_EMPTY,
		.root_fd = -1,
	};
	struct unpack_result result = {0};
	int r = read_request(&copy, err);

	if (r == 0 && copy.source)
		r = find_source(&copy, err);
	if (r == 0 && copy.source)
		r = start_child(&copy, err);
	if (r == 0)
		r = open_root(&copy, err);
	if (r == 0)
		r = find_destination(&copy, err);
	if (r < 0)
		return r;
	confine_writes(copy.root_fd);
	r = run(&copy, &result, err);
	/* A server of the root may not have all yet. */
	if (r == 0 && copy.root.view.server > 0 && syncfs(copy.root_fd) < 0)
		r = err_errno(err, "cannot write out the root of %s",
			      copy.what);
	if (r == 0)
		tell(&copy, &result);
	return r;
}
