#include "storage/store/digest.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

bool digest_is_hex(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!((text[i] >= '0' && text[i] <= '9') ||
		      (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	return true;
}

bool digest_is_valid(const char *digest)
{
	return digest && str_starts(digest, DIGEST_PREFIX) &&
	       strlen(digest) == strlen(DIGEST_PREFIX) + DIGEST_HEX &&
	       digest_is_hex(digest_hex(digest), DIGEST_HEX);
}

int digest_check(const char *digest, const char *what, struct error *err)
{
	const char *colon;

	if (digest_is_valid(digest))
		return 0;
	if (str_empty(digest))
		return err_set(err, ERROR_INVALID, "%s: digest is missing",
			       what);
	colon = strchr(digest, ':');
	if (colon && colon > digest && !str_starts(digest, DIGEST_PREFIX))
		return err_set(err, ERROR_UNSUPPORTED,
			       "%s: digest algorithm \"%.*s\" is not supported",
			       what,
			       (int)(colon - digest > 32 ? 32 : colon - digest),
			       digest);
	return err_set(err, ERROR_INVALID, "%s: invalid digest \"%.80s\"", what,
		       digest);
}

const char *digest_hex(const char *digest)
{
	return digest + strlen(DIGEST_PREFIX);
}

void digest_from_hex(char ret_digest[DIGEST_TEXT_MAX], const char *hex)
{
	snprintf(ret_digest, DIGEST_TEXT_MAX, DIGEST_PREFIX "%.64s", hex);
}

void digest_short(char ret_text[DIGEST_SHORT_MAX], const char *digest)
{
	if (str_starts(digest, DIGEST_PREFIX))
		digest = digest_hex(digest);
	snprintf(ret_text, DIGEST_SHORT_MAX, "%.12s", digest);
}
