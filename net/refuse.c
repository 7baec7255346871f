#include "net/refuse.h"

size_t refuse_tcp(const uint8_t *frame, size_t length,
		  uint8_t ret_frame[PACKET_HEADERS_MAX])
{
	struct packet packet;

	packet_parse(frame, length, &packet);
	if (packet.kind != PACKET_TCP ||
	    (packet.flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return 0;
	return packet_make_reset(&packet, ret_frame);
}
