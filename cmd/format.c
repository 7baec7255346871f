#include "cmd/format.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/template.h"

DEFINE_CLEANUP(struct template *, template_free);
#define cleanup_template CLEANUP(template_free_cleanup)

static int print_template(struct context *context,
			  const struct template *template, const cJSON *object)
{
	cleanup_str struct str line = {0};
	struct error err = {0};

	if (template_execute(template, object, NULL, &line, &err) < 0)
		return command_fail(context, &err);
	printf("%s\n", str_text(&line));
	return 0;
}

static int parse(struct context *context, const char *format,
		 struct template **ret_template)
{
	struct error err = {0};

	if (template_parse(format, ret_template, &err) >= 0)
		return 0;
	command_fail(context, &err);
	return EXIT_TEMPLATE;
}

int format_objects(struct context *context, const char *format,
		   const cJSON *objects)
{
	cleanup_template struct template *template = NULL;
	cleanup_free char *text = NULL;
	const cJSON *object;
	int code;

	if (str_empty(format) || str_equal(format, "json")) {
		text = str_empty(format) ? json_print_pretty(objects)
					 : json_print(objects);
		printf("%s\n", text);
		return 0;
	}
	code = parse(context, format, &template);
	if (code != 0)
		return code;
	cJSON_ArrayForEach(object, objects)
	{
		code |= print_template(context, template, object);
	}
	return code;
}

int format_object(struct context *context, const char *format,
		  const cJSON *object)
{
	cleanup_template struct template *template = NULL;
	cleanup_free char *text = NULL;
	int code;

	if (str_equal(format, "json")) {
		text = json_print(object);
		printf("%s\n", text);
		return 0;
	}
	code = parse(context, format, &template);
	return code ? code : print_template(context, template, object);
}
