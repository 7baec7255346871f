/*
 * The stages of a Dockerfile as a graph: which image or stage each begins with,
 * which others it takes files from, and which of them a target needs at all.
 *
 * Known before anything is built are the ARGs in front of the first FROM, the
 * --build-arg values and the arguments of the platform; with these the words of
 * FROM are expanded. Names of stages are compared without regard to case, a
 * later one hides an earlier of that name, and a number counts from 0. A name
 * that is no stage is an image's; one of a stage that comes later is an error
 * where files are to be taken from it.
 *
 * What --build-context says goes first (named_contexts.h): it takes the place
 * of a stage or an image of that name. A stage that begins with a directory
 * begins with nothing, and COPY --from of all of it is its first instruction.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "storage/dockerfile/dockerfile.h"

#define STAGE_NONE ((size_t)-1) /* an image instead */

/* What a stage takes from elsewhere. */
struct stage_source {
	size_t stage; /* STAGE_NONE: image */
	char *image;
	unsigned int line; /* of who wants it */
};

struct stage {
	char *name;	/* as written; NULL: it has none */
	char *platform; /* expanded; NULL: the build's */
	struct stage_source base;
	bool scratch; /* FROM scratch: base is neither */
	struct stage_source *sources;
	size_t source_count;
	/* Behind its FROM, in the Dockerfile. */
	const struct dockerfile_instruction *instructions;
	size_t count;
	bool replaced;	 /* by what --build-context says: there are none */
	char *directory; /* the context of that name is where it begins */
	struct dockerfile copy; /* of it; owns the first of instructions */
	struct dockerfile_instruction *own; /* instructions; NULL: borrowed */
	unsigned int line;		    /* of its FROM */
	bool needed;
};

struct stages {
	struct stage *list;
	size_t count;
	size_t target;
	char **arguments; /* "NAME=VALUE": the ARGs before the first FROM, with
			     their values */
};

struct stages_request {
	const struct dockerfile *dockerfile; /* checked; must outlive stages */
	char *const *build_args;	     /* "NAME=VALUE" */
	char *const *platform_args; /* TARGETPLATFORM and the like, likewise */
	const char *target;	    /* name or number; NULL: the last stage */
	const cJSON *contexts;	    /* of --build-context; NULL: none */
};

#define cleanup_stages CLEANUP(stages_release)

int stages_parse(const struct stages_request *request,
		 struct stages *ret_stages, struct dockerfile_range *ret_range,
		 struct error *err);
void stages_release(struct stages *stages);
/*
 * What an ONBUILD instruction takes from elsewhere is taken by the stage that
 * it is done in, so that other stages may be needed.
 */
int stages_add_trigger(struct stages *stages, size_t stage,
		       const struct dockerfile_instruction *trigger,
		       struct error *err);

/*
 * Checks all instructions, and that a stage has begun where one must have. The
 * error names the line.
 */
int dockerfile_check(const struct dockerfile *dockerfile,
		     struct dockerfile_range *ret_range, struct error *err);
