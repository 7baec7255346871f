#include "cmd/template.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/template_node.h"

struct parser {
	const char *start; /* of the whole text, for line numbers */
	const char *at;
	const char *end; /* of the action that is being parsed */
	int depth;
	bool trim_next;
	struct error *err;
};

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

static void *parse_fail(struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void *parse_fail(struct parser *p, const char *format, ...)
{
	char message[256];
	va_list arguments;
	int line = 1;

	for (const char *c = p->start; c < p->at; c++)
		line += *c == '\n';
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	err_set(p->err, ERROR_INVALID,
		"template parsing error: template: :%d: %s", line, message);
	return NULL;
}

static void skip_space(struct parser *p)
{
	while (p->at < p->end && isspace((unsigned char)*p->at))
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

static struct node *parse_pipeline(struct parser *p);

/* ".A.B" after an operand. */
static void parse_fields(struct parser *p, struct node *node)
{
	while (p->at + 1 < p->end && *p->at == '.' &&
	       (isalpha((unsigned char)p->at[1]) || p->at[1] == '_')) {
		p->at++;
		strv_push_take(&node->fields, xstrndup(p->at, word_length(p)));
		p->at += word_length(p);
	}
}

static struct node *parse_quoted(struct parser *p)
{
	cleanup_str struct str text = {0};
	struct node *node;
	char quote = *p->at++;

	while (p->at < p->end && *p->at != quote) {
		if (*p->at == '\\' && quote == '"' && p->at + 1 < p->end) {
			static const char names[] = "ntr\\\"";
			static const char bytes[] = "\n\t\r\\\"";
			const char *found = strchr(names, *++p->at);

			str_append_char(&text,
					found ? bytes[found - names] : *p->at);
		} else {
			str_append_char(&text, *p->at);
		}
		p->at++;
	}
	if (p->at >= p->end)
		return parse_fail(p, "unterminated quoted string");
	p->at++;
	node = node_new(NODE_STRING);
	node->text = str_steal(&text);
	return node;
}

static struct node *parse_number(struct parser *p)
{
	struct node *node;
	char *end;
	double number = strtod(p->at, &end);

	if (end == p->at || end > p->end || !isfinite(number))
		return parse_fail(p, "bad number syntax");
	p->at = end;
	node = node_new(NODE_NUMBER);
	node->number = number;
	return node;
}

static struct node *parse_word(struct parser *p)
{
	cleanup_free char *word = xstrndup(p->at, word_length(p));
	struct node *node;

	p->at += strlen(word);
	if (str_equal(word, "true") || str_equal(word, "false")) {
		node = node_new(NODE_BOOL);
		node->number = str_equal(word, "true");
	} else if (str_equal(word, "nil")) {
		node = node_new(NODE_NIL);
	} else {
		node = node_new(NODE_FUNCTION);
		node->text = steal_ptr(&word);
	}
	return node;
}

static struct node *parse_parenthesis(struct parser *p)
{
	cleanup_node struct node *node = node_new(NODE_FIELD);
	struct node *inner;

	p->at++;
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		return parse_fail(p, "nested too deeply");
	inner = parse_pipeline(p);
	p->depth--;
	if (!inner)
		return NULL;
	node_push(node, inner);
	if (!take(p, ")"))
		return parse_fail(p, "unclosed left paren");
	parse_fields(p, node);
	return steal_ptr(&node);
}

static struct node *parse_operand(struct parser *p)
{
	struct node *node;
	char c = *p->at;

	if (c == '"' || c == '`')
		return parse_quoted(p);
	if (c == '(')
		return parse_parenthesis(p);
	if (isdigit((unsigned char)c) || c == '-' || c == '+')
		return parse_number(p);
	if (c == '$') {
		const char *start = p->at++;

		p->at += word_length(p);
		node = node_new(NODE_VARIABLE);
		node->text = xstrndup(start, (size_t)(p->at - start));
		parse_fields(p, node);
		return node;
	}
	if (c == '.') {
		node = node_new(NODE_FIELD);
		parse_fields(p, node);
		if (!node->fields)
			p->at++;
		return node;
	}
	if (isalpha((unsigned char)c) || c == '_')
		return parse_word(p);
	return parse_fail(p, "unexpected \"%c\" in operand", c);
}

static struct node *parse_command(struct parser *p)
{
	cleanup_node struct node *command = node_new(NODE_COMMAND);

	for (;;) {
		const char *start;
		struct node *operand;

		skip_space(p);
		if (p->at >= p->end || *p->at == '|' || *p->at == ')')
			break;
		start = p->at;
		operand = parse_operand(p);
		if (!operand)
			return NULL;
		operand->source = xstrndup(start, (size_t)(p->at - start));
		node_push(command, operand);
	}
	if (command->child_count == 0)
		return parse_fail(p, "missing value for command");
	return steal_ptr(&command);
}

/* "$x :=" or "$x =" at the start of a pipeline. */
static void parse_declaration(struct parser *p, struct node *pipeline)
{
	const char *saved = p->at;
	const char *start;

	skip_space(p);
	start = p->at;
	if (p->at < p->end && *p->at == '$') {
		p->at++;
		p->at += word_length(p);
		pipeline->text = xstrndup(start, (size_t)(p->at - start));
		if (take(p, ":="))
			return;
		if (take(p, "=")) {
			pipeline->assigns = 1;
			return;
		}
		free(steal_ptr(&pipeline->text));
	}
	p->at = saved;
}

static struct node *parse_pipeline(struct parser *p)
{
	cleanup_node struct node *pipeline = node_new(NODE_PIPELINE);

	parse_declaration(p, pipeline);
	do {
		struct node *command = parse_command(p);

		if (!command)
			return NULL;
		node_push(pipeline, command);
	} while (take(p, "|"));
	return steal_ptr(&pipeline);
}

/* "$i, $v := " of a range; leaves p->at where it was when there is none. */
static void parse_range_variables(struct parser *p, struct node *range)
{
	const char *saved = p->at;
	char *names[2] = {NULL, NULL};
	size_t count = 0;

	while (count < 2) {
		const char *start;

		skip_space(p);
		start = p->at;
		if (p->at >= p->end || *p->at != '$')
			break;
		p->at++;
		p->at += word_length(p);
		names[count++] = xstrndup(start, (size_t)(p->at - start));
		if (!take(p, ","))
			break;
	}
	if (count > 0 && take(p, ":=")) {
		/* A single variable is the element. */
		range->text = count == 2 ? names[0] : NULL;
		range->text2 = count == 2 ? names[1] : names[0];
		return;
	}
	free(names[0]);
	free(names[1]);
	p->at = saved;
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
	node->otherwise = node_new(NODE_COMMAND);
	if (take_word(p, "if"))
		return parse_control(p, NODE_IF, node->otherwise) < 0
			       ? LIST_FAILED
			       : LIST_END;
	if (take_word(p, "with"))
		return parse_control(p, NODE_WITH, node->otherwise) < 0
			       ? LIST_FAILED
			       : LIST_END;
	skip_space(p);
	if (p->at < p->end) {
		parse_fail(p, "unexpected \"%c\" in else", *p->at);
		return LIST_FAILED;
	}
	action_close(p);
	return parse_list(p, node->otherwise);
}

static int parse_control(struct parser *p, enum node_type type,
			 struct node *list)
{
	struct node *node = node_new(type);
	enum list_end end;

	node_push(list, node);
	if (++p->depth > TEMPLATE_DEPTH_MAX) {
		parse_fail(p, "nested too deeply");
		return -1;
	}
	if (type == NODE_RANGE)
		parse_range_variables(p, node);
	node->pipeline = parse_pipeline(p);
	if (!node->pipeline)
		return -1;
	if (p->at < p->end) {
		parse_fail(p, "unexpected \"%c\" in command", *p->at);
		return -1;
	}
	action_close(p);
	node->body = node_new(NODE_COMMAND);
	end = parse_list(p, node->body);
	if (end == LIST_ELSE)
		end = parse_otherwise(p, node);
	p->depth--;
	if (end == LIST_END)
		return 0;
	if (end == LIST_EOF)
		parse_fail(p, "unexpected EOF");
	else if (end == LIST_ELSE)
		parse_fail(p, "unexpected {{else}}");
	return -1;
}

/* Finds the end of the action that starts at p->at (after "{{"). */
static const char *action_end(const char *at)
{
	char quote = 0;

	for (; *at; at++) {
		if (quote) {
			if (*at == '\\' && quote == '"' && at[1])
				at++;
			else if (*at == quote)
				quote = 0;
		} else if (*at == '"' || *at == '`') {
			quote = *at;
		} else if (at[0] == '}' && at[1] == '}') {
			return at;
		}
	}
	return NULL;
}

/* The same when it is a comment, which may hold anything but its own end. */
static const char *comment_end(const char *at)
{
	at += strspn(at, " \t\r\n");
	if (strncmp(at, "/*", 2) != 0)
		return NULL;
	at = strstr(at + 2, "*/");
	return at ? strstr(at, "}}") : NULL;
}

static int action_open(struct parser *p)
{
	const char *close;

	p->at += 2;
	if (p->at[0] == '-' && isspace((unsigned char)p->at[1]))
		p->at++;
	close = comment_end(p->at);
	if (!close)
		close = action_end(p->at);
	if (!close) {
		parse_fail(p, "unclosed action");
		return -1;
	}
	p->trim_next = close - p->at >= 2 && close[-1] == '-' &&
		       isspace((unsigned char)close[-2]);
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

	if (open && open[2] == '-' && isspace((unsigned char)open[3]))
		while (length > 0 && isspace((unsigned char)p->at[length - 1]))
			length--;
	if (length > 0) {
		node = node_new(NODE_TEXT);
		node->text = xstrndup(p->at, length);
		node_push(list, node);
	}
	p->at = next;
}

static int parse_action(struct parser *p, struct node *list)
{
	struct node *pipeline;

	if (take_word(p, "if"))
		return parse_control(p, NODE_IF, list);
	if (take_word(p, "range"))
		return parse_control(p, NODE_RANGE, list);
	if (take_word(p, "with"))
		return parse_control(p, NODE_WITH, list);
	pipeline = parse_pipeline(p);
	if (!pipeline)
		return -1;
	node_push(list, pipeline);
	if (p->at < p->end) {
		parse_fail(p, "unexpected \"%c\" in command", *p->at);
		return -1;
	}
	return 0;
}

static int skip_comment(struct parser *p)
{
	const char *end = strstr(p->at + 2, "*/");

	if (!end || end + 2 > p->end) {
		parse_fail(p, "unclosed comment");
		return -1;
	}
	p->at = end + 2;
	skip_space(p);
	if (p->at != p->end) {
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
	template->root = node_new(NODE_COMMAND);
	end = parse_list(&p, template->root);
	if (end == LIST_END)
		parse_fail(&p, "unexpected {{end}}");
	if (end == LIST_ELSE)
		parse_fail(&p, "unexpected {{else}}");
	if (end != LIST_EOF) {
		template_free(template);
		return err_return(p.err);
	}
	*ret_template = template;
	return 0;
}

void template_free(struct template *template)
{
	if (!template)
		return;
	node_free(template->root);
	free(template);
}
