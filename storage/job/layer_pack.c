#include "storage/job/layer_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "storage/job/sink.h"
#include "storage/store/oci.h"
#include "storage/tar/flusher.h"

#define PIPE_SIZE (1 << 20)

struct packing {
	pthread_t thread;
	layer_producer produce;
	void *data;
	int pipe_fd;
	struct error error;
	int result;
};

static int put(void *data, const void *bytes, size_t length, struct error *err)
{
	const struct packing *packing = data;
	int r = write_all(packing->pipe_fd, bytes, length);

	return r < 0 ? err_number(err, r, "cannot write the layer") : 0;
}

static void *run(void *data)
{
	struct packing *packing = data;
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(put, packing);
	int r = packing->produce(packing->data, writer, &packing->error);

	packing->result = r;
	if (r >= 0) {
		r = tar_write_end(writer, &packing->error);
		if (r < 0)
			packing->result = r;
	}
	close_fd(&packing->pipe_fd);
	return NULL;
}

static int start(struct packing *packing, int *ret_read_fd, struct error *err)
{
	int fds[2];
	int r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	/* A wish: unprivileged users may have used up theirs. */
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	packing->pipe_fd = fds[1];
	r = pthread_create(&packing->thread, NULL, run, packing);
	if (r != 0) {
		close(fds[0]);
		close(fds[1]);
		return err_number(err, r, "cannot start a thread");
	}
	*ret_read_fd = fds[0];
	return 0;
}

static int tap_flusher(void *data, const void *bytes, size_t length,
		       struct error *err)
{
	flusher_add(data, length);
	return 0;
}

/* The end of the consumer's side comes first: the producer may wait for it. */
static int read_layer(struct stage *stage, int fd, struct sink *sink,
		      struct stage_layer *layer, struct error *err)
{
	struct flusher flusher;
	struct stream *packed = stream_tapped(stream_from_fd(fd, "the layer"),
					      sink_tap_gzip, sink);
	cleanup_stream struct stream *stream = NULL;
	struct stage_layer_request request = {0};
	int r = stream_ahead(packed, &stream, err);

	if (r < 0)
		return r;
	flusher_start(&flusher, stage->work.fd);
	stream = stream_tapped(stream, tap_flusher, &flusher);
	request.stream = stream;
	r = stage_unpack(stage, &request, layer, err);
	flusher_stop(&flusher);
	return r;
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

int layer_pack(struct stage *stage, layer_producer produce, void *data,
	       struct descriptor *ret_blob, struct layer *ret_layer,
	       struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer layer = {0};
	CLEANUP(sink_release) struct sink sink = {.fd = -1};
	struct packing packing = {
		.produce = produce,
		.data = data,
		.pipe_fd = -1,
	};
	struct descriptor blob = {0};
	int fd = -1;
	int r = sink_open(stage, &sink, err);

	if (r == 0)
		r = start(&packing, &fd, err);
	if (r < 0)
		return r;
	r = read_layer(stage, fd, &sink, &layer, err);
	pthread_join(packing.thread, NULL);
	/* EPIPE only says that the other side had failed before. */
	if (packing.result < 0 && packing.result != -EPIPE)
		return err_copy(err, &packing.error);
	if (r < 0 || packing.result == 0)
		return r;
	r = keep(stage, &sink, &layer, &blob, err);
	if (r < 0)
		return r;
	*ret_blob = blob;
	*ret_layer = layer.layer;
	return 1;
}
