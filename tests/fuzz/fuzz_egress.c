/*
 * net/egress.h: whatever frames a container and the world send, in whatever
 * order, every frame that is made is well-formed, every report as well, and
 * nothing waits longer than it may. What is passed on to the uplink as the
 * beginning of a connection is one that egress_head_parse() knows.
 *
 * Input: records of a first byte, a length of two bytes and that many bytes of
 * a frame. The first byte says from where it comes and how much later.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/egress.h"
#include "net/egress_body.h"
#include "net/egress_head.h"
#include "net/egress_names.h"
#include "net/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 256

/* Where connections begin, as the uplink has said. */
static struct packet starts[RECORDS_MAX];
static size_t start_count;

/* The ID under which the resolver was asked last, which the input cannot know.
 */
static uint8_t asked[2];

static void check_frame(const void *frame, size_t length, void *opaque)
{
	struct packet packet;

	assert(length >= PACKET_ETHERNET && length <= PACKET_FRAME_MAX);
	packet_parse(frame, length, &packet);
	/* Errors of ICMP are nothing that a container may send. */
	assert(packet.kind == PACKET_TCP || packet.kind == PACKET_UDP ||
	       packet.kind == PACKET_BAD);
	assert(packet.kind == PACKET_BAD ||
	       PACKET_ETHERNET + packet.length == length);
}

static bool is_start(const struct packet *packet)
{
	const struct packet_path *path = &packet->path;

	for (size_t i = 0; packet->kind == PACKET_TCP && i < start_count; i++) {
		const struct packet_path *start = &starts[i].path;

		if (starts[i].ack == packet->seq &&
		    start->source_port == path->destination_port &&
		    start->destination_port == path->source_port &&
		    address_equal(&start->source, &path->destination) &&
		    address_equal(&start->destination, &path->source))
			return true;
	}
	return false;
}

static void note_start(const uint8_t *frame, size_t length)
{
	packet_parse(frame, length, &starts[start_count]);
	if (starts[start_count].kind == PACKET_TCP &&
	    (starts[start_count].flags & TCP_SYN))
		start_count++;
}

static void check_uplink(const void *frame, size_t length, void *opaque)
{
	char name[EGRESS_NAME_MAX];
	struct packet packet;

	check_frame(frame, length, opaque);
	packet_parse(frame, length, &packet);
	if (packet.kind == PACKET_UDP)
		memcpy(asked, packet.data, sizeof(asked));
	/* One segment, so all that may pass. */
	if (is_start(&packet) && packet.data_length > 0 &&
	    packet.data_length < PACKET_TCP_DATA_MAX) {
		enum egress_head head =
			egress_head_parse(packet.data, packet.data_length,
					  packet.flags & TCP_FIN, name);

		assert(head == EGRESS_HEAD_OTHER || head == EGRESS_HEAD_TLS ||
		       head == EGRESS_HEAD_HTTP);
	}
}

static void answer_asked(uint8_t *frame, size_t length)
{
	struct packet packet;

	packet_parse(frame, length, &packet);
	if (packet.kind == PACKET_UDP && packet.path.source_port == 53 &&
	    packet.data_length >= sizeof(asked))
		memcpy(frame + (packet.data - frame), asked, sizeof(asked));
}

static bool take_report(const struct egress_report *report, void *opaque)
{
	struct egress_report copy;

	assert(report->count > 0);
	assert(egress_report_parse(report, sizeof(*report), &copy));
	return report->port != 7;
}

static struct egress *make_egress(uint8_t kind)
{
	static const struct egress_hooks hooks = {
		.to_container = check_frame,
		.to_uplink = check_uplink,
		.report = take_report,
	};
	struct egress_policy policy = {.mode = EGRESS_DENY};

	if (kind % 3 == 1)
		policy.mode = EGRESS_RECORD;
	if (kind % 3 == 0)
		egress_policy_add_list(&policy,
				       "a.test:80,*.b.test@10.0.0.0/8,"
				       "192.0.2.0/24:1-99/any,[2001:db8::]/32",
				       false, NULL);
	if (kind % 3 == 2)
		policy.mode = EGRESS_ALLOW;
	address_parse("10.0.2.3", &policy.resolvers[policy.resolver_count++]);
	return egress_new(&policy, &hooks);
}

/* A body ends where it ends, in whatever pieces it comes. */
static void check_body(const uint8_t *data, size_t size)
{
	struct egress_body whole = {0}, pieces;
	ssize_t head = egress_body_begin(data, size, &whole);
	ssize_t taken, step = 0;
	size_t offset = 0;

	if (head < 0)
		return;
	assert((size_t)head <= size);
	data += head;
	size -= (size_t)head;
	pieces = whole;
	taken = egress_body_take(&whole, data, size);
	while (offset < size &&
	       (step = egress_body_take(&pieces, data + offset, 1)) > 0)
		offset++;
	assert(taken < 0 ? step < 0 : (size_t)taken == offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[EGRESS_NAME_MAX];
	struct egress *egress;
	struct dns_addresses addresses;
	int64_t now = 1000;

	(void)egress_head_parse(data, size, false, name);
	(void)egress_head_parse(data, size, true, name);
	(void)dns_addresses_parse(data, size, &addresses);
	check_body(data, size);
	if (size == 0)
		return 0;
	start_count = 0;
	egress = make_egress(*data++);
	size--;
	for (size_t i = 0; i < RECORDS_MAX && size >= 3; i++) {
		uint8_t first = data[0];
		size_t length = (size_t)data[1] << 8 | data[2];
		uint8_t *frame;

		data += 3;
		size -= 3;
		if (length > size)
			length = size;
		/* Of its own, so that a byte too far is seen. */
		frame = malloc(length ? length : 1);
		if (!frame)
			abort();
		memcpy(frame, data, length);
		answer_asked(frame, length);
		if (first & 1) {
			note_start(frame, length);
			egress_inbound(egress, frame, length, now);
		} else {
			egress_outbound(egress, frame, length, now);
		}
		free(frame);
		data += length;
		size -= length;
		now += (int64_t)(first >> 1) * 100;
		assert(egress_expire(egress, now) <= EGRESS_HOLD_MS);
	}
	egress_free(egress);
	return 0;
}
