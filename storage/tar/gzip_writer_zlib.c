/* What storage/tar/gzip_writer.c does, where there is no ISA-L. */
#include "storage/tar/gzip_writer.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/str.h"

#define GZIP_WRAPPER (16 + MAX_WBITS)
#define GZIP_LEVEL   2 /* three times the speed of 6 for a tenth in size */
#define GZIP_MEMORY  9
#define OUTPUT_SIZE  (64u << 10)

struct gzip_writer {
	z_stream z;
	unsigned char output[OUTPUT_SIZE];
};

struct gzip_writer *gzip_writer_new(void)
{
	struct gzip_writer *writer = xcalloc(1, sizeof(*writer));

	if (deflateInit2(&writer->z, GZIP_LEVEL, Z_DEFLATED, GZIP_WRAPPER,
			 GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		str_oom();
	return writer;
}

void gzip_writer_free(struct gzip_writer *writer)
{
	if (!writer)
		return;
	deflateEnd(&writer->z);
	free(writer);
}

int gzip_write(struct gzip_writer *writer, const void *bytes, size_t length,
	       bool end, gzip_output output, void *data, struct error *err)
{
	z_stream *z = &writer->z;
	int r;

	z->next_in = (z_const Bytef *)(uintptr_t)bytes;
	z->avail_in = (uInt)length;
	do {
		z->next_out = writer->output;
		z->avail_out = OUTPUT_SIZE;
		deflate(z, end ? Z_FINISH : Z_NO_FLUSH);
		r = output(data, writer->output, OUTPUT_SIZE - z->avail_out,
			   err);
	} while (r == 0 && z->avail_out == 0);
	return r;
}
