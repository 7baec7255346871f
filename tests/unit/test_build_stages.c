/* core/build/stages.h */
#include "core/build/stages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static void show_source(struct str *text, const struct stage_source *source)
{
	if (source->stage != STAGE_NONE)
		str_appendf(text, "#%zu", source->stage);
	else
		str_append(text, source->image);
}

/* "a<#0+image:2 …": name, base, sources, instructions; (…) is not needed. */
static char *show(const struct stages *stages)
{
	cleanup_str struct str text = {0};

	for (size_t i = 0; i < stages->count; i++) {
		const struct stage *stage = &stages->list[i];

		str_appendf(&text, "%s%s%s%s", i ? " " : "",
			    stage->needed ? "" : "(",
			    stage->name ? stage->name : "", "<");
		if (stage->scratch)
			str_append(&text, "scratch");
		else
			show_source(&text, &stage->base);
		if (stage->platform)
			str_appendf(&text, "@%s", stage->platform);
		for (size_t j = 0; j < stage->source_count; j++) {
			str_append_char(&text, '+');
			show_source(&text, &stage->sources[j]);
		}
		str_appendf(&text, ":%zu%s", stage->count,
			    stage->needed ? "" : ")");
	}
	return str_steal(&text);
}

static char *parse(const char *source, const char *target)
{
	char *const build_args[] = {(char[]){"GIVEN=given"}, NULL};
	char *const platform_args[] = {(char[]){"TARGETPLATFORM=linux/amd64"},
				       (char[]){"BUILDPLATFORM=linux/arm64"},
				       NULL};
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	cleanup_stages struct stages stages = {0};
	cleanup_json cJSON *contexts = json_object();
	struct dockerfile_range range;
	struct error err = {0};
	int r = dockerfile_parse(source, strlen(source), &dockerfile, &range,
				 &err);

	json_set_string(contexts, "c-dir", "/d");
	json_set_string(contexts, "c-image", "docker-image://z");
	json_set_string(contexts, "c-none:latest", "docker-image://scratch");
	if (r == 0)
		r = dockerfile_check(&dockerfile, &range, &err);
	if (r == 0)
		r = stages_parse(
			&(struct stages_request){
				.dockerfile = &dockerfile,
				.build_args = build_args,
				.platform_args = platform_args,
				.target = target,
				.contexts = contexts,
			},
			&stages, &range, &err);
	if (r < 0)
		return xstrdup(err.message);
	return show(&stages);
}

struct row {
	const char *source;
	const char *target;
	const char *wanted;
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *is = parse(rows[i].source, rows[i].target);

		if (!str_equal(is, rows[i].wanted))
			print_message("of: %s\n", rows[i].source);
		assert_string_equal(is, rows[i].wanted);
	}
}

static void test_graph(void **state)
{
	static const char three[] = "FROM a AS one\nRUN x\n"
				    "FROM b AS two\n"
				    "FROM scratch\nCOPY --from=ONE c d\n";
	static const struct row rows[] = {
		{"FROM a", NULL, "<a:0"},
		{three, NULL, "one<a:1 (two<b:0) <scratch+#0:1"},
		{three, "two", "(one<a:1) two<b:0 (<scratch+#0:1)"},
		{three, "0", "one<a:1 (two<b:0) (<scratch+#0:1)"},
		{three, "ONE", "one<a:1 (two<b:0) (<scratch+#0:1)"},
		{three, "four", "target stage \"four\" could not be found"},
		{three, "3", "target stage \"3\" could not be found"},
		{"FROM a AS x\nFROM x AS y\nFROM y", NULL,
		 "x<a:0 y<#0:0 <#1:0"},
		/* its own name is an image's */
		{"FROM x AS x\nFROM X", NULL, "x<x:0 <#0:0"},
		{"FROM a AS x\nFROM b AS x\nFROM x", NULL,
		 "(x<a:0) x<b:0 <#1:0"},
		{"FROM a AS x\nFROM b\nRUN --mount=type=bind,from=x,target=/y "
		 "--mount=from=img:1 z\nCOPY --from=0 a b",
		 NULL, "x<a:0 <b+#0+img:1+#0:2"},
		{"FROM a\nCOPY --from=nginx:1 a b", NULL, "<a+nginx:1:1"},
		{"FROM a\nCOPY --from=1 a b", NULL,
		 "line 2: there is no stage 1 before this one"},
		{"FROM a AS x\nCOPY --from=x a b", NULL,
		 "line 2: stage x cannot take files from itself"},
		{"FROM a\nCOPY --from=$X a b", NULL,
		 "line 2: from=$X: variables are not possible here; give the "
		 "image a stage of its own: FROM $X AS NAME"},
	};

	check(rows, ARRAY_SIZE(rows));
}

/* A directory is a source, and its copy an instruction more. */
static void test_contexts(void **state)
{
	static const struct row rows[] = {
		{"FROM a AS c-image\nRUN x\nFROM C-Image", NULL,
		 "c-image<c-image:0 <#0:0"},
		{"FROM a AS x\nFROM x AS C-DIR\nCOPY --from=9 a b\nFROM b\n"
		 "COPY --from=c-dir a b",
		 NULL, "(x<a:0) C-DIR<scratch+C-DIR:1 <b+#1:1"},
		{"FROM docker.io/library/c-dir\nRUN x", NULL,
		 "<scratch+docker.io/library/c-dir:2"},
		{"FROM c-none\nRUN x", NULL, "<scratch:1"},
		{"FROM library/c-image:latest\nRUN x", NULL,
		 "<library/c-image:latest:1"},
		{"FROM a\nCOPY --from=x a b\nFROM b AS X", "0",
		 "line 2: cannot copy from stage \"x\", it needs to be defined "
		 "before current stage"},
		{"FROM a\nCOPY --from=x a b\nFROM b AS X", NULL,
		 "(<a+x:1) X<b:0"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_arguments(void **state)
{
	static const struct row rows[] = {
		{"ARG V=12\nFROM debian:$V", NULL, "<debian:12:0"},
		{"ARG V=12 W=${V}-slim\nFROM debian:$W", NULL,
		 "<debian:12-slim:0"},
		{"ARG GIVEN=no\nFROM $GIVEN", NULL, "<given:0"},
		{"ARG GIVEN\nFROM $GIVEN", NULL, "<given:0"},
		{"ARG V\nFROM ${V:-x}", NULL, "<x:0"},
		{"ARG V\nFROM $V", NULL,
		 "line 2: base name ($V) should not be blank: an ARG before "
		 "the first FROM has no value"},
		{"FROM --platform=$BUILDPLATFORM a", NULL, "<a@linux/arm64:0"},
		/* those of a stage are not known to the next FROM */
		{"FROM a\nARG V=1\nFROM x:$V", NULL, "(<a:1) <x::0"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_checks(void **state)
{
	static const struct row rows[] = {
		{"RUN a\nFROM b", NULL,
		 "line 1: RUN before the first FROM: no build stage has begun"},
		{"ARG a", NULL, "there is no FROM in it: no build stage"},
		{"FROM", NULL, "line 1: FROM requires at least one argument"},
		{"FROM a b", NULL,
		 "line 1: FROM requires either one or three arguments: FROM "
		 "IMAGE [AS NAME]"},
		{"FROM a OF b", NULL,
		 "line 1: FROM requires either one or three arguments: FROM "
		 "IMAGE [AS NAME]"},
		{"FROM a AS 1x", NULL,
		 "line 1: invalid name for build stage: \"1x\", name can't "
		 "start with a number or contain symbols"},
		{"FROM --x=1 a", NULL, "line 1: unknown flag: --x"},
		{"FROM a\nCOPY a", NULL,
		 "line 2: COPY requires at least two arguments, but only one "
		 "was provided: the last is where to"},
		{"FROM a\nCOPY --from a b", NULL,
		 "line 2: missing a value on flag: from"},
		{"FROM a\nCOPY --link=maybe a b", NULL,
		 "line 2: expecting boolean value for flag link, not: maybe"},
		{"FROM a\nCOPY --chown=1 --chown=2 a b", NULL,
		 "line 2: duplicate flag specified: chown"},
		{"FROM a\nCOPY --exclude=1 --exclude=2 a b", NULL, "<a:1"},
		{"FROM a\nCOPY a <<E\nE", NULL,
		 "line 2: COPY cannot accept a heredoc as a destination"},
		{"FROM a\nRUN", NULL,
		 "line 2: RUN requires at least one argument"},
		{"FROM a\nUSER", NULL,
		 "line 2: USER requires exactly one argument"},
		{"FROM b AS x\nRUN --mount=typ=cache,target=/a b\nFROM a", NULL,
		 "(x<b:1) <a:0"},
		{"FROM a\nRUN --mount=typ=cache,target=/a b", NULL,
		 "line 2: --mount=typ=cache,target=/a: unexpected key 'typ' in "
		 "'typ=cache' (did you mean type?)"},
		{"FROM a\nRUN --mount=type=$T,target=. --mount=target=. b",
		 NULL, "<a:1"},
		{"FROM a\nSHELL /bin/sh", NULL,
		 "line 2: SHELL requires the arguments to be in JSON form"},
		{"FROM a\nHEALTHCHECK x", NULL,
		 "line 2: Unknown type \"x\" in HEALTHCHECK (try CMD)"},
		{"FROM a\nHEALTHCHECK NONE x", NULL,
		 "line 2: HEALTHCHECK NONE takes no arguments"},
		{"FROM a\nHEALTHCHECK CMD", NULL,
		 "line 2: Missing command after HEALTHCHECK CMD"},
		{"FROM a\nONBUILD", NULL,
		 "line 2: ONBUILD requires at least one argument"},
		{"FROM a\nONBUILD COPY a", NULL,
		 "line 2: COPY requires at least two arguments, but only one "
		 "was provided: the last is where to"},
		{"FROM a\nARG =x", NULL, "line 2: ARG names can not be blank"},
		{"FROM a\nENV", NULL,
		 "line 2: ENV requires at least one argument"},
		{"FROM a\nCMD\nENTRYPOINT []", NULL, "<a:2"},
	};

	check(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_graph),
		cmocka_unit_test(test_contexts),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
