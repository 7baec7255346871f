/*
 * A template's parser: the text it is at, and the words of an action that are
 * read by characters. Private to the parser.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "cmd/template_node.h"

struct parser {
	struct template *template;
	const char *start; /* of the whole text */
	const char *at;
	const char *end; /* of the action that is being parsed */
	int depth;
	int loops; /* ranges around it that break and continue can mean */
	bool trim_next;
	char **variables; /* strv: those that are known here */
	struct error *err;
};

/* "template parsing error: template: :LINE: …"; NULL, for a caller to return.
 */
void *parse_fail(struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Constants as Go writes them. A quoted string ("a\n", `a`), a character
 * constant ('a', its number), a number (1_000, 0x1f, 1.5e3). p->at is at the
 * first character, and behind the last one after; NULL: refused.
 */
struct node *scan_string(struct parser *p);
struct node *scan_character(struct parser *p);
struct node *scan_number(struct parser *p);
/* Whether a number starts here: "-3", ".5". */
bool scan_is_number(const struct parser *p);

/*
 * The end of the action that starts at p->at: its "}}", which is none in a
 * string or a comment. NULL: refused.
 */
const char *scan_action_end(struct parser *p);
