/*
 * moss-image cache-read, cache-fetch: a build cache that somebody keeps
 * elsewhere, in a directory with an OCI image layout or in a registry
 * (core/build/cache_transfer.h). First its records are read; a layer is fetched
 * when a step needs it. layout-read: an image in a directory with such a
 * layout, for a build to begin with; its layers are fetched in the same way.
 *
 * It is foreign: every digest and size is checked, of documents here, of layers
 * packed and unpacked by storage/job/layer_stage.h; counts and texts are
 * bounded. That a key has that layer is its owner's word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/job/job.h"
#include "storage/job/layer_stage.h"
#include "storage/registry/job_registry.h"
#include "storage/store/blob.h"
#include "storage/store/build_cache.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"
#include "storage/transfer_build.h"

#define DEPTH_MAX   4 /* indexes, one in the other */
#define RECORDS_MAX 16384
#define KEY_LENGTH  64

struct place {
	struct job *job;
	const char *directory; /* NULL: a registry */
	int dir_fd;
	struct registry *registry;
	struct reference reference;
	/* Of a directory's index, as struct layout_image. */
	bool choose;
	const char *tag;
	const char *digest;
	struct platform platform;
	char *what; /* for messages */
};

static void place_release(struct place *place)
{
	close_fd(&place->dir_fd);
	registry_free(place->registry);
	free(place->what);
}

static int open_place(struct job *job, struct place *place, struct error *err)
{
	place->job = job;
	platform_host(&place->platform);
	place->directory = job_string(job, "directory");
	if (!place->directory) {
		int r = job_open_registry(job, false, &place->reference,
					  &place->registry, err);

		if (r == 0)
			place->what = reference_familiar(&place->reference);
		return r;
	}
	place->what = xstrdup(place->directory);
	place->dir_fd =
		open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place->dir_fd < 0
		       ? err_errno(err, "cannot open %s", place->directory)
		       : 0;
}

/* ---- documents ---- */

/* Never waited for: in the place of a file there could be a FIFO. */
static int open_regular(const struct place *place, const char *path,
			struct error *err)
{
	cleanup_fd int fd = path_open_beneath(place->dir_fd, path,
					      O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_number(err, fd, "cannot open %s/%s",
				  place->directory, path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERROR_INVALID, "%s/%s is not a file",
			       place->directory, path);
	return steal_fd(&fd);
}

static int open_file(const struct place *place, const char *digest,
		     struct error *err)
{
	char path[BLOB_PATH_MAX];

	blob_path(path, digest);
	return open_regular(place, path, err);
}

static int read_file(const struct place *place,
		     const struct descriptor *descriptor, char **ret_text,
		     struct error *err)
{
	cleanup_fd int fd = open_file(place, descriptor->digest, err);
	cleanup_free char *text = NULL;
	char digest[DIGEST_TEXT_MAX];
	size_t length = 0;
	int r;

	if (fd < 0)
		return fd;
	r = file_read_fd(fd, descriptor->digest, JSON_FILE_MAX, &text, &length,
			 err);
	if (r == 0)
		r = hash_bytes(text, length, digest, err);
	if (r < 0)
		return r;
	if (length != descriptor->size ||
	    !str_equal(digest, descriptor->digest))
		return err_set(err, ERROR_CORRUPT, "%s: wrong digest: %s is %s",
			       place->what, descriptor->digest, digest);
	*ret_text = steal_ptr(&text);
	return 0;
}

static int read_blob(const struct place *place,
		     const struct descriptor *descriptor, cJSON **ret_json,
		     struct error *err)
{
	cleanup_free char *text = NULL;
	int r = place->registry ? registry_read_blob(place->registry,
						     descriptor, &text, err)
				: read_file(place, descriptor, &text, err);

	if (r < 0)
		return r;
	return json_parse(text, descriptor->size, place->what, ret_json, err);
}

/* A manifest or an index; reference: a tag or a digest. */
static int ask_manifest(const struct place *place, const char *reference,
			cJSON **ret_json, struct error *err)
{
	CLEANUP(registry_document_release)
	struct registry_document document = {0};
	int r = registry_get_manifest(place->registry, reference, &document,
				      err);

	if (r == -ENOENT)
		return err_set(err, ERROR_NOT_FOUND, "%s is not there",
			       place->what);
	if (r < 0)
		return r;
	return json_parse(document.text, document.descriptor.size, place->what,
			  ret_json, err);
}

static int read_index(const struct place *place, cJSON **ret_json,
		      struct error *err)
{
	cleanup_fd int fd = open_regular(place, OCI_INDEX_FILE, err);
	cleanup_free char *text = NULL;
	size_t length = 0;
	int r;

	if (fd < 0)
		return fd;
	r = file_read_fd(fd, OCI_INDEX_FILE, JSON_FILE_MAX, &text, &length,
			 err);
	return r < 0 ? r : json_parse(text, length, place->what, ret_json, err);
}

/* ---- which image of a layout ---- */

static bool is_chosen(const cJSON *entry, const char *tag, const char *digest)
{
	const cJSON *annotations = json_member(entry, "annotations");
	const char *name = NULL;
	const char *own = NULL;

	(void)json_get_string(annotations, "", ANNOTATION_NAME, &name, NULL);
	(void)json_get_string(entry, "", "digest", &own, NULL);
	return (!tag || str_equal(name, tag)) &&
	       (!digest || str_equal(own, digest));
}

static size_t count_chosen(const cJSON *manifests, const char *tag,
			   const char *digest)
{
	const cJSON *entry;
	size_t count = 0;

	cJSON_ArrayForEach(entry, manifests) count +=
		is_chosen(entry, tag, digest);
	return count;
}

static int none_chosen(const struct place *place, struct error *err)
{
	const char *wanted = place->digest ? place->digest : place->tag;

	if (wanted)
		return err_set(err, ERROR_NOT_FOUND, "%s: there is no image %s",
			       place->what, wanted);
	err_set(err, ERROR_NOT_FOUND,
		"%s: there is no image \"latest\", and not one alone",
		place->what);
	return err_hint(err, "Say which: oci-layout://DIRECTORY:TAG or "
			     "oci-layout://DIRECTORY@DIGEST.");
}

/* Only what is asked for stays in the index. */
static int choose(const struct place *place, cJSON *index, struct error *err)
{
	cJSON *manifests = cJSON_GetObjectItemCaseSensitive(index, "manifests");
	const char *tag = place->tag;
	size_t count;

	if (!tag && !place->digest && cJSON_GetArraySize(manifests) != 1)
		tag = "latest";
	count = count_chosen(manifests, tag, place->digest);
	if (count == 0)
		return none_chosen(place, err);
	for (int i = cJSON_GetArraySize(manifests); i-- > 0;) {
		if (!is_chosen(cJSON_GetArrayItem(manifests, i), tag,
			       place->digest))
			cJSON_DeleteItemFromArray(manifests, i);
	}
	return 0;
}

static int read_chosen(const struct place *place, cJSON **ret_json,
		       struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = read_index(place, &json, err);

	if (r == 0 && place->choose)
		r = choose(place, json, err);
	if (r == 0)
		*ret_json = steal_ptr(&json);
	return r;
}

static int read_first(const struct place *place, cJSON **ret_json,
		      struct error *err)
{
	const struct reference *reference = &place->reference;

	if (place->registry)
		return ask_manifest(place,
				    *reference->digest ? reference->digest
						       : reference->tag,
				    ret_json, err);
	return read_chosen(place, ret_json, err);
}

/* Through indexes to the manifest of the platform. */
static int find_manifest(const struct place *place,
			 struct manifest *ret_manifest, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = read_first(place, &json, err);

	for (int depth = 0; r == 0 && depth < DEPTH_MAX; depth++) {
		struct descriptor descriptor;
		cJSON *next = NULL;

		if (document_kind(json) != DOCUMENT_INDEX)
			return manifest_parse(json, place->what, ret_manifest,
					      err);
		r = index_select(json, place->what, &place->platform,
				 &descriptor, err);
		if (r == 0 && place->registry)
			r = ask_manifest(place, descriptor.digest, &next, err);
		else if (r == 0)
			r = read_blob(place, &descriptor, &next, err);
		cJSON_Delete(json);
		json = next;
	}
	if (r < 0)
		return r;
	return err_set(err, ERROR_INVALID, "%s: more than %d indexes",
		       place->what, DEPTH_MAX);
}

/* ---- records ---- */

/* It is shown to people, on terminals too. */
static bool is_description(const char *text)
{
	if (!text || strlen(text) > BUILD_CACHE_DESCRIPTION_MAX)
		return false;
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static int copy_record(const struct place *place, const cJSON *record,
		       size_t layers, cJSON *records, struct error *err)
{
	const char *description = NULL;
	const char *key = "";
	int64_t layer = -1;
	cJSON *copy;
	int r = json_get_string(record, place->what, "key", &key, err);

	if (r >= 0)
		r = json_get_string(record, place->what, "description",
				    &description, err);
	if (r >= 0)
		r = json_get_i64(record, place->what, "layer", &layer, err);
	if (r < 0)
		return r;
	if (strlen(key) != KEY_LENGTH || !digest_is_hex(key, KEY_LENGTH) ||
	    layer < -1 || layer >= (int64_t)layers)
		return err_set(err, ERROR_INVALID,
			       "%s: a record of the build cache is damaged",
			       place->what);
	copy = json_object();
	json_set_string(copy, "key", key);
	if (layer >= 0)
		json_set_i64(copy, "layer", layer);
	if (is_description(description))
		json_set_string(copy, "description", description);
	json_push(records, copy);
	return 0;
}

static int copy_records(const struct place *place, const cJSON *config,
			size_t layers, cJSON *records, struct error *err)
{
	const cJSON *cache = json_member(config, BUILD_CACHE_MEMBER);
	const cJSON *list = json_member(cache, "records");
	const cJSON *record;
	int64_t version = 0;
	int r = json_get_i64(cache, place->what, "version", &version, NULL);

	if (r < 1 || version != BUILD_CACHE_VERSION || !cJSON_IsArray(list))
		return err_set(err, ERROR_NOT_FOUND,
			       "%s has no build cache of moss", place->what);
	if (cJSON_GetArraySize(list) > RECORDS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: more than %d records of the build cache",
			       place->what, RECORDS_MAX);
	r = 0;
	cJSON_ArrayForEach(record, list)
	{
		if (r == 0)
			r = copy_record(place, record, layers, records, err);
	}
	return r;
}

/* The whole config, and the layers that it tells of. */
static int read_config(const struct place *place,
		       const struct manifest *manifest, cJSON **ret_config,
		       struct layer_chain *chain, struct error *err)
{
	cleanup_strv char **diff_ids = NULL;
	int r = read_blob(place, &manifest->config, ret_config, err);

	if (r == 0)
		r = config_diff_ids(*ret_config, place->what, &diff_ids, err);
	if (r < 0)
		return r;
	if (strv_length(diff_ids) != manifest->layer_count)
		return err_set(err, ERROR_CORRUPT,
			       "%s: %zu layers, but %zu diff IDs", place->what,
			       manifest->layer_count, strv_length(diff_ids));
	for (size_t i = 0; r == 0 && i < manifest->layer_count; i++) {
		struct layer_ref layer = {.blob = manifest->layers[i]};

		strcpy(layer.diff_id, diff_ids[i]);
		r = layer_chain_push(chain, &layer, err);
	}
	return r;
}

int cache_read_run(struct job *job, struct error *err)
{
	CLEANUP(place_release) struct place place = {.dir_fd = -1};
	CLEANUP(manifest_release) struct manifest manifest = {0};
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	cleanup_json cJSON *config = NULL;
	cJSON *records = json_array();
	int r = open_place(job, &place, err);

	json_set(job->result, "records", records);
	if (r == 0)
		r = find_manifest(&place, &manifest, err);
	if (r < 0)
		return r;
	manifest_use_oci_types(&manifest);
	r = read_config(&place, &manifest, &config, &chain, err);
	if (r == 0)
		r = copy_records(&place, config, manifest.layer_count, records,
				 err);
	if (r == 0)
		json_set(job->result, "layers", layer_chain_json(&chain));
	return r;
}

int layout_read_run(struct job *job, struct error *err)
{
	CLEANUP(place_release) struct place place = {.dir_fd = -1};
	CLEANUP(manifest_release) struct manifest manifest = {0};
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	cleanup_json cJSON *config = NULL;
	bool given = false;
	int r = open_place(job, &place, err);

	place.choose = true;
	place.tag = job_string(job, "tag");
	place.digest = job_string(job, "digest");
	if (r == 0)
		r = job_platform(job, &place.platform, &given, err);
	if (r == 0)
		r = find_manifest(&place, &manifest, err);
	if (r < 0)
		return r;
	manifest_use_oci_types(&manifest);
	r = read_config(&place, &manifest, &config, &chain, err);
	if (r < 0)
		return r;
	json_set(job->result, "config", steal_ptr(&config));
	json_set(job->result, "layers", layer_chain_json(&chain));
	return 0;
}

/* ---- layers ---- */

static int open_layer(struct layer_source *source, struct stream **ret_stream,
		      struct error *err)
{
	const struct place *place = source->data;
	int fd;

	if (place->registry)
		return registry_open_blob(place->registry, &source->expected,
					  ret_stream, err);
	fd = open_file(place, source->expected.digest, err);
	if (fd < 0)
		return fd;
	*ret_stream = stream_from_fd(fd, source->expected.digest);
	return 0;
}

static int fetch(struct place *place, struct stage *stage,
		 const struct layer_ref *layer, struct error *err)
{
	cleanup_free char *what =
		xasprintf("%s: layer %s", place->what, layer->blob.digest);
	struct layer_source source = {
		.what = what,
		.expected = layer->blob,
		.diff_id = layer->diff_id,
		.open = open_layer,
		.data = place,
	};
	uint64_t size = 0;
	int r;

	digest_short(source.id, layer->blob.digest);
	r = layers_stage(place->job, stage, &source, 1, 1, &size, err);
	if (r < 0)
		return r;
	/* In the build's own work, for this one ends. */
	return stage_place_for(stage, job_string(place->job, "lease"),
			       layer->blob.digest, layer->diff_id, err);
}

int cache_fetch_run(struct job *job, struct error *err)
{
	CLEANUP(place_release) struct place place = {.dir_fd = -1};
	CLEANUP(stage_release)
	struct stage stage = {.work = {.fd = -1, .lock_fd = -1},
			      .blobs_fd = -1,
			      .layers_fd = -1};
	struct layer_ref layer;
	int r = layer_ref_from_json(json_member(job->request, "layer"), "layer",
				    &layer, err);

	if (r == 0 && !job_string(job, "lease"))
		return err_set(err, ERROR_INVALID,
			       "cache-fetch: the request names no build");
	if (r == 0)
		r = open_place(job, &place, err);
	if (r == 0)
		r = stage_open(&job->store, &stage, err);
	if (r == 0)
		r = fetch(&place, &stage, &layer, err);
	if (r == 0)
		job_note_stage(job, &stage);
	return r;
}
