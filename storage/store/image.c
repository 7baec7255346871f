#include "storage/store/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/digest.h"
#include "storage/store/image_entry.h"
#include "storage/store/image_event.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/manifest.h"
#include "storage/store/oci.h"
#include "storage/store/reference.h"

void image_release(struct image *image)
{
	if (!image)
		return;
	free(image->id);
	free(image->manifest);
	strv_free(image->references);
	strv_free(image->digests);
	free(image->origin);
	free(image->referrers);
	free(image->tagged);
	cJSON_Delete(image->config);
	strv_free(image->diff_ids);
	free(image->created);
	*image = (struct image){0};
}

void image_list_free(struct image *images, size_t count)
{
	for (size_t i = 0; i < count; i++)
		image_release(&images[i]);
	free(images);
}

int image_entry_manifest(const struct store *store, const cJSON *entry,
			 struct manifest *ret_manifest, struct error *err)
{
	const char *digest = index_entry_digest(entry);
	cleanup_json cJSON *json = NULL;
	int r;

	if (!digest)
		return err_set(err, ERROR_CORRUPT,
			       "index.json: an entry has no valid digest");
	r = blob_read_json(store, digest, &json, err);
	if (r < 0)
		return r;
	return manifest_parse(json, digest, ret_manifest, err);
}

/* The repository's digest for it: what its name led to, or the manifest. */
static void add_digest(struct image *image, const cJSON *entry,
		       const char *name)
{
	const char *origin = index_entry_origin(entry);
	cleanup_free char *digest = NULL;
	struct reference reference;

	if (reference_parse(name, &reference, NULL) < 0)
		return;
	digest = xasprintf("%s/%s@%s", reference.registry, reference.repository,
			   origin ? origin : image->manifest);
	if (!strv_contains(image->digests, digest))
		strv_push(&image->digests, digest);
}

/* What one of its entries in the index tells, its name above all. */
static void add_entry(struct image *image, const cJSON *entry)
{
	cleanup_free char *reference = index_entry_reference(entry);
	const char *tagged = index_entry_tagged(entry);

	if (reference && !strv_contains(image->references, reference)) {
		strv_push(&image->references, reference);
		add_digest(image, entry, reference);
	}
	if (!image->origin)
		image->origin = xstrdup(index_entry_origin(entry));
	if (!image->referrers)
		image->referrers = xstrdup(index_entry_referrers(entry));
	/* All of one width and zone. */
	if (tagged && (!image->tagged || strcmp(tagged, image->tagged) > 0)) {
		free(image->tagged);
		image->tagged = xstrdup(tagged);
	}
}

static void add_entries(struct image *image, const cJSON *index)
{
	const cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (str_equal(index_entry_digest(entry), image->manifest))
			add_entry(image, entry);
	}
}

/* As the descriptors say; nothing is looked at. */
static uint64_t content_size(const struct manifest *manifest,
			     const cJSON *entry)
{
	struct descriptor own = {0};
	uint64_t size;

	(void)descriptor_parse(entry, "", &own, NULL);
	size = own.size + manifest->config.size;
	for (size_t i = 0; i < manifest->layer_count; i++)
		size += manifest->layers[i].size;
	return size;
}

static uint64_t sum_layers(const struct store *store, char *const *diff_ids)
{
	uint64_t size = 0;

	for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
		struct layer layer;

		if (layer_read(store, diff_ids[i], &layer, NULL) == 0)
			size += layer.size;
	}
	return size;
}

int image_from_entry(const struct store *store, const cJSON *index,
		     const cJSON *entry, struct image *ret_image,
		     struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	CLEANUP(manifest_release) struct manifest manifest = {0};
	const char *created = "";
	int r;

	r = image_entry_manifest(store, entry, &manifest, err);
	if (r < 0)
		return r;
	r = blob_read_json(store, manifest.config.digest, &image.config, err);
	if (r < 0)
		return r;
	r = config_diff_ids(image.config, manifest.config.digest,
			    &image.diff_ids, err);
	if (r < 0)
		return r;
	if (json_get_string(image.config, "", "created", &created, NULL) < 0)
		created = "";
	image.created = xstrdup(created);
	image.id = xstrdup(manifest.config.digest);
	image.manifest = xstrdup(index_entry_digest(entry));
	add_entries(&image, index);
	image.content = content_size(&manifest, entry);
	image.size = index_entry_size(entry);
	if (image.size == 0)
		image.size = sum_layers(store, image.diff_ids);
	*ret_image = image;
	image = (struct image){0};
	return 0;
}

static int no_such_image(const char *name, struct error *err)
{
	struct reference reference;
	cleanup_free char *familiar = NULL;

	/* docker says the tag it looked for. */
	if (reference_parse(name, &reference, NULL) == 0)
		familiar = reference_familiar(&reference);
	return err_set(err, ERROR_NOT_FOUND, "No such image: %s",
		       familiar ? familiar : name);
}

/* "web@sha256:…": the manifest, or the index it is from, if it goes by that
   name here. */
static cJSON *find_digested(const cJSON *index,
			    const struct reference *reference)
{
	cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		cleanup_free char *name = NULL;
		struct reference other;

		if (index_entry_is_removed(entry) ||
		    (!str_equal(index_entry_digest(entry), reference->digest) &&
		     !str_equal(index_entry_origin(entry), reference->digest)))
			continue;
		name = index_entry_reference(entry);
		if (name && reference_parse(name, &other, NULL) == 0 &&
		    str_equal(other.registry, reference->registry) &&
		    str_equal(other.repository, reference->repository))
			return entry;
	}
	return NULL;
}

static cJSON *find_reference(const cJSON *index, const char *name)
{
	struct reference reference;
	cleanup_free char *full = NULL;

	if (reference_parse(name, &reference, NULL) < 0)
		return NULL;
	if (*reference.digest)
		return find_digested(index, &reference);
	full = reference_full(&reference);
	return index_find_reference(index, full);
}

/* By the (beginning of the) ID or the manifest's digest. 1, 0, error. */
static int find_prefix(const struct store *store, const cJSON *index,
		       const char *name, const cJSON **ret_entry,
		       struct error *err)
{
	char found[DIGEST_TEXT_MAX] = "";
	const char *prefix =
		str_starts(name, DIGEST_PREFIX) ? digest_hex(name) : name;
	size_t length = strlen(prefix);
	const cJSON *entry;

	if (length == 0 || length > DIGEST_HEX ||
	    !digest_is_hex(prefix, length))
		return 0;
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		CLEANUP(manifest_release) struct manifest manifest = {0};
		const char *digest = index_entry_digest(entry);
		const char *origin = index_entry_origin(entry);

		if (!digest || index_entry_is_removed(entry))
			continue;
		/* A damaged image goes by its manifest's digest. */
		if (image_entry_manifest(store, entry, &manifest, NULL) < 0)
			strcpy(manifest.config.digest, digest);
		if (length == DIGEST_HEX &&
		    (str_equal(digest_hex(digest), prefix) ||
		     (origin && str_equal(digest_hex(origin), prefix)))) {
			*ret_entry = entry;
			return 1;
		}
		if (strncmp(digest_hex(manifest.config.digest), prefix,
			    length) != 0 ||
		    str_equal(found, manifest.config.digest))
			continue;
		if (*found)
			return err_set(err, ERROR_INVALID,
				       "ambiguous image ID \"%s\": several "
				       "begin with it",
				       name);
		strcpy(found, manifest.config.digest);
		*ret_entry = entry;
	}
	return *found ? 1 : 0;
}

int image_find_entry(const struct store *store, const cJSON *index,
		     const char *name, const cJSON **ret_entry,
		     struct error *err)
{
	const cJSON *entry = find_reference(index, name);
	int r;

	if (!entry) {
		r = find_prefix(store, index, name, &entry, err);
		if (r < 0)
			return r;
	}
	if (!entry) {
		struct reference reference;

		/* A name that cannot be one says so, rather than "no such". */
		if (!*name || (!digest_is_hex(name, strlen(name)) &&
			       !digest_is_valid(name))) {
			r = reference_parse(name, &reference, err);
			if (r < 0)
				return r;
		}
		return no_such_image(name, err);
	}
	*ret_entry = entry;
	return 0;
}

int image_find(struct store *store, const char *name, struct image *ret_image,
	       struct error *err)
{
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	cleanup_json cJSON *index = NULL;
	const cJSON *entry = NULL;
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	r = image_find_entry(store, index, name, &entry, err);
	if (r < 0)
		return r;
	r = image_from_entry(store, index, entry, ret_image, err);
	return r < 0 ? err_wrap(err, "image %s", name) : 0;
}

static void damaged_image(const cJSON *index, const cJSON *entry,
			  struct image *ret_image)
{
	struct image image = {
		.id = xstrdup(index_entry_digest(entry)),
		.manifest = xstrdup(index_entry_digest(entry)),
		.config = json_object(),
		.created = xstrdup(""),
	};

	add_entries(&image, index);
	*ret_image = image;
}

static void merge_names(char ***names, char *const *others)
{
	for (size_t i = 0; others && others[i]; i++)
		if (!strv_contains(*names, others[i]))
			strv_push(names, others[i]);
}

/* An image that is listed already by another manifest gets the names. */
static bool merge_image(struct image *images, size_t count,
			const struct image *image)
{
	for (size_t i = 0; i < count; i++) {
		if (!str_equal(images[i].id, image->id))
			continue;
		merge_names(&images[i].references, image->references);
		merge_names(&images[i].digests, image->digests);
		return true;
	}
	return false;
}

/* Nested indexes and artifacts that other tools keep here are no images. */
static bool is_foreign(const cJSON *entry)
{
	const cJSON *type =
		cJSON_GetObjectItemCaseSensitive(entry, "mediaType");
	cleanup_json cJSON *document = json_object();

	if (!index_entry_digest(entry))
		return true;
	if (!cJSON_IsString(type))
		return false;
	json_set_string(document, "mediaType", type->valuestring);
	return document_kind(document) != DOCUMENT_MANIFEST;
}

static int compare_created(const void *a, const void *b)
{
	const struct image *x = a;
	const struct image *y = b;
	struct timespec times[2] = {{0}, {0}};

	if (parse_time(x->created, &times[0]) < 0)
		times[0].tv_sec = 0;
	if (parse_time(y->created, &times[1]) < 0)
		times[1].tv_sec = 0;
	if (times[0].tv_sec != times[1].tv_sec)
		return times[0].tv_sec < times[1].tv_sec ? 1 : -1;
	if (times[0].tv_nsec != times[1].tv_nsec)
		return times[0].tv_nsec < times[1].tv_nsec ? 1 : -1;
	return strcmp(x->id, y->id);
}

void image_list_of_index(const struct store *store, const cJSON *index,
			 struct image **ret_images, size_t *ret_count)
{
	struct image *images;
	const cJSON *entry;
	size_t count = 0;

	images = xcalloc((size_t)cJSON_GetArraySize(index_entries(index)) + 1,
			 sizeof(*images));
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		struct image *image = &images[count];

		if (is_foreign(entry) || index_entry_is_removed(entry) ||
		    index_find_manifest(index, index_entry_digest(entry)) !=
			    entry)
			continue;
		if (image_from_entry(store, index, entry, image, NULL) < 0)
			damaged_image(index, entry, image);
		if (merge_image(images, count, image))
			image_release(image);
		else
			count++;
	}
	qsort(images, count, sizeof(*images), compare_created);
	*ret_images = images;
	*ret_count = count;
}

int image_list(struct store *store, struct image **ret_images,
	       size_t *ret_count, struct error *err)
{
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	cleanup_json cJSON *index = NULL;
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	image_list_of_index(store, index, ret_images, ret_count);
	return 0;
}

int image_target(const struct store *store, const struct image *image,
		 struct descriptor *ret_descriptor, cJSON **ret_index,
		 struct error *err)
{
	const char *digest = image->origin ? image->origin : image->manifest;
	struct descriptor descriptor = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_fd int fd = -1;
	const char *type = OCI_MANIFEST;
	int r;

	fd = blob_open(store, digest, &descriptor.size, err);
	if (fd < 0)
		return fd;
	r = blob_read_json(store, digest, &json, err);
	if (r < 0)
		return r;
	*ret_index = NULL;
	if (document_kind(json) == DOCUMENT_INDEX)
		type = OCI_INDEX;
	(void)json_get_string(json, digest, "mediaType", &type, NULL);
	snprintf(descriptor.media_type, sizeof(descriptor.media_type), "%s",
		 type);
	strcpy(descriptor.digest, digest);
	*ret_descriptor = descriptor;
	if (document_kind(json) == DOCUMENT_INDEX)
		*ret_index = steal_ptr(&json);
	return 0;
}

/* The new name leads to where the old one did. */
static void tag_entry(cJSON *index, const char *full, const cJSON *entry,
		      const struct descriptor *manifest)
{
	cleanup_free char *origin = xstrdup(index_entry_origin(entry));
	cleanup_free char *referrers = xstrdup(index_entry_referrers(entry));

	index_set(index, full, manifest, index_entry_size(entry));
	index_set_origin(index, full, origin, referrers);
}

int image_tag(struct store *store, const char *name, const char *new_reference,
	      struct error *err)
{
	cleanup_fd int lock_fd = -1;
	cleanup_json cJSON *index = NULL;
	cleanup_free char *full = NULL;
	cleanup_free char *familiar = NULL;
	struct reference reference;
	struct descriptor descriptor;
	const cJSON *entry = NULL;
	int r;

	r = image_check_new_reference(new_reference, &reference, err);
	if (r < 0)
		return r;
	full = reference_full(&reference);
	lock_fd = store_lock(store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	r = image_find_entry(store, index, name, &entry, err);
	if (r < 0)
		return r;
	r = descriptor_parse(entry, "index.json", &descriptor, err);
	if (r < 0)
		return r;
	tag_entry(index, full, entry, &descriptor);
	r = index_write(store, index, err);
	if (r < 0)
		return r;
	/* Finding it takes the lock. */
	close_fd(&lock_fd);
	familiar = reference_familiar(&reference);
	image_event(store, "tag", familiar, NULL, familiar);
	return 0;
}

int image_check_new_reference(const char *text, struct reference *ret_reference,
			      struct error *err)
{
	int r = reference_parse(text, ret_reference, err);

	if (r < 0)
		return r;
	if (*ret_reference->digest)
		return err_set(err, ERROR_INVALID,
			       "refusing to create a tag with a digest "
			       "reference");
	if (str_equal(ret_reference->repository, "library/sha256"))
		return err_set(err, ERROR_INVALID,
			       "refusing to create an ambiguous tag using "
			       "digest algorithm as name");
	return 0;
}

int image_check_layers(struct store *store, const struct image *image,
		       struct error *err)
{
	char **diff_ids = image->diff_ids;

	for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
		char id[DIGEST_SHORT_MAX];

		if (layer_exists(store, diff_ids[i]))
			continue;
		digest_short(id, image->id);
		err_set(err, ERROR_CORRUPT,
			"image %s: layer %s is not unpacked or damaged", id,
			diff_ids[i]);
		return err_hint(err,
				"import or load the image again (moss load, "
				"moss import)");
	}
	return 0;
}
