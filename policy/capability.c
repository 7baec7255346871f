#include "policy/capability.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define LAST_CAP_PATH "/proc/sys/kernel/cap_last_cap"
#define BIT(number)   (UINT64_C(1) << (number))

/* By number. The last three are newer than some C libraries' headers. */
static const char *const capability_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

/* What docker gives a container that asks for nothing. */
static const uint64_t default_set =
	BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) |
	BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) |
	BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW) |
	BIT(CAP_SYS_CHROOT) | BIT(CAP_MKNOD) | BIT(CAP_AUDIT_WRITE) |
	BIT(CAP_SETFCAP);

/* The kernel's highest capability; the table's where /proc does not tell. */
static unsigned int last_capability(void)
{
	static unsigned int last = 0;
	cleanup_fd int fd = -1;
	char text[16];
	uint64_t value;
	ssize_t length;

	if (last)
		return last;
	last = ARRAY_SIZE(capability_names) - 1;
	fd = open(LAST_CAP_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return last;
	length = read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return last;
	text[length] = '\0';
	if (text[length - 1] == '\n')
		text[length - 1] = '\0';
	if (parse_u64(text, &value) == 0 && value < last)
		last = (unsigned int)value;
	return last;
}

uint64_t capability_default(void)
{
	return default_set;
}

uint64_t capability_all(void)
{
	return BIT(last_capability() + 1) - 1;
}

int capability_from_name(const char *name, int *ret_number)
{
	const char *bare = name;

	if (strncasecmp(bare, "CAP_", 4) == 0)
		bare += 4;
	for (size_t i = 0; i < ARRAY_SIZE(capability_names); i++) {
		if (strcasecmp(bare, capability_names[i] + 4) == 0) {
			*ret_number = (int)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *capability_name(int number)
{
	if (number < 0 || (size_t)number >= ARRAY_SIZE(capability_names))
		return "CAP_?";
	return capability_names[number];
}

/* One of the two option lists; ALL is kept apart as it changes the rules. */
static int read_list(const char *option, char *const *list, uint64_t *ret_mask,
		     bool *ret_all, struct error *err)
{
	uint64_t mask = 0;
	bool all = false;
	int number;

	for (size_t i = 0; i < strv_length(list); i++) {
		if (strcasecmp(list[i], "ALL") == 0) {
			all = true;
			continue;
		}
		if (capability_from_name(list[i], &number) < 0) {
			err_set(err, ERROR_INVALID,
				"%s: unknown capability: \"%s\"", option,
				list[i]);
			return err_hint(
				err, "capability names are in capabilities(7), "
				     "for example NET_ADMIN, and ALL");
		}
		if (number > (int)last_capability())
			return err_set(err, ERROR_UNSUPPORTED,
				       "%s: this kernel does not know %s",
				       option, capability_name(number));
		mask |= BIT(number);
	}
	*ret_mask = mask;
	*ret_all = all;
	return 0;
}

int capability_resolve(char *const *add, char *const *drop, int privileged,
		       uint64_t *ret_mask, struct error *err)
{
	uint64_t add_mask, drop_mask;
	bool add_all, drop_all;
	int r;

	r = read_list("--cap-add", add, &add_mask, &add_all, err);
	if (r < 0)
		return r;
	r = read_list("--cap-drop", drop, &drop_mask, &drop_all, err);
	if (r < 0)
		return r;

	if (add_all)
		*ret_mask = capability_all() & ~drop_mask;
	else if (drop_all)
		*ret_mask = add_mask;
	else if (privileged)
		*ret_mask = (capability_all() & ~drop_mask) | add_mask;
	else
		*ret_mask = (default_set & ~drop_mask) | add_mask;
	return 0;
}
