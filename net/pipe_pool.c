#include "net/pipe_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

int pipe_pool_take(struct pipe_pool *pool, struct pipe *ret_pipe)
{
	int fds[2];

	if (pool->lent_count >= PIPE_POOL_MAX)
		return -EAGAIN;
	if (pool->spare_count > 0) {
		*ret_pipe = pool->spare[--pool->spare_count];
	} else {
		if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		/* A smaller one works too. */
		if (pool->lent_count < PIPE_LARGE)
			fcntl(fds[1], F_SETPIPE_SZ, PIPE_LARGE_SIZE);
		*ret_pipe = (struct pipe){.out = fds[0], .in = fds[1]};
	}
	pool->lent_count++;
	return 0;
}

void pipe_pool_return(struct pipe_pool *pool, struct pipe *pipe, bool empty)
{
	if (pipe->out < 0)
		return;
	pool->lent_count--;
	if (empty && pool->spare_count < PIPE_POOL_SPARE) {
		pool->spare[pool->spare_count++] = *pipe;
	} else {
		close(pipe->out);
		close(pipe->in);
	}
	*pipe = (struct pipe){-1, -1};
}
