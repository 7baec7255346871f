#include "core/runtime/init/init.h"

#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#ifndef AT_EACCESS
#define AT_EACCESS 0x200
#endif
#define ACCESS_EXECUTE 1

#define HINT_INTERPRETER                                                     \
	"the file is there, but the interpreter or dynamic loader it names " \
	"is not in the container"
#define HINT_FORMAT                                                      \
	"it is neither a program for this machine's architecture nor a " \
	"script that starts with #!"

static bool has_slash(const char *text)
{
	for (; *text; text++) {
		if (*text == '/')
			return true;
	}
	return false;
}

/* 0 when path can be executed by what this process has become. */
static long check(const char *path)
{
	struct statx found = {0};
	long result;

	result =
		SYS5(statx, AT_FDCWD, path, 0, STATX_TYPE | STATX_MODE, &found);
	if (result < 0)
		return result;
	if ((found.stx_mode & 0170000) == 0040000)
		return -EISDIR;
	result = SYS4(faccessat2, AT_FDCWD, path, ACCESS_EXECUTE, AT_EACCESS);
	if (result == -ENOSYS || result == -EPERM)
		return found.stx_mode & 0111 ? 0 : -EACCES;
	return result;
}

static const char *path_of_environment(char **env)
{
	for (; *env; env++) {
		const char *entry = *env;

		if (entry[0] == 'P' && entry[1] == 'A' && entry[2] == 'T' &&
		    entry[3] == 'H' && entry[4] == '=')
			return entry + 5;
	}
	return "";
}

/* directory + "/" + name; an empty directory is the working directory. */
static bool join(char ret_path[INIT_PATH_MAX], const char *directory,
		 size_t directory_length, const char *name)
{
	size_t length = 0;

	if (directory_length + 2 > INIT_PATH_MAX)
		return false;
	if (directory_length == 0)
		ret_path[length++] = '.';
	for (size_t i = 0; i < directory_length; i++)
		ret_path[length++] = directory[i];
	ret_path[length++] = '/';
	while (*name && length + 1 < INIT_PATH_MAX)
		ret_path[length++] = *name++;
	ret_path[length] = '\0';
	return *name == '\0';
}

void command_find(const struct init_state *state, char ret_path[INIT_PATH_MAX])
{
	const char *name = state->argv[0];
	const char *path = path_of_environment(state->env);
	enum error_kind kind = ERROR_NOT_EXECUTABLE;
	long result;

	if (has_slash(name)) {
		if (!join(ret_path, "", 0, name))
			result = -ENAMETOOLONG;
		else
			result = check(name);
		if (result == 0) {
			for (size_t i = 0; (ret_path[i] = name[i]); i++)
				;
			return;
		}
		if (result == -ENOENT || result == -ENAMETOOLONG)
			kind = ERROR_NO_SUCH_COMMAND;
		fail_command(kind, result, "exec: \"", name, "\": ", "");
	}

	while (*name && *path) {
		size_t length = 0;

		while (path[length] && path[length] != ':')
			length++;
		if (join(ret_path, path, length, name) && check(ret_path) == 0)
			return;
		path += length;
		if (*path == ':')
			path++;
	}
	fail_command(ERROR_NO_SUCH_COMMAND, 0, "exec: \"", name,
		     "\": executable file not found in $PATH", "");
}

_Noreturn void command_failed(const char *path, long result)
{
	const char *hint = "";
	enum error_kind kind = ERROR_NOT_EXECUTABLE;

	if (result == -ENOENT) {
		kind = ERROR_NO_SUCH_COMMAND;
		hint = HINT_INTERPRETER;
	} else if (result == -ENOEXEC || result == -ELIBBAD) {
		hint = HINT_FORMAT;
	}
	fail_command(kind, result, "exec ", path, ": ", hint);
}
