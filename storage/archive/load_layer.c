/* load_layers() of storage/archive/load.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/archive/load.h"
#include "storage/job/layer_stage.h"

#define LOAD_PARALLEL 3u

/* Called in the thread of the layer; the files are only read by then. */
static int open_file(struct layer_source *source, struct stream **ret_stream,
		     struct error *err)
{
	const struct load_layer *layer = source->data;
	struct stat st;
	int fd = load_files_open(layer->files, layer->file, err);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0)
		source->total = (uint64_t)st.st_size;
	*ret_stream = stream_from_fd(fd, layer->file);
	return 0;
}

/* What a file of a tar is was seen when the archive was read. */
static int check_file(const struct load_layer *layer,
		      const struct load_file *file, struct error *err)
{
	const struct descriptor *expected = layer->expected;

	if (!expected)
		return 0;
	if (file->size != expected->size)
		return err_set(err, ERROR_CORRUPT,
			       "%s: wrong size: %llu bytes, not %llu",
			       layer->what, (unsigned long long)file->size,
			       (unsigned long long)expected->size);
	if (!str_equal(file->digest, expected->digest))
		return err_set(err, ERROR_CORRUPT,
			       "%s: wrong digest: the file is %s, not %s",
			       layer->what, file->digest, expected->digest);
	return 0;
}

static int make_source(struct load *load, struct load_layer *layer,
		       struct layer_source *source, struct error *err)
{
	const struct load_file *file = NULL;
	const char *name = layer->diff_id;
	int r = load_files_find(&load->files, layer->file, &layer->entry, err);

	if (r < 0)
		return err_wrap(err, "%s", layer->what);
	layer->files = &load->files;
	file = layer->entry;
	*source = (struct layer_source){
		.what = layer->what,
		.diff_id = layer->diff_id,
		.open = open_file,
		.data = layer,
		.status = "Loading layer",
		.repack = !layer->expected,
	};
	if (layer->expected)
		source->expected = *layer->expected;
	if (file) {
		strcpy(source->expected.digest, file->digest);
		source->expected.size = file->size;
		source->staged = *file->staged ? file->staged : NULL;
	}
	if (*source->expected.digest)
		name = source->expected.digest;
	if (name)
		digest_short(source->id, name);
	return file ? check_file(layer, file, err) : 0;
}

/* A staged file that became a blob is found by its digest from now on. */
static void take_result(struct load_layer *layer,
			const struct layer_source *source)
{
	struct load_file *file = layer->entry;

	layer->blob = source->blob;
	layer->layer = source->layer;
	if (file && source->staged &&
	    str_equal(source->blob.digest, file->digest))
		*file->staged = '\0';
}

int load_layers(struct load *load, struct load_layer *layers, size_t count,
		uint64_t *ret_size, struct error *err)
{
	cleanup_free struct layer_source *sources =
		xcalloc(count + 1, sizeof(*sources));
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = make_source(load, &layers[i], &sources[i], err);
	if (r == 0)
		r = layers_stage(load->job, &load->stage, sources, count,
				 LOAD_PARALLEL, ret_size, err);
	for (size_t i = 0; r == 0 && i < count; i++)
		take_result(&layers[i], &sources[i]);
	return r;
}

void load_layers_free(struct load_layer *layers, size_t count)
{
	for (size_t i = 0; layers && i < count; i++) {
		free(layers[i].file);
		free(layers[i].what);
	}
	free(layers);
}
