/* The values of RUN --mount: core/build/run_mounts.h. */
#include "core/build/run_mounts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/path.h"
#include "base/str.h"

#define SECRET_MODE	  0400
#define SOCKET_MODE	  0600
#define DIRECTORY_MODE	  0755
#define MODE_MAX	  07777
#define SECRETS_DIRECTORY "/run/secrets/"
#define AGENT_TARGET	  "/run/buildkit/ssh_agent.%zu"
#define AGENT_DEFAULT	  "default"

static const char *const type_names[] = {
	[RUN_MOUNT_BIND] = "bind",   [RUN_MOUNT_CACHE] = "cache",
	[RUN_MOUNT_TMPFS] = "tmpfs", [RUN_MOUNT_SECRET] = "secret",
	[RUN_MOUNT_SSH] = "ssh",
};

static const char *const sharing_names[] = {
	[RUN_SHARING_SHARED] = "shared",
	[RUN_SHARING_PRIVATE] = "private",
	[RUN_SHARING_LOCKED] = "locked",
};

/* A mount while its fields come in, in any order. */
struct draft {
	struct run_mount mount;
	const char *keys[32]; /* those that were there, of the table */
	size_t key_count;
	bool read_only_given;
	const struct expand *expand; /* NULL: values are as they stand there */
};

static void mount_release(struct run_mount *mount)
{
	free(mount->from);
	free(mount->source);
	free(mount->target);
	free(mount->id);
	free(mount->environment);
	*mount = (struct run_mount){0};
}

static void draft_release(struct draft *draft)
{
	mount_release(&draft->mount);
}

void run_mounts_release(struct run_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++)
		mount_release(&mounts->list[i]);
	free(mounts->list);
	*mounts = (struct run_mounts){0};
}

/* Position in names, without regard to case; -1: none. */
static int find_name(const char *const *names, size_t count, const char *value)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(names[i], value) == 0)
			return (int)i;
	}
	return -1;
}

static void set_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

/* ---- one field each ---- */

static int bad_value(const char *key, const char *value, struct error *err)
{
	return err_set(err, ERROR_INVALID, "invalid value for %s: %.80s", key,
		       value);
}

static int set_type(struct draft *draft, const char *key, const char *value,
		    struct error *err)
{
	int type = find_name(type_names, ARRAY_SIZE(type_names), value);

	(void)key;
	if (type < 0) {
		struct nearest nearest = {.text = value};
		cleanup_free char *question = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
			nearest_try(&nearest, type_names[i]);
		question = nearest_question(&nearest);
		err_set(err, ERROR_INVALID,
			"unsupported mount type \"%.80s\"%s", value, question);
		return err_hint(err, "use bind, cache, tmpfs, secret or ssh");
	}
	draft->mount.type = (enum run_mount_type)type;
	return 0;
}

static int set_sharing(struct draft *draft, const char *key, const char *value,
		       struct error *err)
{
	int sharing =
		find_name(sharing_names, ARRAY_SIZE(sharing_names), value);

	(void)key;
	if (sharing < 0) {
		err_set(err, ERROR_INVALID,
			"unsupported sharing value \"%.80s\"", value);
		return err_hint(err, "use shared, private or locked");
	}
	draft->mount.sharing = (enum run_mount_sharing)sharing;
	return 0;
}

static int set_from(struct draft *draft, const char *key, const char *value,
		    struct error *err)
{
	(void)key;
	(void)err;
	set_text(&draft->mount.from, *value ? value : NULL);
	return 0;
}

static int set_source(struct draft *draft, const char *key, const char *value,
		      struct error *err)
{
	(void)key;
	(void)err;
	set_text(&draft->mount.source, value);
	return 0;
}

static int set_target(struct draft *draft, const char *key, const char *value,
		      struct error *err)
{
	(void)key;
	(void)err;
	set_text(&draft->mount.target, value);
	return 0;
}

static int set_id(struct draft *draft, const char *key, const char *value,
		  struct error *err)
{
	if (strlen(value) >= RUN_MOUNT_ID_MAX)
		return bad_value(key, value, err);
	set_text(&draft->mount.id, value);
	return 0;
}

static int set_environment(struct draft *draft, const char *key,
			   const char *value, struct error *err)
{
	(void)key;
	(void)err;
	set_text(&draft->mount.environment, value);
	return 0;
}

static int parse_flag(const char *key, const char *value, bool *ret_flag,
		      struct error *err)
{
	*ret_flag = true;
	if (value && parse_bool(value, ret_flag) < 0)
		return bad_value(key, value, err);
	return 0;
}

static int set_read_only(struct draft *draft, const char *key,
			 const char *value, struct error *err)
{
	draft->read_only_given = true;
	return parse_flag(key, value, &draft->mount.read_only, err);
}

static int set_writable(struct draft *draft, const char *key, const char *value,
			struct error *err)
{
	bool writable;
	int r = parse_flag(key, value, &writable, err);

	draft->read_only_given = true;
	draft->mount.read_only = !writable;
	return r;
}

static int set_required(struct draft *draft, const char *key, const char *value,
			struct error *err)
{
	return parse_flag(key, value, &draft->mount.required, err);
}

static int set_size(struct draft *draft, const char *key, const char *value,
		    struct error *err)
{
	if (parse_bytes(value, &draft->mount.size) < 0 || draft->mount.size < 0)
		return bad_value(key, value, err);
	return 0;
}

static int set_mode(struct draft *draft, const char *key, const char *value,
		    struct error *err)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (!isdigit((unsigned char)*value) || *end || mode > MODE_MAX)
		return err_set(err, ERROR_INVALID, "invalid value %.80s for %s",
			       value, key);
	draft->mount.has_mode = true;
	draft->mount.mode = (uint32_t)mode;
	return 0;
}

static int parse_owner(const char *key, const char *value, uint32_t *ret_id,
		       struct error *err)
{
	uint64_t id;

	/* The last one is "no ID" to the kernel. */
	if (parse_u64(value, &id) < 0 || id >= UINT32_MAX)
		return err_set(err, ERROR_INVALID, "invalid value %.80s for %s",
			       value, key);
	*ret_id = (uint32_t)id;
	return 0;
}

static int set_uid(struct draft *draft, const char *key, const char *value,
		   struct error *err)
{
	draft->mount.has_owner = true;
	return parse_owner(key, value, &draft->mount.uid, err);
}

static int set_gid(struct draft *draft, const char *key, const char *value,
		   struct error *err)
{
	draft->mount.has_owner = true;
	return parse_owner(key, value, &draft->mount.gid, err);
}

/* The types that may have a key, as bits. */
#define ON(type) (1u << RUN_MOUNT_##type)
#define ON_ALL	 (~0u)
#define ON_FILE	 (ON(CACHE) | ON(SECRET) | ON(SSH))

static const struct key_row {
	const char *key;
	const char *name; /* for messages; those with one name are the same */
	bool may_stand_alone;
	unsigned int types;
	int (*set)(struct draft *draft, const char *key, const char *value,
		   struct error *err);
} keys[] = {
	{"type", "type", false, ON_ALL, set_type},
	{"from", "from", false, ON_ALL & ~(ON(SECRET)), set_from},
	{"source", "source", false, ON_ALL & ~ON(SSH), set_source},
	{"src", "source", false, ON_ALL & ~ON(SSH), set_source},
	{"target", "target", false, ON_ALL, set_target},
	{"dst", "target", false, ON_ALL, set_target},
	{"destination", "target", false, ON_ALL, set_target},
	{"readonly", "readonly", true, ON_ALL, set_read_only},
	{"ro", "readonly", true, ON_ALL, set_read_only},
	{"readwrite", "readwrite", true, ON_ALL, set_writable},
	{"rw", "readwrite", true, ON_ALL, set_writable},
	{"required", "required", true, ON(SECRET) | ON(SSH), set_required},
	{"size", "size", false, ON(TMPFS), set_size},
	{"id", "id", false, ON_ALL, set_id},
	{"sharing", "sharing", false, ON(CACHE), set_sharing},
	{"mode", "mode", false, ON_FILE, set_mode},
	{"uid", "uid", false, ON_FILE, set_uid},
	{"gid", "gid", false, ON_FILE, set_gid},
	{"env", "env", false, ON(SECRET), set_environment},
};

static int unexpected_key(const char *key, const char *field, struct error *err)
{
	struct nearest nearest = {.text = key};
	cleanup_free char *question = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		nearest_try(&nearest, keys[i].key);
	question = nearest_question(&nearest);
	return err_set(err, ERROR_INVALID,
		       "unexpected key '%.80s' in '%.80s'%s", key, field,
		       question);
}

/* What comes out of a variable is all of it that value. */
static int set_field(struct draft *draft, size_t row, const char *value,
		     struct error *err)
{
	cleanup_free char *expanded = NULL;
	int r = 0;

	if (value && draft->expand)
		r = expand_word(draft->expand, value, &expanded, err);
	if (r < 0)
		return r;
	return keys[row].set(draft, keys[row].key, expanded ? expanded : value,
			     err);
}

static int take_field(struct draft *draft, const char *field, struct error *err)
{
	const char *equals = strchr(field, '=');
	cleanup_free char *key =
		equals ? xstrndup(field, (size_t)(equals - field))
		       : xstrdup(field);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcasecmp(keys[i].key, key) != 0)
			continue;
		if (!equals && !keys[i].may_stand_alone)
			break;
		if (draft->key_count < ARRAY_SIZE(draft->keys))
			draft->keys[draft->key_count++] = keys[i].key;
		return set_field(draft, i, equals ? equals + 1 : NULL, err);
	}
	if (!equals)
		return err_set(err, ERROR_INVALID,
			       "invalid field '%.80s' must be a key=value pair",
			       field);
	return unexpected_key(key, field, err);
}

/* Fields apart by commas, as CSV has it: a field in quotes may have some, and
   "" for a quote. */
static int take_fields(struct draft *draft, const char *text, struct error *err)
{
	const char *at = text;

	for (;;) {
		cleanup_str struct str field = {0};
		int r;

		if (*at == '"') {
			for (at++; *at && (*at != '"' || at[1] == '"'); at++) {
				str_append_char(&field, *at);
				at += *at == '"';
			}
			if (*at != '"' || (at[1] && at[1] != ','))
				return err_set(err, ERROR_INVALID,
					       "a quote is not closed");
			at++;
		} else {
			size_t length = strcspn(at, ",");

			str_append_bytes(&field, at, length);
			at += length;
			if (strchr(str_text(&field), '"'))
				return err_set(err, ERROR_INVALID,
					       "a quote within a field");
		}
		r = take_field(draft, str_text(&field), err);
		if (r < 0)
			return r;
		if (!*at)
			return 0;
		at++;
	}
}

/* ---- what they say together ---- */

static int check_keys(const struct draft *draft, struct error *err)
{
	const char *type = type_names[draft->mount.type];

	for (size_t i = 0; i < draft->key_count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(keys); j++) {
			if (!str_equal(keys[j].key, draft->keys[i]) ||
			    keys[j].types & (1u << draft->mount.type))
				continue;
			return err_set(err, ERROR_INVALID,
				       "unexpected key '%s' for mount type "
				       "'%s'",
				       keys[j].key, type);
		}
	}
	return 0;
}

static int resolve_secret(struct run_mount *mount, struct error *err)
{
	const char *slash;

	if (mount->source && mount->id)
		return err_set(err, ERROR_INVALID,
			       "both source and id can't be set");
	if (!mount->id) {
		set_text(&mount->id, mount->source);
		slash = mount->target ? strrchr(mount->target, '/') : NULL;
		if (!mount->id)
			set_text(&mount->id, slash ? slash + 1 : mount->target);
	}
	if (str_empty(mount->id))
		return err_set(err, ERROR_INVALID,
			       "invalid secret mount: one of id, source and "
			       "target is required");
	set_text(&mount->source, NULL);
	if (mount->environment && !*mount->environment)
		set_text(&mount->environment, mount->id);
	if (mount->environment && strchr(mount->environment, '='))
		return bad_value("env", mount->environment, err);
	slash = strrchr(mount->id, '/');
	if (!mount->target && !mount->environment)
		mount->target = xasprintf(SECRETS_DIRECTORY "%s",
					  slash ? slash + 1 : mount->id);
	return 0;
}

static void resolve_agent(struct run_mount *mount, size_t number)
{
	if (str_empty(mount->id))
		set_text(&mount->id, AGENT_DEFAULT);
	if (!mount->target)
		mount->target = xasprintf(AGENT_TARGET, number);
}

/* A cache's name is its target as it is written. */
static void resolve_cache(struct run_mount *mount)
{
	if (str_empty(mount->id)) {
		free(mount->id);
		mount->id = path_clean(mount->target ? mount->target : "");
	}
}

/* What the container cannot do without. */
static bool is_taken(const char *target)
{
	return str_equal(target, "/") || str_equal(target, "/dev") ||
	       str_equal(target, "/sys") || str_equal(target, "/proc") ||
	       str_starts(target, "/proc/");
}

static int resolve_paths(struct run_mount *mount, const char *directory,
			 struct error *err)
{
	cleanup_free char *written = steal_ptr(&mount->target);
	cleanup_free char *source = steal_ptr(&mount->source);

	mount->source = path_join("/", source ? source : "");
	if (mount->type == RUN_MOUNT_CACHE && !mount->from &&
	    !str_equal(mount->source, "/"))
		return err_set(err, ERROR_INVALID,
			       "a cache with a source needs a from");
	if (mount->type == RUN_MOUNT_SECRET && !written)
		return 0;
	mount->target = written && *written == '/'
				? path_clean(written)
				: path_join(directory, written ? written : "");
	if (*mount->target != '/' || is_taken(mount->target))
		return err_set(err, ERROR_INVALID,
			       "invalid mount target \"%.200s\"",
			       written ? written : mount->target);
	if (strlen(mount->target) >= RUN_MOUNT_PATH_MAX ||
	    strlen(mount->source) >= RUN_MOUNT_PATH_MAX)
		return err_set(err, ERROR_INVALID,
			       "a path is longer than %d bytes",
			       RUN_MOUNT_PATH_MAX);
	return 0;
}

static void set_defaults(struct draft *draft)
{
	static const uint32_t modes[] = {
		[RUN_MOUNT_BIND] = 0,
		[RUN_MOUNT_CACHE] = DIRECTORY_MODE,
		[RUN_MOUNT_TMPFS] = 0,
		[RUN_MOUNT_SECRET] = SECRET_MODE,
		[RUN_MOUNT_SSH] = SOCKET_MODE,
	};
	struct run_mount *mount = &draft->mount;

	if (!draft->read_only_given)
		mount->read_only = mount->type != RUN_MOUNT_CACHE &&
				   mount->type != RUN_MOUNT_TMPFS;
	if (!mount->has_mode)
		mount->mode = modes[mount->type];
}

static int parse_mount(const char *text, const struct expand *expand,
		       const char *directory, size_t agents,
		       struct run_mount *ret_mount, struct error *err)
{
	CLEANUP(draft_release) struct draft draft = {.expand = expand};
	struct run_mount *mount = &draft.mount;
	int r = take_fields(&draft, text, err);

	if (r == 0)
		r = check_keys(&draft, err);
	if (r < 0)
		return r;
	set_defaults(&draft);
	if (mount->type == RUN_MOUNT_SECRET)
		r = resolve_secret(mount, err);
	else if (mount->type == RUN_MOUNT_SSH)
		resolve_agent(mount, agents);
	else if (mount->type == RUN_MOUNT_CACHE)
		resolve_cache(mount);
	if (r == 0)
		r = resolve_paths(mount, directory, err);
	if (r < 0)
		return r;
	*ret_mount = *mount;
	*mount = (struct run_mount){0};
	return 0;
}

int run_mounts_parse(char *const *flags, const struct expand *expand,
		     const char *working_directory,
		     struct run_mounts *ret_mounts, struct error *err)
{
	CLEANUP(run_mounts_release) struct run_mounts mounts = {0};
	size_t agents = 0;

	for (size_t i = 0; flags && flags[i]; i++) {
		struct run_mount mount;
		int r;

		if (i == RUN_MOUNTS_MAX)
			return err_set(err, ERROR_INVALID,
				       "RUN has more than %d mounts",
				       RUN_MOUNTS_MAX);
		r = parse_mount(flags[i], expand, working_directory, agents,
				&mount, err);
		if (r < 0)
			return err_wrap(err, "--mount=%.200s", flags[i]);
		agents += mount.type == RUN_MOUNT_SSH;
		mounts.list = xrealloc(mounts.list, mounts.count + 1,
				       sizeof(*mounts.list));
		mounts.list[mounts.count++] = mount;
	}
	*ret_mounts = mounts;
	mounts = (struct run_mounts){0};
	return 0;
}

int run_security_check(const char *value, struct error *err)
{
	if (!value || str_equal(value, "sandbox"))
		return 0;
	if (!str_equal(value, "insecure"))
		return err_set(err, ERROR_INVALID,
			       "security \"%.80s\" is not "
			       "valid",
			       value);
	err_set(err, ERROR_UNSUPPORTED,
		"security.insecure is not allowed: a build has no rights to "
		"give that its user does not have");
	return err_hint(err, "leave --security=insecure away");
}

void run_mounts_sources(const struct run_mounts *mounts, char ***ret_names,
			bool *ret_context)
{
	char **names = NULL;
	bool context = false;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct run_mount *mount = &mounts->list[i];

		if (mount->type != RUN_MOUNT_BIND &&
		    mount->type != RUN_MOUNT_CACHE)
			continue;
		if (!mount->from)
			context = context || mount->type == RUN_MOUNT_BIND;
		else if (!strv_contains(names, mount->from))
			strv_push(&names, mount->from);
	}
	*ret_names = names;
	*ret_context = context;
}
