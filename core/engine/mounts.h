/*
 * What a container mounts besides its root: binds and volumes of -v
 * (HostConfig.Binds), HostConfig.Mounts, HostConfig.Tmpfs, --volumes-from, and
 * the volumes that the image names.
 *
 * At creation everything is checked and put in one list, then volumes are made
 * (anonymous ones get a random name). The list goes to container.json twice:
 * as docker's "Mounts", and whole as Engine.Mounts, from which a start builds
 * the OCI mounts. A later destination never silently replaces an earlier one,
 * but for docker's two exceptions: binds replace what --volumes-from brings,
 * and a volume of the image gives way to anything.
 *
 * An image (type "image") is always read-only, as docker has it, and kept for
 * as long as the container is there, like the container's own. What a build
 * mounts (core/build/run_mounts.h) may be written to; what is written is gone
 * when the container ends.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "storage/store/store.h"

#define MOUNTS_MAX 512

enum mount_kind { MOUNT_BIND, MOUNT_VOLUME, MOUNT_TMPFS, MOUNT_IMAGE };

struct mount_point {
	enum mount_kind kind;
	/* Of the volume, NULL until an anonymous one has one; of an image as
	   the user has it. */
	char *name;
	char *source;	   /* on the host; an image's ID; NULL for tmpfs */
	char *destination; /* absolute and clean */
	char *mode;	   /* as inspect shows it */
	char *propagation; /* "rprivate" … for binds, else "" */
	char *options;	   /* tmpfs: "noexec,size=64m,…" */
	char *subpath; /* of a volume or an image, relative; NULL: all of it */
	char **layers; /* of an image: diff IDs, lowest first */
	/* Instead of layers, for a build only: absolute, lowest first. */
	char **directories;
	cJSON *labels;	       /* of a volume to be made, may be NULL */
	cJSON *driver_options; /* likewise */
	bool read_only;
	bool copy;	    /* fill an empty volume from the image */
	bool anonymous;	    /* its volume goes with the container */
	bool create_source; /* -v: a missing directory is made at start */
	bool non_recursive;
	bool chown;  /* "U": given to the container's user at each start */
	bool listed; /* in docker's Mounts (HostConfig.Tmpfs is not) */
	/* For a build only: */
	bool in_root; /* bind: subpath's links are those of a root at source */
	bool temporary; /* a mount point that was made goes with the mount */
};

struct mount_list {
	struct mount_point *entries;
	size_t count;
};

void mount_point_release(struct mount_point *point);
void mount_list_release(struct mount_list *list);
/* Takes *point; replaces one with the same destination. */
int mount_list_add(struct mount_list *list, struct mount_point *point,
		   struct error *err);
const struct mount_point *mount_list_find(const struct mount_list *list,
					  const char *destination);

/* mount_parse.c: one entry each, without looking at other objects. */
int mount_parse_bind(const char *text, struct mount_point *ret_point,
		     struct error *err);
int mount_parse_spec(const cJSON *mount, struct mount_point *ret_point,
		     struct error *err);
int mount_parse_tmpfs(const char *destination, const char *options,
		      struct mount_point *ret_point, struct error *err);
/* "NAME[:ro|rw]" of --volumes-from. */
int mount_parse_volumes_from(const char *text, char **ret_name,
			     bool *ret_read_only, struct error *err);

/*
 * host: a checked HostConfig. from: mounts of the --volumes-from containers
 * with what they override done already; may be empty. volumes: the merged
 * Config.Volumes.
 */
int mounts_collect(const cJSON *host, const cJSON *volumes,
		   struct mount_list *list, struct error *err);

/*
 * Finds the images, under the store's lock. ERROR_NOT_FOUND "No such image: …".
 */
int mounts_find_images(struct store *store, struct mount_list *list,
		       struct error *err);

/*
 * Makes the volumes. *created (strv) gets the names of those that were not
 * there before, on failure too: the caller removes them then.
 */
int mounts_make_volumes(struct store *store, struct mount_list *list,
			char ***created, struct error *err);

cJSON *mounts_docker_json(const struct mount_list *list);
cJSON *mounts_json(const struct mount_list *list);
int mounts_parse_json(const cJSON *array, struct mount_list *ret_list,
		      struct error *err);

/*
 * OCI mount of one point. first: the container's first start, when empty
 * volumes are filled from the image.
 */
cJSON *mount_oci_json(const struct mount_point *point, bool first);
