#include "storage/tar/tar_writer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/tar_format.h"

#define BUFFER_SIZE (128u << 10)
/* Fewer bytes of holes than this are written as zeros. */
#define SPARSE_WORTH (64u << 10)
#define SPARSE_BLOCK (64u << 10) /* what is looked at for zeros */
#define NAME_SIZE    100
#define PREFIX_SIZE  155
/* "LENGTH SCHILY.xattr.NAME=VALUE\n" without name and value. */
#define XATTR_EXTRA 24

struct tar_writer {
	tar_sink sink;
	void *data;
	uint64_t bytes;
	uint64_t data_left; /* of the entry */
	uint64_t padding;   /* after it */
	struct str pax;	    /* records of the present entry */
	char *buffer;
	tar_tap tap;
	void *tap_data;
};

/* How a file's data goes into the archive. */
struct layout {
	uint64_t size;	       /* of the data, with the map of a sparse file */
	uint64_t real_size;    /* of the file */
	struct tar_map pieces; /* of a sparse file */
	bool is_sparse;
};

struct tar_writer *tar_writer_new(tar_sink sink, void *data)
{
	struct tar_writer *writer = xcalloc(1, sizeof(*writer));

	writer->sink = sink;
	writer->data = data;
	writer->buffer = xrealloc(NULL, BUFFER_SIZE, 1);
	return writer;
}

void tar_writer_free(struct tar_writer *writer)
{
	if (!writer)
		return;
	str_release(&writer->pax);
	free(writer->buffer);
	free(writer);
}

void cleanup_tar_writer_function(struct tar_writer **writer)
{
	tar_writer_free(*writer);
}

void tar_writer_tap(struct tar_writer *writer, tar_tap tap, void *data)
{
	writer->tap = tap;
	writer->tap_data = data;
}

uint64_t tar_writer_bytes(const struct tar_writer *writer)
{
	return writer->bytes;
}

static int emit(struct tar_writer *writer, const void *bytes, size_t length,
		struct error *err)
{
	writer->bytes += length;
	return length > 0 ? writer->sink(writer->data, bytes, length, err) : 0;
}

static uint64_t padding_of(uint64_t size)
{
	return (TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE;
}

static int emit_padding(struct tar_writer *writer, uint64_t length,
			struct error *err)
{
	static const char zeros[TAR_BLOCK_SIZE];

	return emit(writer, zeros, (size_t)length, err);
}

static int refuse(const struct tar_entry *entry, const char *why,
		  struct error *err)
{
	return err_set(err, ERROR_INVALID, "entry \"%.128s\": %s", entry->path,
		       why);
}

/* ---- the ustar header ---- */

/* Zero-padded octal with a NUL after it; false: it does not fit. */
static bool set_octal(char *block, size_t offset, size_t size, uint64_t value)
{
	if (value >> (3 * (size - 1)))
		return false;
	for (size_t i = size - 1; i > 0; i--) {
		block[offset + i - 1] = (char)('0' + (value & 7));
		value >>= 3;
	}
	return true;
}

/* Base-256, for what has no record: device numbers. */
static void set_number(char *block, size_t offset, size_t size, uint64_t value)
{
	if (set_octal(block, offset, size, value))
		return;
	memset(block + offset, 0, size);
	block[offset] = (char)0x80;
	for (size_t i = 0; i + 1 < size && i < sizeof(value); i++)
		block[offset + size - 1 - i] = (char)(value >> (8 * i));
}

/* "prefix/name", cut where both parts fit; false: nowhere. */
static bool set_split_name(char *block, const char *path, size_t length)
{
	const char *slash = path + length - 1;

	if (length > PREFIX_SIZE + 1 + NAME_SIZE)
		return false;
	/* The name may not be empty: a directory's own slash is no place. */
	while (slash > path) {
		slash--;
		if (*slash != '/')
			continue;
		if (path + length - slash - 1 > NAME_SIZE)
			return false;
		if (slash > path && slash - path <= PREFIX_SIZE)
			break;
	}
	if (slash == path)
		return false;
	memcpy(block + 345, path, (size_t)(slash - path));
	memcpy(block, slash + 1, (size_t)(path + length - slash - 1));
	return true;
}

static bool set_name(char *block, const char *path)
{
	size_t length = strlen(path);

	if (length > NAME_SIZE && set_split_name(block, path, length))
		return true;
	memcpy(block, path, length < NAME_SIZE ? length : NAME_SIZE);
	return length <= NAME_SIZE;
}

static bool set_link(char *block, const char *link)
{
	size_t length = strlen(link);

	memcpy(block + 157, link, length < NAME_SIZE ? length : NAME_SIZE);
	return length <= NAME_SIZE;
}

static void finish_header(char *block)
{
	unsigned int sum = 0;

	memcpy(block + TAR_MAGIC, "ustar\00000", 8);
	/* The sum is made with blanks in its own place. */
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += (unsigned char)block[i];
	set_octal(block, 148, 7, sum);
	block[154] = '\0';
}

static char type_flag(enum tar_type type)
{
	switch (type) {
	case TAR_HARDLINK:
		return '1';
	case TAR_SYMLINK:
		return '2';
	case TAR_CHAR:
		return '3';
	case TAR_BLOCK:
		return '4';
	case TAR_DIRECTORY:
		return '5';
	case TAR_FIFO:
		return '6';
	case TAR_FILE:
		break;
	}
	return '0';
}

/* ---- the extended header ---- */

/* "LENGTH KEY=VALUE\n", the length counting itself. */
static void add_record(struct tar_writer *writer, const char *key,
		       const void *value, size_t length)
{
	size_t rest = strlen(key) + length + 3;
	size_t total = rest + 1;
	char number[24];

	while (rest + (size_t)snprintf(number, sizeof(number), "%zu", total) !=
	       total)
		total++;
	str_append(&writer->pax, number);
	str_append_char(&writer->pax, ' ');
	str_append(&writer->pax, key);
	str_append_char(&writer->pax, '=');
	str_append_bytes(&writer->pax, value, length);
	str_append_char(&writer->pax, '\n');
}

static void add_text(struct tar_writer *writer, const char *key,
		     const char *value)
{
	add_record(writer, key, value, strlen(value));
}

static void add_number(struct tar_writer *writer, const char *key,
		       uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_text(writer, key, text);
}

static void add_time(struct tar_writer *writer, const char *key,
		     const struct timespec *time)
{
	const char *sign = time->tv_sec < 0 ? "-" : "";
	unsigned long long seconds = (unsigned long long)time->tv_sec;
	long nanoseconds = time->tv_nsec;
	char text[48];
	size_t length;

	if (time->tv_sec < 0)
		seconds = 0 - seconds;
	/* -1.25 is -2 seconds and 750 million nanoseconds. */
	if (time->tv_sec < 0 && nanoseconds > 0) {
		seconds--;
		nanoseconds = 1000000000L - nanoseconds;
	}
	snprintf(text, sizeof(text), "%s%llu.%09ld", sign, seconds,
		 nanoseconds);
	length = strlen(text);
	while (text[length - 1] == '0')
		length--;
	length -= text[length - 1] == '.';
	add_record(writer, key, text, length);
}

static void add_xattrs(struct tar_writer *writer, const struct tar_entry *entry)
{
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];
		cleanup_free char *key =
			xasprintf("SCHILY.xattr.%s", xattr->name);

		add_record(writer, key, xattr->value, xattr->length);
	}
}

bool tar_xattr_fits(const char *name, size_t length, size_t *room)
{
	size_t size = strlen(name) + length + XATTR_EXTRA;

	if (strchr(name, '=') || strlen(name) > TAR_XATTR_NAME_MAX ||
	    length > TAR_XATTR_MAX || size > *room)
		return false;
	*room -= size;
	return true;
}

static int emit_pax(struct tar_writer *writer, const char *path,
		    struct error *err)
{
	char block[TAR_BLOCK_SIZE] = {0};
	const char *slash = strrchr(path, '/');
	const size_t length = writer->pax.length;
	int r;

	/* For readers that know nothing of it and make a file. */
	snprintf(block, NAME_SIZE, "PaxHeaders.0/%.80s",
		 slash && slash[1] ? slash + 1 : "entry");
	set_octal(block, TAR_MODE, 0644);
	set_octal(block, TAR_UID, 0);
	set_octal(block, TAR_GID, 0);
	set_octal(block, TAR_SIZE, length);
	set_octal(block, TAR_MTIME, 0);
	block[TAR_TYPEFLAG] = 'x';
	finish_header(block);
	r = emit(writer, block, sizeof(block), err);
	if (r == 0)
		r = emit(writer, writer->pax.data, length, err);
	return r < 0 ? r : emit_padding(writer, padding_of(length), err);
}

/* ---- entries ---- */

static void add_sparse(struct tar_writer *writer, const char *path,
		       const struct layout *layout)
{
	add_text(writer, "GNU.sparse.major", "1");
	add_text(writer, "GNU.sparse.minor", "0");
	add_text(writer, "GNU.sparse.name", path);
	add_number(writer, "GNU.sparse.realsize", layout->real_size);
}

/* A name for those who take a sparse file for a plain one. */
static char *sparse_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return xasprintf("%.*sGNUSparseFile.0/%s",
			 slash ? (int)(slash + 1 - path) : 0, path,
			 slash ? slash + 1 : path);
}

static void set_ids(struct tar_writer *writer, const struct tar_entry *entry,
		    char *block)
{
	if (!set_octal(block, TAR_UID, entry->uid)) {
		set_octal(block, TAR_UID, 0);
		add_number(writer, "uid", entry->uid);
	}
	if (!set_octal(block, TAR_GID, entry->gid)) {
		set_octal(block, TAR_GID, 0);
		add_number(writer, "gid", entry->gid);
	}
}

static void set_time(struct tar_writer *writer, const struct tar_entry *entry,
		     char *block)
{
	const struct timespec *mtime = &entry->mtime;
	bool fits = mtime->tv_sec >= 0 &&
		    set_octal(block, TAR_MTIME, (uint64_t)mtime->tv_sec);

	if (!fits)
		set_octal(block, TAR_MTIME, 0);
	if (!fits || mtime->tv_nsec != 0)
		add_time(writer, "mtime", mtime);
}

/* The path as it is written; caller frees. */
static char *written_path(const struct tar_entry *entry)
{
	bool directory =
		entry->type == TAR_DIRECTORY && !str_ends(entry->path, "/");

	return xasprintf("%s%s", entry->path, directory ? "/" : "");
}

static void fill_header(struct tar_writer *writer,
			const struct tar_entry *entry,
			const struct layout *layout, const char *path,
			char *block)
{
	cleanup_free char *shown =
		layout->is_sparse ? sparse_name(path) : xstrdup(path);

	/* Records in one fixed order. */
	if (!set_name(block, shown) && !layout->is_sparse)
		add_text(writer, "path", path);
	if (!set_link(block, entry->link ? entry->link : ""))
		add_text(writer, "linkpath", entry->link);
	set_octal(block, TAR_MODE, entry->mode & 07777);
	set_ids(writer, entry, block);
	if (!set_octal(block, TAR_SIZE, layout->size)) {
		set_octal(block, TAR_SIZE, 0);
		add_number(writer, "size", layout->size);
	}
	set_time(writer, entry, block);
	block[TAR_TYPEFLAG] = type_flag(entry->type);
	if (entry->type == TAR_CHAR || entry->type == TAR_BLOCK) {
		set_number(block, TAR_DEVMAJOR, entry->device_major);
		set_number(block, TAR_DEVMINOR, entry->device_minor);
	}
	if (layout->is_sparse)
		add_sparse(writer, path, layout);
	add_xattrs(writer, entry);
	finish_header(block);
}

static int write_header(struct tar_writer *writer,
			const struct tar_entry *entry,
			const struct layout *layout, struct error *err)
{
	cleanup_free char *path = written_path(entry);
	char block[TAR_BLOCK_SIZE] = {0};
	int r = 0;

	if (writer->data_left > 0)
		return refuse(entry, "the data of the one before is missing",
			      err);
	if (strlen(path) >= TAR_PATH_MAX ||
	    (entry->link && strlen(entry->link) >= TAR_PATH_MAX))
		return refuse(entry, "the name is too long", err);
	str_clear(&writer->pax);
	fill_header(writer, entry, layout, path, block);
	if (writer->pax.length > TAR_PAX_MAX)
		return refuse(entry, "its attributes are too large", err);
	if (writer->pax.length > 0)
		r = emit_pax(writer, path, err);
	if (r == 0)
		r = emit(writer, block, sizeof(block), err);
	if (r < 0)
		return r;
	writer->data_left = layout->size;
	writer->padding = padding_of(layout->size);
	return 0;
}

int tar_write_entry(struct tar_writer *writer, const struct tar_entry *entry,
		    struct error *err)
{
	const struct layout layout = {
		.size = entry->type == TAR_FILE ? entry->size : 0,
	};

	return write_header(writer, entry, &layout, err);
}

int tar_write_data(struct tar_writer *writer, const void *bytes, size_t length,
		   struct error *err)
{
	int r;

	if (length > writer->data_left)
		return err_set(err, ERROR_INVALID,
			       "more data than the entry's size");
	r = emit(writer, bytes, length, err);
	if (r < 0)
		return r;
	writer->data_left -= length;
	if (writer->data_left > 0)
		return 0;
	r = emit_padding(writer, writer->padding, err);
	writer->padding = 0;
	return r;
}

int tar_write_end(struct tar_writer *writer, struct error *err)
{
	int r = emit_padding(writer, TAR_BLOCK_SIZE, err);

	return r < 0 ? r : emit_padding(writer, TAR_BLOCK_SIZE, err);
}

/* ---- files ---- */

static size_t decimal_length(uint64_t value)
{
	size_t length = 1;

	while (value >= 10) {
		value /= 10;
		length++;
	}
	return length;
}

/* Bytes of a sparse map as text, filled up to whole blocks. */
static uint64_t map_size(const struct tar_map *pieces)
{
	uint64_t size = decimal_length(pieces->count) + 1;

	for (size_t i = 0; i < pieces->count; i++)
		size += decimal_length(pieces->pieces[i].offset) +
			decimal_length(pieces->pieces[i].length) + 2;
	return size + padding_of(size);
}

/*
 * What of the file is data. Past the limit of pieces the rest is one: its holes
 * are written out as zeros.
 */
static void find_pieces(int fd, uint64_t size, struct tar_map *pieces)
{
	off_t at = 0;

	while ((uint64_t)at < size) {
		off_t from = lseek(fd, at, SEEK_DATA);
		off_t to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);

		/* Nothing but a hole is left. */
		if (from < 0 && errno == ENXIO)
			return;
		if (from < 0 || to <= from)
			from = at;
		if ((uint64_t)from >= size)
			return;
		if (to <= from || (uint64_t)to > size ||
		    pieces->count == TAR_SPARSE_MAX - 1)
			to = (off_t)size;
		if (tar_map_add(pieces, (uint64_t)from, (uint64_t)(to - from)) <
		    0)
			return;
		at = to;
	}
}

/* Is all of it zero? */
static bool is_zero(const char *bytes, size_t length)
{
	return length == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/*
 * A FUSE file system may know of no holes: then a file that takes less space
 * than it has bytes is read once to find them.
 */
static void read_pieces(struct tar_writer *writer, int fd, uint64_t size,
			struct tar_map *pieces)
{
	struct stat st;
	uint64_t from = 0;
	uint64_t at = 0;
	bool in_piece = false;

	if (pieces->count != 1 || pieces->pieces[0].length != size ||
	    fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_blocks * 512 + SPARSE_WORTH > size)
		return;
	tar_map_release(pieces);
	while (at < size && pieces->count < TAR_SPARSE_MAX - 1) {
		uint64_t left = size - at;
		size_t part = left < SPARSE_BLOCK ? (size_t)left : SPARSE_BLOCK;
		ssize_t got = pread(fd, writer->buffer, part, (off_t)at);
		bool zero;

		/* What cannot be read will be told when it is written. */
		if (got <= 0)
			break;
		zero = is_zero(writer->buffer, (size_t)got);
		if (!zero && !in_piece)
			from = at;
		if (zero && in_piece)
			(void)tar_map_add(pieces, from, at - from);
		in_piece = !zero;
		at += (uint64_t)got;
	}
	if (!in_piece)
		from = at;
	if (from < size && (in_piece || at < size))
		(void)tar_map_add(pieces, from, size - from);
}

static void find_layout(struct tar_writer *writer,
			const struct tar_entry *entry, int fd,
			struct layout *ret_layout)
{
	struct layout layout = {
		.size = entry->size,
		.real_size = entry->size,
	};
	uint64_t data = 0;
	uint64_t map;

	if (entry->size >= SPARSE_WORTH) {
		find_pieces(fd, entry->size, &layout.pieces);
		read_pieces(writer, fd, entry->size, &layout.pieces);
		for (size_t i = 0; i < layout.pieces.count; i++)
			data += layout.pieces.pieces[i].length;
		map = map_size(&layout.pieces);
		layout.is_sparse = data + map + SPARSE_WORTH <= entry->size;
	}
	if (layout.is_sparse)
		layout.size = map + data;
	else
		tar_map_release(&layout.pieces);
	*ret_layout = layout;
}

static int write_map(struct tar_writer *writer, const struct tar_map *pieces,
		     struct error *err)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%zu\n", pieces->count);
	uint64_t size = (uint64_t)length;
	int r = tar_write_data(writer, line, (size_t)length, err);

	for (size_t i = 0; r == 0 && i < pieces->count; i++) {
		length = snprintf(line, sizeof(line), "%llu\n%llu\n",
				  (unsigned long long)pieces->pieces[i].offset,
				  (unsigned long long)pieces->pieces[i].length);
		size += (uint64_t)length;
		r = tar_write_data(writer, line, (size_t)length, err);
	}
	if (r < 0)
		return r;
	memset(writer->buffer, 0, TAR_BLOCK_SIZE);
	return tar_write_data(writer, writer->buffer, (size_t)padding_of(size),
			      err);
}

/* Zeros where the file has ended meanwhile. */
static ssize_t read_some(int fd, char *buffer, size_t length, uint64_t offset)
{
	ssize_t got;

	do
		got = pread(fd, buffer, length, (off_t)offset);
	while (got < 0 && errno == EINTR);
	if (got != 0)
		return got < 0 ? -errno : got;
	memset(buffer, 0, length);
	return (ssize_t)length;
}

static int write_piece(struct tar_writer *writer, const struct tar_entry *entry,
		       int fd, const struct tar_piece *piece, struct error *err)
{
	uint64_t done = 0;

	while (done < piece->length) {
		uint64_t left = piece->length - done;
		size_t part = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
		ssize_t got = read_some(fd, writer->buffer, part,
					piece->offset + done);
		int r;

		if (got < 0)
			return err_number(err, (int)got,
					  "cannot read \"%.128s\"",
					  entry->path);
		if (writer->tap)
			writer->tap(writer->tap_data, piece->offset + done,
				    writer->buffer, (size_t)got);
		r = tar_write_data(writer, writer->buffer, (size_t)got, err);
		if (r < 0)
			return r;
		done += (uint64_t)got;
	}
	return 0;
}

int tar_write_file(struct tar_writer *writer, const struct tar_entry *entry,
		   int fd, struct error *err)
{
	const struct tar_piece all = {0, entry->size};
	struct layout layout = {0};
	int r;

	find_layout(writer, entry, fd, &layout);
	r = write_header(writer, entry, &layout, err);
	if (r == 0 && !layout.is_sparse)
		r = write_piece(writer, entry, fd, &all, err);
	if (r == 0 && layout.is_sparse)
		r = write_map(writer, &layout.pieces, err);
	for (size_t i = 0; r == 0 && i < layout.pieces.count; i++)
		r = write_piece(writer, entry, fd, &layout.pieces.pieces[i],
				err);
	tar_map_release(&layout.pieces);
	return r;
}

/* ---- entries ---- */

static void set_device(struct tar_entry *entry, enum tar_type type,
		       const struct stat *st)
{
	entry->type = type;
	entry->device_major = major(st->st_rdev);
	entry->device_minor = minor(st->st_rdev);
}

void tar_entry_from_stat(struct tar_entry *entry, const struct stat *st)
{
	entry->mode = st->st_mode & 07777;
	entry->uid = st->st_uid;
	entry->gid = st->st_gid;
	entry->mtime = st->st_mtim;
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		entry->type = TAR_DIRECTORY;
		break;
	case S_IFLNK:
		entry->type = TAR_SYMLINK;
		break;
	case S_IFIFO:
		entry->type = TAR_FIFO;
		break;
	case S_IFCHR:
		set_device(entry, TAR_CHAR, st);
		break;
	case S_IFBLK:
		set_device(entry, TAR_BLOCK, st);
		break;
	default:
		entry->type = TAR_FILE;
		entry->size = (uint64_t)st->st_size;
		break;
	}
}
