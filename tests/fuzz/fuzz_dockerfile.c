/*
 * storage/dockerfile/{dockerfile,check,expand}.h: whatever is in a Dockerfile
 * is refused or understood, and what was understood is within the text.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/dockerfile/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *lookup(const char *name, void *data)
{
	return *name == 'A' ? "a/b.c" : NULL;
}

static void expand_all(const struct dockerfile *dockerfile)
{
	const struct expand expand = {.escape = dockerfile->escape,
				      .lookup = lookup};

	for (size_t i = 0; i < dockerfile->count; i++) {
		char *const *words = dockerfile->instructions[i].words;

		for (size_t j = 0; words && words[j]; j++) {
			cleanup_free char *word = NULL;
			cleanup_strv char **list = NULL;

			(void)expand_word(&expand, words[j], &word, NULL);
			(void)expand_words(&expand, words[j], &list, NULL);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	struct dockerfile_range range;
	struct error err = {0};

	if (dockerfile_parse((const char *)data, size, &dockerfile, &range,
			     &err) < 0) {
		assert(*err.message);
		return 0;
	}
	for (size_t i = 0; i < dockerfile.count; i++) {
		(void)instruction_check(&dockerfile.instructions[i], NULL);
		assert(dockerfile.instructions[i].first_line > 0 &&
		       dockerfile.instructions[i].last_line <= size + 1);
	}
	expand_all(&dockerfile);
	return 0;
}
