/* storage/dockerfile/lint.h */
#include "storage/dockerfile/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#define STAGES_MAX 4

static const struct lint_stage usual[STAGES_MAX] = {
	{true, false, (size_t)-1},
	{true, false, 0},
	{true, false, (size_t)-1},
	{false, false, (size_t)-1},
};

static char *platform_args[] = {"TARGETPLATFORM=linux/amd64",
				"BUILDPLATFORM=linux/amd64", NULL};
static char *arguments[] = {"GIVEN=busybox", "EMPTY=", NULL};

/* "RuleName 3: text; …" */
static char *judge(const char *source, const struct lint_stage *stages)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	CLEANUP(lint_release) struct lint lint = {0};
	struct lint_request request = {
		.dockerfile = &dockerfile,
		.stages = stages,
		.arguments = arguments,
		.platform_args = platform_args,
	};
	struct error err = {0};
	struct str text = {0};

	if (dockerfile_parse(source, strlen(source), &dockerfile, NULL, &err) <
		    0 ||
	    lint_options_parse(dockerfile.check, &request.options, &err) < 0)
		return xasprintf("error: %s", err.message);
	dockerfile_lint(&request, &lint);
	for (size_t i = 0; i < lint.count; i++)
		str_appendf(&text, "%s%s %u: %s", i ? "; " : "",
			    lint.warnings[i].rule,
			    lint.warnings[i].range.first_line,
			    lint.warnings[i].text);
	return str_steal(&text);
}

struct row {
	const char *source;
	const char *wanted;
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *is = judge(rows[i].source, usual);

		if (!str_equal(is, rows[i].wanted))
			print_message("of: %s\n", rows[i].source);
		assert_string_equal(is, rows[i].wanted);
	}
}

static void test_spelling(void **state)
{
	static const struct row rows[] = {
		{"FROM scratch AS build\nRUN x", ""},
		{"FROM scratch AS Build", "StageNameCasing 1: Stage name "
					  "'Build' should be lowercase"},
		{"FROM scratch as x", "FromAsCasing 1: 'as' and 'FROM' "
				      "keywords' casing do not match"},
		{"from scratch as x", ""},
		{"from scratch AS x", "FromAsCasing 1: 'AS' and 'from' "
				      "keywords' casing do not match"},
		{"FROM scratch\nRUN a \\\n\n b",
		 "NoEmptyContinuation 4: Empty continuation line"},
		{"FROM scratch\nRUN a \\\n # c\n b", ""},
		{"FROM scratch\nRun a\nRUN b",
		 "ConsistentInstructionCasing 2: Command 'Run' should match "
		 "the case of the command majority (uppercase)"},
		{"from scratch\nrun a\nRUN b",
		 "ConsistentInstructionCasing 3: Command 'RUN' should match "
		 "the case of the command majority (lowercase)"},
		{"arg A\nFROM scratch\nRUN b", ""},
		{"FROM scratch AS a\nFROM scratch AS a",
		 "DuplicateStageName 2: Duplicate stage name \"a\", stage "
		 "names should be unique"},
		{"FROM busybox AS scratch",
		 "ReservedStageName 1: Stage name should not use the same name "
		 "as reserved stage \"scratch\""},
		{"FROM scratch\nMAINTAINER me",
		 "MaintainerDeprecated 2: Maintainer instruction is "
		 "deprecated in favor of using label"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_from(void **state)
{
	static const struct row rows[] = {
		{"ARG GIVEN=a\nFROM $GIVEN", ""},
		{"FROM $GIVEM",
		 "InvalidDefaultArgInFrom 1: Default value for ARG $GIVEM "
		 "results in empty or invalid base image name; "
		 "UndefinedArgInFrom 1: FROM argument 'GIVEM' is not declared"},
		{"ARG GIVEN=a\nFROM a$GIVEM",
		 "UndefinedArgInFrom 2: FROM argument 'GIVEM' is not declared "
		 "(did you mean GIVEN?)"},
		/* without a value it is declared all the same */
		{"ARG NONE\nFROM a${NONE}b", ""},
		{"ARG TAG\nFROM busybox:$TAG",
		 "InvalidDefaultArgInFrom 2: Default value for ARG "
		 "busybox:$TAG results in empty or invalid base image name"},
		{"ARG TAG\nFROM busybox:${TAG:-latest}", ""},
		{"ARG A=b\nARG C=$A:1\nFROM $C", ""},
		{"FROM --platform=$TARGETPLATFORM a",
		 "RedundantTargetPlatform 1: Setting platform to predefined "
		 "$TARGETPLATFORM in FROM is redundant as this is the default "
		 "behavior"},
		{"FROM --platform=$BUILDPLATFORM a", ""},
		{"FROM --platform=linux/amd64 a",
		 "FromPlatformFlagConstDisallowed 1: FROM --platform flag "
		 "should not use constant value \"linux/amd64\""},
		{"FROM --platform=linux/amd64 a AS build_amd64", ""},
		{"FROM --platform=linux/x86_64 a AS build_amd64", ""},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_stages(void **state)
{
	static const char json[] =
		"JSONArgsRecommended 2: JSON arguments recommended for CMD to "
		"prevent unintended behavior related to OS signals";
	static const struct row rows[] = {
		{"FROM a\nCMD b", json},
		{"FROM a\nCMD [\"b\"]", ""},
		{"FROM a\nSHELL [\"b\"]\nENTRYPOINT c", ""},
		/* also the base's */
		{"FROM a\nSHELL [\"b\"]\nFROM c\nCMD d", ""},
		{"FROM a\nWORKDIR b", "WorkdirRelativePath 2: Relative workdir "
				      "\"b\" can have unexpected results if "
				      "the base image changes"},
		{"FROM a\nWORKDIR /b\nWORKDIR c", ""},
		{"FROM a\nWORKDIR $b", ""},
		{"FROM a\nWORKDIR /b\nFROM c\nWORKDIR d", ""},
		{"FROM a\nCMD [\"b\"]\nCMD [\"c\"]",
		 "MultipleInstructionsDisallowed 2: Multiple CMD instructions "
		 "should not be used in the same stage because only the last "
		 "one will be used"},
		{"FROM a\nCMD [\"b\"]\nFROM a\nCMD [\"c\"]", ""},
		{"FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD x",
		 "MultipleInstructionsDisallowed 2: Multiple HEALTHCHECK "
		 "instructions should not be used in the same stage because "
		 "only the last one will be used"},
		{"FROM a\nENV b c=d", "LegacyKeyValueFormat 2: \"ENV "
				      "key=value\" should be used instead of "
				      "legacy \"ENV key value\" format"},
		{"FROM a\nENV b=\"c d\" e=f\nLABEL \"g h\"=i", ""},
		{"FROM a\nARG API_KEY\nENV token=x",
		 "SecretsUsedInArgOrEnv 2: Do not use ARG or ENV instructions "
		 "for sensitive data (ARG \"API_KEY\"); SecretsUsedInArgOrEnv "
		 "3: Do not use ARG or ENV instructions for sensitive data "
		 "(ENV \"token\")"},
		{"FROM a\nARG PUBLIC_KEY KEYBOARD\nENV TOKEN_FILE=x a=key", ""},
		{"FROM a\nEXPOSE 80/TCP",
		 "ExposeProtoCasing 2: Defined protocol '80/TCP' in EXPOSE "
		 "instruction should be lowercase"},
		{"FROM a\nEXPOSE 127.0.0.1:80:80",
		 "ExposeInvalidFormat 2: EXPOSE instruction should not define "
		 "an IP address or host-port mapping, found "
		 "'127.0.0.1:80:80'"},
		{"FROM a\nEXPOSE 80 81-90/udp $P", ""},
		/* the fourth stage is not built */
		{"FROM a\nFROM b\nFROM c\nFROM d\nCMD e", ""},
	};
	static const struct lint_stage shell = {true, true, (size_t)-1};
	cleanup_free char *of_image = judge("FROM a\nCMD b", &shell);

	check(rows, ARRAY_SIZE(rows));
	assert_string_equal(of_image, "");
}

static void test_options(void **state)
{
	struct lint_options options;
	struct error err = {0};
	static const struct row rows[] = {
		{"# check=skip=all\nFROM a as b\nCMD c", ""},
		{"# check=skip=FromAsCasing, JSONArgsRecommended\n"
		 "FROM a as b\nCMD c\nMAINTAINER d",
		 "MaintainerDeprecated 4: Maintainer instruction is "
		 "deprecated in favor of using label"},
		{"# check=experimental=all\nFROM a", ""},
		{"# check=skip\nFROM a",
		 "error: failed to parse check options: \"skip\" is none of "
		 "skip=RULES, error=true and experimental=RULES"},
		{"# check=error=maybe\nFROM a",
		 "error: failed to parse check options: \"error=maybe\" is "
		 "none of skip=RULES, error=true and experimental=RULES"},
	};

	check(rows, ARRAY_SIZE(rows));
	assert_int_equal(
		lint_options_parse("skip=NoSuch; error=true", &options, &err),
		0);
	assert_true(options.error);
	assert_true(options.skipped == 0);
	assert_int_equal(lint_options_parse(NULL, &options, &err), 0);
	assert_false(options.error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spelling),
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
