#include "storage/store/build_cache_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define FILE_NAME "a record of the build cache"

bool build_key_is_valid(const char *key)
{
	return key && strlen(key) == DIGEST_HEX &&
	       digest_is_hex(key, DIGEST_HEX);
}

void build_record_path(char ret_path[BUILD_RECORD_PATH_MAX], const char *key)
{
	snprintf(ret_path, BUILD_RECORD_PATH_MAX, BUILD_CACHE_DIR "/%.64s",
		 key);
}

void build_record_release(struct build_cache_record *record)
{
	free(record->description);
	free(record->created);
	*record = (struct build_cache_record){0};
}

static uint64_t count_uses(const char *text, size_t length)
{
	uint64_t uses = 0;

	while (length > 0 && text[length - 1] == '\n') {
		length--;
		uses++;
	}
	return uses;
}

static int parse_layer(const cJSON *json, struct layer_ref *ret_layer,
		       struct error *err)
{
	const cJSON *blob = NULL;
	const char *diff_id = NULL;
	int r = json_get_string(json, FILE_NAME, "diffId", &diff_id, err);

	if (r >= 0)
		r = json_get_object(json, FILE_NAME, "blob", &blob, err);
	if (r < 0)
		return r;
	r = digest_check(diff_id ? diff_id : "", FILE_NAME, err);
	if (r < 0)
		return r;
	strcpy(ret_layer->diff_id, diff_id);
	return descriptor_parse(blob, FILE_NAME, &ret_layer->blob, err);
}

static int parse(const cJSON *json, struct build_cache_record *record,
		 struct error *err)
{
	const char *description = "";
	const char *created = "";
	int64_t size = 0;
	int r = json_get_bool(json, FILE_NAME, "empty", &record->empty, err);

	if (r >= 0)
		r = json_get_string(json, FILE_NAME, "description",
				    &description, err);
	if (r >= 0)
		r = json_get_string(json, FILE_NAME, "created", &created, err);
	if (r >= 0)
		r = json_get_i64(json, FILE_NAME, "size", &size, err);
	if (r >= 0 && !record->empty)
		r = parse_layer(json, &record->layer, err);
	if (r < 0)
		return r;
	record->description = xstrdup(description);
	record->created = xstrdup(created);
	record->size = size > 0 ? (uint64_t)size : 0;
	return 0;
}

int build_record_read(const struct store *store, const char *key,
		      struct build_cache_record *ret_record, struct error *err)
{
	CLEANUP(build_record_release) struct build_cache_record record = {0};
	char path[BUILD_RECORD_PATH_MAX];
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -1;
	struct stat st;
	size_t length;
	int r;

	build_record_path(path, key);
	fd = openat(store->root_fd, path,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "cannot open %s", path);
	r = file_read_fd(fd, path, BUILD_RECORD_FILE_MAX, &text, &length, err);
	if (r == 0)
		r = json_parse(text, length, path, &json, err);
	if (r == 0)
		r = parse(json, &record, err);
	if (r < 0)
		return r;
	snprintf(record.key, sizeof(record.key), "%s", key);
	record.last_used = st.st_mtim;
	record.uses = count_uses(text, length);
	*ret_record = record;
	record = (struct build_cache_record){0};
	return 0;
}

/* Never in the middle of a character. */
static char *cut_description(const char *text)
{
	size_t length = strlen(text);

	if (length <= BUILD_CACHE_DESCRIPTION_MAX)
		return xstrdup(text);
	length = BUILD_CACHE_DESCRIPTION_MAX;
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	return xstrndup(text, length);
}

cJSON *build_record_json(const struct build_cache_entry *entry, uint64_t size)
{
	cleanup_free char *description =
		cut_description(entry->description ? entry->description : "");
	cJSON *json = json_object();
	char created[TIME_TEXT_MAX];

	format_now(created);
	if (entry->layer) {
		json_set_string(json, "diffId", entry->layer->diff_id);
		json_set(json, "blob", descriptor_json(&entry->layer->blob));
	} else {
		json_set_bool(json, "empty", true);
	}
	json_set_string(json, "description", description);
	json_set_string(json, "created", created);
	json_set_i64(json, "size", (int64_t)size);
	return json;
}

int build_record_write(const struct store *store, const char *key,
		       const cJSON *json, struct error *err)
{
	char path[BUILD_RECORD_PATH_MAX];

	build_record_path(path, key);
	return json_write_at(store->root_fd, path, json, FILE_VOLATILE, err);
}
