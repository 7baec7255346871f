#include "storage/build/ignore.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/dockerfile/glob.h"

/*
 * Each file of a context is asked for, and most rules are of simple kinds: so
 * that the wildcards' machine runs but once for a path, if at all.
 */
enum rule_kind {
	RULE_LITERAL, /* no wildcards */
	RULE_NAME,    /* "**" and one name: of any component */
	RULE_DEPTH,   /* no "**": of the path's first `depth` components */
	RULE_ANY,     /* of the path, or any directory above it */
};

struct rule {
	enum rule_kind kind;
	bool back_in; /* "!" */
	char *pattern;
	size_t literal; /* its bytes before the first wildcard */
	size_t depth;
	struct glob *glob; /* RULE_NAME: of the name */
};

struct ignore {
	struct rule *rules;
	size_t count;
};

struct ignore *ignore_new(void)
{
	return xcalloc(1, sizeof(struct ignore));
}

void ignore_free(struct ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->count; i++) {
		glob_free(ignore->rules[i].glob);
		free(ignore->rules[i].pattern);
	}
	free(ignore->rules);
	free(ignore);
}

void cleanup_ignore_function(struct ignore **ignore)
{
	ignore_free(*ignore);
}

/* As a path from the root: nothing is above that. Caller frees. */
static char *clean(const char *path)
{
	cleanup_free char *absolute = xasprintf("/%s", path);
	cleanup_free char *cleaned = path_clean(absolute);

	return xstrdup(cleaned + 1);
}

static size_t count_names(const char *path)
{
	size_t count = 1;

	for (; *path; path++)
		count += *path == '/';
	return count;
}

/* Takes pattern, which is clean and not empty. */
static int rule_init(struct rule *rule, char *pattern, struct error *err)
{
	const bool stars = strstr(pattern, "**") != NULL;
	const char *name = pattern;

	rule->pattern = pattern;
	rule->literal = strcspn(pattern, "*?[\\");
	rule->depth = count_names(pattern);
	if (!pattern[rule->literal]) {
		rule->kind = RULE_LITERAL;
	} else if (str_starts(pattern, "**/") &&
		   !strpbrk(pattern + 3, "/[\\") &&
		   !strstr(pattern + 3, "**")) {
		rule->kind = RULE_NAME;
		name = pattern + 3;
	} else {
		/* What is between brackets may be a slash. */
		rule->kind =
			stars || strchr(pattern, '[') ? RULE_ANY : RULE_DEPTH;
	}
	return glob_compile(name, GLOB_IGNORE, &rule->glob, err);
}

int ignore_add(struct ignore *ignore, const char *pattern, struct error *err)
{
	cleanup_free char *path = NULL;
	struct rule rule = {0};
	int r;

	if (*pattern == '!') {
		rule.back_in = true;
		pattern++;
		while (isspace((unsigned char)*pattern))
			pattern++;
		if (!*pattern)
			return err_set(err, ERROR_INVALID,
				       "\"!\" needs a pattern behind it");
	}
	path = clean(pattern);
	if (!*path)
		return 0;
	r = rule_init(&rule, steal_ptr(&path), err);
	if (r < 0) {
		free(rule.pattern);
		return r;
	}
	ignore->rules = xrealloc(ignore->rules, ignore->count + 1,
				 sizeof(*ignore->rules));
	ignore->rules[ignore->count++] = rule;
	return 0;
}

/* A line without white space around it; NULL: nothing is on it. */
static char *read_pattern(const char *line, size_t length)
{
	if (length > 0 && *line == '#')
		return NULL;
	while (length > 0 && isspace((unsigned char)line[length - 1]))
		length--;
	while (length > 0 && isspace((unsigned char)*line)) {
		line++;
		length--;
	}
	return length > 0 ? xstrndup(line, length) : NULL;
}

int ignore_add_file(struct ignore *ignore, const char *text, size_t length,
		    struct error *err)
{
	static const char bom[] = "\xef\xbb\xbf";
	const char *end = text + length;

	if (length > IGNORE_MAX)
		return err_set(err, ERROR_INVALID, "it has more than %u bytes",
			       IGNORE_MAX);
	if (memchr(text, '\0', length))
		return err_set(err, ERROR_INVALID,
			       "there is a NUL byte in it: it is no text");
	if (length >= strlen(bom) && memcmp(text, bom, strlen(bom)) == 0)
		text += strlen(bom);
	for (unsigned int number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		cleanup_free char *pattern =
			read_pattern(text, (size_t)(line_end - text));
		int r = pattern ? ignore_add(ignore, pattern, err) : 0;

		if (r < 0)
			return err_wrap(err, "line %u", number);
		text = newline ? newline + 1 : end;
	}
	return 0;
}

static bool matches_name(const struct rule *rule, char *path)
{
	for (char *name = path; name;) {
		char *end = strchr(name, '/');
		bool matches;

		if (end)
			*end = '\0';
		matches = glob_matches(rule->glob, name);
		if (end)
			*end = '/';
		if (matches)
			return true;
		name = end ? end + 1 : NULL;
	}
	return false;
}

static bool matches_depth(const struct rule *rule, char *path)
{
	char *end = path;
	bool matches;

	for (size_t depth = 1;; depth++) {
		end = strchrnul(end, '/');
		if (depth == rule->depth)
			break;
		if (!*end)
			return false;
		end++;
	}
	if (!*end)
		return glob_matches(rule->glob, path);
	*end = '\0';
	matches = glob_matches(rule->glob, path);
	*end = '/';
	return matches;
}

static bool matches_any(const struct rule *rule, const char *path)
{
	cleanup_free char *copy = xstrdup(path);

	for (char *end = copy + strlen(copy); end; end = strrchr(copy, '/')) {
		*end = '\0';
		if (glob_matches(rule->glob, copy))
			return true;
	}
	return false;
}

/* Does it match path or a directory above it? path is as it was afterwards. */
static bool rule_matches(const struct rule *rule, char *path)
{
	if (strncmp(path, rule->pattern, rule->literal) != 0)
		return false;
	switch (rule->kind) {
	case RULE_LITERAL:
		return path[rule->literal] == '\0' ||
		       path[rule->literal] == '/';
	case RULE_NAME:
		return matches_name(rule, path);
	case RULE_DEPTH:
		return matches_depth(rule, path);
	case RULE_ANY:
		break;
	}
	return matches_any(rule, path);
}

bool ignore_matches(struct ignore *ignore, const char *path)
{
	cleanup_free char *copy = NULL;
	bool ignored = false;

	if (ignore->count > 0)
		copy = xstrdup(path);
	for (size_t i = 0; i < ignore->count; i++) {
		const struct rule *rule = &ignore->rules[i];

		/* A rule that would change nothing need not be asked. */
		if (rule->back_in == ignored)
			ignored = rule_matches(rule, copy) ? !rule->back_in
							   : ignored;
	}
	return ignored;
}

/* Could it match something below the directory? */
static bool may_match_below(const struct rule *rule, const char *directory)
{
	size_t length = strlen(directory);

	if (rule->literal <= length)
		return strncmp(rule->pattern, directory, rule->literal) == 0;
	return strncmp(rule->pattern, directory, length) == 0 &&
	       rule->pattern[length] == '/';
}

bool ignore_prunes(struct ignore *ignore, const char *path)
{
	if (!ignore_matches(ignore, path))
		return false;
	for (size_t i = 0; i < ignore->count; i++) {
		if (ignore->rules[i].back_in &&
		    may_match_below(&ignore->rules[i], path))
			return false;
	}
	return true;
}
