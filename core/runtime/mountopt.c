#include "core/runtime/mountopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "storage/root/snapshot.h"

/* The access time words share one field, which is cleared and then set. */
static const struct {
	const char *word;
	uint64_t set;
	uint64_t clear;
	bool recursive;
} attributes[] = {
	{"ro", MOUNT_ATTR_RDONLY, 0, false},
	{"rw", 0, MOUNT_ATTR_RDONLY, false},
	{"nosuid", MOUNT_ATTR_NOSUID, 0, false},
	{"suid", 0, MOUNT_ATTR_NOSUID, false},
	{"nodev", MOUNT_ATTR_NODEV, 0, false},
	{"dev", 0, MOUNT_ATTR_NODEV, false},
	{"noexec", MOUNT_ATTR_NOEXEC, 0, false},
	{"exec", 0, MOUNT_ATTR_NOEXEC, false},
	{"nodiratime", MOUNT_ATTR_NODIRATIME, 0, false},
	{"diratime", 0, MOUNT_ATTR_NODIRATIME, false},
	{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, false},
	{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, false},
	{"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, false},
	{"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, false},
	{"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, false},
	{"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, false},
	{"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, false},
	{"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, false},
	{"rro", MOUNT_ATTR_RDONLY, 0, true},
	{"rrw", 0, MOUNT_ATTR_RDONLY, true},
	{"rnosuid", MOUNT_ATTR_NOSUID, 0, true},
	{"rsuid", 0, MOUNT_ATTR_NOSUID, true},
	{"rnodev", MOUNT_ATTR_NODEV, 0, true},
	{"rdev", 0, MOUNT_ATTR_NODEV, true},
	{"rnoexec", MOUNT_ATTR_NOEXEC, 0, true},
	{"rexec", 0, MOUNT_ATTR_NOEXEC, true},
	{"rnodiratime", MOUNT_ATTR_NODIRATIME, 0, true},
	{"rdiratime", 0, MOUNT_ATTR_NODIRATIME, true},
	{"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, true},
	{"rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, true},
	{"rrelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, true},
	{"rnorelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, true},
	{"rstrictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, true},
	{"rnostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, true},
	{"rnoatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, true},
	{"ratime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME, true},
};

static const struct {
	const char *word;
	unsigned long flags;
} propagations[] = {
	{"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
	{"slave", MS_SLAVE},	       {"rslave", MS_SLAVE | MS_REC},
	{"shared", MS_SHARED},	       {"rshared", MS_SHARED | MS_REC},
	{"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

/* Later words win over earlier ones, as in mount(8). */
static void apply(uint64_t *set, uint64_t *clear, uint64_t now_set,
		  uint64_t now_clear)
{
	*set = (*set & ~now_clear) | now_set;
	*clear = (*clear & ~(now_set & ~now_clear)) | now_clear;
}

int mount_propagation(const char *word, unsigned long *ret_flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
		if (str_equal(word, propagations[i].word)) {
			*ret_flags = propagations[i].flags;
			return 0;
		}
	}
	return -EINVAL;
}

static bool parse_attribute(const char *word, struct mount_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		if (!str_equal(word, attributes[i].word))
			continue;
		if (attributes[i].recursive)
			apply(&options->set_recursive,
			      &options->clear_recursive, attributes[i].set,
			      attributes[i].clear);
		else
			apply(&options->set, &options->clear, attributes[i].set,
			      attributes[i].clear);
		return true;
	}
	return false;
}

static bool parse_word(const char *word, struct mount_options *options)
{
	const struct {
		const char *word;
		bool *flag;
	} flags[] = {
		{"copyup", &options->copy_up},
		{"chown", &options->chown},
		{"tmpcopyup", &options->temporary_copy_up},
		{"temporary", &options->temporary},
		{"bind", &options->bind},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (str_equal(word, flags[i].word)) {
			*flags[i].flag = true;
			return true;
		}
	}
	if (str_equal(word, "rbind")) {
		options->bind = options->recursive = true;
		return true;
	}
	if (str_equal(word, "nocopy")) {
		options->copy_up = false;
		return true;
	}
	if (str_starts(word, "subpath=") && options->bind) {
		options->subpath = word + strlen("subpath=");
		return true;
	}
	if (str_starts(word, "rootpath=") &&
	    (options->bind || options->layers)) {
		options->root_path = word + strlen("rootpath=");
		return true;
	}
	if (str_starts(word, "layer=") && options->layers) {
		strv_push(&options->diff_ids, word + strlen("layer="));
		return true;
	}
	if (str_starts(word, "lower=/") && options->layers) {
		strv_push(&options->directories, word + strlen("lower="));
		return true;
	}
	return str_equal(word, "defaults") || str_empty(word);
}

static bool is_bind(const struct spec_mount *mount)
{
	return str_equal(mount->type, "bind") ||
	       strv_contains(mount->options, "bind") ||
	       strv_contains(mount->options, "rbind");
}

int mount_options_parse(const struct spec_mount *mount,
			struct mount_options *ret_options, struct error *err)
{
	CLEANUP(mount_options_release)
	struct mount_options options = {
		.bind = is_bind(mount),
		.layers = str_equal(mount->type, "layers"),
		/* "bind" as the type alone says nothing of depth. */
		.recursive = !strv_contains(mount->options, "bind"),
	};

	options.data =
		xcalloc(strv_length(mount->options) + 1, sizeof(*options.data));
	for (size_t i = 0; mount->options && mount->options[i]; i++) {
		const char *word = mount->options[i];

		if (parse_attribute(word, &options) ||
		    parse_word(word, &options) ||
		    mount_propagation(word, &options.propagation) == 0)
			continue;
		if (options.bind || options.layers ||
		    str_equal(word, "remount"))
			return err_set(err, ERROR_INVALID,
				       "[%zu]: unknown option \"%s\"", i, word);
		options.data[options.data_count++] = word;
	}
	if (options.temporary_copy_up && !str_equal(mount->type, "tmpfs"))
		return err_set(err, ERROR_INVALID,
			       "tmpcopyup is for a tmpfs only");
	if (options.layers && options.bind)
		return err_set(err, ERROR_INVALID,
			       "layers cannot be a bind mount");
	if (options.layers && options.diff_ids && options.directories)
		return err_set(err, ERROR_INVALID,
			       "layers and directories cannot be mixed");
	if (strv_length(options.directories) > SNAPSHOT_DIRECTORIES_MAX)
		return err_set(err, ERROR_INVALID,
			       "more than %d directories below a root",
			       SNAPSHOT_DIRECTORIES_MAX);
	if ((options.copy_up || options.chown) && !options.bind)
		return err_set(err, ERROR_INVALID,
			       "%s is for a bind mount only",
			       options.chown ? "chown" : "copyup");
	*ret_options = options;
	options = (struct mount_options){0};
	return 0;
}

void mount_options_release(struct mount_options *options)
{
	if (!options)
		return;
	free(options->data);
	strv_free(options->diff_ids);
	strv_free(options->directories);
	options->diff_ids = options->directories = NULL;
	options->data = NULL;
	options->data_count = 0;
}
