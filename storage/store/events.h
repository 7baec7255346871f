/*
 * The journal of what happens in the store: events/ below its root.
 *
 *   journal     the present file, of at most EVENTS_FILE_MAX bytes
 *   journal.1   the one before; what was there before that is gone
 *   lock        held by who turns journal into journal.1
 *
 * An event is one line of less than PIPE_BUF bytes, written by one write(2) to
 * a file opened with O_APPEND, so that lines of several processes never mix. It
 * has the form of docker's event message, in which timeNano comes last:
 *
 *   {"status":"start","id":ID,"from":"web","Type":"container",
 *    "Action":"start","Actor":{"ID":ID,"Attributes":{"name":"www",…}},
 *    "scope":"local","time":1,"timeNano":1000000001}
 *
 * (status, id: of containers and images; from: of containers). Attributes that
 * do not fit are left out, the last ones first.
 *
 * An event is told after the fact, and the fact does not depend on it: what
 * cannot be written is lost, silently, and nothing is ever synced. A newline
 * goes before each line as well, to end what a crash or a full disk may have
 * left of another; readers skip what is no event.
 *
 * Readers follow the directory with inotify, and go over to the next file when
 * they have read the one that was turned away. Who writes holds a shared
 * flock(2) on the file and sees that it is still the present one; who turns it
 * away holds an exclusive one: nothing is written to a file that readers have
 * left. Nobody waits for these locks. A full file in which somebody writes is
 * turned by a later writer, at twice its size in any case. A reader misses
 * something when the files were turned three times since it has read the last
 * line.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "storage/store/store.h"

#define EVENTS_FILE_MAX (4u << 20) /* up to twice that when many write */

#define EVENT_CONTAINER "container"
#define EVENT_IMAGE	"image"
#define EVENT_VOLUME	"volume"
#define EVENT_NETWORK	"network"
#define EVENT_BUILDER	"builder"

/* An object of texts: name, value, … NULL; a pair without value is left out. */
cJSON *event_attributes(const char *name, ...) __attribute__((sentinel));
/* Takes attributes (NULL: none). */
void event_write(const struct store *store, const char *type,
		 const char *action, const char *id, cJSON *attributes);

struct event_reader;

enum event_position {
	EVENTS_PAST, /* from the oldest there is */
	EVENTS_NEW,  /* what comes from now on */
};
int event_reader_open(const struct store *store, enum event_position position,
		      struct event_reader **ret_reader, struct error *err);
void event_reader_close(struct event_reader *reader);
/*
 * 1 and the next event, which is borrowed until the next call, without a
 * newline, with its time; 0: there is none now.
 */
int event_reader_next(struct event_reader *reader, const char **ret_line,
		      int64_t *ret_time_ns, struct error *err);
/* Readable when there may be more, since the last call of event_reader_next().
 */
int event_reader_fd(const struct event_reader *reader);
