/* push_blobs() of storage/registry/push.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/registry/push.h"
#include "storage/store/blob.h"
#include "storage/tar/hash.h"
#include "storage/tar/parallel.h"

struct blob {
	const struct descriptor *descriptor;
	const char *from;	   /* NULL: nowhere */
	char id[DIGEST_SHORT_MAX]; /* "": the config, nothing is told of it */
	const char *name;	   /* for messages: "layer" */
	struct push *push;
	/* While it is sent. */
	struct job_meter meter;
	struct hash hash;
	uint64_t hashed; /* bytes; a part that is sent twice counts once */
};

struct blobs {
	struct blob *items;
	size_t count;
};

static void say(const struct blob *blob, const char *status)
{
	if (*blob->id)
		job_status(blob->push->job, blob->id, "%s", status);
}

static void tap(void *data, uint64_t offset, const void *bytes, size_t length)
{
	struct blob *blob = data;
	uint64_t end = offset + length;

	if (offset <= blob->hashed && end > blob->hashed) {
		size_t skip = (size_t)(blob->hashed - offset);

		hash_update(&blob->hash, (const char *)bytes + skip,
			    length - skip);
		blob->hashed = end;
	}
	if (*blob->id)
		job_progress(blob->push->job, &blob->meter, blob->id, "Pushing",
			     end, blob->descriptor->size);
}

/* Whatever the server says of it: is what we have what it should be? */
static int check_sent(struct blob *blob, struct error *err)
{
	char digest[DIGEST_TEXT_MAX];

	if (blob->hashed != blob->descriptor->size)
		return 0;
	hash_digest(&blob->hash, digest);
	if (str_equal(digest, blob->descriptor->digest))
		return 0;
	err_set(err, ERROR_CORRUPT,
		"%s %s is damaged in the store: its digest is %s", blob->name,
		blob->descriptor->digest, digest);
	return err_hint(err, "see moss system check, and pull or load the "
			     "image again");
}

static int upload(struct blob *blob, bool *ret_mounted, struct error *err)
{
	const struct descriptor *descriptor = blob->descriptor;
	uint64_t size = 0;
	cleanup_fd int fd = blob_open(&blob->push->job->store,
				      descriptor->digest, &size, err);
	struct registry_upload request = {
		.digest = descriptor->digest,
		.size = size,
		.from = blob->from,
		.fd = fd,
		.tap = tap,
		.data = blob,
	};
	struct error error = {0};
	int r;

	if (fd < 0)
		return fd;
	if (size != descriptor->size)
		return err_set(err, ERROR_CORRUPT,
			       "%s %s is damaged in the store: %llu bytes, not "
			       "%llu",
			       blob->name, descriptor->digest,
			       (unsigned long long)size,
			       (unsigned long long)descriptor->size);
	r = hash_init(&blob->hash, err);
	if (r < 0)
		return r;
	r = registry_upload_blob(blob->push->registry, &request, ret_mounted,
				 &error);
	if (check_sent(blob, &error) < 0)
		r = err_return(&error);
	hash_release(&blob->hash);
	return r < 0 ? err_copy(err, &error) : 0;
}

static int push_blob(void *data, size_t index, struct error *err)
{
	struct blob *blob = &((struct blobs *)data)->items[index];
	bool mounted = false;
	int r = registry_has_blob(blob->push->registry,
				  blob->descriptor->digest, err);

	if (r < 0)
		return r;
	if (r > 0) {
		say(blob, "Layer already exists");
		return 0;
	}
	r = upload(blob, &mounted, err);
	if (r < 0)
		return r;
	if (mounted && *blob->id)
		job_status(blob->push->job, blob->id, "Mounted from %s",
			   blob->from);
	else
		say(blob, "Pushed");
	return 0;
}

/* One of a digest is enough. */
static bool is_listed(const struct blobs *blobs, const char *digest)
{
	for (size_t i = 0; i < blobs->count; i++) {
		if (str_equal(blobs->items[i].descriptor->digest, digest))
			return true;
	}
	return false;
}

static void list_blobs(struct push *push, const struct push_image *image,
		       struct blobs *blobs)
{
	const struct manifest *manifest = &image->manifest;

	blobs->items =
		xcalloc(manifest->layer_count + 1, sizeof(*blobs->items));
	for (size_t i = 0; i < manifest->layer_count; i++) {
		struct blob *blob = &blobs->items[blobs->count];

		if (is_listed(blobs, manifest->layers[i].digest))
			continue;
		blob->descriptor = &manifest->layers[i];
		blob->from = *image->from[i] ? image->from[i] : NULL;
		blob->name = "layer";
		blob->push = push;
		digest_short(blob->id, blob->descriptor->digest);
		blobs->count++;
	}
	blobs->items[blobs->count++] = (struct blob){
		.descriptor = &manifest->config,
		.name = "config",
		.push = push,
	};
}

int push_blobs(struct push *push, const struct push_image *image,
	       struct error *err)
{
	struct blobs blobs = {0};
	struct parallel work = {
		.run = push_blob,
		.data = &blobs,
		.threads = push->concurrent,
		.cancelled = &push->job->cancelled,
	};
	int r;

	list_blobs(push, image, &blobs);
	for (size_t i = 0; i < blobs.count; i++)
		say(&blobs.items[i], "Preparing");
	for (size_t i = push->concurrent; i < blobs.count; i++)
		say(&blobs.items[i], "Waiting");
	work.count = blobs.count;
	r = parallel_run(&work, err);
	free(blobs.items);
	return r;
}
