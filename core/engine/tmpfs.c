#include "core/engine/tmpfs.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/members.h"

#define OPTIONS_MAX 64

static const char defaults[] = "noexec,nosuid,nodev,rprivate";

/* Options with the same kind replace each other. */
static const struct {
	const char *name; /* with "=" when a value follows */
	const char *kind;
} known[] = {
	{"rw", "access"},
	{"ro", "access"},
	{"exec", "exec"},
	{"noexec", "exec"},
	{"suid", "suid"},
	{"nosuid", "suid"},
	{"dev", "dev"},
	{"nodev", "dev"},
	{"sync", "sync"},
	{"async", "sync"},
	{"dirsync", "dirsync"},
	{"diratime", "diratime"},
	{"nodiratime", "diratime"},
	{"atime", "atime"},
	{"noatime", "atime"},
	{"relatime", "atime"},
	{"norelatime", "atime"},
	{"strictatime", "atime"},
	{"nostrictatime", "atime"},
	{"private", "propagation"},
	{"rprivate", "propagation"},
	{"slave", "propagation"},
	{"rslave", "propagation"},
	{"size=", "size"},
	{"mode=", "mode"},
	{"uid=", "uid"},
	{"gid=", "gid"},
	{"nr_inodes=", "nr_inodes"},
	{"nr_blocks=", "nr_blocks"},
	{"mpol=", "mpol"},
};

static const char *option_kind(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *name = known[i].name;

		if (str_ends(name, "=")
			    ? str_starts(option, name) && option[strlen(name)]
			    : str_equal(option, name))
			return known[i].kind;
	}
	return NULL;
}

static int add_options(char **list, char ***options, struct error *err)
{
	for (size_t i = 0; list && list[i]; i++) {
		const char *kind = option_kind(list[i]);
		size_t kept = 0;

		if (*list[i] == '\0')
			continue;
		if (!kind)
			return err_set(err, ERROR_INVALID,
				       "invalid tmpfs option: %s", list[i]);
		for (size_t j = 0; (*options) && (*options)[j]; j++) {
			if (str_equal(option_kind((*options)[j]), kind))
				free((*options)[j]);
			else
				(*options)[kept++] = (*options)[j];
		}
		if (*options)
			(*options)[kept] = NULL;
		strv_push(options, list[i]);
	}
	return 0;
}

int tmpfs_options_merge(const char *given, char **ret_options,
			struct error *err)
{
	cleanup_strv char **base = strv_split(defaults, ',');
	cleanup_strv char **list = strv_split(given, ',');
	cleanup_strv char **options = NULL;
	int r;

	if (strv_length(list) > OPTIONS_MAX)
		return err_set(err, ERROR_INVALID, "more than %d tmpfs options",
			       OPTIONS_MAX);
	r = add_options(base, &options, err);
	if (r < 0)
		return r;
	r = add_options(list, &options, err);
	if (r < 0)
		return r;
	*ret_options = strv_join(options, ",");
	return 0;
}

/* [["exec"], ["uid", "5"]]: docker allows exec and noexec only. */
static int add_spec_options(const cJSON *array, struct str *text,
			    struct error *err)
{
	const cJSON *option;

	cJSON_ArrayForEach(option, array)
	{
		const char *name = item_string(cJSON_GetArrayItem(option, 0));

		if (!cJSON_IsArray(option) || cJSON_GetArraySize(option) != 1)
			return err_set(err, ERROR_INVALID,
				       "invalid option array length");
		if (!str_equal(name, "exec") && !str_equal(name, "noexec"))
			return err_set(err, ERROR_INVALID, "invalid option: %s",
				       name);
		str_appendf(text, ",%s", name);
	}
	return 0;
}

int tmpfs_options_of_spec(const cJSON *options, bool read_only,
			  char **ret_options, struct error *err)
{
	static const struct member members[] = {
		{"SizeBytes", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL,
		 NULL},
		{"Mode", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
		{"Options", MEMBER_ARRAY, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	};
	cleanup_str struct str text = {0};
	int64_t size, mode;
	int r;

	r = members_check(options, "TmpfsOptions", members, ARRAY_SIZE(members),
			  true, err);
	if (r < 0)
		return r;
	size = member_i64(options, "SizeBytes");
	mode = member_i64(options, "Mode");
	if (size < 0)
		return err_set(err, ERROR_INVALID,
			       "TmpfsOptions.SizeBytes: %lld is below 0",
			       (long long)size);
	if (mode < 0 || mode > 07777)
		return err_set(err, ERROR_INVALID,
			       "TmpfsOptions.Mode: %lld is no mode",
			       (long long)mode);
	str_append(&text, read_only ? "ro" : "rw");
	if (size > 0)
		str_appendf(&text, ",size=%lld", (long long)size);
	if (mode > 0)
		str_appendf(&text, ",mode=%llo", (unsigned long long)mode);
	r = add_spec_options(member_get(options, "Options"), &text, err);
	if (r < 0)
		return r;
	return tmpfs_options_merge(str_text(&text), ret_options, err);
}
