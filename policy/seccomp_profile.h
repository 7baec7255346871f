/*
 * A seccomp profile between its JSON and its BPF: rules that apply to this
 * container, with libseccomp's numbers. Private to policy/seccomp*.c.
 */
#pragma once

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "policy/seccomp.h"

#define SECCOMP_ARCHES_MAX 16
#define SECCOMP_ARGS_MAX   6
#define SECCOMP_ERRNO_MAX  4095 /* the kernel's MAX_ERRNO */
/* A filter has 4096 instructions, so more conditions cannot end well. */
#define SECCOMP_CONDITIONS_MAX 4096
#define SECCOMP_RULES_MAX      65536

struct seccomp_rule {
	size_t group;	  /* index in "syscalls", for messages */
	const char *name; /* of the system call; in profile->json */
	uint32_t action;
	struct scmp_arg_cmp args[SECCOMP_ARGS_MAX];
	unsigned int arg_count;
};

struct seccomp_profile {
	uint32_t default_action;
	uint32_t bad_arch_action;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
	uint32_t arches[SECCOMP_ARCHES_MAX];
	size_t arch_count; /* the native one may be missing: it is implied */
	struct seccomp_rule *rules;
	size_t rule_count;
	size_t rule_capacity;
	size_t condition_count;
	cJSON *json; /* owns the names */
};

/* What includes and excludes are held against. */
struct seccomp_target {
	uint64_t capabilities;
	uint32_t arch; /* SCMP_ARCH_* */
	unsigned int kernel_major;
	unsigned int kernel_minor;
};

void seccomp_profile_release(struct seccomp_profile *profile);
#define cleanup_profile CLEANUP(seccomp_profile_release)

/* JSON to rules. Messages name the profile and line:column or JSON path. */
int seccomp_profile_parse(const char *text, size_t length, const char *name,
			  const struct seccomp_target *target,
			  struct seccomp_profile *ret_profile,
			  struct error *err);
/* An allow-all profile without a rule, for seccomp_profile_fake_ids(). */
void seccomp_profile_allow_all(struct seccomp_profile *ret_profile);
/* Single-ID mode: replaces the rules of calls that change IDs by success. */
void seccomp_profile_fake_ids(struct seccomp_profile *profile);

/* Rules to BPF. */
int seccomp_profile_compile(const struct seccomp_profile *profile,
			    const char *name, struct seccomp_filter *ret_filter,
			    struct error *err);

/* Tables of names. All return 0, or -EINVAL for a name nobody knows. */
int seccomp_action_from_name(const char *name, uint32_t *ret_action,
			     bool *ret_takes_errno);
int seccomp_operator_from_name(const char *name, enum scmp_compare *ret_op);
int seccomp_flag_from_name(const char *name, uint32_t *ret_flag);
int seccomp_errno_from_name(const char *name, int *ret_number);
/* "SCMP_ARCH_X86_64"; *ret_arch is 0 when this libseccomp lacks it. */
int seccomp_arch_from_name(const char *name, uint32_t *ret_arch);
/* Is name ("amd64", in includes and excludes) this architecture? */
bool seccomp_arch_has_short_name(uint32_t arch, const char *name);

/*
 * Compiled filters as files. key is all that went into the filter; a look-up
 * returns 1 and the filter, or 0.
 */
int seccomp_cache_find(int cache_fd, const char *key, size_t key_length,
		       struct seccomp_filter *ret_filter);
/* A cache that cannot be written costs time, nothing else: no error. */
void seccomp_cache_store(int cache_fd, const char *key, size_t key_length,
			 const struct seccomp_filter *filter);
