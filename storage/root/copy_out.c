/*
 * moss-image copy: files out of a container's or an image's root, to the host
 * or as a tar archive, by docker's rules for names:
 *
 *   source             what is copied
 *     file             itself; a link itself, unless it is to be followed
 *     directory        itself; with "/." at its end what is in it
 *   destination
 *     directory        the copy goes into it, by the source's name; what is in
 *                      a source with "/." goes into it as it is
 *     file             is overwritten by a file
 *     not there        the copy gets that name; its directory must be there
 *
 * The source is hostile: its path is looked up inside of its root, and copied
 * by storage/root/copy.h. The destination is the user's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/job/confine.h"
#include "storage/job/output.h"
#include "storage/root/copy.h"
#include "storage/root/root_job.h"

#define LINKS_MAX 40

struct source {
	int dir_fd;
	char *name;  /* in it; "." is dir_fd itself */
	char *shown; /* what the copy is called, "." without a name */
	struct stat st;
};

struct copy_out {
	struct root_job root;
	const char *path; /* as it was given */
	const char *destination;
	bool archive;
	bool follow;
	struct source source;
	struct copy_request request;
	struct copy_owner owner;
};

static void copy_out_release(struct copy_out *copy)
{
	close_fd(&copy->source.dir_fd);
	free(copy->source.name);
	free(copy->source.shown);
	root_job_release(&copy->root);
}

/* ---- the source ---- */

static int no_such_file(const struct copy_out *copy, int number,
			struct error *err)
{
	if (number == -ENOENT || number == -ENOTDIR)
		return err_set(err, ERROR_NOT_FOUND,
			       "Could not find the file %s in %s", copy->path,
			       copy->root.what);
	return err_number(err, number, "cannot read %s in %s", copy->path,
			  copy->root.what);
}

static bool means_content(const char *path)
{
	return str_equal(path, ".") || str_ends(path, "/.");
}

/* A directory as such; whatever links lead to it. */
static int use_directory(struct copy_out *copy, const char *path,
			 struct error *err)
{
	struct source *source = &copy->source;
	int fd = path_open_in_root(copy->root.view.root_fd, path,
				   O_PATH | O_DIRECTORY, 0);

	if (fd < 0 || fstat(fd, &source->st) < 0)
		return no_such_file(copy, fd < 0 ? fd : -errno, err);
	close_fd(&source->dir_fd);
	source->dir_fd = fd;
	free(source->name);
	source->name = xstrdup(".");
	return 0;
}

/* The directory of path and the last name, which is not followed. */
static int use_name(struct copy_out *copy, const char *path, struct error *err)
{
	struct source *source = &copy->source;
	cleanup_free char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	int fd;

	free(source->name);
	source->name = xstrdup(slash + 1);
	slash[1] = '\0';
	fd = path_open_in_root(copy->root.view.root_fd, parent,
			       O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return no_such_file(copy, fd, err);
	close_fd(&source->dir_fd);
	source->dir_fd = fd;
	if (fstatat(fd, source->name, &source->st, AT_SYMLINK_NOFOLLOW) < 0)
		return no_such_file(copy, -errno, err);
	return 0;
}

static bool is_name(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return *name && !str_equal(name, ".") && !str_equal(name, "..");
}

/* Goes on from a link. path: "/…", rewritten. */
static int follow(struct copy_out *copy, char **path, struct error *err)
{
	struct source *source = &copy->source;
	char text[PATH_MAX];
	ssize_t length = readlinkat(source->dir_fd, source->name, text,
				    sizeof(text) - 1);
	char *next;

	if (length < 0)
		return no_such_file(copy, -errno, err);
	text[length] = '\0';
	(strrchr(*path, '/'))[1] = '\0';
	next = xasprintf("%s%s", *text == '/' ? "" : *path, text);
	free(*path);
	*path = next;
	if (strlen(next) >= PATH_MAX)
		return no_such_file(copy, -ENAMETOOLONG, err);
	return is_name(next) ? use_name(copy, next, err)
			     : use_directory(copy, next, err);
}

static int find_source(struct copy_out *copy, struct error *err)
{
	cleanup_free char *path = path_join("/", copy->path);
	const bool is_directory =
		means_content(copy->path) || str_ends(copy->path, "/");
	int r = 0;

	copy->source.shown = xstrdup(strrchr(path, '/') + 1);
	if (means_content(copy->path) || !*copy->source.shown) {
		free(copy->source.shown);
		copy->source.shown = xstrdup(".");
	}
	if (is_directory || !is_name(path))
		return use_directory(copy, path, err);
	r = use_name(copy, path, err);
	for (int i = 0;
	     r == 0 && copy->follow && S_ISLNK(copy->source.st.st_mode); i++) {
		if (i == LINKS_MAX)
			return no_such_file(copy, -ELOOP, err);
		r = follow(copy, &path, err);
	}
	return r;
}

/* ---- as a tar archive ---- */

static int write_stream(struct copy_out *copy, struct error *err)
{
	struct output output = {JOB_OUTPUT, "standard output"};
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(output_put, &output);
	struct root_job *root = &copy->root;
	const struct tree_request request = {
		.writer = writer,
		.prefix = copy->source.shown,
		.enter_mounts = true,
		.hooks = {.on_item = root_job_on_item, .data = root},
	};
	int r;

	confine_writes(root->job->store.root_fd);
	root_job_set_base(root, copy->source.dir_fd, copy->source.name);
	r = tree_write_one(copy->source.dir_fd, copy->source.name, &request,
			   &root->report, err);

	if (r == 0)
		r = root_job_check(root, err);
	if (r == 0)
		r = tar_write_end(writer, err);
	if (r < 0)
		return r;
	json_set_i64(root->job->result, "bytes",
		     (int64_t)tar_writer_bytes(writer));
	root_job_tell(root);
	return 0;
}

/* ---- to the host ---- */

static int invalid_destination(const struct copy_out *copy, struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "destination \"%s\" must be a directory or a regular "
		       "file",
		       copy->destination);
}

/* Into a directory that is there, which stays as it is. */
static int copy_into(struct copy_out *copy, struct copy_report *report,
		     struct error *err)
{
	const struct source *source = &copy->source;
	cleanup_fd int from_fd = -1;
	cleanup_fd int fd =
		open(copy->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "cannot open %s", copy->destination);
	if (!str_equal(source->shown, "."))
		return copy_entry(source->dir_fd, source->name, fd,
				  source->shown, &copy->request, report, err);
	copy->request.flags |= COPY_KEEP_TARGET;
	from_fd = openat(source->dir_fd, source->name,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from_fd < 0)
		return no_such_file(copy, -errno, err);
	return copy_tree(from_fd, fd, &copy->request, report, err);
}

/* Under the destination's own name, of which path is the real one. */
static int copy_as(struct copy_out *copy, const char *path,
		   struct copy_report *report, struct error *err)
{
	CLEANUP(output_parent_release) struct output_parent parent = {.fd = -1};
	int r = output_parent_open(path, &parent, err);

	if (r == -ENOENT)
		return err_set(err, ERROR_INVALID,
			       "invalid output path: the directory of \"%s\" "
			       "does not exist",
			       copy->destination);
	if (r < 0)
		return r;
	return copy_entry(copy->source.dir_fd, copy->source.name, parent.fd,
			  parent.name, &copy->request, report, err);
}

static int copy_over(struct copy_out *copy, const struct stat *st,
		     struct copy_report *report, struct error *err)
{
	cleanup_free char *path = realpath(copy->destination, NULL);

	if (!path)
		return err_errno(err, "cannot open %s", copy->destination);
	if (!S_ISREG(st->st_mode))
		return invalid_destination(copy, err);
	if (S_ISDIR(copy->source.st.st_mode))
		return err_set(err, ERROR_CONFLICT,
			       "cannot copy directory %s over file %s",
			       copy->path, copy->destination);
	return copy_as(copy, path, report, err);
}

static int copy_new(struct copy_out *copy, struct copy_report *report,
		    struct error *err)
{
	struct stat st;

	if (lstat(copy->destination, &st) == 0)
		return err_set(err, ERROR_INVALID,
			       "%s is a symbolic link that leads nowhere",
			       copy->destination);
	if (str_ends(copy->destination, "/") &&
	    !S_ISDIR(copy->source.st.st_mode))
		return err_set(err, ERROR_NOT_FOUND,
			       "the destination directory %s must exist",
			       copy->destination);
	return copy_as(copy, copy->destination, report, err);
}

static int write_files(struct copy_out *copy, struct error *err)
{
	struct root_job *root = &copy->root;
	struct copy_report report = {0};
	struct stat st;
	int r;

	if (stat(copy->destination, &st) == 0)
		r = S_ISDIR(st.st_mode) ? copy_into(copy, &report, err)
					: copy_over(copy, &st, &report, err);
	else if (errno == ENOENT)
		r = copy_new(copy, &report, err);
	else
		r = err_errno(err, "cannot open %s", copy->destination);
	if (r == 0)
		r = root_job_check(root, err);
	if (r < 0)
		return r;
	if (report.skipped > 0)
		job_note(root->job, "%llu devices and sockets were left out",
			 (unsigned long long)report.skipped);
	json_set_i64(root->job->result, "bytes", (int64_t)report.bytes);
	return 0;
}

int copy_out_run(struct job *job, struct error *err)
{
	CLEANUP(copy_out_release)
	struct copy_out copy = {
		.root = ROOT_JOB_EMPTY,
		.path = job_string(job, "path"),
		.destination = job_string(job, "destination"),
		.source = {.dir_fd = -1},
	};
	int r = json_get_bool(job->request, "", "archive", &copy.archive, err);

	if (r >= 0)
		r = json_get_bool(job->request, "", "followLink", &copy.follow,
				  err);
	if (r < 0)
		return r;
	if (!copy.path)
		return err_set(err, ERROR_INVALID, "copy: no path is given");
	copy.request.flags = COPY_REPLACE;
	/* Root here is the user; nobody else's programs become his. */
	if (!copy.archive) {
		copy.request.owner = &copy.owner;
		copy.request.flags |= COPY_DROP_SETID;
	}
	r = root_job_open(job, true, &copy.root, err);
	if (r == 0)
		r = find_source(&copy, err);
	if (r < 0)
		return r;
	return copy.destination ? write_files(&copy, err)
				: write_stream(&copy, err);
}
