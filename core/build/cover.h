/*
 * What .dockerignore leaves out is not to be seen where the context is mounted
 * either. A cover is a directory tree of whiteouts, one for each file or whole
 * directory that is left out, which an overlay puts over the context's own
 * (core/engine/mounts.h, directories): nothing of the context is copied, and
 * files that come later are seen.
 *
 * A directory that is left out shows for the sake of what "!" takes back in, as
 * with COPY (storage/build/content.h). Hiding is no protection: who made the
 * context may change it while it is looked at.
 */
#pragma once

#include "base/error.h"

struct ignore;
struct store_work;

/*
 * directory: absolute. Makes the cover in the work and stays with it; its
 * absolute path, caller frees; NULL where nothing is left out.
 */
int cover_make(const struct store_work *work, const char *directory,
	       struct ignore *ignore, char **ret_path, struct error *err);
