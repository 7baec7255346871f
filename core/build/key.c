#include "core/build/key.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* Of what is not there; no length is that long. */
#define LENGTH_NONE UINT64_MAX

static void add_number(struct key *key, uint64_t number)
{
	uint64_t bytes = htobe64(number);

	hash_update(&key->hash, &bytes, sizeof(bytes));
}

static void add_text(struct key *key, const char *text)
{
	if (!text) {
		add_number(key, LENGTH_NONE);
		return;
	}
	add_number(key, strlen(text));
	hash_update(&key->hash, text, strlen(text));
}

int key_begin(struct key *ret_key, const char *step, struct error *err)
{
	int r = hash_init(&ret_key->hash, err);

	if (r < 0)
		return r;
	add_text(ret_key, "moss-build-1");
	add_text(ret_key, step);
	return 0;
}

void key_release(struct key *key)
{
	hash_release(&key->hash);
}

void key_add(struct key *key, const char *name, const char *text)
{
	add_text(key, name);
	add_text(key, text);
}

void key_add_strv(struct key *key, const char *name, char *const *texts)
{
	uint64_t count = 0;

	while (texts && texts[count])
		count++;
	add_text(key, name);
	add_number(key, count);
	for (uint64_t i = 0; i < count; i++)
		add_text(key, texts[i]);
}

void key_add_json(struct key *key, const char *name, const cJSON *json)
{
	cleanup_free char *text = json ? json_print(json) : NULL;

	key_add(key, name, text);
}

void key_finish(struct key *key, char ret_hex[KEY_HEX_MAX])
{
	char digest[DIGEST_TEXT_MAX];

	hash_digest(&key->hash, digest);
	memcpy(ret_hex, digest_hex(digest), KEY_HEX_MAX - 1);
	ret_hex[KEY_HEX_MAX - 1] = '\0';
}
