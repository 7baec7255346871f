/* docker's archives with a manifest.json, of storage/archive/load.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/archive/load.h"
#include "storage/store/manifest.h"
#include "storage/tar/hash.h"

#define MANIFEST "manifest.json"

/* One element of the array, read. */
struct docker_image {
	const char *config;
	char **tags;
	char **layers;
};

static void docker_image_release(struct docker_image *image)
{
	strv_free(image->tags);
	strv_free(image->layers);
}

static int parse_image(const cJSON *json, const char *where,
		       struct docker_image *ret_image, struct error *err)
{
	CLEANUP(docker_image_release) struct docker_image image = {0};
	int r = json_get_string(json, where, "Config", &image.config, err);

	if (r < 0)
		return r;
	if (r == 0 || !*image.config)
		return err_set(err, ERROR_INVALID, "%s: no \"Config\"", where);
	r = json_get_strv(json, where, "RepoTags", &image.tags, err);
	if (r >= 0)
		r = json_get_strv(json, where, "Layers", &image.layers, err);
	if (r < 0)
		return r;
	if (strv_length(image.layers) > MANIFEST_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: %zu layers, the limit is %d", where,
			       strv_length(image.layers), MANIFEST_LAYERS_MAX);
	*ret_image = image;
	image = (struct docker_image){0};
	return 0;
}

/* "HEX.json" and "blobs/sha256/HEX" tell what the config's digest is. */
static int check_config_name(const char *name, const char *text, size_t length,
			     const char *what, struct error *err)
{
	char digest[DIGEST_TEXT_MAX];
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	int r;

	if (strcspn(base, ".") != DIGEST_HEX ||
	    !digest_is_hex(base, DIGEST_HEX))
		return 0;
	r = hash_bytes(text, length, digest, err);
	if (r < 0)
		return r;
	if (strncmp(digest_hex(digest), base, DIGEST_HEX) == 0)
		return 0;
	return err_set(err, ERROR_CORRUPT, "%s: wrong digest: config %s is %s",
		       what, name, digest);
}

static int stage_layers(struct load *load, char *const *names,
			char *const *diff_ids, const char *what,
			struct load_parts *parts, struct error *err)
{
	size_t count = strv_length(names);
	struct load_layer *layers = xcalloc(count + 1, sizeof(*layers));
	int r;

	for (size_t i = 0; i < count; i++) {
		layers[i].file = xstrdup(names[i]);
		layers[i].what = xasprintf("%s: layer %zu (%.128s)", what,
					   i + 1, names[i]);
		layers[i].diff_id = diff_ids[i];
	}
	r = load_layers(load, layers, count, &parts->size, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		parts->layers[parts->layer_count++] = layers[i].blob;
	load_layers_free(layers, count);
	return r;
}

static int load_image(struct load *load, const struct docker_image *docker,
		      const char *what, struct error *err)
{
	CLEANUP(stage_image_release) struct stage_image image = {0};
	cleanup_free struct descriptor *layers = NULL;
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *config = NULL;
	cleanup_free char *text = NULL;
	struct load_parts parts = {0};
	size_t count = strv_length(docker->layers);
	size_t length;
	int r;

	r = load_files_text(&load->files, docker->config, &text, &length, err);
	if (r < 0)
		return err_wrap(err, "%s: config", what);
	r = check_config_name(docker->config, text, length, what, err);
	if (r == 0)
		r = json_parse(text, length, docker->config, &config, err);
	if (r < 0)
		return r;
	r = load_check_config(load, config, what, count, &diff_ids, err);
	if (r <= 0)
		return r;
	layers = xcalloc(count + 1, sizeof(*layers));
	parts.layers = layers;
	parts.config = text;
	parts.config_length = length;
	r = stage_layers(load, docker->layers, diff_ids, what, &parts, err);
	if (r == 0)
		r = load_make_image(load, &parts, &image, err);
	for (size_t i = 0; r == 0 && docker->tags && docker->tags[i]; i++)
		r = load_add_name(&image, docker->tags[i], err);
	if (r < 0)
		return r;
	return load_add_image(load, &image, err);
}

static int read_manifest(struct load *load, cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = load_files_json(&load->files, MANIFEST, &json, err);

	if (r < 0)
		return r;
	if (!cJSON_IsArray(json))
		return err_set(err, ERROR_INVALID,
			       MANIFEST ": expected an array");
	if (!json->child)
		return err_set(err, ERROR_INVALID, MANIFEST " names no image");
	*ret_json = steal_ptr(&json);
	return 0;
}

typedef int (*image_visit)(struct load *load, const struct docker_image *image,
			   size_t number, struct error *err);

static int visit_images(struct load *load, image_visit visit, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *item;
	size_t number = 0;
	int r = read_manifest(load, &json, err);

	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, json)
	{
		CLEANUP(docker_image_release) struct docker_image image = {0};
		cleanup_free char *where =
			xasprintf(MANIFEST "[%zu]", number++);

		r = parse_image(item, where, &image, err);
		if (r >= 0)
			r = visit(load, &image, number, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int visit_whole(struct load *load, const struct docker_image *image,
		       size_t number, struct error *err)
{
	cleanup_free char *what =
		image->tags && image->tags[0]
			? xasprintf("image %.256s", image->tags[0])
			: xasprintf("image %zu", number);

	return load_image(load, image, what, err);
}

int load_docker(struct load *load, struct error *err)
{
	return visit_images(load, visit_whole, err);
}

static int visit_names(struct load *load, const struct docker_image *docker,
		       size_t number, struct error *err)
{
	for (size_t i = 0; i < load->count; i++) {
		struct stage_image *image = &load->images[i];

		if (!strstr(docker->config, digest_hex(image->id)))
			continue;
		for (size_t j = 0; docker->tags && docker->tags[j]; j++) {
			int r = load_add_name(image, docker->tags[j], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Names for the images of an OCI index that brought none. */
int load_docker_names(struct load *load, struct error *err)
{
	return visit_images(load, visit_names, err);
}
