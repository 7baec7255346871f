#include "policy/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "policy/userns_private.h"

#define USERNS_DIR    "userns"
#define LOCK_FILE     "lock"
#define MAP_MAX	      (64u << 10)
#define KILL_TRIES    500
#define KILL_PAUSE_NS 20000000

/* Refuses whom moss cannot work for; 1: in the initial namespace, 0: not. */
int userns_check_caller(struct error *err)
{
	int initial;

	if (getuid() != geteuid() || getgid() != getegid()) {
		err_set(err, ERROR_PERMISSION,
			"moss must not run with the set-user-ID or "
			"set-group-ID bit");
		return err_hint(err, "remove the bit with chmod ug-s; moss "
				     "needs no privileges");
	}
	initial = userns_is_initial(err);
	if (initial > 0 && getuid() == 0) {
		err_set(err, ERROR_PERMISSION,
			"moss runs without root: it does not start as the "
			"host's root user");
		return err_hint(err, "run it as an ordinary user, for example "
				     "after: useradd -m USER && su - USER");
	}
	return initial;
}

static int open_dir(int run_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;

	fd = openat(run_fd, USERNS_DIR,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(run_fd, USERNS_DIR, 0700) < 0 && errno != EEXIST)
			return err_errno(err, "cannot create the runtime "
					      "directory's " USERNS_DIR);
		fd = openat(run_fd, USERNS_DIR,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return err_errno(
			err, "cannot open the runtime directory's " USERNS_DIR);
	if (fstat(fd, &st) < 0)
		return err_errno(
			err, "cannot stat the runtime directory's " USERNS_DIR);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return err_set(err, ERROR_PERMISSION,
			       "the runtime directory's " USERNS_DIR
			       " belongs to or can be written by another user");
	return steal_fd(&fd);
}

static int read_map(const char *path, struct id_map *ret_map, struct error *err)
{
	cleanup_free char *text = NULL;
	int r;

	r = file_read_at(AT_FDCWD, path, MAP_MAX, &text, NULL, err);
	if (r < 0)
		return r;
	if (idmap_parse(text, ret_map) < 0)
		return err_set(err, ERROR_CORRUPT, "cannot understand %s",
			       path);
	return 0;
}

/* From inside the pinned namespace, whose maps say it all. */
static int fill_identity(const struct userns_pin *pin,
			 struct identity *ret_identity, char **ret_note,
			 struct error *err)
{
	struct identity *identity = ret_identity;
	int r;

	r = read_map("/proc/self/uid_map", &identity->uids, err);
	if (r < 0)
		return r;
	r = read_map("/proc/self/gid_map", &identity->gids, err);
	if (r < 0)
		return r;
	if (idmap_to_outside(&identity->uids, 0, &identity->uid) < 0 ||
	    idmap_to_outside(&identity->gids, 0, &identity->gid) < 0)
		return err_set(err, ERROR_CORRUPT,
			       "the pinned user namespace does not map root");
	identity->mapped = idmap_size(&identity->uids) > 1;
	snprintf(identity->user, sizeof(identity->user), "%s", pin->user);
	*ret_note = xstrdup(pin->note);
	return 0;
}

static int join(int ns_fd, struct error *err)
{
	if (setns(ns_fd, CLONE_NEWUSER) < 0)
		return err_errno(err, "cannot join the pinned user namespace");
	/*
	 * The user's own IDs are 0 already. A group of newgrp's is not, and
	 * changing it closes /proc/self to us unless that is undone.
	 */
	if (getuid() == 0 && getgid() == 0)
		return 0;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_errno(err,
				 "cannot become root of the user namespace");
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

/* Is this process in the pin's namespace already? */
static bool is_inside(const struct userns_pin *pin)
{
	struct stat st;
	struct userns_id id;

	if (stat("/proc/self/ns/user", &st) < 0)
		return false;
	id = (struct userns_id){st.st_dev, st.st_ino};
	return userns_id_equal(&id, &pin->id);
}

/* The pinned namespace when it can be used as it is; negative when not. */
static int open_current(const struct userns_pin *pin)
{
	cleanup_free char *sources = NULL;

	if (pin->uid != geteuid())
		return -ESTALE;
	sources = userns_sources(pin->mapped);
	if (!str_equal(sources, pin->sources))
		return -ESTALE;
	return userns_pin_open(pin);
}

static bool maps_equal(const struct id_map *a, const struct id_map *b)
{
	return a->count == b->count &&
	       memcmp(a->extents, b->extents,
		      a->count * sizeof(a->extents[0])) == 0;
}

/* Does the pin's living process have the maps the plan asks for? */
static bool pin_follows_plan(const struct userns_pin *pin,
			     const struct userns_plan *plan)
{
	char path[64];
	struct id_map uids;
	struct id_map gids;

	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pin->pid);
	if (read_map(path, &uids, NULL) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pin->pid);
	if (read_map(path, &gids, NULL) < 0)
		return false;
	return maps_equal(&uids, &plan->uids) && maps_equal(&gids, &plan->gids);
}

static void describe(const struct userns_plan *plan, struct userns_pin *pin)
{
	free(pin->user);
	free(pin->sources);
	free(pin->note);
	pin->uid = plan->uid;
	pin->mapped = plan->writer != MAP_SINGLE;
	pin->user = xstrdup(plan->user);
	pin->sources = userns_sources(pin->mapped);
	pin->note = xstrdup(plan->note);
}

static void end_process(const struct userns_pin *pin)
{
	cleanup_fd int fd = proc_open(pin->pid, pin->start_time);

	if (fd >= 0)
		(void)proc_pidfd_signal(fd, SIGKILL);
}

/* Where and for whom. */
struct place {
	int dir_fd; /* RUN/userns */
	char *run_path;
	bool initial;
};

static void place_release(struct place *place)
{
	close_fd(&place->dir_fd);
	free(place->run_path);
}

/* A namespace of the plan's, single-ID if the helpers fail. */
static int create(const struct place *place, struct userns_plan *plan,
		  struct userns_pin *pin, struct error *err)
{
	cleanup_fd int ns_fd = -1;
	struct error why;
	bool maps;
	int r;

	err_clear(&why);
	r = userns_pin_start(plan, -1, place->run_path, pin, &maps, &why);
	if (r < 0 && maps && plan->writer != MAP_SINGLE) {
		userns_plan_make_single(plan, SINGLE_TOOL_FAILED, why.message);
		err_clear(&why);
		r = userns_pin_start(plan, -1, place->run_path, pin, &maps,
				     &why);
	}
	if (r < 0)
		return err_copy(err, &why);
	describe(plan, pin);

	ns_fd = userns_pin_open(pin);
	if (ns_fd < 0)
		return err_number(err, ns_fd,
				  "the process that keeps the user namespace "
				  "ended at once");
	r = userns_probe(ns_fd, err);
	if (r < 0)
		end_process(pin);
	return r;
}

/*
 * The pin on file is no good: its process is gone, or the sub-IDs changed. As
 * long as any container lives in the old namespace that one stays, with a new
 * process to keep it if need be: another one would have no rights over them.
 */
static int renew(const struct place *place, struct userns_pin *pin, bool known,
		 struct error *err)
{
	cleanup_plan struct userns_plan plan = {0};
	cleanup_fd int ns_fd = -1;
	bool used = false;
	bool alive = false;
	bool maps;
	int r;

	if (!known || pin->uid != geteuid()) {
		userns_pin_release(pin);
		known = userns_pin_adopt(place->run_path, pin) > 0;
	}
	if (known) {
		r = userns_pin_search(pin, &ns_fd, &used);
		if (r < 0)
			return err_number(err, r, "cannot look into /proc");
		alive = proc_is_alive(pin->pid, pin->start_time);
	}
	if (ns_fd >= 0 && !alive) {
		r = userns_pin_start(NULL, ns_fd, place->run_path, pin, &maps,
				     err);
		if (r < 0)
			return r;
		r = userns_pin_write(place->dir_fd, pin, err);
		if (r < 0)
			return r;
		/* The maps may be old, but then the next one is in here. */
		return 0;
	}

	userns_plan_make(place->initial, &plan);
	if (ns_fd >= 0 && pin_follows_plan(pin, &plan)) {
		describe(&plan, pin);
		return userns_pin_write(place->dir_fd, pin, err);
	}
	if (ns_fd >= 0 && used)
		return 0;
	if (ns_fd >= 0)
		end_process(pin);
	r = create(place, &plan, pin, err);
	if (r < 0)
		return r;
	return userns_pin_write(place->dir_fd, pin, err);
}

static int enter_slowly(const struct place *place, struct userns_pin *pin,
			struct error *err)
{
	cleanup_fd int lock_fd = -1;
	cleanup_fd int ns_fd = -1;
	bool known;
	int r;

	lock_fd = lock_open_at(place->dir_fd, LOCK_FILE, LOCK_EXCLUSIVE, true,
			       err);
	if (lock_fd < 0)
		return lock_fd;
	/* Someone else may have been faster. */
	userns_pin_release(pin);
	known = userns_pin_read(place->dir_fd, pin) > 0;
	ns_fd = known ? open_current(pin) : -1;
	if (ns_fd < 0) {
		r = renew(place, pin, known, err);
		if (r < 0)
			return r;
		ns_fd = userns_pin_open(pin);
	}
	if (ns_fd < 0)
		return err_number(err, ns_fd,
				  "the process that keeps the user namespace "
				  "ended at once");
	return join(ns_fd, err);
}

/* 1: in, 0: there is something to be done first. */
static int enter_quickly(const struct place *place, struct userns_pin *pin,
			 struct error *err)
{
	cleanup_fd int lock_fd = -1;
	cleanup_fd int ns_fd = -1;
	int r;

	/* Held until inside, where a search for users finds this process. */
	lock_fd =
		lock_open_at(place->dir_fd, LOCK_FILE, LOCK_SHARED, true, err);
	if (lock_fd < 0)
		return lock_fd;
	if (userns_pin_read(place->dir_fd, pin) == 0)
		return 0;
	if (!place->initial && getuid() == 0 && is_inside(pin))
		return 1;
	ns_fd = open_current(pin);
	if (ns_fd < 0)
		return 0;
	r = join(ns_fd, err);
	return r < 0 ? r : 1;
}

int userns_enter(int run_fd, struct identity *ret_identity, char **ret_note,
		 struct error *err)
{
	CLEANUP(place_release) struct place place = {.dir_fd = -1};
	cleanup_pin struct userns_pin pin = {0};
	int r;

	r = userns_check_caller(err);
	if (r < 0)
		return r;
	place.initial = r > 0;
	place.dir_fd = open_dir(run_fd, err);
	if (place.dir_fd < 0)
		return place.dir_fd;
	r = enter_quickly(&place, &pin, err);
	if (r == 0) {
		place.run_path = userns_run_path(run_fd);
		r = enter_slowly(&place, &pin, err);
	}
	if (r < 0)
		return r;
	return fill_identity(&pin, ret_identity, ret_note, err);
}

int userns_unpin(int run_fd, struct error *err)
{
	cleanup_pin struct userns_pin pin = {0};
	cleanup_fd int dir_fd = open_dir(run_fd, err);
	cleanup_fd int lock_fd = -1;
	cleanup_fd int ns_fd = -1;
	bool used = false;
	int r;

	if (dir_fd < 0)
		return dir_fd;
	lock_fd = lock_open_at(dir_fd, LOCK_FILE, LOCK_EXCLUSIVE, true, err);
	if (lock_fd < 0)
		return lock_fd;
	if (userns_pin_read(dir_fd, &pin) == 0 || pin.uid != geteuid())
		return 0;
	r = userns_pin_search(&pin, &ns_fd, &used);
	if (r < 0)
		return err_number(err, r, "cannot look into /proc");
	if (used)
		return err_set(err, ERROR_CONFLICT,
			       "the user namespace is in use: a container or "
			       "another moss runs");
	if (ns_fd >= 0)
		end_process(&pin);
	return 0;
}

int userns_lock(int run_fd, struct error *err)
{
	cleanup_fd int dir_fd = open_dir(run_fd, err);

	if (dir_fd < 0)
		return dir_fd;
	return lock_open_at(dir_fd, LOCK_FILE, LOCK_EXCLUSIVE, true, err);
}

int userns_kill(int run_fd, pid_t keep, bool with_pause, struct error *err)
{
	const struct timespec pause = {.tv_nsec = KILL_PAUSE_NS};
	cleanup_free char *run_path = userns_run_path(run_fd);
	cleanup_pin struct userns_pin pin = {0};
	cleanup_fd int dir_fd = open_dir(run_fd, err);

	if (dir_fd < 0)
		return dir_fd;
	if (userns_pin_read(dir_fd, &pin) == 0 || pin.uid != geteuid()) {
		userns_pin_release(&pin);
		if (userns_pin_adopt(run_path, &pin) == 0)
			return 0;
	}
	for (int i = 0; i < KILL_TRIES; i++) {
		int count =
			userns_pin_kill(&pin, keep, with_pause ? 0 : pin.pid);

		if (count < 0)
			return err_number(err, count, "cannot look into /proc");
		if (count == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return err_set(err, ERROR_TIMEOUT,
		       "processes in the user namespace do not end");
}

int userns_identity(struct identity *ret_identity, char **ret_note,
		    struct error *err)
{
	cleanup_plan struct userns_plan plan = {0};
	int initial;

	initial = userns_check_caller(err);
	if (initial < 0)
		return initial;
	userns_plan_make(initial, &plan);
	ret_identity->uid = plan.uid;
	ret_identity->gid = plan.gid;
	snprintf(ret_identity->user, sizeof(ret_identity->user), "%s",
		 plan.user);
	ret_identity->mapped = plan.writer != MAP_SINGLE;
	ret_identity->uids = plan.uids;
	ret_identity->gids = plan.gids;
	if (ret_note)
		*ret_note = steal_ptr(&plan.note);
	return 0;
}
