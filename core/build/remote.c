#include "core/build/remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/transfer_build.h"

#define GIT_OUTPUT_MAX (64u << 10)
#define GIT_UMASK      022
#define DEPTH_MAX      512 /* directories in a repository */
#define COMMIT_MIN     7   /* digits that may be the beginning of one */

/* A git URL and what stands behind its "#". */
struct location {
	char *url;
	char *ref;    /* "HEAD" when there is none */
	char *subdir; /* "" for all */
};

#define cleanup_location CLEANUP(location_release)

static void location_release(struct location *location)
{
	free(location->url);
	free(location->ref);
	free(location->subdir);
}

/* ---- URLs ---- */

static bool starts_any(const char *text, const char *const *prefixes)
{
	for (; *prefixes; prefixes++) {
		if (strncasecmp(text, *prefixes, strlen(*prefixes)) == 0)
			return true;
	}
	return false;
}

bool remote_is_git(const char *source)
{
	static const char *const always[] = {"git://", "ssh://", "git@",
					     "github.com/", NULL};
	static const char *const web[] = {"http://", "https://", NULL};
	cleanup_free char *path = xstrndup(source, strcspn(source, "?#"));

	return starts_any(source, always) ||
	       (starts_any(source, web) && str_ends(path, ".git"));
}

/* What git would take for an option, or run. */
static int check_text(const char *what, const char *text, struct error *err)
{
	bool bad = *text == '-' || !*text;

	for (const char *at = text; *at; at++)
		bad = bad || (unsigned char)*at <= ' ' || *at == 0x7f;
	return bad ? err_set(err, ERROR_INVALID,
			     "\"%.256s\" cannot be the %s of a git repository",
			     text, what)
		   : 0;
}

static int parse(const char *text, struct location *ret_location,
		 struct error *err)
{
	cleanup_location struct location location = {0};
	cleanup_free char *base = xstrdup(text);
	char *fragment = strchr(base, '#');
	char *subdir = NULL;
	int r;

	if (fragment) {
		*fragment++ = '\0';
		subdir = strchr(fragment, ':');
	}
	if (subdir)
		*subdir++ = '\0';
	location.url = str_starts(base, "github.com/")
			       ? xasprintf("https://%s", base)
			       : xstrdup(base);
	location.ref = xstrdup(str_empty(fragment) ? "HEAD" : fragment);
	location.subdir = xstrdup(subdir ? subdir : "");
	r = check_text("URL", location.url, err);
	if (r == 0)
		r = check_text("reference", location.ref, err);
	if (r < 0)
		return r;
	*ret_location = location;
	location = (struct location){0};
	return 0;
}

/* ---- git ---- */

/*
 * Keys are those of an agent. In the pinned namespace ssh takes itself for
 * root's and would not find the hosts that the user knows.
 */
static void set_ssh(char ***env)
{
	static const char plain[] = "ssh -F /dev/null -o BatchMode=yes";
	const char *home = getenv("HOME");
	cleanup_free char *command = NULL;

	/* It is the shell that reads it. */
	if (!home || strchr(home, '\''))
		command = xstrdup(plain);
	else
		command = xasprintf("%s -o 'UserKnownHostsFile "
				    "\"%s/.ssh/known_hosts\"'",
				    plain, home);
	env_set(env, "GIT_SSH_COMMAND", command);
}

/*
 * Nothing is taken over but where programs are, and how to speak to an SSH
 * agent.
 */
static char **git_environment(void)
{
	static const char *const kept[] = {
		"PATH",		"HOME",	       "USER",	     "SSH_AUTH_SOCK",
		"http_proxy",	"https_proxy", "HTTP_PROXY", "HTTPS_PROXY",
		"no_proxy",	"NO_PROXY",    "ALL_PROXY",  "SSL_CERT_FILE",
		"SSL_CERT_DIR",
	};
	char **env = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value)
			env_set(&env, kept[i], value);
	}
	env_set(&env, "LC_ALL", "C");
	env_set(&env, "GIT_CONFIG_NOSYSTEM", "1");
	env_set(&env, "GIT_CONFIG_GLOBAL", "/dev/null");
	env_set(&env, "GIT_TERMINAL_PROMPT", "0");
	env_set(&env, "GIT_ASKPASS", "/bin/false");
	set_ssh(&env);
	env_set(&env, "GIT_ALLOW_PROTOCOL", "http:https:ssh:git");
	return env;
}

/* Only a program that is nowhere is not found. */
static int explain(struct error *err)
{
	if (err->kind != ERROR_NOT_FOUND)
		return err_return(err);
	err_set(err, ERROR_UNSUPPORTED,
		"a git repository cannot be fetched: git is not installed "
		"here");
	return err_hint(err, "install git, or build from a directory that it "
			     "was cloned into");
}

/*
 * git ARGUMENTS in directory (NULL: anywhere). ret_output may be NULL; caller
 * frees.
 */
static int git(const char *directory, const char *const *arguments,
	       char **ret_output, struct error *err)
{
	static const char *const fixed[] = {
		"git",
		"-c",
		"core.hooksPath=/dev/null",
		"-c",
		"core.fsmonitor=false",
		"-c",
		"protocol.ext.allow=never",
		"-c",
		"protocol.file.allow=never",
		"-c",
		"credential.helper=",
		"-c",
		"http.lowSpeedLimit=1",
		"-c",
		"gc.auto=0",
		"-c",
		"advice.detachedHead=false",
	};
	cleanup_strv char **argv = NULL;
	cleanup_strv char **env = git_environment();
	cleanup_free char *output = NULL;
	struct spawn spawn = {.path = "git", .die_with_parent = true};
	struct error error = {0};
	mode_t umask_before;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		strv_push(&argv, fixed[i]);
	strv_push(&argv, "-c");
	strv_push_take(&argv,
		       xasprintf("http.lowSpeedTime=%d", REMOTE_STALL_S));
	if (directory) {
		strv_push(&argv, "-C");
		strv_push(&argv, directory);
	}
	for (; *arguments; arguments++)
		strv_push(&argv, *arguments);
	spawn.argv = argv;
	spawn.env = env;
	umask_before = umask(GIT_UMASK);
	r = proc_capture(&spawn, GIT_OUTPUT_MAX, &output, &error);
	umask(umask_before);
	if (r < 0) {
		explain(&error);
		return err_copy(err, &error);
	}
	if (ret_output)
		*ret_output = steal_ptr(&output);
	return 0;
}

static bool may_be_commit(const char *ref)
{
	size_t length = strlen(ref);

	return length >= COMMIT_MIN && length <= 64 &&
	       strspn(ref, "0123456789abcdef") == length;
}

static bool is_whole_commit(const char *text)
{
	size_t length = strlen(text);

	return (length == 40 || length == 64) && may_be_commit(text);
}

static char *first_word(const char *text)
{
	return xstrndup(text, strcspn(text, " \t\n"));
}

/*
 * One commit alone, where the server gives it. Of one that is named by its
 * number not every server does, nor of the beginning of a number: then all of
 * the repository, and what is wanted is in it.
 */
static int fetch(const char *directory, const struct location *location,
		 struct error *err)
{
	const char *const shallow[] = {
		"fetch", "-q",		"--depth=1",   "--no-tags",
		"--",	 location->url, location->ref, NULL,
	};
	const char *const whole[] = {
		"fetch", "-q",		"--tags",
		"--",	 location->url, "+refs/heads/*:refs/remotes/origin/*",
		NULL,
	};
	cleanup_free char *commit = xasprintf("%s^{commit}", location->ref);
	const char *const named[] = {"checkout", "-q", "--detach", commit,
				     NULL};
	const char *const fetched[] = {"checkout", "-q", "--detach",
				       "FETCH_HEAD", NULL};
	int r = git(directory, shallow, NULL, err);

	if (r == 0)
		return git(directory, fetched, NULL, err);
	if (!may_be_commit(location->ref))
		return r;
	r = git(directory, whole, NULL, err);
	return r < 0 ? r : git(directory, named, NULL, err);
}

static int check_out(const char *directory, const struct location *location,
		     struct error *err)
{
	const char *const init[] = {"init", "-q", NULL};
	const char *const origin[] = {"remote", "add", "origin", location->url,
				      NULL};
	const char *const submodules[] = {
		"submodule",   "update",    "-q", "--init",
		"--recursive", "--depth=1", NULL,
	};
	cleanup_free char *modules = xasprintf("%s/.gitmodules", directory);
	int r = git(directory, init, NULL, err);

	/* Submodules may be told relative to it. */
	if (r == 0)
		r = git(directory, origin, NULL, err);
	if (r == 0)
		r = fetch(directory, location, err);
	if (r == 0 && access(modules, F_OK) == 0)
		r = git(directory, submodules, NULL, err);
	return r;
}

static int check_commit(const char *directory, const char *expected,
			struct error *err)
{
	const char *const arguments[] = {"rev-parse", "HEAD", NULL};
	cleanup_free char *output = NULL;
	cleanup_free char *commit = NULL;
	int r = git(directory, arguments, &output, err);

	if (r < 0)
		return r;
	commit = first_word(output);
	if (may_be_commit(expected) && str_starts(commit, expected))
		return 0;
	return err_set(err, ERROR_CORRUPT,
		       "expected checksum to match %s, got %s", expected,
		       commit);
}

/* ---- the files ---- */

/* git's own directories, and the files that stand for them in submodules. */
static int remove_git(int dir_fd, unsigned int depth, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = tree_remove_at(dir_fd, ".git", err);

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return err_errno(err, "cannot read the repository");
	if (depth > DEPTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "the repository is too many directories deep");
	while (r >= 0 && (entry = readdir(dir))) {
		cleanup_fd int sub = -1;

		if (str_equal(entry->d_name, ".") ||
		    str_equal(entry->d_name, ".."))
			continue;
		sub = openat(dirfd(dir), entry->d_name,
			     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			r = remove_git(sub, depth + 1, err);
	}
	return r < 0 ? r : 0;
}

/* Within the repository, whatever links there are. Caller frees. */
static int enter(const char *directory, const char *subdir, char **ret_path,
		 struct error *err)
{
	cleanup_fd int top =
		open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char link[PATH_FD_MAX];
	char path[PATH_MAX];
	cleanup_fd int fd = -1;
	ssize_t length;

	if (top < 0)
		return err_errno(err, "cannot open the repository");
	fd = path_open_in_root(top, *subdir ? subdir : "/",
			       O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(err, ERROR_NOT_FOUND,
			       "the repository has no directory %s", subdir);
	path_of_fd(link, fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return err_errno(err, "cannot open the repository");
	*ret_path = xstrndup(path, (size_t)length);
	return 0;
}

static int new_directory(const struct remote_request *request, char **ret_path,
			 struct error *err)
{
	cleanup_free char *path =
		xasprintf("%s/tmp/%s/git-XXXXXX", request->store->path,
			  request->work->name);

	if (!mkdtemp(path))
		return err_errno(err, "cannot make a directory in the store");
	*ret_path = steal_ptr(&path);
	return 0;
}

int remote_git_checkout(const struct remote_request *request,
			const struct remote_git *source, char **ret_path,
			struct error *err)
{
	cleanup_location struct location location = {0};
	cleanup_free char *directory = NULL;
	cleanup_fd int fd = -1;
	int r = parse(source->url, &location, err);

	if (r == 0)
		r = new_directory(request, &directory, err);
	if (r < 0)
		return r;
	r = check_out(directory, &location, err);
	if (r == 0 && source->checksum)
		r = check_commit(directory, source->checksum, err);
	if (r < 0)
		return err_wrap(err, "cannot fetch %s", source->url);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", directory);
	if (!source->keep_git_dir)
		r = remove_git(fd, 0, err);
	if (r == 0)
		r = enter(directory, location.subdir, ret_path, err);
	return r < 0 ? err_wrap(err, "cannot use %s", source->url) : 0;
}

int remote_git_commit(const char *url, char **ret_commit, struct error *err)
{
	cleanup_location struct location location = {0};
	cleanup_free char *output = NULL;
	cleanup_free char *commit = NULL;
	const char *arguments[] = {"ls-remote", "-q", "--", NULL, NULL, NULL};
	int r = parse(url, &location, err);

	if (r < 0)
		return r;
	if (is_whole_commit(location.ref)) {
		*ret_commit = steal_ptr(&location.ref);
		return 0;
	}
	arguments[3] = location.url;
	arguments[4] = location.ref;
	r = git(NULL, arguments, &output, err);
	if (r < 0)
		return err_wrap(err, "cannot fetch %s", url);
	commit = first_word(output);
	/* The beginning of a commit is no name for the server. */
	if (!is_whole_commit(commit) && may_be_commit(location.ref)) {
		*ret_commit = steal_ptr(&location.ref);
		return 0;
	}
	if (!is_whole_commit(commit))
		return err_set(err, ERROR_NOT_FOUND,
			       "cannot fetch %s: the repository has no %s", url,
			       location.ref);
	*ret_commit = steal_ptr(&commit);
	return 0;
}

/* ---- contexts ---- */

int remote_context(const struct remote_request *request, const cJSON *context,
		   char **ret_path, char **ret_dockerfile, struct error *err)
{
	struct context_fetch_request fetch = {
		.input_fd = request->input_fd,
		.lease = request->work->name,
		.progress_fd = request->progress_fd,
	};
	struct remote_git source = {.keep_git_dir = request->keep_git_dir};
	const char *type = "", *url = NULL;
	int r = json_get_string(context, "context", "type", &type, err);

	if (r >= 0)
		r = json_get_string(context, "context", "url", &url, err);
	if (r < 0)
		return r;
	if (!str_equal(type, "tar") && !url)
		return err_set(err, ERROR_INVALID,
			       "the build's context has no URL");
	if (str_equal(type, "git")) {
		source.url = url;
		return remote_git_checkout(request, &source, ret_path, err);
	}
	if (str_equal(type, "url"))
		fetch.url = url;
	else if (!str_equal(type, "tar") || request->input_fd < 0)
		return err_set(err, ERROR_INVALID,
			       "a build's context cannot be \"%s\"", type);
	return image_fetch_context(request->store, &fetch, ret_path,
				   ret_dockerfile, err);
}
