/*
 * The twin for every other architecture: moss-init is then linked statically
 * against the C library, which brings main() and syscall().
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* argv lies where the kernel left it, right above argc. */
#define INIT_START                             \
	int main(int argc, char **argv);       \
	int main(int argc, char **argv)        \
	{                                      \
		init_main((long *)(argv - 1)); \
	}

static inline long sys_call(long number, long a, long b, long c, long d, long e,
			    long f)
{
	long result = syscall(number, a, b, c, d, e, f);

	return result < 0 ? -errno : result;
}
