/* OCI image layouts of storage/archive/load.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/archive/load.h"
#include "storage/store/blob.h"
#include "storage/store/limits.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"

#define INDEX_DEPTH_MAX 4
#define ENTRIES_MAX	4096

static char *blob_name(const char *digest)
{
	return xasprintf(OCI_BLOBS "/%s", digest_hex(digest));
}

/* A blob of JSON, its size and digest checked; caller frees. */
static int read_text(struct load *load, const struct descriptor *descriptor,
		     const char *what, char **ret_text, size_t *ret_length,
		     struct error *err)
{
	cleanup_free char *name = blob_name(descriptor->digest);
	cleanup_free char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	size_t length;
	int r;

	r = load_files_text(&load->files, name, &text, &length, err);
	if (r < 0)
		return err_wrap(err, "%s", what);
	r = hash_bytes(text, length, digest, err);
	if (r < 0)
		return r;
	if (!str_equal(digest, descriptor->digest))
		return err_set(err, ERROR_CORRUPT, "%s: wrong digest: %s is %s",
			       what, name, digest);
	if (length != descriptor->size)
		return err_set(err, ERROR_CORRUPT,
			       "%s: wrong size: %s has %zu bytes, not %llu",
			       what, name, length,
			       (unsigned long long)descriptor->size);
	*ret_text = steal_ptr(&text);
	*ret_length = length;
	return 0;
}

static int stage_layers(struct load *load, const struct manifest *manifest,
			char *const *diff_ids, const char *what,
			uint64_t *ret_size, struct error *err)
{
	struct load_layer *layers =
		xcalloc(manifest->layer_count + 1, sizeof(*layers));
	int r;

	for (size_t i = 0; i < manifest->layer_count; i++) {
		struct load_layer *layer = &layers[i];

		layer->expected = &manifest->layers[i];
		layer->diff_id = diff_ids[i];
		layer->file = blob_name(layer->expected->digest);
		layer->what = xasprintf("%s: layer %zu (%s)", what, i + 1,
					layer->file);
	}
	r = load_layers(load, layers, manifest->layer_count, ret_size, err);
	load_layers_free(layers, manifest->layer_count);
	return r;
}

/* 1 and the image, 0 when its platform is not wanted. text: the manifest's. */
static int load_manifest(struct load *load, const cJSON *json, const char *text,
			 size_t length, const char *what,
			 struct stage_image *image, struct error *err)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	cleanup_free char *config_what = xasprintf("%s: config", what);
	cleanup_free char *config_text = NULL;
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *config = NULL;
	struct descriptor written;
	size_t config_length;
	int r;

	r = manifest_parse(json, what, &manifest, err);
	if (r == 0)
		r = read_text(load, &manifest.config, config_what, &config_text,
			      &config_length, err);
	if (r == 0)
		r = json_parse(config_text, config_length, config_what, &config,
			       err);
	if (r < 0)
		return r;
	r = load_check_config(load, config, what, manifest.layer_count,
			      &diff_ids, err);
	if (r <= 0)
		return r;
	r = stage_layers(load, &manifest, diff_ids, what, &image->size, err);
	if (r == 0)
		r = stage_write_blob(&load->stage, text, length, &written, err);
	if (r == 0)
		r = stage_write_blob(&load->stage, config_text, config_length,
				     &written, err);
	if (r < 0)
		return r;
	strcpy(image->id, manifest.config.digest);
	return 1;
}

/* Follows indexes down to a manifest. 1 or 0 as load_manifest(). */
static int load_document(struct load *load, struct descriptor *descriptor,
			 const char *what, struct stage_image *image,
			 struct error *err)
{
	for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
		cleanup_free char *name = blob_name(descriptor->digest);
		cleanup_json cJSON *json = NULL;
		cleanup_free char *text = NULL;
		size_t length;
		int r;

		r = read_text(load, descriptor, what, &text, &length, err);
		if (r == 0 && json_parse(text, length, name, &json, err) < 0)
			r = err_wrap(err, "%s", what);
		if (r < 0)
			return r;
		switch (document_kind(json)) {
		case DOCUMENT_MANIFEST:
			image->manifest = *descriptor;
			if (!*image->manifest.media_type)
				strcpy(image->manifest.media_type,
				       OCI_MANIFEST);
			return load_manifest(load, json, text, length, what,
					     image, err);
		case DOCUMENT_INDEX:
			r = index_select(json, what, &load->platform,
					 descriptor, err);
			if (r < 0)
				return r;
			break;
		case DOCUMENT_UNKNOWN:
			return err_set(err, ERROR_UNSUPPORTED,
				       "%s: %s: unknown media type \"%.64s\"",
				       what, name, descriptor->media_type);
		}
	}
	return err_set(err, ERROR_INVALID, "%s: indexes nested too deeply",
		       what);
}

static const char *annotation(const cJSON *entry, const char *key)
{
	const cJSON *annotations = NULL;
	const char *text = NULL;

	if (json_get_object(entry, "", "annotations", &annotations, NULL) < 1 ||
	    json_get_string(annotations, "", key, &text, NULL) < 1)
		return NULL;
	return str_empty(text) ? NULL : text;
}

/* "latest", "1.2", "v3": a tag of what is not said. */
static bool is_tag(const char *name)
{
	if (strpbrk(name, "/:@"))
		return false;
	if (*name == 'v')
		name++;
	return isdigit((unsigned char)*name) || str_equal(name, "latest");
}

static const char *name_of(const cJSON *entry)
{
	const char *name = annotation(entry, ANNOTATION_IMAGE);

	if (name)
		return name;
	name = annotation(entry, ANNOTATION_NAME);
	return name && !is_tag(name) ? name : NULL;
}

/* What builders put beside images: signatures, provenance. */
static bool is_attestation(const cJSON *entry)
{
	const cJSON *platform = NULL;
	const char *os = NULL;

	if (annotation(entry, "vnd.docker.reference.type"))
		return true;
	return json_get_object(entry, "", "platform", &platform, NULL) > 0 &&
	       json_get_string(platform, "", "os", &os, NULL) > 0 &&
	       str_equal(os, "unknown");
}

static int load_entry(struct load *load, const cJSON *entry, size_t number,
		      struct error *err)
{
	CLEANUP(stage_image_release) struct stage_image image = {0};
	cleanup_free char *where =
		xasprintf(OCI_INDEX_FILE ": manifests[%zu]", number);
	const char *name = name_of(entry);
	cleanup_free char *what = name ? xasprintf("image %s", name)
				       : xasprintf("image %zu", number + 1);
	struct descriptor descriptor;
	int r;

	if (is_attestation(entry))
		return 0;
	r = descriptor_parse(entry, where, &descriptor, err);
	if (r < 0)
		return r;
	if (name) {
		r = load_add_name(&image, name, err);
		if (r < 0)
			return r;
	}
	r = load_document(load, &descriptor, what, &image, err);
	if (r <= 0)
		return r;
	return load_add_image(load, &image, err);
}

static int check_layout(struct load *load, struct error *err)
{
	cleanup_json cJSON *layout = NULL;
	const char *version = NULL;
	int r = load_files_json(&load->files, OCI_LAYOUT_FILE, &layout, err);

	if (r < 0)
		return r;
	r = json_get_string(layout, OCI_LAYOUT_FILE, "imageLayoutVersion",
			    &version, err);
	if (r < 0)
		return r;
	if (!version || !str_starts(version, "1."))
		return err_set(err, ERROR_UNSUPPORTED,
			       "oci-layout: unknown version \"%.32s\"",
			       version ? version : "");
	return 0;
}

int load_oci(struct load *load, struct error *err)
{
	cleanup_json cJSON *index = NULL;
	const cJSON *manifests = NULL;
	const cJSON *entry;
	size_t number = 0;
	int r = check_layout(load, err);

	if (r == 0)
		r = load_files_json(&load->files, OCI_INDEX_FILE, &index, err);
	if (r < 0)
		return r;
	r = json_get_array(index, OCI_INDEX_FILE, "manifests", &manifests, err);
	if (r < 0)
		return r;
	if (cJSON_GetArraySize(manifests) == 0)
		return err_set(err, ERROR_INVALID,
			       OCI_INDEX_FILE " names no image");
	if (cJSON_GetArraySize(manifests) > ENTRIES_MAX)
		return err_set(err, ERROR_INVALID,
			       OCI_INDEX_FILE " names more than %d images",
			       ENTRIES_MAX);
	cJSON_ArrayForEach(entry, manifests)
	{
		r = load_entry(load, entry, number++, err);
		if (r < 0)
			return r;
	}
	return 0;
}
