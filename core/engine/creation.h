/*
 * A container on its way into the world: what create.c fills step by step from
 * a ContainerCreate body, and what its steps in create_join.c, create_user.c
 * and create_write.c share. Everything is checked before anything is made; what
 * is made is taken back when a later step fails.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/engine/container.h"
#include "core/engine/egress.h"
#include "core/engine/mounts.h"
#include "core/engine/network.h"
#include "core/engine/security.h"

struct step_request;

struct creation {
	struct engine *engine;
	const cJSON *body;
	const struct step_request *step; /* of a build, else NULL */
	cJSON *config;			 /* docker's Config, merged */
	cJSON *host;			 /* HostConfig, normalised */
	struct image image;
	struct network network;
	enum publish_mode publish_mode;
	struct egress_policy *egress; /* NULL: none */
	struct security security;
	struct mount_list mounts;
	struct id_map uids;
	struct id_map gids;
	bool userns_joined;
	bool userns_auto;
	bool shifted;
	enum snapshot_driver driver;
	uint64_t capabilities;
	bool no_new_privileges;
	char **warnings;

	char id[ID_TEXT_MAX];
	char *name; /* once it is claimed */
	struct record record;
	char **created_volumes;
};

/*
 * create_join.c: other containers that this one names. NetworkMode, IpcMode and
 * PidMode become "container:ID"; a joined user namespace and, with the network,
 * the host name are taken over; mounts of --volumes-from are put in the list.
 */
int creation_join(struct creation *creation, struct error *err);
int creation_volumes_from(struct creation *creation, struct error *err);

/* create_user.c: user namespace and who runs in it. */
int creation_userns(struct creation *creation, struct error *err);
int creation_check_user(const struct creation *creation, struct error *err);

/* create.c: all of it; frees what it holds. */
int creation_run(struct creation *creation, const char *name,
		 char ret_id[ID_TEXT_MAX], char ***ret_warnings,
		 struct error *err);

/* step.c: in place of an image, and what is mounted besides. */
int creation_step_root(struct creation *creation, struct error *err);
int creation_step_mounts(struct creation *creation, struct error *err);

/* create_write.c: makes the record under the name, NULL for a random one. */
int creation_write(struct creation *creation, const char *name,
		   struct error *err);
