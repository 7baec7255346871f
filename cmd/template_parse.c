#include "cmd/template.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/template_eval.h"
#include "cmd/template_node.h"
#include "cmd/template_scan.h"

struct node *node_new(enum node_type type)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->type = type;
	return node;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->child_count; i++)
		node_free(node->children[i]);
	node_free(node->pipeline);
	node_free(node->body);
	node_free(node->otherwise);
	free(node->children);
	strv_free(node->fields);
	free(node->text);
	free(node->text2);
	free(node->source);
	free(node);
}

DEFINE_CLEANUP(struct node *, node_free);
#define cleanup_node CLEANUP(node_free_cleanup)

void node_push(struct node *parent, struct node *child)
{
	parent->children = xrealloc(parent->children, parent->child_count + 1,
				    sizeof(struct node *));
	parent->children[parent->child_count++] = child;
}

struct node *template_definition(const struct template *template,
				 const char *name)
{
	const struct node *all = template->definitions;

	for (size_t i = 0; i < all->child_count; i++)
		if (str_equal(all->children[i]->text, name))
			return all->children[i];
	return NULL;
}

/* Go's: no other control character parts words. */
static bool is_space(char c)
{
	return c && strchr(" \t\r\n", c);
}

static void skip_space(struct parser *p)
{
	while (p->at < p->end && is_space(*p->at))
		p->at++;
}

static bool take(struct parser *p, const char *token)
{
	size_t length = strlen(token);

	skip_space(p);
	if ((size_t)(p->end - p->at) < length ||
	    memcmp(p->at, token, length) != 0)
		return false;
	p->at += length;
	return true;
}

static size_t word_length(const struct parser *p)
{
	size_t length = 0;

	while (p->at + length < p->end &&
	       (isalnum((unsigned char)p->at[length]) || p->at[length] == '_'))
		length++;
	return length;
}

/* A keyword: a whole word. */
static bool take_word(struct parser *p, const char *word)
{
	skip_space(p);
	if (word_length(p) != strlen(word) ||
	    memcmp(p->at, word, strlen(word)) != 0)
		return false;
	p->at += strlen(word);
	return true;
}

static struct node *node_at(const struct parser *p, enum node_type type)
{
	struct node *node = node_new(type);

	node->offset = (size_t)(p->at - p->start);
	return node;
}

/* "$x", or "$". Caller frees. */
static char *take_variable(struct parser *p)
{
	const char *start = p->at++;

	p->at += word_length(p);
	return xstrndup(start, (size_t)(p->at - start));
}

/* Variables declared since end with the action that they were declared in. */
static void forget_variables(struct parser *p, size_t count)
{
	for (size_t i = strv_length(p->variables); i > count; i--) {
		free(p->variables[i - 1]);
		p->variables[i - 1] = NULL;
	}
}

/* context: what it is the value of: "command", "if" … */
static struct node *parse_pipeline(struct parser *p, const char *context);

/* ".A.B" after an operand. */
static bool parse_fields(struct parser *p, struct node *node)
{
	size_t first = node->offset;

	while (p->at + 1 < p->end && *p->at == '.' &&
	       (isalpha((unsigned char)p->at[1]) || p->at[1] == '_')) {
		/* Go says of a chain where its second part is. */
		if (node->fields && node->offset == first)
			node->offset = (size_t)(p->at - p->start);
		p->at++;
		strv_push_take(&node->fields, xstrndup(p->at, word_length(p)));
		p->at += word_length(p);
	}
	if (p->at >= p->end || *p->at != '.')
		return true;
	parse_fail(p, "unexpected <.> in operand");
	return false;
}

static struct node *parse_word(struct parser *p)
{
	cleanup_node struct node *node = node_at(p, NODE_FUNCTION);
	cleanup_free char *word = xstrndup(p->at, word_length(p));

	p->at += strlen(word);
	if (str_equal(word, "true") || str_equal(word, "false")) {
		node->type = NODE_BOOL;
		node->number = str_equal(word, "true");
	} else if (str_equal(word, "nil")) {
		node->type = NODE_NIL;
	} else if (template_function_exists(word)) {
		node->text = steal_ptr(&word);
	} else {
		return parse_fail(p, "function \"%.64s\" not defined", word);
	}
	return steal_ptr(&node);
}

static struct node *parse_parenthesis(struct parser *p)
{
	cleanup_node struct node *node = node_at(p, NODE_FIELD);
	struct node *inner;

	p->at++;
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		return parse_fail(p, "nested too deeply");
	inner = parse_pipeline(p, "parenthesized pipeline");
	p->depth--;
	if (!inner)
		return NULL;
	node_push(node, inner);
	if (!take(p, ")"))
		return parse_fail(p, "unclosed left paren");
	return parse_fields(p, node) ? steal_ptr(&node) : NULL;
}

static struct node *parse_variable(struct parser *p)
{
	cleanup_node struct node *node = node_at(p, NODE_VARIABLE);

	node->text = take_variable(p);
	if (!strv_contains(p->variables, node->text))
		return parse_fail(p, "undefined variable \"%.64s\"",
				  node->text);
	return parse_fields(p, node) ? steal_ptr(&node) : NULL;
}

static struct node *parse_field(struct parser *p)
{
	cleanup_node struct node *node = node_at(p, NODE_FIELD);

	if (p->at + 1 < p->end && p->at[1] == '.')
		return parse_fail(p, "unexpected . after term \".\"");
	if (p->at + 1 == p->end ||
	    (!isalpha((unsigned char)p->at[1]) && p->at[1] != '_')) {
		p->at++;
		return steal_ptr(&node);
	}
	return parse_fields(p, node) ? steal_ptr(&node) : NULL;
}

/* A constant, which has no fields. */
static struct node *parse_constant(struct parser *p)
{
	const char *start = p->at;
	cleanup_node struct node *node = NULL;

	if (*start == '"' || *start == '`')
		node = scan_string(p);
	else if (*start == '\'')
		node = scan_character(p);
	else if (scan_is_number(p))
		node = scan_number(p);
	else
		node = parse_word(p);
	if (!node)
		return NULL;
	node->offset = (size_t)(start - p->start);
	if (p->at < p->end && *p->at == '.')
		return parse_fail(
			p, "unexpected . after term \"%.*s\"",
			(int)(p->at - start < 64 ? p->at - start : 64), start);
	return steal_ptr(&node);
}

static struct node *parse_operand(struct parser *p)
{
	const char c = *p->at;

	if (c == '(')
		return parse_parenthesis(p);
	if (c == '$')
		return parse_variable(p);
	if (c == '.' && !scan_is_number(p))
		return parse_field(p);
	if (isalpha((unsigned char)c) || strchr("_\"`'", c) ||
	    scan_is_number(p))
		return parse_constant(p);
	if (c == ')')
		return parse_fail(p, "unexpected right paren");
	return parse_fail(p, "unexpected \"%c\" in command", c);
}

static struct node *parse_command(struct parser *p, const char *context)
{
	cleanup_node struct node *command = node_at(p, NODE_COMMAND);
	const char *first = NULL;

	for (;;) {
		const char *start;
		struct node *operand;

		skip_space(p);
		if (p->at >= p->end || *p->at == '|' || *p->at == ')')
			break;
		start = p->at;
		first = first ? first : start;
		operand = parse_operand(p);
		if (!operand)
			return NULL;
		operand->source = xstrndup(start, (size_t)(p->at - start));
		node_push(command, operand);
		command->offset = (size_t)(first - p->start);
		free(command->source);
		command->source = xstrndup(first, (size_t)(p->at - first));
	}
	if (first)
		return steal_ptr(&command);
	if (p->at < p->end && (*p->at == '|' || p->depth == 0))
		return parse_fail(p, *p->at == '|'
					     ? "unexpected \"|\" in command"
					     : "unexpected right paren");
	return parse_fail(p, "missing value for %s", context);
}

/* "$x :=" or "$x =" at the start of a pipeline. */
static bool parse_declaration(struct parser *p, struct node *pipeline)
{
	const char *saved = p->at;

	skip_space(p);
	if (p->at < p->end && *p->at == '$') {
		pipeline->text = take_variable(p);
		if (take(p, ":="))
			return true;
		pipeline->assigns = take(p, "=");
		if (pipeline->assigns &&
		    !strv_contains(p->variables, pipeline->text)) {
			parse_fail(p, "undefined variable \"%.64s\"",
				   pipeline->text);
			return false;
		}
		if (pipeline->assigns)
			return true;
		if (take(p, ",") && take(p, "$")) {
			p->at += word_length(p);
			if (take(p, ":=") || take(p, "=")) {
				parse_fail(p, "too many declarations in "
					      "command");
				return false;
			}
		}
		free(steal_ptr(&pipeline->text));
	}
	p->at = saved;
	return true;
}

/* A stage behind the first gets a value: it has to be a function. */
static bool can_take_value(const struct node *command)
{
	const struct node *first = command->children[0];

	return first->type == NODE_FUNCTION || first->type == NODE_VARIABLE ||
	       (first->type == NODE_FIELD &&
		(first->fields || first->child_count > 0));
}

static struct node *parse_pipeline(struct parser *p, const char *context)
{
	cleanup_node struct node *pipeline = node_at(p, NODE_PIPELINE);

	if (!parse_declaration(p, pipeline))
		return NULL;
	do {
		struct node *command = parse_command(p, context);

		if (!command)
			return NULL;
		node_push(pipeline, command);
		if (pipeline->child_count > 1 && !can_take_value(command))
			return parse_fail(p,
					  "non executable command in pipeline "
					  "stage %zu",
					  pipeline->child_count);
	} while (take(p, "|"));
	/* It is not known in its own value. */
	if (pipeline->text && !pipeline->assigns)
		strv_push(&p->variables, pipeline->text);
	return steal_ptr(&pipeline);
}

/* "$i, $v := " of a range; leaves p->at where it was when there is none. */
static bool parse_range_variables(struct parser *p, struct node *range)
{
	const char *saved = p->at;
	cleanup_strv char **names = NULL;
	size_t count = 0;

	skip_space(p);
	while (p->at < p->end && *p->at == '$') {
		strv_push_take(&names, take_variable(p));
		count++;
		if (!take(p, ","))
			break;
		skip_space(p);
	}
	range->assigns = count > 0 && !take(p, ":=") && take(p, "=");
	if (count == 0 || (!range->assigns && p->at[-1] != '=')) {
		p->at = saved;
		return true;
	}
	if (count > 2) {
		parse_fail(p, "too many declarations in range");
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (range->assigns && !strv_contains(p->variables, names[i])) {
			parse_fail(p, "undefined variable \"%.64s\"", names[i]);
			return false;
		}
	}
	/* A single variable is the element. */
	range->text = count == 2 ? xstrdup(names[0]) : NULL;
	range->text2 = xstrdup(names[count - 1]);
	return true;
}

/* How a list of nodes ended. */
enum list_end { LIST_EOF, LIST_END, LIST_ELSE, LIST_FAILED };

static enum list_end parse_list(struct parser *p, struct node *list);

static int parse_control(struct parser *p, enum node_type type,
			 struct node *list);
static void action_close(struct parser *p);

/* What follows {{else}}: the rest of the action may be " if …" or " with …". */
static enum list_end parse_otherwise(struct parser *p, struct node *node)
{
	enum list_end end;

	node->otherwise = node_new(NODE_COMMAND);
	if (node->type == NODE_RANGE)
		p->loops--;
	if (node->type == NODE_IF && take_word(p, "if"))
		return parse_control(p, NODE_IF, node->otherwise) < 0
			       ? LIST_FAILED
			       : LIST_END;
	if (node->type == NODE_WITH && take_word(p, "with"))
		return parse_control(p, NODE_WITH, node->otherwise) < 0
			       ? LIST_FAILED
			       : LIST_END;
	skip_space(p);
	if (p->at < p->end) {
		parse_fail(p, "unexpected \"%c\" in else", *p->at);
		return LIST_FAILED;
	}
	action_close(p);
	end = parse_list(p, node->otherwise);
	if (node->type == NODE_RANGE)
		p->loops++;
	if (end == LIST_ELSE) {
		parse_fail(p, "expected end; found {{else}}");
		return LIST_FAILED;
	}
	return end;
}

static bool parse_head(struct parser *p, struct node *node)
{
	static const char *const names[] = {
		[NODE_IF] = "if",
		[NODE_WITH] = "with",
		[NODE_RANGE] = "range",
	};

	if (node->type == NODE_RANGE && !parse_range_variables(p, node))
		return false;
	node->pipeline = parse_pipeline(p, names[node->type]);
	if (!node->pipeline)
		return false;
	if (p->at < p->end) {
		parse_fail(p, "unexpected \"%c\" in %s", *p->at,
			   names[node->type]);
		return false;
	}
	action_close(p);
	if (!node->assigns && node->text)
		strv_push(&p->variables, node->text);
	if (!node->assigns && node->text2)
		strv_push(&p->variables, node->text2);
	return true;
}

static int parse_control(struct parser *p, enum node_type type,
			 struct node *list)
{
	size_t known = strv_length(p->variables);
	struct node *node = node_at(p, type);
	enum list_end end;

	node_push(list, node);
	if (++p->depth > TEMPLATE_DEPTH_MAX) {
		parse_fail(p, "nested too deeply");
		return -1;
	}
	if (!parse_head(p, node))
		return -1;
	p->loops += type == NODE_RANGE;
	node->body = node_new(NODE_COMMAND);
	end = parse_list(p, node->body);
	if (end == LIST_ELSE)
		end = parse_otherwise(p, node);
	p->loops -= type == NODE_RANGE;
	p->depth--;
	forget_variables(p, known);
	if (end == LIST_EOF)
		parse_fail(p, "unexpected EOF");
	return end == LIST_END ? 0 : -1;
}

static int action_open(struct parser *p)
{
	const char *close;

	p->at += 2;
	if (p->at[0] == '-' && is_space(p->at[1]))
		p->at++;
	close = scan_action_end(p);
	if (!close)
		return -1;
	p->trim_next =
		close - p->at >= 2 && close[-1] == '-' && is_space(close[-2]);
	p->end = p->trim_next ? close - 1 : close;
	return 0;
}

/* Moves past "}}" (and the space that a trim marker eats). */
static void action_close(struct parser *p)
{
	p->at = p->end + (p->trim_next ? 3 : 2); /* "-}}" or "}}" */
	if (p->trim_next)
		p->at += strspn(p->at, " \t\r\n");
	p->end = p->at;
}

static void parse_text(struct parser *p, struct node *list)
{
	const char *open = strstr(p->at, "{{");
	size_t length = open ? (size_t)(open - p->at) : strlen(p->at);
	const char *next = p->at + length;
	struct node *node;

	if (open && open[2] == '-' && is_space(open[3]))
		while (length > 0 && is_space(p->at[length - 1]))
			length--;
	if (length > 0) {
		node = node_new(NODE_TEXT);
		node->text = xstrndup(p->at, length);
		node_push(list, node);
	}
	p->at = next;
}

/* {{break}} and {{continue}}. */
static int parse_jump(struct parser *p, enum node_type type, struct node *list)
{
	const char *name = type == NODE_BREAK ? "break" : "continue";

	skip_space(p);
	if (p->at < p->end)
		parse_fail(p, "unexpected \"%c\" in {{%s}}", *p->at, name);
	else if (p->loops == 0)
		parse_fail(p, "{{%s}} outside {{range}}", name);
	else
		node_push(list, node_at(p, type));
	return p->at < p->end || p->loops == 0 ? -1 : 0;
}

/* The name in {{template "x" …}}, {{define "x"}} and {{block "x" …}}. */
static char *parse_name(struct parser *p, const char *clause)
{
	cleanup_node struct node *name = NULL;

	skip_space(p);
	if (p->at >= p->end || (*p->at != '"' && *p->at != '`')) {
		parse_fail(p, "unexpected \"%.*s\" in %s clause",
			   p->at < p->end ? 1 : 2, p->at, clause);
		return NULL;
	}
	name = scan_string(p);
	return name ? steal_ptr(&name->text) : NULL;
}

/* {{template "x" .}}, and the first half of {{block "x" .}}. */
static struct node *parse_call(struct parser *p, const char *clause)
{
	cleanup_node struct node *node = NULL;
	const char *start;

	skip_space(p);
	start = p->at;
	node = node_at(p, NODE_TEMPLATE);
	node->text = parse_name(p, clause);
	if (!node->text)
		return NULL;
	skip_space(p);
	if (p->at < p->end || str_equal(clause, "block")) {
		node->pipeline = parse_pipeline(p, clause);
		if (!node->pipeline)
			return NULL;
	}
	node->source =
		xasprintf("{{%s %.*s}}", clause, (int)(p->at - start), start);
	return steal_ptr(&node);
}

/* What is between {{define "x"}}, or {{block "x" .}}, and its end: it knows no
   variables from around it. Takes name. */
static int parse_definition(struct parser *p, char *name)
{
	struct node *list = node_new(NODE_COMMAND);
	char **variables = steal_ptr(&p->variables);
	bool known = template_definition(p->template, name) != NULL;
	int loops = p->loops;
	enum list_end end;

	list->text = name;
	node_push(p->template->definitions, list);
	if (p->depth >= TEMPLATE_DEPTH_MAX) {
		parse_fail(p, "nested too deeply");
		strv_free(variables);
		return -1;
	}
	action_close(p);
	strv_push(&p->variables, "$");
	p->loops = 0;
	p->depth++;
	end = parse_list(p, list);
	p->depth--;
	p->loops = loops;
	strv_free(p->variables);
	p->variables = variables;
	if (end == LIST_EOF)
		parse_fail(p, "unexpected EOF");
	else if (end == LIST_ELSE)
		parse_fail(p, "unexpected {{else}}");
	else if (end == LIST_END && known)
		parse_fail(p,
			   "template: multiple definition of template "
			   "\"%.64s\"",
			   list->text);
	return end == LIST_END && !known ? 0 : -1;
}

/* Of all but pipelines. 1: it is none of them. */
static int parse_keyword(struct parser *p, struct node *list)
{
	struct node *call;
	char *name;

	if (take_word(p, "if"))
		return parse_control(p, NODE_IF, list);
	if (take_word(p, "range"))
		return parse_control(p, NODE_RANGE, list);
	if (take_word(p, "with"))
		return parse_control(p, NODE_WITH, list);
	if (take_word(p, "break"))
		return parse_jump(p, NODE_BREAK, list);
	if (take_word(p, "continue"))
		return parse_jump(p, NODE_CONTINUE, list);
	if (take_word(p, "template")) {
		call = parse_call(p, "template");
		if (call)
			node_push(list, call);
		return call ? 0 : -1;
	}
	if (take_word(p, "block")) {
		call = parse_call(p, "block");
		if (call)
			node_push(list, call);
		return call ? parse_definition(p, xstrdup(call->text)) : -1;
	}
	if (p->depth == 0 && take_word(p, "define")) {
		name = parse_name(p, "define");
		return name ? parse_definition(p, name) : -1;
	}
	return 1;
}

static int parse_action(struct parser *p, struct node *list)
{
	int r = parse_keyword(p, list);

	if (r == 1) {
		struct node *pipeline = parse_pipeline(p, "command");

		if (!pipeline)
			return -1;
		node_push(list, pipeline);
		r = 0;
	}
	if (r == 0 && p->at < p->end) {
		parse_fail(p,
			   *p->at == ')' ? "unexpected right paren"
					 : "unexpected \"%c\" in command",
			   *p->at);
		return -1;
	}
	return r;
}

static int skip_comment(struct parser *p)
{
	p->at = strstr(p->at + 2, "*/") + 2;
	skip_space(p);
	if (p->at != p->end || (!p->trim_next && p->at[-1] != '/')) {
		parse_fail(p, "comment ends before closing delimiter");
		return -1;
	}
	action_close(p);
	return 0;
}

static enum list_end parse_list(struct parser *p, struct node *list)
{
	while (*p->at) {
		parse_text(p, list);
		if (!*p->at)
			break;
		if (action_open(p) < 0)
			return LIST_FAILED;
		skip_space(p);
		if (p->end - p->at >= 2 && memcmp(p->at, "/*", 2) == 0) {
			if (skip_comment(p) < 0)
				return LIST_FAILED;
			continue;
		}
		if (take_word(p, "end")) {
			skip_space(p);
			if (p->at == p->end)
				return LIST_END;
			parse_fail(p, "unexpected \"%c\" in end", *p->at);
			return LIST_FAILED;
		}
		if (take_word(p, "else"))
			return LIST_ELSE;
		if (parse_action(p, list) < 0)
			return LIST_FAILED;
		if (p->at != p->end)
			skip_space(p);
		action_close(p);
	}
	return LIST_EOF;
}

int template_parse(const char *text, struct template **ret_template,
		   struct error *err)
{
	struct template *template;
	struct error ignored;
	struct parser p = {.start = text,
			   .at = text,
			   .end = text,
			   .err = err ? err : &ignored};
	enum list_end end;

	if (strlen(text) > TEMPLATE_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "template parsing error: longer than %d bytes",
			       TEMPLATE_TEXT_MAX);
	template = xcalloc(1, sizeof(*template));
	template->text = xstrdup(text);
	template->root = node_new(NODE_COMMAND);
	template->definitions = node_new(NODE_COMMAND);
	p.template = template;
	strv_push(&p.variables, "$");
	end = parse_list(&p, template->root);
	strv_free(p.variables);
	if (end == LIST_EOF) {
		*ret_template = template;
		return 0;
	}
	if (end == LIST_END)
		parse_fail(&p, "unexpected {{end}}");
	else if (end == LIST_ELSE)
		parse_fail(&p, "unexpected {{else}}");
	template_free(template);
	return err_return(p.err);
}

void template_free(struct template *template)
{
	if (!template)
		return;
	node_free(template->root);
	node_free(template->definitions);
	free(template->text);
	free(template);
}
