#include "cmd/template_eval.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/text.h"

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

static int call_fail(const struct call *call, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int call_fail(const struct call *call, const char *format, ...)
{
	char message[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	return err_set(call->err, ERROR_INVALID, "error calling %s: %s",
		       call->name, message);
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

/* An argument that is no text, in Go's words. */
static int expected_string(const struct call *call, size_t index)
{
	const cJSON *value = call->arguments[index];
	cleanup_str struct str text = {0};

	if (!value || cJSON_IsNull(value))
		return call_fail(call, "cannot assign nil to string");
	template_print(&text, value);
	return call_fail(call, "expected string; found %.64s", str_text(&text));
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

	if (!separator)
		return expected_string(call, 1);
	if (call->arguments[0] && !cJSON_IsArray(call->arguments[0]) &&
	    !cJSON_IsNull(call->arguments[0]))
		return call_fail(call,
				 "wrong type for value; expected []string; got "
				 "%s",
				 template_type(call->arguments[0]));
	cJSON_ArrayForEach(item, call->arguments[0])
	{
		if (item->prev->next) /* all but the first */
			str_append(&text, separator);
		template_print(&text, item);
	}
	return keep_text(call, ret_value, str_text(&text));
}

/* The part of text before the separator, or all of it. An empty separator
   stands behind each character. */
static size_t part_length(const char *text, const char *separator)
{
	unsigned int code;
	const char *found;

	if (*separator) {
		found = strstr(text, separator);
		return found ? (size_t)(found - text) : strlen(text);
	}
	return text_character(text, &code) ? text_character(text, &code) : 1;
}

static int call_split(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	const char *separator = text_argument(call, 1);
	cleanup_json cJSON *array = NULL;

	if (!text || !separator)
		return expected_string(call, text ? 1 : 0);
	array = json_array();
	while (*text || *separator) {
		size_t length = part_length(text, separator);
		cleanup_free char *part = xstrndup(text, length);
		int r = count_size(call, sizeof(cJSON) + length + 1);

		if (r < 0)
			return r;
		json_push_string(array, part);
		text += length;
		if (*separator && !*text)
			break;
		text += strlen(separator);
	}
	return keep(call, ret_value, steal_ptr(&array));
}

static int change_case(const struct call *call, const cJSON **ret_value,
		       enum text_case to)
{
	const char *text = text_argument(call, 0);
	cleanup_free char *changed = NULL;

	if (!text)
		return expected_string(call, 0);
	changed = text_change_case(text, to);
	return keep_text(call, ret_value, changed);
}

static int call_lower(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, TEXT_LOWER);
}

static int call_upper(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, TEXT_UPPER);
}

static int call_title(const struct call *call, const cJSON **ret_value)
{
	return change_case(call, ret_value, TEXT_TITLE);
}

/* As an argument of a function: nil is not <no value>. */
static void append_argument(struct str *text, const cJSON *value)
{
	const char *nil = value ? template_nil(value->string) : NULL;

	if (!value || cJSON_IsNull(value))
		str_append(text, nil ? nil : "<nil>");
	else
		template_print(text, value);
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
		append_argument(&text, call->arguments[i]);
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

static int call_printf(const struct call *call, const cJSON **ret_value)
{
	cleanup_str struct str text = {0};
	const char *format = text_argument(call, 0);

	if (!format)
		return expected_string(call, 0);
	if (!template_printf(&text, format, call->arguments + 1,
			     call->count - 1))
		return call_fail(call, "too much text");
	return keep_text(call, ret_value, str_text(&text));
}

static int call_len(const struct call *call, const cJSON **ret_value)
{
	const cJSON *value = call->arguments[0];
	size_t length;

	if (cJSON_IsString(value))
		length = strlen(value->valuestring);
	else if (!value)
		return call_fail(call, "len of untyped nil");
	else if (cJSON_IsNull(value))
		length = 0;
	else if (cJSON_IsArray(value) || cJSON_IsObject(value))
		length = (size_t)cJSON_GetArraySize(value);
	else
		return call_fail(call, "len of type %s", template_type(value));
	return keep(call, ret_value, cJSON_CreateNumber((double)length));
}

static int keep_byte(const struct call *call, char byte,
		     const cJSON **ret_value)
{
	return keep(call, ret_value, cJSON_CreateNumber((unsigned char)byte));
}

/* One step of index into value. */
static int index_once(const struct call *call, const cJSON *value,
		      const cJSON *key, const cJSON **ret_value)
{
	double number = key ? key->valuedouble : 0;

	if (!value || cJSON_IsNull(value))
		return call_fail(call, "index of untyped nil");
	if (cJSON_IsObject(value)) {
		const cJSON *any = value->child;

		if (!cJSON_IsString(key))
			return call_fail(call,
					 "value has type %s; should be string",
					 template_type(key));
		*ret_value = cJSON_GetObjectItemCaseSensitive(value,
							      key->valuestring);
		/* The zero value of a map of texts. */
		if (!*ret_value && (!any || cJSON_IsString(any)))
			*ret_value = template_keep(call->arena,
						   cJSON_CreateString(""));
		return 0;
	}
	if (!cJSON_IsArray(value) && !cJSON_IsString(value))
		return call_fail(call, "can't index item of type %s",
				 template_type(value));
	if (!template_is_whole(key))
		return call_fail(call, "cannot index slice/array with type %s",
				 template_type(key));
	if (number < 0 ||
	    number >= (cJSON_IsString(value)
			       ? (double)strlen(value->valuestring)
			       : (double)cJSON_GetArraySize(value)))
		return call_fail(call, "index out of range: %.0f", number);
	if (cJSON_IsString(value))
		return keep_byte(call, value->valuestring[(size_t)number],
				 ret_value);
	*ret_value = cJSON_GetArrayItem(value, (int)number);
	return 0;
}

static int call_index(const struct call *call, const cJSON **ret_value)
{
	const cJSON *value = call->arguments[0];

	for (size_t i = 1; i < call->count; i++) {
		int r = index_once(call, value, call->arguments[i], &value);

		if (r < 0)
			return r;
	}
	*ret_value = value;
	return 0;
}

static int slice_array(const struct call *call, const cJSON *array, size_t from,
		       size_t to, const cJSON **ret_value)
{
	cleanup_json cJSON *part = json_array();
	const cJSON *item;
	size_t at = 0;

	cJSON_ArrayForEach(item, array)
	{
		int r = 0;

		if (at >= from && at < to) {
			cleanup_free char *text = json_print(item);

			r = count_size(call, strlen(text));
			json_push(part, cJSON_Duplicate(item, true));
		}
		if (r < 0)
			return r;
		at++;
	}
	return keep(call, ret_value, steal_ptr(&part));
}

static int call_slice(const struct call *call, const cJSON **ret_value)
{
	const cJSON *value = call->arguments[0];
	const char *text = text_argument(call, 0);
	cleanup_free char *part = NULL;
	double bounds[3] = {0, 0, 0};
	double length;

	if (!text && !cJSON_IsArray(value))
		return call_fail(call, "can't slice item of type %s",
				 template_type(value));
	if (text && call->count == 4)
		return call_fail(call, "cannot 3-index slice a string");
	length =
		text ? (double)strlen(text) : (double)cJSON_GetArraySize(value);
	bounds[1] = length;
	for (size_t i = 1; i < call->count; i++) {
		const cJSON *bound = call->arguments[i];

		if (!template_is_whole(bound))
			return call_fail(
				call, "cannot index slice/array with type %s",
				template_type(bound));
		bounds[i - 1] = bound->valuedouble;
		if (bounds[i - 1] < 0 || bounds[i - 1] > length)
			return call_fail(call, "index out of range: %.0f",
					 bounds[i - 1]);
	}
	if (bounds[0] > bounds[1])
		return call_fail(call, "invalid slice index: %.0f > %.0f",
				 bounds[0], bounds[1]);
	if (!text)
		return slice_array(call, value, (size_t)bounds[0],
				   (size_t)bounds[1], ret_value);
	part = xstrndup(text + (size_t)bounds[0],
			(size_t)(bounds[1] - bounds[0]));
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
	} else if (cJSON_IsArray(a) || cJSON_IsObject(a)) {
		return call_fail(call, "non-comparable type %s",
				 template_type(a));
	} else {
		return call_fail(call, "incompatible types for comparison");
	}
	return 0;
}

/* What has an order. */
static int check_ordered(const struct call *call)
{
	for (size_t i = 0; i < 2; i++)
		if (!cJSON_IsString(call->arguments[i]) &&
		    !cJSON_IsNumber(call->arguments[i]))
			return call_fail(call, "invalid type for comparison");
	return 0;
}

static int call_compare(const struct call *call, const cJSON **ret_value)
{
	const char *name = call->name;
	int order = 0;
	int r = 0;
	bool result;

	if (call->count < 2)
		return call_fail(call, "missing argument for comparison");
	if (!str_equal(name, "eq") && !str_equal(name, "ne"))
		r = check_ordered(call);
	if (r < 0)
		return r;
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
	double before, after;

	if (!text)
		return expected_string(call, 0);
	if (!template_is_whole(call->arguments[1]) ||
	    !template_is_whole(call->arguments[2]))
		return call_fail(call, "expected integer");
	before = call->arguments[1]->valuedouble;
	after = call->arguments[2]->valuedouble;
	if (before < 0 || after < 0)
		return call_fail(call, "strings: negative Repeat count");
	if (before > PAD_MAX || after > PAD_MAX)
		return call_fail(call, "more than %d blanks", PAD_MAX);
	if (*text == '\0')
		return keep_text(call, ret_value, "");
	padded = xasprintf("%*s%s%*s", (int)before, "", text, (int)after, "");
	return keep_text(call, ret_value, padded);
}

/* The first characters; Go counts bytes here, but leaves no half ones. */
static int call_truncate(const struct call *call, const cJSON **ret_value)
{
	const char *text = text_argument(call, 0);
	cleanup_free char *cut = NULL;
	double bytes;
	size_t at = 0;

	if (!text)
		return expected_string(call, 0);
	if (!template_is_whole(call->arguments[1]) ||
	    call->arguments[1]->valuedouble < 0)
		return call_fail(call, "expected a whole number");
	bytes = call->arguments[1]->valuedouble;
	while (text[at]) {
		unsigned int code;
		size_t length = text_character(text + at, &code);

		if ((double)(at + (length ? length : 1)) > bytes)
			break;
		at += length ? length : 1;
	}
	cut = xstrndup(text, at);
	return keep_text(call, ret_value, cut);
}

/* ---- what HTML, JavaScript and URLs need ---- */

/* All arguments as one text: print. Caller frees. */
static char *all_arguments(const struct call *call)
{
	struct str text = {0};

	if (call->count == 1)
		template_print(&text, call->arguments[0]);
	for (size_t i = 0; call->count > 1 && i < call->count; i++) {
		if (i > 0 && !cJSON_IsString(call->arguments[i]) &&
		    !cJSON_IsString(call->arguments[i - 1]))
			str_append_char(&text, ' ');
		append_argument(&text, call->arguments[i]);
	}
	return str_steal(&text);
}

static int call_html(const struct call *call, const cJSON **ret_value)
{
	static const char bytes[] = "\"'&<>";
	static const char *const words[] = {"&#34;", "&#39;", "&amp;", "&lt;",
					    "&gt;"};
	cleanup_free char *plain = all_arguments(call);
	cleanup_str struct str text = {0};

	for (const char *c = plain; *c; c++) {
		const char *found = strchr(bytes, *c);

		if (found)
			str_append(&text, words[found - bytes]);
		else
			str_append_char(&text, *c);
	}
	return keep_text(call, ret_value, str_text(&text));
}

static int call_js(const struct call *call, const cJSON **ret_value)
{
	cleanup_free char *plain = all_arguments(call);
	cleanup_str struct str text = {0};

	for (const char *c = plain; *c; c++) {
		if (strchr("\\'\"", *c))
			str_appendf(&text, "\\%c", *c);
		else if (strchr("<>&=", *c) || (unsigned char)*c < ' ')
			str_appendf(&text, "\\u%04X", (unsigned char)*c);
		else
			str_append_char(&text, *c);
	}
	return keep_text(call, ret_value, str_text(&text));
}

static int call_urlquery(const struct call *call, const cJSON **ret_value)
{
	cleanup_free char *plain = all_arguments(call);
	cleanup_str struct str text = {0};

	for (const char *c = plain; *c; c++) {
		if (*c == ' ')
			str_append_char(&text, '+');
		else if (isalnum((unsigned char)*c) || strchr("-_.~", *c))
			str_append_char(&text, *c);
		else
			str_appendf(&text, "%%%02X", (unsigned char)*c);
	}
	return keep_text(call, ret_value, str_text(&text));
}

/* No value is a function. */
static int call_call(const struct call *call, const cJSON **ret_value)
{
	(void)ret_value;
	return call_fail(call, "non-function of type %s",
			 template_type(call->arguments[0]));
}

static const struct {
	const char *name;
	template_function function;
	size_t arguments_min;
	size_t arguments_max;
} functions[] = {
	{"and", call_logic, 1, 64},
	{"call", call_call, 1, 64},
	{"eq", call_compare, 1, 64},
	{"ge", call_compare, 2, 2},
	{"gt", call_compare, 2, 2},
	{"html", call_html, 0, 64},
	{"index", call_index, 1, 64},
	{"join", call_join, 2, 2},
	{"js", call_js, 0, 64},
	{"json", call_json, 1, 1},
	{"le", call_compare, 2, 2},
	{"len", call_len, 1, 1},
	{"lower", call_lower, 1, 1},
	{"lt", call_compare, 2, 2},
	{"ne", call_compare, 2, 2},
	{"not", call_not, 1, 1},
	{"or", call_logic, 1, 64},
	{"pad", call_pad, 3, 3},
	{"print", call_print, 0, 64},
	{"printf", call_printf, 1, 64},
	{"println", call_println, 0, 64},
	{"slice", call_slice, 1, 4},
	{"split", call_split, 2, 2},
	{"title", call_title, 1, 1},
	{"truncate", call_truncate, 2, 2},
	{"upper", call_upper, 1, 1},
	{"urlquery", call_urlquery, 0, 64},
};

bool template_function_exists(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (str_equal(functions[i].name, name))
			return true;
	return false;
}

/* Over a table's headings, what would change a value leaves them alone. */
static bool leaves_headings(const char *name)
{
	static const char *const names[] = {"join",	"json",	 "lower",
					    "pad",	"split", "title",
					    "truncate", "upper"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(names[i], name))
			return true;
	return false;
}

static int wrong_count(const struct call *call, size_t min, size_t max)
{
	bool exact = min == max;

	return err_set(call->err, ERROR_INVALID,
		       "wrong number of args for %s: want %s%zu got %zu",
		       call->name, exact ? "" : "at least ", min, call->count);
}

int template_call(struct template_arena *arena, const char *name,
		  const cJSON *const *arguments, size_t count,
		  const cJSON **ret_value, struct error *err)
{
	const struct call call = {.arena = arena,
				  .arguments = arguments,
				  .count = count,
				  .name = name,
				  .err = err};
	size_t i = 0;

	while (!str_equal(functions[i].name, name))
		i++;
	if (count < functions[i].arguments_min ||
	    count > functions[i].arguments_max)
		return wrong_count(&call, functions[i].arguments_min,
				   functions[i].arguments_max);
	if (arena->headings && leaves_headings(name)) {
		*ret_value = arguments[0];
		return 0;
	}
	return functions[i].function(&call, ret_value);
}
