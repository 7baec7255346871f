#include "policy/seccomp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "policy/seccomp_profile.h"

/* Raised when the same inputs come to mean another filter. */
#define CACHE_GENERATION 1

void seccomp_filter_release(struct seccomp_filter *filter)
{
	if (!filter)
		return;
	free(filter->code);
	memset(filter, 0, sizeof(*filter));
}

/* All that a filter depends on, as text; the profile itself comes last. */
static void build_key(const struct seccomp_request *request,
		      const struct utsname *host, struct str *ret_key)
{
	const struct scmp_version *library = seccomp_version();

	str_appendf(ret_key,
		    "generation %d\nmoss %s\nlibseccomp %u.%u.%u\n"
		    "machine %s\nkernel %s\ncapabilities %llx\n"
		    "single_id %d\nunconfined %d\nprofile %zu\n",
		    CACHE_GENERATION, MOSS_VERSION, library->major,
		    library->minor, library->micro, host->machine,
		    host->release, (unsigned long long)request->capabilities,
		    request->single_id, request->unconfined,
		    request->profile_length);
	if (!request->unconfined)
		str_append_bytes(ret_key, request->profile,
				 request->profile_length);
}

/* Which of the native architecture's sisters runs 32-bit programs. */
static void add_sister(struct seccomp_profile *profile)
{
	static const struct {
		uint32_t native;
		uint32_t sister;
	} sisters[] = {
		{SCMP_ARCH_X86_64, SCMP_ARCH_X86},
		{SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
		{SCMP_ARCH_S390X, SCMP_ARCH_S390},
	};

	for (size_t i = 0; i < ARRAY_SIZE(sisters); i++) {
		if (sisters[i].native == seccomp_arch_native())
			profile->arches[profile->arch_count++] =
				sisters[i].sister;
	}
}

static int build(const struct seccomp_request *request,
		 const struct utsname *host, struct seccomp_filter *ret_filter,
		 struct error *err)
{
	cleanup_profile struct seccomp_profile profile = {0};
	struct seccomp_target target = {
		.capabilities = request->capabilities,
		.arch = seccomp_arch_native(),
	};
	int r;

	if (sscanf(host->release, "%u.%u", &target.kernel_major,
		   &target.kernel_minor) != 2)
		return err_set(err, ERROR_UNSUPPORTED,
			       "cannot read the kernel's version \"%s\"",
			       host->release);
	if (request->unconfined) {
		seccomp_profile_allow_all(&profile);
		add_sister(&profile);
	} else {
		r = seccomp_profile_parse(
			request->profile, request->profile_length,
			request->name, &target, &profile, err);
		if (r < 0)
			return r;
	}
	if (request->single_id)
		seccomp_profile_fake_ids(&profile);
	return seccomp_profile_compile(&profile, request->name, ret_filter,
				       err);
}

/* policy/profiles/default.json, made into C by embed.py. */
extern const char seccomp_default_json[];
extern const unsigned long seccomp_default_json_length;

const char *seccomp_default_profile(size_t *ret_length)
{
	*ret_length = seccomp_default_json_length;
	return seccomp_default_json;
}

int seccomp_filter_load(const struct seccomp_request *request, int cache_fd,
			struct seccomp_filter *ret_filter, struct error *err)
{
	struct seccomp_request complete = *request;
	cleanup_str struct str key = {0};
	struct utsname host;
	int r;

	if (request->unconfined && !request->single_id) {
		*ret_filter = (struct seccomp_filter){0};
		return 0;
	}
	if (!complete.profile)
		complete.profile =
			seccomp_default_profile(&complete.profile_length);
	if (!complete.name)
		complete.name = request->unconfined ? "unconfined" : "default";
	/* Before it is copied into the key. */
	if (complete.profile_length > SECCOMP_PROFILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "seccomp profile %s is larger than %u bytes",
			       complete.name, SECCOMP_PROFILE_MAX);
	if (uname(&host) < 0)
		return err_errno(err, "cannot ask for the kernel's version");

	if (cache_fd < 0)
		return build(&complete, &host, ret_filter, err);
	build_key(&complete, &host, &key);
	if (seccomp_cache_find(cache_fd, key.data, key.length, ret_filter))
		return 0;
	r = build(&complete, &host, ret_filter, err);
	if (r < 0)
		return r;
	seccomp_cache_store(cache_fd, key.data, key.length, ret_filter);
	return 0;
}
