/*
 * moss images --tree: each image with its names, what it takes on disk, and
 * below it the platforms that its name stands for.
 */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/rows.h"

struct images_tree {
	cJSON *images; /* [{"Names": [text…], "Image": ImageSummary}…] */
};

void images_tree_release(struct images_tree *tree);
/* Names of one image come one after the other. */
void images_tree_add(struct images_tree *tree, const struct image_name *name);
/* columns: the terminal's width, 0: as wide as it needs to be. color: bold
   headings and names. Caller frees. */
char *images_tree_text(const struct images_tree *tree, size_t columns,
		       bool color);
