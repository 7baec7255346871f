/*
 * moss-image export: the merged root of a container as one tar archive, without
 * the contents of its volumes.
 */
#include "base/cleanup.h"
#include "storage/job/confine.h"
#include "storage/job/output.h"
#include "storage/root/root_job.h"

static int write_archive(void *data, struct output *output, struct error *err)
{
	struct root_job *root = data;
	cleanup_tar_writer struct tar_writer *writer =
		tar_writer_new(output_put, output);
	const struct tree_request request = {
		.writer = writer,
		.hooks = {.on_item = root_job_on_item, .data = root},
	};
	int r = tree_write(root->view.root_fd, &request, &root->report, err);

	if (r == 0)
		r = root_job_check(root, err);
	return r < 0 ? r : tar_write_end(writer, err);
}

int export_run(struct job *job, struct error *err)
{
	CLEANUP(root_job_release)
	struct root_job root = ROOT_JOB_EMPTY;
	const char *path = job_string(job, "output");
	struct output output = {JOB_OUTPUT, "standard output"};
	int r = root_job_open(job, false, &root, err);

	if (r < 0)
		return r;
	if (!path)
		confine_writes(job->store.root_fd);
	r = path ? output_to_file(path, write_archive, &root, err)
		 : write_archive(&root, &output, err);
	if (r < 0)
		return r;
	root_job_tell(&root);
	return 0;
}
