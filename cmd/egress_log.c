#include "cmd/egress_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "core/monitor/egress_log.h"

/* Of which a summary names so many. */
#define NAMED_MAX 3

/* "example.org:443/tcp": where it should have gone. */
static char *target_text(const cJSON *entry)
{
	const char *name = text_of(entry, "name");
	const char *address = text_of(entry, "address");
	const char *host = *name ? name : address;
	const char *protocol = text_of(entry, "protocol");
	int64_t port = number_of(entry, "port");
	bool v6 = host == address && strchr(host, ':');

	if (*host == '\0')
		return xstrdup("others");
	if (str_equal(protocol, "dns"))
		return xstrdup(host);
	if (port == 0)
		return xasprintf("%s/%s", host, protocol);
	return xasprintf("%s%s%s:%" PRId64 "/%s", v6 ? "[" : "", host,
			 v6 ? "]" : "", port, protocol);
}

int egress_log_print(struct context *context, const char *id, struct error *err)
{
	cleanup_json cJSON *array = NULL;
	const cJSON *entry;
	int r = engine_container_egress_log(&context->engine, id, &array, err);

	if (r < 0)
		return r;
	cJSON_ArrayForEach(entry, array)
	{
		cleanup_free char *target = target_text(entry);
		const char *address = text_of(entry, "address");
		int64_t count = number_of(entry, "count");
		bool both = *address && *text_of(entry, "name");

		printf("%s refused %s%s%s%s: %s", text_of(entry, "time"),
		       target, both ? " (" : "", both ? address : "",
		       both ? ")" : "", text_of(entry, "reason"));
		if (count > 1)
			printf(" (%" PRId64 " times)", count);
		printf("\n");
	}
	return 0;
}

int egress_policy_print(struct context *context, const char *id,
			struct error *err)
{
	cleanup_json cJSON *policy = NULL;
	cleanup_free char *text = NULL;
	int r = engine_container_egress_used(&context->engine, id, &policy,
					     err);

	if (r < 0)
		return r;
	text = json_print_pretty(policy);
	printf("%s\n", text);
	return 0;
}

/* Those that differ, in the order of their first refusal. */
static char **targets_of(const cJSON *array, int64_t *ret_count)
{
	char **targets = NULL;
	const cJSON *entry;

	*ret_count = 0;
	cJSON_ArrayForEach(entry, array)
	{
		cleanup_free char *target = target_text(entry);

		*ret_count += number_of(entry, "count");
		if (!strv_contains(targets, target))
			strv_push(&targets, target);
	}
	return targets;
}

void egress_summary_print(int fd, const char *name)
{
	cleanup_json cJSON *array = NULL;
	cleanup_strv char **targets = NULL;
	cleanup_str struct str line = {0};
	int64_t count;

	if (fd < 0 || egress_log_read_fd(fd, &array, NULL) < 0)
		return;
	targets = targets_of(array, &count);
	if (!targets)
		return;
	str_appendf(&line, "moss: egress: %" PRId64 " %s refused: ", count,
		    count == 1 ? "attempt" : "attempts");
	for (size_t i = 0; targets[i] && i < NAMED_MAX; i++)
		str_appendf(&line, "%s%s", i ? ", " : "", targets[i]);
	if (strv_length(targets) > NAMED_MAX)
		str_appendf(&line, " and %zu more",
			    strv_length(targets) - NAMED_MAX);
	if (name)
		str_appendf(&line, "; see moss logs --egress %s", name);
	fprintf(stderr, "%s\n", str_text(&line));
}
