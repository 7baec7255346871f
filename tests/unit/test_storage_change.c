/* Dockerfile instructions applied to an image's config. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/change.h"

static const struct {
	const char *text;
	const char *config;
} good[] = {
	{"CMD [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
	{"cmd a  b", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]}"},
	{"CMD []", "{\"Cmd\":[]}"},
	{"CMD [ -e /x ] && y",
	 "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[ -e /x ] && y\"]}"},
	{"CMD echo $HOME", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}"},
	{"ENTRYPOINT [\"/init\"]", "{\"Entrypoint\":[\"/init\"]}"},
	{"ENV A=b", "{\"Env\":[\"A=b\"]}"},
	{"ENV A=b C='d e' D=\"f\\\"g\" E=h\\ i",
	 "{\"Env\":[\"A=b\",\"C=d e\",\"D=f\\\"g\",\"E=h i\"]}"},
	{"ENV A b c", "{\"Env\":[\"A=b c\"]}"},
	{"ENV A=1\nENV A=2 B=${A}x$A$C-${C:-no}${A:+yes}",
	 "{\"Env\":[\"A=2\",\"B=2x2-noyes\"]}"},
	{"ENV A='$B' C=\\$D", "{\"Env\":[\"A=$B\",\"C=$D\"]}"},
	{"ENV A=x\nENV B=${C:-${A}y}", "{\"Env\":[\"A=x\",\"B=xy\"]}"},
	{"LABEL a=b \"c d\"=e", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}"},
	{"EXPOSE 80 53/udp 8000-8002/TCP",
	 "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"8000/tcp\":{},"
	 "\"8001/tcp\":{},\"8002/tcp\":{}}}"},
	{"USER 1000:10", "{\"User\":\"1000:10\"}"},
	{"WORKDIR /a//b/\nWORKDIR ../c", "{\"WorkingDir\":\"/a/c\"}"},
	{"WORKDIR rel", "{\"WorkingDir\":\"/rel\"}"},
	{"VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
	{"VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}"},
	{"STOPSIGNAL SIGQUIT", "{\"StopSignal\":\"SIGQUIT\"}"},
	{"ONBUILD RUN x", "{\"OnBuild\":[\"RUN x\"]}"},
	{"HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
	{"HEALTHCHECK --interval=5s --retries=3 CMD curl x",
	 "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":3,\"Test\":"
	 "[\"CMD-SHELL\",\"curl x\"]}}"},
	{"HEALTHCHECK CMD [\"a\"]",
	 "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}"},
	{"# note\n\nENV A=1 \\\n  B=2\n# end\nUSER u",
	 "{\"Env\":[\"A=1\",\"B=2\"],\"User\":\"u\"}"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cleanup_json cJSON *config = json_object();
		cleanup_free char *text = NULL;
		struct error error = {0};

		if (change_apply(config, good[i].text, &error) < 0)
			fail_msg("%s: %s", good[i].text, error.message);
		text = json_print(config);
		assert_string_equal(text, good[i].config);
	}
}

static const struct {
	const char *text;
	const char *message;
} bad[] = {
	{"", "no instruction"},
	{"# only", "no instruction"},
	{"FOO x", "unknown instruction: FOO"},
	{"FROM x", "FROM is not a valid change command"},
	{"RUN x", "RUN is not a valid change command"},
	{"CMD", "CMD requires at least one argument"},
	{"CMD ['a']", "not a JSON array"},
	{"CMD [\"a\" \"b\"]", "not a JSON array"},
	{"CMD [1]", "arrays must be comprised of strings only"},
	{"ENV", "ENV requires at least one argument"},
	{"ENV A", "ENV must have two arguments"},
	{"ENV A=1 B", "can't find = in \"B\""},
	{"ENV =x", "ENV names can not be blank"},
	{"ENV A=\"b", "unterminated double quote"},
	{"ENV A=${B", "no closing }"},
	{"ENV A=${B?x}", "unsupported modifier"},
	{"ENV A=${}", "no name"},
	{"EXPOSE http", "invalid port \"http\""},
	{"EXPOSE 0", "invalid port"},
	{"EXPOSE 65536", "invalid port"},
	{"EXPOSE 9-8", "invalid port"},
	{"EXPOSE 80/icmp", "invalid port"},
	{"EXPOSE 8080:80", "invalid port"},
	{"USER a b", "USER requires exactly one argument"},
	{"VOLUME [\"\"]", "can not be an empty string"},
	{"STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"},
	{"ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"},
	{"ONBUILD onbuild RUN x", "isn't allowed as an ONBUILD trigger"},
	{"HEALTHCHECK", "requires at least one argument"},
	{"HEALTHCHECK RUN x", "expected CMD or NONE"},
	{"HEALTHCHECK CMD", "missing command after CMD"},
	{"HEALTHCHECK --interval=x CMD y", "invalid value"},
	{"HEALTHCHECK --interval=1us CMD y", "invalid value"},
	{"HEALTHCHECK --what=1 CMD y", "unknown flag: --what=1"},
	{"ENV A=1\n\nUSER a b", "line 3: USER requires"},
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_json cJSON *config = json_object();
		struct error error = {0};

		assert_true(change_apply(config, bad[i].text, &error) < 0);
		assert_int_equal(error.kind, ERROR_INVALID);
		if (!strstr(error.message, bad[i].message))
			fail_msg("%s: %s", bad[i].text, error.message);
	}
}

static void test_nesting(void **state)
{
	cleanup_json cJSON *config = json_object();
	cleanup_str struct str text = {0};
	struct error error = {0};

	str_append(&text, "ENV A=");
	for (int i = 0; i < 10000; i++)
		str_append(&text, "${B:-");
	for (int i = 0; i < 10000; i++)
		str_append(&text, "}");
	assert_true(change_apply(config, text.data, &error) < 0);
	assert_non_null(strstr(error.message, "too deep nesting"));
	str_clear(&text);
	while (text.length <= CHANGE_TEXT_MAX)
		str_append(&text, "ENV A=b\n");
	assert_true(change_apply(config, text.data, &error) < 0);
	assert_non_null(strstr(error.message, "longer than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nesting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
