/*
 * The processes of a container as the host's ps(1) tells of them. Whatever ps
 * shows, only lines of the container's own processes are kept: the descendants
 * of its monitor, those started by exec among them, without moss's helpers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/container.h"

#define PS_OUTPUT_MAX (32u << 20)
#define BLANKS	      " \t\n\v\f\r"

struct top {
	pid_t *pids; /* ascending */
	size_t count;
	char **args; /* of ps, with its name */
	cJSON *json;
};

static void top_release(struct top *top)
{
	free(top->pids);
	strv_free(top->args);
	cJSON_Delete(top->json);
}

static int compare(const void *a, const void *b)
{
	pid_t left = *(const pid_t *)a;
	pid_t right = *(const pid_t *)b;

	return (left > right) - (left < right);
}

static bool is_ours(const struct top *top, pid_t pid)
{
	return top->count > 0 && bsearch(&pid, top->pids, top->count,
					 sizeof(*top->pids), compare);
}

/* At blanks, like docker, which has them in one text on the way. */
static void add_args(struct top *top, const char *text)
{
	while (*(text += strspn(text, BLANKS))) {
		size_t length = strcspn(text, BLANKS);

		strv_push_take(&top->args, xstrndup(text, length));
		text += length;
	}
}

/* A column that only claims to be that of the PIDs. */
static int check_args(const struct top *top, struct error *err)
{
	for (size_t i = 1; top->args[i]; i++) {
		const char *arg = top->args[i];
		const char *equals = strstr(arg, "=PID");

		if (equals && !((size_t)(equals - arg) == strlen("pid") &&
				str_starts(arg, "pid")))
			return err_set(err, ERROR_INVALID,
				       "specifying \"%s\" is not allowed", arg);
	}
	return 0;
}

/* "-q1,2,3", with which ps need not look at all processes of the host. */
static char *pids_arg(const struct top *top)
{
	struct str text = {0};

	str_append(&text, "-q");
	for (size_t i = 0; i < top->count; i++)
		str_appendf(&text, i ? ",%d" : "%d", (int)top->pids[i]);
	return str_steal(&text);
}

static int run_ps(const struct top *top, char **ret_output, struct error *err)
{
	cleanup_free char *path = xasprintf(
		"PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	/* Nothing of the user's that shapes ps's output. */
	char *const env[] = {path, (char[]){"LC_ALL=C.UTF-8"}, NULL};
	cleanup_strv char **args = strv_copy(top->args);
	struct spawn spawn = {
		.path = "ps",
		.argv = args,
		.env = env,
		.die_with_parent = true,
	};
	int r;

	strv_push_take(&args, pids_arg(top));
	spawn.argv = args;
	r = proc_capture(&spawn, PS_OUTPUT_MAX, ret_output, NULL);
	if (r >= 0)
		return r;
	/* Some options do not go with it; nor do other systems' ps. */
	spawn.argv = top->args;
	r = proc_capture(&spawn, PS_OUTPUT_MAX, ret_output, err);
	if (r == -ENOENT)
		err_hint(err, "Install the package procps.");
	return r;
}

/* The last of count fields is the rest of the line; count 0: as many as there
   are. */
static cJSON *split_line(const char *line, int count)
{
	cJSON *fields = json_array();

	while (*(line += strspn(line, BLANKS))) {
		bool is_last = cJSON_GetArraySize(fields) + 1 == count;
		size_t length = is_last ? strlen(line) : strcspn(line, BLANKS);
		cleanup_free char *field = xstrndup(line, length);
		cJSON *text = cJSON_CreateString(field);

		if (!text)
			str_oom();
		json_push(fields, text);
		line += length;
	}
	return fields;
}

static int find_column(const cJSON *titles, const char *title)
{
	int count = cJSON_GetArraySize(titles);

	for (int i = 0; i < count; i++) {
		if (str_equal(
			    cJSON_GetStringValue(cJSON_GetArrayItem(titles, i)),
			    title))
			return i;
	}
	return -1;
}

/* Lines of threads ("-m") have "-" for their PID and follow their process. */
static int add_lines(struct top *top, char *const *lines, const cJSON *titles,
		     cJSON *processes, struct error *err)
{
	int column = find_column(titles, "PID");
	bool was_ours = false;

	if (column < 0)
		return err_set(err, ERROR_INVALID,
			       "Couldn't find PID field in ps output");
	for (size_t i = 1; lines[0] && lines[i]; i++) {
		cleanup_json cJSON *fields =
			split_line(lines[i], cJSON_GetArraySize(titles));
		const char *text = cJSON_GetStringValue(
			cJSON_GetArrayItem(fields, column));
		int64_t pid = 0;

		if (!text)
			continue;
		if (!str_equal(text, "-")) {
			if (parse_i64(text, &pid) < 0)
				return err_set(err, ERROR_GENERIC,
					       "Unexpected pid '%s'", text);
			was_ours = is_ours(top, (pid_t)pid);
		}
		if (was_ours)
			json_push(processes, steal_ptr(&fields));
	}
	return 0;
}

int engine_container_top(struct engine *engine, const char *id,
			 const char *ps_options, cJSON **ret_json,
			 struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(top_release) struct top top = {0};
	cleanup_free char *output = NULL;
	cleanup_strv char **lines = NULL;
	cJSON *titles;
	cJSON *processes;
	int r;

	strv_push(&top.args, "ps");
	add_args(&top, str_empty(ps_options) ? "-ef" : ps_options);
	r = check_args(&top, err);
	if (r >= 0)
		r = container_open(engine, id, &container, err);
	if (r >= 0)
		r = container_check_running(&container, err);
	if (r >= 0)
		r = container_check_not_restarting(&container, err);
	if (r >= 0)
		r = container_processes(&container, &top.pids, &top.count, err);
	if (r >= 0)
		r = run_ps(&top, &output, err);
	if (r < 0)
		return r;
	lines = strv_split(output, '\n');
	titles = split_line(lines && lines[0] ? lines[0] : "", 0);
	processes = json_array();
	top.json = json_object();
	json_set(top.json, "Titles", titles);
	json_set(top.json, "Processes", processes);
	r = add_lines(&top, lines, titles, processes, err);
	if (r < 0)
		return r;
	container_tell(engine, &container, "top", NULL);
	*ret_json = steal_ptr(&top.json);
	return 0;
}
