/*
 * What a container uses, as the kernel tells it: numbers that only grow, and
 * those of this moment.
 *
 * Without a cgroup of its own the kernel keeps no account of a container, only
 * of its processes (usage_proc.c): what those have used that have ended counts
 * once their parents, in the container, have waited for them; memory is their
 * share of what they share (PSS), without the page cache, or all of it where
 * that is not to be had.
 *
 * With one (usage_cgroup.c) it is what the kernel counts of the cgroup, as far
 * as that has the controllers; memory is with the page cache then.
 *
 * Texts of /proc come from the kernel, but what is in them (a process's name)
 * may be the container's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define USAGE_INTERFACES_MAX 64

struct usage_interface {
	char name[32];
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

struct usage {
	uint64_t user_ns, system_ns;
	uint64_t periods, throttled_periods, throttled_ns;
	uint64_t memory, memory_limit; /* bytes */
	uint64_t anon, file, shmem;    /* what memory is made of, when known */
	uint64_t inactive_file;	       /* cache that the kernel may drop */
	uint64_t read, written;	       /* bytes, of block devices */
	bool has_io;		       /* of all of its processes */
	uint64_t tasks;		       /* threads */
	uint64_t tasks_limit;	       /* UINT64_MAX, or 0: none */
	/* Of the machine at that moment, see usage_machine(). */
	uint64_t machine_ns;
	unsigned int cpus;
};

/* /proc/PID/stat: adds its times, those of its children waited for, and its
   threads; false when it is none. */
bool usage_add_stat(struct usage *usage, const char *text);
/* /proc/PID/smaps_rollup, else /proc/PID/status; NULL: cannot be read. */
void usage_add_memory(struct usage *usage, const char *rollup,
		      const char *status);
/* /proc/PID/io; NULL, or without the numbers: has_io is false. */
void usage_add_io(struct usage *usage, const char *text);
/* Adds all of one process, as far as it can be read. */
void usage_add_process(struct usage *usage, pid_t pid);

/* /proc/PID/net/dev: all interfaces but lo; how many there are in ret. */
size_t usage_interfaces(const char *text,
			struct usage_interface ret[USAGE_INTERFACES_MAX]);

/* What the cgroup at path counts takes the place of what its processes told;
   "": there is none. */
void usage_take_cgroup(struct usage *usage, const char *path);

/*
 * /proc/stat: what all processors together have spent, idle included, in
 * nanoseconds, and how many of them there are. What a share of the machine is
 * measured by.
 */
int usage_machine(const char *text, uint64_t *ret_ns, unsigned int *ret_cpus,
		  struct error *err);

/* A file of /proc/PID, NULL when it cannot be read; caller frees. */
char *usage_proc_text(pid_t pid, const char *name);
