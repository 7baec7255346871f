#include "storage/store/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/oci.h"

#define PLATFORMS_TOLD_MAX 8

static const char *const layer_types[] = {
	OCI_LAYER_TAR,
	OCI_LAYER_GZIP,
	OCI_LAYER_ZSTD,
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
};

/* Somebody else has these, at an address that the image names. */
static const char *const foreign_types[] = {
	"application/vnd.oci.image.layer.nondistributable.",
	"application/vnd.docker.image.rootfs.foreign.",
};

int descriptor_parse(const cJSON *object, const char *where,
		     struct descriptor *ret_descriptor, struct error *err)
{
	struct descriptor descriptor = {0};
	const char *digest = NULL;
	const char *media_type = NULL;
	int64_t size = -1;
	int r;

	if (!cJSON_IsObject(object))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       where);
	r = json_get_string(object, where, "digest", &digest, err);
	if (r < 0)
		return r;
	r = digest_check(digest, where, err);
	if (r < 0)
		return r;
	r = json_get_string(object, where, "mediaType", &media_type, err);
	if (r < 0)
		return r;
	r = json_get_i64(object, where, "size", &size, err);
	if (r < 0)
		return r;
	if (r == 0 || size < 0)
		return err_set(err, ERROR_INVALID, "%s: invalid size", where);
	if (media_type && strlen(media_type) >= MEDIA_TYPE_MAX)
		return err_set(err, ERROR_INVALID, "%s: media type is too long",
			       where);
	strcpy(descriptor.digest, digest);
	strcpy(descriptor.media_type, media_type ? media_type : "");
	descriptor.size = (uint64_t)size;
	*ret_descriptor = descriptor;
	return 0;
}

cJSON *descriptor_json(const struct descriptor *descriptor)
{
	cJSON *json = json_object();

	json_set_string(json, "mediaType", descriptor->media_type);
	json_set_string(json, "digest", descriptor->digest);
	json_set_i64(json, "size", (int64_t)descriptor->size);
	return json;
}

enum document_kind document_kind(const cJSON *json)
{
	const char *media_type = NULL;

	if (!cJSON_IsObject(json))
		return DOCUMENT_UNKNOWN;
	if (json_get_string(json, "", "mediaType", &media_type, NULL) < 0)
		return DOCUMENT_UNKNOWN;
	if (str_empty(media_type)) {
		if (cJSON_GetObjectItemCaseSensitive(json, "manifests"))
			return DOCUMENT_INDEX;
		return cJSON_GetObjectItemCaseSensitive(json, "config")
			       ? DOCUMENT_MANIFEST
			       : DOCUMENT_UNKNOWN;
	}
	if (str_equal(media_type, OCI_INDEX) ||
	    str_equal(media_type, DOCKER_INDEX))
		return DOCUMENT_INDEX;
	if (str_equal(media_type, OCI_MANIFEST) ||
	    str_equal(media_type, DOCKER_MANIFEST))
		return DOCUMENT_MANIFEST;
	return DOCUMENT_UNKNOWN;
}

static bool is_layer_type(const char *media_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(layer_types); i++) {
		if (str_equal(media_type, layer_types[i]))
			return true;
	}
	/* Schema 2 always says; an OCI layer without a type is a tar. */
	return !*media_type;
}

static int check_layer_type(const char *media_type, const char *where,
			    struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(foreign_types); i++) {
		if (str_starts(media_type, foreign_types[i]))
			return err_set(err, ERROR_UNSUPPORTED,
				       "%s: a foreign layer (%s): it is not "
				       "fetched from where the image says",
				       where, media_type);
	}
	if (!is_layer_type(media_type))
		return err_set(err, ERROR_UNSUPPORTED,
			       "%s: unknown media type \"%s\"", where,
			       media_type);
	return 0;
}

static int parse_layers(const cJSON *layers, const char *where,
			struct manifest *manifest, struct error *err)
{
	int count = cJSON_GetArraySize(layers);
	const cJSON *item;

	if (count > MANIFEST_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: %d layers, the limit is %d", where, count,
			       MANIFEST_LAYERS_MAX);
	manifest->layers =
		xcalloc((size_t)count + 1, sizeof(*manifest->layers));
	cJSON_ArrayForEach(item, layers)
	{
		size_t i = manifest->layer_count;
		cleanup_free char *name =
			xasprintf("%s: layers[%zu]", where, i);
		struct descriptor *layer = &manifest->layers[i];
		int r = descriptor_parse(item, name, layer, err);

		if (r == 0)
			r = check_layer_type(layer->media_type, name, err);
		if (r < 0)
			return r;
		manifest->layer_count++;
	}
	return 0;
}

/*
 * A document that one program takes for an index and another for a manifest
 * would be two images with one digest (CVE-2021-41190).
 */
static int check_document(const cJSON *json, const char *where,
			  struct error *err)
{
	if (cJSON_GetObjectItemCaseSensitive(json, "manifests") &&
	    (cJSON_GetObjectItemCaseSensitive(json, "config") ||
	     cJSON_GetObjectItemCaseSensitive(json, "layers")))
		return err_set(err, ERROR_INVALID,
			       "%s: both a manifest and an index", where);
	return json_check_unique(json, where, err);
}

int manifest_parse(const cJSON *json, const char *where,
		   struct manifest *ret_manifest, struct error *err)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	const cJSON *config = NULL;
	const cJSON *layers = NULL;
	cleanup_free char *name = xasprintf("%s: config", where);
	int r;

	if (document_kind(json) != DOCUMENT_MANIFEST)
		return err_set(err, ERROR_UNSUPPORTED,
			       "%s is not an image manifest", where);
	r = check_document(json, where, err);
	if (r == 0)
		r = json_get_object(json, where, "config", &config, err);
	if (r < 0)
		return r;
	r = descriptor_parse(config, name, &manifest.config, err);
	if (r < 0)
		return r;
	if (*manifest.config.media_type &&
	    !str_equal(manifest.config.media_type, OCI_CONFIG) &&
	    !str_equal(manifest.config.media_type, DOCKER_CONFIG))
		return err_set(err, ERROR_UNSUPPORTED,
			       "%s: not an image but \"%s\"", where,
			       manifest.config.media_type);
	r = json_get_array(json, where, "layers", &layers, err);
	if (r < 0)
		return r;
	r = parse_layers(layers, where, &manifest, err);
	if (r < 0)
		return r;
	*ret_manifest = manifest;
	manifest = (struct manifest){0};
	return 0;
}

void manifest_release(struct manifest *manifest)
{
	if (!manifest)
		return;
	free(manifest->layers);
	*manifest = (struct manifest){0};
}

static int read_platform(const cJSON *object, const char *where,
			 struct platform *ret_platform, struct error *err)
{
	static const char *const keys[] = {"os", "architecture", "variant"};
	const char *values[ARRAY_SIZE(keys)] = {NULL};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		int r = json_get_string(object, where, keys[i], &values[i],
					err);

		if (r < 0)
			return r;
	}
	platform_set(ret_platform, values[0], values[1], values[2]);
	return 0;
}

int index_select(const cJSON *json, const char *where,
		 const struct platform *wanted,
		 struct descriptor *ret_descriptor, struct error *err)
{
	char text[PLATFORM_TEXT_MAX];
	cleanup_str struct str there = {0};
	struct descriptor best = {0};
	const cJSON *manifests = NULL;
	const cJSON *item;
	int best_match = 0;
	size_t i = 0;
	int told = 0;
	int r;

	r = check_document(json, where, err);
	if (r == 0)
		r = json_get_array(json, where, "manifests", &manifests, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, manifests)
	{
		cleanup_free char *name =
			xasprintf("%s: manifests[%zu]", where, i);
		struct platform platform = {0};
		struct descriptor descriptor;
		const cJSON *object = NULL;
		int match;

		if (i++ >= MANIFEST_ENTRIES_MAX)
			return err_set(err, ERROR_INVALID,
				       "%s: more than %d manifests", where,
				       MANIFEST_ENTRIES_MAX);
		r = descriptor_parse(item, name, &descriptor, err);
		if (r >= 0)
			r = json_get_object(item, name, "platform", &object,
					    err);
		if (r > 0)
			r = read_platform(object, name, &platform, err);
		if (r < 0)
			return r;
		/* An index of one image need not say for what. */
		match = object ? platform_match(wanted, &platform) : 1;
		if (match > best_match) {
			best = descriptor;
			best_match = match;
		}
		if (object && !str_equal(platform.os, "unknown") &&
		    told++ < PLATFORMS_TOLD_MAX) {
			platform_text(text, &platform);
			str_appendf(&there, "%s%s", told > 1 ? ", " : "", text);
		}
	}
	if (best_match > 0) {
		*ret_descriptor = best;
		return 0;
	}
	platform_text(text, wanted);
	r = err_set(err, ERROR_NOT_FOUND,
		    "%s: no matching manifest for %s in the manifest list "
		    "entries",
		    where, text);
	if (there.length > 0)
		err_hint(err, "it has %s%s; choose one with --platform",
			 str_text(&there),
			 told > PLATFORMS_TOLD_MAX ? "…" : "");
	return r;
}

int config_diff_ids(const cJSON *config, const char *where,
		    char ***ret_diff_ids, struct error *err)
{
	cleanup_strv char **diff_ids = NULL;
	cleanup_free char *name = xasprintf("%s: rootfs", where);
	const cJSON *rootfs = NULL;
	int r;

	r = json_check_unique(config, where, err);
	if (r == 0)
		r = json_get_object(config, where, "rootfs", &rootfs, err);
	if (r < 0)
		return r;
	r = json_get_strv(rootfs, name, "diff_ids", &diff_ids, err);
	if (r < 0)
		return r;
	if (strv_length(diff_ids) > MANIFEST_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: %zu layers, the limit is %d", where,
			       strv_length(diff_ids), MANIFEST_LAYERS_MAX);
	for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
		cleanup_free char *id =
			xasprintf("%s: rootfs.diff_ids[%zu]", where, i);

		r = digest_check(diff_ids[i], id, err);
		if (r < 0)
			return r;
	}
	*ret_diff_ids = steal_ptr(&diff_ids);
	return 0;
}

int config_platform(const cJSON *config, const char *where,
		    struct platform *ret_platform, struct error *err)
{
	struct platform platform;
	int r;

	if (!cJSON_IsObject(config))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       where);
	r = read_platform(config, where, &platform, err);
	if (r < 0)
		return r;
	/* Old images do not say. */
	if (*platform.os && !str_equal(platform.os, "linux"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "%s: an image for operating system \"%s\", only "
			       "linux is supported",
			       where, platform.os);
	*ret_platform = platform;
	return 0;
}

cJSON *manifest_json(const struct manifest *manifest)
{
	cJSON *json = json_object();
	cJSON *layers = json_array();

	json_set_i64(json, "schemaVersion", 2);
	json_set_string(json, "mediaType", OCI_MANIFEST);
	json_set(json, "config", descriptor_json(&manifest->config));
	for (size_t i = 0; i < manifest->layer_count; i++)
		json_push(layers, descriptor_json(&manifest->layers[i]));
	json_set(json, "layers", layers);
	return json;
}

void manifest_use_oci_types(struct manifest *manifest)
{
	static const struct {
		const char *docker;
		const char *oci;
	} types[] = {
		{"application/vnd.docker.image.rootfs.diff.tar", OCI_LAYER_TAR},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip",
		 OCI_LAYER_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar.zstd",
		 OCI_LAYER_ZSTD},
	};

	for (size_t i = 0; i < manifest->layer_count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(types); j++) {
			if (str_equal(manifest->layers[i].media_type,
				      types[j].docker))
				strcpy(manifest->layers[i].media_type,
				       types[j].oci);
		}
	}
}
