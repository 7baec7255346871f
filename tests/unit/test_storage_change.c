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
#include "storage/dockerfile/change.h"

static const struct {
	const char *text;
	const char *config;
} good[] = {
	{"CMD [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
	{"cmd a  b", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a  b\"]}"},
	{"CMD []", "{\"Cmd\":[]}"},
	{"CMD", "{\"Cmd\":[]}"},
	{"CMD ['a']", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"['a']\"]}"},
	{"CMD [ -e /x ] && y",
	 "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[ -e /x ] && y\"]}"},
	{"CMD echo $HOME", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}"},
	{"ENTRYPOINT [\"/init\"]", "{\"Entrypoint\":[\"/init\"]}"},
	{"ENV A=b", "{\"Env\":[\"A=b\"]}"},
	{"ENV A=b C='d e' D=\"f\\\"g\" E=h\\ i",
	 "{\"Env\":[\"A=b\",\"C=d e\",\"D=f\\\"g\",\"E=h i\"]}"},
	{"ENV A b c", "{\"Env\":[\"A=b c\"]}"},
	/* all of an instruction with what was before it */
	{"ENV A=1\nENV A=2 B=${A}x$A$C-${C:-no}${A:+yes}",
	 "{\"Env\":[\"A=2\",\"B=1x1-noyes\"]}"},
	{"ENV A='$B' C=\\$D", "{\"Env\":[\"A=$B\",\"C=$D\"]}"},
	{"ENV A=x\nENV B=${C:-${A}y}", "{\"Env\":[\"A=x\",\"B=xy\"]}"},
	{"LABEL a=b \"c d\"=e", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e\"}}"},
	{"EXPOSE 80 53/udp 8000-8002/TCP",
	 "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{},\"8000/tcp\":{},"
	 "\"8001/tcp\":{},\"8002/tcp\":{}}}"},
	{"EXPOSE 1:81/ 0.0.0.0:2-3:83-84/udp [::1]::85 ::1:4:86 5-9:87",
	 "{\"ExposedPorts\":{\"83/udp\":{},\"84/udp\":{},\"81/tcp\":{},"
	 "\"87/tcp\":{},\"86/tcp\":{},\"85/tcp\":{}}}"},
	{"USER u\nUSER $A", "{\"User\":\"\"}"},
	{"WORKDIR /a\nWORKDIR $B", "{\"WorkingDir\":\"/a\"}"},
	{"USER 1000:10", "{\"User\":\"1000:10\"}"},
	{"WORKDIR /a//b/\nWORKDIR ../c", "{\"WorkingDir\":\"/a/c\"}"},
	{"WORKDIR rel", "{\"WorkingDir\":\"/rel\"}"},
	{"VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
	{"VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}"},
	{"STOPSIGNAL SIGQUIT", "{\"StopSignal\":\"SIGQUIT\"}"},
	{"ONBUILD RUN x", "{\"OnBuild\":[\"RUN x\"]}"},
	{"ONBUILD COPY <<E /x\nhello\nE\n",
	 "{\"OnBuild\":[\"COPY <<E /x\\nhello\\nE\"]}"},
	{"HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
	{"HEALTHCHECK --interval=5s --retries=3 CMD curl x",
	 "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":3,\"Test\":"
	 "[\"CMD-SHELL\",\"curl x\"]}}"},
	{"HEALTHCHECK --interval= --retries= CMD x",
	 "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x\"]}}"},
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
	{"", "there is no instruction"},
	{"# only", "there is no instruction"},
	{"SHELL [\"/bin/bash\"]", "SHELL is not a valid change command"},
	{"FOO x", "unknown instruction: FOO"},
	{"FROM x", "FROM is not a valid change command"},
	{"RUN x", "RUN is not a valid change command"},
	{"CMD [1]", "an array of arguments must have strings only"},
	{"ENV", "ENV requires at least one argument"},
	{"ENV A", "ENV must have two arguments"},
	{"ENV A=1 B", "B has no \"=\""},
	{"ENV =x", "ENV names can not be blank"},
	{"ENV A=\"b", "a double quote has no other"},
	{"ENV A=${B", "no closing }"},
	{"ENV A=${B?x}", "B: x"},
	{"ENV A=${B!x}", "unsupported modifier"},
	{"ENV A=${}", "bad substitution"},
	{"EXPOSE http", "invalid port \"http\""},
	{"EXPOSE 0", "invalid port"},
	{"EXPOSE 65536", "invalid port"},
	{"EXPOSE 9-8", "invalid port"},
	{"EXPOSE 80/icmp", "invalid port"},
	{"EXPOSE localhost:8080:80", "invalid port"},
	{"EXPOSE 8080-8081:80-82", "invalid port"},
	{"EXPOSE 8080:", "invalid port"},
	{"USER a b", "no user or user:group: \"a b\""},
	{"USER", "USER requires exactly one argument"},
	{"VOLUME [\"\"]", "can not be an empty string"},
	{"STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"},
	{"ONBUILD FROM x", "FROM is not allowed as an ONBUILD trigger"},
	{"ONBUILD onbuild RUN x", "is not allowed"},
	{"HEALTHCHECK", "requires at least one argument"},
	{"HEALTHCHECK RUN x", "Unknown type \"RUN\" in HEALTHCHECK"},
	{"HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"},
	{"HEALTHCHECK --interval=x CMD y", "invalid value"},
	{"HEALTHCHECK --interval=1us CMD y", "invalid value"},
	{"HEALTHCHECK --what=1 CMD y", "unknown flag: --what"},
	{"ENV A=1\n\nUSER a b", "line 3: USER: no user"},
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
	assert_non_null(strstr(error.message, "nested too deep"));
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
