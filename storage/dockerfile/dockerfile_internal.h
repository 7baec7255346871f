/*
 * What the parser's parts share: dockerfile.c has the lines, instruction.c what
 * one of them is made of.
 */
#pragma once

#include "storage/dockerfile/dockerfile.h"

/*
 * Parses text, one instruction without its heredocs. *ret_instruction has
 * everything but lines and heredocs; released on failure. The error has no line
 * yet.
 */
int instruction_parse(const char *text, char escape,
		      struct dockerfile_instruction *ret_instruction,
		      struct error *err);
void instruction_release(struct dockerfile_instruction *instruction);

/* May it have heredocs, itself or behind its ONBUILD? */
bool instruction_takes_heredocs(
	const struct dockerfile_instruction *instruction);
/*
 * The heredocs that text, the words of an instruction, asks for; their content
 * is NULL. Returns how many.
 */
size_t instruction_heredocs(const char *text,
			    struct dockerfile_heredoc **ret_heredocs);
