/* Manifests, indexes and configs as they come from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/manifest.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "\"digest\":\"sha256:" HEX "\""
#define CONFIG "\"config\":{" DIGEST ",\"size\":3}"

static struct error error;

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &error) < 0)
		fail_msg("%s", error.message);
	return json;
}

static void test_manifest(void **state)
{
	cleanup_json cJSON *json = parse(
		"{\"schemaVersion\":2," CONFIG ",\"layers\":[{" DIGEST
		",\"size\":9007199254740992,\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar+zstd\"},{" DIGEST
		",\"size\":0,\"mediaType\":\"application/"
		"vnd.docker.image.rootfs.diff.tar.gzip\"}]}");
	struct manifest manifest;

	if (manifest_parse(json, "m", &manifest, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(manifest.layer_count, 2);
	assert_string_equal(manifest.config.digest, "sha256:" HEX);
	assert_int_equal(manifest.config.size, 3);
	assert_int_equal(manifest.layers[0].size, 9007199254740992);
	manifest_release(&manifest);
}

static const struct {
	const char *text;
	const char *message;
} bad[] = {
	{"[]", "m is not an image manifest"},
	{"{}", "m is not an image manifest"},
	{"{\"mediaType\":\"text/plain\"," CONFIG "}", "not an image manifest"},
	{"{\"mediaType\":5," CONFIG "}", "not an image manifest"},
	{"{\"config\":5}", "m.config: expected an object"},
	{"{\"config\":{}}", "m: config: digest is missing"},
	{"{\"config\":{\"digest\":\"sha256:../../x\",\"size\":1}}",
	 "invalid digest"},
	{"{\"config\":{\"digest\":\"sha512:00\",\"size\":1}}",
	 "\"sha512\" is not supported"},
	{"{\"config\":{" DIGEST "}}", "m: config: invalid size"},
	{"{\"config\":{" DIGEST ",\"size\":-1}}", "m: config: invalid size"},
	{"{\"config\":{" DIGEST ",\"size\":1e300}}", "expected an integer"},
	{"{\"config\":{" DIGEST ",\"size\":\"1\"}}", "expected an integer"},
	{"{\"config\":{" DIGEST
	 ",\"size\":1,\"mediaType\":\"application/x.helm\"}}",
	 "not an image but \"application/x.helm\""},
	{"{" CONFIG ",\"layers\":{}}", "m.layers: expected an array"},
	{"{" CONFIG ",\"layers\":[1]}", "m: layers[0]: expected an object"},
	{"{" CONFIG ",\"layers\":[{" DIGEST
	 ",\"size\":1,\"mediaType\":\"x/encrypted\"}]}",
	 "m: layers[0]: unknown media type \"x/encrypted\""},
};

static void test_bad_manifest(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_json cJSON *json = parse(bad[i].text);
		struct manifest manifest;

		assert_true(manifest_parse(json, "m", &manifest, &error) < 0);
		if (!strstr(error.message, bad[i].message))
			fail_msg("%s: %s", bad[i].text, error.message);
	}
}

static void test_many_layers(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_json cJSON *config = NULL;
	struct manifest manifest;
	char **diff_ids = NULL;

	str_append(&text, "{" CONFIG ",\"layers\":[{}");
	for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
		str_append(&text, ",{}");
	str_append(&text, "]}");
	json = parse(text.data);
	assert_true(manifest_parse(json, "m", &manifest, &error) < 0);
	assert_non_null(strstr(error.message, "501 layers, the limit is 500"));

	str_clear(&text);
	str_append(&text, "{\"rootfs\":{\"diff_ids\":[\"\"");
	for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
		str_append(&text, ",\"\"");
	str_append(&text, "]}}");
	config = parse(text.data);
	assert_true(config_diff_ids(config, "c", &diff_ids, &error) < 0);
	assert_non_null(strstr(error.message, "501 layers, the limit is 500"));
}

#define ENTRY(hex, os, arch, variant)                                          \
	"{\"digest\":\"sha256:" hex                                            \
	"123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""    \
	",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch \
	"\",\"variant\":\"" variant "\"}}"

static const char index_text[] =
	"{\"manifests\":[" ENTRY("0", "unknown", "unknown", "") "," ENTRY(
		"1", "linux", "arm",
		"v5") "," ENTRY("2", "linux", "arm",
				"v6") "," ENTRY("3", "linux", "amd64",
						"") "," ENTRY("4", "windows",
							      "amd64", "") "]}";

static const struct {
	const char *platform;
	char first; /* digit of the digest; 0: none */
} choices[] = {
	{"linux/amd64", '3'},  {"linux/arm/v7", '2'}, {"linux/arm/v5", '1'},
	{"linux/x86_64", '3'}, {"linux/s390x", 0},
};

static void test_index(void **state)
{
	cleanup_json cJSON *json = parse(index_text);

	assert_int_equal(document_kind(json), DOCUMENT_INDEX);
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		struct platform platform;
		struct descriptor descriptor;
		int r;

		assert_int_equal(
			platform_parse(choices[i].platform, &platform, NULL),
			0);
		r = index_select(json, "i", &platform, &descriptor, &error);
		assert_int_equal(r == 0, choices[i].first != 0);
		if (r == 0)
			assert_int_equal(descriptor.digest[7],
					 choices[i].first);
	}
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_string_equal(error.message,
			    "i: no matching manifest for linux/s390x in the "
			    "manifest list entries");
	assert_non_null(strstr(error.hint, "linux/arm/v5, linux/arm/v6"));
	assert_null(strstr(error.hint, "unknown"));
}

static void test_config(void **state)
{
	static const struct {
		const char *text;
		const char *message; /* NULL: fine */
	} rows[] = {
		{"{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX "\"]}}", NULL},
		{"{}", NULL},
		{"{\"rootfs\":[]}", "c.rootfs: expected an object"},
		{"{\"rootfs\":{\"diff_ids\":5}}",
		 "c: rootfs.diff_ids: expected an array"},
		{"{\"rootfs\":{\"diff_ids\":[5]}}", "expected a string"},
		{"{\"rootfs\":{\"diff_ids\":[\"sha256:..\"]}}",
		 "c: rootfs.diff_ids[0]: invalid digest"},
		{"{\"os\":\"windows\"}", "operating system \"windows\""},
		{"{\"os\":5}", "c.os: expected a string"},
		{"[]", "c: expected an object"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *json = parse(rows[i].text);
		cleanup_strv char **diff_ids = NULL;
		struct platform platform;
		int r = config_platform(json, "c", &platform, &error);

		if (r == 0)
			r = config_diff_ids(json, "c", &diff_ids, &error);
		assert_int_equal(r == 0, rows[i].message == NULL);
		if (r < 0 && !strstr(error.message, rows[i].message))
			fail_msg("%s: %s", rows[i].text, error.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_bad_manifest),
		cmocka_unit_test(test_many_layers),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
