/* Reading a manifest for the user, see storage/transfer.h. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/job.h"
#include "storage/registry/job_registry.h"
#include "storage/store/manifest.h"

/* Manifests of an index that are read one by one. */
#define ENTRIES_MAX	  256
#define ENTRIES_BYTES_MAX (2u << 20) /* all together; half a result's limit */

static const char *wanted(const struct reference *reference)
{
	return *reference->digest ? reference->digest : reference->tag;
}

static cJSON *platform_json(const struct platform *platform)
{
	cJSON *json = json_object();

	json_set_string(json, "architecture", platform->architecture);
	json_set_string(json, "os", platform->os);
	if (*platform->variant)
		json_set_string(json, "variant", platform->variant);
	return json;
}

/* What an image's config says it is for; of other artifacts nothing. */
static int add_platform(struct registry *registry, const cJSON *document,
			const char *name, cJSON *entry, struct error *err)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	struct platform platform = {0};
	cleanup_free char *text = NULL;
	cleanup_json cJSON *config = NULL;
	int r;

	if (manifest_parse(document, name, &manifest, NULL) < 0)
		return 0;
	r = registry_read_blob(registry, &manifest.config, &text, err);
	if (r < 0)
		return err_wrap(err, "%s: config", name);
	if (json_parse(text, manifest.config.size, "config", &config, NULL) <
		    0 ||
	    config_platform(config, name, &platform, NULL) < 0)
		return 0;
	json_set(entry, "platform", platform_json(&platform));
	return 0;
}

static int not_there(const char *name, int r, struct error *err)
{
	if (r == -ENOENT)
		return err_set(err, ERROR_NOT_FOUND, "no such manifest: %s",
			       name);
	if (r == -EACCES)
		return err_wrap(err, "cannot read the manifest of %s", name);
	return r;
}

static void set_document(cJSON *entry, const char *name,
			 const struct registry_document *document)
{
	json_set_string(entry, "reference", name);
	json_set(entry, "descriptor", descriptor_json(&document->descriptor));
	json_set_string(entry, "raw", document->text);
}

/* A manifest that an index lists; *left: bytes that may still come. */
static int add_listed(struct registry *registry, const cJSON *item,
		      const char *name, uint64_t *left, cJSON *entries,
		      struct error *err)
{
	CLEANUP(registry_document_release)
	struct registry_document document = {0};
	struct descriptor descriptor;
	cleanup_free char *listed = NULL;
	const cJSON *platform;
	cJSON *entry;
	int r;

	r = descriptor_parse(item, name, &descriptor, err);
	r = r < 0 ? r
		  : registry_get_manifest(registry, descriptor.digest,
					  &document, err);
	if (r < 0)
		return not_there(name, r, err);
	if (document.descriptor.size > *left)
		return err_set(err, ERROR_INVALID,
			       "the manifests of %s are larger than %u bytes",
			       name, ENTRIES_BYTES_MAX);
	*left -= document.descriptor.size;
	listed = xasprintf("%s@%s", name, descriptor.digest);
	entry = json_object();
	set_document(entry, listed, &document);
	platform = cJSON_GetObjectItemCaseSensitive(item, "platform");
	if (platform)
		json_set(entry, "platform", cJSON_Duplicate(platform, true));
	json_push(entries, entry);
	return 0;
}

static int add_index(struct registry *registry, const cJSON *index,
		     const char *name, cJSON *result, struct error *err)
{
	const cJSON *manifests = NULL;
	const cJSON *item;
	uint64_t left = ENTRIES_BYTES_MAX;
	cJSON *entries = json_array();
	int r;

	json_set(result, "entries", entries);
	r = json_get_array(index, name, "manifests", &manifests, err);
	if (r < 0)
		return r;
	if (cJSON_GetArraySize(manifests) > ENTRIES_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s lists more than %d manifests", name,
			       ENTRIES_MAX);
	cJSON_ArrayForEach(item, manifests)
	{
		r = add_listed(registry, item, name, &left, entries, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int manifest_run(struct job *job, struct error *err)
{
	cleanup_registry struct registry *registry = NULL;
	CLEANUP(registry_document_release)
	struct registry_document document = {0};
	struct reference reference;
	cleanup_free char *name = NULL;
	cleanup_json cJSON *json = NULL;
	int r;

	r = job_open_registry(job, false, &reference, &registry, err);
	if (r < 0)
		return r;
	name = reference_full(&reference);
	r = registry_get_manifest(registry, wanted(&reference), &document, err);
	if (r < 0)
		return not_there(name, r, err);
	set_document(job->result, name, &document);
	if (!job_flag(job, "verbose"))
		return 0;
	r = json_parse(document.text, document.descriptor.size, name, &json,
		       err);
	if (r < 0)
		return r;
	if (document_kind(json) == DOCUMENT_INDEX)
		return add_index(registry, json, name, job->result, err);
	return add_platform(registry, json, name, job->result, err);
}
