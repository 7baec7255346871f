/*
 * COPY, ADD and WORKDIR: one layer, made of sources that need not be trusted,
 * straight from them, with nothing copied in between:
 *
 *   sources (content_walk) → entries (target) → archive → gzip, digest, unpack
 *
 * The commands are told in storage/transfer_build.h; ADD of archives and URLs
 * is moss-image's, all else moss-layer's. In order: the roots are mounted (the
 * chain's, to see where the destination is; that of --from), the contexts
 * opened, owners looked up. Then the process confines itself
 * (storage/job/confine.h), and only after that are URLs fetched, files read and
 * archives unpacked.
 *
 * Where things go is what BuildKit does:
 *
 *   directory      its contents go into the destination, which is made, 0755,
 *                  when it is missing and keeps what it is otherwise;
 *                  directories below take the source's attributes
 *   anything else  into the destination when that is a directory or ends in
 *                  "/", under its own name; else it is the destination
 *   archive        (ADD) unpacked into the destination, a directory
 *
 * Of several sources no file may be the destination: it has to be a directory
 * by then, or to end in "/".
 *
 * A link in the destination's path is followed, within the root; one that
 * something is to be copied over is replaced. A directory never gives way to
 * something else, nor the reverse, but for an archive's entries.
 *
 * Owners: 0:0, or --chown; those of a root and of an archive are kept without
 * it. Modes: the source's, set-ID bits too, or --chmod, not for an archive's;
 * directories made on the way get it as well when it is a number.
 * Times are the source's. Hard links within a root or a context stay, as far
 * as they are in one source.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/build/content.h"
#include "storage/build/owner.h"
#include "storage/build/target.h"
#include "storage/job/job.h"
#include "storage/root/view.h"
#include "storage/tar/layer_devices.h"
#include "storage/transfer_build.h"

/* Shared by storage/build/copy*.c. */

struct copy_input {
	enum copy_source_kind kind;
	const cJSON *json;
	int root_fd; /* what is copied from; -1: nothing */
	char **patterns;
	struct ignore *ignore;
	bool unpack;
	char *name; /* of a single file, which is called otherwise in root_fd */
	/* Of a ROOT. */
	struct view view;
	struct layer_chain chain;
	char **diff_ids;
	struct layer_devices devices;
};

struct copy;
struct copy_archive;
/*
 * What takes libraries that start slowly: moss-image can, moss-layer, which
 * makes all other layers, cannot.
 */
struct copy_abilities {
	int (*fetch_url)(struct copy *copy, struct copy_input *input,
			 struct error *err);
	int (*unpack)(const struct copy_archive *archive, struct error *err);
};

struct copy {
	struct job *job;
	const struct copy_abilities *abilities; /* NULL: none */
	struct stage stage; /* what is fetched lies in its work, too */
	struct layer_chain chain;
	char **diff_ids;
	struct view view; /* of the chain */
	const char *destination;
	const char *mode; /* --chmod, or NULL */
	bool has_owner;
	struct owner owner;
	bool link;
	bool parents;
	bool several; /* sources that the Dockerfile names */
	char **excludes;
	int64_t epoch;
	struct copy_input *inputs;
	size_t input_count;
	char content[CONTENT_HEX_MAX]; /* of what was read */
};

#define COPY_EMPTY                                           \
	{                                                    \
		.stage = {.work = {.fd = -1, .lock_fd = -1}, \
			  .blobs_fd = -1,                    \
			  .layers_fd = -1},                  \
		.view = VIEW_EMPTY                           \
	}

/* copy_open.c: all that comes before the confinement. */
int copy_open(struct job *job, bool digest_only, struct copy *ret_copy,
	      struct error *err);
void copy_release(struct copy *copy);
void copy_content_request(const struct copy *copy,
			  const struct copy_input *input,
			  struct content_request *ret_request);

/* copy_job.c: the commands, with these abilities. */
int copy_layer_job(struct job *job, const struct copy_abilities *abilities,
		   struct error *err);
int copy_digest_job(struct job *job, const struct copy_abilities *abilities,
		    struct error *err);

/* copy_text.c: here-documents become files. */
int copy_text(struct copy *copy, struct copy_input *input, struct error *err);
/*
 * input is what lies in directory dir_fd, which is taken, as COPY_FILE_NAME;
 * name is what it is called where it goes.
 */
#define COPY_FILE_NAME "file"
void copy_use_file(struct copy_input *input, int dir_fd, const char *name);
bool copy_is_file_name(const char *name);
int copy_new_directory(int dir_fd, const char *name, struct error *err);

/* copy_fetch.c: what is at a URL becomes a file. */
int copy_fetch_url(struct copy *copy, struct copy_input *input,
		   struct error *err);

/* copy_entry.c: writes all sources; 1, 0, error as a layer_producer. */
int copy_produce(void *copy, struct tar_writer *writer, struct error *err);
/* The digest of several inputs from those of each; see transfer_build.h. */
int copy_join_content(char *const *contents, char ret_hex[CONTENT_HEX_MAX],
		      struct error *err);

/* copy_archive.c: 1 when the entry is an archive, which was unpacked. */
struct copy_archive {
	struct copy *copy;
	struct target *target;
	struct tar_writer *writer;
	const struct content_entry *entry;
};
int copy_archive_unpack(const struct copy_archive *archive, struct error *err);
