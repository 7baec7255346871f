/*
 * The files of an archive of images, by name: a directory, or a tar that is
 * read once, from a pipe too, whose files go to the stage.
 *
 * Names are cleaned and relative. Links between the files (older docker writes
 * a layer once and links to it) are followed inside of the archive only. A tar
 * file's digest is computed as it is read; a file that claims to be a blob the
 * store has is not written again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"

struct load_file {
	char *name;
	size_t order; /* in the archive */
	char *link;   /* cleaned name of what it links to, or NULL */
	uint64_t size;
	char staged[STAGE_NAME_MAX];  /* in the work directory, "" if it is not
					 there (any more) */
	char digest[DIGEST_TEXT_MAX]; /* "" when it is not known */
};

struct load_files {
	struct job *job;
	struct stage *stage;
	const char *source; /* for messages */
	int dir_fd;	    /* of a directory, -1 for a tar */
	struct load_file *files;
	size_t count;
	size_t room;
	uint64_t bytes;
};

/* Takes fd, a directory or a (compressed) tar. */
int load_files_read(struct load_files *files, int fd, struct error *err);
void load_files_release(struct load_files *files);

bool load_files_have(struct load_files *files, const char *name);
/*
 * *ret_file (borrowed) is the entry of a file from a tar, NULL in a directory,
 * where nothing is looked up yet. ERROR_CORRUPT when it is missing.
 */
int load_files_find(struct load_files *files, const char *name,
		    struct load_file **ret_file, struct error *err);
/* ERROR_CORRUPT when it is missing. */
int load_files_open(struct load_files *files, const char *name,
		    struct error *err);
/* A small file whole; NUL-terminated, caller frees. */
int load_files_text(struct load_files *files, const char *name, char **ret_text,
		    size_t *ret_length, struct error *err);
int load_files_json(struct load_files *files, const char *name,
		    cJSON **ret_json, struct error *err);
