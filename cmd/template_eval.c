#include "cmd/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/template_eval.h"
#include "cmd/template_node.h"

#define VARIABLES_MAX 128
#define ARGUMENTS_MAX 64
#define CALLS_MAX     32 /* of definitions within each other */

struct variable {
	const char *name;
	const cJSON *value;
};

struct evaluation {
	struct template_arena arena;
	const struct template *template;
	const char *name;   /* of the definition that is run, "" */
	const cJSON *value; /* of the whole: always a struct */
	const cJSON *root;  /* $ */
	const cJSON *labels;
	struct variable variables[VARIABLES_MAX];
	size_t variable_count;
	size_t variable_first; /* those of the callers are out of sight */
	unsigned long steps;
	int depth; /* of definitions within definitions */
	struct str *output;
	struct error *err;
};

static int evaluate_pipeline(struct evaluation *e, const struct node *pipeline,
			     const cJSON *dot, const cJSON **ret_value);
static int execute_list(struct evaluation *e, const struct node *list,
			const cJSON *dot);

#define SOURCE_SHOWN 100 /* characters */

/* "template parsing error: template: :1:2: executing "" at <.A>: …" */
static int fail(struct evaluation *e, const struct node *node,
		const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same before the message that is there. */
static int fail_in(struct evaluation *e, const struct node *node)
{
	const char *text = e->template->text;
	const char *source = node->source ? node->source : "";
	size_t line = 1, column = 0;

	for (size_t i = 0; i < node->offset && text[i]; i++) {
		column = text[i] == '\n' ? 0 : column + 1;
		line += text[i] == '\n';
	}
	return err_wrap(e->err,
			"template parsing error: template: :%zu:%zu: executing "
			"\"%.32s\" at <%.*s%s>",
			line, column, e->name, SOURCE_SHOWN, source,
			strlen(source) > SOURCE_SHOWN ? "..." : "");
}

static int fail(struct evaluation *e, const struct node *node,
		const char *format, ...)
{
	cleanup_free char *message = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		str_oom();
	va_end(arguments);
	err_set(e->err, ERROR_INVALID, "%s", message);
	return fail_in(e, node);
}

static const cJSON *member_of_struct(const cJSON *object, const char *name)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
	const char *other = value ? NULL : template_json_name(name);

	return other ? cJSON_GetObjectItemCaseSensitive(object, other) : value;
}

static int fields_of(struct evaluation *e, const struct node *node,
		     const cJSON *value, const cJSON **ret_value)
{
	/* What a map lacks lacks everything. */
	for (size_t i = 0; value && node->fields && node->fields[i]; i++) {
		const char *name = node->fields[i];
		const cJSON *object = value;
		bool last = !node->fields[i + 1];

		if (cJSON_IsNull(value))
			return fail(e, node,
				    "nil pointer evaluating field %.64s", name);
		if (!cJSON_IsObject(value))
			return fail(e, node,
				    "can't evaluate field %.64s in type %s",
				    name, template_type(value));
		value = member_of_struct(object, name);
		if (value || (object != e->value && template_is_map(object)))
			continue;
		if (last)
			value = template_absent(&e->arena, name);
		if (!value)
			return fail(e, node,
				    "map has no entry for key \"%.64s\"", name);
	}
	*ret_value = value;
	return 0;
}

static struct variable *variable_find(struct evaluation *e, const char *name)
{
	for (size_t i = e->variable_count; i > e->variable_first; i--)
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
	const struct variable *variable = variable_find(e, node->text);

	if (str_equal(node->text, "$"))
		return fields_of(e, node, e->root, ret_value);
	if (!variable)
		return fail(e, node, "undefined variable: %s", node->text);
	return fields_of(e, node, variable->value, ret_value);
}

static int call(struct evaluation *e, const struct node *command,
		const cJSON *const *arguments, size_t count,
		const cJSON **ret_value)
{
	const struct node *function =
		command->type == NODE_COMMAND ? command->children[0] : command;
	int r = template_call(&e->arena, function->text, arguments, count,
			      ret_value, e->err);

	return r < 0 ? fail_in(e, command) : 0;
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
		return call(e, node, NULL, 0, ret_value);
	case NODE_TEXT:
	case NODE_PIPELINE:
	case NODE_COMMAND:
	case NODE_IF:
	case NODE_WITH:
	case NODE_RANGE:
	case NODE_BREAK:
	case NODE_CONTINUE:
	case NODE_TEMPLATE:
		break;
	}
	return fail(e, node, "unexpected node");
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
		return fail(e, command, "Label takes a text");
	label = cJSON_GetObjectItemCaseSensitive(e->labels, key->valuestring);
	text = cJSON_GetStringValue(label);
	*ret_value =
		template_keep(&e->arena, cJSON_CreateString(text ? text : ""));
	return 0;
}

/* The arguments that the template gives; 1 when the result, *ret_value, is
   certain without the rest. */
static int evaluate_arguments(struct evaluation *e, const struct node *command,
			      const cJSON *dot, const cJSON **arguments,
			      const cJSON **ret_value)
{
	const char *function = command->children[0]->text;
	bool is_and = str_equal(function, "and");
	bool is_or = str_equal(function, "or");

	for (size_t i = 1; i < command->child_count; i++) {
		int r = evaluate_operand(e, command->children[i], dot,
					 &arguments[i - 1]);

		if (r < 0)
			return r;
		if ((is_and || is_or) &&
		    template_truth(arguments[i - 1]) == is_or) {
			*ret_value = arguments[i - 1];
			return 1;
		}
	}
	return 0;
}

/* One command; piped is the value of the one before it, when has_piped. */
static int evaluate_command(struct evaluation *e, const struct node *command,
			    const cJSON *dot, bool has_piped,
			    const cJSON *piped, const cJSON **ret_value)
{
	const struct node *first = command->children[0];
	const cJSON *arguments[ARGUMENTS_MAX];
	size_t count = command->child_count - 1;
	int r;

	if (is_label_call(e, command, has_piped))
		return evaluate_label(e, command, dot, piped, ret_value);
	if (first->type == NODE_NIL)
		return fail(e, first, "nil is not a command");
	if (first->type != NODE_FUNCTION) {
		if ((count > 0 || has_piped) && first->fields)
			return fail(
				e, first,
				"%.64s is not a method but has arguments",
				first->fields[strv_length(first->fields) - 1]);
		if (count > 0 || has_piped)
			return fail(e, first,
				    "can't give argument to non-function "
				    "%.64s",
				    first->source);
		return evaluate_operand(e, first, dot, ret_value);
	}
	if (count >= ARGUMENTS_MAX)
		return fail(e, first, "too many arguments");
	r = evaluate_arguments(e, command, dot, arguments, ret_value);
	if (r != 0)
		return r < 0 ? r : 0;
	if (has_piped)
		arguments[count++] = piped;
	return call(e, command, arguments, count, ret_value);
}

/* What is thrown away counts as well: time is what there is little of. */
static int count_step(struct evaluation *e)
{
	if (++e->steps > TEMPLATE_STEPS_MAX)
		return err_set(e->err, ERROR_INVALID,
			       "template: more than %d steps",
			       TEMPLATE_STEPS_MAX);
	return 0;
}

static int variable_assign(struct evaluation *e, const struct node *node,
			   const char *name, const cJSON *value)
{
	struct variable *variable = variable_find(e, name);

	if (!variable)
		return fail(e, node, "undefined variable: %s", name);
	variable->value = value;
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
	if (pipeline->text && pipeline->assigns)
		r = variable_assign(e, pipeline, pipeline->text, value);
	else if (pipeline->text)
		r = variable_declare(e, pipeline->text, value);
	*ret_value = value;
	return r;
}

/* What an execution ends in, beside failing. */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

static int execute_item(struct evaluation *e, const struct node *range,
			const cJSON *key, const cJSON *item)
{
	size_t saved = e->variable_count;
	int r = count_step(e);

	if (r >= 0 && range->text)
		r = range->assigns ? variable_assign(e, range, range->text, key)
				   : variable_declare(e, range->text, key);
	if (r >= 0 && range->text2)
		r = range->assigns
			    ? variable_assign(e, range, range->text2, item)
			    : variable_declare(e, range->text2, item);
	if (r >= 0)
		r = execute_list(e, range->body, item);
	e->variable_count = saved;
	return r;
}

/* How often a range runs; *ret_members: over what, NULL for a number. */
static int range_length(struct evaluation *e, const struct node *range,
			const cJSON *value, const cJSON ***ret_members,
			size_t *ret_count)
{
	if (template_is_whole(value)) {
		if (value->valuedouble > TEMPLATE_STEPS_MAX)
			return fail(e, range->pipeline, "range is too long");
		*ret_count =
			value->valuedouble > 0 ? (size_t)value->valuedouble : 0;
	} else if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
		*ret_members = template_members(value, ret_count);
	} else if (value && !cJSON_IsNull(value)) {
		cleanup_str struct str text = {0};

		template_print(&text, value);
		return fail(e, range->pipeline->children[0],
			    "range can't iterate over %.64s", str_text(&text));
	}
	return 0;
}

static const cJSON *range_key(struct evaluation *e, const cJSON *member,
			      bool named, size_t index)
{
	return template_keep(&e->arena,
			     named ? cJSON_CreateString(member->string)
				   : cJSON_CreateNumber((double)index));
}

/* 1 when there was anything. */
static int execute_range(struct evaluation *e, const struct node *range,
			 const cJSON *value)
{
	cleanup_free const cJSON **members = NULL;
	size_t count = 0;
	int r = range_length(e, range, value, &members, &count);

	for (size_t i = 0; r >= 0 && i < count; i++) {
		const cJSON *key = NULL;

		if (range->text || !members)
			key = range_key(e, members ? members[i] : NULL,
					cJSON_IsObject(value), i);
		r = execute_item(e, range, key, members ? members[i] : key);
		if (r == FLOW_BREAK)
			break;
	}
	return r < 0 ? r : (int)(count > 0);
}

static int execute_control(struct evaluation *e, const struct node *node,
			   const cJSON *dot)
{
	size_t saved = e->variable_count;
	const cJSON *value;
	int r;

	r = evaluate_pipeline(e, node->pipeline, dot, &value);
	if (r < 0)
		return r;
	if (node->type == NODE_RANGE) {
		r = execute_range(e, node, value);
		if (r > 0)
			r = FLOW_NEXT;
		else if (r == 0 && node->otherwise)
			r = execute_list(e, node->otherwise, dot);
	} else if (template_truth(value)) {
		r = execute_list(e, node->body,
				 node->type == NODE_WITH ? value : dot);
	} else if (node->otherwise) {
		r = execute_list(e, node->otherwise, dot);
	}
	e->variable_count = saved;
	return r;
}

/* {{template "x" .A}}: with nothing in sight but its own dot. */
static int execute_template(struct evaluation *e, const struct node *node,
			    const cJSON *dot)
{
	const struct node *definition =
		template_definition(e->template, node->text);
	const struct evaluation saved = *e;
	const cJSON *value = NULL;
	int r = 0;

	if (!definition)
		return fail(e, node, "template \"%.64s\" not defined",
			    node->text);
	if (node->pipeline)
		r = evaluate_pipeline(e, node->pipeline, dot, &value);
	r = r < 0 ? r : count_step(e);
	if (r < 0)
		return r;
	if (e->depth == CALLS_MAX)
		return fail(e, node, "exceeded maximum template depth (%d)",
			    CALLS_MAX);
	e->depth++;
	e->name = definition->text;
	e->root = value;
	e->variable_first = e->variable_count;
	r = execute_list(e, definition, value);
	e->depth = saved.depth;
	e->name = saved.name;
	e->root = saved.root;
	e->variable_first = saved.variable_first;
	return r;
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
	case NODE_BREAK:
		return FLOW_BREAK;
	case NODE_CONTINUE:
		return FLOW_CONTINUE;
	case NODE_TEMPLATE:
		return execute_template(e, node, dot);
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
	return fail(e, node, "unexpected node");
}

static int execute_list(struct evaluation *e, const struct node *list,
			const cJSON *dot)
{
	size_t saved = e->variable_count;
	int r = 0;

	for (size_t i = 0; r == FLOW_NEXT && i < list->child_count; i++) {
		r = execute_node(e, list->children[i], dot);
		if (r >= 0 && e->output->length > TEMPLATE_OUTPUT_MAX)
			r = err_set(e->err, ERROR_INVALID,
				    "template: the output is too long");
	}
	e->variable_count = saved;
	return r;
}

static int execute(const struct template *template, const cJSON *value,
		   const cJSON *labels, bool headings, struct str *output,
		   struct error *err)
{
	struct error ignored;
	struct evaluation e = {
		.arena = {.headings = headings},
		.template = template,
		.name = "",
		.value = value,
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

int template_execute(const struct template *template, const cJSON *value,
		     const cJSON *labels, struct str *output, struct error *err)
{
	return execute(template, value, labels, false, output, err);
}

int template_execute_headings(const struct template *template,
			      const cJSON *value, const cJSON *labels,
			      struct str *output, struct error *err)
{
	return execute(template, value, labels, true, output, err);
}
