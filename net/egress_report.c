/*
 * What is told of refusals: each once at once, then how often again, never more
 * than a few a second. A program that tries a million things costs the memory
 * of EGRESS_REPORTS_MAX of them; the rest is counted as one without a name.
 */
#include "net/egress_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"

#define BURST	  100 /* reports */
#define REFILL_MS 100 /* for one more */

static const char *const reasons[] = {
	[EGRESS_NO_RULE] = "no rule allows it",
	[EGRESS_DENIED] = "a rule denies it",
	[EGRESS_NAME_REFUSED] = "no rule allows the name",
	[EGRESS_NAME_PRIVATE] = "the name has a private address",
	[EGRESS_OTHER_NAME] = "it asks the address for another name",
	[EGRESS_WITHOUT_NAME] = "it does not say which name it is for",
	[EGRESS_MALFORMED] = "it does not begin as TLS or HTTP do",
	[EGRESS_DNS_TCP] = "the resolver answers over UDP only",
	[EGRESS_WAS_USED] = "used",
};

const char *egress_reason_name(enum egress_reason reason)
{
	return (size_t)reason < ARRAY_SIZE(reasons) ? reasons[reason]
						    : "unknown";
}

bool egress_report_parse(const void *bytes, size_t length,
			 struct egress_report *ret_report)
{
	struct egress_report report;

	if (length != sizeof(report))
		return false;
	memcpy(&report, bytes, sizeof(report));
	if (report.reason >= EGRESS_REASON_COUNT ||
	    (report.address.family != 0 && report.address.family != AF_INET &&
	     report.address.family != AF_INET6) ||
	    !memchr(report.name, '\0', sizeof(report.name)))
		return false;
	for (char *c = report.name; *c; c++) {
		if (!isascii(*c) || (!isalnum(*c) && !strchr("-_.:[]", *c)))
			*c = '?';
	}
	*ret_report = report;
	return true;
}

static bool is_same(const struct egress_report *a,
		    const struct egress_report *b)
{
	return a->reason == b->reason && a->protocol == b->protocol &&
	       a->port == b->port && address_equal(&a->address, &b->address) &&
	       str_equal(a->name, b->name);
}

/* Where a new one goes: unused, or that of one that was told of long ago. */
static struct report_entry *find_place(struct reports *reports)
{
	struct report_entry *oldest = NULL;

	if (!reports->entries)
		reports->entries =
			xcalloc(EGRESS_REPORTS_MAX, sizeof(*reports->entries));
	if (reports->count < EGRESS_REPORTS_MAX - 1)
		return &reports->entries[reports->count++];
	for (size_t i = 0; i < EGRESS_REPORTS_MAX - 1; i++) {
		struct report_entry *entry = &reports->entries[i];

		if (entry->report.count == 0 &&
		    (!oldest || entry->used_ms < oldest->used_ms))
			oldest = entry;
	}
	if (oldest)
		return oldest;
	/* The last place is for all others. */
	reports->count = EGRESS_REPORTS_MAX;
	return NULL;
}

static void count_other(struct reports *reports,
			const struct egress_report *report)
{
	struct report_entry *entry = &reports->entries[EGRESS_REPORTS_MAX - 1];
	uint32_t count = entry->report.count;

	entry->report = (struct egress_report){
		.reason = report->reason,
		.count = count < UINT32_MAX ? count + 1 : count,
	};
}

static struct report_entry *find_same(struct reports *reports,
				      const struct egress_report *report)
{
	for (size_t i = 0; i < reports->count && i < EGRESS_REPORTS_MAX - 1;
	     i++) {
		if (is_same(&reports->entries[i].report, report))
			return &reports->entries[i];
	}
	return NULL;
}

static void count_one(struct reports *reports,
		      const struct egress_report *report, int64_t now)
{
	struct report_entry *entry = find_same(reports, report);

	if (entry) {
		/* Once is enough of what is used. */
		if (report->reason != EGRESS_WAS_USED &&
		    entry->report.count < UINT32_MAX)
			entry->report.count++;
		entry->used_ms = now;
		return;
	}
	entry = find_place(reports);
	if (entry)
		*entry = (struct report_entry){.report = *report,
					       .used_ms = now};
	else
		count_other(reports, report);
}

void egress_report_add(struct egress *egress, enum egress_reason reason,
		       enum egress_protocol protocol,
		       const struct net_address_value *address, uint16_t port,
		       const char *name, int64_t now)
{
	struct egress_report report = {
		.reason = (uint8_t)reason,
		.protocol = (uint8_t)protocol,
		.port = port,
		.count = 1,
	};

	if (address)
		report.address = *address;
	if (name)
		strncpy(report.name, name, sizeof(report.name) - 1);
	count_one(&egress->reports, &report, now);
	egress->reports.dirty = true;
	/* Before the container hears of it, and may be gone after that. */
	(void)egress_report_flush(egress, now);
}

static void refill(struct reports *reports, int64_t now)
{
	int64_t passed = (now - reports->filled_ms) / REFILL_MS;

	if (reports->filled_ms == 0 || reports->tokens + passed >= BURST) {
		reports->tokens = BURST;
		reports->filled_ms = now;
	} else if (passed > 0) {
		reports->tokens += passed;
		reports->filled_ms += passed * REFILL_MS;
	}
}

int egress_report_flush(struct egress *egress, int64_t now)
{
	struct reports *reports = &egress->reports;

	if (!reports->dirty)
		return -1;
	refill(reports, now);
	for (size_t i = 0; i < reports->count; i++) {
		struct egress_report *report = &reports->entries[i].report;

		if (report->count == 0)
			continue;
		if (reports->tokens == 0 ||
		    !egress->hooks.report(report, egress->hooks.opaque))
			return REFILL_MS;
		reports->tokens--;
		report->count = 0;
	}
	reports->dirty = false;
	return -1;
}

void egress_report_release(struct reports *reports)
{
	free(reports->entries);
}
