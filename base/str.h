/*
 * Strings: a growing buffer, NULL-terminated vectors, parsing of numbers,
 * sizes, durations and times as docker writes them, random IDs.
 *
 * Allocation never fails quietly: out of memory ends the process with a line
 * on stderr (str_oom), as there is nothing sensible left to do; sizes that come
 * from outside meet a named limit before they get here.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

struct str {
	char *data; /* NUL-terminated once anything was appended; may be NULL */
	size_t length;
	size_t capacity;
};

#define cleanup_str CLEANUP(str_release)

void str_release(struct str *str);
void str_append(struct str *str, const char *text);
void str_append_bytes(struct str *str, const void *bytes, size_t length);
void str_append_char(struct str *str, char character);
void str_appendf(struct str *str, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void str_clear(struct str *str);	     /* length 0, keeps the memory */
const char *str_text(const struct str *str); /* never NULL */
char *str_steal(struct str *str);	     /* never NULL; caller frees */

/* Ends the process with "out of memory". */
_Noreturn void str_oom(void);

/* malloc family that ends the process when memory is out. */
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *pointer, size_t count, size_t size);
char *xstrdup(const char *text); /* NULL stays NULL */
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool str_equal(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
bool str_empty(const char *text); /* NULL or "" */

/* NULL-terminated vectors of owned strings. A NULL vector is an empty one. */
size_t strv_length(char *const *strv);
void strv_push(char ***strv, const char *text);
void strv_push_take(char ***strv, char *text); /* takes ownership of text */
char **strv_copy(char *const *strv);
void strv_free(char **strv);
bool strv_contains(char *const *strv, const char *text);
char **strv_split(const char *text, char separator); /* keeps empty fields */
char *strv_join(char *const *strv, const char *separator);

/*
 * Environments: "NAME=value" vectors. env_set replaces NAME in place or
 * appends. env_get returns a pointer into the vector or NULL.
 */
void env_set(char ***env, const char *name, const char *value);
const char *env_get(char *const *env, const char *name);

/* Whole-string parsers: 0, or -EINVAL/-ERANGE without touching the output. */
int parse_u64(const char *text, uint64_t *ret_value);
int parse_i64(const char *text, int64_t *ret_value);
int parse_bool(const char *text, bool *ret_value); /* Go's strconv.ParseBool */
/* "512", "64k", "1.5g", "10MB", "1GiB": bytes, powers of 1024 as docker. */
int parse_bytes(const char *text, int64_t *ret_bytes);
/* "1h30m", "10s", "250ms", "1m0.5s": nanoseconds, Go's time.ParseDuration. */
int parse_duration(const char *text, int64_t *ret_ns);

/* Docker's human forms. "1.234MB" (powers of 1000), with three digits for
   lists "1.23MB"; "3 minutes". Caller frees. */
char *format_bytes(uint64_t bytes);
char *format_bytes_short(uint64_t bytes);
char *format_ago(int64_t seconds); /* "About a minute", "2 weeks" */
/* parse_duration() undone, as Go writes one: "1h30m0s", "1.5s", "250ms". */
char *format_duration(int64_t ns);

/* RFC 3339 with nanoseconds, UTC: "2026-01-02T03:04:05.000000006Z". */
#define TIME_TEXT_MAX 40
void format_time(char ret_text[TIME_TEXT_MAX], const struct timespec *time);
void format_now(char ret_text[TIME_TEXT_MAX]);
/*
 * format_time() time and again: within a second only the digits behind it are
 * written anew. Zeros at first; the text is the struct's.
 */
struct time_formatter {
	char text[TIME_TEXT_MAX];
	int64_t second;
};
const char *format_time_again(struct time_formatter *formatter,
			      const struct timespec *time);
int parse_time(const char *text, struct timespec *ret_time);

/*
 * Length of the UTF-8 sequence of two bytes or more at bytes (RFC 3629:
 * shortest form, no surrogates, up to U+10FFFF), 0 when there is none.
 */
size_t utf8_length(const void *bytes, size_t left);

/* Lower-case hex; ret_text holds 2 * length + 1. */
void hex_encode(char *ret_text, const void *bytes, size_t length);

/* 64 random hex digits, as docker names containers. getrandom(2). */
#define ID_TEXT_MAX 65
void random_id(char ret_id[ID_TEXT_MAX]);
