/* moss login and logout. */
#include "cmd/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/credential_file.h"
#include "cmd/credentials.h"
#include "cmd/prompt.h"
#include "storage/registry/registries.h"

#define PASSWORD_MAX (64u << 10) /* bytes of --password-stdin */

/* clang-format off */
static const struct option login_options[] = {
	{'p', "password", OPTION_STRING, NULL, NULL, "Password or Personal Access Token (PAT)", false},
	{0, "password-stdin", OPTION_FLAG, NULL, NULL, "Take the Password or Personal Access Token (PAT) from stdin", false},
	{'u', "username", OPTION_STRING, NULL, NULL, "Username", false},
	{0},
};
/* clang-format on */

/* The registry that the operand names, docker.io by default. */
static int registry_of(const struct options *options, char **ret_registry,
		       struct error *err)
{
	const char *server = options->operands ? options->operands[0] : NULL;
	cleanup_free char *registry = NULL;

	registry = str_empty(server) ? xstrdup(REGISTRY_DOCKER)
				     : credential_registry(server);
	if (!registry_host_is_valid(registry))
		return err_set(err, ERROR_INVALID,
			       "%s is not a registry's address", server);
	*ret_registry = steal_ptr(&registry);
	return 0;
}

static int check_options(const struct options *options, struct error *err)
{
	bool from_stdin = option_flag(options, "password-stdin");

	if (option_given(options, "password") && from_stdin)
		return err_set(err, ERROR_INVALID,
			       "conflicting options: cannot specify both "
			       "--password and --password-stdin");
	if (from_stdin && str_empty(option_string(options, "username")))
		return err_set(err, ERROR_INVALID,
			       "the --password-stdin option requires "
			       "--username to be set");
	return 0;
}

static int read_password(char **ret_password, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	r = file_read_fd(STDIN_FILENO, "standard input", PASSWORD_MAX, &text,
			 &length, err);
	if (r < 0)
		return r;
	if (strlen(text) != length)
		return err_set(err, ERROR_INVALID,
			       "the password has a NUL byte");
	if (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	if (length > 0 && text[length - 1] == '\r')
		text[--length] = '\0';
	*ret_password = steal_ptr(&text);
	return 0;
}

static int no_terminal(struct error *err)
{
	err_set(err, ERROR_INVALID,
		"Cannot perform an interactive login from a non TTY device");
	return err_hint(err, "Give the user with -u and the password with "
			     "--password-stdin.");
}

/* Asks for what the options left open. */
static int ask(const char *default_user, struct registry_auth *auth,
	       struct error *err)
{
	cleanup_free char *question = NULL;
	int r;

	if (str_empty(auth->username)) {
		question = str_empty(default_user)
				   ? xstrdup("Username: ")
				   : xasprintf("Username (%s): ", default_user);
		free(auth->username);
		auth->username = NULL;
		r = prompt_ask(question, true, &auth->username, err);
		if (r < 0)
			return r == -ENOTTY ? no_terminal(err) : r;
		if (str_empty(auth->username) && default_user) {
			free(auth->username);
			auth->username = xstrdup(default_user);
		}
		if (str_empty(auth->username))
			return err_set(err, ERROR_INVALID,
				       "Non-null Username Required");
	}
	if (str_empty(auth->password)) {
		free(auth->password);
		auth->password = NULL;
		r = prompt_ask("Password: ", false, &auth->password, err);
		if (r < 0)
			return r == -ENOTTY ? no_terminal(err) : r;
		if (str_empty(auth->password))
			return err_set(err, ERROR_INVALID, "Password Required");
	}
	if (strchr(auth->username, ':'))
		return err_set(err, ERROR_INVALID,
			       "a username has no colon: %s", auth->username);
	return 0;
}

static int check_with_server(struct context *context, const char *registry,
			     struct registry_auth *auth, struct error *err)
{
	cJSON *json = registry_auth_to_json(auth);
	cJSON *auths = json_object();
	cleanup_free char *token = NULL;
	int r;

	r = engine_registry_login(&context->engine, registry, json, &token,
				  err);
	json_set(auths, registry, json);
	credentials_wipe(auths);
	if (r >= 0 && token) {
		free(auth->identity_token);
		auth->identity_token = steal_ptr(&token);
	}
	return r;
}

/* 1 when what is stored was accepted; *ret_user: whose it is. */
static int try_stored(struct context *context, const char *registry,
		      char **ret_user, struct error *err)
{
	CLEANUP(registry_auth_release) struct registry_auth auth = {0};
	struct error error = {0};
	int r;

	if (credentials_find(context->credentials, registry, &auth) == 0 ||
	    (!auth.identity_token && str_empty(auth.password)))
		return 0;
	fprintf(stderr, "Authenticating with existing credentials...");
	if (auth.username)
		fprintf(stderr, " [Username: %s]", auth.username);
	fprintf(stderr,
		"\n\n Info -> To login with a different account, run 'moss "
		"logout' followed by 'moss login'\n\n");
	*ret_user = xstrdup(auth.username);
	r = check_with_server(context, registry, &auth, &error);
	if (r >= 0)
		return 1;
	if (error.kind != ERROR_PERMISSION)
		return err_copy(err, &error);
	fprintf(stderr, "Login did not succeed, error: %s\n", error.message);
	return 0;
}

static void warn_unencrypted(const char *file)
{
	fprintf(stderr,
		"\nWARNING! Your credentials are stored unencrypted in '%s'.\n"
		"Configure a credential helper to remove this warning. See\n"
		"https://docs.docker.com/go/credential-store/\n\n",
		file);
}

static int login_new(struct context *context, const char *registry,
		     const char *default_user, struct registry_auth *auth,
		     struct error *err)
{
	cleanup_free char *file = NULL;
	int r;

	r = ask(default_user, auth, err);
	r = r < 0 ? r : check_with_server(context, registry, auth, err);
	r = r < 0 ? r
		  : credentials_store(context->credentials, registry, auth,
				      &file, err);
	if (r >= 0 && file)
		warn_unencrypted(file);
	return r;
}

static int login(struct context *context, const struct options *options,
		 struct error *err)
{
	CLEANUP(registry_auth_release) struct registry_auth auth = {0};
	cleanup_free char *registry = NULL;
	cleanup_free char *user = NULL;
	int r;

	r = check_options(options, err);
	r = r < 0 ? r : registry_of(options, &registry, err);
	if (r < 0)
		return r;
	auth.username = xstrdup(option_string(options, "username"));
	auth.password = xstrdup(option_string(options, "password"));
	if (auth.password)
		fprintf(stderr, "WARNING! Using --password via the CLI is "
				"insecure. Use --password-stdin.\n");
	if (option_flag(options, "password-stdin")) {
		r = read_password(&auth.password, err);
		if (r < 0)
			return r;
	}
	if (!auth.username && !auth.password) {
		r = try_stored(context, registry, &user, err);
		if (r != 0)
			return r;
	}
	return login_new(context, registry, user, &auth, err);
}

static int login_main(struct context *context, const struct options *options)
{
	struct error err = {0};

	if (login(context, options, &err) < 0)
		return command_fail(context, &err);
	printf("Login Succeeded\n");
	return 0;
}

static int logout_main(struct context *context, const struct options *options)
{
	cleanup_free char *registry = NULL;
	struct error err = {0};
	int r;

	r = registry_of(options, &registry, &err);
	r = r < 0 ? r : credentials_erase(context->credentials, registry, &err);
	if (r < 0)
		return command_fail(context, &err);
	printf(r > 0 ? "Removing login credentials for %s\n"
		     : "Not logged in to %s\n",
	       credential_key(registry));
	return 0;
}

static const struct option *const login_tables[] = {login_options, NULL};

const struct command command_login = {
	.name = "login",
	.usage = "[OPTIONS] [SERVER]",
	.summary = "Authenticate to a registry",
	.options = login_tables,
	.operands_max = 1,
	.credentials = CREDENTIALS_WRITTEN,
	.run = login_main,
	.group = "Common Commands",
};

const struct command command_logout = {
	.name = "logout",
	.usage = "[SERVER]",
	.summary = "Log out from a registry",
	.operands_max = 1,
	.no_engine = true,
	.credentials = CREDENTIALS_WRITTEN,
	.run = logout_main,
	.group = "Common Commands",
};
