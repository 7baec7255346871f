/*
 * policy/seccomp.h: a profile from anywhere. The first byte chooses what it is
 * held against. Whatever is refused says why; whatever is accepted is a filter
 * the kernel could take, and the same one each time.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/capability.h"
#include "policy/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_jumps(const struct seccomp_filter *filter)
{
	for (size_t i = 0; i < filter->length; i++) {
		const struct sock_filter *code = &filter->code[i];
		size_t left = filter->length - i - 1;

		if (BPF_CLASS(code->code) != BPF_JMP)
			continue;
		if (BPF_OP(code->code) == BPF_JA)
			assert(code->k < left);
		else
			assert(code->jt < left && code->jf < left);
	}
	assert(BPF_CLASS(filter->code[filter->length - 1].code) == BPF_RET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seccomp_request request = {.name = "fuzz"};
	CLEANUP(seccomp_filter_release) struct seccomp_filter filter = {0};
	CLEANUP(seccomp_filter_release) struct seccomp_filter again = {0};
	struct error err = {0};
	int r;

	if (size == 0)
		return 0;
	if (data[0] & 1)
		request.capabilities = capability_default();
	if (data[0] & 2)
		request.capabilities = capability_all();
	request.single_id = data[0] & 4;
	request.profile = (const char *)data + 1;
	request.profile_length = size - 1;

	r = seccomp_filter_load(&request, -1, &filter, &err);
	if (r < 0) {
		assert(err.message[0] != '\0');
		assert(strstr(err.message, "fuzz"));
		assert(!filter.code);
		return 0;
	}
	assert(filter.length > 0 && filter.length <= SECCOMP_FILTER_MAX);
	check_jumps(&filter);
	r = seccomp_filter_load(&request, -1, &again, &err);
	assert(r == 0 && again.length == filter.length &&
	       again.flags == filter.flags);
	assert(memcmp(filter.code, again.code,
		      filter.length * sizeof(*filter.code)) == 0);
	return 0;
}
