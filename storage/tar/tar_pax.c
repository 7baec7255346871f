/* Extended headers of the tar reader: "LENGTH KEY=VALUE\n", many of them. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_format.h"

#define NANOSECONDS 9

void tar_map_release(struct tar_map *map)
{
	free(map->pieces);
	*map = (struct tar_map){0};
}

int tar_map_add(struct tar_map *map, uint64_t offset, uint64_t length)
{
	if (map->count == TAR_SPARSE_MAX)
		return -E2BIG;
	if (map->count == map->room) {
		map->room = map->room ? map->room * 2 : 16;
		map->pieces =
			xrealloc(map->pieces, map->room, sizeof(*map->pieces));
	}
	map->pieces[map->count++] = (struct tar_piece){offset, length};
	return 0;
}

bool tar_map_is_valid(const struct tar_map *map, uint64_t file_size,
		      uint64_t data_size)
{
	uint64_t end = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < map->count; i++) {
		const struct tar_piece *piece = &map->pieces[i];

		if (piece->offset < end || piece->offset > file_size ||
		    piece->length > file_size - piece->offset)
			return false;
		end = piece->offset + piece->length;
		sum += piece->length;
	}
	return sum == data_size;
}

void tar_pax_release(struct tar_pax *pax)
{
	for (size_t i = 0; i < pax->xattr_count; i++) {
		free(pax->xattrs[i].name);
		free(pax->xattrs[i].value);
	}
	free(pax->xattrs);
	free(pax->path);
	free(pax->link);
	free(pax->sparse_name);
	tar_map_release(&pax->map);
	*pax = (struct tar_pax){0};
}

int tar_decimal(const char *text, size_t length, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (length == 0)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		unsigned int digit = (unsigned int)(text[i] - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return 0;
}

/* An ID of any size: what does not fit is nobody's. */
static int parse_id(const char *text, size_t length, uint32_t *ret_id)
{
	uint64_t value;

	if (length > 1 && text[0] == '-') {
		if (tar_decimal(text + 1, length - 1, &value) < 0)
			return -EINVAL;
		*ret_id = value ? TAR_ID_UNKNOWN : 0;
		return 0;
	}
	if (tar_decimal(text, length, &value) < 0)
		return -EINVAL;
	*ret_id = value < TAR_ID_UNKNOWN ? (uint32_t)value : TAR_ID_UNKNOWN;
	return 0;
}

/* "[-]SECONDS[.FRACTION]" */
static int parse_pax_time(const char *text, size_t length,
			  struct timespec *ret_time)
{
	bool negative = length > 0 && text[0] == '-';
	const char *dot;
	size_t whole;
	uint64_t seconds = 0;
	long nanoseconds = 0;

	if (negative) {
		text++;
		length--;
	}
	dot = memchr(text, '.', length);
	whole = dot ? (size_t)(dot - text) : length;
	if (tar_decimal(text, whole, &seconds) < 0 || seconds > INT64_MAX)
		return -EINVAL;
	for (size_t i = 0; dot && i < NANOSECONDS; i++) {
		size_t at = whole + 1 + i;
		char digit = at < length ? text[at] : '0';

		if (digit < '0' || digit > '9')
			return -EINVAL;
		nanoseconds = nanoseconds * 10 + (digit - '0');
	}
	ret_time->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
	ret_time->tv_nsec = nanoseconds;
	if (negative && nanoseconds > 0) {
		ret_time->tv_sec--;
		ret_time->tv_nsec = 1000000000L - nanoseconds;
	}
	return 0;
}

static int decode_base64(const char *text, size_t length, char **ret_bytes,
			 size_t *ret_length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	cleanup_free char *bytes = xcalloc(length + 1, 1);
	unsigned int bits = 0;
	uint32_t value = 0;
	size_t count = 0;

	while (length > 0 && text[length - 1] == '=')
		length--;
	for (size_t i = 0; i < length; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (!digit)
			return -EINVAL;
		value = value << 6 | (uint32_t)(digit - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[count++] = (char)(value >> bits);
		}
	}
	*ret_bytes = steal_ptr(&bytes);
	*ret_length = count;
	return 0;
}

/* libarchive writes the name with %XX. */
static void decode_percent(char *name)
{
	char *to = name;

	for (const char *from = name; *from; from++) {
		unsigned int value = 0;
		int digits = 0;

		for (; *from == '%' && digits < 2; digits++) {
			static const char hex[] = "0123456789abcdef";
			char c = from[1 + digits];
			const char *digit =
				c ? strchr(hex,
					   c >= 'A' && c <= 'F' ? c + 32 : c)
				  : NULL;

			if (!digit)
				break;
			value = value * 16 + (unsigned int)(digit - hex);
		}
		if (digits == 2 && value != 0) {
			*to++ = (char)value;
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/* Takes both; a later one of the same name replaces the earlier. */
static int add_xattr(struct tar_pax *pax, char *name, char *value,
		     size_t length)
{
	struct tar_xattr *xattr = NULL;

	for (size_t i = 0; i < pax->xattr_count && !xattr; i++) {
		if (str_equal(pax->xattrs[i].name, name))
			xattr = &pax->xattrs[i];
	}
	if (!*name || strlen(name) > TAR_XATTR_NAME_MAX ||
	    length > TAR_XATTR_MAX ||
	    (!xattr && pax->xattr_count == TAR_XATTRS_MAX)) {
		free(name);
		free(value);
		return -E2BIG;
	}
	if (!xattr) {
		pax->xattrs = xrealloc(pax->xattrs, pax->xattr_count + 1,
				       sizeof(*pax->xattrs));
		xattr = &pax->xattrs[pax->xattr_count++];
		*xattr = (struct tar_xattr){0};
	}
	free(xattr->name);
	free(xattr->value);
	*xattr = (struct tar_xattr){name, value, length};
	return 0;
}

struct record {
	const char *key; /* NUL-terminated copy */
	const char *value;
	size_t length;
};

static int set_text(char **text, const struct record *record)
{
	if (record->length >= TAR_PATH_MAX)
		return -E2BIG;
	if (memchr(record->value, '\0', record->length))
		return -EINVAL;
	free(*text);
	*text = record->length ? xstrndup(record->value, record->length) : NULL;
	return 0;
}

static int on_path(struct tar_pax *pax, const struct record *record)
{
	return set_text(&pax->path, record);
}

static int on_link(struct tar_pax *pax, const struct record *record)
{
	return set_text(&pax->link, record);
}

static int on_size(struct tar_pax *pax, const struct record *record)
{
	pax->has_size = record->length > 0;
	return pax->has_size
		       ? tar_decimal(record->value, record->length, &pax->size)
		       : 0;
}

static int on_uid(struct tar_pax *pax, const struct record *record)
{
	pax->has_uid = record->length > 0;
	return pax->has_uid ? parse_id(record->value, record->length, &pax->uid)
			    : 0;
}

static int on_gid(struct tar_pax *pax, const struct record *record)
{
	pax->has_gid = record->length > 0;
	return pax->has_gid ? parse_id(record->value, record->length, &pax->gid)
			    : 0;
}

static int on_mtime(struct tar_pax *pax, const struct record *record)
{
	pax->has_mtime = record->length > 0;
	return pax->has_mtime ? parse_pax_time(record->value, record->length,
					       &pax->mtime)
			      : 0;
}

static int on_sparse_name(struct tar_pax *pax, const struct record *record)
{
	return set_text(&pax->sparse_name, record);
}

static int on_sparse_size(struct tar_pax *pax, const struct record *record)
{
	pax->is_sparse = true;
	pax->has_sparse_size = true;
	return tar_decimal(record->value, record->length, &pax->sparse_size);
}

static int on_sparse_major(struct tar_pax *pax, const struct record *record)
{
	uint64_t major;

	if (tar_decimal(record->value, record->length, &major) < 0 || major > 1)
		return -EINVAL;
	pax->is_sparse = true;
	pax->sparse_in_data = major == 1;
	return 0;
}

static int on_sparse_offset(struct tar_pax *pax, const struct record *record)
{
	pax->is_sparse = true;
	pax->has_sparse_offset = true;
	return tar_decimal(record->value, record->length, &pax->sparse_offset);
}

static int on_sparse_bytes(struct tar_pax *pax, const struct record *record)
{
	uint64_t length;

	if (!pax->has_sparse_offset ||
	    tar_decimal(record->value, record->length, &length) < 0)
		return -EINVAL;
	pax->has_sparse_offset = false;
	return tar_map_add(&pax->map, pax->sparse_offset, length);
}

/* "offset,length,offset,length" */
static int on_sparse_map(struct tar_pax *pax, const struct record *record)
{
	const char *at = record->value;
	const char *end = at + record->length;
	uint64_t pair[2];
	int half = 0;

	pax->is_sparse = true;
	tar_map_release(&pax->map);
	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;

		if (tar_decimal(at, (size_t)(stop - at), &pair[half]) < 0)
			return -EINVAL;
		if (half == 1 && tar_map_add(&pax->map, pair[0], pair[1]) < 0)
			return -E2BIG;
		half = !half;
		at = comma ? comma + 1 : end;
	}
	return half ? -EINVAL : 0;
}

static int ignore(struct tar_pax *pax, const struct record *record)
{
	return 0;
}

static const struct handler {
	const char *key;
	int (*set)(struct tar_pax *pax, const struct record *record);
} handlers[] = {
	{"path", on_path},
	{"linkpath", on_link},
	{"size", on_size},
	{"uid", on_uid},
	{"gid", on_gid},
	{"mtime", on_mtime},
	{"GNU.sparse.name", on_sparse_name},
	{"GNU.sparse.size", on_sparse_size},
	{"GNU.sparse.realsize", on_sparse_size},
	{"GNU.sparse.major", on_sparse_major},
	{"GNU.sparse.minor", ignore},
	{"GNU.sparse.numblocks", ignore},
	{"GNU.sparse.offset", on_sparse_offset},
	{"GNU.sparse.numbytes", on_sparse_bytes},
	{"GNU.sparse.map", on_sparse_map},
};

static int apply_xattr(struct tar_pax *pax, const struct record *record,
		       const char *name, bool encoded)
{
	char *copy = xstrdup(name);
	char *value = NULL;
	size_t length = record->length;

	if (!encoded) {
		value = xcalloc(length + 1, 1);
		memcpy(value, record->value, length);
	} else if (decode_base64(record->value, record->length, &value,
				 &length) < 0) {
		free(copy);
		return -EINVAL;
	}
	if (encoded)
		decode_percent(copy);
	return add_xattr(pax, copy, value, length);
}

static int apply(struct tar_pax *pax, const struct record *record)
{
	static const char schily[] = "SCHILY.xattr.";
	static const char libarchive[] = "LIBARCHIVE.xattr.";

	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (str_equal(record->key, handlers[i].key))
			return handlers[i].set(pax, record);
	}
	if (str_starts(record->key, schily))
		return apply_xattr(pax, record, record->key + strlen(schily),
				   false);
	/* Written beside SCHILY's, which says the same in fewer steps. */
	if (str_starts(record->key, libarchive))
		return apply_xattr(pax, record,
				   record->key + strlen(libarchive), true);
	return 0;
}

/* One record at text; its length, or -EINVAL. */
static ssize_t parse_record(struct tar_pax *pax, const char *text,
			    size_t length)
{
	const char *space =
		memchr(text, ' ', length < 20 ? length : (size_t)20);
	cleanup_free char *key = NULL;
	struct record record;
	const char *equals;
	const char *start;
	uint64_t total;
	int r;

	if (!space || tar_decimal(text, (size_t)(space - text), &total) < 0 ||
	    total > length || total < (uint64_t)(space - text) + 3 ||
	    text[total - 1] != '\n')
		return -EINVAL;
	start = space + 1;
	equals = memchr(start, '=', (size_t)(text + total - 1 - start));
	if (!equals || equals == start ||
	    memchr(start, '\0', (size_t)(equals - start)))
		return -EINVAL;
	key = xstrndup(start, (size_t)(equals - start));
	record.key = key;
	record.value = equals + 1;
	record.length = (size_t)(text + total - 1 - record.value);
	r = apply(pax, &record);
	return r < 0 ? r : (ssize_t)total;
}

int tar_pax_parse(struct tar_pax *pax, const char *text, size_t length,
		  const char **ret_what)
{
	while (length > 0) {
		ssize_t used = parse_record(pax, text, length);

		if (used < 0) {
			*ret_what = used == -E2BIG
					    ? "extended header beyond a limit"
					    : "malformed extended header";
			return -EINVAL;
		}
		text += used;
		length -= (size_t)used;
	}
	return 0;
}
