/*
 * The pieces of core/engine/doctor.h. Private to core/engine/doctor*.c and
 * their tests.
 */
#pragma once

#include <stdint.h>
#include <sys/statvfs.h>

#include "core/engine/doctor.h"

/* Absolute paths below doctor->root. */
char *doctor_path(const struct doctor *doctor, const char *path);
bool doctor_exists(const struct doctor *doctor, const char *path);
/* A small file without its last newline; NULL when it cannot be read. */
char *doctor_read(const struct doctor *doctor, const char *path);
/* The number that a file holds; false when it holds none. */
bool doctor_number(const struct doctor *doctor, const char *path,
		   int64_t *ret_value);
/* A program in $PATH or where the system has its own; NULL: none. */
char *doctor_find_program(const struct doctor *doctor, const char *name);

/* What is so; once a check. */
void doctor_say(struct doctor_finding *finding, enum doctor_state state,
		const char *format, ...) __attribute__((format(printf, 3, 4)));
/* One more line of what to do. */
void doctor_fix(struct doctor_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The command that sets a sysctl, now and for the next boots. */
void doctor_fix_sysctl(struct doctor_finding *finding, const char *name,
		       const char *value);
/* How to install what the distributions call differently. */
void doctor_fix_package(struct doctor_finding *finding, const char *debian,
			const char *fedora, const char *arch,
			const char *alpine);

/* Trials (doctor_probe.c): 0, or what failed. Each in a child of its own. */
int doctor_try_namespaces(const struct doctor *doctor, struct error *err);
int doctor_try_proc(const struct doctor *doctor, struct error *err);
int doctor_try_tap(const struct doctor *doctor, struct error *err);
/* newuidmap or newgidmap maps count IDs from first. */
int doctor_try_map(const struct doctor *doctor, const char *tool,
		   uint32_t first, uint32_t count, struct error *err);
/* The lines of snapshot_choose(); *ret_driver: its name, "" for none. */
int doctor_try_storage(const struct doctor *doctor, char **ret_driver,
		       char **ret_reasons, struct error *err);
/* The nearest directory at or above path that is there; caller frees. */
char *doctor_nearest(const struct doctor *doctor, const char *path);

/* Does systemd-logind end the user's processes at logout (doctor_logind.c)? */
bool doctor_logind_kills(const struct doctor *doctor);
/* Does a security.capability attribute give that one? */
bool doctor_has_file_capability(const void *value, size_t length,
				unsigned int capability);
/* Is that much of a file system enough? */
void doctor_judge_space(const struct statvfs *space, const char *path,
			struct doctor_finding *finding);

#define DOCTOR_CHECK(function)                     \
	void function(const struct doctor *doctor, \
		      struct doctor_finding *finding)

DOCTOR_CHECK(doctor_check_user);
DOCTOR_CHECK(doctor_check_kernel);
DOCTOR_CHECK(doctor_check_programs);
DOCTOR_CHECK(doctor_check_nested);
DOCTOR_CHECK(doctor_check_seccomp);
DOCTOR_CHECK(doctor_check_landlock);
DOCTOR_CHECK(doctor_check_userns);
DOCTOR_CHECK(doctor_check_apparmor);
DOCTOR_CHECK(doctor_check_subuids);
DOCTOR_CHECK(doctor_check_subgids);
DOCTOR_CHECK(doctor_check_newuidmap);
DOCTOR_CHECK(doctor_check_newgidmap);
DOCTOR_CHECK(doctor_check_storage);
DOCTOR_CHECK(doctor_check_fuse);
DOCTOR_CHECK(doctor_check_fuse_overlayfs);
DOCTOR_CHECK(doctor_check_file_system);
DOCTOR_CHECK(doctor_check_space);
DOCTOR_CHECK(doctor_check_tun);
DOCTOR_CHECK(doctor_check_ping);
DOCTOR_CHECK(doctor_check_ports);
DOCTOR_CHECK(doctor_check_cgroup);
DOCTOR_CHECK(doctor_check_linger);
DOCTOR_CHECK(doctor_check_runtime_directory);
