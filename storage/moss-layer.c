/*
 * moss-layer COMMAND: moss-image's little sister, for what a build does time
 * and again and what needs neither foreign archives nor the network: without
 * the libraries for those it starts in a third of the time.
 */
#include "base/cleanup.h"
#include "storage/job/job.h"
#include "storage/job/program.h"

static const struct job_command commands[] = {
	{"assemble", assemble_run, .reads_archives = false},
	{"copy-digest", copy_digest_run, .reads_archives = false},
	{"layer-copy", layer_copy_run, .reads_archives = false},
	{"layer-diff", layer_diff_run, .reads_archives = true},
};

int main(int argc, char **argv)
{
	return job_program(commands, ARRAY_SIZE(commands), argc, argv);
}
