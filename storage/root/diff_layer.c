#include "storage/root/diff_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/store/oci.h"
#include "storage/job/sink.h"

#define PIPE_SIZE	 (1 << 20)
#define FLUSH_TIMEOUT_MS 10000

/* The thread that writes the archive into a pipe. */
struct producer {
	pthread_t thread;
	int upper_fd;
	const struct diff_request *request;
	int pipe_fd;
	struct diff_report report;
	struct error error;
	int result;
};

static int put(void *data, const void *bytes, size_t length, struct error *err)
{
	const struct producer *producer = data;
	int r = write_all(producer->pipe_fd, bytes, length);

	return r < 0 ? err_number(err, r, "cannot write the layer") : 0;
}

static void *produce(void *data)
{
	struct producer *producer = data;
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(put, producer);

	producer->result =
		diff_write(producer->upper_fd, producer->request, writer,
			   &producer->report, &producer->error);
	if (producer->result == 0)
		producer->result = tar_write_end(writer, &producer->error);
	close_fd(&producer->pipe_fd);
	return NULL;
}

static int start(struct producer *producer, int *ret_read_fd, struct error *err)
{
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	/* A wish: unprivileged users may have used up theirs. */
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	producer->pipe_fd = fds[1];
	r = pthread_create(&producer->thread, NULL, produce, producer);
	if (r != 0) {
		close(fds[0]);
		close(fds[1]);
		return err_number(err, r, "cannot start a thread");
	}
	*ret_read_fd = fds[0];
	return 0;
}

static bool has_changes(const struct diff_report *report)
{
	return report->tree.entries > 0 || report->whiteouts > 0;
}

/* The end of the consumer's side comes first: the producer may wait for it. */
static int read_layer(struct stage *stage, int fd, struct sink *sink,
		      struct stage_layer *layer, struct error *err)
{
	struct stream *packed =
		stream_tapped(stream_from_fd(fd, "the container's changes"),
			      sink_tap_gzip, sink);
	cleanup_stream struct stream *stream = NULL;
	struct stage_layer_request request = {0};
	int r = stream_ahead(packed, &stream, err);

	if (r < 0)
		return r;
	request.stream = stream;
	return stage_unpack(stage, &request, layer, err);
}

static int keep(struct stage *stage, struct sink *sink,
		struct stage_layer *layer, struct descriptor *blob,
		struct error *err)
{
	int r = sink_finish(sink, NULL, err);

	if (r == 0)
		r = sink_keep(sink, err);
	if (r < 0)
		return r;
	strcpy(layer->layer.blob, sink->digest);
	strcpy(blob->media_type, OCI_LAYER_GZIP);
	strcpy(blob->digest, sink->digest);
	blob->size = sink->size;
	return stage_keep_layer(stage, layer, err);
}

int diff_layer_stage(struct stage *stage, int upper_fd,
		     const struct diff_request *request,
		     struct descriptor *ret_blob, struct layer *ret_layer,
		     struct diff_report *ret_report, struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer layer = {0};
	CLEANUP(sink_release) struct sink sink = {.fd = -1};
	struct producer producer = {
		.upper_fd = upper_fd,
		.request = request,
		.pipe_fd = -1,
	};
	struct descriptor blob = {0};
	int fd = -1;
	int r = sink_open(stage, &sink, err);

	if (r == 0)
		r = start(&producer, &fd, err);
	if (r < 0)
		return r;
	r = read_layer(stage, fd, &sink, &layer, err);
	pthread_join(producer.thread, NULL);
	/* EPIPE only says that the other side had failed before. */
	if (producer.result < 0 && producer.result != -EPIPE)
		return err_copy(err, &producer.error);
	if (r < 0)
		return r;
	*ret_report = producer.report;
	if (!has_changes(&producer.report))
		return 0;
	r = keep(stage, &sink, &layer, &blob, err);
	if (r < 0)
		return r;
	*ret_blob = blob;
	*ret_layer = layer.layer;
	return 1;
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
