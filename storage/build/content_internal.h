/* Shared by storage/build/content*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage/build/content.h"
#include "storage/tar/hash.h"

/* One thing selected. Texts are the list's. */
struct content_item {
	size_t pattern;
	const char *name; /* of the source */
	const char *real; /* path from the root, through no link; "": that */
	const char *path; /* below the source: the end of real, or "" */
	const char *link;
	struct stat st;
	struct tar_xattr *xattrs;
	size_t xattr_count;
	unsigned char sum[HASH_SIZE]; /* of a file, once it is known */
	bool is_known;
	bool is_socket; /* shown as an empty file */
	bool is_gone;	/* since it was looked at */
};

struct content_list {
	struct content_item *items;
	size_t count;
	size_t room;
	uint64_t bytes; /* of all texts */
	char **texts;
	size_t text_count;
	size_t text_room;
};

/* content_list.c */
#define cleanup_content_list CLEANUP(content_list_release)
void content_list_release(struct content_list *list);
/* A copy that lives as long as the list. NULL: there is no more room. */
const char *content_list_text(struct content_list *list, const char *text,
			      size_t length);
int content_list_add(struct content_list *list, const struct content_item *item,
		     struct error *err);

/* content_resolve.c: names below the root, as a build sees it. */
struct content_place {
	char *real; /* through no link; caller frees */
	struct stat st;
};
/*
 * Follows all links of path (cleaned, from "/"). -ENOENT without text where
 * nothing is; *ret_hidden then tells whether .dockerignore hides it. A
 * directory may be hidden nonetheless: what is in it tells.
 */
int content_resolve(const struct content_request *request, const char *path,
		    struct content_place *ret_place, bool *ret_hidden,
		    struct error *err);
/* `cannot read "/x"`, from errno. */
int content_unreadable(const struct content_request *request, const char *real,
		       int number, struct error *err);
/* `"/x": not found`, with what helps where it is only hidden. */
int content_not_found(const char *path, bool hidden, struct error *err);

/* content_names.c: a directory, read at once. */
struct content_name {
	char *name;
	char *link; /* of a symbolic link */
	struct stat st;
	int wanted; /* what content_wanted said */
};
struct content_names {
	struct content_name *list; /* sorted by bytes */
	size_t count;
};
/* Is a name of the directory wanted? 0: no. d_type may be DT_UNKNOWN. */
typedef int (*content_wanted)(void *data, const char *name,
			      unsigned char d_type);
#define cleanup_content_names CLEANUP(content_names_release)
void content_names_release(struct content_names *names);
/* A directory that is gone is empty. real: from the root. */
int content_names_read(const struct content_request *request, const char *real,
		       content_wanted wanted, void *data,
		       struct content_names *ret_names, struct error *err);

/* content_scan.c: all that the request selects. */
int content_scan(const struct content_request *request,
		 struct content_list *list, struct error *err);
/* content_glob.c: the sources that a pattern with wildcards stands for. */
struct content_glob {
	const struct content_request *request;
	/* Path of a match as the pattern says it, from "/". */
	int (*on_match)(void *data, const char *path, struct error *err);
	void *data;
};
bool content_has_wildcards(const char *text);
int content_glob_walk(const struct content_glob *glob, const char *pattern,
		      struct error *err);
