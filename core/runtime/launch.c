#include "core/runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/runtime/init/protocol.h"
#include "core/runtime/kernel.h"
#include "core/runtime/memfd.h"
#include "core/runtime/namespaces.h"
#include "core/runtime/sync.h"

#define FD_ABOVE 16 /* clear of the numbers moss-init expects */

static int compare(const void *a, const void *b)
{
	int first = *(const int *)a, second = *(const int *)b;

	return first < second ? -1 : first > second;
}

/* A lock held by the parent must not live on in us if it dies. */
static int close_others(int *keep, size_t keep_count, struct error *err)
{
	unsigned int next = 0;

	qsort(keep, keep_count, sizeof(*keep), compare);
	for (size_t i = 0; i < keep_count; i++) {
		if (keep[i] < 0 || (unsigned int)keep[i] < next)
			continue;
		if ((unsigned int)keep[i] > next &&
		    kernel_close_range(next, (unsigned int)keep[i] - 1, 0) < 0)
			return err_errno(err, "cannot close descriptors");
		next = (unsigned int)keep[i] + 1;
	}
	if (kernel_close_range(next, ~0U, 0) < 0)
		return err_errno(err, "cannot close descriptors");
	return 0;
}

static int set_oom_score(int score, struct error *err)
{
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%d", score);
	r = file_write_once_at(AT_FDCWD, "/proc/self/oom_score_adj", text, err);
	if (r == -EACCES || r == -EPERM)
		return err_hint(err, "without root a score can only go up from "
				     "your session's own; see "
				     "/proc/self/oom_score_adj");
	return r;
}

int launch_begin_sibling(struct error *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, "cannot follow the parent's death");
	setsid();
	return 0;
}

static int open_stdio(struct launch *launch, struct error *err)
{
	if (launch->process->terminal)
		return 0;
	for (int i = 0; i < 3; i++) {
		if (launch->stdio[i] >= 0)
			continue;
		launch->stdio[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (launch->stdio[i] < 0)
			return err_errno(err, "cannot open /dev/null");
	}
	return 0;
}

int launch_begin(struct launch *launch, int *keep, size_t keep_count,
		 struct error *err)
{
	sigset_t all;
	int r;

	r = close_others(keep, keep_count, err);
	if (r < 0)
		return r;
	/* moss-init resets dispositions and mask. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	r = launch_begin_sibling(err);
	if (r < 0)
		return r;
	prctl(PR_SET_NAME, "moss: set-up", 0, 0, 0);
	umask(0);
	r = open_stdio(launch, err);
	if (r < 0)
		return r;
	/* While the file is still ours: a hidden process's is root's. */
	return launch->process->has_oom_score_adj
		       ? set_oom_score(launch->process->oom_score_adj, err)
		       : 0;
}

int launch_hide(struct error *err)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(err, "cannot hide the set-up process");
	return 0;
}

int launch_become_root(const struct id_map *uids, const struct id_map *gids,
		       struct error *err)
{
	uint32_t outside;
	bool changed = false;

	if (idmap_to_outside(gids, 0, &outside) == 0 && getgid() != 0) {
		if (setresgid(0, 0, 0) < 0)
			return err_errno(err, "cannot take group 0");
		changed = true;
	}
	if (idmap_to_outside(uids, 0, &outside) == 0 && getuid() != 0) {
		if (setresuid(0, 0, 0) < 0)
			return err_errno(err, "cannot take user 0");
		changed = true;
	}
	/* The kernel forgets it with the identity. */
	if (changed && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, "cannot follow the parent's death");
	return 0;
}

int launch_report_ready(const struct launch *launch, const struct id_map *uids,
			int has, const int *fds, size_t fd_count,
			struct error *err)
{
	struct sync_message message = {.type = SYNC_READY, .value = has};
	int r = idmap_to_outside(uids, launch->user.uid, &message.owner);

	if (r < 0)
		return err_number(err, r, "cannot tell who user %u is",
				  launch->user.uid);
	return sync_send_message(launch->sync_fd, &message, fds, fd_count, err);
}

int launch_find_user(struct launch *launch, int root_fd,
		     const struct id_map *uids, const struct id_map *gids,
		     struct error *err)
{
	int r = user_find(root_fd, launch->process, &launch->user, err);

	if (r < 0)
		return r;
	launch->can_set_groups = namespaces_can_set_groups(gids);
	if (!launch->can_set_groups) {
		if (launch->process->group_add) {
			err_set(err, ERROR_UNSUPPORTED,
				"cannot add supplementary groups: only one "
				"group exists in the container");
			return err_hint(err, "give your account subordinate "
					     "IDs in /etc/subuid and "
					     "/etc/subgid");
		}
		/* What /etc/group says on its own cannot be had. */
		launch->user.group_count = 0;
	}
	return user_check_mapped(&launch->user, uids, gids, err);
}

static int set_limit(const struct spec_rlimit *limit, struct error *err)
{
	const struct {
		uint64_t soft, hard;
	} wanted = {limit->soft, limit->hard};
	uint64_t own[2] = {0}; /* soft, hard */

	if (syscall(SYS_prlimit64, 0, limit->resource, &wanted, NULL) == 0)
		return 0;
	if (errno != EPERM ||
	    syscall(SYS_prlimit64, 0, limit->resource, NULL, own) < 0)
		return err_errno(err, "cannot set %s",
				 spec_rlimit_name(limit->resource));
	err_set(err, ERROR_PERMISSION,
		"cannot set %s to %lld: your own hard limit is %lld",
		spec_rlimit_name(limit->resource), (long long)limit->hard,
		(long long)own[1]);
	return err_hint(err,
			"ask for less with --ulimit, or have the hard limit "
			"raised (/etc/security/limits.conf, systemd's "
			"LimitNOFILE= and the like)");
}

static uint32_t append(struct str *data, const void *bytes, size_t length)
{
	uint32_t offset = (uint32_t)data->length;

	str_append_bytes(data, bytes, length);
	return offset;
}

static uint32_t append_filter(struct str *data,
			      const struct seccomp_filter *filter)
{
	return append(data, filter->code,
		      filter->length * sizeof(*filter->code));
}

static int write_config(const struct launch *launch, struct error *err)
{
	const struct spec_process *process = launch->process;
	const struct seccomp_filter *filter = launch->filter;
	cleanup_str struct str data = {0};
	struct init_config config = {
		.magic = INIT_MAGIC,
		.uid = launch->user.uid,
		.gid = launch->user.gid,
		.bounding = process->bounding,
		.permitted = process->permitted,
		.effective = process->effective,
		.inheritable = process->inheritable,
		.ambient = process->ambient,
	};

	if (launch->init)
		config.flags |= INIT_REAP;
	if (process->terminal)
		config.flags |= INIT_TERMINAL;
	if (process->no_new_privileges)
		config.flags |= INIT_NO_NEW_PRIVS;
	if (launch->can_set_groups)
		config.flags |= INIT_SET_GROUPS;

	append(&data, &config, sizeof(config));
	if (filter && filter->code) {
		config.filter = append_filter(&data, filter);
		config.filter_length = (uint32_t)filter->length;
		config.filter_flags = filter->flags;
	}
	if (launch->deny_tcp)
		config.flags |= INIT_DENY_TCP;
	if (launch->notify) {
		config.notify = append_filter(&data, launch->notify);
		config.notify_length = (uint32_t)launch->notify->length;
		config.notify_flags = launch->notify->flags;
	}
	config.group_count = (uint32_t)launch->user.group_count;
	config.groups = append(&data, launch->user.groups,
			       launch->user.group_count * sizeof(uint32_t));
	config.cwd = append(&data, process->cwd, strlen(process->cwd) + 1);
	memcpy(data.data, &config, sizeof(config));
	return memfd_data("moss-init configuration", data.data, data.length,
			  err);
}

/*
 * Executing a program takes the capabilities of a user other than root, unless
 * they are ambient. moss-init lays them down again.
 */
static int keep_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return err_errno(err, "cannot read the capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return err_errno(err, "cannot keep the capabilities");
	for (unsigned int bit = 0; bit < 64; bit++) {
		if ((data[bit / 32].permitted & (1u << bit % 32)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) < 0)
			return err_errno(err, "cannot keep the capabilities");
	}
	return 0;
}

static int place_fds(const struct launch *launch, int config_fd,
		     int *ret_program_fd, struct error *err)
{
	const int from[] = {launch->stdio[0], launch->stdio[1],
			    launch->stdio[2], launch->sync_fd,
			    config_fd,	      launch->program_fd};
	int above[ARRAY_SIZE(from)];

	/* Out of the way first: they may be each other's numbers. */
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		above[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_ABOVE);
		if (above[i] < 0)
			return err_errno(err, "cannot arrange descriptors");
	}
	for (int i = 0; i <= INIT_CONFIG_FD; i++) {
		if (dup2(above[i], i) < 0)
			return err_errno(err, "cannot arrange descriptors");
	}
	*ret_program_fd = above[ARRAY_SIZE(from) - 1];
	return 0;
}

/* moss-init finds its own words before the program's when it stays. */
static char **arguments(const struct launch *launch)
{
	char *const *args = launch->process->args;
	char **result = xcalloc(strv_length(args) + 3, sizeof(char *));
	size_t count = 0;

	if (launch->init) {
		result[count++] = xstrdup("moss-init");
		result[count++] = xstrdup("--");
	}
	for (size_t i = 0; args[i]; i++)
		result[count++] = args[i];
	return result;
}

int launch_exec(struct launch *launch, struct error *err)
{
	const struct spec_process *process = launch->process;
	char **argv = arguments(launch);
	char **env = strv_copy(process->env);
	int program_fd = -1;
	int config_fd;
	int r;

	if (!env_get(env, "HOME"))
		env_set(&env, "HOME", launch->user.home);
	config_fd = write_config(launch, err);
	if (config_fd < 0)
		return config_fd;
	if (getuid() != 0) {
		r = keep_capabilities(err);
		if (r < 0)
			return r;
	}
	r = place_fds(launch, config_fd, &program_fd, err);
	if (r < 0)
		return r;
	launch->sync_fd = INIT_SYNC_FD;
	umask(process->has_umask ? process->umask : 022);
	/* Last, as they could keep us from the rest. */
	for (size_t i = 0; i < process->rlimit_count; i++) {
		r = set_limit(&process->rlimits[i], err);
		if (r < 0)
			return r;
	}
	syscall(SYS_execveat, program_fd, "", argv, env, AT_EMPTY_PATH);
	r = err_errno(err, "cannot start the container's first program");
	if (r == -E2BIG)
		return err_hint(err, "the command line and environment are "
				     "too long");
	return r;
}
