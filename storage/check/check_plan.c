/* What there is to check: check_plan() of storage/check/check.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/check/check.h"
#include "storage/store/blob.h"
#include "storage/store/index.h"
#include "storage/store/reference.h"
#include "storage/tar/hash.h"

static const char lost_advice[] =
	"pull or load the image again; --repair removes this one";

static char *name_of(const cJSON *entry)
{
	cleanup_free char *full = index_entry_reference(entry);
	char short_digest[DIGEST_SHORT_MAX];

	if (full) {
		cleanup_free char *familiar = reference_shorten(full);

		return xasprintf("image %s", familiar);
	}
	digest_short(short_digest, index_entry_digest(entry));
	return xasprintf("image of manifest %s", short_digest);
}

/* Of an image with several names the first counts. */
static struct check_image *add_image(struct check *check, const cJSON *entry)
{
	const char *digest = index_entry_digest(entry);
	struct check_image *image;

	for (size_t i = 0; i < check->image_count; i++) {
		if (str_equal(check->images[i].manifest, digest))
			return NULL;
	}
	check->images = xrealloc(check->images, check->image_count + 1,
				 sizeof(*check->images));
	image = &check->images[check->image_count++];
	*image = (struct check_image){.name = name_of(entry)};
	strcpy(image->manifest, digest);
	return image;
}

/* Somebody may have the same layer in an image of his own. */
struct check_layer *check_add_layer(struct check *check, const char *owner,
				    const struct descriptor *blob,
				    const char *diff_id)
{
	struct check_layer *layer;
	char short_digest[DIGEST_SHORT_MAX];

	for (size_t i = 0; i < check->layer_count; i++) {
		layer = &check->layers[i];
		if (str_equal(layer->diff_id, diff_id) &&
		    str_equal(layer->blob.digest, blob->digest) &&
		    layer->blob.size == blob->size)
			return layer;
	}
	check->layers = xrealloc(check->layers, check->layer_count + 1,
				 sizeof(*check->layers));
	layer = &check->layers[check->layer_count++];
	*layer = (struct check_layer){.blob = *blob};
	strcpy(layer->diff_id, diff_id);
	digest_short(short_digest, blob->digest);
	layer->what = xasprintf("%s (%s)", owner, short_digest);
	check->blobs++;
	return layer;
}

static void add_image_layer(struct check *check, size_t image, size_t number,
			    const struct descriptor *blob, const char *diff_id)
{
	cleanup_free char *owner =
		xasprintf("%s: layer %zu", check->images[image].name, number);
	struct check_layer *layer =
		check_add_layer(check, owner, blob, diff_id);

	layer->users = xrealloc(layer->users, layer->user_count + 1,
				sizeof(*layer->users));
	layer->users[layer->user_count++] = image;
}

static int lease(struct check *check, const char *digest, struct error *err)
{
	return store_work_lease(&check->stage.work, digest_hex(digest), err);
}

/* A document's text, if it is what its descriptor says. */
static int read_document(struct check *check,
			 const struct descriptor *descriptor, cJSON **ret_json,
			 struct error *err)
{
	cleanup_free char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	cleanup_fd int fd = -1;
	size_t length = 0;
	int r;

	check->blobs++;
	fd = blob_open(&check->job->store, descriptor->digest, NULL, err);
	if (fd < 0)
		return fd;
	r = file_read_fd(fd, descriptor->digest, JSON_FILE_MAX, &text, &length,
			 err);
	if (r == 0)
		r = hash_bytes(text, length, digest, err);
	if (r < 0)
		return r;
	if (length != descriptor->size)
		return err_set(err, ERROR_CORRUPT,
			       "blob %s has %zu bytes, not %llu",
			       descriptor->digest, length,
			       (unsigned long long)descriptor->size);
	if (!str_equal(digest, descriptor->digest))
		return err_set(err, ERROR_CORRUPT, "blob %s holds %s",
			       descriptor->digest, digest);
	return json_parse(text, length, descriptor->digest, ret_json, err);
}

/* Config and layers of a manifest. */
static int plan_manifest(struct check *check, size_t index, const cJSON *json,
			 struct error *err)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	struct check_image *image = &check->images[index];
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *config = NULL;
	int r = manifest_parse(json, "manifest", &manifest, err);

	if (r < 0)
		return r;
	strcpy(image->id, manifest.config.digest);
	r = lease(check, image->id, err);
	if (r == 0)
		r = read_document(check, &manifest.config, &config, err);
	if (r == 0)
		r = config_diff_ids(config, "config", &diff_ids, err);
	if (r < 0)
		return r;
	if (strv_length(diff_ids) != manifest.layer_count)
		return err_set(err, ERROR_CORRUPT,
			       "%zu layers, but %zu diff IDs in its config",
			       manifest.layer_count, strv_length(diff_ids));
	for (size_t i = 0; r == 0 && i < manifest.layer_count; i++) {
		add_image_layer(check, index, i + 1, &manifest.layers[i],
				diff_ids[i]);
		r = lease(check, manifest.layers[i].digest, err);
		if (r == 0)
			r = lease(check, diff_ids[i], err);
	}
	return r;
}

static int plan_document(struct check *check, size_t index,
			 const struct descriptor *descriptor, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = lease(check, descriptor->digest, err);

	if (r == 0)
		r = read_document(check, descriptor, &json, err);
	if (r < 0)
		return r;
	/* Of what other tools keep here nothing more is known. */
	return document_kind(json) == DOCUMENT_MANIFEST
		       ? plan_manifest(check, index, json, err)
		       : 0;
}

static void check_entry(struct check *check, const cJSON *entry)
{
	struct descriptor descriptor;
	struct check_image *image;
	struct error error = {0};

	if (!index_entry_digest(entry)) {
		check_finding(check, "entry", "image/index.json",
			      "--repair drops it",
			      "an entry has no valid digest");
		return;
	}
	image = add_image(check, entry);
	if (!image)
		return;
	if (descriptor_parse(entry, "index.json", &descriptor, &error) < 0 ||
	    plan_document(check, check->image_count - 1, &descriptor, &error) <
		    0) {
		image = &check->images[check->image_count - 1];
		image->lost = true;
		check_finding(check, image->manifest, image->name, lost_advice,
			      "%s", error.message);
	}
}

/* The index that a name led to, and the one of what refers to the image. */
static void check_origin(struct check *check, const cJSON *entry)
{
	const char *digests[] = {index_entry_origin(entry),
				 index_entry_referrers(entry)};
	const char *own = index_entry_digest(entry);
	cleanup_free char *name = own ? name_of(entry) : NULL;

	for (size_t i = 0; own && i < ARRAY_SIZE(digests); i++) {
		if (!digests[i] || str_equal(digests[i], own) ||
		    blob_exists(&check->job->store, digests[i]))
			continue;
		check_finding(check, digests[i], name,
			      "pull the image again; --repair forgets it",
			      "blob %s, the index it was pulled by, is missing",
			      digests[i]);
	}
}

int check_plan(struct check *check, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	const cJSON *entry;
	int r;

	/* What is read now is leased before anybody may remove it. */
	lock_fd = store_lock(&check->job->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	cJSON_Delete(steal_ptr(&check->index));
	r = index_read(&check->job->store, &check->index, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(entry, index_entries(check->index))
	{
		check_entry(check, entry);
		check_origin(check, entry);
	}
	return check_cache_plan(check, err);
}
