#include "cmd/docker_config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/credential_file.h"
#include "cmd/member.h"
#include "cmd/paths.h"

char *docker_config_path(void)
{
	const char *directory = getenv("DOCKER_CONFIG");
	const char *home = path_home();
	cleanup_free char *here = NULL;
	cleanup_free char *relative = NULL;

	if (str_empty(directory))
		return home ? path_join(home, ".docker/config.json") : NULL;
	if (directory[0] == '/')
		return path_join(directory, "config.json");
	/* A relative one would be lost with a change of directory. */
	here = getcwd(NULL, 0);
	relative = path_join(directory, "config.json");
	return path_join(here ? here : "/", relative);
}

cJSON *docker_config_read(void)
{
	static bool said;
	cleanup_free char *path = docker_config_path();
	struct error err = {0};
	cJSON *json = NULL;

	if (path && credential_file_read(path, &json, &err) < 0 && !said) {
		report_warning("Error loading config file: %s", err.message);
		said = true;
	}
	return json ? json : json_object();
}

const char *docker_config_detach_keys(const cJSON *config)
{
	const char *keys = text_of(config, "detachKeys");

	return str_empty(keys) ? NULL : keys;
}

void docker_config_add_proxies(const cJSON *config, char ***env)
{
	static const struct {
		const char *member;
		const char *variables[2];
	} rows[] = {
		{"httpProxy", {"HTTP_PROXY", "http_proxy"}},
		{"httpsProxy", {"HTTPS_PROXY", "https_proxy"}},
		{"ftpProxy", {"FTP_PROXY", "ftp_proxy"}},
		{"noProxy", {"NO_PROXY", "no_proxy"}},
		{"allProxy", {"ALL_PROXY", "all_proxy"}},
	};
	const cJSON *proxies =
		member_of(member_of(config, "proxies"), "default");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value = text_of(proxies, rows[i].member);

		if (str_empty(value))
			continue;
		env_set(env, rows[i].variables[0], value);
		env_set(env, rows[i].variables[1], value);
	}
}

char *docker_config_format(const struct options *options, const char *member,
			   bool quiet)
{
	const char *format = option_string(options, "format");
	cleanup_json cJSON *config = NULL;

	if (!str_empty(format))
		return xstrdup(format);
	if (quiet)
		return NULL;
	config = docker_config_read();
	format = text_of(config, member);
	return str_empty(format) ? NULL : xstrdup(format);
}
