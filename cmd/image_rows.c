/* Rows of images: cmd/rows.h. */
#include "cmd/rows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "storage/store/digest.h"

const struct listing_column image_columns[] = {
	{"Repository", "REPOSITORY"},
	{"Tag", "TAG"},
	{"Digest", "DIGEST"},
	{"ID", "IMAGE ID"},
	{"CreatedSince", "CREATED"},
	{"CreatedAt", "CREATED AT"},
	{"Size", "SIZE"},
	{"Containers", "CONTAINERS"},
	{"VirtualSize", "SIZE"},
	{"SharedSize", "SHARED SIZE"},
	{"UniqueSize", "UNIQUE SIZE"},
	{0},
};

/* "web@sha256:…" of that repository? Then the digest. */
static const char *digest_in(const char *text, const char *repository)
{
	size_t length = strlen(repository);

	return strncmp(text, repository, length) == 0 && text[length] == '@'
		       ? text + length + 1
		       : NULL;
}

struct visiting {
	void (*visit)(const struct image_name *name, void *data);
	void *data;
	bool digests;
	char **repositories; /* seen with a tag, or without digests at all */
};

static void visit_tag(struct visiting *visiting, const cJSON *image,
		      const char *text)
{
	const char *colon = strrchr(text, ':');
	cleanup_free char *repository = NULL;
	struct image_name name = {.image = image, .digest = ROW_NONE};
	const cJSON *item;
	bool shown = false;

	if (!colon)
		return;
	repository = xstrndup(text, (size_t)(colon - text));
	name.repository = repository;
	name.tag = colon + 1;
	if (!strv_contains(visiting->repositories, repository))
		strv_push(&visiting->repositories, repository);
	cJSON_ArrayForEach(item, member_of(image, "RepoDigests"))
	{
		const char *digest = digest_in(item->valuestring, repository);

		if (!digest || (shown && !visiting->digests))
			continue;
		name.digest = digest;
		visiting->visit(&name, visiting->data);
		shown = true;
	}
	if (!shown)
		visiting->visit(&name, visiting->data);
}

static void visit_digest(struct visiting *visiting, const cJSON *image,
			 const char *text)
{
	const char *at = strchr(text, '@');
	cleanup_free char *repository = NULL;

	if (!at)
		return;
	repository = xstrndup(text, (size_t)(at - text));
	if (strv_contains(visiting->repositories, repository))
		return;
	if (!visiting->digests)
		strv_push(&visiting->repositories, repository);
	visiting->visit(
		&(struct image_name){image, repository, ROW_NONE, at + 1},
		visiting->data);
}

void image_names_visit(const cJSON *image, bool digests,
		       void (*visit)(const struct image_name *name, void *data),
		       void *data)
{
	const cJSON *tags = member_of(image, "RepoTags");
	const cJSON *repo_digests = member_of(image, "RepoDigests");
	struct visiting visiting = {visit, data, digests, NULL};
	const cJSON *item;

	if ((!tags || !tags->child) && (!repo_digests || !repo_digests->child))
		visit(&(struct image_name){image, ROW_NONE, ROW_NONE, ROW_NONE},
		      data);
	cJSON_ArrayForEach(item, tags)
	{
		visit_tag(&visiting, image, item->valuestring);
	}
	cJSON_ArrayForEach(item, repo_digests)
	{
		visit_digest(&visiting, image, item->valuestring);
	}
	strv_free(visiting.repositories);
}

/* Of a number that the engine may not have counted (-1). */
static char *size_text(int64_t bytes)
{
	return bytes < 0 ? xstrdup("N/A") : format_bytes_short((uint64_t)bytes);
}

/* With one digit more, as docker has some. */
static char *long_size_text(int64_t bytes)
{
	return bytes < 0 ? xstrdup("N/A") : format_bytes((uint64_t)bytes);
}

cJSON *image_row(const struct image_name *name, bool whole)
{
	const char *id = text_of(name->image, "Id");
	int64_t created = number_of(name->image, "Created");
	int64_t bytes = number_of(name->image, "Size");
	int64_t shared = number_of(name->image, "SharedSize");
	int64_t containers = number_of(name->image, "Containers");
	char short_id[DIGEST_SHORT_MAX];
	cleanup_free char *created_at = NULL;
	cleanup_free char *since = NULL;
	cleanup_free char *size = size_text(bytes);
	cleanup_free char *shared_size = long_size_text(shared);
	cleanup_free char *unique =
		long_size_text(shared < 0 ? shared : bytes - shared);
	cleanup_free char *virtual_size = long_size_text(bytes);
	cleanup_free char *users =
		containers < 0 ? xstrdup("N/A")
			       : xasprintf("%lld", (long long)containers);
	cJSON *row = json_object();

	digest_short(short_id, id);
	if (created > 0) {
		cleanup_free char *ago =
			format_ago((int64_t)time(NULL) - created);

		created_at = created_text(created);
		since = xasprintf("%s ago", ago);
	}
	json_set_string(row, "Containers", users);
	json_set_string(row, "CreatedAt", created_at ? created_at : "N/A");
	json_set_string(row, "CreatedSince", since ? since : "N/A");
	json_set_string(row, "Digest", name->digest);
	json_set_string(row, "ID", whole ? id : short_id);
	json_set_string(row, "Repository", name->repository);
	json_set_string(row, "SharedSize", shared_size);
	json_set_string(row, "Size", size);
	json_set_string(row, "Tag", name->tag);
	json_set_string(row, "UniqueSize", unique);
	json_set_string(row, "VirtualSize", virtual_size);
	return row;
}
