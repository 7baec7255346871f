#include "base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

_Static_assert(sizeof(struct error) <= 4096, "an error is one pipe write");

static const struct error_meaning meanings[ERROR_KIND_COUNT] = {
	[ERROR_NONE] = {"no error", 0, 200, 0},
	[ERROR_GENERIC] = {"failure", 1, 500, EIO},
	[ERROR_INVALID] = {"invalid", 1, 400, EINVAL},
	[ERROR_NOT_FOUND] = {"not found", 1, 404, ENOENT},
	[ERROR_EXISTS] = {"exists", 1, 409, EEXIST},
	[ERROR_CONFLICT] = {"conflict", 1, 409, EBUSY},
	[ERROR_PERMISSION] = {"permission denied", 1, 403, EPERM},
	[ERROR_UNSUPPORTED] = {"unsupported", 1, 501, EOPNOTSUPP},
	[ERROR_NO_SPACE] = {"no space", 1, 507, ENOSPC},
	[ERROR_TIMEOUT] = {"timeout", 1, 504, ETIMEDOUT},
	[ERROR_CORRUPT] = {"corrupt", 1, 500, EBADMSG},
	[ERROR_NOT_EXECUTABLE] = {"not executable", 126, 400, EACCES},
	[ERROR_NO_SUCH_COMMAND] = {"no such command", 127, 400, ENOENT},
};

static const struct {
	int number;
	enum error_kind kind;
} kinds[] = {
	{ENOENT, ERROR_NOT_FOUND},     {ESRCH, ERROR_NOT_FOUND},
	{EEXIST, ERROR_EXISTS},	       {EACCES, ERROR_PERMISSION},
	{EPERM, ERROR_PERMISSION},     {ENOSPC, ERROR_NO_SPACE},
	{EDQUOT, ERROR_NO_SPACE},      {ENOSYS, ERROR_UNSUPPORTED},
	{ETIMEDOUT, ERROR_TIMEOUT},    {EOPNOTSUPP, ERROR_UNSUPPORTED},
	{EINVAL, ERROR_INVALID},       {ERANGE, ERROR_INVALID},
	{ENAMETOOLONG, ERROR_INVALID}, {EBUSY, ERROR_CONFLICT},
	{EBADMSG, ERROR_CORRUPT},
};

/*
 * A caller that passes no struct error still gets the number out of
 * err_set() followed by err_hint() or err_wrap().
 */
static _Thread_local int unseen_number = EIO;

const struct error_meaning *error_meaning(enum error_kind kind)
{
	/* The kind may come from another process. */
	if ((unsigned int)kind >= ERROR_KIND_COUNT)
		kind = ERROR_GENERIC;
	return &meanings[kind];
}

enum error_kind error_kind_from_errno(int number)
{
	if (number < 0)
		number = -number;
	if (number == 0)
		return ERROR_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].number == number)
			return kinds[i].kind;
	}
	return ERROR_GENERIC;
}

/*
 * Texts carry names that an image or a container chose: keep them on one line
 * and free of terminal escapes. Zeroes the rest of the array, as it travels
 * whole.
 */
static void set_text(char *ret_text, size_t size, const char *source)
{
	size_t length = strnlen(source, size - 1);

	memmove(ret_text, source, length);
	memset(ret_text + length, 0, size - length);
	while (length > 0 && ret_text[length - 1] == '\n')
		ret_text[--length] = '\0';
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)ret_text[i];

		if (byte < 0x20 || byte == 0x7f)
			ret_text[i] = byte == '\t' || byte == '\n' ? ' ' : '?';
	}
}

/* Arguments may point into *err, so it is written only after formatting. */
static void fill(struct error *err, enum error_kind kind, int number,
		 const char *message)
{
	err_clear(err);
	err->kind = kind;
	err->number = number;
	set_text(err->message, sizeof(err->message), message);
}

int err_set(struct error *err, enum error_kind kind, const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list arguments;
	int number = error_meaning(kind)->number;

	if (err) {
		va_start(arguments, format);
		vsnprintf(message, sizeof(message), format, arguments);
		va_end(arguments);
		fill(err, kind, 0, message);
	} else {
		unseen_number = number;
	}
	return -number;
}

__attribute__((format(printf, 3, 0))) static int
set_number(struct error *err, int number, const char *format, va_list arguments)
{
	char message[ERROR_MESSAGE_MAX];
	char *reason;
	int length;
	size_t room;

	number = number < 0 ? -number : number;
	if (number == 0)
		number = EIO;
	if (!err) {
		unseen_number = number;
		return -number;
	}

	length = vsnprintf(message, sizeof(message), format, arguments);
	/* A long name is cut so that the reason still fits. */
	reason = strerror(number);
	room = sizeof(message) - strlen(reason) - sizeof(": ");
	if (length < 0)
		length = 0;
	if ((size_t)length > room)
		length = (int)room;
	snprintf(message + length, sizeof(message) - (size_t)length, ": %s",
		 reason);
	fill(err, error_kind_from_errno(number), number, message);
	return -number;
}

int err_errno(struct error *err, const char *format, ...)
{
	int number = errno;
	va_list arguments;

	va_start(arguments, format);
	number = set_number(err, number, format, arguments);
	va_end(arguments);
	return number;
}

int err_number(struct error *err, int number, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	number = set_number(err, number, format, arguments);
	va_end(arguments);
	return number;
}

int err_wrap(struct error *err, const char *format, ...)
{
	char message[2 * ERROR_MESSAGE_MAX + 2];
	va_list arguments;

	if (!err)
		return -unseen_number;

	va_start(arguments, format);
	vsnprintf(message, ERROR_MESSAGE_MAX, format, arguments);
	va_end(arguments);
	strcat(message, ": ");
	strncat(message, err->message, ERROR_MESSAGE_MAX);
	set_text(err->message, sizeof(err->message), message);
	return err_return(err);
}

int err_hint(struct error *err, const char *format, ...)
{
	char hint[ERROR_HINT_MAX];
	va_list arguments;

	if (!err)
		return -unseen_number;

	va_start(arguments, format);
	vsnprintf(hint, sizeof(hint), format, arguments);
	va_end(arguments);
	set_text(err->hint, sizeof(err->hint), hint);
	return err_return(err);
}

int err_return(const struct error *err)
{
	if (!err)
		return -unseen_number;
	if (err->number != 0)
		return -err->number;
	return -error_meaning(err->kind)->number;
}

int err_copy(struct error *dst, const struct error *src)
{
	if (dst && src && dst != src)
		*dst = *src;
	return err_return(src);
}

void err_clear(struct error *err)
{
	if (err)
		memset(err, 0, sizeof(*err));
}

int error_write(int fd, const struct error *err)
{
	ssize_t written;

	do
		written = write(fd, err, sizeof(*err));
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	return (size_t)written == sizeof(*err) ? 0 : -EIO;
}

int error_read(int fd, struct error *ret_err)
{
	struct error err = {0};
	size_t length = 0;

	while (length < sizeof(err)) {
		ssize_t part =
			read(fd, (char *)&err + length, sizeof(err) - length);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return -errno;
		if (part == 0)
			break;
		length += (size_t)part;
	}
	if (length == 0)
		return 0;
	if (length < sizeof(err))
		return -EBADMSG;

	/* The writer may sit inside a container. */
	if ((unsigned int)err.kind >= ERROR_KIND_COUNT ||
	    err.kind == ERROR_NONE)
		err.kind = ERROR_GENERIC;
	if (err.number < 0 || err.number > 4095)
		err.number = 0;
	set_text(err.message, sizeof(err.message), err.message);
	set_text(err.hint, sizeof(err.hint), err.hint);
	*ret_err = err;
	return 1;
}
