/*
 * The parse tree of a template; shared by its parser and its evaluator only.
 */
#pragma once

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
	int assigns;  /* NODE_PIPELINE: "=" instead of ":=" */
	char *source; /* as written, for messages */
};

struct template
{
	struct node *root; /* list */
};

struct node *node_new(enum node_type type);
void node_free(struct node *node);
void node_push(struct node *parent, struct node *child);
