#include "storage/archive/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/image_entry.h"
#include "storage/store/limits.h"
#include "storage/store/oci.h"

static void load_release(struct load *load)
{
	for (size_t i = 0; i < load->count; i++)
		stage_image_release(&load->images[i]);
	free(load->images);
	load_files_release(&load->files);
	stage_release(&load->stage);
}

static int too_many_names(struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "the archive has more than %u image names",
		       LOAD_NAMES_MAX);
}

int load_add_name(struct stage_image *image, const char *name,
		  struct error *err)
{
	struct reference reference;
	char *full;
	int r = image_check_new_reference(name, &reference, err);

	if (r < 0)
		return err_wrap(err, "\"%.256s\"", name);
	if (strv_length(image->references) >= LOAD_NAMES_MAX)
		return too_many_names(err);
	full = reference_full(&reference);
	if (strv_contains(image->references, full))
		free(full);
	else
		strv_push_take(&image->references, full);
	return 0;
}

int load_add_image(struct load *load, struct stage_image *image,
		   struct error *err)
{
	load->name_count += strv_length(image->references);
	if (load->name_count > LOAD_NAMES_MAX)
		return too_many_names(err);
	for (size_t i = 0; i < load->count; i++) {
		struct stage_image *other = &load->images[i];

		if (!str_equal(other->manifest.digest, image->manifest.digest))
			continue;
		for (size_t j = 0; image->references && image->references[j];
		     j++) {
			if (!strv_contains(other->references,
					   image->references[j]))
				strv_push(&other->references,
					  image->references[j]);
		}
		stage_image_release(image);
		return 0;
	}
	if (load->count >= LOAD_IMAGES_MAX)
		return err_set(err, ERROR_INVALID,
			       "the archive has more than %u images",
			       LOAD_IMAGES_MAX);
	load->images =
		xrealloc(load->images, load->count + 1, sizeof(*load->images));
	load->images[load->count++] = *image;
	*image = (struct stage_image){0};
	return 0;
}

int load_check_config(struct load *load, const cJSON *config, const char *what,
		      size_t layers, char ***ret_diff_ids, struct error *err)
{
	cleanup_strv char **diff_ids = NULL;
	struct platform platform;
	int r = config_platform(config, what, &platform, err);

	if (r < 0)
		return r;
	if (load->platform_given && *platform.os &&
	    platform_match(&load->platform, &platform) == 0)
		return 0;
	r = config_diff_ids(config, what, &diff_ids, err);
	if (r < 0)
		return r;
	if (strv_length(diff_ids) != layers)
		return err_set(err, ERROR_CORRUPT,
			       "%s: %zu layers, but %zu diff IDs in its config",
			       what, layers, strv_length(diff_ids));
	*ret_diff_ids = steal_ptr(&diff_ids);
	return 1;
}

int load_make_image(struct load *load, const struct load_parts *parts,
		    struct stage_image *ret_image, struct error *err)
{
	struct manifest manifest = {
		.layers = parts->layers,
		.layer_count = parts->layer_count,
	};
	struct stage_image image = {.made_up = true, .size = parts->size};
	cleanup_json cJSON *json = NULL;
	int r;

	strcpy(manifest.config.media_type, OCI_CONFIG);
	r = stage_write_blob(&load->stage, parts->config, parts->config_length,
			     &manifest.config, err);
	if (r < 0)
		return r;
	json = manifest_json(&manifest);
	r = stage_write_json(&load->stage, json, OCI_MANIFEST, &image.manifest,
			     err);
	if (r < 0)
		return r;
	strcpy(image.id, manifest.config.digest);
	*ret_image = image;
	return 0;
}

static int open_source(const char *source, struct error *err)
{
	cleanup_fd int fd = -1;

	fd = source ? open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY)
		    : fcntl(JOB_INPUT, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_errno(err, "cannot open %s",
				 source ? source : "standard input");
	if (isatty(fd)) {
		err_set(err, ERROR_INVALID,
			"requested load from stdin, but stdin is empty");
		return err_hint(err, "name an archive with --input, or "
				     "redirect one to it");
	}
	return steal_fd(&fd);
}

static int load_images(struct load *load, struct error *err)
{
	struct load_files *files = &load->files;
	int r;

	if (load_files_have(files, OCI_LAYOUT_FILE) &&
	    load_files_have(files, OCI_INDEX_FILE)) {
		r = load_oci(load, err);
		if (r == 0 && load_files_have(files, "manifest.json"))
			r = load_docker_names(load, err);
		return r;
	}
	if (load_files_have(files, "manifest.json"))
		return load_docker(load, err);
	if (load_files_have(files, "repositories"))
		return load_legacy(load, err);
	err_set(err, ERROR_INVALID,
		"neither a docker archive nor an OCI image layout");
	return err_hint(err, "for the files of a root file system use moss "
			     "import");
}

static void tell_result(struct load *load)
{
	cJSON *loaded = json_array();

	for (size_t i = 0; i < load->count; i++) {
		const struct stage_image *image = &load->images[i];

		if (!image->references || !image->references[0])
			json_push_string(loaded, image->id);
		for (size_t j = 0; image->references && image->references[j];
		     j++) {
			cleanup_free char *familiar =
				reference_shorten(image->references[j]);

			json_push_string(loaded, familiar);
		}
	}
	json_set(load->job->result, "loaded", loaded);
}

int load_run(struct job *job, struct error *err)
{
	const char *source = job_string(job, "source");
	const char *name = source ? source : "standard input";
	CLEANUP(load_release)
	struct load load = {
		.job = job,
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
		.files = {.job = job, .source = name, .dir_fd = -1},
	};
	int fd;
	int r;

	r = job_platform(job, &load.platform, &load.platform_given, err);
	if (r < 0)
		return r;
	fd = open_source(source, err);
	if (fd < 0)
		return fd;
	r = stage_open(&job->store, &load.stage, err);
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	load.files.stage = &load.stage;
	r = load_files_read(&load.files, fd, err);
	if (r == 0)
		r = load_images(&load, err);
	if (r < 0)
		return err_wrap(err, "cannot load %s", name);
	if (load.count == 0) {
		char platform[PLATFORM_TEXT_MAX];

		platform_text(platform, &load.platform);
		return err_set(err, ERROR_NOT_FOUND,
			       "cannot load %s: no image for platform %s in it",
			       name, platform);
	}
	r = stage_commit(&load.stage, load.images, load.count, err);
	if (r < 0)
		return r;
	job_note_stage(job, &load.stage);
	tell_result(&load);
	return 0;
}
