/*
 * policy/idmap.h: /etc/subuid as anyone may have left it, and what the kernel
 * shows as a map. The ranges never overlap, never give away the host's root and
 * fit the kernel's limits.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "policy/idmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct id_map *map, uint64_t inside)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct id_extent *extent = &map->extents[i];
		uint64_t end = (uint64_t)extent->outside + extent->count;

		assert(extent->count > 0 && extent->outside > 0);
		assert(extent->inside == inside && end <= UINT32_MAX);
		inside += extent->count;
		for (size_t j = 0; j < i; j++) {
			const struct id_extent *other = &map->extents[j];

			assert(end <= other->outside ||
			       (uint64_t)other->outside + other->count <=
				       extent->outside);
		}
	}
	assert(inside <= UINT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const modes[] = {"", "nomap", "keep-id", "auto"};
	cleanup_free char *text = xstrndup((const char *)data, size);
	struct identity identity = {.uid = 1500, .gid = 1500};
	struct userns_mode_request request = {.identity = &identity};
	struct id_map subids;
	struct id_map uids;
	struct id_map gids;
	bool shifted;

	idmap_parse_subids((const char *)data, size, "user", 1500, &subids);
	assert(subids.count < ID_MAP_MAX);
	check(&subids, 1);
	idmap_build_pinned(1500, &subids, &identity.uids);
	check(&identity.uids, 0);
	idmap_build_pinned(100000, &subids, &identity.gids);
	check(&identity.gids, 0);

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		cleanup_free char *map = NULL;

		request.text = modes[i];
		if (userns_mode_resolve(&request, &uids, &gids, &shifted,
					NULL) < 0)
			continue;
		map = idmap_text(&uids);
		/* What one write(2) to uid_map takes. */
		assert(strlen(map) < 4096);
		assert(idmap_size(&uids) <= idmap_size(&identity.uids));
	}

	/* As a mode, and as a map. */
	request.text = text;
	(void)userns_mode_resolve(&request, &uids, &gids, &shifted, NULL);
	if (idmap_parse(text, &uids) == 0)
		assert(uids.count > 0 && uids.count <= ID_MAP_MAX);
	return 0;
}
