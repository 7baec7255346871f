#include "storage/registry/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/job_registry.h"
#include "storage/store/blob.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"

static void push_release(struct push *push)
{
	for (size_t i = 0; i < push->count; i++) {
		free(push->images[i].familiar);
		manifest_release(&push->images[i].manifest);
		strv_free(push->images[i].from);
	}
	free(push->images);
	store_work_release(&push->work);
}

/* ---- what is to be pushed ---- */

static bool has_layer(const struct manifest *manifest, const char *digest)
{
	for (size_t i = 0; i < manifest->layer_count; i++) {
		if (str_equal(manifest->layers[i].digest, digest))
			return true;
	}
	return false;
}

/* Notes the repository for all layers that it may give. */
static void note_candidate(struct push_image *image, const char *repository,
			   const struct manifest *other)
{
	for (size_t i = 0; i < image->manifest.layer_count; i++) {
		if (*image->from[i] ||
		    !has_layer(other, image->manifest.layers[i].digest))
			continue;
		free(image->from[i]);
		image->from[i] = xstrdup(repository);
	}
}

/* Other names of the same registry that share layers with the image. */
static void find_candidates(const struct push *push, const cJSON *index,
			    struct push_image *image)
{
	const cJSON *entry;

	for (size_t i = 0; i < image->manifest.layer_count; i++)
		strv_push(&image->from, "");
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		CLEANUP(manifest_release) struct manifest other = {0};
		cleanup_free char *full = index_entry_reference(entry);
		struct reference reference;

		if (!full || reference_parse(full, &reference, NULL) < 0 ||
		    !str_equal(reference.registry, image->reference.registry) ||
		    str_equal(reference.repository,
			      image->reference.repository) ||
		    image_entry_manifest(&push->job->store, entry, &other,
					 NULL) < 0)
			continue;
		note_candidate(image, reference.repository, &other);
	}
}

static int check_platform(const struct push *push,
			  const struct push_image *image, struct error *err)
{
	cleanup_json cJSON *config = NULL;
	char text[PLATFORM_TEXT_MAX];
	struct platform wanted;
	struct platform platform;
	bool given;
	int r = job_platform(push->job, &wanted, &given, err);

	if (r < 0 || !given)
		return r;
	r = blob_read_json(&push->job->store, image->manifest.config.digest,
			   &config, err);
	if (r == 0)
		r = config_platform(config, image->familiar, &platform, err);
	if (r < 0 || platform_match(&wanted, &platform) > 0)
		return r;
	platform_text(text, &platform);
	return err_set(err, ERROR_NOT_FOUND,
		       "it is for platform %s, not for the one asked for",
		       text);
}

static int lease_blobs(struct push *push, const struct push_image *image,
		       struct error *err)
{
	const struct manifest *manifest = &image->manifest;
	int r = store_work_lease(&push->work,
				 digest_hex(image->descriptor.digest), err);

	if (r == 0)
		r = store_work_lease(&push->work,
				     digest_hex(manifest->config.digest), err);
	for (size_t i = 0; r == 0 && i < manifest->layer_count; i++)
		r = store_work_lease(&push->work,
				     digest_hex(manifest->layers[i].digest),
				     err);
	return r;
}

static int add_image(struct push *push, const cJSON *index, const cJSON *entry,
		     const struct reference *reference, struct error *err)
{
	struct push_image *image;
	int r;

	push->images =
		xrealloc(push->images, push->count + 1, sizeof(*push->images));
	image = &push->images[push->count++];
	*image = (struct push_image){
		.reference = *reference,
		.familiar = reference_familiar(reference),
	};
	r = descriptor_parse(entry, OCI_INDEX_FILE, &image->descriptor, err);
	if (r == 0)
		r = image_entry_manifest(&push->job->store, entry,
					 &image->manifest, err);
	if (r == 0)
		r = check_platform(push, image, err);
	if (r == 0)
		r = lease_blobs(push, image, err);
	if (r < 0)
		return err_wrap(err, "image %s", image->familiar);
	find_candidates(push, index, image);
	return 0;
}

static int add_tags(struct push *push, const cJSON *index,
		    const struct reference *wanted, struct error *err)
{
	const cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		cleanup_free char *full = index_entry_reference(entry);
		struct reference reference;
		int r;

		if (!full || index_entry_is_removed(entry) ||
		    reference_parse(full, &reference, NULL) < 0 ||
		    !*reference.tag ||
		    !str_equal(reference.registry, wanted->registry) ||
		    !str_equal(reference.repository, wanted->repository))
			continue;
		r = add_image(push, index, entry, &reference, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_images(struct push *push, const struct reference *wanted,
		       struct error *err)
{
	cleanup_free char *full = reference_full(wanted);
	cleanup_free char *name = reference_familiar_name(wanted);
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	const cJSON *entry;
	int r;

	lock_fd = store_lock(&push->job->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(&push->job->store, &index, err);
	if (r < 0)
		return r;
	entry = json_member(push->job->request, "manifest");
	if (entry) {
		r = add_image(push, index, entry, wanted, err);
	} else if (job_flag(push->job, "allTags")) {
		r = add_tags(push, index, wanted, err);
	} else {
		entry = index_find_reference(index, full);
		if (entry)
			r = add_image(push, index, entry, wanted, err);
	}
	if (r < 0 || push->count > 0)
		return r;
	err_set(err, ERROR_NOT_FOUND,
		"An image does not exist locally with the tag: %s", name);
	return err_hint(err, "see moss images, and give one the name with "
			     "moss tag");
}

/* ---- pushing ---- */

static int read_manifest(struct push *push, const struct push_image *image,
			 struct registry_document *document, struct error *err)
{
	const char *digest = image->descriptor.digest;
	char found[DIGEST_TEXT_MAX];
	size_t length = 0;
	cleanup_fd int fd = blob_open(&push->job->store, digest, NULL, err);
	int r;

	if (fd < 0)
		return fd;
	r = file_read_fd(fd, digest, JSON_FILE_MAX, &document->text, &length,
			 err);
	if (r == 0)
		r = hash_bytes(document->text, length, found, err);
	if (r < 0)
		return r;
	if (!str_equal(found, digest))
		return err_set(err, ERROR_CORRUPT,
			       "manifest %s is damaged in the store", digest);
	document->descriptor = image->descriptor;
	document->descriptor.size = length;
	if (!*document->descriptor.media_type)
		strcpy(document->descriptor.media_type, OCI_MANIFEST);
	return 0;
}

static int push_manifest(struct push *push, const struct push_image *image,
			 struct error *err)
{
	CLEANUP(registry_document_release)
	struct registry_document document = {0};
	int r = read_manifest(push, image, &document, err);

	if (r < 0)
		return r;
	r = registry_put_manifest(push->registry, image->reference.tag,
				  &document, err);
	if (r < 0)
		return r;
	job_status(push->job, NULL, "%s: digest: %s size: %llu",
		   image->reference.tag, document.descriptor.digest,
		   (unsigned long long)document.descriptor.size);
	return 0;
}

/* What the name leads to in the registry from now on, as after a pull. */
static int note_pushed(struct push *push, const struct push_image *image,
		       struct error *err)
{
	cleanup_free char *full = reference_full(&image->reference);
	const char *digest = image->descriptor.digest;
	cleanup_free char *referrers = NULL;
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	const cJSON *entry;
	int r;

	lock_fd = store_lock(&push->job->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(&push->job->store, &index, err);
	if (r < 0)
		return r;
	entry = index_find_reference(index, full);
	/* The name may have gone to another image meanwhile. */
	if (!entry || !str_equal(index_entry_digest(entry), digest) ||
	    str_equal(index_entry_origin(entry), digest))
		return 0;
	referrers = xstrdup(index_entry_referrers(entry));
	index_set_origin(index, full, digest, referrers);
	return index_write(&push->job->store, index, err);
}

/* Docker's words where it has some. */
static int refused(const struct push_image *image, int number,
		   struct error *err)
{
	err_wrap(err, "cannot push %s", image->familiar);
	if (number != -EACCES)
		return number;
	return err_hint(err,
			"check the name, or log in with moss login %s; you "
			"need the right to write to %s",
			image->reference.registry, image->reference.repository);
}

static int push_one(struct push *push, const struct push_image *image,
		    struct error *err)
{
	int r = push_blobs(push, image, err);

	if (r == 0)
		r = push_manifest(push, image, err);
	if (r < 0)
		return refused(image, r, err);
	return note_pushed(push, image, err);
}

static cJSON *result_json(const struct push_image *image)
{
	cJSON *json = json_object();

	json_set_string(json, "tag", image->reference.tag);
	json_set_string(json, "digest", image->descriptor.digest);
	json_set_i64(json, "size", (int64_t)image->descriptor.size);
	return json;
}

static int push_images(struct push *push, const struct reference *reference,
		       struct error *err)
{
	cJSON *pushed = json_array();
	int r = store_work_new(&push->job->store, &push->work, err);

	json_set(push->job->result, "pushed", pushed);
	if (r == 0)
		r = find_images(push, reference, err);
	if (r < 0)
		return r;
	job_status(push->job, NULL, "The push refers to repository [%s/%s]",
		   reference->registry, reference->repository);
	for (size_t i = 0; i < push->count; i++) {
		r = push_one(push, &push->images[i], err);
		if (r < 0)
			return r;
		json_push(pushed, result_json(&push->images[i]));
	}
	return 0;
}

int push_run(struct job *job, struct error *err)
{
	cleanup_registry struct registry *registry = NULL;
	CLEANUP(push_release)
	struct push push = {
		.job = job,
		.work = {.fd = -1, .lock_fd = -1},
		.concurrent = job_concurrent(job, PUSH_PARALLEL),
	};
	struct error error = {0};
	struct reference reference;
	int r = job_open_registry(job, true, &reference, &registry, err);

	if (r < 0)
		return r;
	if (*reference.digest)
		return err_set(err, ERROR_INVALID,
			       "cannot push a digest reference");
	push.registry = registry;
	r = push_images(&push, &reference, &error);
	return r < 0 ? err_copy(err, &error) : 0;
}
