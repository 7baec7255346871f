/* RUN: core/build/worker.h. What is run, and by which key it is found again. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/run.h"
#include "core/build/run_mounts.h"
#include "core/build/worker.h"
#include "core/engine/members.h"
#include "storage/dockerfile/check.h"

#define SCRIPT_DIRECTORY "/dev/pipes/"

struct step {
	char **command;
	char *script; /* NULL: none */
	char **environment;
	char *network;
	const char *hostname; /* NULL: the usual one */
	cJSON *host_config;
	struct run_mounts mounts;
	struct worker_source *sources; /* of mounts, one a name */
	char **names;
	struct run_mount_source *borrowed;
	struct run_mounts_request mounts_request;
	char mounts_hex[KEY_HEX_MAX]; /* of them and their files, by the key */
	struct run_request request;
};

static void step_release(struct step *step)
{
	size_t count = strv_length(step->names);

	for (size_t i = 0; step->sources && i < count; i++)
		worker_source_release(&step->sources[i]);
	free(step->sources);
	free(step->borrowed);
	strv_free(step->names);
	strv_free(step->command);
	strv_free(step->environment);
	free(step->script);
	free(step->network);
	cJSON_Delete(step->host_config);
	run_mounts_release(&step->mounts);
}

/* ---- the command ---- */

static char *heredoc_text(const struct dockerfile_heredoc *heredoc)
{
	return heredoc->chomp ? dockerfile_heredoc_chomped(heredoc->content)
			      : xstrdup(heredoc->content);
}

/*
 * A here-document alone is the shell's script, or with a "#!" line a program;
 * with other words they all go to the shell as they are written.
 */
static char *shell_command(const struct worker *worker, struct step *step)
{
	const struct dockerfile_instruction *instruction = worker->instruction;
	const struct dockerfile_heredoc *first = instruction->heredocs;
	const char *text = instruction->words[0];
	struct dockerfile_heredoc alone = {0};
	struct str whole = {0};

	if (instruction->heredoc_count == 0)
		return xstrdup(text);
	if (dockerfile_heredoc_word(text, &alone)) {
		cleanup_free char *script = heredoc_text(first);

		dockerfile_heredoc_release(&alone);
		if (!str_starts(script, "#!"))
			return steal_ptr(&script);
		step->script = steal_ptr(&script);
		return xasprintf(SCRIPT_DIRECTORY "%s", first->name);
	}
	str_append(&whole, text);
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		str_appendf(&whole, "\n%s%s", instruction->heredocs[i].content,
			    instruction->heredocs[i].name);
	return str_steal(&whole);
}

static void make_command(const struct worker *worker, struct step *step)
{
	const cJSON *config = worker->result.image.config;

	if (worker->instruction->json) {
		step->command = strv_copy(worker->instruction->words);
		return;
	}
	step->command = member_strv(config, "Shell");
	if (!step->command) {
		strv_push(&step->command, "/bin/sh");
		strv_push(&step->command, "-c");
	}
	strv_push_take(&step->command, shell_command(worker, step));
}

/* ---- what is around it ---- */

/* ARGs that have a value and that no ENV hides. */
static void make_environment(const struct worker *worker, struct step *step)
{
	const struct image_draft *image = &worker->result.image;
	cleanup_strv char **fixed = member_strv(image->config, "Env");

	for (size_t i = 0; image->arguments && image->arguments[i]; i++) {
		const char *argument = image->arguments[i];
		const char *sign = strchr(argument, '=');
		cleanup_free char *name =
			sign ? xstrndup(argument, (size_t)(sign - argument))
			     : NULL;

		if (name && !env_get(fixed, name))
			env_set(&step->environment, name, sign + 1);
	}
}

static void add_proxy(struct step *step, const char *name, const char *value)
{
	if (!env_get(step->environment, name))
		env_set(&step->environment, name, value);
}

/*
 * Given by --build-arg, a proxy is there without an ARG, and in no key; some
 * programs look for it in lower case, some in upper case.
 */
static void add_proxies(const struct worker *worker, struct step *step)
{
	char *const *given = worker->builder->build_args;

	for (size_t i = 0; given && given[i]; i++) {
		size_t length = strcspn(given[i], "=");
		cleanup_free char *upper = xstrndup(given[i], length);
		cleanup_free char *lower = xstrdup(upper);
		const char *value = env_get(given, upper);

		if (!builder_is_proxy(upper))
			continue;
		for (size_t c = 0; c < length; c++) {
			upper[c] = (char)toupper((unsigned char)upper[c]);
			lower[c] = (char)tolower((unsigned char)lower[c]);
		}
		add_proxy(step, upper, value);
		add_proxy(step, lower, value);
	}
}

static void make_host_config(const struct worker *worker, struct step *step)
{
	const cJSON *given =
		json_member(worker->builder->request, "hostConfig");
	cleanup_strv char **hosts = NULL;

	step->host_config =
		given ? cJSON_Duplicate(given, true) : json_object();
	if (!step->host_config)
		str_oom();
	(void)json_get_strv(worker->builder->request, "", "addHosts", &hosts,
			    NULL);
	if (hosts)
		json_set_strv(step->host_config, "ExtraHosts", hosts);
}

static int choose_network(struct worker *worker, struct step *step,
			  struct error *err)
{
	int r = worker_flag(worker, "network", &step->network, err);

	if (r < 0)
		return r;
	if (!step->network)
		step->network = xstrdup(worker->builder->network);
	if (!str_equal(step->network, "default") &&
	    !str_equal(step->network, "none") &&
	    !str_equal(step->network, "host"))
		return err_set(err, ERROR_INVALID,
			       "unsupported network mode \"%.80s\": use "
			       "default, none or host",
			       step->network);
	/* A stranger's Dockerfile must not get at what listens here. */
	if (str_equal(step->network, "host") &&
	    !strv_contains(worker->builder->allow, "network.host")) {
		err_set(err, ERROR_PERMISSION, "network.host is not allowed");
		return err_hint(err, "If this Dockerfile may use the host's "
				     "network, say --allow network.host.");
	}
	return 0;
}

/* ---- mounts ---- */

static int find_sources(struct worker *worker, struct step *step,
			bool with_context, struct error *err)
{
	const struct context *context = &worker->builder->context;
	size_t count = strv_length(step->names);

	step->sources = xcalloc(count + 1, sizeof(*step->sources));
	step->borrowed = xcalloc(count + 1, sizeof(*step->borrowed));
	for (size_t i = 0; i < count; i++)
		step->sources[i] = (struct worker_source)WORKER_SOURCE_EMPTY;
	for (size_t i = 0; i < count; i++) {
		struct worker_source *source = &step->sources[i];
		int r = worker_find_source(worker, step->names[i], source, err);

		if (r < 0)
			return r;
		step->borrowed[i] = (struct run_mount_source){
			.name = step->names[i],
			.chain = source->context.path ? NULL : &source->chain,
			.directory = source->context.path,
			.ignore = source->context.ignore,
			.cache = source->context.cache,
		};
	}
	if (with_context && !context->path)
		return err_set(err, ERROR_NOT_FOUND,
			       "--mount=type=bind: this build has no context");
	if (with_context)
		step->borrowed[count++] = (struct run_mount_source){
			.directory = context->path,
			.ignore = context->ignore,
			.cache = context->cache,
		};
	step->mounts_request.source_count = count;
	return 0;
}

/* Caches of a name space of their own, if one is given. */
static void name_caches(const struct worker *worker, struct run_mounts *mounts)
{
	const char *space =
		env_get(worker->builder->build_args, "BUILDKIT_CACHE_MOUNT_NS");

	for (size_t i = 0; !str_empty(space) && i < mounts->count; i++) {
		struct run_mount *mount = &mounts->list[i];
		char *id;

		if (mount->type != RUN_MOUNT_CACHE)
			continue;
		id = xasprintf("%s/%s", space, mount->id);
		free(mount->id);
		mount->id = id;
	}
}

/* As they stand there; caller frees. */
static char **mount_flags(const struct worker *worker)
{
	char **flags = NULL;
	const char *value;
	size_t at = 0;

	while ((value = instruction_next_flag(worker->instruction, "mount",
					      &at)))
		strv_push(&flags, value);
	return flags;
}

static int read_mounts(struct worker *worker, struct step *step,
		       struct error *err)
{
	const struct builder *builder = worker->builder;
	const char *directory =
		member_string(worker->result.image.config, "WorkingDir");
	const struct expand expand = worker_expand(worker);
	cleanup_strv char **flags = mount_flags(worker);
	cleanup_free char *security = NULL;
	bool with_context = false;
	int r = worker_flag(worker, "security", &security, err);

	if (r >= 0)
		r = run_security_check(security, err);
	if (r >= 0)
		r = run_mounts_parse(flags, &expand,
				     *directory ? directory : "/",
				     &step->mounts, err);
	if (r < 0)
		return r;
	name_caches(worker, &step->mounts);
	run_mounts_sources(&step->mounts, &step->names, &with_context);
	r = find_sources(worker, step, with_context, err);
	step->mounts_request.engine = builder->engine;
	step->mounts_request.work = &builder->work;
	step->mounts_request.mounts = &step->mounts;
	step->mounts_request.sources = step->borrowed;
	step->mounts_request.secrets = member_get(builder->request, "secrets");
	step->mounts_request.ssh = member_get(builder->request, "ssh");
	return r;
}

/* ---- the step ---- */

static void make_request(struct worker *worker, struct step *step)
{
	const struct builder *builder = worker->builder;

	step->request = (struct run_request){
		.engine = builder->engine,
		.work = &builder->work,
		.chain = &worker->result.chain,
		.config = worker->result.image.config,
		.environment = step->environment,
		.command = step->command,
		.script = step->script,
		.mounts = step->mounts.count > 0 ? &step->mounts_request : NULL,
		.network = step->network,
		.hostname = step->hostname,
		.host_config = step->host_config,
		.epoch = builder->epoch,
		.report = &builder->report,
		.vertex = worker->vertex,
	};
}

static int digest_mounts(const struct step *step, char ret_hex[KEY_HEX_MAX],
			 struct error *err)
{
	cleanup_key struct key key = {0};
	int r = key_begin(&key, "mounts", err);

	if (r == 0)
		r = run_mounts_key(&step->mounts_request, &key, err);
	if (r < 0)
		return r;
	key_finish(&key, ret_hex);
	return 0;
}

static int make_key(struct worker *worker, struct step *step, struct key *key,
		    struct error *err)
{
	const cJSON *config = worker->result.image.config;
	cleanup_strv char **fixed = member_strv(config, "Env");
	int r = worker_key(worker, "run", &worker->result.chain, key, err);

	if (r < 0)
		return r;
	key_add_strv(key, "command", step->command);
	key_add(key, "script", step->script);
	key_add_strv(key, "env", fixed);
	key_add_strv(key, "arguments", step->environment);
	key_add(key, "user", member_string(config, "User"));
	key_add(key, "directory", member_string(config, "WorkingDir"));
	key_add(key, "network", step->network);
	key_add_json(key, "hosts", member_get(step->host_config, "ExtraHosts"));
	if (step->hostname)
		key_add(key, "hostname", step->hostname);
	if (step->mounts.count == 0)
		return 0;
	r = digest_mounts(step, step->mounts_hex, err);
	if (r == 0)
		key_add(key, "mounts", step->mounts_hex);
	return r;
}

static bool shows_directories(const struct step *step)
{
	for (size_t i = 0; i < step->mounts_request.source_count; i++)
		if (step->borrowed[i].directory)
			return true;
	return false;
}

/*
 * A directory of the host's is mounted as it is: who changes a file in it while
 * the step runs must not get what came of that when the file is as it was.
 */
static void compare_mounts(struct worker *worker, const struct step *step)
{
	char hex[KEY_HEX_MAX];

	if (!shows_directories(step) || (digest_mounts(step, hex, NULL) == 0 &&
					 str_equal(hex, step->mounts_hex)))
		return;
	worker->unlike_key = true;
	report_warning(&worker->builder->report,
		       worker->instruction->first_line,
		       "files of a mount changed while the step ran: it is "
		       "run again next time");
}

static int make_run(struct worker *worker, void *data,
		    struct layer_ref *ret_layer, struct error *err)
{
	const struct step *step = data;
	int r = run_step(&step->request, ret_layer, &worker->exit_code, err);

	if (r >= 0)
		compare_mounts(worker, step);
	return r;
}

int step_run(struct worker *worker, struct error *err)
{
	CLEANUP(step_release) struct step step = {0};
	cleanup_key struct key key = {0};
	int r;

	make_command(worker, &step);
	make_environment(worker, &step);
	make_host_config(worker, &step);
	step.hostname = env_get(worker->builder->build_args,
				"BUILDKIT_SANDBOX_HOSTNAME");
	r = choose_network(worker, &step, err);
	if (r == 0)
		r = read_mounts(worker, &step, err);
	if (r == 0)
		r = make_key(worker, &step, &key, err);
	if (r < 0)
		return r;
	add_proxies(worker, &step);
	make_request(worker, &step);
	image_add_run(&worker->result.image, step.command, worker_lookup,
		      worker);
	return worker_step(worker, &key, make_run, &step, err);
}
