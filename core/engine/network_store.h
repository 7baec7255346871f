/*
 * Networks on disk: networks/NAME/ below the store's root.
 *
 *   network.json     docker's Network (inspect) without its Containers
 *   addresses/ADDR   a symbolic link whose text is the ID of the container
 *                    that has the address; symlink(2) is exclusive, and is what
 *                    makes an address one container's. It stays over stop and
 *                    start and goes with the container, or when that leaves the
 *                    network; one whose container is gone is free
 *   endpoints/, operation.lock, gateway.json   core/monitor/networks.h
 *
 * networks/.lock is held while a network is made or removed and while a
 * container takes an address, so that networks/NAME is all there or not at all.
 * A network is made below tmp/ and renamed into place, and renamed away before
 * it is removed.
 *
 * bridge, host and none are networks without a record: what a container has
 * that names no other.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "net/pool.h"
#include "storage/store/store.h"

#define NETWORK_NAME_MAX	     255
#define NETWORK_OPTION_MTU	     "com.docker.network.driver.mtu"
#define NETWORK_OPTION_ICC	     "com.docker.network.bridge.enable_icc"
#define NETWORK_OPTION_HOST_LOOPBACK "moss.host_loopback"

struct network_record {
	char *name;
	char id[ID_TEXT_MAX];
	cJSON *json;
	bool built_in;
};

void network_record_release(struct network_record *record);
/* docker's rule for names. */
int network_name_check(const char *name, struct error *err);
bool network_is_built_in(const char *name);

/* The directory networks/, made when it is missing. */
int network_directory(const struct store *store, struct error *err);
int network_lock(const struct store *store, struct error *err);

/* By name, ID or a unique beginning of an ID; "network NAME not found". */
int network_find(const struct store *store, const char *name,
		 struct network_record *ret_record, struct error *err);
/* Names of those with a record, sorted; NULL when there are none. */
int network_names(const struct store *store, char ***ret_names,
		  struct error *err);

/* Under the lock. json: with a Name, which is free. */
int network_write(struct store *store, const cJSON *json, struct error *err);
int network_delete(struct store *store, const char *name, struct error *err);

/* The pool of family (AF_INET, AF_INET6) that it has; false: none. */
bool network_pool(const struct network_record *record, int family,
		  struct net_pool *ret_pool);
/* How long its packets may be. */
unsigned int network_mtu(const struct network_record *record);
/* An option that is a truth value; otherwise when it is not given. */
bool network_option(const struct network_record *record, const char *name,
		    bool otherwise);

/*
 * Under the lock: claims an address for container id: the wanted one (family 0:
 * any), else the first that is free. ERROR_CONFLICT "Address already in use",
 * "no available IPv4 addresses on this network's address pools: NAME (ID)".
 */
int network_claim(const struct store *store,
		  const struct network_record *record,
		  const struct net_pool *pool,
		  const struct net_address_value *wanted, const char *id,
		  struct net_address_value *ret_address, struct error *err);
