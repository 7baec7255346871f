/*
 * Pipes for splice(2), lent while bytes are on their way. The kernel counts a
 * user's pipe pages and makes new pipes useless past its limit, so there are
 * few, and who gets none copies instead.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PIPE_POOL_MAX	128 /* lent at once */
#define PIPE_POOL_SPARE 8   /* kept open */
/*
 * A user may have 16,384 pages in pipes (pipe-user-pages-soft) before new ones
 * are tiny: of that, the large ones of a pool take a quarter.
 */
#define PIPE_LARGE	16
#define PIPE_LARGE_SIZE (1 << 20)

struct pipe {
	int out; /* read end; -1: none */
	int in;
};

struct pipe_pool {
	struct pipe spare[PIPE_POOL_SPARE];
	size_t spare_count;
	size_t lent_count;
};

/* 0, or a negative errno: none to be had. Non-blocking, empty. */
int pipe_pool_take(struct pipe_pool *pool, struct pipe *ret_pipe);
/* Takes it back; one that still holds bytes is closed. */
void pipe_pool_return(struct pipe_pool *pool, struct pipe *pipe, bool empty);
