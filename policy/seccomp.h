/*
 * Seccomp profiles to BPF.
 *
 * Input is a profile in JSON: Docker's form (defaultAction, defaultErrnoRet,
 * archMap or architectures, syscalls with names/name, action, errnoRet, args,
 * includes/excludes by caps, arches and minKernel) or the OCI form (the same
 * without includes/excludes; runtime-spec, config-linux, "Seccomp"). Rules are
 * resolved against the container's capabilities, this machine's architecture
 * and the running kernel, then compiled with libseccomp.
 *
 * Names that this libseccomp does not know are skipped. Where the default
 * action denies with something else than ENOSYS, system calls with numbers
 * above all of the profile's answer ENOSYS all the same, so that programs
 * written for newer kernels fall back.
 *
 * Compiling costs 12-16 ms, so filters are cached as files in a directory of
 * the user's: named by a hash of all inputs (profile bytes, capabilities,
 * architecture, kernel release, libseccomp's and moss's version), with the
 * inputs stored beside the code and compared whole, so that a collision is a
 * miss. A damaged cache file is a miss too. Written atomically, 64 files at
 * most; safe to delete any time.
 *
 * A filter is loaded by the container's entry program last of all; nothing here
 * changes the calling process.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SECCOMP_PROFILE_MAX (1u << 20) /* bytes of JSON */
#define SECCOMP_FILTER_MAX  4096       /* instructions, BPF_MAXINSNS */

struct seccomp_filter {
	struct sock_filter *code; /* NULL: unconfined */
	size_t length;		  /* instructions */
	uint32_t flags;		  /* SECCOMP_FILTER_FLAG_* for seccomp(2) */
};

struct seccomp_request {
	const char *profile; /* JSON text; NULL: moss's default profile */
	size_t profile_length;
	const char *name;      /* file name, for messages; NULL: "default" */
	uint64_t capabilities; /* mask (1 << CAP_x) of the container's set */
	bool single_id;	       /* no sub-IDs: ownership calls (chown family,
				  setgroups …) succeed without effect */
	bool unconfined;       /* no profile at all; with single_id only what
				  that asks for, without it no code */
};

void seccomp_filter_release(struct seccomp_filter *filter);

/*
 * From the cache when it is there, otherwise parses, compiles and stores it.
 * cache_fd -1: no cache. Errors name the profile with line and column for
 * malformed JSON and the JSON path ("syscalls[3].args[0].op") for wrong
 * content. SCMP_ACT_NOTIFY is refused with the reason.
 */
int seccomp_filter_load(const struct seccomp_request *request, int cache_fd,
			struct seccomp_filter *ret_filter, struct error *err);

/* The default profile's text, static. */
const char *seccomp_default_profile(size_t *ret_length);
