#include "storage/tar/parallel.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"

struct crew {
	const struct parallel *parallel;
	atomic_size_t next;
	pthread_mutex_t lock; /* of what follows */
	int result;
	struct error error;
};

static void note_failure(struct crew *crew, int result,
			 const struct error *error)
{
	pthread_mutex_lock(&crew->lock);
	if (crew->result == 0 ||
	    (crew->result == -ECANCELED && result != -ECANCELED)) {
		crew->result = result;
		crew->error = *error;
	}
	pthread_mutex_unlock(&crew->lock);
	atomic_store(crew->parallel->cancelled, true);
}

static void *work(void *data)
{
	struct crew *crew = data;
	const struct parallel *parallel = crew->parallel;

	while (!atomic_load(parallel->cancelled)) {
		size_t index = atomic_fetch_add(&crew->next, 1);
		struct error error = {0};
		int r;

		if (index >= parallel->count)
			break;
		r = parallel->run(parallel->data, index, &error);
		if (r < 0)
			note_failure(crew, r, &error);
	}
	return NULL;
}

int parallel_run(const struct parallel *parallel, struct error *err)
{
	struct crew crew = {.parallel = parallel,
			    .lock = PTHREAD_MUTEX_INITIALIZER};
	cleanup_free pthread_t *threads = NULL;
	size_t wanted = parallel->threads > 0 ? parallel->threads : 1;
	size_t started = 0;

	if (wanted > parallel->count)
		wanted = parallel->count;
	threads = xcalloc(wanted + 1, sizeof(*threads));
	/* With fewer threads than wanted it only takes longer. */
	while (started + 1 < wanted &&
	       pthread_create(&threads[started], NULL, work, &crew) == 0)
		started++;
	work(&crew);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&crew.lock);
	if (crew.result < 0)
		return err ? err_copy(err, &crew.error) : crew.result;
	if (atomic_load(parallel->cancelled))
		return err_number(err, ECANCELED, "stopped");
	return 0;
}
