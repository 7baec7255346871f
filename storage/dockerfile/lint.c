#include "storage/dockerfile/lint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/str.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/expand.h"

enum rule {
	STAGE_NAME_CASING,
	FROM_AS_CASING,
	NO_EMPTY_CONTINUATION,
	CONSISTENT_INSTRUCTION_CASING,
	DUPLICATE_STAGE_NAME,
	RESERVED_STAGE_NAME,
	JSON_ARGS_RECOMMENDED,
	MAINTAINER_DEPRECATED,
	UNDEFINED_ARG_IN_FROM,
	WORKDIR_RELATIVE_PATH,
	MULTIPLE_INSTRUCTIONS_DISALLOWED,
	LEGACY_KEY_VALUE_FORMAT,
	REDUNDANT_TARGET_PLATFORM,
	SECRETS_USED_IN_ARG_OR_ENV,
	INVALID_DEFAULT_ARG_IN_FROM,
	FROM_PLATFORM_FLAG_CONST_DISALLOWED,
	EXPOSE_PROTO_CASING,
	EXPOSE_INVALID_FORMAT,
	RULES,
};

static const struct {
	const char *name;
	const char *page;
} rules[RULES] = {
	[STAGE_NAME_CASING] = {"StageNameCasing", "stage-name-casing"},
	[FROM_AS_CASING] = {"FromAsCasing", "from-as-casing"},
	[NO_EMPTY_CONTINUATION] = {"NoEmptyContinuation",
				   "no-empty-continuation"},
	[CONSISTENT_INSTRUCTION_CASING] = {"ConsistentInstructionCasing",
					   "consistent-instruction-casing"},
	[DUPLICATE_STAGE_NAME] = {"DuplicateStageName", "duplicate-stage-name"},
	[RESERVED_STAGE_NAME] = {"ReservedStageName", "reserved-stage-name"},
	[JSON_ARGS_RECOMMENDED] = {"JSONArgsRecommended",
				   "json-args-recommended"},
	[MAINTAINER_DEPRECATED] = {"MaintainerDeprecated",
				   "maintainer-deprecated"},
	[UNDEFINED_ARG_IN_FROM] = {"UndefinedArgInFrom",
				   "undefined-arg-in-from"},
	[WORKDIR_RELATIVE_PATH] = {"WorkdirRelativePath",
				   "workdir-relative-path"},
	[MULTIPLE_INSTRUCTIONS_DISALLOWED] =
		{"MultipleInstructionsDisallowed",
		 "multiple-instructions-disallowed"},
	[LEGACY_KEY_VALUE_FORMAT] = {"LegacyKeyValueFormat",
				     "legacy-key-value-format"},
	[REDUNDANT_TARGET_PLATFORM] = {"RedundantTargetPlatform",
				       "redundant-target-platform"},
	[SECRETS_USED_IN_ARG_OR_ENV] = {"SecretsUsedInArgOrEnv",
					"secrets-used-in-arg-or-env"},
	[INVALID_DEFAULT_ARG_IN_FROM] = {"InvalidDefaultArgInFrom",
					 "invalid-default-arg-in-from"},
	[FROM_PLATFORM_FLAG_CONST_DISALLOWED] =
		{"FromPlatformFlagConstDisallowed",
		 "from-platform-flag-const-disallowed"},
	[EXPOSE_PROTO_CASING] = {"ExposeProtoCasing", "expose-proto-casing"},
	[EXPOSE_INVALID_FORMAT] = {"ExposeInvalidFormat",
				   "expose-invalid-format"},
};

/* ---- options ---- */

static uint64_t skipped_rules(const char *list)
{
	cleanup_strv char **names = strv_split(list, ',');
	uint64_t skipped = 0;

	if (str_equal(list, "all"))
		return UINT64_MAX;
	for (size_t i = 0; names[i]; i++) {
		const char *name = names[i] + strspn(names[i], " \t");
		size_t length = strcspn(name, " \t");

		for (size_t j = 0; j < RULES; j++) {
			if (strlen(rules[j].name) == length &&
			    memcmp(rules[j].name, name, length) == 0)
				skipped |= UINT64_C(1) << j;
		}
	}
	return skipped;
}

/* Without the white space around it; caller frees. */
static char *trimmed(const char *text)
{
	size_t length;

	text += strspn(text, " \t");
	length = strlen(text);
	while (length > 0 && isspace((unsigned char)text[length - 1]))
		length--;
	return xstrndup(text, length);
}

static int read_option(const char *text, struct lint_options *options,
		       struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *whole = xstrndup(text, strcspn(text, "="));
	cleanup_free char *name = trimmed(whole);
	cleanup_free char *value = equals ? trimmed(equals + 1) : NULL;

	if (value && str_equal(name, "skip")) {
		options->skipped = skipped_rules(value);
		return 0;
	}
	if (value && str_equal(name, "experimental"))
		return 0;
	if (value && str_equal(name, "error") &&
	    parse_bool(value, &options->error) == 0)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "failed to parse check options: \"%.80s\" is none of "
		       "skip=RULES, error=true and experimental=RULES",
		       text);
}

int lint_options_parse(const char *text, struct lint_options *ret_options,
		       struct error *err)
{
	struct lint_options options = {0};
	cleanup_free char *all = trimmed(text ? text : "");
	cleanup_strv char **parts = strv_split(all, ';');

	for (size_t i = 0; *all && parts[i]; i++) {
		int r = read_option(parts[i], &options, err);

		if (r < 0)
			return r;
	}
	*ret_options = options;
	return 0;
}

/* ---- warnings ---- */

/* A walk over the Dockerfile. */
struct walk {
	const struct lint_request *request;
	struct lint *lint;
};

/* Takes text. */
static void warn(struct walk *walk, enum rule rule,
		 struct dockerfile_range range, char *text)
{
	struct lint *lint = walk->lint;

	if (walk->request->options.skipped >> rule & 1 ||
	    lint->count == LINT_WARNINGS_MAX) {
		free(text);
		return;
	}
	lint->warnings = xrealloc(lint->warnings, lint->count + 1,
				  sizeof(*lint->warnings));
	lint->warnings[lint->count++] = (struct lint_warning){
		.rule = rules[rule].name,
		.page = rules[rule].page,
		.range = range,
		.text = text,
	};
}

static struct dockerfile_range
range_of(const struct dockerfile_instruction *instruction)
{
	return (struct dockerfile_range){instruction->first_line,
					 instruction->last_line};
}

/* The keyword as it is written; caller frees. */
static char *keyword_of(const struct dockerfile_instruction *instruction)
{
	const char *name = dockerfile_keyword_name(instruction->keyword);

	return xstrndup(instruction->text, strlen(name));
}

static bool has_upper(const char *text)
{
	for (; *text; text++) {
		if (isupper((unsigned char)*text))
			return true;
	}
	return false;
}

static bool has_lower(const char *text)
{
	for (; *text; text++) {
		if (islower((unsigned char)*text))
			return true;
	}
	return false;
}

static char *lower(const char *text)
{
	char *copy = xstrdup(text);

	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

/* Is it what it says, whatever variables, quotes and escapes there are? */
static bool is_literal(const char *text)
{
	return !text[strcspn(text, "$\"'\\`")];
}

/* ---- spelling ---- */

/* "FROM x as y"; mixed casing of the keyword is another rule's. */
static void check_as(struct walk *walk,
		     const struct dockerfile_instruction *from)
{
	cleanup_free char *keyword = keyword_of(from);
	const char *as = from->words[1];
	bool upper = has_upper(keyword);

	if (!as)
		return;
	if (has_upper(from->words[2]))
		warn(walk, STAGE_NAME_CASING, range_of(from),
		     xasprintf("Stage name '%s' should be lowercase",
			       from->words[2]));
	if (upper && has_lower(keyword))
		return;
	if (upper ? has_lower(as) : has_upper(as))
		warn(walk, FROM_AS_CASING, range_of(from),
		     xasprintf("'%s' and '%s' keywords' casing do not match",
			       as, keyword));
}

static void check_stage_name(struct walk *walk,
			     const struct dockerfile_instruction *from,
			     char ***names)
{
	cleanup_free char *name = NULL;

	if (!from->words[1])
		return;
	name = lower(from->words[2]);
	if (str_equal(name, "context") || str_equal(name, "scratch"))
		warn(walk, RESERVED_STAGE_NAME, range_of(from),
		     xasprintf("Stage name should not use the same name as "
			       "reserved stage \"%s\"",
			       name));
	if (strv_contains(*names, name))
		warn(walk, DUPLICATE_STAGE_NAME, range_of(from),
		     xasprintf("Duplicate stage name \"%s\", stage names "
			       "should be unique",
			       name));
	strv_push(names, name);
}

static void check_spelling(struct walk *walk)
{
	const struct dockerfile *dockerfile = walk->request->dockerfile;
	cleanup_strv char **names = NULL;

	for (size_t i = 0; i < dockerfile->empty_line_count; i++) {
		unsigned int line = dockerfile->empty_lines[i];

		warn(walk, NO_EMPTY_CONTINUATION,
		     (struct dockerfile_range){line, line},
		     xstrdup("Empty continuation line"));
	}
	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile->instructions[i];

		if (instruction->keyword == DOCKERFILE_MAINTAINER)
			warn(walk, MAINTAINER_DEPRECATED, range_of(instruction),
			     xstrdup("Maintainer instruction is deprecated in "
				     "favor of using label"));
		if (instruction->keyword != DOCKERFILE_FROM)
			continue;
		check_as(walk, instruction);
		check_stage_name(walk, instruction, &names);
	}
}

/* All in the casing of most; ARGs before the first FROM do not count. */
static void check_casing(struct walk *walk)
{
	const struct dockerfile *dockerfile = walk->request->dockerfile;
	size_t first = 0, lowers = 0, uppers = 0;

	while (first < dockerfile->count &&
	       dockerfile->instructions[first].keyword != DOCKERFILE_FROM)
		first++;
	for (size_t i = first; i < dockerfile->count; i++) {
		cleanup_free char *name =
			keyword_of(&dockerfile->instructions[i]);

		lowers += !has_upper(name);
		uppers += !has_lower(name);
	}
	for (size_t i = first; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile->instructions[i];
		cleanup_free char *name = keyword_of(instruction);
		bool bad = lowers > uppers ? has_upper(name) : has_lower(name);

		if (bad)
			warn(walk, CONSISTENT_INSTRUCTION_CASING,
			     range_of(instruction),
			     xasprintf("Command '%s' should match the case of "
				       "the command majority (%s)",
				       name,
				       lowers > uppers ? "lowercase"
						       : "uppercase"));
	}
}

/* ---- FROM ---- */

/* The variables of a word of FROM. */
struct names {
	char *const *arguments;
	char *const *platform_args;
	char **missing; /* strv, none twice */
};

static const char *lookup(const char *name, void *data)
{
	struct names *names = data;
	const char *value = env_get(names->arguments, name);

	if (!value)
		value = env_get(names->platform_args, name);
	if (!value && !strv_contains(names->missing, name))
		strv_push(&names->missing, name);
	return value;
}

/* NULL: it cannot be. Caller frees. */
static char *expand(const struct walk *walk, struct names *names,
		    const char *word)
{
	const struct expand how = {
		.escape = walk->request->dockerfile->escape,
		.lookup = lookup,
		.data = names,
	};
	char *text = NULL;

	return expand_word(&how, word, &text, NULL) < 0 ? NULL : text;
}

/* The names of the ARGs before the first FROM (strv, caller frees). */
static char **declared_names(const struct dockerfile *dockerfile)
{
	char **names = NULL;

	for (size_t i = 0;
	     i < dockerfile->count &&
	     dockerfile->instructions[i].keyword == DOCKERFILE_ARG;
	     i++) {
		char *const *words = dockerfile->instructions[i].words;

		for (size_t j = 0; words[j]; j++)
			strv_push_take(
				&names,
				xstrndup(words[j], strcspn(words[j], "=")));
	}
	return names;
}

/* The same with their own values, as if nothing was given. */
static char **default_arguments(const struct walk *walk)
{
	const struct dockerfile *dockerfile = walk->request->dockerfile;
	char **arguments = NULL;

	for (size_t i = 0;
	     i < dockerfile->count &&
	     dockerfile->instructions[i].keyword == DOCKERFILE_ARG;
	     i++) {
		char *const *words = dockerfile->instructions[i].words;

		for (size_t j = 0; words[j]; j++) {
			const char *sign = strchr(words[j], '=');
			struct names names = {
				arguments, walk->request->platform_args, NULL};
			cleanup_free char *name =
				xstrndup(words[j], strcspn(words[j], "="));
			cleanup_free char *value =
				sign ? expand(walk, &names, sign + 1) : NULL;

			strv_free(names.missing);
			if (value)
				env_set(&arguments, name, value);
		}
	}
	return arguments;
}

static void check_undeclared(struct walk *walk,
			     const struct dockerfile_instruction *from,
			     const char *word, char *const *declared)
{
	struct names names = {walk->request->arguments,
			      walk->request->platform_args, NULL};
	cleanup_free char *text = expand(walk, &names, word);

	for (size_t i = 0; names.missing && names.missing[i]; i++) {
		struct nearest nearest = {.text = names.missing[i]};
		cleanup_free char *question = NULL;

		if (strv_contains(declared, names.missing[i]))
			continue;
		for (size_t j = 0; declared && declared[j]; j++)
			nearest_try(&nearest, declared[j]);
		question = nearest_question(&nearest);
		warn(walk, UNDEFINED_ARG_IN_FROM, range_of(from),
		     xasprintf("FROM argument '%s' is not declared%s",
			       names.missing[i], question));
	}
	strv_free(names.missing);
}

/* What is no image's name, whatever else it may be. */
static bool is_bad_name(const char *name)
{
	size_t length = strlen(name);

	return length == 0 || strchr(":/@", name[0]) ||
	       strchr(":/@", name[length - 1]) || strstr(name, "//") ||
	       strstr(name, "/:") || strstr(name, ":@");
}

static void check_default(struct walk *walk,
			  const struct dockerfile_instruction *from,
			  char *const *defaults)
{
	struct names names = {defaults, walk->request->platform_args, NULL};
	cleanup_free char *name = NULL;

	if (!strchr(from->words[0], '$'))
		return;
	name = expand(walk, &names, from->words[0]);
	strv_free(names.missing);
	if (name && is_bad_name(name))
		warn(walk, INVALID_DEFAULT_ARG_IN_FROM, range_of(from),
		     xasprintf("Default value for ARG %s results in empty or "
			       "invalid base image name",
			       from->words[0]));
}

/* An architecture by the name that platforms have for it. */
static const char *usual_name(const char *architecture)
{
	if (strcasecmp(architecture, "x86_64") == 0)
		return "amd64";
	return strcasecmp(architecture, "aarch64") == 0 ? "arm64"
							: architecture;
}

/* A stage for one platform may say so in its name. */
static bool names_platform(const char *stage, const char *platform)
{
	cleanup_strv char **parts = strv_split(platform, '/');

	if (!parts[1] && strcasestr(stage, "linux"))
		return true;
	for (size_t i = 0; i < 2 && parts[i]; i++) {
		if (strcasestr(stage, parts[i]) ||
		    strcasestr(stage, usual_name(parts[i])))
			return true;
	}
	return false;
}

static void check_platform(struct walk *walk,
			   const struct dockerfile_instruction *from,
			   const char *platform)
{
	if (str_equal(platform, "$TARGETPLATFORM") ||
	    str_equal(platform, "${TARGETPLATFORM}"))
		warn(walk, REDUNDANT_TARGET_PLATFORM, range_of(from),
		     xasprintf("Setting platform to predefined %s in FROM is "
			       "redundant as this is the default behavior",
			       platform));
	else if (is_literal(platform) &&
		 !names_platform(from->words[1] ? from->words[2] : "",
				 platform))
		warn(walk, FROM_PLATFORM_FLAG_CONST_DISALLOWED, range_of(from),
		     xasprintf("FROM --platform flag should not use constant "
			       "value \"%s\"",
			       platform));
}

static void check_froms(struct walk *walk)
{
	const struct dockerfile *dockerfile = walk->request->dockerfile;
	cleanup_strv char **declared = declared_names(dockerfile);
	cleanup_strv char **defaults = default_arguments(walk);

	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *from =
			&dockerfile->instructions[i];
		const char *platform;

		if (from->keyword != DOCKERFILE_FROM)
			continue;
		platform = instruction_flag(from, "platform");
		check_default(walk, from, defaults);
		check_undeclared(walk, from, from->words[0], declared);
		if (!platform)
			continue;
		check_undeclared(walk, from, platform, declared);
		check_platform(walk, from, platform);
	}
}

/* ---- what stages do ---- */

/* A stage so far. */
struct state {
	bool shell;   /* SHELL was there, or is its base's */
	bool workdir; /* WORKDIR was there */
	const struct dockerfile_instruction *last[DOCKERFILE_KEYWORDS];
};

/* Of these only the last is heeded. */
static void check_once(struct walk *walk, struct state *state,
		       const struct dockerfile_instruction *instruction)
{
	const struct dockerfile_instruction **last =
		&state->last[instruction->keyword];
	cleanup_free char *keyword = keyword_of(instruction);

	if (*last)
		warn(walk, MULTIPLE_INSTRUCTIONS_DISALLOWED, range_of(*last),
		     xasprintf("Multiple %s instructions should not be used "
			       "in the same stage because only the last one "
			       "will be used",
			       keyword));
	*last = instruction;
}

static void check_command(struct walk *walk, struct state *state,
			  const struct dockerfile_instruction *instruction)
{
	cleanup_free char *keyword = keyword_of(instruction);

	check_once(walk, state, instruction);
	if (!instruction->json && !state->shell && instruction->words)
		warn(walk, JSON_ARGS_RECOMMENDED, range_of(instruction),
		     xasprintf("JSON arguments recommended for %s to prevent "
			       "unintended behavior related to OS signals",
			       keyword));
}

/* "ENV NAME VALUE": behind the name there is no "=". */
static void check_legacy(struct walk *walk,
			 const struct dockerfile_instruction *instruction)
{
	cleanup_free char *keyword = keyword_of(instruction);
	const char *name = instruction->words[0];
	const char *text = instruction->text + strlen(keyword);

	text += strspn(text, " \t");
	if (str_starts(text, name) && text[strlen(name)] != '=')
		warn(walk, LEGACY_KEY_VALUE_FORMAT, range_of(instruction),
		     xasprintf("\"%s key=value\" should be used instead of "
			       "legacy \"%s key value\" format",
			       keyword, keyword));
}

/* Is one of the parts between "_" in list? */
static bool has_part(const char *name, const char *const *list)
{
	cleanup_strv char **parts = strv_split(name, '_');

	for (size_t i = 0; parts[i]; i++) {
		for (size_t j = 0; list[j]; j++) {
			if (strcasecmp(parts[i], list[j]) == 0)
				return true;
		}
	}
	return false;
}

static void check_secret(struct walk *walk,
			 const struct dockerfile_instruction *instruction,
			 const char *name)
{
	static const char *const secret[] = {
		"apikey", "auth",  "credential", "credentials",
		"key",	  "pword", "password",	 "passwd",
		"secret", "token", NULL,
	};
	static const char *const open[] = {"public", "file", "version", NULL};

	if (is_literal(name) && has_part(name, secret) && !has_part(name, open))
		warn(walk, SECRETS_USED_IN_ARG_OR_ENV, range_of(instruction),
		     xasprintf("Do not use ARG or ENV instructions for "
			       "sensitive data (%s \"%s\")",
			       dockerfile_keyword_name(instruction->keyword),
			       name));
}

static void check_names(struct walk *walk,
			const struct dockerfile_instruction *instruction)
{
	/* Values stand between the names of ENV. */
	size_t step = instruction->keyword == DOCKERFILE_ENV ? 2 : 1;

	for (size_t i = 0; instruction->words[i]; i += step) {
		const char *word = instruction->words[i];
		cleanup_free char *name = xstrndup(word, strcspn(word, "="));

		check_secret(walk, instruction, name);
	}
}

static void check_port(struct walk *walk,
		       const struct dockerfile_instruction *instruction,
		       const char *port)
{
	const char *colon = strrchr(port, ':');
	const char *protocol = strchr(colon ? colon : port, '/');

	if (!is_literal(port))
		return;
	if (protocol && has_upper(protocol))
		warn(walk, EXPOSE_PROTO_CASING, range_of(instruction),
		     xasprintf("Defined protocol '%s' in EXPOSE instruction "
			       "should be lowercase",
			       port));
	if (colon && port[strspn(port, ":")] && *port != ':')
		warn(walk, EXPOSE_INVALID_FORMAT, range_of(instruction),
		     xasprintf("EXPOSE instruction should not define an IP "
			       "address or host-port mapping, found '%s'",
			       port));
}

static void check_workdir(struct walk *walk, struct state *state,
			  const struct dockerfile_instruction *instruction)
{
	const char *path = instruction->words[0];

	/* Behind the first one all is relative to it. */
	if (!state->workdir && is_literal(path) && *path != '/')
		warn(walk, WORKDIR_RELATIVE_PATH, range_of(instruction),
		     xasprintf("Relative workdir \"%s\" can have unexpected "
			       "results if the base image changes",
			       path));
	state->workdir = true;
}

static void check_instruction(struct walk *walk, struct state *state,
			      const struct dockerfile_instruction *instruction)
{
	enum dockerfile_keyword keyword = instruction->keyword;

	if (keyword == DOCKERFILE_SHELL)
		state->shell = true;
	else if (keyword == DOCKERFILE_CMD || keyword == DOCKERFILE_ENTRYPOINT)
		check_command(walk, state, instruction);
	else if (keyword == DOCKERFILE_HEALTHCHECK)
		check_once(walk, state, instruction);
	else if (keyword == DOCKERFILE_WORKDIR)
		check_workdir(walk, state, instruction);
	if (keyword == DOCKERFILE_ENV || keyword == DOCKERFILE_LABEL)
		check_legacy(walk, instruction);
	if (keyword == DOCKERFILE_ENV || keyword == DOCKERFILE_ARG)
		check_names(walk, instruction);
	if (keyword != DOCKERFILE_EXPOSE)
		return;
	for (size_t i = 0; instruction->words[i]; i++)
		check_port(walk, instruction, instruction->words[i]);
}

static size_t count_stages(const struct dockerfile *dockerfile)
{
	size_t count = 0;

	for (size_t i = 0; i < dockerfile->count; i++)
		count += dockerfile->instructions[i].keyword == DOCKERFILE_FROM;
	return count;
}

static void check_stages(struct walk *walk)
{
	const struct dockerfile *dockerfile = walk->request->dockerfile;
	const struct lint_stage *stages = walk->request->stages;
	cleanup_free struct state *states =
		xcalloc(count_stages(dockerfile) + 1, sizeof(*states));
	size_t next = 0;

	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile->instructions[i];

		if (instruction->keyword == DOCKERFILE_FROM) {
			size_t base = stages[next].base;
			struct state *state = &states[next];

			state->shell = stages[next].shell;
			if (base < next) {
				state->shell |= states[base].shell;
				state->workdir = states[base].workdir;
			}
			next++;
		} else if (next > 0 && stages[next - 1].built) {
			check_instruction(walk, &states[next - 1], instruction);
		}
	}
}

static int by_line(const void *a, const void *b)
{
	const struct lint_warning *first = a, *second = b;
	unsigned int line = first->range.first_line;
	unsigned int other = second->range.first_line;

	return line != other ? (line > other) - (line < other)
			     : strcmp(first->rule, second->rule);
}

void dockerfile_lint(const struct lint_request *request, struct lint *ret_lint)
{
	struct walk walk = {request, ret_lint};

	if (request->options.skipped == UINT64_MAX)
		return;
	check_spelling(&walk);
	check_casing(&walk);
	check_froms(&walk);
	check_stages(&walk);
	if (ret_lint->count > 0)
		qsort(ret_lint->warnings, ret_lint->count,
		      sizeof(*ret_lint->warnings), by_line);
}

void lint_release(struct lint *lint)
{
	for (size_t i = 0; i < lint->count; i++)
		free(lint->warnings[i].text);
	free(lint->warnings);
	*lint = (struct lint){0};
}
