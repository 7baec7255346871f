/* storage/build/content.h */
#include "storage/build/content.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/xattr.h>

#include "storage/store/limits.h"
#include "storage/tar/hash.h"
#include "tests/unit/build_tree.h"

static struct tree tree;
static struct error error;

static int set_up(void **state)
{
	err_clear(&error);
	tree_make(&tree);
	return 0;
}

static int tear_down(void **state)
{
	tree_remove(&tree);
	return 0;
}

static struct ignore *ignore_of(const char *text)
{
	struct ignore *ignore = ignore_new();

	assert_int_equal(ignore_add_file(ignore, text, strlen(text), NULL), 0);
	return ignore;
}

/* What a visitor saw, a word for each entry. */
struct seen {
	struct str text;
	bool spoil; /* an x takes the place of each first byte */
};

static char letter(mode_t mode)
{
	return S_ISDIR(mode)	? '/'
	       : S_ISLNK(mode)	? '>'
	       : S_ISFIFO(mode) ? '|'
	       : S_ISREG(mode)	? '='
				: '?';
}

static int visit(void *data, const struct content_entry *entry,
		 struct error *err)
{
	struct seen *seen = data;
	char bytes[64];
	ssize_t length = 0;

	if (seen->text.length > 0)
		str_append_char(&seen->text, ' ');
	if (!*entry->path)
		str_appendf(&seen->text, "%zu:%s", entry->pattern, entry->name);
	else
		str_append(&seen->text, entry->path);
	str_append_char(&seen->text, letter(entry->st.st_mode));
	if (entry->link)
		str_append(&seen->text, entry->link);
	assert_int_equal(entry->fd >= 0, entry->sum != NULL);
	for (uint64_t at = 0; entry->fd >= 0; at += (uint64_t)length) {
		length = pread(entry->fd, bytes, sizeof(bytes), (off_t)at);
		if (length <= 0)
			break;
		if (seen->spoil && at == 0)
			bytes[0] = 'x';
		if (entry->st.st_size < 10)
			str_append_bytes(&seen->text, bytes, (size_t)length);
		content_seen(entry->sum, at, bytes, (size_t)length);
	}
	assert_int_equal(entry->st.st_uid, 0);
	return 0;
}

/* Caller frees. The walk and the digest have to agree. */
static char *walk(const struct content_request *request)
{
	struct seen seen = {0};
	char walked[CONTENT_HEX_MAX] = "";
	char digest[CONTENT_HEX_MAX] = "";
	int r = content_walk(request, visit, &seen, walked, &error);

	if (r < 0) {
		str_release(&seen.text);
		assert_int_equal(content_digest(request, digest, NULL), r);
		return xstrdup(error.message);
	}
	assert_int_equal(content_digest(request, digest, &error), 0);
	assert_string_equal(walked, digest);
	assert_int_equal(strlen(digest), 64);
	return str_steal(&seen.text);
}

static void digest_of(char *const *patterns, char ret_hex[CONTENT_HEX_MAX])
{
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = patterns,
	};

	if (content_digest(&request, ret_hex, &error) < 0)
		fail_msg("%s", error.message);
}

static char *const everything[] = {".", NULL};

struct row {
	const char *tree;
	const char *patterns; /* with spaces between */
	const char *ignore;
	const char *excludes;
	bool parents;
	const char *wanted;
};

static void check_row(const struct row *row)
{
	cleanup_strv char **patterns = strv_split(row->patterns, ' ');
	cleanup_strv char **excludes =
		row->excludes ? strv_split(row->excludes, ' ') : NULL;
	cleanup_ignore struct ignore *ignore =
		row->ignore ? ignore_of(row->ignore) : NULL;
	cleanup_free char *found = NULL;
	struct content_request request = {
		.patterns = patterns,
		.ignore = ignore,
		.excludes = excludes,
		.parents = row->parents,
	};

	set_up(NULL);
	tree_fill(&tree, row->tree);
	request.root_fd = tree.fd;
	found = walk(&request);
	tear_down(NULL);
	if (!str_equal(found, row->wanted))
		fail_msg("%s of %s: %s, wanted %s", row->patterns, row->tree,
			 found, row->wanted);
}

static void test_patterns(void **state)
{
	static const struct row rows[] = {
		{"f=1", "f", .wanted = "0:f=1"},
		{"f=1", "/f", .wanted = "0:f=1"},
		{"f=1", "./x/../f/", .wanted = "0:f=1"},
		{"f=1", "../../f", .wanted = "0:f=1"},
		{"d/f=1", "d/f", .wanted = "0:f=1"},
		{"d/f=1 d/e/", "d", .wanted = "0:d/ e/ f=1"},
		{"d/f=1 x=2", ".", .wanted = "0:/ d/ d/f=1 x=2"},
		{"d/f=1 x=2", "/", .wanted = "0:/ d/ d/f=1 x=2"},
		{"", ".", .wanted = "0:/"},
		{"a=1 b=2", "b a", .wanted = "0:b=2 1:a=1"},
		/* a.b comes before a/b by bytes, behind a by names */
		{"d/a/b=1 d/a.b=2 d/a0=3", "d",
		 .wanted = "0:d/ a/ a/b=1 a.b=2 a0=3"},
		{"p|", "p", .wanted = "0:p|"},
		{"f=1", "g", .wanted = "\"/g\": not found"},
		{"f=1", "f/g", .wanted = "\"/f/g\": not found"},
		{"f=1", "f g*", .wanted = "0:f=1"},
		{"a1=1 a2=2 b=3", "a*", .wanted = "0:a1=1 0:a2=2"},
		{"a1=1 a2/f=2", "a?", .wanted = "0:a1=1 0:a2/ f=2"},
		{"x/a=1 y/a=2 y/z/a=3", "*/a", .wanted = "0:a=1 0:a=2"},
		{"x/a=1 y/b=2", "x/[ab]", .wanted = "0:a=1"},
		{"d/a=1", "*", .wanted = "0:d/ a=1"},
		{"d/a=1", "e/*", .wanted = "\"/e\": not found"},
		{"a[b=1", "a[[]b", .wanted = "0:a[b=1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_bad_pattern(void **state)
{
	char *const patterns[] = {"a[", NULL};
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = patterns,
	};
	char hex[CONTENT_HEX_MAX];

	assert_int_equal(content_digest(&request, hex, &error), -EINVAL);
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_links(void **state)
{
	static const struct row rows[] = {
		{"f=1 l>f", "l", .wanted = "0:l=1"},
		{"d/f=1 l>d", "l", .wanted = "0:l/ f=1"},
		{"d/f=1 l>d", "l/f", .wanted = "0:f=1"},
		{"d/f=1 l>/d", "l/f", .wanted = "0:f=1"},
		{"d/f=1 l>../../d", "l", .wanted = "0:l/ f=1"},
		{"d/e/l>../f d/f=1", "d/e/l", .wanted = "0:l=1"},
		{"a>b b>c c=1", "a", .wanted = "0:a=1"},
		{"a>b b>a", "a",
		 .wanted = "cannot read \"/a\": Too many levels of "
			   "symbolic links"},
		{"l>/etc/passwd", "l", .wanted = "\"/l\": not found"},
		{"l>../../../../etc/passwd", "l",
		 .wanted = "\"/l\": not found"},
		{"d/l>/etc d/k>x", "d", .wanted = "0:d/ k>x l>/etc"},
		{"d/f=1 l>d", "*", .wanted = "0:d/ f=1 0:l/ f=1"},
		/* Through no link where there are wildcards. */
		{"d/f=1 l>d", "*/f", .wanted = "0:f=1"},
		{"d/f=1 l>d", "l/*", .wanted = "0:f=1"},
		{"l>x", "*", .wanted = "\"/l\": not found"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_ignore(void **state)
{
	static const struct row rows[] = {
		{"a=1 b=2", ".", "a", .wanted = "0:/ b=2"},
		{"a=1 b=2", ".", "*", .wanted = "0:/"},
		{"a=1 b=2", "a", "a", .wanted = "\"/a\": not found"},
		{"d/a=1", "d", "d", .wanted = "\"/d\": not found"},
		{"d/a=1", "d/a", "d", .wanted = "\"/d/a\": not found"},
		{"d/a=1 d/b=2", "d", "d\n!d/b", .wanted = "0:d/ b=2"},
		{"d/a=1", "d", "d\n!d/b", .wanted = "\"/d\": not found"},
		{"d/a=1 d/b=2", "d/b", "d\n!d/b", .wanted = "0:b=2"},
		/* Directories that only lead to what is taken back in. */
		{"d/e/a=1 d/f/b=2", ".", "d\n!d/e/a",
		 .wanted = "0:/ d/ d/e/ d/e/a=1"},
		{"a/x.o=1 x.o=2 b=3", ".", "**/*.o", .wanted = "0:/ a/ b=3"},
		{"a=1 b=2", "*", "a", .wanted = "0:b=2"},
		{"d/a=1 e/a=2", "*/a", "d", .wanted = "0:a=2"},
		/* A link that is left out leads nowhere; nor one to what is. */
		{"l>f f=1", "l", "l", .wanted = "\"/l\": not found"},
		{"l>f f=1", "l", "f", .wanted = "\"/l\": not found"},
		{"l>d d/f=1", "l/f", "d", .wanted = "\"/l/f\": not found"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_ignore_hint(void **state)
{
	static const struct {
		const char *pattern;
		const char *ignore;
		bool told;
	} rows[] = {
		{"a", "a", true},   {"b", "a", false},	       {"d", "d", true},
		{"d/f", "d", true}, {"d", "d\n!d/none", true}, {"l", "a", true},
	};

	tree_fill(&tree, "a=1 d/f=1 l>a");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_ignore struct ignore *ignore =
			ignore_of(rows[i].ignore);
		char *const patterns[] = {(char *)(uintptr_t)rows[i].pattern,
					  NULL};
		const struct content_request request = {
			.root_fd = tree.fd,
			.patterns = patterns,
			.ignore = ignore,
		};
		char hex[CONTENT_HEX_MAX];

		err_clear(&error);
		assert_int_equal(content_digest(&request, hex, &error),
				 -ENOENT);
		assert_int_equal(error.kind, ERROR_NOT_FOUND);
		assert_int_equal(strstr(error.hint, ".dockerignore") != NULL,
				 rows[i].told);
	}
}

static void test_excludes(void **state)
{
	static const struct row rows[] = {
		{"a=1 b=2 d/a=3", ".", NULL, "a", .wanted = "0:/ b=2 d/ d/a=3"},
		{"a=1 b=2 d/a=3", ".", NULL, "**/a", .wanted = "0:/ b=2 d/"},
		{"d/a=1 d/b=2", "d", NULL, "a", .wanted = "0:d/ b=2"},
		{"d/a=1 d/b=2", "d", NULL, "d", .wanted = "0:d/ a=1 b=2"},
		{"d/a=1 d/b=2", "d", NULL, "*", .wanted = "0:d/"},
		{"d/e/a=1 d/e/b=2", "d", NULL, "e !e/b",
		 .wanted = "0:d/ e/ e/b=2"},
		{"x.txt=1 x.c=2", "x*", NULL, "*.txt", .wanted = "0:x.c=2"},
		{"x.txt=1", "x.txt", NULL, "*.txt", .wanted = ""},
		{"d1/a=1 d2/a=2", "d*", NULL, "*", .wanted = "0:d1/ 0:d2/"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_parents(void **state)
{
	static const char t[] = "t/a/b/c/d/foo=1 t/a/b/c/d/e/bay=2 "
				"t/a/b2/c/d/e/bar=3 x=4 l>t";
	static const struct row rows[] = {
		{t, "t/a/b/c/d/foo", .parents = true,
		 .wanted = "0:/ t/ t/a/ t/a/b/ t/a/b/c/ t/a/b/c/d/ "
			   "t/a/b/c/d/foo=1"},
		{t, "/t/a/b/./c/d", .parents = true,
		 .wanted = "0:/ c/ c/d/ c/d/e/ c/d/e/bay=2 c/d/foo=1"},
		{t, "/t/a/b/c/d/.", .parents = true,
		 .wanted = "0:/ t/ t/a/ t/a/b/ t/a/b/c/ t/a/b/c/d/ "
			   "t/a/b/c/d/e/ t/a/b/c/d/e/bay=2 "
			   "t/a/b/c/d/foo=1"},
		{t, "./x", .parents = true, .wanted = "0:/ x=4"},
		{t, "/t/a/./b/./c", .parents = true,
		 .wanted = "0:/ b/ b/c/ b/c/d/ b/c/d/e/ b/c/d/e/bay=2 "
			   "b/c/d/foo=1"},
		{t, "t/a/b*/./c/**/ba?", .parents = true,
		 .wanted = "0:/ c/ c/d/ c/d/e/ c/d/e/bay=2 "
			   "0:/ c/ c/d/ c/d/e/ c/d/e/bar=3"},
		{t, "t/./**/foo x", .parents = true,
		 .wanted = "0:/ a/ a/b/ a/b/c/ a/b/c/d/ a/b/c/d/foo=1 "
			   "1:/ x=4"},
		{t, "t/none", .parents = true,
		 .wanted = "\"/t/none\": not found"},
		{t, "t/./none", .parents = true,
		 .wanted = "\"/t/none\": not found"},
		{t, "none/./x", .parents = true,
		 .wanted = "\"/none/x\": not found"},
		{t, "t/none*", .parents = true, .wanted = "0:/"},
		{t, "l/a/b/./c/d/foo", .parents = true,
		 .wanted = "0:/ c/ c/d/ c/d/foo=1"},
		{t, "t/a/b/c/d", NULL, "**/foo", true,
		 .wanted = "0:/ t/ t/a/ t/a/b/ t/a/b/c/ t/a/b/c/d/ "
			   "t/a/b/c/d/e/ t/a/b/c/d/e/bay=2"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

/* What must change the digest, and what must not. */
static void test_digest(void **state)
{
	static const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
	char *const file[] = {"d/f", NULL};
	char first[CONTENT_HEX_MAX];
	char second[CONTENT_HEX_MAX];

	tree_fill(&tree, "d/f=1 d/e/ d/l>f p|");
	digest_of(everything, first);
	assert_int_equal(utimensat(tree.fd, "d/f", long_ago, 0), 0);
	assert_int_equal(utimensat(tree.fd, "d", long_ago, 0), 0);
	assert_int_equal(fchmod(tree.fd, 0700), 0);
	digest_of(everything, second);
	assert_string_equal(first, second);

	tree_add(&tree, "d/f=2");
	digest_of(everything, second);
	assert_string_not_equal(first, second);
	tree_add(&tree, "d/f=1");
	digest_of(everything, second);
	assert_string_equal(first, second);

	assert_int_equal(fchmodat(tree.fd, "d/f", 0755, 0), 0);
	digest_of(everything, second);
	assert_string_not_equal(first, second);
	assert_int_equal(fchmodat(tree.fd, "d/f", 0644, 0), 0);

	assert_int_equal(fchmodat(tree.fd, "d/e", 0700, 0), 0);
	digest_of(everything, second);
	assert_string_not_equal(first, second);
	assert_int_equal(fchmodat(tree.fd, "d/e", 0755, 0), 0);

	assert_int_equal(unlinkat(tree.fd, "d/l", 0), 0);
	tree_add(&tree, "d/l>e");
	digest_of(everything, second);
	assert_string_not_equal(first, second);

	/* The name of a file counts, it goes into a directory perhaps. */
	digest_of(file, first);
	tree_add(&tree, "d/g=1");
	digest_of((char *const[]){"d/g", NULL}, second);
	assert_string_not_equal(first, second);
	digest_of((char *const[]){"/d/../d/f", NULL}, second);
	assert_string_equal(first, second);
}

static int look_at_owner(void *data, const struct content_entry *entry,
			 struct error *err)
{
	size_t *xattrs = data;

	assert_int_equal(entry->st.st_uid, geteuid());
	for (size_t i = 0; i < entry->xattr_count; i++)
		assert_string_equal(entry->xattrs[i].name, "user.moss");
	*xattrs += entry->xattr_count;
	if (entry->fd >= 0)
		content_seen(entry->sum, 0, "1", 1);
	return 0;
}

static void test_owners(void **state)
{
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
		.owners = true,
	};
	char context[CONTENT_HEX_MAX];
	char first[CONTENT_HEX_MAX];
	char second[CONTENT_HEX_MAX];
	size_t xattrs = 0;
	cleanup_fd int file = -1;
	cleanup_fd int directory = -1;

	tree_fill(&tree, "d/f=1");
	file = openat(tree.fd, "d/f", O_RDONLY | O_CLOEXEC);
	directory = openat(tree.fd, "d", O_RDONLY | O_CLOEXEC);
	digest_of(everything, context);
	assert_int_equal(content_digest(&request, first, &error), 0);
	assert_string_not_equal(context, first);
	assert_int_equal(fsetxattr(file, "user.moss", "a", 1, 0), 0);
	assert_int_equal(content_digest(&request, second, &error), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(fsetxattr(file, "user.moss", "b", 1, 0), 0);
	assert_int_equal(content_digest(&request, first, &error), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(fsetxattr(directory, "user.moss", "b", 1, 0), 0);
	assert_int_equal(content_digest(&request, second, &error), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(
		content_walk(&request, look_at_owner, &xattrs, first, &error),
		0);
	assert_string_equal(first, second);
	assert_int_equal(xattrs, 2);
	/* Of a context they do not count; the mode of a root does. */
	digest_of(everything, second);
	assert_string_equal(context, second);
	assert_int_equal(fchmod(tree.fd, 0711), 0);
	assert_int_equal(content_digest(&request, second, &error), 0);
	assert_string_not_equal(first, second);
}

/* Written down once; a change of the form has to change "moss-content-1". */
static void test_digest_is_the_documented_one(void **state)
{
	static const char text[] = "moss-content-1\0"
				   "ff\0\0"
				   "644\0";
	static const unsigned char sum_text[] = {0, 0, 0, 0, 0, 0, 0, 0, 'h',
						 0, 0, 0, 0, 0, 0, 0, 1};
	char *const patterns[] = {"f", NULL};
	char sum[DIGEST_TEXT_MAX];
	char whole[DIGEST_TEXT_MAX];
	char found[CONTENT_HEX_MAX];
	cleanup_str struct str all = {0};

	tree_add(&tree, "f=h");
	assert_int_equal(hash_bytes(sum_text, sizeof(sum_text), sum, NULL), 0);
	str_append_bytes(&all, text, sizeof(text) - 1);
	for (size_t i = 0; i < 32; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(digest_hex(sum) + 2 * i, "%2x", &byte),
				 1);
		str_append_char(&all, (char)byte);
	}
	assert_int_equal(hash_bytes(all.data, all.length, whole, NULL), 0);
	digest_of(patterns, found);
	assert_string_equal(found, digest_hex(whole));
}

/* A hole is zeros, wherever it is; and it is not read. */
static void test_sparse(void **state)
{
	const off_t size = 1 << 20;
	char *const sparse[] = {"1/f", NULL};
	char *const full[] = {"2/f", NULL};
	cleanup_free char *zeros = xcalloc(1, (size_t)size);
	cleanup_fd int one = -1;
	cleanup_fd int two = -1;
	char first[CONTENT_HEX_MAX];
	char second[CONTENT_HEX_MAX];

	tree_fill(&tree, "1/f= 2/f=");
	one = openat(tree.fd, "1/f", O_RDWR | O_CLOEXEC);
	two = openat(tree.fd, "2/f", O_RDWR | O_CLOEXEC);
	assert_int_equal(write_all(two, zeros, (size_t)size), 0);
	assert_int_equal(ftruncate(one, size), 0);
	digest_of(sparse, first);
	digest_of(full, second);
	assert_string_equal(first, second);
	assert_int_equal(pwrite(one, "x", 1, 700001), 1);
	assert_int_equal(pwrite(two, "x", 1, 700001), 1);
	digest_of(sparse, first);
	assert_string_not_equal(first, second);
	digest_of(full, second);
	assert_string_equal(first, second);
	assert_int_equal(pwrite(two, "x", 1, 700001 + CONTENT_PIECE), 1);
	digest_of(full, second);
	assert_string_not_equal(first, second);
	/* As large as a file can be: told at once. */
	assert_int_equal(ftruncate(one, (off_t)1 << 40), 0);
	digest_of(sparse, second);
	assert_string_not_equal(first, second);
}

/* Pieces of any size make the same digest as content_digest(). */
static void test_large_file(void **state)
{
	cleanup_free char *bytes = xcalloc(1, 300000);
	cleanup_fd int fd = -1;
	cleanup_free char *text = NULL;
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};

	for (size_t i = 0; i < 300000; i++)
		bytes[i] = (char)(i * 7 / 5);
	tree_add(&tree, "f=");
	fd = openat(tree.fd, "f", O_RDWR | O_CLOEXEC);
	assert_int_equal(write_all(fd, bytes, 300000), 0);
	text = walk(&request);
	assert_string_equal(text, "0:/ f=");
}

/* The digest of a walk is that of the bytes that were taken. */
static void test_walk_tells_what_was_taken(void **state)
{
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};
	struct seen seen = {.spoil = true};
	char digest[CONTENT_HEX_MAX];
	char walked[CONTENT_HEX_MAX];

	tree_fill(&tree, "a=1 b=2");
	digest_of(everything, digest);
	assert_int_equal(content_walk(&request, visit, &seen, walked, &error),
			 0);
	str_release(&seen.text);
	assert_string_not_equal(digest, walked);
}

static int vanish(void *data, const struct content_entry *entry,
		  struct error *err)
{
	const char *action = data;

	if (!str_equal(entry->path, "a"))
		return 0;
	assert_int_equal(unlinkat(tree.fd, "b", 0), 0);
	if (*action)
		tree_add(&tree, action);
	return 0;
}

/* What goes away is not there; what becomes something else ends it. */
static void test_walk_of_a_changing_tree(void **state)
{
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};
	char gone[CONTENT_HEX_MAX];
	char digest[CONTENT_HEX_MAX];

	tree_fill(&tree, "a= b=2");
	assert_int_equal(content_walk(&request, vanish, "", gone, &error), 0);
	digest_of(everything, digest);
	assert_string_equal(gone, digest);

	tree_add(&tree, "b=2");
	assert_int_equal(
		content_walk(&request, vanish, "b>/etc/passwd", gone, &error),
		-EBUSY);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_non_null(strstr(error.message, "\"/b\""));

	assert_int_equal(unlinkat(tree.fd, "b", 0), 0);
	tree_add(&tree, "b=2");
	assert_int_equal(content_walk(&request, vanish, "b|", gone, &error),
			 -EBUSY);
}

static void test_special_files(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cleanup_free char *found = NULL;
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", tree.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	tree_add(&tree, "p|");
	found = walk(&request);
	assert_string_equal(found, "0:/ p| s=");
}

static void test_deep(void **state)
{
	cleanup_str struct str path = {0};
	cleanup_free char *found = NULL;
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};

	for (int i = 0; i < 100; i++)
		str_append(&path, "d/");
	tree_add(&tree, str_text(&path));
	found = walk(&request);
	assert_int_equal(strlen(found), 3 + 100 * 3 + 99 * 100);
	str_clear(&path);
	for (unsigned int i = 0; i <= TAR_DEPTH_MAX; i++)
		str_append(&path, "d/");
	tree_add(&tree, str_text(&path));
	free(found);
	found = walk(&request);
	assert_non_null(strstr(found, "too many directories deep"));
}

static void test_unreadable(void **state)
{
	char hex[CONTENT_HEX_MAX];
	const uid_t user = geteuid();
	const struct content_request request = {
		.root_fd = tree.fd,
		.patterns = everything,
	};

	tree_add(&tree, "d/f=1");
	assert_int_equal(fchmod(tree.fd, 0755), 0);
	assert_int_equal(fchmodat(tree.fd, "d/f", 0, 0), 0);
	/* Root may read everything. */
	assert_int_equal(seteuid(user == 0 ? 65534 : user), 0);
	assert_int_equal(content_digest(&request, hex, &error), -EACCES);
	assert_int_equal(seteuid(user), 0);
	assert_non_null(strstr(error.message, "\"/d/f\""));
	assert_non_null(strstr(error.hint, ".dockerignore"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_ignore),
		cmocka_unit_test(test_excludes),
		cmocka_unit_test(test_parents),
		TEST(test_bad_pattern),
		TEST(test_ignore_hint),
		TEST(test_digest),
		TEST(test_owners),
		TEST(test_digest_is_the_documented_one),
		TEST(test_sparse),
		TEST(test_large_file),
		TEST(test_walk_tells_what_was_taken),
		TEST(test_walk_of_a_changing_tree),
		TEST(test_special_files),
		TEST(test_deep),
		TEST(test_unreadable),
	};

	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
