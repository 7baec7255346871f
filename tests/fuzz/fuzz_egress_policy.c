/*
 * net/egress_policy.h: a rule that is taken says as text what it means, and a
 * policy file is taken or refused as a whole.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "net/egress_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct egress_rule *rule)
{
	struct egress_policy again = {0};
	char text[EGRESS_RULE_TEXT_MAX];
	char second[EGRESS_RULE_TEXT_MAX];

	egress_rule_text(rule, text);
	assert(egress_policy_add(&again, text, rule->deny, NULL) == 0);
	egress_rule_text(&again.rules[0], second);
	assert(strcmp(text, second) == 0);
	assert(again.rules[0].protocols == rule->protocols);
	assert(again.rules[0].kind == rule->kind);
	egress_policy_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(egress_policy_release) struct egress_policy policy = {0};
	CLEANUP(egress_policy_release) struct egress_policy file = {0};
	cleanup_free char *text = xstrndup((const char *)data, size);
	cleanup_json cJSON *json = NULL;

	(void)egress_policy_add_list(&policy, text, size % 2, NULL);
	for (size_t i = 0; i < policy.rule_count; i++)
		check_again(&policy.rules[i]);
	if (json_parse(text, strlen(text), "policy", &json, NULL) < 0 ||
	    egress_policy_parse(json, "policy", &file, NULL) < 0)
		return 0;
	assert(file.mode >= EGRESS_ALLOW && file.mode <= EGRESS_RECORD);
	for (size_t i = 0; i < file.rule_count; i++)
		check_again(&file.rules[i]);
	return 0;
}
