/*
 * storage/tar/unpack.h and storage/check/check_tree.h: any order of entries,
 * from a small set of names that get in each other's way. Nothing is made
 * outside of the root, and what was made is what the checker says it should be.
 *
 * An input is a row of entries of four bytes: type, name, link, attributes.
 * Bytes of headers are the matter of fuzz_tar_layer.
 */
#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/check/check_tree.h"
#include "storage/tar/unpack.h"
#include "tests/unit/tar_builder.h"

#define ENTRY_SIZE  4
#define ENTRIES_MAX 64
#define CANARY	    "untouched"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char types[] = {'0', '5', '2', '1', '3', '6', '5', '0'};

static const char *const names[] = {
	"a",
	"b",
	"a/b",
	"a/b/c",
	"b/a",
	"l",
	"l/a",
	"a/l",
	"a/l/b",
	"l/l/a",
	".wh.a",
	".wh.b",
	"a/.wh.b",
	"l/.wh.a",
	"a/b/.wh.c",
	"a/.wh..wh..opq",
	"b/.wh..wh..opq",
	".wh..wh..opq",
	"l/.wh..wh..opq",
	"./",
	"../canary",
	"/a/c",
	"a/../b",
	"b/c/d/e",
	".wh.l",
	"a/b/c/d",
};

static const char *const links[] = {
	"a",   "b",	  "l",	 "/a",	      "a/b",	       "b/a",
	".",   "..",	  "/",	 "../canary", "/../../canary", "a/l",
	"b/c", "../../b", "c/d", "../a",      "a/b/c",	       "/b/./c/..",
};

static const unsigned int modes[] = {0644,  0755, 04755, 0700,
				     01777, 0001, 02775, 0000};

static int base_fd = -1;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/*
 * As moss does it: 0:0 of a user namespace, in memory, for speed. Before
 * main(): libFuzzer's has threads, and those cannot enter one.
 */
__attribute__((constructor)) static void prepare(void)
{
	char path[] = "/tmp/moss-fuzz-XXXXXX";
	cleanup_free char *uids = xasprintf("0 %u 1", getuid());
	cleanup_free char *gids = xasprintf("0 %u 1", getgid());

	assert(mkdtemp(path));
	assert(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", uids);
	write_file("/proc/self/gid_map", gids);
	assert(mount("fuzz", path, "tmpfs", 0, "mode=0755") == 0);
	base_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(base_fd >= 0);
	/* Only the mount is left of it. */
	assert(umount2(path, MNT_DETACH) == 0 && rmdir(path) == 0);
	umask(0);
}

static void build(struct str *tar, const uint8_t *data, size_t size)
{
	for (size_t i = 0;
	     i + ENTRY_SIZE <= size && i < ENTRIES_MAX * ENTRY_SIZE;
	     i += ENTRY_SIZE) {
		const uint8_t *byte = data + i;
		struct tar_file file = {
			.path = names[byte[1] % ARRAY_SIZE(names)],
			.type = types[byte[0] % ARRAY_SIZE(types)],
			.link = links[byte[2] % ARRAY_SIZE(links)],
			.mode = modes[byte[3] % ARRAY_SIZE(modes)],
			.uid = byte[3] & 0x08 ? 5 : 0,
			.gid = byte[3] & 0x10 ? 6 : 0,
			/* 0:0 would be a whiteout. */
			.minor = byte[3] & 0x20 ? 0 : 3,
			.pax = byte[3] & 0x40
				       ? "SCHILY.xattr.user.x=y\n"
					 "SCHILY.xattr.user.overlay.opaque=y\n"
				       : NULL,
		};

		if (file.type == '0')
			file.data = byte[3] & 0x80 ? "one" : "other content";
		tar_add(tar, &file);
	}
	tar_end(tar);
}

struct source {
	const char *bytes;
	size_t left;
};

static ssize_t next_piece(void *data, const void **ret_bytes, struct error *err)
{
	struct source *source = data;
	size_t part = source->left < 1000 ? source->left : 1000;

	*ret_bytes = source->bytes;
	source->bytes += part;
	source->left -= part;
	return (ssize_t)part;
}

static void complain(void *data, const char *path, const char *what)
{
	fprintf(stderr, "\"%s\" %s\n", path, what);
	abort();
}

static void check(const struct str *tar, int root_fd, const cJSON *devices)
{
	struct source source = {tar->data, tar->length};
	cleanup_tar_reader struct tar_reader *reader =
		tar_reader_new(next_piece, &source);
	cleanup_json cJSON *none = json_array();
	struct error error = {0};
	const struct check_tree request = {
		.reader = reader,
		.root_fd = root_fd,
		.scratch_fd = -1,
		.devices = devices ? devices : none,
		.report = complain,
	};

	if (check_tree(&request, &error) < 0)
		complain(NULL, "", error.message);
}

/* Beside the root there is the canary, and it sings. */
static void check_outside(void)
{
	cleanup_free char *text = NULL;
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fdopendir(fd);
	assert(dir);
	while ((entry = readdir(dir)))
		assert(*entry->d_name == '.' ||
		       str_equal(entry->d_name, "root") ||
		       str_equal(entry->d_name, "canary"));
	assert(file_read_at(base_fd, "canary", 100, &text, NULL, NULL) == 0);
	assert(str_equal(text, CANARY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_str struct str tar = {0};
	cleanup_tar_reader struct tar_reader *reader = NULL;
	struct unpack_result result = {0};
	struct error error = {0};
	struct limits limits;
	struct source source;
	int root_fd;

	build(&tar, data, size);
	source = (struct source){tar.data, tar.length};
	limits_init(&limits);
	assert(mkdirat(base_fd, "root", 0755) == 0);
	root_fd = openat(base_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(root_fd >= 0);
	assert(file_write_atomic_at(base_fd, "canary", CANARY, strlen(CANARY),
				    0644, FILE_VOLATILE, NULL) == 0);
	reader = tar_reader_new(next_piece, &source);
	if (unpack_layer(reader, root_fd, &limits, &result, &error) < 0)
		assert(error.message[0] != '\0');
	else
		check(&tar, root_fd, result.devices);
	cJSON_Delete(result.devices);
	close(root_fd);
	check_outside();
	assert(tree_remove_at(base_fd, "root", NULL) == 0);
	return 0;
}
