/*
 * A stage whose input runs in a thread of its own, some pieces ahead: reading
 * and decompressing go on while the files of the layer are made.
 *
 * The input and its taps belong to the thread until the stream has ended or is
 * freed. An early end cancels the thread, which may be waiting for a pipe or a
 * server; it can be cancelled only there, between stream_wait_begin() and
 * stream_wait_end().
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/tar/stream.h"

#define SLOT_SIZE  (256u << 10)
#define SLOT_COUNT 8u

struct slot {
	size_t length;
	char bytes[SLOT_SIZE];
};

struct ahead_stream {
	struct stream stream;
	struct stream *input;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t first; /* slot to be read next */
	size_t count; /* filled slots, the one in the reader's hands too */
	bool in_hand;
	bool ended; /* no more will be filled */
	bool stopped;
	ssize_t result; /* of the input's last call */
	struct error error;
	struct slot slots[SLOT_COUNT];
};

/* A free slot, or NULL when nobody wants any more. */
static struct slot *wait_for_room(struct ahead_stream *self)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&self->lock);
	while (self->count == SLOT_COUNT && !self->stopped)
		pthread_cond_wait(&self->changed, &self->lock);
	if (!self->stopped)
		slot = &self->slots[(self->first + self->count) % SLOT_COUNT];
	pthread_mutex_unlock(&self->lock);
	return slot;
}

static void announce(struct ahead_stream *self, bool ended)
{
	pthread_mutex_lock(&self->lock);
	if (ended)
		self->ended = true;
	else
		self->count++;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
}

void stream_wait_begin(void)
{
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
}

void stream_wait_end(void)
{
	int old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
}

static void *run(void *data)
{
	struct ahead_stream *self = data;
	const void *bytes = NULL;

	stream_wait_end();
	while ((self->result = stream_next(self->input, &bytes, &self->error)) >
	       0) {
		const char *from = bytes;
		size_t left = (size_t)self->result;

		while (left > 0) {
			struct slot *slot = wait_for_room(self);

			if (!slot)
				return NULL;
			slot->length = left < SLOT_SIZE ? left : SLOT_SIZE;
			memcpy(slot->bytes, from, slot->length);
			from += slot->length;
			left -= slot->length;
			announce(self, false);
		}
	}
	announce(self, true);
	return NULL;
}

static ssize_t ahead_next(struct stream *stream, const void **ret_bytes,
			  struct error *err)
{
	struct ahead_stream *self = (struct ahead_stream *)stream;
	const struct slot *slot = NULL;

	pthread_mutex_lock(&self->lock);
	if (self->in_hand) {
		self->in_hand = false;
		self->first = (self->first + 1) % SLOT_COUNT;
		self->count--;
		pthread_cond_signal(&self->changed);
	}
	while (self->count == 0 && !self->ended)
		pthread_cond_wait(&self->changed, &self->lock);
	if (self->count > 0) {
		slot = &self->slots[self->first];
		self->in_hand = true;
	}
	pthread_mutex_unlock(&self->lock);
	if (!slot)
		return self->result < 0 ? err_copy(err, &self->error) : 0;
	*ret_bytes = slot->bytes;
	return (ssize_t)slot->length;
}

static void ahead_free(struct stream *stream)
{
	struct ahead_stream *self = (struct ahead_stream *)stream;

	pthread_mutex_lock(&self->lock);
	self->stopped = true;
	pthread_cond_signal(&self->changed);
	pthread_mutex_unlock(&self->lock);
	pthread_cancel(self->thread);
	pthread_join(self->thread, NULL);
	pthread_mutex_destroy(&self->lock);
	pthread_cond_destroy(&self->changed);
	stream_free(self->input);
	free(self);
}

int stream_ahead(struct stream *input, struct stream **ret_stream,
		 struct error *err)
{
	struct ahead_stream *self = xcalloc(1, sizeof(*self));
	int r;

	self->stream = (struct stream){ahead_next, ahead_free};
	self->input = input;
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->changed, NULL);
	r = pthread_create(&self->thread, NULL, run, self);
	if (r != 0) {
		stream_free(input);
		free(self);
		return err_number(err, r, "cannot start a thread");
	}
	*ret_stream = &self->stream;
	return 0;
}
