/*
 * moss-image COMMAND: the helper program behind storage/transfer.h, which
 * starts it in the pinned user namespace; see storage/job/program.h.
 */
#include "base/cleanup.h"
#include "storage/job/job.h"
#include "storage/job/program.h"

static const struct job_command commands[] = {
	{"add-digest", add_digest_run, .reads_archives = false},
	{"cache-fetch", cache_fetch_run, .reads_archives = true},
	{"cache-read", cache_read_run, .reads_archives = true},
	{"check", check_run, .reads_archives = true},
	{"commit", commit_run, .reads_archives = false},
	{"context", context_run, .reads_archives = true},
	{"copy", copy_out_run, .reads_archives = false},
	{"copy-in", copy_in_run, .reads_archives = false},
	{"diff", diff_run, .reads_archives = false},
	{"export", export_run, .reads_archives = false},
	{"import", import_run, .reads_archives = true},
	{"layer-add", layer_add_run, .reads_archives = false},
	{"layout-read", layout_read_run, .reads_archives = true},
	{"load", load_run, .reads_archives = true},
	{"login", login_run, .reads_archives = true},
	{"manifest", manifest_run, .reads_archives = true},
	{"prepare", prepare_run, .reads_archives = false},
	{"pull", pull_run, .reads_archives = true},
	{"push", push_run, .reads_archives = true},
	{"save", save_run, .reads_archives = false},
	{"search", search_run, .reads_archives = true},
};

int main(int argc, char **argv)
{
	return job_program(commands, ARRAY_SIZE(commands), argc, argv);
}
