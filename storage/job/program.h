/*
 * What moss-image and moss-layer have in common: a program that does one job
 * (job.h) and ends. It may read archives and trees that anybody may have made,
 * so it gets nothing but the descriptors it needs, takes no privileges from
 * what it executes (nothing), and leaves no core file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct job;

struct job_command {
	const char *name;
	int (*run)(struct job *job, struct error *err);
	bool reads_archives; /* and writes nowhere but to the store */
};

/* main()'s: the command is argv[1]. */
int job_program(const struct job_command *commands, size_t count, int argc,
		char **argv);
