/*
 * Contexts that are no local directory become one, in the build's work, which
 * goes with the build:
 *
 *   tar, url   unpacked by moss-image, confined (storage/build/context_fetch.c
 *              tells how); what is no archive is a Dockerfile
 *   git        by the host's git, in a process of its own, with nothing of the
 *              user's configuration, hooks or credentials, and no question ever
 *              asked: one commit, its submodules, no history
 *
 * A git URL is what docker takes for one (remote_is_git()):
 *
 *   https://host/repo.git#ref:subdir   git://…  ssh://…  git@host:repo.git
 *   github.com/user/repo               https:// is meant
 *
 * ref is a branch, a tag or a commit; HEAD when it is empty. The files are
 * those of subdir, which may not lead out of the repository. .git is left out
 * but where it is wanted (ADD --keep-git-dir, BUILDKIT_CONTEXT_KEEP_GIT_DIR).
 *
 * What a repository can make git do is bounded: protocols are http, https, ssh
 * and git, also for submodules; no hook, filter or file system monitor runs; a
 * server that says nothing for REMOTE_STALL_S ends it.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/store/store.h"

#define REMOTE_STALL_S 60

struct remote_request {
	struct store *store;
	const struct store_work *work; /* the build's */
	int input_fd;		       /* of a tar; -1: there is none */
	int progress_fd;   /* of downloads, as storage/transfer.h; -1: none */
	bool keep_git_dir; /* of a git context */
};

/*
 * context: {"type": "tar" | "url" | "git", "url"} of the build's request. Sets
 * *ret_path, an absolute directory, or *ret_dockerfile, the text of one, and
 * leaves the other as it is; caller frees.
 */
int remote_context(const struct remote_request *request, const cJSON *context,
		   char **ret_path, char **ret_dockerfile, struct error *err);

/* Is it what ADD and a build's command line take for a git repository? */
bool remote_is_git(const char *source);
struct remote_git {
	const char *url;
	bool keep_git_dir;
	const char *checksum; /* a commit, or the beginning of it; or NULL */
};
int remote_git_checkout(const struct remote_request *request,
			const struct remote_git *git, char **ret_path,
			struct error *err);
/*
 * The commit that a URL stands for now, 40 or 64 digits, to be part of a cache
 * key; caller frees.
 */
int remote_git_commit(const char *url, char **ret_commit, struct error *err);
