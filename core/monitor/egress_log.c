#include "core/monitor/egress_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define OPEN_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW)
/* A line may end past EGRESS_LOG_MAX. */
#define READ_MAX (EGRESS_LOG_MAX + 4096)

int egress_log_create(int directory_fd, struct error *err)
{
	cleanup_fd int fd = openat(directory_fd, EGRESS_LOG, OPEN_FLAGS, 0600);

	return fd < 0 ? err_errno(err, "cannot create %s", EGRESS_LOG) : 0;
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case 0:
		return "dns";
	case EGRESS_TCP:
		return "tcp";
	case EGRESS_UDP:
		return "udp";
	case EGRESS_ICMP:
		return "icmp";
	default:
		return "other";
	}
}

cJSON *egress_log_entry(const struct egress_report *report)
{
	cJSON *entry = json_object();
	char address[ADDRESS_TEXT_MAX];
	char now[TIME_TEXT_MAX];

	format_now(now);
	json_set_string(entry, "time", now);
	json_set_string(entry, "protocol", protocol_name(report->protocol));
	if (report->address.family != 0) {
		address_text(&report->address, address);
		json_set_string(entry, "address", address);
	}
	if (report->port != 0)
		json_set_i64(entry, "port", report->port);
	if (*report->name)
		json_set_string(entry, "name", report->name);
	json_set_string(entry, "reason",
			egress_reason_name((enum egress_reason)report->reason));
	json_set_i64(entry, "count", report->count);
	return entry;
}

/* A place for one more line, -1 when there is none. */
static int open_file(int directory_fd, bool used)
{
	const char *file = used ? EGRESS_USED : EGRESS_LOG;
	cleanup_fd int fd = openat(directory_fd, file, OPEN_FLAGS, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (st.st_size < EGRESS_LOG_MAX)
		return steal_fd(&fd);
	if (used || renameat(directory_fd, EGRESS_LOG, directory_fd,
			     EGRESS_LOG_OLD) < 0)
		return -1;
	return openat(directory_fd, file, OPEN_FLAGS, 0600);
}

void egress_log_append(int directory_fd, const struct egress_report *report,
		       const cJSON *entry)
{
	cleanup_fd int fd =
		open_file(directory_fd, report->reason == EGRESS_WAS_USED);
	cleanup_free char *line = NULL;
	cleanup_free char *text = json_print(entry);

	if (fd < 0)
		return;
	line = xasprintf("%s\n", text);
	(void)write_all(fd, line, strlen(line));
}

static cJSON *parse_lines(char *text)
{
	cJSON *array = json_array();

	while (*text) {
		size_t length = strcspn(text, "\n");
		cJSON *entry = NULL;

		if (json_parse(text, length, "egress log", &entry, NULL) >= 0)
			json_push(array, entry);
		text += length;
		text += *text == '\n';
	}
	return array;
}

int egress_log_read_fd(int fd, cJSON **ret_array, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = file_read_fd(fd, EGRESS_LOG, READ_MAX, &text, NULL, err);

	if (r < 0)
		return r;
	*ret_array = parse_lines(text);
	return 0;
}

int egress_log_read(int directory_fd, const char *file, cJSON **ret_array,
		    struct error *err)
{
	cleanup_free char *text = NULL;
	struct error problem = {0};
	int r = file_read_at(directory_fd, file, READ_MAX, &text, NULL,
			     &problem);

	if (r == -ENOENT) {
		*ret_array = json_array();
		return 0;
	}
	if (r < 0)
		return err_copy(err, &problem);
	*ret_array = parse_lines(text);
	return 0;
}
