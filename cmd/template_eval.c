#include "cmd/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/template_eval.h"
#include "cmd/template_node.h"

#define VARIABLES_MAX 128
#define ARGUMENTS_MAX 64

struct variable {
	const char *name;
	const cJSON *value;
};

struct evaluation {
	struct template_arena arena;
	const cJSON *root;
	const cJSON *labels;
	struct variable variables[VARIABLES_MAX];
	size_t variable_count;
	unsigned long steps;
	bool lenient; /* in a condition, what is not there is false */
	struct str *output;
	struct error *err;
};

const cJSON *template_keep(struct template_arena *arena, cJSON *value)
{
	if (!arena->made)
		arena->made = json_array();
	json_push(arena->made, value);
	return value;
}

bool template_truth(const cJSON *value)
{
	if (!value || cJSON_IsNull(value) || cJSON_IsFalse(value))
		return false;
	if (cJSON_IsTrue(value))
		return true;
	if (cJSON_IsNumber(value))
		return value->valuedouble != 0;
	if (cJSON_IsString(value))
		return value->valuestring[0] != '\0';
	return value->child != NULL;
}

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(const cJSON *const *)a)->string,
		      (*(const cJSON *const *)b)->string);
}

/* An object's members by key, as Go walks a map. Caller frees the array. */
static const cJSON **members_sorted(const cJSON *object, size_t *ret_count)
{
	const cJSON **members = NULL;
	const cJSON *member;
	size_t count = 0;

	cJSON_ArrayForEach(member, object)
	{
		members = xrealloc(members, count + 1, sizeof(*members));
		members[count++] = member;
	}
	if (count > 1 && cJSON_IsObject(object))
		qsort(members, count, sizeof(*members), compare_members);
	*ret_count = count;
	return members;
}

static void print_nested(struct str *output, const cJSON *value)
{
	cleanup_free const cJSON **members = NULL;
	bool object = cJSON_IsObject(value);
	size_t count;

	members = members_sorted(value, &count);
	str_append(output, object ? "map[" : "[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			str_append_char(output, ' ');
		if (object)
			str_appendf(output, "%s:", members[i]->string);
		template_print(output, members[i]);
	}
	str_append_char(output, ']');
}

bool template_is_whole(const cJSON *value)
{
	double number;

	if (!cJSON_IsNumber(value))
		return false;
	number = value->valuedouble;
	/* Without trunc(3): libm would be loaded at every start. */
	return number > -9e15 && number < 9e15 &&
	       number == (double)(long long)number;
}

void template_print(struct str *output, const cJSON *value)
{
	if (!value || cJSON_IsNull(value))
		str_append(output, "<no value>");
	else if (cJSON_IsString(value))
		str_append(output, value->valuestring);
	else if (cJSON_IsBool(value))
		str_append(output, cJSON_IsTrue(value) ? "true" : "false");
	else if (template_is_whole(value))
		str_appendf(output, "%lld", (long long)value->valuedouble);
	else if (cJSON_IsRaw(value)) /* longer than a double */
		str_append(output, value->valuestring);
	else if (cJSON_IsNumber(value))
		str_appendf(output, "%g", value->valuedouble);
	else
		print_nested(output, value);
}

static int evaluate_pipeline(struct evaluation *e, const struct node *pipeline,
			     const cJSON *dot, const cJSON **ret_value);
static int execute_list(struct evaluation *e, const struct node *list,
			const cJSON *dot);

/* See the header: JSON does not tell. The root is always a struct. */
static bool is_map(const struct evaluation *e, const cJSON *object)
{
	const cJSON *member;

	if (object == e->root)
		return false;
	cJSON_ArrayForEach(member, object)
	{
		if (!isupper((unsigned char)member->string[0]))
			return true;
	}
	return object->child == NULL;
}

static int fields_of(struct evaluation *e, const struct node *node,
		     const cJSON *value, const cJSON **ret_value)
{
	for (size_t i = 0; node->fields && node->fields[i]; i++) {
		const char *name = node->fields[i];
		const cJSON *object = value;

		if (value && cJSON_IsNull(value))
			value = NULL;
		if (value && !cJSON_IsObject(value))
			return err_set(e->err, ERROR_INVALID,
				       "template: :1: executing \"\" at <%s>: "
				       "can't evaluate field %s in a value "
				       "that is no object",
				       node->source, name);
		if (!value)
			return err_set(e->err, ERROR_INVALID,
				       "template: :1: executing \"\" at <%s>: "
				       "nil pointer evaluating field %s",
				       node->source, name);
		value = cJSON_GetObjectItemCaseSensitive(object, name);
		if (!value && !is_map(e, object) &&
		    !(e->lenient && !node->fields[i + 1]))
			return err_set(e->err, ERROR_INVALID,
				       "template: :1: executing \"\" at <%s>: "
				       "map has no entry for key \"%s\"",
				       node->source, name);
	}
	*ret_value = value;
	return 0;
}

static struct variable *variable_find(struct evaluation *e, const char *name)
{
	for (size_t i = e->variable_count; i > 0; i--)
		if (str_equal(e->variables[i - 1].name, name))
			return &e->variables[i - 1];
	return NULL;
}

static int variable_declare(struct evaluation *e, const char *name,
			    const cJSON *value)
{
	if (e->variable_count == VARIABLES_MAX)
		return err_set(e->err, ERROR_INVALID,
			       "template: too many variables");
	e->variables[e->variable_count++] =
		(struct variable){.name = name, .value = value};
	return 0;
}

static int evaluate_variable(struct evaluation *e, const struct node *node,
			     const cJSON **ret_value)
{
	const struct variable *variable;

	if (str_equal(node->text, "$"))
		return fields_of(e, node, e->root, ret_value);
	variable = variable_find(e, node->text);
	if (!variable)
		return err_set(e->err, ERROR_INVALID,
			       "template parsing error: template: :1: "
			       "undefined variable \"%s\"",
			       node->text);
	return fields_of(e, node, variable->value, ret_value);
}

static int evaluate_operand(struct evaluation *e, const struct node *node,
			    const cJSON *dot, const cJSON **ret_value)
{
	int r;

	*ret_value = NULL;
	switch (node->type) {
	case NODE_FIELD:
		if (node->child_count > 0) {
			r = evaluate_pipeline(e, node->children[0], dot, &dot);
			if (r < 0)
				return r;
		}
		return fields_of(e, node, dot, ret_value);
	case NODE_VARIABLE:
		return evaluate_variable(e, node, ret_value);
	case NODE_STRING:
		*ret_value = template_keep(&e->arena,
					   cJSON_CreateString(node->text));
		return 0;
	case NODE_NUMBER:
		*ret_value = template_keep(&e->arena,
					   cJSON_CreateNumber(node->number));
		return 0;
	case NODE_BOOL:
		*ret_value = template_keep(&e->arena,
					   cJSON_CreateBool(node->number != 0));
		return 0;
	case NODE_NIL:
		return 0;
	case NODE_FUNCTION:
		r = template_call(&e->arena, node->text, NULL, 0, ret_value,
				  e->err);
		if (r == -ENOENT)
			return err_set(e->err, ERROR_INVALID,
				       "template parsing error: template: :1: "
				       "function \"%s\" not defined",
				       node->text);
		return r;
	case NODE_TEXT:
	case NODE_PIPELINE:
	case NODE_COMMAND:
	case NODE_IF:
	case NODE_WITH:
	case NODE_RANGE:
		break;
	}
	return err_set(e->err, ERROR_INVALID, "template: unexpected node");
}

/* {{.Label "key"}}, the one method with an argument. */
static bool is_label_call(const struct evaluation *e,
			  const struct node *command, bool has_piped)
{
	const struct node *first = command->children[0];

	return e->labels && first->type == NODE_FIELD &&
	       first->child_count == 0 && strv_length(first->fields) == 1 &&
	       str_equal(first->fields[0], "Label") &&
	       command->child_count + has_piped == 2;
}

static int evaluate_label(struct evaluation *e, const struct node *command,
			  const cJSON *dot, const cJSON *key,
			  const cJSON **ret_value)
{
	const cJSON *label;
	const char *text;
	int r;

	if (command->child_count == 2) {
		r = evaluate_operand(e, command->children[1], dot, &key);
		if (r < 0)
			return r;
	}
	if (!cJSON_IsString(key))
		return err_set(e->err, ERROR_INVALID,
			       "template: :1: executing \"\" at <%s>: Label "
			       "takes a text",
			       command->children[0]->source);
	label = cJSON_GetObjectItemCaseSensitive(e->labels, key->valuestring);
	text = cJSON_GetStringValue(label);
	*ret_value =
		template_keep(&e->arena, cJSON_CreateString(text ? text : ""));
	return 0;
}

/* One command; piped is the value of the one before it, when has_piped. */
static int evaluate_command(struct evaluation *e, const struct node *command,
			    const cJSON *dot, bool has_piped,
			    const cJSON *piped, const cJSON **ret_value)
{
	const struct node *first = command->children[0];
	const cJSON *arguments[ARGUMENTS_MAX];
	size_t count = 0;
	int r;

	if (is_label_call(e, command, has_piped))
		return evaluate_label(e, command, dot, piped, ret_value);
	if (first->type != NODE_FUNCTION) {
		if (command->child_count > 1 || has_piped)
			return err_set(e->err, ERROR_INVALID,
				       "template: :1: executing \"\" at <%s>: "
				       "can't give argument to non-function",
				       first->source);
		return evaluate_operand(e, first, dot, ret_value);
	}
	if (!template_function_exists(first->text))
		return err_set(e->err, ERROR_INVALID,
			       "template parsing error: template: :1: function "
			       "\"%s\" not defined",
			       first->text);
	if (command->child_count >= ARGUMENTS_MAX)
		return err_set(e->err, ERROR_INVALID,
			       "template: too many arguments of %s",
			       first->text);
	for (size_t i = 1; i < command->child_count; i++) {
		r = evaluate_operand(e, command->children[i], dot,
				     &arguments[count++]);
		if (r < 0)
			return r;
		/* Go stops where the result is certain. */
		if ((str_equal(first->text, "and") &&
		     !template_truth(arguments[count - 1])) ||
		    (str_equal(first->text, "or") &&
		     template_truth(arguments[count - 1]))) {
			*ret_value = arguments[count - 1];
			return 0;
		}
	}
	if (has_piped)
		arguments[count++] = piped;
	return template_call(&e->arena, first->text, arguments, count,
			     ret_value, e->err);
}

static int count_step(struct evaluation *e)
{
	if (++e->steps > TEMPLATE_STEPS_MAX)
		return err_set(e->err, ERROR_INVALID,
			       "template: more than %d steps",
			       TEMPLATE_STEPS_MAX);
	return 0;
}

static int evaluate_pipeline(struct evaluation *e, const struct node *pipeline,
			     const cJSON *dot, const cJSON **ret_value)
{
	const cJSON *value = NULL;
	int r;

	r = count_step(e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < pipeline->child_count; i++) {
		r = evaluate_command(e, pipeline->children[i], dot, i > 0,
				     value, &value);
		if (r < 0)
			return r;
	}
	if (pipeline->text && pipeline->assigns) {
		struct variable *variable = variable_find(e, pipeline->text);

		if (!variable)
			return err_set(e->err, ERROR_INVALID,
				       "template: undefined variable \"%s\"",
				       pipeline->text);
		variable->value = value;
	} else if (pipeline->text) {
		r = variable_declare(e, pipeline->text, value);
		if (r < 0)
			return r;
	}
	*ret_value = value;
	return 0;
}

static int execute_item(struct evaluation *e, const struct node *range,
			const cJSON *key, const cJSON *item)
{
	size_t saved = e->variable_count;
	int r = count_step(e);

	if (r >= 0 && range->text)
		r = variable_declare(e, range->text, key);
	if (r >= 0 && range->text2)
		r = variable_declare(e, range->text2, item);
	if (r >= 0)
		r = execute_list(e, range->body, item);
	e->variable_count = saved;
	return r;
}

static int execute_range(struct evaluation *e, const struct node *range,
			 const cJSON *value)
{
	cleanup_free const cJSON **members = NULL;
	size_t count = 0;
	bool counting = cJSON_IsNumber(value);
	int r;

	if (counting) {
		if (value->valuedouble > TEMPLATE_STEPS_MAX)
			return err_set(e->err, ERROR_INVALID,
				       "template: range is too long");
		count = value->valuedouble > 0 ? (size_t)value->valuedouble : 0;
	} else if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
		members = members_sorted(value, &count);
	} else if (value && !cJSON_IsNull(value)) {
		return err_set(e->err, ERROR_INVALID,
			       "template: :1: range can't iterate over it");
	}
	for (size_t i = 0; i < count; i++) {
		const cJSON *key = NULL;

		if (range->text && cJSON_IsObject(value))
			key = template_keep(
				&e->arena,
				cJSON_CreateString(members[i]->string));
		else if (range->text || counting)
			key = template_keep(&e->arena,
					    cJSON_CreateNumber((double)i));
		r = execute_item(e, range, key, counting ? key : members[i]);
		if (r < 0)
			return r;
	}
	return (int)(count > 0);
}

static int execute_control(struct evaluation *e, const struct node *node,
			   const cJSON *dot)
{
	size_t saved = e->variable_count;
	const cJSON *value;
	int r;

	/* docker's structs leave out empty members: {{if .State.Health}}. */
	e->lenient = node->type != NODE_RANGE;
	r = evaluate_pipeline(e, node->pipeline, dot, &value);
	e->lenient = false;
	if (r < 0)
		return r;
	if (node->type == NODE_RANGE) {
		r = execute_range(e, node, value);
		if (r == 0 && node->otherwise)
			r = execute_list(e, node->otherwise, dot);
	} else if (template_truth(value)) {
		r = execute_list(e, node->body,
				 node->type == NODE_WITH ? value : dot);
	} else if (node->otherwise) {
		r = execute_list(e, node->otherwise, dot);
	}
	e->variable_count = saved;
	return r < 0 ? r : 0;
}

static int execute_node(struct evaluation *e, const struct node *node,
			const cJSON *dot)
{
	const cJSON *value;
	int r;

	switch (node->type) {
	case NODE_TEXT:
		str_append(e->output, node->text);
		return 0;
	case NODE_PIPELINE:
		r = evaluate_pipeline(e, node, dot, &value);
		if (r >= 0 && !node->text)
			template_print(e->output, value);
		return r;
	case NODE_IF:
	case NODE_WITH:
	case NODE_RANGE:
		return execute_control(e, node, dot);
	case NODE_COMMAND:
	case NODE_FIELD:
	case NODE_VARIABLE:
	case NODE_STRING:
	case NODE_NUMBER:
	case NODE_BOOL:
	case NODE_NIL:
	case NODE_FUNCTION:
		break;
	}
	return err_set(e->err, ERROR_INVALID, "template: unexpected node");
}

static int execute_list(struct evaluation *e, const struct node *list,
			const cJSON *dot)
{
	size_t saved = e->variable_count;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < list->child_count; i++) {
		r = execute_node(e, list->children[i], dot);
		if (e->output->length > TEMPLATE_OUTPUT_MAX)
			r = err_set(e->err, ERROR_INVALID,
				    "template: the output is too long");
	}
	e->variable_count = saved;
	return r;
}

int template_execute(const struct template *template, const cJSON *value,
		     const cJSON *labels, struct str *output, struct error *err)
{
	struct error ignored;
	struct evaluation e = {
		.root = value,
		.labels = labels,
		.output = output,
		.err = err ? err : &ignored,
	};
	int r;

	r = execute_list(&e, template->root, value);
	cJSON_Delete(e.arena.made);
	return r < 0 ? r : 0;
}
