#include "cmd/container_options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/fields.h"

/* -v: a source that begins with a dot is a path here, as docker's client has
   it; whatever else is not absolute is a volume's name. */
static int bind_text(const char *text, char **ret_bind, struct error *err)
{
	cleanup_strv char **parts = strv_split(text, ':');
	size_t count = strv_length(parts);
	cleanup_free char *source = NULL;
	char directory[PATH_MAX];

	if (count > 3 || parts[0][0] == '\0' ||
	    (count > 1 && parts[1][0] == '\0'))
		return err_set(err, ERROR_INVALID,
			       "invalid volume specification: '%s': expected "
			       "[SOURCE:]DESTINATION[:OPTIONS]",
			       text);
	if (count == 1 || parts[0][0] != '.') {
		*ret_bind = xstrdup(text);
		return 0;
	}
	if (!getcwd(directory, sizeof(directory)))
		return err_errno(err, "cannot read the working directory");
	source = path_join(directory, parts[0]);
	*ret_bind = xasprintf("%s%s", source, text + strlen(parts[0]));
	return 0;
}

/* A volume without a source is anonymous: an entry of Volumes. */
static int add_volumes(const struct options *options, cJSON *body, cJSON *host,
		       struct error *err)
{
	char *const *list = option_list(options, "volume");
	cJSON *binds = json_array();
	cJSON *volumes = json_object();

	json_set(host, "Binds", binds);
	json_set(body, "Volumes", volumes);
	for (size_t i = 0; list[i]; i++) {
		cleanup_free char *bind = NULL;
		int r;

		r = bind_text(list[i], &bind, err);
		if (r < 0)
			return r;
		if (strchr(bind, ':'))
			json_push_string(binds, bind);
		else if (!cJSON_HasObjectItem(volumes, bind))
			json_set(volumes, bind, json_object());
	}
	return 0;
}

static void add_tmpfs(const struct options *options, cJSON *host)
{
	char *const *list = option_list(options, "tmpfs");
	cJSON *tmpfs = json_object();

	json_set(host, "Tmpfs", tmpfs);
	for (size_t i = 0; list[i]; i++) {
		const char *colon = strchr(list[i], ':');
		cleanup_free char *path = NULL;

		path = colon ? xstrndup(list[i], (size_t)(colon - list[i]))
			     : xstrdup(list[i]);
		cJSON_DeleteItemFromObjectCaseSensitive(tmpfs, path);
		json_set_string(tmpfs, path, colon ? colon + 1 : "");
	}
}

static cJSON *sub_object(cJSON *mount, const char *name)
{
	cJSON *object = cJSON_GetObjectItemCaseSensitive(mount, name);

	if (!object) {
		object = json_object();
		json_set(mount, name, object);
	}
	return object;
}

static int mount_bool(const char *key, const char *value, cJSON *object,
		      const char *member, struct error *err)
{
	bool flag = true;

	if (value && parse_bool(value, &flag) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid value for %s: %s: expected true or "
			       "false",
			       key, value);
	json_set_bool(object, member, flag);
	return 0;
}

static int mount_source(cJSON *mount, const char *value, struct error *err)
{
	cleanup_free char *absolute = NULL;
	char directory[PATH_MAX];

	if (value[0] == '.') {
		if (!getcwd(directory, sizeof(directory)))
			return err_errno(err,
					 "cannot read the working directory");
		absolute = path_join(directory, value);
		value = absolute;
	}
	json_set_string(mount, "Source", value);
	return 0;
}

static int mount_tmpfs_number(cJSON *mount, const char *key, const char *value,
			      struct error *err)
{
	cJSON *options = sub_object(mount, "TmpfsOptions");
	int64_t bytes;
	char *end;
	long mode;

	if (strcmp(key, "tmpfs-size") == 0) {
		if (parse_bytes(value, &bytes) < 0 || bytes < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid value for %s: %s", key, value);
		json_set_i64(options, "SizeBytes", bytes);
		return 0;
	}
	mode = strtol(value, &end, 8);
	if (*value == '\0' || *end != '\0' || mode < 0 || mode > 07777)
		return err_set(err, ERROR_INVALID, "invalid value for %s: %s",
			       key, value);
	json_set_i64(options, "Mode", mode);
	return 0;
}

/* "KEY[=VALUE]" into a map; the last one counts. */
static void set_pair(cJSON *map, const char *text)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *key = NULL;

	key = equals ? xstrndup(text, (size_t)(equals - text)) : xstrdup(text);
	cJSON_DeleteItemFromObjectCaseSensitive(map, key);
	json_set_string(map, key, equals ? equals + 1 : "");
}

/* What has a value and is the volume's. 1: it is none of these. */
static int volume_key(cJSON *mount, const char *key, const char *value)
{
	static const char prefix[] = "volume-";
	cJSON *options;

	if (!str_starts(key, prefix))
		return 1;
	key += strlen(prefix);
	options = sub_object(mount, "VolumeOptions");
	if (str_equal(key, "subpath"))
		json_set_string(options, "Subpath", value);
	else if (str_equal(key, "label"))
		set_pair(sub_object(options, "Labels"), value);
	else if (str_equal(key, "driver"))
		json_set_string(sub_object(options, "DriverConfig"), "Name",
				value);
	else if (str_equal(key, "opt"))
		set_pair(sub_object(sub_object(options, "DriverConfig"),
				    "Options"),
			 value);
	else
		return 1;
	return 0;
}

/* Whether what is mounted below the source is mounted, and read-only, too. */
static int mount_recursion(cJSON *mount, const char *value, struct error *err)
{
	static const struct {
		const char *word;
		const char *member; /* NULL: as it is by itself */
	} words[] = {
		{"enabled", NULL},
		{"disabled", "NonRecursive"},
		{"writable", "ReadOnlyNonRecursive"},
		{"readonly", "ReadOnlyForceRecursive"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!str_equal(words[i].word, value))
			continue;
		if (words[i].member)
			json_set_bool(sub_object(mount, "BindOptions"),
				      words[i].member, true);
		return 0;
	}
	return err_set(err, ERROR_INVALID,
		       "invalid value for bind-recursive: %s: expected "
		       "enabled, disabled, writable or readonly",
		       value);
}

/* One key of --mount; value NULL when the key stands alone. */
static int mount_key(cJSON *mount, const char *key, const char *value,
		     struct error *err)
{
	if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0)
		return mount_bool(key, value, mount, "ReadOnly", err);
	if (strcmp(key, "volume-nocopy") == 0)
		return mount_bool(key, value,
				  sub_object(mount, "VolumeOptions"), "NoCopy",
				  err);
	if (strcmp(key, "bind-nonrecursive") == 0)
		return mount_bool(key, value, sub_object(mount, "BindOptions"),
				  "NonRecursive", err);
	if (!value)
		return err_set(err, ERROR_INVALID,
			       "invalid field '%s' must be a key=value pair",
			       key);
	if (strcmp(key, "type") == 0) {
		json_set_string(mount, "Type", value);
	} else if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0) {
		return mount_source(mount, value, err);
	} else if (strcmp(key, "target") == 0 ||
		   strcmp(key, "destination") == 0 || strcmp(key, "dst") == 0) {
		json_set_string(mount, "Target", value);
	} else if (strcmp(key, "bind-propagation") == 0) {
		json_set_string(sub_object(mount, "BindOptions"), "Propagation",
				value);
	} else if (strcmp(key, "bind-recursive") == 0) {
		return mount_recursion(mount, value, err);
	} else if (strcmp(key, "image-subpath") == 0) {
		json_set_string(sub_object(mount, "ImageOptions"), "Subpath",
				value);
	} else if (volume_key(mount, key, value) == 0) {
		return 0;
	} else if (strcmp(key, "tmpfs-size") == 0 ||
		   strcmp(key, "tmpfs-mode") == 0) {
		return mount_tmpfs_number(mount, key, value, err);
	} else if (strcmp(key, "consistency") != 0) {
		return err_set(err, ERROR_INVALID,
			       "unknown option '%s' in '%s=%s'", key, key,
			       value);
	}
	return 0;
}

static int mount_check(const cJSON *mount, struct error *err)
{
	static const struct {
		const char *name;
		const char *options;
		bool needs_source;
	} types[] = {
		{"bind", "BindOptions", true},
		{"volume", "VolumeOptions", false},
		{"tmpfs", "TmpfsOptions", false},
		{"image", "ImageOptions", true},
	};
	const char *type = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(mount, "Type"));
	bool known = false, needs_source = false;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!str_equal(type, types[i].name))
			continue;
		known = true;
		needs_source = types[i].needs_source;
	}
	if (!known)
		return err_set(err, ERROR_INVALID,
			       "mount type unknown: \"%s\": expected bind, "
			       "volume, tmpfs or image",
			       type ? type : "");
	if (!cJSON_HasObjectItem(mount, "Target"))
		return err_set(err, ERROR_INVALID, "target is required");
	if (needs_source && !cJSON_HasObjectItem(mount, "Source"))
		return err_set(err, ERROR_INVALID,
			       "source is required for %s %s mount",
			       str_equal(type, "image") ? "an" : "a", type);
	if (str_equal(type, "tmpfs") && cJSON_HasObjectItem(mount, "Source"))
		return err_set(err, ERROR_INVALID,
			       "a tmpfs mount takes no source");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!str_equal(type, types[i].name) &&
		    cJSON_HasObjectItem(mount, types[i].options))
			return err_set(err, ERROR_INVALID,
				       "cannot mix %s-* options with mount "
				       "type '%s'",
				       types[i].name, type);
	}
	return 0;
}

/* What only means something of a read-only one. */
static int mount_check_recursion(const cJSON *mount, struct error *err)
{
	static const char *const members[][2] = {
		{"ReadOnlyNonRecursive", "writable"},
		{"ReadOnlyForceRecursive", "readonly"},
	};
	const cJSON *bind =
		cJSON_GetObjectItemCaseSensitive(mount, "BindOptions");

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if (cJSON_HasObjectItem(bind, members[i][0]) &&
		    !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(mount,
								   "ReadOnly")))
			return err_set(err, ERROR_INVALID,
				       "option 'bind-recursive=%s' requires "
				       "'readonly' to be specified in "
				       "conjunction",
				       members[i][1]);
	}
	return 0;
}

/* "type=bind,source=/a,target=/b,readonly" */
static int mount_parse(const char *text, cJSON **ret_mount, struct error *err)
{
	cleanup_json cJSON *mount = json_object();
	cleanup_strv char **fields = NULL;
	int r;

	json_set_string(mount, "Type", "volume");
	r = fields_split(text, &fields, err);
	for (size_t i = 0; r >= 0 && fields[i]; i++) {
		char *equals = strchr(fields[i], '=');

		if (equals)
			*equals++ = '\0';
		r = mount_key(mount, fields[i], equals, err);
	}
	if (r < 0)
		return r;
	r = mount_check(mount, err);
	r = r < 0 ? r : mount_check_recursion(mount, err);
	if (r < 0)
		return r;
	*ret_mount = steal_ptr(&mount);
	return 0;
}

int mount_options_body(const struct options *options, cJSON *body,
		       cJSON *host_config, struct error *err)
{
	char *const *list = option_list(options, "mount");
	cJSON *mounts = json_array();
	int r;

	json_set(host_config, "Mounts", mounts);
	for (size_t i = 0; list[i]; i++) {
		cJSON *mount = NULL;

		r = mount_parse(list[i], &mount, err);
		if (r < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for "
					"\"--mount\" flag",
					list[i]);
		json_push(mounts, mount);
	}
	add_tmpfs(options, host_config);
	return add_volumes(options, body, host_config, err);
}
