/* Options of moss build whose values are lists of fields: --secret, --ssh,
   --output, --cache-from, --cache-to, --build-context. */
#include "cmd/build_options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/build_context.h"
#include "cmd/fields.h"
#include "cmd/member.h"
#include "core/build/run_mounts.h"
#include "storage/store/reference.h"

static int fields_read(const char *text, cJSON **ret_fields, struct error *err)
{
	cleanup_strv char **fields = NULL;
	cleanup_json cJSON *object = json_object();
	int r = fields_split(text, &fields, err);

	for (size_t i = 0; r >= 0 && fields[i]; i++) {
		char *equals = strchr(fields[i], '=');

		if (!equals)
			return err_set(err, ERROR_INVALID,
				       "invalid field '%s' must be a key=value "
				       "pair",
				       fields[i]);
		*equals = '\0';
		cJSON_DeleteItemFromObjectCaseSensitive(object, fields[i]);
		json_set_string(object, fields[i], equals + 1);
	}
	if (r < 0)
		return r;
	*ret_fields = steal_ptr(&object);
	return 0;
}

/* keys: those that there may be, NULL at the end. */
static int check_keys(const cJSON *fields, const char *const *keys,
		      struct error *err)
{
	const cJSON *field;

	cJSON_ArrayForEach(field, fields)
	{
		bool known = false;

		for (size_t i = 0; keys[i]; i++)
			known = known || str_equal(keys[i], field->string);
		if (!known)
			return err_set(err, ERROR_INVALID,
				       "unexpected key '%s' in '%s=%s'",
				       field->string, field->string,
				       field->valuestring);
	}
	return 0;
}

/* The first of two names that a field goes by. */
static const char *either(const cJSON *fields, const char *one,
			  const char *other)
{
	return json_member(fields, one) ? text_of(fields, one)
					: text_of(fields, other);
}

static int set_path(cJSON *object, const char *key, const char *path,
		    struct error *err)
{
	cleanup_free char *absolute = NULL;
	int r = build_path(path, &absolute, err);

	if (r >= 0)
		json_set_string(object, key, absolute);
	return r < 0 ? r : 0;
}

static cJSON *array_of(cJSON *request, const char *key)
{
	cJSON *array = cJSON_GetObjectItemCaseSensitive(request, key);

	if (!array) {
		array = json_array();
		json_set(request, key, array);
	}
	return array;
}

/* ---- secrets ---- */

static int secret_value(cJSON *secret, const char *variable, struct error *err)
{
	const char *value = getenv(variable);
	cleanup_free char *encoded = NULL;

	if (!value)
		return err_set(err, ERROR_NOT_FOUND,
			       "there is no variable %s in the environment",
			       variable);
	encoded = base64_encode(value, strlen(value));
	json_set_string(secret, "value", encoded);
	return 0;
}

static int secret_file(cJSON *secret, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, "cannot read %s", path);
	if (st.st_size > RUN_SECRET_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s is larger than a secret may be (%u bytes)",
			       path, RUN_SECRET_MAX);
	return set_path(secret, "source", path, err);
}

static int add_secret(cJSON *request, const cJSON *fields, struct error *err)
{
	static const char *const keys[] = {"type", "id",  "source",
					   "src",  "env", NULL};
	const char *id = text_of(fields, "id");
	const char *type = text_of(fields, "type");
	const char *file = either(fields, "source", "src");
	const char *variable = text_of(fields, "env");
	cJSON *secret;
	int r = check_keys(fields, keys, err);

	if (r < 0)
		return r;
	if (*type && !str_equal(type, "file") && !str_equal(type, "env"))
		return err_set(err, ERROR_INVALID,
			       "unsupported secret type \"%s\"", type);
	if (*id == '\0')
		return err_set(err, ERROR_INVALID, "there is no id");
	if (str_equal(type, "env") && *variable == '\0') {
		variable = file;
		file = "";
	}
	/* The id alone is the name of a variable, or of a file. */
	if (*variable == '\0' && *file == '\0' && getenv(id))
		variable = id;
	else if (*variable == '\0' && *file == '\0')
		file = id;
	secret = json_object();
	json_push(array_of(request, "secrets"), secret);
	json_set_string(secret, "id", id);
	return *variable ? secret_value(secret, variable, err)
			 : secret_file(secret, file, err);
}

/* "default", "ID=SOCKET" */
static int add_ssh(cJSON *request, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *id = equals ? xstrndup(text, (size_t)(equals - text))
				       : xstrdup(text);
	const char *socket = equals ? equals + 1 : getenv("SSH_AUTH_SOCK");
	struct stat st;
	cJSON *agent;

	if (*id == '\0')
		return err_set(err, ERROR_INVALID, "there is no id");
	if (str_empty(socket)) {
		err_set(err, ERROR_NOT_FOUND,
			"invalid empty ssh agent socket: SSH_AUTH_SOCK is not "
			"set");
		return err_hint(err, "Start an agent (ssh-agent), and give it "
				     "a key (ssh-add).");
	}
	if (stat(socket, &st) < 0)
		return err_errno(err, "cannot find the agent's socket %s",
				 socket);
	if (!S_ISSOCK(st.st_mode)) {
		err_set(err, ERROR_UNSUPPORTED, "%s is no socket", socket);
		return err_hint(err, "Keys stay with an agent: give them to "
				     "one with ssh-add, and name its socket.");
	}
	agent = json_object();
	json_push(array_of(request, "ssh"), agent);
	json_set_string(agent, "id", id);
	return set_path(agent, "socket", socket, err);
}

/* ---- outputs ---- */

static const struct {
	const char *type;
	bool written; /* may have a dest */
	bool stored;  /* goes into the store without one */
	bool archive; /* of an image: may be a directory instead, tar=false */
	bool pushed;
} output_types[] = {
	{"local", .written = true},
	{"tar", .written = true},
	{"oci", .written = true, .archive = true},
	{"docker", .written = true, .stored = true, .archive = true},
	{"image", .stored = true},
	{"registry", .stored = true, .pushed = true},
};

/* "out" and "-" are a directory and an archive. */
static int output_fields(const char *text, cJSON **ret_fields,
			 struct error *err)
{
	bool is_path = !strchr(text, '=');

	if (!is_path)
		return fields_read(text, ret_fields, err);
	*ret_fields = json_object();
	json_set_string(*ret_fields, "type",
			str_equal(text, "-") ? "tar" : "local");
	json_set_string(*ret_fields, "dest", text);
	return 0;
}

static int find_output(const cJSON *fields, size_t *ret_row, struct error *err)
{
	static const char *const keys[] = {"type", "dest", "name",
					   "push", "tar",  NULL};
	const char *type = text_of(fields, "type");
	int r = check_keys(fields, keys, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(output_types); i++)
		if (str_equal(output_types[i].type, type)) {
			*ret_row = i;
			return 0;
		}
	return err_set(err, *type ? ERROR_UNSUPPORTED : ERROR_INVALID,
		       "output type \"%s\" is not one of local, tar, oci, "
		       "docker, image and registry",
		       type);
}

static int check_dest(const char *type, const char *dest, struct error *err)
{
	bool files = str_equal(type, "local");

	if (files && *dest == '\0')
		return err_set(err, ERROR_INVALID,
			       "dest is required for local exporter");
	if (files && str_equal(dest, "-"))
		return err_set(err, ERROR_INVALID,
			       "a directory cannot be written to standard "
			       "output: use type=tar");
	if (str_equal(dest, "-") && isatty(STDOUT_FILENO))
		return err_set(err, ERROR_INVALID,
			       "dest file is required for %s exporter: "
			       "refusing to write to console",
			       type);
	return 0;
}

/* "tar=false": an image as a directory. */
static int add_form(const cJSON *fields, size_t row, cJSON *output,
		    struct error *err)
{
	bool tar = true;

	if (!json_member(fields, "tar"))
		return 0;
	if (!output_types[row].archive ||
	    parse_bool(text_of(fields, "tar"), &tar) < 0)
		return err_set(err, ERROR_INVALID,
			       "tar: expected true or false, of an oci or "
			       "docker output");
	if (!tar)
		json_set_bool(output, "tar", false);
	return 0;
}

static int add_output(cJSON *request, const cJSON *fields, struct error *err)
{
	const char *type = text_of(fields, "type");
	const char *dest = text_of(fields, "dest");
	cJSON *output;
	size_t row = 0;
	int r = find_output(fields, &row, err);

	if (r < 0)
		return r;
	if (*dest && !output_types[row].written)
		return err_set(err, ERROR_INVALID,
			       "the %s exporter has no dest", type);
	output = json_object();
	json_push(array_of(request, "outputs"), output);
	if (*dest == '\0' && output_types[row].stored) {
		json_set_string(output, "type", "image");
		return 0;
	}
	json_set_string(output, "type", type);
	if (*dest == '\0' && !str_equal(type, "local"))
		dest = "-";
	r = check_dest(type, dest, err);
	r = r < 0 ? r : add_form(fields, row, output, err);
	if (r < 0)
		return r;
	if (!str_equal(dest, "-"))
		return set_path(output, "dest", dest, err);
	json_set_string(output, "dest", dest);
	return 0;
}

/* Beside files, what is to be pushed or loaded goes into the store, too. */
static void add_store(const struct options *options, cJSON *request)
{
	cJSON *output;

	if (!json_member(request, "outputs") ||
	    (!option_flag(options, "load") && !build_options_push(options)))
		return;
	cJSON_ArrayForEach(output, array_of(request, "outputs"))
	{
		if (str_equal(text_of(output, "type"), "image"))
			return;
	}
	output = json_object();
	json_set_string(output, "type", "image");
	json_push(array_of(request, "outputs"), output);
}

/* The option's outputs go into the request. */
static int add_outputs(const struct options *options, cJSON *request,
		       struct error *err)
{
	char *const *list = option_list(options, "output");

	for (size_t i = 0; list[i]; i++) {
		cleanup_json cJSON *fields = NULL;
		int r = output_fields(list[i], &fields, err);

		r = r < 0 ? r : add_output(request, fields, err);
		if (r < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for \"-o, "
					"--output\" flag",
					list[i]);
	}
	add_store(options, request);
	return 0;
}

int build_values_output_names(const struct options *options, char ***names,
			      bool *ret_push, struct error *err)
{
	char *const *list = option_list(options, "output");
	bool push = false;

	for (size_t i = 0; list[i]; i++) {
		cleanup_json cJSON *fields = NULL;
		cleanup_strv char **named = NULL;
		size_t row = 0;
		bool wanted = false;
		int r = output_fields(list[i], &fields, err);

		r = r < 0 ? r : find_output(fields, &row, err);
		if (r >= 0 && json_member(fields, "push") &&
		    parse_bool(text_of(fields, "push"), &wanted) < 0)
			r = err_set(err, ERROR_INVALID,
				    "push: expected true or false");
		if (r < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for \"-o, "
					"--output\" flag",
					list[i]);
		push = push || wanted || output_types[row].pushed;
		named = strv_split(text_of(fields, "name"), ',');
		for (size_t n = 0; named[n]; n++)
			if (*named[n])
				strv_push(names, named[n]);
	}
	*ret_push = push;
	return 0;
}

/* ---- caches ---- */

static int add_cache(cJSON *request, const char *key, const cJSON *fields,
		     struct error *err)
{
	static const char *const from_keys[] = {"type", "ref", "src", NULL};
	static const char *const to_keys[] = {"type", "ref", "dest", "mode",
					      NULL};
	bool to = str_equal(key, "cacheTo");
	const char *type = text_of(fields, "type");
	const char *place = to ? "dest" : "src";
	bool registry = str_equal(type, "registry");
	bool is_inline = to && str_equal(type, "inline");
	cleanup_free char *full = NULL;
	struct reference reference;
	cJSON *cache;
	int r;

	if (!registry && !is_inline && !str_equal(type, "local")) {
		err_set(err, ERROR_UNSUPPORTED,
			"cache type \"%s\" is not one of registry%s and local",
			type, to ? ", inline" : "");
		return err_hint(err, "A directory (type=local) can be kept "
				     "anywhere.");
	}
	r = check_keys(fields, to ? to_keys : from_keys, err);
	if (r < 0)
		return r;
	if (!is_inline && !json_member(fields, registry ? "ref" : place))
		return err_set(err, ERROR_INVALID, "%s is required",
			       registry ? "ref" : place);
	if (json_member(fields, "mode") &&
	    !str_equal(text_of(fields, "mode"), "min") &&
	    !str_equal(text_of(fields, "mode"), "max"))
		return err_set(err, ERROR_INVALID, "mode: expected min or max");
	r = registry ? reference_parse(text_of(fields, "ref"), &reference, err)
		     : 0;
	if (r < 0)
		return r;
	cache = json_object();
	json_push(array_of(request, key), cache);
	json_set_string(cache, "type", type);
	if (json_member(fields, "mode"))
		json_set_string(cache, "mode", text_of(fields, "mode"));
	if (is_inline)
		return 0;
	if (!registry)
		return set_path(cache, place, text_of(fields, place), err);
	full = reference_full(&reference);
	json_set_string(cache, "ref", full);
	return 0;
}

/* "user/app:cache,other", or fields. */
static int add_cache_text(cJSON *request, const char *key, const char *text,
			  struct error *err)
{
	cleanup_json cJSON *fields = NULL;
	cleanup_strv char **names = NULL;
	int r = 0;

	if (strchr(text, '=')) {
		r = fields_read(text, &fields, err);
		return r < 0 ? r : add_cache(request, key, fields, err);
	}
	names = strv_split(text, ',');
	for (size_t i = 0; r >= 0 && names[i]; i++) {
		cleanup_json cJSON *named = json_object();

		json_set_string(named, "type", "registry");
		json_set_string(named, "ref", names[i]);
		r = add_cache(request, key, named, err);
	}
	return r;
}

static int add_caches(const struct options *options, const char *option,
		      const char *key, cJSON *request, struct error *err)
{
	char *const *list = option_list(options, option);

	for (size_t i = 0; list[i]; i++)
		if (add_cache_text(request, key, list[i], err) < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for \"--%s\" "
					"flag",
					list[i], option);
	return 0;
}

/* ---- other contexts ---- */

#define LAYOUT_PREFIX "oci-layout://"

/* "oci-layout://DIRECTORY[:TAG][@DIGEST]", the directory's path made absolute.
 */
static int add_layout(cJSON *contexts, const char *name, const char *value,
		      struct error *err)
{
	const char *path = value + strlen(LAYOUT_PREFIX);
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash : path;
	size_t length = (size_t)(last - path) + strcspn(last, ":@");
	cleanup_free char *directory = xstrndup(path, length);
	cleanup_free char *absolute = realpath(directory, NULL);
	cleanup_free char *whole = NULL;

	if (!absolute)
		return err_errno(err, "cannot find the directory %s",
				 directory);
	whole = xasprintf(LAYOUT_PREFIX "%s%s", absolute, path + length);
	json_set_string(contexts, name, whole);
	return 0;
}

/* "NAME=VALUE" */
static int add_context(cJSON *contexts, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *name = NULL;
	const char *value;
	struct stat st;
	int r;

	if (!equals || equals == text || equals[1] == '\0')
		return err_set(err, ERROR_INVALID,
			       "invalid context value: %s, expected key=value",
			       text);
	name = xstrndup(text, (size_t)(equals - text));
	value = equals + 1;
	cJSON_DeleteItemFromObjectCaseSensitive(contexts, name);
	if (str_starts(value, "docker-image://")) {
		json_set_string(contexts, name, value);
		return 0;
	}
	if (str_starts(value, LAYOUT_PREFIX))
		return add_layout(contexts, name, value, err);
	r = stat(value, &st);
	if (r < 0 && build_context_is_remote(value)) {
		json_set_string(contexts, name, value);
		return 0;
	}
	if (r < 0)
		return err_errno(err, "cannot find the directory %s", value);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERROR_INVALID, "%s is not a directory",
			       value);
	return set_path(contexts, name, value, err);
}

static int add_contexts(const struct options *options, cJSON *request,
			struct error *err)
{
	char *const *list = option_list(options, "build-context");
	cJSON *contexts = json_object();

	json_set(request, "buildContexts", contexts);
	for (size_t i = 0; list[i]; i++)
		if (add_context(contexts, list[i], err) < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for "
					"\"--build-context\" flag",
					list[i]);
	return 0;
}

int build_values_add(const struct options *options, cJSON *request,
		     struct error *err)
{
	char *const *secrets = option_list(options, "secret");
	char *const *agents = option_list(options, "ssh");
	int r = 0;

	for (size_t i = 0; secrets[i]; i++) {
		cleanup_json cJSON *fields = NULL;

		r = fields_read(secrets[i], &fields, err);
		r = r < 0 ? r : add_secret(request, fields, err);
		if (r < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for "
					"\"--secret\" flag",
					secrets[i]);
	}
	for (size_t i = 0; agents[i]; i++) {
		r = add_ssh(request, agents[i], err);
		if (r < 0)
			return err_wrap(err,
					"invalid argument \"%s\" for \"--ssh\" "
					"flag",
					agents[i]);
	}
	r = add_outputs(options, request, err);
	r = r < 0 ? r
		  : add_caches(options, "cache-from", "cacheFrom", request,
			       err);
	r = r < 0 ? r
		  : add_caches(options, "cache-to", "cacheTo", request, err);
	return r < 0 ? r : add_contexts(options, request, err);
}
