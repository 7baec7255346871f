/* Names of signals: base/proc.h. */
#include "base/proc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"

/* What programs in images mean by RTMIN, whatever our libc keeps for itself. */
#define RT_MIN 34
#define RT_MAX 64

static const char *const names[RT_MAX + 1] = {
	[SIGHUP] = "SIGHUP",
	[SIGINT] = "SIGINT",
	[SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",
	[SIGTRAP] = "SIGTRAP",
	[SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",
	[SIGFPE] = "SIGFPE",
	[SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",
	[SIGSEGV] = "SIGSEGV",
	[SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",
	[SIGALRM] = "SIGALRM",
	[SIGTERM] = "SIGTERM",
#ifdef SIGSTKFLT
	[SIGSTKFLT] = "SIGSTKFLT",
#endif
	[SIGCHLD] = "SIGCHLD",
	[SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",
	[SIGTSTP] = "SIGTSTP",
	[SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",
	[SIGURG] = "SIGURG",
	[SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",
	[SIGVTALRM] = "SIGVTALRM",
	[SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",
	[SIGIO] = "SIGIO",
	[SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
	[RT_MIN] = "SIGRTMIN",
	"SIGRTMIN+1",
	"SIGRTMIN+2",
	"SIGRTMIN+3",
	"SIGRTMIN+4",
	"SIGRTMIN+5",
	"SIGRTMIN+6",
	"SIGRTMIN+7",
	"SIGRTMIN+8",
	"SIGRTMIN+9",
	"SIGRTMIN+10",
	"SIGRTMIN+11",
	"SIGRTMIN+12",
	"SIGRTMIN+13",
	"SIGRTMIN+14",
	"SIGRTMIN+15",
	"SIGRTMAX-14",
	"SIGRTMAX-13",
	"SIGRTMAX-12",
	"SIGRTMAX-11",
	"SIGRTMAX-10",
	"SIGRTMAX-9",
	"SIGRTMAX-8",
	"SIGRTMAX-7",
	"SIGRTMAX-6",
	"SIGRTMAX-5",
	"SIGRTMAX-4",
	"SIGRTMAX-3",
	"SIGRTMAX-2",
	"SIGRTMAX-1",
	"SIGRTMAX",
};

static const struct {
	const char *name;
	int signal;
} aliases[] = {
	{"CLD", SIGCHLD},
	{"IOT", SIGABRT},
	{"POLL", SIGIO},
};

/* "RTMIN+3", "RTMAX-3" without the prefix "SIG". */
static int realtime_signal(const char *name)
{
	bool up = strncasecmp(name, "RTMIN", 5) == 0;
	uint64_t offset;

	if (!up && strncasecmp(name, "RTMAX", 5) != 0)
		return -EINVAL;
	if (name[5] != (up ? '+' : '-') || parse_u64(name + 6, &offset) < 0 ||
	    offset > RT_MAX - RT_MIN)
		return -EINVAL;
	return up ? RT_MIN + (int)offset : RT_MAX - (int)offset;
}

int signal_from_name(const char *name)
{
	uint64_t number;

	if (str_empty(name))
		return -EINVAL;
	if (parse_u64(name, &number) == 0)
		return number >= 1 && number <= RT_MAX ? (int)number : -EINVAL;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i <= RT_MAX; i++) {
		if (names[i] && strcasecmp(names[i] + 3, name) == 0)
			return i;
	}
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (strcasecmp(aliases[i].name, name) == 0)
			return aliases[i].signal;
	}
	return realtime_signal(name);
}

const char *signal_name(int signal)
{
	if (signal < 1 || signal > RT_MAX || !names[signal])
		return "SIG?";
	return names[signal];
}
