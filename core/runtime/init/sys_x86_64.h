/* Entry point and system calls of x86_64. */
#pragma once

#include <linux/audit.h>

#define INIT_AUDIT_ARCH AUDIT_ARCH_X86_64

/* The kernel leaves argc at the stack pointer; no return address below it. */
#define INIT_START                  \
	__asm__(".globl _start\n"   \
		"_start:\n"         \
		"	xor %ebp, %ebp\n" \
		"	mov %rsp, %rdi\n" \
		"	and $-16, %rsp\n" \
		"	call init_main\n" \
		"	ud2\n")

static inline long sys_call(long number, long a, long b, long c, long d, long e,
			    long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
