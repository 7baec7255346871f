#include "cmd/build_check.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/build_ending.h"
#include "cmd/member.h"
#include "cmd/text.h"

static void add_warning(struct str *text, const cJSON *warning)
{
	cleanup_free char *detail =
		text_printable(text_of(warning, "detail"), true);

	str_appendf(text, "\nWARNING: %s - %s\n%s\n", text_of(warning, "rule"),
		    text_of(warning, "url"), detail);
	build_ending_excerpt(warning, text);
}

char *build_check_text(const cJSON *result)
{
	const cJSON *warnings = member_of(result, "warnings");
	int count = cJSON_GetArraySize(warnings);
	struct str text = {0};
	const cJSON *warning;

	if (count == 0) {
		str_append(&text, "Check complete, no warnings found.\n");
		return str_steal(&text);
	}
	str_appendf(&text, "Check complete, %d warning%s been found!\n", count,
		    count == 1 ? " has" : "s have");
	cJSON_ArrayForEach(warning, warnings)
	{
		add_warning(&text, warning);
	}
	return str_steal(&text);
}
