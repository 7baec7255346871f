#include "storage/build/content_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "storage/dockerfile/glob.h"
#include "storage/store/limits.h"

/* One name of the pattern, and the directory in which it is looked for. */
struct level {
	const struct content_glob *glob;
	char *const *names;	/* of the pattern, from this one on */
	struct glob *wildcards; /* this one */
	const char *real;	/* the directory, from the root */
};

static int walk_level(const struct content_glob *glob, char *const *names,
		      const char *real, const char *path, struct error *err);

bool content_has_wildcards(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		else if (strchr("*?[", *text) && *text)
			return true;
	}
	return false;
}

static char *join(const char *directory, const char *name)
{
	return xasprintf("%s%s%s", directory, *directory ? "/" : "", name);
}

static int is_wanted(void *data, const char *name, unsigned char d_type)
{
	const struct level *level = data;
	struct ignore *ignore = level->glob->request->ignore;
	cleanup_free char *path = NULL;
	bool may_be_directory = d_type == DT_DIR || d_type == DT_UNKNOWN;

	if (!glob_matches(level->wildcards, name) ||
	    (level->names[1] && !may_be_directory))
		return false;
	if (!ignore)
		return true;
	path = join(level->real, name);
	return may_be_directory ? !ignore_prunes(ignore, path)
				: !ignore_matches(ignore, path);
}

static int match(const struct level *level, const struct content_name *name,
		 const char *directory, struct error *err)
{
	const struct content_glob *glob = level->glob;
	cleanup_free char *path = xasprintf("%s/%s", directory, name->name);
	cleanup_free char *real = join(level->real, name->name);

	if (level->names[1])
		return S_ISDIR(name->st.st_mode)
			       ? walk_level(glob, level->names + 1, real, path,
					    err)
			       : 0;
	/* Where the type was not told before. */
	if (!S_ISDIR(name->st.st_mode) && glob->request->ignore &&
	    ignore_matches(glob->request->ignore, real))
		return 0;
	return glob->on_match(glob->data, path, err);
}

/* path: the directory as the pattern says it. */
static int walk_level(const struct content_glob *glob, char *const *names,
		      const char *real, const char *path, struct error *err)
{
	cleanup_content_names struct content_names found = {0};
	cleanup_glob struct glob *wildcards = NULL;
	struct level level = {glob, names, NULL, real};
	int r = glob_compile(*names, GLOB_PATH, &wildcards, err);

	level.wildcards = wildcards;
	if (r == 0)
		r = content_names_read(glob->request, real, is_wanted, &level,
				       &found, err);
	for (size_t i = 0; r == 0 && i < found.count; i++)
		r = match(&level, &found.list[i], path, err);
	return r;
}

int content_glob_walk(const struct content_glob *glob, const char *pattern,
		      struct error *err)
{
	cleanup_strv char **names = strv_split(pattern + 1, '/');
	cleanup_str struct str base = {0};
	cleanup_free char *real = NULL;
	struct content_place place = {0};
	bool hidden = false;
	size_t first = 0;
	int r;

	if (strv_length(names) > TAR_DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "a pattern of too many names");
	while (names[first] && !content_has_wildcards(names[first])) {
		str_append_char(&base, '/');
		str_append(&base, names[first++]);
	}
	r = content_resolve(glob->request, base.length ? base.data : "/",
			    &place, &hidden, err);
	if (r == -ENOENT)
		return content_not_found(str_text(&base), hidden, err);
	if (r < 0)
		return r;
	real = place.real;
	return walk_level(glob, names + first, real, str_text(&base), err);
}
