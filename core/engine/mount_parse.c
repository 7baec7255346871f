/* The forms in which a mount is asked for: core/engine/mounts.h. */
#include "core/engine/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "core/engine/tmpfs.h"
#include "storage/root/volume.h"

#define PATH_TEXT_MAX 4096

/* clang-format off */
static const struct member mount_members[] = {
	{"Type", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Source", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Target", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ReadOnly", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Consistency", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"BindOptions", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"VolumeOptions", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"TmpfsOptions", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ImageOptions", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ClusterOptions", MEMBER_OBJECT, MEMBER_REFUSED, MEMBER_OMIT, NULL, NULL},
};

/* "ro" is recursive already (core/runtime/spec.h). */
static const struct member bind_members[] = {
	{"Propagation", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"NonRecursive", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"CreateMountpoint", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ReadOnlyNonRecursive", MEMBER_BOOL, MEMBER_REFUSED, MEMBER_OMIT, "bind-recursive", NULL},
	{"ReadOnlyForceRecursive", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member volume_members[] = {
	{"NoCopy", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Labels", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Subpath", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"DriverConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member image_members[] = {
	{"Subpath", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member driver_members[] = {
	{"Name", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Options", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

enum mode_group {
	MODE_ACCESS,
	MODE_LABEL,
	MODE_PROPAGATION,
	MODE_COPY,
	MODE_OWNER,
	MODE_CONSISTENCY,
	MODE_GROUPS,
};

static const struct {
	const char *word;
	enum mode_group group;
} mode_words[] = {
	{"rw", MODE_ACCESS},
	{"ro", MODE_ACCESS},
	/* Without SELinux there is nothing to relabel, as in docker. */
	{"z", MODE_LABEL},
	{"Z", MODE_LABEL},
	{"private", MODE_PROPAGATION},
	{"rprivate", MODE_PROPAGATION},
	{"slave", MODE_PROPAGATION},
	{"rslave", MODE_PROPAGATION},
	{"shared", MODE_PROPAGATION},
	{"rshared", MODE_PROPAGATION},
	{"nocopy", MODE_COPY},
	/* podman's: the source is given to the container's user. */
	{"U", MODE_OWNER},
	/* One kernel: every mount is consistent, as docker's on Linux. */
	{"consistent", MODE_CONSISTENCY},
	{"cached", MODE_CONSISTENCY},
	{"delegated", MODE_CONSISTENCY},
	{"default", MODE_CONSISTENCY},
};

static ssize_t mode_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(mode_words); i++) {
		if (str_equal(mode_words[i].word, word))
			return (ssize_t)i;
	}
	return -1;
}

/* words[group]: what the mode says of it, NULL nothing. */
static bool parse_mode(const char *mode, const char *words[MODE_GROUPS])
{
	cleanup_strv char **list = NULL;

	memset(words, 0, MODE_GROUPS * sizeof(*words));
	if (*mode == '\0')
		return true;
	list = strv_split(mode, ',');
	for (size_t i = 0; list[i]; i++) {
		ssize_t word = mode_word(list[i]);

		if (word < 0 || words[mode_words[word].group])
			return false;
		words[mode_words[word].group] = mode_words[word].word;
	}
	return true;
}

static int invalid_mode(const char *mode, struct error *err)
{
	err_set(err, ERROR_INVALID, "invalid mode: %s", mode);
	return err_hint(err, "known are ro, rw, nocopy, private, rprivate, "
			     "slave, rslave, z, Z, U");
}

static int check_propagation(const char *propagation, struct error *err)
{
	ssize_t word = mode_word(propagation);

	if (word < 0 || mode_words[word].group != MODE_PROPAGATION)
		return err_set(err, ERROR_INVALID,
			       "invalid propagation mode: %s", propagation);
	if (!str_ends(propagation, "shared"))
		return 0;
	err_set(err, ERROR_UNSUPPORTED,
		"propagation mode %s: mounts made in a container cannot reach "
		"the host without root",
		propagation);
	return err_hint(err, "use rslave for mounts that come from the host");
}

static int set_destination(struct mount_point *point, const char *text,
			   struct error *err)
{
	if (*text == '\0')
		return err_set(err, ERROR_INVALID,
			       "field Target must not be empty");
	if (*text != '/')
		return err_set(err, ERROR_INVALID,
			       "invalid mount path: '%s' mount path must be "
			       "absolute",
			       text);
	if (strlen(text) >= PATH_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid mount path: longer than %d bytes",
			       PATH_TEXT_MAX);
	point->destination = path_clean(text);
	if (str_equal(point->destination, "/"))
		return err_set(err, ERROR_INVALID,
			       "invalid specification: destination can't be "
			       "'/'");
	return 0;
}

/* 1 when it is there, 0 when it is missing. */
static int source_exists(const char *path, struct error *err)
{
	struct stat status;

	if (strlen(path) >= PATH_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "bind source path is longer than %d bytes",
			       PATH_TEXT_MAX);
	if (stat(path, &status) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	return err_errno(err, "cannot use bind source path %s", path);
}

static int parse_bind(const char *text, struct mount_point *point,
		      struct error *err)
{
	cleanup_strv char **parts = strv_split(text, ':');
	size_t count = strv_length(parts);
	const char *mode = count == 3 ? parts[2] : "";
	const char *words[MODE_GROUPS];
	int r;

	if (count < 2 || count > 3 || *parts[0] == '\0' ||
	    (count == 2 && *parts[1] != '/'))
		return err_set(err, ERROR_INVALID,
			       "expected "
			       "SOURCE:DESTINATION[:MODE]");
	if (!parse_mode(mode, words))
		return invalid_mode(mode, err);
	r = set_destination(point, parts[1], err);
	if (r < 0)
		return r;
	point->mode = xstrdup(mode);
	point->read_only = str_equal(words[MODE_ACCESS], "ro");
	point->chown = words[MODE_OWNER] != NULL;
	if (*parts[0] != '/') {
		if (words[MODE_PROPAGATION])
			return err_set(err, ERROR_INVALID,
				       "a volume has no propagation mode");
		r = volume_name_check(parts[0], err);
		if (r < 0)
			return err_hint(err, "if you meant a directory of the "
					     "host, give its absolute path");
		point->kind = MOUNT_VOLUME;
		point->name = xstrdup(parts[0]);
		point->copy = !words[MODE_COPY];
		point->propagation = xstrdup("");
		if (*mode == '\0') {
			free(point->mode);
			point->mode = xstrdup("z");
		}
		return 0;
	}
	if (words[MODE_COPY])
		return invalid_mode(mode, err);
	point->kind = MOUNT_BIND;
	point->source = path_clean(parts[0]);
	point->propagation = xstrdup(
		words[MODE_PROPAGATION] ? words[MODE_PROPAGATION] : "rprivate");
	r = check_propagation(point->propagation, err);
	if (r < 0)
		return r;
	r = source_exists(point->source, err);
	if (r < 0)
		return r;
	/* docker makes a missing directory for -v, at start. */
	point->create_source = true;
	return 0;
}

int mount_parse_bind(const char *text, struct mount_point *ret_point,
		     struct error *err)
{
	CLEANUP(mount_point_release)
	struct mount_point point = {.listed = true};
	int r = parse_bind(text, &point, err);

	if (r < 0)
		return err_wrap(err, "invalid volume specification: '%s'",
				text);
	*ret_point = point;
	point = (struct mount_point){0};
	return 0;
}

static int parse_bind_spec(const cJSON *mount, struct mount_point *point,
			   struct error *err)
{
	const cJSON *options = member_get(mount, "BindOptions");
	const char *source = member_string(mount, "Source");
	const char *propagation = member_string(options, "Propagation");
	int r;

	if (*source == '\0')
		return err_set(err, ERROR_INVALID,
			       "field Source must not be empty");
	if (*source != '/')
		return err_set(err, ERROR_INVALID,
			       "invalid mount path: '%s' mount path must be "
			       "absolute",
			       source);
	point->kind = MOUNT_BIND;
	point->source = path_clean(source);
	point->propagation = xstrdup(*propagation ? propagation : "rprivate");
	point->non_recursive = member_bool(options, "NonRecursive");
	point->create_source = member_bool(options, "CreateMountpoint");
	r = check_propagation(point->propagation, err);
	if (r < 0)
		return r;
	r = source_exists(point->source, err);
	if (r == 0 && !point->create_source)
		return err_set(err, ERROR_INVALID,
			       "bind source path does not exist: %s", source);
	return r < 0 ? r : 0;
}

/* Its words say that it stays within the volume; links are another matter, for
   the start. */
static int set_subpath(struct mount_point *point, const char *text,
		       struct error *err)
{
	cleanup_strv char **parts = strv_split(text, '/');
	int depth = 0;

	if (*text == '\0')
		return 0;
	for (size_t i = 0; parts[i] && depth >= 0; i++) {
		if (str_equal(parts[i], ".."))
			depth--;
		else if (*parts[i] && !str_equal(parts[i], "."))
			depth++;
	}
	if (*text == '/' || depth < 0)
		return err_set(err, ERROR_INVALID,
			       "subpath must be a relative path within the "
			       "%s",
			       point->kind == MOUNT_IMAGE ? "image" : "volume");
	if (strlen(text) >= PATH_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "subpath is longer than %d bytes",
			       PATH_TEXT_MAX);
	point->subpath = xstrdup(text);
	/* The image's files belong at the volume's top, if anywhere. */
	point->copy = false;
	return 0;
}

/* NULL of an empty one. */
static cJSON *copy_map(const cJSON *map)
{
	cJSON *copy = NULL;

	if (!map || !map->child)
		return NULL;
	copy = cJSON_Duplicate(map, true);
	if (!copy)
		str_oom();
	return copy;
}

static int parse_volume_spec(const cJSON *mount, struct mount_point *point,
			     struct error *err)
{
	const cJSON *options = member_get(mount, "VolumeOptions");
	const cJSON *driver = member_get(options, "DriverConfig");
	const cJSON *labels = member_get(options, "Labels");
	const char *name = member_string(mount, "Source");
	const char *driver_name = member_string(driver, "Name");
	int r;

	r = members_check(driver, "DriverConfig", driver_members,
			  ARRAY_SIZE(driver_members), true, err);
	if (r < 0)
		return r;
	if (*driver_name && !str_equal(driver_name, "local"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "volume driver %s: there is only local",
			       driver_name);
	point->kind = MOUNT_VOLUME;
	point->copy = !member_bool(options, "NoCopy");
	point->propagation = xstrdup("");
	free(point->mode);
	point->mode = xstrdup("z");
	point->labels = copy_map(labels);
	point->driver_options = copy_map(member_get(driver, "Options"));
	r = set_subpath(point, member_string(options, "Subpath"), err);
	if (r < 0)
		return r;
	if (*name == '\0') {
		if (point->read_only)
			return err_set(err, ERROR_INVALID,
				       "must not set ReadOnly mode when using "
				       "anonymous volumes");
		point->anonymous = true;
		return 0;
	}
	r = volume_name_check(name, err);
	if (r < 0)
		return r;
	point->name = xstrdup(name);
	return 0;
}

static int parse_tmpfs_spec(const cJSON *mount, struct mount_point *point,
			    struct error *err)
{
	if (*member_string(mount, "Source"))
		return err_set(err, ERROR_INVALID,
			       "field Source must not be specified");
	point->kind = MOUNT_TMPFS;
	point->propagation = xstrdup("");
	return tmpfs_options_of_spec(member_get(mount, "TmpfsOptions"),
				     point->read_only, &point->options, err);
}

static int parse_image_spec(const cJSON *mount, struct mount_point *point,
			    struct error *err)
{
	const cJSON *options = member_get(mount, "ImageOptions");
	const char *name = member_string(mount, "Source");

	if (*name == '\0')
		return err_set(err, ERROR_INVALID,
			       "field Source must not be empty");
	point->kind = MOUNT_IMAGE;
	point->name = xstrdup(name);
	point->propagation = xstrdup("");
	/* As docker: whether it was asked for or not. */
	point->read_only = true;
	return set_subpath(point, member_string(options, "Subpath"), err);
}

static const struct {
	const char *type;
	const char *own_options;
	int (*parse)(const cJSON *mount, struct mount_point *point,
		     struct error *err);
} spec_types[] = {
	{"bind", "BindOptions", parse_bind_spec},
	{"volume", "VolumeOptions", parse_volume_spec},
	{"tmpfs", "TmpfsOptions", parse_tmpfs_spec},
	{"image", "ImageOptions", parse_image_spec},
};

static int check_spec(const cJSON *mount, struct error *err)
{
	const char *consistency = member_string(mount, "Consistency");
	ssize_t word = mode_word(consistency);
	int r;

	r = members_check(mount, "Mounts", mount_members,
			  ARRAY_SIZE(mount_members), true, err);
	if (r < 0)
		return r;
	r = members_check(member_get(mount, "BindOptions"), "BindOptions",
			  bind_members, ARRAY_SIZE(bind_members), true, err);
	if (r < 0)
		return r;
	r = members_check(member_get(mount, "VolumeOptions"), "VolumeOptions",
			  volume_members, ARRAY_SIZE(volume_members), true,
			  err);
	if (r < 0)
		return r;
	r = members_check(member_get(mount, "ImageOptions"), "ImageOptions",
			  image_members, ARRAY_SIZE(image_members), true, err);
	if (r < 0)
		return r;
	if (*consistency &&
	    (word < 0 || mode_words[word].group != MODE_CONSISTENCY))
		return err_set(err, ERROR_INVALID, "invalid consistency: %s",
			       consistency);
	return 0;
}

static int parse_spec(const cJSON *mount, struct mount_point *point,
		      struct error *err)
{
	const char *type = member_string(mount, "Type");
	size_t row = 0;
	int r;

	while (row < ARRAY_SIZE(spec_types) &&
	       !str_equal(spec_types[row].type, type))
		row++;
	if (row == ARRAY_SIZE(spec_types)) {
		err_set(err, ERROR_INVALID, "mount type unknown");
		return err_hint(err, "use bind, volume, tmpfs or image");
	}
	r = check_spec(mount, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(spec_types); i++) {
		if (i != row && member_get(mount, spec_types[i].own_options))
			return err_set(err, ERROR_INVALID,
				       "field %s must not be specified",
				       spec_types[i].own_options);
	}
	r = set_destination(point, member_string(mount, "Target"), err);
	if (r < 0)
		return r;
	point->mode = xstrdup("");
	point->read_only = member_bool(mount, "ReadOnly");
	return spec_types[row].parse(mount, point, err);
}

int mount_parse_spec(const cJSON *mount, struct mount_point *ret_point,
		     struct error *err)
{
	CLEANUP(mount_point_release)
	struct mount_point point = {.listed = true};
	int r;

	if (!cJSON_IsObject(mount))
		return err_set(err, ERROR_INVALID,
			       "HostConfig.Mounts: expected objects");
	r = parse_spec(mount, &point, err);
	if (r < 0)
		return err_wrap(err, "invalid mount config for type \"%s\"",
				member_string(mount, "Type"));
	*ret_point = point;
	point = (struct mount_point){0};
	return 0;
}

int mount_parse_tmpfs(const char *destination, const char *options,
		      struct mount_point *ret_point, struct error *err)
{
	CLEANUP(mount_point_release)
	struct mount_point point = {
		.kind = MOUNT_TMPFS,
	};
	int r;

	r = set_destination(&point, destination, err);
	if (r < 0)
		return err_wrap(err, "--tmpfs");
	r = tmpfs_options_merge(options, &point.options, err);
	if (r < 0)
		return err_wrap(err, "--tmpfs %s", destination);
	point.mode = xstrdup("");
	point.propagation = xstrdup("");
	*ret_point = point;
	point = (struct mount_point){0};
	return 0;
}

int mount_parse_volumes_from(const char *text, char **ret_name,
			     bool *ret_read_only, struct error *err)
{
	size_t length = strcspn(text, ":");
	const char *mode = text[length] ? text + length + 1 : "";
	const char *words[MODE_GROUPS];

	if (length == 0)
		return err_set(err, ERROR_INVALID,
			       "volumes-from specification cannot be an empty "
			       "string");
	if (!parse_mode(mode, words) || words[MODE_PROPAGATION] ||
	    words[MODE_COPY] || words[MODE_OWNER])
		return invalid_mode(mode, err);
	*ret_read_only = str_equal(words[MODE_ACCESS], "ro");
	*ret_name = xstrndup(text, length);
	return 0;
}
