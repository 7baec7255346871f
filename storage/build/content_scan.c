#include "storage/build/content_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/str.h"
#include "storage/store/limits.h"

/* A directory from a source's top to where the scan is. */
struct level {
	struct stat st;
	size_t length; /* of its path */
	bool is_shown;
};

struct scan {
	const struct content_request *request;
	struct content_list *list;
	struct ignore *excludes; /* NULL: none */
	/* The source. */
	size_t pattern;
	const char *name;
	size_t prefix;	      /* of its path, and the slash behind it */
	struct ignore *parts; /* what --parents wants below it; NULL: all */
	char *parts_start;    /* names that all of those begin with */
	/* The present directory. */
	struct str path;
	struct level *levels;
	size_t depth;
};

static void scan_release(struct scan *scan)
{
	ignore_free(scan->excludes);
	ignore_free(scan->parts);
	free(scan->parts_start);
	str_release(&scan->path);
	free(scan->levels);
}

static void cut(struct scan *scan, size_t length)
{
	scan->path.length = length;
	if (scan->path.data)
		scan->path.data[length] = '\0';
}

static void push(struct scan *scan, const char *name)
{
	if (scan->path.length > 0)
		str_append_char(&scan->path, '/');
	str_append(&scan->path, name);
}

/* The path of the present entry below the source. */
static const char *below(const struct scan *scan)
{
	return scan->path.length > scan->prefix ? scan->path.data + scan->prefix
						: "";
}

/* ---- what is taken ---- */

/* The first length bytes of the present path are that of something selected. */
static int add(struct scan *scan, size_t length, const struct stat *st,
	       const char *link, struct error *err)
{
	struct content_list *list = scan->list;
	struct content_item item = {
		.pattern = scan->pattern,
		.name = scan->name,
		.real = content_list_text(list, str_text(&scan->path), length),
		.st = *st,
		.is_socket = S_ISSOCK(st->st_mode),
	};

	if (item.real)
		item.path = item.real +
			    (length > scan->prefix ? scan->prefix : length);
	if (link) {
		item.link = content_list_text(list, link, strlen(link));
		item.real = item.link ? item.real : NULL;
	}
	if (item.is_socket) {
		item.st.st_mode = S_IFREG | (st->st_mode & 07777);
		item.st.st_size = 0;
	}
	return content_list_add(list, &item, err);
}

/* The present directory and those above it, which something is taken from. */
static int show_levels(struct scan *scan, struct error *err)
{
	for (size_t i = 0; i < scan->depth; i++) {
		struct level *level = &scan->levels[i];
		int r;

		if (level->is_shown)
			continue;
		r = add(scan, level->length, &level->st, NULL, err);
		if (r < 0)
			return r;
		level->is_shown = true;
	}
	return 0;
}

enum verdict { LEAVE, ENTER /* if it is a directory */, TAKE };

/* Can something below the directory be wanted by --parents? */
static bool leads_to_parts(const struct scan *scan, const char *path)
{
	size_t start = strlen(scan->parts_start);
	size_t length = strlen(path);

	if (length < start)
		return strncmp(scan->parts_start, path, length) == 0 &&
		       scan->parts_start[length] == '/';
	return start == 0 || (strncmp(path, scan->parts_start, start) == 0 &&
			      (path[start] == '/' || path[start] == '\0'));
}

/* Of the present path; it may be one of a directory. */
static enum verdict judge(const struct scan *scan, bool may_be_directory)
{
	struct ignore *ignore = scan->request->ignore;
	const char *path = below(scan);
	bool hidden = ignore && ignore_matches(ignore, scan->path.data);
	bool excluded = scan->excludes && ignore_matches(scan->excludes, path);
	bool wanted = !scan->parts || ignore_matches(scan->parts, path);

	if (!hidden && !excluded && wanted)
		return TAKE;
	if (!may_be_directory ||
	    (hidden && ignore_prunes(ignore, scan->path.data)) ||
	    (excluded && ignore_prunes(scan->excludes, path)) ||
	    (!wanted && !leads_to_parts(scan, path)))
		return LEAVE;
	return ENTER;
}

static int is_wanted(void *data, const char *name, unsigned char d_type)
{
	struct scan *scan = data;
	size_t length = scan->path.length;
	enum verdict verdict;

	push(scan, name);
	verdict = judge(scan, d_type == DT_DIR || d_type == DT_UNKNOWN);
	cut(scan, length);
	return (int)verdict;
}

/* ---- directories ---- */

static int scan_directory(struct scan *scan, const struct stat *st, bool take,
			  struct error *err);

static int scan_name(struct scan *scan, const struct content_name *name,
		     struct error *err)
{
	bool directory = S_ISDIR(name->st.st_mode);
	int r;

	if (scan->path.length >= TAR_PATH_MAX)
		return err_set(err, ERROR_INVALID,
			       "\"/%.512s…\": the path is too long",
			       scan->path.data);
	if (directory)
		return scan_directory(scan, &name->st, name->wanted == TAKE,
				      err);
	if (name->wanted != TAKE)
		return 0;
	r = show_levels(scan, err);
	return r < 0 ? r
		     : add(scan, scan->path.length, &name->st, name->link, err);
}

/* The present path is a directory; take: itself too. */
static int scan_directory(struct scan *scan, const struct stat *st, bool take,
			  struct error *err)
{
	cleanup_content_names struct content_names names = {0};
	const size_t length = scan->path.length;
	int r;

	if (scan->depth == TAR_DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "\"/%.512s…\": too many directories deep",
			       scan->path.data);
	scan->levels[scan->depth++] = (struct level){*st, length, false};
	r = take ? show_levels(scan, err) : 0;
	if (r == 0)
		r = content_names_read(scan->request, str_text(&scan->path),
				       is_wanted, scan, &names, err);
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		push(scan, names.list[i].name);
		r = scan_name(scan, &names.list[i], err);
		cut(scan, length);
	}
	scan->depth--;
	return r;
}

/* ---- sources ---- */

/* The context's own directory has no attributes, as with docker. */
static void set_context_top(const struct scan *scan, struct stat *st)
{
	if (scan->path.length == 0 && !scan->request->owners)
		st->st_mode = S_IFDIR | 0755;
}

static int scan_file(struct scan *scan, struct content_place *place,
		     struct error *err)
{
	if (scan->parts)
		return 0;
	if (scan->excludes && ignore_matches(scan->excludes, scan->name))
		return 0;
	return add(scan, scan->path.length, &place->st, NULL, err);
}

/* What is at path, from "/", with all links followed. */
static int scan_source(struct scan *scan, const char *path, bool *ret_hidden,
		       struct error *err)
{
	struct content_place place = {0};
	cleanup_free char *real = NULL;
	struct ignore *ignore = scan->request->ignore;
	const char *name;
	bool take;
	int r = content_resolve(scan->request, path, &place, ret_hidden, err);

	if (r < 0)
		return r;
	real = place.real;
	cut(scan, 0);
	str_append(&scan->path, real);
	scan->prefix = scan->path.length > 0 ? scan->path.length + 1 : 0;
	name = scan->parts ? "" : strrchr(path, '/') + 1;
	scan->name = content_list_text(scan->list, name, strlen(name));
	if (!scan->name)
		return content_list_add(scan->list, &(struct content_item){0},
					err);
	if (!S_ISDIR(place.st.st_mode))
		return scan_file(scan, &place, err);
	set_context_top(scan, &place.st);
	take = !ignore || !*real || !ignore_matches(ignore, real);
	*ret_hidden = !take;
	if (!take && ignore_prunes(ignore, real))
		return 0;
	return scan_directory(scan, &place.st, take, err);
}

static int on_match(void *data, const char *path, struct error *err)
{
	struct scan *scan = data;
	bool hidden = false;
	int r = scan_source(scan, path, &hidden, err);

	return r == -ENOENT ? content_not_found(path, hidden, err) : r;
}

/* Splits a pattern of --parents: where it begins, and what of that is wanted.
 */
static int set_parts(struct scan *scan, const char *pattern, char **ret_top,
		     struct error *err)
{
	const char *pivot = strstr(pattern, "/./");
	cleanup_free char *front =
		pivot ? xstrndup(pattern, (size_t)(pivot - pattern))
		      : xstrdup("");
	cleanup_free char *top = path_join("/", front);
	cleanup_free char *rest = path_join("/", pivot ? pivot + 2 : pattern);
	cleanup_strv char **names = strv_split(rest + 1, '/');
	struct str start = {0};
	int r;

	scan->parts = ignore_new();
	r = *names[0] ? ignore_add(scan->parts, rest + 1, err)
		      : ignore_add(scan->parts, "**", err);
	for (size_t i = 0; names[i] && !content_has_wildcards(names[i]); i++) {
		if (i > 0)
			str_append_char(&start, '/');
		str_append(&start, names[i]);
	}
	scan->parts_start = str_steal(&start);
	if (r == 0)
		*ret_top = steal_ptr(&top);
	return r;
}

/* A pattern without wildcards, that has to select something. */
static int scan_plain(struct scan *scan, const char *top, const char *wanted,
		      struct error *err)
{
	const size_t before = scan->list->count;
	bool hidden = false;
	int r = scan_source(scan, top, &hidden, err);

	if (r < 0 && r != -ENOENT)
		return r;
	/* The top of --parents alone is nothing that was asked for. */
	if (r == -ENOENT || hidden)
		r = scan->list->count > before
			    ? 0
			    : content_not_found(wanted, hidden, err);
	if (r == 0 && scan->parts && *scan->parts_start &&
	    scan->list->count <= before + 1)
		r = content_not_found(wanted, false, err);
	return r;
}

static int scan_pattern(struct scan *scan, const char *pattern,
			struct error *err)
{
	const struct content_glob glob = {scan->request, on_match, scan};
	cleanup_free char *cleaned = path_join("/", pattern);
	cleanup_free char *top = NULL;
	int r = 0;

	ignore_free(scan->parts);
	free(scan->parts_start);
	scan->parts = NULL;
	scan->parts_start = NULL;
	if (scan->request->parents)
		r = set_parts(scan, pattern, &top, err);
	else
		top = xstrdup(cleaned);
	if (r < 0)
		return err_wrap(err, "\"%.512s\"", pattern);
	if (content_has_wildcards(top)) {
		r = content_glob_walk(&glob, top, err);
	} else if (content_has_wildcards(cleaned)) {
		bool hidden = false;

		r = scan_source(scan, top, &hidden, err);
		if (r == -ENOENT)
			r = content_not_found(top, hidden, err);
	} else {
		r = scan_plain(scan, top, cleaned, err);
	}
	return r;
}

int content_scan(const struct content_request *request,
		 struct content_list *list, struct error *err)
{
	CLEANUP(scan_release)
	struct scan scan = {
		.request = request,
		.list = list,
		.levels = xcalloc(TAR_DEPTH_MAX, sizeof(struct level)),
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(request->excludes); i++) {
		if (!scan.excludes)
			scan.excludes = ignore_new();
		r = ignore_add(scan.excludes, request->excludes[i], err);
		if (r < 0)
			return err_wrap(err, "--exclude \"%.512s\"",
					request->excludes[i]);
	}
	for (size_t i = 0; r == 0 && request->patterns && request->patterns[i];
	     i++) {
		scan.pattern = i;
		r = scan_pattern(&scan, request->patterns[i], err);
	}
	return r;
}
