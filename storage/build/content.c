#include "storage/build/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/build/content_internal.h"
#include "storage/build/content_sum.h"
#include "storage/build/stat_cache.h"
#include "storage/tar/parallel.h"
#include "storage/tar/tar_xattrs.h"

#define READERS 2u
/* Fewer files are read before a thread has begun. */
#define ALONE_MAX 16u

static const char preamble[] = "moss-content-1"; /* with its NUL */

/* ---- the digest ---- */

static void put_text(struct hash *hash, const char *text)
{
	hash_update(hash, text, strlen(text) + 1);
}

static void put_textf(struct hash *hash, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put_textf(struct hash *hash, const char *format, ...)
{
	char text[64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put_text(hash, text);
}

static char type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	default:
		return 'f';
	}
}

static void put_owners(struct hash *hash, const struct content_item *item)
{
	put_textf(hash, "%u:%u", item->st.st_uid, item->st.st_gid);
	for (size_t i = 0; i < item->xattr_count; i++) {
		const struct tar_xattr *xattr = &item->xattrs[i];

		put_text(hash, xattr->name);
		put_textf(hash, "%zu", xattr->length);
		hash_update(hash, xattr->value, xattr->length);
	}
	put_text(hash, "");
}

static void put_item(struct hash *hash, const struct content_request *request,
		     const struct content_item *item)
{
	const struct stat *st = &item->st;
	bool is_link = S_ISLNK(st->st_mode);
	char type = type_of(st->st_mode);

	hash_update(hash, &type, 1);
	put_text(hash, type == 'd' || *item->path ? "" : item->name);
	put_text(hash, item->path);
	put_textf(hash, "%o", is_link ? 0 : st->st_mode & 07777);
	if (request->owners)
		put_owners(hash, item);
	if (is_link)
		put_text(hash, item->link);
	else if (type == 'f')
		hash_update(hash, item->sum, sizeof(item->sum));
	else if (type == 'c' || type == 'b')
		put_textf(hash, "%u:%u", major(st->st_rdev),
			  minor(st->st_rdev));
}

static int begin(struct hash *hash, struct error *err)
{
	int r = hash_init(hash, err);

	if (r == 0)
		hash_update(hash, preamble, sizeof(preamble));
	return r;
}

static void finish(struct hash *hash, char ret_hex[CONTENT_HEX_MAX])
{
	unsigned char bytes[HASH_SIZE];

	hash_finish(hash, bytes);
	hex_encode(ret_hex, bytes, sizeof(bytes));
}

/* ---- what is opened ---- */

static bool is_file(const struct content_item *item)
{
	return S_ISREG(item->st.st_mode) && !item->is_socket;
}

static bool needs_opening(const struct content_request *request,
			  const struct content_item *item)
{
	return is_file(item) || (request->owners && S_ISDIR(item->st.st_mode));
}

static int has_changed(const struct content_item *item, struct error *err)
{
	err_set(err, ERROR_CONFLICT,
		"\"/%.512s\" was replaced while the build read it", item->real);
	return err_hint(err, "build again when nothing writes to the context");
}

/*
 * The file or directory as it is now, with what counts of it. -1 and is_gone
 * where there is nothing any more.
 */
static int open_item(const struct content_request *request,
		     struct content_item *item, int *ret_fd, struct error *err)
{
	const mode_t type = item->st.st_mode & S_IFMT;
	cleanup_fd int fd = path_open_exact(request->root_fd,
					    *item->real ? item->real : ".",
					    O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	item->is_gone = fd == -ENOENT;
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -ENXIO)
		return has_changed(item, err);
	if (fd < 0 && !item->is_gone)
		return content_unreadable(request, item->real, fd, err);
	if (item->is_gone) {
		fd = -1;
		*ret_fd = -1;
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return content_unreadable(request, item->real, errno, err);
	if ((st.st_mode & S_IFMT) != type)
		return has_changed(item, err);
	item->st = st;
	if (request->owners) {
		tar_xattrs_free(item->xattrs, item->xattr_count);
		item->xattrs = NULL;
		item->xattr_count = 0;
		r = tar_xattrs_read(fd, &item->xattrs, &item->xattr_count,
				    NULL);
		if (r < 0)
			return content_unreadable(request, item->real, r, err);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* ---- the digest alone ---- */

struct reading {
	const struct content_request *request;
	struct content_item **items; /* to be opened */
	size_t count;
};

static int read_item(void *data, size_t index, struct error *err)
{
	const struct reading *reading = data;
	struct content_item *item = reading->items[index];
	CLEANUP(content_sum_release) struct content_sum sum = {0};
	cleanup_fd int fd = -1;
	int r = open_item(reading->request, item, &fd, err);

	if (r < 0 || fd < 0 || !is_file(item))
		return r;
	r = content_sum_file(&sum, fd, (uint64_t)item->st.st_size, item->sum,
			     err);
	return r < 0 ? content_unreadable(reading->request, item->real, r, err)
		     : 0;
}

/* All items that nobody knows yet. */
static int read_items(const struct content_request *request,
		      struct content_list *list, struct error *err)
{
	cleanup_free struct content_item **items =
		xcalloc(list->count + 1, sizeof(struct content_item *));
	struct stat_cache *cache = request->owners ? NULL : request->cache;
	struct reading reading = {.request = request, .items = items};
	atomic_bool cancelled = false;
	struct parallel parallel = {
		.run = read_item,
		.data = &reading,
		.cancelled = &cancelled,
	};
	int r;

	for (size_t i = 0; i < list->count; i++) {
		struct content_item *item = &list->items[i];

		if (!needs_opening(request, item) ||
		    (cache && is_file(item) &&
		     stat_cache_find(cache, item->real, &item->st, item->sum)))
			continue;
		items[reading.count++] = item;
	}
	parallel.count = reading.count;
	parallel.threads = reading.count > ALONE_MAX ? READERS : 1;
	r = parallel_run(&parallel, err);
	for (size_t i = 0; r == 0 && cache && i < reading.count; i++) {
		if (!items[i]->is_gone && is_file(items[i]))
			stat_cache_put(cache, items[i]->real, &items[i]->st,
				       items[i]->sum);
	}
	return r;
}

/* Of a socket, which is shown as an empty file. */
static int sum_nothing(unsigned char ret_sum[HASH_SIZE], struct error *err)
{
	CLEANUP(content_sum_release) struct content_sum sum = {0};
	int r = content_sum_begin(&sum, 0, err);

	if (r == 0)
		content_sum_end(&sum, ret_sum);
	return r;
}

static int know_sockets(struct content_list *list, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		if (list->items[i].is_socket)
			r = sum_nothing(list->items[i].sum, err);
	}
	return r;
}

int content_digest(const struct content_request *request,
		   char ret_hex[CONTENT_HEX_MAX], struct error *err)
{
	cleanup_content_list struct content_list list = {0};
	CLEANUP(hash_release) struct hash hash = {NULL};
	int r = content_scan(request, &list, err);

	if (r == 0)
		r = know_sockets(&list, err);
	if (r == 0)
		r = read_items(request, &list, err);
	if (r == 0)
		r = begin(&hash, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++) {
		if (!list.items[i].is_gone)
			put_item(&hash, request, &list.items[i]);
	}
	finish(&hash, ret_hex);
	return 0;
}

/* ---- the walk ---- */

static int show_item(const struct content_request *request,
		     struct content_item *item, struct content_sum *sum,
		     content_visit visit, void *data, struct error *err)
{
	struct content_entry entry;
	cleanup_fd int fd = -1;
	int r = 0;

	if (needs_opening(request, item))
		r = open_item(request, item, &fd, err);
	if (r == 0 && is_file(item) && !item->is_gone)
		r = content_sum_begin(sum, (uint64_t)item->st.st_size, err);
	if (r < 0 || item->is_gone)
		return r;
	entry = (struct content_entry){
		.pattern = item->pattern,
		.name = item->name,
		.path = item->path,
		.st = item->st,
		.link = item->link,
		.xattrs = item->xattrs,
		.xattr_count = item->xattr_count,
		.fd = is_file(item) ? fd : -1,
		.sum = is_file(item) ? sum : NULL,
	};
	if (!request->owners)
		entry.st.st_uid = entry.st.st_gid = 0;
	r = visit(data, &entry, err);
	if (r == 0 && is_file(item))
		content_sum_end(sum, item->sum);
	return r;
}

int content_walk(const struct content_request *request, content_visit visit,
		 void *data, char ret_hex[CONTENT_HEX_MAX], struct error *err)
{
	cleanup_content_list struct content_list list = {0};
	CLEANUP(content_sum_release) struct content_sum sum = {0};
	CLEANUP(hash_release) struct hash hash = {NULL};
	int r = content_scan(request, &list, err);

	if (r == 0)
		r = know_sockets(&list, err);
	if (r == 0)
		r = begin(&hash, err);
	for (size_t i = 0; r == 0 && i < list.count; i++) {
		struct content_item *item = &list.items[i];

		r = show_item(request, item, &sum, visit, data, err);
		if (r == 0 && !item->is_gone)
			put_item(&hash, request, item);
	}
	if (r < 0)
		return r;
	finish(&hash, ret_hex);
	return 0;
}
