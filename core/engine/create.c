/*
 * ContainerCreate. In order: what needs the body alone, then the image, then
 * other containers, then what this machine allows; only then anything is made.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/creation.h"
#include "core/engine/endpoints.h"
#include "core/engine/hostconfig.h"
#include "core/engine/limits.h"
#include "core/engine/members.h"
#include "core/engine/resources.h"
#include "core/engine/settings.h"
#include "policy/capability.h"
#include "policy/seccomp.h"
#include "storage/root/volume.h"
#include "storage/store/layer.h"
#include "storage/store/platform.h"

static void creation_release(struct creation *creation)
{
	cJSON_Delete(creation->config);
	cJSON_Delete(creation->host);
	image_release(&creation->image);
	network_release(&creation->network);
	if (creation->egress)
		egress_policy_release(creation->egress);
	free(creation->egress);
	mount_list_release(&creation->mounts);
	strv_free(creation->warnings);
	strv_free(creation->created_volumes);
	free(creation->name);
	record_close(&creation->record);
}

/* What the body says by itself. */
static int check_body(struct creation *creation, struct error *err)
{
	const cJSON *given = member_get(creation->body, "HostConfig");
	int r;

	r = config_check_body(creation->body, err);
	if (r < 0)
		return r;
	r = host_config_check(given, false, err);
	if (r < 0)
		return r;
	r = host_config_check_conflicts(creation->body, given,
					&creation->warnings, err);
	if (r < 0)
		return r;
	creation->host = host_config_normalise(given);
	limits_discard(creation->host, &creation->warnings);
	if (member_bool(creation->body, "NetworkDisabled"))
		json_set_string(creation->host, "NetworkMode", "none");
	return security_parse(creation->host, &creation->security,
			      &creation->warnings, err);
}

/* Platform wanted by HostConfig.Moss; without one an image for another kind of
   machine may still run, by emulation. */
static int check_platform(struct creation *creation, struct error *err)
{
	const char *wanted =
		member_string(member_get(creation->host, "Moss"), "Platform");
	const cJSON *config = creation->image.config;
	char have_text[PLATFORM_TEXT_MAX], host_text[PLATFORM_TEXT_MAX];
	struct platform have, host;

	if (*wanted)
		return image_check_platform(&creation->image,
					    creation->image.id, wanted, err);
	platform_host(&host);
	platform_set(&have, member_string(config, "os"),
		     member_string(config, "architecture"),
		     member_string(config, "variant"));
	if (*have.architecture == '\0' || platform_match(&host, &have) > 0)
		return 0;
	platform_text(have_text, &have);
	platform_text(host_text, &host);
	strv_push_take(&creation->warnings,
		       xasprintf("The requested image's platform (%s) does not "
				 "match the detected host platform (%s) and no "
				 "specific platform was requested",
				 have_text, host_text));
	return 0;
}

static int find_image(struct creation *creation, struct error *err)
{
	const char *name = member_string(creation->body, "Image");
	int r;

	if (creation->step)
		return creation_step_root(creation, err);
	if (*name == '\0')
		return err_set(err, ERROR_INVALID, "no image given");
	r = image_find(&creation->engine->store, name, &creation->image, err);
	if (r < 0)
		return r;
	r = check_platform(creation, err);
	if (r < 0)
		return r;
	return config_merge(creation->body,
			    member_get(creation->image.config, "config"),
			    &creation->config, err);
}

/* Where the user gave no host name: docker's, or the host's. */
static int set_hostname(struct creation *creation, struct error *err)
{
	const char *network = member_string(creation->host, "NetworkMode");
	const char *uts = member_string(creation->host, "UTSMode");
	cleanup_free char *name = NULL;
	struct utsname host;

	if (*member_string(creation->config, "Hostname"))
		return 0;
	if (str_equal(network, "host") || str_equal(uts, "host")) {
		if (uname(&host) < 0)
			return err_errno(err, "cannot read the host's name");
		name = xstrdup(host.nodename);
	} else {
		name = xstrndup(creation->id, 12);
	}
	json_set_string(creation->config, "Hostname", name);
	return 0;
}

/*
 * Without a program that gains privileges (set-uid, set-gid, file capabilities)
 * in the image nothing is lost by forbidding it. A step of a build may install
 * one before it uses it.
 */
static bool image_gains_privileges(const struct creation *creation)
{
	const struct store *store = &creation->engine->store;
	char *const *diff_ids = creation->image.diff_ids;

	if (creation->step)
		return true;
	for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
		struct layer layer;

		if (layer_read(store, diff_ids[i], &layer, NULL) < 0 ||
		    layer.privileged > 0)
			return true;
	}
	return false;
}

static int check_seccomp(const struct creation *creation, struct error *err)
{
	const cJSON *moss = member_get(creation->host, "Moss");
	const char *name = member_string(moss, "SeccompName");
	struct seccomp_filter filter = {0};
	struct seccomp_request request = {
		.profile = creation->security.profile,
		.name = *name ? name : "seccomp profile",
		.capabilities = creation->capabilities,
		.single_id = !creation->engine->identity.mapped,
	};
	int r;

	if (creation->security.seccomp != LAUNCH_SECCOMP_FILE)
		return 0;
	/* The compiled filter stays in the cache for the start. */
	request.profile_length = strlen(request.profile);
	r = seccomp_filter_load(&request, creation->engine->cache_fd, &filter,
				err);
	if (r < 0)
		return r;
	seccomp_filter_release(&filter);
	return 0;
}

static int check_security(struct creation *creation, struct error *err)
{
	cleanup_strv char **add = member_strv(creation->host, "CapAdd");
	cleanup_strv char **drop = member_strv(creation->host, "CapDrop");
	bool privileged = member_bool(creation->host, "Privileged");
	int r;

	r = capability_resolve(add, drop, privileged, &creation->capabilities,
			       err);
	if (r < 0)
		return r;
	if (creation->security.no_new_privileges_given)
		creation->no_new_privileges =
			creation->security.no_new_privileges;
	else
		creation->no_new_privileges =
			!privileged && !image_gains_privileges(creation);
	if (creation->security.system_paths) {
		json_set(creation->host, "MaskedPaths", json_array());
		json_set(creation->host, "ReadonlyPaths", json_array());
	}
	return check_seccomp(creation, err);
}

static int check_resources(const struct creation *creation, struct error *err)
{
	static const char *const members[] = {"NetworkMode", "IpcMode",
					      "UTSMode"};
	const cJSON *host = creation->host;
	bool own[ARRAY_SIZE(members)];
	struct resource_namespaces namespaces;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		own[i] = !str_equal(member_string(host, members[i]), "host");
	namespaces = (struct resource_namespaces){
		.network = own[0], .ipc = own[1], .uts = own[2]};
	r = sysctls_check(host, &namespaces, err);
	if (r < 0)
		return r;
	r = ulimits_check(host, err);
	if (r < 0)
		return r;
	r = oom_score_check(host, err);
	if (r < 0)
		return r;
	r = limits_check_cgroup(host, host, err);
	if (r < 0)
		return r;
	return devices_check(host, err);
}

static int refuse_slirp(struct error *err)
{
	err_set(err, ERROR_UNSUPPORTED,
		"ports cannot be published in slirp mode without --network "
		"slirp");
	return err_hint(err, "use --publish-mode splice");
}

/*
 * The one that is asked for, else moss.conf's. Noted in HostConfig as it is
 * meant, so that inspect tells and a later moss.conf changes nothing.
 */
static int choose_publish_mode(struct creation *creation,
			       const struct conf *conf, struct error *err)
{
	cJSON *moss = cJSON_GetObjectItemCaseSensitive(creation->host, "Moss");
	const char *wanted = member_string(moss, "PublishMode");
	const struct conf_entry *entry = NULL;
	int r;

	if (*wanted == '\0')
		entry = conf_get(conf, PORT_CONF_SECTION, NULL,
				 PORT_CONF_PUBLISH_MODE);
	r = publish_mode_parse(entry ? entry->value : wanted,
			       &creation->publish_mode, err);
	if (r >= 0 && creation->publish_mode == PUBLISH_SLIRP &&
	    creation->network.kind != LAUNCH_NETWORK_SLIRP) {
		if (!entry)
			return refuse_slirp(err);
		creation->publish_mode = PUBLISH_AUTO;
	}
	if (r < 0 && entry) {
		cleanup_free char *where = conf_where(conf, entry);

		return err_wrap(err, "%s", where);
	}
	if (r >= 0 && moss)
		json_set_string(moss, "PublishMode",
				publish_mode_name(creation->publish_mode));
	return r;
}

/*
 * What is handed into the container would be the host's, past the policy; and
 * what libslirp forwards comes through the tap, where the policy looks at it.
 */
static int check_publish_mode(const struct creation *creation,
			      struct error *err)
{
	enum publish_mode mode = creation->publish_mode;

	if (!creation->egress ||
	    (mode != PUBLISH_NATIVE && mode != PUBLISH_SLIRP))
		return 0;
	err_set(err, ERROR_INVALID,
		"ports cannot be published in %s mode beside an egress policy",
		publish_mode_name(mode));
	return err_hint(err, "use --publish-mode splice");
}

/* What nobody has asked for is as moss.conf says. */
static int choose_network(struct creation *creation, struct error *err)
{
	CLEANUP(conf_release) struct conf conf = {0};
	struct network *network = &creation->network;
	const struct conf_entry *entry;
	int r = settings_read(creation->engine, &conf, err);

	if (r < 0)
		return r;
	entry = conf_get(&conf, PORT_CONF_SECTION, NULL,
			 PORT_CONF_HOST_LOOPBACK);
	if (entry && !network->host_loopback_given)
		network->host_loopback = entry->number != 0;
	return choose_publish_mode(creation, &conf, err);
}

/* Layers have the IDs of the pinned namespace, and overlay shifts none. */
static int find_mounted_images(struct creation *creation, struct error *err)
{
	const struct mount_list *list = &creation->mounts;

	for (size_t i = 0; creation->shifted && i < list->count; i++) {
		if (list->entries[i].kind != MOUNT_IMAGE)
			continue;
		err_set(err, ERROR_UNSUPPORTED,
			"an image cannot be mounted on %s in a container that "
			"has IDs of its own",
			list->entries[i].destination);
		return err_hint(err, "leave --userns away");
	}
	return mounts_find_images(&creation->engine->store, &creation->mounts,
				  err);
}

static int choose_driver(struct creation *creation, struct error *err)
{
	const cJSON *moss = member_get(creation->host, "Moss");
	enum snapshot_driver wanted;
	int r;

	r = snapshot_driver_from_name(member_string(moss, "StorageDriver"),
				      &wanted, err);
	if (r < 0)
		return r;
	return snapshot_choose(&creation->engine->store, wanted,
			       creation->shifted, creation->engine->cache_fd,
			       &creation->driver, NULL, err);
}

static int prepare(struct creation *creation, struct error *err)
{
	int r;

	r = find_image(creation, err);
	if (r < 0)
		return r;
	r = network_parse(creation->body, creation->host,
			  member_get(creation->config, "ExposedPorts"),
			  &creation->network, &creation->warnings, err);
	if (r < 0)
		return r;
	r = endpoints_parse(creation->engine, creation->body,
			    member_string(creation->host, "NetworkMode"),
			    creation->network.kind,
			    &creation->network.endpoints, err);
	if (r < 0)
		return r;
	r = choose_network(creation, err);
	if (r < 0)
		return r;
	r = egress_policy_take(creation->host, &creation->network,
			       &creation->egress, err);
	if (r < 0)
		return r;
	r = check_publish_mode(creation, err);
	if (r < 0)
		return r;
	r = creation_join(creation, err);
	if (r < 0)
		return r;
	r = set_hostname(creation, err);
	if (r < 0)
		return r;
	r = creation_userns(creation, err);
	if (r < 0)
		return r;
	r = creation_check_user(creation, err);
	if (r < 0)
		return r;
	r = check_security(creation, err);
	if (r < 0)
		return r;
	r = check_resources(creation, err);
	if (r < 0)
		return r;
	r = creation_volumes_from(creation, err);
	if (r < 0)
		return r;
	r = mounts_collect(creation->host,
			   member_get(creation->config, "Volumes"),
			   &creation->mounts, err);
	if (r >= 0 && creation->step)
		r = creation_step_mounts(creation, err);
	if (r < 0)
		return r;
	r = find_mounted_images(creation, err);
	if (r < 0)
		return r;
	return choose_driver(creation, err);
}

static int run(struct creation *creation, const char *name, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r;

	if (name && *name == '/')
		name++;
	if (name) {
		r = container_name_check(name, err);
		if (r < 0)
			return r;
	}
	r = check_body(creation, err);
	if (r < 0)
		return r;
	random_id(creation->id);
	/* Held until the record says which image and volumes it uses. */
	lock_fd = store_lock(&creation->engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = prepare(creation, err);
	if (r < 0)
		return r;
	r = creation_write(creation, name, err);
	for (size_t i = 0;
	     r < 0 && creation->created_volumes && creation->created_volumes[i];
	     i++)
		(void)volume_remove(&creation->engine->store,
				    creation->created_volumes[i], NULL);
	return r;
}

int creation_run(struct creation *creation, const char *name,
		 char ret_id[ID_TEXT_MAX], char ***ret_warnings,
		 struct error *err)
{
	int r = run(creation, name, err);

	if (r >= 0) {
		memcpy(ret_id, creation->id, ID_TEXT_MAX);
		if (ret_warnings)
			*ret_warnings = steal_ptr(&creation->warnings);
	}
	creation_release(creation);
	return r < 0 ? r : 0;
}

int engine_container_create(struct engine *engine, const cJSON *body,
			    const char *name, char ret_id[ID_TEXT_MAX],
			    char ***ret_warnings, struct error *err)
{
	struct creation creation = {
		.engine = engine,
		.body = body,
		.record = RECORD_NONE,
	};

	return creation_run(&creation, name, ret_id, ret_warnings, err);
}
