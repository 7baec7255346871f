#include "storage/store/limits.h"

#include "base/json.h"
#include "base/str.h"

#define SECTION	  "limits"
#define BYTES_MIN (1ll << 10)
#define BYTES_MAX (1ll << 52) /* what JSON carries exactly */

static const struct limits defaults = {
	.layer_size = LAYER_BYTES_MAX,
	.layer_entries = TAR_ENTRIES_MAX,
	.archive_size = LOAD_BYTES_MAX,
	.unpack_floor = PACKED_FLOOR,
	.unpack_ratio = PACKED_RATIO,
};

const struct conf_key limits_conf_keys[] = {
	{SECTION, LIMIT_LAYER_SIZE, CONF_BYTES, 0, BYTES_MIN, BYTES_MAX},
	{SECTION, LIMIT_LAYER_ENTRIES, CONF_NUMBER, 0, 1, 1 << 30},
	{SECTION, LIMIT_ARCHIVE_SIZE, CONF_BYTES, 0, BYTES_MIN, BYTES_MAX},
	{SECTION, LIMIT_UNPACK_FLOOR, CONF_BYTES, 0, BYTES_MIN, BYTES_MAX},
	{SECTION, LIMIT_UNPACK_RATIO, CONF_NUMBER, 0, 2, 1 << 30},
	{0},
};

/* Where each of them is; in the order of limits_conf_keys. */
static uint64_t *field(struct limits *limits, size_t index)
{
	uint64_t *const fields[] = {
		&limits->layer_size,   &limits->layer_entries,
		&limits->archive_size, &limits->unpack_floor,
		&limits->unpack_ratio,
	};

	_Static_assert(ARRAY_SIZE(fields) + 1 == ARRAY_SIZE(limits_conf_keys),
		       "a field for each key");
	return fields[index];
}

void limits_init(struct limits *limits)
{
	*limits = defaults;
}

void limits_from_conf(const struct conf *conf, struct limits *ret_limits)
{
	limits_init(ret_limits);
	for (size_t i = 0; limits_conf_keys[i].section; i++) {
		const struct conf_entry *entry =
			conf_get(conf, SECTION, NULL, limits_conf_keys[i].key);

		if (entry)
			*field(ret_limits, i) = (uint64_t)entry->number;
	}
}

cJSON *limits_json(const struct limits *limits)
{
	struct limits copy = *limits;
	cJSON *json = json_object();

	for (size_t i = 0; limits_conf_keys[i].section; i++)
		json_set_i64(json, limits_conf_keys[i].key,
			     (int64_t)*field(&copy, i));
	return json;
}

int limits_from_json(const cJSON *json, struct limits *ret_limits,
		     struct error *err)
{
	struct limits limits;

	limits_init(&limits);
	for (size_t i = 0; limits_conf_keys[i].section; i++) {
		int64_t value = 0;
		int r = json_get_i64(json, SECTION, limits_conf_keys[i].key,
				     &value, err);

		if (r < 0)
			return r;
		if (r > 0 && value > 0)
			*field(&limits, i) = (uint64_t)value;
	}
	*ret_limits = limits;
	return 0;
}

int limits_hint(const char *key, struct error *err)
{
	return err_hint(err,
			"if you trust where it comes from, raise %s in the "
			"section [" SECTION "] of moss.conf",
			key);
}
