#include "storage/tar/gzip_writer.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define LEVEL	    3
#define OUTPUT_SIZE (64u << 10)
#define INPUT_SIZE  (128u << 10)

struct gzip_writer {
	struct isal_zstream z;
	/* ISA-L packs differently by how much it is given at a time, so that is
	   always the same: equal layers are equal blobs. */
	unsigned char input[INPUT_SIZE];
	size_t input_length;
	unsigned char work[ISAL_DEF_LVL3_DEFAULT];
	unsigned char output[OUTPUT_SIZE];
};

struct gzip_writer *gzip_writer_new(void)
{
	struct gzip_writer *writer = xcalloc(1, sizeof(*writer));

	isal_deflate_init(&writer->z);
	writer->z.level = LEVEL;
	writer->z.level_buf = writer->work;
	writer->z.level_buf_size = sizeof(writer->work);
	writer->z.gzip_flag = IGZIP_GZIP;
	return writer;
}

void gzip_writer_free(struct gzip_writer *writer)
{
	free(writer);
}

static int pack_input(struct gzip_writer *writer, bool end, gzip_output output,
		      void *data, struct error *err)
{
	struct isal_zstream *z = &writer->z;
	int r;

	z->next_in = writer->input;
	z->avail_in = (uint32_t)writer->input_length;
	z->end_of_stream = end;
	writer->input_length = 0;
	do {
		z->next_out = writer->output;
		z->avail_out = OUTPUT_SIZE;
		if (isal_deflate(z) != COMP_OK)
			return err_set(err, ERROR_GENERIC,
				       "cannot compress: ISA-L refuses");
		r = output(data, writer->output, OUTPUT_SIZE - z->avail_out,
			   err);
	} while (r == 0 && z->avail_out == 0);
	return r;
}

int gzip_write(struct gzip_writer *writer, const void *bytes, size_t length,
	       bool end, gzip_output output, void *data, struct error *err)
{
	const char *from = bytes;

	while (length > 0) {
		size_t room = INPUT_SIZE - writer->input_length;
		size_t part = length < room ? length : room;
		int r = 0;

		memcpy(writer->input + writer->input_length, from, part);
		writer->input_length += part;
		from += part;
		length -= part;
		if (writer->input_length == INPUT_SIZE)
			r = pack_input(writer, false, output, data, err);
		if (r < 0)
			return r;
	}
	return end ? pack_input(writer, true, output, data, err) : 0;
}
