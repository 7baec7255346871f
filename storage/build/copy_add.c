/* moss-image layer-add and add-digest: COPY, and what only ADD can do. */
#include "storage/build/copy.h"

static const struct copy_abilities abilities = {
	.fetch_url = copy_fetch_url,
	.unpack = copy_archive_unpack,
};

int layer_add_run(struct job *job, struct error *err)
{
	return copy_layer_job(job, &abilities, err);
}

int add_digest_run(struct job *job, struct error *err)
{
	return copy_digest_job(job, &abilities, err);
}
