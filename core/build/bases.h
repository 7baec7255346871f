/*
 * The images that a build begins with or takes files from: found in the store,
 * or pulled, before anything else is done, as their configs and ONBUILD
 * instructions are needed to know the steps.
 *
 * --build-context puts others in their place (named_contexts.h). An image's
 * layers are leased in the build's work. What ONBUILD instructions take from
 * other stages makes these needed, and images that they take from are found as
 * well.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/build/builder.h"

/* Fills images and, in plans, image and triggers; may need more stages. */
int bases_find(struct builder *builder, struct error *err);
void bases_free(struct builder_image *image);
/* What the user's side knows of the registries that a reference may lead to:
   AuthConfigs, the caller's to free; NULL: none. */
int bases_ask_credentials(const struct builder *builder, const char *reference,
			  bool for_push, cJSON **ret_auths, struct error *err);
/* An image that bases_find() has found; NULL: there is none. */
const struct builder_image *bases_get(const struct builder *builder,
				      const char *name, const char *platform);
