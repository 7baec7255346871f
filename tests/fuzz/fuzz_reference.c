/*
 * storage/store/reference.h, platform.h and change.h: what a user or an archive
 * calls an image. What is accepted comes out the same when it is read again.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/dockerfile/change.h"
#include "storage/store/digest.h"
#include "storage/store/platform.h"
#include "storage/store/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reference(const char *text)
{
	cleanup_free char *full = NULL;
	cleanup_free char *again = NULL;
	cleanup_free char *familiar = NULL;
	cleanup_free char *shortened = NULL;
	struct reference reference;
	struct reference second;
	struct error err = {0};

	if (reference_parse(text, &reference, &err) < 0) {
		assert(err.message[0] != '\0');
		return;
	}
	assert(*reference.tag || *reference.digest);
	assert(!*reference.digest || digest_is_valid(reference.digest));
	assert(!strstr(reference.repository, ".."));
	full = reference_full(&reference);
	assert(reference_parse(full, &second, NULL) == 0);
	again = reference_full(&second);
	assert(str_equal(full, again));
	familiar = reference_familiar(&reference);
	shortened = reference_shorten(full);
	assert(str_equal(familiar, shortened));
	(void)reference_is_name_only(text);
}

static void check_platform(const char *text)
{
	struct platform platform;
	struct platform second;
	char first[PLATFORM_TEXT_MAX];
	char again[PLATFORM_TEXT_MAX];

	if (platform_parse(text, &platform, NULL) < 0)
		return;
	platform_text(first, &platform);
	assert(platform_parse(first, &second, NULL) == 0);
	platform_text(again, &second);
	assert(str_equal(first, again));
	assert(platform_match(&platform, &second) > 0);
}

static void check_change(const char *text)
{
	cleanup_json cJSON *config = json_object();
	struct error err = {0};

	if (change_apply(config, text, &err) < 0)
		assert(err.message[0] != '\0');
	else
		assert(config->child);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = xstrndup((const char *)data, size);

	check_reference(text);
	check_platform(text);
	check_change(text);
	return 0;
}
