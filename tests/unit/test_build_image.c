/* core/build/image.h */
#include "core/build/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"
#include "core/build/image_history.h"
#include "storage/dockerfile/config.h"

#define PATH_SET \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const struct platform platform = {"linux", "arm", "v7"};

static cJSON *json_of(const char *text)
{
	struct error err = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s", err.message);
	return json;
}

/* The history, one line an entry; what made a layer begins with "+". */
static char *history_of(const struct image_draft *image)
{
	cleanup_str struct str text = {0};
	const cJSON *step;

	cJSON_ArrayForEach(step, json_member(image->json, "history"))
	{
		const char *created_by = "?";
		bool empty = false;

		json_get_string(step, "", "created_by", &created_by, NULL);
		json_get_bool(step, "", "empty_layer", &empty, NULL);
		str_appendf(&text, "%s%s\n", empty ? "" : "+", created_by);
	}
	return str_steal(&text);
}

static void apply_text(struct image_draft *image, const char *text)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	const struct expand expand = {'\\', config_lookup, image->config,
				      false};
	struct error err = {0};

	if (dockerfile_parse(text, strlen(text), &dockerfile, NULL, &err) < 0)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < dockerfile.count; i++) {
		assert_true(image_takes(dockerfile.instructions[i].keyword));
		if (image_apply(image, &dockerfile.instructions[i], &expand,
				&err) < 0)
			fail_msg("%s", err.message);
	}
}

static void begin(struct image_draft *image, const char *base)
{
	cleanup_json cJSON *json = base ? json_of(base) : NULL;
	struct error err = {0};

	if (image_begin(json, &platform, image, &err) < 0)
		fail_msg("%s", err.message);
}

static void assert_json(const cJSON *json, const char *expected)
{
	cleanup_free char *text = json_print(json);

	assert_string_equal(text, expected);
}

static void test_history(void **state)
{
	static const struct {
		const char *instruction;
		const char *entry;
	} cases[] = {
		{"CMD [\"nginx\", \"-g\", \"daemon off;\"]",
		 "CMD [\"nginx\" \"-g\" \"daemon off;\"]\n"},
		{"CMD echo \"$A\"",
		 "CMD [\"/bin/sh\" \"-c\" \"echo \\\"$A\\\"\"]\n"},
		{"ENTRYPOINT [\"a\\tb\", \"\\u0001\\u00e9\\u0085\"]",
		 "ENTRYPOINT [\"a\\tb\" \"\\x01é\\u0085\"]\n"},
		{"ENV A=1 B=\"x y\"", "ENV A=1 B=x y\n"},
		{"ENV P ${PATH}", "ENV P=/usr/local/sbin:/usr/local/bin:"
				  "/usr/sbin:/usr/bin:/sbin:/bin\n"},
		{"EXPOSE 80 90-91/UDP", "EXPOSE [80/tcp 90/udp 91/udp]\n"},
		{"HEALTHCHECK --interval=90s --timeout=1.5s --retries=2 CMD a "
		 "b",
		 "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:1m30s "
		 "Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:2}\n"},
		{"HEALTHCHECK NONE",
		 "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s "
		 "StartPeriod:0s StartInterval:0s Retries:0}\n"},
		{"LABEL a=1 b.c=\"2 3\"", "LABEL a=1 b.c=2 3\n"},
		{"MAINTAINER Ann Bee <a@b>", "MAINTAINER Ann Bee <a@b>\n"},
		{"ONBUILD RUN make", ""},
		{"SHELL [\"/bin/bash\", \"-c\"]", "SHELL [/bin/bash -c]\n"},
		{"STOPSIGNAL SIGQUIT", "STOPSIGNAL SIGQUIT\n"},
		{"USER 1:2", "USER 1:2\n"},
		{"VOLUME /a /b", "VOLUME [/a /b]\n"},
		{"WORKDIR srv/../www/", "WORKDIR /www\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_image_draft struct image_draft image = {0};
		cleanup_free char *history = NULL;

		begin(&image, NULL);
		apply_text(&image, cases[i].instruction);
		history = history_of(&image);
		assert_string_equal(history, cases[i].entry);
	}
}

static void test_scratch(void **state)
{
	cleanup_image_draft struct image_draft image = {0};

	begin(&image, NULL);
	assert_json(image.json,
		    "{\"config\":{\"WorkingDir\":\"/\",\"Env\":[\"" PATH_SET
		    "\"]},"
		    "\"history\":[],\"architecture\":\"arm\",\"variant\":"
		    "\"v7\",\"os\":\"linux\"}");
}

/* What is known of the base is kept, what is its own is not. */
static void test_base(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_strv char **triggers = NULL;

	begin(&image,
	      "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":"
	      "\"2020-01-01T00:00:00Z\",\"docker_version\":\"1\","
	      "\"moby.buildkit.cache.v0\":\"x\",\"author\":\"me\",\"config\":"
	      "{\"Hostname\":\"h\",\"Env\":[\"PATH=/bin\",\"A=b\"],"
	      "\"Cmd\":[\"sh\"],\"Entrypoint\":null,\"OnBuild\":"
	      "[\"RUN a\",\"RUN b\"]},\"rootfs\":{\"type\":\"layers\","
	      "\"diff_ids\":[]}}");
	triggers = image_take_triggers(&image);
	assert_int_equal(strv_length(triggers), 2);
	assert_string_equal(triggers[1], "RUN b");
	assert_null(image_take_triggers(&image));
	assert_json(image.json,
		    "{\"config\":{\"Cmd\":[\"sh\"],\"Env\":[\"PATH=/bin\","
		    "\"A=b\"]},\"architecture\":\"amd64\",\"author\":\"me\","
		    "\"os\":\"linux\",\"history\":[]}");
}

#define DIFF_ID                                                           \
	"\"sha256:000000000000000000000000000000000000000000000000000000" \
	"000000000a\""

/* A history that tells of other layers than there are. */
static void test_base_history(void **state)
{
	static const struct {
		const char *layers;
		const char *history;
		const char *expected;
	} cases[] = {
		{DIFF_ID "," DIFF_ID, "", "+?\n+?\n"},
		{DIFF_ID, "{\"created_by\":\"a\"},{\"created_by\":\"b\"}",
		 "+a\nb\n"},
		{DIFF_ID "," DIFF_ID,
		 "{\"created_by\":\"a\",\"empty_layer\":true},"
		 "{\"created_by\":\"b\"}",
		 "a\n+b\n+?\n"},
		{"", "{\"created_by\":\"a\"}", "a\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_image_draft struct image_draft image = {0};
		cleanup_free char *history = NULL;
		cleanup_free char *base =
			xasprintf("{\"rootfs\":{\"diff_ids\":[%s]},\"history\":"
				  "[%s]}",
				  cases[i].layers, cases[i].history);

		begin(&image, base);
		history = history_of(&image);
		assert_string_equal(history, cases[i].expected);
	}
}

static void test_damaged_base(void **state)
{
	static const char *const bases[] = {
		"{\"rootfs\":{\"diff_ids\":[\"sha256:1\"]}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"history\":[1]}",
		"{\"rootfs\":{\"diff_ids\":[]},\"history\":{}}",
		"{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":[1]}}",
		("{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Labels\":"
		 "{\"a\":1}}}"),
		"{\"rootfs\":{\"diff_ids\":[]},\"architecture\":1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		cleanup_json cJSON *json = json_of(bases[i]);
		struct image_draft image = {0};
		struct error err = {0};

		assert_true(image_begin(json, &platform, &image, &err) < 0);
		assert_null(image.json);
	}
}

static const char *lookup(const char *name, void *data)
{
	return str_equal(name, "B") ? "from env" : NULL;
}

static void test_run(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_image_draft struct image_draft next = {0};
	cleanup_free char *history = NULL;
	char *const argv[] = {(char[]){"/bin/sh"}, (char[]){"-c"},
			      (char[]){"make"}, NULL};
	char *const first[] = {(char[]){"A=1"}, (char[]){"B=2"}, NULL};
	char *const second[] = {(char[]){"C"}, (char[]){"A=3"}, NULL};

	begin(&image, NULL);
	image_add_run(&image, argv, lookup, NULL);
	image_made_layer(&image);
	image_add_arguments(&image, first);
	image_begin_with(&image, &next);
	image_add_arguments(&next, second);
	image_add_run(&next, argv, lookup, NULL);
	history = history_of(&next);
	assert_string_equal(history, "+RUN /bin/sh -c make\n"
				     "ARG A=1 B=2\n"
				     "ARG C A=3\n"
				     "RUN |3 A=3 B=from env C= /bin/sh -c "
				     "make\n");
}

/* Each once, with what was said last. */
static void test_arguments_again(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	char *const first[] = {(char[]){"A=1"}, (char[]){"B"}, (char[]){"AA=5"},
			       NULL};
	char *const second[] = {(char[]){"B=2"}, (char[]){"A"}, NULL};
	char *const third[] = {(char[]){"A=3"}, NULL};
	cleanup_free char *text = NULL;

	begin(&image, NULL);
	image_add_arguments(&image, first);
	image_add_arguments(&image, second);
	image_add_arguments(&image, third);
	text = strv_join(image.arguments, " ");
	assert_string_equal(text, "A=3 B=2 AA=5");
}

static void test_copy(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_free char *history = NULL;
	char *const sources[] = {(char[]){"a"}, (char[]){"<<EOF"}, NULL};
	const struct image_copy plain = {
		.sources = sources,
		.destination = "/x/",
	};
	const struct image_copy full = {
		.is_add = true,
		.parents = true,
		.owner = "1:2",
		.mode = "0644",
		.sources = sources,
		.destination = ".",
	};

	begin(&image, NULL);
	image_add_copy(&image, &plain);
	image_made_layer(&image);
	image_add_copy(&image, &full);
	history = history_of(&image);
	assert_string_equal(history, "+COPY a <<EOF /x/\n"
				     "ADD --parents --chown=1:2 --chmod=0644 "
				     "a <<EOF .\n");
}

/* An entrypoint clears the base's command, not one of its own stage. */
static void test_entrypoint(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_image_draft struct image_draft next = {0};

	begin(&image, NULL);
	apply_text(&image, "CMD [\"a\"]\nENTRYPOINT [\"b\"]\n");
	assert_json(json_member(image.config, "Cmd"), "[\"a\"]");
	image_begin_with(&image, &next);
	apply_text(&next, "ENTRYPOINT [\"c\"]\n");
	assert_null(json_member(next.config, "Cmd"));
	assert_json(json_member(image.config, "Cmd"), "[\"a\"]");
}

static void test_labels(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	char *const labels[] = {(char[]){"a=2"}, (char[]){"b"},
				(char[]){"c=d=e"}, NULL};

	begin(&image, NULL);
	apply_text(&image, "LABEL a=1 z=9");
	image_add_labels(&image, labels);
	assert_json(json_member(image.config, "Labels"),
		    "{\"a\":\"2\",\"z\":\"9\",\"b\":\"\",\"c\":\"d=e\"}");
}

static void test_onbuild(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_image_draft struct image_draft next = {0};
	cleanup_strv char **triggers = NULL;

	begin(&image, NULL);
	apply_text(&image, "ONBUILD COPY a /a");
	image_begin_with(&image, &next);
	triggers = image_take_triggers(&next);
	assert_int_equal(strv_length(triggers), 1);
	assert_string_equal(triggers[0], "COPY a /a");
	/* The stage itself keeps it for those who build on its image. */
	assert_json(json_member(image.config, "OnBuild"), "[\"COPY a /a\"]");
}

/* To another process and back. */
static void test_save(void **state)
{
	cleanup_image_draft struct image_draft image = {0};
	cleanup_image_draft struct image_draft next = {0};
	cleanup_json cJSON *object = json_object();
	cleanup_json cJSON *nothing = json_object();
	cleanup_free char *text = NULL;
	char *const arguments[] = {(char[]){"A=1"}, NULL};
	struct error err = {0};

	begin(&image, "{\"rootfs\":{\"diff_ids\":[" DIFF_ID "]}}");
	apply_text(&image, "ENV A=b");
	image_add_arguments(&image, arguments);
	image_draft_save(&image, object);
	assert_int_equal(image_draft_load(object, &next, &err), 0);
	text = json_print(image.json);
	assert_json(next.json, text);
	assert_ptr_equal(json_member(next.json, "config"), next.config);
	assert_string_equal(next.arguments[0], "A=1");
	assert_int_equal(next.base_layers, 1);
	assert_true(image_draft_load(nothing, &next, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_scratch),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_base_history),
		cmocka_unit_test(test_damaged_base),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_arguments_again),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_entrypoint),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_onbuild),
		cmocka_unit_test(test_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
