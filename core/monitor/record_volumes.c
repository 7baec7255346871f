#include "base/cleanup.h"
#include "base/json.h"
#include "core/monitor/record_private.h"
#include "storage/root/volume.h"

static bool mounts_volume(struct store *store, const char *id, const char *name)
{
	cleanup_json cJSON *container = NULL;
	const cJSON *mounts = NULL;
	const cJSON *mount;
	struct record record;
	int r;

	if (record_open(store, id, &record, NULL) < 0)
		return false;
	r = record_read(&record, &container, NULL);
	record_close(&record);
	if (r < 0 || json_get_array(container, "container", "Mounts", &mounts,
				    NULL) <= 0)
		return false;
	cJSON_ArrayForEach(mount, mounts)
	{
		const char *volume = NULL;

		if (json_get_string(mount, "Mounts", "Name", &volume, NULL) >
			    0 &&
		    str_equal(volume, name))
			return true;
	}
	return false;
}

void record_volumes_remove(struct store *store, const char *id,
			   char *const *names)
{
	cleanup_strv char **ids = NULL;

	if (!names || !names[0] || record_list(store, &ids, NULL) < 0)
		return;
	for (size_t i = 0; names[i]; i++) {
		bool used = false;

		for (size_t j = 0; !used && ids && ids[j]; j++)
			used = !str_equal(ids[j], id) &&
			       mounts_volume(store, ids[j], names[i]);
		if (!used)
			volume_remove(store, names[i], NULL);
	}
}
