/*
 * Writes gzip, at a level chosen for speed: with ISA-L (gzip_writer.c) in a
 * third of zlib's time at nearly its size, without it through zlib
 * (gzip_writer_zlib.c). The bytes are not the same; with either they depend on
 * what is written only, not on the pieces it comes in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct gzip_writer;

struct gzip_writer *gzip_writer_new(void);
void gzip_writer_free(struct gzip_writer *writer); /* NULL is fine */

typedef int (*gzip_output)(void *data, const void *bytes, size_t length,
			   struct error *err);
/* Packs bytes, the last ones when end is true; calls output as it goes. */
int gzip_write(struct gzip_writer *writer, const void *bytes, size_t length,
	       bool end, gzip_output output, void *data, struct error *err);
