#include "core/build/image_history.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "storage/dockerfile/config.h"

static const char *quote_escape(unsigned char character)
{
	static const char *const escapes[128] = {
		['\a'] = "\\a", ['\b'] = "\\b", ['\f'] = "\\f",
		['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t",
		['\v'] = "\\v", ['"'] = "\\\"", ['\\'] = "\\\\",
	};

	return character < 128 ? escapes[character] : NULL;
}

void history_quote(struct str *str, const char *text)
{
	str_append_char(str, '"');
	for (size_t length = 1; *text; text += length) {
		const unsigned char character = (unsigned char)*text;
		const char *escape = quote_escape(character);

		length = character < 128 ? 1 : utf8_length(text, strlen(text));
		if (escape)
			str_append(str, escape);
		else if (length == 0)
			str_appendf(str, "\\x%02x", character);
		else if (length == 2 && character == 0xc2 &&
			 (unsigned char)text[1] < 0xa0)
			str_appendf(str, "\\u%04x", (unsigned char)text[1]);
		else if (character < ' ' || character == 0x7f)
			str_appendf(str, "\\x%02x", character);
		else
			str_append_bytes(str, text, length);
		length = length ? length : 1;
	}
	str_append_char(str, '"');
}

/* ---- the forms ---- */

static void put_words(struct str *str, const cJSON *value)
{
	const cJSON *item;
	const char *space = "";

	cJSON_ArrayForEach(item, value)
	{
		str_appendf(str, "%s%s", space, item->valuestring);
		space = " ";
	}
}

static void put_list(struct str *str, const cJSON *value)
{
	str_append_char(str, '[');
	put_words(str, value);
	str_append_char(str, ']');
}

static void put_quoted(struct str *str, const cJSON *value)
{
	const cJSON *item;
	const char *space = "";

	str_append_char(str, '[');
	cJSON_ArrayForEach(item, value)
	{
		str_append(str, space);
		history_quote(str, item->valuestring);
		space = " ";
	}
	str_append_char(str, ']');
}

/* An object's names. */
static void put_names(struct str *str, const cJSON *value)
{
	const cJSON *item;
	const char *space = "";

	str_append_char(str, '[');
	cJSON_ArrayForEach(item, value)
	{
		str_appendf(str, "%s%s", space, item->string);
		space = " ";
	}
	str_append_char(str, ']');
}

static void put_pairs(struct str *str, const cJSON *value)
{
	const cJSON *item;
	const char *space = "";

	cJSON_ArrayForEach(item, value)
	{
		str_appendf(str, "%s%s=%s", space, item->string,
			    item->valuestring);
		space = " ";
	}
}

static void put_text(struct str *str, const cJSON *value)
{
	str_append(str, value->valuestring);
}

static void put_health(struct str *str, const cJSON *health)
{
	static const char *const durations[] = {
		"Interval",
		"Timeout",
		"StartPeriod",
		"StartInterval",
	};
	int64_t retries = 0;

	str_append(str, "{Test:");
	put_list(str, json_member(health, "Test"));
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		cleanup_free char *text = NULL;
		int64_t ns = 0;

		(void)json_get_i64(health, "", durations[i], &ns, NULL);
		text = format_duration(ns);
		str_appendf(str, " %s:%s", durations[i], text);
	}
	(void)json_get_i64(health, "", "Retries", &retries, NULL);
	str_appendf(str, " Retries:%lld}", (long long)retries);
}

static const struct form {
	const char *key; /* of the config; NULL: no entry */
	void (*put)(struct str *str, const cJSON *value);
} forms[DOCKERFILE_KEYWORDS] = {
	[DOCKERFILE_CMD] = {"Cmd", put_quoted},
	[DOCKERFILE_ENTRYPOINT] = {"Entrypoint", put_quoted},
	[DOCKERFILE_ENV] = {"Env", put_words},
	[DOCKERFILE_EXPOSE] = {"ExposedPorts", put_names},
	[DOCKERFILE_HEALTHCHECK] = {"Healthcheck", put_health},
	[DOCKERFILE_LABEL] = {"Labels", put_pairs},
	[DOCKERFILE_SHELL] = {"Shell", put_list},
	[DOCKERFILE_STOPSIGNAL] = {"StopSignal", put_text},
	[DOCKERFILE_USER] = {"User", put_text},
	[DOCKERFILE_VOLUME] = {"Volumes", put_names},
	[DOCKERFILE_WORKDIR] = {"WorkingDir", put_text},
};

/* What an instruction looks at, beside its own words. */
static cJSON *context_of(const cJSON *config)
{
	static const char *const keys[] = {"Shell", "WorkingDir"};
	cJSON *context = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const cJSON *value = json_member(config, keys[i]);

		if (value)
			json_set(context, keys[i],
				 cJSON_Duplicate(value, true));
	}
	return context;
}

/* It is applied to nothing, so that there is nothing but what it says. */
int history_text(const cJSON *config,
		 const struct dockerfile_instruction *instruction,
		 const struct expand *expand, char **ret_text,
		 struct error *err)
{
	const struct form *form = &forms[instruction->keyword];
	cleanup_json cJSON *said = context_of(config);
	cleanup_str struct str text = {0};
	int r = config_apply(said, instruction, expand, err);

	if (r < 0)
		return r;
	if (!form->key) {
		*ret_text = NULL;
		return 0;
	}
	str_appendf(&text, "%s ",
		    dockerfile_keyword_name(instruction->keyword));
	form->put(&text, json_member(said, form->key));
	*ret_text = str_steal(&text);
	return 0;
}
