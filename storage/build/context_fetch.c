/*
 * moss-image context: a build's context that comes as a stream, from standard
 * input or a URL. What it is shows: a tar archive, packed or not, is unpacked
 * into a directory of the build's work; anything else is a Dockerfile.
 *
 * The archive is hostile, and unpacked as `moss cp` unpacks one into a root:
 * nothing of it gets out of the directory, device nodes are left out. Links in
 * it are kept as they are; whoever reads the context follows them within it
 * only. Names that begin with ".wh.", which no layer can hold, are refused.
 *
 * Request: {"lease", "url"?}. Result: {"directory": path, absolute} or
 * {"dockerfile": text}.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/job/job.h"
#include "storage/store/limits.h"
#include "storage/tar/stream.h"
#include "storage/tar/tar.h"
#include "storage/tar/unpack.h"

#define CHECKSUM_AT	148
#define CHECKSUM_LENGTH 8

/* A header that sums up, or the end of an archive without entries. */
static bool is_tar(const unsigned char *block, size_t length)
{
	char text[CHECKSUM_LENGTH + 1] = {0};
	unsigned long sum = 0;
	bool empty = true;

	if (length < TAR_BLOCK_SIZE)
		return false;
	memcpy(text, block + CHECKSUM_AT, CHECKSUM_LENGTH);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		bool in_sum =
			i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_LENGTH;

		sum += in_sum ? ' ' : block[i];
		empty = empty && block[i] == 0;
	}
	return empty || strtoul(text, NULL, 8) == sum;
}

static int read_text(struct stream *stream, char **ret_text, struct error *err)
{
	cleanup_str struct str text = {0};
	const void *bytes;
	ssize_t length;

	while ((length = stream_next(stream, &bytes, err)) > 0) {
		if (text.length + (size_t)length > DOCKERFILE_MAX)
			return err_set(err, ERROR_INVALID,
				       "it is no tar archive, and larger than "
				       "a Dockerfile may be (%u bytes)",
				       DOCKERFILE_MAX);
		str_append_bytes(&text, bytes, (size_t)length);
	}
	if (length < 0)
		return (int)length;
	if (text.length > 0 && memchr(text.data, '\0', text.length))
		return err_set(err, ERROR_INVALID,
			       "it is neither a tar archive nor a Dockerfile");
	*ret_text = str_steal(&text);
	return 0;
}

/* *ret_path: absolute; caller frees. */
static int new_directory(const struct job *job, char **ret_path,
			 struct error *err)
{
	const char *lease = job_string(job, "lease");
	cleanup_fd int work_fd =
		store_work_open(&job->store, lease ? lease : "", err);
	char name[] = "context-XXXXXXXX";
	cleanup_fd int fd = -1;
	unsigned int number = (unsigned int)getpid();

	if (work_fd < 0)
		return work_fd;
	/* Whoever asks twice has two processes. */
	snprintf(name, sizeof(name), "context-%08x", number);
	if (mkdirat(work_fd, name, 0755) < 0)
		return err_errno(err, "cannot make a directory in the store");
	fd = openat(work_fd, name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, "cannot open a directory of the store");
	*ret_path = xasprintf("%s/tmp/%s/%s", job->store.path, lease, name);
	return steal_fd(&fd);
}

static int unpack(struct job *job, struct stream *stream, struct error *err)
{
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(stream_tar_source, stream);
	struct unpack_result result = {0};
	cleanup_free char *path = NULL;
	cleanup_fd int fd = new_directory(job, &path, err);
	int r;

	if (fd < 0)
		return fd;
	tar_reader_limit(reader, job->store.limits.layer_entries);
	r = unpack_into(reader, fd, "/", &job->store.limits, &result, err);
	if (r < 0)
		return r;
	cJSON_Delete(result.devices);
	if (result.skipped > 0)
		job_note(job, "%llu devices of the context were left out",
			 (unsigned long long)result.skipped);
	json_set_string(job->result, "directory", path);
	return 0;
}

/* Takes packed. */
static int use_stream(struct job *job, struct stream *packed, struct error *err)
{
	enum compression compression;
	struct stream *stream = NULL;
	cleanup_free char *text = NULL;
	unsigned char first[TAR_BLOCK_SIZE];
	size_t length = 0;
	int r = stream_detect(packed, &stream, &compression, err);

	if (r == 0)
		r = stream_unpacked(stream, compression, &job->store.limits,
				    &stream, err);
	if (r == 0)
		r = stream_peek(stream, first, sizeof(first), &length, &stream,
				err);
	if (r < 0)
		return r;
	if (is_tar(first, length)) {
		r = unpack(job, stream, err);
	} else {
		r = read_text(stream, &text, err);
		if (r == 0)
			json_set_string(job->result, "dockerfile", text);
	}
	stream_free(stream);
	return r;
}

struct counter {
	struct job *job;
	struct job_meter meter;
	uint64_t received;
	uint64_t total;
};

static int count(void *data, const void *bytes, size_t length,
		 struct error *err)
{
	struct counter *counter = data;

	counter->received += length;
	job_progress(counter->job, &counter->meter, "context", "Downloading",
		     counter->received, counter->total);
	return 0;
}

int context_run(struct job *job, struct error *err)
{
	const char *url = job_string(job, "url");
	struct counter counter = {.job = job};
	struct stream *stream = NULL;
	int fd;
	int r = 0;

	if (url) {
		r = stream_from_url(url, &stream, &counter.total, err);
	} else {
		fd = fcntl(JOB_INPUT, F_DUPFD_CLOEXEC, JOB_PROGRESS + 1);
		if (fd < 0)
			return err_errno(err, "cannot read standard input");
		stream = stream_from_fd(fd, "standard input");
	}
	if (r < 0)
		return r;
	if (url)
		stream = stream_tapped(stream, count, &counter);
	r = use_stream(job, stream, err);
	return r < 0 ? err_wrap(err, "cannot read the build context from %s",
				url ? url : "standard input")
		     : 0;
}
