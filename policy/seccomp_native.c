#include "policy/seccomp_native.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/str.h"

#define FILTER_MAX 256

#define FASTOPEN_CONNECT 30 /* TCP_FASTOPEN_CONNECT */
#define X32_BIT		 0x40000000u

/* io_uring's three are the same everywhere. */
#define IO_URING_FIRST 425u
#define IO_URING_LAST  427u

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_HALF 4
#else
#define LOW_HALF 0
#endif
#define ARGUMENT(n) \
	(offsetof(struct seccomp_data, args) + (n) * sizeof(__u64) + LOW_HALF)

/* An architecture's own numbers. */
struct numbers {
	unsigned int arch;
	bool has_x32;
	unsigned int bind, connect, sendto, sendmsg, sendmmsg, setsockopt;
};

#define NATIVE_NUMBERS                                                \
	SYS_bind, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, \
		SYS_setsockopt

static const struct numbers rows[] = {
#if defined(__x86_64__)
	{AUDIT_ARCH_X86_64, true, NATIVE_NUMBERS},
	{AUDIT_ARCH_I386, false, 361, 362, 369, 370, 345, 366},
#elif defined(__aarch64__)
	{AUDIT_ARCH_AARCH64, false, NATIVE_NUMBERS},
	{AUDIT_ARCH_ARM, false, 282, 283, 290, 296, 374, 294},
#elif defined(__riscv) && __riscv_xlen == 64
	{AUDIT_ARCH_RISCV64, false, NATIVE_NUMBERS},
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
	{AUDIT_ARCH_PPC64LE, false, NATIVE_NUMBERS},
#elif defined(__loongarch64)
	{AUDIT_ARCH_LOONGARCH64, false, NATIVE_NUMBERS},
#elif defined(__s390x__)
	{AUDIT_ARCH_S390X, false, NATIVE_NUMBERS},
#else
#error "add this architecture's AUDIT_ARCH_ value"
#endif
};

static void emit(struct seccomp_filter *filter, unsigned int code,
		 unsigned char jt, unsigned char jf, unsigned int k)
{
	filter->code[filter->length++] =
		(struct sock_filter){(unsigned short)code, jt, jf, k};
}

static void emit_load(struct seccomp_filter *filter, size_t offset)
{
	emit(filter, BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned int)offset);
}

static void emit_return(struct seccomp_filter *filter, unsigned int action)
{
	emit(filter, BPF_RET | BPF_K, 0, 0, action);
}

static void emit_refuse(struct seccomp_filter *filter, unsigned int number)
{
	emit_return(filter, SECCOMP_RET_ERRNO | number);
}

/* Refuses a call when flag is set in an argument. */
static void emit_flag(struct seccomp_filter *filter, unsigned int call,
		      unsigned int argument, unsigned int flag)
{
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, call);
	emit_load(filter, ARGUMENT(argument));
	emit(filter, BPF_JMP | BPF_JSET | BPF_K, 0, 1, flag);
	emit_refuse(filter, EOPNOTSUPP);
	emit_return(filter, SECCOMP_RET_ALLOW);
}

/* bind and connect, of addresses as long as IPv4's. */
static void emit_notify(struct seccomp_filter *filter, unsigned int call)
{
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, call);
	emit_load(filter, ARGUMENT(2));
	emit(filter, BPF_JMP | BPF_JGE | BPF_K, 0, 1,
	     sizeof(struct sockaddr_in));
	emit_return(filter, SECCOMP_RET_USER_NOTIF);
	emit_return(filter, SECCOMP_RET_ALLOW);
}

static void emit_setsockopt(struct seccomp_filter *filter, unsigned int call)
{
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 6, call);
	emit_load(filter, ARGUMENT(1));
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 3, IPPROTO_TCP);
	emit_load(filter, ARGUMENT(2));
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, FASTOPEN_CONNECT);
	emit_refuse(filter, EOPNOTSUPP);
	emit_return(filter, SECCOMP_RET_ALLOW);
}

static void emit_arch(struct seccomp_filter *filter,
		      const struct numbers *numbers)
{
	size_t jump = filter->length;

	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, numbers->arch);
	emit_load(filter, offsetof(struct seccomp_data, nr));
	if (numbers->has_x32) {
		emit(filter, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
		emit_refuse(filter, ENOSYS);
	}
	emit_notify(filter, numbers->bind);
	emit_notify(filter, numbers->connect);
	emit_flag(filter, numbers->sendto, 3, MSG_FASTOPEN);
	emit_flag(filter, numbers->sendmsg, 2, MSG_FASTOPEN);
	emit_flag(filter, numbers->sendmmsg, 3, MSG_FASTOPEN);
	emit_setsockopt(filter, numbers->setsockopt);
	if (numbers->arch == AUDIT_ARCH_I386) {
		emit(filter, BPF_JMP | BPF_JEQ | BPF_K, 0, 1,
		     102 /* socketcall */);
		emit_refuse(filter, ENOSYS);
	}
	emit(filter, BPF_JMP | BPF_JGE | BPF_K, 0, 2, IO_URING_FIRST);
	emit(filter, BPF_JMP | BPF_JGT | BPF_K, 1, 0, IO_URING_LAST);
	emit_refuse(filter, ENOSYS);
	emit_return(filter, SECCOMP_RET_ALLOW);
	filter->code[jump].jf = (unsigned char)(filter->length - jump - 1);
}

void seccomp_native_build(struct seccomp_filter *ret_filter)
{
	struct seccomp_filter filter = {
		.code = xcalloc(FILTER_MAX, sizeof(*filter.code)),
		.flags = SECCOMP_FILTER_FLAG_NEW_LISTENER,
	};

#ifdef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	/* A signal that comes while a bind is answered would repeat it. */
	filter.flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
#endif
	emit_load(&filter, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		emit_arch(&filter, &rows[i]);
	emit_refuse(&filter, ENOSYS);
	*ret_filter = filter;
}
