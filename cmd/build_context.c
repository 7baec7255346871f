#include "cmd/build_context.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/build_options.h"
#include "storage/dockerfile/dockerfile.h"

#define TAR_BLOCK 512 /* the first one tells an archive */
#define TAR_SUM	  148 /* where its checksum is, */
#define SUM_SIZE  8   /* and how long */
#define COPY_SIZE (64u << 10)

void build_context_release(struct build_context *context)
{
	close_fd(&context->input_fd);
	if (context->pid > 0) {
		/* It may wait for a user who types nothing more. */
		kill(context->pid, SIGKILL);
		(void)proc_wait(context->pid);
	}
	context->pid = 0;
}

/* ---- standard input ---- */

/* Up to a block, less at the end only. */
static int read_head(unsigned char *ret_head, size_t *ret_length,
		     struct error *err)
{
	size_t length = 0;

	while (length < TAR_BLOCK) {
		ssize_t n = read(STDIN_FILENO, ret_head + length,
				 TAR_BLOCK - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "cannot read standard input");
		if (n == 0)
			break;
		length += (size_t)n;
	}
	*ret_length = length;
	return 0;
}

/* The header's bytes add up, its checksum's counted as blanks. */
static bool is_tar(const unsigned char *head, size_t length)
{
	char text[SUM_SIZE + 1] = "";
	unsigned long sum = 0;

	if (length < TAR_BLOCK || head[0] == '\0')
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= TAR_SUM && i < TAR_SUM + SUM_SIZE ? ' ' : head[i];
	memcpy(text, head + TAR_SUM, SUM_SIZE);
	return strtoul(text, NULL, 8) == sum;
}

static bool is_archive(const unsigned char *head, size_t length)
{
	static const struct {
		const char *bytes;
		size_t length;
	} magics[] = {
		{"\x1f\x8b", 2}, /* gzip */
		{"BZh", 3},	 /* bzip2 */
		{"\xfd"
		 "7zXZ\0",
		 6},			 /* xz */
		{"\x28\xb5\x2f\xfd", 4}, /* zstd */
	};

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (length >= magics[i].length &&
		    memcmp(head, magics[i].bytes, magics[i].length) == 0)
			return true;
	return is_tar(head, length);
}

_Noreturn static void fill(int fd, const unsigned char *head, size_t length)
{
	static char bytes[COPY_SIZE];
	ssize_t n = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write_all(fd, head, length) < 0)
		_exit(1);
	while (n > 0 || (n < 0 && errno == EINTR)) {
		n = read(STDIN_FILENO, bytes, sizeof(bytes));
		if (n > 0 && write_all(fd, bytes, (size_t)n) < 0)
			_exit(1);
	}
	_exit(n < 0);
}

static int pass_on(const unsigned char *head, size_t length,
		   struct build_context *ret_context, struct error *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		fill(ends[1], head, length);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_errno(err, "cannot start a process");
	}
	*ret_context = (struct build_context){ends[0], pid};
	return 0;
}

/* The Dockerfile, of which `head` has been read. */
static int read_dockerfile(const unsigned char *head, size_t length,
			   cJSON *request, struct error *err)
{
	cleanup_free char *rest = NULL;
	cleanup_str struct str text = {0};
	cJSON *dockerfile = json_object();
	size_t rest_length = 0;
	int r;

	json_set(request, "dockerfile", dockerfile);
	r = file_read_fd(STDIN_FILENO, "standard input",
			 DOCKERFILE_MAX - length, &rest, &rest_length, err);
	if (r < 0)
		return r;
	str_append_bytes(&text, head, length);
	str_append_bytes(&text, rest, rest_length);
	if (memchr(str_text(&text), '\0', text.length))
		return err_set(err, ERROR_INVALID,
			       "standard input is neither a Dockerfile nor an "
			       "archive");
	if (text.length == 0)
		return err_set(err, ERROR_INVALID,
			       "the Dockerfile on standard input is empty");
	json_set_string(dockerfile, "text", str_text(&text));
	return 0;
}

static int from_standard_input(const char *dockerfile, cJSON *request,
			       struct build_context *ret_context,
			       struct error *err)
{
	unsigned char head[TAR_BLOCK];
	cJSON *context = json_object();
	size_t length = 0;
	int r;

	json_set(request, "context", context);
	if (str_equal(dockerfile, "-"))
		return err_set(err, ERROR_INVALID,
			       "invalid argument: can't use stdin for both "
			       "build context and dockerfile");
	r = read_head(head, &length, err);
	if (r < 0)
		return r;
	if (is_archive(head, length)) {
		json_set_string(context, "type", "tar");
		return pass_on(head, length, ret_context, err);
	}
	if (dockerfile)
		return err_set(err, ERROR_INVALID,
			       "ambiguous Dockerfile source: both stdin and "
			       "flag correspond to Dockerfiles");
	json_set_string(context, "type", "none");
	return read_dockerfile(head, length, request, err);
}

/* ---- places ---- */

static bool is_url(const char *text)
{
	return str_starts(text, "http://") || str_starts(text, "https://");
}

/* As BuildKit: what a fragment names is a branch and a directory of it. */
static bool is_git(const char *text)
{
	size_t length = strcspn(text, "#");
	cleanup_free char *plain = xstrndup(text, length);

	if (is_url(text))
		return str_ends(plain, ".git");
	return str_starts(text, "git://") || str_starts(text, "ssh://") ||
	       str_starts(text, "git@") || str_starts(text, "github.com/");
}

bool build_context_is_remote(const char *text)
{
	return is_url(text) || is_git(text);
}

static void set_dockerfile(cJSON *request, const char *key, const char *value)
{
	cJSON *dockerfile = json_object();

	json_set_string(dockerfile, key, value);
	json_set(request, "dockerfile", dockerfile);
}

/* A Dockerfile on the host, or on standard input. */
static int name_dockerfile(const char *path, cJSON *request, struct error *err)
{
	cleanup_free char *absolute = NULL;
	struct stat st;
	int r;

	if (str_equal(path, "-"))
		return read_dockerfile(NULL, 0, request, err);
	if (is_url(path)) {
		err_set(err, ERROR_UNSUPPORTED,
			"the Dockerfile cannot be a URL: %s", path);
		return err_hint(err, "Fetch it, and give it with -f -.");
	}
	if (stat(path, &st) < 0)
		return err_errno(err, "failed to read dockerfile: open %s",
				 path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "failed to read dockerfile: %s is a directory",
			       path);
	r = build_path(path, &absolute, err);
	if (r < 0)
		return r;
	set_dockerfile(request, "path", absolute);
	return 0;
}

static int from_directory(const char *path, const char *dockerfile,
			  cJSON *request, struct error *err)
{
	cleanup_free char *absolute = realpath(path, NULL);
	cleanup_free char *usual = NULL;
	cleanup_free char *other = NULL;
	cJSON *context = json_object();

	json_set(request, "context", context);
	if (!absolute)
		return err_errno(err, "unable to prepare context: %s", path);
	json_set_string(context, "type", "directory");
	json_set_string(context, "path", absolute);
	if (dockerfile)
		return name_dockerfile(dockerfile, request, err);
	usual = xasprintf("%s/Dockerfile", absolute);
	other = xasprintf("%s/dockerfile", absolute);
	if (access(usual, F_OK) < 0 && access(other, F_OK) == 0)
		set_dockerfile(request, "context", "dockerfile");
	return 0;
}

static int from_url(const char *url, const char *dockerfile, cJSON *request,
		    struct error *err)
{
	cJSON *context = json_object();

	json_set(request, "context", context);
	json_set_string(context, "type", is_git(url) ? "git" : "url");
	json_set_string(context, "url", url);
	if (str_equal(dockerfile, "-"))
		return read_dockerfile(NULL, 0, request, err);
	if (dockerfile)
		set_dockerfile(request, "context", dockerfile);
	return 0;
}

int build_context_open(const char *operand, const char *dockerfile,
		       cJSON *request, struct build_context *ret_context,
		       struct error *err)
{
	struct build_context context = BUILD_CONTEXT_NONE;
	struct stat st;
	int r;

	if (str_empty(dockerfile))
		dockerfile = NULL;
	if (str_equal(operand, "-")) {
		r = from_standard_input(dockerfile, request, &context, err);
		/* A path in the archive. */
		if (r >= 0 && dockerfile)
			set_dockerfile(request, "context", dockerfile);
	} else if (stat(operand, &st) == 0 && S_ISDIR(st.st_mode)) {
		r = from_directory(operand, dockerfile, request, err);
	} else if (build_context_is_remote(operand)) {
		r = from_url(operand, dockerfile, request, err);
	} else {
		err_set(err, ERROR_NOT_FOUND,
			"unable to prepare context: path \"%s\" not found",
			operand);
		r = err_hint(err, "Name a directory, a URL, or - for standard "
				  "input.");
	}
	if (r < 0) {
		build_context_release(&context);
		return r;
	}
	*ret_context = context;
	return 0;
}
