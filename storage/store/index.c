#include "storage/store/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/oci.h"
#include "storage/store/reference.h"

static cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_IsObject(object)
		       ? cJSON_GetObjectItemCaseSensitive(object, key)
		       : NULL;
}

static const char *text_member(const cJSON *object, const char *key)
{
	const cJSON *item = member(object, key);

	return cJSON_IsString(item) ? item->valuestring : NULL;
}

static const char *annotation(const cJSON *entry, const char *key)
{
	return text_member(member(entry, "annotations"), key);
}

static void set_annotation(cJSON *entry, const char *key, const char *value)
{
	cJSON *annotations = member(entry, "annotations");

	if (!cJSON_IsObject(annotations)) {
		json_set(entry, "annotations", json_object());
		annotations = member(entry, "annotations");
	}
	if (value) {
		json_set_string(annotations, key, value);
		return;
	}
	cJSON_DeleteItemFromObjectCaseSensitive(annotations, key);
	if (!annotations->child)
		cJSON_DeleteItemFromObjectCaseSensitive(entry, "annotations");
}

/* A file that is there and whole, but not to be had now, needs no repair. */
static int unreadable(int number, struct error *err)
{
	if (number == -EMFILE || number == -ENFILE || number == -EACCES)
		return number;
	return err_hint(err, "moss system check --repair finds the images "
			     "again");
}

int index_read(const struct store *store, cJSON **ret_index, struct error *err)
{
	cleanup_json cJSON *index = NULL;
	int r = json_read_at(store->image_fd, OCI_INDEX_FILE, &index, err);

	if (r < 0) {
		err_wrap(err, "%s/image", store->path);
		return unreadable(r, err);
	}
	if (!cJSON_IsArray(member(index, "manifests"))) {
		r = err_set(err, ERROR_CORRUPT,
			    "%s/image/index.json: no array \"manifests\"",
			    store->path);
		return unreadable(r, err);
	}
	*ret_index = steal_ptr(&index);
	return 0;
}

int index_write(const struct store *store, const cJSON *index,
		struct error *err)
{
	cleanup_free char *text = json_print(index);

	if (strlen(text) > JSON_FILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "too many images: index.json would be larger "
			       "than %u bytes",
			       JSON_FILE_MAX);
	return file_write_atomic_at(store->image_fd, OCI_INDEX_FILE, text,
				    strlen(text), 0644, 0, err);
}

cJSON *index_entries(const cJSON *index)
{
	return member(index, "manifests");
}

const char *index_entry_name(const cJSON *entry)
{
	return annotation(entry, ANNOTATION_NAME);
}

char *index_entry_reference(const cJSON *entry)
{
	const char *name = index_entry_name(entry);
	struct reference reference;

	if (str_empty(name) || reference_parse(name, &reference, NULL) < 0)
		return NULL;
	return reference_full(&reference);
}

const char *index_entry_digest(const cJSON *entry)
{
	const char *digest = text_member(entry, "digest");

	return digest_is_valid(digest) ? digest : NULL;
}

bool index_entry_is_removed(const cJSON *entry)
{
	return annotation(entry, ANNOTATION_REMOVED) != NULL;
}

uint64_t index_entry_size(const cJSON *entry)
{
	const char *text = annotation(entry, ANNOTATION_SIZE);
	uint64_t size = 0;

	if (text && parse_u64(text, &size) < 0)
		return 0;
	return size;
}

static const char *digest_annotation(const cJSON *entry, const char *key)
{
	const char *digest = annotation(entry, key);

	return digest_is_valid(digest) ? digest : NULL;
}

const char *index_entry_origin(const cJSON *entry)
{
	return digest_annotation(entry, ANNOTATION_DIGEST);
}

const char *index_entry_referrers(const cJSON *entry)
{
	return digest_annotation(entry, ANNOTATION_REFERRERS);
}

void index_entry_forget(cJSON *entry, const char *digest)
{
	static const char *const keys[] = {ANNOTATION_DIGEST,
					   ANNOTATION_REFERRERS};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (str_equal(annotation(entry, keys[i]), digest))
			set_annotation(entry, keys[i], NULL);
	}
}

const char *index_entry_tagged(const cJSON *entry)
{
	return annotation(entry, ANNOTATION_TAGGED);
}

cJSON *index_find_reference(const cJSON *index, const char *full)
{
	cJSON *entry;

	/* Nearly always the annotation is the very text. */
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (str_equal(index_entry_name(entry), full) &&
		    !index_entry_is_removed(entry))
			return entry;
	}
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		cleanup_free char *reference = NULL;

		if (index_entry_is_removed(entry))
			continue;
		reference = index_entry_reference(entry);
		if (reference && str_equal(reference, full))
			return entry;
	}
	return NULL;
}

cJSON *index_find_manifest(const cJSON *index, const char *digest)
{
	cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (str_equal(index_entry_digest(entry), digest) &&
		    !index_entry_is_removed(entry))
			return entry;
	}
	return NULL;
}

static size_t count_manifest(const cJSON *index, const char *digest)
{
	const cJSON *entry;
	size_t count = 0;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (str_equal(index_entry_digest(entry), digest))
			count++;
	}
	return count;
}

void index_unset(cJSON *index, const char *full)
{
	cJSON *entry = index_find_reference(index, full);
	const char *digest = entry ? index_entry_digest(entry) : NULL;

	if (!entry)
		return;
	if (!digest || count_manifest(index, digest) > 1)
		cJSON_Delete(cJSON_DetachItemViaPointer(index_entries(index),
							entry));
	else
		set_annotation(entry, ANNOTATION_NAME, NULL);
}

/* An entry of that manifest without a name, or NULL. */
static cJSON *find_nameless(const cJSON *index, const char *digest)
{
	cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (str_equal(index_entry_digest(entry), digest) &&
		    !index_entry_name(entry))
			return entry;
	}
	return NULL;
}

/*
 * Another manifest gets the name. What a registry's name led to can still be
 * told by the digest: "web@sha256:…", as docker keeps it.
 */
static void displace(cJSON *index, const char *full)
{
	cJSON *entry = index_find_reference(index, full);
	const char *origin = index_entry_origin(entry);
	cleanup_free char *name = NULL;
	struct reference reference;

	if (!origin || reference_parse(full, &reference, NULL) < 0) {
		index_unset(index, full);
		return;
	}
	name = xasprintf("%s/%s@%s", reference.registry, reference.repository,
			 origin);
	if (index_find_reference(index, name))
		index_unset(index, full);
	else
		set_annotation(entry, ANNOTATION_NAME, name);
}

void index_set(cJSON *index, const char *full,
	       const struct descriptor *manifest, uint64_t unpacked_size)
{
	const cJSON *old = full ? index_find_reference(index, full) : NULL;
	cleanup_free char *size =
		xasprintf("%llu", (unsigned long long)unpacked_size);
	cJSON *entry;

	if (old && str_equal(index_entry_digest(old), manifest->digest))
		return;
	if (old)
		displace(index, full);
	entry = find_nameless(index, manifest->digest);
	if (!entry && !full && count_manifest(index, manifest->digest) > 0)
		return;
	if (!entry) {
		entry = descriptor_json(manifest);
		json_push(index_entries(index), entry);
	}
	set_annotation(entry, ANNOTATION_REMOVED, NULL);
	set_annotation(entry, ANNOTATION_NAME, full);
	set_annotation(entry, ANNOTATION_SIZE, size);
	if (full) {
		char now[TIME_TEXT_MAX];

		format_now(now);
		set_annotation(entry, ANNOTATION_TAGGED, now);
	}
}

void index_set_origin(cJSON *index, const char *full, const char *origin,
		      const char *referrers)
{
	cJSON *entry = index_find_reference(index, full);

	if (!entry)
		return;
	set_annotation(entry, ANNOTATION_DIGEST, origin);
	set_annotation(entry, ANNOTATION_REFERRERS, referrers);
}

void index_drop(cJSON *index, const char *digest)
{
	cJSON *entries = index_entries(index);
	cJSON *next;

	for (cJSON *entry = entries->child; entry; entry = next) {
		next = entry->next;
		if (str_equal(index_entry_digest(entry), digest))
			cJSON_Delete(
				cJSON_DetachItemViaPointer(entries, entry));
	}
}

void index_hide(cJSON *index, const char *digest)
{
	cJSON *entry = index_find_manifest(index, digest);
	cJSON *kept;

	if (!entry)
		return;
	kept = cJSON_Duplicate(entry, true);
	if (!kept)
		str_oom();
	index_drop(index, digest);
	json_push(index_entries(index), kept);
	set_annotation(kept, ANNOTATION_NAME, NULL);
	set_annotation(kept, ANNOTATION_REMOVED, "true");
}
