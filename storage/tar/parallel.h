/*
 * Several jobs at once, each of which may fail, in moss-image.
 *
 * The first failure ends the whole: it sets `cancelled`, which whatever waits
 * for a network or a pipe looks at (job_check_cancelled() of storage/job/job.h)
 * and then returns -ECANCELED. Jobs not begun are not begun any more. The
 * error returned is the first that is none of those echoes.
 *
 * A job that fails and then has to wait for something of its own that may wait
 * in turn (a thread that reads from a server) sets `cancelled` itself before.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"

struct parallel {
	int (*run)(void *data, size_t index, struct error *err);
	void *data;
	size_t count; /* run() is called for 0 … count - 1, in order */
	unsigned int threads; /* at most; 0 is 1 */
	atomic_bool *cancelled;
};

/* Returns when all threads have ended. One of them is the caller's. */
int parallel_run(const struct parallel *parallel, struct error *err);
