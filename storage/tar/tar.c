#include "storage/tar/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_format.h"

#define SPARSE_LINE_MAX 24 /* of a number in a 1.0 map */

struct tar_reader {
	tar_source source;
	void *data;
	const char *bytes; /* what is left of the source's piece */
	size_t left;
	uint64_t offset; /* of the archive, consumed */
	bool ended;

	struct tar_entry entry;
	struct tar_pax pax; /* of the next entry */
	char *long_name;    /* GNU 'L' and 'K' */
	char *long_link;

	struct tar_map map;
	size_t piece;	      /* being read */
	uint64_t piece_done;  /* bytes of it */
	uint64_t data_left;   /* of the entry, in the archive */
	uint64_t padding;     /* after it */
	uint64_t entry_count; /* headers of any kind */
	uint64_t entry_max;
};

struct tar_reader *tar_reader_new(tar_source source, void *data)
{
	struct tar_reader *reader = xcalloc(1, sizeof(*reader));

	reader->source = source;
	reader->data = data;
	reader->entry_max = TAR_ENTRIES_MAX;
	return reader;
}

void tar_reader_limit(struct tar_reader *reader, uint64_t entries)
{
	reader->entry_max = entries;
}

static void release_entry(struct tar_reader *reader)
{
	free(reader->entry.path);
	free(reader->entry.link);
	reader->entry = (struct tar_entry){0};
	tar_map_release(&reader->map);
	tar_pax_release(&reader->pax);
	free(steal_ptr(&reader->long_name));
	free(steal_ptr(&reader->long_link));
}

void tar_reader_free(struct tar_reader *reader)
{
	if (!reader)
		return;
	release_entry(reader);
	free(reader);
}

void cleanup_tar_reader_function(struct tar_reader **reader)
{
	tar_reader_free(*reader);
}

static int damaged(const struct tar_reader *reader, const char *what,
		   struct error *err)
{
	const char *path = reader->entry.path;

	if (path)
		return err_set(err, ERROR_CORRUPT,
			       "tar archive: %s at byte %llu, entry \"%.128s\"",
			       what, (unsigned long long)reader->offset, path);
	return err_set(err, ERROR_CORRUPT, "tar archive: %s at byte %llu", what,
		       (unsigned long long)reader->offset);
}

static int no_archive(struct error *err)
{
	return err_set(err, ERROR_INVALID, "not a tar archive");
}

/* 1 when there are bytes, 0 at the end. */
static int fill(struct tar_reader *reader, struct error *err)
{
	const void *bytes = NULL;
	ssize_t length;

	if (reader->left > 0)
		return 1;
	if (reader->ended)
		return 0;
	length = reader->source(reader->data, &bytes, err);
	if (length < 0)
		return (int)length;
	reader->ended = length == 0;
	reader->bytes = bytes;
	reader->left = (size_t)length;
	return length > 0;
}

static void consume(struct tar_reader *reader, size_t length)
{
	reader->bytes += length;
	reader->left -= length;
	reader->offset += length;
}

/* Up to length bytes; fewer at the end only. */
static ssize_t read_bytes(struct tar_reader *reader, void *to, size_t length,
			  struct error *err)
{
	size_t done = 0;

	while (done < length) {
		size_t part = length - done;
		int r = fill(reader, err);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (part > reader->left)
			part = reader->left;
		memcpy((char *)to + done, reader->bytes, part);
		consume(reader, part);
		done += part;
	}
	return (ssize_t)done;
}

static int read_exactly(struct tar_reader *reader, void *to, size_t length,
			struct error *err)
{
	ssize_t got = read_bytes(reader, to, length, err);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : damaged(reader, "truncated", err);
}

static int skip(struct tar_reader *reader, uint64_t length, struct error *err)
{
	while (length > 0) {
		int r = fill(reader, err);
		size_t part;

		if (r < 0)
			return r;
		if (r == 0)
			return damaged(reader, "truncated", err);
		part = length < reader->left ? (size_t)length : reader->left;
		consume(reader, part);
		length -= part;
	}
	return 0;
}

static uint64_t padding_of(uint64_t size)
{
	return (TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE;
}

int tar_number(const char *block, size_t offset, size_t size,
	       int64_t *ret_value)
{
	const unsigned char *field = (const unsigned char *)block + offset;
	uint64_t value = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		bool negative = (field[0] & 0x40) != 0;
		/* Two's complement, the first bit being the mark. */
		value = negative ? UINT64_MAX : 0;
		for (i = 0; i < size; i++) {
			unsigned int byte = field[i];

			if (i == 0)
				byte = negative ? byte | 0x80 : byte & 0x7f;
			if (i + 8 < size && byte != (negative ? 0xffu : 0u))
				return -EINVAL;
			value = value << 8 | byte;
		}
		if (((value >> 63) != 0) != negative)
			return -EINVAL;
		*ret_value = (int64_t)value;
		return 0;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		if (value >> 60)
			return -EINVAL;
		value = value << 3 | (unsigned int)(field[i] - '0');
	}
	for (; i < size; i++) {
		if (field[i] != ' ' && field[i] != '\0')
			return -EINVAL;
	}
	*ret_value = (int64_t)value;
	return 0;
}

static bool checksum_is_right(const char *block)
{
	const unsigned char *bytes = (const unsigned char *)block;
	int64_t unsigned_sum = 0;
	int64_t signed_sum = 0;
	int64_t stored;

	if (tar_number(block, TAR_CHECKSUM, &stored) < 0)
		return false;
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		bool inside = i >= 148 && i < 156;

		unsigned_sum += inside ? ' ' : bytes[i];
		signed_sum += inside ? ' ' : (signed char)bytes[i];
	}
	return stored == unsigned_sum || stored == signed_sum;
}

static bool is_zero(const char *block)
{
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		if (block[i])
			return false;
	}
	return true;
}

/* 1 and a header, 0 at the end of the archive (all of the source read). */
static int read_header(struct tar_reader *reader, char *block,
		       struct error *err)
{
	ssize_t got = read_bytes(reader, block, TAR_BLOCK_SIZE, err);
	int r;

	if (got < 0)
		return (int)got;
	if (got == 0 && reader->offset == 0)
		return err_set(err, ERROR_CORRUPT, "empty input");
	if (got == 0)
		return 0;
	if (got < TAR_BLOCK_SIZE)
		return reader->offset < TAR_BLOCK_SIZE
			       ? no_archive(err)
			       : damaged(reader, "truncated", err);
	if (is_zero(block)) {
		while ((r = fill(reader, err)) > 0)
			consume(reader, reader->left);
		return r;
	}
	if (!checksum_is_right(block))
		return reader->offset == TAR_BLOCK_SIZE
			       ? no_archive(err)
			       : damaged(reader, "damaged header", err);
	if (++reader->entry_count > reader->entry_max) {
		err_set(err, ERROR_INVALID,
			"tar archive: more than %llu entries",
			(unsigned long long)reader->entry_max);
		return limits_hint(LIMIT_LAYER_ENTRIES, err);
	}
	return 1;
}

static int header_size(const struct tar_reader *reader, const char *block,
		       uint64_t *ret_size, struct error *err)
{
	int64_t size;

	if (tar_number(block, TAR_SIZE, &size) < 0 || size < 0)
		return damaged(reader, "invalid size", err);
	*ret_size = (uint64_t)size;
	return 0;
}

/* The data of an extension: NUL-terminated, caller frees. */
static int read_extension(struct tar_reader *reader, const char *block,
			  size_t max, const char *too_large, char **ret_text,
			  size_t *ret_length, struct error *err)
{
	cleanup_free char *text = NULL;
	uint64_t size = 0;
	int r = header_size(reader, block, &size, err);

	if (r < 0)
		return r;
	if (size > max)
		return damaged(reader, too_large, err);
	text = xcalloc((size_t)size + 1, 1);
	r = read_exactly(reader, text, (size_t)size, err);
	if (r == 0)
		r = skip(reader, padding_of(size), err);
	if (r < 0)
		return r;
	*ret_text = steal_ptr(&text);
	*ret_length = (size_t)size;
	return 0;
}

/* Of two in a row the second counts. */
static int read_pax(struct tar_reader *reader, const char *block,
		    struct tar_pax *ret_pax, struct error *err)
{
	CLEANUP(tar_pax_release) struct tar_pax pax = {0};
	cleanup_free char *text = NULL;
	const char *what = NULL;
	size_t length;
	int r = read_extension(reader, block, TAR_PAX_MAX,
			       "extended header is too large", &text, &length,
			       err);

	if (r < 0)
		return r;
	r = tar_pax_parse(&pax, text, length, &what);
	if (r < 0)
		return damaged(reader, what, err);
	tar_pax_release(ret_pax);
	*ret_pax = pax;
	pax = (struct tar_pax){0};
	return 0;
}

static int read_long(struct tar_reader *reader, const char *block,
		     char **long_text, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r = read_extension(reader, block, TAR_PATH_MAX, "name is too long",
			       &text, &length, err);

	if (r < 0)
		return r;
	while (length > 0 && text[length - 1] == '\0')
		length--;
	if (memchr(text, '\0', length))
		return damaged(reader, "NUL in a name", err);
	free(*long_text);
	*long_text = steal_ptr(&text);
	return 0;
}

static char *field_text(const char *block, size_t offset, size_t size)
{
	return xstrndup(block + offset, strnlen(block + offset, size));
}

static char *header_name(const char *block)
{
	cleanup_free char *name = field_text(block, TAR_NAME);
	cleanup_free char *prefix = NULL;

	/* GNU's "ustar  " has times where the prefix would be. */
	if (memcmp(block + TAR_MAGIC, "ustar\0", 6) != 0)
		return steal_ptr(&name);
	if (memcmp(block + TAR_STAR_MAGIC, "tar\0", 4) == 0)
		prefix = field_text(block, TAR_PREFIX_STAR);
	else
		prefix = field_text(block, TAR_PREFIX);
	return *prefix ? xasprintf("%s/%s", prefix, name) : steal_ptr(&name);
}

static void apply_pax(struct tar_entry *entry, uint64_t *size,
		      const struct tar_pax *pax)
{
	if (pax->path) {
		free(entry->path);
		entry->path = xstrdup(pax->path);
	}
	if (pax->link) {
		free(entry->link);
		entry->link = xstrdup(pax->link);
	}
	if (pax->has_size)
		*size = pax->size;
	if (pax->has_uid)
		entry->uid = pax->uid;
	if (pax->has_gid)
		entry->gid = pax->gid;
	if (pax->has_mtime)
		entry->mtime = pax->mtime;
}

static int set_type(struct tar_reader *reader, const char *block,
		    struct error *err)
{
	struct tar_entry *entry = &reader->entry;
	size_t length = strlen(entry->path);

	switch (block[TAR_TYPEFLAG]) {
	case '\0':
	case '0':
	case '7':
	case 'S':
		/* v7 has no type for directories. */
		entry->type = length > 0 && entry->path[length - 1] == '/'
				      ? TAR_DIRECTORY
				      : TAR_FILE;
		return 0;
	case '1':
		entry->type = TAR_HARDLINK;
		return 0;
	case '2':
		entry->type = TAR_SYMLINK;
		return 0;
	case '3':
		entry->type = TAR_CHAR;
		return 0;
	case '4':
		entry->type = TAR_BLOCK;
		return 0;
	case '5':
	case 'D':
		entry->type = TAR_DIRECTORY;
		return 0;
	case '6':
		entry->type = TAR_FIFO;
		return 0;
	case 'M':
		return damaged(reader, "a part of a multi-volume archive", err);
	default:
		return damaged(reader, "unknown type of entry", err);
	}
}

static uint32_t id_of(int64_t value)
{
	return value >= 0 && value < TAR_ID_UNKNOWN ? (uint32_t)value
						    : TAR_ID_UNKNOWN;
}

static int read_numbers(struct tar_reader *reader, const char *block,
			struct error *err)
{
	struct tar_entry *entry = &reader->entry;
	int64_t mode;
	int64_t uid;
	int64_t gid;
	int64_t mtime;
	int64_t device[2] = {0};

	if (tar_number(block, TAR_MODE, &mode) < 0 ||
	    tar_number(block, TAR_UID, &uid) < 0 ||
	    tar_number(block, TAR_GID, &gid) < 0 ||
	    tar_number(block, TAR_MTIME, &mtime) < 0)
		return damaged(reader, "invalid number in a header", err);
	/* Nobody fills these in for a file; some leave rubbish. */
	if ((block[TAR_TYPEFLAG] == '3' || block[TAR_TYPEFLAG] == '4') &&
	    (tar_number(block, TAR_DEVMAJOR, &device[0]) < 0 ||
	     tar_number(block, TAR_DEVMINOR, &device[1]) < 0))
		return damaged(reader, "invalid device number", err);
	entry->mode = (mode_t)(mode & 07777);
	entry->uid = id_of(uid);
	entry->gid = id_of(gid);
	entry->mtime.tv_sec = mtime;
	entry->device_major = (uint32_t)device[0];
	entry->device_minor = (uint32_t)device[1];
	return 0;
}

static int add_pieces(struct tar_reader *reader, const char *pairs,
		      size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		int64_t offset;
		int64_t length;

		/* An empty pair ends the list. */
		if (!pairs[24 * i] && !pairs[24 * i + 12])
			break;
		if (tar_number(pairs, 24 * i, 12, &offset) < 0 ||
		    tar_number(pairs, 24 * i + 12, 12, &length) < 0 ||
		    offset < 0 || length < 0)
			return damaged(reader, "invalid sparse map", err);
		if (tar_map_add(&reader->map, (uint64_t)offset,
				(uint64_t)length) < 0)
			return damaged(reader, "sparse map beyond the limit",
				       err);
	}
	return 0;
}

static int read_gnu_sparse(struct tar_reader *reader, const char *block,
			   struct error *err)
{
	char more[TAR_BLOCK_SIZE];
	bool extended = block[TAR_GNU_EXTENDED] != 0;
	int64_t size;
	int r;

	if (tar_number(block, TAR_GNU_REAL_SIZE, &size) < 0 || size < 0)
		return damaged(reader, "invalid sparse size", err);
	reader->entry.size = (uint64_t)size;
	r = add_pieces(reader, block + TAR_GNU_SPARSE, 4, err);
	while (r == 0 && extended) {
		r = read_exactly(reader, more, sizeof(more), err);
		if (r == 0)
			r = add_pieces(reader, more, 21, err);
		extended = more[504] != 0;
	}
	return r;
}

/* One line of a 1.0 map; takes the bytes from *left. */
static int read_sparse_number(struct tar_reader *reader, uint64_t *left,
			      uint64_t *ret_value, struct error *err)
{
	char line[SPARSE_LINE_MAX];
	size_t length = 0;

	for (;;) {
		int r;

		if (*left == 0 || length == sizeof(line))
			return damaged(reader, "invalid sparse map", err);
		r = read_exactly(reader, &line[length], 1, err);
		if (r < 0)
			return r;
		(*left)--;
		if (line[length] == '\n')
			break;
		length++;
	}
	if (tar_decimal(line, length, ret_value) < 0)
		return damaged(reader, "invalid sparse map", err);
	return 0;
}

/* Format 1.0: the map is the first blocks of the data. */
static int read_sparse_map(struct tar_reader *reader, struct error *err)
{
	uint64_t before = reader->data_left;
	uint64_t left = before;
	uint64_t count = 0;
	uint64_t unused;
	int r = read_sparse_number(reader, &left, &count, err);

	if (r == 0 && count > TAR_SPARSE_MAX)
		return damaged(reader, "sparse map beyond the limit", err);
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		uint64_t offset;
		uint64_t length;

		r = read_sparse_number(reader, &left, &offset, err);
		if (r == 0)
			r = read_sparse_number(reader, &left, &length, err);
		if (r == 0)
			r = tar_map_add(&reader->map, offset, length);
	}
	if (r < 0)
		return r;
	unused = padding_of(before - left);
	if (unused > left)
		return damaged(reader, "invalid sparse map", err);
	reader->data_left = left - unused;
	return skip(reader, unused, err);
}

static bool has_data(const struct tar_reader *reader, const char *block)
{
	/* Go's reader, which docker uses, takes no data after a link. */
	return reader->entry.type == TAR_FILE || block[TAR_TYPEFLAG] == 'D';
}

/* Where the entry's data lies and what it means. */
static int set_data(struct tar_reader *reader, const char *block, uint64_t size,
		    struct error *err)
{
	struct tar_entry *entry = &reader->entry;
	const struct tar_pax *pax = &reader->pax;
	int r = 0;

	reader->piece = 0;
	reader->piece_done = 0;
	reader->data_left = has_data(reader, block) ? size : 0;
	reader->padding = padding_of(reader->data_left);
	if (entry->type != TAR_FILE)
		return 0;
	entry->size = size;
	if (block[TAR_TYPEFLAG] == 'S') {
		r = read_gnu_sparse(reader, block, err);
	} else if (pax->is_sparse) {
		if (!pax->has_sparse_size)
			return damaged(reader, "invalid sparse size", err);
		entry->size = pax->sparse_size;
		if (pax->sparse_in_data)
			r = read_sparse_map(reader, err);
		for (size_t i = 0; !pax->sparse_in_data && i < pax->map.count;
		     i++)
			tar_map_add(&reader->map, pax->map.pieces[i].offset,
				    pax->map.pieces[i].length);
	} else {
		tar_map_add(&reader->map, 0, size);
	}
	if (r < 0)
		return r;
	if (entry->size > TAR_FILE_MAX)
		return damaged(reader, "file is too large", err);
	if (!tar_map_is_valid(&reader->map, entry->size, reader->data_left))
		return damaged(reader, "invalid sparse map", err);
	return 0;
}

static void replace(char **text, const char *by)
{
	if (str_empty(by))
		return;
	free(*text);
	*text = xstrdup(by);
}

/* In the order in which docker's reader lets them win. */
static void set_long_names(struct tar_reader *reader)
{
	replace(&reader->entry.path, reader->long_name);
	replace(&reader->entry.link, reader->long_link);
	replace(&reader->entry.path, reader->pax.sparse_name);
}

static int read_entry(struct tar_reader *reader, const char *block,
		      struct error *err)
{
	struct tar_entry *entry = &reader->entry;
	uint64_t size = 0;
	int r = header_size(reader, block, &size, err);

	if (r < 0)
		return r;
	entry->path = header_name(block);
	entry->link = field_text(block, TAR_LINKNAME);
	r = read_numbers(reader, block, err);
	if (r < 0)
		return r;
	apply_pax(entry, &size, &reader->pax);
	set_long_names(reader);
	entry->xattrs = reader->pax.xattrs;
	entry->xattr_count = reader->pax.xattr_count;
	if (strlen(entry->path) >= TAR_PATH_MAX ||
	    strlen(entry->link) >= TAR_PATH_MAX)
		return damaged(reader, "name is too long", err);
	r = set_type(reader, block, err);
	if (r < 0)
		return r;
	return set_data(reader, block, size, err);
}

/* 1: it was an extension and is read; 0: an entry. */
static int read_if_extension(struct tar_reader *reader, const char *block,
			     struct error *err)
{
	CLEANUP(tar_pax_release) struct tar_pax ignored = {0};
	uint64_t size = 0;
	int r;

	switch (block[TAR_TYPEFLAG]) {
	case 'x':
	case 'X':
		r = read_pax(reader, block, &reader->pax, err);
		break;
	case 'g':
		r = read_pax(reader, block, &ignored, err);
		break;
	case 'L':
		r = read_long(reader, block, &reader->long_name, err);
		break;
	case 'K':
		r = read_long(reader, block, &reader->long_link, err);
		break;
	case 'V': /* the volume's label */
		r = header_size(reader, block, &size, err);
		if (r == 0)
			r = skip(reader, size, err);
		if (r == 0)
			r = skip(reader, padding_of(size), err);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

int tar_next(struct tar_reader *reader, const struct tar_entry **ret_entry,
	     struct error *err)
{
	char block[TAR_BLOCK_SIZE];
	int r;

	r = skip(reader, reader->data_left, err);
	if (r == 0)
		r = skip(reader, reader->padding, err);
	reader->data_left = 0;
	reader->padding = 0;
	release_entry(reader);
	if (r < 0)
		return r;
	for (;;) {
		r = read_header(reader, block, err);
		if (r < 0)
			return r;
		if (r == 0)
			return reader->pax.path || reader->long_name
				       ? damaged(reader, "truncated", err)
				       : 0;
		r = read_if_extension(reader, block, err);
		if (r < 0)
			return r;
		if (r == 0)
			break;
	}
	r = read_entry(reader, block, err);
	if (r < 0)
		return r;
	*ret_entry = &reader->entry;
	return 1;
}

int tar_data(struct tar_reader *reader, const void **ret_bytes,
	     size_t *ret_length, uint64_t *ret_offset, struct error *err)
{
	const struct tar_piece *piece;
	uint64_t left;
	int r;

	while (reader->piece < reader->map.count &&
	       reader->piece_done == reader->map.pieces[reader->piece].length) {
		reader->piece++;
		reader->piece_done = 0;
	}
	if (reader->piece == reader->map.count)
		return 0;
	r = fill(reader, err);
	if (r < 0)
		return r;
	if (r == 0)
		return damaged(reader, "truncated", err);
	piece = &reader->map.pieces[reader->piece];
	left = piece->length - reader->piece_done;
	*ret_bytes = reader->bytes;
	*ret_length = left < reader->left ? (size_t)left : reader->left;
	*ret_offset = piece->offset + reader->piece_done;
	reader->piece_done += *ret_length;
	reader->data_left -= *ret_length;
	consume(reader, *ret_length);
	return 1;
}
