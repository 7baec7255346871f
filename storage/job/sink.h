/*
 * Where a packed layer is written on its way by: a new file of the stage, with
 * its digest. The taps (storage/tar/stream.h) take it as their data.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "storage/job/stage.h"
#include "storage/tar/gzip_writer.h"
#include "storage/tar/hash.h"

struct sink {
	struct stage *stage;
	char name[STAGE_NAME_MAX];
	int fd;
	struct hash hash;
	uint64_t size;
	struct gzip_writer *gzip;
	char digest[DIGEST_TEXT_MAX]; /* after sink_finish() */
};

int sink_open(struct stage *stage, struct sink *ret_sink, struct error *err);
void sink_release(struct sink *sink);

/* Writes and takes the digest. */
int sink_tap(void *sink, const void *bytes, size_t length, struct error *err);
/* Writes only: somebody else knows the digest. */
int sink_tap_plain(void *sink, const void *bytes, size_t length,
		   struct error *err);
/* Writes it compressed by gzip, with that digest. */
int sink_tap_gzip(void *sink, const void *bytes, size_t length,
		  struct error *err);

/* Ends the file. known: its digest when only sink_tap_plain() was used. */
int sink_finish(struct sink *sink, const char *known, struct error *err);
/* Makes it a blob of the stage. */
int sink_keep(struct sink *sink, struct error *err);
