#include "cmd/stream.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/docker_config.h"

/* "ctrl-X" for a-z @ [ \ ] ^ _, "DEL", or one character. */
static int key_parse(const char *word, unsigned char *ret_key)
{
	static const char specials[] = "@[\\]^_";

	if (strlen(word) == 1) {
		*ret_key = (unsigned char)word[0];
		return 0;
	}
	if (str_equal(word, "DEL")) {
		*ret_key = 127;
		return 0;
	}
	if (strncasecmp(word, "ctrl-", 5) != 0 || strlen(word) != 6)
		return -1;
	if ((word[5] | 0x20) >= 'a' && (word[5] | 0x20) <= 'z')
		*ret_key = (unsigned char)((word[5] | 0x20) - 'a' + 1);
	else if (strchr(specials, word[5]))
		*ret_key = (unsigned char)word[5] & 0x1f;
	else
		return -1;
	return 0;
}

int detach_keys_parse(const char *text, struct detach_keys *ret_keys,
		      struct error *err)
{
	cleanup_strv char **words = NULL;
	struct detach_keys keys = {0};

	if (*text == '\0') {
		*ret_keys = keys;
		return 0;
	}
	words = strv_split(text, ',');
	for (size_t i = 0; words[i]; i++) {
		if (keys.count == DETACH_KEYS_MAX ||
		    key_parse(words[i], &keys.keys[keys.count++]) < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid detach keys (%s): unknown "
				       "character: '%s'",
				       text, words[i]);
	}
	*ret_keys = keys;
	return 0;
}

int detach_keys_choose(const struct options *options,
		       struct detach_keys *ret_keys, struct error *err)
{
	const char *text = option_string(options, "detach-keys");
	cleanup_json cJSON *config = NULL;

	if (!text) {
		config = docker_config_read();
		text = docker_config_detach_keys(config);
	}
	return detach_keys_parse(text ? text : DETACH_KEYS_DEFAULT, ret_keys,
				 err);
}
