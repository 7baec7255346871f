#include "storage/root/diff_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/job/layer_pack.h"

#define FLUSH_TIMEOUT_MS 10000

struct changes {
	int upper_fd;
	const struct diff_request *request;
	struct diff_report report;
};

static int produce(void *data, struct tar_writer *writer, struct error *err)
{
	struct changes *changes = data;
	const struct diff_report *report = &changes->report;
	int r = diff_write(changes->upper_fd, changes->request, writer,
			   &changes->report, err);

	if (r < 0)
		return r;
	return report->tree.entries > 0 || report->whiteouts > 0;
}

int diff_layer_stage(struct stage *stage, int upper_fd,
		     const struct diff_request *request,
		     struct descriptor *ret_blob, struct layer *ret_layer,
		     struct diff_report *ret_report, struct error *err)
{
	struct changes changes = {.upper_fd = upper_fd, .request = request};
	int r = layer_pack(stage, produce, &changes, ret_blob, ret_layer, err);

	if (r >= 0)
		*ret_report = changes.report;
	return r;
}

void diff_layer_note(struct job *job, const struct diff_report *report)
{
	if (report->tree.sockets > 0)
		job_note(job, "%llu sockets were left out",
			 (unsigned long long)report->tree.sockets);
	if (report->tree.xattrs_skipped > 0)
		job_note(job, "%llu extended attributes were left out",
			 (unsigned long long)report->tree.xattrs_skipped);
	if (report->unnamable > 0)
		job_note(job,
			 "%llu files whose names begin with \".wh.\" were left "
			 "out: layers keep such names for themselves",
			 (unsigned long long)report->unnamable);
}

/*
 * FUSE lets in only who is in the user namespace of the mount, and has an ID
 * there.
 */
static int flush(pid_t init, uint64_t start_time)
{
	cleanup_free char *space = xasprintf("/proc/%d/ns/user", (int)init);
	cleanup_free char *root = xasprintf("/proc/%d/root/", (int)init);
	cleanup_fd int space_fd = open(space, O_RDONLY | O_CLOEXEC);
	cleanup_fd int fd = -1;

	if (!proc_is_alive(init, start_time))
		return 0;
	if (space_fd < 0 || setns(space_fd, CLONE_NEWUSER) < 0 ||
	    setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Now it is known whose root that is. */
	if (!proc_is_alive(init, start_time))
		return 0;
	return fd >= 0 && syncfs(fd) == 0 ? 0 : -errno;
}

int diff_flush_root(pid_t init, uint64_t start_time, struct error *err)
{
	struct pollfd ended = {.fd = -1, .events = POLLIN};
	pid_t child = fork();
	int r;

	if (child < 0)
		return err_errno(err, "cannot start a process");
	if (child == 0)
		_exit(-flush(init, start_time));
	ended.fd = proc_pidfd_open(child, 0);
	r = ended.fd < 0 ? ended.fd : poll(&ended, 1, FLUSH_TIMEOUT_MS);
	close_fd(&ended.fd);
	if (r > 0) {
		r = proc_wait(child);
		return r == 0 ? 0
			      : err_number(err, r,
					   "cannot write out the container's "
					   "root");
	}
	/* It may not even be killed now; it ends with the container. */
	kill(child, SIGKILL);
	return err_set(err, ERROR_TIMEOUT,
		       "the container's root was not written out within %d "
		       "seconds",
		       FLUSH_TIMEOUT_MS / 1000);
}
