#include "cmd/global_options.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char no_daemon[] =
	"there is no daemon: moss works where it is called";
static const char no_debug[] = "messages have no levels here";

static const struct global {
	char short_name;
	const char *name;
	bool has_value;
	const char *why; /* it is refused; NULL: --config */
} globals[] = {
	{0, "config", true, NULL},	    {'c', "context", true, no_daemon},
	{'D', "debug", false, no_debug},    {'H', "host", true, no_daemon},
	{'l', "log-level", true, no_debug}, {0, "tls", false, no_daemon},
	{0, "tlscacert", true, no_daemon},  {0, "tlscert", true, no_daemon},
	{0, "tlskey", true, no_daemon},	    {0, "tlsverify", false, no_daemon},
};

/* "--name", "--name=value", "-n", "-nvalue"; *ret_value is what follows. */
static const struct global *find(const char *word, const char **ret_value)
{
	for (size_t i = 0; i < ARRAY_SIZE(globals); i++) {
		const struct global *global = &globals[i];
		size_t length = strlen(global->name);

		*ret_value = NULL;
		if (str_starts(word, "--") &&
		    strncmp(word + 2, global->name, length) == 0 &&
		    (word[2 + length] == '\0' || word[2 + length] == '=')) {
			if (word[2 + length])
				*ret_value = word + 2 + length + 1;
			return global;
		}
		if (global->short_name && word[0] == '-' &&
		    word[1] == global->short_name) {
			if (word[2])
				*ret_value = word + 2 + (word[2] == '=');
			return global;
		}
	}
	return NULL;
}

int global_options_take(int *argc, char ***argv, struct error *err)
{
	while (*argc > 0) {
		const char *word = (*argv)[0];
		const char *value = NULL;
		const struct global *global = find(word, &value);

		if (!global)
			return 0;
		if (global->why) {
			err_set(err, ERROR_UNSUPPORTED,
				"--%s is not supported: %s", global->name,
				global->why);
			return err_hint(err, "Leave it out.");
		}
		if (!value) {
			if (*argc < 2)
				return err_set(err, ERROR_INVALID,
					       "flag needs an argument: --%s",
					       global->name);
			++*argv;
			--*argc;
			value = (*argv)[0];
		}
		setenv("DOCKER_CONFIG", value, 1);
		++*argv;
		--*argc;
	}
	return 0;
}
