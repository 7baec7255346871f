/* What moss-native may ask of the kernel while it serves. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/native_internal.h"
#include "net/seccomp_arch.h"

#define WRITE_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

#define LOAD(offset)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

#define ALLOW(call)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
		RETURN(SECCOMP_RET_ALLOW)
/* When none of the bits is set in an argument. */
#define ALLOW_WITHOUT(call, argument, bits)                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4),    \
		LOAD(FILTER_ARGUMENT(argument)),                  \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0), \
		RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_ERRNO | EACCES)
/* When the argument is one of two. */
#define ALLOW_EITHER(call, argument, first, second)                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 5),     \
		LOAD(FILTER_ARGUMENT(argument)),                   \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),  \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1), \
		RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_ERRNO | EACCES)

int native_bind_service(bool on)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	const uint64_t held = on ? 0 : 1ull << CAP_NET_BIND_SERVICE;
	const uint64_t all = NATIVE_CAPABILITIES;
	const struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)(all & ~held),
		 .permitted = (uint32_t)all},
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int native_confine(struct error *err)
{
	struct sock_filter code[] = {
		LOAD(offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(offsetof(struct seccomp_data, nr)),
		/* waiting, and the notifications */
		ALLOW(epoll_pwait),
#ifdef SYS_epoll_wait
		ALLOW(epoll_wait),
#endif
		ALLOW(ioctl),
		ALLOW(recvmsg),
		/* who asks, and with what */
		ALLOW(process_vm_readv),
		ALLOW(pidfd_open),
		ALLOW(pidfd_getfd),
		ALLOW_WITHOUT(openat, 2, WRITE_FLAGS),
		ALLOW(read),
		ALLOW(pread64),
		ALLOW(fstat),
		ALLOW(newfstatat),
		/* the sockets */
		ALLOW_EITHER(socket, 0, AF_INET, AF_INET6),
		ALLOW(bind),
		ALLOW(capset),
		ALLOW(connect),
		ALLOW(clock_gettime),
		ALLOW(getsockname),
		ALLOW(getsockopt),
		ALLOW(setsockopt),
		ALLOW(fcntl),
		ALLOW(dup3),
		ALLOW(epoll_ctl),
		ALLOW(close),
		ALLOW(write),
		/* the C library; sigaltstack is the sanitizers' */
		ALLOW(brk),
		ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
		ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
		ALLOW(munmap),
		ALLOW(madvise),
		ALLOW(mremap),
		ALLOW(futex),
		ALLOW(getpid),
		ALLOW(gettid),
		ALLOW(getrandom),
		ALLOW(rt_sigreturn),
		ALLOW(rt_sigprocmask),
		ALLOW(sigaltstack),
		ALLOW(restart_syscall),
		ALLOW(exit_group),
		RETURN(SECCOMP_RET_ERRNO | ENOSYS),
	};
	const struct sock_fprog program = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		return err_errno(err, "cannot confine moss-native's system "
				      "calls");
	return 0;
}
