/*
 * What stands in the way of moss on this machine, and what to do about it.
 *
 * A table of checks, each a small function that looks at one thing and returns
 * a finding: ok, degraded (moss works, something does not) or broken (an
 * ordinary `moss run` fails), one line of text, and the fix: the very commands
 * or the file to write. The checks need no store, no namespace and no engine,
 * so that they can tell why there is none.
 *
 * All files are read below doctor.root, which tests point at a made-up tree.
 * What files cannot tell is tried in a child process that ends afterwards, only
 * with doctor.probe: it makes namespaces as a container's, has them mapped by
 * newuidmap, makes a tap, mounts a trial root file system. The latter needs a
 * directory on the store's file system for the moment. Nothing else is changed
 * and nothing is left.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_DEGRADED,
	DOCTOR_BROKEN,
};
const char *doctor_state_name(enum doctor_state state);

struct doctor_finding {
	enum doctor_state state;
	char *text;
	char *fix; /* lines; NULL when ok */
};
void doctor_finding_release(struct doctor_finding *finding);

/* Whose machine it is. All strings are borrowed. */
struct doctor {
	const char *root; /* "" in earnest */
	bool probe;
	bool initial_root; /* root where root is everything */
	uid_t uid;
	gid_t gid;
	uid_t owner; /* of the system's files: 0 but in tests */
	const char *user;
	const char *data_path; /* the store's; need not be there */
	const char *program;   /* path of moss */
	const char *search;    /* $PATH */
	const char *run_path;  /* $MOSS_RUN, may be NULL */
	const char *xdg_run;   /* $XDG_RUNTIME_DIR, may be NULL */
	int landlock_abi;      /* 0: none */
	bool no_new_privs;
};

struct doctor_check {
	const char *name;
	bool of_user; /* says nothing about root */
	void (*run)(const struct doctor *doctor,
		    struct doctor_finding *finding);
};
extern const struct doctor_check doctor_checks[]; /* ends with name NULL */

/* What the kernel says of the caller: all but the borrowed strings. */
void doctor_init(struct doctor *ret_doctor);
/* False where the check says nothing about this user. */
bool doctor_run(const struct doctor *doctor, const struct doctor_check *check,
		struct doctor_finding *ret_finding);
/* {"Name", "State", "Message", "Fix"}; Fix is null when ok. */
cJSON *doctor_finding_json(const struct doctor_check *check,
			   const struct doctor_finding *finding);
