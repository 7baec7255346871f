/* COPY, ADD and WORKDIR: core/build/worker.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/build/pull_progress.h"
#include "core/build/remote.h"
#include "core/build/worker.h"
#include "core/engine/members.h"
#include "storage/build/content.h"
#include "storage/dockerfile/check.h"
#include "storage/store/digest.h"

/* A context that changes all the time cannot be copied. */
#define TRIES 3

struct copy {
	bool is_add;
	char **words;	   /* expanded; a here-document's as written */
	size_t word_count; /* sources and destination */
	char *destination; /* absolute */
	char **texts;	   /* of here-documents, expanded */
	char **excludes;
	char *owner, *mode, *checksum;
	struct worker_source from;
	bool has_from;
	char **patterns; /* borrowed words: those that are paths */
	char **clones;	 /* directories of git repositories */
	struct copy_source *sources;
	struct layer_copy_request request;
	char content[CONTENT_HEX_MAX]; /* what the key says */
};

static void copy_release(struct copy *copy)
{
	strv_free(copy->words);
	strv_free(copy->texts);
	strv_free(copy->excludes);
	free(copy->destination);
	free(copy->owner);
	free(copy->mode);
	free(copy->checksum);
	worker_source_release(&copy->from);
	free(copy->patterns);
	strv_free(copy->clones);
	free(copy->sources);
}

/* ---- words and flags ---- */

static bool is_heredoc(const char *word)
{
	struct dockerfile_heredoc heredoc = {0};
	bool found = dockerfile_heredoc_word(word, &heredoc);

	if (found)
		dockerfile_heredoc_release(&heredoc);
	return found;
}

static int expand_words_of(struct worker *worker, struct copy *copy,
			   struct error *err)
{
	const struct dockerfile_instruction *instruction = worker->instruction;
	const struct expand expand = worker_expand(worker);
	size_t count = strv_length(instruction->words);

	for (size_t i = 0; i < count; i++) {
		const char *word = instruction->words[i];
		char *expanded = NULL;
		int r = 0;

		if (instruction->heredoc_count > 0 && i + 1 < count &&
		    is_heredoc(word))
			expanded = xstrdup(word);
		else
			r = expand_word(&expand, word, &expanded, err);
		if (r < 0)
			return r;
		strv_push_take(&copy->words, expanded);
	}
	copy->word_count = count;
	return 0;
}

static int expand_heredocs(struct worker *worker, struct copy *copy,
			   struct error *err)
{
	const struct dockerfile_instruction *instruction = worker->instruction;
	struct expand expand = worker_expand(worker);

	/* Of a file, whatever "# escape=" says of the Dockerfile. */
	expand.text = true;
	expand.escape = '\\';
	for (size_t i = 0; i < instruction->heredoc_count; i++) {
		const struct dockerfile_heredoc *heredoc =
			&instruction->heredocs[i];
		cleanup_free char *text =
			heredoc->chomp
				? dockerfile_heredoc_chomped(heredoc->content)
				: xstrdup(heredoc->content);
		char *expanded = NULL;
		int r;

		if (!heredoc->expand) {
			strv_push(&copy->texts, text);
			continue;
		}
		r = expand_word(&expand, text, &expanded, err);
		if (r < 0)
			return r;
		strv_push_take(&copy->texts, expanded);
	}
	return 0;
}

/* Relative to WORKDIR; what says that it is a directory stays. */
static char *absolute(const struct worker *worker, const char *path)
{
	const char *directory =
		member_string(worker->result.image.config, "WorkingDir");

	if (*path == '/')
		return xstrdup(path);
	return xasprintf("%s%s/%s", *directory == '/' ? "" : "/", directory,
			 str_equal(path, ".") ? "./" : path);
}

static bool flag_is_set(const struct worker *worker, const char *name)
{
	const char *value = instruction_flag(worker->instruction, name);

	return value && strcasecmp(value, "false") != 0;
}

static int read_flags(struct worker *worker, struct copy *copy,
		      struct error *err)
{
	int r = worker_flag(worker, "chown", &copy->owner, err);

	if (r >= 0)
		r = worker_flag(worker, "chmod", &copy->mode, err);
	if (r >= 0)
		r = worker_flag(worker, "checksum", &copy->checksum, err);
	if (r >= 0)
		r = worker_flags(worker, "exclude", &copy->excludes, err);
	return r < 0 ? r : 0;
}

/* ---- sources ---- */

static bool is_url(const char *word)
{
	return strncasecmp(word, "http://", 7) == 0 ||
	       strncasecmp(word, "https://", 8) == 0;
}

/* "github.com/x/y" could as well be a file of the context, and is one here. */
static bool is_git(const char *word)
{
	return remote_is_git(word) && !str_starts(word, "github.com/");
}

/* What is not held against it must not look as if it were. */
static int check_checksum(const struct worker *worker, const struct copy *copy,
			  struct error *err)
{
	const char *source = copy->words[0];

	if (!copy->checksum)
		return 0;
	if (copy->word_count != 2)
		return err_set(err, ERROR_INVALID,
			       "checksum can't be specified for multiple "
			       "sources");
	if (worker->instruction->heredoc_count > 0 ||
	    (!is_url(source) && !is_git(source)))
		return err_set(err, ERROR_INVALID,
			       "checksum requires HTTP(S) or Git sources");
	return is_git(source) ? 0
			      : digest_check(copy->checksum, "--checksum", err);
}

/* All of a commit; nothing is said of what is ignored. */
static int add_git(struct worker *worker, struct copy *copy, const char *word,
		   struct copy_source *source, struct error *err)
{
	static char top[] = ".";
	static char *const all[] = {top, NULL};
	const struct remote_request request = {
		.store = &worker->builder->engine->store,
		.work = &worker->builder->work,
		.input_fd = -1,
		.progress_fd = -1,
	};
	const struct remote_git git = {
		.url = word,
		.keep_git_dir = flag_is_set(worker, "keep-git-dir"),
		.checksum = copy->checksum,
	};
	char *path = NULL;
	int r = remote_git_checkout(&request, &git, &path, err);

	if (r < 0)
		return r;
	strv_push_take(&copy->clones, path);
	source->kind = COPY_FROM_CONTEXT;
	source->directory = path;
	source->patterns = all;
	return 0;
}

/* The directory that paths are in; NULL: it is a chain. */
static const struct context *context_of(const struct worker *worker,
					const struct copy *copy)
{
	if (!copy->has_from)
		return &worker->builder->context;
	return copy->from.context.path ? &copy->from.context : NULL;
}

static void set_path_source(const struct worker *worker,
			    const struct copy *copy, struct copy_source *source)
{
	const struct context *context = context_of(worker, copy);

	if (!context) {
		source->kind = COPY_FROM_ROOT;
		source->chain = &copy->from.chain;
		return;
	}
	source->kind = COPY_FROM_CONTEXT;
	source->directory = context->path;
	source->ignore = context->ignore_text;
}

static int add_source(struct worker *worker, struct copy *copy,
		      const char *word, size_t *heredoc,
		      struct copy_source *source, struct error *err)
{
	if (worker->instruction->heredoc_count > *heredoc && is_heredoc(word)) {
		source->kind = COPY_FROM_TEXT;
		source->name = worker->instruction->heredocs[*heredoc].name;
		source->content = copy->texts[(*heredoc)++];
		return 0;
	}
	if (!copy->is_add && (is_url(word) || is_git(word)))
		return err_set(err, ERROR_INVALID,
			       "%.200s: source can't be a %s for COPY: use ADD",
			       word, is_git(word) ? "git ref" : "URL");
	if (copy->is_add && is_git(word))
		return add_git(worker, copy, word, source, err);
	source->unpack = copy->is_add;
	if (copy->is_add && is_url(word)) {
		source->kind = COPY_FROM_URL;
		source->url = word;
		source->checksum = copy->checksum;
		source->unpack = flag_is_set(worker, "unpack");
		return 0;
	}
	if (copy->is_add && instruction_flag(worker->instruction, "unpack"))
		source->unpack = flag_is_set(worker, "unpack");
	set_path_source(worker, copy, source);
	if (!source->chain && !source->directory)
		return err_set(err, ERROR_NOT_FOUND,
			       "\"%s\": not found: this build has no context",
			       word);
	return 0;
}

static bool same_place(const struct copy_source *a, const struct copy_source *b)
{
	return a->kind == b->kind && a->directory == b->directory &&
	       a->chain == b->chain && a->unpack == b->unpack;
}

/* Paths that stand together are one source. */
static int add_sources(struct worker *worker, struct copy *copy,
		       struct error *err)
{
	size_t count = copy->word_count - 1, heredoc = 0, used = 0;
	size_t patterns = 0;

	copy->sources = xcalloc(count, sizeof(*copy->sources));
	/* Each source's patterns end with a NULL. */
	copy->patterns = xcalloc(2 * count, sizeof(*copy->patterns));
	for (size_t i = 0; i < count; i++) {
		struct copy_source source = {0};
		bool is_path, joins;
		int r = add_source(worker, copy, copy->words[i], &heredoc,
				   &source, err);

		if (r < 0)
			return r;
		is_path = (source.kind == COPY_FROM_CONTEXT ||
			   source.kind == COPY_FROM_ROOT) &&
			  !source.patterns;
		joins = is_path && used > 0 &&
			same_place(&copy->sources[used - 1], &source);
		if (!joins) {
			patterns += used > 0;
			copy->sources[used++] = source;
		}
		if (is_path && !joins)
			copy->sources[used - 1].patterns =
				&copy->patterns[patterns];
		if (is_path)
			copy->patterns[patterns++] = copy->words[i];
	}
	copy->request.source_count = used;
	return 0;
}

static int find_from(struct worker *worker, struct copy *copy,
		     struct error *err)
{
	const char *from = instruction_flag(worker->instruction, "from");

	copy->has_from = from != NULL;
	return from ? worker_find_source(worker, from, &copy->from, err) : 0;
}

/* ---- the step ---- */

static void make_request(const struct worker *worker, struct copy *copy)
{
	struct layer_copy_request *request = &copy->request;

	request->chain = &worker->result.chain;
	request->destination = copy->destination;
	request->sources = copy->sources;
	request->owner = copy->owner;
	request->mode = copy->mode;
	request->link = flag_is_set(worker, "link");
	request->parents = flag_is_set(worker, "parents");
	request->excludes = copy->excludes;
	request->lease = worker->builder->work.name;
	request->epoch = worker->builder->epoch;
	request->progress_fd = -1;
}

static int prepare(struct worker *worker, struct copy *copy, struct error *err)
{
	int r = expand_words_of(worker, copy, err);

	if (r == 0)
		r = expand_heredocs(worker, copy, err);
	if (r == 0)
		r = read_flags(worker, copy, err);
	if (r == 0)
		r = check_checksum(worker, copy, err);
	if (r == 0)
		r = find_from(worker, copy, err);
	if (r == 0)
		r = add_sources(worker, copy, err);
	if (r < 0)
		return r;
	copy->destination = absolute(worker, copy->words[copy->word_count - 1]);
	make_request(worker, copy);
	return 0;
}

/* Of a root, or of a URL, which is fetched for it. */
static int digest_elsewhere(const struct worker *worker, struct copy *copy,
			    struct error *err)
{
	struct layer_copy_request request = copy->request;
	struct pull_progress progress;
	int r;

	pull_progress_open(&worker->builder->report, worker->vertex, &progress);
	request.progress_fd = progress.fd;
	r = image_copy_digest(&worker->builder->engine->store, &request,
			      copy->content, err);
	pull_progress_close(&progress);
	return r;
}

/* The context's own files, whose digests are remembered, or anything else. */
static int digest_content(const struct worker *worker, struct copy *copy,
			  struct error *err)
{
	const struct context *context = context_of(worker, copy);
	const struct copy_source *source = &copy->sources[0];

	if (context && copy->request.source_count == 1 &&
	    source->kind == COPY_FROM_CONTEXT &&
	    source->directory == context->path) {
		const struct content_request request = {
			.root_fd = context->fd,
			.patterns = source->patterns,
			.ignore = context->ignore,
			.excludes = copy->excludes,
			.parents = copy->request.parents,
			.cache = context->cache,
		};

		return content_digest(&request, copy->content, err);
	}
	return digest_elsewhere(worker, copy, err);
}

/* -EAGAIN without a text: the files are not those of the key any more. */
static int make_copy(struct worker *worker, void *data,
		     struct layer_ref *ret_layer, struct error *err)
{
	struct copy *copy = data;
	struct layer_copy_request request = copy->request;
	struct pull_progress progress;
	char content[CONTENT_HEX_MAX];
	int r;

	/* It may have something to warn of, owners without an ID say. */
	pull_progress_open(&worker->builder->report, worker->vertex, &progress);
	request.progress_fd = progress.fd;
	r = image_layer_copy(&worker->builder->engine->store, &request,
			     ret_layer, content, err);
	pull_progress_close(&progress);
	if (r >= 0 && !str_equal(content, copy->content))
		return -EAGAIN;
	return r;
}

/* With --link the root counts only where a name is looked up in it. */
static bool depends_on_root(const struct layer_copy_request *request)
{
	return !request->link ||
	       (request->owner &&
		request->owner[strspn(request->owner, "0123456789:")]);
}

static int add_key(struct worker *worker, struct copy *copy, struct key *key,
		   struct error *err)
{
	const struct layer_copy_request *request = &copy->request;
	int r = worker_key(worker, copy->is_add ? "add" : "copy",
			   depends_on_root(request) ? &worker->result.chain
						    : NULL,
			   key, err);

	if (r < 0)
		return r;
	key_add_strv(key, "words", copy->words);
	key_add_strv(key, "texts", copy->texts);
	key_add(key, "destination", copy->destination);
	key_add(key, "owner", copy->owner);
	key_add(key, "mode", copy->mode);
	key_add(key, "checksum", copy->checksum);
	key_add_strv(key, "excludes", copy->excludes);
	key_add(key, "link", request->link ? "1" : "");
	key_add(key, "parents", request->parents ? "1" : "");
	key_add(key, "unpack", instruction_flag(worker->instruction, "unpack"));
	key_add(key, "from", copy->has_from ? "1" : "");
	key_add(key, "content", copy->content);
	return 0;
}

static int copy_by_content(struct worker *worker, struct copy *copy,
			   struct error *err)
{
	cleanup_key struct key key = {0};
	int r = digest_content(worker, copy, err);

	if (r >= 0)
		r = add_key(worker, copy, &key, err);
	if (r < 0)
		return r;
	return worker_step(worker, &key, make_copy, copy, err);
}

/*
 * Is it all in layers, which never change, and in the Dockerfile? What goes to
 * others by --cache-to needs the key that others make, by content.
 */
static bool is_fixed(const struct worker *worker, const struct copy *copy)
{
	if (cJSON_GetArraySize(
		    member_get(worker->builder->request, "cacheTo")) > 0)
		return false;
	for (size_t i = 0; i < copy->request.source_count; i++) {
		if (copy->sources[i].kind != COPY_FROM_ROOT &&
		    copy->sources[i].kind != COPY_FROM_TEXT)
			return false;
	}
	return true;
}

/* By the layers that are copied from, where nothing has to be read. */
static int make_quick_key(struct worker *worker, struct copy *copy,
			  char ret_hex[KEY_HEX_MAX], struct error *err)
{
	cleanup_strv char **diff_ids = layer_chain_diff_ids(&copy->from.chain);
	cleanup_key struct key key = {0};
	int r;

	*copy->content = '\0';
	r = add_key(worker, copy, &key, err);
	if (r < 0)
		return r;
	key_add_strv(&key, "from", diff_ids);
	key_finish(&key, ret_hex);
	return 0;
}

/*
 * The same layers have the same content: looked up by them first. Other layers
 * may still have it, which the content tells.
 */
static int try_copy(struct worker *worker, struct copy *copy, struct error *err)
{
	size_t layers = worker->result.chain.count;
	char quick[KEY_HEX_MAX];
	int r;

	if (!is_fixed(worker, copy))
		return copy_by_content(worker, copy, err);
	r = make_quick_key(worker, copy, quick, err);
	if (r == 0)
		r = worker_find(worker, quick, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = copy_by_content(worker, copy, err);
	return r < 0 ? r : worker_note(worker, quick, layers, err);
}

static void add_history(struct worker *worker, const struct copy *copy)
{
	cleanup_strv char **sources = NULL;
	struct image_copy history = {
		.is_add = copy->is_add,
		.parents = copy->request.parents,
		.owner = copy->owner,
		.mode = copy->mode,
		.destination = copy->words[copy->word_count - 1],
	};

	for (size_t i = 0; i + 1 < copy->word_count; i++)
		strv_push(&sources, copy->words[i]);
	history.sources = sources;
	image_add_copy(&worker->result.image, &history);
}

int step_copy(struct worker *worker, struct error *err)
{
	CLEANUP(copy_release)
	struct copy copy = {
		.is_add = worker->instruction->keyword == DOCKERFILE_ADD,
		.from = WORKER_SOURCE_EMPTY,
	};
	int r = prepare(worker, &copy, err);

	if (r < 0)
		return r;
	worker_start(worker);
	add_history(worker, &copy);
	for (int i = 0; i < TRIES; i++) {
		r = try_copy(worker, &copy, err);
		if (r != -EAGAIN)
			return r;
	}
	return err_set(err, ERROR_CONFLICT,
		       "files of the context change while they are copied");
}

/* ---- WORKDIR ---- */

static int make_workdir(struct worker *worker, void *data,
			struct layer_ref *ret_layer, struct error *err)
{
	const struct layer_copy_request *request = data;
	char content[CONTENT_HEX_MAX];

	return image_layer_copy(&worker->builder->engine->store, request,
				ret_layer, content, err);
}

int step_workdir(struct worker *worker, struct error *err)
{
	const cJSON *config = worker->result.image.config;
	const char *user = member_string(config, "User");
	const struct copy_source source = {.kind = COPY_DIRECTORY};
	struct layer_copy_request request = {
		.chain = &worker->result.chain,
		.destination = member_string(config, "WorkingDir"),
		.sources = &source,
		.source_count = 1,
		.owner = *user ? user : NULL,
		.lease = worker->builder->work.name,
		.epoch = worker->builder->epoch,
		.progress_fd = -1,
	};
	cleanup_key struct key key = {0};
	int r = worker_key(worker, "workdir", &worker->result.chain, &key, err);

	if (r < 0)
		return r;
	key_add(&key, "path", request.destination);
	key_add(&key, "user", user);
	return worker_step(worker, &key, make_workdir, &request, err);
}
