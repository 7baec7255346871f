/* Go's Sprintf over JSON values: cmd/template_eval.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/template_eval.h"
#include "cmd/text.h"

#define WIDTH_MAX 4096 /* columns; Go takes a million */

/* What stands between "%" and its verb, "-8.3", and the verb. */
struct verb {
	bool left, zero, plus, space, sharp;
	int width;     /* 0: none */
	int precision; /* -1: none */
	char name;
};

struct printer {
	struct str *output;
	const char *at;
	const cJSON *const *arguments;
	size_t count;
	size_t next;
	bool reordered; /* by "[2]" */
};

static size_t runes(const char *text)
{
	size_t count = 0;

	while (*text) {
		unsigned int code;
		size_t length = text_character(text, &code);

		text += length ? length : 1;
		count++;
	}
	return count;
}

static void append_padded(struct str *output, const struct verb *verb,
			  const char *text, bool number)
{
	size_t length = runes(text);
	int pad = verb->width > (int)length ? verb->width - (int)length : 0;
	bool zeros = verb->zero && !verb->left;

	if (zeros && number && strchr("+- ", *text) && *text) {
		str_append_char(output, *text++);
	}
	for (int i = 0; !verb->left && i < pad; i++)
		str_append_char(output, zeros ? '0' : ' ');
	str_append(output, text);
	for (int i = 0; verb->left && i < pad; i++)
		str_append_char(output, ' ');
}

/* "%!d(string=a)" */
static void append_wrong(struct str *output, const struct verb *verb,
			 const cJSON *value)
{
	str_appendf(output, "%%!%c(", verb->name);
	if (value && !cJSON_IsNull(value)) {
		str_appendf(output, "%s=", template_type(value));
		template_print(output, value);
	} else {
		str_append(output, "<nil>");
	}
	str_append_char(output, ')');
}

static char *hex_text(const char *text, const struct verb *verb)
{
	struct str hex = {0};
	bool upper = verb->name == 'X';

	if (verb->sharp && *text)
		str_append(&hex, upper ? "0X" : "0x");
	for (const char *c = text; *c; c++)
		str_appendf(&hex, upper ? "%s%02X" : "%s%02x",
			    verb->space && c > text ? " " : "",
			    (unsigned char)*c);
	return str_steal(&hex);
}

/* The first precision characters. */
static char *cut_text(const char *text, int precision)
{
	const char *end = text;

	for (int i = 0; i < precision && *end; i++) {
		unsigned int code;
		size_t length = text_character(end, &code);

		end += length ? length : 1;
	}
	return xstrndup(text, (size_t)(end - text));
}

static bool print_string(struct str *output, const struct verb *verb,
			 const char *text)
{
	cleanup_free char *cut = verb->precision >= 0
					 ? cut_text(text, verb->precision)
					 : xstrdup(text);
	cleanup_free char *form = NULL;

	switch (verb->name) {
	case 'v':
		form = verb->sharp ? text_quote(cut) : xstrdup(cut);
		break;
	case 's':
		form = xstrdup(cut);
		break;
	case 'q':
		form = verb->sharp && !strchr(cut, '`') ? xasprintf("`%s`", cut)
							: text_quote(cut);
		break;
	case 'x':
	case 'X':
		form = hex_text(cut, verb);
		break;
	default:
		return false;
	}
	append_padded(output, verb, form, false);
	return true;
}

static char *binary_text(unsigned long long number)
{
	char digits[65];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + (number & 1));
	while (number >>= 1);
	return xstrdup(digits + at);
}

/* A character by its number: itself, quoted, or "U+00E9". */
static char *character_text(long long number, const struct verb *verb)
{
	cleanup_str struct str character = {0};
	bool valid = number >= 0 && number <= 0x10ffff &&
		     text_append_character(&character, (unsigned int)number);

	if (!valid)
		str_append(&character, "\xef\xbf\xbd");
	if (verb->name == 'c')
		return str_steal(&character);
	if (verb->name == 'q')
		return xasprintf(number == '\'' || number == '\\' ? "'\\%s'"
								  : "'%s'",
				 str_text(&character));
	return xasprintf(verb->sharp && valid ? "U+%04llX '%s'" : "U+%04llX",
			 (unsigned long long)number, str_text(&character));
}

/* NULL: no verb of whole numbers. */
static char *whole_text(unsigned long long size, const struct verb *verb)
{
	int least = verb->precision > 0 ? verb->precision : 1;

	switch (verb->name) {
	case 'v':
	case 'd':
		return xasprintf("%.*llu", least, size);
	case 'b':
		return binary_text(size);
	case 'o':
		return xasprintf(verb->sharp ? "0%.*llo" : "%.*llo", least,
				 size);
	case 'O':
		return xasprintf("0o%.*llo", least, size);
	case 'x':
		return xasprintf(verb->sharp ? "0x%.*llx" : "%.*llx", least,
				 size);
	case 'X':
		return xasprintf(verb->sharp ? "0X%.*llX" : "%.*llX", least,
				 size);
	default:
		return NULL;
	}
}

static bool print_float(struct str *output, const struct verb *verb,
			const cJSON *value)
{
	cleanup_str struct str text = {0};
	double number = value->valuedouble;
	int precision = verb->precision < 0 ? 6 : verb->precision;

	if (verb->plus && number >= 0)
		str_append_char(&text, '+');
	else if (verb->space && number >= 0)
		str_append_char(&text, ' ');
	if (verb->name == 'f' || verb->name == 'F')
		str_appendf(&text, "%.*f", precision, number);
	else if (verb->name == 'e')
		str_appendf(&text, "%.*e", precision, number);
	else if (verb->name == 'E')
		str_appendf(&text, "%.*E", precision, number);
	else if (!strchr("vgG", verb->name))
		return false;
	else if (verb->precision >= 0)
		str_appendf(&text, verb->name == 'G' ? "%.*G" : "%.*g",
			    verb->precision, number);
	else
		template_print_number(&text, value);
	append_padded(output, verb, str_text(&text), true);
	return true;
}

static bool print_whole(struct str *output, const struct verb *verb,
			const cJSON *value)
{
	long long number = (long long)value->valuedouble;
	cleanup_free char *digits = NULL;
	cleanup_free char *text = NULL;

	if (strchr("cqU", verb->name)) {
		text = character_text(number, verb);
		append_padded(output, verb, text, false);
		return true;
	}
	digits = whole_text(number < 0 ? 0ull - (unsigned long long)number
				       : (unsigned long long)number,
			    verb);
	/* Go would not; but JSON does not tell 2.0 from 2. */
	if (!digits)
		return print_float(output, verb, value);
	text = xasprintf("%s%s",
			 number < 0    ? "-"
			 : verb->plus  ? "+"
			 : verb->space ? " "
				       : "",
			 digits);
	append_padded(output, verb, text, true);
	return true;
}

static void print_verb(struct str *output, const struct verb *verb,
		       const cJSON *value);

static void print_list(struct str *output, const struct verb *verb,
		       const cJSON *value)
{
	cleanup_free const cJSON **members = NULL;
	size_t count;

	members = template_members(value, &count);
	str_append(output, cJSON_IsObject(value) ? "map[" : "[");
	/* A width counts for each of them. */
	for (size_t i = 0; i < count && output->length <= TEMPLATE_MADE_MAX;
	     i++) {
		if (i > 0)
			str_append_char(output, ' ');
		if (cJSON_IsObject(value)) {
			cleanup_json cJSON *key =
				cJSON_CreateString(members[i]->string);

			print_verb(output, verb, key);
			str_append_char(output, ':');
		}
		print_verb(output, verb, members[i]);
	}
	str_append_char(output, ']');
}

static void print_verb(struct str *output, const struct verb *verb,
		       const cJSON *value)
{
	bool known = true;

	if (verb->name == 'T') {
		append_padded(output, verb, template_type(value), false);
	} else if (!value || cJSON_IsNull(value)) {
		const char *nil = value ? template_nil(value->string) : NULL;

		known = verb->name == 'v' || (nil && !str_equal(nil, "<nil>"));
		if (known)
			append_padded(output, verb, nil ? nil : "<nil>", false);
	} else if (cJSON_IsString(value)) {
		known = print_string(output, verb, value->valuestring);
	} else if (cJSON_IsBool(value)) {
		known = verb->name == 'v' || verb->name == 't';
		if (known)
			append_padded(output, verb,
				      cJSON_IsTrue(value) ? "true" : "false",
				      false);
	} else if (cJSON_IsRaw(value)) {
		known = verb->name == 'v' || verb->name == 'd';
		if (known)
			append_padded(output, verb, value->valuestring, true);
	} else if (template_is_whole(value)) {
		known = print_whole(output, verb, value);
	} else if (cJSON_IsNumber(value)) {
		known = print_float(output, verb, value);
	} else if (cJSON_IsObject(value) && strchr("sv", verb->name)) {
		cleanup_str struct str text = {0};

		template_print(&text, value);
		append_padded(output, verb, str_text(&text), false);
	} else {
		print_list(output, verb, value);
	}
	if (!known)
		append_wrong(output, verb, value);
}

/* "[2]": the argument to go on with. False: there is none like that. */
static bool take_index(struct printer *p)
{
	unsigned long number;
	char *end;

	if (*p->at != '[')
		return true;
	number = strtoul(p->at + 1, &end, 10);
	p->reordered = true;
	if (*end == ']' && number >= 1 && number <= p->count) {
		p->next = number - 1;
		p->at = end + 1;
		return true;
	}
	end = strchr(p->at, ']');
	p->at = end ? end + 1 : p->at + 1;
	return false;
}

/* "8", or "*": from an argument. False: too large, or no number. */
static bool take_number(struct printer *p, int *ret_number)
{
	const cJSON *value;
	long number;

	if (*p->at != '*') {
		char *end;

		number = strtol(p->at, &end, 10);
		if (isdigit((unsigned char)*p->at))
			p->at = end;
		*ret_number = number <= WIDTH_MAX ? (int)number : 0;
		return number <= WIDTH_MAX;
	}
	p->at++;
	value = p->next < p->count ? p->arguments[p->next++] : NULL;
	if (!template_is_whole(value) || value->valuedouble > WIDTH_MAX ||
	    value->valuedouble < -WIDTH_MAX)
		return false;
	*ret_number = (int)value->valuedouble;
	return true;
}

static void take_flags(struct printer *p, struct verb *verb)
{
	for (; *p->at && strchr("-+# 0", *p->at); p->at++) {
		verb->left = verb->left || *p->at == '-';
		verb->plus = verb->plus || *p->at == '+';
		verb->sharp = verb->sharp || *p->at == '#';
		verb->space = verb->space || *p->at == ' ';
		verb->zero = verb->zero || *p->at == '0';
	}
}

/* Behind a "%". */
static void print_directive(struct printer *p)
{
	struct verb verb = {.precision = -1};
	bool found;

	take_flags(p, &verb);
	found = take_index(p);
	if (!take_number(p, &verb.width))
		str_append(p->output, "%!(BADWIDTH)");
	if (verb.width < 0) {
		verb.left = true;
		verb.width = -verb.width;
	}
	if (*p->at == '.') {
		p->at++;
		found = take_index(p) && found;
		if (!take_number(p, &verb.precision))
			str_append(p->output, "%!(BADPREC)");
	}
	found = take_index(p) && found;
	if (*p->at == '\0') {
		str_append(p->output, "%!(NOVERB)");
		return;
	}
	verb.name = *p->at++;
	if (verb.name == '%')
		str_append_char(p->output, '%');
	else if (!found)
		str_appendf(p->output, "%%!%c(BADINDEX)", verb.name);
	else if (p->next >= p->count)
		str_appendf(p->output, "%%!%c(MISSING)", verb.name);
	else
		print_verb(p->output, &verb, p->arguments[p->next++]);
}

static void print_extra(struct printer *p)
{
	str_append(p->output, "%!(EXTRA ");
	for (size_t i = p->next; i < p->count; i++) {
		const cJSON *value = p->arguments[i];

		str_append(p->output, i > p->next ? ", " : "");
		str_append(p->output, template_type(value));
		if (value && !cJSON_IsNull(value)) {
			str_append_char(p->output, '=');
			template_print(p->output, value);
		}
	}
	str_append_char(p->output, ')');
}

bool template_printf(struct str *output, const char *format,
		     const cJSON *const *arguments, size_t count)
{
	struct printer p = {.output = output,
			    .at = format,
			    .arguments = arguments,
			    .count = count};

	while (*p.at) {
		size_t length = strcspn(p.at, "%");

		str_append_bytes(output, p.at, length);
		p.at += length;
		if (*p.at) {
			p.at++;
			print_directive(&p);
		}
		if (output->length > TEMPLATE_MADE_MAX)
			return false;
	}
	if (!p.reordered && p.next < p.count)
		print_extra(&p);
	return true;
}
