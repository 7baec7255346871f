#include "storage/build/ignore.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/dockerfile/glob.h"

struct rule {
	bool back_in; /* "!" */
	struct glob *glob;
};

struct ignore {
	struct rule *rules;
	size_t count;
	bool has_back_in;
};

struct ignore *ignore_new(void)
{
	return xcalloc(1, sizeof(struct ignore));
}

void ignore_free(struct ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->count; i++)
		glob_free(ignore->rules[i].glob);
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
	r = glob_compile(path, GLOB_IGNORE, &rule.glob, err);
	if (r < 0)
		return r;
	ignore->rules = xrealloc(ignore->rules, ignore->count + 1,
				 sizeof(*ignore->rules));
	ignore->rules[ignore->count++] = rule;
	ignore->has_back_in |= rule.back_in;
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

/* Does it match path or a directory above it? */
static bool rule_matches(const struct rule *rule, const char *path)
{
	cleanup_free char *copy = xstrdup(path);

	for (char *end = copy + strlen(copy); end; end = strrchr(copy, '/')) {
		*end = '\0';
		if (glob_matches(rule->glob, copy))
			return true;
	}
	return false;
}

bool ignore_matches(struct ignore *ignore, const char *path)
{
	bool ignored = false;

	for (size_t i = 0; i < ignore->count; i++) {
		const struct rule *rule = &ignore->rules[i];

		/* A rule that would change nothing need not be asked. */
		if (rule->back_in == ignored)
			ignored = rule_matches(rule, path) ? !rule->back_in
							   : ignored;
	}
	return ignored;
}

bool ignore_prunes(struct ignore *ignore, const char *path)
{
	return !ignore->has_back_in && ignore_matches(ignore, path);
}
