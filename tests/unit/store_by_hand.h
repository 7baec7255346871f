/*
 * A store of one test, made by hand: blobs, layers and images whose digests are
 * one digit over and over.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"

static char directory[PATH_MAX]; /* of one test */
static struct store store = {.root_fd = -1,
			     .image_fd = -1,
			     .layers_fd = -1,
			     .volumes_fd = -1,
			     .tmp_fd = -1};
static struct error error;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/moss-image-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	err_clear(&error);
	return store_open(directory, &store, &error);
}

static int tear_down(void **state)
{
	store_close(&store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* No digest is computed here: "a" stands for sha256:aaaa…. */
static const char *digest(char *ret_digest, char c)
{
	char hex[DIGEST_HEX + 1];

	memset(hex, c, DIGEST_HEX);
	hex[DIGEST_HEX] = '\0';
	digest_from_hex(ret_digest, hex);
	return ret_digest;
}

static void put_blob(char c, const char *text)
{
	char text_digest[DIGEST_TEXT_MAX];
	char path[BLOB_PATH_MAX];

	blob_path(path, digest(text_digest, c));
	assert_int_equal(file_write_atomic_at(store.image_fd, path, text,
					      strlen(text), 0644, FILE_VOLATILE,
					      &error),
			 0);
}

static bool has_blob(char c)
{
	char text[DIGEST_TEXT_MAX];

	return blob_exists(&store, digest(text, c));
}

static void put_layer(char c)
{
	char text[DIGEST_TEXT_MAX];
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -1;
	struct layer layer = {.size = 1000};

	digest(text, c);
	path = xasprintf("%s/diff", digest_hex(text));
	assert_int_equal(path_mkdirs_at(store.layers_fd, path, 0755, &error),
			 0);
	fd = openat(store.layers_fd, digest_hex(text), O_RDONLY | O_CLOEXEC);
	strcpy(layer.diff_id, text);
	strcpy(layer.blob, text);
	assert_int_equal(layer_write(fd, &layer, NULL, &error), 0);
}

static bool has_layer(char c)
{
	char text[DIGEST_TEXT_MAX];

	return layer_exists(&store, digest(text, c));
}

/* manifest and config are digits for digests, layers a string of them. */
static void put_image(char manifest, char config, const char *layers,
		      const char *reference)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str diff_ids = {0};
	cleanup_json cJSON *index = NULL;
	struct descriptor descriptor = {.size = 1, .media_type = OCI_MANIFEST};
	char hex[DIGEST_TEXT_MAX];

	str_appendf(&text,
		    "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\","
		    "\"size\":1},\"layers\":[",
		    digest(hex, config));
	for (const char *layer = layers; *layer; layer++) {
		const char *comma = layer > layers ? "," : "";

		str_appendf(&text, "%s{\"digest\":\"%s\",\"size\":1}", comma,
			    digest(hex, *layer));
		str_appendf(&diff_ids, "%s\"%s\"", comma, hex);
		put_blob(*layer, "layer");
		put_layer(*layer);
	}
	str_append(&text, "]}");
	put_blob(manifest, text.data);
	str_clear(&text);
	str_appendf(&text,
		    "{\"created\":\"2026-01-01T00:00:0%c.5Z\",\"os\":\"linux\","
		    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
		    manifest, str_text(&diff_ids));
	put_blob(config, text.data);

	assert_int_equal(index_read(&store, &index, &error), 0);
	digest(descriptor.digest, manifest);
	index_set(index, reference, &descriptor, 0);
	assert_int_equal(index_write(&store, index, &error), 0);
}
