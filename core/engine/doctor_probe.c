/*
 * Trials: core/engine/doctor.h. Each runs in a child that reports over a pipe
 * (a text, then a struct error when it failed) and is gone afterwards with all
 * the namespaces it made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/doctor_private.h"
#include "storage/root/snapshot.h"

#define TRIAL_SECONDS 60 /* a file system that hangs must not hang us */
#define TEXT_MAX      65536
#define ALL_OTHERS                                                  \
	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWNET | CLONE_NEWCGROUP)

/* What a trial is about; text goes to the parent. */
struct trial {
	const struct doctor *doctor;
	struct store store; /* tmp_fd and path are set, for storage */
	char *text;
};

typedef int (*trial_function)(struct trial *trial, struct error *err);

static _Noreturn void child_main(struct trial *trial, trial_function run,
				 int text_fd, int error_fd)
{
	struct error err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	alarm(TRIAL_SECONDS);
	if (run(trial, &err) < 0)
		(void)error_write(error_fd, &err);
	if (trial->text)
		(void)write_all(text_fd, trial->text, strlen(trial->text));
	_exit(0);
}

static int collect(pid_t pid, int text_fd, int error_fd, struct trial *trial,
		   struct error *err)
{
	struct error theirs = {0};
	char *text = NULL;
	int status;
	int r;

	r = error_read(error_fd, &theirs);
	if (file_read_fd(text_fd, "trial", TEXT_MAX, &text, NULL, NULL) == 0) {
		free(trial->text);
		trial->text = text;
	}
	status = proc_wait(pid);
	if (r > 0)
		return err_copy(err, &theirs);
	if (r < 0 || status != 0)
		return err_set(err, ERROR_TIMEOUT,
			       "a trial ended early (status %d)", status);
	return 0;
}

static int run_trial(struct trial *trial, trial_function run, struct error *err)
{
	cleanup_fd int text_in = -1;
	cleanup_fd int text_out = -1;
	cleanup_fd int error_in = -1;
	cleanup_fd int error_out = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	text_in = ends[0];
	text_out = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	error_in = ends[0];
	error_out = ends[1];
	pid = fork();
	if (pid < 0)
		return err_errno(err, "cannot fork");
	if (pid == 0)
		child_main(trial, run, text_out, error_out);
	close_fd(&text_out);
	close_fd(&error_out);
	return collect(pid, text_in, error_in, trial, err);
}

/* One that has nothing to tell but its error. */
static int run_silent(const struct doctor *doctor, trial_function run,
		      struct error *err)
{
	struct trial trial = {.doctor = doctor};
	int r = run_trial(&trial, run, err);

	free(trial.text);
	return r;
}

/* A user namespace with one ID, root, which is the user. */
static int become_root(const struct doctor *doctor, struct error *err)
{
	cleanup_free char *uids = xasprintf("0 %u 1\n", doctor->uid);
	cleanup_free char *gids = xasprintf("0 %u 1\n", doctor->gid);
	int r;

	if (unshare(CLONE_NEWUSER) < 0)
		return err_errno(err, "cannot make a user namespace");
	r = file_write_once_at(AT_FDCWD, "/proc/self/setgroups", "deny", err);
	if (r == 0)
		r = file_write_once_at(AT_FDCWD, "/proc/self/uid_map", uids,
				       err);
	if (r == 0)
		r = file_write_once_at(AT_FDCWD, "/proc/self/gid_map", gids,
				       err);
	return r;
}

/* As a container's: one below moss's own, with all others inside it. */
static int try_namespaces(struct trial *trial, struct error *err)
{
	int r = become_root(trial->doctor, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWUSER) < 0)
		return err_errno(err, "cannot make a container's user "
				      "namespace inside moss's own");
	if (unshare(ALL_OTHERS) < 0)
		return err_errno(err,
				 "cannot make a container's namespaces inside "
				 "a user namespace");
	/* Where rights in there are withheld, all above works in vain. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "cannot mount inside a user namespace");
	return 0;
}

int doctor_try_namespaces(const struct doctor *doctor, struct error *err)
{
	return run_silent(doctor, try_namespaces, err);
}

static int try_proc(struct trial *trial, struct error *err)
{
	int r = become_root(trial->doctor, err);
	pid_t pid;

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS | CLONE_NEWPID) < 0)
		return err_errno(err, "cannot make namespaces");
	pid = fork();
	if (pid < 0)
		return err_errno(err, "cannot fork");
	if (pid == 0)
		_exit(mount("proc", "/proc", "proc", 0, NULL) < 0 ? errno : 0);
	r = proc_wait(pid);
	if (r == 0)
		return 0;
	return err_number(err, r,
			  "parts of /proc are covered, so that no container "
			  "can have a /proc of its own");
}

int doctor_try_proc(const struct doctor *doctor, struct error *err)
{
	return run_silent(doctor, try_proc, err);
}

static int try_tap(struct trial *trial, struct error *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	cleanup_fd int fd = -1;
	int r = become_root(trial->doctor, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0)
		return err_errno(err, "cannot make a network namespace");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open /dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "tap0");
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_errno(err, "cannot make a tap device");
	return 0;
}

int doctor_try_tap(const struct doctor *doctor, struct error *err)
{
	return run_silent(doctor, try_tap, err);
}

/* ---- newuidmap and newgidmap ---- */

/* Waits in a new user namespace for the end of file. */
static _Noreturn void mapped_main(int ready_fd, int end_fd)
{
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWUSER) < 0)
		_exit(1);
	if (write_all(ready_fd, &byte, 1) < 0)
		_exit(1);
	(void)!read(end_fd, &byte, 1);
	_exit(0);
}

static int run_tool(const struct doctor *doctor, const char *tool, pid_t pid,
		    uint32_t first, uint32_t count, struct error *err)
{
	cleanup_free char *program = doctor_find_program(doctor, tool);
	cleanup_free char *output = NULL;
	cleanup_strv char **argv = NULL;
	struct spawn spawn = {.path = program};

	strv_push(&argv, tool);
	strv_push_take(&argv, xasprintf("%d", (int)pid));
	strv_push(&argv, "1");
	strv_push_take(&argv, xasprintf("%u", first));
	strv_push_take(&argv, xasprintf("%u", count));
	spawn.argv = argv;
	return proc_capture(&spawn, TEXT_MAX, &output, err);
}

int doctor_try_map(const struct doctor *doctor, const char *tool,
		   uint32_t first, uint32_t count, struct error *err)
{
	cleanup_fd int ready_in = -1;
	cleanup_fd int ready_out = -1;
	cleanup_fd int end_in = -1;
	cleanup_fd int end_out = -1;
	int ends[2];
	char byte;
	pid_t pid;
	int r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	ready_in = ends[0];
	ready_out = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	end_in = ends[0];
	end_out = ends[1];
	pid = fork();
	if (pid < 0)
		return err_errno(err, "cannot fork");
	if (pid == 0) {
		close_fd(&end_out);
		mapped_main(ready_out, end_in);
	}
	close_fd(&ready_out);
	if (read(ready_in, &byte, 1) == 1)
		r = run_tool(doctor, tool, pid, first, count, err);
	else
		r = err_set(err, ERROR_UNSUPPORTED,
			    "cannot make a user namespace");
	close_fd(&end_out);
	proc_wait(pid);
	return r;
}

/* ---- the storage drivers ---- */

static int try_storage(struct trial *trial, struct error *err)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *reasons = NULL;
	int r = become_root(trial->doctor, err);

	if (r < 0)
		return r;
	r = snapshot_choose(&trial->store, SNAPSHOT_AUTO, false, -1, &driver,
			    &reasons, err);
	if (r < 0)
		return r;
	trial->text = xasprintf(
		"%s\n%s",
		driver == SNAPSHOT_AUTO ? "" : snapshot_driver_name(driver),
		reasons);
	return 0;
}

#define PLACE_TEMPLATE ".moss-doctor-XXXXXX"

/*
 * Where to try: in the store if there is one, else in a directory beside where
 * it would be. *ret_made: to be removed afterwards, NULL: nothing.
 */
static int find_place(const struct doctor *doctor, struct store *store,
		      char **ret_made, struct error *err)
{
	cleanup_free char *near = NULL;
	cleanup_free char *made = NULL;
	cleanup_free char *tmp = xasprintf("%s/tmp", doctor->data_path);
	struct stat st;

	if (stat(tmp, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == doctor->uid) {
		store->path = xstrdup(doctor->data_path);
	} else {
		near = doctor_nearest(doctor, doctor->data_path);
		made = xasprintf("%s/" PLACE_TEMPLATE,
				 str_equal(near, "/") ? "" : near);
		if (!mkdtemp(made)) {
			err_errno(err, "cannot write to %s", near);
			return err_hint(err, "set MOSS_ROOT to a directory of "
					     "yours");
		}
		store->path = xstrdup(made);
		free(tmp);
		tmp = xasprintf("%s/tmp", made);
		*ret_made = steal_ptr(&made);
		if (mkdir(tmp, 0700) < 0)
			return err_errno(err, "cannot make %s", tmp);
	}
	store->tmp_fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->tmp_fd < 0)
		return err_errno(err, "cannot open %s", tmp);
	return 0;
}

int doctor_try_storage(const struct doctor *doctor, char **ret_driver,
		       char **ret_reasons, struct error *err)
{
	struct trial trial = {
		.doctor = doctor,
		.store = {.root_fd = -1,
			  .image_fd = -1,
			  .layers_fd = -1,
			  .volumes_fd = -1,
			  .tmp_fd = -1},
	};
	cleanup_free char *made = NULL;
	cleanup_free char *text = NULL;
	char *newline;
	int r = find_place(doctor, &trial.store, &made, err);

	if (r == 0)
		r = run_trial(&trial, try_storage, err);
	if (r == 0 && trial.store.tmp_fd >= 0)
		store_clean(&trial.store);
	store_close(&trial.store);
	if (made)
		(void)tree_remove_at(AT_FDCWD, made, NULL);
	text = trial.text;
	if (r < 0)
		return r;
	newline = text ? strchr(text, '\n') : NULL;
	if (!newline)
		return err_set(err, ERROR_GENERIC,
			       "the trial of the storage drivers said nothing");
	*newline = '\0';
	*ret_driver = xstrdup(text);
	*ret_reasons = xstrdup(newline + 1);
	return 0;
}
