#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/engine/usage.h"

#define PROC_TEXT_MAX (1u << 20)
#define NS_PER_SECOND 1000000000
#define STAT_UTIME    12 /* fields after the name's ")", from 1 */
#define STAT_THREADS  18
#define MACHINE_TIMES 7 /* user … softirq: steal and guests are not ours */

char *usage_proc_text(pid_t pid, const char *name)
{
	cleanup_free char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	char *text = NULL;

	(void)file_read_at(AT_FDCWD, path, PROC_TEXT_MAX, &text, NULL, NULL);
	return text;
}

/* "NAME: NUMBER" on a line of its own; false: there is none. */
static bool find_number(const char *text, const char *name, uint64_t *ret_value)
{
	const char *at = text ? strstr(text, name) : NULL;
	char *end;
	uint64_t value;

	while (at && at != text && at[-1] != '\n')
		at = strstr(at + 1, name);
	if (!at)
		return false;
	at += strlen(name);
	errno = 0;
	value = strtoull(at, &end, 10);
	if (end == at || errno != 0)
		return false;
	*ret_value = value;
	return true;
}

static uint64_t ticks_ns(uint64_t ticks)
{
	return ticks * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool usage_add_stat(struct usage *usage, const char *text)
{
	/* The name before may have anything in it. */
	const char *at = text ? strrchr(text, ')') : NULL;
	uint64_t user = 0, system = 0;
	int field = 0;

	while (at && field < STAT_THREADS && (at = strchr(at, ' '))) {
		uint64_t value = strtoull(++at, NULL, 10);

		field++;
		if (field == STAT_UTIME || field == STAT_UTIME + 2)
			user += value;
		else if (field == STAT_UTIME + 1 || field == STAT_UTIME + 3)
			system += value;
		else if (field == STAT_THREADS)
			usage->tasks += value;
	}
	if (field < STAT_THREADS)
		return false;
	usage->user_ns += ticks_ns(user);
	usage->system_ns += ticks_ns(system);
	return true;
}

void usage_add_memory(struct usage *usage, const char *rollup,
		      const char *status)
{
	uint64_t all = 0, anon = 0, file = 0, shmem = 0;

	if (find_number(rollup, "Pss:", &all)) {
		(void)find_number(rollup, "Pss_Anon:", &anon);
		(void)find_number(rollup, "Pss_File:", &file);
		(void)find_number(rollup, "Pss_Shmem:", &shmem);
	} else if (find_number(status, "VmRSS:", &all)) {
		(void)find_number(status, "RssAnon:", &anon);
		(void)find_number(status, "RssFile:", &file);
		(void)find_number(status, "RssShmem:", &shmem);
	}
	usage->memory += all * 1024;
	usage->anon += anon * 1024;
	usage->file += file * 1024;
	usage->shmem += shmem * 1024;
}

void usage_add_io(struct usage *usage, const char *text)
{
	uint64_t read = 0, written = 0;

	if (!find_number(text, "read_bytes:", &read) ||
	    !find_number(text, "write_bytes:", &written)) {
		usage->has_io = false;
		return;
	}
	usage->read += read;
	usage->written += written;
}

void usage_add_process(struct usage *usage, pid_t pid)
{
	cleanup_free char *stat = usage_proc_text(pid, "stat");
	cleanup_free char *rollup = NULL;
	cleanup_free char *status = NULL;
	cleanup_free char *io = NULL;

	if (!usage_add_stat(usage, stat))
		return;
	rollup = usage_proc_text(pid, "smaps_rollup");
	if (str_empty(rollup))
		status = usage_proc_text(pid, "status");
	usage_add_memory(usage, rollup, status);
	io = usage_proc_text(pid, "io");
	if (!io) {
		/* That it has ended is no reason to know of none. */
		free(stat);
		stat = usage_proc_text(pid, "stat");
	}
	if (io || stat)
		usage_add_io(usage, io);
}

size_t usage_interfaces(const char *text,
			struct usage_interface ret[USAGE_INTERFACES_MAX])
{
	cleanup_strv char **lines = strv_split(text, '\n');
	size_t count = 0;

	for (size_t i = 0; lines && lines[i]; i++) {
		struct usage_interface found = {0};
		unsigned long long rx[4], tx[4];

		if (count == USAGE_INTERFACES_MAX ||
		    sscanf(lines[i],
			   " %31[^: ]: %llu %llu %llu %llu %*u %*u %*u %*u "
			   "%llu %llu %llu %llu",
			   found.name, &rx[0], &rx[1], &rx[2], &rx[3], &tx[0],
			   &tx[1], &tx[2], &tx[3]) != 9 ||
		    str_equal(found.name, "lo"))
			continue;
		found.rx_bytes = rx[0];
		found.rx_packets = rx[1];
		found.rx_errors = rx[2];
		found.rx_dropped = rx[3];
		found.tx_bytes = tx[0];
		found.tx_packets = tx[1];
		found.tx_errors = tx[2];
		found.tx_dropped = tx[3];
		ret[count++] = found;
	}
	return count;
}

/* The numbers of "cpu  1 2 3 …", of which all must be there. */
static bool sum_times(const char *line, uint64_t *ret_ticks)
{
	uint64_t ticks = 0;

	for (int i = 0; i < MACHINE_TIMES; i++) {
		char *end;
		uint64_t value = strtoull(line, &end, 10);

		if (end == line)
			return false;
		ticks += value;
		line = end;
	}
	*ret_ticks = ticks;
	return true;
}

int usage_machine(const char *text, uint64_t *ret_ns, unsigned int *ret_cpus,
		  struct error *err)
{
	cleanup_strv char **lines = strv_split(text ? text : "", '\n');
	uint64_t ticks = 0;
	unsigned int cpus = 0;
	bool found = false;

	for (size_t i = 0; lines && lines[i] && str_starts(lines[i], "cpu");
	     i++) {
		const char *rest = lines[i] + strlen("cpu");

		if (*rest == ' ')
			found = sum_times(rest, &ticks);
		else if (*rest >= '0' && *rest <= '9')
			cpus++;
	}
	if (!found || cpus == 0)
		return err_set(err, ERROR_UNSUPPORTED,
			       "/proc/stat does not tell what the processors "
			       "do");
	*ret_ns = ticks_ns(ticks);
	*ret_cpus = cpus;
	return 0;
}
