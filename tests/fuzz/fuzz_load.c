/*
 * storage/archive/load.h: the documents of an archive of images, docker's of
 * all times and OCI's: manifest.json, repositories, index.json, manifests,
 * configs. What is taken is right (storage/check/check.h), what is not says
 * why, and nothing of it stays in the store.
 *
 * An input is the files of the archive, each after a line "@NAME". Digests
 * would make every change of a byte the same failure: in a file $N stands for
 * the 64 digits of the Nth file, %N for its size, and the name "blob" for its
 * place among the blobs of a layout.
 */
#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/job.h"
#include "storage/store/index.h"
#include "storage/tar/hash.h"
#include "tests/unit/tar_builder.h"

#define FILES_MAX 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct files {
	size_t count;
	char digests[FILES_MAX][DIGEST_TEXT_MAX];
	size_t sizes[FILES_MAX];
};

static char *base; /* "/proc/self/fd/N", of a file system in memory */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/* Before main(): libFuzzer's has threads, and those cannot enter a namespace.
 */
__attribute__((constructor)) static void prepare(void)
{
	char path[] = "/tmp/moss-fuzz-XXXXXX";
	cleanup_free char *uids = xasprintf("0 %u 1", getuid());
	cleanup_free char *gids = xasprintf("0 %u 1", getgid());
	int fd;

	assert(mkdtemp(path));
	assert(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", uids);
	write_file("/proc/self/gid_map", gids);
	assert(mount("fuzz", path, "tmpfs", 0, "mode=0755") == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(fd >= 0);
	assert(umount2(path, MNT_DETACH) == 0 && rmdir(path) == 0);
	base = xasprintf("/proc/self/fd/%d", fd);
	umask(0);
}

/* $N and %N. */
static void expand(struct str *out, const struct files *files, const char *text,
		   size_t length)
{
	for (size_t i = 0; i < length; i++) {
		size_t n = i + 1 < length && isdigit((unsigned char)text[i + 1])
				   ? (size_t)(text[i + 1] - '0')
				   : FILES_MAX;

		if (n < files->count && text[i] == '$')
			str_append(out, digest_hex(files->digests[n]));
		else if (n < files->count && text[i] == '%')
			str_appendf(out, "%zu", files->sizes[n]);
		else
			n = FILES_MAX;
		if (n < FILES_MAX)
			i++;
		else
			str_append_char(out, text[i]);
	}
}

static void add_file(struct str *tar, struct files *files, const char *name,
		     size_t name_length, const char *text, size_t length)
{
	cleanup_free char *path = xstrndup(name, name_length);
	cleanup_str struct str content = {0};
	char *digest = files->digests[files->count];

	expand(&content, files, text, length);
	assert(hash_bytes(str_text(&content), content.length, digest, NULL) ==
	       0);
	files->sizes[files->count++] = content.length;
	if (str_equal(path, "blob")) {
		free(path);
		path = xasprintf("blobs/sha256/%s", digest_hex(digest));
	}
	tar_build_raw(tar, &(const struct tar_file){.path = path}, content.data,
		      content.length);
}

static void build(struct str *tar, const char *text, size_t length)
{
	struct files files = {0};
	const char *end = text + length;

	while (text < end && *text == '@' && files.count < FILES_MAX) {
		const char *line = memchr(text, '\n', (size_t)(end - text));
		const char *next;

		if (!line)
			break;
		next = memmem(line + 1, (size_t)(end - line - 1), "\n@", 2);
		add_file(tar, &files, text + 1, (size_t)(line - text - 1),
			 line + 1, (size_t)((next ? next : end) - line - 1));
		text = next ? next + 1 : end;
	}
	tar_end(tar);
}

static int run(int (*command)(struct job *job, struct error *err),
	       const cJSON *request, cJSON *result, struct error *err)
{
	cleanup_free char *path = xasprintf("%s/store", base);
	struct job job = {
		.request = request,
		.progress_fd = -1,
		.result = result,
	};
	int r;

	assert(store_open(path, &job.store, NULL) == 0);
	r = command(&job, err);
	store_close(&job.store);
	return r;
}

static void check_store(bool loaded)
{
	cleanup_json cJSON *request = json_object();
	cleanup_json cJSON *result = json_object();
	const cJSON *findings = NULL;
	const cJSON *leftovers = NULL;
	int64_t images = -1;
	int64_t count = -1;

	json_set(request, "containers", json_array());
	assert(run(check_run, request, result, NULL) == 0);
	assert(json_get_array(result, "", "findings", &findings, NULL) > 0);
	assert(json_get_object(result, "", "leftovers", &leftovers, NULL) > 0);
	assert(json_get_i64(leftovers, "", "count", &count, NULL) > 0);
	assert(json_get_i64(result, "", "images", &images, NULL) > 0);
	if (findings->child)
		fprintf(stderr, "%s\n", json_print(findings));
	assert(!findings->child);
	assert(count == 0);
	assert(loaded == (images > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *store = xasprintf("%s/store", base);
	cleanup_json cJSON *request = json_object();
	cleanup_json cJSON *result = json_object();
	cleanup_free char *source = NULL;
	cleanup_str struct str tar = {0};
	struct error error = {0};
	cleanup_fd int fd = memfd_create("archive", MFD_CLOEXEC);
	int r;

	build(&tar, (const char *)data, size);
	assert(fd >= 0 && write_all(fd, tar.data, tar.length) == 0);
	source = xasprintf("/proc/self/fd/%d", fd);
	json_set_string(request, "source", source);
	r = run(load_run, request, result, &error);
	assert(r == 0 || error.message[0] != '\0');
	check_store(r == 0);
	assert(tree_remove_at(AT_FDCWD, store, NULL) == 0);
	return 0;
}
