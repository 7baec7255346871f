/*
 * storage/build/ignore.h: a path in the first line, a .dockerignore behind it.
 * What is below a directory that need not be read is left out.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/build/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_path(const char *path)
{
	return *path && *path != '/' && !strstr(path, "//") &&
	       !str_ends(path, "/");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_ignore struct ignore *ignore = ignore_new();
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t length = end ? (size_t)(end - data) : size;
	cleanup_free char *path = xstrndup((const char *)data, length);
	cleanup_free char *below = xasprintf("%s/f", path);
	struct error err = {0};

	if (!end || !is_path(path))
		return 0;
	if (ignore_add_file(ignore, (const char *)end + 1, size - length - 1,
			    &err) < 0)
		assert(*err.message);
	if (ignore_prunes(ignore, path))
		assert(ignore_matches(ignore, path) &&
		       ignore_matches(ignore, below));
	else
		(void)ignore_matches(ignore, below);
	return 0;
}
