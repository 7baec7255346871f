#include "core/build/run_output.h"

#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "core/build/report.h"

#define BUFFER_SIZE  (64u << 10)
#define FRAME_HEADER 8
#define STREAMS	     2

struct reader {
	const struct report *report;
	struct report_stream streams[STREAMS];
	unsigned char header[FRAME_HEADER];
	size_t header_length;
	size_t frame_left;
};

/* Bytes of data taken: of a header, or of what follows it. */
static size_t take(struct reader *reader, const char *data, size_t length)
{
	const unsigned char *header = reader->header;
	size_t taken;

	if (reader->frame_left > 0) {
		taken = length < reader->frame_left ? length
						    : reader->frame_left;
		report_log(reader->report,
			   &reader->streams[header[0] == 2 ? 1 : 0], data,
			   taken);
		reader->frame_left -= taken;
		return taken;
	}
	reader->header[reader->header_length++] = (unsigned char)*data;
	if (reader->header_length == FRAME_HEADER) {
		reader->frame_left = (size_t)header[4] << 24 |
				     (size_t)header[5] << 16 |
				     (size_t)header[6] << 8 | header[7];
		reader->header_length = 0;
	}
	return 1;
}

int run_output(int stream_fd, const struct report *report, unsigned int vertex,
	       struct error *err)
{
	struct reader reader = {
		.report = report,
		.streams = {{.vertex = vertex, .number = 1},
			    {.vertex = vertex, .number = 2}},
	};
	char buffer[BUFFER_SIZE];
	ssize_t length;

	while ((length = read(stream_fd, buffer, sizeof(buffer))) != 0) {
		size_t done = 0;

		if (length < 0 && errno == EINTR)
			continue;
		/* Its monitor was killed: who waits for the end is told. */
		if (length < 0 && errno == ECONNRESET)
			break;
		if (length < 0)
			return err_errno(err, "cannot read the step's output");
		while (done < (size_t)length)
			done += take(&reader, buffer + done,
				     (size_t)length - done);
	}
	for (int i = 0; i < STREAMS; i++)
		report_log_end(report, &reader.streams[i]);
	return 0;
}
