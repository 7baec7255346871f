/* image_assemble() of storage/transfer_build.h, by the helper moss-layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/assembled.h"
#include "storage/store/events.h"
#include "storage/store/image.h"
#include "storage/transfer.h"
#include "storage/transfer_build.h"
#include "storage/transfer_root.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

static char directory[PATH_MAX]; /* of one test */
static int top;
static struct store store = {.root_fd = -1,
			     .image_fd = -1,
			     .layers_fd = -1,
			     .volumes_fd = -1,
			     .tmp_fd = -1};
static struct error error;
static char *base_id; /* of an image of one layer */
static struct layer_chain chain;
static struct store_work work;

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

/* An image of one layer; its ID, caller frees. */
static char *import(const char *reference, const struct tar_file *files,
		    size_t count)
{
	cleanup_str struct str tar = {0};
	cleanup_free char *path = path_of("layer.tar");
	const struct import_request request = {
		.source = path,
		.reference = reference,
		.progress_fd = -1,
	};
	char *id = NULL;

	tar_build(&tar, files, count);
	assert_int_equal(file_write_atomic_at(top, "layer.tar", tar.data,
					      tar.length, 0644, FILE_VOLATILE,
					      &error),
			 0);
	if (image_import(&store, &request, &id, &error) < 0)
		fail_msg("%s", error.message);
	return id;
}

static void import_base(void)
{
	static const struct tar_file files[] = {
		{.path = "etc/", .type = '5'},
		{.path = "etc/name", .data = "moss\n"},
	};

	base_id = import("base", files, ARRAY_SIZE(files));
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *path = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-assemble-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	path = path_of("store");
	err_clear(&error);
	if (store_open(path, &store, &error) < 0)
		return -1;
	import_base();
	if (store_work_new(&store, &work, &error) < 0)
		return -1;
	return image_chain(&store, &work, base_id, &chain, &error);
}

static int tear_down(void **state)
{
	layer_chain_release(&chain);
	store_work_release(&work);
	free(steal_ptr(&base_id));
	store_close(&store);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static const char image_text[] =
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":"
	"[\"/x\"],\"Labels\":{\"a\":\"b\"}},\"history\":[{\"created_by\":"
	"\"COPY a b\"},{\"created_by\":\"CMD x\",\"empty_layer\":true}]}";

/* The ID (caller frees), or NULL and the error. */
static char *assemble(const struct assemble_request *wanted)
{
	struct assemble_request request = *wanted;
	cleanup_json cJSON *image = NULL;
	struct assembled_image made;

	assert_int_equal(json_parse(image_text, strlen(image_text), "image",
				    &image, NULL),
			 0);
	request.chain = &chain;
	request.image = image;
	request.progress_fd = -1;
	if (!request.output_fd)
		request.output_fd = -1;
	err_clear(&error);
	return image_assemble(&store, &request, &made, &error) < 0
		       ? NULL
		       : xstrdup(made.id);
}

static void assert_assembled(const char *id)
{
	if (!id)
		fail_msg("%s", error.message);
}

static size_t count_images(void)
{
	struct image *images = NULL;
	size_t count = 0;

	assert_int_equal(image_list(&store, &images, &count, &error), 0);
	image_list_free(images, count);
	return count;
}

static void assert_tidy(void)
{
	cleanup_free char *command =
		xasprintf("test \"$(ls %s/store/tmp | grep -c '^work-')\" = 2",
			  directory);

	/* The test's own work and its lock. */
	assert_int_equal(system(command), 0);
}

static void test_store(void **state)
{
	char *const names[] = {(char[]){"docker.io/library/web:1"},
			       (char[]){"docker.io/library/web:2"}, NULL};
	const struct assemble_request request = {
		.references = names,
		.store = true,
		.epoch = -1,
	};
	cleanup_free char *id = assemble(&request);
	cleanup_free char *again = assemble(&request);
	CLEANUP(image_release) struct image image = {0};

	assert_assembled(id);
	assert_assembled(again);
	/* No clock is asked. */
	assert_string_equal(id, again);
	assert_int_equal(image_find(&store, "web:2", &image, &error), 0);
	assert_string_equal(image.id, id);
	assert_int_equal(strv_length(image.references), 2);
	assert_int_equal(strv_length(image.diff_ids), 1);
	assert_int_equal(image.size, 5);
	assert_true(str_starts(image.created, "20"));
	assert_int_equal(image_check_layers(&store, &image, &error), 0);
	assert_int_equal(count_images(), 2);
	assert_tidy();
}

/* Is it seen that nothing is left to be done? *ret_id: caller frees. */
static bool is_assembled(const struct assemble_request *wanted, char **ret_id)
{
	struct assemble_request request = *wanted;
	cleanup_json cJSON *image = NULL;
	struct assembled_image made;
	int r;

	assert_int_equal(json_parse(image_text, strlen(image_text), "image",
				    &image, NULL),
			 0);
	request.chain = &chain;
	request.image = image;
	r = image_assembled(&store, &request, &made, &error);
	assert_true(r >= 0);
	if (r > 0)
		*ret_id = xstrdup(made.id);
	return r > 0;
}

static void test_assembled(void **state)
{
	char *const names[] = {(char[]){"docker.io/library/web:1"}, NULL};
	char *const others[] = {(char[]){"docker.io/library/web:1"},
				(char[]){"docker.io/library/web:2"}, NULL};
	struct assemble_request request = {
		.references = names,
		.store = true,
		.epoch = -1,
	};
	struct assemble_request nameless = {.store = true, .epoch = -1};
	cleanup_free char *found = NULL;
	cleanup_free char *again = NULL;
	cleanup_free char *id = NULL;

	assert_false(is_assembled(&request, &found));
	id = assemble(&request);
	assert_assembled(id);
	assert_true(is_assembled(&request, &found));
	assert_string_equal(found, id);
	assert_true(is_assembled(&nameless, &again));
	request.epoch = 7;
	assert_false(is_assembled(&request, &found));
	request.epoch = -1;
	request.references = others;
	assert_false(is_assembled(&request, &found));
	request.references = names;
	request.annotations = names;
	assert_false(is_assembled(&request, &found));
	request.annotations = NULL;
	/* The name goes to another image. */
	assert_int_equal(image_tag(&store, "base", "web:1", &error), 0);
	assert_false(is_assembled(&request, &found));
}

static void test_nameless(void **state)
{
	const struct assemble_request request = {.store = true, .epoch = -1};
	cleanup_free char *id = assemble(&request);
	CLEANUP(image_release) struct image image = {0};

	assert_assembled(id);
	assert_int_equal(image_find(&store, id, &image, &error), 0);
	assert_int_equal(strv_length(image.references), 0);
}

static void test_epoch(void **state)
{
	const struct assemble_request request = {
		.store = true,
		.epoch = 1700000000,
	};
	cleanup_free char *id = assemble(&request);
	CLEANUP(image_release) struct image image = {0};
	const cJSON *step;

	assert_assembled(id);
	assert_int_equal(image_find(&store, id, &image, &error), 0);
	assert_string_equal(image.created, "2023-11-14T22:13:20Z");
	cJSON_ArrayForEach(step, json_member(image.config, "history"))
		assert_string_equal(json_member(step, "created")->valuestring,
				    "2023-11-14T22:13:20Z");
}

static void test_annotations(void **state)
{
	char *const annotations[] = {(char[]){"org.example=1"}, NULL};
	const struct assemble_request request = {
		.annotations = annotations,
		.store = true,
		.epoch = -1,
	};
	cleanup_free char *id = assemble(&request);
	cleanup_free char *command = NULL;
	CLEANUP(image_release) struct image image = {0};

	assert_assembled(id);
	assert_int_equal(image_find(&store, id, &image, &error), 0);
	command = xasprintf("grep -q '\"annotations\":{\"org.example\":\"1\"}' "
			    "%s/store/image/blobs/sha256/%s",
			    directory, digest_hex(image.manifest));
	assert_int_equal(system(command), 0);
}

/* Loaded in another store it is the same; here nothing is to be seen of it. */
static void load_elsewhere(const char *name, const char *id)
{
	cleanup_free char *path = path_of("other");
	cleanup_free char *source = path_of(name);
	const struct load_request request = {
		.source = source,
		.progress_fd = -1,
	};
	cleanup_strv char **loaded = NULL;
	CLEANUP(image_release) struct image image = {0};
	struct store other;

	assert_int_equal(store_open(path, &other, &error), 0);
	if (image_load(&other, &request, &loaded, &error) < 0)
		fail_msg("%s: %s", name, error.message);
	assert_string_equal(loaded[0], "web:1");
	assert_int_equal(image_find(&other, "web:1", &image, &error), 0);
	assert_string_equal(image.id, id);
	store_close(&other);
	assert_int_equal(tree_remove_at(top, "other", NULL), 0);
}

static void test_outputs(void **state)
{
	cleanup_free char *docker = path_of("docker.tar");
	cleanup_free char *oci = path_of("oci.tar");
	cleanup_free char *layout = path_of("layout");
	char *const names[] = {(char[]){"docker.io/library/web:1"}, NULL};
	const struct assemble_output outputs[] = {
		{.docker = true, .path = docker},
		{.docker = false, .path = oci},
		{.docker = false, .path = layout, .directory = true},
	};
	const struct assemble_request request = {
		.references = names,
		.outputs = outputs,
		.output_count = ARRAY_SIZE(outputs),
		.epoch = 5,
	};
	cleanup_free char *id = assemble(&request);
	cleanup_free char *command = xasprintf(
		"cd %s && tar tf docker.tar | grep -qx manifest.json && "
		"! tar tf oci.tar | grep -qx manifest.json && "
		"test -f layout/oci-layout",
		directory);

	assert_assembled(id);
	assert_int_equal(system(command), 0);
	load_elsewhere("docker.tar", id);
	load_elsewhere("oci.tar", id);
	load_elsewhere("layout", id);
	assert_int_equal(count_images(), 1);
	assert_tidy();
}

/* A layout that is there gets it beside what it has. */
static void test_layout_again(void **state)
{
	cleanup_free char *layout = path_of("layout");
	cleanup_free char *count = xasprintf(
		"cd %s/layout && test $(grep -o io.containerd.image.name "
		"index.json | wc -l) = 2 && test ! -e .tmp-blob && "
		"test $(ls blobs/sha256 | wc -l) = 5",
		directory);
	const struct assemble_output output = {
		.path = layout,
		.directory = true,
	};
	/* One name is given twice, the second time to another image. */
	const struct {
		char *name;
		int64_t epoch;
	} rounds[] = {
		{(char[]){"docker.io/library/web:1"}, 5},
		{(char[]){"docker.io/library/web:2"}, 5},
		{(char[]){"docker.io/library/web:1"}, 6},
	};
	cleanup_free char *last = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
		char *const names[] = {rounds[i].name, NULL};
		const struct assemble_request request = {
			.references = names,
			.outputs = &output,
			.output_count = 1,
			.epoch = rounds[i].epoch,
		};

		free(last);
		last = assemble(&request);
		assert_assembled(last);
	}
	assert_int_equal(system(count), 0);
	load_elsewhere("layout", last);
}

/* A directory of something else is left alone. */
static void test_other_directory(void **state)
{
	const struct assemble_output output = {
		.path = directory,
		.directory = true,
	};
	const struct assemble_request request = {
		.outputs = &output,
		.output_count = 1,
		.epoch = -1,
	};

	assert_null(assemble(&request));
	assert_int_equal(error.kind, ERROR_EXISTS);
}

/* One that cannot be written leaves no image either. */
static void test_failed_output(void **state)
{
	cleanup_free char *path = path_of("not/there.tar");
	const struct assemble_output output = {.docker = true, .path = path};
	const struct assemble_request request = {
		.store = true,
		.outputs = &output,
		.output_count = 1,
		.epoch = -1,
	};

	assert_null(assemble(&request));
	assert_non_null(strstr(error.message, "there.tar"));
	assert_int_equal(count_images(), 1);
	assert_tidy();
}

static void test_lost_layer(void **state)
{
	const struct assemble_request request = {.store = true, .epoch = -1};

	assert_int_equal(tree_remove_at(store.layers_fd,
					digest_hex(chain.layers[0].diff_id),
					&error),
			 0);
	assert_null(assemble(&request));
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_int_equal(count_images(), 1);
}

/* ---- squash ---- */

static const struct tar_file squash_base[] = {
	{.path = "dir/", .type = '5', .mode = 0700, .mtime = 7},
	{.path = "dir/below", .data = "b"},
	{.path = "etc/", .type = '5'},
	{.path = "etc/gone", .data = "g"},
	{.path = "etc/kept", .data = "k"},
	{.path = "tree/", .type = '5'},
	{.path = "tree/below", .data = "b"},
};

static const struct tar_file squash_first[] = {
	{.path = "dir/", .type = '5'},
	{.path = "dir/first", .data = "1"},
	{.path = "etc/.wh.gone"},
	{.path = "etc/changed", .data = "1"},
	{.path = "new/", .type = '5'},
	{.path = "new/link", .type = '2', .link = "/etc/kept"},
	{.path = "new/short", .data = "1"},
	{.path = "tree/", .type = '5'},
	{.path = "tree/first", .data = "1"},
	{.path = "was", .data = "file"},
};

static const struct tar_file squash_second[] = {
	{.path = ".wh.tree"},
	{.path = "dir/", .type = '5', .mode = 0711, .mtime = 9},
	{.path = "dir/.wh..wh..opq"},
	{.path = "dir/second", .data = "22"},
	{.path = "etc/changed", .data = "22"},
	{.path = "new/.wh.short"},
	{.path = "was/", .type = '5'},
	{.path = "was/second", .data = "22"},
};

static const struct tar_file squash_third[] = {
	{.path = "tree/", .type = '5'},
	{.path = "tree/third", .data = "333"},
};

static void push_layer(const char *name, const struct tar_file *files,
		       size_t count)
{
	CLEANUP(layer_chain_release) struct layer_chain layers = {0};
	cleanup_free char *id = import(name, files, count);

	assert_int_equal(image_chain(&store, &work, id, &layers, &error), 0);
	assert_int_equal(layer_chain_push(&chain, &layers.layers[0], &error),
			 0);
}

static void push_layers(void)
{
	chain.count = 0;
	push_layer("l0", squash_base, ARRAY_SIZE(squash_base));
	push_layer("l1", squash_first, ARRAY_SIZE(squash_first));
	push_layer("l2", squash_second, ARRAY_SIZE(squash_second));
	push_layer("l3", squash_third, ARRAY_SIZE(squash_third));
}

static const char squash_text[] =
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},"
	"\"history\":[{\"created_by\":\"base\"},{\"created_by\":\"1\"},"
	"{\"created_by\":\"ENV\",\"empty_layer\":true},"
	"{\"created_by\":\"2\"},{\"created_by\":\"3\"}]}";

/* "base+ 1 ENV", "+" behind those that made a layer; caller frees. */
static char *history_of(const struct image *image)
{
	cleanup_str struct str text = {0};
	const cJSON *step;

	cJSON_ArrayForEach(step, json_member(image->config, "history"))
	{
		const cJSON *name = json_member(step, "created_by");

		if (!name)
			name = json_member(step, "comment");
		assert_non_null(json_member(step, "created"));
		str_appendf(&text, "%s%s%s", text.length ? "," : "",
			    name->valuestring,
			    json_member(step, "empty_layer") ? "" : "+");
	}
	return str_steal(&text);
}

static void squash(size_t base, const char *name)
{
	cleanup_free char *full = xasprintf("docker.io/library/%s:1", name);
	char *const names[] = {full, NULL};
	cleanup_json cJSON *image = NULL;
	struct assemble_request request = {
		.chain = &chain,
		.references = names,
		.store = true,
		.squash = true,
		.base_layers = base,
		.output_fd = -1,
		.epoch = -1,
		.progress_fd = -1,
	};
	struct assembled_image made;

	assert_int_equal(json_parse(squash_text, strlen(squash_text), "image",
				    &image, NULL),
			 0);
	request.image = image;
	if (image_assemble(&store, &request, &made, &error) < 0)
		fail_msg("%s", error.message);
}

/* The root that layers make, as tar lists it. */
static void list_root(char *const *diff_ids, const char *name)
{
	cleanup_free char *path = path_of(name);
	cleanup_free char *command = xasprintf(
		"tar --full-time -tvf %s | sort > %s.list", path, path);
	const struct export_request request = {
		.root = {.what = "root", .diff_ids = diff_ids},
		.output = path,
		.output_fd = -1,
		.progress_fd = -1,
	};

	if (root_export(&store, &request, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(system(command), 0);
}

static void test_squash(void **state)
{
	cleanup_strv char **diff_ids = NULL;
	cleanup_free char *history = NULL;
	cleanup_free char *same =
		xasprintf("cmp %s/a.list %s/b.list", directory, directory);
	cleanup_free char *layer = NULL;
	CLEANUP(image_release) struct image image = {0};

	push_layers();
	diff_ids = layer_chain_diff_ids(&chain);
	squash(1, "squashed");
	assert_int_equal(image_find(&store, "squashed:1", &image, &error), 0);
	assert_int_equal(strv_length(image.diff_ids), 2);
	assert_string_equal(image.diff_ids[0], diff_ids[0]);
	history = history_of(&image);
	assert_string_equal(history, "base+,1,ENV,2,3,"
				     "moss.build: 3 layers squashed+");
	list_root(diff_ids, "a");
	list_root(image.diff_ids, "b");
	assert_int_equal(system(same), 0);
	/* No walk over the base, no whiteout of what it does not have. */
	layer = xasprintf(
		"cd %s/store/layers/%s/diff && test \"$(find . | sort | "
		"tr '\\n' ' ')\" = '. ./dir ./dir/second ./etc "
		"./etc/changed ./etc/gone ./new ./new/link ./tree "
		"./tree/third ./was ./was/second '",
		directory, digest_hex(image.diff_ids[1]));
	assert_int_equal(system(layer), 0);
	assert_int_equal(image.size, 4 + 2 + 2 + 3 + 2);
	assert_tidy();
}

/* The same again is the same image. */
static void test_squash_again(void **state)
{
	CLEANUP(image_release) struct image first = {0};
	CLEANUP(image_release) struct image second = {0};

	push_layers();
	squash(0, "first");
	squash(0, "second");
	assert_int_equal(image_find(&store, "first:1", &first, &error), 0);
	assert_int_equal(image_find(&store, "second:1", &second, &error), 0);
	assert_int_equal(strv_length(first.diff_ids), 1);
	assert_string_equal(first.id, second.id);
}

/* One layer is one already. */
static void test_squash_one(void **state)
{
	CLEANUP(image_release) struct image image = {0};

	push_layers();
	squash(3, "same");
	assert_int_equal(image_find(&store, "same:1", &image, &error), 0);
	assert_int_equal(strv_length(image.diff_ids), 4);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_store, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_assembled, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_nameless, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_epoch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_annotations, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_outputs, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_layout_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_other_directory, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_failed_output, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_lost_layer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_squash, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_squash_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_squash_one, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(run);
}
