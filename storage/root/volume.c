#include "storage/root/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/events.h"

#define DATA   "_data"
#define RECORD "volume.json"
#define PART   "volume" /* in a work directory */
#define LEFT   "left"
#define LOCK   ".lock" /* in volumes/ */
#define TRIES  16      /* at a volume that others remove */

static const char name_start[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char name_rest[] = "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

void volume_release(struct volume *volume)
{
	if (!volume)
		return;
	free(volume->name);
	free(volume->created);
	free(volume->path);
	cJSON_Delete(volume->labels);
	cJSON_Delete(volume->options);
	*volume = (struct volume){0};
}

/* [a-zA-Z0-9][a-zA-Z0-9_.-]+ */
int volume_name_check(const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length < 2)
		return err_set(err, ERROR_INVALID,
			       "volume name is too short, names should be at "
			       "least two alphanumeric characters");
	if (length > VOLUME_NAME_MAX)
		return err_set(err, ERROR_INVALID,
			       "volume name is longer than %d characters",
			       VOLUME_NAME_MAX);
	if (strchr(name_start, name[0]) && strspn(name, name_rest) == length)
		return 0;
	err_set(err, ERROR_INVALID,
		"create %s: \"%s\" includes invalid characters for a local "
		"volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
		name, name);
	return err_hint(err, "if you intended to pass a host directory, use "
			     "absolute path");
}

static int no_such_volume(const char *name, struct error *err)
{
	return err_set(err, ERROR_NOT_FOUND, "get %s: no such volume", name);
}

/* what: "label". */
static int check_strings(const cJSON *object, const char *what,
			 struct error *err)
{
	const cJSON *item;

	if (!object || cJSON_IsNull(object))
		return 0;
	if (!cJSON_IsObject(object))
		return err_set(err, ERROR_INVALID,
			       "volume %ss: expected an object", what);
	cJSON_ArrayForEach(item, object)
	{
		if (!cJSON_IsString(item))
			return err_set(err, ERROR_INVALID,
				       "volume %s \"%s\": expected a string",
				       what, item->string);
	}
	return 0;
}

static bool has_options(const cJSON *options)
{
	return options && options->child;
}

static const char *option_of(const cJSON *options, const char *name)
{
	return cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(options, name));
}

static int unsupported_option(const char *name, const char *value,
			      struct error *err)
{
	err_set(err, ERROR_UNSUPPORTED,
		"volume option %s=%s: without root only a directory of the "
		"host can be a volume",
		name, value);
	return err_hint(err, "use --opt type=none --opt o=bind --opt "
			     "device=/DIRECTORY; for a tmpfs, --tmpfs of the "
			     "container");
}

/* "bind,ro" */
static int check_o(const char *text, bool *ret_read_only, struct error *err)
{
	cleanup_strv char **words = strv_split(text, ',');
	bool bind = false;

	for (size_t i = 0; words[i]; i++) {
		bool read_only = str_equal(words[i], "ro");
		bool binds = str_equal(words[i], "bind") ||
			     str_equal(words[i], "rbind");

		if (!binds && !read_only && !str_equal(words[i], "rw"))
			return unsupported_option("o", text, err);
		bind = bind || binds;
		*ret_read_only = read_only ||
				 (*ret_read_only && !str_equal(words[i], "rw"));
	}
	return bind ? 0 : unsupported_option("o", text, err);
}

static int check_options(const cJSON *options, bool *ret_read_only,
			 struct error *err)
{
	static const char *const needed[] = {"device", "type", "o"};
	const char *type = option_of(options, "type");
	const char *device = option_of(options, "device");
	const cJSON *option;
	int r = check_strings(options, "option", err);

	if (r < 0 || !has_options(options))
		return r;
	cJSON_ArrayForEach(option, options)
	{
		const char *name = option->string;

		if (str_equal(name, "size"))
			return unsupported_option(name, option->valuestring,
						  err);
		if (!str_equal(name, "type") && !str_equal(name, "device") &&
		    !str_equal(name, "o"))
			return err_set(err, ERROR_INVALID,
				       "invalid option: \"%s\"", name);
	}
	if (type && !str_equal(type, "none") && !str_equal(type, "bind") &&
	    *type)
		return unsupported_option("type", type, err);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!option_of(options, needed[i]))
			return err_set(err, ERROR_INVALID,
				       "missing required option: \"%s\"",
				       needed[i]);
	if (device[0] != '/')
		return err_set(err, ERROR_INVALID,
			       "volume option device=%s: expected an absolute "
			       "path",
			       device);
	return check_o(option_of(options, "o"), ret_read_only, err);
}

static char *data_path(const struct store *store, const char *name)
{
	return xasprintf("%s/volumes/%s/" DATA, store->path, name);
}

/* *ret_volume from volume.json; -ENOENT when there is no such file. */
static int read_record(const struct store *store, const char *name,
		       struct volume *ret_volume, struct error *err)
{
	CLEANUP(volume_release) struct volume volume = {0};
	cleanup_free char *path = xasprintf("%s/" RECORD, name);
	cleanup_json cJSON *json = NULL;
	const char *created = NULL;
	const cJSON *labels = NULL;
	const cJSON *options = NULL;
	int r = json_read_at(store->volumes_fd, path, &json, err);

	if (r < 0)
		return r;
	r = json_get_string(json, path, "created", &created, err);
	if (r >= 0)
		r = json_get_object(json, path, "labels", &labels, err);
	if (r >= 0)
		r = json_get_bool(json, path, "anonymous", &volume.anonymous,
				  err);
	if (r >= 0)
		r = json_get_object(json, path, "options", &options, err);
	if (r >= 0)
		r = check_strings(labels, "label", err);
	if (r >= 0)
		r = check_options(options, &volume.read_only, err);
	if (r < 0)
		return r;
	volume.name = xstrdup(name);
	volume.created = xstrdup(created ? created : "");
	volume.labels = labels ? cJSON_Duplicate(labels, true) : json_object();
	if (has_options(options)) {
		volume.options = cJSON_Duplicate(options, true);
		volume.path = path_clean(option_of(options, "device"));
	} else {
		volume.path = data_path(store, name);
	}
	*ret_volume = volume;
	volume = (struct volume){0};
	return 0;
}

int volume_find(struct store *store, const char *name,
		struct volume *ret_volume, struct error *err)
{
	int r;

	/* No other name is in there, and some would lead elsewhere. */
	if (volume_name_check(name, NULL) < 0)
		return no_such_volume(name, err);
	r = read_record(store, name, ret_volume, err);
	return r == -ENOENT ? no_such_volume(name, err) : r;
}

static int make_directory(int dir_fd, const char *name, mode_t mode,
			  struct error *err)
{
	if (mkdirat(dir_fd, name, mode) < 0 ||
	    fchmodat(dir_fd, name, mode, 0) < 0)
		return err_errno(err, "cannot make the volume's directory");
	return 0;
}

struct creation {
	const char *name;
	const cJSON *labels;
	const cJSON *options;
	bool anonymous;
};

/* A whole volume as PART in the work directory. */
static int make_part(const struct store_work *work,
		     const struct creation *creation, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_fd int fd = -1;
	char created[TIME_TEXT_MAX];
	int r;

	format_now(created);
	json_set_string(json, "driver", "local");
	json_set_string(json, "created", created);
	json_set(json, "labels",
		 cJSON_IsObject(creation->labels)
			 ? cJSON_Duplicate(creation->labels, true)
			 : json_object());
	if (has_options(creation->options))
		json_set(json, "options",
			 cJSON_Duplicate(creation->options, true));
	json_set_bool(json, "anonymous", creation->anonymous);

	r = make_directory(work->fd, PART, 0700, err);
	if (r < 0)
		return r;
	fd = openat(work->fd, PART, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open the volume's directory");
	r = make_directory(fd, DATA, 0755, err);
	if (r < 0)
		return r;
	return json_write_at(fd, RECORD, json,
			     creation->anonymous ? FILE_VOLATILE : 0, err);
}

/* Held while a name in volumes/ changes hands. */
static int lock_names(const struct store *store, struct error *err)
{
	return lock_open_at(store->volumes_fd, LOCK, LOCK_EXCLUSIVE, true, err);
}

/* Renames PART to its place. 1 when there is a volume already. */
static int put_in_place(const struct store_work *work, const char *name,
			bool anonymous, struct error *err)
{
	int volumes_fd = work->store->volumes_fd;
	cleanup_free char *record = xasprintf("%s/" RECORD, name);
	cleanup_fd int lock_fd = lock_names(work->store, err);

	if (lock_fd < 0)
		return lock_fd;
	if (faccessat(volumes_fd, record, F_OK, 0) == 0)
		return 1;
	/* Nobody's: it goes the way of the work directory. */
	if (renameat(volumes_fd, name, work->fd, LEFT) < 0 && errno != ENOENT)
		return err_errno(err, "cannot remove what is left of volume %s",
				 name);
	if (renameat(work->fd, PART, volumes_fd, name) < 0)
		return err_errno(err, "cannot make volume %s", name);
	if (!anonymous && fsync(volumes_fd) < 0)
		return err_errno(err, "cannot sync volume %s", name);
	return 0;
}

static int create(struct store *store, const struct creation *creation,
		  bool *ret_created, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	int r = store_work_new(store, &work, err);

	if (r < 0)
		return r;
	r = make_part(&work, creation, err);
	if (r < 0)
		return r;
	r = put_in_place(&work, creation->name, creation->anonymous, err);
	if (r < 0)
		return r;
	*ret_created = r == 0;
	return 0;
}

static int check_same_options(struct volume *volume, const cJSON *options,
			      struct error *err)
{
	if (!has_options(options) ||
	    cJSON_Compare(volume->options, options, true))
		return 0;
	err_set(err, ERROR_CONFLICT,
		"volume %s is there already, with other options", volume->name);
	volume_release(volume);
	return err_return(err);
}

int volume_ensure(struct store *store, const char *name, const cJSON *labels,
		  const cJSON *options, struct volume *ret_volume,
		  bool *ret_created, struct error *err)
{
	struct creation creation = {
		.labels = labels,
		.options = options,
		.anonymous = !name,
	};
	bool read_only = false;
	bool created = false;
	char random[ID_TEXT_MAX];
	int r = check_strings(labels, "label", err);

	if (r >= 0)
		r = check_options(options, &read_only, err);
	if (r < 0)
		return r;
	if (creation.anonymous) {
		random_id(random);
		name = random;
	}
	creation.name = name;
	r = volume_name_check(name, err);
	if (r < 0)
		return r;
	/* It may be removed between being found there and being read. */
	for (int i = 0; i < TRIES; i++) {
		r = read_record(store, name, ret_volume, err);
		if (r != -ENOENT)
			break;
		r = create(store, &creation, &created, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (created)
		event_write(store, EVENT_VOLUME, "create", name,
			    event_attributes("driver", "local", NULL));
	if (ret_created)
		*ret_created = created;
	return created ? 0 : check_same_options(ret_volume, options, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int volume_list(struct store *store, char ***ret_names, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store->volumes_fd, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "cannot open %s/volumes", store->path);
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot open %s/volumes", store->path);
	}
	while (errno = 0, (entry = readdir(dir))) {
		cleanup_free char *record = NULL;

		if (volume_name_check(entry->d_name, NULL) < 0)
			continue;
		record = xasprintf("%s/" RECORD, entry->d_name);
		if (faccessat(store->volumes_fd, record, F_OK, 0) == 0)
			strv_push(&names, entry->d_name);
	}
	if (errno != 0)
		return err_errno(err, "cannot read %s/volumes", store->path);
	if (names)
		qsort(names, strv_length(names), sizeof(*names), compare_names);
	*ret_names = steal_ptr(&names);
	return 0;
}

int volume_remove(struct store *store, const char *name, struct error *err)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	int r;

	if (volume_name_check(name, NULL) < 0)
		return no_such_volume(name, err);
	r = store_work_new(store, &work, err);
	if (r < 0)
		return r;
	lock_fd = lock_names(store, err);
	if (lock_fd < 0)
		return lock_fd;
	if (renameat(store->volumes_fd, name, work.fd, LEFT) < 0) {
		if (errno == ENOENT)
			return no_such_volume(name, err);
		return err_errno(err, "cannot remove volume %s", name);
	}
	close_fd(&lock_fd);
	event_write(store, EVENT_VOLUME, "destroy", name,
		    event_attributes("driver", "local", NULL));
	return tree_remove_at(work.fd, LEFT, err);
}
