/*
 * Image manifests, indexes and configs as they come from elsewhere: OCI's
 * (image-spec 1.1, manifest.md, image-index.md, config.md) and docker's schema
 * 2, which differ in media types only. Nothing is believed: sizes, digests,
 * counts and types are checked here, once, for everybody who reads them.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/digest.h"
#include "storage/store/platform.h"

#define MANIFEST_LAYERS_MAX  500   /* the kernel's overlay limit */
#define MANIFEST_ENTRIES_MAX 65536 /* descriptors of an index */
#define MEDIA_TYPE_MAX	     128

struct descriptor {
	char digest[DIGEST_TEXT_MAX];
	char media_type[MEDIA_TYPE_MAX];
	uint64_t size;
};

struct manifest {
	struct descriptor config;
	struct descriptor *layers; /* lowest first */
	size_t layer_count;
};

enum document_kind {
	DOCUMENT_UNKNOWN,
	DOCUMENT_MANIFEST,
	DOCUMENT_INDEX,
};

/* `where` names the object in messages: "index.json: manifests[2]". */
int descriptor_parse(const cJSON *object, const char *where,
		     struct descriptor *ret_descriptor, struct error *err);
cJSON *descriptor_json(const struct descriptor *descriptor);

/* By its mediaType, or by its members when it has none. */
enum document_kind document_kind(const cJSON *json);

/* Of an image: other artifacts (signatures, charts) are ERROR_UNSUPPORTED. */
int manifest_parse(const cJSON *json, const char *where,
		   struct manifest *ret_manifest, struct error *err);
void manifest_release(struct manifest *manifest);

/*
 * The descriptor in an index that serves the platform best. Attestations and
 * the like (platform unknown) never do. ERROR_NOT_FOUND lists what there is.
 */
int index_select(const cJSON *json, const char *where,
		 const struct platform *wanted,
		 struct descriptor *ret_descriptor, struct error *err);

/* rootfs.diff_ids of a config, all valid; caller frees. */
int config_diff_ids(const cJSON *config, const char *where,
		    char ***ret_diff_ids, struct error *err);
/* ERROR_UNSUPPORTED for another system's image. */
int config_platform(const cJSON *config, const char *where,
		    struct platform *ret_platform, struct error *err);

/* The OCI manifest of these descriptors; caller owns. */
cJSON *manifest_json(const struct manifest *manifest);
/* docker's names of layers are OCI's by another name. */
void manifest_use_oci_types(struct manifest *manifest);
