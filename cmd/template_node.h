/*
 * The parse tree of a template; shared by its parser and its evaluator only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum node_type {
	NODE_TEXT,     /* text */
	NODE_PIPELINE, /* children: commands; text: variable declared, or NULL
			*/
	NODE_COMMAND,  /* children: operands */
	NODE_FIELD, /* children[0]: what it is a field of, or none (.); fields
		     */
	NODE_VARIABLE, /* text "$x"; fields */
	NODE_STRING,   /* text */
	NODE_NUMBER,   /* number */
	NODE_BOOL,     /* number */
	NODE_NIL,
	NODE_FUNCTION, /* text */
	NODE_IF,       /* pipeline, body, otherwise */
	NODE_WITH,
	NODE_RANGE, /* text, text2: variables, or NULL */
	NODE_BREAK,
	NODE_CONTINUE,
	NODE_TEMPLATE, /* text: its name; pipeline: its dot, or NULL */
};

struct node {
	enum node_type type;
	char *text;
	char *text2;
	double number;
	char **fields;
	struct node **children;
	size_t child_count;
	struct node *pipeline;
	struct node *body; /* a NODE_COMMAND used as a plain list */
	struct node *otherwise;
	bool assigns;  /* NODE_PIPELINE, NODE_RANGE: "=" instead of ":=" */
	char *source;  /* as written, for messages */
	size_t offset; /* in the template's text */
};

struct template
{
	char *text;
	struct node *root; /* list */
	/* {{define}}: children are lists with their name as text. */
	struct node *definitions;
};

struct node *node_new(enum node_type type);
void node_free(struct node *node);
void node_push(struct node *parent, struct node *child);
/* NULL: there is none. */
struct node *template_definition(const struct template *template,
				 const char *name);
