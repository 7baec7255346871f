/*
 * storage/registry/http_header.h and url.h: what a registry writes into the
 * fields that decide where credentials and requests go.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/http_header.h"
#include "storage/store/limits.h"
#include "storage/registry/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_challenges(const char *text)
{
	CLEANUP(challenges_release) struct challenges found = {0};
	struct error err = {0};

	if (challenges_parse(text, &found, &err) < 0) {
		assert(err.message[0] != '\0' && found.count == 0);
		return;
	}
	assert(found.count <= CHALLENGES_MAX);
	for (size_t i = 0; i < found.count; i++) {
		const struct challenge *item = &found.items[i];

		assert(*item->scheme);
		assert(!item->realm ||
		       strlen(item->realm) <= CHALLENGE_VALUE_MAX);
		assert(challenges_find(&found, item->scheme));
	}
}

static void check_fields(const char *text)
{
	cleanup_free char *next = link_next(text);
	uint64_t first;
	uint64_t last;
	uint64_t total;

	assert(!next || strlen(next) < strlen(text));
	if (content_range(text, &first, &last, &total) == 0)
		assert(first <= last && last < total);
	(void)upload_range(text, &total);
	(void)retry_after(text, 0, &total);
}

/* What comes out of a redirect is a URL of http, and without encryption only
   where that is allowed. */
static void check_redirect(const char *text)
{
	cleanup_free char *target = NULL;
	bool same_origin = false;
	struct url url;

	if (url_redirect("https://registry.example/v2/a", text, false, &target,
			 &same_origin, NULL) < 0)
		return;
	assert(url_parse(target, &url, NULL) == 0);
	assert(url.tls);
	assert(!same_origin ||
	       (str_equal(url.host, "registry.example") && url.port == 443));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = xstrndup((const char *)data, size);

	check_challenges(text);
	check_fields(text);
	check_redirect(text);
	return 0;
}
