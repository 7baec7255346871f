/*
 * Errors as values.
 *
 * A function that can fail takes `struct error *err` as its last parameter and
 * returns 0 (or a useful non-negative value) on success and a negative errno on
 * failure, after filling *err. err may be NULL where the caller does not care;
 * the returned number is the same then.
 *
 * struct error is plain bytes without pointers: a child inside a container
 * writes it to a pipe and the parent reads the same struct back, so the user
 * sees which step failed, on what, and what to do about it.
 *
 * message is one line without a trailing newline, without a "moss:" prefix:
 * what failed and on what. hint, when not empty, is one line that says what the
 * user can do. Only cmd/ prints either.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum error_kind {
	ERROR_NONE = 0,
	ERROR_GENERIC,	   /* anything without a better row: EIO and friends */
	ERROR_INVALID,	   /* the user's input or a file's content is wrong */
	ERROR_NOT_FOUND,   /* no such container, image, volume, file */
	ERROR_EXISTS,	   /* the name is taken */
	ERROR_CONFLICT,	   /* the object's state does not allow it */
	ERROR_PERMISSION,  /* the kernel or a policy said no */
	ERROR_UNSUPPORTED, /* this kernel, machine or build cannot do it */
	ERROR_NO_SPACE,	   /* disk or quota is full */
	ERROR_TIMEOUT,	   /* waited long enough */
	ERROR_CORRUPT,	   /* stored or transferred data fails its check */
	ERROR_NOT_EXECUTABLE,  /* the container's command cannot be executed */
	ERROR_NO_SUCH_COMMAND, /* the container's command does not exist */
	ERROR_KIND_COUNT,
};

#define ERROR_MESSAGE_MAX 1024
#define ERROR_HINT_MAX	  512

struct error {
	enum error_kind kind;
	int number; /* positive errno, 0 when the kind says it all */
	char message[ERROR_MESSAGE_MAX];
	char hint[ERROR_HINT_MAX];
};

/* What a kind means at the borders: the shell's and HTTP's. */
struct error_meaning {
	const char *name; /* "not found" */
	int exit_code; /* of a command other than run/exec: 1; of run: 125-127
			*/
	int http_status;
	int number; /* errno returned when the caller gave none */
};

const struct error_meaning *error_meaning(enum error_kind kind);
enum error_kind error_kind_from_errno(int number);

/* Fills *err from a kind and a message; returns the kind's negative errno. */
int err_set(struct error *err, enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set, from errno: appends ": strerror(errno)"; returns -errno. */
int err_errno(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* As err_errno, from a given errno value of either sign. */
int err_number(struct error *err, int number, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that is there; returns err's number. */
int err_wrap(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Sets the hint; returns err's negative errno so that it can end a function. */
int err_hint(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Negative errno of a filled error (kind's own when number is 0). */
int err_return(const struct error *err);

/* Copies src to dst (either may be NULL) and returns its negative errno. */
int err_copy(struct error *dst, const struct error *src);
void err_clear(struct error *err);

/*
 * One error over a pipe: written in one piece (struct error is smaller than
 * PIPE_BUF). error_read() returns 1 and fills *ret_err, 0 on end of file (no
 * error was sent), negative errno when the read itself fails or is short.
 */
int error_write(int fd, const struct error *err);
int error_read(int fd, struct error *ret_err);
