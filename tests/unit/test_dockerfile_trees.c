/*
 * A corpus of Dockerfiles with the trees that are expected of them:
 *
 *   test_dockerfile_trees DIRECTORY
 *
 * Each NAME.dockerfile there is parsed and checked, and what came of it, or the
 * error, has to be what NAME.tree says. MOSS_UPDATE=1 writes the trees instead.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/dockerfile.h"

#define SUFFIX ".dockerfile"

/* In one line, between bars. */
static void put_text(struct str *tree, const char *text)
{
	str_append_char(tree, '|');
	for (; *text; text++) {
		if (*text == '\n')
			str_append(tree, "\\n");
		else if (*text == '\t')
			str_append(tree, "\\t");
		else
			str_append_char(tree, *text);
	}
	str_append_char(tree, '|');
}

static void put_texts(struct str *tree, const char *title, char *const *texts)
{
	for (size_t i = 0; texts && texts[i]; i++) {
		str_append(tree, i == 0 ? title : " ");
		put_text(tree, texts[i]);
	}
	if (texts && texts[0])
		str_append_char(tree, '\n');
}

static void put_heredoc(struct str *tree,
			const struct dockerfile_heredoc *heredoc)
{
	str_appendf(tree, "    here %s fd %u%s%s ", heredoc->name, heredoc->fd,
		    heredoc->expand ? " expand" : "",
		    heredoc->chomp ? " chomp" : "");
	put_text(tree, heredoc->content);
	str_append_char(tree, '\n');
}

static void put_instruction(struct str *tree,
			    const struct dockerfile_instruction *instruction)
{
	str_appendf(tree, "%u-%u %s%s\n", instruction->first_line,
		    instruction->last_line,
		    dockerfile_keyword_name(instruction->keyword),
		    instruction->json ? " json" : "");
	put_texts(tree, "    flags ", instruction->flags);
	put_texts(tree, "    words ", instruction->words);
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		put_heredoc(tree, &instruction->heredocs[i]);
	if (instruction->trigger)
		put_instruction(tree, instruction->trigger);
}

static int check(const struct dockerfile *dockerfile, struct error *err)
{
	for (size_t i = 0; i < dockerfile->count; i++) {
		int r = instruction_check(&dockerfile->instructions[i], err);

		if (r < 0)
			return err_wrap(err, "line %u",
					dockerfile->instructions[i].first_line);
	}
	return 0;
}

static char *make_tree(const char *text, size_t length)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	struct error err = {0};
	struct str tree = {0};
	int r = dockerfile_parse(text, length, &dockerfile, NULL, &err);

	if (r == 0)
		r = check(&dockerfile, &err);
	if (r < 0) {
		str_appendf(&tree, "error: %s\n", err.message);
		return str_steal(&tree);
	}
	if (dockerfile.syntax)
		str_appendf(&tree, "syntax %s\n", dockerfile.syntax);
	if (dockerfile.check)
		str_appendf(&tree, "check %s\n", dockerfile.check);
	if (dockerfile.escape != '\\')
		str_appendf(&tree, "escape %c\n", dockerfile.escape);
	for (size_t i = 0; i < dockerfile.count; i++)
		put_instruction(&tree, &dockerfile.instructions[i]);
	for (size_t i = 0; i < dockerfile.empty_line_count; i++)
		str_appendf(&tree, "empty line %u\n",
			    dockerfile.empty_lines[i]);
	return str_steal(&tree);
}

/* 1 when it is as expected. */
static int compare(int dir_fd, const char *name)
{
	cleanup_free char *base = xstrndup(name, strlen(name) - strlen(SUFFIX));
	cleanup_free char *tree_name = xasprintf("%s.tree", base);
	cleanup_free char *text = NULL, *expected = NULL, *tree = NULL;
	size_t length;

	if (file_read_at(dir_fd, name, DOCKERFILE_MAX, &text, &length, NULL) <
	    0)
		return 0;
	tree = make_tree(text, length);
	if (getenv("MOSS_UPDATE"))
		return file_write_atomic_at(dir_fd, tree_name, tree,
					    strlen(tree), 0644, 0, NULL) >= 0;
	if (file_read_at(dir_fd, tree_name, DOCKERFILE_MAX, &expected, &length,
			 NULL) >= 0 &&
	    str_equal(tree, expected))
		return 1;
	printf("%s: expected\n%s\nand not\n%s\n", name,
	       expected ? expected : "a tree", tree);
	return 0;
}

int main(int argc, char **argv)
{
	cleanup_dir DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *entry;
	size_t count = 0, good = 0;

	if (!dir)
		return 2;
	while ((entry = readdir(dir))) {
		if (!str_ends(entry->d_name, SUFFIX))
			continue;
		count++;
		good += compare(dirfd(dir), entry->d_name) != 0;
	}
	printf("%zu of %zu Dockerfiles are as expected\n", good, count);
	return good == count && count > 0 ? 0 : 1;
}
