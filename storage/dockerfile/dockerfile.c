#include "storage/dockerfile/dockerfile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/dockerfile/dockerfile_internal.h"

/* The text, line by line. */
struct reader {
	const char *next;
	const char *end;
	unsigned int line; /* number of the one read last */
	char escape;
	bool directives; /* they may still come */
};

/* A line without its end; without a copy. */
struct line {
	const char *text;
	size_t length;
	size_t whole; /* with its end */
};

static bool read_line(struct reader *reader, struct line *ret_line)
{
	size_t left = (size_t)(reader->end - reader->next);
	const char *newline;
	struct line line = {.text = reader->next, .whole = left};

	if (left == 0)
		return false;
	newline = memchr(reader->next, '\n', left);
	if (newline)
		line.whole = (size_t)(newline - reader->next) + 1;
	line.length = line.whole;
	while (line.length > 0 && (line.text[line.length - 1] == '\n' ||
				   line.text[line.length - 1] == '\r'))
		line.length--;
	reader->next += line.whole;
	reader->line++;
	*ret_line = line;
	return true;
}

static void skip_space(struct line *line)
{
	while (line->length > 0 && isspace((unsigned char)*line->text)) {
		line->text++;
		line->length--;
	}
}

/* "\" at the end, unless another stands before it: cut off. */
static bool cut_continuation(const struct reader *reader, struct line *line)
{
	size_t length = line->length;

	while (length > 0 && (line->text[length - 1] == ' ' ||
			      line->text[length - 1] == '\t'))
		length--;
	if (length == 0 || line->text[length - 1] != reader->escape ||
	    (length > 1 && line->text[length - 2] == reader->escape))
		return false;
	line->length = length - 1;
	return true;
}

/* ---- directives ---- */

/* "# NAME = VALUE", both without white space around; false: it is none. */
static bool split_directive(struct line line, char **ret_name, char **ret_value)
{
	size_t length;

	line.text++;
	line.length--;
	skip_space(&line);
	for (length = 0;
	     length < line.length && isalnum((unsigned char)line.text[length]);)
		length++;
	if (length == 0 || !isalpha((unsigned char)*line.text))
		return false;
	*ret_name = xstrndup(line.text, length);
	line.text += length;
	line.length -= length;
	skip_space(&line);
	if (line.length > 0 && *line.text == '=') {
		line.text++;
		line.length--;
		skip_space(&line);
		while (line.length > 0 &&
		       isspace((unsigned char)line.text[line.length - 1]))
			line.length--;
		if (line.length > 0) {
			*ret_value = xstrndup(line.text, line.length);
			return true;
		}
	}
	free(*ret_name);
	*ret_name = NULL;
	return false;
}

static int set_escape(struct reader *reader, const char *value,
		      struct error *err)
{
	if (!str_equal(value, "\\") && !str_equal(value, "`"))
		return err_set(err, ERROR_INVALID,
			       "invalid escape token '%.20s': it must be \\ or "
			       "`",
			       value);
	reader->escape = *value;
	return 0;
}

/* A comment while there may be directives; one that is none ends them. */
static int read_directive(struct reader *reader, const struct line *line,
			  struct dockerfile *dockerfile, struct error *err)
{
	cleanup_free char *name = NULL;
	cleanup_free char *value = NULL;
	char **place;

	if (!split_directive(*line, &name, &value)) {
		reader->directives = false;
		return 0;
	}
	if (strcasecmp(name, "escape") == 0) {
		if (dockerfile->escape)
			return err_set(err, ERROR_INVALID,
				       "only one escape parser directive can "
				       "be used");
		dockerfile->escape = *value;
		return set_escape(reader, value, err);
	}
	if (strcasecmp(name, "syntax") == 0)
		place = &dockerfile->syntax;
	else if (strcasecmp(name, "check") == 0)
		place = &dockerfile->check;
	else
		place = NULL;
	if (!place) {
		reader->directives = false;
		return 0;
	}
	if (*place)
		return err_set(err, ERROR_INVALID,
			       "only one %s parser directive can be used",
			       place == &dockerfile->syntax ? "syntax"
							    : "check");
	*place = value;
	value = NULL;
	return 0;
}

/* ---- instructions ---- */

static void add_empty_line(struct dockerfile *dockerfile, unsigned int line)
{
	dockerfile->empty_lines = xrealloc(dockerfile->empty_lines,
					   dockerfile->empty_line_count + 1,
					   sizeof(*dockerfile->empty_lines));
	dockerfile->empty_lines[dockerfile->empty_line_count++] = line;
}

static bool is_comment(struct line line)
{
	skip_space(&line);
	return line.length > 0 && *line.text == '#';
}

static bool is_blank(struct line line)
{
	skip_space(&line);
	return line.length == 0;
}

/* The rest of an instruction that goes on. */
static void join_lines(struct reader *reader, struct dockerfile *dockerfile,
		       struct str *text)
{
	bool empty = false;
	struct line line;
	bool more = true;

	while (more && read_line(reader, &line)) {
		if (is_comment(line))
			continue;
		if (is_blank(line)) {
			empty = true;
			continue;
		}
		more = cut_continuation(reader, &line);
		str_append_bytes(text, line.text, line.length);
	}
	if (empty)
		add_empty_line(dockerfile, reader->line);
}

static bool is_terminator(const struct dockerfile_heredoc *heredoc,
			  struct line line)
{
	while (heredoc->chomp && line.length > 0 && *line.text == '\t') {
		line.text++;
		line.length--;
	}
	return strlen(heredoc->name) == line.length &&
	       memcmp(heredoc->name, line.text, line.length) == 0;
}

static int read_heredoc(struct reader *reader,
			struct dockerfile_heredoc *heredoc, struct error *err)
{
	cleanup_str struct str content = {0};
	struct line line;

	while (read_line(reader, &line)) {
		if (is_terminator(heredoc, line)) {
			heredoc->content = str_steal(&content);
			return 0;
		}
		str_append_bytes(&content, line.text, line.whole);
	}
	return err_set(err, ERROR_INVALID,
		       "unterminated heredoc: no line has %.80s alone",
		       heredoc->name);
}

static int read_heredocs(struct reader *reader,
			 struct dockerfile_instruction *instruction,
			 struct error *err)
{
	if (!instruction_takes_heredocs(instruction))
		return 0;
	instruction->heredoc_count =
		instruction_heredocs(instruction->text, &instruction->heredocs);
	for (size_t i = 0; i < instruction->heredoc_count; i++) {
		int r = read_heredoc(reader, &instruction->heredocs[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_instruction(struct reader *reader, struct line line,
			    struct dockerfile *dockerfile, struct error *err)
{
	struct dockerfile_instruction instruction;
	cleanup_str struct str text = {0};
	unsigned int first_line = reader->line;
	bool more = cut_continuation(reader, &line);
	int r;

	str_append_bytes(&text, line.text, line.length);
	if (more)
		join_lines(reader, dockerfile, &text);
	else if (line.length == 0)
		return 0;
	r = instruction_parse(str_text(&text), reader->escape, &instruction,
			      err);
	if (r < 0)
		return r;
	r = read_heredocs(reader, &instruction, err);
	if (r < 0) {
		instruction_release(&instruction);
		return r;
	}
	instruction.first_line = first_line;
	instruction.last_line = reader->line;
	if (instruction.trigger) {
		instruction.trigger->first_line = first_line;
		instruction.trigger->last_line = reader->line;
	}
	dockerfile->instructions =
		xrealloc(dockerfile->instructions, dockerfile->count + 1,
			 sizeof(*dockerfile->instructions));
	dockerfile->instructions[dockerfile->count++] = instruction;
	return 0;
}

static int read_all(struct reader *reader, struct dockerfile *dockerfile,
		    struct dockerfile_range *range, struct error *err)
{
	struct line line;

	while (read_line(reader, &line)) {
		int r;

		range->first_line = reader->line;
		skip_space(&line);
		if (line.length > 0 && *line.text == '#') {
			r = reader->directives ? read_directive(reader, &line,
								dockerfile, err)
					       : 0;
		} else {
			reader->directives = false;
			r = read_instruction(reader, line, dockerfile, err);
		}
		range->last_line = reader->line;
		if (r < 0)
			return err_wrap(err, "line %u", range->first_line);
	}
	*range = (struct dockerfile_range){0};
	if (dockerfile->count == 0)
		return err_set(err, ERROR_INVALID, "there is no instruction");
	return 0;
}

int dockerfile_parse(const char *text, size_t length,
		     struct dockerfile *ret_dockerfile,
		     struct dockerfile_range *ret_range, struct error *err)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct dockerfile dockerfile = {0};
	struct dockerfile_range range = {0};
	struct reader reader = {
		.next = text,
		.end = text + length,
		.escape = '\\',
		.directives = true,
	};
	int r;

	if (length > DOCKERFILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "a Dockerfile may have %u bytes, this one has "
			       "%zu",
			       DOCKERFILE_MAX, length);
	if (memchr(text, '\0', length))
		return err_set(err, ERROR_INVALID,
			       "there is a NUL byte in it: it is no text");
	if (length >= strlen(bom) && memcmp(text, bom, strlen(bom)) == 0)
		reader.next += strlen(bom);
	r = read_all(&reader, &dockerfile, &range, err);
	if (ret_range)
		*ret_range = range;
	if (r < 0) {
		dockerfile_release(&dockerfile);
		return r;
	}
	dockerfile.escape = reader.escape;
	*ret_dockerfile = dockerfile;
	return 0;
}

void dockerfile_release(struct dockerfile *dockerfile)
{
	for (size_t i = 0; i < dockerfile->count; i++)
		instruction_release(&dockerfile->instructions[i]);
	free(dockerfile->instructions);
	free(dockerfile->empty_lines);
	free(dockerfile->syntax);
	free(dockerfile->check);
	*dockerfile = (struct dockerfile){0};
}

char *dockerfile_trigger(const struct dockerfile_instruction *onbuild)
{
	struct str text = {0};

	str_append(&text, onbuild->trigger->text);
	for (size_t i = 0; i < onbuild->heredoc_count; i++)
		str_appendf(&text, "\n%s%s", onbuild->heredocs[i].content,
			    onbuild->heredocs[i].name);
	return str_steal(&text);
}
