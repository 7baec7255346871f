#include "cmd/template_eval.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

#define PAD_MAX 4096 /* columns */

struct call {
	struct template_arena *arena;
	const cJSON *const *arguments;
	size_t count;
	const char *name;
	struct error *err;
};

typedef int (*template_function)(const struct call *call,
				 const cJSON **ret_value);

static int call_fail(const struct call *call, const char *what)
{
	return err_set(call->err, ERROR_INVALID,
		       "template: :1: error calling %s: %s", call->name, what);
}

static int keep(const struct call *call, const cJSON **ret_value, cJSON *made)
{
	if (!made)
		return call_fail(call, "out of memory");
	*ret_value = template_keep(call->arena, made);
	return 0;
}

/* Texts made of texts could double with each step. */
static int count_size(const struct call *call, size_t size)
{
	call->arena->size += size;
	if (call->arena->size > TEMPLATE_MADE_MAX)
		return call_fail(call, "too much text");
	return 0;
}

static int keep_text(const struct call *call, const cJSON **ret_value,
		     const char *text)
{
	int r = count_size(call, strlen(text));

	return r < 0 ? r : keep(call, ret_value, cJSON_CreateString(text));
}

static const char *text_argument(const struct call *call, size_t index)
{
	return cJSON_GetStringValue(call->arguments[index]);
}

static int call_json(const struct call *call, const cJSON **ret_value)
{
	cleanup_free char *text = NULL;

	text = call->arguments[0] ? json_print(call->arguments[0])
				  : xstrdup("null");
	return keep_text(call, ret_value, text);
}

static int call_join(const struct call *call, const cJSON **ret_value)
{
	cleanup_str struct str text = {0};
	const char *separator = text_argument(call, 1);
	const cJSON *item;

	if (!separator ||
	    (call->arguments[0] && !cJSON_IsArray(call->arguments[0]) &&
	     !cJSON_IsNull(call->arguments[0])))
		return call_fail(call, "expected a list and a separator");
	cJSON_ArrayForEach(item, call->arguments[0])
	{
		if (item->prev->next) /* all but the first */
			str_append(&text, separator);
		template_print(&text, item);
	}
	return keep_text(call, ret_value, str_text(&text));
}

static int call_split(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	const char *separator = text_argument(call, 1);
	cleanup_json cJSON *array = NULL;

	if (!text || !separator || !*separator)
		return call_fail(call, "expected a text and a separator");
	array = json_array();
	for (;;) {
		const char *found = strstr(text, separator);
		cleanup_free char *part = NULL;
		int r = count_size(call, sizeof(cJSON) + strlen(separator));

		if (r < 0)
			return r;
		part = found ? xstrndup(text, (size_t)(found - text))
			     : xstrdup(text);
		json_push_string(array, part);
		if (!found)
			break;
		text = found + strlen(separator);
	}
	return keep(call, ret_value, steal_ptr(&array));
}

static int change_case(const struct call *call, const cJSON **ret_value,
		       int (*first)(int), int (*rest)(int))
{
	const char *text = text_argument(call, 0);
	cleanup_free char *copy = NULL;
	bool start = true;

	if (!text)
		return call_fail(call, "expected a text");
	copy = xstrdup(text);
	for (char *c = copy; *c; c++) {
		int (*change)(int) = start ? first : rest;

		start = isspace((unsigned char)*c);
		if (change && !((unsigned char)*c & 0x80))
			*c = (char)change((unsigned char)*c);
	}
	return keep_text(call, ret_value, copy);
}

static int call_lower(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, tolower, tolower);
}

static int call_upper(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, toupper, toupper);
}

static int call_title(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, toupper, NULL);
}

static int print_all(const struct call *call, bool line,
		     const cJSON **ret_value)
{
	cleanup_str struct str text = {0};

	for (size_t i = 0; i < call->count; i++) {
		/* Go's Print sets a space between two that are no strings. */
		if (i > 0 &&
		    (line || (!cJSON_IsString(call->arguments[i]) &&
			      !cJSON_IsString(call->arguments[i - 1]))))
			str_append_char(&text, ' ');
		template_print(&text, call->arguments[i]);
	}
	if (line)
		str_append_char(&text, '\n');
	return keep_text(call, ret_value, str_text(&text));
}

static int call_print(const struct call *call, const cJSON **ret_value)
{
	return print_all(call, false, ret_value);
}

static int call_println(const struct call *call, const cJSON **ret_value)
{
	return print_all(call, true, ret_value);
}

/* "-8.3" between "%" and its verb. */
struct verb_flags {
	bool left;
	bool zero;
	int width;
	int precision; /* -1: none */
};

static int small_number(const char *text)
{
	long number = strtol(text, NULL, 10);

	return number < 0 || number > PAD_MAX ? 0 : (int)number;
}

static struct verb_flags parse_flags(const char *flags)
{
	size_t signs = strspn(flags, "-+# 0");
	const char *point = strchr(flags, '.');

	return (struct verb_flags){
		.left = memchr(flags, '-', signs) != NULL,
		.zero = memchr(flags, '0', signs) != NULL,
		.width = small_number(flags + signs),
		.precision = point ? small_number(point + 1) : -1,
	};
}

/* The value without its width. A wrong verb is printed as Go prints one. */
static void print_value(struct str *text, char verb, int precision,
			const cJSON *value)
{
	cleanup_free char *json = NULL;

	if (verb == 'q' && value) {
		json = json_print(value);
		str_append(text, json);
	} else if (verb == 'x' && template_is_whole(value)) {
		str_appendf(text, "%llx", (long long)value->valuedouble);
	} else if (verb == 'f' && cJSON_IsNumber(value)) {
		str_appendf(text, "%.*f", precision < 0 ? 6 : precision,
			    value->valuedouble);
	} else if (verb == 's' || verb == 'v' ||
		   (verb == 'd' && template_is_whole(value)) ||
		   (verb == 't' && cJSON_IsBool(value))) {
		template_print(text, value);
		if (verb == 's' && precision >= 0 &&
		    (size_t)precision < text->length)
			text->data[precision] = '\0';
	} else {
		str_appendf(text, "%%!%c(", verb);
		template_print(text, value);
		str_append_char(text, ')');
	}
}

static void print_verb(struct str *text, const char *flags_text, char verb,
		       const cJSON *value)
{
	struct verb_flags flags = parse_flags(flags_text);
	cleanup_str struct str printed = {0};
	size_t length;

	print_value(&printed, verb, flags.precision, value);
	length = strlen(str_text(&printed));
	for (; flags.zero && !flags.left && cJSON_IsNumber(value) &&
	       length < (size_t)flags.width;
	     flags.width--)
		str_append_char(text, '0');
	str_appendf(text, flags.left ? "%-*s" : "%*s", flags.width,
		    str_text(&printed));
}

static int call_printf(const struct call *call, const cJSON **ret_value)
{
	cleanup_str struct str text = {0};
	const char *format = text_argument(call, 0);
	size_t next = 1;

	if (!format)
		return call_fail(call, "expected a format");
	while (*format) {
		size_t length = strcspn(format, "%");
		cleanup_free char *flags = NULL;

		str_append_bytes(&text, format, length);
		format += length;
		if (!*format)
			break;
		format++;
		length = strspn(format, "-+# 0123456789.");
		flags = xstrndup(format, length);
		format += length;
		if (text.length > TEMPLATE_MADE_MAX)
			return call_fail(call, "too much text");
		if (*format == '%')
			str_append_char(&text, '%');
		else if (*format && next < call->count)
			print_verb(&text, flags, *format,
				   call->arguments[next++]);
		else if (*format)
			str_appendf(&text, "%%!%c(MISSING)", *format);
		if (*format)
			format++;
	}
	return keep_text(call, ret_value, str_text(&text));
}

static int call_len(const struct call *call, const cJSON **ret_value)
{
	const cJSON *value = call->arguments[0];
	size_t length;

	if (cJSON_IsString(value))
		length = strlen(value->valuestring);
	else if (!value || cJSON_IsNull(value))
		length = 0;
	else if (cJSON_IsArray(value) || cJSON_IsObject(value))
		length = (size_t)cJSON_GetArraySize(value);
	else
		return call_fail(call, "len of a value without length");
	return keep(call, ret_value, cJSON_CreateNumber((double)length));
}

static int call_index(const struct call *call, const cJSON **ret_value)
{
	const cJSON *value = call->arguments[0];

	for (size_t i = 1; i < call->count; i++) {
		const cJSON *key = call->arguments[i];

		if (cJSON_IsObject(value) && cJSON_IsString(key)) {
			const cJSON *any = value->child;

			value = cJSON_GetObjectItemCaseSensitive(
				value, key->valuestring);
			/* The zero value of a map of texts. */
			if (!value && (!any || cJSON_IsString(any)))
				value = template_keep(call->arena,
						      cJSON_CreateString(""));
		} else if (cJSON_IsArray(value) && cJSON_IsNumber(key)) {
			value = cJSON_GetArrayItem(value, key->valueint);
			if (!value)
				return call_fail(call, "index out of range");
		} else if (!value || cJSON_IsNull(value)) {
			return call_fail(call, "index of untyped nil");
		} else {
			return call_fail(call, "cannot index with this key");
		}
	}
	*ret_value = value;
	return 0;
}

static int call_slice(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	cleanup_free char *part = NULL;
	size_t length, from = 0, to;

	for (size_t i = 1; i < call->count; i++)
		if (!cJSON_IsNumber(call->arguments[i]) ||
		    call->arguments[i]->valueint < 0)
			return call_fail(call, "expected whole numbers");
	if (!text)
		return call_fail(call, "expected a text");
	length = to = strlen(text);
	if (call->count > 1)
		from = (size_t)call->arguments[1]->valueint;
	if (call->count > 2)
		to = (size_t)call->arguments[2]->valueint;
	if (from > to || to > length)
		return call_fail(call, "index out of range");
	part = xstrndup(text + from, to - from);
	return keep_text(call, ret_value, part);
}

static int compare(const struct call *call, const cJSON *a, const cJSON *b,
		   int *ret_order)
{
	if (cJSON_IsString(a) && cJSON_IsString(b)) {
		*ret_order = strcmp(a->valuestring, b->valuestring);
	} else if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) {
		*ret_order = (a->valuedouble > b->valuedouble) -
			     (a->valuedouble < b->valuedouble);
	} else if (cJSON_IsBool(a) && cJSON_IsBool(b)) {
		*ret_order = cJSON_IsTrue(a) - cJSON_IsTrue(b);
	} else if ((!a || cJSON_IsNull(a)) && (!b || cJSON_IsNull(b))) {
		*ret_order = 0;
	} else if (!a || !b || cJSON_IsNull(a) || cJSON_IsNull(b)) {
		*ret_order = 1;
	} else {
		return call_fail(call, "incompatible types for comparison");
	}
	return 0;
}

static int call_compare(const struct call *call, const cJSON **ret_value)
{
	const char *name = call->name;
	int order = 0;
	int r;
	bool result;

	r = compare(call, call->arguments[0], call->arguments[1], &order);
	if (r < 0)
		return r;
	if (strcmp(name, "eq") == 0) {
		result = order == 0;
		for (size_t i = 2; !result && i < call->count; i++) {
			r = compare(call, call->arguments[0],
				    call->arguments[i], &order);
			if (r < 0)
				return r;
			result = order == 0;
		}
	} else if (strcmp(name, "ne") == 0) {
		result = order != 0;
	} else if (strcmp(name, "lt") == 0) {
		result = order < 0;
	} else if (strcmp(name, "le") == 0) {
		result = order <= 0;
	} else if (strcmp(name, "gt") == 0) {
		result = order > 0;
	} else {
		result = order >= 0;
	}
	return keep(call, ret_value, cJSON_CreateBool(result));
}

static int call_logic(const struct call *call, const cJSON **ret_value)
{
	bool wanted = strcmp(call->name, "or") == 0;

	for (size_t i = 0; i < call->count; i++) {
		*ret_value = call->arguments[i];
		if (template_truth(call->arguments[i]) == wanted)
			break;
	}
	return 0;
}

static int call_not(const struct call *call, const cJSON **ret_value)
{
	return keep(call, ret_value,
		    cJSON_CreateBool(!template_truth(call->arguments[0])));
}

static int call_pad(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	cleanup_free char *padded = NULL;
	int before, after;

	if (!text || !cJSON_IsNumber(call->arguments[1]) ||
	    !cJSON_IsNumber(call->arguments[2]))
		return call_fail(call, "expected a text and two numbers");
	before = call->arguments[1]->valueint;
	after = call->arguments[2]->valueint;
	if (before < 0 || after < 0 || before > PAD_MAX || after > PAD_MAX)
		return call_fail(call, "a number is out of range");
	if (*text == '\0')
		return keep_text(call, ret_value, "");
	padded = xasprintf("%*s%s%*s", before, "", text, after, "");
	return keep_text(call, ret_value, padded);
}

static int call_truncate(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	cleanup_free char *cut = NULL;

	if (!text || !cJSON_IsNumber(call->arguments[1]) ||
	    call->arguments[1]->valueint < 0)
		return call_fail(call, "expected a text and a number");
	cut = xstrndup(text, (size_t)call->arguments[1]->valueint);
	return keep_text(call, ret_value, cut);
}

static const struct {
	const char *name;
	template_function function;
	size_t arguments_min;
	size_t arguments_max;
} functions[] = {
	{"and", call_logic, 1, 64},	{"eq", call_compare, 2, 64},
	{"ge", call_compare, 2, 2},	{"gt", call_compare, 2, 2},
	{"index", call_index, 1, 64},	{"join", call_join, 2, 2},
	{"json", call_json, 1, 1},	{"le", call_compare, 2, 2},
	{"len", call_len, 1, 1},	{"lower", call_lower, 1, 1},
	{"lt", call_compare, 2, 2},	{"ne", call_compare, 2, 2},
	{"not", call_not, 1, 1},	{"or", call_logic, 1, 64},
	{"pad", call_pad, 3, 3},	{"print", call_print, 0, 64},
	{"printf", call_printf, 1, 64}, {"println", call_println, 0, 64},
	{"slice", call_slice, 1, 3},	{"split", call_split, 2, 2},
	{"title", call_title, 1, 1},	{"truncate", call_truncate, 2, 2},
	{"upper", call_upper, 1, 1},
};

bool template_function_exists(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (str_equal(functions[i].name, name))
			return true;
	return false;
}

int template_call(struct template_arena *arena, const char *name,
		  const cJSON *const *arguments, size_t count,
		  const cJSON **ret_value, struct error *err)
{
	struct call call = {.arena = arena,
			    .arguments = arguments,
			    .count = count,
			    .name = name,
			    .err = err};

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		if (!str_equal(functions[i].name, name))
			continue;
		if (count < functions[i].arguments_min ||
		    count > functions[i].arguments_max)
			return call_fail(&call, "wrong number of arguments");
		return functions[i].function(&call, ret_value);
	}
	return -ENOENT;
}
