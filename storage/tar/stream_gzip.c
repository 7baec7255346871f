/*
 * gzip (RFC 1952) through ISA-L, two to three times as fast as zlib. It
 * verifies each member's checksum and length; headers are read here, because
 * the library's reader loses its way in one with optional parts that comes in
 * pieces. Where the library is not there, storage/tar/stream_gzip_zlib.c takes
 * this file's place.
 */
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/tar/stream.h"

#define OUTPUT_SIZE (256u << 10)
#define FIXED_SIZE  10 /* of a header */
#define METHOD	    8

enum flag {
	FLAG_HCRC = 1 << 1,
	FLAG_EXTRA = 1 << 2,
	FLAG_NAME = 1 << 3,
	FLAG_COMMENT = 1 << 4,
	FLAG_RESERVED = 0xe0,
};

static const unsigned char magic[] = {0x1f, 0x8b};

/* The parts of a member, in order; a header has those its flags tell. */
enum part {
	PART_FIXED,
	PART_EXTRA_LENGTH,
	PART_EXTRA,
	PART_NAME,
	PART_COMMENT,
	PART_HCRC,
	PART_DATA, /* and the trailer */
};

struct header {
	enum part part;
	unsigned int at;     /* bytes of that part so far */
	unsigned int length; /* of the extra field; of HCRC, its value */
	unsigned char flags;
	uint32_t crc;
};

struct gzip_stream {
	struct stream stream;
	struct stream *input;
	struct inflate_state z;
	struct header header;
	bool in_member;
	bool ended; /* of the packed data; the input may go on */
	unsigned char output[OUTPUT_SIZE];
};

static void gzip_free(struct stream *stream)
{
	struct gzip_stream *self = (struct gzip_stream *)stream;

	stream_free(self->input);
	free(self);
}

static int damage(const char *text, struct error *err)
{
	return err_set(err, ERROR_CORRUPT, "damaged gzip data: %s", text);
}

static int damaged(int code, struct error *err)
{
	static const struct {
		int code;
		const char *text;
	} reasons[] = {
		{ISAL_INVALID_BLOCK, "invalid block"},
		{ISAL_INVALID_SYMBOL, "invalid code"},
		{ISAL_INVALID_LOOKBACK, "invalid distance"},
		{ISAL_INCORRECT_CHECKSUM, "incorrect checksum or length"},
	};
	const char *text = "unknown error";

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].code == code)
			text = reasons[i].text;
	}
	return damage(text, err);
}

/* Makes sure there is input; 0 at its end. */
static int fill(struct gzip_stream *self, struct error *err)
{
	const void *bytes = NULL;
	ssize_t length;

	if (self->z.avail_in > 0)
		return 1;
	length = stream_next(self->input, &bytes, err);
	if (length <= 0)
		return (int)length;
	self->z.next_in = (uint8_t *)(uintptr_t)bytes;
	self->z.avail_in = (uint32_t)length;
	return 1;
}

static void next_part(struct header *header)
{
	static const struct {
		enum part part;
		unsigned int flag;
	} parts[] = {
		{PART_EXTRA_LENGTH, FLAG_EXTRA}, {PART_EXTRA, FLAG_EXTRA},
		{PART_NAME, FLAG_NAME},		 {PART_COMMENT, FLAG_COMMENT},
		{PART_HCRC, FLAG_HCRC},
	};
	enum part last = header->part;

	header->part = PART_DATA;
	header->at = 0;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i].part <= last || !(header->flags & parts[i].flag) ||
		    (parts[i].part == PART_EXTRA && header->length == 0))
			continue;
		header->part = parts[i].part;
		break;
	}
}

static int read_fixed(struct header *header, unsigned char byte,
		      struct error *err)
{
	if (header->at < sizeof(magic) && byte != magic[header->at])
		return damage("incorrect header", err);
	if (header->at == 2 && byte != METHOD)
		return damage("unknown compression method", err);
	if (header->at == 3)
		header->flags = byte;
	if (header->flags & FLAG_RESERVED)
		return damage("unknown header flags", err);
	if (++header->at == FIXED_SIZE)
		next_part(header);
	return 0;
}

/* Two bytes, the lower one first. */
static bool read_number(struct header *header, unsigned char byte)
{
	header->length = header->at == 0 ? byte : header->length | byte << 8;
	return ++header->at == 2;
}

static int read_header_byte(struct header *header, unsigned char byte,
			    struct error *err)
{
	if (header->part != PART_HCRC)
		header->crc = crc32_gzip_refl(header->crc, &byte, 1);
	switch (header->part) {
	case PART_FIXED:
		return read_fixed(header, byte, err);
	case PART_EXTRA_LENGTH:
		if (read_number(header, byte))
			next_part(header);
		return 0;
	case PART_EXTRA:
		if (++header->at == header->length)
			next_part(header);
		return 0;
	case PART_NAME:
	case PART_COMMENT:
		if (byte == '\0')
			next_part(header);
		return 0;
	case PART_HCRC:
		if (!read_number(header, byte))
			return 0;
		if (header->length != (header->crc & 0xffff))
			return damage("incorrect header checksum", err);
		next_part(header);
		return 0;
	case PART_DATA:
		break;
	}
	return 0;
}

static int truncated(struct error *err)
{
	return err_set(err, ERROR_CORRUPT, "truncated gzip data");
}

static int read_header(struct gzip_stream *self, struct error *err)
{
	while (self->header.part != PART_DATA) {
		int r = fill(self, err);

		if (r <= 0)
			return r < 0 ? r : truncated(err);
		r = read_header_byte(&self->header, *self->z.next_in, err);
		if (r < 0)
			return r;
		self->z.next_in++;
		self->z.avail_in--;
	}
	return 0;
}

static void begin_member(struct gzip_stream *self)
{
	self->header = (struct header){.part = PART_FIXED};
	self->z.crc_flag = ISAL_GZIP_NO_HDR_VER;
	self->in_member = true;
}

/*
 * Between members: 1 when another one begins. Something else after a member is
 * ignored, as gzip(1) does (tapes pad with zeros).
 */
static int next_member(struct gzip_stream *self, struct error *err)
{
	int r = fill(self, err);

	if (r <= 0)
		return r;
	if (*self->z.next_in != magic[0]) {
		self->z.avail_in = 0;
		return stream_drain(self->input, err);
	}
	isal_inflate_reset(&self->z);
	begin_member(self);
	return 1;
}

/*
 * Some of a member. At the end of the input what was decoded may still wait for
 * room in the output.
 */
static int inflate_some(struct gzip_stream *self, struct error *err)
{
	uint32_t room = self->z.avail_out;
	int more;
	int r = read_header(self, err);

	if (r < 0)
		return r;
	more = fill(self, err);
	if (more < 0)
		return more;
	r = isal_inflate(&self->z);
	if (r < 0)
		return damaged(r, err);
	if (self->z.block_state == ISAL_BLOCK_FINISH)
		self->in_member = false;
	else if (more == 0 && self->z.avail_out == room)
		return truncated(err);
	return 0;
}

static ssize_t gzip_next(struct stream *stream, const void **ret_bytes,
			 struct error *err)
{
	struct gzip_stream *self = (struct gzip_stream *)stream;

	self->z.next_out = self->output;
	self->z.avail_out = sizeof(self->output);
	while (!self->ended && self->z.avail_out > 0) {
		int r;

		if (self->in_member) {
			r = inflate_some(self, err);
		} else {
			r = next_member(self, err);
			self->ended = r == 0;
		}
		if (r < 0)
			return r;
	}
	*ret_bytes = self->output;
	return (ssize_t)(sizeof(self->output) - self->z.avail_out);
}

int stream_gunzip(struct stream *input, struct stream **ret_stream,
		  struct error *err)
{
	struct gzip_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){gzip_next, gzip_free};
	self->input = input;
	isal_inflate_init(&self->z);
	begin_member(self);
	*ret_stream = &self->stream;
	return 0;
}
