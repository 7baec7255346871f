/*
 * moss.conf: what an administrator or a user sets once, in the form of git's
 * configuration:
 *
 *     # a comment, also after ;
 *     [registry "docker.io"]
 *             mirror = localhost:5000
 *             mirror = "https://mirror.example.com/cache"
 *
 * A line is a section's header, a key with its value, or empty. White space
 * around a value is dropped; inside of double quotes it stays, and \" \\ \n \t
 * stand for the character. A key alone is true. Section names and keys are
 * written exactly as in the schema: rows of (section, key, type), which the
 * module that uses them owns. What no row knows is an error that names file,
 * line and the words that are known, so that a misspelt limit is no limit that
 * was silently dropped.
 *
 * Files are read one after the other, the machine's, then the user's. Of a key
 * the last value wins; of a repeated key all values of the last file that has
 * any. In one file a key that is not repeated may stand once in a section.
 *
 * Whoever reads a file is asked for the whole schema, since every section in it
 * must be known: core/engine/settings.h joins the rows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CONF_FILE_MAX	 (1u << 20) /* bytes */
#define CONF_ENTRIES_MAX 8192	    /* of all files */

enum conf_type {
	CONF_STRING,
	CONF_PATH, /* absolute, or "~/…", which is made absolute */
	CONF_BOOL, /* true, yes, on, 1 and their contraries */
	CONF_NUMBER,
	CONF_BYTES, /* "512m" */
};

#define CONF_NAMED    (1u << 0) /* [section "NAME"] instead of [section] */
#define CONF_REPEATED (1u << 1)

struct conf_key {
	const char *section;
	const char *key;
	enum conf_type type;
	unsigned int flags;
	int64_t min, max; /* of CONF_NUMBER and CONF_BYTES */
};

struct conf_entry {
	const struct conf_key *key;
	char *name;	/* the section's; NULL without CONF_NAMED */
	char *value;	/* text; CONF_PATH: absolute */
	int64_t number; /* CONF_BOOL: 0 or 1 */
	size_t file;	/* which of conf->files */
	unsigned int line;
};

struct conf {
	/* Set by the caller, borrowed. */
	const struct conf_key *const
		*schema;  /* lists that end with a row
			     without a section; NULL-ended */
	const char *home; /* for "~/"; NULL: such a path is an error */

	struct conf_entry *entries; /* in the order read */
	size_t count;
	char **files; /* strv of those read */
};

/* Appends what text says; file is its name in messages. On failure the entries
   before the wrong line stay. */
int conf_parse(struct conf *conf, const char *text, size_t length,
	       const char *file, struct error *err);
/* 1, or 0 when there is no such file and it may be missing. */
int conf_read(struct conf *conf, const char *path, bool may_be_missing,
	      struct error *err);
/*
 * $MOSS_CONFIG alone, which must be there, or /etc/moss/moss.conf and then
 * $XDG_CONFIG_HOME/moss/moss.conf (~/.config/moss/moss.conf), which need not.
 */
int conf_read_all(struct conf *conf, struct error *err);
void conf_release(struct conf *conf);

/* The value that counts, NULL when there is none. name NULL: not CONF_NAMED. */
const struct conf_entry *conf_get(const struct conf *conf, const char *section,
				  const char *name, const char *key);
/*
 * The values of a repeated key one after the other: start with *index 0; NULL
 * after the last.
 */
const struct conf_entry *conf_next(const struct conf *conf, const char *section,
				   const char *name, const char *key,
				   size_t *index);
/* "/etc/moss/moss.conf:12", for messages; caller frees. */
char *conf_where(const struct conf *conf, const struct conf_entry *entry);
