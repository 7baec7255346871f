/*
 * Where moss-image writes what the user wants to have: a descriptor (standard
 * output), or a file of the user's, which is there whole or not at all. A file
 * that is a device or a pipe is written as it goes.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct output {
	int fd;
	const char *name; /* for messages */
};

/* "cannot write NAME: …", with what to do about it. */
int output_error(int number, const char *name, struct error *err);
/* A tar_sink (storage/tar/tar_writer.h) over a struct output. */
int output_put(void *output, const void *bytes, size_t length,
	       struct error *err);

typedef int (*output_writer)(void *data, struct output *output,
			     struct error *err);
/*
 * Takes the name only when write() has succeeded and everything is on disk.
 * Killed, it leaves nothing where the file system has O_TMPFILE, elsewhere a
 * file ".tmp-HEX" beside it.
 */
int output_to_file(const char *path, output_writer write, void *data,
		   struct error *err);

/* The directory of a path, and a name in it to work under. */
struct output_parent {
	int fd;
	char *name;	 /* of the path in it */
	char *temporary; /* beside it */
};

int output_parent_open(const char *path, struct output_parent *ret_parent,
		       struct error *err);
void output_parent_release(struct output_parent *parent);
