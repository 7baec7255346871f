/*
 * cmd/template.h: any text is either a template that runs to its end within
 * its limits or an error that says something; a second run gives the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char value_text[] =
	"{\"A\":\"text\",\"B\":{\"C\":7,\"D\":[1,\"x\",null,true,1.5]},"
	"\"E\":[],\"F\":null,\"Labels\":{\"k\":\"v\",\"80/tcp\":[]},"
	"\"G\":[{\"H\":\"a\"},{\"H\":\"b\"}]}";

DEFINE_CLEANUP(struct template *, template_free);

static int run(const struct template *template, const cJSON *value,
	       struct str *output)
{
	const cJSON *labels = cJSON_GetObjectItemCaseSensitive(value, "Labels");
	struct error err = {0};
	int r = template_execute(template, value, labels, output, &err);

	assert(r == 0 || (r < 0 && err.message[0] != '\0'));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(template_free_cleanup) struct template *template = NULL;
	cleanup_free char *text = xstrndup((const char *)data, size);
	cleanup_json cJSON *value = NULL;
	cleanup_str struct str once = {0};
	cleanup_str struct str twice = {0};
	struct error err = {0};

	if (template_parse(text, &template, &err) < 0) {
		assert(err.message[0] != '\0' && !template);
		return 0;
	}
	if (json_parse(value_text, sizeof(value_text) - 1, "value", &value,
		       NULL) < 0)
		__builtin_trap();
	if (run(template, value, &once) == 0 &&
	    run(template, value, &twice) == 0)
		assert(once.length == twice.length &&
		       memcmp(str_text(&once), str_text(&twice), once.length) ==
			       0);
	return 0;
}
