/*
 * What the name of an entry in a layer means (image-spec, layer.md): a file, or
 * a mark for the layers below it. Pure text: which directory a parent with
 * symbolic links in it leads to is for the unpacker to ask the kernel, inside
 * of the layer's root.
 *
 *   .wh.NAME        NAME of the lower layers is gone
 *   .wh..wh..opq    everything in this directory of the lower layers is gone
 *   .wh..wh.OTHER   aufs's own, of old; skipped, and what lies below
 *
 * An entry below a directory called .wh.NAME is refused: for some drivers that
 * directory would be a whiteout.
 */
#pragma once

#include "base/error.h"

enum layer_path_kind {
	LAYER_PATH_FILE,
	LAYER_PATH_WHITEOUT, /* *ret_path names what is gone */
	LAYER_PATH_OPAQUE,   /* *ret_path names the directory, "" the root */
	LAYER_PATH_SKIP,     /* *ret_path is NULL */
};

/*
 * Cleans raw as docker does (Go's path.Clean): relative, without "." and "..",
 * "" for the root. Names that lead out of the root, are too long, too deep or
 * empty are ERROR_INVALID and tell the name. Returns the kind.
 */
int layer_path(const char *raw, char **ret_path, struct error *err);
/* As layer_path() for the target of a hard link, where marks mean nothing. */
int layer_link_path(const char *raw, char **ret_path, struct error *err);
