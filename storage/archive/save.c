/*
 * moss-image save: images out of the store, as a tar that is a docker archive
 * (manifest.json) and an OCI image layout (index.json) at once, the form that
 * docker writes, or as a directory with an OCI image layout. Blobs go out as
 * they are; each one's digest is checked on the way.
 */
#include "storage/archive/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"

static void saved_image_release(struct saved_image *image)
{
	manifest_release(&image->content);
	strv_free(image->references);
}

static void save_release(struct save *save)
{
	for (size_t i = 0; i < save->count; i++)
		saved_image_release(&save->images[i]);
	free(save->images);
	strv_free(save->blobs);
	store_work_release(&save->work);
}

static struct saved_image *find_image(const struct save *save,
				      const char *digest)
{
	for (size_t i = 0; i < save->count; i++) {
		if (str_equal(save->images[i].manifest.digest, digest))
			return &save->images[i];
	}
	return NULL;
}

static int add_blob(struct save *save, const char *digest, struct error *err)
{
	if (strv_contains(save->blobs, digest))
		return 0;
	strv_push(&save->blobs, digest);
	return store_work_lease(&save->work, digest_hex(digest), err);
}

/* Once an image, whatever many names it is saved by. */
static int add_image(struct save *save, const cJSON *entry,
		     struct saved_image **ret_image, struct error *err)
{
	const struct store *store = &save->job->store;
	struct saved_image *image;
	int r;

	if (index_entry_digest(entry)) {
		image = find_image(save, index_entry_digest(entry));
		if (image) {
			*ret_image = image;
			return 0;
		}
	}
	save->images =
		xrealloc(save->images, save->count + 1, sizeof(*save->images));
	image = &save->images[save->count];
	*image = (struct saved_image){0};
	r = descriptor_parse(entry, OCI_INDEX_FILE, &image->manifest, err);
	if (r == 0)
		r = image_entry_manifest(store, entry, &image->content, err);
	if (r < 0)
		return r;
	save->count++;
	r = add_blob(save, image->manifest.digest, err);
	if (r == 0)
		r = add_blob(save, image->content.config.digest, err);
	for (size_t i = 0; r == 0 && i < image->content.layer_count; i++)
		r = add_blob(save, image->content.layers[i].digest, err);
	*ret_image = image;
	return r;
}

static int add_entry(struct save *save, const cJSON *entry,
		     const char *reference, struct error *err)
{
	struct saved_image *image;
	int r = add_image(save, entry, &image, err);

	if (r < 0)
		return r;
	if (reference && !strv_contains(image->references, reference))
		strv_push(&image->references, reference);
	return 0;
}

/* "web" means all tags of web, as docker has it. 1 when there are any. */
static int add_repository(struct save *save, const cJSON *index,
			  const struct reference *wanted, struct error *err)
{
	const cJSON *entry;
	int found = 0;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		cleanup_free char *full = index_entry_reference(entry);
		struct reference reference;
		int r;

		if (!full || index_entry_is_removed(entry) ||
		    reference_parse(full, &reference, NULL) < 0 ||
		    !str_equal(reference.registry, wanted->registry) ||
		    !str_equal(reference.repository, wanted->repository))
			continue;
		r = add_entry(save, entry, full, err);
		if (r < 0)
			return r;
		found = 1;
	}
	return found;
}

static int add_name(struct save *save, const cJSON *index, const char *name,
		    struct error *err)
{
	struct reference reference;
	cleanup_free char *full = NULL;
	const cJSON *entry = NULL;
	bool parsed = reference_parse(name, &reference, NULL) == 0;
	int r;

	if (parsed && reference_is_name_only(name)) {
		r = add_repository(save, index, &reference, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	r = image_find_entry(&save->job->store, index, name, &entry, err);
	if (r < 0)
		return r;
	/* By ID or digest it goes without its names. */
	if (parsed && !*reference.digest) {
		full = reference_full(&reference);
		if (index_find_reference(index, full) != entry)
			free(steal_ptr(&full));
	}
	r = add_entry(save, entry, full, err);
	return r < 0 ? err_wrap(err, "image %s", name) : 0;
}

/* What is to be written, leased; after it the lock is free again. */
static int gather(struct save *save, char *const *names, struct error *err)
{
	struct store *store = &save->job->store;
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	int r = store_work_new(store, &save->work, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	for (size_t i = 0; r == 0 && names[i]; i++)
		r = add_name(save, index, names[i], err);
	return r;
}

static void add_descriptor(cJSON *manifests, const struct saved_image *image,
			   const char *full)
{
	cJSON *descriptor = descriptor_json(&image->manifest);
	cJSON *annotations = json_object();
	struct reference reference;

	if (full && reference_parse(full, &reference, NULL) == 0) {
		json_set_string(annotations, ANNOTATION_IMAGE, full);
		json_set_string(annotations, ANNOTATION_NAME, reference.tag);
		json_set(descriptor, "annotations", annotations);
	} else {
		cJSON_Delete(annotations);
	}
	json_push(manifests, descriptor);
}

cJSON *save_index_json(const struct save *save)
{
	cJSON *json = json_object();
	cJSON *manifests = json_array();

	json_set_i64(json, "schemaVersion", 2);
	json_set_string(json, "mediaType", OCI_INDEX);
	for (size_t i = 0; i < save->count; i++) {
		const struct saved_image *image = &save->images[i];

		if (!image->references)
			add_descriptor(manifests, image, NULL);
		for (size_t j = 0; image->references && image->references[j];
		     j++)
			add_descriptor(manifests, image, image->references[j]);
	}
	json_set(json, "manifests", manifests);
	return json;
}

static char *blob_name(const char *digest)
{
	return xasprintf(OCI_BLOBS "/%s", digest_hex(digest));
}

cJSON *save_docker_json(const struct save *save)
{
	cJSON *json = json_array();

	for (size_t i = 0; i < save->count; i++) {
		const struct saved_image *image = &save->images[i];
		cleanup_free char *config =
			blob_name(image->content.config.digest);
		cleanup_strv char **tags = NULL;
		cleanup_strv char **layers = NULL;
		cJSON *item = json_object();

		for (size_t j = 0; image->references && image->references[j];
		     j++)
			strv_push_take(&tags,
				       reference_shorten(image->references[j]));
		for (size_t j = 0; j < image->content.layer_count; j++)
			strv_push_take(
				&layers,
				blob_name(image->content.layers[j].digest));
		json_set_string(item, "Config", config);
		json_set_strv(item, "RepoTags", tags);
		json_set_strv(item, "Layers", layers);
		json_push(json, item);
	}
	return json;
}

int save_run(struct job *job, struct error *err)
{
	CLEANUP(save_release)
	struct save save = {
		.job = job,
		.work = {.fd = -1, .lock_fd = -1},
	};
	cleanup_strv char **names = NULL;
	const char *output = job_string(job, "output");
	bool directory = false;
	int r = json_get_strv(job->request, "", "names", &names, err);

	if (r < 0)
		return r;
	if (strv_length(names) == 0)
		return err_set(err, ERROR_INVALID, "save: no image is given");
	r = json_get_bool(job->request, "", "ociDirectory", &directory, err);
	if (r < 0)
		return r;
	r = gather(&save, names, err);
	if (r < 0)
		return r;
	if (!output)
		return save_to_fd(&save, JOB_OUTPUT, "standard output", err);
	return directory ? save_to_directory(&save, output, err)
			 : save_to_file(&save, output, err);
}
