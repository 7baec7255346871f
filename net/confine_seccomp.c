#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/confine.h"
#include "net/seccomp_arch.h"

#define FILTER_MAX  1024
#define WRITE_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

/* A call and what is looked at in it. */
enum check {
	CHECK_NONE,
	CHECK_SOCKET,	  /* INET and INET6, stream and datagram */
	CHECK_SETSOCKOPT, /* options of the table below */
	CHECK_GETSOCKOPT, /* SO_ERROR */
	CHECK_OPEN,	  /* read only */
	CHECK_OPENAT,	  /* read only */
	CHECK_FCNTL,	  /* of flags and pipe sizes */
	CHECK_IOCTL,	  /* what is queued, FIONBIO */
	CHECK_PROT,	  /* no PROT_EXEC in the third argument */
};

static const struct {
	unsigned int number;
	enum check check;
} calls[] = {
	/* the hot ones */
	{SYS_read, CHECK_NONE},
	{SYS_write, CHECK_NONE},
	{SYS_ppoll, CHECK_NONE},
#ifdef SYS_poll
	{SYS_poll, CHECK_NONE},
#endif
	{SYS_splice, CHECK_NONE},
	{SYS_epoll_pwait, CHECK_NONE},
#ifdef SYS_epoll_wait
	{SYS_epoll_wait, CHECK_NONE},
#endif
	{SYS_sendto, CHECK_NONE},
	{SYS_recvfrom, CHECK_NONE},
	{SYS_recvmsg, CHECK_NONE},
	{SYS_sendmsg, CHECK_NONE},
	{SYS_recvmmsg, CHECK_NONE},
	{SYS_sendmmsg, CHECK_NONE},
	{SYS_readv, CHECK_NONE},
	{SYS_writev, CHECK_NONE},
	{SYS_clock_gettime, CHECK_NONE},
	/* sockets */
	{SYS_socket, CHECK_SOCKET},
	{SYS_accept4, CHECK_NONE},
	{SYS_accept, CHECK_NONE},
	{SYS_bind, CHECK_NONE},
	{SYS_connect, CHECK_NONE},
	{SYS_shutdown, CHECK_NONE},
	{SYS_getsockname, CHECK_NONE},
	{SYS_getpeername, CHECK_NONE},
	{SYS_setsockopt, CHECK_SETSOCKOPT},
	{SYS_getsockopt, CHECK_GETSOCKOPT},
	{SYS_close, CHECK_NONE},
	{SYS_epoll_ctl, CHECK_NONE},
	{SYS_pipe2, CHECK_NONE},
	{SYS_fcntl, CHECK_FCNTL},
	{SYS_ioctl, CHECK_IOCTL},
	/* resolv.conf, and the gateway's directory of names */
	{SYS_getdents64, CHECK_NONE},
	{SYS_openat, CHECK_OPENAT},
#ifdef SYS_open
	{SYS_open, CHECK_OPEN},
#endif
	{SYS_newfstatat, CHECK_NONE},
	{SYS_fstat, CHECK_NONE},
#ifdef SYS_stat
	{SYS_stat, CHECK_NONE},
#endif
	{SYS_lseek, CHECK_NONE},
	/* the C library; sigaltstack is the sanitizers' */
	{SYS_futex, CHECK_NONE},
	{SYS_brk, CHECK_NONE},
	{SYS_mmap, CHECK_PROT},
	{SYS_mprotect, CHECK_PROT},
	{SYS_munmap, CHECK_NONE},
	{SYS_mremap, CHECK_NONE},
	{SYS_madvise, CHECK_NONE},
	{SYS_getrandom, CHECK_NONE},
	{SYS_getpid, CHECK_NONE},
	{SYS_gettid, CHECK_NONE},
	{SYS_rt_sigreturn, CHECK_NONE},
	{SYS_rt_sigprocmask, CHECK_NONE},
	{SYS_sigaltstack, CHECK_NONE},
	{SYS_restart_syscall, CHECK_NONE},
	{SYS_exit, CHECK_NONE},
	{SYS_exit_group, CHECK_NONE},
};

/* What libslirp and the forwarder set; not the packet filters' options. */
static const struct {
	unsigned int level;
	unsigned int option;
} options[] = {
	{SOL_SOCKET, SO_REUSEADDR},
	{SOL_SOCKET, SO_OOBINLINE},
	{SOL_SOCKET, SO_LINGER},
	{SOL_SOCKET, SO_RCVLOWAT},
	{SOL_SOCKET, SO_MARK},
	{SOL_SOCKET, SO_KEEPALIVE},
	{IPPROTO_TCP, TCP_NODELAY},
	{IPPROTO_TCP, TCP_CONGESTION},
	{IPPROTO_TCP, TCP_KEEPIDLE},
	{IPPROTO_TCP, TCP_KEEPINTVL},
	{IPPROTO_TCP, TCP_KEEPCNT},
	{IPPROTO_IP, IP_PKTINFO},
	{IPPROTO_IPV6, IPV6_RECVPKTINFO},
	{IPPROTO_IP, IP_TTL},
	{IPPROTO_IP, IP_RECVERR},
	{IPPROTO_IP, IP_TRANSPARENT},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
	{IPPROTO_IPV6, IPV6_RECVERR},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS},
	{IPPROTO_IPV6, IPV6_TRANSPARENT},
	{IPPROTO_IPV6, IPV6_FREEBIND},
};

static const unsigned int fcntl_commands[] = {
	F_GETFD,
	F_SETFD,
	F_GETFL,
	F_SETFL,
	F_SETPIPE_SZ,
	F_GETPIPE_SZ,
	/* is somebody there? */
	F_OFD_GETLK,
};

static const unsigned int ioctl_requests[] = {FIONREAD, FIONBIO, SIOCOUTQ,
					      SIOCATMARK};

struct program {
	struct sock_filter code[FILTER_MAX];
	unsigned short length;
};

static void emit(struct program *program, unsigned int code, unsigned char jt,
		 unsigned char jf, unsigned int k)
{
	if (program->length < FILTER_MAX)
		program->code[program->length] =
			(struct sock_filter){(unsigned short)code, jt, jf, k};
	program->length++;
}

static void emit_load(struct program *program, size_t offset)
{
	emit(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned int)offset);
}

static void emit_return(struct program *program, unsigned int action)
{
	emit(program, BPF_RET | BPF_K, 0, 0, action);
}

/* Allows when the accumulator is value. */
static void emit_allow_if(struct program *program, unsigned int value)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
	emit_return(program, SECCOMP_RET_ALLOW);
}

static void emit_refuse(struct program *program, unsigned int number)
{
	emit_return(program, SECCOMP_RET_ERRNO | number);
}

static void emit_socket(struct program *program)
{
	emit_load(program, FILTER_ARGUMENT(0));
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, AF_INET);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AF_INET6);
	emit_refuse(program, EAFNOSUPPORT);
	emit_load(program, FILTER_ARGUMENT(1));
	emit(program, BPF_ALU | BPF_AND | BPF_K, 0, 0,
	     ~(unsigned int)(SOCK_CLOEXEC | SOCK_NONBLOCK));
	emit_allow_if(program, SOCK_STREAM);
	emit_allow_if(program, SOCK_DGRAM);
	emit_refuse(program, EACCES);
}

static void emit_setsockopt(struct program *program)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		emit_load(program, FILTER_ARGUMENT(1));
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 3,
		     options[i].level);
		emit_load(program, FILTER_ARGUMENT(2));
		emit_allow_if(program, options[i].option);
	}
	emit_refuse(program, ENOPROTOOPT);
}

static void emit_getsockopt(struct program *program)
{
	emit_load(program, FILTER_ARGUMENT(1));
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SOL_SOCKET);
	emit_load(program, FILTER_ARGUMENT(2));
	emit_allow_if(program, SO_ERROR);
	emit_refuse(program, ENOPROTOOPT);
}

static void emit_any_of(struct program *program, unsigned int argument,
			const unsigned int *values, size_t count)
{
	emit_load(program, FILTER_ARGUMENT(argument));
	for (size_t i = 0; i < count; i++)
		emit_allow_if(program, values[i]);
	emit_refuse(program, EINVAL);
}

/* Allows when none of the bits is set in the argument. */
static void emit_without(struct program *program, unsigned int argument,
			 unsigned int bits)
{
	emit_load(program, FILTER_ARGUMENT(argument));
	emit(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, bits);
	emit_return(program, SECCOMP_RET_ALLOW);
	emit_refuse(program, EACCES);
}

static void emit_check(struct program *program, enum check check)
{
	switch (check) {
	case CHECK_NONE:
		emit_return(program, SECCOMP_RET_ALLOW);
		break;
	case CHECK_SOCKET:
		emit_socket(program);
		break;
	case CHECK_SETSOCKOPT:
		emit_setsockopt(program);
		break;
	case CHECK_GETSOCKOPT:
		emit_getsockopt(program);
		break;
	case CHECK_OPEN:
		emit_without(program, 1, WRITE_FLAGS);
		break;
	case CHECK_OPENAT:
		emit_without(program, 2, WRITE_FLAGS);
		break;
	case CHECK_FCNTL:
		emit_any_of(program, 1, fcntl_commands,
			    ARRAY_SIZE(fcntl_commands));
		break;
	case CHECK_IOCTL:
		emit_any_of(program, 1, ioctl_requests,
			    ARRAY_SIZE(ioctl_requests));
		break;
	case CHECK_PROT:
		emit_without(program, 2, PROT_EXEC);
		break;
	}
}

/*
 * A chain of comparisons: the kernel remembers which calls are always allowed
 * and does not run it for them. Each check returns, so that the jump over it
 * is its length.
 */
static void build(struct program *program)
{
	emit_load(program, offsetof(struct seccomp_data, arch));
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, FILTER_ARCH);
	emit_return(program, SECCOMP_RET_KILL_PROCESS);
	emit_load(program, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned short jump = program->length;

		emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, calls[i].number);
		emit_check(program, calls[i].check);
		if (program->length <= FILTER_MAX)
			program->code[jump].jf =
				(unsigned char)(program->length - jump - 1);
	}
	emit_refuse(program, ENOSYS);
}

int confine_syscalls(struct error *err)
{
	struct program program = {.length = 0};
	struct sock_fprog filter = {.filter = program.code};

	build(&program);
	if (program.length > FILTER_MAX)
		return err_set(err, ERROR_GENERIC,
			       "the uplink's seccomp filter is too long");
	filter.len = program.length;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		    SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0)
		return err_errno(err, "cannot confine the uplink's system "
				      "calls");
	return 0;
}
