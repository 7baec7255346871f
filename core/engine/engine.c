#include "core/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

static int open_cache(int root_fd, struct error *err)
{
	int fd = openat(root_fd, "cache", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(root_fd, "cache", 0700) < 0 && errno != EEXIST)
			return err_errno(err, "cannot make cache/");
		fd = openat(root_fd, "cache",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? err_errno(err, "cannot open cache/") : fd;
}

int engine_open(const struct engine_options *options, struct engine *ret_engine,
		struct error *err)
{
	struct engine engine = {
		.identity = *options->identity,
		.run_fd = options->run_fd,
		.cache_fd = -1,
	};
	int r;

	r = store_open(options->data_path, &engine.store, err);
	if (r < 0)
		return r;
	r = open_cache(engine.store.root_fd, err);
	if (r < 0) {
		store_close(&engine.store);
		return r;
	}
	engine.cache_fd = r;
	engine.home = xstrdup(options->home);
	*ret_engine = engine;
	return 0;
}

void engine_close(struct engine *engine)
{
	if (!engine)
		return;
	store_close(&engine->store);
	close_fd(&engine->cache_fd);
	free(engine->home);
	engine->home = NULL;
	engine->run_fd = -1;
}
