/*
 * User and group ID maps.
 *
 * Three spaces: the host's; the pinned namespace's, where all of moss works
 * (0 is the user, 1… are the sub-IDs of /etc/subuid and /etc/subgid, in order);
 * the container's. A container's map is written in terms of the pinned
 * namespace, since that is its parent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define ID_MAP_MAX	 340	    /* extents; the kernel's limit */
#define SUBID_FILE_MAX	 (4u << 20) /* bytes */
#define USERNS_AUTO_SIZE 1024

struct id_extent {
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
};

struct id_map {
	struct id_extent extents[ID_MAP_MAX];
	size_t count;
};

/* Who runs moss, learnt before any namespace is joined. */
struct identity {
	uid_t uid; /* on the host */
	gid_t gid;
	char user[256];	    /* login name, or the number where there is none */
	bool mapped;	    /* false: single-ID mode, only 0 exists */
	struct id_map uids; /* pinned -> host */
	struct id_map gids;
};

/*
 * Sub-IDs of the user in /etc/subuid or /etc/subgid, by name or number. 0 or
 * more extents with inside = 1…; limited to ID_MAP_MAX - 1. No file: none.
 * Lines that make no sense, that overlap an earlier one or that would give away
 * ID 0 are as if not there.
 */
int idmap_read_subids(const char *file, const char *user, uid_t uid,
		      struct id_map *ret_map, struct error *err);
/* The same from the file's content. */
void idmap_parse_subids(const char *text, size_t length, const char *user,
			uid_t uid, struct id_map *ret_map);
/*
 * The pinned namespace's map: own is 0, the sub-IDs follow from 1 without gaps
 * (own itself left out); as much of them as the kernel takes. Extents are not
 * merged: the kernel wants each of a map's to lie within one of the parent's.
 */
void idmap_build_pinned(uint32_t own, const struct id_map *subids,
			struct id_map *ret_map);
/* Content of /proc/PID/uid_map; -EBADMSG for anything else. */
int idmap_parse(const char *text, struct id_map *ret_map);

uint64_t idmap_size(const struct id_map *map); /* IDs mapped */
/* "0 1000 1\n1 100000 65536\n" as /proc/PID/uid_map takes it; caller frees. */
char *idmap_text(const struct id_map *map);
/* Inside to outside; -ERANGE when unmapped. */
int idmap_to_outside(const struct id_map *map, uint32_t inside,
		     uint32_t *ret_outside);
int idmap_to_inside(const struct id_map *map, uint32_t outside,
		    uint32_t *ret_inside);

/*
 * --userns. The maps returned go from the container to the pinned namespace,
 * cut where the pinned one's own map has a border, as the kernel wants it.
 *   "" or "host"            the same IDs as the pinned namespace
 *   "nomap"                 the user is not mapped; 0… are the sub-IDs
 *   "keep-id[:uid=U,gid=G]" the user is U:G inside (default: as on the host)
 *   "auto[:size=N]"         N (default 1024 … as podman) IDs of its own,
 * disjoint from those in taken (pinned-side extents) Single-ID mode: "" and
 * keep-id only. Not mapped, out of range, unknown words: an error that names
 * the option.
 */
struct userns_mode_request {
	const char *text;
	const struct identity *identity;
	const struct id_extent *taken; /* of other auto containers */
	size_t taken_count;
};
int userns_mode_resolve(const struct userns_mode_request *request,
			struct id_map *ret_uids, struct id_map *ret_gids,
			bool *ret_shifted, struct error *err);
