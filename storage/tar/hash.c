#include "storage/tar/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"

int hash_init(struct hash *hash, struct error *err)
{
	hash->context = EVP_MD_CTX_new();
	if (!hash->context)
		str_oom();
	if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
		hash_release(hash);
		return err_set(err, ERROR_UNSUPPORTED,
			       "libcrypto has no SHA-256");
	}
	return 0;
}

void hash_release(struct hash *hash)
{
	EVP_MD_CTX_free(hash->context);
	hash->context = NULL;
}

void hash_update(struct hash *hash, const void *bytes, size_t length)
{
	/* Fails for a context without a digest only. */
	if (EVP_DigestUpdate(hash->context, bytes, length) != 1)
		abort();
}

void hash_finish(struct hash *hash, unsigned char ret_bytes[HASH_SIZE])
{
	unsigned int length = 0;

	if (EVP_DigestFinal_ex(hash->context, ret_bytes, &length) != 1 ||
	    length != HASH_SIZE)
		abort();
}

void hash_digest(struct hash *hash, char ret_digest[DIGEST_TEXT_MAX])
{
	unsigned char bytes[HASH_SIZE];
	char hex[2 * HASH_SIZE + 1];

	hash_finish(hash, bytes);
	hex_encode(hex, bytes, sizeof(bytes));
	digest_from_hex(ret_digest, hex);
}

int hash_bytes(const void *bytes, size_t length,
	       char ret_digest[DIGEST_TEXT_MAX], struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	int r = hash_init(&hash, err);

	if (r < 0)
		return r;
	hash_update(&hash, bytes, length);
	hash_digest(&hash, ret_digest);
	return 0;
}
