/* moss manifest inspect. */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/credentials.h"
#include "cmd/member.h"
#include "cmd/text.h"

/* docker's, of an index and of everything else. */
#define INDENT_INDEX "   "
#define INDENT_ELSE  "\t"

/* clang-format off */
static const struct option manifest_options[] = {
	{0, "insecure", OPTION_FLAG, NULL, NULL, "Allow communication with an insecure registry", false},
	{'v', "verbose", OPTION_FLAG, NULL, NULL, "Output additional info including layers and platform", false},
	{0},
};
/* clang-format on */

/* Which member docker shows a manifest in, by its media type. */
static const struct {
	const char *media_type;
	const char *member;
} members[] = {
	{"application/vnd.docker.distribution.manifest.v2+json",
	 "SchemaV2Manifest"},
	{"application/vnd.oci.image.manifest.v1+json", "OCIManifest"},
};

/* What a registry sent does not steer the terminal. */
static void print_json(const char *text, const char *indent)
{
	cleanup_free char *lines = text_indent_json(text, indent);
	cleanup_free char *plain = text_printable(lines, false);

	printf("%s\n", plain);
}

static cJSON *raw_json(const char *text)
{
	cJSON *raw = cJSON_CreateRaw(text);

	if (!raw)
		str_oom();
	return raw;
}

static cJSON *verbose_entry(const cJSON *entry)
{
	const cJSON *descriptor = member_of(entry, "descriptor");
	const cJSON *platform = member_of(entry, "platform");
	const char *media_type = text_of(descriptor, "mediaType");
	const char *text = text_of(entry, "raw");
	cleanup_free char *coded = base64_encode(text, strlen(text));
	cJSON *json = json_object();
	cJSON *copy = cJSON_Duplicate(descriptor, true);

	if (platform && copy)
		json_set(copy, "platform", cJSON_Duplicate(platform, true));
	json_set_string(json, "Ref", text_of(entry, "reference"));
	json_set(json, "Descriptor", copy ? copy : json_object());
	json_set_string(json, "Raw", coded);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (str_equal(media_type, members[i].media_type))
			json_set(json, members[i].member, raw_json(text));
	return json;
}

static void print_verbose(const cJSON *result)
{
	const cJSON *entries = member_of(result, "entries");
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;
	const cJSON *entry;

	if (entries) {
		json = json_array();
		cJSON_ArrayForEach(entry, entries)
		{
			json_push(json, verbose_entry(entry));
		}
	} else {
		json = verbose_entry(result);
	}
	text = json_print(json);
	print_json(text, INDENT_ELSE);
}

static bool is_index(const char *text)
{
	cleanup_json cJSON *json = NULL;

	return json_parse(text, strlen(text), "manifest", &json, NULL) >= 0 &&
	       member_of(json, "manifests") != NULL;
}

static void print_plain(const cJSON *result)
{
	const char *text = text_of(result, "raw");

	print_json(text, is_index(text) ? INDENT_INDEX : INDENT_ELSE);
}

static int inspect(struct context *context, const struct options *options,
		   cJSON **ret_result, struct error *err)
{
	struct engine_manifest_request request = {
		.name = options->operands[0],
		.insecure = option_flag(options, "insecure"),
		.verbose = option_flag(options, "verbose"),
	};
	cleanup_strv char **names = NULL;
	cJSON *auths;
	int r;

	r = engine_registry_names(&context->engine, request.name, false, &names,
				  err);
	if (r < 0)
		return r;
	auths = credentials_find_all(context->credentials, names);
	request.auths = auths;
	r = engine_registry_manifest(&context->engine, &request, ret_result,
				     err);
	credentials_wipe(auths);
	return r;
}

static int manifest_inspect_main(struct context *context,
				 const struct options *options)
{
	cleanup_json cJSON *result = NULL;
	struct error err = {0};

	if (inspect(context, options, &result, &err) < 0)
		return command_fail(context, &err);
	if (option_flag(options, "verbose"))
		print_verbose(result);
	else
		print_plain(result);
	return 0;
}

static const struct option *const tables[] = {manifest_options, NULL};

const struct command command_manifest_inspect = {
	.name = "manifest-inspect",
	.usage = "[OPTIONS] MANIFEST",
	.summary = "Display an image manifest, or manifest list",
	.options = tables,
	.operands_min = 1,
	.operands_max = 1,
	.hidden = true,
	.credentials = CREDENTIALS_READ,
	.run = manifest_inspect_main,
};
