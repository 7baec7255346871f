#include "core/build/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "core/build/image_history.h"
#include "storage/dockerfile/config.h"
#include "storage/store/manifest.h"

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define COMMENT "moss.build"

enum type {
	TYPE_STRING,
	TYPE_BOOL,
	TYPE_STRINGS,
	TYPE_OBJECT,
	TYPE_STRING_MAP,
	TYPE_OBJECTS,
};

struct member {
	const char *name;
	enum type type;
};

/* The specification's and docker's builder's; not what belongs to the layers
   or to one container. */
static const struct member image_members[] = {
	{"architecture", TYPE_STRING}, {"author", TYPE_STRING},
	{"history", TYPE_OBJECTS},     {"os", TYPE_STRING},
	{"os.features", TYPE_STRINGS}, {"os.version", TYPE_STRING},
	{"variant", TYPE_STRING},
};

static const struct member config_members[] = {
	{"ArgsEscaped", TYPE_BOOL},    {"Cmd", TYPE_STRINGS},
	{"Entrypoint", TYPE_STRINGS},  {"Env", TYPE_STRINGS},
	{"ExposedPorts", TYPE_OBJECT}, {"Healthcheck", TYPE_OBJECT},
	{"Labels", TYPE_STRING_MAP},   {"OnBuild", TYPE_STRINGS},
	{"Shell", TYPE_STRINGS},       {"StopSignal", TYPE_STRING},
	{"User", TYPE_STRING},	       {"Volumes", TYPE_OBJECT},
	{"WorkingDir", TYPE_STRING},
};

static cJSON *copy_json(const cJSON *json)
{
	cJSON *copy = cJSON_Duplicate(json, true);

	if (!copy)
		str_oom();
	return copy;
}

void image_draft_release(struct image_draft *image)
{
	cJSON_Delete(image->json);
	strv_free(image->arguments);
	*image = (struct image_draft){0};
}

/* ---- what it begins with ---- */

static bool all_are(const cJSON *json, cJSON_bool (*is)(const cJSON *))
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json)
	{
		if (!is(item))
			return false;
	}
	return true;
}

static bool has_type(const cJSON *json, enum type type)
{
	switch (type) {
	case TYPE_STRING:
		return cJSON_IsString(json);
	case TYPE_BOOL:
		return cJSON_IsBool(json);
	case TYPE_STRINGS:
		return cJSON_IsArray(json) && all_are(json, cJSON_IsString);
	case TYPE_OBJECT:
		return cJSON_IsObject(json);
	case TYPE_STRING_MAP:
		return cJSON_IsObject(json) && all_are(json, cJSON_IsString);
	case TYPE_OBJECTS:
		return cJSON_IsArray(json) && all_are(json, cJSON_IsObject);
	}
	return false;
}

static int copy_members(cJSON *to, const cJSON *from,
			const struct member *members, size_t count,
			struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const cJSON *value = json_member(from, members[i].name);

		if (!value || cJSON_IsNull(value))
			continue;
		if (!has_type(value, members[i].type))
			return err_set(err, ERROR_CORRUPT,
				       "the base image's config is damaged: "
				       "wrong type of \"%s\"",
				       members[i].name);
		json_set(to, members[i].name, copy_json(value));
	}
	return 0;
}

static bool is_empty_step(const cJSON *step)
{
	return cJSON_IsTrue(json_member(step, "empty_layer"));
}

/* Steps for layers of which the history does not tell, no layers for steps
   which would have those that come later. */
static void correct_history(cJSON *history, const cJSON *base, size_t layers)
{
	const cJSON *created = json_member(base, "created");
	size_t told = 0;
	cJSON *step;

	cJSON_ArrayForEach(step, history)
	{
		if (is_empty_step(step))
			continue;
		if (told == layers)
			json_set_bool(step, "empty_layer", true);
		else
			told++;
	}
	for (; told < layers; told++) {
		step = json_object();
		if (cJSON_IsString(created))
			json_set(step, "created", copy_json(created));
		json_set_string(step, "comment", COMMENT);
		json_push(history, step);
	}
}

static int take_base(struct image_draft *image, const cJSON *base,
		     struct error *err)
{
	const cJSON *config = json_member(base, "config");
	cleanup_strv char **diff_ids = NULL;
	cJSON *history;
	int r = config_diff_ids(base, "the base image's config", &diff_ids,
				err);

	if (r == 0)
		r = copy_members(image->json, base, image_members,
				 ARRAY_SIZE(image_members), err);
	if (r == 0)
		r = copy_members(image->config, config, config_members,
				 ARRAY_SIZE(config_members), err);
	if (r < 0)
		return r;
	history = cJSON_GetObjectItemCaseSensitive(image->json, "history");
	if (!history) {
		history = json_array();
		json_set(image->json, "history", history);
	}
	image->base_layers = strv_length(diff_ids);
	correct_history(history, base, image->base_layers);
	return 0;
}

static void set_platform(struct image_draft *image,
			 const struct platform *platform)
{
	if (!json_member(image->json, "architecture")) {
		json_set_string(image->json, "architecture",
				platform->architecture);
		if (*platform->variant)
			json_set_string(image->json, "variant",
					platform->variant);
	}
	if (!json_member(image->json, "os"))
		json_set_string(image->json, "os", platform->os);
}

static void set_path(struct image_draft *image)
{
	cJSON *env = cJSON_GetObjectItemCaseSensitive(image->config, "Env");

	if (config_lookup("PATH", image->config))
		return;
	if (!env) {
		env = json_array();
		json_set(image->config, "Env", env);
	}
	json_push_string(env, "PATH=" DEFAULT_PATH);
}

int image_begin(const cJSON *base, const struct platform *platform,
		struct image_draft *ret_image, struct error *err)
{
	cleanup_image_draft struct image_draft image = {.json = json_object()};
	int r = 0;

	image.config = json_object();
	json_set(image.json, "config", image.config);
	if (base) {
		r = take_base(&image, base, err);
	} else {
		json_set_string(image.config, "WorkingDir", "/");
		json_set(image.json, "history", json_array());
	}
	if (r < 0)
		return r;
	set_platform(&image, platform);
	set_path(&image);
	*ret_image = image;
	image = (struct image_draft){0};
	return 0;
}

void image_begin_with(const struct image_draft *base,
		      struct image_draft *ret_image)
{
	struct image_draft image = {
		.json = copy_json(base->json),
		.base_layers = base->base_layers,
	};

	image.config = cJSON_GetObjectItemCaseSensitive(image.json, "config");
	image.arguments = strv_copy(base->arguments);
	*ret_image = image;
}

void image_draft_save(const struct image_draft *image, cJSON *object)
{
	json_set(object, "image", copy_json(image->json));
	json_set_strv(object, "arguments", image->arguments);
	json_set_i64(object, "baseLayers", (int64_t)image->base_layers);
}

int image_draft_load(const cJSON *object, struct image_draft *ret_image,
		     struct error *err)
{
	cleanup_image_draft struct image_draft image = {0};
	const cJSON *json = json_member(object, "image");
	int64_t base_layers = 0;
	int r = json_get_strv(object, "stage", "arguments", &image.arguments,
			      err);

	if (r >= 0)
		r = json_get_i64(object, "stage", "baseLayers", &base_layers,
				 err);
	if (r < 0)
		return r;
	if (!cJSON_IsObject(json_member(json, "config")) ||
	    !cJSON_IsArray(json_member(json, "history")) || base_layers < 0)
		return err_set(err, ERROR_CORRUPT,
			       "what a stage came to cannot be read");
	image.json = copy_json(json);
	image.config = cJSON_GetObjectItemCaseSensitive(image.json, "config");
	image.base_layers = (size_t)base_layers;
	*ret_image = image;
	image = (struct image_draft){0};
	return 0;
}

char **image_take_triggers(struct image_draft *image)
{
	char **triggers = NULL;

	/* An array of strings, or absent: image_begin() has looked. */
	(void)json_get_strv(image->config, "", "OnBuild", &triggers, NULL);
	cJSON_DeleteItemFromObjectCaseSensitive(image->config, "OnBuild");
	if (strv_length(triggers) > 0)
		return triggers;
	strv_free(triggers);
	return NULL;
}

/* ---- what the instructions say ---- */

static void add_entry(struct image_draft *image, const char *created_by)
{
	cJSON *step = json_object();

	json_set_string(step, "created_by", created_by);
	json_set_string(step, "comment", COMMENT);
	json_set_bool(step, "empty_layer", true);
	json_push(cJSON_GetObjectItemCaseSensitive(image->json, "history"),
		  step);
}

void image_made_layer(struct image_draft *image)
{
	cJSON *history =
		cJSON_GetObjectItemCaseSensitive(image->json, "history");
	cJSON *last =
		cJSON_GetArrayItem(history, cJSON_GetArraySize(history) - 1);

	cJSON_DeleteItemFromObjectCaseSensitive(last, "empty_layer");
}

bool image_takes(enum dockerfile_keyword keyword)
{
	return keyword == DOCKERFILE_MAINTAINER || config_takes(keyword);
}

static int apply_maintainer(struct image_draft *image,
			    const struct dockerfile_instruction *instruction,
			    struct error *err)
{
	const char *name = instruction->words[0];
	cleanup_free char *text = xasprintf("MAINTAINER %s", name);

	json_set_string(image->json, "author", name);
	add_entry(image, text);
	return 0;
}

int image_apply(struct image_draft *image,
		const struct dockerfile_instruction *instruction,
		const struct expand *expand, struct error *err)
{
	cleanup_free char *text = NULL;
	int r;

	if (instruction->keyword == DOCKERFILE_MAINTAINER)
		return apply_maintainer(image, instruction, err);
	r = history_text(image->config, instruction, expand, &text, err);
	if (r == 0)
		r = config_apply(image->config, instruction, expand, err);
	if (r < 0)
		return r;
	if (instruction->keyword == DOCKERFILE_CMD)
		image->with_command = true;
	/* The base's command belongs to the base's entrypoint. */
	if (instruction->keyword == DOCKERFILE_ENTRYPOINT &&
	    !image->with_command)
		cJSON_DeleteItemFromObjectCaseSensitive(image->config, "Cmd");
	if (text)
		add_entry(image, text);
	return 0;
}

/* Again: it keeps its place, and without a new value its old one. */
void image_declare(struct image_draft *image, const char *argument)
{
	size_t length = strcspn(argument, "=");

	for (size_t i = 0; image->arguments && image->arguments[i]; i++) {
		char *own = image->arguments[i];

		if (strcspn(own, "=") != length ||
		    strncmp(own, argument, length) != 0)
			continue;
		if (argument[length]) {
			image->arguments[i] = xstrdup(argument);
			free(own);
		}
		return;
	}
	strv_push(&image->arguments, argument);
}

void image_add_arguments(struct image_draft *image, char *const *arguments)
{
	cleanup_free char *joined = strv_join(arguments, " ");
	cleanup_free char *text = xasprintf("ARG %s", joined);

	for (size_t i = 0; arguments[i]; i++)
		image_declare(image, arguments[i]);
	add_entry(image, text);
}

static void set_argument(char ***list, const char *argument,
			 expand_lookup lookup, void *data)
{
	size_t length = strcspn(argument, "=");
	cleanup_free char *name = xstrndup(argument, length);
	const char *value = lookup(name, data);

	if (!value)
		value = argument[length] ? argument + length + 1 : "";
	env_set(list, name, value);
}

void image_add_run(struct image_draft *image, char *const *argv,
		   expand_lookup lookup, void *data)
{
	cleanup_strv char **arguments = NULL;
	cleanup_free char *command = strv_join(argv, " ");
	cleanup_free char *text = NULL;

	for (size_t i = 0; image->arguments && image->arguments[i]; i++)
		set_argument(&arguments, image->arguments[i], lookup, data);
	if (arguments) {
		cleanup_free char *values = strv_join(arguments, " ");

		text = xasprintf("RUN |%zu %s %s", strv_length(arguments),
				 values, command);
	} else {
		text = xasprintf("RUN %s", command);
	}
	add_entry(image, text);
}

void image_add_copy(struct image_draft *image, const struct image_copy *copy)
{
	cleanup_str struct str text = {0};

	str_append(&text, copy->is_add ? "ADD" : "COPY");
	if (copy->parents)
		str_append(&text, " --parents");
	if (!str_empty(copy->owner))
		str_appendf(&text, " --chown=%s", copy->owner);
	if (!str_empty(copy->mode))
		str_appendf(&text, " --chmod=%s", copy->mode);
	for (size_t i = 0; copy->sources && copy->sources[i]; i++)
		str_appendf(&text, " %s", copy->sources[i]);
	str_appendf(&text, " %s", copy->destination);
	add_entry(image, str_text(&text));
}

void image_add_labels(struct image_draft *image, char *const *labels)
{
	cJSON *object =
		cJSON_GetObjectItemCaseSensitive(image->config, "Labels");

	if (strv_length(labels) > 0 && !object) {
		object = json_object();
		json_set(image->config, "Labels", object);
	}
	for (size_t i = 0; labels && labels[i]; i++) {
		size_t length = strcspn(labels[i], "=");
		cleanup_free char *name = xstrndup(labels[i], length);

		json_set_string(object, name,
				labels[i][length] ? labels[i] + length + 1
						  : "");
	}
}
