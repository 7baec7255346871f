/*
 * What somebody may have meant who mistyped a name: the nearest of those that
 * there are, two mistakes away at most (a letter added, left out, or another
 * one, or two that changed places), without regard to case. The first of
 * several that are as near.
 */
#pragma once

#define NEAREST_MAX 64 /* bytes of a name; longer ones are near nothing */

struct nearest {
	const char *text;      /* what was typed */
	const char *found;     /* NULL: nothing is near */
	unsigned int distance; /* of found */
};

/* name: borrowed, as found is. */
void nearest_try(struct nearest *nearest, const char *name);
/* " (did you mean NAME?)", or "" when nothing is near; caller frees. */
char *nearest_question(const struct nearest *nearest);
