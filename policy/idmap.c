#include "policy/idmap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define SUBID_LINE_MAX 512
/* The kernel takes 4095 bytes; a container's map may need a few lines more. */
#define PINNED_TEXT_MAX 3500
/* 2^32 - 1 is "no ID" to the kernel, so it can not be in a range. */
#define ID_END UINT64_C(0xffffffff)

uint64_t idmap_size(const struct id_map *map)
{
	uint64_t size = 0;

	for (size_t i = 0; i < map->count; i++)
		size += map->extents[i].count;
	return size;
}

char *idmap_text(const struct id_map *map)
{
	struct str text = {0};

	for (size_t i = 0; i < map->count; i++)
		str_appendf(&text, "%u %u %u\n", map->extents[i].inside,
			    map->extents[i].outside, map->extents[i].count);
	return str_steal(&text);
}

int idmap_to_outside(const struct id_map *map, uint32_t inside,
		     uint32_t *ret_outside)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct id_extent *extent = &map->extents[i];

		if (inside >= extent->inside &&
		    inside - extent->inside < extent->count) {
			*ret_outside =
				extent->outside + (inside - extent->inside);
			return 0;
		}
	}
	return -ERANGE;
}

int idmap_to_inside(const struct id_map *map, uint32_t outside,
		    uint32_t *ret_inside)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct id_extent *extent = &map->extents[i];

		if (outside >= extent->outside &&
		    outside - extent->outside < extent->count) {
			*ret_inside =
				extent->inside + (outside - extent->outside);
			return 0;
		}
	}
	return -ERANGE;
}

static bool overlaps(const struct id_map *map, uint32_t outside, uint32_t count)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct id_extent *extent = &map->extents[i];

		if (outside < (uint64_t)extent->outside + extent->count &&
		    extent->outside < (uint64_t)outside + count)
			return true;
	}
	return false;
}

/* Appends a range behind the last one; the first one begins at inside 0. */
static void append(struct id_map *map, uint32_t outside, uint32_t count)
{
	uint32_t inside = 0;

	if (count == 0 || map->count == ID_MAP_MAX)
		return;
	if (map->count > 0) {
		const struct id_extent *last = &map->extents[map->count - 1];

		inside = last->inside + last->count;
	}
	map->extents[map->count++] = (struct id_extent){
		.inside = inside,
		.outside = outside,
		.count = count,
	};
}

/* "NAME:START:COUNT" in line, which it cuts up. */
static bool parse_subid_line(char *line, const char *user, uid_t uid,
			     uint32_t *ret_start, uint32_t *ret_count)
{
	char *start = strchr(line, ':');
	char *count = start ? strchr(start + 1, ':') : NULL;
	uint64_t start_value;
	uint64_t count_value;
	uint64_t number;
	char *end;

	if (!count)
		return false;
	*start++ = '\0';
	*count++ = '\0';
	end = count + strlen(count);
	while (end > count && isspace((unsigned char)end[-1]))
		*--end = '\0';
	if (!str_equal(line, user) &&
	    (parse_u64(line, &number) < 0 || number != uid))
		return false;
	if (parse_u64(start, &start_value) < 0 ||
	    parse_u64(count, &count_value) < 0)
		return false;
	/* 0 would be the host's root. */
	if (start_value == 0 || start_value >= ID_END || count_value == 0 ||
	    count_value > ID_END - start_value)
		return false;
	*ret_start = (uint32_t)start_value;
	*ret_count = (uint32_t)count_value;
	return true;
}

void idmap_parse_subids(const char *text, size_t length, const char *user,
			uid_t uid, struct id_map *ret_map)
{
	const char *at = text;
	const char *end = text + length;

	ret_map->count = 0;
	while (at < end && ret_map->count < ID_MAP_MAX - 1) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t size = (size_t)((newline ? newline : end) - at);
		char line[SUBID_LINE_MAX];
		uint32_t start;
		uint32_t count;

		if (size < sizeof(line) && *at != '#' &&
		    !memchr(at, '\0', size)) {
			memcpy(line, at, size);
			line[size] = '\0';
			if (parse_subid_line(line, user, uid, &start, &count) &&
			    !overlaps(ret_map, start, count) &&
			    idmap_size(ret_map) + count < ID_END)
				append(ret_map, start, count);
		}
		if (!newline)
			break;
		at = newline + 1;
	}
	/* 0 is the user's own place. */
	for (size_t i = 0; i < ret_map->count; i++)
		ret_map->extents[i].inside++;
}

int idmap_read_subids(const char *file, const char *user, uid_t uid,
		      struct id_map *ret_map, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	r = file_read_at(AT_FDCWD, file, SUBID_FILE_MAX, &text, &length, err);
	if (r == -ENOENT) {
		err_clear(err);
		ret_map->count = 0;
		return 0;
	}
	if (r < 0)
		return r;
	idmap_parse_subids(text, length, user, uid, ret_map);
	return 0;
}

static bool text_fits(const struct id_map *map)
{
	cleanup_free char *text = idmap_text(map);

	return strlen(text) <= PINNED_TEXT_MAX;
}

void idmap_build_pinned(uint32_t own, const struct id_map *subids,
			struct id_map *ret_map)
{
	ret_map->count = 0;
	append(ret_map, own, 1);
	for (size_t i = 0; i < subids->count; i++) {
		const struct id_extent *extent = &subids->extents[i];
		uint32_t before = extent->count;
		uint32_t after = 0;

		if (own >= extent->outside &&
		    own - extent->outside < extent->count) {
			before = own - extent->outside;
			after = extent->count - before - 1;
		}
		append(ret_map, extent->outside, before);
		append(ret_map, own + 1, after);
	}
	while (!text_fits(ret_map))
		ret_map->count--;
}

int idmap_parse(const char *text, struct id_map *ret_map)
{
	struct id_map map = {.count = 0};
	unsigned long long inside;
	unsigned long long outside;
	unsigned long long count;
	int used;

	while (sscanf(text, " %10llu %10llu %10llu%n", &inside, &outside,
		      &count, &used) == 3) {
		if (map.count == ID_MAP_MAX || count == 0 || count > ID_END ||
		    inside + count > ID_END || outside + count > ID_END)
			return -EBADMSG;
		map.extents[map.count++] = (struct id_extent){
			.inside = (uint32_t)inside,
			.outside = (uint32_t)outside,
			.count = (uint32_t)count,
		};
		text += used;
	}
	text += strspn(text, " \n");
	if (*text || map.count == 0)
		return -EBADMSG;
	*ret_map = map;
	return 0;
}
