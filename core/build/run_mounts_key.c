/* What of a step's mounts counts for its key: core/build/run_mounts.h. */
#include "core/build/run_mounts_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/build/key.h"
#include "core/engine/engine.h"
#include "storage/build/content.h"
#include "storage/transfer_build.h"

/* A pattern that matches nothing but this path: what is not a wildcard stands
   for itself. */
static char *literal_pattern(const char *path)
{
	cleanup_str struct str pattern = {0};

	if (!*path)
		return xstrdup(".");
	if (!strpbrk(path, "*?["))
		return xstrdup(path);
	for (; *path; path++) {
		if (*path == '\\')
			str_append(&pattern, "[\\\\]");
		else if (strchr("*?[", *path))
			str_appendf(&pattern, "[%c]", *path);
		else
			str_append_char(&pattern, *path);
	}
	return str_steal(&pattern);
}

static int digest_directory(const struct run_mount_source *source,
			    char *const *patterns, char ret_hex[KEY_HEX_MAX],
			    struct error *err)
{
	cleanup_fd int fd =
		open(source->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct content_request content = {
		.root_fd = fd,
		.patterns = patterns,
		.ignore = source->ignore,
		.cache = source->cache,
	};

	if (fd < 0)
		return err_errno(err, "cannot open %s", source->directory);
	return content_digest(&content, ret_hex, err);
}

static int digest_chain(const struct run_mounts_request *request,
			const struct run_mount_source *source,
			char *const *patterns, char ret_hex[KEY_HEX_MAX],
			struct error *err)
{
	static const struct layer_chain empty;
	const struct copy_source from = {
		.kind = COPY_FROM_ROOT,
		.patterns = patterns,
		.chain = source->chain,
	};
	const struct layer_copy_request copy = {
		.chain = &empty,
		.destination = "/",
		.sources = &from,
		.source_count = 1,
		.lease = request->work->name,
		.epoch = -1,
		.progress_fd = -1,
	};

	return image_copy_digest(&request->engine->store, &copy, ret_hex, err);
}

/* The files that the mount shows, or begins with. */
static int add_files(const struct run_mounts_request *request,
		     const struct run_mount *mount, struct key *key,
		     struct error *err)
{
	cleanup_free char *pattern = literal_pattern(run_mount_subpath(mount));
	char *const patterns[] = {pattern, NULL};
	const struct run_mount_source *source = NULL;
	char hex[KEY_HEX_MAX];
	int r = run_mount_source_of(request, mount, &source, err);

	if (r < 0)
		return r;
	if (source->chain && str_equal(mount->source, "/")) {
		/* All of it: its layers say the same without being read. */
		cleanup_strv char **layers =
			layer_chain_diff_ids(source->chain);

		key_add_strv(key, "layers", layers);
		return 0;
	}
	r = source->chain ? digest_chain(request, source, patterns, hex, err)
			  : digest_directory(source, patterns, hex, err);
	if (r < 0)
		return err_wrap(err, "cannot mount %s on %s", mount->source,
				mount->target);
	key_add(key, "files", hex);
	return 0;
}

static int add_mount(const struct run_mounts_request *request,
		     const struct run_mount *mount, struct key *key,
		     struct error *err)
{
	static const char *const types[] = {
		[RUN_MOUNT_BIND] = "bind",   [RUN_MOUNT_CACHE] = "cache",
		[RUN_MOUNT_TMPFS] = "tmpfs", [RUN_MOUNT_SECRET] = "secret",
		[RUN_MOUNT_SSH] = "ssh",
	};
	char numbers[96];

	snprintf(numbers, sizeof(numbers), "%o %u:%u %lld%s%s", mount->mode,
		 mount->uid, mount->gid, (long long)mount->size,
		 mount->read_only ? " ro" : "",
		 mount->required ? " required" : "");
	key_add(key, "mount", types[mount->type]);
	key_add(key, "target", mount->target);
	key_add(key, "options", numbers);
	if (mount->type == RUN_MOUNT_SECRET || mount->type == RUN_MOUNT_SSH) {
		key_add(key, "id", mount->id);
		key_add(key, "variable", mount->environment);
	}
	if (mount->type == RUN_MOUNT_BIND ||
	    (mount->type == RUN_MOUNT_CACHE && mount->from))
		return add_files(request, mount, key, err);
	return 0;
}

int run_mounts_key(const struct run_mounts_request *request, struct key *key,
		   struct error *err)
{
	const struct run_mounts *mounts = request->mounts;

	for (size_t i = 0; i < mounts->count; i++) {
		int r = add_mount(request, &mounts->list[i], key, err);

		if (r < 0)
			return r;
	}
	return 0;
}
