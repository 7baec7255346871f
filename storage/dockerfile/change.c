#include "storage/dockerfile/change.h"

#include <string.h>

#include "base/cleanup.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/config.h"

/* A finished image cannot take files; docker leaves SHELL out as well. */
static bool is_change(enum dockerfile_keyword keyword)
{
	return config_takes(keyword) && keyword != DOCKERFILE_SHELL;
}

static int apply_one(cJSON *config, char escape,
		     const struct dockerfile_instruction *instruction,
		     struct error *err)
{
	const struct expand expand = {
		.escape = escape,
		.lookup = config_lookup,
		.data = config,
	};
	int r;

	if (!is_change(instruction->keyword))
		return err_set(err, ERROR_INVALID,
			       "%s is not a valid change command",
			       dockerfile_keyword_name(instruction->keyword));
	r = instruction_check(instruction, err);
	return r < 0 ? r : config_apply(config, instruction, &expand, err);
}

int change_apply(cJSON *config, const char *text, struct error *err)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	size_t length = strlen(text);
	int r;

	if (length > CHANGE_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "change: longer than %u bytes", CHANGE_TEXT_MAX);
	r = dockerfile_parse(text, length, &dockerfile, NULL, err);
	if (r < 0)
		return err_wrap(err, "change");
	for (size_t i = 0; i < dockerfile.count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile.instructions[i];

		r = apply_one(config, dockerfile.escape, instruction, err);
		if (r < 0 && strchr(text, '\n'))
			return err_wrap(err, "change, line %u",
					instruction->first_line);
		if (r < 0)
			return err_wrap(err, "change");
	}
	return 0;
}
