/*
 * How much an archive may ask of us. What is larger is taken for an attack or
 * an accident and refused with a line that names the limit; honest images stay
 * far below.
 *
 * Some of it depends on whom one trusts and on the disk: those are struct
 * limits, set in the section [limits] of moss.conf. moss reads it and sends
 * them with each request to moss-image, where they are in struct store.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/error.h"

#define LIMIT_LAYER_SIZE    "layer-size"
#define LIMIT_LAYER_ENTRIES "layer-entries"
#define LIMIT_ARCHIVE_SIZE  "archive-size"
#define LIMIT_UNPACK_FLOOR  "unpack-floor"
#define LIMIT_UNPACK_RATIO  "unpack-ratio"

struct limits {
	uint64_t layer_size;	/* bytes of a layer's files, holes included */
	uint64_t layer_entries; /* of a tar archive, of any kind */
	uint64_t archive_size;	/* bytes of all files in an archive of images */
	/* A packed stream may grow to the floor whatever its size, and beyond
	   to ratio times its size. */
	uint64_t unpack_floor;
	uint64_t unpack_ratio;
};

extern const struct conf_key limits_conf_keys[];

/* What holds where nothing is set. */
void limits_init(struct limits *limits);
void limits_from_conf(const struct conf *conf, struct limits *ret_limits);
cJSON *limits_json(const struct limits *limits);
int limits_from_json(const cJSON *json, struct limits *ret_limits,
		     struct error *err);
/* Adds which key to raise; returns err's number. */
int limits_hint(const char *key, struct error *err);

/* One tar archive. */
#define TAR_ENTRIES_MAX	   (4u << 20)
#define TAR_PATH_MAX	   4096u       /* bytes of a name or a link, with NUL */
#define TAR_COMPONENT_MAX  255u	       /* bytes of one name in a path */
#define TAR_DEPTH_MAX	   1024u       /* names in a path */
#define TAR_PAX_MAX	   (1u << 20)  /* bytes of one extended header */
#define TAR_XATTRS_MAX	   128u	       /* of one entry */
#define TAR_XATTR_NAME_MAX 255u	       /* the kernel's */
#define TAR_XATTR_MAX	   (64u << 10) /* bytes of a value, the kernel's */
#define TAR_SPARSE_MAX	   (256u << 10) /* pieces of a sparse file */
#define TAR_FILE_MAX	   (8ull << 40) /* bytes of one file, holes included */

/* One layer. */
#define LAYER_BYTES_MAX	   (4ull << 40)	  /* of all files' data */
#define LAYER_NAMES_MAX	   (256ull << 20) /* bytes of directories' names */
#define LAYER_DEVICES_MAX  4096u
#define LAYER_DEVICES_TEXT (1u << 20) /* bytes of their names */

/* A packed stream. Text and programs shrink to a tenth at best, by gzip nothing
   to less than a thousandth. */
#define PACKED_FLOOR (1ull << 30)
#define PACKED_RATIO 500u
/* Of a zstd frame, the 128 MiB that zstd(1) allows as well. It is memory that
   each layer in work may take. */
#define ZSTD_WINDOW_MAX_LOG 27

/* The archive of `load`, and what it stages. */
#define LOAD_ENTRIES_MAX (256u << 10)
#define LOAD_IMAGES_MAX	 1024u
/* All names in it; each is looked for among all others. */
#define LOAD_NAMES_MAX 2048u
#define LOAD_BYTES_MAX (4ull << 40)
#define LOAD_LINKS_MAX 16 /* links from one entry to the next */

/* http(s) */
#define FETCH_REDIRECTS_MAX 10
#define FETCH_CONNECT_S	    30L
#define FETCH_STALL_S	    60L	 /* without a byte */
#define FETCH_COMMIT_S	    600L /* for a server that stores what it got */
#define FETCH_DOCUMENT_S    120L /* for all of a small answer */
#define FETCH_EXTRA_S	    5L	 /* for one that is not needed */
#define FETCH_BYTES_MAX	    (1ull << 40)
#define FETCH_HEADERS_MAX   (64u << 10) /* bytes of an answer's header */
#define FETCH_URL_MAX	    8192u
#define FETCH_TEXT_MAX	    (4u << 20) /* a manifest, a config, a list */
#define FETCH_TOKEN_MAX	    (64u << 10)

/* Failures that may pass: how often, and how long between. */
#define RETRY_ATTEMPTS 5u
#define RETRY_FIRST_MS 500u
#define RETRY_LAST_MS  8000u
#define RETRY_AFTER_S  60u /* of a server's Retry-After, at most */
