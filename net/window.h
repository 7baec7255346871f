/*
 * The window that libslirp offers a container that sends in bulk. The library
 * knows no window scaling, so it is at most 65535 bytes; Linux has half of that
 * as its largest segment, two of which leave one byte, which it sends in a
 * segment of its own: a third more frames, each with its acknowledgement. One
 * byte less, and there are none. A window that is smaller anyhow is left alone,
 * so that its end never moves back.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of a frame of length bytes, as far as its TCP header. */
#define WINDOW_HEADERS_MAX (14 + 40 + 20)

/*
 * How many bytes of frame to replace by those in ret_headers; 0: none, as it
 * is no TCP segment, or has another window.
 */
size_t window_shrink(const uint8_t *frame, size_t length,
		     uint8_t ret_headers[WINDOW_HEADERS_MAX]);
