#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

void str_oom(void)
{
	static const char text[] = "moss: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	_exit(125);
}

void *xcalloc(size_t count, size_t size)
{
	void *pointer = calloc(count ? count : 1, size ? size : 1);

	if (!pointer)
		str_oom();
	return pointer;
}

void *xrealloc(void *pointer, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		str_oom();
	pointer = realloc(pointer, total ? total : 1);
	if (!pointer)
		str_oom();
	return pointer;
}

char *xstrdup(const char *text)
{
	return text ? xstrndup(text, strlen(text)) : NULL;
}

char *xstrndup(const char *text, size_t length)
{
	char *copy;

	if (!text)
		return NULL;
	length = strnlen(text, length);
	copy = xrealloc(NULL, length + 1, 1);
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}

char *xasprintf(const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (r < 0)
		str_oom();
	return text;
}

void str_release(struct str *str)
{
	free(str->data);
	*str = (struct str){0};
}

static void str_reserve(struct str *str, size_t more)
{
	size_t needed;
	size_t capacity = str->capacity ? str->capacity : 64;

	if (__builtin_add_overflow(str->length, more, &needed) ||
	    __builtin_add_overflow(needed, 1, &needed))
		str_oom();
	if (needed <= str->capacity)
		return;
	while (capacity < needed) {
		if (__builtin_mul_overflow(capacity, 2, &capacity))
			str_oom();
	}
	str->data = xrealloc(str->data, capacity, 1);
	str->capacity = capacity;
}

void str_append(struct str *str, const char *text)
{
	if (text)
		str_append_bytes(str, text, strlen(text));
}

void str_append_bytes(struct str *str, const void *bytes, size_t length)
{
	str_reserve(str, length);
	if (length > 0)
		memcpy(str->data + str->length, bytes, length);
	str->length += length;
	str->data[str->length] = '\0';
}

void str_append_char(struct str *str, char character)
{
	str_append_bytes(str, &character, 1);
}

void str_appendf(struct str *str, const char *format, ...)
{
	va_list arguments;
	int length;

	str_reserve(str, 64);
	va_start(arguments, format);
	length = vsnprintf(str->data + str->length, str->capacity - str->length,
			   format, arguments);
	va_end(arguments);
	if (length < 0)
		str_oom();
	if ((size_t)length >= str->capacity - str->length) {
		str_reserve(str, (size_t)length);
		va_start(arguments, format);
		vsnprintf(str->data + str->length, (size_t)length + 1, format,
			  arguments);
		va_end(arguments);
	}
	str->length += (size_t)length;
}

void str_clear(struct str *str)
{
	str->length = 0;
	if (str->data)
		str->data[0] = '\0';
}

const char *str_text(const struct str *str)
{
	return str->data ? str->data : "";
}

char *str_steal(struct str *str)
{
	char *text = str->data ? str->data : xstrdup("");

	*str = (struct str){0};
	return text;
}

bool str_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
	return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t text_length;
	size_t suffix_length = strlen(suffix);

	if (!text)
		return false;
	text_length = strlen(text);
	return text_length >= suffix_length &&
	       strcmp(text + text_length - suffix_length, suffix) == 0;
}

bool str_empty(const char *text)
{
	return !text || !*text;
}

size_t strv_length(char *const *strv)
{
	size_t length = 0;

	while (strv && strv[length])
		length++;
	return length;
}

void strv_push(char ***strv, const char *text)
{
	strv_push_take(strv, xstrdup(text));
}

void strv_push_take(char ***strv, char *text)
{
	size_t length = strv_length(*strv);

	/* NULL would end the vector: nothing is added. */
	if (!text)
		return;
	*strv = xrealloc(*strv, length + 2, sizeof(char *));
	(*strv)[length] = text;
	(*strv)[length + 1] = NULL;
}

char **strv_copy(char *const *strv)
{
	char **copy = NULL;

	for (size_t i = 0; strv && strv[i]; i++)
		strv_push(&copy, strv[i]);
	return copy;
}

void strv_free(char **strv)
{
	for (size_t i = 0; strv && strv[i]; i++)
		free(strv[i]);
	free(strv);
}

bool strv_contains(char *const *strv, const char *text)
{
	for (size_t i = 0; text && strv && strv[i]; i++) {
		if (strcmp(strv[i], text) == 0)
			return true;
	}
	return false;
}

char **strv_split(const char *text, char separator)
{
	char **strv = NULL;
	const char *end;

	if (!text)
		return NULL;
	for (; (end = strchr(text, separator)) && *end; text = end + 1)
		strv_push_take(&strv, xstrndup(text, (size_t)(end - text)));
	strv_push(&strv, text);
	return strv;
}

char *strv_join(char *const *strv, const char *separator)
{
	struct str text = {0};

	for (size_t i = 0; strv && strv[i]; i++) {
		if (i > 0)
			str_append(&text, separator);
		str_append(&text, strv[i]);
	}
	return str_steal(&text);
}

static char *const *env_find(char *const *env, const char *name)
{
	size_t length = strlen(name);

	for (; env && *env; env++) {
		if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
			return env;
	}
	return NULL;
}

void env_set(char ***env, const char *name, const char *value)
{
	char *const *found = env_find(*env, name);
	char *text = xasprintf("%s=%s", name, value);

	if (found) {
		size_t index = (size_t)(found - *env);

		free((*env)[index]);
		(*env)[index] = text;
		return;
	}
	strv_push_take(env, text);
}

const char *env_get(char *const *env, const char *name)
{
	char *const *found = env_find(env, name);

	return found ? *found + strlen(name) + 1 : NULL;
}

size_t utf8_length(const void *bytes, size_t left)
{
	const unsigned char *text = bytes;
	unsigned char first = left > 0 ? text[0] : 0;
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t length;

	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (left < length)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	}
	return length;
}
