#include "net/native_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define PORT_OFFSET	2 /* of the destination */
#define SEQUENCE_OFFSET 4
#define FLAGS_OFFSET	13
#define FLAG_SYN	0x02
#define FLAG_RST	0x04
#define FLAG_ACK	0x10

int native_filter_lock(int fd, uint16_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, PORT_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 7),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_OFFSET),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
			 FLAG_SYN | FLAG_RST | FLAG_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FLAG_SYN | FLAG_ACK, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FLAG_RST | FLAG_ACK, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SEQUENCE_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program)) < 0)
		return -errno;
	return setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) < 0
		       ? -errno
		       : 0;
}
