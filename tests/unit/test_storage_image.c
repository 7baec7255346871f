/* Images in a store made by hand: finding, tagging, removing, collecting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/image.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"
#include "storage/store/usage.h"
#include "tests/unit/store_by_hand.h"

/* The ID's digit of what is found by name, or 0. */
static char find(const char *name)
{
	struct image image;
	char found;

	if (image_find(&store, name, &image, &error) < 0)
		return 0;
	found = digest_hex(image.id)[0];
	image_release(&image);
	return found;
}

static void test_find(void **state)
{
	struct image image;
	char hex[DIGEST_TEXT_MAX];
	cleanup_free char *by_digest = NULL;

	put_image('1', 'a', "de", "docker.io/library/web:latest");
	put_image('2', 'b', "d", "docker.io/me/app:1");
	put_image('3', 'c', "d", NULL);
	assert_int_equal(find("web"), 'a');
	assert_int_equal(find("docker.io/library/web:latest"), 'a');
	assert_int_equal(find("me/app:1"), 'b');
	assert_int_equal(find("a"), 'a');
	assert_int_equal(find("sha256:cccc"), 'c');
	assert_int_equal(find(digest(hex, 'b')), 'b');
	assert_int_equal(find(digest_hex(hex)), 'b');
	assert_int_equal(find(digest(hex, '1')), 'a');
	by_digest = xasprintf("web@%s", digest(hex, '1'));
	assert_int_equal(find(by_digest), 'a');
	assert_int_equal(find("me/app"), 0);
	assert_string_equal(error.message, "No such image: me/app:latest");
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_int_equal(find("f"), 0);
	assert_string_equal(error.message, "No such image: f:latest");
	assert_int_equal(find("Web"), 0);
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_int_equal(find(""), 0);
	assert_string_equal(error.message, "invalid reference format");

	assert_int_equal(image_find(&store, "web", &image, &error), 0);
	assert_int_equal(strv_length(image.diff_ids), 2);
	assert_int_equal(image.size, 2000);
	assert_string_equal(image.created, "2026-01-01T00:00:01.5Z");
	assert_string_equal(image.references[0],
			    "docker.io/library/web:latest");
	image_release(&image);
}

static void test_ambiguous(void **state)
{
	char hex[DIGEST_TEXT_MAX];
	cleanup_json cJSON *index = NULL;
	struct descriptor descriptor = {.size = 1};
	char text[512];

	put_image('1', 'a', "d", "docker.io/library/one:latest");
	/* A second ID that begins alike. */
	snprintf(text, sizeof(text),
		 "{\"config\":{\"digest\":\"sha256:aaa%s\",\"size\":1}}",
		 digest_hex(digest(hex, 'b')) + 3);
	put_blob('2', text);
	assert_int_equal(index_read(&store, &index, &error), 0);
	digest(descriptor.digest, '2');
	index_set(index, "docker.io/library/two:latest", &descriptor, 0);
	assert_int_equal(index_write(&store, index, &error), 0);
	assert_int_equal(find("aa"), 0);
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_non_null(strstr(error.message, "ambiguous"));
	assert_int_equal(find("aaaa"), 'a');
	/* A name goes before the beginning of an ID. */
	assert_int_equal(image_tag(&store, "aaaa", "aa", &error), 0);
	assert_int_equal(find("aa"), 'a');
}

static void test_list(void **state)
{
	struct image *images;
	size_t count;
	char hex[DIGEST_TEXT_MAX];
	char path[BLOB_PATH_MAX];

	put_image('1', 'a', "d", "docker.io/library/old:latest");
	put_image('5', 'b', "d", "docker.io/library/new:latest");
	put_image('5', 'b', "d", "docker.io/library/new:2");
	/* The same config by another manifest is the same image. */
	put_image('6', 'a', "d", "docker.io/library/again:latest");
	put_image('7', 'c', "d", "docker.io/library/broken:latest");
	blob_path(path, digest(hex, 'c'));
	unlinkat(store.image_fd, path, 0);
	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	assert_int_equal(count, 3);
	assert_int_equal(digest_hex(images[0].id)[0], 'a');
	assert_int_equal(strv_length(images[0].references), 2);
	assert_int_equal(digest_hex(images[1].id)[0], 'b');
	assert_int_equal(strv_length(images[1].references), 2);
	assert_int_equal(digest_hex(images[2].id)[0], '7');
	image_list_free(images, count);
	assert_int_equal(find("broken"), 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message, "image broken: blob sha256:ccc"));
}

static void test_tag(void **state)
{
	put_image('1', 'a', "d", "docker.io/library/one:latest");
	put_image('2', 'b', "e", "docker.io/library/two:latest");
	assert_int_equal(image_tag(&store, "one", "x.y/z:1", &error), 0);
	assert_int_equal(find("x.y/z:1"), 'a');
	/* The old one stays without a name. */
	assert_int_equal(image_tag(&store, "one", "two", &error), 0);
	assert_int_equal(find("two"), 'a');
	assert_int_equal(find("b"), 'b');
	assert_int_equal(image_tag(&store, "one", "one", &error), 0);
	assert_true(image_tag(&store, "none", "x", &error) < 0);
	assert_string_equal(error.message, "No such image: none:latest");
	assert_true(image_tag(&store, "one", "sha256:1", &error) < 0);
	assert_true(image_tag(&store, "one", "UPPER", &error) < 0);
	assert_int_equal(find("one"), 'a');
}

static struct {
	char image; /* digit of the ID, 0: none */
	bool running;
} use;

static int in_use(const char *image_id, char **ret_container_id,
		  bool *ret_running, void *data)
{
	if (!use.image || digest_hex(image_id)[0] != use.image)
		return 0;
	if (ret_container_id)
		*ret_container_id = xstrdup("9f0123456789abcdef");
	if (ret_running)
		*ret_running = use.running;
	return 1;
}

/* In one line, digests by their digit. */
static char *report_text(char **report)
{
	for (size_t i = 0; report && report[i]; i++) {
		char *digits = strstr(report[i], "sha256:");

		if (digits)
			strcpy(digits, (char[]){digits[7], '\0'});
	}
	return strv_join(report, ", ");
}

/* The report, or the error. */
static void assert_removal(const char *name, bool force, const char *expected)
{
	cleanup_strv char **report = NULL;
	cleanup_free char *text = NULL;

	if (image_remove(&store, name, force, in_use, NULL, &report, &error) <
	    0) {
		assert_string_equal(error.message, expected);
		return;
	}
	text = report_text(report);
	assert_string_equal(text, expected);
}

/* As if the name had been pulled and led to that digest. */
static void set_origin(const char *full, char origin, char referrers)
{
	cleanup_json cJSON *index = NULL;
	char hex[2][DIGEST_TEXT_MAX];

	assert_int_equal(index_read(&store, &index, &error), 0);
	index_set_origin(index, full, digest(hex[0], origin),
			 referrers ? digest(hex[1], referrers) : NULL);
	assert_int_equal(index_write(&store, index, &error), 0);
}

static void test_remove(void **state)
{
	use.image = 0;
	put_image('1', 'a', "de", "docker.io/library/one:latest");
	put_image('1', 'a', "de", "docker.io/library/uno:2");
	put_image('2', 'b', "d", "docker.io/library/two:latest");
	assert_removal("none", false, "No such image: none:latest");
	assert_removal("a", false,
		       "conflict: unable to delete aaaaaaaaaaaa (must be "
		       "forced) - image is referenced in multiple "
		       "repositories");
	assert_removal("uno:2", false, "Untagged: uno:2");
	assert_removal("one", false,
		       "Untagged: one:latest, Deleted: a, Deleted: e");
	assert_false(has_blob('1') || has_blob('a') || has_blob('e'));
	assert_false(has_layer('e'));
	assert_true(has_blob('d') && has_layer('d') && has_blob('2'));
	assert_removal("bbb", false,
		       "Untagged: two:latest, Deleted: b, Deleted: d");
	assert_false(has_blob('d') || has_layer('d'));
	assert_false(has_blob('2') || has_blob('b'));
}

static void test_remove_used(void **state)
{
	put_image('1', 'a', "d", "docker.io/library/one:latest");
	use.image = 'a';
	use.running = false;
	assert_removal("one", false,
		       "conflict: unable to remove repository reference "
		       "\"one\" (must force) - container 9f0123456789 is "
		       "using its referenced image aaaaaaaaaaaa");
	assert_removal("a", false,
		       "conflict: unable to delete aaaaaaaaaaaa (must be "
		       "forced) - image is being used by stopped container "
		       "9f0123456789");
	use.running = true;
	assert_removal("a", true,
		       "conflict: unable to delete aaaaaaaaaaaa (cannot be "
		       "forced) - image is being used by running container "
		       "9f0123456789");
	assert_removal("one", true, "Untagged: one:latest");
	assert_int_equal(find("a"), 'a');

	/* By force, but what the container stands on stays. */
	use.running = false;
	assert_int_equal(image_tag(&store, "a", "one", &error), 0);
	assert_removal("one", true, "Untagged: one:latest, Deleted: a");
	assert_int_equal(find("a"), 0);
	assert_true(has_layer('d'));
	assert_int_equal(image_collect(&store, in_use, NULL, &error), 0);
	assert_true(has_layer('d') && has_blob('a'));
	use.image = 0;
	assert_int_equal(image_collect(&store, in_use, NULL, &error), 0);
	assert_false(has_layer('d') || has_blob('a') || has_blob('1'));
}

static void test_remove_broken(void **state)
{
	char hex[DIGEST_TEXT_MAX];
	char path[BLOB_PATH_MAX];

	use.image = 0;
	put_image('1', 'a', "d", "docker.io/library/broken:latest");
	put_image('2', 'b', "e", "docker.io/library/whole:latest");
	blob_path(path, digest(hex, 'a'));
	unlinkat(store.image_fd, path, 0);
	/* While one cannot be read, nothing else is thrown away. */
	assert_removal("whole", false, "Untagged: whole:latest, Deleted: b");
	assert_true(has_blob('e') && has_layer('e'));
	assert_int_equal(find("whole"), 0);
	assert_removal("broken", false, "Untagged: broken:latest, Deleted: a");
	assert_false(has_blob('e') || has_layer('e') || has_layer('d'));
}

static void test_origin(void **state)
{
	struct image image;
	char hex[DIGEST_TEXT_MAX];
	cleanup_free char *by_index = NULL;
	cleanup_free char *by_manifest = NULL;
	cleanup_free char *full = NULL;

	use.image = 0;
	put_image('1', 'a', "d", "docker.io/library/one:latest");
	put_blob('7', "{\"manifests\":[]}");
	put_blob('8', "{\"manifests\":[]}");
	set_origin("docker.io/library/one:latest", '7', '8');
	by_index = xasprintf("one@%s", digest(hex, '7'));
	by_manifest = xasprintf("one:any@%s", digest(hex, '1'));
	assert_int_equal(find(by_index), 'a');
	assert_int_equal(find(by_manifest), 'a');
	assert_int_equal(find(strchr(by_index, '@') + 1), 'a');
	/* Kept as long as the image, and by a second name. */
	assert_int_equal(image_collect(&store, NULL, NULL, &error), 0);
	assert_true(has_blob('7') && has_blob('8'));
	assert_int_equal(image_tag(&store, "one", "two", &error), 0);
	assert_int_equal(image_find(&store, "two", &image, &error), 0);
	assert_int_equal(strv_length(image.digests), 2);
	assert_true(
		str_starts(image.digests[0], "docker.io/library/one@sha256:7"));
	assert_string_equal(image.origin, digest(hex, '7'));
	assert_string_equal(image.referrers, digest(hex, '8'));
	assert_non_null(image.tagged);
	image_release(&image);

	assert_removal("two", false, "Untagged: two:latest, Untagged: two@7");
	/* A digest stands for every name in its repository. */
	assert_int_equal(image_tag(&store, "one", "one:2", &error), 0);
	full = xasprintf("docker.io/library/one@%s", digest(hex, '7'));
	put_image('1', 'a', "d", full);
	assert_removal("one:2", false, "Untagged: one:2");
	assert_removal(by_index, false,
		       "Untagged: one:latest, Untagged: one@7, Deleted: a, "
		       "Deleted: d");
	assert_false(has_blob('7') || has_blob('8') || has_blob('1'));
}

/* A newer one gets the name: the old one stays by its digest. */
static void test_displaced(void **state)
{
	char hex[DIGEST_TEXT_MAX];
	cleanup_free char *by_digest = NULL;

	use.image = 0;
	put_image('1', 'a', "d", "docker.io/library/one:latest");
	set_origin("docker.io/library/one:latest", '1', 0);
	put_image('2', 'b', "e", "docker.io/library/one:latest");
	by_digest = xasprintf("one@%s", digest(hex, '1'));
	assert_int_equal(find("one"), 'b');
	assert_int_equal(find(by_digest), 'a');
	/* And again: it has that name already. */
	assert_int_equal(image_tag(&store, "a", "one", &error), 0);
	put_image('3', 'c', "f", "docker.io/library/one:latest");
	assert_int_equal(find(by_digest), 'a');
	assert_removal("a", false, "Untagged: one@1, Deleted: a, Deleted: d");
	assert_int_equal(find("b"), 'b');
	assert_removal("b", false, "Deleted: b, Deleted: e");
}

static bool wants_second(const struct image *image, void *data)
{
	return str_ends(image->created, "02.5Z");
}

static void assert_prune(bool all, bool second, const char *expected,
			 uint64_t expected_bytes)
{
	const struct image_prune prune = {
		.all = all,
		.wanted = second ? wants_second : NULL,
	};
	struct image_pruned pruned = {0};
	cleanup_strv char **report = NULL;
	cleanup_free char *text = NULL;

	assert_int_equal(
		image_prune(&store, &prune, in_use, NULL, &pruned, &error), 0);
	report = pruned.report;
	text = report_text(report);
	assert_string_equal(text, expected);
	assert_int_equal(pruned.bytes, expected_bytes);
	assert_false(pruned.content_kept);
}

static uint64_t blob_size(char c)
{
	char text[DIGEST_TEXT_MAX];
	uint64_t size = 0;
	cleanup_fd int fd = blob_open(&store, digest(text, c), &size, &error);

	assert_true(fd >= 0);
	return size;
}

static void test_prune(void **state)
{
	uint64_t bytes;

	use.image = 'a';
	use.running = false;
	put_image('1', 'a', "d", NULL);
	put_image('2', 'b', "de", NULL);
	put_image('3', 'c', "f", "docker.io/library/three:latest");
	put_blob('8', "rest of a killed pull");
	bytes = blob_size('8');
	/* Nothing to be taken, but what nobody needs anyway. */
	assert_prune(false, true, "Deleted: b, Deleted: e",
		     bytes + blob_size('2') + blob_size('b') + blob_size('e') +
			     1000);
	assert_true(has_layer('d') && has_blob('1'));
	assert_prune(true, true, "", 0);
	bytes = blob_size('3') + blob_size('c') + blob_size('f') + 1000;
	assert_prune(true, false,
		     "Untagged: three:latest, Deleted: c, Deleted: f", bytes);
	/* Used by a container, stopped or not. */
	assert_prune(true, false, "", 0);
	use.image = 0;
	bytes = blob_size('1') + blob_size('a') + blob_size('d') + 1000;
	assert_prune(false, false, "Deleted: a, Deleted: d", bytes);
}

static void test_usage(void **state)
{
	CLEANUP(usage_release) struct usage usage = {0};
	uint64_t one, two;

	use.image = 'a';
	put_image('1', 'a', "de", "docker.io/library/one:latest");
	put_image('1', 'a', "de", "docker.io/library/uno:latest");
	put_image('2', 'b', "df", "docker.io/library/two:latest");
	put_blob('7', "what a registry's name led to");
	set_origin("docker.io/library/two:latest", '7', 0);
	put_blob('8', "rest");
	put_layer('9');
	assert_int_equal(usage_read(&store, in_use, NULL, &usage, &error), 0);
	one = blob_size('1') + blob_size('a') + blob_size('d') +
	      blob_size('e') + 2000;
	two = blob_size('2') + blob_size('b') + blob_size('d') +
	      blob_size('f') + blob_size('7') + 2000;
	assert_int_equal(usage.count, 2);
	assert_int_equal(usage.images[0].size, one);
	assert_int_equal(usage.images[1].size, two);
	assert_int_equal(usage.images[0].shared, blob_size('d') + 1000);
	assert_int_equal(usage.images[1].shared, blob_size('d') + 1000);
	assert_int_equal(usage.needed, one);
	assert_int_equal(usage.total, one + two - blob_size('d') - 1000 +
					      blob_size('8') + 1000);
}

static void test_collect(void **state)
{
	struct store_work work;
	char hex[DIGEST_TEXT_MAX];

	put_image('1', 'a', "d", "docker.io/library/one:latest");
	put_blob('8', "orphan");
	put_blob('9', "leased");
	put_layer('8');
	put_layer('9');
	assert_int_equal(file_write_atomic_at(store.image_fd, ".tmp-x", "", 0,
					      0644, FILE_VOLATILE, &error),
			 0);
	assert_int_equal(store_work_new(&store, &work, &error), 0);
	digest(hex, '9');
	assert_int_equal(store_work_lease(&work, digest_hex(hex), &error), 0);
	assert_int_equal(image_collect(&store, NULL, NULL, &error), 0);
	assert_false(has_blob('8') || has_layer('8'));
	assert_true(has_blob('9') && has_layer('9'));
	assert_true(has_blob('1') && has_blob('a') && has_layer('d'));
	assert_int_equal(faccessat(store.image_fd, ".tmp-x", F_OK, 0), -1);
	store_work_release(&work);
	assert_int_equal(image_collect(&store, NULL, NULL, &error), 0);
	assert_false(has_blob('9') || has_layer('9'));
}

static void test_check_layers(void **state)
{
	struct image image;
	char hex[DIGEST_TEXT_MAX];
	cleanup_free char *path = NULL;

	put_image('1', 'a', "de", "docker.io/library/one:latest");
	assert_int_equal(image_find(&store, "one", &image, &error), 0);
	assert_int_equal(image_check_layers(&store, &image, &error), 0);
	path = xasprintf("%s/layer.json", digest_hex(digest(hex, 'e')));
	unlinkat(store.layers_fd, path, 0);
	assert_true(image_check_layers(&store, &image, &error) < 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_non_null(strstr(error.message, "layer sha256:eeee"));
	image_release(&image);
}

static size_t count_tmp(void)
{
	cleanup_free char *command =
		xasprintf("test -z \"$(ls -A %s/tmp)\"", directory);

	return system(command) == 0 ? 0 : 1;
}

/* Work of the living stays, that of the dead goes. */
static void test_leftovers(void **state)
{
	struct store_work work;
	struct store other;
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (store_work_new(&store, &work, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(count_tmp(), 1);
	assert_int_equal(store_open(directory, &other, &error), 0);
	assert_int_equal(count_tmp(), 0);
	assert_int_equal(store_work_new(&store, &work, &error), 0);
	store_clean(&other);
	assert_int_equal(count_tmp(), 1);
	assert_int_equal(faccessat(store.tmp_fd, work.name, F_OK, 0), 0);
	store_work_release(&work);
	assert_int_equal(count_tmp(), 0);
	store_close(&other);
}

/* Names put on and taken off by several at once: none is lost. */
static void test_several_at_once(void **state)
{
	enum { processes = 6, rounds = 25 };
	struct image *images;
	size_t count;

	put_image('1', 'a', "d", "docker.io/library/one:latest");
	for (int i = 0; i < processes; i++) {
		if (fork() != 0)
			continue;
		for (int j = 0; j < rounds; j++) {
			char name[32];
			char **report = NULL;

			snprintf(name, sizeof(name), "n%d:%d", i, j);
			if (image_tag(&store, "one", name, NULL) < 0 ||
			    (j % 2 == 0 &&
			     image_remove(&store, name, false, NULL, NULL,
					  &report, NULL) < 0))
				_exit(1);
			strv_free(report);
		}
		_exit(0);
	}
	for (int i = 0; i < processes; i++) {
		int status = 0;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	assert_int_equal(count, 1);
	assert_int_equal(strv_length(images[0].references),
			 1 + processes * (rounds / 2));
	image_list_free(images, count);
}

static void test_foreign_index(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
		"\"" OCI_INDEX "\",\"digest\":\"%s\",\"size\":1},{\"digest\":"
		"\"nonsense\"},7,{\"mediaType\":\"" OCI_MANIFEST
		"\",\"digest\":\"%s\",\"size\":1,\"annotations\":{"
		"\"" ANNOTATION_NAME "\":\"short\"}}]}";
	char hex[2][DIGEST_TEXT_MAX];
	cleanup_free char *index = NULL;
	struct image *images;
	size_t count;

	put_image('1', 'a', "d", NULL);
	index = xasprintf(text, digest(hex[0], '4'), digest(hex[1], '1'));
	assert_int_equal(file_write_atomic_at(store.image_fd, "index.json",
					      index, strlen(index), 0644, 0,
					      &error),
			 0);
	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	assert_int_equal(count, 1);
	image_list_free(images, count);
	assert_int_equal(find("short"), 'a');
	assert_int_equal(image_tag(&store, "short", "long:1", &error), 0);
	assert_int_equal(find("long:1"), 'a');

	assert_int_equal(file_write_atomic_at(store.image_fd, "index.json",
					      "{\"manifests\":{}}", 16, 0644, 0,
					      &error),
			 0);
	assert_int_equal(find("short"), 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find),
		TEST(test_ambiguous),
		TEST(test_list),
		TEST(test_tag),
		TEST(test_remove),
		TEST(test_remove_used),
		TEST(test_remove_broken),
		TEST(test_origin),
		TEST(test_displaced),
		TEST(test_prune),
		TEST(test_usage),
		TEST(test_collect),
		TEST(test_check_layers),
		TEST(test_leftovers),
		TEST(test_several_at_once),
		TEST(test_foreign_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
