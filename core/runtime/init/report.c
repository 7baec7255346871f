#include "core/runtime/init/init.h"

#include <asm/errno.h>

static struct error failure;

/* The compiler calls these even without a C library. */
#ifndef INIT_LIBC
void *memset(void *target, int byte, size_t length);
void *memcpy(void *target, const void *source, size_t length);

void *memset(void *target, int byte, size_t length)
{
	volatile unsigned char *bytes = target;

	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)byte;
	return target;
}

void *memcpy(void *target, const void *source, size_t length)
{
	volatile unsigned char *to = target;
	const unsigned char *from = source;

	for (size_t i = 0; i < length; i++)
		to[i] = from[i];
	return target;
}
#endif

_Noreturn void exit_now(int code)
{
	for (;;)
		SYS1(exit_group, code);
}

static size_t add(char *buffer, size_t size, size_t length, const char *text)
{
	while (*text && length + 1 < size)
		buffer[length++] = *text++;
	return length;
}

static _Noreturn void send(enum error_kind kind, long result)
{
	static const struct {
		enum error_kind kind;
		int code;
	} codes[] = {
		{ERROR_NOT_EXECUTABLE, 126},
		{ERROR_NO_SUCH_COMMAND, 127},
	};
	int code = 125;

	failure.kind = kind;
	failure.number = (int)-result;
	SYS3(write, INIT_SYNC_FD, &failure, sizeof(failure));
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].kind == kind)
			code = codes[i].code;
	}
	exit_now(code);
}

static const char *errno_text(long result)
{
	static const struct {
		int number;
		const char *text;
	} texts[] = {
		{ENOENT, "no such file or directory"},
		{EACCES, "permission denied"},
		{EPERM, "operation not permitted"},
		{ENOTDIR, "not a directory"},
		{EISDIR, "is a directory"},
		{ENOEXEC, "exec format error"},
		{ELOOP, "too many levels of symbolic links"},
		{ENAMETOOLONG, "file name too long"},
		{E2BIG, "argument list too long"},
		{ETXTBSY, "text file busy"},
		{ENOMEM, "cannot allocate memory"},
		{EIO, "input/output error"},
		{ELIBBAD, "accessing a corrupted shared library"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].number == -result)
			return texts[i].text;
	}
	return "the kernel refused";
}

_Noreturn void fail(const char *what, long result)
{
	add(failure.message, sizeof(failure.message), 0, what);
	send(ERROR_NONE, result);
}

_Noreturn void fail_command(enum error_kind kind, long result,
			    const char *before, const char *name,
			    const char *after, const char *hint)
{
	/* Room is kept for what follows a name of any length. */
	size_t length = add(failure.message, 64, 0, before);

	length = add(failure.message, sizeof(failure.message) - 256, length,
		     name);
	length = add(failure.message, sizeof(failure.message), length, after);
	if (result != 0)
		add(failure.message, sizeof(failure.message), length,
		    errno_text(result));
	add(failure.hint, sizeof(failure.hint), 0, hint);
	send(kind, result);
}
