/*
 * The portable half of a container: docker's Config, made from the body of
 * ContainerCreate and the image's config by docker's rules. The user's value
 * wins; environment, labels, exposed ports and volumes are united, and so are
 * the members of a health check; an entrypoint given by the user drops the
 * image's command; [""] clears the image's entrypoint.
 *
 * An image's config is foreign input like a body: types and sizes are checked
 * here, members that do not concern running it are ignored.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

#define CONFIG_ENV_MAX	    8192 /* variables, labels, words of a test */
#define CONFIG_VOLUMES_MAX  512
#define CONFIG_HOSTNAME_MAX 64 /* HOST_NAME_MAX */

/*
 * body: checked by container_body_check(). image_config: the member "config" of
 * an OCI image config, may be NULL. Hostname stays as the body has it.
 */
int config_merge(const cJSON *body, const cJSON *image_config,
		 cJSON **ret_config, struct error *err);

/* Types of the body's own members and what they may hold. */
int config_check_body(const cJSON *body, struct error *err);

/* docker's Config members of an image alone, for ImageInspect. */
int config_of_image(const cJSON *image_config, cJSON **ret_config,
		    struct error *err);

/* Path and Args of docker's inspect. */
void config_command(const cJSON *config, const char **ret_path,
		    cJSON **ret_args);

/*
 * The process's environment: PATH, HOSTNAME and with a terminal TERM, then the
 * container's. "NAME" without "=" removes it.
 */
char **config_environment(const cJSON *config);
void config_environment_apply(char ***env, char *const *variables);

/* "name", "uid", "name:group" …: what a --user option may look like. */
int config_check_user(const char *user, struct error *err);
