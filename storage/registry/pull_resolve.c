/* From a name to the manifest and the config of an image, of
 * storage/registry/pull.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/pull.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"

static const char *tag_or_digest(const struct pull_image *image)
{
	return *image->reference.digest ? image->reference.digest
					: image->reference.tag;
}

/* Docker's words for the registry's refusals. */
static int refused(const struct pull_image *image, int number,
		   struct error *err)
{
	cleanup_free char *name = reference_familiar_name(&image->reference);
	const char *reason = err ? err->message : "";

	if (number == -ENOENT && str_starts(reason, "name unknown"))
		return err_wrap(err, "repository %s not found", name);
	if (number == -ENOENT)
		return err_wrap(err, "manifest for %s not found",
				image->familiar);
	if (number == -EACCES) {
		err_wrap(err,
			 "pull access denied for %s, repository does not "
			 "exist or may require 'moss login'",
			 name);
		return err_hint(
			err, "check the name, or log in: moss login %s",
			str_equal(image->reference.registry, "docker.io")
				? ""
				: image->reference.registry);
	}
	return err_wrap(err, "cannot pull %s", image->familiar);
}

/* ---- what the name leads to ---- */

static bool has_entry(const struct pull_image *image)
{
	const struct store *store = image->stage.store;
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, NULL);

	return lock_fd >= 0 && index_read(store, &index, NULL) == 0 &&
	       index_find_reference(index, image->full);
}

/*
 * What the name leads to, when that is here: by asking for the digest only,
 * which costs the registry and its rate limits less. 1, 0, error.
 */
static int try_known(struct pull_image *image, struct pull_result *result,
		     struct error *err)
{
	struct descriptor descriptor = {0};
	int r;

	if (!has_entry(image))
		return 0;
	r = registry_head_manifest(image->pull->registry, tag_or_digest(image),
				   &descriptor, err);
	if (r <= 0)
		return r < 0 ? refused(image, r, err) : 0;
	r = pull_is_known(image, descriptor.digest, result->id, err);
	if (r > 0)
		strcpy(result->digest, descriptor.digest);
	return r;
}

static void say_from(const struct pull_image *image)
{
	job_status(image->pull->job,
		   *image->reference.digest ? image->full
					    : image->reference.tag,
		   "Pulling from %s", image->reference.repository);
}

/* ---- the platform's manifest ---- */

static bool is_schema_1(const struct registry_document *document,
			const cJSON *json)
{
	int64_t version = 0;

	return strstr(document->descriptor.media_type,
		      "distribution.manifest.v1") ||
	       (json_get_i64(json, "", "schemaVersion", &version, NULL) > 0 &&
		version == 1);
}

static int not_an_image(const struct pull_image *image,
			const struct registry_document *document,
			const cJSON *json, struct error *err)
{
	if (!is_schema_1(document, json))
		return err_set(
			err, ERROR_UNSUPPORTED,
			"%s: not an image: unknown media type \"%.128s\"",
			image->what, document->descriptor.media_type);
	err_set(err, ERROR_UNSUPPORTED,
		"%s: manifests of schema version 1 are not supported",
		image->what);
	return err_hint(err, "ask its author for one in the OCI format or "
			     "docker's schema 2");
}

static int get_by_descriptor(struct pull_image *image,
			     const struct descriptor *descriptor,
			     struct registry_document *ret_document,
			     struct error *err)
{
	struct registry_document document = {0};
	int r = registry_get_manifest(image->pull->registry, descriptor->digest,
				      &document, err);

	if (r == -ENOENT || r == -EACCES)
		return err_wrap(err, "%s: manifest %s that its index names",
				image->what, descriptor->digest);
	if (r < 0)
		return err_wrap(err, "%s", image->what);
	if (document.descriptor.size != descriptor->size) {
		r = err_set(err, ERROR_CORRUPT,
			    "%s: wrong size: manifest %s has %llu bytes, not "
			    "%llu",
			    image->what, descriptor->digest,
			    (unsigned long long)document.descriptor.size,
			    (unsigned long long)descriptor->size);
		registry_document_release(&document);
		return r;
	}
	*ret_document = document;
	return 0;
}

/* Follows indexes from the origin down to image->manifest. */
static int find_manifest(struct pull_image *image, struct error *err)
{
	const struct registry_document *document = &image->origin;

	for (int depth = 0; depth <= PULL_DEPTH_MAX; depth++) {
		struct registry_document next = {0};
		struct descriptor selected;
		cleanup_json cJSON *json = NULL;
		int r = json_parse(document->text, document->descriptor.size,
				   image->what, &json, err);

		if (r < 0)
			return r;
		switch (document_kind(json)) {
		case DOCUMENT_MANIFEST:
			return manifest_parse(json, image->what,
					      &image->manifest, err);
		case DOCUMENT_UNKNOWN:
			return not_an_image(image, document, json, err);
		case DOCUMENT_INDEX:
			break;
		}
		r = index_select(json, image->what, &image->pull->platform,
				 &selected, err);
		if (r == 0)
			r = get_by_descriptor(image, &selected, &next, err);
		if (r < 0)
			return r;
		registry_document_release(&image->document);
		image->document = next;
		document = &image->document;
	}
	return err_set(err, ERROR_INVALID, "%s: indexes nested too deeply",
		       image->what);
}

/* ---- the config ---- */

static int read_config_text(struct pull_image *image, struct error *err)
{
	const struct descriptor *config = &image->manifest.config;
	size_t length;
	int fd;
	int r = stage_has_blob(&image->stage, config->digest, err);

	if (r < 0)
		return r;
	if (r == 0)
		return registry_read_blob(image->pull->registry, config,
					  &image->config_text, err);
	fd = stage_open_blob(&image->stage, config->digest, err);
	if (fd < 0)
		return fd;
	r = file_read_fd(fd, config->digest, JSON_FILE_MAX, &image->config_text,
			 &length, err);
	close_fd(&fd);
	if (r == 0 && length != config->size)
		return err_set(err, ERROR_CORRUPT,
			       "wrong size: it has %zu bytes, not %llu", length,
			       (unsigned long long)config->size);
	return r;
}

static int check_platform(const struct pull_image *image, const cJSON *config,
			  struct error *err)
{
	const struct platform *wanted = &image->pull->platform;
	char wanted_text[PLATFORM_TEXT_MAX];
	char text[PLATFORM_TEXT_MAX];
	struct platform platform;
	int r = config_platform(config, image->what, &platform, err);

	if (r < 0 || !*platform.os || platform_match(wanted, &platform) > 0)
		return r;
	platform_text(wanted_text, wanted);
	platform_text(text, &platform);
	if (image->pull->platform_given)
		return err_set(err, ERROR_NOT_FOUND,
			       "%s was found, but it is for platform %s and "
			       "not for %s",
			       image->what, text, wanted_text);
	job_note(image->pull->job,
		 "the image's platform (%s) does not match this machine's "
		 "(%s)",
		 text, wanted_text);
	return 0;
}

static int read_config(struct pull_image *image, struct error *err)
{
	cleanup_free char *where = xasprintf("%s: config", image->what);
	cleanup_json cJSON *config = NULL;
	int r = read_config_text(image, err);

	if (r < 0)
		return err_wrap(err, "%s %s", where,
				image->manifest.config.digest);
	r = json_parse(image->config_text, image->manifest.config.size, where,
		       &config, err);
	if (r == 0)
		r = check_platform(image, config, err);
	if (r == 0)
		r = config_diff_ids(config, where, &image->diff_ids, err);
	if (r < 0)
		return r;
	if (strv_length(image->diff_ids) != image->manifest.layer_count)
		return err_set(err, ERROR_CORRUPT,
			       "%s: %zu layers, but %zu diff IDs in its config",
			       image->what, image->manifest.layer_count,
			       strv_length(image->diff_ids));
	return 0;
}

int pull_resolve(struct pull_image *image, struct pull_result *result,
		 struct error *err)
{
	int r = try_known(image, result, err);

	if (r > 0)
		say_from(image);
	if (r != 0)
		return r;
	r = registry_get_manifest(image->pull->registry, tag_or_digest(image),
				  &image->origin, err);
	if (r < 0)
		return refused(image, r, err);
	say_from(image);
	strcpy(result->digest, image->origin.descriptor.digest);
	r = pull_is_known(image, result->digest, result->id, err);
	if (r != 0)
		return r;
	r = find_manifest(image, err);
	if (r == 0)
		r = read_config(image, err);
	return r;
}
