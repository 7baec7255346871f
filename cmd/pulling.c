#include "cmd/pulling.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/credentials.h"
#include "cmd/member.h"
#include "cmd/progress.h"
#include "storage/store/digest.h"
#include "storage/store/reference.h"

enum pull_policy {
	PULL_MISSING,
	PULL_ALWAYS,
	PULL_NEVER,
};

typedef int (*transfer)(struct engine *engine,
			const struct engine_pull_request *request,
			cJSON **ret_result, struct error *err);

static int run_transfer(struct context *context, const struct pulling *pulling,
			bool push, struct error *err)
{
	const transfer run = push ? engine_image_push : engine_image_pull;
	const struct progress_options shown = {.fd = pulling->fd,
					       .quiet = pulling->quiet};
	struct engine_pull_request request = {
		.name = pulling->name,
		.platform = pulling->platform,
		.all_tags = pulling->all_tags,
	};
	cleanup_strv char **names = NULL;
	cleanup_json cJSON *result = NULL;
	struct progress progress;
	cJSON *auths;
	int r;

	r = engine_registry_names(&context->engine, pulling->name, push, &names,
				  err);
	if (r < 0)
		return r;
	auths = credentials_find_all(context->credentials, names);
	request.auths = auths;
	progress_open(&shown, &progress);
	request.progress_fd = progress.fd;
	r = run(&context->engine, &request, &result, err);
	r = progress_close(&progress, r, err);
	credentials_wipe(auths);
	credentials_forget(context->credentials);
	return r;
}

int pulling_run(struct context *context, const struct pulling *pulling,
		struct error *err)
{
	return run_transfer(context, pulling, false, err);
}

int pushing_run(struct context *context, const struct pulling *pushing,
		struct error *err)
{
	return run_transfer(context, pushing, true, err);
}

int content_trust_check(const struct options *options, struct error *err)
{
	if (option_flag(options, "disable-content-trust"))
		return 0;
	err_set(err, ERROR_UNSUPPORTED,
		"--disable-content-trust=false: moss checks digests, but no "
		"signatures");
	return err_hint(err, "Name the image by its digest, NAME@sha256:…, to "
			     "be sure of its content.");
}

static int pull_policy(const struct options *options,
		       enum pull_policy *ret_policy, struct error *err)
{
	static const char *const words[] = {
		[PULL_MISSING] = "missing",
		[PULL_ALWAYS] = "always",
		[PULL_NEVER] = "never",
	};
	const char *pull = option_string(options, "pull");

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_equal(words[i], pull)) {
			*ret_policy = (enum pull_policy)i;
			return 0;
		}
	return err_set(err, ERROR_INVALID,
		       "invalid pull option: '%s': must be one of \"always\", "
		       "\"missing\" or \"never\"",
		       pull);
}

/*
 * An image's ID, whole or as lists show it. A registry has no such names: it
 * would only be asked for whatever somebody may have called that.
 */
static bool is_image_id(const char *name)
{
	size_t length = strlen(name);

	if (str_starts(name, "sha256:"))
		return true;
	return length >= DIGEST_SHORT_MAX - 1 && length <= DIGEST_HEX &&
	       strspn(name, "0123456789abcdef") == length;
}

static int pull_for(struct context *context, const struct options *options,
		    const char *image, struct error *err)
{
	const struct pulling pulling = {
		.name = image,
		.platform = option_string(options, "platform"),
		.quiet = option_flag(options, "quiet"),
		.fd = STDERR_FILENO,
	};

	return pulling_run(context, &pulling, err);
}

static int no_such_image(const char *image, struct error *err)
{
	err_set(err, ERROR_NOT_FOUND, "No such image: %s", image);
	return err_hint(err, "`moss images` lists what is there.");
}

static void say_missing(const char *image)
{
	struct reference reference;
	cleanup_free char *familiar = NULL;

	if (reference_parse(image, &reference, NULL) == 0)
		familiar = reference_familiar(&reference);
	fprintf(stderr, "Unable to find image '%s' locally\n",
		familiar ? familiar : image);
}

/* After creation failed: 1 when the image is there, so that this was not why.
 */
static int image_is_there(struct context *context,
			  const struct options *options, const char *image)
{
	return engine_image_serves(&context->engine, image,
				   option_string(options, "platform"));
}

int create_pulling(struct context *context, const struct options *options,
		   const cJSON *body, const char *name,
		   char ret_id[ID_TEXT_MAX], char ***ret_warnings,
		   struct error *err)
{
	const char *image = text_of(body, "Image");
	enum pull_policy policy = PULL_MISSING;
	int r;

	r = content_trust_check(options, err);
	r = r < 0 ? r : pull_policy(options, &policy, err);
	if (r < 0)
		return r;
	if (policy == PULL_ALWAYS && !is_image_id(image)) {
		r = pull_for(context, options, image, err);
		if (r < 0)
			return r;
	}
	r = engine_container_create(&context->engine, body, name, ret_id,
				    ret_warnings, err);
	if (r >= 0 || err->kind != ERROR_NOT_FOUND || policy == PULL_ALWAYS ||
	    image_is_there(context, options, image))
		return r;
	if (policy == PULL_NEVER || is_image_id(image))
		return str_starts(err->message, "No such image")
			       ? no_such_image(image, err)
			       : r;
	if (!option_flag(options, "quiet"))
		say_missing(image);
	err_clear(err);
	r = pull_for(context, options, image, err);
	if (r < 0)
		return r;
	return engine_container_create(&context->engine, body, name, ret_id,
				       ret_warnings, err);
}
