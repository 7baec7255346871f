#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>

#include "base/str.h"
#include "policy/seccomp_profile.h"

static const struct {
	const char *name;
	uint32_t action;
	bool takes_errno;
} actions[] = {
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
	{"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, false},
	{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
};

static const struct {
	const char *name;
	enum scmp_compare op;
} operators[] = {
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
	{"SCMP_CMP_NE", SCMP_CMP_NE},
};

static const struct {
	const char *name;
	uint32_t flag;
} flags[] = {
	{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
};

/* Long names are the profile's, short ones those of includes and excludes. */
static const struct {
	const char *name;
	const char *short_name;
	uint32_t arch;
} arches[] = {
	{"SCMP_ARCH_AARCH64", "arm64", SCMP_ARCH_AARCH64},
	{"SCMP_ARCH_ARM", "arm", SCMP_ARCH_ARM},
#ifdef SCMP_ARCH_LOONGARCH64
	{"SCMP_ARCH_LOONGARCH64", "loong64", SCMP_ARCH_LOONGARCH64},
#else
	{"SCMP_ARCH_LOONGARCH64", "loong64", 0},
#endif
	{"SCMP_ARCH_MIPS", "mips", SCMP_ARCH_MIPS},
	{"SCMP_ARCH_MIPS64", "mips64", SCMP_ARCH_MIPS64},
	{"SCMP_ARCH_MIPS64N32", "mips64n32", SCMP_ARCH_MIPS64N32},
	{"SCMP_ARCH_MIPSEL", "mipsel", SCMP_ARCH_MIPSEL},
	{"SCMP_ARCH_MIPSEL64", "mipsel64", SCMP_ARCH_MIPSEL64},
	{"SCMP_ARCH_MIPSEL64N32", "mipsel64n32", SCMP_ARCH_MIPSEL64N32},
	{"SCMP_ARCH_PARISC", "parisc", SCMP_ARCH_PARISC},
	{"SCMP_ARCH_PARISC64", "parisc64", SCMP_ARCH_PARISC64},
	{"SCMP_ARCH_PPC", "ppc", SCMP_ARCH_PPC},
	{"SCMP_ARCH_PPC64", "ppc64", SCMP_ARCH_PPC64},
	{"SCMP_ARCH_PPC64LE", "ppc64le", SCMP_ARCH_PPC64LE},
#ifdef SCMP_ARCH_RISCV64
	{"SCMP_ARCH_RISCV64", "riscv64", SCMP_ARCH_RISCV64},
#else
	{"SCMP_ARCH_RISCV64", "riscv64", 0},
#endif
	{"SCMP_ARCH_S390", "s390", SCMP_ARCH_S390},
	{"SCMP_ARCH_S390X", "s390x", SCMP_ARCH_S390X},
	{"SCMP_ARCH_X32", "x32", SCMP_ARCH_X32},
	{"SCMP_ARCH_X86", "x86", SCMP_ARCH_X86},
	{"SCMP_ARCH_X86_64", "amd64", SCMP_ARCH_X86_64},
};

#define ERRNO_ROW(number)       \
	{                       \
#number, number \
	}

static const struct {
	const char *name;
	int number;
} errnos[] = {
	ERRNO_ROW(E2BIG),
	ERRNO_ROW(EACCES),
	ERRNO_ROW(EADDRINUSE),
	ERRNO_ROW(EADDRNOTAVAIL),
	ERRNO_ROW(EADV),
	ERRNO_ROW(EAFNOSUPPORT),
	ERRNO_ROW(EAGAIN),
	ERRNO_ROW(EALREADY),
	ERRNO_ROW(EBADE),
	ERRNO_ROW(EBADF),
	ERRNO_ROW(EBADFD),
	ERRNO_ROW(EBADMSG),
	ERRNO_ROW(EBADR),
	ERRNO_ROW(EBADRQC),
	ERRNO_ROW(EBADSLT),
	ERRNO_ROW(EBFONT),
	ERRNO_ROW(EBUSY),
	ERRNO_ROW(ECANCELED),
	ERRNO_ROW(ECHILD),
	ERRNO_ROW(ECHRNG),
	ERRNO_ROW(ECOMM),
	ERRNO_ROW(ECONNABORTED),
	ERRNO_ROW(ECONNREFUSED),
	ERRNO_ROW(ECONNRESET),
	ERRNO_ROW(EDEADLK),
	ERRNO_ROW(EDEADLOCK),
	ERRNO_ROW(EDESTADDRREQ),
	ERRNO_ROW(EDOM),
	ERRNO_ROW(EDOTDOT),
	ERRNO_ROW(EDQUOT),
	ERRNO_ROW(EEXIST),
	ERRNO_ROW(EFAULT),
	ERRNO_ROW(EFBIG),
	ERRNO_ROW(EHOSTDOWN),
	ERRNO_ROW(EHOSTUNREACH),
	ERRNO_ROW(EHWPOISON),
	ERRNO_ROW(EIDRM),
	ERRNO_ROW(EILSEQ),
	ERRNO_ROW(EINPROGRESS),
	ERRNO_ROW(EINTR),
	ERRNO_ROW(EINVAL),
	ERRNO_ROW(EIO),
	ERRNO_ROW(EISCONN),
	ERRNO_ROW(EISDIR),
	ERRNO_ROW(EISNAM),
	ERRNO_ROW(EKEYEXPIRED),
	ERRNO_ROW(EKEYREJECTED),
	ERRNO_ROW(EKEYREVOKED),
	ERRNO_ROW(EL2HLT),
	ERRNO_ROW(EL2NSYNC),
	ERRNO_ROW(EL3HLT),
	ERRNO_ROW(EL3RST),
	ERRNO_ROW(ELIBACC),
	ERRNO_ROW(ELIBBAD),
	ERRNO_ROW(ELIBEXEC),
	ERRNO_ROW(ELIBMAX),
	ERRNO_ROW(ELIBSCN),
	ERRNO_ROW(ELNRNG),
	ERRNO_ROW(ELOOP),
	ERRNO_ROW(EMEDIUMTYPE),
	ERRNO_ROW(EMFILE),
	ERRNO_ROW(EMLINK),
	ERRNO_ROW(EMSGSIZE),
	ERRNO_ROW(EMULTIHOP),
	ERRNO_ROW(ENAMETOOLONG),
	ERRNO_ROW(ENAVAIL),
	ERRNO_ROW(ENETDOWN),
	ERRNO_ROW(ENETRESET),
	ERRNO_ROW(ENETUNREACH),
	ERRNO_ROW(ENFILE),
	ERRNO_ROW(ENOANO),
	ERRNO_ROW(ENOBUFS),
	ERRNO_ROW(ENOCSI),
	ERRNO_ROW(ENODATA),
	ERRNO_ROW(ENODEV),
	ERRNO_ROW(ENOENT),
	ERRNO_ROW(ENOEXEC),
	ERRNO_ROW(ENOKEY),
	ERRNO_ROW(ENOLCK),
	ERRNO_ROW(ENOLINK),
	ERRNO_ROW(ENOMEDIUM),
	ERRNO_ROW(ENOMEM),
	ERRNO_ROW(ENOMSG),
	ERRNO_ROW(ENONET),
	ERRNO_ROW(ENOPKG),
	ERRNO_ROW(ENOPROTOOPT),
	ERRNO_ROW(ENOSPC),
	ERRNO_ROW(ENOSR),
	ERRNO_ROW(ENOSTR),
	ERRNO_ROW(ENOSYS),
	ERRNO_ROW(ENOTBLK),
	ERRNO_ROW(ENOTCONN),
	ERRNO_ROW(ENOTDIR),
	ERRNO_ROW(ENOTEMPTY),
	ERRNO_ROW(ENOTNAM),
	ERRNO_ROW(ENOTRECOVERABLE),
	ERRNO_ROW(ENOTSOCK),
	ERRNO_ROW(ENOTSUP),
	ERRNO_ROW(ENOTTY),
	ERRNO_ROW(ENOTUNIQ),
	ERRNO_ROW(ENXIO),
	ERRNO_ROW(EOPNOTSUPP),
	ERRNO_ROW(EOVERFLOW),
	ERRNO_ROW(EOWNERDEAD),
	ERRNO_ROW(EPERM),
	ERRNO_ROW(EPFNOSUPPORT),
	ERRNO_ROW(EPIPE),
	ERRNO_ROW(EPROTO),
	ERRNO_ROW(EPROTONOSUPPORT),
	ERRNO_ROW(EPROTOTYPE),
	ERRNO_ROW(ERANGE),
	ERRNO_ROW(EREMCHG),
	ERRNO_ROW(EREMOTE),
	ERRNO_ROW(EREMOTEIO),
	ERRNO_ROW(ERESTART),
	ERRNO_ROW(ERFKILL),
	ERRNO_ROW(EROFS),
	ERRNO_ROW(ESHUTDOWN),
	ERRNO_ROW(ESOCKTNOSUPPORT),
	ERRNO_ROW(ESPIPE),
	ERRNO_ROW(ESRCH),
	ERRNO_ROW(ESRMNT),
	ERRNO_ROW(ESTALE),
	ERRNO_ROW(ESTRPIPE),
	ERRNO_ROW(ETIME),
	ERRNO_ROW(ETIMEDOUT),
	ERRNO_ROW(ETOOMANYREFS),
	ERRNO_ROW(ETXTBSY),
	ERRNO_ROW(EUCLEAN),
	ERRNO_ROW(EUNATCH),
	ERRNO_ROW(EUSERS),
	ERRNO_ROW(EWOULDBLOCK),
	ERRNO_ROW(EXDEV),
	ERRNO_ROW(EXFULL),
};

int seccomp_action_from_name(const char *name, uint32_t *ret_action,
			     bool *ret_takes_errno)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (str_equal(name, actions[i].name)) {
			*ret_action = actions[i].action;
			*ret_takes_errno = actions[i].takes_errno;
			return 0;
		}
	}
	return -EINVAL;
}

int seccomp_operator_from_name(const char *name, enum scmp_compare *ret_op)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (str_equal(name, operators[i].name)) {
			*ret_op = operators[i].op;
			return 0;
		}
	}
	return -EINVAL;
}

int seccomp_flag_from_name(const char *name, uint32_t *ret_flag)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (str_equal(name, flags[i].name)) {
			*ret_flag = flags[i].flag;
			return 0;
		}
	}
	return -EINVAL;
}

int seccomp_errno_from_name(const char *name, int *ret_number)
{
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++) {
		if (str_equal(name, errnos[i].name)) {
			*ret_number = errnos[i].number;
			return 0;
		}
	}
	return -EINVAL;
}

int seccomp_arch_from_name(const char *name, uint32_t *ret_arch)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
		if (str_equal(name, arches[i].name)) {
			*ret_arch = arches[i].arch;
			return 0;
		}
	}
	return -EINVAL;
}

bool seccomp_arch_has_short_name(uint32_t arch, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
		if (arches[i].arch == arch)
			return str_equal(name, arches[i].short_name);
	}
	return false;
}
