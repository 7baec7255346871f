/*
 * Platforms, "os/architecture[/variant]" in Go's names, as image indexes and
 * --platform write them. Only linux is run here; the architecture is kept as
 * it comes, for an image of another one can be stored and run by emulation.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define PLATFORM_PART_MAX 32

struct platform {
	char os[PLATFORM_PART_MAX];
	char architecture[PLATFORM_PART_MAX];
	char variant[PLATFORM_PART_MAX]; /* "" when there is none */
};

void platform_host(struct platform *ret_platform);
/*
 * "linux/arm64", "arm64", "linux", "linux/arm/v7"; other names of an
 * architecture (aarch64, x86_64, armhf) are put right.
 */
int platform_parse(const char *text, struct platform *ret_platform,
		   struct error *err);
/* Puts os, architecture and variant in their one usual form. NULL: "". */
void platform_set(struct platform *ret_platform, const char *os,
		  const char *architecture, const char *variant);

#define PLATFORM_TEXT_MAX (3 * PLATFORM_PART_MAX + 3)
void platform_text(char ret_text[PLATFORM_TEXT_MAX],
		   const struct platform *platform);

/*
 * How well `have` serves `wanted`: 0 not at all, larger is better, the exact
 * variant best. An ARM of a lower version serves a higher one.
 */
int platform_match(const struct platform *wanted, const struct platform *have);
