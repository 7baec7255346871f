#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"

#define SYSTEM_FILE "/etc/moss/moss.conf"
#define USER_FILE   "moss/moss.conf"

/* Where the reader is. */
struct reader {
	struct conf *conf;
	const char *file;
	size_t file_index;
	const char *at;
	const char *end;
	unsigned int line;
	const char *section; /* the schema's; NULL before the first header */
	char *name;
};

static void reader_release(struct reader *reader)
{
	free(reader->name);
}

static int wrong(const struct reader *reader, struct error *err,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));

static int wrong(const struct reader *reader, struct error *err,
		 const char *format, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return err_set(err, ERROR_INVALID, "%s:%u: %s", reader->file,
		       reader->line, text);
}

/* The rows one by one: *list and *row start at 0. */
static const struct conf_key *schema_next(const struct conf *conf, size_t *list,
					  size_t *row)
{
	while (conf->schema[*list]) {
		const struct conf_key *key = &conf->schema[*list][*row];

		if (key->section) {
			++*row;
			return key;
		}
		++*list;
		*row = 0;
	}
	return NULL;
}

static const struct conf_key *schema_find(const struct conf *conf,
					  const char *section, const char *name)
{
	const struct conf_key *key;
	size_t list = 0, row = 0;

	while ((key = schema_next(conf, &list, &row)))
		if (str_equal(key->section, section) &&
		    (!name || str_equal(key->key, name)))
			return key;
	return NULL;
}

/* "Known keys in [registry]: mirror, insecure." */
static void hint_known(const struct reader *reader, const char *section,
		       struct error *err)
{
	cleanup_str struct str text = {0};
	cleanup_strv char **words = NULL;
	const struct conf_key *key;
	size_t list = 0, row = 0;

	while ((key = schema_next(reader->conf, &list, &row))) {
		const char *word = section ? key->key : key->section;

		if ((!section || str_equal(key->section, section)) &&
		    !strv_contains(words, word)) {
			str_appendf(&text, "%s%s", words ? ", " : "", word);
			strv_push(&words, word);
		}
	}
	if (section)
		err_hint(err, "Known keys in [%s]: %s.", section,
			 str_text(&text));
	else
		err_hint(err, "Known sections: %s.", str_text(&text));
}

static void skip_blanks(struct reader *reader)
{
	while (reader->at < reader->end &&
	       (*reader->at == ' ' || *reader->at == '\t' ||
		*reader->at == '\r'))
		reader->at++;
}

static bool at_end(const struct reader *reader)
{
	return reader->at == reader->end || *reader->at == '#' ||
	       *reader->at == ';';
}

/* A lower-case word; NULL when there is none. */
static char *read_word(struct reader *reader)
{
	const char *begin = reader->at;

	while (reader->at < reader->end &&
	       ((*reader->at >= 'a' && *reader->at <= 'z') ||
		(*reader->at >= '0' && *reader->at <= '9') ||
		*reader->at == '-'))
		reader->at++;
	if (reader->at == begin)
		return NULL;
	return xstrndup(begin, (size_t)(reader->at - begin));
}

/* After the opening quote, up to and past the closing one. */
static int read_quoted(struct reader *reader, struct str *text,
		       struct error *err)
{
	static const char letters[] = "\"\\nt";
	static const char meanings[] = "\"\\\n\t";

	while (reader->at < reader->end) {
		char character = *reader->at++;

		if (character == '"')
			return 0;
		if (character == '\\') {
			const char *letter = NULL;

			if (reader->at < reader->end)
				letter = memchr(letters, *reader->at++,
						strlen(letters));
			if (!letter)
				return wrong(reader, err,
					     "unknown escape after a backslash "
					     "in a quoted text");
			character = meanings[letter - letters];
		}
		str_append_char(text, character);
	}
	return wrong(reader, err, "a quote is not closed");
}

/* The rest of the line; *ret_value NULL when there is no "=". */
static int read_value(struct reader *reader, char **ret_value,
		      struct error *err)
{
	cleanup_str struct str text = {0};
	size_t kept = 0; /* up to the last character that is not blank */
	int r;

	skip_blanks(reader);
	if (at_end(reader)) {
		*ret_value = NULL;
		return 0;
	}
	if (*reader->at++ != '=')
		return wrong(reader, err, "expected \"key = value\"");
	skip_blanks(reader);
	while (!at_end(reader)) {
		char character = *reader->at++;

		if (character == '"') {
			r = read_quoted(reader, &text, err);
			if (r < 0)
				return r;
			kept = text.length;
			continue;
		}
		str_append_char(&text, character);
		if (!strchr(" \t\r", character))
			kept = text.length;
	}
	*ret_value = xstrndup(str_text(&text), kept);
	return 0;
}

static int read_header(struct reader *reader, struct error *err)
{
	cleanup_free char *word = NULL;
	cleanup_str struct str name = {0};
	const struct conf_key *key;
	bool named = false;
	int r;

	reader->at++;
	skip_blanks(reader);
	word = read_word(reader);
	skip_blanks(reader);
	if (word && reader->at < reader->end && *reader->at == '"') {
		reader->at++;
		named = true;
		r = read_quoted(reader, &name, err);
		if (r < 0)
			return r;
		skip_blanks(reader);
	}
	if (!word || reader->at == reader->end || *reader->at != ']')
		return wrong(reader, err,
			     "expected [section] or [section \"name\"]");
	reader->at++;
	key = schema_find(reader->conf, word, NULL);
	if (!key) {
		r = wrong(reader, err, "unknown section [%s]", word);
		hint_known(reader, NULL, err);
		return r;
	}
	if (named && !(key->flags & CONF_NAMED))
		return wrong(reader, err, "section [%s] has no name",
			     key->section);
	if (!named && (key->flags & CONF_NAMED))
		return wrong(reader, err,
			     "section [%s] needs a name: [%s \"NAME\"]",
			     key->section, key->section);
	if (named && name.length == 0)
		return wrong(reader, err, "the name of [%s] is empty",
			     key->section);
	free(reader->name);
	reader->name = named ? str_steal(&name) : NULL;
	reader->section = key->section;
	return 0;
}

static int value_bool(const struct reader *reader, struct conf_entry *entry,
		      struct error *err)
{
	static const char *const words[][4] = {{"false", "no", "off", "0"},
					       {"true", "yes", "on", "1"}};

	for (size_t value = 0; value < ARRAY_SIZE(words); value++)
		for (size_t i = 0; i < ARRAY_SIZE(words[value]); i++)
			if (strcasecmp(entry->value, words[value][i]) == 0) {
				entry->number = (int64_t)value;
				return 0;
			}
	return wrong(reader, err, "%s = %s: expected true or false",
		     entry->key->key, entry->value);
}

static int value_number(const struct reader *reader, struct conf_entry *entry,
			struct error *err)
{
	const struct conf_key *key = entry->key;
	bool bytes = key->type == CONF_BYTES;
	int r;

	r = bytes ? parse_bytes(entry->value, &entry->number)
		  : parse_i64(entry->value, &entry->number);
	if (r == -EINVAL)
		return wrong(reader, err, "%s = %s: expected %s", key->key,
			     entry->value,
			     bytes ? "a size such as 512m" : "a number");
	if (r < 0 || entry->number < key->min || entry->number > key->max)
		return wrong(reader, err,
			     "%s = %s: expected a value from %lld to %lld",
			     key->key, entry->value, (long long)key->min,
			     (long long)key->max);
	return 0;
}

static int value_path(const struct reader *reader, struct conf_entry *entry,
		      struct error *err)
{
	const char *home = reader->conf->home;
	char *path;

	if (entry->value[0] == '/')
		return 0;
	if (!str_starts(entry->value, "~/"))
		return wrong(reader, err,
			     "%s = %s: expected a path that starts with / or "
			     "~/",
			     entry->key->key, entry->value);
	if (!home)
		return wrong(reader, err, "%s = %s: HOME is not set",
			     entry->key->key, entry->value);
	path = path_join(home, entry->value + strlen("~/"));
	free(entry->value);
	entry->value = path;
	return 0;
}

static int check_value(const struct reader *reader, struct conf_entry *entry,
		       struct error *err)
{
	switch (entry->key->type) {
	case CONF_BOOL:
		return value_bool(reader, entry, err);
	case CONF_NUMBER:
	case CONF_BYTES:
		return value_number(reader, entry, err);
	case CONF_PATH:
		return value_path(reader, entry, err);
	case CONF_STRING:
		break;
	}
	return 0;
}

static int check_once(const struct reader *reader,
		      const struct conf_entry *entry, struct error *err)
{
	const struct conf_entry *other;

	if (entry->key->flags & CONF_REPEATED)
		return 0;
	other = conf_get(reader->conf, entry->key->section, entry->name,
			 entry->key->key);
	if (!other || other->file != reader->file_index)
		return 0;
	return wrong(reader, err, "%s is set in line %u already",
		     entry->key->key, other->line);
}

static void entry_release(struct conf_entry *entry)
{
	free(entry->name);
	free(entry->value);
}

static void keep_entry(struct conf *conf, struct conf_entry *entry)
{
	conf->entries = xrealloc(conf->entries, conf->count + 1,
				 sizeof(*conf->entries));
	conf->entries[conf->count++] = *entry;
	*entry = (struct conf_entry){0};
}

static int read_entry(struct reader *reader, struct error *err)
{
	CLEANUP(entry_release)
	struct conf_entry entry = {.file = reader->file_index,
				   .line = reader->line};
	cleanup_free char *word = read_word(reader);
	int r;

	if (!word)
		return wrong(reader, err,
			     "expected [section] or \"key = value\"");
	if (!reader->section)
		return wrong(reader, err, "%s stands before any [section]",
			     word);
	entry.key = schema_find(reader->conf, reader->section, word);
	if (!entry.key) {
		r = wrong(reader, err, "unknown key %s in [%s]", word,
			  reader->section);
		hint_known(reader, reader->section, err);
		return r;
	}
	r = read_value(reader, &entry.value, err);
	if (r < 0)
		return r;
	if (!entry.value && entry.key->type == CONF_BOOL)
		entry.value = xstrdup("true");
	if (str_empty(entry.value))
		return wrong(reader, err, "%s has no value", word);
	if (reader->conf->count >= CONF_ENTRIES_MAX)
		return wrong(reader, err, "more than %d settings",
			     CONF_ENTRIES_MAX);
	entry.name = xstrdup(reader->name);
	r = check_value(reader, &entry, err);
	r = r < 0 ? r : check_once(reader, &entry, err);
	if (r < 0)
		return r;
	keep_entry(reader->conf, &entry);
	return 0;
}

static int read_line(struct reader *reader, struct error *err)
{
	int r;

	skip_blanks(reader);
	if (at_end(reader))
		return 0;
	if (*reader->at != '[')
		return read_entry(reader, err);
	r = read_header(reader, err);
	if (r < 0)
		return r;
	skip_blanks(reader);
	return at_end(reader) ? 0 : read_entry(reader, err);
}

int conf_parse(struct conf *conf, const char *text, size_t length,
	       const char *file, struct error *err)
{
	static const char mark[] = "\xef\xbb\xbf"; /* of some editors */
	CLEANUP(reader_release)
	struct reader reader = {
		.conf = conf,
		.file = file,
		.file_index = strv_length(conf->files),
	};
	const char *end = text + length;

	strv_push(&conf->files, file);
	if (memchr(text, '\0', length))
		return err_set(err, ERROR_INVALID,
			       "%s is not a text: it has a NUL byte", file);
	if (length >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0)
		text += strlen(mark);
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		int r;

		reader.line++;
		reader.at = text;
		reader.end = newline ? newline : end;
		r = read_line(&reader, err);
		if (r < 0)
			return r;
		text = newline ? newline + 1 : end;
	}
	return 0;
}

int conf_read(struct conf *conf, const char *path, bool may_be_missing,
	      struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -1;
	struct stat status;
	size_t length;
	int r;

	/* Not waiting: it could be a named pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR) && may_be_missing)
		return 0;
	if (fd < 0 || fstat(fd, &status) < 0)
		return err_errno(err, "cannot open %s", path);
	if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode))
		return err_set(err, ERROR_INVALID, "%s is not a file", path);
	r = file_read_fd(fd, path, CONF_FILE_MAX, &text, &length, err);
	r = r < 0 ? r : conf_parse(conf, text, length, path, err);
	return r < 0 ? r : 1;
}

int conf_read_all(struct conf *conf, struct error *err)
{
	const char *only = getenv("MOSS_CONFIG");
	const char *config = getenv("XDG_CONFIG_HOME");
	cleanup_free char *path = NULL;
	int r;

	if (!str_empty(only)) {
		r = conf_read(conf, only, false, err);
		if (r < 0 && err && err->number == ENOENT)
			err_hint(err, "MOSS_CONFIG names it.");
		return r < 0 ? r : 0;
	}
	r = conf_read(conf, SYSTEM_FILE, true, err);
	if (r < 0)
		return r;
	if (!str_empty(config) && config[0] == '/')
		path = path_join(config, USER_FILE);
	else if (conf->home)
		path = xasprintf("%s/.config/" USER_FILE, conf->home);
	r = path ? conf_read(conf, path, true, err) : 0;
	return r < 0 ? r : 0;
}

void conf_release(struct conf *conf)
{
	for (size_t i = 0; i < conf->count; i++)
		entry_release(&conf->entries[i]);
	free(conf->entries);
	strv_free(conf->files);
	conf->entries = NULL;
	conf->files = NULL;
	conf->count = 0;
}

static bool entry_is(const struct conf_entry *entry, const char *section,
		     const char *name, const char *key)
{
	return str_equal(entry->key->section, section) &&
	       str_equal(entry->key->key, key) && str_equal(entry->name, name);
}

const struct conf_entry *conf_get(const struct conf *conf, const char *section,
				  const char *name, const char *key)
{
	for (size_t i = conf->count; i > 0; i--)
		if (entry_is(&conf->entries[i - 1], section, name, key))
			return &conf->entries[i - 1];
	return NULL;
}

const struct conf_entry *conf_next(const struct conf *conf, const char *section,
				   const char *name, const char *key,
				   size_t *index)
{
	const struct conf_entry *last = conf_get(conf, section, name, key);

	while (last && *index < conf->count) {
		const struct conf_entry *entry = &conf->entries[(*index)++];

		if (entry->file == last->file &&
		    entry_is(entry, section, name, key))
			return entry;
	}
	return NULL;
}

char *conf_where(const struct conf *conf, const struct conf_entry *entry)
{
	return xasprintf("%s:%u", conf->files[entry->file], entry->line);
}
