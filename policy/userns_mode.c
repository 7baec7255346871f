#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "policy/idmap.h"

#define OPTION	      "--userns"
#define GROUPS_WANTED 65536

/* One of the two maps on its way. */
struct half {
	const struct id_map *pinned;
	uint64_t size;
	struct id_map map;
};

/* Sizes of the pinned namespace; its IDs are 0 to size - 1. */
struct mode_context {
	const struct userns_mode_request *request;
	struct half uids;
	struct half gids;
};

/*
 * Appends a range, cut at the borders of the pinned namespace's extents: the
 * kernel refuses one that lies in two of its parent's.
 */
static void add(struct half *half, uint64_t inside, uint64_t outside,
		uint64_t count)
{
	for (size_t i = 0; i < half->pinned->count; i++) {
		const struct id_extent *extent = &half->pinned->extents[i];
		uint64_t end = (uint64_t)extent->inside + extent->count;
		uint64_t from =
			outside > extent->inside ? outside : extent->inside;
		uint64_t to = outside + count < end ? outside + count : end;

		if (from < to && half->map.count < ID_MAP_MAX)
			half->map.extents[half->map.count++] =
				(struct id_extent){
					.inside = (uint32_t)(inside +
							     (from - outside)),
					.outside = (uint32_t)from,
					.count = (uint32_t)(to - from),
				};
	}
}

static int needs_subids(const char *mode, struct error *err)
{
	err_set(err, ERROR_UNSUPPORTED,
		OPTION "=%s: there are no subordinate IDs to map", mode);
	return err_hint(err, "have ranges added to /etc/subuid and /etc/subgid "
			     "(usermod --add-subuids, --add-subgids)");
}

static int unknown_parameter(const char *mode, const char *parameter,
			     struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       OPTION "=%s: unknown parameter \"%s\"", mode, parameter);
}

/* The value of "key=value" when parameter has that key. */
static const char *value_of(const char *parameter, const char *key)
{
	size_t length = strlen(key);

	if (!str_starts(parameter, key) || parameter[length] != '=')
		return NULL;
	return parameter + length + 1;
}

/*
 * The last of 65537 groups stays moss's own, so that moss-init can be hidden
 * from containers (core/runtime/memfd.h); no image needs it.
 */
static void spare_group(struct mode_context *context)
{
	if (context->gids.size > GROUPS_WANTED)
		context->gids.size--;
}

static int mode_host(struct mode_context *context, char *const *params,
		     struct error *err)
{
	if (params[0])
		return unknown_parameter("host", params[0], err);
	spare_group(context);
	add(&context->uids, 0, 0, context->uids.size);
	add(&context->gids, 0, 0, context->gids.size);
	return 0;
}

static int mode_nomap(struct mode_context *context, char *const *params,
		      struct error *err)
{
	if (params[0])
		return unknown_parameter("nomap", params[0], err);
	if (context->uids.size < 2 || context->gids.size < 2)
		return needs_subids("nomap", err);
	add(&context->uids, 0, 1, context->uids.size - 1);
	add(&context->gids, 0, 1, context->gids.size - 1);
	return 0;
}

/* The user becomes id; what was there moves down into the gap the user left. */
static void keep(struct half *half, uint64_t id)
{
	uint64_t below = id < half->size ? id : half->size - 1;

	add(half, 0, 1, below);
	add(half, id, 0, 1);
	add(half, id + 1, below + 1, half->size - below - 1);
}

static int parse_id(const char *key, const char *text, uint64_t *ret_id,
		    struct error *err)
{
	uint64_t id;

	if (parse_u64(text, &id) < 0 || id >= UINT32_MAX)
		return err_set(err, ERROR_INVALID,
			       OPTION "=keep-id: %s: \"%s\" is not an ID", key,
			       text);
	*ret_id = id;
	return 0;
}

static int mode_keep_id(struct mode_context *context, char *const *params,
			struct error *err)
{
	uint64_t uid = context->request->identity->uid;
	uint64_t gid = context->request->identity->gid;
	int r = 0;

	for (size_t i = 0; params[i] && r == 0; i++) {
		const char *uid_text = value_of(params[i], "uid");
		const char *gid_text = value_of(params[i], "gid");

		if (uid_text)
			r = parse_id("uid", uid_text, &uid, err);
		else if (gid_text)
			r = parse_id("gid", gid_text, &gid, err);
		else
			r = unknown_parameter("keep-id", params[i], err);
	}
	if (r < 0)
		return r;
	spare_group(context);
	keep(&context->uids, uid);
	keep(&context->gids, gid);
	return 0;
}

static int compare_extents(const void *a, const void *b)
{
	const struct id_extent *left = a;
	const struct id_extent *right = b;

	return (left->outside < right->outside) -
	       (left->outside > right->outside);
}

/* Start of the highest gap of that size in 1 … limit - 1; 0: there is none. */
static uint64_t find_gap(const struct userns_mode_request *request,
			 uint64_t limit, uint64_t size)
{
	cleanup_free struct id_extent *taken =
		xcalloc(request->taken_count + 1, sizeof(*taken));
	uint64_t end = limit;

	for (size_t i = 0; i < request->taken_count; i++)
		taken[i] = request->taken[i];
	/* From the highest down. */
	qsort(taken, request->taken_count, sizeof(*taken), compare_extents);
	for (size_t i = 0; i < request->taken_count; i++) {
		uint64_t taken_end =
			(uint64_t)taken[i].outside + taken[i].count;

		if (taken_end < end && end - taken_end >= size)
			break;
		if (taken[i].outside < end && taken[i].count > 0)
			end = taken[i].outside;
	}
	return end >= size + 1 ? end - size : 0;
}

static int mode_auto(struct mode_context *context, char *const *params,
		     struct error *err)
{
	uint64_t size = USERNS_AUTO_SIZE;
	uint64_t limit = context->uids.size < context->gids.size
				 ? context->uids.size
				 : context->gids.size;
	uint64_t start;

	for (size_t i = 0; params[i]; i++) {
		const char *text = value_of(params[i], "size");

		if (!text)
			return unknown_parameter("auto", params[i], err);
		if (parse_u64(text, &size) < 0 || size == 0 ||
		    size > UINT32_MAX)
			return err_set(err, ERROR_INVALID,
				       OPTION "=auto: size: \"%s\" is not a "
					      "number of IDs",
				       text);
	}
	if (limit < 2)
		return needs_subids("auto", err);
	start = find_gap(context->request, limit, size);
	if (start == 0) {
		err_set(err, ERROR_NO_SPACE,
			OPTION "=auto: no %llu unused IDs in a row among the "
			       "%llu subordinate IDs",
			(unsigned long long)size,
			(unsigned long long)limit - 1);
		return err_hint(err,
				"remove a container that has " OPTION "=auto, "
				"ask for fewer IDs (auto:size=N), or have "
				"ranges added to /etc/subuid and /etc/subgid");
	}
	add(&context->uids, 0, start, size);
	add(&context->gids, 0, start, size);
	return 0;
}

static const struct {
	const char *name;
	int (*resolve)(struct mode_context *context, char *const *params,
		       struct error *err);
} modes[] = {
	{"", mode_host},     {"host", mode_host},	{"nomap", mode_nomap},
	{"auto", mode_auto}, {"keep-id", mode_keep_id},
};

static bool is_identity(const struct half *half)
{
	for (size_t i = 0; i < half->map.count; i++) {
		if (half->map.extents[i].inside != half->map.extents[i].outside)
			return false;
	}
	return idmap_size(&half->map) == half->size;
}

int userns_mode_resolve(const struct userns_mode_request *request,
			struct id_map *ret_uids, struct id_map *ret_gids,
			bool *ret_shifted, struct error *err)
{
	struct mode_context context = {
		.request = request,
		.uids.pinned = &request->identity->uids,
		.uids.size = idmap_size(&request->identity->uids),
		.gids.pinned = &request->identity->gids,
		.gids.size = idmap_size(&request->identity->gids),
	};
	const char *text = request->text ? request->text : "";
	cleanup_free char *name = xstrndup(text, strcspn(text, ":"));
	const char *rest = text + strlen(name);
	cleanup_strv char **params = NULL;
	int r;

	params = *rest ? strv_split(rest + 1, ',') : xcalloc(1, sizeof(char *));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!str_equal(name, modes[i].name))
			continue;
		r = modes[i].resolve(&context, params, err);
		if (r < 0)
			return r;
		*ret_uids = context.uids.map;
		*ret_gids = context.gids.map;
		*ret_shifted = !is_identity(&context.uids) ||
			       !is_identity(&context.gids);
		return 0;
	}
	err_set(err, ERROR_INVALID, OPTION ": unknown mode \"%s\"", text);
	return err_hint(err, "use host, nomap, auto[:size=N] or "
			     "keep-id[:uid=U,gid=G]");
}
