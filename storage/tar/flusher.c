#include "storage/tar/flusher.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ENOUGH (64ull << 20)

static void *run(void *data)
{
	struct flusher *flusher = data;

	pthread_mutex_lock(&flusher->lock);
	while (!flusher->stopped) {
		if (flusher->added < ENOUGH) {
			pthread_cond_wait(&flusher->changed, &flusher->lock);
			continue;
		}
		flusher->added = 0;
		pthread_mutex_unlock(&flusher->lock);
		(void)!syncfs(flusher->fd);
		pthread_mutex_lock(&flusher->lock);
	}
	pthread_mutex_unlock(&flusher->lock);
	return NULL;
}

void flusher_start(struct flusher *flusher, int dir_fd)
{
	*flusher = (struct flusher){
		.fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	if (flusher->fd >= 0 &&
	    pthread_create(&flusher->thread, NULL, run, flusher) != 0)
		close_fd(&flusher->fd);
}

void flusher_add(struct flusher *flusher, uint64_t bytes)
{
	pthread_mutex_lock(&flusher->lock);
	flusher->added += bytes;
	if (flusher->added >= ENOUGH)
		pthread_cond_signal(&flusher->changed);
	pthread_mutex_unlock(&flusher->lock);
}

void flusher_stop(struct flusher *flusher)
{
	if (flusher->fd < 0)
		return;
	pthread_mutex_lock(&flusher->lock);
	flusher->stopped = true;
	pthread_cond_signal(&flusher->changed);
	pthread_mutex_unlock(&flusher->lock);
	pthread_join(flusher->thread, NULL);
	close_fd(&flusher->fd);
}
