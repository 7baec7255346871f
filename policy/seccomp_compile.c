#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "policy/seccomp_profile.h"

#define X32_BIT		0x40000000u
#define STUB_PER_ARCH	7
#define OPTIMIZE_BINARY 2 /* binary search over system call numbers */

static void context_release(scmp_filter_ctx *context)
{
	if (*context)
		seccomp_release(*context);
}

static int add_arches(scmp_filter_ctx context,
		      const struct seccomp_profile *profile, struct error *err)
{
	for (size_t i = 0; i < profile->arch_count; i++) {
		int r = seccomp_arch_add(context, profile->arches[i]);

		if (r == -EDOM)
			return err_set(err, ERROR_INVALID,
				       "architectures of both byte orders "
				       "cannot be in one filter");
		if (r < 0 && r != -EEXIST)
			return err_number(err, r, "cannot add an architecture");
	}
	return 0;
}

static int add_rule(scmp_filter_ctx context,
		    const struct seccomp_profile *profile,
		    const struct seccomp_rule *rule, struct error *err)
{
	int number;
	int r;

	/* What happens anyway; libseccomp refuses to be told so. */
	if (rule->action == profile->default_action)
		return 0;
	/* A name of another architecture is a number below zero here; one that
	   nobody knows (newer than libseccomp, or wrong) is skipped, as
	   elsewhere: the default action holds for it. */
	number = seccomp_syscall_resolve_name(rule->name);
	if (number == __NR_SCMP_ERROR)
		return 0;
	r = seccomp_rule_add_array(context, rule->action, number,
				   rule->arg_count, rule->args);
	if (r == -EEXIST)
		return err_set(err, ERROR_INVALID,
			       "syscalls[%zu]: another rule has the same "
			       "conditions for %s and another action",
			       rule->group, rule->name);
	if (r < 0)
		return err_number(err, r, "syscalls[%zu]: cannot add %s",
				  rule->group, rule->name);
	return 0;
}

/* The code of a complete context. */
static int export_code(scmp_filter_ctx context, struct seccomp_filter *filter,
		       struct error *err)
{
	cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	cleanup_free char *code = NULL;
	size_t size;
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a memory file");
	r = seccomp_export_bpf(context, fd);
	if (r < 0)
		return err_number(err, r, "cannot generate the filter");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "cannot read the filter");
	r = file_read_fd(fd, "the filter",
			 SECCOMP_FILTER_MAX * sizeof(struct sock_filter), &code,
			 &size, err);
	if (r < 0)
		return err_set(err, ERROR_INVALID,
			       "the filter is longer than the %d instructions "
			       "the kernel takes",
			       SECCOMP_FILTER_MAX);
	filter->length = size / sizeof(struct sock_filter);
	filter->code = (struct sock_filter *)(void *)steal_ptr(&code);
	return 0;
}

/* Highest number in the profile's rules; -1: no rule is for this one. */
static int highest_number(const struct seccomp_profile *profile, uint32_t arch)
{
	int highest = -1;

	for (size_t i = 0; i < profile->rule_count; i++) {
		int number = seccomp_syscall_resolve_name_arch(
			arch, profile->rules[i].name);

		if (number > highest)
			highest = number;
	}
	return highest;
}

static bool has_arch(const struct seccomp_profile *profile, uint32_t arch)
{
	for (size_t i = 0; i < profile->arch_count; i++) {
		if (profile->arches[i] == arch)
			return true;
	}
	return false;
}

/*
 * Before the filter proper: "not implemented" for numbers above all the
 * profile knows, for programs try a new call and fall back on ENOSYS only.
 */
static size_t stub_for_arch(const struct seccomp_profile *profile,
			    uint32_t arch, struct sock_filter *ret_code)
{
	uint32_t highest[2];
	int number = highest_number(profile, arch);
	size_t n = 0;

	if (number < 0)
		return 0;
	highest[0] = highest[1] = (uint32_t)number;
	if (arch == SCMP_ARCH_X86_64) {
		/* x32 shares the machine; its numbers carry a bit. Where it
		   is not in the profile the filter itself refuses them. */
		number = has_arch(profile, SCMP_ARCH_X32)
				 ? highest_number(profile, SCMP_ARCH_X32)
				 : -1;
		highest[1] = (uint32_t)number;
	}
	ret_code[n++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, arch, 0, STUB_PER_ARCH - 1);
	ret_code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	ret_code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
						     X32_BIT, 1, 0);
	ret_code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K,
						     highest[0], 1, 2);
	ret_code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K,
						     highest[1], 0, 1);
	ret_code[n++] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	/* Any number loads the architecture again, so go on with that. */
	ret_code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	return n;
}

/* Does the default action deny, with an answer that no fall-back expects? */
static bool wants_stub(uint32_t action)
{
	return action != SCMP_ACT_ALLOW && action != SCMP_ACT_LOG &&
	       action != SCMP_ACT_ERRNO(ENOSYS) &&
	       (action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_TRACE;
}

static int prepend_stub(const struct seccomp_profile *profile,
			struct seccomp_filter *filter, struct error *err)
{
	struct sock_filter stub[1 + STUB_PER_ARCH * (SECCOMP_ARCHES_MAX + 1)];
	struct sock_filter *code;
	uint32_t native = seccomp_arch_native();
	size_t n = 0;

	if (!wants_stub(profile->default_action))
		return 0;
	stub[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	n += stub_for_arch(profile, native, stub + n);
	for (size_t i = 0; i < profile->arch_count; i++) {
		if (profile->arches[i] != native &&
		    profile->arches[i] != SCMP_ARCH_X32)
			n += stub_for_arch(profile, profile->arches[i],
					   stub + n);
	}
	if (n + filter->length > SECCOMP_FILTER_MAX)
		return err_set(err, ERROR_INVALID,
			       "the filter is longer than the %d instructions "
			       "the kernel takes",
			       SECCOMP_FILTER_MAX);
	code = xcalloc(n + filter->length, sizeof(*code));
	memcpy(code, stub, n * sizeof(*code));
	memcpy(code + n, filter->code, filter->length * sizeof(*code));
	free(filter->code);
	filter->code = code;
	filter->length += n;
	return 0;
}

static int compile(const struct seccomp_profile *profile,
		   struct seccomp_filter *filter, struct error *err)
{
	CLEANUP(context_release) scmp_filter_ctx context = NULL;
	int r;

	context = seccomp_init(profile->default_action);
	if (!context)
		return err_set(err, ERROR_INVALID,
			       "defaultAction: the kernel or libseccomp does "
			       "not know it");
	r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH,
			     profile->bad_arch_action);
	if (r == 0)
		r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE,
				     OPTIMIZE_BINARY);
	if (r < 0)
		return err_number(err, r, "cannot set up libseccomp");
	r = add_arches(context, profile, err);
	for (size_t i = 0; r == 0 && i < profile->rule_count; i++)
		r = add_rule(context, profile, &profile->rules[i], err);
	if (r < 0)
		return r;
	r = export_code(context, filter, err);
	if (r < 0)
		return r;
	return prepend_stub(profile, filter, err);
}

int seccomp_profile_compile(const struct seccomp_profile *profile,
			    const char *name, struct seccomp_filter *ret_filter,
			    struct error *err)
{
	CLEANUP(seccomp_filter_release) struct seccomp_filter filter = {0};
	int r;

	r = compile(profile, &filter, err);
	if (r < 0)
		return err_wrap(err, "seccomp profile %s", name);
	filter.flags = profile->flags;
	*ret_filter = filter;
	filter = (struct seccomp_filter){0};
	return 0;
}
