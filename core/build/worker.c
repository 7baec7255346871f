#include "core/build/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/build/bases.h"
#include "core/build/definition.h"
#include "core/build/named_contexts.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/config.h"
#include "storage/store/build_cache.h"

/* ---- the coordinator ---- */

static int send_json(const struct worker *worker, cJSON *json,
		     struct error *err)
{
	cleanup_json cJSON *owned = json;

	return msg_send(worker->socket_fd, owned, NULL, 0, err);
}

/* Until that stage's result is there; a build that fails kills who waits. */
static int wait_for_stage(const struct worker *worker, size_t stage,
			  struct error *err)
{
	cJSON *need = json_object();
	cleanup_json cJSON *answer = NULL;
	size_t no_fds = 0;
	int r;

	json_set_i64(need, "need", (int64_t)stage);
	r = send_json(worker, need, err);
	if (r >= 0)
		r = msg_receive(worker->socket_fd, &answer, NULL, &no_fds, err);
	if (r == 0)
		return err_set(err, ERROR_GENERIC,
			       "the build's coordinator has ended");
	return r < 0 ? r : 0;
}

static int read_stage(const struct worker *worker, size_t stage,
		      struct stage_result *ret_result, struct error *err)
{
	int r = wait_for_stage(worker, stage, err);

	return r < 0 ? r
		     : stage_result_read(&worker->builder->work, stage,
					 ret_result, err);
}

/* ---- variables ---- */

const char *worker_lookup(const char *name, void *data)
{
	const struct worker *worker = data;
	const struct image_draft *image = &worker->result.image;
	const char *value = config_lookup(name, image->config);

	return value ? value : env_get(image->arguments, name);
}

struct expand worker_expand(struct worker *worker)
{
	return (struct expand){
		.escape = worker->builder->dockerfile.escape,
		.lookup = worker_lookup,
		.data = worker,
	};
}

int worker_flag(struct worker *worker, const char *name, char **ret_value,
		struct error *err)
{
	const struct expand expand = worker_expand(worker);
	const char *value = instruction_flag(worker->instruction, name);

	return value ? expand_word(&expand, value, ret_value, err) : 0;
}

int worker_flags(struct worker *worker, const char *name, char ***ret_values,
		 struct error *err)
{
	const struct expand expand = worker_expand(worker);
	const char *value;
	size_t at = 0;

	while ((value = instruction_next_flag(worker->instruction, name,
					      &at))) {
		char *word = NULL;
		int r = expand_word(&expand, value, &word, err);

		if (r < 0)
			return r;
		strv_push_take(ret_values, word);
	}
	return 0;
}

/*
 * ARG: what the command line gives, else its own value, else what an ARG before
 * the first FROM or the platform has.
 */
static int declare(struct worker *worker, const char *word, char ***arguments,
		   struct error *err)
{
	const struct builder *builder = worker->builder;
	const char *sign = strchr(word, '=');
	cleanup_free char *name =
		xstrndup(word, sign ? (size_t)(sign - word) : strlen(word));
	const char *given = env_get(builder->build_args, name);
	cleanup_free char *value = NULL;
	char *argument;
	int r = 0;

	if (!given && sign) {
		const struct expand expand = worker_expand(worker);

		r = expand_word(&expand, sign + 1, &value, err);
	} else if (!given) {
		given = env_get(builder->stages.arguments, name);
		given = given ? given : env_get(builder->platform_args, name);
	}
	if (r < 0)
		return r;
	if (given)
		value = xstrdup(given);
	argument = value ? xasprintf("%s=%s", name, value) : xstrdup(name);
	/* What comes behind it sees it. */
	image_declare(&worker->result.image, argument);
	strv_push_take(arguments, argument);
	return 0;
}

static int declare_all(struct worker *worker, struct error *err)
{
	char *const *words = worker->instruction->words;
	cleanup_strv char **arguments = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && words[i]; i++)
		r = declare(worker, words[i], &arguments, err);
	if (r == 0)
		image_add_arguments(&worker->result.image, arguments);
	return r;
}

/* ---- sources ---- */

void worker_source_release(struct worker_source *source)
{
	layer_chain_release(&source->chain);
	context_release(&source->context);
}

/* The stage of a name among those before this one, as stages.c found it. */
static size_t find_stage(const struct worker *worker, const char *name)
{
	const struct stages *stages = &worker->builder->stages;
	uint64_t number;

	for (size_t i = worker->stage; i-- > 0;) {
		if (stages->list[i].name &&
		    strcasecmp(stages->list[i].name, name) == 0)
			return i;
	}
	if (parse_u64(name, &number) == 0 && number < worker->stage)
		return (size_t)number;
	return STAGE_NONE;
}

static int take_image(const struct worker *worker, const char *name,
		      struct worker_source *ret_source, struct error *err)
{
	const struct builder_image *image =
		bases_get(worker->builder, name, NULL);

	if (!image)
		return err_set(err, ERROR_NOT_FOUND,
			       "from=%s is no stage and no image", name);
	layer_chain_copy(&image->chain, &ret_source->chain);
	return 0;
}

static int open_named_context(const struct worker *worker, const char *path,
			      struct worker_source *ret_source,
			      struct error *err)
{
	const struct context_request request = {
		.store = &worker->builder->engine->store,
		.path = path,
	};

	return context_open(&request, &ret_source->context, err);
}

int worker_find_source(struct worker *worker, const char *name,
		       struct worker_source *ret_source, struct error *err)
{
	size_t stage = find_stage(worker, name);
	struct stage_result result = {0};
	const char *context;
	int r;

	if (stage == STAGE_NONE && str_equal(name, "scratch"))
		return 0;
	if (stage == STAGE_NONE) {
		context = named_context_find(worker->builder->contexts, name);
		if (!context || !str_starts(context, "/"))
			return take_image(worker, name, ret_source, err);
		return open_named_context(worker, context, ret_source, err);
	}
	r = read_stage(worker, stage, &result, err);
	if (r < 0)
		return r;
	ret_source->chain = result.chain;
	result.chain = (struct layer_chain){0};
	stage_result_release(&result);
	return 0;
}

/* ---- a step ---- */

int worker_key(const struct worker *worker, const char *step,
	       const struct layer_chain *chain, struct key *ret_key,
	       struct error *err)
{
	const struct builder *builder = worker->builder;
	cleanup_strv char **diff_ids = NULL;
	char platform[PLATFORM_TEXT_MAX];
	char epoch[24];
	int r = key_begin(ret_key, step, err);

	if (r < 0)
		return r;
	if (chain)
		diff_ids = layer_chain_diff_ids(chain);
	platform_text(platform, &builder->platform);
	snprintf(epoch, sizeof(epoch), "%lld", (long long)builder->epoch);
	key_add_strv(ret_key, "chain", diff_ids);
	key_add(ret_key, "platform", platform);
	key_add(ret_key, "epoch", epoch);
	/* Who has one ID only makes other owners. */
	key_add(ret_key, "ids",
		builder->engine->identity.mapped ? "many" : "one");
	return 0;
}

static int take_layer(struct worker *worker, const struct layer_ref *layer,
		      struct error *err)
{
	image_made_layer(&worker->result.image);
	return layer_chain_push(&worker->result.chain, layer, err);
}

static int make_and_note(struct worker *worker, const char *hex,
			 worker_make make, void *data, struct error *err)
{
	struct store *store = &worker->builder->engine->store;
	struct layer_ref layer;
	struct build_cache_entry entry = {.description =
						  worker->instruction->text};
	int made, r = 0;

	worker->unlike_key = false;
	made = make(worker, data, &layer, err);
	if (made < 0)
		return made;
	if (made > 0)
		entry.layer = &layer;
	if (!worker->unlike_key)
		r = build_cache_put(store, hex, &entry, err);
	if (r < 0 || made == 0)
		return r;
	return take_layer(worker, &layer, err);
}

void worker_start(struct worker *worker)
{
	if (!worker->started)
		report_started(&worker->builder->report, worker->vertex);
	worker->started = true;
}

/* Of what find_cached() or build_cache_find() has found. */
static int take_cached(struct worker *worker, int hit,
		       const struct layer_ref *layer, struct error *err)
{
	report_cached(&worker->builder->report, worker->vertex);
	return hit == BUILD_CACHE_LAYER ? take_layer(worker, layer, err) : 0;
}

int worker_find(struct worker *worker, const char *hex, struct error *err)
{
	const struct builder *builder = worker->builder;
	struct layer_ref layer;
	int r;

	if (worker->no_cache)
		return 0;
	r = build_cache_find(&builder->engine->store, &builder->work, hex,
			     &layer, err);
	if (r < 0 || r == BUILD_CACHE_MISS)
		return r < 0 ? r : 0;
	r = take_cached(worker, r, &layer, err);
	return r < 0 ? r : 1;
}

int worker_note(const struct worker *worker, const char *hex, size_t layers,
		struct error *err)
{
	const struct layer_chain *chain = &worker->result.chain;
	const struct build_cache_entry entry = {
		.layer = chain->count > layers
				 ? &chain->layers[chain->count - 1]
				 : NULL,
		.description = worker->instruction->text,
	};

	return build_cache_put(&worker->builder->engine->store, hex, &entry,
			       err);
}

/* A build_cache_hit; with a miss the key's lock is held. */
static int find_cached(const struct worker *worker, const char *hex,
		       struct layer_ref *ret_layer, int *lock_fd,
		       struct error *err)
{
	const struct builder *builder = worker->builder;
	const struct cache_context context =
		builder_cache_context(builder, NULL);
	const struct store *store = &builder->engine->store;
	int r = build_cache_find(store, &builder->work, hex, ret_layer, err);

	if (r != BUILD_CACHE_MISS)
		return r;
	*lock_fd = build_cache_lock(store, hex, true, err);
	if (*lock_fd < 0)
		return *lock_fd;
	r = build_cache_find(store, &builder->work, hex, ret_layer, err);
	if (r != BUILD_CACHE_MISS)
		return r;
	return cache_sources_find(&builder->cache_sources, &context, hex,
				  worker->vertex, ret_layer, err);
}

int worker_step(struct worker *worker, struct key *key, worker_make make,
		void *data, struct error *err)
{
	const struct builder *builder = worker->builder;
	struct layer_ref layer;
	char hex[KEY_HEX_MAX];
	cleanup_fd int lock_fd = -1;
	int r = BUILD_CACHE_MISS;

	worker_start(worker);
	key_finish(key, hex);
	if (!worker->no_cache)
		r = find_cached(worker, hex, &layer, &lock_fd, err);
	if (r == BUILD_CACHE_MISS)
		r = make_and_note(worker, hex, make, data, err);
	else if (r > 0)
		r = take_cached(worker, r, &layer, err);
	return r < 0 ? r
		     : cache_note(&builder->work, worker->stage, hex,
				  worker->instruction->text, err);
}

/* ---- instructions ---- */

static int apply(struct worker *worker, struct error *err)
{
	const struct expand expand = worker_expand(worker);

	return image_apply(&worker->result.image, worker->instruction, &expand,
			   err);
}

static int workdir(struct worker *worker, struct error *err)
{
	int r = apply(worker, err);

	return r < 0 ? r : step_workdir(worker, err);
}

static int dispatch(struct worker *worker, struct error *err)
{
	/* The others only change the image's config. */
	static int (*const others[DOCKERFILE_KEYWORDS])(struct worker *,
							struct error *) = {
		[DOCKERFILE_ADD] = step_copy,	[DOCKERFILE_ARG] = declare_all,
		[DOCKERFILE_COPY] = step_copy,	[DOCKERFILE_RUN] = step_run,
		[DOCKERFILE_WORKDIR] = workdir,
	};
	enum dockerfile_keyword keyword = worker->instruction->keyword;

	return others[keyword] ? others[keyword](worker, err)
			       : apply(worker, err);
}

/* Before its first instruction: at the FROM. */
static void tell_failure(const struct worker *worker)
{
	const struct dockerfile_instruction *instruction = worker->instruction;
	const struct stage *stage =
		&worker->builder->stages.list[worker->stage];
	const struct dockerfile_range range = {
		instruction ? instruction->first_line : stage->line,
		instruction ? instruction->last_line : stage->line,
	};

	definition_failed(worker->builder, &range, worker->vertex,
			  worker->exit_code);
}

static int go_through(struct worker *worker,
		      const struct dockerfile_instruction *instruction,
		      struct error *err)
{
	const struct report *report = &worker->builder->report;
	bool is_step = builder_is_step(instruction->keyword);
	int r;

	worker->instruction = instruction;
	worker->vertex = is_step ? ++worker->last_vertex : 0;
	worker->started = false;
	r = dispatch(worker, err);
	if (!is_step)
		return r;
	worker_start(worker);
	report_completed(report, worker->vertex, r < 0 ? err : NULL);
	return r;
}

/* A stranger's image may have what ONBUILD would not have taken. */
static int check_trigger(const struct dockerfile_instruction *instruction,
			 struct error *err)
{
	if (instruction->keyword == DOCKERFILE_FROM)
		return err_set(err, ERROR_INVALID,
			       "FROM is not allowed as an ONBUILD trigger");
	return instruction_check(instruction, err);
}

/* The base's ONBUILD; what is wrong there is told at the FROM. */
static int go_through_triggers(struct worker *worker, struct error *err)
{
	cleanup_strv char **triggers =
		image_take_triggers(&worker->result.image);
	int r = 0;

	for (size_t i = 0; r == 0 && triggers && triggers[i]; i++) {
		cleanup_dockerfile struct dockerfile dockerfile = {0};

		r = dockerfile_parse(triggers[i], strlen(triggers[i]),
				     &dockerfile, NULL, err);
		for (size_t j = 0; r == 0 && j < dockerfile.count; j++) {
			dockerfile.instructions[j].first_line =
				worker->builder->stages.list[worker->stage]
					.line;
			dockerfile.instructions[j].last_line =
				dockerfile.instructions[j].first_line;
			r = check_trigger(&dockerfile.instructions[j], err);
			if (r == 0)
				r = go_through(worker,
					       &dockerfile.instructions[j],
					       err);
		}
		if (r < 0) {
			tell_failure(worker);
			err_wrap(err, "ONBUILD %s", triggers[i]);
		}
		worker->instruction = NULL;
	}
	return r;
}

static int begin(struct worker *worker, struct error *err)
{
	const struct builder *builder = worker->builder;
	const struct stage *stage = &builder->stages.list[worker->stage];
	const struct builder_image *image = builder->plans[worker->stage].image;
	struct stage_result base = {0};
	int r;

	if (image) {
		r = image_begin(image->config, &builder->platform,
				&worker->result.image, err);
		if (r == 0)
			layer_chain_copy(&image->chain, &worker->result.chain);
		return r;
	}
	if (stage->scratch)
		return image_begin(NULL, &builder->platform,
				   &worker->result.image, err);
	r = read_stage(worker, stage->base.stage, &base, err);
	if (r < 0)
		return r;
	image_begin_with(&base.image, &worker->result.image);
	worker->result.chain = base.chain;
	base.chain = (struct layer_chain){0};
	stage_result_release(&base);
	return 0;
}

static int run(struct worker *worker, struct error *err)
{
	const struct builder *builder = worker->builder;
	const struct stage *stage = &builder->stages.list[worker->stage];
	const struct builder_stage *plan = &builder->plans[worker->stage];
	int r;

	worker->vertex = plan->vertex;
	if (plan->vertex > 0)
		report_started(&builder->report, plan->vertex);
	r = begin(worker, err);
	if (r == 0 && plan->vertex > 0) {
		report_cached(&builder->report, plan->vertex);
		report_completed(&builder->report, plan->vertex, NULL);
	}
	worker->last_vertex = plan->first_step;
	if (r == 0 && stage->replaced)
		strv_free(image_take_triggers(&worker->result.image));
	else if (r == 0)
		r = go_through_triggers(worker, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < stage->count; i++) {
		r = go_through(worker, &stage->instructions[i], err);
		if (r < 0)
			tell_failure(worker);
	}
	if (r == 0)
		r = stage_result_write(&builder->work, worker->stage,
				       &worker->result, err);
	return r;
}

static bool is_filtered(const struct builder *builder, size_t stage)
{
	cleanup_free char *number = xasprintf("%zu", stage);
	const char *name = builder->stages.list[stage].name;

	return strv_contains(builder->no_cache_filter, number) ||
	       (name && strv_contains(builder->no_cache_filter, name));
}

_Noreturn void worker_main(const struct builder *builder, size_t stage,
			   int socket_fd)
{
	struct worker worker = {
		.builder = builder,
		.stage = stage,
		.socket_fd = socket_fd,
		.no_cache = builder->no_cache || is_filtered(builder, stage),
		.exit_code = -1,
	};
	struct error error = {0};
	struct context context = builder->context;
	cJSON *message;
	int r;

	proc_name_set("moss: build %zu", stage);
	r = run(&worker, &error);
	message = json_object();
	if (r < 0)
		json_set(message, "error", error_to_json(&error));
	(void)send_json(&worker, message, NULL);
	/* What the stat cache has learnt; the rest goes with the process. */
	context_release(&context);
	_exit(r < 0);
}
