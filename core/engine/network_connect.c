/* A container that joins or leaves a network: core/engine/engine.h. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/egress.h"
#include "core/engine/endpoints.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/network_files.h"
#include "core/engine/network_store.h"

static bool lives(const struct container *container)
{
	return container->state.status == CONTAINER_RUNNING ||
	       container->state.status == CONTAINER_PAUSED;
}

/* May the container have further networks? docker's words. */
static int check_mode(const struct container *container, struct error *err)
{
	const cJSON *host = member_get(container->json, "HostConfig");
	const char *mode = member_string(host, "NetworkMode");

	if (str_equal(mode, "host") || mode_container(mode))
		return err_set(err, ERROR_INVALID,
			       "container sharing network namespace with "
			       "another container or host cannot be connected "
			       "to any other network");
	if (str_equal(mode, "none"))
		return err_set(err, ERROR_INVALID,
			       "container cannot be connected to multiple "
			       "networks with one of the networks in private "
			       "(none) mode");
	return egress_check_connect(container->json, lives(container), err);
}

/* Its array of endpoints, made when there is none. */
static cJSON *endpoints_of(cJSON *container)
{
	cJSON *moss = cJSON_GetObjectItemCaseSensitive(container, "Moss");
	cJSON *array = cJSON_GetObjectItemCaseSensitive(moss, "Networks");

	if (!array) {
		array = json_array();
		json_set(moss, "Networks", array);
	}
	return array;
}

/* The record as it is now, to a running container. */
static int apply(struct container *container, struct error *err)
{
	int r = record_write(&container->record, container->json, err);

	if (r < 0 || !lives(container))
		return r;
	r = network_files_write(container, true, err);
	return r < 0 ? r : monitor_sync_networks(&container->record, err);
}

int engine_network_connect(struct engine *engine, const char *network,
			   const char *id, const cJSON *settings,
			   struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cJSON *endpoint = NULL;
	cJSON *endpoints;
	int r;

	r = network_find(&engine->store, network, &record, err);
	r = r < 0 ? r : container_open_locked(engine, id, &container, err);
	r = r < 0 ? r : check_mode(&container, err);
	if (r < 0)
		return r;
	if (record.built_in)
		return err_set(err, ERROR_UNSUPPORTED,
			       "a container is on network %s from its creation "
			       "on or not at all",
			       record.name);
	if (endpoint_find(container.json, record.name))
		return err_set(
			err, ERROR_PERMISSION,
			"endpoint with name %s already exists in network "
			"%s",
			container.name, record.name);
	r = endpoint_make(engine, record.name, settings, &endpoint, err);
	if (r < 0)
		return r;
	endpoints = endpoints_of(container.json);
	json_push(endpoints, endpoint);
	if (lives(&container))
		r = endpoints_prepare(engine, container.record.id,
				      container.json, err);
	r = r < 0 ? r : apply(&container, err);
	if (r >= 0)
		return 0;
	/* As if nothing had been. */
	endpoints_release(engine, container.record.id, container.json,
			  record.name);
	cJSON_Delete(cJSON_DetachItemViaPointer(endpoints, endpoint));
	(void)apply(&container, NULL);
	return r;
}

int engine_network_disconnect(struct engine *engine, const char *network,
			      const char *id, bool force, struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cJSON *endpoint;
	int r;

	r = container_open_locked(engine, id, &container, err);
	if (r < 0)
		return r;
	/* By force from one that is gone, too. */
	r = network_find(&engine->store, network, &record, force ? NULL : err);
	if (r < 0 && !force)
		return r;
	endpoint = endpoint_find(container.json,
				 record.name ? record.name : network);
	if (record.built_in && !endpoint)
		return err_set(err, ERROR_UNSUPPORTED,
			       "a container is on network %s from its creation "
			       "on or not at all",
			       record.name);
	if (!endpoint)
		return err_set(err, ERROR_PERMISSION,
			       "container %s is not connected to network %s",
			       container.record.id,
			       record.name ? record.name : network);
	endpoints_release(engine, container.record.id, container.json,
			  member_string(endpoint, "Name"));
	cJSON_Delete(cJSON_DetachItemViaPointer(endpoints_of(container.json),
						endpoint));
	r = lives(&container) ? endpoints_prepare(engine, container.record.id,
						  container.json, err)
			      : 0;
	return r < 0 ? r : apply(&container, err);
}
