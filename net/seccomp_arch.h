/* What the filters of our own helpers know of the machine they are built for.
 */
#pragma once

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define FILTER_ARCH AUDIT_ARCH_PPC64LE
#elif defined(__loongarch64)
#define FILTER_ARCH AUDIT_ARCH_LOONGARCH64
#else
#error "add this architecture's AUDIT_ARCH_ value (64-bit, little-endian)"
#endif

/* The low half of an argument, little-endian. */
#define FILTER_ARGUMENT(n)                                    \
	((unsigned int)(offsetof(struct seccomp_data, args) + \
			(n) * sizeof(__u64)))
