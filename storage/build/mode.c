#include "storage/build/mode.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#define DIGITS_MAX 4 /* of an octal number, without leading zeros */

#define USER  (S_ISUID | S_IRWXU)
#define GROUP (S_ISGID | S_IRWXG)
#define OTHER (S_ISVTX | S_IRWXO)

static bool is_octal(const char *text)
{
	return *text && strspn(text, "01234567") == strlen(text);
}

static mode_t parse_octal(const char *text)
{
	mode_t mode = 0;

	for (; *text; text++)
		mode = mode * 8 + (mode_t)(*text - '0');
	return mode;
}

/* Whose bits a clause is about; 0: it does not say. */
static mode_t parse_who(const char **text)
{
	mode_t who = 0;

	for (;; (*text)++) {
		switch (**text) {
		case 'u':
			who |= USER;
			break;
		case 'g':
			who |= GROUP;
			break;
		case 'o':
			who |= OTHER;
			break;
		case 'a':
			who |= USER | GROUP | OTHER;
			break;
		default:
			return who;
		}
	}
}

/* The bits that one of them has now, for all of them. */
static mode_t copy_bits(char from, mode_t mode)
{
	const unsigned int shift = from == 'u' ? 6 : from == 'g' ? 3 : 0;
	const mode_t bits = (mode >> shift) & 07;

	return bits << 6 | bits << 3 | bits;
}

static mode_t letter_bits(char letter, mode_t mode, bool is_directory)
{
	const mode_t execute = S_IXUSR | S_IXGRP | S_IXOTH;

	switch (letter) {
	case 'r':
		return S_IRUSR | S_IRGRP | S_IROTH;
	case 'w':
		return S_IWUSR | S_IWGRP | S_IWOTH;
	case 'x':
		return execute;
	case 'X':
		return is_directory || (mode & execute) ? execute : 0;
	case 's':
		return S_ISUID | S_ISGID;
	default:
		return S_ISVTX;
	}
}

/* What follows "+", "-" or "=". */
static mode_t parse_bits(const char **text, mode_t mode, bool is_directory)
{
	mode_t bits = 0;

	if (**text && strchr("ugo", **text))
		return copy_bits(*(*text)++, mode);
	for (; **text && strchr("rwxXst", **text); (*text)++)
		bits |= letter_bits(**text, mode, is_directory);
	return bits;
}

static mode_t change(char operation, mode_t who, mode_t bits, mode_t mode)
{
	const mode_t whose = who ? who : USER | GROUP | OTHER;

	bits &= whose;
	switch (operation) {
	case '+':
		return mode | bits;
	case '-':
		return mode & ~bits;
	default:
		return (mode & ~whose) | bits;
	}
}

/* Applies as far as it can be read; *ret_end: what cannot. */
static mode_t apply(const char *text, mode_t mode, bool is_directory,
		    const char **ret_end)
{
	for (;;) {
		const mode_t who = parse_who(&text);

		if (!*text || !strchr("+-=", *text))
			break;
		while (*text && strchr("+-=", *text)) {
			const char operation = *text++;
			const mode_t bits =
				parse_bits(&text, mode, is_directory);

			mode = change(operation, who, bits, mode);
		}
		if (*text != ',')
			break;
		/* A comma at the end has nothing behind it. */
		if (!text[1])
			break;
		text++;
	}
	*ret_end = text;
	return mode;
}

int mode_check(const char *text, struct error *err)
{
	const char *end = text;

	if (*text >= '0' && *text <= '9') {
		const char *digits = text + strspn(text, "0");

		if (is_octal(text) && strlen(digits) <= DIGITS_MAX)
			return 0;
		return err_set(err, ERROR_INVALID,
			       "invalid chmod parameter: '%.64s'. it should be "
			       "octal string and between 0 and 07777",
			       text);
	}
	if (*text)
		apply(text, 0, false, &end);
	if (*text && !*end)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "invalid chmod parameter: '%.64s': expected \"0644\" or "
		       "\"u+x,go-w\"",
		       text);
}

mode_t mode_apply(const char *text, mode_t mode, bool is_directory)
{
	const char *end;

	if (is_octal(text))
		return parse_octal(text);
	return apply(text, mode, is_directory, &end);
}

mode_t mode_of_parents(const char *text, mode_t mode)
{
	return text && is_octal(text) ? parse_octal(text) : mode;
}
